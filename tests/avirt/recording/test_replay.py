"""Recordings played from their Items, and what is said of those that do not give what they gave."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from uuid import UUID

import anyio
import pytest
from anyio.abc import TaskStatus
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from avirt.drivers.base import API, Emit, Env, PollPolicy, Session, T
from avirt.errors import ConnectionLost, InternalError, InvalidArgument, InvalidURI
from avirt.model.change import HostConnected, HostLost
from avirt.model.observation import Gone, LinkLost, LinkUp, Listing, Overrun, Scope, Seen
from avirt.model.record import HostFacts, Key
from avirt.recording.format import Answered, Asked, Call, Frames, Line, Lost, Opened, Took, Woke
from avirt.recording.reader import Recorded, parse_recording, read_recording
from avirt.recording.replay import ReplayFrom, play, replay
from avirt.uri import URI
from tests.avirt.recording.recordings import HEADER, file_of
from tests.avirt.recording.test_golden import FILES

FACTS = HostFacts(uuid=UUID(int=1), hostname="h", product="P", driver="d")
UP = HostConnected(host="sim", observed_at=2.0, revision=1, facts=FACTS)
DOWN = HostLost(host="sim", observed_at=3.0, revision=2, why="gone")
LINES: list[Line] = [
    Took(6.0, 2.0, (LinkUp(FACTS),), (UP,), 1),
    Took(7.0, 3.0, (LinkLost("gone"),), (DOWN,)),
    Woke(8.0, 4.0),
]


def recorded(*lines: Line, uri: str = "sim://demo") -> Recorded:
    return Recorded(replace(HEADER, uri=uri), lines)


@pytest.mark.anyio
async def test_items_give_the_changes_of_then(tmp_path: Path) -> None:
    """By name, from a file; the number in the store is this store's own."""
    await anyio.Path(tmp_path / "r").write_bytes(file_of(*LINES))
    played = await replay(tmp_path / "r")
    assert played.source is ReplayFrom.ITEMS
    assert played.differences == []
    assert played.changes == [replace(UP, seq=1), replace(DOWN, seq=2)]
    assert played.records == {}
    assert played.notes == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("line", "difference"),
    [
        (replace(LINES[0], changes=()), "line 2: recorded nothing, now host_connected (revision 1)"),
        (replace(LINES[0], changes=(UP, UP)), "line 2: recorded host_connected (revision 1), now nothing"),
        (
            replace(LINES[0], changes=(DOWN,)),
            "line 2: recorded host_lost (revision 2), now host_connected (revision 1)",
        ),
        (
            replace(LINES[0], changes=(replace(UP, revision=7, observed_at=9.0),)),
            "line 2: host_connected (revision 7): observed_at, revision not as recorded",
        ),
        (replace(LINES[0], changes=(replace(UP, seq=77),)), ""),
    ],
)
async def test_difference_is_told_by_line_and_field(line: Line, difference: str) -> None:
    """What was recorded, and what follows now."""
    played = await play(recorded(line))
    assert played.differences == ([difference] if difference else [])


@pytest.mark.anyio
async def test_many_differences_are_counted() -> None:
    """The first twenty are told."""
    played = await play(recorded(*(Woke(float(number), 0.0, (UP,)) for number in range(30))))
    assert len(played.differences) == 21
    assert played.differences[-1] == "and 10 more"


@pytest.mark.anyio
async def test_lines_that_were_lost_end_what_is_played() -> None:
    """What follows them can't be judged."""
    played = await play(recorded(LINES[0], Lost(6.5, 9), *LINES[1:]))
    assert played.changes == [replace(UP, seq=1)]
    assert played.notes == ["9 lines are missing at line 3: what follows is not played"]


@pytest.mark.anyio
async def test_connection_that_could_not_be_made_is_a_note() -> None:
    """With the reason; a read that failed is none."""
    lines: list[Line] = [
        Asked(5.0, 1, Call.OPEN),
        Answered(5.0, 1, "CannotConnect: no"),
        Answered(5.0, 2, "NativeError: x"),
    ]
    assert (await play(recorded(*lines))).notes == ["line 3: no connection: CannotConnect: no"]


@pytest.mark.anyio
async def test_frames_of_a_driver_that_is_not_here_are_refused() -> None:
    """Its Items can be played all the same."""
    recording = recorded(Frames(5.0, 1, sent=True, data=b""), *LINES, uri="nobody://x")
    with pytest.raises(InvalidURI, match="no driver"):
        await play(recording)
    assert (await play(recording, source=ReplayFrom.ITEMS)).differences == []


class Broken:
    """A driver, and its session, with a bug in each of its calls."""

    name = "broken"
    schemes = frozenset({"sim"})
    api = API
    facts = FACTS
    poll: PollPolicy | None = None

    @asynccontextmanager
    async def open(self, uri: URI, env: Env) -> AsyncGenerator[Session]:
        yield self

    async def list(self, scope: Scope = Scope.ALL) -> Listing:
        raise KeyError("bug")

    async def probe(self, key: Key) -> Seen | Gone:
        raise ConnectionLost("the link is gone")

    async def watch(self, emit: Emit, *, task_status: TaskStatus[None]) -> None:
        emit((Overrun("late"),))
        await anyio.sleep_forever()

    def capability(self, kind: type[T]) -> T | None:
        return None


OPENED: list[Line] = [Asked(5.0, 1, Call.OPEN), Answered(5.0, 1)]


@pytest.mark.anyio
async def test_bug_of_a_driver_is_told_as_one() -> None:
    """In no group, and with what it was."""
    lines = [*OPENED, Asked(5.0, 2, Call.LIST), Answered(5.0, 2)]
    with pytest.raises(InternalError, match="KeyError: 'bug'"):
        await play(recorded(*lines), source=ReplayFrom.FRAMES, driver=Broken())


@pytest.mark.anyio
async def test_driver_that_gives_something_else_is_followed() -> None:
    """Its Items are taken, not those of then; where it gives none, those of then."""
    lines = [
        *OPENED,
        Took(6.0, 2.0, (LinkUp(replace(FACTS, hostname="then")),), (UP,), 1),
        Asked(5.0, 2, Call.WATCH),
        Asked(5.0, 3, Call.PROBE),
        Asked(5.0, 4, Call.PROBE, Key(b"k" * 16)),
        Answered(5.0, 4),
        Took(7.0, 3.0, (LinkLost("gone"),), (DOWN,), 4),
        Opened(7.0, 1),
    ]
    played = await play(recorded(*lines), source=ReplayFrom.FRAMES, driver=Broken(), patience=0.05)
    assert played.changes[0] == replace(UP, seq=1)
    assert played.changes[1] == replace(DOWN, seq=2)
    assert played.differences == [
        "line 6: a probe of no domain",
        "line 8: probe (call 4) was answered; now: the link is gone",
    ]


# ---------------------------------------------------------------- nonsense


@cache
def golden(index: int) -> Recorded:
    return read_recording(FILES[index])


@given(st.data())
def test_any_order_of_lines_is_played_to_its_end(data: st.DataObject) -> None:
    """Lines of a real recording left out, doubled and mixed, from the Items: changes and differences, no error."""
    recording = golden(data.draw(st.integers(0, 2)))
    lines = data.draw(st.lists(st.sampled_from(recording.lines), max_size=40))
    played = anyio.run(lambda: play(Recorded(recording.header, lines), source=ReplayFrom.ITEMS))
    assert [change.seq for change in played.changes] == list(range(1, len(played.changes) + 1))


@pytest.mark.slow
@settings(max_examples=10 if settings.default is None else max(10, settings.default.max_examples // 100))
@given(st.data())
def test_any_damage_to_the_frames_is_told_and_no_more(data: st.DataObject) -> None:
    """Frames of a real recording changed, shortened, or left out: the real driver meets no bug of ours."""
    recording = golden(data.draw(st.integers(0, 2)))
    lines = list(recording.lines)
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(st.sampled_from([i for i, line in enumerate(lines) if isinstance(line, Frames)]))
        line = lines[index]
        assert isinstance(line, Frames)
        at = data.draw(st.integers(0, len(line.data)))
        bytes_ = line.data[:at] + data.draw(st.binary(max_size=4)) + line.data[at + data.draw(st.integers(0, 4)) :]
        lines[index] = replace(line, data=bytes_)
    played = anyio.run(lambda: play(Recorded(recording.header, lines), patience=0.01))
    assert played.source is ReplayFrom.FRAMES


@given(st.lists(st.sampled_from(file_of(*LINES).splitlines(keepends=True)), max_size=5).map(b"".join))
def test_any_file_of_good_lines_is_refused_or_played(data: bytes) -> None:
    """From the bytes to the end."""
    try:
        recording = parse_recording(data)
    except InvalidArgument:
        return
    anyio.run(lambda: play(recording))
