"""Promise 6: a token gives exactly what was missed, or RevisionTooOld; with a journal across processes too."""

from __future__ import annotations

from pathlib import Path

import pytest

from avirt.errors import InvalidArgument, RevisionTooOld
from avirt.events.policies import TooOld
from avirt.events.store import Store
from avirt.model.change import HostConnected, HostLost, HostResynced, StateChanged
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


async def test_a_token_outlives_its_process_with_a_journal(tmp_path: Path) -> None:
    """Crashes are tests/events/test_journal_kill.py's: 200 of them."""
    journal = tmp_path / "journal.db"
    world = make_world("a", "b", running=("a", "b"))
    async with watched(world, journal=journal) as host:
        with host.watch(durable=True) as watch:
            world.domain("a").suspend()
            given = await anext(watch)
            token = watch.token
    world.domain("b").suspend()
    async with watched(world, journal=journal) as host:
        with host.watch(since=token) as resumed:
            missed = [await anext(resumed) for _ in range(4)]
    assert [type(item) for item in missed] == [HostLost, HostConnected, StateChanged, HostResynced]
    assert [item.seq for item in missed] == [given.seq + 1 + place for place in range(4)]
