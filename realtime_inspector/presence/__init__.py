"""Who is present on a topic, and the differences that clients are told."""
