"""The logger `avirt`: structlog's interface around the stdlib logger, silent until the application configures it."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

__all__ = ["get_logger", "redact"]

# unconfigured structlog prints to stdout; wrapped around a stdlib logger with a NullHandler it keeps quiet
logging.getLogger("avirt").addHandler(logging.NullHandler())

_SECRET: Final = re.compile(r"(?i)\b(password|passwd|secret|token|authpass)=([^&\s;]+)")
_USERINFO: Final = re.compile(r"(//[^/@:\s]*):[^/@\s]*@")


def redact(text: str) -> str:
    """The text without passwords in URIs and `key=value` pairs."""
    return _SECRET.sub(r"\1=***", _USERINFO.sub(r"\1:***@", text))


def _render(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    words = [str(event.pop("event", ""))]
    words += [f"{key}={value}" for key, value in event.items()]
    return redact(" ".join(words))


def get_logger(name: str) -> Any:
    """A bound logger that writes `event key=value …` to the stdlib logger `avirt.<name>`, secrets removed."""
    return structlog.wrap_logger(
        logging.getLogger(f"avirt.{name}"),
        processors=[structlog.stdlib.filter_by_level, _render],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
