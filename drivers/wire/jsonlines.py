r"""JSON values out of a stream of bytes, as they come. Bounded, linear however the bytes are cut, no I/O.

`JSONLines` is for the end that *listens to a server*: every message is an object and ends with a newline. A line that
holds one is decoded at once, and an unfinished line is only kept: nobody looks at it before its newline is here. A line
that isn't a whole object may be the first of several (QEMU's `pretty=on`), or hold more than one; then `JSONValues`
finds the end. So compact messages cost one search and one decoding each, and others a walk over their structure.

`JSONValues` is for the end that *obeys a client*: values end where JSON says, newline or not, as QEMU takes them. What
is no value comes out as well, so that it can be answered: a word, a stray bracket, and what a **reset byte** breaks
off. That is a byte which no JSON holds at its place (a control character, 0xFE, 0xFF); it ends whatever was begun, and
so unsticks a parser (QEMU's json-lexer.c: such a byte is an error token, after which it starts anew). It is the last
byte of the piece that it ends.

Limits count the bytes of one message, and hold while it is unfinished: what is above is refused, not kept.
"""

from __future__ import annotations

import re
from typing import Final, Generic, TypeVar

import msgspec

from avirt.errors import RemoteProtocolError

__all__ = ["MAX_MESSAGE", "JSONLines", "JSONValues", "ascii_json", "decode"]

MAX_MESSAGE: Final = 64 * 2**20
"""What QEMU's own parser takes as one token (MAX_TOKEN_SIZE). The longest answers, schemas, are under one MiB."""

MAX_FIRST_LINE: Final = 2**16
"""A longer line that isn't a whole object is no beginning of one: walking through it would take too long, and
`pretty=on` begins with a brace alone."""

T = TypeVar("T")

_NO_SPACE: Final = re.compile(rb"[^ \t\r\n]")
_STRUCTURE: Final = re.compile(rb'"[^"\\\x00-\x1f\xfe\xff]*"|["{}\[\]\x00-\x08\x0b\x0c\x0e-\x1f\xfe\xff]')
"""Strings that are whole and simple, and all bytes that mean something between strings."""
_STRING_END: Final = re.compile(
    rb'[^"\\\x00-\x1f\xfe\xff]*(?:\\[^\x00-\x1f\xfe\xff][^"\\\x00-\x1f\xfe\xff]*)*(?:"|\\?[\x00-\x1f\xfe\xff]|\\\Z)'
)
"""The rest of a string: to its quote, to a byte that breaks it off, or to a backslash with nothing behind it."""
_WORD_END: Final = re.compile(rb'["{}\[\]\x00-\x20\xfe\xff]')
_NOT_ASCII: Final = re.compile("[^\x00-\x7e]")

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_OPEN: Final = frozenset(b"{[")
_CLOSE: Final = frozenset(b"}]")
_BRACE: Final = ord("{")


def decode(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T:
    """A value of JSON.

    Raises:
        RemoteProtocolError: it isn't JSON, or of other types.
    """
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise _refusal(error) from error


def _refusal(error: Exception) -> RemoteProtocolError:
    """Also for what is not UTF-8 (a ValueError), or nested without end."""
    what = "a message of wrong types" if isinstance(error, msgspec.ValidationError) else "a message that is not JSON"
    return RemoteProtocolError(f"{what} ({error})")


def ascii_json(data: bytes) -> bytes:
    """The same JSON in ASCII, as QEMU sends it: the rest is escaped, which only strings can hold."""
    return data if data.isascii() else _NOT_ASCII.sub(_escape, data.decode()).encode()


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02X}{units[at + 1]:02X}" for at in range(0, len(units), 2))


class JSONValues:
    """Cuts a stream where its values end.

    Args:
        max_message: refuse longer values.
    """

    def __init__(self, *, max_message: int = MAX_MESSAGE) -> None:
        self.max_message = max_message
        self._begun = bytearray()
        self._depth = 0
        self._is_quoted = False
        self._is_escaped = False
        self._is_word = False

    @property
    def pending(self) -> int:
        """Bytes of a value that is not complete."""
        return len(self._begun)

    def clear(self) -> None:
        """Forget what is not complete."""
        self._begun.clear()
        self._depth = 0
        self._is_quoted = self._is_escaped = self._is_word = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; answers the values that are complete now, and what is none.

        Raises:
            RemoteProtocolError: a value is too long.
        """
        values: list[bytes] = []
        position = 0
        while position < len(data):
            value, position = self.take(data, position)
            if value is not None:
                values.append(value)
        return values

    def take(self, data: bytes, position: int) -> tuple[bytes | None, int]:
        """The next value, or None if it isn't complete; and where the bytes behind it begin.

        Raises:
            RemoteProtocolError: the value is too long.
        """
        start = position
        if not self._begun:
            start = position = _end_of_space(data, position)
            if start == len(data):
                return None, start
            if data[position] not in _OPEN and not _STRUCTURE.match(data, position):
                self._is_word = True
        end = self._find_end(data, position)
        stop = len(data) if end is None else end
        if len(self._begun) + stop - start > self.max_message:
            self.clear()
            raise RemoteProtocolError(f"a message of more than {self.max_message} bytes")
        if end is None:
            self._begun += memoryview(data)[start:]
            return None, stop
        value = bytes(self._begun) + data[start:stop]
        self.clear()
        return value, stop

    def _find_end(self, data: bytes, position: int) -> int | None:
        """Where the value ends that begins at `position` or before, if it does."""
        if self._is_word:
            match = _WORD_END.search(data, position)
            return None if match is None else match.start()
        while True:
            if self._is_escaped and position < len(data):
                self._is_escaped = False
                if data[position] == _QUOTE or data[position] == _BACKSLASH:
                    position += 1
            match = _STRING_END.match(data, position) if self._is_quoted else _STRUCTURE.search(data, position)
            if match is None:
                return None
            position = match.end()
            byte = data[position - 1]
            if byte == _QUOTE:
                self._is_quoted = not self._is_quoted and position - match.start() == 1
                is_end = self._depth == 0 and not self._is_quoted
            elif byte == _BACKSLASH:
                self._is_escaped = True
                return None
            elif byte in _OPEN:
                self._depth += 1
                is_end = False
            elif byte in _CLOSE:
                self._depth -= 1
                is_end = self._depth <= 0
            else:
                is_end = True
            if is_end:
                return position


class JSONLines(Generic[T]):
    """Decodes a stream of objects of which each ends with a newline.

    Args:
        decoder: of one object.
        max_message: refuse longer ones.
    """

    def __init__(self, decoder: msgspec.json.Decoder[T], *, max_message: int = MAX_MESSAGE) -> None:
        self.max_message = max_message
        self._decoder = decoder
        self._line = bytearray()
        self._values = JSONValues(max_message=max_message)

    @property
    def pending(self) -> int:
        """Bytes of an object that is not complete."""
        return len(self._line) or self._values.pending

    def clear(self) -> None:
        """Forget what is not complete."""
        self._line.clear()
        self._values.clear()

    def feed(self, data: bytes) -> list[T]:
        """Take bytes; answers the objects that are complete now.

        Raises:
            RemoteProtocolError: no JSON, no object, other types, or too long. What was complete before it is lost.
        """
        objects: list[T] = []
        self.feed_into(objects, data)
        return objects

    def feed_into(self, objects: list[T], data: bytes) -> None:
        """As `feed`; what was complete before an error is in the list."""
        position = 0
        if self._line:
            end = data.find(b"\n") + 1
            self._check(len(self._line) + (end or len(data)))
            if not end:
                self._line += data
                return
            data = bytes(self._line) + data
            self._line.clear()
        elif self._values.pending:
            position = self._take(objects, data, 0)
        size, load = len(data), self._decoder.decode
        while position < size:
            if data[position] != _BRACE:
                position = _end_of_space(data, position)
                if position == size:
                    return
                if data[position] != _BRACE:
                    raise RemoteProtocolError(f"no object of JSON: it begins with {data[position : position + 20]!r}")
            end = data.find(b"\n", position) + 1
            self._check((end or size) - position)
            if not end:
                self._line += memoryview(data)[position:]
                return
            try:
                objects.append(load(data[position:end]))
                position = end
            except (ValueError, RecursionError) as error:
                if not _may_go_on(error) or end - position > MAX_FIRST_LINE:
                    raise _refusal(error) from error
                position = self._take(objects, data, position)

    def _take(self, objects: list[T], data: bytes, position: int) -> int:
        """An object that is no line, if it is complete; where to go on."""
        value, position = self._values.take(data, position)
        if value is not None:
            objects.append(decode(self._decoder, value))
        return position

    def _check(self, size: int) -> None:
        if size > self.max_message:
            self.clear()
            raise RemoteProtocolError(f"a message of more than {self.max_message} bytes")


def _may_go_on(error: Exception) -> bool:
    """Whether a line that could not be decoded may be the first of several, or hold more than one object."""
    return isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError)


def _end_of_space(data: bytes, position: int) -> int:
    match = _NO_SPACE.search(data, position)
    return len(data) if match is None else match.start()
