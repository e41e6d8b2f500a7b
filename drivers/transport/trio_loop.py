"""Waiting and telling the time on trio. Imported on trio only."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from trio import CancelScope, current_time
from trio.lowlevel import Abort, Task, current_task, current_trio_token, reschedule, wait_task_rescheduled

from avirt.drivers.transport.base import Waiter

__all__ = ["TrioLoop", "TrioWaiter"]


class TrioWaiter:
    """A parked task."""

    __slots__ = ("_is_done", "_task")

    def __init__(self) -> None:
        self._task: Task | None = None
        self._is_done = False

    def done(self) -> bool:
        """Whether it was set, or its task cancelled."""
        return self._is_done

    def set_result(self, _result: None, /) -> None:
        """Let the task go on."""
        self._is_done = True
        if self._task is not None:
            reschedule(self._task)
            self._task = None

    def __await__(self) -> Generator[Any, Any, None]:
        if not self._is_done:
            self._task = current_task()
            yield from wait_task_rescheduled(self._abort).__await__()  # noqa: ASYNC105  this is how it is awaited here

    def _abort(self, _raise_cancel: object) -> Abort:
        self._task = None
        self._is_done = True
        return Abort.SUCCEEDED


class TrioLoop:
    """trio."""

    __slots__ = ("_token", "now", "waiter")

    def __init__(self) -> None:
        self._token = current_trio_token()
        self.now: Callable[[], float] = current_time
        self.waiter: Callable[[], Waiter[None]] = TrioWaiter

    def soon(self, callback: Callable[[], None]) -> None:
        """Call this in the loop's next turn."""
        self._token.run_sync_soon(callback)

    async def wait(self, waiter: Waiter[None], deadline: float) -> None:
        """Wait, at the longest until this reading of the clock."""
        with CancelScope(deadline=deadline):
            await waiter
