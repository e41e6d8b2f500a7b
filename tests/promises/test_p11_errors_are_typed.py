"""Promise 11: one typed error, with where it happened; no bare exception group leaves a public call."""

from __future__ import annotations

import pytest

import avirt
from avirt.errors import AvirtError, InvalidOperation, NotFound
from avirt.host import connect
from tests.avirt.worlds import make_world, watched

pytestmark = pytest.mark.anyio


async def test_an_error_says_where_it_happened() -> None:
    async with watched(make_world("a"), name="here") as host:
        with pytest.raises(InvalidOperation) as caught:
            await (await host.lookup(name="a")).suspend()
        assert (caught.value.host, caught.value.domain, caught.value.verb) == ("here", "a", "suspend")
        assert caught.value.code is not None


@pytest.mark.parametrize(
    "uri",
    ["", "nonsense", "nonsense:///", "sim://", "qemu+nonsense:///system", "test+unix:///default?socket=/nonexistent"],
)
async def test_connect_fails_with_one_typed_error(uri: str) -> None:
    with pytest.raises(AvirtError) as caught:
        async with connect(uri):
            pass
    assert not isinstance(caught.value, BaseExceptionGroup)
    assert caught.value.hint


async def test_an_exception_of_the_body_comes_out_as_itself_while_the_link_is_down() -> None:
    world = make_world()

    async def fail() -> None:
        async with watched(world) as host:
            world.faults.refuse()
            world.faults.cut()
            host.domain(avirt.Key(b"x" * 16))

    with pytest.raises(NotFound):
        await fail()
