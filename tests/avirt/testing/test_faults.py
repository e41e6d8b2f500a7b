"""Rules strike where, when and as often as they say."""

from __future__ import annotations

import msgspec
import pytest

from avirt.testing.faults import WireFaults
from avirt.testing.rules import (
    RULES,
    Cut,
    Direction,
    FailCall,
    Hang,
    LoseEvent,
    RefuseAuth,
    Rule,
    Silence,
    Storm,
    Where,
)

IN, OUT = Direction.IN, Direction.OUT


def test_rules_are_data_that_can_be_written_down_and_read_back() -> None:
    kinds = msgspec.json.Decoder(list[Cut | FailCall | Hang])
    rules = [Cut(after_bytes=7, direction=IN, where=3), FailCall(code=38, domain="a"), Hang(domain="b")]
    assert kinds.decode(msgspec.json.encode(rules)) == rules


def test_every_kind_has_a_name_of_its_own() -> None:
    names = [kind.name() for kind in RULES]
    assert len(set(names)) == len(RULES) == len(Rule.__subclasses__())
    assert all(name.islower() for name in names)


def test_rule_strikes_after_what_it_skips_and_then_so_often() -> None:
    faults = WireFaults()
    faults.add(LoseEvent(skip=2, times=2))
    struck = [faults.strike(LoseEvent, 0, True) is not None for _ in range(6)]
    assert struck == [False, False, True, True, False, False]
    assert faults.struck == {"lose_event": 2}
    assert faults.rules == []


def test_rule_without_a_number_of_times_strikes_until_it_is_taken_back() -> None:
    faults = WireFaults()
    rule = faults.refuse_auth()
    assert all(faults.strike(RefuseAuth, 0, False) is rule for _ in range(5))
    faults.remove(rule)
    assert faults.strike(RefuseAuth, 0, False) is None
    assert not faults.holds(RefuseAuth)


@pytest.mark.parametrize(
    ("where", "hits"),
    [
        (Where.ANY, [True, True, True]),
        (Where.EVENTS, [True, False, False]),
        (Where.CALLS, [False, True, True]),
        (1, [False, True, False]),
    ],
)
def test_rule_strikes_on_the_connections_that_it_names(where: Where | int, hits: list[bool]) -> None:
    faults = WireFaults()
    faults.silence(where=where)
    connections = [(0, True), (1, False), (2, False)]
    assert [faults.find(Silence, number, events) is not None for number, events in connections] == hits


def test_rule_that_does_not_fit_is_passed_over() -> None:
    faults = WireFaults()
    faults.lose_event(domain="a")
    other = faults.lose_event(event=1)
    assert faults.strike(LoseEvent, 0, True, lambda rule: rule.event == 1) is other
    assert faults.find(LoseEvent, 0, True, lambda rule: rule.domain == "b") is None


def test_cut_counts_bytes_of_its_direction_from_when_it_was_laid() -> None:
    faults = WireFaults()
    assert faults.room(OUT, 0, False) is None
    assert not faults.passed(OUT, 0, False, 100)
    faults.cut(after_bytes=10)
    assert faults.room(IN, 0, False) is None
    assert not faults.passed(IN, 0, False, 100)
    assert not faults.passed(OUT, 0, False, 4)
    assert (faults.room(OUT, 0, False), faults.room(OUT, 1, False)) == (6, 10)
    assert faults.passed(OUT, 0, False, 6)
    assert faults.rules == []
    assert faults.struck["cut"] == 1


def test_nearest_of_several_cuts_gives_the_room() -> None:
    faults = WireFaults()
    faults.cut(after_bytes=10)
    faults.cut(after_bytes=5)
    assert faults.room(OUT, 0, False) == 5
    assert not faults.passed(OUT, 0, False, 4)
    assert faults.room(OUT, 0, False) == 1


def test_simulator_is_told_when_rules_come_and_go() -> None:
    faults = WireFaults()
    told: list[object] = []
    faults.add(Storm())
    faults.on_added = told.append
    faults.on_cleared = lambda: told.append("cleared")
    rules: list[Rule] = [
        faults.delay(1.0),
        faults.fragment(),
        faults.reorder(),
        faults.late_reply(1.0),
        faults.fail_call(38),
        faults.hang("a"),
        faults.repeat_event(),
        faults.storm(),
        faults.refuse_connection(),
        faults.slow_accept(1.0),
    ]
    assert told == rules
    assert list(faults.rules)[1:] == rules
    assert "Delay" in repr(faults)
    faults.clear()
    assert told[-1] == "cleared"
    assert repr(faults) == "<WireFaults none>"


def test_counting_and_spending() -> None:
    faults = WireFaults()
    rule = faults.storm(4)
    faults.count(rule)
    assert list(faults.rules) == [rule]
    faults.spend(rule)
    assert faults.rules == []
    assert faults.struck == {"storm": 2}


def test_whoever_wants_to_know_is_told_what_strikes() -> None:
    faults, told = WireFaults(), list[str]()
    faults.on_struck = told.append
    faults.add(LoseEvent(times=1))
    faults.strike(LoseEvent, 0, True)
    faults.strike(LoseEvent, 0, True)
    faults.note("stop")
    assert told == ["lose_event", "stop"]
