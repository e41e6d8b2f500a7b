"""The lines of a recording: one JSON object each, the header first. docs/record.md describes them for people."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Final, cast

import msgspec

from avirt.model import native_event
from avirt.model.change import Change
from avirt.model.document import Json
from avirt.model.observation import Item
from avirt.model.portable import Portable
from avirt.model.record import DomainRecord, HostFacts, Key

__all__ = [
    "CANCELLED",
    "VERSION",
    "Answered",
    "Asked",
    "Call",
    "Closed",
    "Frames",
    "Header",
    "Left",
    "Line",
    "Lost",
    "Opened",
    "Recalled",
    "Took",
    "Woke",
    "read_line",
    "write_line",
]

VERSION: Final = 1
"""Of the format. Readers refuse a newer one; lines and fields may be added only together with a new number."""

CANCELLED: Final = "cancelled"
"""What `Answered.error` says of a call that was not waited for any longer."""

_EVENTS: Final = native_event.NATIVE_EVENTS  # imported, so that every kind of Change is known


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line.

    Attributes:
        version: of the format.
        avirt, python: versions of what recorded.
        driver: avirt's driver.
        uri: without secrets.
        host: the host's name in that process.
        read_only: it was connected so.
        wall, at: when the recording began, by the wall clock and by the loop's, which all other lines go by.
    """

    version: int
    avirt: str
    python: str
    driver: str
    uri: str
    host: str
    read_only: bool = False
    wall: float
    at: float


class Call(StrEnum):
    """What the engine asks of a driver."""

    OPEN = "open"
    WATCH = "watch"
    LIST = "list"
    PROBE = "probe"


class Asked(msgspec.Struct, frozen=True):
    """The engine asks something of the driver. `call` numbers it; `key`: the domain that is read."""

    at: float
    call: int
    what: Call
    key: Key | None = None


class Answered(msgspec.Struct, frozen=True):
    """The driver answered, or `error` says what became of it ("cancelled": the engine's patience ended, or avirt's)."""

    at: float
    call: int
    error: str | None = None


class Left(msgspec.Struct, frozen=True):
    """The engine gives up the session that this call opened."""

    at: float
    call: int


class Opened(msgspec.Struct, frozen=True):
    """The driver made a connection, or could not."""

    at: float
    connection: int
    error: str | None = None


class Frames(msgspec.Struct, frozen=True):
    """Whole frames of one connection, as they became complete in one read or write, secrets removed."""

    at: float
    connection: int
    sent: bool
    data: bytes


class Closed(msgspec.Struct, frozen=True):
    """A connection is over. `why`: None if we closed it."""

    at: float
    connection: int
    why: str | None = None


class Recalled(msgspec.Struct, frozen=True):
    """What the lifecycle began with: known from a journal."""

    at: float
    records: tuple[DomainRecord, ...]
    facts: HostFacts | None
    revision: int
    connected: bool


class Took(msgspec.Struct, frozen=True):
    """The lifecycle took Items, and concluded. `call`: whose answer or events they are; None: the engine's own."""

    at: float
    wall: float
    items: tuple[Item, ...]
    changes: tuple[Change, ...] = ()
    call: int | None = None


class Woke(msgspec.Struct, frozen=True):
    """A timer of the lifecycle came due."""

    at: float
    wall: float
    changes: tuple[Change, ...] = ()


class Lost(msgspec.Struct, frozen=True):
    """So many lines could not be written in time, and are not here."""

    at: float
    lines: int


Line = Header | Asked | Answered | Left | Opened | Frames | Closed | Recalled | Took | Woke | Lost

_LINES: Final[Portable[Line]] = Portable(Line)


def write_line(line: Line) -> bytes:
    """One line with its end. Names that are not UTF-8 keep their bytes as escaped lone surrogates."""
    document = _LINES.dump(line)
    try:
        return msgspec.json.encode(document) + b"\n"
    except UnicodeEncodeError:
        return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def read_line(text: bytes) -> Line:
    """One line.

    Raises:
        ValueError: it is none.
    """
    try:
        document = cast("Json", msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        try:
            document = cast("Json", json.loads(text))  # takes lone surrogates, too
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
    return _LINES.load(document)
