"""Which domains hang: opened, tried, closed."""

from __future__ import annotations

import pytest

from avirt.drivers.wire.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker
from avirt.errors import Busy


def opened() -> Breaker[str]:
    breaker = Breaker[str]()
    breaker.overdue("d", "domain_get_info", since=60.0, now=100.0)
    return breaker


def test_a_domain_that_does_not_hang_is_called_freely() -> None:
    """Also beside one that does."""
    breaker = Breaker[str]()
    assert not breaker
    assert not breaker.check("d", 0.0)
    breaker.overdue("e", "domain_get_info", since=0.0, now=0.0)
    assert breaker
    assert not breaker.check("d", 0.0)


def test_calls_of_a_hung_domain_fail_at_once_and_say_since_when() -> None:
    """Until it is time for a trial."""
    breaker = opened()
    with pytest.raises(Busy, match="hung since 1970-01-01 00:01:00") as caught:
        breaker.check("d", 100.0 + FIRST_PAUSE - 0.1)
    assert "domain_get_info" in str(caught.value)
    assert caught.value.retryable
    assert caught.value.hint


def test_one_trial_is_made_and_its_answer_closes() -> None:
    """Others fail while it is under way."""
    breaker = opened()
    assert breaker.check("d", 100.0 + FIRST_PAUSE)
    with pytest.raises(Busy):
        breaker.check("d", 100.0 + FIRST_PAUSE)
    breaker.answered("d")
    assert not breaker
    assert not breaker.check("d", 100.0)
    breaker.answered("d")


def test_a_trial_of_which_nothing_came_is_made_again() -> None:
    """Its caller may have been cancelled before it was sent."""
    breaker = opened()
    assert breaker.check("d", 200.0)
    assert breaker.check("d", 200.0 + LONGEST_PAUSE)


def test_a_trial_that_is_refused_backs_off_up_to_a_limit() -> None:
    """The server says that the domain is still held."""
    breaker = opened()
    now, pause = 1000.0, FIRST_PAUSE
    for _ in range(8):
        assert breaker.check("d", now)
        breaker.refused("d", now)
        pause = min(pause * 2, LONGEST_PAUSE)
        with pytest.raises(Busy):
            breaker.check("d", now + pause - 0.1)
        now += pause
    assert pause == LONGEST_PAUSE
    breaker.refused("e", now)
    assert list(breaker.hung) == ["d"]


def test_two_unanswered_calls_of_a_domain_are_all_that_there_are() -> None:
    """Each holds a worker of the server; a lost connection gives one back as far as we know."""
    breaker = opened()
    assert breaker.check("d", 1000.0)
    breaker.overdue("d", "domain_get_xml_desc", since=0.0, now=1030.0)
    assert breaker.hung["d"].unanswered == 2
    assert breaker.hung["d"].what == "domain_get_info"
    with pytest.raises(Busy):
        breaker.check("d", 1e9)
    breaker.lost("d")
    breaker.lost("e")
    assert breaker.check("d", 1e9)
