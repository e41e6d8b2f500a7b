"""Errors to exit codes."""

from __future__ import annotations

from typing import Final

from avirt import errors

__all__ = ["EXIT_CODES", "INTERRUPTED", "TERMINATED", "Reported", "exit_code"]

INTERRUPTED: Final = 130
TERMINATED: Final = 143

EXIT_CODES: Final[dict[int, str]] = {
    0: "done",
    1: "refused by the hypervisor, or any other failure",
    2: "wrong usage: unknown verb or scheme, malformed URI, bad option, a name that fits several domains",
    3: "not found",
    4: "can't connect, or the connection was lost",
    5: "timed out",
    INTERRUPTED: "interrupted (Ctrl-C); 143: terminated",
}


class Reported(Exception):
    """End with this exit code, without another word."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def exit_code(error: errors.AvirtError) -> int:
    """The exit code that says what went wrong."""
    if isinstance(error, errors.InvalidURI | errors.AmbiguousName):
        return 2
    if isinstance(error, errors.NotFound):
        return 3
    if isinstance(error, errors.CannotConnect | errors.ConnectionLost | errors.RemoteProtocolError):
        return 4
    if isinstance(error, errors.OperationTimeout):
        return 4 if error.verb == "connect" else 5
    return 1
