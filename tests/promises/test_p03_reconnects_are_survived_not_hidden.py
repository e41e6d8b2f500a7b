"""Promise 3: subscriptions go on by themselves; the stream says what was lost, each difference, and HostResynced."""

from __future__ import annotations

import anyio
import pytest

from avirt.model.change import Added, HostConnected, HostLost, HostResynced, Removed
from tests.avirt.worlds import make_world, watched


@pytest.mark.trio
async def test_twenty_lost_links_are_each_said_and_made_good(autojump_clock: object) -> None:
    world = make_world("stays")
    async with watched(world) as host, host.watch() as changes:
        for number in range(20):
            with world.faults.restart():
                world.add(f"new{number}")
                if number:
                    world.domain(f"new{number - 1}").undefine()
            kinds: list[type] = []
            with anyio.fail_after(60):
                async for change in changes:
                    kinds.append(type(change))
                    if isinstance(change, HostResynced):
                        break
            expected = [HostLost, HostConnected, *([Removed] if number else []), Added, HostResynced]
            assert sorted(kinds, key=str) == sorted(expected, key=str)
            assert kinds[:2] == [HostLost, HostConnected]
        assert sorted(record.name for record in host.view.values()) == ["new19", "stays"]
