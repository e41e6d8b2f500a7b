"""Runs programs for the tests from a small process of its own.

A test process is big, and starting a program from any of its threads holds the interpreter until the new program is
loaded: on a busy machine that alone makes a loop stand still. Here a thread of ours only waits for a pipe.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["run"]

_STARTER: Final = """
import json, subprocess, sys
for line in sys.stdin:
    asked = json.loads(line)
    try:
        done = subprocess.run(asked["args"], cwd=asked["cwd"], env=asked["env"], timeout=asked["timeout"],
                              stdin=subprocess.DEVNULL, capture_output=True)
        said = [done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")]
    except subprocess.TimeoutExpired:
        said = [None, "", ""]
    except OSError as error:
        said = [127, "", str(error)]
    print(json.dumps(said), flush=True)
"""

_LOCK: Final = threading.Lock()
_STARTERS: Final[list[subprocess.Popen[str]]] = []
"""Idle ones: each runs one program at a time."""


def _start() -> subprocess.Popen[str]:
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(_end, starter)
    return starter


def _end(starter: subprocess.Popen[str]) -> None:
    starter.communicate(timeout=10)


def run(
    args: Sequence[str], *, timeout: float = 120, cwd: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. Blocks the calling thread, and nothing else.

    Raises:
        subprocess.TimeoutExpired: it was killed.
    """
    with _LOCK:
        starter = _STARTERS.pop() if _STARTERS else _start()
    assert starter.stdin is not None
    assert starter.stdout is not None
    asked = {"args": list(args), "cwd": cwd, "env": None if env is None else dict(env), "timeout": timeout}
    starter.stdin.write(json.dumps(asked) + "\n")
    starter.stdin.flush()
    code, out, err = json.loads(starter.stdout.readline())
    with _LOCK:
        _STARTERS.append(starter)
    if code is None:
        raise subprocess.TimeoutExpired(list(args), timeout)
    return subprocess.CompletedProcess(list(args), code, out, err)
