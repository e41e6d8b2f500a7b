"""The watchdog and blockbuster see what they are there for."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
from blockbuster import BlockingError

import avirt
from tests.fix_loop import LIMIT, guard

pytestmark = pytest.mark.anyio


def compute(seconds: float) -> None:
    """Hold the processor."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def run_guarded(block: Callable[[float], None]) -> None:
    with guard():
        await anyio.lowlevel.checkpoint()
        block(3 * LIMIT)
        await anyio.lowlevel.checkpoint()


@pytest.mark.slow
@pytest.mark.blocks
@pytest.mark.parametrize("block", [time.sleep, compute])
async def test_watchdog_sees_a_loop_that_stands_still(block: Callable[[float], None]) -> None:
    """Asleep or busy: either way nobody else runs."""
    with pytest.raises(AssertionError, match="stood still"):
        await run_guarded(block)


async def test_watchdog_is_quiet_while_the_loop_turns() -> None:
    """Many short steps are no block."""
    with guard(limit=None) as watchdog:
        for _ in range(200):
            await anyio.lowlevel.checkpoint()
    assert watchdog.worst < LIMIT


@pytest.mark.blocks
@pytest.mark.parametrize("anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
async def test_blocking_call_below_avirt_is_named() -> None:
    """On asyncio and uvloop (trio it does not know), the call itself raises."""
    code = compile("import time\ntime.sleep(0.001)", f"{avirt.__path__[0]}/some.py", "exec")
    with pytest.raises(BlockingError, match=r"time\.sleep"), guard():
        exec(code, {})
