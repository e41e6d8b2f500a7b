"""Token: a place in a store's stream as text, `epoch:seq`. Opaque to users; what `subscribe(since=…)` takes."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from avirt.errors import InvalidArgument

__all__ = ["Token", "is_epoch"]

# no colon, nothing that needs quoting in a URL, a header or a shell; 19 digits are all that a signed 64 bit number has
_EPOCH: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TOKEN: Final = re.compile(r"([A-Za-z0-9_-]{1,64}):([0-9]{1,19})", re.ASCII)


def is_epoch(text: str) -> bool:
    """Whether the text can be a store's epoch."""
    return _EPOCH.fullmatch(text) is not None


class Token(msgspec.Struct, frozen=True, gc=False):
    """Everything up to `seq` of the store `epoch` was given."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Token:
        """The token of a text; InvalidArgument if it is none."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            raise InvalidArgument(
                f"not a token: {text[:80]!r}",
                hint="give a token as a subscription showed it, e.g. 9f2c41d0a7b35e68:1234",
            )
        return cls(match[1], int(match[2]))
