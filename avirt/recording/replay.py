"""Plays a recording again: the same facts through the same steps, with the same time, and compares what follows.

From the Items, what the driver saw is taken as it stands in the file. From the frames, it is made anew by the real
driver (`stage.py`). Either way they go through a new lifecycle into a new store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from itertools import zip_longest
from typing import Final

import anyio
import msgspec
from anyio import to_thread
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from avirt.drivers.base import Driver
from avirt.drivers.registry import load_driver
from avirt.events.store import Store
from avirt.groups import foremost
from avirt.lifecycle import HostLifecycle, Now, Step
from avirt.model.change import Change, DomainChange
from avirt.model.record import DomainRecord, Key
from avirt.recording.format import Answered, Asked, Call, Frames, Lost, Recalled, Took, Woke
from avirt.recording.reader import Recorded, read_recording
from avirt.recording.stage import PATIENCE, Stage
from avirt.uri import parse_uri

__all__ = ["ReplayFrom", "Replayed", "play", "replay"]

_LINES: Final = 64
"""Lines between two turns of the loop."""
_TOLD: Final = 20
"""Differences that are told one by one: the others follow from them."""


class ReplayFrom(StrEnum):
    """What is played."""

    FRAMES = "frames"
    """What came over the wire, through the real driver."""
    ITEMS = "items"
    """What the driver saw."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        recording: what was played.
        source: frames, or Items where there are none.
        changes: what was concluded now, in order.
        records: every domain as it is at the end.
        differences: where that is not what was concluded then, in words; empty if it is.
        notes: what is to be said of the recording.
    """

    recording: Recorded
    source: ReplayFrom
    changes: Sequence[Change]
    records: Mapping[Key, DomainRecord]
    differences: Sequence[str]
    notes: Sequence[str]


async def replay(
    path: str | os.PathLike[str], *, source: ReplayFrom | None = None, driver: Driver | None = None
) -> Replayed:
    """Play a file that `avirt record` or a `Recorder` wrote, as fast as it goes.

    The same file gives the same changes, with the same revisions in the same order, on every loop.

    Args:
        source: play this; by default the frames if there are some, else the Items.
        driver: play the frames to this driver instead of the scheme's.

    Raises:
        InvalidArgument: it is no recording, is broken, or of a newer avirt.
        InvalidURI, Unsupported: its driver is not here; Items need none.
        InternalError: a bug of ours, which is what a recording is for.
    """
    recording = await to_thread.run_sync(partial(read_recording, path))
    return await play(recording, source=source, driver=driver)


async def play(
    recording: Recorded,
    *,
    source: ReplayFrom | None = None,
    driver: Driver | None = None,
    patience: float = PATIENCE,
) -> Replayed:
    """The same of a recording that is read. `patience`: real seconds for what a driver has to do and does not."""
    if source is None:
        source = ReplayFrom.FRAMES if any(isinstance(line, Frames) for line in recording.lines) else ReplayFrom.ITEMS
    uri = parse_uri(recording.header.uri)
    if driver is None and source is ReplayFrom.FRAMES:
        driver = await load_driver(uri.scheme)
    run = _Run(recording)
    try:
        if source is ReplayFrom.ITEMS or driver is None:
            await run.through(None)
        else:
            async with anyio.create_task_group() as tasks:
                await run.through(Stage(recording, driver, tasks, patience=patience))
                tasks.cancel_scope.cancel()
    except Exception as error:  # noqa: BLE001  alone or in a group, it is a bug of ours, and told as one
        bug = foremost(error)
        raise bug from bug.__cause__
    return run.result(source)


class _Run:
    """One replay."""

    def __init__(self, recording: Recorded) -> None:
        self._recording = recording
        self._lifecycle = HostLifecycle(recording.header.host)
        self._store = Store(epoch="replay")
        self._changes: list[Change] = []
        self._differences: list[str] = []
        self._notes = list(recording.notes)
        self._opening: set[int] = set()

    async def through(self, stage: Stage | None) -> None:
        """Line by line."""
        lines = self._recording.lines
        for number, (line, following) in enumerate(zip_longest(lines, lines[1:]), 2):
            if number % _LINES == 0 or isinstance(line, Took):  # a listing's slice is as much as a loop may do at once
                await checkpoint()
            if isinstance(line, Lost):
                self._notes.append(f"{line.lines} lines are missing at line {number}: what follows is not played")
                break
            if stage is not None:
                await stage.play(line, following)
                self._differ(number, stage.differences)
            if isinstance(line, Took):
                items = line.items if stage is None else stage.items(line)
                step = self._lifecycle.steps(items, Now(line.at, line.wall))
                self._conclude(number, line.changes, step)
            elif isinstance(line, Answered):
                if line.call in self._opening and line.error is not None:
                    self._notes.append(f"line {number}: no connection: {line.error}")
            elif isinstance(line, Asked):
                if line.what is Call.OPEN:
                    self._opening.add(line.call)
            elif isinstance(line, Recalled):
                self._lifecycle.recall(line.records, facts=line.facts, revision=line.revision, connected=line.connected)
            elif isinstance(line, Woke):
                self._conclude(number, line.changes, self._lifecycle.wake(Now(line.at, line.wall)))

    def _conclude(self, number: int, then: Sequence[Change], step: Step) -> None:
        now = tuple(step.changes)
        self._differ(number, list(_differences(then, now)))
        self._store.publish(now)
        self._changes += now

    def _differ(self, number: int, differences: list[str]) -> None:
        self._differences += [f"line {number}: {each}" for each in differences]
        differences.clear()

    def result(self, source: ReplayFrom) -> Replayed:
        """What came of it."""
        differences = self._differences[:_TOLD]
        if more := len(self._differences) - len(differences):
            differences.append(f"and {more} more")
        return Replayed(
            recording=self._recording,
            source=source,
            changes=self._changes,
            records={**self._lifecycle.records, **{record.key: record for record in self._store.view()}},
            differences=differences,
            notes=self._notes,
        )


def _differences(then: Sequence[Change], now: Sequence[Change]) -> Iterator[str]:
    """How two conclusions differ. The number in the store is none of theirs."""
    for old, new in zip_longest(then, now):
        if old is not None:
            old = replace(old, seq=0)  # noqa: PLW2901
        if old == new:
            continue
        if old is None or new is None or type(old) is not type(new):
            yield f"recorded {_brief(old)}, now {_brief(new)}"
        else:
            fields = [name for name in old.__struct_fields__ if getattr(old, name) != getattr(new, name)]
            yield f"{_brief(old)}: {', '.join(fields)} not as recorded"


def _brief(change: Change | None) -> str:
    if change is None:
        return "nothing"
    who = f" of {change.name}" if isinstance(change, DomainChange) and change.name else ""
    return f"{change.kind}{who} (revision {change.revision})"
