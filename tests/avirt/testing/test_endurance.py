"""Counting what is left."""

from __future__ import annotations

import tempfile

import anyio
import pytest

from avirt.testing.endurance import Held, held, until_held

pytestmark = pytest.mark.anyio


async def test_what_is_held_is_counted() -> None:
    await held()
    before = await held()
    file = await anyio.to_thread.run_sync(tempfile.TemporaryFile)
    with file:
        assert (await held()).descriptors in (0, before.descriptors + 1)
        with pytest.raises(AssertionError, match="left behind"):
            await until_held(Held(0, 0), tries=1)
    await until_held(before)
