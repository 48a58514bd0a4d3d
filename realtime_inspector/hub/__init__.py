"""Where live sockets meet: one Hub per process; what it is made of stands in a file per duty."""

from realtime_inspector.hub.live import DISCONNECTED, INTERNAL_ERROR, SESSION_ENDED, Hub
from realtime_inspector.hub.questions import QUESTIONS

__all__ = ["DISCONNECTED", "INTERNAL_ERROR", "QUESTIONS", "SESSION_ENDED", "Hub"]
