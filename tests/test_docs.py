"""What is undocumented fails here, and so does what is documented but not there."""

import ast
import asyncio
import importlib
import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any, cast, get_args

import click
import msgspec
import pytest
from starlette.routing import Route

import realtime_inspector
from realtime_inspector import hub
from realtime_inspector.channel.effects import Effect
from realtime_inspector.cli import COMMANDS, main
from realtime_inspector.doctor.lints import LINTS
from realtime_inspector.errors import RealtimeError
from realtime_inspector.model import Reason
from realtime_inspector.protocol.join import parse_join
from realtime_inspector.server import admin, connection, http, inspecting, policies
from realtime_inspector.server.deps import Dependencies
from realtime_inspector.server.keys import Keys
from realtime_inspector.server.metrics import PREFIX as METRICS
from realtime_inspector.server.metrics import Metrics
from realtime_inspector.server.outbox import Outbox
from realtime_inspector.server.rest import Door
from realtime_inspector.settings import OTHER_VARIABLES, PREFIX, Settings
from realtime_inspector.visibility.caveats import TEXTS
from realtime_inspector.visibility.explanation import STEPS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(realtime_inspector.__file__).parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))
}
EXAMPLES = {path.name: path.read_text() for path in sorted((ROOT / "examples").iterdir())}
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
SECRET = "a secret that is long enough for HS256"


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its rank or a higher one."""
    rank = len(heading.split()[0])
    _, found, rest = f"\n{PAGES[page]}".partition(f"\n{heading}\n")
    assert found, f"{page} has no {heading!r}"
    return re.split(rf"^#{{1,{rank}}} ", rest, flags=re.MULTILINE)[0]


def cells(text: str) -> Iterator[list[str]]:
    """The rows of the tables in a text, without their heads."""
    for line, after in zip(text.splitlines(), [*text.splitlines()[1:], ""], strict=True):
        if line.startswith("| ") and not line.startswith("| ---") and not after.startswith("| ---"):
            yield [cell.strip() for cell in line[1:-1].split(" |")]


def named(text: str, column: int = 0) -> list[str]:
    """The words between backquotes in a column of a text's tables."""
    return [word for row in cells(text) for word in re.findall(r"`([^`]+)`", row[column])]


def calls(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    """Every call whose first argument is a text: object, function, text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(first := node.args[0], ast.Constant):
            owner, _, function = ast.unparse(node.func).rpartition(".")
            yield owner, function, str(first.value)


def everywhere() -> Iterator[tuple[str, str, str]]:
    return chain.from_iterable(calls(tree) for tree in TREES.values())


def links(text: str) -> list[str]:
    """The targets of links and pictures that are no addresses."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text, flags=re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(code) for _, spoken, code in found if spoken == language]


# Settings and commands.


def kind(annotation: object) -> str:
    match msgspec.inspect.type_info(annotation):
        case msgspec.inspect.IntType(ge=0, le=int(most)):
            return f"number 0–{most}"
        case msgspec.inspect.IntType(ge=int(least), le=None):
            return f"number from {least}"
        case msgspec.inspect.VarTupleType():
            return "list"
        case msgspec.inspect.LiteralType():
            *most, last = [f"`{value}`" for value in get_args(annotation)]
            return f"{', '.join(most)} or {last}"
        case msgspec.inspect.StrType():
            return "text"
        case msgspec.inspect.BoolType():
            return "true or false"
        case other:
            raise AssertionError(f"say in docs/settings.md and here what {other} is")


def test_every_setting_stands_there_with_variable_type_and_default() -> None:
    expected = []
    for field in msgspec.structs.fields(Settings):
        default = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
        default = default.lower() if isinstance(field.default, bool) else default
        shown = f"`{default}`" if default else ""
        expected.append([f"`{field.name}`", f"`{PREFIX}{field.name.upper()}`", kind(field.type), shown])
    described = list(cells(PAGES["docs/settings.md"].partition("## Other variables")[0]))
    assert [row[:4] for row in described] == expected
    assert all(row[4] for row in described)


def test_every_other_variable_stands_there() -> None:
    assert set(named(section("docs/settings.md", "## Other variables"))) == {*OTHER_VARIABLES, "DATABASE_URL"}


def test_no_page_names_a_variable_that_does_not_exist() -> None:
    known = {PREFIX + field.upper() for field in Settings.__struct_fields__} | OTHER_VARIABLES
    for name, text in {**PAGES, **EXAMPLES}.items():
        assert set(re.findall(rf"\b{PREFIX}[A-Z_]+[A-Z]\b", text)) <= known, name


def options(command: click.Command) -> set[str]:
    """Those of the command, or of all that it consists of."""
    parts = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    return {name for part in parts for parameter in part.params for name in parameter.opts if name.startswith("--")} - {"--help"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_stands_there(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    flags = {"--" + field.replace("_", "-") for field in Settings.__struct_fields__} if name == "serve" else set()
    described = {word.split()[0] for word in named(section("docs/commands.md", f"## {name}")) if word.startswith("--")}
    assert described == options(command) - flags


def test_no_command_is_described_that_does_not_exist() -> None:
    assert re.findall(r"^## (.+)$", PAGES["docs/commands.md"], re.MULTILINE) == list(COMMANDS)
    for name, text in PAGES.items():
        assert set(re.findall(r"realtime-inspector ([a-z]+)\b(?=[ `])", " ".join(blocks(text, "sh")))) <= COMMANDS.keys(), name
        assert set(re.findall(r"`realtime-inspector ([a-z]+)", text)) <= COMMANDS.keys(), name


def test_every_check_of_doctor_stands_there() -> None:
    judges = {"ok", "warning", "error", "_spare", "_entrance"}
    trees = [tree for path, tree in TREES.items() if path.startswith("doctor/")]
    made = {text for tree in trees for _, function, text in calls(tree) if function in judges}
    rows = cells(section("docs/commands.md", "## doctor"))
    assert {name for row in rows for name in re.findall(r"`([a-z_]+)`", row[0])} == made


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name, text in PAGES.items():
        said = re.findall(r"`make ([a-z]+)", text) + re.findall(r"^make ([a-z]+)", text, re.MULTILINE)
        assert set(said) <= targets, name


# What is told to the outside.


def codes() -> Iterator[str]:
    for node in chain.from_iterable(ast.walk(tree) for tree in TREES.values()):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id == "code" and isinstance(node.value, ast.Constant):
                yield str(node.value.value)
    yield from (text for _, function, text in everywhere() if function == "Problem")


def test_every_error_code_stands_there() -> None:
    described = [row[0].strip("`") for row in cells(section("docs/errors.md", "## Codes"))]
    assert sorted(described) == sorted(set(codes()))


def heirs(error: type[RealtimeError]) -> Iterator[type[RealtimeError]]:
    yield error
    for heir in error.__subclasses__():
        yield from heirs(heir)


def test_the_status_of_every_error_is_right() -> None:
    described = {row[0].strip("`"): row[1] for row in cells(section("docs/errors.md", "## Codes"))}
    statuses = {error.code: str(error.status) for error in heirs(RealtimeError)}
    assert {code: status for code, status in described.items() if status} == statuses


def test_every_close_code_stands_there() -> None:
    used = {
        hub.INTERNAL_ERROR,
        hub.SESSION_ENDED,
        hub.DISCONNECTED,
        connection.SLOW_CONSUMER,
        connection.GOING_AWAY,
        connection.SERVICE_RESTART,
    }
    table = cells(section("docs/errors.md", "## When a channel or a socket ends"))
    assert used <= {int(code) for row in table for code in re.findall(r"\d{4}", row[0])}


def test_every_reason_stands_there() -> None:
    described = [row[0].strip("`") for row in cells(section("docs/policies.md", "## Reasons"))]
    assert sorted(described) == sorted(Reason)


def test_every_metric_stands_there() -> None:
    suffixes = {"counter": "_total", "counters": "_total", "gauge": ""}
    made = {METRICS + name + suffixes[function] for owner, function, name in everywhere() if owner == "metrics"}
    described = named(section("docs/operations.md", "## Metrics"))
    assert sorted(re.sub(r"\{.*", "", name) for name in described if name.startswith(METRICS)) == sorted(made)


def test_every_log_event_stands_there_with_its_level() -> None:
    made: dict[str, set[str]] = {}
    for owner, function, event in everywhere():
        if owner in {"log", "_log"}:
            made.setdefault(event, set()).add("error" if function == "exception" else function)
    rows = list(cells(section("docs/operations.md", "## Logs")))
    described = {event: {row[1]} for row in rows for event in re.findall(r"`(\w+)`", row[0])}
    assert described == made | {"request": {"info"}}


# What can be asked over HTTP.


DOOR = Door(Keys(Settings(jwt_secret=SECRET)).authenticate, (), lambda _call, _error: None)


def dependencies(settings: Settings) -> Dependencies:
    """Enough to ask which routes there are."""
    nothing = cast(Any, None)
    return Dependencies(settings, Keys(settings), DOOR, *[nothing] * (len(fields(Dependencies)) - 3))


async def test_every_route_stands_there() -> None:
    settings = Settings(jwt_secret=SECRET)
    wire = connection.Wire(Outbox(asyncio.get_running_loop()), 1, 1.0, lambda: None)
    site = http.Site(
        settings,
        wire,
        cast(Any, None),
        cast(Any, None),
        cast(Any, None),
        cast(Any, None),
        list,
        Metrics(),
        [*admin.routes(dependencies(settings)), *inspecting_routes(), *editing_routes()],
    )
    served = {route.path.partition("{")[0].rstrip("/") or "/" for route in cast(Any, http.application(site)).routes}
    text = section("docs/operations.md", "## HTTP routes")
    described = {path.rstrip("/") or "/" for path in re.findall(r"`(/[^`{]*)`", text)}
    assert described == served


def test_every_request_of_admins_stands_there() -> None:
    routes = cast(list[Route], admin.routes(dependencies(Settings(jwt_secret=SECRET))))
    served = {f"{method} {route.path}" for route in routes for method in (route.methods or set()) - {"HEAD", "OPTIONS"}}
    assert {word for word in named(section("docs/impersonation.md", "## REST")) if " /" in word} == served


def inspecting_routes() -> list[Route]:
    settings = Settings(jwt_secret=SECRET)
    nothing = cast(Any, None)
    return inspecting.routes(inspecting.Inspecting(settings, Keys(settings), DOOR, nothing, nothing, nothing))


def test_every_request_about_why_stands_there() -> None:
    served = {f"{m} {route.path}" for route in inspecting_routes() for m in (route.methods or set()) - {"HEAD", "OPTIONS"}}
    assert {word for word in named(section("docs/why.md", "## REST")) if " /" in word} == served


def test_every_caveat_and_step_stands_there() -> None:
    assert named(section("docs/why.md", "## Caveats")) == list(TEXTS)
    assert named(section("docs/why.md", "## The ladder")) == list(STEPS)


def editing_routes() -> list[Route]:
    settings = Settings(jwt_secret=SECRET)
    nothing = cast(Any, None)
    looking = inspecting.Inspecting(settings, Keys(settings), DOOR, nothing, nothing, nothing)
    return policies.routes(policies.Editing(looking, nothing, nothing, nothing))


def test_every_request_of_the_editor_stands_there() -> None:
    served = {f"{m} {route.path}" for route in editing_routes() for m in (route.methods or set()) - {"HEAD", "OPTIONS"}}
    assert {word for word in named(PAGES["docs/editor.md"]) if " /" in word} == served


def test_every_lint_stands_there_with_its_level() -> None:
    described = {
        heading: PAGES["docs/lints.md"].partition(f"## {heading}\n")[2].strip().split("\n")[0] for heading in lint_names()
    }
    assert lint_names() == [lint.name for lint in LINTS]
    assert {name: text.split(".")[0] for name, text in described.items()} == {lint.name: f"`{lint.level}`" for lint in LINTS}


def lint_names() -> list[str]:
    return re.findall(r"^## ([a-z_]+)$", PAGES["docs/lints.md"], re.MULTILINE)


# Words.


def test_every_effect_stands_in_the_glossary() -> None:
    assert named(section("docs/glossary.md", "## Effects")) == [effect.__name__ for effect in get_args(Effect)]


def exists(name: str) -> bool:
    """Whether there is a module of this name in the package, or something in a module."""
    module, _, last = f"realtime_inspector.{name}".rpartition(".")
    try:
        return hasattr(importlib.import_module(module), last) or bool(importlib.import_module(f"{module}.{last}"))
    except ModuleNotFoundError:
        return False


def test_every_word_of_the_glossary_exists() -> None:
    places = [row[2].strip("`") for row in cells(PAGES["docs/glossary.md"].partition("## Effects")[0])]
    named_there = list(chain.from_iterable(place.replace("`", "").split(", ") for place in places))
    assert [place for place in named_there if not exists(place)] == []
    assert len(named_there) > 20


# Examples.


@pytest.mark.parametrize(("name", "language"), [("watch.mjs", "js"), ("watch.py", "python")])
def test_the_readme_shows_the_examples_as_they_are(name: str, language: str) -> None:
    assert blocks(PAGES["README.md"], language) == [EXAMPLES[name]]
    assert sum(map(bool, EXAMPLES[name].splitlines())) <= 20


@pytest.mark.parametrize("page", PAGES)
def test_what_looks_like_json_is_json(page: str) -> None:
    whole = blocks(PAGES[page], "json")
    lines = [line for block in blocks(PAGES[page], "") for line in block.splitlines() if line.startswith(("{", "["))]
    for text in whole + lines:
        json.loads(text)


def test_the_join_that_is_shown_gets_the_reply_that_is_shown() -> None:
    text = section("docs/protocol.md", "## Joining")
    join = json.loads(blocks(text, "json")[0])
    reply = json.loads(blocks(text, "")[0].splitlines()[0])
    asked = parse_join(join[4])
    assert (asked.refusal, asked.problems) == (None, ())
    assert [json.loads(entry) for entry in asked.echo] == reply[4]["response"]["postgres_changes"]
    assert join[:3] == reply[:3]


# Pages.


def anchors(text: str) -> set[str]:
    """The headings as addresses."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in links(PAGES[page]):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()) | {"unreleased"}, link


def files() -> set[str]:
    """Everything in the repository, by its path and by every end of its path."""
    parts = ("realtime_inspector", "web", "tests", "scripts", "examples", "docs")
    paths = chain(ROOT.iterdir(), *((ROOT / part).rglob("*") for part in parts))
    steps = [path.relative_to(ROOT).parts for path in paths if "node_modules" not in path.parts]
    return {"/".join(path[start:]) for path in steps for start in range(len(path))}


def test_files_that_are_named_exist() -> None:
    known = files()
    for page, text in PAGES.items():
        said = re.findall(r"`([\w./-]+\.(?:py|sql|md|mjs|js|lock|toml|json|css))`", text)
        assert [name for name in said if name not in known and not name.startswith(("dist/", "/api/"))] == [], page


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in links(PAGES["README.md"])}
    pages = {page for page in PAGES if page.startswith("docs/") and "decisions/" not in page}
    assert pages <= linked


def test_decisions_are_numbered() -> None:
    pages = [page for page in PAGES if page.startswith("docs/decisions/")]
    assert [int(Path(page).name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    assert [PAGES[page].split(".")[0] for page in pages] == [f"# {number}" for number in range(1, len(pages) + 1)]


FORBIDDEN = re.compile(
    r"(?<![\w.])/(?:work|tmp|root|home|Users)\b"
    r"|\b(?:pypi|pythonhosted|npmjs|jfrog|artifactory|nexus)\b"
    r"|\b(?:TODO|FIXME|XXX|TBD)\b",
    re.IGNORECASE,
)


def lines(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((name, line) for name, text in texts for line in text.splitlines())


def test_no_machine_no_index_and_nothing_unfinished_is_named() -> None:
    assert [(name, line) for name, line in lines({**PAGES, **EXAMPLES}.items()) if FORBIDDEN.search(line)] == []
