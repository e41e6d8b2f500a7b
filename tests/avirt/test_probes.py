"""When to read a domain again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from avirt.model.record import Key
from avirt.probes import LATEST, MANY, QUIET, ProbeSchedule

A, B = Key(b"a" * 16), Key(b"b" * 16)


def test_probe_is_due_once_the_domain_was_quiet() -> None:
    schedule = ProbeSchedule()
    assert schedule.next_due() is None
    schedule.ask(A, 10.0)
    assert schedule.next_due() == 10.0 + QUIET
    assert schedule.take(10.0) == ([], False)
    schedule.ask(A, 10.01)
    assert schedule.next_due() == 10.01 + QUIET
    assert schedule.take(10.01 + QUIET) == ([A], False)
    assert len(schedule) == 0


def test_probe_of_a_busy_domain_is_due_at_the_latest() -> None:
    schedule = ProbeSchedule()
    for step in range(100):
        schedule.ask(A, step / 100)
    assert schedule.next_due() == LATEST


def test_probe_one_in_flight_per_domain() -> None:
    schedule = ProbeSchedule()
    schedule.ask(A, 0.0)
    assert schedule.take(1.0) == ([A], False)
    schedule.ask(A, 1.0)
    assert schedule.next_due() is None
    assert schedule.take(9.0) == ([], False)
    schedule.ask(B, 1.0)
    assert schedule.take(9.0) == ([B], False)
    schedule.done(A)
    assert schedule.take(9.0) == ([A], False)


def test_probe_above_fifty_one_listing_instead() -> None:
    schedule = ProbeSchedule()
    for number in range(MANY + 1):
        schedule.ask(Key(number.to_bytes(16)), 0.0)
    assert schedule.take(0.0) == ([], False)
    assert schedule.take(QUIET) == ([], True)
    assert schedule.next_due() is None


def test_probe_fifty_are_probed() -> None:
    schedule = ProbeSchedule()
    for number in range(MANY):
        schedule.ask(Key(number.to_bytes(16)), 0.0)
    keys, relist = schedule.take(QUIET)
    assert (len(keys), relist) == (MANY, False)


def test_probe_later_is_due_at_its_time_unless_asked_for_before() -> None:
    schedule = ProbeSchedule()
    schedule.later(A, 5.0)
    assert schedule.next_due() == 5.0
    schedule.ask(B, 0.0)
    schedule.later(B, 5.0)
    assert schedule.take(QUIET) == ([B], False)


def test_probe_clear_forgets_all() -> None:
    schedule = ProbeSchedule()
    schedule.ask(A, 0.0)
    schedule.take(1.0)
    schedule.ask(A, 1.0)
    schedule.clear()
    assert schedule.next_due() is None
    schedule.ask(A, 2.0)
    assert schedule.take(3.0) == ([A], False)


@given(st.lists(st.tuples(st.integers(0, 80), st.floats(0, 0.1)), max_size=200))
def test_probe_every_domain_asked_for_is_read_within_the_latest(asks: list[tuple[int, float]]) -> None:
    """Driven by its own next_due, no ask waits longer than LATEST, by a probe or by a listing."""
    schedule, now = ProbeSchedule(), 0.0
    oldest: dict[Key, float] = {}

    def run_until(end: float) -> None:
        while (due := schedule.next_due()) is not None and due <= end:
            keys, relist = schedule.take(due)
            for key in list(oldest) if relist else keys:
                assert due - oldest.pop(key) <= LATEST + 1e-9
                schedule.done(key)

    for number, pause in asks:
        run_until(now + pause)
        now += pause
        key = Key(number.to_bytes(16))
        schedule.ask(key, now)
        oldest.setdefault(key, now)
    run_until(now + 1.0)
    assert not oldest


def test_schedule_knows_what_is_asked_for_or_under_way() -> None:
    schedule = ProbeSchedule()
    assert not schedule.is_due(A)
    schedule.ask(A, 0.0)
    assert schedule.is_due(A)
    schedule.take(10.0)
    assert schedule.is_due(A)
    schedule.done(A)
    assert not schedule.is_due(A)
