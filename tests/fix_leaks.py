"""Nothing is left behind: descriptors, threads, child processes, tasks. `no_leaks` compares before and after."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sniffio
import trio


def descriptors() -> dict[int, str]:
    """Open descriptors and what they are."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except OSError:
            continue  # the one that listed the folder
    return found


def children() -> set[int]:
    """Child processes, zombies included."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(pid) for pid in listed.read_text().split()} if listed.exists() else set()


def tasks() -> set[object]:
    """Tasks of the running loop, if one runs here."""
    try:
        library = sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return set()
    if library == "trio":
        found: set[object] = set()
        root = trio.lowlevel.current_root_task()
        waiting = [root] if root else []
        while waiting:
            task = waiting.pop()
            found.add(task)
            waiting.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
        return found
    return set(asyncio.all_tasks())


@contextmanager
def nothing_left() -> Iterator[None]:
    """What is opened and started inside is closed and ended inside.

    Sockets and pipes only among descriptors: the rest of the suite may open a log or a cache. Worker threads of the
    loop's own pool, idle, are not leaks.
    """
    gc.collect()
    before = descriptors(), children(), tasks(), set(threading.enumerate())
    yield
    gc.collect()
    opened = {
        fd: what
        for fd, what in descriptors().items()
        if before[0].get(fd) != what and what.startswith(("socket:", "pipe:", "anon_inode:"))
    }
    assert opened == {}
    assert children() - before[1] == set()
    assert tasks() - before[2] == set()
    started = {
        thread.name
        for thread in set(threading.enumerate()) - before[3]
        if not thread.daemon and "worker" not in thread.name.lower()
    }
    assert started == set()


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """The test leaves nothing behind (for what lives within the loop, use `nothing_left` inside the test)."""
    with nothing_left():
        yield
