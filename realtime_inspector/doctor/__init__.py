"""Facts about a database and its settings become findings with remedies."""
