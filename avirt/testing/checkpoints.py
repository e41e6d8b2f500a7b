"""A call cancelled at each of its checkpoints in turn: the tool that proves what its docstring says of cancellation.

A checkpoint is a place where the call, or a task that it started, gives control to the loop. The call is made again and
again, cancelled at the first, the second, … until it ends before it is cancelled:

    taken = await cancelled_at_each_checkpoint(lambda: host.hostname(), after=host.hostname)

What is left behind is counted by `held`, before all that and after.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from enum import Enum
from typing import Final

import anyio

from avirt.drivers.transport.loop import is_asyncio
from avirt.testing.steps import Count, counted, run_in_task, stepping

__all__ = ["Canceller", "cancelled_at", "cancelled_at_each_checkpoint", "cancellers"]

MOST: Final = 2000
"""A call with more checkpoints goes round in circles."""

PATIENCE: Final = 30.0
"""Seconds after which a call that neither ends nor heeds its cancellation fails the test."""

Make = Callable[[], Awaitable[object]]


class Canceller(Enum):
    """Who cancels."""

    SCOPE = "scope"
    """A scope around the call, or the task group that its task is in: anyio, trio."""
    TASK = "task"
    """`Task.cancel`, as of `asyncio.timeout` and `asyncio.TaskGroup`. Once: what goes on after it is not cancelled."""
    LATE = "late"
    """The same, in the moment in which the call has got what it waited for, and does not run yet."""


def cancellers() -> Collection[Canceller]:
    """Those that the running loop has."""
    return tuple(Canceller) if is_asyncio() else (Canceller.SCOPE,)


async def cancelled_at(make_call: Make, checkpoint: int, *, by: Canceller = Canceller.SCOPE) -> bool:
    """Make a call and cancel it at a checkpoint; whether it had ended before that.

    Args:
        checkpoint: the first is 1; 0 is before the call begins, which only a scope can be told.

    Raises:
        Exception: what the call raised; its cancellation is none.
    """
    raised: Exception | None = None

    async def run() -> None:
        nonlocal raised
        try:
            await make_call()
        except Exception as error:  # noqa: BLE001  raised below, in no group
            raised = error

    if by is Canceller.SCOPE:
        taken = await _run_in_scope(run, checkpoint)
    else:
        taken = await run_in_task(run(), checkpoint, late=by is Canceller.LATE)
    if raised is not None:
        raise raised
    return taken < checkpoint


async def _run_in_scope(run: Callable[[], Awaitable[None]], at: int) -> int:
    scope = anyio.CancelScope()
    count = Count(at, lambda _: scope.cancel())

    async def call() -> None:
        if at == 0:
            scope.cancel()
        await run()
        count.close()

    with stepping(), scope:
        async with anyio.create_task_group() as group:
            with counted(count):
                group.start_soon(call)
    count.close()
    return count.taken


async def cancelled_at_each_checkpoint(
    make_call: Make,
    *,
    before: Make | None = None,
    after: Make | None = None,
    by: Collection[Canceller] | None = None,
    patience: float = PATIENCE,
) -> int:
    """Make a call again and again, cancelled at each of its checkpoints in turn, until it ends by itself.

    Args:
        before: awaited before each: makes things as the call needs them.
        after: awaited after each: whatever the call was part of must be usable.
        by: who cancels, one after the other; by default all that the loop has.
        patience: seconds for one call.

    Returns:
        How often it was cancelled. 0 only if it never gives control to the loop.

    Raises:
        Exception: what the call raised, be it cancelled or not.
        AssertionError: it does not end, or goes on for ever when it is cancelled.
    """
    times = 0
    for canceller in cancellers() if by is None else by:
        for checkpoint in range(canceller is not Canceller.SCOPE, MOST):
            if before is not None:
                await before()
            ended = False
            with anyio.move_on_after(patience) as waited:
                ended = await cancelled_at(make_call, checkpoint, by=canceller)
            if waited.cancelled_caught:
                raise AssertionError(f"cancelled by {canceller.value} at checkpoint {checkpoint}, and it goes on")
            if after is not None:
                await after()
            if ended:
                break
            times += 1
        else:
            raise AssertionError(f"{MOST} checkpoints, and it has not ended")
    return times
