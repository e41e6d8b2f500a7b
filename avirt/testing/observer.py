"""An engine in miniature, for tests of drivers: watches one session, feeds the lifecycle, runs its effects.

It is no substitute for `avirt.engine`: no reconnects, no back-off, no limits. What it concluded can be judged by
`avirt.testing.validate`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskStatus
from msgspec.structs import replace

from avirt.drivers.base import Session
from avirt.lifecycle import HostLifecycle, Now, Probe, Relist, Step, slices
from avirt.model.change import Change
from avirt.model.observation import Gone, Item, LinkUp, Observation, Seen
from avirt.model.record import DomainRecord, Key
from avirt.testing.checkers import validate

__all__ = ["Observer", "observing"]


class Observer:
    """What one session told, and what follows from it.

    Attributes:
        items: all Items, in order.
        changes: all Changes, in order.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.items: list[Item] = []
        self.changes: list[Change] = []
        self._lifecycle = HostLifecycle("host")
        self._probes: dict[Key, None] = {}
        self._relist = False
        self._wakes: list[float] = []
        self._news = anyio.Event()

    def record(self, key: Key) -> DomainRecord | None:
        """What is known of a domain."""
        return self._lifecycle.records.get(key)

    @property
    def records(self) -> list[DomainRecord]:
        """All that is known."""
        return list(self._lifecycle.records.values())

    def told(self, key: Key) -> list[Observation]:
        """The events of one domain so far."""
        seen = [item.observation for item in self.items if isinstance(item, Seen)]
        return [each for each in seen if each.key == key and each.signal is not None]

    def take(self, items: Sequence[Item]) -> None:
        """Items that came together. Given to `Session.watch`."""
        self.items += items
        self._conclude(self._lifecycle.steps(items, self._now()))
        self._news.set()

    async def list(self) -> None:
        """List, and apply it."""
        self._relist = False  # an overrun meanwhile asks for another
        try:
            listing = await self.session.list()
        except BaseException:
            self._relist = True
            raise
        for part in slices(listing):
            self.take((part,))

    async def probe(self, key: Key) -> Seen | Gone:
        """Read one domain, and apply it."""
        self._probes.pop(key, None)  # an event that comes meanwhile asks for another
        try:
            item = await self.session.probe(key)
        except BaseException:
            self._probes[key] = None
            raise
        self.take((item,))
        return item

    async def run(self, seconds: float) -> None:
        """Go on for so long."""
        with anyio.move_on_after(seconds):
            while True:
                await self._go_on()

    async def until(self, holds: Callable[[], bool], what: str, *, timeout: float = 30.0) -> None:
        """Go on until something holds. AssertionError says what did not."""
        with anyio.move_on_after(timeout) as scope:
            while not holds():
                await self._go_on()
            return
        if scope.cancelled_caught:
            last = [type(item).__name__ for item in self.items[-5:]]
            raise AssertionError(f"not within {timeout:g} s: {what}; the last items were {last}")

    async def settle(self) -> None:
        """Run all effects that are due."""
        while self._relist or self._probes:
            await self._effect()

    async def _go_on(self) -> None:
        if self._relist or self._probes:
            await self._effect()
            return
        self._news = anyio.Event()
        poll = self.session.poll
        pauses = [wake - anyio.current_time() for wake in self._wakes]
        if poll is not None:
            pauses.append(poll.fast)
        with anyio.move_on_after(max(0.0, min(pauses)) if pauses else None):
            await self._news.wait()
        now = anyio.current_time()
        if any(wake <= now for wake in self._wakes):
            self._wakes = [wake for wake in self._wakes if wake > now]
            self._conclude(self._lifecycle.wake(self._now()))
        elif poll is not None and not self._news.is_set():
            await self.list()

    async def _effect(self) -> None:
        if self._relist:
            await self.list()
        else:
            await self.probe(next(iter(self._probes)))

    def _conclude(self, step: Step) -> None:
        for change in step.changes:
            self.changes.append(replace(change, seq=len(self.changes) + 1))
        for effect in step.effects:
            if isinstance(effect, Probe):
                self._probes[effect.key] = None
            elif isinstance(effect, Relist):
                self._relist = True
            else:
                self._wakes.append(effect.at)

    def _now(self) -> Now:
        return Now(anyio.current_time(), 0.0)


@asynccontextmanager
async def observing(session: Session) -> AsyncGenerator[Observer]:
    """Watch a session and list it; at the end judge what was concluded."""
    observer = Observer(session)

    async def watch(*, task_status: TaskStatus[None]) -> None:
        await session.watch(observer.take, task_status=task_status)

    observer.take((LinkUp(session.facts),))
    async with anyio.create_task_group() as tg:
        await tg.start(watch)
        await observer.list()
        yield observer
        tg.cancel_scope.cancel()
    validate(observer.changes, view=observer.records, start=0)
