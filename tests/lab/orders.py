"""What libvirt's drivers tell, in which order, with which ids: one table, for real daemons and for simulated ones.

The tables were recorded from libvirt 9.0.0. A test module gives the fixture `site`, the marks and a definition.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.abc
import pytest

from avirt.drivers.base import Env
from avirt.drivers.libvirt.driver import LibvirtDriver
from avirt.model.native_event import JobCompleted, MigrationIteration
from avirt.model.observation import Item, NativeEvent, Seen
from avirt.uri import parse_uri
from tests.lab.place import Place
from tests.lab.site import PATIENCE

__all__ = ["GUEST_ORDERS", "LXC_ORDERS", "QEMU_ORDERS", "TEST_ORDERS", "Order", "Orders", "plain", "telling"]

Order = tuple[str, Sequence[str]]
"""A command of virsh's for the domain "d" ("define" and "create" take its definition), and what is told: each event as
virsh calls it, with "#" if it carries a runtime id."""

QEMU_ORDERS: Final[Sequence[Order]] = (
    ("define", ["Defined Added"]),
    ("start", ["Resumed Unpaused#", "Started Booted#"]),
    ("suspend", ["Suspended Paused#"]),
    ("suspend", []),
    ("resume", ["Resumed Unpaused#"]),
    ("autostart", []),
    ("managedsave", ["Suspended Paused#", "iteration", "iteration", "job 2", "Stopped Saved"]),
    ("start", ["Started Restored#", "Resumed Snapshot#"]),
    ("suspend", ["Suspended Paused#"]),
    ("managedsave", ["iteration", "iteration", "job 2", "Stopped Saved"]),
    ("start", ["Started Restored#", "Suspended Restored#"]),
    ("destroy", ["Shutdown Finished after host request#", "Stopped Destroyed"]),
    ("start --paused", ["Started Booted#", "Suspended Paused#"]),
    ("destroy", ["Shutdown Finished after host request#", "Stopped Destroyed"]),
    ("start", ["Resumed Unpaused#", "Started Booted#"]),
    ("reset", ["reboot#"]),  # twice or three times, the last at any time: the firmware resets the machine, too
    ("destroy", ["Shutdown Finished after host request#", "Stopped Destroyed"]),
    ("start", ["Resumed Unpaused#", "Started Booted#"]),
    ("undefine", ["Undefined Removed#"]),
    ("destroy", ["Shutdown Finished after host request#", "Stopped Destroyed"]),
    ("create", ["Resumed Unpaused#", "Started Booted#"]),
    ("define", ["Defined Added#"]),
    ("destroy", ["Shutdown Finished after host request#", "Stopped Destroyed"]),
    ("undefine", ["Undefined Removed"]),
)

LXC_ORDERS: Final[Sequence[Order]] = (
    ("define", ["Defined Added"]),
    ("start", ["Started Booted#"]),
    ("suspend", ["Suspended Paused#"]),
    ("suspend", []),
    ("resume", ["Resumed Unpaused#"]),
    ("destroy", ["Stopped Destroyed"]),
    ("undefine", ["Undefined Removed"]),
    ("create", ["Started Booted#"]),
    ("destroy", ["Stopped Destroyed"]),
)

TEST_ORDERS: Final[Sequence[Order]] = (
    ("define", ["Defined Added"]),
    ("start", ["Started Booted#"]),
    ("suspend", ["Suspended Paused#"]),
    ("resume", ["Resumed Unpaused#"]),
    ("reset", []),
    ("managedsave", ["Stopped Saved"]),
    ("start", ["Started Booted#"]),
    ("save /run/libvirt/image", ["Stopped Saved"]),
    ("start", ["Started Booted#"]),
    ("destroy", ["Stopped Destroyed"]),
    ("undefine", ["Undefined Removed"]),
    ("create", ["Started Booted#"]),
    ("destroy", ["Stopped Destroyed#"]),
)


_BOOTED: Final = ["Resumed Unpaused#", "Started Booted#"]

GUEST_ORDERS: Final[Mapping[str, Sequence[str]]] = {
    # what QEMU's driver tells of a guest that does something by itself, from its start on
    "powers off": [*_BOOTED, "Shutdown Finished after guest request#", "Stopped Shutdown#"],
    "reboots": [*_BOOTED, "reboot#", "reboot#"],
    "panics, destroyed": [*_BOOTED, "Crashed Panicked#", "Stopped Crashed"],
    "panics, preserved": [*_BOOTED, "Crashed Panicked#"],
    "panics, restarted": [*_BOOTED, "Crashed Panicked#", "reboot#", "Resumed Unpaused#", "reboot#", "reboot#"],
}


def plain(words: Sequence[str]) -> list[str]:
    """Without what comes only now and then: how often a reboot is told; that a guest that panics was paused first."""
    kept: list[str] = []
    for word in words:
        if word == "Crashed Panicked#" and kept and kept[-1] == "Suspended Paused#":
            kept.pop()
        if not (word == "reboot#" and kept and kept[-1] == "reboot#"):
            kept.append(word)
    return kept


class Told:
    """What one connection was told, in words."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._news = anyio.Event()

    def emit(self, items: Sequence[Item]) -> None:
        """The session's."""
        self.words += [word for item in items if (word := _word(item))]
        self._news.set()

    async def until(self, count: int) -> None:
        """So many came, counted as in `plain`, or patience is at an end."""
        with anyio.move_on_after(PATIENCE):
            while len(plain(self.words)) < count:
                self._news = anyio.Event()
                await self._news.wait()


def _word(item: Item) -> str:
    if isinstance(item, Seen):
        seen = item.observation
        assert seen.cause is not None
        words = f"{seen.cause.type} {seen.cause.detail}" if seen.cause.type else seen.cause.event
        return words + ("" if seen.id is None else "#")
    if isinstance(item, NativeEvent) and isinstance(item.event, MigrationIteration):
        return "iteration"
    if isinstance(item, NativeEvent) and isinstance(item.event, JobCompleted):
        return f"job {item.event.params['operation']}"
    return ""


@asynccontextmanager
async def telling(site: Place) -> AsyncIterator[Told]:
    """What the driver is told meanwhile."""
    told = Told()
    async with LibvirtDriver().open(parse_uri(site.uri), Env()) as session, anyio.create_task_group() as group:

        async def watch(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            await session.watch(told.emit, task_status=task_status)

        await group.start(watch)
        yield told
        group.cancel_scope.cancel()


class Orders:
    """See the module."""

    pytestmark = pytest.mark.anyio

    orders: Sequence[Order] = QEMU_ORDERS

    @pytest.fixture
    def site(self) -> Place:
        """A driver of a daemon, without domains."""
        raise NotImplementedError("a test gives the fixture `site`")

    def definition(self) -> str:
        """The XML of the domain "d", always the same."""
        raise NotImplementedError("a test gives the method `definition`")

    async def test_every_step_is_told_as_recorded(self, site: Place) -> None:
        """Nothing more, nothing less; a surplus shows at the next step."""
        expected = [f"{command}: {word}" for command, words in self.orders for word in words]
        due = 0
        async with telling(site) as told:
            for command, words in self.orders:
                verb, *rest = command.split()
                if verb in ("define", "create"):
                    await getattr(site, verb)(self.definition())
                else:
                    await site.virsh(verb, "d", *rest)
                due += len(words)
                await told.until(due)
        steps = [expectation.partition(": ")[0] for expectation in expected]
        words = plain(told.words)
        assert [f"{step}: {word}" for step, word in zip(steps, words, strict=False)] == expected
        assert len(words) == len(expected)
