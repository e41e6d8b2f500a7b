"""`run` is the command line in this process; `spawn` in one of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from avirt.cli.app import main

ROOT = Path(__file__).resolve().parents[3]


POWERLESS = (
    ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    if os.getuid() == 0
    else []
)
"""Makes root as powerless towards files as anyone."""


class Ran(msgspec.Struct):
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def objects(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]


Run = Callable[..., Ran]
Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command line: one string that is split at spaces, or several words."""

    def one(*words: str, backend: str = "asyncio") -> Ran:
        argv = words[0].split() if len(words) == 1 else words
        code = main(argv, backend=backend)
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return one


@pytest.fixture
def closed_socket(tmp_path: Path) -> Iterator[str]:
    """The URI of a socket that nobody may open."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        (tmp_path / "s").chmod(0)
        yield f"qemu+unix:///system?socket={tmp_path}/s"


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start `python -m avirt` with these words; ended at the end."""
    running: list[subprocess.Popen[str]] = []

    def one(
        *words: str, env: dict[str, str] | None = None, as_nobody: bool = False, **options: Any
    ) -> subprocess.Popen[str]:
        environ = {key: value for key, value in os.environ.items() if key not in ("AVIRT_URI", "LIBVIRT_DEFAULT_URI")}
        environ |= {"PYTHONPATH": str(ROOT)} | (env or {})
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [*(POWERLESS if as_nobody else []), sys.executable, "-m", "avirt", *words]
        process = subprocess.Popen(command, env=environ, **(pipes | options))
        running.append(process)
        return process

    yield one
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()
