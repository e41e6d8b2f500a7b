"""Standstill: whether this process, or the whole machine, stood still for a while.

Who stood still can't know what happened meanwhile: peers have closed, sessions have expired, events were dropped. So a
link is given up on waking, and made again. Two clocks tell: a process that was stopped wakes later than it wanted to;
a machine that was suspended moves on by the clock that counts that (CLOCK_BOOTTIME), and not by the one that timers
go by (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import anyio

__all__ = ["EVERY", "LONG", "Standstill", "boottime", "stood_still"]

EVERY: Final = 5.0
"""Seconds between two looks: what a suspended machine's link is given up after, on waking."""
LONG: Final = 10.0
"""Shorter ones do no harm: the kernel keeps what came in, and no peer is that impatient."""


def boottime() -> float:
    """Seconds, those included for which the machine was suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Standstill:
    """Compares clocks. Pure.

    Args:
        now: by the clock that timers go by.
        boot: by the one that counts suspension.
    """

    def __init__(self, now: float, boot: float) -> None:
        self._now = now
        self._boot = boot

    def look(self, now: float, boot: float) -> float:
        """For how long it stood still since the last look, which was meant to be `EVERY` seconds ago."""
        late = max(now - self._now, boot - self._boot) - EVERY
        self._now, self._boot = now, boot
        return max(0.0, late)


async def stood_still(boot: Callable[[], float] = boottime) -> float:
    """Wait until it stood still for long; for how long."""
    watch = Standstill(anyio.current_time(), boot())
    while True:
        await anyio.sleep(EVERY)
        still = watch.look(anyio.current_time(), boot())
        if still >= LONG:
            return still
