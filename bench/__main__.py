"""Runs the benchmarks: all of them, or one with its own options; prints a table, and last a line of JSON."""

import argparse
from importlib import import_module

from bench.report import conditions, encode, show

NAMES = (
    "fanout",
    "memory",
    "latency",
    "evaluator",
    "growth",
    "bulk",
    "page",
    "oracle",
    "trace",
    "notify",
    "faults",
    "away",
    "policies",
    "ddl",
    "retained",
    "large",
    "fuzz",
    "herd",
    "autobahn",
    "bombs",
    "isolation",
    "private",
    "stalled",
    "presence",
)


def main() -> None:
    """`python -m bench`, `python -m bench fanout --sockets 100`, `python -m bench --json latency`."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the line of JSON only")
    commands = parser.add_subparsers(dest="name", metavar="|".join(NAMES))
    modules = {name: import_module(f"bench.{name}") for name in NAMES}
    for name, module in modules.items():
        module.add_arguments(commands.add_parser(name, help=module.__doc__, description=module.__doc__))
    arguments = parser.parse_args()
    chosen = [arguments] if arguments.name else [parser.parse_args([name]) for name in NAMES]
    told = conditions()
    figures = [figure for each in chosen for figure in modules[each.name].measure(each)]
    if not arguments.json:
        print(show(figures, told))
    print(encode(figures, told))
    if any(figure.exact and not figure.met for figure in figures):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
