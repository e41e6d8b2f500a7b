"""The three loops as the proof wants them: asyncio and trio with clocks that jump to what is due next, so that a day of
back-offs and deadlines takes no time and a seed gives the same run again; uvloop, whose clock is the machine's own.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, TypeVar

import anyio
import trio
import trio.testing

__all__ = ["JUMPING", "Loop", "run"]

T = TypeVar("T")


class Loop(StrEnum):
    """A kind of event loop."""

    TRIO = "trio"
    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


JUMPING = (Loop.TRIO, Loop.ASYNCIO)
"""Those whose clock jumps."""


class JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a time, it is then. All that is waited for besides is in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; nothing, and it is later, if nothing is."""
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop by such a clock."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since it was made."""
        return self._jumping.now


def run(loop: Loop, work: Callable[[], Awaitable[T]], *, seed: int = 0) -> T:
    """Run it on a loop of this kind, from its beginning to its end. `seed`: of trio's own dice."""
    backend, options = "asyncio", dict[str, Any]()
    if loop is Loop.TRIO:
        trio_loop: Any = trio._core._run
        trio_loop._ALLOW_DETERMINISTIC_SCHEDULING = True
        trio_loop._r.seed(seed)  # the order of tasks within a turn
        backend, options = "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}
    elif loop is Loop.UVLOOP:
        options = {"use_uvloop": True}
    else:
        options = {"loop_factory": JumpingLoop}
    return anyio.run(work, backend=backend, backend_options=options)
