"""Holds what each listener was sent against what plain SELECTs showed its person: nothing more, nothing less, once, in order.

An event of commit k that was handled when commit j had begun may carry the row as the person saw it after any of k to j, and must
come if the person saw the row unchanged after all of them. That a row is gone may be told to who saw it just before, or was sent
it; it must be told to who was sent it, and with REPLICA IDENTITY FULL to who saw it.

Where what decides about rows was itself changed between a deletion and its handling, policies are asked about the old row as they
are by then (docs/policies.md, "Old rows"). Such pairs are counted as excused, they are not judged.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.oracle.listeners import Listener, Receipt, Wish
from tests.oracle.people import PEOPLE, WATCHING
from tests.oracle.stage import Stage
from tests.oracle.tables import RAISES, Key
from tests.oracle.world import Event, View

Row = dict[str, Any]
OLD_VALUES = "old values by later policies"
WORST = 20
"""So many violations are told of a world."""


@dataclass
class Judgement:
    """`pairs`: of event and identity. `judged`: of event and listener. `outcomes`: what became of the latter, by operation."""

    seed: int
    pairs: int = 0
    judged: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    by_image: int = 0
    """How many pairs would have leaked if the log's image were delivered to whoever may see the row when it is handled."""

    def object_to(self, kind: str, text: str) -> None:
        """Takes note of a violation: a leak, something withheld, something twice or out of order, a wrong reason."""
        self.kinds[kind] += 1
        if len(self.violations) < WORST:
            self.violations.append(f"seed {self.seed}: {kind}: {text}")


def judge(stage: Stage) -> Judgement:
    """Everything about one world that was played."""
    world = stage.world
    judgement = Judgement(world.seed)
    # Of an UPDATE that was told as a DELETE as well, the last message is about the UPDATE.
    watching = list({receipt.event_id: receipt for receipt in stage.watching.history if receipt.event_id}.values())
    told = [(_told(receipt)["table"], _told(receipt)["type"]) for receipt in watching]
    happened = [(event.table, event.operation) for event in world.events]
    if told != happened:
        first = next((n for n, pair in enumerate(zip(told, happened, strict=False)) if pair[0] != pair[1]), len(told))
        event = world.events[first] if first < len(happened) else None
        text = f"the watching role was told of {len(told)} events of {len(happened)}; the first that differs is {_name(event)}"
        judgement.object_to("the log", text)
        return judgement
    numbers = {str(receipt.event_id): number for number, receipt in enumerate(watching)}
    for listener in stage.listeners:
        _Judging(stage, judgement, listener, numbers, [receipt.begun for receipt in watching]).judge()
    judgement.pairs = len(world.events) * len(PEOPLE)
    judgement.by_image = sum(_leaks_by_image(stage, event, watching[event.number].begun) for event in world.events)
    return judgement


def _told(receipt: Receipt) -> dict[str, Any]:
    found: dict[str, Any] = receipt.payload.get("verdict") or receipt.payload["data"]
    return found


def _name(event: Event | None) -> str:
    if event is None:
        return "one too many"
    return f"{event.operation} of {event.table} {event.old_key}, commit {event.commit}, step {event.step}, event {event.number}"


class _Judging:
    """One listener."""

    def __init__(
        self, stage: Stage, judgement: Judgement, listener: Listener, numbers: dict[str, int], handled: list[int]
    ) -> None:
        settings = stage.play.settings or {}
        self._world = stage.world
        self._tables = {table.name: table for table in stage.world.tables}
        self._keys = settings.get("deletes") == "keys"
        self._left_view = settings.get("left_view") == "delete"
        self._judgement = judgement
        self._listener = listener
        self._numbers = numbers
        self._handled = handled
        self._set_aside = stage.set_aside
        self._data: dict[int, list[Receipt]] = {}
        self._verdicts: dict[int, list[Receipt]] = {}
        self._sent: dict[tuple[str, Key], tuple[int, int]] = {}
        """By table and key, in which life the row was sent last, 0 if that was while it caught up, and in which commit."""
        self._places: list[tuple[int, int]] = []
        """Number of the event and life of each message, in order."""

    def judge(self) -> None:
        self._sort()
        self._check_notices()
        for event in self._world.events:
            self._event(event, self._listener.wishes[event.table])
            self._judgement.judged += 1
        if self._left_view and self._listener.life == 1:
            self._converges()

    def _object(self, kind: str, event: Event | None, text: str) -> None:
        about = "" if event is None else f"{_name(event)}: "
        self._judgement.object_to(kind, f"{self._listener.name}: {about}{text}")

    # In order, once, and nothing but that.

    def _sort(self) -> None:
        order = []
        for receipt in self._listener.history:
            if receipt.event_id is None:
                continue
            number = self._numbers.get(receipt.event_id)
            if number is None:
                self._object("order", None, f"an event that the watching role does not know: {receipt.payload}")
                continue
            left = "data" in receipt.payload and _told(receipt)["type"] == "DELETE"
            order.append((number, 0 if left else 1))
            self._places.append((number, receipt.life))
            (self._data if "data" in receipt.payload else self._verdicts).setdefault(number, []).append(receipt)
        for before, after in pairwise(order):
            if before >= after:
                kind = "twice" if before == after else "order"
                self._object(kind, self._world.events[after[0]], f"came after {_name(self._world.events[before[0]])}")

    def _check_notices(self) -> None:
        listener = self._listener
        strange = [notice for notice in listener.notices if notice != "resumed"]
        if strange:
            self._object("lost", None, f"was told {strange}, though nothing was lost")
        if any(socket.late for socket in listener.sockets):
            self._object("leak", None, "was sent something after it left")
        if listener.waits:
            self._object("withheld", None, "came back and never caught up")

    # One event.

    def _event(self, event: Event, wish: Wish) -> None:
        data, verdicts = self._data.get(event.number, []), self._verdicts.get(event.number, [])
        changes = [receipt for receipt in data if _told(receipt)["type"] == event.operation]
        partings = [receipt for receipt in data if _told(receipt)["type"] != event.operation]
        for receipt in changes:
            self._change(event, wish, receipt)
        for receipt in partings:
            self._parting(event, wish, receipt)
        lives = self._lives(event)
        refused = any(event.table in self._listener.refused.get(life, ()) for life in lives)
        wanted = wish.event in ("*", event.operation) and not refused
        reasons = [receipt.payload["verdict"]["reason"] for receipt in verdicts]
        right = reasons == ["left_view"] if partings and not changes else len(reasons) + bool(changes) == 1
        if self._listener.verdicts and wanted and not right:
            self._object("reason", event, f"{len(data)} deliveries and the reasons {reasons}")
        for receipt in verdicts:
            self._reason(event, wish, receipt)
        if not changes and wanted:
            until = verdicts[0].begun if verdicts else self._until(event, lives)
            self._withheld(event, wish, until, lives, partings)
        self._count(event, changes, partings, reasons)
        self._remember(event, changes, partings)

    def _count(self, event: Event, changes: list[Receipt], partings: list[Receipt], reasons: list[str]) -> None:
        outcome = "delivered" if changes else "left" if partings else reasons[0] if reasons else "withheld"
        self._judgement.outcomes[f"{event.operation} {outcome}"] += 1

    def _change(self, event: Event, wish: Wish, receipt: Receipt) -> None:
        if wish.event not in ("*", event.operation):
            self._object("leak", event, f"asked for {wish.event} only")
        data = _told(receipt)
        if data["errors"] is not None and data["errors"]:
            self._object("withheld", event, f"errors {data['errors']}")
        if event.operation == "DELETE":
            self._deletion(event, wish, data, receipt.begun)
            return
        record, seen = data["record"], self._seen(event, receipt.begun)
        if not any(wish.filter.passes(row) and self._shown(event, wish, row) == record for row in seen if row is not None):
            self._object("leak", event, f"{record}, seen were {seen}")
        if event.operation == "UPDATE":
            self._old_record(event, wish, data.get("old_record") or {}, receipt.begun)

    def _old_record(self, event: Event, wish: Wish, old_record: Row, until: int) -> None:
        assert event.old is not None
        assert event.new is not None
        table, before = self._tables[event.table], event.before.get(self._listener.person)
        for name, value in old_record.items():
            known = name in table.key and (event.new[name] == value or self._keys or (event.table, event.old_key) in self._sent)
            if known or (before is not None and name in before and before[name] == value):
                continue
            if not self._excuse(OLD_VALUES, event, until):
                self._object("leak", event, f"old value of {name}: {value!r}; the row before was {before}")
        self._selected(event, wish, old_record)

    def _selected(self, event: Event, wish: Wish, record: Row) -> None:
        table = self._tables[event.table]
        if wish.select is not None and not set(record) <= {*wish.select, *table.key}:
            self._object("leak", event, f"columns that were not selected: {record}")

    def _deletion(self, event: Event, wish: Wish, data: Row, until: int) -> None:
        assert event.old is not None
        table, before = self._tables[event.table], event.before.get(self._listener.person)
        was_sent = (event.table, event.old_key) in self._sent
        saw = before is not None and wish.filter.passes(before)
        by_key = self._keys and wish.filter.passes({name: event.old[name] for name in table.key})
        if not (was_sent or saw or by_key) and not self._excuse("told of a deletion by later policies", event, until):
            self._object("leak", event, f"was never sent the row and did not see it: {before}")
        for name, value in data["old_record"].items():
            right = event.old[name] == value
            if not right or (name not in table.key and (before is None or name not in before)):
                if right and self._excuse(OLD_VALUES, event, until):
                    continue
                self._object("leak", event, f"old value of {name}: {value!r}; the row before was {before}")
        self._selected(event, wish, data["old_record"])

    def _parting(self, event: Event, wish: Wish, receipt: Receipt) -> None:
        """A DELETE in the place of an UPDATE."""
        data = _told(receipt)
        if event.operation != "UPDATE" or data["type"] != "DELETE" or not self._left_view or wish.event not in ("*", "DELETE"):
            self._object("leak", event, f"came as {data['type']}")
            return
        assert event.old is not None
        table, before = self._tables[event.table], event.before.get(self._listener.person)
        was_sent = (event.table, event.old_key) in self._sent
        saw = before is not None and wish.filter.passes(before)
        if not was_sent and not saw and not self._excuse("told that a row left by later policies", event, receipt.begun):
            self._object("leak", event, "was told that a row left which it never had")
        if not set(data["old_record"]) <= set(table.key) or any(event.old[n] != v for n, v in data["old_record"].items()):
            self._object("leak", event, f"more than the key: {data['old_record']}")
        stays = [row is not None and wish.filter.passes(row) for row in self._seen(event, receipt.begun)]
        if all(stays) and not self._moved(event):
            self._object("withheld", event, "was told that a row left which stayed")

    def _withheld(self, event: Event, wish: Wish, until: int, lives: range, partings: list[Receipt]) -> None:
        """Whether it had to come."""
        if event.operation == "TRUNCATE":
            return
        if event.operation == "DELETE":
            if self._must_tell_deletion(event, wish, until, lives):
                self._object("withheld", event, "saw the row, or was sent it, and is not told that it is gone")
            return
        seen = self._seen(event, until)
        first = seen[0]
        if first is None or not wish.filter.passes(first) or any(row != first for row in seen) or not self._stands(event):
            if self._must_tell_parting(event, wish, until, lives, partings):
                self._object("withheld", event, "was sent the row, and is not told that it left")
            return
        if self._tables[event.table].key or self._reads_all(event, until):
            self._object("withheld", event, f"stayed in view from commit {event.commit} to {until}: {first}")

    def _must_tell_deletion(self, event: Event, wish: Wish, until: int, lives: range) -> bool:
        assert event.old is not None
        if not self._has_rights(event, wish, until):
            return False
        if self._keys:
            return wish.filter.text is None
        if self._was_sent(event, until, lives):
            return True
        table, before = self._tables[event.table], event.before.get(self._listener.person)
        askable = set(wish.filter.columns) <= set(table.key)
        if self._listener.person == WATCHING:
            return askable and before is not None and wish.filter.passes(before)
        known = table.full and not self._turned(event, until) and not self._may_raise(event)
        return known and askable and before is not None and wish.filter.passes(before)

    def _must_tell_parting(self, event: Event, wish: Wish, until: int, lives: range, partings: list[Receipt]) -> bool:
        if not self._left_view or partings or event.operation != "UPDATE" or wish.event != "*":
            return False
        hidden = all(row is None for row in self._seen(event, until)) and not self._raises(event, until)
        stands = all(event.key in view.rows for view in self._views(event, until, WATCHING))
        return (
            hidden
            and stands
            and not self._moved(event)
            and self._has_rights(event, wish, until)
            and self._was_sent(event, until, lives)
        )

    def _was_sent(self, event: Event, until: int, lives: range) -> bool:
        """Whether this connection was sent the row, and the service remembers such things."""
        assert event.old is not None
        life, commit = self._sent.get((event.table, event.old_key), (0, 0))
        same = list(lives) == [life] and bool(self._tables[event.table].key) and not self._may_forget(lives)
        # A table that is empty by then has forgotten its rows, although that has not been handled yet.
        forgotten = self._world.secured[event.table] | self._world.emptied[event.table]
        return same and not any(commit <= at <= until for at in forgotten)

    def _may_forget(self, lives: Iterable[int]) -> bool:
        """Who is set aside or goes back may lose what it was sent (docs/policies.md, "What was sent")."""
        return any(self._listener.sockets[life - 1] in self._set_aside for life in lives)

    def _reason(self, event: Event, wish: Wish, receipt: Receipt) -> None:
        """Whether the reason can be the right one."""
        until, reason = receipt.begun, receipt.payload["verdict"]["reason"]
        seen = self._seen(event, until)
        deleted = event.operation == "DELETE"
        truth = {
            "hidden_by_policy": deleted or any(row is None for row in seen),
            "filtered": wish.filter.text is not None,
            "row_gone": event.new is not None and not all(self._is_there(event, at) for at in range(event.commit, until + 1)),
            "no_privilege": not self._has_rights(event, wish, until),
            # Grants are as they are when somebody is asked, whatever the snapshot.
            "policy_raised": deleted or self._raises(event, until) or self._turned(event, until),
            "old_row_unknown": deleted,
            "unsupported_relation": event.operation == "TRUNCATE",
            "left_view": event.number in self._data,
        }
        if not truth.get(reason, False):
            self._object("reason", event, f"{receipt.payload['verdict']}; seen were {seen}")

    def _remember(self, event: Event, changes: list[Receipt], partings: list[Receipt]) -> None:
        if event.operation == "TRUNCATE":
            self._sent = {row: sent for row, sent in self._sent.items() if row[0] != event.table}
        if event.old is not None and (event.operation == "DELETE" or partings or self._moved(event)):
            self._sent.pop((event.table, event.old_key), None)
        if event.new is not None and changes:
            self._sent[event.table, event.key] = (changes[-1].life if changes[-1].live else 0, event.commit)

    # What the person saw.

    def _views(self, event: Event, until: int, person: str) -> Iterator[View]:
        for number in range(event.commit, min(until, len(self._world.views) - 1) + 1):
            yield self._world.views[number][person, event.table]

    def _seen(self, event: Event, until: int) -> list[Row | None]:
        return [view.rows.get(event.key) for view in self._views(event, until, self._listener.person)]

    def _raises(self, event: Event, until: int) -> bool:
        return any(event.key in view.raising for view in self._views(event, until, self._listener.person))

    def _shown(self, event: Event, wish: Wish, row: Row) -> Row:
        if wish.select is None:
            return row
        return {name: value for name, value in row.items() if name in (*wish.select, *self._tables[event.table].key)}

    def _moved(self, event: Event) -> bool:
        return event.old_key != event.key

    def _is_there(self, event: Event, commit: int) -> bool:
        """Whether what the change wrote was there, by its key, or by its content where it has none."""
        assert event.new is not None
        table = self._tables[event.table]
        row = self._world.views[min(commit, len(self._world.views) - 1)][WATCHING, event.table].rows.get(event.key)
        if row is None:
            return False
        return bool(table.key) or row == event.new

    def _stands(self, event: Event) -> bool:
        return self._is_there(event, event.commit)

    def _has_rights(self, event: Event, wish: Wish, until: int) -> bool:
        table = self._tables[event.table]
        if not table.key and not self._reads_all(event, until):
            return False
        needed = {*table.key, *wish.filter.columns}
        return all(needed <= view.readable for view in self._views(event, until, self._listener.person))

    def _reads_all(self, event: Event, until: int) -> bool:
        everything = self._world.views[event.commit][WATCHING, event.table].readable
        return all(view.readable == everything for view in self._views(event, until, self._listener.person))

    def _turned(self, event: Event, until: int) -> bool:
        return any(event.commit <= turned <= until for turned in self._world.turned[event.table])

    def _excuse(self, kind: str, event: Event, until: int) -> bool:
        """Policies are asked about old rows that the log has in full; without row-level security nobody is asked."""
        if self._may_raise(event):
            self._judgement.excused["old rows of which a policy raises"] += 1
            return True
        protected = self._world.protected[event.commit : until + 1]
        unknown = self._tables[event.table].full or any(event.table not in tables for tables in protected)
        # Old values are shown where policies depend on nothing but the row and the claims.
        turned = self._world.altered[event.table] if kind == OLD_VALUES else self._world.turned[event.table]
        excused = unknown and any(event.commit <= at <= until for at in turned)
        if excused:
            self._judgement.excused[kind] += 1
        return excused

    def _may_raise(self, event: Event) -> bool:
        """Of several permissive policies Postgres asks any first; where one of them raises, the others may have said yes."""
        return self._world.raising and event.old is not None and event.old["n"] == RAISES

    # When it was handled.

    def _lives(self, event: Event) -> range:
        """The connections in which the listener may have been served the event."""
        at = bisect_left(self._places, (event.number, 0))
        after = bisect_right(self._places, (event.number, 1 << 30))
        first = self._places[at - 1][1] if at else 1
        last = self._places[after][1] if after < len(self._places) else self._listener.life
        if at < after:
            first, last = self._places[at][1], self._places[after - 1][1]
        return range(first, last + 1)

    def _until(self, event: Event, lives: Iterable[int]) -> int:
        """How many commits had begun at most when it was decided that the listener is not sent the event."""
        resumed = [self._listener.resumed.get(life, self._world.begun) for life in lives if life > 1]
        if self._may_forget(lives):
            told = (*self._data.items(), *self._verdicts.items())
            later = [receipt.begun for number, receipts in told if number > event.number for receipt in receipts]
            resumed.append(min(later, default=self._world.begun))
        return max(self._handled[event.number], *resumed, 0)

    # In the end.

    def _converges(self) -> None:
        """Whoever keeps what comes and lets go of what leaves has what a SELECT shows."""
        kept: dict[str, dict[Key, Row]] = {name: {} for name in self._tables}
        for event in self._world.events:
            if event.operation == "TRUNCATE":
                kept[event.table].clear()
            for receipt in self._data.get(event.number, ()):
                data = _told(receipt)
                if event.old is not None:
                    kept[event.table].pop(event.old_key, None)
                if data["type"] != "DELETE" and event.new is not None:
                    kept[event.table][event.key] = data["record"]
        for name, wish in self._listener.wishes.items():
            table, views = self._tables[name], [views[self._listener.person, name] for views in self._world.views]
            always = all({*table.key, *wish.filter.columns} <= view.readable for view in views)
            # Whoever loses the right to look is told nothing, and of rows that raise nothing certain is known.
            if wish.event == "*" and always and table.key and not any(view.raising for view in views):
                rows = {key: self._shown_in(name, wish, row) for key, row in views[-1].rows.items() if wish.filter.passes(row)}
                has = kept[name]
                if self._may_forget([1]):  # it is not told then of everything that leaves
                    has = {key: row for key, row in has.items() if key in rows}
                if has != rows:
                    self._object("convergence", None, f"{name}: has {kept[name]}, a SELECT shows {list(rows.values())}")

    def _shown_in(self, table: str, wish: Wish, row: Row) -> Row:
        names = None if wish.select is None else (*wish.select, *self._tables[table].key)
        return {name: value for name, value in row.items() if names is None or name in names}


def _leaks_by_image(stage: Stage, event: Event, until: int) -> int:
    """To how many the usual rule leaks: whoever may see the row now is sent the log's image, and everybody each deletion."""
    leaks = 0
    views = stage.world.views
    for person in PEOPLE:
        now = views[min(until, len(views) - 1)][person, event.table]
        if event.operation == "DELETE":
            leaks += "id" in now.readable and event.before.get(person) is None
        elif event.new is not None and event.key in now.rows:
            image = event.new
            seen = [
                views[m][person, event.table].rows.get(event.key) for m in range(event.commit, min(until, len(views) - 1) + 1)
            ]
            leaks += not any(row is not None and all(image[name] == value for name, value in row.items()) for row in seen)
    return leaks
