"""What the CLI prints: tables as virsh's, JSON, names on stdout; messages on stderr, one or two lines.

Text that comes from a hypervisor is printed without control characters, so that a domain's name can't move the cursor.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, TextIO

import msgspec

from avirt.cli.parse import Format
from avirt.errors import AvirtError
from avirt.model.document import Json

__all__ = ["Output", "clean", "counted", "render_table", "text_width", "to_json"]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def clean(text: str) -> str:
    r"""One line, control characters as \xNN."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def counted(number: int, noun: str) -> str:
    """ "1 domain", "2 domains"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def text_width(text: str) -> int:
    """Columns on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, with_head: bool = True) -> list[str]:
    """Lines as virsh's: columns three apart, a rule under the head."""
    shown = [[clean(cell) for cell in row] for row in rows]
    sized = [head, *shown] if with_head else shown
    widths = [max(text_width(row[column]) for row in sized) for column in range(len(head))] if sized else []
    lines = [
        "".join(
            f" {cell}{' ' * (width - text_width(cell))}  " for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in sized
    ]
    if with_head:
        lines.insert(1, "-" * sum(width + 3 for width in widths))
    return lines


def to_json(value: Json) -> str:
    """One line. Names that are not UTF-8 keep their bytes as escaped lone surrogates."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        import json

        return json.dumps(value, separators=(",", ":"))


def _write(stream: TextIO | None, text: str, *, flush: bool = False) -> None:
    """Nothing where there is no such stream: a daemon may have closed it."""
    if stream is None:
        return
    stream.write(text)
    if flush:
        stream.flush()


class Output:
    """Where a verb prints."""

    def __init__(self, format: Format = Format.TABLE, *, quiet: bool = False) -> None:
        self.format = format
        self.quiet = quiet

    def line(self, text: str = "") -> None:
        """One line of text, as it is."""
        _write(sys.stdout, text + "\n")

    def lines(self, lines: Iterable[str]) -> None:
        """Lines of text, as they are."""
        _write(sys.stdout, "".join(f"{line}\n" for line in lines))

    def flush(self) -> None:
        """Show what is written now: after each line of a stream."""
        _write(sys.stdout, "", flush=True)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table and an empty line; without its head and that line if quiet."""
        self.lines(render_table(head, rows, with_head=not self.quiet))
        if not self.quiet:
            self.line()

    def pairs(self, pairs: Iterable[tuple[str, str]], column: int) -> None:
        """`Label:   value`, values in one column."""
        self.lines(f"{label + ':':<{column}} {clean(value)}".rstrip() for label, value in pairs)

    def objects(self, documents: Sequence[Json]) -> None:
        """A JSON array, an object a line."""
        if not documents:
            self.line("[]")
            return
        last = len(documents) - 1
        self.line("[")
        self.lines(to_json(each) + ("," if index < last else "") for index, each in enumerate(documents))
        self.line("]")

    def object(self, document: Json) -> None:
        """A JSON object in one line."""
        self.line(to_json(document))

    def message(self, text: str) -> None:
        """What a verb did."""
        if not self.quiet:
            self.line(clean(text))

    def error(self, message: str, hint: str = "") -> None:
        """What went wrong on stderr, and what to do about it."""
        text = f"error: {clean(message)}\n" + (f"hint: {clean(hint)}\n" if hint else "")
        with suppress(OSError):  # stdout may be what is wrong
            self.flush()
        _write(sys.stderr, text, flush=True)

    def failure(self, error: AvirtError, *, prefix: str = "") -> None:
        """An error of avirt's on stderr."""
        self.error(prefix + error.message, error.hint)

    def note(self, text: str) -> None:
        """A line on stderr that is no error."""
        _write(sys.stderr, clean(text) + "\n", flush=True)
