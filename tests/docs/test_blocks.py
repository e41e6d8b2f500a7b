"""Every code block of the documentation runs as it stands, against a simulated hypervisor.

`python` blocks run on all three loops, with `await` at the top level as in `python -m asyncio`; those that call
`anyio.run` run as programs. In `sh` blocks, `avirt` is run and `make` targets must exist. Other languages are not run.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lab.site import ROOT, run_avirt

URI = "sim://demo?rate=0.01"
PAGES = sorted(path for pattern in ("*.md", "docs/**/*.md", "changes/*.md") for path in ROOT.glob(pattern))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: where, which language, what."""

    where: str
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    """All blocks in these languages."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if match[1] in languages:
                found.append(Block(f"{page.relative_to(ROOT)}:{line}", match[1], match[2]))
    return found


PYTHON = blocks("python")
FRAGMENTS = [block for block in PYTHON if "anyio.run(" not in block.text]
PROGRAMS = [block for block in PYTHON if "anyio.run(" in block.text]
COMMANDS = [
    (block.where, line.strip())
    for block in blocks("sh", "console", "bash")
    for line in block.text.splitlines()
    if line.strip() and not line.startswith("#")
]


def by_place(value: object) -> str | None:
    return value.where if isinstance(value, Block) else None


def test_languages_of_blocks_are_known() -> None:
    """A block without a language, or in one nobody runs, is a slip."""
    unknown = [block.where for block in blocks("", "py", "shell")]
    assert unknown == []


@pytest.fixture
def imported(block: Block) -> None:
    """What a block imports is there before there is a loop, as in any program."""
    tree = ast.parse(block.text)
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(tree, block.where, "exec"), {})


@pytest.mark.anyio
@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("block", FRAGMENTS, ids=by_place)
async def test_python_block_runs(block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On each loop."""
    monkeypatch.setenv("AVIRT_URI", URI)
    monkeypatch.chdir(tmp_path)  # files that a block writes
    code = compile(block.text, block.where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, {"__name__": "docs"})
    if inspect.isawaitable(result):
        await result


@pytest.mark.slow
@pytest.mark.parametrize("block", PROGRAMS, ids=by_place)
def test_program_runs(block: Block, tmp_path: Path) -> None:
    """As a file of its own."""
    program = tmp_path / "program.py"
    program.write_text(block.text)
    answer = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"AVIRT_URI": URI, "PYTHONPATH": str(ROOT)},
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("where", "line"), COMMANDS)
def test_command_of_a_shell_block_works(where: str, line: str) -> None:
    """avirt's commands end with 0; make's targets are there."""
    words = shlex.split(line.removeprefix("$ "), comments=True)
    match words:
        case ["avirt", *rest]:
            run_avirt(*rest, env={"AVIRT_URI": URI})
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{where}: no {target}"
        case _:
            pytest.fail(f"{where}: what should run this? {line}")
