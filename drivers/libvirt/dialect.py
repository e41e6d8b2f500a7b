"""What recording and replaying have to know of libvirt's protocol: frames, which answers which, and what is secret.

**Secrets** are kept out by a rule that needs nobody's attention: text and opaque data of all payloads are blanked
(`wire/blanking.py`), but for the calls of `KEPT`, which are those that watching makes, for domain events, and for the
names of domains and their like. So XML, passwords, agent and monitor commands, SASL, secrets' values and the data of
streams never get into a recording, nor do those of calls that a later libvirt will have.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from typing import Final

from avirt.drivers.libvirt.codec import COMPILER
from avirt.drivers.libvirt.generated.procedures import PROCEDURES, Proc
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.protocol import (
    COUNT,
    HEADER,
    HEADER_SIZE,
    KEEPALIVE_PROGRAM,
    MAX_MESSAGE,
    PONG,
    Message,
    MessageStatus,
    MessageType,
    Role,
)
from avirt.drivers.libvirt.protocol import Connection as Core
from avirt.drivers.wire.blanking import Blanker

__all__ = ["KEPT", "LibvirtDialect"]

_SERIAL_AT: Final = 20

_CALLS: Final = frozenset({MessageType.CALL, MessageType.CALL_WITH_FDS})
_WITH_FDS: Final = frozenset({MessageType.CALL_WITH_FDS, MessageType.REPLY_WITH_FDS})
_STREAMS: Final = frozenset({MessageType.STREAM, MessageType.STREAM_HOLE})

KEPT: Final = frozenset(
    {
        Proc.AUTH_LIST,
        Proc.AUTH_POLKIT,
        Proc.CONNECT_CLOSE,
        Proc.CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY,
        Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY,
        Proc.CONNECT_DOMAIN_EVENT_DEREGISTER,
        Proc.CONNECT_DOMAIN_EVENT_DEREGISTER_ANY,
        Proc.CONNECT_DOMAIN_EVENT_REGISTER,
        Proc.CONNECT_DOMAIN_EVENT_REGISTER_ANY,
        Proc.CONNECT_EVENT_CONNECTION_CLOSED,
        Proc.CONNECT_GET_CAPABILITIES,
        Proc.CONNECT_GET_HOSTNAME,
        Proc.CONNECT_GET_LIB_VERSION,
        Proc.CONNECT_GET_TYPE,
        Proc.CONNECT_GET_VERSION,
        Proc.CONNECT_LIST_ALL_DOMAINS,
        Proc.CONNECT_LIST_DEFINED_DOMAINS,
        Proc.CONNECT_LIST_DOMAINS,
        Proc.CONNECT_NUM_OF_DEFINED_DOMAINS,
        Proc.CONNECT_NUM_OF_DOMAINS,
        Proc.CONNECT_REGISTER_CLOSE_CALLBACK,
        Proc.CONNECT_SUPPORTS_FEATURE,
        Proc.DOMAIN_GET_AUTOSTART,
        Proc.DOMAIN_GET_INFO,
        Proc.DOMAIN_GET_STATE,
        Proc.DOMAIN_IS_ACTIVE,
        Proc.DOMAIN_IS_PERSISTENT,
        Proc.DOMAIN_LOOKUP_BY_ID,
        Proc.DOMAIN_LOOKUP_BY_NAME,
        Proc.DOMAIN_LOOKUP_BY_UUID,
    }
)
"""Calls whose payloads stay as they are: names, ids, states, numbers, the host's capabilities."""

_ERRORS_KEPT: Final = KEPT | {Proc.CONNECT_GET_ALL_DOMAIN_STATS}
"""Calls whose errors' texts stay. Others may quote what they were given."""

_NAMES_KEPT: Final = frozenset(
    {
        "remote_nonnull_domain",
        "remote_nonnull_domain_checkpoint",
        "remote_nonnull_domain_snapshot",
        "remote_nonnull_interface",
        "remote_nonnull_network",
        "remote_nonnull_node_device",
        "remote_nonnull_nwfilter",
        "remote_nonnull_storage_pool",
    }
)
"""What objects are called."""

_NUMBERS_TOO: Final = frozenset({Proc.DOMAIN_SEND_KEY})
"""Keys that are pressed may be those of a password."""

_EVENTS_BLANKED: Final = ("secret_", "domain_monitor_")
"""Events with a secret's usage, or QEMU's own text."""


@cache
def _blanker() -> Blanker:
    return Blanker(COMPILER.resolve, kept=_NAMES_KEPT, kept_fields={"field"})  # a typed parameter's name


def _is_kept(procedure: Procedure[object]) -> bool:
    if procedure.is_event:
        return not procedure.name.startswith(_EVENTS_BLANKED)
    return procedure in KEPT


class _Splitter:
    """One direction of one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0
        self._is_lost = False

    def __call__(self, data: bytes) -> list[bytes]:
        """Take bytes; the frames that are complete now."""
        if self._is_lost:
            return []
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        while True:
            if self._skip:
                skipped = min(self._skip, len(buffer))
                del buffer[:skipped]
                self._skip -= skipped
            if len(buffer) < COUNT.size:
                return frames
            (length,) = COUNT.unpack_from(buffer)
            if not HEADER_SIZE <= length <= MAX_MESSAGE:
                self._is_lost = True  # whoever speaks here does not speak libvirt's protocol
                buffer.clear()
                return frames
            if len(buffer) < length:
                return frames
            frame = bytes(buffer[:length])
            del buffer[:length]
            frames.append(frame)
            if _type(frame) in _WITH_FDS and length >= HEADER_SIZE + COUNT.size:
                (self._skip,) = COUNT.unpack_from(frame, HEADER_SIZE)


def _type(frame: bytes) -> int:
    return int(HEADER.unpack_from(frame)[4])


class LibvirtDialect:
    """See `transport.base.Dialect`."""

    def splitter(self) -> Callable[[bytes], list[bytes]]:
        """For one direction of one connection: whole frames out of bytes."""
        return _Splitter()

    def clean(self, frame: bytes) -> bytes:
        """The frame without secrets; `Unknown` procedures keep nothing but their header."""
        _, program, _, number, kind, _, status = HEADER.unpack_from(frame)
        if program == KEEPALIVE_PROGRAM:
            return frame
        start = HEADER_SIZE + (COUNT.size if kind in _WITH_FDS else 0)
        head, payload = frame[:start], frame[start:]
        procedure = PROCEDURES.get((program, number))
        if procedure is None or (kind in _STREAMS and status == MessageStatus.CONTINUE and kind == MessageType.STREAM):
            return head + bytes(len(payload))
        if status == MessageStatus.ERROR:
            if procedure in _ERRORS_KEPT:
                return frame
            return head + _blanker().blank("remote_error", payload)
        if _is_kept(procedure):
            return frame
        if kind in _STREAMS:
            return frame  # a hole's size, or the end
        layout = procedure.msg or (procedure.args if kind in _CALLS else procedure.ret)
        return head + _blanker().blank(layout, payload, numbers=procedure in _NUMBERS_TOO)

    def question(self, frame: bytes) -> tuple[Hashable, int] | None:
        """Of a call: what it asks, and its serial."""
        _, program, _, number, kind, serial, _ = HEADER.unpack_from(frame)
        if kind not in _CALLS:
            return None
        return (program, number, self.clean(frame)[HEADER_SIZE:]), serial

    def answer(self, frame: bytes) -> int | None:
        """The serial of the call that a frame answers, or whose stream it belongs to."""
        _, _, _, _, kind, serial, _ = HEADER.unpack_from(frame)
        return None if kind == MessageType.MESSAGE else int(serial)

    def renumbered(self, frame: bytes, serial: int) -> bytes:
        """The same frame under another serial."""
        return frame[:_SERIAL_AT] + COUNT.pack(serial) + frame[_SERIAL_AT + COUNT.size :]

    @property
    def filler(self) -> bytes:
        """A pong."""
        return _FILLER


_FILLER: Final = Core(Role.SERVER).send(Message(KEEPALIVE_PROGRAM, PONG, MessageType.MESSAGE, 0))
