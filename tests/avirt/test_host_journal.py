"""connect() with a journal: the stream goes on where the last process ended."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

import avirt
from avirt.errors import InvalidArgument
from avirt.events import Store, apply
from avirt.host import connect, run_host
from avirt.model.change import Change, Gap, HostConnected, HostLost, HostResynced, JournalLost, Removed, StateChanged
from avirt.testing.checkers import validate
from tests.avirt.worlds import make_world, watched

pytestmark = pytest.mark.anyio


async def read(stream: avirt.Subscription) -> list[Change | Gap]:
    """All that there is."""
    items: list[Change | Gap] = []
    with anyio.fail_after(10):
        while stream.lag:
            items += await stream.next_batch()
    return items


def kinds(items: list[Change | Gap]) -> list[type]:
    return [type(item) for item in items]


async def test_journal_stream_over_two_processes_is_one_stream(tmp_path: Path) -> None:
    """What happened in between is told as after a lost connection; replayed, it gives the view."""
    journal = tmp_path / "j.db"
    world = make_world("a", "b", "c", running=("a", "b"))
    records: dict[Any, Any] = {}
    async with watched(world, journal=journal) as host:
        stream = host.watch()
        records |= {record.domain: record for record in stream.snapshot}
        world.domain("a").suspend()
        first = await read(stream)
        token = stream.token
        snapshot = list(records.values())
    world.domain("b").destroy()
    world.domain("c").undefine()
    async with watched(world, journal=journal) as host:
        with host.watch(since=token) as stream:
            second = await read(stream)
            view = list(host.view.values())
    assert kinds(second) == [HostLost, HostConnected, Removed, StateChanged, HostResynced]
    validate([*first, *second], snapshot=snapshot, view=view, start=int(token.split(":")[1]) - len(first))
    for item in [*first, *second]:
        apply(records, item)
    assert {record.domain: record for record in view} == records


async def test_journal_after_a_crash_the_stream_says_that_nobody_watched(tmp_path: Path) -> None:
    journal = tmp_path / "j.db"
    world = make_world("a", running=("a",))
    async with watched(world, journal=journal) as host:
        assert host.journal is not None
        assert host.journal.lost == ""
        with host.watch(durable=True) as stream:
            world.domain("a").suspend()
            with anyio.fail_after(10):
                assert isinstance(await anext(stream), StateChanged)
            token = stream.token
        kept = host.engine.store.journal
        assert kept is not None
        kept._writer.end(abandon=True)  # the process is killed here
        await to_thread.run_sync(kept._writer.join)
    async with watched(world, journal=journal) as host:
        with host.watch(since=token) as stream:
            lost, connected, synced = await read(stream)
    assert isinstance(lost, HostLost)
    assert lost.why == "avirt was ended, and did not watch until now"
    assert kinds([connected, synced]) == [HostConnected, HostResynced]
    assert connected.seq == lost.seq + 1 > 1_000_000


async def test_journal_that_cannot_be_used_does_not_keep_a_host_from_being_watched(tmp_path: Path) -> None:
    async with watched(make_world("a")) as host:
        assert host.journal is None
    async with watched(make_world("a"), journal=tmp_path / "no" / "j.db") as host:
        assert host.journal is not None
        assert host.journal.lost == "No such file or directory"
        with host.watch(since=f"{host.watch().token.split(':')[0]}:0") as stream:
            items = await read(stream)
    assert isinstance(items[0], JournalLost)
    assert isinstance(items[-1], HostResynced)


async def test_journal_of_a_shared_store_is_that_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="shared store"):
        async with connect("sim://test", store=Store(), journal=tmp_path / "j.db"):
            pass
    async with avirt.open_store(tmp_path / "j.db") as store:
        one, two = make_world("a"), make_world("b")
        async with watched(one, store=store, name="one"), watched(two, store=store, name="two"):
            pass
        head = store.head
    async with avirt.open_store(tmp_path / "j.db") as store, watched(one, store=store, name="one") as host:
        with store.subscribe(since=f"{store.epoch}:{head}") as stream:
            assert kinds(await read(stream)) == [HostConnected, HostResynced]
        assert list(store.hosts) == ["one"]
        assert [domain.name for domain in host.domains()] == ["a"]


async def test_journal_ends_with_the_host(tmp_path: Path) -> None:
    journal = tmp_path / "j.db"
    async with anyio.create_task_group() as tasks:

        async def run(task_status: Any) -> None:
            await run_host("sim://quiet", journal=journal, task_status=task_status)

        await tasks.start(run)
        assert "avirt journal" in [thread.name for thread in threading.enumerate()]
        tasks.cancel_scope.cancel()
    assert "avirt journal" not in [thread.name for thread in threading.enumerate()]
    async with avirt.JournalReader(journal) as reader:
        assert {record.certainty for record in reader.snapshot} == {"stale"}
    with pytest.raises(avirt.CannotConnect):
        async with connect("test+unix:///default?socket=/no/such/socket", journal=journal):
            pass
    assert "avirt journal" not in [thread.name for thread in threading.enumerate()]
