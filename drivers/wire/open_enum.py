"""Enumerations that keep numbers and words a newer peer may send."""

from __future__ import annotations

from enum import KEEP, IntEnum, IntFlag, StrEnum
from typing import Self

__all__ = ["OpenEnum", "OpenFlag", "OpenStrEnum"]


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


class OpenStrEnum(StrEnum):
    """Words with names; an unknown word is a member of its own called UNKNOWN_<word>, equal to that word."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member
