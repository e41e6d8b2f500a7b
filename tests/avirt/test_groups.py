"""Exception groups end here."""

from __future__ import annotations

import anyio
import pytest

from avirt.errors import CannotConnect, ConnectionLost, InternalError
from avirt.groups import foremost, holds_cancellation, leaves

pytestmark = pytest.mark.anyio


async def test_foremost_is_the_first_of_ours() -> None:
    one, two = CannotConnect("one"), ConnectionLost("two")
    assert foremost(ExceptionGroup("", [ExceptionGroup("", [one]), two])) is one
    assert list(leaves(one)) == [one]


async def test_foremost_a_bug_becomes_one_internal_error() -> None:
    bug = KeyError("x")
    found = foremost(ExceptionGroup("", [CannotConnect("one"), bug]))
    assert isinstance(found, InternalError)
    assert found.__cause__ is bug
    assert "KeyError" in str(found)
    ours = InternalError("known")
    assert foremost(ExceptionGroup("", [CannotConnect("one"), ours])) is ours


async def test_foremost_a_cancellation_or_an_interrupt_comes_first() -> None:
    interrupt = KeyboardInterrupt()
    assert foremost(BaseExceptionGroup("", [CannotConnect("one"), interrupt])) is interrupt
    cancelled = anyio.get_cancelled_exc_class()
    caught: list[BaseException] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.lowlevel.checkpoint()
        except cancelled as error:
            caught.append(error)
            raise
    assert holds_cancellation(BaseExceptionGroup("", caught))
    assert foremost(BaseExceptionGroup("", [CannotConnect("one"), *caught])) is caught[0]
    assert not holds_cancellation(CannotConnect("one"))
