"""Makes XDR payloads harmless: text and opaque data are overwritten in place, everything else stays as it is.

So a payload keeps its length and can still be decoded: a string becomes as many stars, opaque data of variable length
and characters become zeros. Numbers, uuids (opaque data of fixed size) and whatever is said to be kept stay. A payload
that is not as its layout says is all zeros then. No I/O.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container
from typing import Final

from avirt.drivers.wire.xdr import PRIMITIVES, Layout, Resolved

__all__ = ["Blanker"]

_COUNT: Final = struct.Struct(">I")
_STAR: Final = ord("*")
_SIZES: Final = {name: struct.calcsize(">" + code) for name, code in PRIMITIVES.items()}


class _Unfit(Exception):
    """The payload is not as the layout says."""


class Blanker:
    """Overwrites what may be secret.

    Args:
        resolve: a layout, with its typedefs followed (`Compiler.resolve`).
        kept: named types that stay as they are, with all they hold.
        kept_fields: fields of structs that stay as they are.
    """

    def __init__(
        self, resolve: Callable[[Layout], Resolved], *, kept: Container[str] = (), kept_fields: Container[str] = ()
    ) -> None:
        self._resolve = resolve
        self._kept = kept
        self._kept_fields = kept_fields

    def blank(self, layout: Layout | None, payload: bytes, *, numbers: bool = False) -> bytes:
        """The payload without anything secret.

        Args:
            layout: None: nothing is expected, so nothing of it is known.
            numbers: overwrite those in lists too.
        """
        data = bytearray(payload)
        try:
            end = 0 if layout is None else _Walk(self, data, numbers=numbers).value(layout, 0)
        except _Unfit:
            end = 0
        if end < len(data):
            return bytes(len(data))
        return bytes(data)

    def named(self, layout: Layout) -> tuple[Resolved, bool]:
        """A layout resolved, and whether it is to be kept."""
        return self._resolve(layout), isinstance(layout, str) and layout in self._kept

    def keeps(self, field: str) -> bool:
        """Whether a field is to be kept."""
        return field in self._kept_fields


class _Walk:
    """One payload, from its start."""

    def __init__(self, rules: Blanker, data: bytearray, *, numbers: bool) -> None:
        self._rules = rules
        self._data = data
        self._numbers = numbers

    def value(self, layout: Layout, at: int, *, keep: bool = False, listed: bool = False) -> int:
        """Go over one value; where it ends."""
        named, kept = self._rules.named(layout)
        keep = keep or kept
        match named[0]:
            case "primitive":
                return self._number(at, _SIZES[named[1]], blank=listed and not keep and self._is_secret(named[1]))
            case "opaque":
                return self._number(at, named[1] + -named[1] % 4, blank=False)
            case "bytes":
                return self._sized(at, 0, keep=keep)
            case "string":
                return self._sized(at, _STAR, keep=keep)
            case "optional":
                present, at = self._count(at)
                return self.value(named[1], at, keep=keep, listed=listed) if present else at
            case "struct":
                for field, part in named[2]:
                    at = self.value(part, at, keep=keep or self._rules.keeps(field), listed=listed)
                return at
            case "union":
                return self._union(named, at, keep=keep, listed=listed)
            case _:
                return self._several(named, at, keep=keep)

    def _is_secret(self, primitive: str) -> bool:
        return self._numbers or primitive == "char"  # characters: text by another name

    def _union(self, named: Resolved, at: int, *, keep: bool, listed: bool) -> int:
        (tag,) = struct.unpack(">i", self._bytes(at, 4))
        for number, case in named[2]:
            if number == tag:
                return self.value(case, at + 4, keep=keep, listed=listed)
        raise _Unfit

    def _several(self, named: Resolved, at: int, *, keep: bool) -> int:
        """A list, or an array, which has no count."""
        count = named[2]
        if named[0] == "list":
            count, at = self._count(at)
        if count * 4 > len(self._data) - at:  # nothing takes less, so what is counted can't be there
            raise _Unfit
        for _ in range(count):
            at = self.value(named[1], at, keep=keep, listed=True)
        return at

    def _number(self, at: int, size: int, *, blank: bool) -> int:
        self._bytes(at, size)
        if blank:
            self._data[at : at + size] = bytes(size)
        return at + size

    def _sized(self, at: int, filler: int, *, keep: bool) -> int:
        size, at = self._count(at)
        self._bytes(at, size + -size % 4)
        if not keep:
            self._data[at : at + size] = bytes((filler,)) * size
        return at + size + -size % 4

    def _count(self, at: int) -> tuple[int, int]:
        return _COUNT.unpack(self._bytes(at, 4))[0], at + 4

    def _bytes(self, at: int, size: int) -> bytearray:
        if at + size > len(self._data):
            raise _Unfit
        return self._data[at : at + size]
