"""The river: source -> touched -> plan -> evaluate -> verdicts -> frames -> sockets -> acknowledge."""

from realtime_inspector.pipeline.river import Pipeline

__all__ = ["Pipeline"]
