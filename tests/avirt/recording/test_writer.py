"""Lines to a file: never in the way of the loop, whole up to the last batch, and no longer than the disk has room."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from avirt.errors import InvalidArgument, ResourceError
from avirt.recording.format import Asked, Call, Frames, Lost, write_line
from avirt.recording.reader import parse_recording
from avirt.recording.writer import Writer
from tests.avirt.recording.recordings import HEADER

pytestmark = pytest.mark.anyio


async def test_writer_writes_all_that_it_was_given_in_order(tmp_path: Path) -> None:
    """In as many batches as it takes; nothing is left when it is left."""
    lines = [Asked(float(number), number, Call.LIST) for number in range(500)]
    async with Writer(tmp_path / "r") as writer:
        writer.write(HEADER)
        for number, line in enumerate(lines):
            writer.write(line)
            if number % 100 == 0:
                await anyio.lowlevel.checkpoint()
    assert writer.written == 501
    assert parse_recording(await anyio.Path(tmp_path / "r").read_bytes()).lines == lines


async def test_writer_cancelled_still_writes_what_it_was_given(tmp_path: Path) -> None:
    """Whoever ends a recording wants to know what happened until then."""
    with anyio.CancelScope() as scope:
        async with Writer(tmp_path / "r") as writer:
            writer.write(HEADER)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert await anyio.Path(tmp_path / "r").read_bytes() == write_line(HEADER)


async def write_and_raise(writer: Writer) -> None:
    async with writer:
        writer.write(HEADER)
        raise KeyError("body")


async def write_until_it_fails(writer: Writer) -> None:
    async with writer:
        writer.write(HEADER)
        with anyio.fail_after(10):
            while writer.error is None:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        writer.write(HEADER)


async def test_writer_left_by_an_exception_lets_it_out_as_itself(tmp_path: Path) -> None:
    """In no group."""
    with pytest.raises(KeyError):
        await write_and_raise(Writer(tmp_path / "r"))
    assert await anyio.Path(tmp_path / "r").read_bytes() == write_line(HEADER)


async def test_writer_behind_a_slow_disk_counts_what_it_drops(tmp_path: Path) -> None:
    """Memory has a bound; the file says how much is missing, and where."""
    large = Frames(1.0, 1, sent=True, data=bytes(600))
    async with Writer(tmp_path / "r", room=2000) as writer:
        writer.write(HEADER)
        writer.write(large)
        writer.write(large)
        writer.write(Asked(2.0, 1, Call.LIST))
        writer.write(Asked(3.0, 2, Call.LIST))
        assert writer.lost == 2
        with anyio.fail_after(30):
            while not writer.written:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        writer.write(Asked(4.0, 3, Call.LIST))
    tail = (await anyio.Path(tmp_path / "r").read_bytes()).splitlines(keepends=True)[3:]
    assert tail == [write_line(Lost(4.0, 2)), write_line(Asked(4.0, 3, Call.LIST))]


async def test_writer_on_a_full_disk_ends_the_recording_and_nothing_else() -> None:
    """Leaving says so; the body never noticed, nor does it if it has an error of its own."""
    with pytest.raises(ResourceError, match="No space left") as full:
        await write_until_it_fails(Full("/nowhere"))
    assert "can be used" in full.value.hint
    with pytest.raises(KeyError):
        await write_and_raise(Full("/nowhere"))


class Full(Writer):
    """Writes to a device that is always full."""

    def create(self) -> int:
        return os.open("/dev/full", os.O_WRONLY)


async def test_writer_with_a_line_that_can_not_be_written_ends_with_the_bug(tmp_path: Path) -> None:
    """It is told as one, and does no harm meanwhile."""
    with pytest.raises(ResourceError, match="a bug in avirt"):
        async with Writer(tmp_path / "r") as writer:
            writer.write("no line")  # type: ignore[arg-type]


async def test_writer_where_no_file_can_be_made_says_so(tmp_path: Path) -> None:
    """And leaves nothing behind."""
    (tmp_path / "there").write_text("x")
    for path, why in (
        (tmp_path / "there", "exists"),
        (tmp_path, "exists"),
        (tmp_path / "no" / "r", "No such file"),
        (tmp_path / "there" / "r", "Not a directory"),
        ("a\0b", "null"),
    ):
        with pytest.raises(InvalidArgument, match=why):
            async with Writer(path):
                pass
    with pytest.raises(InvalidArgument, match="exists"):
        async with Writer(tmp_path, overwrite=True):
            pass
