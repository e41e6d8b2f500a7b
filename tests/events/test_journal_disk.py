"""Real disks that are full, or can't be written to: small ones, mounted for the test alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root may mount a small disk"),
]


def on_a_disk(folder: Path, script: str) -> dict[str, Any]:
    """What `small_disk.py` says after a shell has prepared the folder."""
    program = f"{sys.executable} -m tests.events.small_disk {folder}/j.db"
    answer = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script.format(folder=folder, program=program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.mark.parametrize("size", ["64k", "200k", "1m"])
def test_journal_on_a_disk_that_fills_up_is_given_up_and_has_all_that_was_given(tmp_path: Path, size: str) -> None:
    found = on_a_disk(tmp_path, f"mount -t tmpfs -o size={size} none {{folder}}; {{program}}")
    assert found["why"].startswith(("the disk is full", "the disk fails", "No space left"))
    assert found["aside"] == ""
    # all that the durable reader was given is there, and readable, though the disk is full
    assert found["given"] <= found["kept"]


def test_journal_on_a_disk_that_can_not_be_written_to_is_given_up(tmp_path: Path) -> None:
    found = on_a_disk(tmp_path, "mount -t tmpfs none {folder}; mount -o remount,ro {folder}; {program}")
    assert found == {"why": "Read-only file system", "aside": "", "given": 0, "kept": 0}
