"""The Phoenix wire of the Realtime protocol becomes messages, and messages become frames."""
