"""A line on a terminal's stderr while a verb waits: what it waits for, how it stands, for how long. Gone when done."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio

from avirt.cli.output import clean

__all__ = ["progress"]

_DELAY: Final = 0.4
"""Most verbs are done by then, and show nothing."""
_TICK: Final = 0.1
_FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ERASE: Final = "\r\x1b[K"


@asynccontextmanager
async def progress(what: str, state: Callable[[], str], *, quiet: bool = False) -> AsyncGenerator[None]:
    """Show `what` and `state()` while the body runs, if stderr is a terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    raised: Exception | None = None
    async with anyio.create_task_group() as tg:
        tg.start_soon(_spin, what, state)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - comes out as itself, not in a group
            raised = error
        tg.cancel_scope.cancel()
    if raised is not None:
        raise raised


async def _spin(what: str, state: Callable[[], str]) -> None:
    began = anyio.current_time()
    await anyio.sleep(_DELAY)
    frames = _FRAMES if (sys.stderr.encoding or "").lower().startswith("utf") else "|/-\\"
    turn = 0
    try:
        while True:
            seconds = anyio.current_time() - began
            frame = frames[turn % len(frames)]
            sys.stderr.write(f"{_ERASE}{frame} {clean(what)}: {clean(state())}, {seconds:.0f} s")
            sys.stderr.flush()
            turn += 1
            await anyio.sleep(_TICK)
    finally:
        sys.stderr.write(_ERASE)
        sys.stderr.flush()
