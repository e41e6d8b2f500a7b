"""The connections to one daemon: what may last must not hold up what must not wait.

- **control** carries the events, so reads that feed the lifecycle go here (the rule of time wants one order), with
  probes, listings, destroy and abort. It is opened first; without it the host is lost.
- **work** takes all other calls. Opened when first needed, closed when idle, replaced when lost or clogged by three
  abandoned calls (`Rpc.is_clogged`): nobody's call hangs behind somebody else's domain.
- **aside** is a work connection on which a call is stuck. It stays for the late answer, and for trials; everybody else
  has another work connection, to which what was not sent moves.
- **bulk**: one connection per stream or long transfer. A server reads nothing from a connection whose upload stalls
  (reference/libvirt-wire.md §3).

**A domain that hangs** holds one call of each kind, and the server's worker behind it. Its reads would fill control in
the end, and a server that is full reads no answers to its pings and drops the client. So reads of single domains have
two slots of control; once one of them is stuck, reads of other domains go over the work connection. That is within the
rule of time: such a read counts as asked when control had brought so many messages as before it was written, and
earlier is allowed. An event that is on its way then is shown after the read, and asks for another one. Whether a domain
hangs, and when it is tried again, is the breaker's (`wire/breaker.py`).

A daemon admits 20 clients that are not yet authenticated, hence no connection before it is needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Final, TypeVar

import anyio
from anyio.abc import TaskGroup

from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.rpc import CALL_TIMEOUT, Rpc, Sick, Withdrawn
from avirt.drivers.wire.breaker import Breaker
from avirt.drivers.wire.pending import WINDOW, Priority
from avirt.errors import AvirtError, Busy, CannotConnect, ConnectionLost, OperationTimeout, Outcomes
from avirt.log import get_logger

__all__ = ["IDLE", "Lanes", "open_lanes"]

R = TypeVar("R")

OpenMore = Callable[[], AbstractAsyncContextManager[Rpc]]

IDLE: Final = 60.0
"""Seconds after which an unused work connection is closed: a person's pause; the daemon's client slots are few."""

READS: Final = 2
"""Reads of single domains that control has on their way at once: half of its slots, at nearly the same speed."""

MOST_ASIDE: Final = 8
"""Connections kept for late answers. Beyond them the oldest that nobody waits for is closed."""

MOST_LOSSES: Final = 3
"""So many connections one read may lose before it has failed."""

_log = get_logger("libvirt")


class Lanes:
    """The connections of one host.

    Attributes:
        control: it is there all the time; its loss is the host's loss.
        breaker: which domains hang, by (key, whether calls of high priority do).
    """

    def __init__(self, control: Rpc, open_more: OpenMore, group: TaskGroup, *, idle: float = IDLE) -> None:
        self.control = control
        self.breaker = Breaker[Sick]()
        control.breaker = self.breaker
        control.gives_way = True
        control.limit_keyed(READS)
        self._open_more = open_more
        self._group = group
        self._idle = idle
        self._work: _Work | None = None
        self._aside: list[_Work] = []

    async def calls(self, key: bytes | None = None, *, trial: bool = False) -> Rpc:
        """The work connection, opened if need be. Use it at once and ask again next time: it may be another.

        Args:
            key: of the call's domain: the one on which another call of it is under way.
            trial: one on which others hang already.

        Raises:
            CannotConnect: it can't be opened.
            ConnectionLost: the host is lost; nothing was sent.
        """
        if (lost := self.control.lost) is not None:
            raise ConnectionLost(str(lost), outcome=Outcomes.NOT_SENT, hint=lost.hint)
        suspect = self._for_suspect(key, trial=trial) if self._aside or trial else None
        return await (suspect or self._for_all()).use()

    def _for_all(self) -> _Work:
        work = self._work
        if work is None or not work.is_usable:
            if work is not None:
                self._set_aside(work)
            work = next((each for each in self._aside if each.is_usable), None)
            if work is None:
                work = self._open()
            else:
                self._aside.remove(work)
            self._work = work
        return work

    def _for_suspect(self, key: bytes | None, *, trial: bool) -> _Work | None:
        self._aside = [each for each in self._aside if not each.is_over]
        if not trial:
            return next((each for each in self._aside if key is not None and each.holds(key)), None)
        work = next((each for each in self._aside if each.has_room_for(key)), None)
        if work is None:
            work = self._open()
            self._aside.append(work)
        return work

    def _open(self) -> _Work:
        work = _Work(self._open_more, self._idle, self.breaker)
        self._group.start_soon(work.run)
        return work

    def _set_aside(self, work: _Work) -> None:
        """Somebody waits for what is stuck on it, or will want to know when it is answered."""
        if work.is_stuck:
            self._aside.append(work)
            unawaited = [each for each in self._aside if each.is_unawaited]
            for each in unawaited[: max(0, len(self._aside) - MOST_ASIDE)]:
                self._aside.remove(each)
                each.retire()
        else:
            work.retire()

    async def call(
        self,
        procedure: Procedure[R],
        *args: object,
        timeout: float | None = CALL_TIMEOUT,
        priority: Priority | None = None,
        key: bytes | None = None,
    ) -> R:
        """As `Rpc.call`, on the work connection.

        Args:
            key: the domain's; one call of it is under way at a time, and none while it is known to hang.

        Raises:
            CannotConnect: it can't be opened; nothing was sent.
            Busy: the domain hangs; nothing was sent.
            AvirtError: as of `Rpc.call`.
        """

        def make(rpc: Rpc) -> Awaitable[R]:
            return rpc.call(procedure, *args, timeout=timeout, priority=priority, key=key)

        return await self.ask(key, make, high=procedure.high)

    async def ask(self, key: bytes | None, make: Callable[[Rpc], Awaitable[R]], *, high: bool = False) -> R:
        """The same for what is not made by `Rpc.call`: `make` is given the connection, and uses the key."""
        while True:
            trial = key is not None and bool(self.breaker) and self._is_trial(key, high=high)
            rpc = await self.calls(key, trial=trial)
            try:
                if not trial or key is None:
                    return await make(rpc)
                with self._trial(key, high=high):
                    return await make(rpc)
            except Withdrawn:
                continue

    async def read(self, key: bytes, read: Callable[[Rpc], Awaitable[R]]) -> R:
        """Read one domain for the lifecycle: on control, or where reads of other domains do not hang.

        A read that another connection's loss takes with it is made again.

        Raises:
            ConnectionLost: the host is lost.
            CannotConnect: the other connections are lost, one after the other.
            Busy: its reads hang; nothing was sent.
            AvirtError: what `read` raised.
        """
        losses = 0
        control = self.control
        while True:
            trial = bool(self.breaker) and self._is_trial(key, high=True)
            try:
                if trial:
                    rpc = await self.calls(key, trial=True)
                    with self._trial(key, high=True):
                        return await read(rpc)
                if control.stuck and not control.holds(key):
                    return await read(await self.calls(key))
                return await read(control)
            except Withdrawn:
                continue
            except ConnectionLost as error:
                if control.lost is not None:
                    raise
                losses += 1
                if losses == MOST_LOSSES:
                    raise CannotConnect(
                        f"a second connection to the daemon is lost each time: {error}",
                        hint="see the daemon's log",
                        retryable=True,
                    ) from error

    async def urgent(self, procedure: Procedure[R], *args: object, key: bytes) -> R:
        """A call that always goes through, whatever hangs. No deadline but the caller's."""
        while True:
            rpc = self.control if not self.control.stuck else await self.calls()
            try:
                return await rpc.call(procedure, *args, timeout=None, key=(key, procedure.name))
            except Withdrawn:
                continue

    def _is_trial(self, key: bytes, *, high: bool) -> bool:
        return self.breaker.check((key, high), self.control.now())

    @contextmanager
    def _trial(self, key: bytes, *, high: bool) -> Generator[None]:
        """What comes of a trial."""
        try:
            yield
        except Busy:
            self.breaker.refused((key, high), self.control.now())
            raise
        except (OperationTimeout, ConnectionLost):
            raise
        except AvirtError:
            self.breaker.answered((key, high))
            raise
        else:
            self.breaker.answered((key, high))

    def bulk(self) -> AbstractAsyncContextManager[Rpc]:
        """A connection of one's own, for a stream or a call that can last."""
        return self._open_more()


class _Work:
    """One work connection: a task opens it, and closes it when it is idle, replaced or lost."""

    def __init__(self, open_more: OpenMore, idle: float, breaker: Breaker[Sick]) -> None:
        self._open_more = open_more
        self._breaker = breaker
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
        rpc = self._rpc
        return rpc is None or (rpc.lost is None and not rpc.stuck and not rpc.is_clogged)

    @property
    def is_over(self) -> bool:
        return self._is_closed or self._retired.is_set() or (self._rpc is not None and self._rpc.lost is not None)

    @property
    def is_stuck(self) -> bool:
        return not self.is_over and self._rpc is not None and self._rpc.stuck > 0

    @property
    def is_unawaited(self) -> bool:
        return self._rpc is not None and self._rpc.awaited == 0

    def has_room_for(self, key: bytes | None) -> bool:
        """For one call more that may hang, not behind another of its domain; the server has a place free for pings."""
        rpc = self._rpc
        return not self.is_over and (rpc is None or (rpc.unanswered < WINDOW and not rpc.parks(key)))

    def holds(self, key: bytes) -> bool:
        return self._rpc is not None and self._rpc.holds(key)

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
                rpc.breaker = self._breaker
                rpc.gives_way = True
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
