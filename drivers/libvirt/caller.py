"""What the generated methods stand on: somebody who makes a call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, TypeVar

from avirt.drivers.libvirt.procedure import Procedure
from avirt.errors import Unsupported

__all__ = ["Caller", "RemoteStream"]

R = TypeVar("R")


class RemoteStream(Protocol):
    """A stream that a call opened. `receive` and `send` are for the kinds that read and write."""

    async def receive(self) -> bytes | int:
        """The next data, or the length of a hole in them; b"" at their end."""
        ...

    async def send(self, data: bytes | int) -> None:
        """Send data, or a hole of that length."""
        ...

    async def finish(self) -> None:
        """End it and wait until the server has done the same."""
        ...

    async def abort(self) -> None:
        """Give it up, whatever is under way."""
        ...


class Caller(ABC):
    """Makes one call. A connection overrides the first, and what it can of the others."""

    @abstractmethod
    async def _call(self, procedure: Procedure[R], *args: object) -> R:
        """Call a procedure with the fields of its arguments; what it answers."""

    async def _call_with_fds(
        self,
        procedure: Procedure[R],
        *args: object,  # noqa: ARG002
        fds: Sequence[int],  # noqa: ARG002
    ) -> tuple[R, list[int]]:
        """The same with descriptors, that stay the caller's; those that came with the reply are the caller's, too."""
        raise Unsupported(
            f"{procedure.name}: this connection carries no file descriptors",
            hint="use a unix socket on the hypervisor's own host",
            verb=procedure.name,
        )

    async def _open_stream(
        self,
        procedure: Procedure[R],
        *args: object,  # noqa: ARG002
    ) -> tuple[R, RemoteStream]:
        """Call a procedure that opens a stream."""
        raise Unsupported(f"{procedure.name}: this connection carries no streams", verb=procedure.name)
