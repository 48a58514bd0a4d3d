"""Which subscriptions a change may concern, and what each of them is told."""
