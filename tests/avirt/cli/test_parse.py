"""Tokens to verbs and arguments."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.cli.parse import GLOBALS, Argument, Command, Format, Globals, Row, UsageError, parse

DOMAIN = Argument(name="domain", spelling="--domain", operand=True, required=True, metavar="DOMAIN", help="")
ROWS = {
    row.name: row
    for row in (
        Row(
            name="start",
            summary="",
            run="m:f",
            group="g",
            arguments=(
                DOMAIN,
                Argument(name="paused", spelling="--paused", help=""),
                Argument(name="wait", spelling="--no-wait", value=False, help=""),
                Argument(name="timeout", spelling="--timeout", metavar="SECONDS", convert=float, help=""),
            ),
        ),
        Row(
            name="save",
            summary="",
            run="m:f",
            group="g",
            arguments=(
                DOMAIN,
                Argument(name="file", spelling="--file", operand=True, required=True, metavar="FILE", help=""),
            ),
        ),
        Row(
            name="stats",
            summary="",
            run="m:f",
            group="g",
            arguments=(
                Argument(name="domains", spelling="--domain", operand=True, many=True, metavar="DOMAIN", help=""),
            ),
        ),
        Row(
            name="secret",
            summary="",
            run="m:f",
            group="g",
            hidden=True,
            arguments=(Argument(name="what", spelling="--what", operand=True, metavar="WHAT", help=""),),
        ),
    )
}

TOKENS = ("start", "save", "web1", "--paused", "--", "-", "-c", "--timeout=1", "-rq", "--x")


def run(line: str) -> Command:
    return parse(line.split(), ROWS)


def given_in(line: str) -> dict[str, object]:
    return dict(run(line).arguments)


def refusal(line: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        run(line)
    return caught.value


def test_nothing_is_no_verb() -> None:
    assert run("") == Command(options=Globals())


def test_an_operand_is_taken_in_order() -> None:
    assert given_in("save web1 /tmp/f") == {"domain": "web1", "file": "/tmp/f"}


@pytest.mark.parametrize(
    "line", ["save --domain web1 f", "save f --domain=web1", "save --file f web1", "save web1 --file=f"]
)
def test_an_operand_may_be_given_by_name(line: str) -> None:
    assert given_in(line) == {"domain": "web1", "file": "f"}


def test_options_may_stand_before_and_after_operands() -> None:
    expected = {"domain": "web1", "paused": True, "timeout": 2.5}
    assert given_in("start --paused web1 --timeout 2.5") == expected
    assert given_in("start web1 --timeout=2.5 --paused") == expected


def test_what_is_left_out_is_not_passed() -> None:
    assert given_in("start web1") == {"domain": "web1"}


def test_a_flag_passes_its_value() -> None:
    assert given_in("start web1 --no-wait") == {"domain": "web1", "wait": False}


def test_the_last_of_two_values_holds() -> None:
    assert given_in("start web1 --timeout 1 --timeout 2")["timeout"] == 2


@pytest.mark.parametrize(
    "line",
    [
        "-c a=test:///default -c qemu:///system -r -q -o json start web1",
        "start web1 -c a=test:///default -c qemu:///system -r -q -o json",
        "--connect a=test:///default start --connect=qemu:///system web1 --readonly --quiet --output=json",
        "-ca=test:///default -rqojson start web1 -cqemu:///system",
    ],
)
def test_options_of_all_verbs_may_stand_anywhere(line: str) -> None:
    command = run(line)
    assert command.options == Globals(
        uris=(("a", "test:///default"), ("", "qemu:///system")), readonly=True, quiet=True, format=Format.JSON
    )
    assert command.arguments == {"domain": "web1"}


@pytest.mark.parametrize("uri", ["qemu:///system?socket=/a=b", "qemu+unix:///x?a=b", "test:///a=b"])
def test_an_equals_sign_inside_a_uri_makes_no_name(uri: str) -> None:
    assert run(f"-c {uri} start x").options.uris == (("", uri),)


def test_two_dashes_end_the_options() -> None:
    assert given_in("start -- --paused") == {"domain": "--paused"}
    assert given_in("save -- -x -") == {"domain": "-x", "file": "-"}


def test_one_dash_is_an_operand() -> None:
    assert given_in("save web1 -") == {"domain": "web1", "file": "-"}


def test_a_repeated_operand_is_a_tuple() -> None:
    assert given_in("stats a b --domain c") == {"domains": ("c", "a", "b")}
    assert given_in("stats") == {}


def test_help_needs_no_operands() -> None:
    command = run("save --help")
    assert command.options.help
    assert command.row is ROWS["save"]
    assert run("-h").row is None


def test_version_needs_no_verb() -> None:
    assert run("--version").options.version
    assert run("-v").options.version


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("strat", "unknown verb 'strat'", "did you mean stats or start?"),
        ("zzz", "unknown verb 'zzz'", "avirt --help lists the verbs"),
        ("secre", "unknown verb 'secre'", "avirt --help lists the verbs"),
        ("start", "start: DOMAIN is missing", "avirt start --help"),
        ("save web1", "save: FILE is missing", "avirt save --help"),
        ("start a b", "start: unexpected argument 'b'", "avirt start --help"),
        ("start a --paus", "start: unknown option --paus", "did you mean --paused? See avirt start --help"),
        ("start a --zzzzz", "start: unknown option --zzzzz", "see avirt start --help"),
        ("start a -x", "start: unknown option -x", "see avirt start --help"),
        ("start a -rx", "start: unknown option -x", "see avirt start --help"),
        ("--paused start a", "unknown option --paused", "see avirt --help"),
        ("start a --paused=1", "start: --paused takes no value", "avirt start --help"),
        ("start a --timeout", "start: --timeout needs a value: SECONDS", "avirt start --help"),
        ("-c", "-c needs a value: [NAME=]URI", "avirt --help"),
        ("-o yaml start a", "-o: unknown format 'yaml', expecting table, json, name", "avirt --help"),
        ("start a --timeout x", "start: --timeout: could not convert string to float: 'x'", "avirt start --help"),
    ],
)
def test_a_wrong_line_is_refused_in_words(line: str, message: str, hint: str) -> None:
    error = refusal(line)
    assert (error.message, error.hint) == (message, hint)


def test_options_of_all_verbs_have_short_spellings() -> None:
    assert [argument.short for argument in GLOBALS] == ["-c", "-r", "-o", "-q", "-h", "-v"]


@given(st.lists(st.sampled_from(TOKENS) | st.text(max_size=6)))
def test_any_line_is_a_command_or_a_usage_error(tokens: list[str]) -> None:
    with suppress(UsageError):
        assert isinstance(parse(tokens, ROWS), Command)
