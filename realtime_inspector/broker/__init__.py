"""Carries messages between the processes that serve one application."""
