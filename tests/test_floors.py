"""The floors of the house: imports go only down, siblings never meet, pure rooms stay pure, and nothing goes in circles."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import realtime_inspector

FLOORS = (
    "model",
    "errors",
    "replication protocol identity visibility presence doctor settings ports",
    "channel",
    "lasting",
    "postgres broker server",
    "hub pipeline",
    "app",
    "testing",
    "cli",
    "__main__",
)
PURE = FLOORS.index("channel")
DRIVING = FLOORS.index("postgres broker server")
DRIVERS = ("asyncpg", "psycopg", "nats", "starlette", "uvicorn", "websockets")
IMPURE = (
    *("asyncio", "concurrent", "multiprocessing", "queue", "select", "selectors", "signal", "subprocess", "threading"),
    *("http.client", "http.server", "httpx", "jwt.PyJWKClient", "socket", "socketserver", "ssl", "urllib.request"),
    *("logging", "os", "pathlib", "shutil", "structlog", "tempfile"),
    *("random", "secrets", "time", "uuid"),
)
CALLS = {"open", "print", "input", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now"}
PACKAGE = Path(realtime_inspector.__file__).parent
TREES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): ast.parse(
        path.read_text(), str(path)
    )
    for path in PACKAGE.rglob("*.py")
}


def floor(module: str) -> int:
    """Where the module's room lies; the package itself, which holds the version, lies at the bottom."""
    room = f"{module}..".split(".")[1] or "model"
    found = [number for number, rooms in enumerate(FLOORS) if room in rooms.split()]
    assert found, f"{module} lies on no floor: add its room to FLOORS and to docs"
    return found[0]


def imports(module: str) -> Iterator[str]:
    """Every name that the module imports, anywhere in it: our modules as they are called, others with what is taken of them."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            assert not node.level, f"{module} imports {origin}: say the whole name"
            for name in (f"{origin}.{alias.name}" for alias in node.names):
                yield origin if origin in TREES and name not in TREES else name


def ours(module: str) -> set[str]:
    return {name for name in imports(module) if name.split(".")[0] == "realtime_inspector"}


def outside(module: str, forbidden: tuple[str, ...]) -> set[str]:
    return {name for name in imports(module) for word in forbidden if f"{name}.".startswith(f"{word}.")}


def test_imports_go_only_down_and_siblings_never_meet() -> None:
    crossing = {(module, name) for module in TREES for name in ours(module) if module.split(".")[1:2] != name.split(".")[1:2]}
    assert {(module, name) for module, name in crossing if floor(name) >= floor(module)} == set()


def test_only_the_world_rooms_drive() -> None:
    assert {(module, name) for module in TREES if floor(module) != DRIVING for name in outside(module, DRIVERS)} == set()


def test_pure_rooms_neither_wait_nor_look_at_the_clock_nor_roll_dice() -> None:
    pure = [module for module in TREES if floor(module) <= PURE]
    called = {
        (module, ast.unparse(node.func)) for module in pure for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)
    }
    assert {(module, name) for module in pure for name in outside(module, IMPURE)} == set()
    assert {(module, name) for module, name in called if name in CALLS} == set()


def test_nothing_goes_in_circles() -> None:
    graphlib.TopologicalSorter({module: ours(module) - {module} for module in TREES}).prepare()


def test_every_module_says_its_duty_first() -> None:
    assert {module for module, tree in TREES.items() if not ast.get_docstring(tree)} == set()
