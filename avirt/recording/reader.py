"""Reads a recording. Whatever is wrong with a file is told in a sentence; a tail that a crash tore off is left out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from avirt.errors import InvalidArgument
from avirt.recording.format import VERSION, Header, Line, read_line
from avirt.version import __version__

__all__ = ["Recorded", "read_recording"]

_HINT: Final = "give a file that `avirt record` wrote"


class Recorded(msgspec.Struct, frozen=True):
    """What is in a file.

    Attributes:
        header: how it came about.
        lines: all others, in order; `lines[n]` is line n + 2 of the file.
        notes: what is to be said of the file.
    """

    header: Header
    lines: Sequence[Line]
    notes: Sequence[str] = ()


def read_recording(path: str | os.PathLike[str]) -> Recorded:
    """Read a file. It blocks: call it in a worker thread.

    Raises:
        InvalidArgument: there is none, it can't be read, is no recording, is broken, or of a newer avirt.
    """
    return parse_recording(_read(Path(path)), str(path))


def parse_recording(data: bytes, name: str = "recording") -> Recorded:
    """The same of bytes.

    Raises:
        InvalidArgument: as of `read_recording`.
    """
    if not data:
        raise InvalidArgument(f"{name} is empty: nothing was recorded", hint=_HINT)
    texts = data.split(b"\n")
    notes: list[str] = []
    tail = texts.pop()
    if tail:
        notes.append(f"line {len(texts) + 1} is torn off and left out: avirt was killed, or the disk was full")
    header = _header(texts[0] if texts else tail, name)
    if not texts:
        raise InvalidArgument(f"{name} ends within its first line: nothing was recorded", hint=_HINT)
    lines: list[Line] = []
    for number, text in enumerate(texts[1:], 2):
        try:
            line = read_line(text)
            if isinstance(line, Header):
                raise ValueError("a second header")  # noqa: TRY004  of the file's, not of a caller's
        except ValueError as error:
            raise InvalidArgument(
                f"{name}: line {number} is none of a recording: {error}",
                hint=f"it was written by avirt {header.avirt}, and is broken, or this avirt ({__version__}) is another",
            ) from error
        lines.append(line)
    return Recorded(header, lines, notes)


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            what = "a directory" if path.is_dir() else "no regular file"
            raise InvalidArgument(f"{path} is {what}", hint=_HINT)
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"{path}: {error.strerror or error}", hint=_HINT) from error
    except ValueError as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(f"{path!s:.80}: {error}", hint=_HINT) from error


def _header(text: bytes, name: str) -> Header:
    try:
        version = msgspec.json.decode(text, type=_Version)
    except (ValueError, RecursionError):
        version = _Version()
    if version.kind == "Header" and version.version > VERSION:
        raise InvalidArgument(
            f"{name} was recorded by avirt {version.avirt}, whose format this avirt ({__version__}) does not know",
            hint="replay it with that version, or a newer one",
        )
    try:
        header = read_line(text)
    except ValueError as error:
        raise InvalidArgument(f"{name} is no recording of avirt's", hint=_HINT) from error
    if not isinstance(header, Header):
        raise InvalidArgument(f"{name} has no header: its beginning is missing", hint=_HINT)
    return header


class _Version(msgspec.Struct, frozen=True):
    """What every header has, whatever its version."""

    kind: str = msgspec.field(default="", name="is")
    version: int = 0
    avirt: str = "?"
