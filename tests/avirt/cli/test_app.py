"""From argv to an exit code: help, errors, signals, pipes. What needs a process of its own gets one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import avirt
from avirt import errors
from avirt.cli.codes import exit_code
from avirt.cli.verbs import ROWS
from tests.avirt.cli.conftest import ROOT, Run, Spawn

SIM = ("-c", "sim://quiet")


# ---------------------------------------------------------------- help and version


@pytest.mark.parametrize("line", ["--help", "-h", "help", "help --help"])
def test_help_lists_the_verbs(run: Run, line: str) -> None:
    ran = run(line)
    assert (ran.code, ran.err) == (0, "")
    assert ("Exit codes:" in ran.out) == (line != "help --help")


@pytest.mark.parametrize("verb", ROWS)
def test_help_of_a_verb_by_option_and_by_verb(run: Run, verb: str) -> None:
    ran = run(verb, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert "Examples:" in ran.out
    assert run("help", verb).out == ran.out


def test_help_of_an_unknown_verb_is_wrong_usage(run: Run) -> None:
    assert run("help", "dance").code == 2


def test_version_is_the_packages(run: Run) -> None:
    assert run("--version").out == avirt.__version__ + "\n"


def test_no_verb_is_wrong_usage(run: Run) -> None:
    ran = run("-r")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: no verb is given\nhint: ")


@pytest.mark.parametrize("line", ["dance", "list --dance", "start", "list x", "-o yaml list", "start x --timeout no"])
def test_wrong_usage_is_two_lines_and_2(run: Run, line: str) -> None:
    ran = run(line)
    assert (ran.code, ran.out) == (2, "")
    assert [text.split(":")[0] for text in ran.err.splitlines()] == ["error", "hint"]


def test_the_script_is_declared() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"avirt": "avirt.cli.app:script"}


# ---------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidURI("x"), 2),
        (errors.AmbiguousName("x"), 2),
        (errors.NotFound("x"), 3),
        (errors.DomainGone("x"), 3),
        (errors.CannotConnect("x"), 4),
        (errors.AuthError("x"), 4),
        (errors.ConnectionLost("x"), 4),
        (errors.RemoteProtocolError("x"), 4),
        (errors.OperationTimeout("x"), 5),
        (errors.Stalled("x"), 5),
        (errors.OperationTimeout("x", verb="connect"), 4),
        (errors.InvalidOperation("x"), 1),
        (errors.AccessDenied("x"), 1),
        (errors.InvalidArgument("x"), 1),
        (errors.NativeError("x"), 1),
        (errors.Unsupported("x"), 1),
        (errors.InternalError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(error: errors.AvirtError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-c", "sim://quiet", "list"), 0),
        (("-c", "sim://quiet", "domrename", "vm1", "x"), 1),
        (("-c", "nonsense://", "list"), 2),
        (("-c", "sim://quiet", "domid", "nosuch"), 3),
        (("-c", "qemu+unix:///system?socket=/no/such/socket", "list"), 4),
        (("-c", "sim://quiet", "wait", "vm3", "running", "--timeout", "0.01"), 5),
    ],
)
def test_exit_codes_of_the_process_are_the_documented_ones(spawn: Spawn, words: tuple[str, ...], code: int) -> None:
    process = spawn(*words)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2


def test_documentation_names_the_exit_codes() -> None:
    from avirt.cli.codes import EXIT_CODES

    text = (ROOT / "docs" / "cli.md").read_text()
    for code in EXIT_CODES:
        assert f"| {code} |" in text


# ---------------------------------------------------------------- sockets that are not what they should be


def test_a_missing_socket_says_what_to_do(run: Run) -> None:
    ran = run("-c", "qemu+unix:///system?socket=/no/such/socket", "list")
    assert ran.code == 4
    assert "/no/such/socket" in ran.err.splitlines()[0]
    assert "libvirtd" in ran.err.splitlines()[1]


def test_a_socket_without_rights_says_what_to_do(spawn: Spawn, closed_socket: str) -> None:
    process = spawn("-c", closed_socket, "list", as_nobody=True)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 4
    assert "permission denied" in err.splitlines()[0].lower()
    assert "adduser" in err.splitlines()[1]


def test_a_file_that_is_no_socket_is_a_line(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    ran = run("-c", f"qemu+unix:///system?socket={path}", "list")
    assert ran.code == 4
    assert len(ran.err.splitlines()) == 2


# ---------------------------------------------------------------- signals


@pytest.mark.parametrize(
    ("number", "words", "code"),
    [
        (signal.SIGINT, ("watch",), 130),
        (signal.SIGTERM, ("watch",), 143),
        (signal.SIGINT, ("-o", "json", "watch"), 130),
        (signal.SIGINT, ("run",), 0),
        (signal.SIGTERM, ("run",), 0),
    ],
)
def test_a_signal_ends_a_stream_quietly(
    spawn: Spawn, number: signal.Signals, words: tuple[str, ...], code: int
) -> None:
    process = spawn(*SIM, *words)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (code, "")


def test_ctrl_c_ends_event_with_its_count(spawn: Spawn) -> None:
    process = spawn("-c", "sim://demo?rate=100", "event", "--loop")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("event '")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "")
    assert "\nevent loop interrupted\nevents received: " in "\n" + out


def test_ctrl_c_ends_a_verb_that_waits(spawn: Spawn) -> None:
    """The host takes its time, so that the verb is certain to be waiting when its first step was seen."""
    process = spawn("-c", "a=sim://quiet", "-c", "b=sim://demo", "watch", "a/vm1")
    assert process.stdout is not None
    assert process.stdout.readline() == "a: 1 domain\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (130, "")


# ---------------------------------------------------------------- pipes


@pytest.mark.parametrize("words", [("watch",), ("-o", "json", "watch"), ("event", "--loop")])
def test_a_stream_ends_when_nobody_reads_it(spawn: Spawn, words: tuple[str, ...]) -> None:
    process = spawn("-c", "sim://demo?rate=50", *words)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=10) == 0
    assert process.stderr.read() == ""


def test_a_stream_without_changes_ends_too_when_nobody_reads_it(spawn: Spawn) -> None:
    """Nothing is ever written that could fail: the closed pipe itself is noticed."""
    process = spawn(*SIM, "-o", "json", "watch")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=10) == 0
    assert process.stderr.read() == ""


def test_a_table_into_a_closed_pipe_ends_quietly(spawn: Spawn) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = spawn(*SIM, "list", stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_a_full_disk_is_said(spawn: Spawn) -> None:
    with Path("/dev/full").open("w") as full:
        process = spawn(*SIM, "list", stdout=full)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, "error: output: No space left on device\n")


@pytest.mark.parametrize("words", [("list",), ("domid", "nosuch")])
def test_a_process_without_streams_works(words: tuple[str, ...]) -> None:
    command = " ".join([sys.executable, "-m", "avirt", *SIM, *words])
    ran = subprocess.run(["/bin/sh", "-c", f"{command} >&- 2>&-"], cwd=ROOT, check=False, timeout=30)
    assert ran.returncode == (0 if words == ("list",) else 3)


def test_a_name_that_is_no_utf8_goes_out_as_it_came_in(spawn: Spawn) -> None:
    process = spawn(*SIM, "domid", "caf\udce9", errors="surrogateescape")
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err.splitlines()[0]) == (3, "error: no domain 'caf\udce9' on sim://quiet")


def test_a_name_that_the_encoding_lacks_is_escaped(spawn: Spawn, tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text("<domain type='sim'><name>虚拟</name><memory>1024</memory></domain>", encoding="utf-8")
    process = spawn(*SIM, "-o", "name", "define", str(path), env={"PYTHONIOENCODING": "latin-1"})
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "\\u865a\\u62df\n", "")


def test_progress_is_for_terminals(run: Run) -> None:
    ran = run("-c", "sim://quiet?latency=500", "start", "vm3")
    assert ran.err == ""


# ---------------------------------------------------------------- start-up


def test_a_short_verb_loads_nothing_that_draws() -> None:
    """Start-up is the price of every call: rich and the like cost more than all the rest."""
    program = (
        "import sys; from avirt.cli.app import main; main(['-c', 'sim://quiet', 'list']);"
        "print([name for name in ('rich', 'structlog', 'uvloop', 'trio', 'importlib.metadata', 'json', 'argparse',"
        " 'xml.etree.ElementTree.never') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
