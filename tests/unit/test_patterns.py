"""Patterns that Postgres would take long over are refused, however they hide it; the usual ones are not."""

import pytest

from realtime_inspector.visibility.filters import InvalidFilter, parse_filter
from realtime_inspector.visibility.patterns import objection


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        r"(?i)^[\w.+-]+@[\w-]+(?:\.[\w-]+)+$",
        r"(?=a)(?!b)(?<=c)(?<!d)(?:e|f)+?",
        r"\\1 and [\1] are no back references",
        r"[{1,255}] and \{1,255\} are no repetitions, nor is {a}",
        r"[]{9}][^]{9}][[:alpha:]{9}][[.].]{9}][a\]{9}]",
        "x{255}",
        "(",
        "[(",
        ")))",
        "",
    ],
)
def test_the_usual_patterns_are_accepted(pattern: str) -> None:
    assert objection(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"^(.*)(.*)\2\1$", "back references"),
        (r"\\\1", "back references"),
        ("x{256}y", "larger"),
        ("((x{1,60}){1,60}){1,5}", "larger"),
        ("((a|b|c)?){1,250}", "larger"),
        ("(?:x{17}){16,}", "larger"),
        ("(?i)(x{20}){20}", "larger"),
        ("[[:alpha:](x{20}){20}", "larger"),
        (r"\[(x{20}){20}]", "larger"),
        ("(?:a)[(?i)](x{20}){20}]", "larger"),
        ("x{99999999999999999999}", "larger"),
        ("()" * 300, "larger"),
        ("***=x", "begin"),
        (r"***:(?b)\(x\{20\}\)\{20\}", "begin"),
        (r"(?b)\(x\{20\}\)\{20\}", "options"),
        ("(?xi)x # [\n(x{20}){20}", "options"),
        ("a(?#[)(x{20}){20}", "options"),
    ],
)
def test_what_would_take_long_is_refused(pattern: str, why: str) -> None:
    assert why in (objection(pattern) or "")
    with pytest.raises(InvalidFilter, match=why):
        parse_filter(f'c=match."{pattern}"'.replace("\\", "\\\\"))
