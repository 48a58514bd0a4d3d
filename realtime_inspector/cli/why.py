"""`realtime-inspector why`: why somebody sees a row or an event, or does not, step by step."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
import orjson

from realtime_inspector.cli import options
from realtime_inspector.cli.calling import post
from realtime_inspector.cli.lines import printable
from realtime_inspector.cli.tail import identity_option

MARKS: Final = {"passed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("·", "white")}
COLOURS: Final = {"allowed": "green", "denied": "red", "raised": "red", "gone": "yellow", "no_privilege": "red"}


def _key(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    if any(not equals for _, equals, _ in pairs):
        raise click.BadParameter("write COLUMN=VALUE")
    return {name: value for name, _, value in pairs}


@click.command("why")
@click.argument("event_id", required=False)
@click.option("--table", metavar="[SCHEMA.]TABLE", help="The table of a row, instead of an event.")
@click.option("--key", callback=_key, multiple=True, metavar="COLUMN=VALUE", help="Which row; once for each column of the key.")
@identity_option
@options.claims
@click.option("--session", metavar="ID", help="A running impersonation of yours, instead of --as.")
@click.option("--using", metavar="SQL", help="Count in a permissive policy with this condition, as if it existed.")
@click.option("--by", metavar="ID", help="The admin whom the audit trail names; otherwise cli:USER.")
@click.option("--json", "as_json", is_flag=True, help="The answer as the service gives it.")
@click.option("--url", metavar="URL", help="Where the service is; otherwise as its settings say.")
@options.env_file
@options.config
def command(
    event_id: str | None,
    table: str | None,
    key: dict[str, str],
    identity: dict[str, Any],
    claims: dict[str, Any],
    session: str | None,
    using: str | None,
    by: str | None,
    as_json: bool,
    url: str | None,
    env_file: Path | None,
    config: Path | None,
) -> None:
    """Say why somebody sees a row, or does not: of an event, by the EVENT_ID that it came with, or of a table by key.

    \b
    realtime-inspector why --table tweets --key id=4 --as user:4f1c… --env-file shop.env
    realtime-inspector why u8Wq… --as anon --env-file shop.env
    realtime-inspector why --table tweets --key id=4 --as anon --using 'published' --env-file shop.env
    """
    if (event_id is None) == (table is None):
        raise click.UsageError("Name either an EVENT_ID, or a row with --table and --key.")
    body: dict[str, Any] = {"event_id": event_id} if event_id else _row(str(table), key)
    if session:
        body["session_id"] = session
    else:
        body |= {"role": identity["role"], "claims": {**claims, **identity}}
    if using:
        body["what_if"] = {"policy": {"name": "what if", "command": "SELECT", "using": using}}
    answer = post(options.load(env_file, config), url, "/api/v1/why", body, by)
    click.echo(orjson.dumps(answer) if as_json else "\n".join(_lines(answer)))


def _row(table: str, key: Mapping[str, str]) -> dict[str, Any]:
    schema, _, name = table.rpartition(".")
    return {"schema": schema or "public", "table": name, "key": key}


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    yield click.style(printable(answer["sentence"]), fg=COLOURS.get(answer["verdict"]), bold=True)
    for step in answer["ladder"]:
        mark, colour = MARKS[step["state"]]
        yield f"  {click.style(mark, fg=colour)} {step['step']:<12}  {printable(step['fact'])}"
    for policy in answer["policies"]:
        yield from _policy(policy)
    if answer["old"]:
        yield f"  The row before the change: {answer['old']['verdict']}"
        for policy in answer["old"]["policies"]:
            yield from _policy(policy)
    if answer["agrees"] is False:
        yield click.style("  ! The selected row says otherwise than the policies one by one. It counts.", fg="yellow")
    for caveat in answer["caveats"]:
        yield click.style(f"  ! {caveat['code']}: {printable(caveat['text'])}", fg="yellow")


def _policy(policy: Mapping[str, Any]) -> Iterator[str]:
    if not policy["applicable"]:
        yield f"  {click.style('·', fg='white')} policy {printable(policy['name'])}: not asked, {printable(policy['why_not'])}"
        return
    told = _result(policy["result"]) if policy["asked"] else "not asked"
    yield f"  {_mark(policy['result'])} {policy['kind']} policy {printable(policy['name'])}: {told}"
    for leaf in policy["leaves"]:
        values = ""
        if "operator" in leaf:
            sides = (leaf.get("left"), leaf["operator"], *((leaf["right"],) if "right" in leaf else ()))
            values = "  [" + " ".join("NULL" if side is None else str(side) for side in sides) + "]"
        expression = " ".join(leaf["expression"].split())
        yield f"      {_mark(leaf['result'])} {printable(expression)}{printable(values)}"


def _mark(result: object) -> str:
    if isinstance(result, dict):
        return click.style("!", fg="red")
    return click.style("✓", fg="green") if result is True else click.style("✗", fg="red")


def _result(result: object) -> str:
    if isinstance(result, dict):
        return f"raises {result['sqlstate']} {printable(str(result['message']))}"
    return {True: "holds", False: "does not hold", None: "is NULL, which counts as false"}[result]  # type: ignore[index]
