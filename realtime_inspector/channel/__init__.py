"""What a client may do next: the state of one socket's channels, effects as values."""
