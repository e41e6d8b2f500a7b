"""Promise 2: a snapshot, and then every change. Replayed over the snapshot the stream gives the view, and at rest the
view is what the hypervisor answers."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import anyio
import pytest

from avirt.errors import AvirtError
from avirt.events.store import apply
from avirt.host import Host
from avirt.model.change import Change, Gap
from avirt.model.record import DomainKey, DomainRecord
from tests.avirt.worlds import make_world, watched

pytestmark = pytest.mark.anyio

NAMES = tuple("abcde")


async def settled(host: Host) -> None:
    """No event is unread and no probe is due."""
    await host.refresh()
    await host.refresh()


@pytest.mark.parametrize("seed", range(5))
async def test_snapshot_and_stream_give_the_view_and_the_truth(seed: int) -> None:
    rng = Random(seed)
    world = make_world(*NAMES)
    async with watched(world) as host:
        view: dict[DomainKey, DomainRecord] = {}
        with host.watch() as changes:
            for record in changes.snapshot:
                view[record.domain] = record
            for _ in range(60):
                domain = rng.choice(list(world.domains.values()))
                act = rng.choice(
                    [domain.start, domain.destroy, domain.suspend, domain.resume, domain.crash, domain.reset]
                )
                with suppress(AvirtError):
                    act()
                if rng.random() < 0.3:
                    await anyio.lowlevel.checkpoint()
            await settled(host)
            items: list[Change | Gap] = []
            while changes.lag:
                items += changes.read_nowait()
            assert not any(isinstance(item, Gap) for item in items)
            assert [item.seq for item in items] == sorted({item.seq for item in items})
            for item in items:
                apply(view, item)
        assert {record.key: record for record in view.values()} == dict(host.view)
        assert {record.name: record.state for record in host.view.values()} == {
            domain.name: domain.state for domain in world.domains.values()
        }
