"""Values of any layout of the table, and what they are as bytes by a plain reading of RFC 4506: an encoder that shares
nothing with the compiled one.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from avirt.drivers.libvirt.generated.types import CLASSES

TABLE: Final[dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parents[3] / "drivers/libvirt/protocol.json").read_text()
)
TYPES: Final[dict[str, Any]] = TABLE["types"]

RANGES: Final = {
    "char": (0, 255),
    "uchar": (0, 255),
    "short": (-(2**15), 2**15 - 1),
    "ushort": (0, 2**16 - 1),
    "int": (-(2**31), 2**31 - 1),
    "uint": (0, 2**32 - 1),
    "hyper": (-(2**63), 2**63 - 1),
    "uhyper": (0, 2**64 - 1),
}
FORMATS: Final = {
    "int": ">i",
    "short": ">i",
    "uint": ">I",
    "uchar": ">I",
    "ushort": ">I",
    "hyper": ">q",
    "uhyper": ">Q",
}

MANY: Final = 3
"""Most list items in a random value; limits have tests of their own."""

# What isn't UTF-8 comes as surrogate escapes; here those that are not by chance UTF-8 again.
TEXT: Final = st.one_of(
    st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=9),
    st.binary(max_size=9).map(lambda raw: raw.replace(b"\0", b"x").decode("utf-8", "surrogateescape")),
)


def follow(layout: Any) -> Any:
    """Typedefs followed."""
    while isinstance(layout, str) and "typedef" in TYPES.get(layout, {}):
        layout = TYPES[layout]["typedef"]
    return layout


def places(name: str) -> list[tuple[str, Any]]:
    """A struct's places: its fields, but a union takes two."""
    result: list[tuple[str, Any]] = []
    for field, layout in TYPES[name]["struct"]:
        if isinstance(layout, str) and "union" in TYPES.get(layout, {}):
            result += [("type", None), (field, layout)]
        else:
            result.append((field, layout))
    return result


def values(layout: Any) -> st.SearchStrategy[Any]:
    """Values of a layout, as the codec takes and gives them. For a union: (tag, value)."""
    key = json.dumps(layout)
    if key not in _STRATEGIES:
        _STRATEGIES[key] = _values(layout)
    return _STRATEGIES[key]


_STRATEGIES: Final[dict[str, st.SearchStrategy[Any]]] = {}


def _values(layout: Any) -> st.SearchStrategy[Any]:
    layout = follow(layout)
    if isinstance(layout, str):
        if layout in RANGES:
            return st.integers(*RANGES[layout])
        if layout == "double":
            return st.floats(allow_nan=False)
        if layout in TABLE["enums"]:
            return st.integers(*RANGES["int"])
        definition = TYPES[layout]
        if "union" in definition:
            return st.one_of(*(case_values(case) for case in definition["union"]["cases"]))
        return struct_values(layout).map(lambda parts: CLASSES[layout](*parts) if layout in CLASSES else tuple(parts))
    kind = layout[0]
    if kind == "opaque":
        return st.binary(min_size=layout[1], max_size=layout[1])
    if kind == "bytes":
        return st.binary(max_size=min(9, layout[1]))
    if kind == "string":
        return TEXT
    if kind == "optional":
        return st.none() | values(layout[1])
    if follow(layout[1]) == "char":
        size = layout[2] if kind == "array" else 0
        return st.binary(min_size=size, max_size=size or 9)
    size = layout[2] if kind == "array" else 0
    return st.lists(values(layout[1]), min_size=size, max_size=size or min(MANY, layout[2])).map(tuple)


def struct_values(name: str) -> st.SearchStrategy[list[Any]]:
    """The values of a struct's places."""
    parts: list[st.SearchStrategy[Any]] = []
    for _, layout in TYPES[name]["struct"]:
        value = values(layout)
        union = isinstance(layout, str) and "union" in TYPES.get(layout, {})
        parts.append(value.map(list) if union else value.map(lambda one: [one]))
    return st.tuples(*parts).map(lambda groups: [one for group in groups for one in group])


def case_values(case: Any) -> st.SearchStrategy[tuple[int, Any]]:
    """Values of one case of a union. Case b is a boolean."""
    number, letter, layout = case
    value = st.booleans() if letter == "b" else values(layout)
    return value.map(lambda one: (number, one))


def encode(layout: Any, value: Any) -> bytes:
    """RFC 4506 by the letter."""
    layout = follow(layout)
    if isinstance(layout, str):
        if layout == "char":
            return struct.pack(">i", value - 256 if value > 127 else value)
        if layout == "double":
            return struct.pack(">d", value)
        if layout in FORMATS or layout in TABLE["enums"]:
            return struct.pack(FORMATS.get(layout, ">i"), value)
        if "union" in TYPES[layout]:
            tag, inner = value
            (case,) = [case for number, _, case in TYPES[layout]["union"]["cases"] if number == tag]
            return struct.pack(">i", tag) + encode(case, inner)
        parts = list(msgspec.structs.astuple(value)) if isinstance(value, msgspec.Struct) else list(value)
        return encode_parts(layout, parts)
    kind = layout[0]
    if kind == "opaque":
        return padded(value)
    if kind in {"bytes", "string"}:
        raw = value.encode("utf-8", "surrogateescape") if kind == "string" else value
        return struct.pack(">I", len(raw)) + padded(raw)
    if kind == "optional":
        return struct.pack(">I", 0) if value is None else struct.pack(">I", 1) + encode(layout[1], value)
    head = struct.pack(">I", len(value)) if kind == "list" else b""
    return head + b"".join(encode(layout[1], item) for item in value)


def encode_parts(name: str, parts: list[Any]) -> bytes:
    """A struct from its places."""
    done = b""
    rest = list(parts)
    for _, layout in TYPES[name]["struct"]:
        if isinstance(layout, str) and "union" in TYPES.get(layout, {}):
            done += encode(layout, (rest.pop(0), rest.pop(0)))
        else:
            done += encode(layout, rest.pop(0))
    return done


def encode_parts_until(name: str, parts: list[Any], position: int) -> bytes:
    """The fields before one, of a struct without unions."""
    fields = TYPES[name]["struct"][:position]
    return b"".join(encode(layout, part) for (_, layout), part in zip(fields, parts, strict=False))


def padded(raw: bytes) -> bytes:
    """Zeros up to a multiple of four."""
    return raw + bytes(-len(raw) % 4)
