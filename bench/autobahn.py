"""The Autobahn test suite for WebSockets against the service's own protocol class; `--wstest` is its program.

The suite needs a virtual environment of Python 2.7 with "idna<3" "typing<3.10"
pyOpenSSL==19.1 cryptography==3.3.2 autobahntestsuite; then `python -m bench autobahn --wstest PATH/bin/wstest`.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench.load import server
from bench.report import Figure

LONG = ["9.*", "12.*", "13.*"]
"""Large messages, and compression, which is not offered."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wstest", default="", help="how to run it, with its arguments in quotes; without it nothing is measured"
    )
    parser.add_argument("--all", action="store_true", help="also the cases of large messages and of compression")


def measure(options: argparse.Namespace) -> list[Figure]:
    if not options.wstest:
        print("autobahn: not run, as --wstest does not say where the suite is", file=sys.stderr)
        return []
    with server("bench.echo") as process, tempfile.TemporaryDirectory() as folder:
        spec = {
            "outdir": folder,
            "servers": [{"agent": "realtime_inspector", "url": f"ws://127.0.0.1:{process.port}/"}],
            "cases": ["*"],
            "exclude-cases": [] if options.all else LONG,
        }
        path = Path(folder) / "spec.json"
        path.write_text(json.dumps(spec))
        subprocess.run(
            [*shlex.split(options.wstest), "-m", "fuzzingclient", "-s", str(path)], check=True, stdout=subprocess.DEVNULL
        )
        (results,) = json.loads((Path(folder) / "index.json").read_text()).values()
    found = Counter(result["behavior"] for result in results.values())
    closed = Counter(result["behaviorClose"] for result in results.values())
    failed = sorted(case for case, result in results.items() if "FAILED" in (result["behavior"], result["behaviorClose"]))
    told = ", ".join(f"{count} {what.lower()}" for what, count in found.most_common())
    closing = ", ".join(f"{count} {what.lower()}" for what, count in closed.most_common())
    return [
        Figure(f"Autobahn: failed of {len(results)} cases {failed or ''}".strip(), "", len(failed), 1, told, 0, exact=True),
        Figure("Autobahn: closing handshakes that failed", "", closed["FAILED"], 1, closing, 0, exact=True),
    ]
