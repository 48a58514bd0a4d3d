"""Talks to Postgres: the replication stream, snapshots, evaluation, authorization, the audit trail, and a private cluster."""
