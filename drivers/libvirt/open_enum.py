"""Enumerations that keep numbers a newer peer may send. Used by the generated enumerations."""

from __future__ import annotations

from enum import KEEP, IntEnum, IntFlag
from typing import Self

__all__ = ["OpenEnum", "OpenFlag"]


class OpenEnum(IntEnum):
    """Numbers with names; an unknown number is a member of its own called UNKNOWN_<n>, or UNKNOWN_MINUS_<n>."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}" if value >= 0 else f"UNKNOWN_MINUS_{-value}"
        member._value_ = value
        return member


class OpenFlag(IntFlag, boundary=KEEP):
    """Bits with names; unknown bits are kept."""
