"""What the settings hold of a password tells whether one is right, and nothing that is wrong with them goes unsaid."""

import pytest

from realtime_inspector.errors import InvalidInput
from realtime_inspector.identity.passwords import NOBODY, entry, find, parse

PASSWORD = "correct horse battery"
MADE = entry("Ann@Example.com", PASSWORD, b"a" * 16)


def test_the_password_is_the_one_and_no_other() -> None:
    admins = parse([MADE])
    admin, secret = find(admins, " ANN@example.COM ")
    assert admin == "ann@example.com"
    assert secret is not None
    assert secret.matches(PASSWORD)
    for wrong in ("", PASSWORD.upper(), PASSWORD + "x", PASSWORD[:-1], "ü" * 20):
        assert not secret.matches(wrong)
    assert not NOBODY.matches(PASSWORD)
    assert find(admins, "bea@example.com") == ("bea@example.com", None)


def test_a_new_salt_makes_another_entry_and_ends_sign_ins() -> None:
    other = entry("ann@example.com", PASSWORD, b"b" * 16)
    assert other != MADE
    assert parse([other])["ann@example.com"].fingerprint != parse([MADE])["ann@example.com"].fingerprint


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com",
        "ann@example.com=secret",
        MADE.replace("32768", "1024"),
        MADE.replace("32768", "32769"),
        MADE.replace("32768", "4194304"),
        MADE.replace(":8:3:", ":8:0:"),
        MADE.replace(":8:3:", ":1:3:"),
        MADE[:-1],
        MADE + "A",
        "=" + MADE.partition("=")[2],
    ],
)
def test_entries_that_cannot_be_used_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse([text])
    assert "RTI_ADMINS" in caught.value.text
    assert text not in caught.value.text


def test_an_admin_stands_there_once() -> None:
    with pytest.raises(InvalidInput, match="second time"):
        parse([MADE, entry("ANN@example.com", PASSWORD, b"b" * 16)])


@pytest.mark.parametrize("email", ["", "a,b", "a=b", "a b@c", 'a"', "a\nb"])
def test_an_e_mail_must_fit_into_a_setting(email: str) -> None:
    with pytest.raises(InvalidInput):
        entry(email, PASSWORD, b"a" * 16)


@pytest.mark.parametrize("password", ["short", "x" * 11, "x" * 1025])
def test_a_password_is_neither_short_nor_endless(password: str) -> None:
    with pytest.raises(InvalidInput):
        entry("ann@example.com", password, b"a" * 16)
