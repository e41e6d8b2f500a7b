"""Payloads: what a procedure's arguments, answers and events look like as bytes.

The layouts are the table's (`generated/layouts.py`), compiled by `avirt.drivers.wire.xdr` when first needed. The client
packs arguments and unpacks answers and events, a server the other way round. Long lists are decoded in `listing.py`.

All of them raise `LocalProtocolError` for what can't be sent and `RemoteProtocolError` for a payload that is not as the
table says, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, TypeVar, cast

from avirt.drivers.libvirt.generated.layouts import LAYOUTS
from avirt.drivers.libvirt.generated.types import CLASSES, RemoteError, RemoteTypedParam
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.wire.xdr import Compiler, Pack, Unpack
from avirt.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "Codec",
    "pack",
    "pack_error",
    "pack_event",
    "pack_reply",
    "typed_values",
    "unpack_args",
    "unpack_error",
    "unpack_event",
    "unpack_reply",
]

R = TypeVar("R")

COMPILER: Final = Compiler(LAYOUTS, CLASSES)


class Codec:
    """Packers and unpackers by procedure, compiled at first use. A table always gives the same functions."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._pack_args: dict[Procedure[Any], Pack] = {}
        self._unpack_args: dict[Procedure[Any], Unpack] = {}
        self._pack_result: dict[Procedure[Any], Pack] = {}
        self._unpack_result: dict[Procedure[Any], Unpack] = {}

    def pack(self, procedure: Procedure[R], *args: object) -> bytes:
        """The payload of a call. Args: the fields of its arguments, in order."""
        function = self._pack_args.get(procedure)
        if function is None:
            function = _pack_nothing if procedure.args is None else self._compiler.packer(procedure.args, flat=True)
            self._pack_args[procedure] = function
        try:
            return function(*args)
        except TypeError as error:  # only for a wrong number of arguments: others were mapped inside
            raise LocalProtocolError(f"{procedure.name}: {error}", verb=procedure.name) from error

    def unpack_args(self, procedure: Procedure[R], payload: bytes) -> tuple[Any, ...]:
        """The fields of a call's arguments, in order (server)."""
        function = self._unpack_args.get(procedure)
        if function is None:
            function = _unpack_no_args if procedure.args is None else self._compiler.unpacker(procedure.args)
            self._unpack_args[procedure] = function
        return cast("tuple[Any, ...]", function(payload))

    def unpack_reply(self, procedure: Procedure[R], payload: bytes) -> R:
        """What a call answered: None, the one field, or a struct."""
        function = self._unpack_result.get(procedure)
        if function is None:
            function = _unpack_nothing
            if procedure.ret is not None:
                function = self._compiler.unpacker(procedure.ret, single=True)
            self._unpack_result[procedure] = function
        return cast("R", function(payload))

    def pack_reply(self, procedure: Procedure[R], value: R) -> bytes:
        """The payload of an answer (server)."""
        function = self._pack_result.get(procedure)
        if function is None:
            function = _pack_none
            if procedure.ret is not None:
                function = self._compiler.packer(procedure.ret, flat=len(LAYOUTS[procedure.ret][1]) == 1)
            self._pack_result[procedure] = function
        return function(value)

    def unpack_event(self, procedure: Procedure[R], payload: bytes) -> R:
        """An event's message."""
        function = self._unpack_result.get(procedure)
        if function is None:
            if procedure.msg is None:
                raise RemoteProtocolError(f"{procedure.name} is a call, not an event")
            function = self._unpack_result[procedure] = self._compiler.unpacker(procedure.msg)
        return cast("R", function(payload))

    def pack_event(self, procedure: Procedure[R], message: R) -> bytes:
        """The payload of an event (server)."""
        function = self._pack_result.get(procedure)
        if function is None:
            if procedure.msg is None:
                raise LocalProtocolError(f"{procedure.name} is a call, not an event")
            function = self._pack_result[procedure] = self._compiler.packer(procedure.msg)
        return function(message)


def _pack_nothing() -> bytes:
    return b""


def _pack_none(value: object) -> bytes:
    if value is not None:
        raise LocalProtocolError(f"the call answers nothing, but was to answer {value!r}")
    return b""


def _unpack_nothing(payload: bytes) -> None:
    if payload:
        raise RemoteProtocolError(f"{len(payload)} bytes where nothing was expected")


def _unpack_no_args(payload: bytes) -> tuple[()]:
    _unpack_nothing(payload)
    return ()


_CODEC: Final = Codec(COMPILER)
pack = _CODEC.pack
unpack_args = _CODEC.unpack_args
pack_reply = _CODEC.pack_reply
unpack_reply = _CODEC.unpack_reply
pack_event = _CODEC.pack_event
unpack_event = _CODEC.unpack_event


@cache
def _error_unpacker() -> Unpack:
    return COMPILER.unpacker("remote_error")


@cache
def _error_packer() -> Pack:
    return COMPILER.packer("remote_error")


def unpack_error(payload: bytes) -> RemoteError:
    """The payload of a reply, or a stream's packet, of status ERROR."""
    return cast("RemoteError", _error_unpacker()(payload))


def pack_error(error: RemoteError) -> bytes:
    """The same as bytes (server)."""
    return _error_packer()(error)


def typed_values(params: Sequence[RemoteTypedParam]) -> dict[str, int | float | bool | str]:
    """Typed parameters by name, in their order."""
    return {param.field: param.value for param in params}
