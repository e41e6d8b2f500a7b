"""What a handler of a call may do: answer, refuse, or answer later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from avirt.drivers.libvirt.generated.types import RemoteError

__all__ = ["Answer", "Handler", "Later", "Refusal"]

Answer: TypeAlias = object
"""What `codec.pack_reply` takes, or `Later`."""

Handler: TypeAlias = Callable[..., Answer]
"""Takes the client and the fields of the call's arguments."""


class Later(msgspec.Struct, frozen=True):
    """The call is answered at a time of the world's.

    Attributes:
        due: when.
        finish: gives the answer then, or raises as a handler may.
    """

    due: float
    finish: Callable[[], Answer]


class Refusal(Exception):
    """The call is answered with this error."""

    def __init__(self, error: RemoteError) -> None:
        super().__init__(error.message)
        self.error = error
