"""A connection that can only make plain calls says so about the others."""

from __future__ import annotations

from typing import TypeVar, cast

import pytest

from avirt.drivers.libvirt.caller import Caller
from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.procedure import Procedure
from avirt.errors import Unsupported

R = TypeVar("R")


class Plain(Caller):
    async def _call(self, procedure: Procedure[R], *args: object) -> R:
        return cast("R", None)

    async def try_fds(self) -> None:
        await self._call_with_fds(Proc.DOMAIN_OPEN_GRAPHICS_FD, fds=())

    async def try_stream(self) -> None:
        await self._open_stream(Proc.DOMAIN_SCREENSHOT)


def test_caller_without_a_call_is_abstract() -> None:
    """It can't be made."""
    with pytest.raises(TypeError, match="abstract"):
        Caller()  # type: ignore[abstract]


@pytest.mark.anyio
async def test_caller_without_descriptors_or_streams_is_unsupported() -> None:
    """Typed, with the procedure's name, before anything is sent."""
    with pytest.raises(Unsupported, match=r"domain_open_graphics_fd: .* no file descriptors") as caught:
        await Plain().try_fds()
    assert caught.value.verb == "domain_open_graphics_fd"
    assert caught.value.hint
    with pytest.raises(Unsupported, match=r"domain_screenshot: .* no streams"):
        await Plain().try_stream()
