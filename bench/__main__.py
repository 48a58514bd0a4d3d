"""Runs the benchmarks: all of them, or one with its own options; prints a table, and last a line of JSON."""

import argparse
from importlib import import_module

from bench.report import encode, show

NAMES = ("fanout", "memory")


def main() -> None:
    """`python -m bench`, `python -m bench fanout --sockets 100`."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="name", metavar="|".join(NAMES))
    modules = {name: import_module(f"bench.{name}") for name in NAMES}
    for name, module in modules.items():
        module.add_arguments(commands.add_parser(name, help=module.__doc__, description=module.__doc__))
    arguments = parser.parse_args()
    chosen = [arguments] if arguments.name else [parser.parse_args([name]) for name in NAMES]
    figures = [figure for each in chosen for figure in modules[each.name].measure(each)]
    print(show(figures))
    print(encode(figures))


if __name__ == "__main__":
    main()
