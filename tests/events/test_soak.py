"""Promise 5 for a while: many rings of changes past stuck subscribers leave the memory as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_stuck_subscribers_cost_no_memory_however_long() -> None:
    """300,000 changes through a ring of 5,000, in a process of its own: it measures what the process holds.

    `make soak` publishes ten million through a whole ring.
    """
    program = [sys.executable, "-m", "benchmarks.soak_stuck_subscribers", "--changes", "300000", "--capacity", "5000"]
    answer = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "behind by 300,000" in answer.stdout
