"""The steps of a call on asyncio and uvloop: each time that it, or a task that it started, gives control to the loop.

trio's are in `trio_steps.py`. A step is seen by what every loop lets one watch: asyncio by the coroutines that its task
factory is given, trio by an instrument. What is counted is inherited by context, as tasks inherit it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Final, cast

from avirt.drivers.transport.loop import is_asyncio

__all__ = ["COUNT", "Count", "counted", "run_in_task", "stepping"]


class Count:
    """The steps of one call so far.

    Args:
        at: the step to strike at.
        strike: called at that step, with what was given to the loop to wait for.

    Attributes:
        taken: how many there were.
    """

    __slots__ = ("_at", "_is_over", "_strike", "taken")

    def __init__(self, at: int, strike: Callable[[object], None]) -> None:
        self._at = at
        self._strike = strike
        self._is_over = False
        self.taken = 0

    def step(self, awaited: object = None) -> None:
        """One more."""
        if not self._is_over:
            self.taken += 1
            if self.taken == self._at:
                self._strike(awaited)

    def close(self) -> None:
        """The call has ended: tasks that outlive it are of no interest any more."""
        self._is_over = True


COUNT: Final[ContextVar[Count | None]] = ContextVar("avirt.testing.steps", default=None)
"""Where the steps of a task count."""


@contextmanager
def counted(count: Count) -> Generator[None]:
    """Tasks that are started here are counted, and what they start."""
    token = COUNT.set(count)
    try:
        yield
    finally:
        COUNT.reset(token)


def stepping() -> AbstractContextManager[None]:
    """As long as it lasts, steps of tasks that have a COUNT are counted."""
    if is_asyncio():
        return _stepping()
    from avirt.testing.trio_steps import stepping as stepping_on_trio

    return stepping_on_trio()


@contextmanager
def _stepping() -> Generator[None]:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Future[Any]:
        count = COUNT.get()
        watched = coro if count is None else _Watched(coro, count)
        return asyncio.Task(watched, loop=loop, **options) if before is None else before(loop, watched, **options)

    loop.set_task_factory(make)
    try:
        yield
    finally:
        loop.set_task_factory(before)


class _Watched(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are counted. Looks like the one within, to whoever asks in what state it is."""

    def __init__(self, inner: Coroutine[Any, Any, Any], count: Count) -> None:
        self._inner = inner
        self._count = count

    def send(self, value: Any) -> Any:
        awaited = self._inner.send(value)
        self._count.step(awaited)
        return awaited

    def throw(self, *error: Any) -> Any:
        awaited = self._inner.throw(*error)
        self._count.step(awaited)
        return awaited

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError("it is a task's")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def run_in_task(call: Coroutine[Any, Any, None], at: int, *, late: bool) -> int:
    """Run it in a task of asyncio's own, cancel that at a step as asyncio itself does; how many steps it took.

    Args:
        at: the step.
        late: cancel it in the moment in which it has got what it waited for and does not run yet.
    """

    def strike(awaited: object) -> None:
        if not late:
            task.cancel()
        elif asyncio.current_task() is task:
            if isinstance(awaited, asyncio.Future):
                # before the task's own: so it finds itself cancelled when the loop comes to it
                cast("asyncio.Future[object]", awaited).add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()

    count = Count(at, strike)
    with stepping():
        with counted(count):
            task = asyncio.get_running_loop().create_task(call)
        try:
            await asyncio.wait({task})
        finally:
            count.close()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    return count.taken
