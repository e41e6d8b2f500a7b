"""Nothing blocks the loop: a watchdog on every loop, and blockbuster where the loop is asyncio's or uvloop's.

Every async test of the suite runs under both. The watchdog fails a test in which the loop stood still for more than
100 ms, whatever the cause. What is counted is our own standing still: the time that the kernel kept our threads waiting
for a processor, and the time that the machine was taken away from us (steal), do not count.
blockbuster names the call, if it is made by avirt's code in the loop's thread; it knows nothing of trio.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

import pytest
import sniffio
import trio
from blockbuster import BlockBuster

import avirt

LIMIT: Final = 0.1
"""Seconds. What a user of a live view or of a server in the same loop begins to feel."""

TICK: Final = 0.02
_HERTZ: Final = os.sysconf("SC_CLK_TCK")


class Deprived:
    """Seconds for which threads of ours would have run but got no processor: whichever has the interpreter, the loop
    waits for it. Read anew at most once a TICK."""

    def __init__(self) -> None:
        self._before = 0.0
        self._before_at = 0.0

    def mark(self) -> None:
        """From now on, but for at most a TICK before."""
        now = monotonic()
        if now - self._before_at > TICK:
            self._before, self._before_at = self._read(), now

    def since_mark(self) -> float:
        """How much since."""
        return self._read() - self._before

    @staticmethod
    def _read() -> float:
        waited = 0.0
        for thread in Path("/proc/self/task").glob("*/schedstat"):
            with suppress(OSError):  # it has just ended
                waited += int(thread.read_bytes().split()[1]) / 1e9
        with suppress(OSError), Path("/proc/stat").open("rb") as stat:
            waited += int(stat.readline().split()[8]) / _HERTZ
        return waited


class Witness:
    """Looks, from a thread of its own, at what a loop does while it stands still."""

    def __init__(self, watchdog: Watchdog) -> None:
        self.seen = ""
        self._watchdog = watchdog
        self._loop = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="worker: witness", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(TICK):
            if self._watchdog.due and monotonic() - self._watchdog.due > LIMIT / 2:
                frame = sys._current_frames().get(self._loop)
                self.seen = "".join(traceback.format_stack(frame)[-12:]) if frame else ""

    def leave(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()


class Watchdog(Protocol):
    """Measures one loop from `start` to `stop`.

    Attributes:
        worst: the longest that it stood still.
        due: monotonic time at which it should have shown life, or began its present step; 0 for neither.
    """

    worst: float

    @property
    def due(self) -> float: ...

    def start(self) -> None: ...
    def stop(self) -> None: ...


class AsyncioWatchdog:
    """A timer that notices how late it is."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._deprived = Deprived()
        self._began = 0.0
        self._handle: asyncio.TimerHandle | None = None

    @property
    def due(self) -> float:
        return self._began + TICK if self._began else 0.0

    def start(self) -> None:
        self._next()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._measure()

    def _next(self) -> None:
        self._deprived.mark()
        self._began = monotonic()
        self._handle = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._measure()
        self._next()

    def _measure(self) -> None:
        late = monotonic() - self._began - TICK
        if late > max(self.worst, TICK):
            self.worst = max(self.worst, late - self._deprived.since_mark())


class TrioWatchdog(trio.abc.Instrument):
    """Times each step of each task: exact, and at home on a virtual clock."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._deprived = Deprived()
        self._began = 0.0

    @property
    def due(self) -> float:
        return self._began

    def start(self) -> None:
        trio.lowlevel.add_instrument(self)

    def stop(self) -> None:
        trio.lowlevel.remove_instrument(self)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._deprived.mark()
        self._began = monotonic()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        took = monotonic() - self._began
        if self._began and took > max(self.worst, TICK):
            self.worst = max(self.worst, took - self._deprived.since_mark())
        self._began = 0.0


@functools.cache
def blockbuster() -> BlockBuster:
    """Looks only at calls that avirt's own code is part of: tests may block their own loop (and meet the watchdog).

    What an import reads is not a call of ours; the watchdog sees how long it takes.
    """
    found = BlockBuster("avirt")
    for function in found.functions.values():
        function.can_block_in("<frozen importlib._bootstrap>", "_find_and_load")
    return found


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
    witness = Witness(watchdog)
    # the collector looks through what this test makes, not through what thousands of tests before it left: that alone
    # could take 200 ms
    gc.freeze()
    watchdog.start()
    try:
        yield watchdog
    finally:
        watchdog.stop()
        gc.unfreeze()
        witness.leave()
        if isinstance(watchdog, AsyncioWatchdog):
            blockbuster().deactivate()
    if limit is not None and watchdog.worst > limit:
        raise AssertionError(
            f"the loop stood still for {watchdog.worst * 1000:.0f} ms (limit {limit * 1000:.0f}); "
            f"last seen at:\n{witness.seen}"
        )


def guarded(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The test, under guard."""

    @functools.wraps(test)
    async def run(*args: object, **kwargs: object) -> None:
        with guard():
            await test(*args, **kwargs)

    return run


def pytest_collection_finish() -> None:
    """The public API is loaded before a loop runs, as an application loads it with its own modules."""
    for name in avirt.__all__:
        getattr(avirt, name)


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
