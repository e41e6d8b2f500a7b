"""A store whose journal is on a disk that fills up, or can't be written to; run in a mount namespace of its own."""

from __future__ import annotations

import json
import sys
from contextlib import suppress

import anyio

from avirt.errors import NotFound, ResourceError, RevisionTooOld
from avirt.events.journal import open_store
from avirt.events.journal_reader import JournalReader
from avirt.model.change import JournalLost
from tests.events.world import World


async def fill(path: str) -> dict[str, object]:
    """Publish until the journal is lost; what a durable reader was given, and what is on the disk."""
    world = World()
    given = 0
    async with open_store(path) as store:
        quick, token = store.subscribe(since=f"{store.epoch}:0"), f"{store.epoch}:0"
        with suppress(ResourceError):
            durable = store.subscribe(since=token, durable=True)
            while True:
                store.publish([*world.flips(100)])
                given += len(await durable.next_batch())
    [lost] = [item async for item in quick if isinstance(item, JournalLost)]
    kept = 0
    with suppress(NotFound, RevisionTooOld):  # it was lost before it began
        async with JournalReader(path, since=token, follow=False) as reader:
            kept = len([item async for item in reader])
    return {"why": lost.why, "aside": lost.aside, "given": given, "kept": kept}


if __name__ == "__main__":
    print(json.dumps(anyio.run(fill, sys.argv[1])))
