"""kill -9 at random points, 200 times: nothing that a durable reader was given is lost, no number means two things."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_journal_killed_a_hundred_times_loses_nothing_that_was_given(seed: int) -> None:
    """`killing.py`, in a process that forks fast: it has loaded nothing else. `make soak` goes on for longer."""
    program = [sys.executable, "-m", "tests.events.soak_kill", "--lives", "100", "--seed", str(seed)]
    answer = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
