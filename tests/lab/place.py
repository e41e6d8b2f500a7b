"""What scenarios that run against a real daemon and a simulated one want of either."""

from __future__ import annotations

from typing import Protocol

from tests.lab.virsh import Row

__all__ = ["Place"]


class Place(Protocol):
    """One driver of one daemon: `Site` is a real one, `SimSite` a simulated one."""

    uri: str

    async def virsh(self, *args: str) -> str:
        """One of virsh's commands."""
        ...

    async def define(self, xml: str) -> None:
        """virsh define."""
        ...

    async def create(self, xml: str, *flags: str) -> None:
        """virsh create."""
        ...

    async def signal_guest(self, name: str, signal: str = "KILL") -> None:
        """A signal for a guest's process."""
        ...

    async def truth(self) -> dict[str, Row]:
        """What is so, by a source other than avirt."""
        ...

    async def agree(self) -> dict[str, Row]:
        """A listing that avirt makes anew says the same; what they say."""
        ...
