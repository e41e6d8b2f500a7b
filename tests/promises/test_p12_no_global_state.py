"""Promise 12: many hosts, many loops, in one process; no thread outlives `connect`, nothing is left behind."""

from __future__ import annotations

import threading

import anyio
import pytest

from avirt.host import connect
from tests.avirt.worlds import make_world, watched


@pytest.mark.anyio
async def test_many_hosts_in_one_loop() -> None:
    async with watched(make_world("a"), name="one") as one, watched(make_world("b"), name="two") as two:
        assert [dom.name for dom in one.domains()] == ["a"]
        assert [dom.name for dom in two.domains()] == ["b"]
        await (await one.lookup(name="a")).start()
        assert two.status.revision == 3


def test_many_loops_at_once() -> None:
    names: dict[str, list[str]] = {}

    async def watch(name: str) -> None:
        async with connect("sim://quiet?domains=3", name=name) as host:
            names[name] = [dom.name for dom in host.domains()]

    threads = [
        threading.Thread(target=anyio.run, args=(watch, backend + str(number)), kwargs={"backend": backend})
        for number in range(3)
        for backend in ("asyncio", "trio")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(names) == 6
    assert {len(found) for found in names.values()} == {3}
