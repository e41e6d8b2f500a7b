"""Promise 10: a domain that never answers ages, visibly, and nobody else does."""

from __future__ import annotations

import anyio
import pytest

from avirt.errors import OperationTimeout
from avirt.model.record import Certainty, HostState
from tests.avirt.worlds import make_world, watched


@pytest.mark.trio
async def test_a_hung_domain_is_stale_and_the_others_are_live(autojump_clock: object) -> None:
    world = make_world("sick", "well", running=("sick", "well"))
    async with watched(world) as host:
        sick, well = await host.lookup(name="sick"), await host.lookup(name="well")
        world.faults.hang("sick")
        world.domain("sick").suspend()
        with pytest.raises(OperationTimeout):
            await sick.destroy(timeout=5)
        assert (await well.suspend()).observed
        await anyio.sleep(60)
        assert sick.record.stale_why
        assert well.record.certainty is Certainty.LIVE
        assert host.status.state is HostState.LIVE
        world.faults.heal()
        await anyio.sleep(60)
        assert sick.record.certainty is Certainty.LIVE
