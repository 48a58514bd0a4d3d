import pytest

from realtime_inspector.replication.membership import PATIENCE, Absence, Member, Membership, Picture

NOTES, OPEN = ("public", "notes"), ("public", "open")
ALL = Absence(None, "publication")


def member(oid: int, name: str = "notes", mark: str = "a") -> Member:
    return Member(oid, "public", name, mark)


def picture(*members: Member, oid: int = 1, mark: str = "m") -> Picture:
    return Picture(oid, mark, members)


def told(*pictures: Picture, seconds: float = 1.0) -> list[list[Absence]]:
    """What each picture says, when they are taken at these intervals."""
    membership = Membership()
    return [membership.take(each, number * seconds) for number, each in enumerate(pictures)]


FULL = picture(member(1), member(2, "open"))
WITHOUT = picture(member(2, "open"))


def test_nothing_is_told_while_nothing_moves_or_a_table_is_added() -> None:
    assert told(WITHOUT, WITHOUT, FULL, FULL) == [[], [], [], []]


@pytest.mark.parametrize(
    "after",
    [
        picture(member(1, mark="b"), member(2, "open")),  # taken out and put back
        picture(member(3), member(2, "open")),  # dropped, made again and published
    ],
)
def test_a_table_that_was_out_between_two_looks_is_told_once(after: Picture) -> None:
    assert told(FULL, after, after) == [[], [Absence(NOTES, "publication")], []]


def test_a_table_that_returns_soon_is_told_once_and_not_as_removed() -> None:
    assert told(FULL, WITHOUT, picture(member(1, mark="b"), member(2, "open"))) == [[], [], [Absence(NOTES, "publication")]]


def test_a_table_that_stays_out_is_removed_once_and_its_return_is_told() -> None:
    removed, back = Absence(NOTES, "table_removed"), picture(member(1, mark="b"), member(2, "open"))
    looks = told(FULL, WITHOUT, WITHOUT, WITHOUT, back, back, seconds=PATIENCE)
    assert looks == [[], [], [removed], [], [Absence(NOTES, "publication")], []]


def test_a_table_that_was_renamed_is_removed_under_its_old_name() -> None:
    renamed = picture(member(1, "letters"), member(2, "open"))
    assert told(FULL, renamed, renamed, seconds=PATIENCE) == [[], [], [Absence(NOTES, "table_removed")]]


def test_partitions_come_and_go_under_the_name_of_their_root() -> None:
    two, one = picture(member(1), member(2)), picture(member(2), member(3))
    assert told(two, one, two) == [[], [], []]
    assert told(two, picture(member(1, mark="b"), member(2))) == [[], [Absence(NOTES, "publication")]]


def test_what_is_published_in_general_concerns_everybody_once() -> None:
    changed = picture(member(1, mark="b"), mark="n")
    assert told(FULL, changed, changed) == [[], [ALL], []]
    assert told(FULL, WITHOUT, picture(member(2, "open"), mark="n"), seconds=PATIENCE) == [[], [], [ALL]]


def test_another_publication_of_the_same_name_replaces_it() -> None:
    membership = Membership()
    assert not membership.replaced(None)
    membership.take(FULL, 0)
    assert membership.replaced(None)
    assert membership.replaced(picture(oid=2))
    assert not membership.replaced(picture(mark="n"))
    membership.forget()
    assert not membership.replaced(picture(oid=2))
    assert membership.take(picture(oid=2), 1) == []
