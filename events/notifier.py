"""Notifier: wakes the tasks that wait for a store's next change, a few at a time.

A publish wakes them directly as long as one turn of the loop can carry them; beyond that the notifier's task wakes some
each turn, so that neither the publisher nor the turn after it holds the loop (`reference/performance.md` §6). A burst
wakes each waiter once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, Protocol

import anyio
from anyio.lowlevel import checkpoint

__all__ = ["GROUP", "EventWaiter", "Notifier", "Waiter"]

GROUP: Final = 256
"""Waking a waiter takes 0.5 to 6 µs of the publisher, and some 5 µs of the next turn."""


class Waiter(Protocol):
    """What one task awaits, once. Shaped as a future: the loop's own costs a quarter of an event."""

    def __await__(self) -> Generator[Any, Any, None]: ...
    def done(self) -> bool:
        """It was woken, or its task was cancelled."""
        ...

    def set_result(self, result: None, /) -> None:
        """Wake it. Not if it is done."""
        ...


class EventWaiter:
    """A waiter for any loop."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._event.wait().__await__()

    def done(self) -> bool:
        """It was woken."""
        return self._event.is_set()

    def set_result(self, _result: None, /) -> None:
        """Wake it."""
        self._event.set()


class Notifier:
    """Waiters, and who wakes them. Without a task in `run` all are woken by the publish itself.

    Args:
        group: how many are woken in one turn of the loop.

    Attributes:
        waiter: makes waiters; whoever knows the loop may put in the loop's own.
    """

    def __init__(self, *, group: int = GROUP) -> None:
        self.waiter: Callable[[], Waiter] = EventWaiter
        self._size = group
        self._waiters: dict[Waiter, None] = {}
        self._due: deque[Waiter] = deque()
        self._call: anyio.Event | None = None

    @property
    def waiting(self) -> int:
        """How many wait for the next notify."""
        return len(self._waiters)

    def notify(self) -> None:
        """There is something to read."""
        waiters = self._waiters
        if not waiters:
            return
        self._waiters = {}
        if self._call is None or (len(waiters) <= self._size and not self._due):
            _wake(waiters)
        else:
            self._due.extend(waiters)
            self._call.set()

    def join(self) -> Waiter:
        """Await what it gives, then `leave`, however that ended.

        The caller looked before whether there is something to read, and did not await in between.
        """
        waiter = self.waiter()
        self._waiters[waiter] = None
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """The end of a wait."""
        self._waiters.pop(waiter, None)

    async def run(self) -> None:
        """Wake some each turn, until cancelled."""
        self._call = anyio.Event()
        due = self._due
        try:
            while True:
                await self._call.wait()
                self._call = anyio.Event()
                while due:
                    _wake([due.popleft() for _ in range(min(self._size, len(due)))])
                    await checkpoint()
        finally:
            self._call = None
            _wake(due)
            due.clear()


def _wake(waiters: Iterable[Waiter]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
