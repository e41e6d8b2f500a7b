"""Waiting and telling the time on asyncio, uvloop and trio, at the price of the loop's own primitives.

An `anyio.Event` for each call costs a third of the call (reference/performance.md §1), hence these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from anyio import get_cancelled_exc_class

from avirt.drivers.transport.base import Loop, Waiter

if TYPE_CHECKING:
    import trio
    from outcome import Outcome

__all__ = ["AsyncioLoop", "AsyncioWaiter", "TrioLoop", "TrioWaiter", "current_loop", "is_asyncio"]

T = TypeVar("T")


def is_asyncio() -> bool:
    """Whether the running loop is asyncio's (or uvloop's), else it is trio's."""
    return get_cancelled_exc_class() is asyncio.CancelledError


def current_loop() -> Loop:
    """The running loop."""
    return AsyncioLoop() if is_asyncio() else TrioLoop()


class AsyncioLoop:
    """asyncio, uvloop."""

    __slots__ = ("_loop", "now")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.now: Callable[[], float] = self._loop.time

    def waiter(self) -> Waiter[None]:
        """A new waiter."""
        return AsyncioWaiter(self._loop)

    def soon(self, callback: Callable[[], None]) -> None:
        """Call this in the loop's next turn."""
        self._loop.call_soon(callback)


class AsyncioWaiter(Generic[T]):
    """A future of the loop."""

    __slots__ = ("_future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._future: asyncio.Future[T] = loop.create_future()

    def set(self, value: T) -> None:
        """Hand over the value."""
        if not self._future.done():
            self._future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Raise this in the waiting task."""
        if not self._future.done():
            self._future.set_exception(error)
            self._future.exception()  # marks it as seen: asyncio complains about a failure nobody waited for

    async def wait(self) -> T:
        """The value."""
        return await self._future


class TrioLoop:
    """trio."""

    __slots__ = ("_token", "now")

    def __init__(self) -> None:
        from trio import current_time
        from trio.lowlevel import current_trio_token

        self._token = current_trio_token()
        self.now: Callable[[], float] = current_time

    def waiter(self) -> Waiter[None]:
        """A new waiter."""
        return TrioWaiter()

    def soon(self, callback: Callable[[], None]) -> None:
        """Call this in the loop's next turn."""
        self._token.run_sync_soon(callback)


class TrioWaiter(Generic[T]):
    """A task, parked, and what it is to wake up with."""

    __slots__ = ("_outcome", "_task")

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None
        self._outcome: Outcome[T] | None = None

    def set(self, value: T) -> None:
        """Hand over the value."""
        from outcome import Value

        self._wake(Value(value))

    def fail(self, error: BaseException) -> None:
        """Raise this in the waiting task."""
        from outcome import Error

        self._wake(Error(error))

    def _wake(self, outcome: Outcome[T]) -> None:
        if self._outcome is not None:
            return
        self._outcome = outcome
        if self._task is not None:
            from trio.lowlevel import reschedule

            reschedule(self._task)
            self._task = None

    async def wait(self) -> T:
        """The value."""
        if self._outcome is None:
            from trio.lowlevel import current_task, wait_task_rescheduled

            self._task = current_task()
            await wait_task_rescheduled(self._abort)
            assert self._outcome is not None
        return self._outcome.unwrap()

    def _abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        from trio.lowlevel import Abort

        self._task = None
        return Abort.SUCCEEDED
