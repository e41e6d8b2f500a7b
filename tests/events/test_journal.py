"""A store with a journal: tokens across processes, readers that wait for the disk, and the loss of the journal."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint

from avirt.errors import InvalidArgument, ResourceError, RevisionTooOld, SlowSubscriber
from avirt.events import Filter, Slow, Store, Subscription, apply
from avirt.events.journal import Journal, Retention, open_store
from avirt.events.journal_writer import Lost
from avirt.events.policies import TooOld
from avirt.events.runs import BLOCK
from avirt.model.change import Change, Gap, HostChange, JournalLost, RecordChange
from avirt.model.record import HostStatus

from .world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j.db"


@asynccontextmanager
async def crashing(path: Path, **options: Any) -> AsyncIterator[Store]:
    """A store whose process ends without a word once everything given to it so far is on disk."""
    async with open_store(path, **options) as store:
        yield store
        assert store.journal is not None
        await on_disk(store)
        store.journal._writer.end(abandon=True)


async def on_disk(store: Store) -> None:
    journal = store.journal
    assert journal is not None
    with anyio.fail_after(10):
        while journal.written < store.head and not journal.lost:
            waiter = journal.notifier.join()
            await waiter
            journal.notifier.leave(waiter)


async def take(subscription: Subscription, count: int) -> list[Change | Gap]:
    items: list[Change | Gap] = []
    with anyio.fail_after(10):
        while len(items) < count:
            items.append(await anext(subscription))
    return items


async def rest(subscription: Subscription) -> list[Change | Gap]:
    """Until it ends."""
    with anyio.fail_after(10):
        return [item async for batch in subscription.batches() for item in batch]


def seqs(items: Sequence[Change | Gap]) -> list[int]:
    return [item.seq for item in items]


def publish(store: Store, world: World, count: int) -> None:
    """In pieces, as drivers do."""
    changes = [*world.flips(count)]
    for start in range(0, count, 20):
        store.publish(changes[start : start + 20])


async def publish_many(store: Store, world: World, count: int) -> None:
    """So many hundreds; the loop runs in between."""
    for _ in range(0, count, 100):
        publish(store, world, 100)
        await checkpoint()


# ---------------------------------------------------------------- tokens


async def test_journal_token_of_an_earlier_process_resumes(path: Path) -> None:
    world = World()
    async with open_store(path) as store:
        publish(store, world, 50)
        with store.subscribe(since=f"{store.epoch}:0") as seen:
            first = await take(seen, 20)
            token = seen.token
    async with open_store(path) as store:
        publish(store, world, 50)
        with store.subscribe(since=token) as resumed:
            assert resumed.resumed
            second = await take(resumed, 80)
            assert (resumed.lag, resumed.token) == (0, f"{store.epoch}:100")
            assert resumed.statistics.given == 80
    assert seqs(first + second) == [*range(1, 101)]
    assert [*map(_plain, first + second)] == [*map(_plain, world.history)]


def _plain(change: Change | Gap) -> Any:
    from msgspec.structs import replace

    return replace(change, seq=0)


async def test_journal_token_goes_on_from_the_disk_to_the_ring_and_on(path: Path) -> None:
    world = World()
    async with open_store(path, capacity=100) as store:
        await publish_many(store, world, 1500)
        await on_disk(store)
        subscription = store.subscribe(since=f"{store.epoch}:0")
        items = await take(subscription, 700)
        publish(store, world, 50)
        await on_disk(store)
        items += await take(subscription, 850)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_later, store, world)
            items += await take(subscription, 1)
        assert seqs(items) == [*range(1, 1552)]
        assert subscription.statistics.given == 1551


async def _later(store: Store, world: World) -> None:
    await anyio.sleep(0.01)
    publish(store, world, 1)


async def test_journal_token_with_a_filter_gives_only_that(path: Path) -> None:
    world = World()
    async with open_store(path, capacity=100) as store:
        for _ in range(20):
            publish(store, world, 99)
            store.publish((world.host("h0", "lost"),))
        await on_disk(store)
        wanted = Filter(kinds=frozenset({HostChange}))
        subscription = store.subscribe(since=f"{store.epoch}:0", filter=wanted)
        assert seqs(await take(subscription, 20)) == [*range(100, 2001, 100)]
        assert subscription.lag == 0


async def test_journal_tokens_are_refused_by_reason(path: Path) -> None:
    world = World()
    keep = Retention(rows=100, bytes=None, age=None)
    async with crashing(path, capacity=50, retention=keep) as store:
        publish(store, world, 500)
        await on_disk(store)
        given_and_lost = store.subscribe()
        epoch = store.epoch
    lost = f"{epoch}:{500 + 3}"
    async with open_store(path, retention=keep) as store:
        assert store.epoch == epoch
        assert store.head == 500 + BLOCK + 1
        for token, reason in (
            (f"{epoch}:10", "pruned"),
            (lost, "ahead"),
            (f"{epoch}:{store.head + 1}", "ahead"),
            ("other:3", "epoch"),
        ):
            with pytest.raises(RevisionTooOld) as caught:
                store.subscribe(since=token)
            assert (caught.value.reason, caught.value.head) == (reason, store.head)
            again = store.subscribe(since=token, too_old=TooOld.SNAPSHOT)
            assert not again.resumed
        with store.subscribe(since=given_and_lost.token) as resumed:
            store.publish((world.host("h0", "lost"),))
            assert seqs(await take(resumed, 1)) == [store.head]


async def test_journal_numbers_after_a_crash_are_new(path: Path) -> None:
    world = World()
    async with crashing(path) as store:
        publish(store, world, 10)
    async with crashing(path) as store:
        with store.subscribe(since=f"{store.epoch}:4") as subscription:
            publish(store, world, 3)
            numbers = seqs(await take(subscription, 9))
            assert numbers == [*range(5, 11), *range(BLOCK + 12, BLOCK + 15)]
            assert subscription.token == f"{store.epoch}:{BLOCK + 14}"


@pytest.mark.slow
async def test_journal_of_a_reader_that_is_behind_what_is_kept_follows_its_policy(path: Path) -> None:
    world = World()
    keep = Retention(rows=100, bytes=None, age=None)
    async with open_store(path, capacity=50, retention=keep) as store:
        publish(store, world, 90)
        await on_disk(store)
        readers = {slow: store.subscribe(since=f"{store.epoch}:0", slow=slow) for slow in Slow}
        for reader in readers.values():
            # it has a page of the disk in its hands: what comes after that is gone when it goes on
            assert len(await take(reader, 90)) == 90
        for _ in range(4):
            publish(store, world, 400)
            await on_disk(store)
        [merged] = await take(readers[Slow.COALESCE], 1)
        assert isinstance(merged, RecordChange)
        assert merged.after is not None
        assert merged.seq == store.head
        [gap] = await take(readers[Slow.GAP], 1)
        assert isinstance(gap, Gap)
        assert gap.lost == store.head - 50 - 90
        with pytest.raises(SlowSubscriber):
            await take(readers[Slow.DISCONNECT], 1)


# ---------------------------------------------------------------- records


async def test_journal_records_go_on_when_their_host_is_looked_after_again(path: Path) -> None:
    world = World()
    async with crashing(path) as store:
        store.publish((world.host("h0", "connected"), *world.flips(3)))
        [before] = store.view()
    async with open_store(path) as store:
        assert (store.view(), dict(store.hosts)) == ([], {})
        store.set_status(HostStatus(name="h0"))
        memory = store.recall("h0")
        assert memory is not None
        assert memory.connected
        assert store.recall("h0") is None
        [after] = store.view()
        assert (after.name, after.state, after.certainty) == (before.name, before.state, "stale")
        with store.subscribe() as subscription:
            assert [record.name for record in subscription.snapshot] == ["vm1"]
        # a reader that is behind all that this process knows starts anew
        records: dict[Any, Any] = {}
        store.publish([*world.flips(1)])
        with store.subscribe(since=f"{store.epoch}:0") as resumed:
            for item in await take(resumed, 5):
                apply(records, item)
        assert [*records.values()] == [store.record("h0", before.key)]


async def test_journal_forgets_a_host_with_the_store(path: Path) -> None:
    world = World()
    async with open_store(path) as store:
        store.publish([*world.flips(3, host="a"), *world.flips(3, host="b")])
        store.forget("a")
    async with open_store(path) as store:
        assert store.recall("a") is None
        assert store.recall("b") is not None
        store.forget("b")
        assert store.recall("b") is None


# ---------------------------------------------------------------- durable


async def test_journal_durable_reader_gets_only_what_is_on_disk(path: Path) -> None:
    world = World()
    async with open_store(path) as store:
        assert store.journal is not None
        durable, quick = store.subscribe(durable=True), store.subscribe()
        for _ in range(5):
            publish(store, world, 300)
            assert len(quick.read_nowait()) == 300
            assert all(item.seq <= store.journal.written for item in durable.read_nowait())
            [item] = await take(durable, 1)
            assert item.seq <= store.journal.written
            rows = await to_thread.run_sync(_last_row, path)
            assert rows >= item.seq
    assert durable.lag > 0
    await rest(durable)
    assert durable.lag == 0


def _last_row(path: Path) -> int:
    connection = sqlite3.connect(path)
    last: int = connection.execute("SELECT max(seq) FROM changes").fetchone()[0]
    connection.close()
    return last


async def test_journal_durable_reader_drops_its_snapshot_once_reading_began(path: Path) -> None:
    world = World()
    async with open_store(path) as store:
        publish(store, world, 1)
        subscription = store.subscribe(durable=True)
        assert subscription.snapshot
        publish(store, world, 1)
        await take(subscription, 1)
        assert (list(subscription.snapshot), dict(subscription.hosts)) == ([], {})


@pytest.mark.slow
async def test_journal_durable_reader_that_is_slow_loses_nothing(path: Path) -> None:
    """It falls behind the ring, not behind the disk."""
    world = World()
    async with open_store(path, capacity=100) as store:
        subscription = store.subscribe(durable=True, slow=Slow.DISCONNECT)
        for _ in range(4):
            publish(store, world, 500)
            await on_disk(store)
        assert seqs(await take(subscription, 2000)) == [*range(1, 2001)]
        publish(store, world, 5)
        assert seqs(await take(subscription, 5)) == [*range(2001, 2006)]


@pytest.mark.slow
@pytest.mark.parametrize("slow", [Slow.COALESCE, Slow.DISCONNECT])
async def test_journal_durable_reader_behind_what_is_kept_is_told(path: Path, slow: Slow) -> None:
    world = World()
    keep = Retention(rows=100, bytes=None, age=None)
    async with open_store(path, capacity=50, retention=keep) as store:
        subscription = store.subscribe(durable=True, slow=slow)
        for _ in range(4):
            publish(store, world, 400)
            await on_disk(store)
        if slow is Slow.DISCONNECT:
            with pytest.raises(SlowSubscriber):
                await take(subscription, 1)
            assert await rest(subscription) == []
            return
        gap, after = await take(subscription, 2)
        assert isinstance(gap, Gap)
        assert (gap.lost, gap.seq) == (after.seq - 1, after.seq - 1)
        assert subscription.statistics.lost == gap.lost


async def test_journal_durable_reader_waits_and_is_closed_while_it_waits(path: Path) -> None:
    async with open_store(path) as store:
        subscription = store.subscribe(durable=True)
        ended = anyio.Event()

        async def read() -> None:
            assert await rest(subscription) == []
            ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await checkpoint()
            subscription.close()
            with anyio.fail_after(10):
                await ended.wait()
        assert subscription.read_nowait() == []


async def test_journal_durable_reader_that_is_cancelled_loses_nothing(path: Path) -> None:
    world = World()
    async with open_store(path, capacity=64) as store:
        publish(store, world, 300)
        await on_disk(store)
        subscription = store.subscribe(since=f"{store.epoch}:0", durable=True)
        items: list[Change | Gap] = []
        for turns in range(200):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:

                    async def cancel(turns: int, scope: anyio.CancelScope) -> None:
                        for _ in range(turns % 7):
                            await checkpoint()
                        scope.cancel()

                    tasks.start_soon(cancel, turns, scope)
                    items += await subscription.next_batch(7)
        with anyio.fail_after(10):
            while len(items) < 300:
                items += await subscription.next_batch(50)
        assert seqs(items) == [*range(1, 301)]


async def test_journal_is_what_durable_needs() -> None:
    with pytest.raises(InvalidArgument, match="no journal"):
        Store().subscribe(durable=True)


# ---------------------------------------------------------------- loss


async def test_journal_that_cannot_be_opened_is_said_and_costs_nothing_else(tmp_path: Path) -> None:
    world = World()
    async with open_store(tmp_path / "no" / "j.db") as store:
        [lost] = store.subscribe(since=f"{store.epoch}:0").read_nowait()
        assert isinstance(lost, JournalLost)
        assert (lost.why, lost.epoch, lost.aside, lost.renewed, lost.host) == (
            "No such file or directory",
            store.epoch,
            "",
            False,
            "",
        )
        assert dict(store.hosts) == {}
        publish(store, world, 10)
        with pytest.raises(ResourceError, match="No such file"):
            store.subscribe(durable=True)
        assert store.journal is not None
        assert store.journal.statistics.lost == lost.why


async def test_journal_in_use_is_said(path: Path) -> None:
    async with open_store(path) as store, open_store(path) as second:
        assert store.journal is not None
        assert not store.journal.lost
        assert second.journal is not None
        assert second.journal.lost == "another process, or another store, writes to it"
        assert second.epoch != store.epoch


async def test_journal_that_was_set_aside_is_renewed_and_said(path: Path) -> None:
    world = World()
    async with open_store(path) as store:
        publish(store, world, 10)
        old = store.subscribe()
    await to_thread.run_sync(_damage, path)
    async with open_store(path) as store:
        with store.subscribe(since=f"{store.epoch}:0", durable=True) as subscription:
            publish(store, world, 1)
            lost, _ = await take(subscription, 2)
            assert isinstance(lost, JournalLost)
            assert (lost.renewed, lost.aside, lost.seq) == (True, f"{path}.aside", 1)
        with pytest.raises(RevisionTooOld) as caught:
            store.subscribe(since=old.token)
        assert caught.value.reason == "epoch"


def _damage(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE runs SET last = 3")
    connection.commit()
    connection.close()


async def test_journal_lost_on_the_way_is_said_and_the_stream_goes_on(tmp_path: Path) -> None:
    """Its numbers belong to a new epoch: the file is free to use them again."""
    folder = tmp_path / "folder"
    await anyio.Path(folder).mkdir()
    world = World()
    async with open_store(folder / "j.db") as store:
        old = store.epoch
        durable, quick = store.subscribe(durable=True), store.subscribe()
        publish(store, world, 10)
        await take(durable, 10)
        before = durable.token
        await anyio.Path(folder).rename(tmp_path / "elsewhere")
        publish(store, world, 10)
        with pytest.raises(ResourceError, match="the file is gone"):
            await take(durable, 1)
        publish(store, world, 5)
        assert await rest(durable) == []
        lost = quick.read_nowait()[20]
        assert isinstance(lost, JournalLost)
        assert (lost.why, lost.epoch) == ("the file is gone: No such file or directory", store.epoch)
        assert store.epoch != old
        assert (before, durable.token, quick.token) == (f"{old}:10", f"{old}:10", f"{store.epoch}:26")
        # both epochs resume here, each for its own numbers
        for token, count in ((before, 16), (quick.token, 0)):
            with store.subscribe(since=token) as resumed:
                assert len(resumed.read_nowait()) == count
        for token in (f"{old}:26", f"{store.epoch}:10"):
            with pytest.raises(RevisionTooOld) as caught:
                store.subscribe(since=token)
            assert caught.value.reason == "epoch"


@pytest.mark.parametrize("how", ["await", "nowait", "behind the ring"])
async def test_journal_durable_reader_is_given_nothing_that_is_on_no_disk(path: Path, how: str) -> None:
    """Also not when the journal is lost: what comes before JournalLost was not written."""
    world = World()
    async with open_store(path, capacity=50) as store:
        durable = store.subscribe(durable=True)
        assert store.journal is not None
        publish(store, world, 20)
        await on_disk(store)
        publish(store, world, 200 if how == "behind the ring" else 20)
        store.journal._give_up(Lost("for a test"))
        if how == "nowait":
            assert seqs(durable.read_nowait()) == [*range(1, 21)]
        with pytest.raises(ResourceError, match="for a test"):
            durable.read_nowait() if how == "nowait" else await take(durable, 300)
        assert durable.lag >= store.head - 20


async def test_journal_lost_passes_every_filter_of_hosts_and_none_of_kinds(tmp_path: Path) -> None:
    world = World()
    async with open_store(tmp_path / "no" / "j.db", capacity=20) as store:
        start = f"{store.epoch}:0"
        hosts, kinds = Filter(hosts=frozenset({"h0"})), Filter(kinds=frozenset({RecordChange}))
        assert len(store.subscribe(since=start, filter=hosts).read_nowait()) == 1
        assert store.subscribe(since=start, filter=kinds).read_nowait() == []
        behind = store.subscribe(since=start)
        publish(store, world, 15)
        publish(store, world, 15)
        gap = behind.read_nowait()[0]
        assert isinstance(gap, Gap)


async def test_journal_on_a_disk_that_is_too_slow_is_given_up(path: Path) -> None:
    world = World()
    async with open_store(path, backlog=300) as store:
        with store.subscribe() as subscription:
            for _ in range(4):
                publish(store, world, 100)
            lost = subscription.read_nowait()[320]
        assert isinstance(lost, JournalLost)
        assert lost.why == "the disk is too slow: 320 changes wait for it"


@pytest.mark.parametrize("backlog", [0, BLOCK])
async def test_journal_with_a_backlog_beyond_what_is_reserved_is_refused(path: Path, backlog: int) -> None:
    with pytest.raises(InvalidArgument):
        async with open_store(path, backlog=backlog):
            pass


async def test_journal_of_a_ring_that_is_too_small_is_given_up(path: Path) -> None:
    world = World()
    async with open_store(path, capacity=10) as store:
        store.publish([*world.flips(20)])
        assert store.journal is not None
        assert store.journal.lost == "more changes came at once than the ring holds"


async def test_journal_that_a_reader_finds_damaged_is_set_aside(path: Path) -> None:
    world = World()
    async with open_store(path, capacity=100) as store:
        await publish_many(store, world, 1000)
        await on_disk(store)
        await to_thread.run_sync(_spoil_row, path)
        subscription = store.subscribe(since=f"{store.epoch}:0", slow=Slow.GAP)
        gap, *items = await take(subscription, 101)
        assert isinstance(gap, Gap)
        assert isinstance(items[-1], JournalLost)
        assert items[-1].aside == f"{path}.aside"


def _spoil_row(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE changes SET data = x'00' WHERE seq = 5")
    connection.commit()
    connection.close()


# ---------------------------------------------------------------- beginning and end


async def test_journal_leaves_no_thread_and_no_file_open(path: Path) -> None:
    world = World()
    async with open_store(path, capacity=50) as store:
        assert [thread.name for thread in threading.enumerate()].count("avirt journal") == 1
        publish(store, world, 100)
        await on_disk(store)
        await take(store.subscribe(since=f"{store.epoch}:0"), 100)
    assert "avirt journal" not in [thread.name for thread in threading.enumerate()]
    opened = [anyio.Path(entry) async for entry in anyio.Path("/proc/self/fd").iterdir()]
    names = [str(await entry.readlink()) for entry in opened if await entry.is_symlink() and await entry.exists()]
    assert not [name for name in names if name.startswith(str(path.parent))]


async def test_journal_writes_what_is_left_when_it_is_closed(path: Path) -> None:
    world = World()
    async with open_store(path) as store:
        await publish_many(store, world, 3000)
        statistics = store.journal.statistics if store.journal else None
        assert statistics is not None
        assert statistics.waiting + statistics.written == 3000
    assert store.journal is not None
    assert store.journal.statistics.written == 3000
    assert store.journal.statistics.commits <= 30
    assert store.journal.statistics.lost == ""


async def test_journal_that_is_left_by_an_exception_is_closed(path: Path) -> None:
    async def fail() -> None:
        async with open_store(path) as store:
            publish(store, World(), 10)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    async with open_store(path) as store:
        assert store.head == 10


async def test_journal_whose_opening_is_cancelled_ends(path: Path) -> None:
    store = open_store(path)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.__aenter__()
    assert scope.cancelled_caught
    assert "avirt journal" not in [thread.name for thread in threading.enumerate()]


async def test_journal_of_a_closed_store_ends_its_readers(path: Path) -> None:
    world = World()
    async with open_store(path, capacity=50) as store:
        durable = store.subscribe(durable=True)
        publish(store, world, 60)
    ring_only = store.subscribe(since=f"{store.epoch}:5", slow=Slow.GAP)
    assert seqs(await rest(durable))[-1] == 60
    assert isinstance((await rest(ring_only))[0], Gap)


async def test_journal_is_open_by_one_object(path: Path) -> None:
    async with open_store(path) as store:
        assert isinstance(store.journal, Journal)
        assert store.journal.path == path
