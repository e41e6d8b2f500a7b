"""`avirt doctor`: each thing that can be wrong is named as its step, with what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.avirt.cli.conftest import Run, Spawn


def steps(run: Run, *words: str) -> tuple[int, list[tuple[str, object]]]:
    """Exit code, and (step, ok) in order."""
    ran = run("-o", "json", "doctor", *words)
    assert ran.err == ""
    documents = ran.json
    assert all(document.keys() == {"uri", "step", "ok", "text", "hint"} for document in documents)
    assert all(document["text"] for document in documents)
    assert all(document["hint"] for document in documents if document["ok"] is False)
    return ran.code, [(document["step"], document["ok"]) for document in documents]


def test_all_is_well_with_a_simulated_hypervisor(run: Run) -> None:
    code, found = steps(run, "sim://quiet")
    assert code == 0
    assert found == [
        ("uri", True),
        ("driver", True),
        ("connection", True),
        ("hypervisor", True),
        ("listing", True),
        ("access", True),
        ("calls", True),
    ]


def test_a_report_reads_as_lines(run: Run) -> None:
    ran = run("doctor", "sim://quiet")
    assert ran.lines[0] == "sim://quiet"
    assert ran.lines[1] == "  ok      uri             well formed"
    assert "  ok      listing         3 domains, 2 active" in ran.lines


def test_a_failure_reads_as_two_lines(run: Run) -> None:
    ran = run("doctor", "foo://x")
    assert ran.code == 2
    assert ran.lines[2] == "  FAILED  driver          no driver for the scheme 'foo'"
    assert ran.lines[3].startswith("                          -> known schemes: ")


def test_names_are_those_of_the_steps_that_failed(run: Run) -> None:
    assert run("-o", "name", "doctor", "sim://quiet").out == ""
    assert run("-o", "name", "doctor", "foo://x").out == "driver\n"


@pytest.mark.parametrize(
    ("uri", "code", "step"),
    [
        ("nonsense", 2, "uri"),
        ("foo://x", 2, "driver"),
        ("qemu+unix://host/system", 2, "uri"),
        ("qemu+ssh://host/system", 1, "transport"),
        ("qemu+unix:///system?socket=/no/such/socket", 4, "socket"),
        ("qemu+unix:///system?socket=/etc/passwd", 4, "socket"),
        ("qemu+unix:///system?socket=/etc/passwd/socket", 4, "permission"),
        ("qemu+unix:///system?socket=@avirt-no-such-socket", 4, "connection"),
        ("sim://quiet?domains=x", 2, "driver"),
    ],
)
def test_what_is_wrong_is_the_last_step(run: Run, uri: str, code: int, step: str) -> None:
    got, found = steps(run, uri)
    assert found[-1] == (step, False)
    assert all(ok is not False for _, ok in found[:-1])
    assert got == code


def test_a_socket_that_nobody_listens_at_fails_at_the_connection(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    code, found = steps(run, f"qemu+unix:///system?socket={path}")
    assert (code, found[-1]) == (4, ("connection", False))
    assert ("socket", True) in found
    assert ("permission", True) in found


def test_a_socket_that_is_closed_to_us_fails_at_the_permission(spawn: Spawn, closed_socket: str) -> None:
    process = spawn("doctor", closed_socket, as_nobody=True)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (4, "")
    assert out.splitlines()[-2].startswith("  FAILED  permission      ")
    assert "adduser" in out.splitlines()[-1]


def test_a_read_only_connection_is_noted(run: Run) -> None:
    code, found = steps(run, "sim://quiet", "-r")
    assert code == 0
    assert ("access", None) in found


def test_every_host_of_the_command_line_is_examined(run: Run) -> None:
    ran = run("-c", "a=sim://quiet", "-c", "b=foo://x", "doctor")
    assert ran.code == 2
    assert [line for line in ran.lines if not line.startswith(" ")] == ["sim://quiet", "foo://x"]


def test_what_the_environment_names_is_examined(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "sim://quiet")
    ran = run("doctor")
    assert ran.lines[1] == "  ok      uri             well formed (from LIBVIRT_DEFAULT_URI)"
    monkeypatch.setenv("AVIRT_URI", "nonsense")
    code, found = steps(run)
    assert (code, found) == (2, [("environment", False)])
