"""What a verb that was cancelled leaves behind. Verbs that end by themselves: `test_domain.py`."""

from __future__ import annotations

import anyio
import pytest

from avirt.drivers.sim.driver import SimDriver
from avirt.host import connect
from avirt.model.state import DomainState, Transition
from avirt.perform import GIVEN_UP
from tests.avirt.worlds import make_world


@pytest.mark.trio
async def test_verb_cancelled_while_it_is_sent_is_shown_as_under_way_for_a_moment_only(autojump_clock: object) -> None:
    """Nobody knows whether it was sent: the domain is read again, and can be worked with."""
    async with connect("sim://test?latency=500", driver=SimDriver(world=make_world("a"))) as host:
        dom = await host.lookup(name="a")
        with anyio.move_on_after(0.7):
            await dom.start()
        assert dom.record.transition is Transition.STARTING
        await anyio.sleep(GIVEN_UP + 1)
        record = await dom.refresh()
        assert (record.state, record.transition) == (DomainState.SHUTOFF, None)
        assert not (await dom.destroy()).changed
        assert (await dom.start()).changed
