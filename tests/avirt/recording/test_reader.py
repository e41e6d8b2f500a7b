"""Files that are recordings, were ones, or never were: what is there, or a sentence that says what is wrong."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.errors import InvalidArgument
from avirt.recording.format import Asked, Call, Frames, Line, Lost, write_line
from avirt.recording.reader import parse_recording, read_recording
from tests.avirt.recording.recordings import HEADER, file_of

LINES: list[Line] = [Asked(1.0, 1, Call.OPEN), Frames(2.0, 1, sent=True, data=b"\0\xff"), Lost(3.0, 5)]
WHOLE = file_of(*LINES)


def test_whole_file_is_its_header_and_lines(tmp_path: Path) -> None:
    """As they were written."""
    (tmp_path / "r").write_bytes(WHOLE)
    recording = read_recording(tmp_path / "r")
    assert recording.header == HEADER
    assert recording.lines == LINES
    assert recording.notes == []


def test_torn_tail_is_left_out_with_a_note() -> None:
    """Cut anywhere behind the first line, what was complete is there."""
    head = len(write_line(HEADER))
    for end in range(head, len(WHOLE)):
        recording = parse_recording(WHOLE[:end])
        complete = WHOLE[:end].count(b"\n") - 1
        assert recording.lines == LINES[:complete]
        is_torn = not WHOLE[:end].endswith(b"\n")
        assert [note.split(" is ")[0] for note in recording.notes] == ([f"line {complete + 2}"] if is_torn else [])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (write_line(HEADER)[:-1], "ends within its first line"),
        (b"hello\n", "no recording"),
        (b"hello", "no recording"),
        (b"\x7fELF\0\0\n\n", "no recording"),
        (b'{"is":"Header"}\n', "no recording"),
        (b"[" * 100_000 + b"\n", "no recording"),
        (write_line(LINES[0]), "its beginning is missing"),
        (WHOLE + b"\n", "line 5 is none of a recording"),
        (WHOLE.replace(b"Asked", b"Askew"), "line 2 is none of a recording: 'Askew' is unknown"),
        (WHOLE + WHOLE, "line 5 is none of a recording: a second header"),
        (WHOLE.replace(b'"at":2.0', b'"at":"x"'), "line 3 is none of a recording: Frames.at"),
    ],
)
def test_what_is_no_recording_is_told_in_a_sentence(data: bytes, why: str) -> None:
    """Empty, something else, without its beginning, broken in the middle."""
    with pytest.raises(InvalidArgument, match=why) as refused:
        parse_recording(data, "FILE")
    assert "FILE" in refused.value.message
    assert refused.value.hint


def test_newer_format_is_told_whatever_else_is_in_it() -> None:
    """With the version that can read it."""
    newer = b'{"is":"Header","version":2,"avirt":"9.9","new":{"a":1}}\n{"is":"Newer"}\n'
    with pytest.raises(InvalidArgument, match=r"recorded by avirt 9\.9") as refused:
        parse_recording(newer)
    assert "replay it with that version" in refused.value.hint


def test_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    """None, a directory, a pipe, a name that is none."""
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "is a directory"),
        (tmp_path / "pipe", "no regular file"),
        (Path("a\0b"), "null"),
        (tmp_path / "none" / "x", "No such file"),
    ):
        with pytest.raises(InvalidArgument, match=why):
            read_recording(path)


def test_names_that_are_no_utf_8_come_back() -> None:
    """A lone surrogate stands for a byte."""
    header = type(HEADER)(**{name: getattr(HEADER, name) for name in HEADER.__struct_fields__} | {"host": "h\udcff"})
    assert parse_recording(file_of(header=header)).header.host == "h\udcff"


PIECES = st.sampled_from(
    [*WHOLE.splitlines(keepends=True), WHOLE, b"\n", b"{}\n", b'{"is":"Took"}\n', b"null", b"\xff"]
)


@given(st.lists(PIECES | st.binary(max_size=20), max_size=6).map(b"".join))
def test_any_bytes_are_a_recording_or_refused(data: bytes) -> None:
    """Nothing but the documented error leaves the reader."""
    try:
        recording = parse_recording(data)
    except InvalidArgument:
        return
    assert recording.header == HEADER


@given(st.data())
def test_any_damage_is_a_recording_or_refused(data: st.DataObject) -> None:
    """A byte is changed, lost or added anywhere."""
    at = data.draw(st.integers(0, len(WHOLE) - 1))
    damaged = WHOLE[:at] + data.draw(st.binary(max_size=2)) + WHOLE[at + data.draw(st.integers(0, 2)) :]
    with suppress(InvalidArgument):
        parse_recording(damaged)
