"""The service with a planted bug: Postgres may forget what was handed over, though clients may still come back to it."""

from realtime_inspector.cli import main
from realtime_inspector.pipeline.river import Pipeline


def _release(self: Pipeline) -> None:
    self._bookmark.save(self._ring._handed_over, self._ring.floor.commit_lsn)
    self._stream.acknowledge(self._ring._handed_over)


if __name__ == "__main__":
    Pipeline._release = _release  # type: ignore[method-assign]
    main(prog_name="realtime-inspector")
