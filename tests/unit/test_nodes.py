"""The text in which Postgres keeps expressions: what is read of it, and that nothing else is guessed."""

import pytest

from realtime_inspector.visibility.nodes import Malformed, constant, parse, text_constant, texts_constant

SUB = "{CONST :consttype 25 :constisnull false :constvalue 7 [ 28 0 0 0 115 117 98 ]}"
TEXTS = "68 0 0 0 1 0 0 0 0 0 0 0 25 0 0 0 2 0 0 0 1 0 0 0 20 0 0 0 97 0 0 0 24 0 0 0 98 99 0 0"


def test_nodes_lists_and_escaped_names() -> None:
    node = parse(r"{ALIAS :aliasname a\ \{b\} :colnames (\"x\" {VAR :varno 1} (o 1 2)) :args <> :location -1}")
    assert (node.label, node.fields["aliasname"], node.number("location")) == ("ALIAS", ("a {b}",), -1)
    assert [child.number("varno") for child in node.children()] == [1]
    assert node.nodes("args") == ()


def test_constants() -> None:
    assert text_constant(parse(SUB)) == "sub"
    assert text_constant(parse(SUB.replace("28 0 0 0", "0 0 0 7"))) == "sub"  # a server of the other byte order
    assert text_constant(parse("{CONST :constisnull true :constvalue <>}")) is None
    assert texts_constant(parse(f"{{CONST :constisnull false :constvalue 40 [ {TEXTS} ]}}")) == ["a", "bc"]
    assert constant(parse("{CONST :constisnull false :constvalue 1 [ -1 0 ]}")) == b"\xff\x00"


@pytest.mark.parametrize(
    "text",
    ["", "VAR", "{VAR", "{}", "{VAR :a 1} {VAR :a 1}", "{VAR :a 1 :a 2}", "{VAR a}", "{VAR :a (1}", "{VAR :a )}", "(1 2)"],
)
def test_what_is_no_node_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)


@pytest.mark.parametrize("value", ["<>", "7 [ 29 0 0 0 115 117 98 ]", "7 [ 28 0 0 0 115 117 -1 ]", "7 28", "7 [ 28 0 0"])
def test_constants_of_another_form_are_refused(value: str) -> None:
    with pytest.raises(Malformed):
        text_constant(parse(f"{{CONST :constisnull false :constvalue {value}}}"))
