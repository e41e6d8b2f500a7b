"""The short way of the commonest event: what it shows is what the long way shows."""

from __future__ import annotations

import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from avirt.lifecycle.effect import Now, Probe
from avirt.lifecycle.events import consider
from avirt.lifecycle.ledger import Ledger
from avirt.lifecycle.plain import show_plainly
from avirt.lifecycle.rules import Entry
from avirt.model.change import Origin, StateChanged
from avirt.model.observation import Cause, Observation, Signal
from avirt.model.record import Certainty, DomainRecord
from avirt.model.state import NormalState, PausedReason, Transition
from tests.avirt.lifecycle.lab import ASLEEP, CRASHED, DOWN, KEY, OFF, PAUSED, RUNNING, UNPAUSED, paused

CAUSE = Cause("lifecycle", "Suspended", "Paused")
RUNS = DomainRecord(
    host="h",
    key=KEY,
    name="web",
    state=RUNNING.state,
    reason=RUNNING.reason,
    id=3,
    active=True,
    marker=3,
    persistent=True,
    native={"state": 1},
    observed_at=5.0,
    revision=8,
)
SUSPENDED = Observation(
    key=KEY,
    name="web",
    status=PAUSED,
    active=True,
    id=3,
    marker=3,
    native={"event": 3, "detail": 0},
    origin=Origin.EVENT,
    asked=9,
    signal=Signal.SUSPENDED,
    cause=CAUSE,
)

states = st.sampled_from(
    [RUNNING, UNPAUSED, PAUSED, paused(PausedReason.MIGRATION, Transition.MIGRATING), DOWN, OFF, ASLEEP, CRASHED]
)
ids = st.sampled_from([3, 3, 3, 4, None])
flags = st.booleans()


@st.composite
def records(draw: st.DrawFn) -> DomainRecord:
    status = draw(states)
    return replace(
        RUNS,
        state=status.state,
        reason=status.reason,
        transition=draw(st.sampled_from([None, None, *Transition])),
        active=status not in (OFF, CRASHED),
        id=draw(ids),
        marker=draw(ids),
        idle=draw(st.sampled_from([False, False, True])),
        needs_answer=draw(st.sampled_from([False, False, True])),
        persistent=draw(st.sampled_from([True, False, None])),
        certainty=draw(st.sampled_from([Certainty.LIVE, Certainty.LIVE, Certainty.STALE])),
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    return replace(
        SUSPENDED,
        status=draw(st.one_of(st.none(), states)),
        active=draw(st.sampled_from([True, True, False, None])),
        id=draw(ids),
        marker=draw(ids),
        persistent=draw(st.sampled_from([None, None, True, False])),
        autostart=draw(st.sampled_from([None, None, True])),
        native=draw(st.sampled_from([{"event": 3, "detail": 0}, {}])),
        signal=draw(st.sampled_from([Signal.SUSPENDED, Signal.RESUMED, *Signal])),
    )


class Books:
    """A ledger with one domain."""

    def __init__(self, record: DomainRecord | None, **known: object) -> None:
        self.ledger = Ledger("h")
        self.ledger.revision = 8
        self.ledger.synced = True
        self.ledger.begin(Now(1000.0, 2000.0))
        self.entry = self.ledger.entry(KEY)
        self.entry.record = record
        if record is not None:
            self.ledger.records[KEY] = record
        for name, value in known.items():
            setattr(self.entry, name, value)

    def outcome(self) -> object:
        known = {name: getattr(self.entry, name) for name in Entry.__slots__}
        ledger = self.ledger
        return ledger.changes, ledger.effects, ledger.records, ledger.revision, ledger.timers, known


@pytest.mark.slow
@given(
    record=st.one_of(st.none(), records()),
    seen=observations(),
    known=st.fixed_dictionaries(
        {},
        optional={
            "held": st.sampled_from([None, *Transition]),
            "ahead": st.sampled_from([(), (3,), (4,)]),
            "ahead_until": st.sampled_from([0.0, 1001.0]),
            "awaited": st.sampled_from([None, 3]),
            "told_id": ids,
            "ended_at": st.sampled_from([None, 999.0]),
            "unsure": flags,
            "started": flags,
            "marker_due": flags,
            "rebooted_at": st.sampled_from([None, 999.0]),
            "renaming": st.sampled_from([None, 1001.0]),
        },
    ),
)
@settings(max_examples=1500)
def test_short_way_shows_what_the_long_way_shows_or_nothing(
    record: DomainRecord | None, seen: Observation, known: dict[str, object]
) -> None:
    short, untouched, long = Books(record, **known), Books(record, **known), Books(record, **known)
    taken = show_plainly(short.ledger, short.entry, seen)
    note(f"short way: {taken}")
    if taken:
        consider(long.ledger, long.entry, seen)
        assert short.outcome() == long.outcome()
    else:
        assert short.outcome() == untouched.outcome()


@pytest.mark.parametrize(
    ("before", "seen"),
    [
        (RUNS, SUSPENDED),
        (
            replace(RUNS, state=PAUSED.state, reason=PAUSED.reason),
            replace(SUSPENDED, status=UNPAUSED, signal=Signal.RESUMED),
        ),
    ],
)
def test_short_way_is_taken_by_a_domain_that_is_suspended_or_runs_on(before: DomainRecord, seen: Observation) -> None:
    books = Books(before)
    assert show_plainly(books.ledger, books.entry, seen)
    (change,) = books.ledger.changes
    assert isinstance(change, StateChanged)
    status = seen.status
    assert isinstance(status, NormalState)
    assert change.before is before
    assert change.after == replace(
        before,
        state=status.state,
        reason=status.reason,
        native=seen.native,
        observed_at=2000.0,
        since=2000.0,
        revision=9,
    )
    assert (change.origin, change.revision, books.ledger.effects) == (Origin.EVENT, 9, [Probe(KEY)])


def test_short_way_is_not_taken_where_nothing_is_known() -> None:
    books = Books(None)
    assert not show_plainly(books.ledger, books.entry, SUSPENDED)
    books = Books(RUNS)
    assert not show_plainly(books.ledger, books.entry, replace(SUSPENDED, status=None))
