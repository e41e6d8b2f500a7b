"""The logger: silent and cheap until someone listens, never with a secret in it."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from avirt.log import get_logger, redact


class Kept(logging.Handler):
    """Keeps the lines."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(params=["structlog", "without"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The application uses structlog, or does not."""
    way: str = request.param
    if way == "structlog":
        importlib.import_module("structlog")
    else:
        monkeypatch.delitem(sys.modules, "structlog", raising=False)
    return way


def test_lines_carry_their_values_and_no_secrets(either_way: str) -> None:
    """`event key=value …` at every level that the stdlib logger lets through."""
    logger, kept = logging.getLogger("avirt.test-one"), Kept()
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    log = get_logger("test-one")
    log.debug("too quiet")
    get_logger("test-one.child").info("child")
    log.info("link lost", uri="qemu+tcp://me:pw@h/system", why="x token=abc")
    log.warning("100 %s")
    log.error("e", n=1)
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("it broke")
    logger.removeHandler(kept)
    assert kept.lines[:4] == ["child", "link lost uri=qemu+tcp://me:***@h/system why=x token=***", "100 %s", "e n=1"]
    assert kept.lines[4].startswith("it broke")
    assert "structlog" in sys.modules or either_way == "without"


def test_context_of_an_application_that_uses_structlog_is_in_the_lines() -> None:
    """Its request id, say."""
    structlog = importlib.import_module("structlog")
    logger, kept = logging.getLogger("avirt.test-context"), Kept()
    logger.addHandler(kept)
    with structlog.contextvars.bound_contextvars(request="r1"):
        get_logger("test-context").warning("slow", host="h1")
    logger.removeHandler(kept)
    assert kept.lines == ["slow host=h1 request=r1"]


def test_a_handler_of_the_application_is_enough() -> None:
    """It may sit at the package's logger or at the root."""
    kept = Kept()
    root = logging.getLogger("avirt")
    root.addHandler(kept)
    get_logger("test-two").warning("heard")
    root.removeHandler(kept)
    assert kept.lines == ["heard"]


def test_a_logger_that_does_not_propagate_is_not_heard_above() -> None:
    """As in the standard library."""
    logger, kept = logging.getLogger("avirt.test-three"), Kept()
    logging.getLogger("avirt").addHandler(kept)
    logger.propagate = False
    get_logger("test-three").warning("not heard")
    logging.getLogger("avirt").removeHandler(kept)
    assert kept.lines == []


def test_nothing_is_printed_while_nobody_listens_and_structlog_is_never_imported() -> None:
    """An unconfigured process."""
    code = (
        "import sys; from avirt.log import get_logger; log = get_logger('x');"
        "log.warning('a'); log.error('b'); import logging;"
        "logging.getLogger('avirt').addHandler(logging.StreamHandler());"
        "log.warning('heard'); assert 'structlog' not in sys.modules"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert answer.stdout + answer.stderr == "heard\n"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("qemu+tcp://joe:pw@h:1/x?password=a&b=c", "qemu+tcp://joe:***@h:1/x?password=***&b=c"),
        ("no secrets", "no secrets"),
    ],
)
def test_redact_removes_passwords(text: str, clean: str) -> None:
    """In URIs and in pairs."""
    assert redact(text) == clean
