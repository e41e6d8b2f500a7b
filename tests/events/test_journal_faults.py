"""A journal whose file was harmed: what is read is what was written, or it is said that it is not."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from avirt.events.journal_reader import read_page
from avirt.events.journal_schema import Contents, Damaged, NotOurs, connect, contents, is_ours
from avirt.model.change import Change

from .journals import writing
from .world import World

CHANGES = 600


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Change]]:
    """A file, and what was written to it."""
    path = tmp_path_factory.mktemp("journal") / "j.db"
    world = World()
    with writing(path) as thread:
        written = thread.write([world.host("h0", "connected"), *(world.add("h0", n) for n in range(1, 20))])
        written += thread.write(
            world.change("h0", n % 19 + 1, ("state", "update", "rename")[n % 3]) for n in range(CHANGES)
        )
    return path, written


def opened(path: Path) -> Contents:
    with closing(connect(path)) as connection:
        if not is_ours(connection, path):
            raise NotOurs
        return contents(connection, begin=True)


def read(path: Path) -> Iterator[Change]:
    with closing(connect(path)) as connection:
        after = 0
        while changes := read_page(connection, after).changes:
            yield from changes
            after = changes[-1].seq


def test_journal_unharmed_is_what_was_written(sound: tuple[Path, list[Change]], tmp_path: Path) -> None:
    path = Path(shutil.copy(sound[0], tmp_path / "j.db"))
    assert opened(path).head == len(sound[1])
    assert [*read(path)] == sound[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_journal_with_flipped_bytes_never_says_anything_wrong(
    sound: tuple[Path, list[Change]], tmp_path: Path, seed: int
) -> None:
    whole = sound[0].read_bytes()
    truth = opened(Path(shutil.copy(sound[0], tmp_path / "truth.db")))
    random = Random(seed)
    found = {"seen": 0, "harmless": 0}
    for number in range(30):
        harmed = bytearray(whole)
        for _ in range(random.choice((1, 1, 1, 16))):
            harmed[random.randrange(len(harmed))] ^= 1 << random.randrange(8)
        path = tmp_path / f"{number}.db"
        path.write_bytes(harmed)
        try:
            given = opened(path)
            assert (given.epoch, given.head, given.memory) == (truth.epoch, truth.head, truth.memory)
            before: list[Change] = []
            for change in read(path):
                before.append(change)
                assert change == sound[1][len(before) - 1]
            assert len(before) == len(sound[1])
            found["harmless"] += 1
        except (Damaged, NotOurs, sqlite3.DatabaseError):
            found["seen"] += 1
    assert found["seen"] > 10, found


@pytest.mark.parametrize("size", [0.1, 0.5, 0.9])
def test_journal_that_was_cut_off_is_damaged(sound: tuple[Path, list[Change]], tmp_path: Path, size: float) -> None:
    path = Path(shutil.copy(sound[0], tmp_path / "j.db"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * size)])
    with pytest.raises((Damaged, sqlite3.DatabaseError)):
        _ = opened(path), [*read(path)]


def test_journal_with_a_row_missing_is_damaged(sound: tuple[Path, list[Change]], tmp_path: Path) -> None:
    path = Path(shutil.copy(sound[0], tmp_path / "j.db"))
    with closing(connect(path)) as connection:
        connection.execute("DELETE FROM changes WHERE seq = 300")
    with pytest.raises(Damaged, match="1 changes before 301 are missing"):
        [*read(path)]


def test_journal_with_rows_that_changed_places_is_damaged(sound: tuple[Path, list[Change]], tmp_path: Path) -> None:
    path = Path(shutil.copy(sound[0], tmp_path / "j.db"))
    with closing(connect(path)) as connection:
        connection.execute("UPDATE changes SET data = (SELECT data FROM changes WHERE seq = 7) WHERE seq = 8")
    with pytest.raises(Damaged, match="checksum"):
        [*read(path)]
