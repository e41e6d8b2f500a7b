"""kill -9 at random points, 200 times: nothing that a durable reader was given is lost, no number means two things."""

from __future__ import annotations

from pathlib import Path

import pytest

from .killing import Lives


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_journal_killed_a_hundred_times_loses_nothing_that_was_given(tmp_path: Path, seed: int) -> None:
    lives = Lives(tmp_path / "j.db", seed)
    lives.run(100)
    # they came so far as to give something, and some were killed before
    assert 20 < lives.alive <= 100
    assert lives.quick_only > 0
