"""Promise 6: a token gives exactly what was missed, or RevisionTooOld."""

from __future__ import annotations

import pytest

from avirt.errors import InvalidArgument, RevisionTooOld
from avirt.events.policies import TooOld
from avirt.events.store import Store
from tests.avirt.worlds import make_world, watched

pytestmark = pytest.mark.anyio


async def test_a_token_gives_exactly_what_was_missed() -> None:
    world = make_world("a", running=("a",))
    async with watched(world) as host:
        with host.watch() as whole, host.watch() as first:
            token = first.token
            world.domain("a").suspend()
            world.domain("a").resume()
            with host.watch(since=token) as resumed:
                assert resumed.resumed
                assert resumed.read_nowait() == whole.read_nowait()


async def test_a_token_that_is_too_old_is_said_or_gives_a_snapshot() -> None:
    world = make_world("a", running=("a",))
    async with watched(world, store=Store(capacity=4)) as host:
        token = host.watch().token
        for _ in range(5):
            world.domain("a").suspend()
            world.domain("a").resume()
        with pytest.raises(RevisionTooOld) as caught:
            host.watch(since=token)
        assert caught.value.reason == "pruned"
        again = host.watch(since=token, too_old=TooOld.SNAPSHOT)
        assert [record.name for record in again.snapshot] == ["a"]
        with pytest.raises(RevisionTooOld) as caught:
            host.watch(since=Store().subscribe().token)
        assert caught.value.reason == "epoch"
        with pytest.raises(InvalidArgument):
            host.watch(since="nonsense")
