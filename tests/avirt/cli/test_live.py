"""The live view on a real terminal, and `avirt run`."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from tests.avirt.cli.conftest import ROOT, Spawn

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
"""The alternate screen, by which the user's own comes back."""


class Terminal:
    """A command line on a pseudo-terminal."""

    def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
        self.master, slave = pty.openpty()
        self.resize(20, 90, tell=False)
        ours = ("AVIRT_URI", "LIBVIRT_DEFAULT_URI", "COLUMNS", "LINES")
        environ = {key: value for key, value in os.environ.items() if key not in ours}
        environ |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"} | (env or {})
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "avirt", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environ,
        )
        os.close(slave)
        self.seen = ""

    def resize(self, rows: int, columns: int, *, tell: bool = True) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def until(self, text: str, *, timeout: float = 20.0) -> str:
        """Read until this was printed; everything since the last call."""
        deadline = time.monotonic() + timeout
        start = len(self.seen)
        while text not in self.seen[start:]:
            ready, _, _ = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{text!r} did not come; there was {self.seen[start:][-2000:]!r}"
            try:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                break
        return self.seen[start:]

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def end(self) -> int:
        """Wait for the end; what was printed is in `seen`."""
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            self.seen += data.decode(errors="replace")
        return self.process.wait(timeout=10)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()
        os.close(terminal.master)


@pytest.fixture
def terminal(terminals: list[Terminal]) -> type[Terminal]:
    class Kept(Terminal):
        def __init__(self, *words: str, env: dict[str, str] | None = None) -> None:
            super().__init__(*words, env=env)
            terminals.append(self)

    return Kept


def test_watch_draws_on_the_alternate_screen_and_leaves_it(terminal: type[Terminal]) -> None:
    view = terminal("-c", "sim://quiet", "watch")
    view.until("vm3")
    assert ENTER in view.seen
    view.type(b"\x03")
    assert view.end() == 130
    assert LEAVE in view.seen
    assert "Traceback" not in view.seen


def test_watch_shows_changes_as_they_come(terminal: type[Terminal]) -> None:
    view = terminal("-c", "sim://demo?rate=20", "watch")
    view.until("changes")
    view.until(" -> ")
    view.process.send_signal(signal.SIGTERM)
    assert view.end() == 143


def test_watch_fits_a_new_size(terminal: type[Terminal]) -> None:
    view = terminal("-c", "sim://quiet?domains=40", "watch")
    view.until("more: a larger window")
    view.resize(60, 120)
    assert "vm9 " in view.until("vm40 ")


def test_watch_of_a_domain_shows_only_that(terminal: type[Terminal]) -> None:
    view = terminal("-c", "sim://quiet", "watch", "vm2")
    assert "vm1" not in view.until("vm2  ")


def test_watch_plain_prints_lines_on_a_terminal_too(terminal: type[Terminal]) -> None:
    view = terminal("-c", "sim://quiet", "watch", "--plain")
    view.until("vm3: shut off")
    assert ENTER not in view.seen


def test_a_host_that_is_down_never_opens_the_view(terminal: type[Terminal]) -> None:
    view = terminal("-c", "test+unix:///default?socket=/no/such/socket", "watch")
    assert view.end() == 4
    assert ENTER not in view.seen
    assert view.seen.startswith("error: ")


def test_one_of_several_that_is_down_is_shown_in_the_view(terminal: type[Terminal]) -> None:
    view = terminal("-c", "a=sim://quiet", "-c", "b=test+unix:///default?socket=/no/such/socket", "watch")
    view.until("not reached")
    view.type(b"\x03")
    assert view.end() == 130


def test_run_shows_what_the_environment_names(terminal: type[Terminal]) -> None:
    view = terminal("run", env={"AVIRT_URI": "sim://quiet"})
    assert "simulated" not in view.until("vm3")
    view.type(b"\x03")
    assert view.end() == 0


def test_run_says_why_it_shows_the_demo(terminal: type[Terminal]) -> None:
    view = terminal("run", env={"AVIRT_URI": "test+unix:///default?socket=/no/such/socket"})
    view.until("No hypervisor of this machine can be reached: this is sim://demo")
    view.until("db-primary")
    view.type(b"\x03")
    assert view.end() == 0


def test_run_prints_lines_where_there_is_no_terminal(spawn: Spawn) -> None:
    process = spawn("run", env={"AVIRT_URI": "sim://quiet"})
    assert process.stdout is not None
    assert process.stdout.readline() == "sim://quiet: 3 domains\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0


def test_run_with_a_uri_that_is_down_is_an_error(spawn: Spawn) -> None:
    process = spawn("-c", "test+unix:///default?socket=/no/such/socket", "run")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (4, "")
    assert err.startswith("error: ")


def test_a_waiting_verb_shows_progress_and_takes_it_away(terminal: type[Terminal]) -> None:
    view = terminal("-c", "sim://quiet", "wait", "vm3", "running", "--timeout", "3")
    view.until("wait vm3: shut off, ")
    view.type(b"\x03")
    assert view.end() == 130
    assert view.seen.rstrip("^C").endswith("\r\x1b[K")


def test_a_quiet_verb_shows_no_progress(terminal: type[Terminal]) -> None:
    view = terminal("-q", "-c", "sim://quiet", "wait", "vm3", "running", "--timeout", "1")
    assert view.end() == 5
    assert "\x1b[K" not in view.seen
