"""Bytes of Postgres' logical replication become Transactions."""
