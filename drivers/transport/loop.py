"""Waiting and telling the time on asyncio and uvloop, at the price of the loop's own primitives; trio: `trio_loop.py`.

An `anyio.Event` for each call costs a third of the call (reference/performance.md §1), hence these.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from anyio import CancelScope, get_cancelled_exc_class

from avirt.drivers.transport.base import Loop, Waiter

__all__ = ["AsyncioLoop", "current_loop", "is_asyncio"]


def is_asyncio() -> bool:
    """Whether the running loop is asyncio's (or uvloop's), else it is trio's."""
    return get_cancelled_exc_class() is asyncio.CancelledError


def current_loop() -> Loop:
    """The running loop."""
    if is_asyncio():
        return AsyncioLoop()
    # trio is an extra: a module of its own, which may import it at its top
    from avirt.drivers.transport.trio_loop import TrioLoop

    return TrioLoop()


class AsyncioLoop:
    """asyncio, uvloop. Its waiters are the loop's futures."""

    __slots__ = ("_loop", "now", "waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # asyncio's own `time` and `create_future` are these, behind a Python call each
        plain = type(self._loop).time is asyncio.BaseEventLoop.time
        self.now: Callable[[], float] = time.monotonic if plain else self._loop.time
        self.waiter: Callable[[], Waiter[None]] = partial(asyncio.Future, loop=self._loop)

    def soon(self, callback: Callable[[], None]) -> None:
        """Call this in the loop's next turn."""
        self._loop.call_soon(callback)

    async def wait(self, waiter: Waiter[None], deadline: float) -> None:
        """Wait, at the longest until this reading of the clock."""
        with CancelScope(deadline=deadline):
            await waiter
