"""Fold: several changes of one domain as one, in every shape in which hypervisors reboot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from avirt.events.fold import Fold
from avirt.model.change import (
    Added,
    Origin,
    Rebooted,
    RecordChange,
    Removed,
    Renamed,
    StateChanged,
    Updated,
)
from avirt.model.record import DomainRecord
from avirt.model.state import (
    CrashedReason,
    DomainState,
    PausedReason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)

from .world import running

UP = running()
UNPAUSED = replace(UP, reason=RunningReason.UNPAUSED)
OFF = replace(UP, state=DomainState.SHUTOFF, reason=ShutoffReason.SHUTDOWN, active=False, id=None, transition=None)
SAVED = replace(OFF, reason=ShutoffReason.SAVED)
GOING_DOWN = replace(UP, state=DomainState.SHUTDOWN, reason=ShutdownReason.UNKNOWN, transition=Transition.STOPPING)
PAUSED = replace(UP, state=DomainState.PAUSED, reason=PausedReason.USER)
CRASHED = replace(UP, state=DomainState.CRASHED, reason=CrashedReason.PANICKED)
AGAIN = replace(UP, id=2)
RESTORED = replace(AGAIN, reason=RunningReason.RESTORED)
NEW_NAME = replace(UP, name="new")
REBOOT = replace(UP, marker=7)

Step = DomainRecord | type[Rebooted] | None


def story(*records: Step) -> list[RecordChange]:
    """The changes from one record to the next; None: not there. Rebooted before a record: that step is a reboot."""
    changes: list[RecordChange] = []
    kind: type[RecordChange] | None = None
    before = records[0]
    assert not isinstance(before, type)
    for step in records[1:]:
        if isinstance(step, type):
            kind = step
            continue
        changes.append(_change(before, step, kind, len(changes) + 1))
        before, kind = changes[-1].after, None
    return changes


def _change(
    before: DomainRecord | None, after: DomainRecord | None, kind: type[RecordChange] | None, number: int
) -> RecordChange:
    make: Callable[..., RecordChange]
    record = after or before
    assert record is not None
    if after is not None:
        after = replace(after, revision=number)
    if before is None or after is None:
        make = Added if before is None else Removed
    elif kind is not None:
        make = kind
    elif (before.state, before.active) != (after.state, after.active):
        make = StateChanged
    elif before.name != after.name:
        return Renamed(
            host="h0", key=record.key, name=record.name, before=before, after=after, old=before.name, new=after.name,
            seq=number, revision=number,
        )  # fmt: skip
    else:
        make = Updated
    return make(host="h0", key=record.key, name=record.name, before=before, after=after, seq=number, revision=number)


def fold(changes: Sequence[RecordChange], *kinds: type[RecordChange]) -> RecordChange | None:
    """One for all, for a reader who wants these kinds."""
    folded = Fold(changes[0])
    for change in changes[1:]:
        folded.add(change)
    return folded.one(lambda kind: issubclass(kind, kinds or (RecordChange,)))


REBOOTS: Final[dict[str, list[Step]]] = {
    "stop and start (Xen, LXC, bhyve)": [UP, OFF, AGAIN],
    "RESUMED before STARTED (libvirt)": [UP, OFF, replace(AGAIN, reason=RunningReason.UNPAUSED), AGAIN],
    "with the transition said": [UP, replace(OFF, transition=Transition.REBOOTING), Rebooted, AGAIN],
    "a verb's transition before it": [UP, replace(UP, transition=Transition.REBOOTING), Rebooted, REBOOT],
    "qemu: one event": [UP, Rebooted, REBOOT, replace(REBOOT, autostart=True)],
    "qemu: on_poweroff=restart, held for a moment": [UP, PAUSED, Rebooted, replace(PAUSED, marker=1), REBOOT],
    "shutdown that ends in running": [UP, GOING_DOWN, UP],
    "held down, then reset": [UP, replace(PAUSED, reason=PausedReason.SHUTTING_DOWN), UP],
    "on_crash=restart": [UP, CRASHED, UP],
    "transient: removed and added": [UP, OFF, None, AGAIN],
    "the same in one step": [UP, None, AGAIN],
    "several": [UP, OFF, AGAIN, OFF, replace(UP, id=3)],
    "paused before and after": [PAUSED, OFF, AGAIN, replace(PAUSED, id=2)],
    "saved, but booted afresh": [UP, SAVED, AGAIN],
    "the same, RESUMED first": [UP, SAVED, replace(AGAIN, reason=RunningReason.UNPAUSED), AGAIN],
    "destroyed while it was saved": [UP, replace(PAUSED, reason=PausedReason.SAVE), OFF, AGAIN],
}


@pytest.mark.parametrize("shape", REBOOTS)
def test_fold_of_a_reboot_in_any_shape_is_rebooted(shape: str) -> None:
    changes = story(*REBOOTS[shape])
    one = fold(changes)
    assert type(one) is Rebooted
    assert one.merged == len(changes)
    assert (one.before, one.after) == (changes[0].before, changes[-1].after)
    assert (one.seq, one.revision) == (changes[-1].seq, changes[-1].revision)
    assert fold(changes, Rebooted) == one


@pytest.mark.parametrize(
    "records",
    [
        [UP, replace(PAUSED, reason=PausedReason.SAVE), SAVED, RESTORED],
        [UP, SAVED, replace(AGAIN, reason=RunningReason.UNPAUSED)],
        [UP, SAVED, replace(PAUSED, id=2), RESTORED, replace(AGAIN, reason=RunningReason.UNPAUSED)],
        [UP, OFF, RESTORED],
        [UP, replace(OFF, reason=ShutoffReason.FROM_SNAPSHOT), replace(AGAIN, reason=RunningReason.FROM_SNAPSHOT)],
        [UP, replace(OFF, reason=ShutoffReason.MIGRATED), None, replace(AGAIN, reason=RunningReason.MIGRATED)],
        [UP, PAUSED, UP],
        [UP, replace(PAUSED, reason=PausedReason.MIGRATION), replace(UP, reason=RunningReason.MIGRATION_CANCELED)],
    ],
)
def test_fold_of_a_domain_that_went_on_is_no_reboot(records: list[Step]) -> None:
    changes = story(*records)
    one = fold(changes)
    assert type(one) is Updated
    assert one.merged == len(changes)
    assert fold(changes, Rebooted) is None


def test_fold_of_one_change_is_that_change() -> None:
    (change,) = story(UP, OFF)
    assert fold([change]) is change
    assert fold([change], Removed) is None


def test_fold_that_ends_as_it_began_is_an_update_that_says_how_many() -> None:
    """Promise 2: nothing is dropped without being counted."""
    changes = story(OFF, UP, OFF, UP, OFF)
    one = fold(changes)
    assert type(one) is Updated
    assert (one.merged, one.before) == (4, OFF)
    assert one.after == replace(OFF, revision=4)
    assert fold(changes, StateChanged) is None  # its state is what it was


def test_fold_of_another_state_is_a_state_change_even_if_it_booted() -> None:
    changes = story(PAUSED, OFF, AGAIN)
    assert type(fold(changes)) is StateChanged
    assert type(fold(changes, Rebooted)) is Rebooted


def test_fold_of_a_start_is_a_state_change() -> None:
    assert type(fold(story(OFF, UNPAUSED, UP))) is StateChanged
    assert fold(story(OFF, UNPAUSED, UP), Rebooted) is None


def test_fold_of_a_rename_among_others_is_the_kind_that_was_asked_for() -> None:
    changes = story(OFF, replace(OFF, name="new"), replace(UP, name="new"))
    assert type(fold(changes)) is StateChanged
    renamed = fold(changes, Renamed)
    assert type(renamed) is Renamed
    assert (renamed.old, renamed.new, renamed.name, renamed.merged) == ("vm1", "new", "new", 2)


def test_fold_of_renames_is_one_and_of_two_that_cancel_out_an_update() -> None:
    third = replace(UP, name="third")
    one = fold(story(UP, NEW_NAME, third))
    assert type(one) is Renamed
    assert (one.old, one.new) == ("vm1", "third")
    assert type(fold(story(UP, NEW_NAME, UP))) is Updated


def test_fold_of_a_domain_that_came_is_added_and_of_one_that_went_is_removed() -> None:
    came = fold(story(None, OFF, UP))
    assert type(came) is Added
    assert (came.merged, came.before, came.after) == (2, None, replace(UP, revision=2))
    went = fold(story(UP, OFF, None))
    assert type(went) is Removed
    assert (went.merged, went.before, went.after) == (2, UP, None)


def test_fold_of_a_domain_that_came_and_went_is_removed_without_a_record() -> None:
    one = fold(story(None, OFF, UP, OFF, None))
    assert type(one) is Removed
    assert (one.merged, one.before, one.name) == (4, None, "vm1")
    assert type(fold(story(None, OFF, None, OFF))) is Added


def test_fold_for_a_reader_that_did_not_ask_for_the_best_kind_is_the_next_that_is_true() -> None:
    went = fold(story(UP, OFF, None), StateChanged)
    assert type(went) is StateChanged
    assert went.after == replace(OFF, revision=1)
    came = fold(story(None, OFF, UP), StateChanged)
    assert type(came) is StateChanged
    assert came.before is None
    updated = fold(story(OFF, replace(OFF, autostart=True), replace(UP, autostart=True)), Updated)
    assert type(updated) is Updated
    assert fold(story(OFF, UP, OFF), Removed, Added) is None


def test_fold_whose_beginning_was_merged_away_goes_by_what_was_told() -> None:
    merged = StateChanged(host="h0", key=UP.key, name="vm1", merged=5, after=UP)
    one = fold([merged, *story(UP, replace(UP, autostart=True))])
    assert type(one) is StateChanged
    assert (one.merged, one.before) == (6, None)
    renamed = [Updated(host="h0", key=UP.key, after=UP), *story(UP, NEW_NAME)]
    assert type(fold(renamed)) is Renamed
    again = fold(renamed, Renamed)
    assert type(again) is Renamed
    assert again.old == "vm1"


def test_fold_has_the_origin_of_the_last() -> None:
    first, last = story(UP, OFF, AGAIN)
    assert getattr(fold([first, replace(last, origin=Origin.RESYNC)]), "origin", None) is Origin.RESYNC


RECORDS = [None, UP, UNPAUSED, OFF, SAVED, GOING_DOWN, PAUSED, CRASHED, AGAIN, RESTORED, NEW_NAME]


@given(st.lists(st.sampled_from(RECORDS), min_size=2, max_size=8))
def test_fold_of_any_story_says_where_it_ends_and_counts_all(records: list[DomainRecord | None]) -> None:
    told: list[Step] = [records[0], *(other for one, other in pairwise(records) if one != other)]
    if len(told) < 2:
        return
    changes = story(*told)
    one = fold(changes)
    assert one is not None
    assert one.merged == len(changes)
    assert (one.before, one.after) == (changes[0].before, changes[-1].after)
    for kind in (Added, Removed, StateChanged, Rebooted, Renamed, Updated):
        asked = fold(changes, kind)
        assert asked is None or type(asked) is kind
    # cut anywhere, the parts are a chain
    for cut in range(1, len(changes)):
        first, second = fold(changes[:cut]), fold(changes[cut:])
        assert first is not None
        assert second is not None
        assert first.after == second.before


def test_fold_of_a_reboot_between_start_and_stop_is_told_only_who_asks_for_reboots() -> None:
    changes = story(OFF, UP, Rebooted, REBOOT, OFF)
    assert type(fold(changes)) is Updated
    assert type(fold(changes, Rebooted)) is Rebooted
    assert type(fold(story(UP, Rebooted, REBOOT, OFF))) is StateChanged
    assert fold(story(OFF, UP, OFF, AGAIN, OFF), Rebooted) is None
