"""JournalReader: what another process sees of a journal, live or at rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint
from anyio.streams.text import TextReceiveStream

from avirt.errors import InvalidArgument, NotFound, ResourceError, RevisionTooOld
from avirt.events import Filter
from avirt.events.journal import Retention, open_store
from avirt.events.journal_reader import JournalReader
from avirt.model.change import Change, Gap, HostChange

from .journals import sql
from .test_journal import crashing, on_disk, publish
from .world import World

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j.db"


async def take(reader: JournalReader, count: int) -> list[int]:
    numbers: list[int] = []
    with anyio.fail_after(10):
        while len(numbers) < count:
            numbers.append((await anext(reader)).seq)
    return numbers


@pytest.mark.slow
async def test_reader_begins_with_what_is_known_and_follows_a_live_journal(path: Path) -> None:
    world = World()
    async with open_store(path) as store:
        store.publish((world.host("h0", "connected"),))
        publish(store, world, 699)
        await on_disk(store)
        async with JournalReader(path, every=0.001) as reader:
            assert [*reader.snapshot] == store.view()
            assert reader.token == f"{store.epoch}:700"
            publish(store, world, 3)
            assert await take(reader, 3) == [701, 702, 703]
            publish(store, world, 600)
            assert await take(reader, 600) == [*range(704, 1304)]
            assert reader.token == f"{store.epoch}:1303"
        store.publish((world.host("h0", "lost"),))
        await on_disk(store)
        async with JournalReader(path) as reader:
            [record] = reader.snapshot
            assert (record.certainty, record.stale_why) == ("stale", "gone")


async def test_reader_resumes_by_a_token_and_gives_one(path: Path) -> None:
    """The tokens of subscriptions and of readers are the same."""
    world = World()
    async with crashing(path) as store:
        publish(store, world, 30)
        await on_disk(store)
        with store.subscribe(since=f"{store.epoch}:0") as subscription:
            for _ in range(10):
                await anext(subscription)
            token = subscription.token
    async with JournalReader(path, since=token, follow=False) as reader:
        assert not reader.snapshot
        assert await take(reader, 5) == [*range(11, 16)]
        assert reader.token.endswith(":15")
        rest = await reader.next_batch()
        assert [item.seq for item in rest] == [*range(16, 31)]
        assert await reader.next_batch() == []
        assert [item async for item in reader] == []
        assert reader.token.endswith(":30")
    async with open_store(path) as store:
        with store.subscribe(since=reader.token) as resumed:
            assert resumed.lag >= 0


@pytest.mark.slow
async def test_reader_passes_over_what_a_crash_left_unused(path: Path) -> None:
    world = World()
    heads: list[int] = []
    for _ in range(3):
        async with crashing(path) as store:
            publish(store, world, 5)
            heads.append(store.head)
            start = f"{store.epoch}:0"
            async with JournalReader(path, since=start) as reader:
                assert await take(reader, 5 * len(heads)) == [n for head in heads for n in range(head - 4, head + 1)]


async def test_reader_gives_only_what_passes_its_filter(path: Path) -> None:
    world = World()
    async with open_store(path) as store:
        for _ in range(12):
            publish(store, world, 99)
            store.publish((world.host("h0", "lost"),))
        await on_disk(store)
        only = Filter(kinds=frozenset({HostChange}))
        async with JournalReader(path, since=f"{store.epoch}:0", filter=only, follow=False) as reader:
            assert [item.seq async for item in reader] == [*range(100, 1201, 100)]
        async with JournalReader(path, filter=Filter(hosts=frozenset({"other"}))) as reader:
            assert not reader.snapshot


@pytest.mark.slow
async def test_reader_that_falls_behind_what_is_kept_is_told(path: Path) -> None:
    world = World()
    async with open_store(path, retention=Retention(rows=100, bytes=None, age=None)) as store:
        publish(store, world, 100)
        await on_disk(store)
        async with JournalReader(path, since=f"{store.epoch}:0", follow=False) as reader:
            for _ in range(3):
                publish(store, world, 400)
                await on_disk(store)
            items = [item async for item in reader]
        gap, after = items[0], items[1]
        assert isinstance(gap, Gap)
        assert isinstance(after, Change)
        assert (gap.lost, gap.seq) == (after.seq - 1, after.seq - 1)
        with pytest.raises(RevisionTooOld) as caught:
            async with JournalReader(path, since=f"{store.epoch}:5"):
                pass
        assert caught.value.reason == "pruned"


async def test_reader_of_a_journal_that_was_emptied_is_told(path: Path) -> None:
    world = World()
    async with open_store(path) as store:
        publish(store, world, 10)
    async with JournalReader(path, since=f"{store.epoch}:4", follow=False) as reader:
        await to_thread.run_sync(sql, path, "DELETE FROM changes")
        [gap] = [item async for item in reader]
        assert isinstance(gap, Gap)
        assert (gap.lost, gap.seq) == (6, 10)


@pytest.mark.parametrize(("token", "reason"), [("other:1", "epoch"), ("{}:100", "ahead")])
async def test_reader_refuses_a_token_by_reason(path: Path, token: str, reason: str) -> None:
    async with open_store(path) as store:
        publish(store, World(), 10)
    with pytest.raises(RevisionTooOld) as caught:
        async with JournalReader(path, since=token.format(store.epoch)):
            pass
    assert (caught.value.reason, caught.value.oldest, caught.value.head) == (reason, 1, 10)
    with pytest.raises(InvalidArgument):
        JournalReader(path, since="nonsense")


@pytest.mark.parametrize("contents", [None, b"", b"root:x:0:0\n" * 50])
async def test_reader_of_no_journal_says_so(path: Path, contents: bytes | None) -> None:
    if contents is not None:
        await anyio.Path(path).write_bytes(contents)
    with pytest.raises((NotFound, ResourceError)):
        async with JournalReader(path):
            pass


async def test_reader_of_a_damaged_journal_says_so(path: Path) -> None:
    async with open_store(path) as store:
        publish(store, World(), 10)
    await to_thread.run_sync(sql, path, "UPDATE changes SET data = x'00' WHERE seq = 5")
    async with JournalReader(path, since=f"{store.epoch}:0", follow=False) as reader:
        with pytest.raises(ResourceError, match="checksum"):
            await anext(reader)
    await to_thread.run_sync(sql, path, "UPDATE runs SET last = 3")
    with pytest.raises(ResourceError, match="can't be read"):
        async with JournalReader(path):
            pass


async def test_reader_notices_that_its_journal_was_set_aside(path: Path) -> None:
    async with open_store(path) as store:
        publish(store, World(), 10)
        await on_disk(store)
        async with JournalReader(path, since=f"{store.epoch}:0", every=0.001) as reader:
            assert store.journal is not None
            await take(reader, 10)
            store.journal._writer.condemn("for a test")
            with anyio.fail_after(10):
                await store.journal._over.wait()
            with pytest.raises(ResourceError):
                await anext(reader)


@pytest.mark.slow
async def test_reader_in_another_process_follows(path: Path) -> None:
    program = (
        "import anyio, sys\n"
        "from avirt import JournalReader\n"
        "async def main():\n"
        "    async with JournalReader(sys.argv[1], since=sys.argv[2]) as reader:\n"
        "        async for item in reader:\n"
        "            print(item.seq, item.name, reader.token, flush=True)\n"
        "anyio.run(main)\n"
    )
    world = World()
    async with open_store(path) as store:
        publish(store, world, 3)
        await on_disk(store)
        command = [sys.executable, "-c", program, str(path), f"{store.epoch}:1"]
        async with await anyio.open_process(command, cwd=ROOT, stderr=None) as process:
            assert process.stdout is not None
            lines = TextReceiveStream(process.stdout)
            said = ""
            with anyio.fail_after(30):
                while said.count("\n") < 2:
                    said += await lines.receive()
                publish(store, world, 2)
                while said.count("\n") < 4:
                    said += await lines.receive()
            process.terminate()
        assert said.splitlines() == [f"{seq} vm1 {store.epoch}:{seq}" for seq in range(2, 6)]
        assert store.journal is not None
        assert not store.journal.lost


@pytest.mark.slow
async def test_reader_disturbs_no_writer(path: Path) -> None:
    """While it stands still in the middle, the log of what is written does not grow for ever."""
    world = World()
    # a small ring: to free a large one takes its time, too
    async with open_store(path, capacity=1000, retention=Retention(rows=1000, bytes=None, age=None)) as store:
        publish(store, world, 600)
        await on_disk(store)
        async with JournalReader(path, since=f"{store.epoch}:0") as reader:
            await take(reader, 1)
            for _ in range(20):
                for _ in range(10):
                    publish(store, world, 200)
                    world.history.clear()
                    await checkpoint()
                await on_disk(store)
            log = await anyio.Path(f"{path}-wal").stat()
            assert log.st_size < 8 << 20
        assert store.journal is not None
        assert not store.journal.lost


async def test_reader_leaves_nothing_open(path: Path) -> None:
    async with open_store(path) as store:
        publish(store, World(), 10)
    before = await to_thread.run_sync(os.listdir, "/proc/self/fd")
    for _ in range(3):
        async with JournalReader(path, since=f"{store.epoch}:0", follow=False) as reader:
            assert await take(reader, 1) == [1]
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with JournalReader(path):
            pass
    assert len(await to_thread.run_sync(os.listdir, "/proc/self/fd")) == len(before)
