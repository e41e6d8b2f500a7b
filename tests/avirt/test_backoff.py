"""Back-off with full jitter."""

from __future__ import annotations

import pytest

from avirt.backoff import Backoff


def test_backoff_ceiling_doubles_to_the_cap_and_falls_back() -> None:
    asked: list[tuple[float, float]] = []

    def highest(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    backoff = Backoff(highest, base=0.5, cap=3.0)
    assert [backoff.next_delay() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert {low for low, _ in asked} == {0.0}
    backoff.reset()
    assert backoff.next_delay() == 0.5


def test_backoff_after_very_many_attempts_stays_at_the_cap() -> None:
    backoff = Backoff(lambda _low, high: high)
    backoff.attempts = 100_000
    assert backoff.next_delay() == 30.0


@pytest.mark.parametrize(("base", "cap"), [(0, 1), (2, 1), (-1, 1)])
def test_backoff_refuses_a_senseless_range(base: float, cap: float) -> None:
    with pytest.raises(ValueError, match="base"):
        Backoff(lambda low, _high: low, base=base, cap=cap)
