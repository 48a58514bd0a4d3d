"""Lets `python -m realtime_inspector` be the command line."""

from realtime_inspector.cli import main

if __name__ == "__main__":
    main(prog_name="realtime-inspector")
