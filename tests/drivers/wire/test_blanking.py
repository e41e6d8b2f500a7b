"""XDR payloads without text and opaque data: same length, same numbers, as decodable as before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.wire.blanking import Blanker
from avirt.drivers.wire.xdr import Compiler, NamedType

TYPES: dict[str, NamedType] = {
    "text": ("typedef", ("string", 100)),
    "name": ("struct", (("name", "text"), ("uuid", ("opaque", 16)))),
    "value": ("union", "int", ((1, "int"), (7, "text"))),
    "param": ("struct", (("field", "text"), ("value", "value"))),
    "all": (
        "struct",
        (
            ("dom", "name"),
            ("maybe", ("optional", "text")),
            ("data", ("bytes", 100)),
            ("label", ("list", "char", 100)),
            ("codes", ("list", "uint", 100)),
            ("pair", ("array", "hyper", 2)),
            ("params", ("list", "param", 10)),
            ("flags", "uint"),
        ),
    ),
}
COMPILER = Compiler(TYPES)
BLANKER = Blanker(COMPILER.resolve, kept={"name"}, kept_fields={"field"})
PACK = COMPILER.packer("all", flat=True)
UNPACK = COMPILER.unpacker("all")
DOMAIN = ("web1", b"u" * 16)
PAYLOAD = PACK(DOMAIN, "secret", b"\1\2\3", b"abc", (7, 8), (1, 2), (("user", 7, "root"), ("port", 1, 22)), 5)


def test_blank_text_and_data_are_overwritten_and_all_else_stays() -> None:
    """Names that are to be kept, numbers and the shape of it all are the same."""
    blanked = BLANKER.blank("all", PAYLOAD)
    assert len(blanked) == len(PAYLOAD)
    assert UNPACK(blanked) == (
        DOMAIN,
        "******",
        bytes(3),
        bytes(3),
        (7, 8),
        (1, 2),
        (("user", 7, "****"), ("port", 1, 22)),
        5,
    )


def test_blank_numbers_too_leaves_none_in_lists() -> None:
    """What is counted may be secret; what stands alone is a flag or a size."""
    assert UNPACK(BLANKER.blank("all", PAYLOAD, numbers=True))[4:6] == ((0, 0), (0, 0))
    assert UNPACK(BLANKER.blank("all", PAYLOAD, numbers=True))[-1] == 5


def test_blank_absent_optional_stays_absent() -> None:
    """There is nothing to overwrite."""
    payload = PACK(DOMAIN, None, b"", b"", (), (1, 2), (), 5)
    assert BLANKER.blank("all", payload) == payload


@pytest.mark.parametrize("size", range(0, len(PAYLOAD), 4))
def test_blank_payload_cut_short_is_all_zeros(size: int) -> None:
    """What can't be told apart is not kept."""
    assert BLANKER.blank("all", PAYLOAD[:size]) == bytes(size)


def test_blank_payload_with_a_tail_is_all_zeros() -> None:
    """A tail is nothing that the layout knows."""
    assert BLANKER.blank("all", PAYLOAD + b"tail") == bytes(len(PAYLOAD) + 4)
    assert BLANKER.blank(None, b"tail") == bytes(4)
    assert BLANKER.blank(None, b"") == b""


def test_blank_unknown_case_and_huge_count_are_all_zeros() -> None:
    """Nothing is made for a count that can't be true."""
    assert BLANKER.blank("value", b"\0\0\0\5\0\0\0\1") == bytes(8)
    assert Blanker(COMPILER.resolve).blank(("list", "int", 5), b"\xff\xff\xff\xff") == bytes(4)


@given(st.binary(max_size=80))
def test_blank_anything_gives_as_many_bytes_and_is_blank_then(payload: bytes) -> None:
    """No payload makes it fail, and blanking what is blank changes nothing."""
    blanked = BLANKER.blank("all", payload)
    assert len(blanked) == len(payload)
    assert BLANKER.blank("all", blanked) in (blanked, bytes(len(payload)))
