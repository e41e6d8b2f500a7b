"""Promise 5: a subscription is a cursor on one ring; who falls behind gets what it chose, and it is counted.

That memory stays as it is, however long they are stuck, is shown by tests/events/test_soak.py.
"""

from __future__ import annotations

import pytest

from avirt.errors import SlowSubscriber
from avirt.events.policies import Slow
from avirt.events.store import Store
from avirt.model.change import Gap, StateChanged
from tests.avirt.worlds import make_world, watched

pytestmark = pytest.mark.anyio


async def test_stuck_subscribers_get_what_they_chose() -> None:
    store = Store(capacity=10)
    world = make_world("a", running=("a",))
    async with watched(world, store=store) as host:
        coalesce, gap, disconnect = (host.watch(slow=slow) for slow in (Slow.COALESCE, Slow.GAP, Slow.DISCONNECT))
        for _ in range(50):
            world.domain("a").suspend()
            world.domain("a").resume()
        merged = [item for item in coalesce.read_nowait() if not isinstance(item, Gap)]
        assert [type(item) for item in merged] == [StateChanged]
        assert isinstance(merged[0], StateChanged)
        assert merged[0].merged > 1
        first = gap.read_nowait()[0]
        assert isinstance(first, Gap)
        assert first.lost >= 90
        with pytest.raises(SlowSubscriber):
            disconnect.read_nowait()
        counts = [each.statistics for each in (coalesce, gap, disconnect)]
        assert [(each.given, each.coalesced > 0, each.lost) for each in counts] == [
            (1, True, 0),
            (11, False, first.lost),
            (0, False, first.lost),
        ]
