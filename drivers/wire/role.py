"""The two ends of a connection: a protocol core can be either, so that simulators speak the real protocol."""

from __future__ import annotations

from enum import Enum

__all__ = ["Role"]


class Role(Enum):
    """Which end of the connection this is."""

    CLIENT = "client"
    SERVER = "server"
