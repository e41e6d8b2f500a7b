"""What comes in great numbers: domain lists, statistics, lifecycle events; decoded by templates where that pays. Pure.

A generic decoder takes 2.6 µs a domain, the templates of the first two 0.5 to 0.8 (reference/performance.md §3). All
read in slices, so that a caller can let the loop go on between them. Anything a template does not fit is read field by
field; what no layout fits is a `RemoteProtocolError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from struct import error as StructError  # noqa: N812 -- the stdlib's lower-case class
from typing import Final

from avirt.errors import RemoteProtocolError
from avirt.model.native_event import Param

__all__ = [
    "MAX_DOMAINS",
    "SLICE",
    "DomainEntry",
    "DomainListReader",
    "StateEntry",
    "StatesReader",
    "StatsEntry",
    "StatsReader",
    "lifecycle_event",
]

SLICE: Final = 512
"""Domains decoded in one go: about half a millisecond (the design allows no more than 512 items)."""

MAX_DOMAINS: Final = 16384
"""REMOTE_DOMAIN_LIST_MAX."""

_MAX_NAME: Final = 4194304
"""REMOTE_STRING_MAX."""

_TEMPLATE_NAMES: Final = 128
"""Longest name for which a template is compiled; longer ones are read field by field."""


DomainEntry = tuple[str, bytes, int]
"""A remote_nonnull_domain: name, uuid, id. A plain tuple: a class of its own would cost as much as the decoding."""

StateEntry = tuple[str, bytes, int, int | None, int | None]
"""A remote_domain_stats_record of the group STATE: name, uuid, id, state, reason; None where the server did not say."""

StatsEntry = tuple[str, bytes, int, Mapping[str, Param]]
"""A remote_domain_stats_record: name, uuid, id, parameters by name in their order."""

_U32: Final = Struct(">I")
_COUNT_AND_PARAM: Final = b"\0\0\0\2\0\0\0\x0bstate.state\0\0\0\0\1"
_SECOND_PARAM: Final = b"\0\0\0\x0cstate.reason\0\0\0\1"
# after the length of the name: name, uuid, id
_DOMAINS: Final = tuple(Struct(f">{n}s{-n % 4}x16si") for n in range(_TEMPLATE_NAMES + 1))
# the same, then count = 2, "state.state" of type int, its value, "state.reason" of type int, its value
_STATES: Final = tuple(
    Struct(f">{n}s{-n % 4}x16si{len(_COUNT_AND_PARAM)}si{len(_SECOND_PARAM)}si") for n in range(_TEMPLATE_NAMES + 1)
)

_CALLBACK: Final = Struct(">iI")
# after the callback id and the length of the name: name, uuid, id, event, detail
_LIFECYCLES: Final = tuple(Struct(f">{n}s{-n % 4}x16siii") for n in range(_TEMPLATE_NAMES + 1))

# remote_typed_param_value: the values of fixed size by their type
_VALUES: Final = {
    number: Struct(f">{code}") for number, code in ((1, "i"), (2, "I"), (3, "q"), (4, "Q"), (5, "d"), (6, "i"))
}
_BOOLEAN: Final = 6
_STRING: Final = 7


def lifecycle_event(payload: bytes) -> tuple[int, str, bytes, int, int, int] | None:
    """Callback id; the domain's name, uuid and id; event and detail; in half the codec's time.

    Of a remote_domain_event_callback_lifecycle_msg.

    None: no template fits, the codec decides what it is.
    """
    if len(payload) < 8:
        return None
    callback, length = _CALLBACK.unpack_from(payload)
    if length > _TEMPLATE_NAMES:
        return None
    template = _LIFECYCLES[length]
    if len(payload) != 8 + template.size:
        return None
    name, key, id, event, detail = template.unpack_from(payload, 8)
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = _text(name)
    return callback, text, key, id, event, detail


class _Reader:
    __slots__ = ("_at", "_data", "_left", "count")

    def __init__(self, payload: bytes | memoryview) -> None:
        self._data = bytes(payload)
        self._at = 0
        self.count = self._u32()
        if self.count > MAX_DOMAINS:
            raise RemoteProtocolError(f"a list of {self.count} domains; the protocol allows {MAX_DOMAINS}")
        self._left = self.count

    @property
    def left(self) -> int:
        """Entries not yet read."""
        return self._left

    def _u32(self) -> int:
        try:
            (value,) = _U32.unpack_from(self._data, self._at)
        except StructError as error:
            raise _cut() from error
        self._at += 4
        return int(value)

    def _i32(self) -> int:
        value = self._u32()
        return value - 0x1_0000_0000 if value >= 0x8000_0000 else value

    def _bytes(self, length: int) -> bytes:
        end = self._at + length
        if end + -length % 4 > len(self._data):
            raise _cut()
        value = self._data[self._at : end]
        self._at = end + -length % 4
        return value

    def _string(self) -> bytes:
        length = self._u32()
        if length > _MAX_NAME:
            raise RemoteProtocolError(f"a string of {length} bytes; the protocol allows {_MAX_NAME}")
        return self._bytes(length)

    def _record(self) -> StatsEntry:
        """A remote_domain_stats_record."""
        name, key, id = _text(self._string()), self._bytes(16), self._i32()
        params: dict[str, Param] = {}
        for _ in range(self._u32()):
            field, type = _text(self._string()), self._i32()
            if type == _STRING:
                params[field] = _text(self._string())
            elif (value := _VALUES.get(type)) is not None:
                number = value.unpack(self._bytes(value.size))[0]
                params[field] = bool(number) if type == _BOOLEAN else number
            else:
                raise RemoteProtocolError(f"a typed parameter of the unknown type {type}")
        return name, key, id, params


def _cut() -> RemoteProtocolError:
    return RemoteProtocolError("a list of domains ends in the midst of an entry")


def _text(name: bytes) -> str:
    try:
        return name.decode()  # half the time of a call with arguments
    except UnicodeDecodeError:
        return name.decode("utf-8", "surrogateescape")


class DomainListReader(_Reader):
    """remote_connect_list_all_domains_ret."""

    __slots__ = ()

    def read(self, limit: int = SLICE) -> list[DomainEntry]:
        """The next entries, at most so many; empty at the end.

        Raises:
            RemoteProtocolError: the reply does not have this layout.
        """
        found: list[DomainEntry] = []
        data, at = self._data, self._at
        unpack_length = _U32.unpack_from
        number = min(limit, self._left)
        try:
            for _ in range(number):
                (length,) = unpack_length(data, at)
                if length <= _TEMPLATE_NAMES:
                    template = _DOMAINS[length]
                    name, key, id = template.unpack_from(data, at + 4)
                    at += 4 + template.size
                    found.append((_text(name), key, id))
                else:
                    self._at = at
                    found.append((_text(self._string()), self._bytes(16), self._i32()))
                    at = self._at
        except StructError as error:
            raise _cut() from error
        self._at = at
        self._left -= number
        if not self._left:
            self._end()
        return found

    def _end(self) -> None:
        if self._at + 4 != len(self._data):  # `ret` repeats the count
            raise RemoteProtocolError("a list of domains does not end where its count says")


class StatesReader(_Reader):
    """remote_connect_get_all_domain_stats_ret, of which only the group STATE is read."""

    __slots__ = ()

    def read(self, limit: int = SLICE) -> list[StateEntry]:
        """The next entries, at most so many; empty at the end.

        Raises:
            RemoteProtocolError: the reply does not have this layout.
        """
        found: list[StateEntry] = []
        data, at = self._data, self._at
        unpack_length = _U32.unpack_from
        number = min(limit, self._left)
        size = len(data)
        try:
            for _ in range(number):
                (length,) = unpack_length(data, at)
                if length <= _TEMPLATE_NAMES:
                    template = _STATES[length]
                    end = at + 4 + template.size
                    if end <= size:
                        name, key, id, first, state, second, reason = template.unpack_from(data, at + 4)
                        if first == _COUNT_AND_PARAM and second == _SECOND_PARAM:
                            at = end
                            found.append((_text(name), key, id, state, reason))
                            continue
                self._at = at
                found.append(self._by_field())
                at = self._at
        except StructError as error:
            raise _cut() from error
        self._at = at
        self._left -= number
        if not self._left and self._at != size:
            raise RemoteProtocolError("statistics of domains do not end where their count says")
        return found

    def _by_field(self) -> StateEntry:
        name, key, id, params = self._record()
        state, reason = params.get("state.state"), params.get("state.reason")
        return name, key, id, state if isinstance(state, int) else None, reason if isinstance(reason, int) else None


class StatsReader(_Reader):
    """remote_connect_get_all_domain_stats_ret, of any groups."""

    __slots__ = ()

    def read(self, limit: int) -> list[StatsEntry]:
        """The next entries, at most so many; empty at the end.

        Raises:
            RemoteProtocolError: the reply does not have this layout.
        """
        number = min(limit, self._left)
        found = [self._record() for _ in range(number)]
        self._left -= number
        if not self._left and self._at != len(self._data):
            raise RemoteProtocolError("statistics of domains do not end where their count says")
        return found
