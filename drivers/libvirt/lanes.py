"""The connections to one daemon: what may last must not hold up what must not wait.

- **control** carries the events, so reads that feed the lifecycle go here (the rule of time wants one order), with
  probes, listings, destroy and abort. It is opened first; without it the host is lost.
- **work** takes all other calls. Opened when first needed, closed when idle, replaced when lost or clogged by three
  abandoned calls (`Rpc.is_clogged`): nobody's call hangs behind somebody else's domain.
- **bulk**: one connection per stream or long transfer. A server reads nothing from a connection whose upload stalls
  (reference/libvirt-wire.md §3).

A daemon admits 20 clients that are not yet authenticated, hence no connection before it is needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeVar

import anyio
from anyio.abc import TaskGroup

from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.rpc import CALL_TIMEOUT, Rpc
from avirt.drivers.wire.pending import Priority
from avirt.errors import AvirtError, ConnectionLost, Outcomes
from avirt.log import get_logger

__all__ = ["IDLE", "Lanes", "open_lanes"]

R = TypeVar("R")

OpenMore = Callable[[], AbstractAsyncContextManager[Rpc]]

IDLE: Final = 60.0
"""Seconds after which an unused work connection is closed: a person's pause; the daemon's client slots are few."""

_log = get_logger("libvirt")


class Lanes:
    """The connections of one host.

    Attributes:
        control: it is there all the time; its loss is the host's loss.
    """

    def __init__(self, control: Rpc, open_more: OpenMore, group: TaskGroup, *, idle: float = IDLE) -> None:
        self.control = control
        self._open_more = open_more
        self._group = group
        self._idle = idle
        self._work: _Work | None = None

    async def calls(self) -> Rpc:
        """The work connection, opened if need be. Use it at once and ask again next time: it may be another.

        Raises:
            CannotConnect: it can't be opened.
            ConnectionLost: the host is lost; nothing was sent.
        """
        if (lost := self.control.lost) is not None:
            raise ConnectionLost(str(lost), outcome=Outcomes.NOT_SENT, hint=lost.hint)
        work = self._work
        if work is None or not work.is_usable:
            if work is not None:
                work.retire()
            work = self._work = _Work(self._open_more, self._idle)
            self._group.start_soon(work.run)
        return await work.use()

    async def call(
        self,
        procedure: Procedure[R],
        *args: object,
        timeout: float | None = CALL_TIMEOUT,
        priority: Priority | None = None,
        key: Hashable = None,
    ) -> R:
        """As `Rpc.call`, on the work connection.

        Raises:
            CannotConnect: it can't be opened; nothing was sent.
            AvirtError: as of `Rpc.call`.
        """
        rpc = await self.calls()
        return await rpc.call(procedure, *args, timeout=timeout, priority=priority, key=key)

    def bulk(self) -> AbstractAsyncContextManager[Rpc]:
        """A connection of one's own, for a stream or a call that can last."""
        return self._open_more()


class _Work:
    """One work connection: a task opens it, and closes it when it is idle, replaced or lost."""

    def __init__(self, open_more: OpenMore, idle: float) -> None:
        self._open_more = open_more
        self._idle = idle
        self._rpc: Rpc | None = None
        self._failure: AvirtError | None = None
        self._opened = anyio.Event()
        self._retired = anyio.Event()
        self._was_used = True
        self._is_closed = False

    @property
    def is_usable(self) -> bool:
        if self._is_closed or self._retired.is_set():
            return False
        return self._rpc is None or (self._rpc.lost is None and not self._rpc.is_clogged)

    async def use(self) -> Rpc:
        self._was_used = True
        if self._rpc is None:
            await self._opened.wait()
            self._was_used = True
        if self._rpc is not None:
            return self._rpc
        raise self._failure or ConnectionLost("the connection was closed", outcome=Outcomes.NOT_SENT)

    def retire(self) -> None:
        """Give it to nobody any more; it closes when nobody waits for it."""
        self._retired.set()

    async def run(self) -> None:
        try:
            async with self._open_more() as rpc:
                self._rpc = rpc
                self._opened.set()
                await self._until_unused(rpc)
                self._is_closed = True
        except AvirtError as error:
            # whoever waits for it is told; how a connection that is done ends interests nobody
            _log.debug("the work connection failed", reason=str(error))
            self._failure = error
        finally:
            self._is_closed = True
            self._opened.set()

    async def _until_unused(self, rpc: Rpc) -> None:
        while rpc.lost is None:
            self._was_used = False
            with anyio.move_on_after(self._idle):
                await self._retired.wait()
                # tombstones may stay for ever: of a clogged connection, those who wait for it count
                while rpc.awaited and rpc.lost is None:  # noqa: ASYNC110  rare; an event would cost each call
                    await anyio.sleep(self._idle / 60)
                return
            if rpc.is_idle and not self._was_used:
                return


@asynccontextmanager
async def open_lanes(control: Rpc, open_more: OpenMore, *, idle: float = IDLE) -> AsyncIterator[Lanes]:
    """Lanes around a control connection that is open. Leaving closes the others.

    Args:
        open_more: opens another connection to the same daemon: `lambda: open_connection(target)`.
    """
    failure: BaseException | None = None
    async with anyio.create_task_group() as group:
        try:
            yield Lanes(control, open_more, group, idle=idle)
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  re-raised below, in no group
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
