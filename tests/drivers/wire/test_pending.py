"""The pending table: window, priorities, tombstones, write-off, keys, deadlines."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from avirt.drivers.wire.pending import Entry, Pending, Priority, State
from avirt.errors import Busy, RemoteProtocolError

PROGRAM = 0x20008086


def make(pending: Pending[Entry], **options: object) -> Entry:
    entry = Entry(PROGRAM, 7, pending.next_serial(), **options)  # type: ignore[arg-type]
    pending.add(entry)
    return entry


def answer(pending: Pending[Entry], entry: Entry) -> Entry | None:
    return pending.reply(entry.program, entry.procedure, entry.serial)


def test_calls_within_the_window_are_sent_in_order_the_rest_waits() -> None:
    """Four at once by default; a reply lets the next one through."""
    pending = Pending[Entry]()
    calls = [make(pending) for _ in range(6)]
    assert [c.serial for c in calls] == [0, 1, 2, 3, 4, 5]
    assert pending.take() == calls[:4]
    assert pending.take() == []
    assert (pending.in_flight, pending.queued, len(pending), pending.is_full) == (4, 2, 6, True)
    assert answer(pending, calls[2]) is calls[2]
    assert calls[2].state is State.DONE
    assert pending.take() == [calls[4]]


def test_urgent_calls_overtake_queued_ones() -> None:
    """A probe does not wait behind a hundred XML dumps."""
    pending = Pending[Entry](window=1)
    first, slow, urgent = make(pending), make(pending), make(pending, priority=Priority.URGENT)
    assert pending.take() == [urgent]
    answer(pending, urgent)
    assert pending.take() == [first]
    answer(pending, first)
    assert pending.take() == [slow]


def test_a_full_queue_refuses_the_next_call_and_keeps_the_others() -> None:
    """The bound holds, with an error that can be retried."""
    pending = Pending[Entry](max_queued=2)
    make(pending), make(pending)
    with pytest.raises(Busy, match="2 calls are waiting") as caught:
        make(pending)
    assert caught.value.retryable
    assert len(pending.take()) == 2


def test_replies_out_of_order_find_their_calls() -> None:
    """Serials decide, not order (libvirt-wire §3)."""
    pending = Pending[Entry]()
    calls = [make(pending) for _ in range(4)]
    pending.take()
    assert [answer(pending, call) for call in reversed(calls)] == calls[::-1]
    assert len(pending) == pending.in_flight == 0


def test_replies_to_nothing_are_the_peers_error() -> None:
    """Unknown serial, a call that was not sent yet, a second reply, another procedure, another program."""
    pending = Pending[Entry](window=1)
    sent, queued = make(pending), make(pending)
    pending.take()
    for program, procedure, serial in [
        (PROGRAM, 7, 99),
        (PROGRAM, 7, queued.serial),
        (PROGRAM, 8, sent.serial),
        (PROGRAM + 1, 7, sent.serial),
    ]:
        with pytest.raises(RemoteProtocolError, match="a reply"):
            pending.reply(program, procedure, serial)
    assert answer(pending, sent) is sent
    with pytest.raises(RemoteProtocolError):
        answer(pending, sent)


def test_a_cancelled_call_that_was_not_sent_is_forgotten() -> None:
    """It takes no slot, and its serial may come back."""
    pending = Pending[Entry](window=1)
    sent, queued, last = make(pending), make(pending), make(pending)
    pending.take()
    assert pending.abandon(queued, now=0)
    assert not pending.abandon(queued, now=0)
    answer(pending, sent)
    assert pending.take() == [last]


def test_a_cancelled_call_leaves_a_tombstone_that_swallows_the_late_reply() -> None:
    """It holds its slot until then: the server is still at it."""
    pending = Pending[Entry](window=1)
    call, following = make(pending), make(pending)
    pending.take()
    assert not pending.abandon(call, now=0)
    assert (len(pending), pending.awaited) == (2, 1)
    assert pending.take() == []
    assert answer(pending, call) is None
    assert pending.late == 1
    assert (len(pending), pending.awaited) == (1, 1)
    assert pending.take() == [following]
    assert pending.abandoned == 0


def test_serials_in_use_are_skipped_when_they_wrap_around() -> None:
    """By a call, by a tombstone, by a stream."""
    pending = Pending[Entry]()
    zero, one = make(pending), make(pending)
    pending.take()
    pending.abandon(one, now=0)
    pending.hold(2)
    pending._serial = (1 << 32) - 2
    assert [make(pending).serial, make(pending).serial] == [(1 << 32) - 1, 3]
    pending.release(2)
    answer(pending, zero)
    pending._serial = (1 << 32) - 2
    del pending._live[(1 << 32) - 1]
    assert [pending.next_serial(), pending.next_serial(), pending.next_serial()] == [(1 << 32) - 1, 0, 2]


def test_overdue_calls_expire_oldest_first_and_only_one_slot_is_given_away() -> None:
    """performance §8: safe once; the second overdue call keeps its slot."""
    pending = Pending[Entry](window=2)
    late, early, queued = make(pending, deadline=20), make(pending, deadline=10), make(pending, deadline=15)
    calm = make(pending)
    assert pending.earliest == 10
    assert pending.take() == [late, early]
    assert pending.expire(9) == []
    assert pending.earliest == 10
    assert pending.expire(20) == [(early, True), (queued, False), (late, True)]
    assert pending.earliest == inf
    assert (pending.abandoned, pending.written_off, pending.in_flight) == (2, 1, 1)
    assert pending.is_full
    assert pending.take() == [calm]
    assert pending.expire(1000) == []
    # the late replies give everything back
    assert answer(pending, early) is None
    assert answer(pending, late) is None
    assert (pending.abandoned, pending.written_off, pending.in_flight, pending.late) == (0, 0, 1, 2)


def test_a_cancelled_call_counts_as_abandoned_only_after_its_grace() -> None:
    """Cancelling a hundred healthy calls replaces no connection."""
    pending = Pending[Entry](grace=5)
    call, other = make(pending), make(pending, deadline=3)
    pending.take()
    pending.abandon(call, now=0)
    pending.abandon(other, now=0)
    pending.abandon(other, now=0)
    assert pending.expire(2.9) == []
    assert pending.abandoned == 0
    assert pending.expire(3) == []
    assert (pending.abandoned, pending.earliest) == (1, 5)
    assert pending.expire(5) == []
    assert pending.abandoned == 2


def test_calls_with_the_same_key_go_one_at_a_time_and_hold_up_nobody_else() -> None:
    """A domain that hangs holds one slot."""
    pending = Pending[Entry]()
    first, second, third = (make(pending, key="d1") for _ in range(3))
    other = make(pending, key="d2")
    assert pending.take() == [first, other]
    assert pending.queued == 2
    pending.abandon(first, now=0)
    assert pending.take() == []
    assert pending.abandon(second, now=0)
    assert pending.queued == 1
    answer(pending, first)
    assert pending.take() == [third]
    answer(pending, third)
    answer(pending, other)
    again = make(pending, key="d1")
    blocked = make(pending, key="d1")
    assert pending.abandon(again, now=0)
    assert pending.take() == [blocked]
    answer(pending, blocked)
    assert len(pending) == pending.in_flight == 0
    assert pending._parked == {}


def test_start_sends_at_once_only_if_nothing_waits_and_a_slot_is_free() -> None:
    """Otherwise it queues, as `add` does; keys always take the long way."""
    pending = Pending[Entry](window=2)
    new = [Entry(PROGRAM, 7, pending.next_serial(), deadline=deadline) for deadline in (9, 8, 7, 6)]
    assert [pending.start(entry) for entry in new[:3]] == [True, True, False]
    assert (pending.in_flight, pending.queued, pending.earliest) == (2, 1, 7)
    assert answer(pending, new[0]) is new[0]
    assert not pending.start(new[3])
    assert pending.take() == [new[2]]
    for entry in new[1:3]:
        assert answer(pending, entry) is entry
    assert pending.take() == [new[3]]
    answer(pending, new[3])
    keyed = Entry(PROGRAM, 7, pending.next_serial(), key="d1")
    assert not pending.start(keyed)
    assert pending.take() == [keyed]
    later = Entry(PROGRAM, 7, pending.next_serial(), deadline=99)
    assert pending.start(later)
    assert pending.earliest == 6


def test_the_end_returns_what_someone_waits_for_and_empties_the_table() -> None:
    """Each with whether it was sent: its outcome is unknown then."""
    pending = Pending[Entry](window=2)
    sent, gone, queued = make(pending), make(pending), make(pending, key=1)
    pending.take()
    pending.hold(77)
    pending.abandon(gone, now=0)
    assert pending.clear() == [(sent, True), (queued, False)]
    assert (len(pending), pending.in_flight, pending.queued, pending.earliest) == (0, 0, 0, inf)
    assert not pending.abandon(sent, now=0)
    assert pending.clear() == []


def sent(pending: Pending[Entry], now: float) -> list[Entry]:
    """As a session sends: those with a key are watched."""
    taken = pending.take()
    for entry in taken:
        if entry.key is not None:
            pending.watch(entry, now)
    return taken


def test_a_keyed_call_beyond_patience_is_stuck_and_gives_its_slot_away_once() -> None:
    """Its caller goes on waiting; the answer frees everything."""
    pending = Pending[Entry](window=2, patience=1)
    one, two, calm = make(pending, key="d1"), make(pending, key="d2"), make(pending)
    assert sent(pending, 10) == [one, two]
    assert pending.earliest == 11
    assert pending.expire(10.9) == []
    assert pending.stuck == {}
    assert pending.expire(11) == []
    assert list(pending.stuck.values()) == [one, two]
    assert (pending.in_flight, pending.written_off, pending.earliest) == (1, 1, inf)
    assert sent(pending, 11) == [calm]
    assert pending.is_full
    assert answer(pending, one) is one
    assert list(pending.stuck.values()) == [two]
    assert (pending.in_flight, pending.written_off) == (2, 0)
    assert answer(pending, two) is two
    assert answer(pending, calm) is calm
    assert len(pending) == pending.in_flight == 0


def test_patience_looks_again_when_the_next_may_be_stuck() -> None:
    """In the order in which they were sent; the answered ones cost nothing."""
    pending = Pending[Entry](patience=1)
    first = make(pending, key="d1")
    sent(pending, 10)
    second = make(pending, key="d2")
    sent(pending, 10.5)
    answer(pending, first)
    assert pending.expire(11) == []
    assert pending.earliest == 11.5
    assert pending.expire(11.5) == []
    assert list(pending.stuck.values()) == [second]


def test_overdue_calls_with_a_key_are_told_of() -> None:
    """Expired, or abandoned long enough after they were sent: that their caller has just gone does not count."""
    told: list[Entry] = []
    pending = Pending[Entry](grace=10, on_overdue=told.append)
    expired, cancelled, plain = (
        make(pending, key="d1", deadline=30),
        make(pending, key="d2"),
        make(pending, deadline=30),
    )
    sent(pending, 0)
    pending.abandon(cancelled, 5)
    assert pending.expire(9.9) == []
    assert told == []
    pending.expire(10)
    assert told == [cancelled]
    assert pending.expire(30) == [(expired, True), (plain, True)]
    assert told == [cancelled, expired]
    late = make(pending, key="d3")
    sent(pending, 40)
    pending.abandon(late, 55)
    pending.expire(55)
    assert told == [cancelled, expired, late]
    assert answer(pending, late) is None
    assert pending.latest is late


def test_calls_with_a_key_may_be_limited_to_some_of_the_slots() -> None:
    """The others are free for calls without; what waits keeps its order, and can be abandoned."""
    pending = Pending[Entry](window=4)
    pending.most_keyed = 2
    keyed = [make(pending, key=n) for n in range(5)]
    plain = [make(pending) for _ in range(3)]
    assert sent(pending, 0) == [*keyed[:2], *plain[:2]]
    assert pending.queued == 4
    assert pending.abandon(keyed[2], 0)
    answer(pending, keyed[0])
    assert sent(pending, 0) == [keyed[3]]
    for entry in (keyed[1], keyed[3], *plain[:2]):
        answer(pending, entry)
    assert sent(pending, 0) == [keyed[4], plain[2]]
    answer(pending, keyed[4])
    answer(pending, plain[2])
    assert len(pending) == pending.in_flight == pending.queued == 0


def test_what_was_not_sent_can_be_withdrawn() -> None:
    """All, or only calls with a key; never what waits for an unanswered one of the same key."""
    pending = Pending[Entry](window=2)
    pending.most_keyed = 1
    first, behind = make(pending, key="d1"), make(pending, key="d1")
    crowd, plain = make(pending, key="d2"), make(pending)
    twice = make(pending, key="d2", priority=Priority.URGENT)
    assert sent(pending, 0) == [first, plain]
    waiting = make(pending)
    assert (pending.holds("d1"), pending.holds("d2"), pending.holds("d3")) == (True, True, False)
    assert pending.withdraw(keyed=True) == [crowd, twice]
    assert pending.withdraw(keyed=True) == []
    assert pending.withdraw(keyed=False) == [waiting]
    assert not pending.holds("d2")
    assert pending.queued == 1
    answer(pending, first)
    assert sent(pending, 0) == [behind]


class PendingMachine(RuleBasedStateMachine):
    """Any history: the counters equal what a count of the entries says, and nobody is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = Pending[Entry](window=3, grace=5, patience=1)
        self.pending.most_keyed = 2
        self.now = 0.0
        self.entries: list[Entry] = []
        self.reported: set[int] = set()

    def live(self, *states: State) -> list[Entry]:
        return [e for e in self.entries if e.state in states]

    @rule(key=st.sampled_from([None, None, "a", "b"]), timeout=st.sampled_from([1.0, 3.0, inf]), urgent=st.booleans())
    def add(self, key: str | None, timeout: float, urgent: bool) -> None:
        priority = Priority.URGENT if urgent else Priority.NORMAL
        self.entries.append(make(self.pending, key=key, deadline=self.now + timeout, priority=priority))

    @rule()
    def take(self) -> None:
        for entry in sent(self.pending, self.now):
            assert entry.state is State.SENT

    @rule(keyed=st.booleans())
    def withdraw(self, keyed: bool) -> None:
        for entry in self.pending.withdraw(keyed=keyed):
            assert entry.state is State.DONE

    @precondition(lambda self: self.live(State.SENT, State.ABANDONED))
    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.live(State.SENT, State.ABANDONED)))
        awaited = entry.state is State.SENT
        assert answer(self.pending, entry) is (entry if awaited else None)

    @precondition(lambda self: self.live(State.SENT, State.QUEUED))
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.live(State.SENT, State.QUEUED)))
        queued = entry.state is State.QUEUED
        assert self.pending.abandon(entry, self.now) is queued

    @rule(seconds=st.sampled_from([0.5, 2.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for entry, sent in self.pending.expire(self.now):
            assert entry.deadline <= self.now
            assert entry.state is (State.ABANDONED if sent else State.DONE)

    @invariant()
    def counters_hold(self) -> None:
        pending = self.pending
        unanswered = self.live(State.SENT, State.ABANDONED)
        assert pending.in_flight == sum(e.slot for e in unanswered) <= pending.window
        assert pending.written_off == sum(not e.slot for e in unanswered) <= 1
        assert pending.abandoned == sum(e.is_overdue for e in unanswered)
        assert pending.queued == len(self.live(State.QUEUED))
        assert len(pending) == len(unanswered) + pending.queued
        keys = [e.key for e in unanswered if e.key is not None]
        assert len(keys) == len(set(keys))
        assert len(keys) <= pending.most_keyed
        assert all(self.now - e.since >= pending.patience for e in pending.stuck.values())
        for entry in self.live(State.SENT, State.QUEUED):
            assert pending.earliest <= entry.deadline

    def teardown(self) -> None:
        # whatever happened, answering everything lets everything through
        while self.live(State.SENT, State.ABANDONED, State.QUEUED):
            self.pending.take()
            for entry in self.live(State.SENT, State.ABANDONED):
                answer(self.pending, entry)
        assert len(self.pending) == 0
        assert self.pending._parked == {}


TestPendingMachine = PendingMachine.TestCase
