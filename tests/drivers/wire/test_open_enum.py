"""Unknown numbers and words are kept."""

from __future__ import annotations

from enum import auto

import msgspec
import pytest

from avirt.drivers.wire.open_enum import OpenEnum, OpenFlag, OpenStrEnum


class Number(OpenEnum):
    ONE = 1


class Bit(OpenFlag):
    LOW = 1


class Word(OpenStrEnum):
    HELLO = auto()


def test_open_enum_unknown_number_is_a_member_with_a_name_of_its_own() -> None:
    """It compares as the number it is."""
    assert Number(1) is Number.ONE
    assert Number(99) == 99
    assert Number(99).name == "UNKNOWN_99"
    assert Number(-5).name == "UNKNOWN_MINUS_5"


def test_open_enum_what_is_no_number_is_refused() -> None:
    """As any enumeration does."""
    with pytest.raises(ValueError, match="running"):
        Number("running")  # type: ignore[arg-type]


def test_open_flag_unknown_bits_are_kept() -> None:
    """Beside the known ones."""
    flags = Bit(1 | 1 << 20)
    assert flags & Bit.LOW
    assert int(flags) == 1 | 1 << 20


def test_open_str_enum_unknown_word_is_a_member_with_a_name_of_its_own() -> None:
    """It compares as the word it is, and is no other word."""
    assert Word("hello") is Word.HELLO
    assert Word("good-bye") == "good-bye"
    assert Word("good-bye").name == "UNKNOWN_good-bye"
    assert Word("good-bye") != Word.HELLO


def test_open_str_enum_what_is_no_word_is_refused() -> None:
    """As any enumeration does."""
    with pytest.raises(ValueError, match="3"):
        Word(3)  # type: ignore[arg-type]


def test_open_str_enum_unknown_word_survives_the_parser() -> None:
    """A reply with a word of a newer peer decodes."""
    assert msgspec.json.decode(b'"good-bye"', type=Word) == "good-bye"
