"""Promise 4: a half-open connection becomes HostLost within its driver's liveness deadline."""

from __future__ import annotations

import anyio
import pytest

from avirt.model.change import HostLost
from tests.avirt.worlds import make_world, watched


@pytest.mark.trio
async def test_silence_becomes_host_lost(autojump_clock: object) -> None:
    world = make_world("a")
    async with watched(world) as host, host.watch(kinds={HostLost}) as changes:
        world.faults.silence()
        with anyio.fail_after(world.times.liveness + 1):
            assert isinstance(await anext(changes), HostLost)
