"""Tables, JSON and messages."""

from __future__ import annotations

import json

import pytest

from avirt.cli.output import Output, clean, render_table, text_width, to_json
from avirt.cli.parse import Format
from avirt.errors import NotFound


def test_a_table_looks_like_virshs() -> None:
    # virsh -c test:///default list --all
    assert render_table(("Id", "Name", "State"), [("1", "test", "running"), ("-", "vm", "shut off")]) == [
        " Id   Name   State",
        "-----------------------",
        " 1    test   running",
        " -    vm     shut off",
    ]


def test_an_empty_table_has_a_head() -> None:
    assert render_table(("Id", "Name", "State"), []) == [" Id   Name   State", "--------------------"]
    assert render_table(("Id", "Name"), [], with_head=False) == []


def test_a_table_without_head_is_as_wide_as_its_rows() -> None:
    assert render_table(("Id", "Name"), [("1", "a"), ("22", "b")], with_head=False) == [" 1    a", " 22   b"]


def test_wide_and_combining_characters_keep_columns_straight() -> None:
    assert text_width("虚拟") == 4
    assert text_width("é") == 1
    lines = render_table(("Name", "State"), [("虚拟", "x"), ("abcd", "y")])
    assert lines[2:] == [" 虚拟   x", " abcd   y"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\x1b[2Jb", r"a\x1b[2Jb"), ("a\nb\tc", r"a\x0ab\x09c"), ("\x9b31m", r"\x9b31m"), ("plain é", "plain é")],
)
def test_control_characters_never_reach_the_terminal(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert render_table(("N",), [(text,)])[2] == f" {shown}"


def test_json_is_one_line_and_keeps_bytes_that_are_no_utf8() -> None:
    assert to_json({"a": [1, None, "é\n"]}) == '{"a":[1,null,"é\\n"]}'
    odd = "vm\udcff"
    text = to_json({"name": odd})
    assert text == '{"name":"vm\\udcff"}'
    assert json.loads(text) == {"name": odd}


def test_an_array_has_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(Format.JSON)
    out.objects([{"a": 1}, {"a": 2}])
    out.objects([])
    assert capsys.readouterr().out == '[\n{"a":1},\n{"a":2}\n]\n[]\n'


def test_quiet_output_has_neither_heads_nor_messages(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(quiet=True)
    out.table(("Id",), [("1",)])
    out.message("Domain started")
    assert capsys.readouterr().out == " 1\n"


def test_an_error_is_at_most_two_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.failure(NotFound("no\nsuch", hint="look\x1b there"), prefix="h: ")
    out.error("bare")
    captured = capsys.readouterr()
    assert captured.err == "error: h: no\\x0asuch\nhint: look\\x1b there\nerror: bare\n"
    assert captured.out == ""


def test_pairs_stand_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    Output().pairs([("Id", "1"), ("Security DOI", "")], 15)
    assert capsys.readouterr().out == "Id:             1\nSecurity DOI:\n"
