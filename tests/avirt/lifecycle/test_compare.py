"""What a listing says otherwise than the records: by the rules of any read, and nothing is taken in."""

from __future__ import annotations

import pytest

from avirt.lifecycle.compare import Differs
from avirt.model.observation import Listing, Observation, ReadFailed, Scope, Signal
from avirt.model.record import Key
from avirt.model.state import PausedReason, RunningReason, ShutoffReason
from tests.avirt.lifecycle.lab import KEY, OFF, OTHER, PAUSED, RUNNING, Lab, off, paused, running


def differing(
    lab: Lab, *items: Observation, complete: bool = True, asked: int | None = None
) -> list[tuple[Key, Differs]]:
    before = (lab.lifecycle.revision, dict(lab.lifecycle.records))
    listing = Listing(Scope.ALL, complete, lab.count if asked is None else asked, items)
    found = list(lab.lifecycle.differing(listing, lab.now, start=0, stop=512))
    assert (lab.lifecycle.revision, dict(lab.lifecycle.records)) == before
    return [(key, how) for key, _, how in found]


@pytest.fixture
def lab() -> Lab:
    lab = Lab()
    lab.have(RUNNING, id=3)
    return lab


def test_compare_what_is_as_recorded_does_not_differ(lab: Lab) -> None:
    assert differing(lab, lab.observe(RUNNING, id=3, persistent=True)) == []


def test_compare_what_events_tell_differs() -> None:
    for told in ("state", "id", "name", "persistent"):
        lab = Lab()
        lab.have(RUNNING, id=3)
        seen = lab.observe(
            PAUSED if told == "state" else RUNNING,
            id=4 if told == "id" else 3,
            name="other" if told == "name" else "web",
            persistent=told != "persistent",
        )
        assert differing(lab, seen) == [(KEY, Differs.TOLD)], told


def test_compare_what_comes_and_goes_differs(lab: Lab) -> None:
    new = lab.observe(RUNNING, key=OTHER, id=9)
    assert differing(lab, lab.observe(RUNNING, id=3), new) == [(OTHER, Differs.TOLD)]
    assert differing(lab) == [(KEY, Differs.TOLD)]


def test_compare_a_listing_that_is_incomplete_lacks_nothing(lab: Lab) -> None:
    assert differing(lab, complete=False) == []


def test_compare_what_no_event_tells_differs_otherwise(lab: Lab) -> None:
    assert differing(lab, lab.observe(RUNNING, id=3, autostart=True)) == [(KEY, Differs.UNTOLD)]
    assert differing(lab, lab.observe(running(RunningReason.UNPAUSED), id=3)) == [(KEY, Differs.UNTOLD)]


def test_compare_a_record_that_is_stale_differs_though_it_is_right(lab: Lab) -> None:
    lab.step(ReadFailed(KEY, "hangs"))
    assert differing(lab, lab.observe(RUNNING, id=3)) == [(KEY, Differs.UNTOLD)]


def test_compare_what_says_no_state_says_nothing(lab: Lab) -> None:
    assert differing(lab, lab.observe(None, active=True, id=3)) == []


def test_compare_what_was_not_known_before_is_no_lost_event() -> None:
    lab = Lab()
    lab.event(Signal.STARTED, id=3)
    assert lab.record.persistent is None
    assert differing(lab, lab.observe(RUNNING, id=3, persistent=False)) == [(KEY, Differs.UNTOLD)]


def test_compare_a_listing_that_an_event_overtook_says_nothing(lab: Lab) -> None:
    asked = lab.count
    lab.event(Signal.SUSPENDED, id=3)
    assert differing(lab, lab.observe(RUNNING, id=3), asked=asked) == []
    assert differing(lab, asked=asked) == []


def test_compare_gives_the_count_of_the_last_event(lab: Lab) -> None:
    lab.event(Signal.SUSPENDED, id=3)
    listing = Listing(Scope.ALL, True, lab.count, [lab.observe(RUNNING, id=3)])
    assert [count for _, count, _ in lab.lifecycle.differing(listing, lab.now, start=0, stop=1)] == [lab.count]


def test_compare_a_domain_on_its_way_in_is_seen_and_no_lost_event() -> None:
    """libvirt lists what is being started, or received, long before the event that tells so; and what was restored
    from a save in mid-migration looks so for ever."""
    lab = Lab()
    lab.have(OFF)
    for reason in (PausedReason.STARTING_UP, PausedReason.MIGRATION):
        assert differing(lab, lab.observe(paused(reason), id=3)) == [(KEY, Differs.UNTOLD)]
        other = lab.observe(paused(reason), key=OTHER, id=3)
        assert differing(lab, lab.observe(OFF), other) == [(OTHER, Differs.UNTOLD)]
    lab.have(RUNNING, id=3)
    assert differing(lab, lab.observe(paused(PausedReason.MIGRATION), id=3)) == [(KEY, Differs.TOLD)]


def test_compare_an_emulator_that_was_killed_may_go_on_for_a_while(lab: Lab) -> None:
    lab.event(Signal.STOPPED, off(ShutoffReason.FAILED), active=False, id=3)
    assert differing(lab, lab.observe(RUNNING, id=3)) == []
    lab.time += 10
    assert differing(lab, lab.observe(RUNNING, id=3)) == [(KEY, Differs.TOLD)]
