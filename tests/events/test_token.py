"""Token: a place in a stream as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.errors import InvalidArgument
from avirt.events.token import Token, is_epoch


@given(epoch=st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"), seq=st.integers(0, 10**19 - 1))
def test_token_as_text_and_back_is_the_same(epoch: str, seq: int) -> None:
    assert Token.parse(str(Token(epoch, seq))) == Token(epoch, seq)


def test_token_shows_epoch_and_seq() -> None:
    assert str(Token("9f2c41d0a7b35e68", 1234)) == "9f2c41d0a7b35e68:1234"


@pytest.mark.parametrize(
    "text", ["", ":", "e", "e:", ":1", "e:1:2", "e:-1", "e:+1", "e:1 ", " e:1", "e:1\n", "e e:1", "e:٣", "e:1e3", "é:1"]
)
def test_token_malformed_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Token.parse(text)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["e:" + "9" * 20, "e" * 65 + ":1", "x" * 1_000_000])
def test_token_too_long_is_refused_and_not_repeated_whole(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Token.parse(text)
    assert len(str(caught.value)) < 200


@given(text=st.text())
def test_token_of_any_text_parses_or_is_refused(text: str) -> None:
    try:
        token = Token.parse(text)
    except InvalidArgument:
        return
    assert is_epoch(token.epoch)


@pytest.mark.parametrize(("text", "fits"), [("a-B_9", True), ("", False), ("a:b", False), ("a\n", False), ("ä", False)])
def test_epoch_is_what_a_token_can_carry(text: str, fits: bool) -> None:
    assert is_epoch(text) is fits
