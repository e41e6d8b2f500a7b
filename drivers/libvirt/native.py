"""All of libvirt's protocol over an open host: `host.native(Libvirt)`. Outside avirt's promise of stability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from avirt.drivers.libvirt.generated.types import RemoteDomain
from avirt.drivers.libvirt.lanes import Lanes
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.remote import Remote

__all__ = ["BulkCalls", "ControlCalls", "Libvirt"]

R = TypeVar("R")


class Libvirt(Remote):
    """Every call as a typed method, over the connection for calls that may last. No deadline but the caller's."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def _call(self, procedure: Procedure[R], *args: object) -> R:
        # one low-priority call a domain at a time: a domain that hangs holds one slot, not all
        key = args[0].uuid if args and isinstance(args[0], RemoteDomain) and not procedure.high else None
        return await self._lanes.call(procedure, *args, timeout=None, key=key)

    async def _call_with_fds(
        self, procedure: Procedure[R], *args: object, fds: Sequence[int] = ()
    ) -> tuple[R, list[int]]:
        rpc = await self._lanes.calls()
        return await rpc.call_with_fds(procedure, *args, fds=fds, timeout=None)


class ControlCalls(Remote):
    """Calls that must not wait for others: over the connection that carries the events."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def _call(self, procedure: Procedure[R], *args: object) -> R:
        if procedure.high and args and isinstance(args[0], RemoteDomain):
            return await self._lanes.urgent(procedure, *args, key=args[0].uuid)
        return await self._lanes.control.call(procedure, *args, timeout=None)


class BulkCalls(Remote):
    """Calls that take minutes: a connection each (reference/libvirt-wire.md §3)."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def _call(self, procedure: Procedure[R], *args: object) -> R:
        async with self._lanes.bulk() as rpc:
            return await rpc.call(procedure, *args, timeout=None)
