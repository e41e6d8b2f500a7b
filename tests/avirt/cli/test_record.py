"""`avirt record` and `avirt replay`: files made and played, and what is said of those that are none."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.avirt.cli.conftest import Run, Spawn
from tests.avirt.recording.recordings import HEADER, file_of

DEMO = ("-c", "sim://demo?rate=200")
SIM = ("-c", "sim://quiet")


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_record_then_replay_gives_the_same_changes(run: Run, tmp_path: Path, loop: str) -> None:
    """As many, compared with those in the file; played at any speed."""
    file = str(tmp_path / "r")
    ran = run(*DEMO, "-o", "json", "record", file, "--timeout", "0.3", backend=loop)
    assert ran.code == 0
    told = ran.json
    assert told.keys() == {"file", "changes", "lines", "lost"}
    assert (told["file"], told["lost"]) == (file, 0)
    assert told["changes"] > 14
    for speed in ((), ("--speed", "max"), ("--speed", "1000"), ("--items",)):
        played = run("-o", "json", "replay", file, *speed, backend=loop)
        assert played.code == 0
        snapshot, *changes = played.objects
        assert (snapshot["kind"], snapshot["domains"]) == ("snapshot", [])
        assert len(changes) == told["changes"]
        assert [change["revision"] for change in changes] == list(range(1, told["changes"] + 1))
        assert "as recorded by avirt" in played.err


def test_record_makes_a_file_for_its_owner_only(run: Run, tmp_path: Path) -> None:
    """Whatever the umask, and whatever the mode of the file it replaces."""
    file = tmp_path / "r"
    mask = os.umask(0)
    try:
        assert run(*SIM, "record", str(file), "--timeout", "0.01").code == 0
        file.chmod(0o666)
        assert run(*SIM, "record", str(file), "--timeout", "0.01", "--force").code == 0
    finally:
        os.umask(mask)
    assert file.stat().st_mode & 0o777 == 0o600


def test_record_does_not_replace_a_file_unless_told_to(run: Run, tmp_path: Path) -> None:
    """Nor what a symbolic link points at."""
    (tmp_path / "r").write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    ran = run(*SIM, "record", str(tmp_path / "r"), "--timeout", "0.01")
    assert ran.code == 2
    assert ran.err.splitlines() == [f"error: {tmp_path}/r exists", "hint: give another name, or --force"]
    assert (tmp_path / "r").read_text() == "precious"
    assert run(*SIM, "record", str(tmp_path / "link"), "--force", "--timeout", "0.01").code == 2
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("-c", "sim://a", "-c", "sim://b", "record", "x"), "several hosts"),
        ((*SIM, "record", "/nowhere/x"), "/nowhere/x: No such file or directory"),
        ((*SIM, "record", "/"), "/ exists"),
        ((*SIM, "record"), "FILE"),
        (("replay", "/nowhere/x"), "No such file or directory"),
        (("replay", "/"), "is a directory"),
        (("replay", "x", "--speed", "0"), "is no speed"),
        (("replay", "x", "--speed", "fast"), "is no speed"),
    ],
)
def test_wrong_usage_is_told_in_a_line_and_a_hint(run: Run, words: tuple[str, ...], why: str) -> None:
    """Exit code 2, nothing on stdout, nothing made."""
    ran = run(*words)
    assert ran.code == 2
    assert ran.out == ""
    assert why in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"#!/bin/sh\n", "no recording of avirt's"),
        (b'{"is":"Header","version":9,"avirt":"7.0"}\n', "recorded by avirt 7.0"),
        (file_of() + b"{}\n", "line 2 is none of a recording"),
    ],
)
def test_replay_of_what_is_no_recording_says_so(run: Run, tmp_path: Path, data: bytes, why: str) -> None:
    """Exit code 2: not that of a difference."""
    (tmp_path / "r").write_bytes(data)
    ran = run("replay", str(tmp_path / "r"))
    assert ran.code == 2
    assert why in ran.err
    assert "hint: " in ran.err


def test_replay_that_differs_says_where_and_ends_with_1(run: Run, tmp_path: Path) -> None:
    """A change that would not follow now."""
    file = tmp_path / "r"
    run(*SIM, "record", str(file), "--timeout", "0.05")
    file.write_text(file.read_text().replace('"why":"closed"', '"why":"otherwise"', 1))
    ran = run("replay", str(file))
    assert ran.code == 1
    assert "host_lost" in ran.err
    assert "why not as recorded" in ran.err


def test_replay_of_a_torn_file_plays_what_is_there(run: Run, tmp_path: Path) -> None:
    """With a note."""
    file = tmp_path / "r"
    run(*SIM, "record", str(file), "--timeout", "0.05")
    file.write_bytes(file.read_bytes()[:-9])
    ran = run("replay", str(file))
    assert ran.code == 0
    assert "torn off" in ran.err


def test_record_of_a_connection_that_fails_keeps_why(run: Run, tmp_path: Path) -> None:
    """The exit code is the connection's, and the file can be played."""
    ran = run("-c", f"qemu+unix:///system?socket={tmp_path}/none", "record", str(tmp_path / "r"))
    assert ran.code == 4
    assert "0 changes recorded" in ran.out
    played = run("replay", str(tmp_path / "r"))
    assert played.code == 0
    assert "no connection: CannotConnect: there is no socket" in played.err


def test_record_ended_by_ctrl_c_is_whole(spawn: Spawn, tmp_path: Path, run: Run) -> None:
    """It is how a recording ends: exit code 0."""
    process = spawn(*DEMO, "record", str(tmp_path / "r"))
    assert process.stderr is not None
    assert "Ctrl-C ends it" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "changes recorded into" in out
    assert "torn" not in run("replay", str(tmp_path / "r")).err


@pytest.mark.slow
def test_record_killed_can_be_played(spawn: Spawn, tmp_path: Path, run: Run) -> None:
    """What was written until then is there, and follows as it did."""
    file = tmp_path / "r"
    process = spawn(*DEMO, "record", str(file))
    assert process.stderr is not None
    process.stderr.readline()
    while file.stat().st_size < 100_000:
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=30)
    ran = run("-o", "json", "replay", str(file))
    assert ran.code == 0
    assert len(ran.objects) > 50


def test_file_that_may_not_be_read_or_made_is_told(spawn: Spawn, tmp_path: Path) -> None:
    """Permission denied, in a line."""
    (tmp_path / "r").write_bytes(file_of())
    (tmp_path / "r").chmod(0)
    (tmp_path / "closed").mkdir(mode=0o500)
    for words in (("replay", str(tmp_path / "r")), (*SIM, "record", str(tmp_path / "closed" / "r"))):
        process = spawn(*words, as_nobody=True)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 2
        assert err.splitlines()[0].endswith("Permission denied")


def test_header_is_the_first_line(run: Run, tmp_path: Path) -> None:
    """Which avirt, which driver, which host."""
    run(*SIM, "record", str(tmp_path / "r"), "--timeout", "0.01")
    header = json.loads((tmp_path / "r").read_text().splitlines()[0])
    assert header["is"] == "Header"
    assert (header["driver"], header["uri"], header["version"]) == ("sim", "sim://quiet", HEADER.version)
