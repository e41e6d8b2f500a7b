"""A silent peer is found, and one that can't read is not taken for dead."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.libvirt.keepalive import PING_MESSAGE, PONG_MESSAGE, Keepalive, Verdict
from avirt.drivers.libvirt.protocol import Connection, Role
from avirt.errors import LocalProtocolError

ALIVE, PING, DEAD = Verdict.ALIVE, Verdict.PING, Verdict.DEAD


def test_keepalive_silent_peer_is_pinged_and_given_up_after_interval_times_count_and_one() -> None:
    """5 s and 5 pings: 30 s, as the servers do."""
    keepalive = Keepalive(interval=5, count=5)
    now = 0.0
    found = [keepalive.check(now, 7)]
    while found[-1] is not DEAD:
        now = keepalive.due
        found.append(keepalive.check(now, 7))
    assert found == [ALIVE, PING, PING, PING, PING, PING, DEAD]
    assert now == 30.0
    assert keepalive.due == inf


def test_keepalive_any_message_is_life() -> None:
    """The count of unanswered pings begins anew."""
    keepalive = Keepalive(interval=1, count=1)
    assert keepalive.check(0, 0) is ALIVE
    assert keepalive.check(1, 0) is PING
    assert keepalive.check(1.5, 1) is ALIVE
    assert keepalive.due == 2.5
    assert keepalive.check(2.5, 1) is PING
    assert repr(keepalive) == "<Keepalive 1 of 1 pings unanswered>"
    assert keepalive.check(3.5, 1) is DEAD


def test_keepalive_checked_too_early_does_nothing() -> None:
    """Whoever wakes for another reason may check."""
    keepalive = Keepalive(interval=5, count=1)
    keepalive.check(0, 0)
    assert keepalive.check(4.9, 0) is ALIVE
    assert keepalive.due == 5
    assert keepalive.check(5, 0) is PING
    assert keepalive.check(5.1, 0) is ALIVE


def test_keepalive_suspended_silence_means_nothing_for_as_long_as_a_server_bears_it_itself() -> None:
    """At its limit of requests a server reads no ping, and drops the client after its own deadline (libvirt-wire.md
    §3). A link that is dead meanwhile is found one deadline later than another."""
    keepalive = Keepalive(interval=5, count=2)
    keepalive.check(0, 0)
    assert keepalive.check(5, 0) is PING
    found = [keepalive.check(now, 0, suspended=True) for now in range(10, 40, 5)]
    assert found == [ALIVE, ALIVE, ALIVE, PING, PING, DEAD]


def test_keepalive_begins_anew_when_it_is_suspended_no_more() -> None:
    keepalive = Keepalive(interval=5, count=1)
    keepalive.check(0, 0)
    assert keepalive.check(5, 0) is PING
    assert keepalive.check(10, 0, suspended=True) is ALIVE
    assert keepalive.check(15, 0) is PING
    assert keepalive.check(20, 0) is DEAD


def test_keepalive_suspended_and_heard_is_excused_as_long_again() -> None:
    keepalive = Keepalive(interval=5, count=1)
    for inbound in range(10):
        now = inbound * 15
        found = [keepalive.check(now + after, inbound, suspended=True) for after in (0, 5, 10)]
        assert found == [ALIVE, ALIVE, ALIVE]


def test_keepalive_without_pings_gives_up_after_one_interval() -> None:
    """count=0."""
    keepalive = Keepalive(interval=5, count=0)
    keepalive.check(0, 0)
    assert keepalive.check(5, 0) is DEAD


@pytest.mark.parametrize(("interval", "count"), [(0, 5), (-1, 5), (inf, 5), (5, -1), (float("nan"), 5)])
def test_keepalive_with_impossible_settings_is_refused(interval: float, count: int) -> None:
    """Rather than pinging all the time, or never."""
    with pytest.raises(LocalProtocolError, match="can't work"):
        Keepalive(interval=interval, count=count)


@given(steps=st.lists(st.tuples(st.floats(0.01, 20), st.booleans()), max_size=40))
def test_keepalive_never_gives_up_a_peer_that_was_heard_in_time(steps: list[tuple[float, bool]]) -> None:
    """Dead only after interval * (count + 1) seconds of silence; found by then and one interval if checked when due."""
    keepalive = Keepalive(interval=5, count=2)
    now, heard, inbound = 0.0, 0.0, 0
    for pause, message in steps:
        end = now + pause
        while keepalive.due < end:
            now = max(now, keepalive.due)
            verdict = keepalive.check(now, inbound)
            if verdict is DEAD:
                assert now - heard >= 15
                return
            assert now - heard <= 20
        now = end
        if message:
            heard, inbound = now, inbound + 1


@pytest.mark.parametrize("role", Role)
def test_keepalive_frames_go_both_ways(role: Role) -> None:
    """Serial 0, no payload."""
    peer = Connection(Role.SERVER if role is Role.CLIENT else Role.CLIENT)
    for message in (PING_MESSAGE, PONG_MESSAGE):
        data = Connection(role).send(message)
        assert len(data) == 28
        assert peer.receive_data(data) == [message]
