"""Benchmarks: each prints its figures beside a named reference that was measured in the same run."""
