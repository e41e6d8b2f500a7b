"""The steps of a call on trio, see `steps.py`. Imported on trio only."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from trio.abc import Instrument
from trio.lowlevel import Task, add_instrument, remove_instrument

from avirt.testing.steps import COUNT

__all__ = ["stepping"]


class _Steps(Instrument):
    """Told of every step of every task."""

    def after_task_step(self, task: Task) -> None:
        count = task.context.get(COUNT)
        if count is not None:
            count.step()


@contextmanager
def stepping() -> Generator[None]:
    """As long as it lasts, steps of tasks that have a COUNT are counted."""
    steps = _Steps()
    add_instrument(steps)
    try:
        yield
    finally:
        remove_instrument(steps)
