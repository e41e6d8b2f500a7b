"""Nothing blocks the loop: a watchdog on every loop, and blockbuster where the loop is asyncio's or uvloop's.

Every async test of the suite runs under both. The watchdog fails a test in which the loop stood still for more than
100 ms, whatever the cause. What is counted is our own standing still: the time that the kernel kept the thread waiting
for a processor, and the time that the machine was taken away from us (steal), do not count.
blockbuster names the call, if it is made by avirt's code in the loop's thread; it knows nothing of trio.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

import pytest
import sniffio
import trio
from blockbuster import BlockBuster

LIMIT: Final = 0.1
"""Seconds. What a user of a live view or of a server in the same loop begins to feel."""

TICK: Final = 0.02
_HERTZ: Final = os.sysconf("SC_CLK_TCK")


class Deprived:
    """Seconds for which this thread would have run but got no processor."""

    def __init__(self) -> None:
        self.thread = f"/proc/self/task/{threading.get_native_id()}/schedstat"

    def __call__(self) -> float:
        try:
            waited = int(Path(self.thread).read_bytes().split()[1]) / 1e9
            with Path("/proc/stat").open("rb") as stat:
                stolen = int(stat.readline().split()[8]) / _HERTZ
        except OSError:
            return 0.0
        return waited + stolen


class Watchdog(Protocol):
    """Measures one loop from `start` to `stop`. `worst`: the longest that it stood still."""

    worst: float

    def start(self) -> None: ...
    def stop(self) -> None: ...


class AsyncioWatchdog:
    """A timer that notices how late it is."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._deprived = Deprived()
        self._before = (0.0, 0.0)
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._next()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._measure()

    def _next(self) -> None:
        self._before = (monotonic(), self._deprived())
        self._handle = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._measure()
        self._next()

    def _measure(self) -> None:
        began, deprived = self._before
        late = monotonic() - began - TICK
        if late > self.worst:
            self.worst = max(self.worst, late - (self._deprived() - deprived))


class TrioWatchdog(trio.abc.Instrument):
    """Times each step of each task: exact, and at home on a virtual clock."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._deprived = Deprived()
        self._before = (0.0, 0.0)

    def start(self) -> None:
        trio.lowlevel.add_instrument(self)

    def stop(self) -> None:
        trio.lowlevel.remove_instrument(self)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._before = (monotonic(), self._deprived())

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        began, deprived = self._before
        took = monotonic() - began
        if began and took > max(self.worst, TICK):
            self.worst = max(self.worst, took - (self._deprived() - deprived))


@functools.cache
def blockbuster() -> BlockBuster:
    """Looks only at calls that avirt's own code is part of: tests may block their own loop (and meet the watchdog)."""
    return BlockBuster("avirt")


@contextmanager
def guard(limit: float | None = LIMIT) -> Iterator[Watchdog]:
    """Watch the running loop.

    Raises:
        AssertionError: it stood still for longer than the limit.
        blockbuster.BlockingError: from within, out of the call that blocks.
    """
    watchdog: Watchdog
    if sniffio.current_async_library() == "trio":
        watchdog = TrioWatchdog()
    else:
        watchdog = AsyncioWatchdog()
        blockbuster().activate()
    watchdog.start()
    try:
        yield watchdog
    finally:
        watchdog.stop()
        if isinstance(watchdog, AsyncioWatchdog):
            blockbuster().deactivate()
    if limit is not None and watchdog.worst > limit:
        raise AssertionError(f"the loop stood still for {watchdog.worst * 1000:.0f} ms (limit {limit * 1000:.0f})")


def guarded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The test, under guard."""

    @functools.wraps(test)
    async def run(*args: object, **kwargs: object) -> None:
        with guard():
            await test(*args, **kwargs)

    return run


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Each async test that anyio runs is guarded, unless it is marked as one that blocks by itself."""
    is_ours = "anyio_backend" in pyfuncitem.fixturenames and inspect.iscoroutinefunction(pyfuncitem.obj)
    if not is_ours or pyfuncitem.get_closest_marker("blocks"):
        return (yield)
    original = pyfuncitem.obj
    pyfuncitem.obj = guarded(original)
    try:
        return (yield)
    finally:
        pyfuncitem.obj = original
