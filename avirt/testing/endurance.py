"""Counting what is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import anyio
from anyio import to_thread

__all__ = ["Held", "held", "until_held"]


class Held(NamedTuple):
    """What a process holds: tasks of this loop, and descriptors where the system tells (else 0)."""

    tasks: int
    descriptors: int


async def held() -> Held:
    """Count."""
    tasks = len(anyio.get_running_tasks())
    return Held(tasks, await to_thread.run_sync(_descriptors))


async def until_held(before: Held, *, tries: int = 100) -> None:
    """Return once no more is held than before; loops close descriptors in a later turn.

    Raises:
        AssertionError: something is left behind.
    """
    now = await held()
    for _ in range(tries):
        if now.tasks <= before.tasks and now.descriptors <= before.descriptors:
            return
        await anyio.sleep(0.01)
        now = await held()
    raise AssertionError(f"left behind: {before} before, {now} after")


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0
