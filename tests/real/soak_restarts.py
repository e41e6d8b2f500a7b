"""A watch through daemon restarts and lifecycle changes made with virsh: nothing is lost, nothing is invented.

`make soak` runs ten minutes with twenty restarts and 500 changes; `make test` runs a short one. One avirt watch is left
running while virsh defines, starts, suspends, resumes, resets, renames, destroys and undefines guests at random, one
after another, and the daemon is ended in between by SIGTERM and SIGKILL. At the end, and after every burst:

- the recorded stream, replayed over its snapshot, gives the view, and the view is what virsh says;
- each change made with virsh is in the stream, one for one, where the link stood; what happened while it was down is
  there as a difference;
- nothing is in the stream that no action explains: per domain, the states seen are those it was brought into, in
  order, and no others; one `Rebooted` a reset, one `Renamed` a rename, one `Added`, one `Removed`.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from uuid import UUID, uuid4

import anyio
from anyio import to_thread

import avirt
from avirt.model.change import Added, HostLost, HostResynced, Rebooted, RecordChange, Removed, Renamed
from tests.lab.daemon import Daemon
from tests.lab.guests import firmware
from tests.lab.recording import Recording, record
from tests.lab.site import Site, rows_of
from tests.lab.virsh import Row

__all__ = ["Plan", "Soak", "main"]

GUESTS: Final = 12
"""At once. Each running one takes 16 MiB and a quarter of a second to start."""
AUDIT: Final = 1.5
"""Seconds between two audits: short, so that many fall into the midst of changes."""


@dataclass(frozen=True)
class Plan:
    """How long, how much."""

    seconds: float
    restarts: int
    changes: int
    seed: int = 0


@dataclass
class Guest:
    """One domain as virsh has made it so far."""

    uuid: UUID
    name: str
    state: str = "shutoff"
    persistent: bool = True
    exists: bool = True
    history: list[str] = field(default_factory=list)
    """Every state it was brought into, from its first; with "?" those it may be seen to pass through."""
    reboots: int = 0
    names: list[str] = field(default_factory=list)
    saved: bool = False
    reset_at: float = -10.0


def actions_for(guest: Guest) -> list[str]:
    """What virsh can do with it now. After a reset it is let alone until the firmware has reset it once more."""
    if time.monotonic() - guest.reset_at < 4:
        return []
    if guest.state == "shutoff":
        return ["start", "start", "start", "undefine" if guest.saved else "rename"]
    if guest.state == "running":
        stop = ["suspend", "suspend", "reset", "destroy", "managedsave"] if guest.persistent else ["suspend", "destroy"]
        return [*stop, "undefine-running"] if guest.persistent else stop
    return ["resume", "resume", "destroy"]


class Soak:
    """One run against one daemon."""

    def __init__(self, site: Site, plan: Plan) -> None:
        self.site = site
        self.plan = plan
        self.random = random.Random(plan.seed)
        self.guests: list[Guest] = []
        self.done = Counter[str]()
        self.restarts = 0
        self.audits = 0

    async def run(self) -> None:
        """The whole of it.

        Raises:
            AssertionError: something was lost or invented.
        """
        began = time.monotonic()
        bursts = self.plan.restarts + 1
        async with avirt.connect(self.site.uri, audit=AUDIT) as host, record(host.watch()) as seen:
            for burst in range(bursts):
                due = self.plan.changes * (burst + 1) // bursts
                pause = self.plan.seconds / max(1, self.plan.changes)
                while self.done.total() < due:
                    await self.act()
                    ahead = began + self.done.total() * pause - time.monotonic()
                    if ahead > 0:
                        await anyio.sleep(ahead)
                await self.rest(seen)
                assert rows_of(host.view) == seen.rows()
                if burst < self.plan.restarts:
                    await self.interrupt(seen)
            truth = await self.site.agree()
            assert rows_of(host.view) == truth
            self.audits = host.audit.runs
            assert host.audit.mismatches == 0, "an event was lost"
        self.judge(seen, truth)

    # ------------------------------------------------------------ what is done

    async def act(self) -> None:
        """One change with virsh."""
        alive = [guest for guest in self.guests if guest.exists]
        if len(alive) < GUESTS // 2 or (len(alive) < GUESTS and self.random.random() < 0.15):
            await self.make()
            return
        guest = self.random.choice([guest for guest in alive if actions_for(guest)])
        await self.apply(guest, self.random.choice(actions_for(guest)))

    async def make(self) -> None:
        """A new domain, defined or transient."""
        guest = Guest(uuid=uuid4(), name=f"soak-{len(self.guests)}")
        guest.names.append(guest.name)
        xml = firmware(guest.name, uuid=guest.uuid)
        if self.random.random() < 0.2:
            await self.site.create(xml)
            guest.state, guest.persistent = "running", False
            guest.history.append("paused?")
            self.done["create"] += 1
        else:
            await self.site.define(xml)
            self.done["define"] += 1
        guest.history.append(guest.state)
        self.guests.append(guest)

    async def apply(self, guest: Guest, action: str) -> None:
        """One action, and what it makes of the guest."""
        match action:
            case "rename":
                new = f"{guest.name.split('+')[0]}+{self.done.total()}"
                await self.site.virsh("domrename", guest.name, new)
                guest.name = new
                guest.names.append(new)
            case "undefine":
                await self.site.virsh("undefine", guest.name, "--managed-save")
                guest.exists = False
            case "undefine-running":
                await self.site.virsh("undefine", guest.name, "--managed-save")
                guest.persistent = False
            case "reset":
                await self.site.virsh("reset", guest.name)
                guest.reboots += 1
                guest.reset_at = time.monotonic()
            case _:
                await self.site.virsh(action, guest.name)
                self.moved(guest, action)
        self.done[action] += 1

    @staticmethod
    def moved(guest: Guest, action: str) -> None:
        """The state after an action of a kind that changes it, and what may be seen on the way there."""
        states = {"start": "running", "resume": "running", "suspend": "paused"}
        guest.state = states.get(action, "shutoff")
        match action:
            case "start" | "managedsave":  # starting up, restoring, saving
                guest.history.append("paused?")
            case "destroy":
                guest.history.append("shutdown?")
            case _:
                pass
        unseen = action == "killed" and not guest.persistent  # the next listing has none of it
        guest.history.append(f"{guest.state}?" if unseen else guest.state)
        guest.saved = action == "managedsave"
        if guest.state == "shutoff" and not guest.persistent:
            guest.exists = False

    async def interrupt(self, seen: Recording) -> None:
        """End the daemon; now and then a guest dies while it is away; start it; wait for the resync."""
        mark = len(seen.items)
        gently = self.restarts % 2 == 0
        self.restarts += 1
        if gently:
            await to_thread.run_sync(self.site.daemon.terminate)
        else:
            await self.site.kill()
        await seen.some(HostLost, after=mark)
        running = [guest for guest in self.guests if guest.exists and guest.state == "running"]
        if running and self.random.random() < 0.5:
            guest = self.random.choice(running)
            await self.site.signal_guest(guest.name, "KILL")
            self.moved(guest, "killed")
            self.done["killed while away"] += 1
        await self.site.start()
        await seen.some(HostResynced, after=mark, patience=60)

    async def rest(self, seen: Recording) -> None:
        """Nothing moves any more: the three pictures are one."""
        truth = await seen.settles(self.site)
        expected = {str(guest.uuid): guest for guest in self.guests if guest.exists}
        assert truth.keys() == expected.keys()
        for uuid, row in truth.items():
            guest = expected[uuid]
            assert (row["name"], row["state"], row["persistent"]) == (guest.name, guest.state, guest.persistent)

    # ------------------------------------------------------------ what is judged

    def judge(self, seen: Recording, truth: dict[str, Row]) -> None:
        """Nothing lost, nothing invented."""
        assert seen.rows() == truth
        assert len(seen.of(HostLost)) == len(seen.of(HostResynced)) == self.plan.restarts
        known = {guest.uuid for guest in self.guests}
        strangers = {change.uuid for change in seen.of(RecordChange)} - known
        assert strangers == set()
        for guest in self.guests:
            self.judge_guest(guest, seen)

    def judge_guest(self, guest: Guest, seen: Recording) -> None:
        """One domain: its states, its reboots, its names, its coming and going."""
        changes = [change for change in seen.of(RecordChange) if change.uuid == guest.uuid]
        states: list[str] = []
        for change in changes:
            if change.after is not None:
                state = change.after.state.name.lower()
                if not states or states[-1] != state:
                    states.append(state)
        assert explained(states, guest.history), (guest, states)
        assert sum(isinstance(change, Added) for change in changes) == 1, guest
        assert sum(isinstance(change, Removed) for change in changes) == (not guest.exists), guest
        assert sum(isinstance(change, Rebooted) for change in changes) == guest.reboots, guest
        renamed = [change.new for change in changes if isinstance(change, Renamed)]
        assert [guest.names[0], *renamed] == guest.names, guest


def explained(seen: list[str], history: list[str]) -> bool:
    """What was seen is what was done: all of it, in order, and nothing else but what may be passed through."""
    pattern = "".join(f"(?:{state[:-1]} )?" if state.endswith("?") else f"{state} " for state in history)
    return re.fullmatch(pattern, "".join(f"{state} " for state in seen)) is not None


async def soak(plan: Plan, site: Site) -> Soak:
    """Run a plan."""
    run = Soak(site, plan)
    await run.run()
    return run


def main(argv: list[str] | None = None) -> int:
    """Run it and say what was done."""
    parser = argparse.ArgumentParser(description="a watch through restarts and changes")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--changes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--loop", choices=["asyncio", "uvloop", "trio"], default="uvloop")
    options = parser.parse_args(argv)
    plan = Plan(options.seconds, options.restarts, options.changes, options.seed)
    backend = "trio" if options.loop == "trio" else "asyncio"
    loop_options = {} if backend == "trio" else {"use_uvloop": options.loop == "uvloop"}
    print(f"{plan}, {options.loop}", flush=True)
    with Daemon() as daemon:
        run = anyio.run(partial(soak, plan, Site(daemon, "qemu")), backend=backend, backend_options=loop_options)
    done = f"{run.done.total()} changes {dict(run.done)}, {run.restarts} restarts, {run.audits} audits"
    print(f"{done}: nothing lost, nothing invented")
    return 0


if __name__ == "__main__":
    sys.exit(main())
