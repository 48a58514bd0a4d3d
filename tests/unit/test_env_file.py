"""The file of settings: what is read from it, and that replacing it loses nothing and shows it to nobody."""

import stat
from pathlib import Path

import pytest

from realtime_inspector.cli.env_file import parse, read, replacing, updated
from realtime_inspector.errors import InvalidInput

TEXT = """\
# The shop's service
RTI_SLOT=old
export RTI_PORT = 4001

RTI_JWT_SECRET='a = b # c'
RTI_HOST="127.0.0.1"
not a variable
RTI_SLOT=older
"""


def test_lines_are_read_as_shells_and_docker_read_them() -> None:
    assert parse(TEXT) == {"RTI_SLOT": "older", "RTI_PORT": "4001", "RTI_JWT_SECRET": "a = b # c", "RTI_HOST": "127.0.0.1"}


@pytest.mark.parametrize("value", ["", '"', "''", "'a", "a'b'", "x=y=z", "postgresql://u:p%40@h:1/d?sslmode=require&a=b"])
def test_what_is_written_is_read_again(value: str) -> None:
    expected = "" if value == "''" else value
    assert parse(updated("", {"RTI_X": value})) == {"RTI_X": expected}


def test_values_are_replaced_in_place_and_everything_else_stays() -> None:
    text = updated(TEXT, {"RTI_SLOT": "new", "RTI_PUBLICATION": "p"})
    assert parse(text) == parse(TEXT) | {"RTI_SLOT": "new", "RTI_PUBLICATION": "p"}
    kept = [line for line in TEXT.splitlines() if not line.startswith("RTI_SLOT")]
    assert [line for line in text.splitlines() if line in kept] == kept
    assert updated(text, {"RTI_SLOT": "new"}) == text


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "shop.env"
    file.write_text("RTI_SLOT=old\n")
    file.chmod(0o644)
    with replacing(file) as write:
        write("RTI_SLOT=new\n")
    assert file.read_text() == "RTI_SLOT=new\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_work_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.env"
    file.write_text("RTI_SLOT=old\n")
    with pytest.raises(RuntimeError), replacing(file):
        raise RuntimeError
    assert file.read_text() == "RTI_SLOT=old\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    file, link = tmp_path / "real" / "shop.env", tmp_path / "shop.env"
    link.symlink_to(file)
    with replacing(link) as write:
        write("RTI_SLOT=new\n")
    assert link.is_symlink()
    assert file.read_text() == "RTI_SLOT=new\n"


def test_a_file_that_cannot_be_had_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"), replacing(tmp_path / "absent" / "shop.env"):
        pytest.fail("the work was begun")
    with pytest.raises(InvalidInput, match="No such file"):
        read(tmp_path / "shop.env")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="not UTF-8"):
        read(tmp_path / "binary")
