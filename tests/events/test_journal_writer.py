"""The journal's thread: what it writes, keeps, removes, goes on from, and gives up."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from avirt.events.journal_reader import read_page
from avirt.events.journal_schema import connect
from avirt.events.journal_writer import Begun, Lost, Writer, Written
from avirt.events.policies import Retention
from avirt.events.runs import BLOCK, Run
from avirt.model.change import Change, JournalLost

from .journals import Thread, files, sql, writing
from .world import FACTS, OTHER_FACTS, World, key

UNLIMITED = Retention(rows=None, bytes=None, age=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "j.db"


def kept(path: Path) -> list[Change]:
    """All that is in the file."""
    connection = connect(path, read_only=True)
    try:
        first = connection.execute("SELECT min(seq) FROM changes").fetchone()[0] or 1
        found: list[Change] = []
        while changes := read_page(connection, found[-1].seq if found else first - 1).changes:
            found += changes
        return found
    finally:
        connection.close()


# ---------------------------------------------------------------- numbers and contents


def test_writer_begins_a_new_file(path: Path) -> None:
    with writing(path) as thread:
        [begun] = thread.of(Begun)
        assert (begun.contents.epoch, begun.contents.head, begun.contents.memory) == ("e1", 0, {})
        assert (begun.aside, begun.why) == ("", "")
    assert sql(path, "PRAGMA journal_mode") == [("wal",)]
    assert files(path.parent) == {"j.db", "j.db.lock"}


def test_writer_keeps_what_it_is_given(path: Path) -> None:
    world = World()
    with writing(path) as thread:
        written = thread.write([world.host("h0", "connected"), *world.flips(20), world.native("h0", 1)])
        assert kept(path) == written
    assert kept(path) == written


def test_writer_writes_in_batches(path: Path) -> None:
    with writing(path) as thread:
        numbered = [replace(change, seq=seq) for seq, change in enumerate(World().flips(2000), 1)]
        for change in numbered:
            thread.writer.give((change,), change.seq)
        thread.until(Written, lambda written: written.seq == 2000)
        assert len(thread.of(Written)) <= 6
    assert kept(path) == numbered


def test_writer_that_ended_in_order_goes_on_with_the_next_number(path: Path) -> None:
    world = World()
    with writing(path) as thread:
        thread.write(world.flips(5))
    with writing(path) as thread:
        assert thread.head == 5
        thread.write(world.flips(5))
    assert [change.seq for change in kept(path)] == [*range(1, 11)]
    assert sql(path, "SELECT first, last, closed FROM runs") == [(0, 10, 1)]


def test_writer_after_a_crash_goes_on_beyond_its_block(path: Path) -> None:
    world = World()
    for crash in range(3):
        thread = Thread(path)
        begun = thread.start()
        assert begun.contents.head == crash * (BLOCK + 1 + 5)
        thread.write(world.flips(5))
        thread.end(abandon=True)
    thread = Thread(path)
    runs = thread.start().contents.runs
    thread.end()
    assert [*runs.all[:2]] == [Run(0, 5), Run(BLOCK + 6, BLOCK + 11)]


def test_writer_killed_before_it_wrote_leaves_its_numbers(path: Path) -> None:
    """They may have been given to readers."""
    for crash in range(3):
        thread = Thread(path)
        assert thread.start().contents.head == crash * (BLOCK + 1)
        thread.end(abandon=True)


def test_writer_killed_twice_the_second_time_before_it_wrote_goes_on(path: Path) -> None:
    world = World()
    thread = Thread(path)
    thread.start()
    thread.write(world.flips(5))
    thread.end(abandon=True)
    thread = Thread(path)
    thread.start()
    thread.end(abandon=True)
    with writing(path) as thread:
        [begun] = thread.of(Begun)
        assert (begun.aside, begun.contents.head) == ("", 5 + 2 * (BLOCK + 1))
        assert begun.contents.runs.start(5) == begun.contents.head


def test_writer_remembers_hosts_and_domains(path: Path) -> None:
    world = World()
    with writing(path) as thread:
        thread.write([world.host("h0", "connected"), *world.flips(4), world.add("h0", 2), world.add("h1", 3)])
        thread.write([world.remove("h0", 2), world.host("h0", "lost"), world.host("h0", "lost")])
    with writing(path) as thread:
        memory = thread.of(Begun)[0].contents.memory
    assert set(memory) == {"h0", "h1"}
    host = memory["h0"]
    assert (host.facts, host.connected, host.lost_why) == (FACTS, False, "gone")
    assert host.lost_at == next(change.observed_at for change in world.history if change.kind == "host_lost")
    assert host.revision == world.revisions["h0"]
    assert {place: record for place, (_, record) in host.records.items()} == {
        key(1): world.records[next(domain for domain in world.records if domain.key == key(1))]
    }
    assert host.records[key(1)][0] == 5
    assert memory["h1"].facts is None


def test_writer_remembers_a_loss_only_until_it_is_made_good(path: Path) -> None:
    world = World()
    with writing(path) as thread:
        thread.write([world.host("h0", what) for what in ("connected", "lost", "connected", "resynced")])
    with writing(path) as thread:
        host = thread.of(Begun)[0].contents.memory["h0"]
        assert (host.connected, host.lost_at, host.lost_why) == (True, None, "")


def test_writer_forgets_the_domains_of_a_replaced_host(path: Path) -> None:
    world = World()
    with writing(path) as thread:
        thread.write([world.add("h0", 1), world.add("h1", 1)])
        thread.write([world.add("h0", 2), world.host("h0", "replaced"), world.add("h0", 3)])
    with writing(path) as thread:
        memory = thread.of(Begun)[0].contents.memory
        assert (memory["h0"].facts, [*memory["h0"].records]) == (OTHER_FACTS, [key(3)])
        assert [*memory["h1"].records] == [key(1)]


def test_writer_forgets_a_host(path: Path) -> None:
    world = World()
    with writing(path) as thread:
        thread.write([world.add("h0", 1), world.add("h1", 1)])
        thread.writer.forget("h0")
        thread.write([world.add("h1", 2)])
    with writing(path) as thread:
        assert set(thread.of(Begun)[0].contents.memory) == {"h1"}


def test_writer_revisions_go_on_beyond_what_a_crash_has_lost(path: Path) -> None:
    """A Change that was given and not written took a number too."""
    world = World()
    thread = Thread(path)
    thread.start()
    thread.write(world.flips(5))
    thread.end(abandon=True)
    with writing(path) as thread:
        assert thread.of(Begun)[0].contents.memory["h0"].revision == 5 + BLOCK + 1


def test_writer_keeps_names_that_are_no_utf8(path: Path) -> None:
    world = World()
    host = "h\udcff"
    with writing(path) as thread:
        thread.write([world.add(host, 1), JournalLost(host="", why="\udcfe")])
    with writing(path) as thread:
        [(name, memory)] = thread.of(Begun)[0].contents.memory.items()
        assert (name, [record.host for _, record in memory.records.values()]) == (host, [host])


# ---------------------------------------------------------------- retention


@pytest.mark.slow
def test_writer_keeps_so_many_rows(path: Path) -> None:
    world = World()
    with writing(path, retention=Retention(rows=100, bytes=None, age=None)) as thread:
        for _ in range(10):
            thread.write(world.flips(50))
            assert 100 <= len(kept(path)) <= 106 or thread.head <= 106
        assert thread.of(Written)[-1].pruned == kept(path)[0].seq - 1


def test_writer_keeps_rows_of_several_runs(path: Path) -> None:
    world = World()
    keep = Retention(rows=100, bytes=None, age=None)
    for _ in range(4):
        thread = Thread(path, retention=keep)
        thread.start()
        thread.write(world.flips(40))
        thread.end(abandon=True)
    # 160 in all: the first run is gone, the others are there
    assert [first for first, *_ in sql(path, "SELECT first FROM runs")] == [1_000_041 * n for n in (1, 2, 3)]
    assert sql(path, "SELECT count(*) FROM changes") == [(100,)]


@pytest.mark.slow
def test_writer_keeps_so_many_bytes(path: Path) -> None:
    world = World()
    limit = 200_000
    with writing(path, retention=Retention(rows=None, bytes=limit, age=None)) as thread:
        for _ in range(20):
            thread.write(world.flips(500))
        [[pages], [free]] = sql(path, "PRAGMA page_count") + sql(path, "PRAGMA freelist_count")
    assert (int(str(pages)) - int(str(free))) * 4096 < limit * 1.3
    assert path.stat().st_size < limit * 2
    assert len(kept(path)) > 500


def test_writer_keeps_rows_of_an_age(path: Path) -> None:
    now = 1000.0
    world = World()
    with writing(path, retention=Retention(rows=None, bytes=None, age=60.0), wall=lambda: now) as thread:
        thread.write(world.flips(10))
        now += 50
        thread.write(world.flips(10))
        assert len(kept(path)) == 20
        now += 20
        thread.write(world.flips(1))
        assert [change.seq for change in kept(path)] == [*range(11, 22)]
        now += 1000
        thread.write(world.flips(1))
        assert [change.seq for change in kept(path)] == [22]
    with writing(path) as thread:
        assert thread.head == 22


def test_writer_without_limits_removes_nothing(path: Path) -> None:
    with writing(path, retention=UNLIMITED) as thread:
        thread.write(World().flips(3000))
        assert thread.of(Written)[-1].pruned == 0


# ---------------------------------------------------------------- what it gives up


def lost(thread: Thread) -> Lost:
    """Of a thread that could not go on; it has ended by itself."""
    found = thread.lost
    thread.writer.join(10)
    assert not thread.writer.is_alive()
    return found


def test_writer_gives_up_where_there_is_no_folder(tmp_path: Path) -> None:
    thread = Thread(tmp_path / "no" / "j.db")
    thread.writer.start()
    assert lost(thread) == Lost("No such file or directory")


def test_writer_gives_up_a_file_that_another_one_writes(path: Path) -> None:
    with writing(path):
        second = Thread(path)
        second.writer.start()
        assert lost(second) == Lost("another process, or another store, writes to it")
    with writing(path):
        pass


def test_writer_gives_up_a_file_that_another_one_writes_under_another_name(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with writing(path):
        second = Thread(link)
        second.writer.start()
        assert lost(second).why == "another process, or another store, writes to it"


@pytest.mark.parametrize("contents", [b"root:x:0:0\n" * 50, b"SQLite format 3\0" + bytes(84), b"x"])
def test_writer_leaves_a_file_alone_that_is_no_journal(path: Path, contents: bytes) -> None:
    path.write_bytes(contents)
    thread = Thread(path)
    thread.writer.start()
    assert lost(thread).why == "it is not a journal of avirt"
    assert path.read_bytes() == contents


def test_writer_leaves_somebody_elses_database_alone(path: Path) -> None:
    sql(path, "CREATE TABLE mine (x)")
    before = path.read_bytes()
    thread = Thread(path)
    thread.writer.start()
    assert lost(thread) == Lost("it is not a journal of avirt")
    assert path.read_bytes() == before


def test_writer_begins_in_an_empty_file(path: Path) -> None:
    path.touch()
    with writing(path) as thread:
        assert thread.of(Begun)[0].aside == ""


def test_writer_sets_aside_a_journal_of_another_version(path: Path) -> None:
    with writing(path) as thread:
        thread.write(World().flips(3))
    sql(path, "PRAGMA user_version=99")
    with writing(path) as thread:
        [begun] = thread.of(Begun)
        assert begun.why == "it has version 99 of the format, this avirt has 1"
        assert begun.aside == f"{path}.aside"
        assert (begun.contents.head, kept(path)) == (0, [])
    assert sql(Path(f"{path}.aside"), "SELECT count(*) FROM changes") == [(3,)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE runs SET last = last - 1",
        "UPDATE meta SET epoch = 'other'",
        "DELETE FROM meta",
        "UPDATE domains SET data = x'00'",
        "UPDATE domains SET key = x'00'",
        "UPDATE hosts SET revision = 1",
        "DELETE FROM changes WHERE seq = (SELECT max(seq) FROM changes)",
        "UPDATE runs SET first = NULL",
        "DROP TABLE runs",
        "UPDATE runs SET last = 'x'",
    ],
)
def test_writer_sets_aside_a_journal_that_contradicts_itself(path: Path, statement: str) -> None:
    world = World()
    with writing(path) as thread:
        thread.write([world.host("h0", "connected"), *world.flips(3)])
    try:
        sql(path, statement)
    except sqlite3.IntegrityError:
        sql(path, "UPDATE runs SET first = first + 1")
    with writing(path) as thread:
        [begun] = thread.of(Begun)
        assert begun.aside
        assert begun.contents.head == 0


def test_writer_gives_up_when_the_disk_is_full(path: Path) -> None:
    thread = Thread(path)
    thread.start()
    thread.writer._db.execute("PRAGMA max_page_count=20")
    numbered = [replace(change, seq=seq) for seq, change in enumerate(World().flips(2000), 1)]
    thread.writer.give(numbered, 2000)
    assert lost(thread).why.startswith("the disk is full")
    assert kept(path) == numbered[: len(kept(path))]
    with writing(path) as thread:
        assert thread.of(Begun)[0].aside == ""


@pytest.mark.parametrize("what", ["removed", "replaced", "vanished"])
def test_writer_gives_up_a_file_that_is_not_there_any_more(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "j.db"
    thread = Thread(path)
    thread.start()
    if what == "vanished":
        folder.rename(tmp_path / "elsewhere")
    else:
        path.unlink()
    if what == "replaced":
        path.touch()
    thread.writer.give([replace(change, seq=1) for change in World().flips(1)], 1)
    assert lost(thread).why == (
        "another file is in its place" if what == "replaced" else "the file is gone: No such file or directory"
    )
    assert not thread.of(Written)


def test_writer_sets_aside_what_a_reader_found_damaged(path: Path) -> None:
    thread = Thread(path)
    thread.start()
    thread.write(World().flips(3))
    thread.writer.condemn("a row is wrong")
    assert lost(thread) == Lost("a row is wrong", f"{path}.aside")
    with writing(path) as thread:
        assert thread.head == 0


def test_writer_ends_the_journal_by_a_bug_of_ours_and_nothing_else(path: Path) -> None:
    thread = Thread(path)
    thread.start()
    thread.writer.give((object(),), 1)  # type: ignore[arg-type]
    assert lost(thread).why.startswith("internal error: AttributeError")


def test_writer_lock_is_let_go_by_whoever_ends(path: Path) -> None:
    first = Thread(path)
    first.start()
    first.end(abandon=True)
    with writing(path):
        pass


def test_writer_is_a_thread_with_a_name(path: Path) -> None:
    writer = Writer(path, retention=UNLIMITED, epoch=lambda: "e", tell=lambda _: None)
    assert (writer.name, writer.daemon) == ("avirt journal", True)
