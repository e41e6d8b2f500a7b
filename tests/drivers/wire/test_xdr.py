"""The compiler of XDR layouts, by a table of its own: each kind of layout, each refusal. libvirt's: test_codec.py."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import pytest

from avirt.drivers.wire.xdr import Compiler, NamedType
from avirt.errors import LocalProtocolError, RemoteProtocolError


class Pair(NamedTuple):
    left: int
    right: str


TYPES: dict[str, NamedType] = {
    "name": ("typedef", ("string", 5)),
    "colour": ("enum",),
    "choice": ("union", "int", ((1, "int"), (2, "name"), (3, "bool"))),
    "pair": ("struct", (("left", "int"), ("right", "name"))),
    "plain": ("struct", (("left", "int"), ("right", "name"))),
    "small": ("struct", (("a", "int8"), ("b", "short"), ("c", "uchar"), ("d", "ushort"), ("e", "bool"), ("f", "char"))),
    "real": ("struct", (("single", "float"), ("double", "double"))),
    "fixed": (
        "struct",
        (
            ("odd", ("opaque", 5)),
            ("even", ("opaque", 4)),
            ("chars", ("array", "char", 2)),
            ("ints", ("array", "int", 3)),
        ),
    ),
    "fixed_structs": ("struct", (("pairs", ("array", "pair", 2)),)),
    "bytes": ("struct", (("data", ("bytes", 6)),)),
    "lists": (
        "struct",
        (("ints", ("list", "uhyper", 3)), ("flags", ("list", "bool", 3)), ("text", ("list", "char", 3))),
    ),
    "choices": ("struct", (("choices", ("list", "choice", 3)), ("chosen", "choice"))),
    "maybe": ("struct", (("pair", ("optional", "pair")), ("number", ("optional", "int")))),
    "nothing": ("struct", ()),
    "strange": ("struct", (("not an identifier", "int"),)),
}
COMPILER = Compiler(TYPES, {"pair": Pair})

CASES: list[tuple[str, Any, bytes]] = [
    ("pair", Pair(-1, "ab"), b"\xff\xff\xff\xff\0\0\0\2ab\0\0"),
    ("plain", (1, ""), b"\0\0\0\1\0\0\0\0"),
    ("name", "abcde", b"\0\0\0\5abcde\0\0\0"),
    ("colour", 7, b"\0\0\0\7"),
    ("small", (-128, -2, 255, 65535, True, 200), struct.pack(">iiIIii", -128, -2, 255, 65535, 1, -56)),
    ("real", (0.5, -0.25), struct.pack(">fd", 0.5, -0.25)),
    ("fixed", (b"12345", b"abcd", b"\x01\xff", (1, 2, 3)), b"12345\0\0\0abcd" + struct.pack(">iiiii", 1, -1, 1, 2, 3)),
    (
        "fixed_structs",
        ((Pair(1, "a"), Pair(2, "")),),
        struct.pack(">iI", 1, 1) + b"a\0\0\0" + struct.pack(">iI", 2, 0),
    ),
    ("bytes", (b"abc",), b"\0\0\0\3abc\0"),
    (
        "lists",
        ((1, 2), (True, False), b"\xe9"),
        struct.pack(">IQQ", 2, 1, 2) + struct.pack(">III", 2, 1, 0) + b"\0\0\0\1\xff\xff\xff\xe9",
    ),
    (
        "choices",
        (((1, -5), (2, "x")), 3, True),
        struct.pack(">Iii", 2, 1, -5) + struct.pack(">iI", 2, 1) + b"x\0\0\0" + struct.pack(">ii", 3, 1),
    ),
    ("maybe", (Pair(1, ""), None), b"\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0"),
    ("maybe", (None, 5), b"\0\0\0\0\0\0\0\1\0\0\0\5"),
    ("nothing", (), b""),
]


@pytest.mark.parametrize(("name", "value", "payload"), CASES)
def test_value_is_packed_and_unpacked(name: str, value: Any, payload: bytes) -> None:
    """The bytes are RFC 4506's, written out here by hand."""
    assert COMPILER.packer(name)(value) == payload
    assert COMPILER.unpacker(name)(payload) == value


@pytest.mark.parametrize(("name", "value", "payload"), CASES)
def test_payload_cut_anywhere_or_too_long_is_refused(name: str, value: Any, payload: bytes) -> None:
    """Every length but the right one."""
    unpack = COMPILER.unpacker(name)
    for size in range(len(payload)):
        with pytest.raises(RemoteProtocolError, match="ends too early"):
            unpack(payload[:size])
    with pytest.raises(RemoteProtocolError, match="3 bytes are left over"):
        unpack(payload + bytes(3))


def test_union_by_itself_is_packed_from_tag_and_value() -> None:
    """And unpacked to both."""
    assert COMPILER.packer("choice")(2, "ab") == b"\0\0\0\2\0\0\0\2ab\0\0"
    assert COMPILER.unpacker("choice")(b"\0\0\0\2\0\0\0\2ab\0\0") == (2, "ab")


def test_struct_flat_takes_its_fields_as_arguments() -> None:
    """A union's tag and value are two of them."""
    assert COMPILER.packer("pair", flat=True)(1, "a") == COMPILER.packer("pair")(Pair(1, "a"))
    assert COMPILER.packer("choices", flat=True)((), 1, 2) == struct.pack(">Iii", 0, 1, 2)


def test_struct_of_one_field_single_is_that_field() -> None:
    """Of more fields it stays the struct; of a union it is tag and value."""
    assert COMPILER.unpacker("bytes", single=True)(b"\0\0\0\1x\0\0\0") == b"x"
    assert COMPILER.unpacker("pair", single=True)(b"\0\0\0\1\0\0\0\0") == Pair(1, "")
    assert COMPILER.unpacker("name", single=True)(b"\0\0\0\0") == ""


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("name", "abcdef", "6 is more than the protocol's limit of 5"),
        ("name", "ééé", "6 is more than"),
        ("name", "a\0", "NUL"),
        ("name", b"abc", "does not fit"),
        ("name", "\ud800", "does not fit"),
        ("bytes", (b"1234567",), "7 is more than the protocol's limit of 6"),
        ("bytes", ("text",), "does not fit"),
        ("bytes", (5,), "does not fit"),
        ("lists", ((1, 2, 3, 4), (), b""), "4 is more than the protocol's limit of 3"),
        ("lists", ((), (), b"1234"), "4 is more than"),
        ("lists", ((-1,), (), b""), "does not fit"),
        ("lists", (5, (), b""), "does not fit"),
        ("fixed", (b"1234", b"abcd", b"12", (1, 2, 3)), "has 4 places, the protocol wants 5"),
        ("fixed", (b"12345", b"abcd", b"123", (1, 2, 3)), "has 3 places, the protocol wants 2"),
        ("fixed", (b"12345", b"abcd", b"12", (1, 2)), "has 2 places, the protocol wants 3"),
        ("small", (128, 0, 0, 0, False, 0), "128 is not between -128 and 127"),
        ("small", (0, 32768, 0, 0, False, 0), "32768 is not between"),
        ("small", (0, 0, -1, 0, False, 0), "-1 is not between 0 and 255"),
        ("small", (0, 0, 0, 65536, False, 0), "65536 is not between"),
        ("small", (0, 0, 0, 0, False, 256), "256 is not between"),
        ("pair", None, "does not fit"),
        ("plain", (1,), "does not fit"),
        ("choices", ((), 4, 0), "no such kind: 4"),
        ("choices", (((9, 0),), 1, 0), "no such kind: 9"),
        ("real", ("x", 0.0), "does not fit"),
        ("real", (1e300, 0.0), "does not fit"),
    ],
)
def test_value_that_does_not_fit_is_a_local_error(name: str, value: Any, message: str) -> None:
    """Nothing else leaves the packer."""
    with pytest.raises(LocalProtocolError, match=message):
        COMPILER.packer(name)(value)


@pytest.mark.parametrize(
    ("name", "payload", "message"),
    [
        ("name", b"\0\0\0\6abcdef\0\0", "a length of 6 exceeds the protocol's limit of 5"),
        ("name", b"\xff\xff\xff\xff", "a length of 4294967295 exceeds"),
        ("bytes", b"\0\0\0\7", "a length of 7 exceeds"),
        ("lists", b"\0\0\0\4", "a length of 4 exceeds"),
        ("lists", b"\0\0\0\3" + bytes(20), "ends too early"),
        ("maybe", b"\0\0\0\2" + bytes(12), "a length of 2 exceeds the protocol's limit of 1"),
        ("choices", b"\0\0\0\0\0\0\0\4\0\0\0\0", "unknown kind 4"),
    ],
)
def test_payload_beyond_the_limits_is_a_remote_error(name: str, payload: bytes, message: str) -> None:
    """Limits, unknown kinds."""
    with pytest.raises(RemoteProtocolError, match=message):
        COMPILER.unpacker(name)(payload)


def test_short_kinds_are_cut_when_read() -> None:
    """As the C routines do: a peer may sign-extend."""
    payload = struct.pack(">iiIIii", 0x1FF, 0x1FFFF, 0x1FF, 0x1FFFF, 2, -56)
    assert COMPILER.unpacker("small")(payload) == (-1, -1, 255, 65535, True, 200)


def test_table_with_a_field_that_is_no_identifier_is_refused() -> None:
    """Source is made of the names, so they are looked at."""
    with pytest.raises(ValueError, match="not an identifier"):
        COMPILER.packer("strange")


def test_smallest_size_of_each_kind() -> None:
    """What a list's count is compared with."""
    sizes = {name: COMPILER.smallest(name) for name in TYPES}
    assert sizes == {
        "name": 4, "colour": 4, "choice": 8, "pair": 8, "plain": 8, "small": 24, "real": 12, "fixed": 32,
        "fixed_structs": 16, "bytes": 4, "lists": 12, "choices": 12, "maybe": 8, "nothing": 0, "strange": 4,
    }  # fmt: skip
