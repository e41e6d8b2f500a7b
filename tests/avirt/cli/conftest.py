"""`run` is the command line in this process; `spawn` in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from avirt.cli.app import main

ROOT = Path(__file__).resolve().parents[3]


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


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """The loops that the command line may run on."""
    return str(request.param)


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
def spawn() -> Iterator[Spawn]:
    """Start `python -m avirt` with these words; ended at the end."""
    running: list[subprocess.Popen[str]] = []

    def one(*words: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        environ = {key: value for key, value in os.environ.items() if key not in ("AVIRT_URI", "LIBVIRT_DEFAULT_URI")}
        environ |= {"PYTHONPATH": str(ROOT)} | (env or {})
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, "-m", "avirt", *words], env=environ, **(pipes | options))
        running.append(process)
        return process

    yield one
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()
