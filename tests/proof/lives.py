"""Lives a plan: a simulated daemon, the whole of avirt over it, readers; and judges each round when things settled.

What holds then: the stream over the snapshot is the store's view, and that is the simulator's truth; every number
comes once and in order; no step is illegal and unmarked, and none goes back in time (`witness.py`); all is certain;
every reader has what it is owed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Final

import anyio
from anyio.abc import TaskGroup

from avirt.domain import Domain
from avirt.drivers.base import Env
from avirt.drivers.transport.loop import current_loop
from avirt.drivers.wire.pending import PATIENCE
from avirt.engine import Engine
from avirt.errors import AvirtError, InternalError
from avirt.host import Host
from avirt.model.record import HostState
from avirt.testing import Hang, LateReply, LibvirtSim, LoseEvent, Rule, Silence
from avirt.testing.checkers import validate
from avirt.uri import parse_uri
from tests.proof.acts import TOLD_AT_ONCE, Stage
from tests.proof.plans import Ask, Happen, Heal, Plan, Replace, Restart, Round, Spoil, Step
from tests.proof.reach import Reach, phase_of
from tests.proof.readers import Reader, Recorded, reader
from tests.proof.witness import Witness, backwards

__all__ = ["Life"]

REST = 600.0
"""Seconds until things must have settled: refused credentials are tried again after two minutes, a call that hangs is
given up after 30 s, a silent peer after 30 s, and these may follow one another."""


class Life:
    """One life.

    Attributes:
        reach: what struck, and when.
        judged: rounds that held.
        log: what happened.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.reach = Reach()
        self.judged = 0
        self.log: list[str] = []
        self._rng = Random(plan.seed)
        self._engine: Engine | None = None
        self._verbs = 0
        self._verb_ended = anyio.Event()
        self._was_synced = False
        rules = [*plan.opening, *(rule for each in plan.rounds for rule in _rules_of(each))]
        self._loses = any(isinstance(rule, LoseEvent) for rule in rules)

    async def run(self) -> None:
        """Live it. AssertionError, with what happened as notes, where it is not as promised."""
        plan = self.plan
        self.world = Witness(clock=anyio.current_time, rng=Random(plan.seed))
        async with LibvirtSim(world=self.world, memory=True) as sim, anyio.create_task_group() as tasks:
            self.sim = sim
            self.stage = Stage(sim.world)
            sim.faults.on_struck = self._struck
            with sim.world.muted():
                for index in range(plan.domains):
                    self.stage.appear(index * 7)
            for rule in plan.opening:
                sim.faults.add(rule)
            await self._connect(tasks)
            for number, each in enumerate(plan.rounds):
                self._say(f"round {number}")
                await self._live(each, () if number else plan.opening)
                self.judged += 1
            assert sim.complaints == []
            if not self._loses:
                assert self.host.audit.mismatches == 0, "an audit found an event lost, and none was"
            tasks.cancel_scope.cancel()

    # ------------------------------------------------------------ connecting

    async def _connect(self, tasks: TaskGroup) -> None:
        for attempt in range(4):
            if attempt == 3:
                self.sim.faults.clear()
            self.store = Recorded(self.plan.ring)
            self.store.notifier.waiter = current_loop().waiter
            # what connect() does, but for the dice of its back-off
            self._engine = Engine(
                name="host",
                uri=parse_uri(self.sim.uri),
                driver=self.sim.driver,
                env=Env(environ={}, uid=0),
                store=self.store,
                audit=self.plan.audit,
                uniform=self._rng.uniform,
            )
            self.host = Host(self._engine)
            try:
                await tasks.start(self._engine.run)
            except InternalError:
                raise
            except AvirtError as error:
                self._say(f"no connection: {error}")
                continue
            tasks.start_soon(self.store.notifier.run)
            self._was_synced = True
            return
        raise AssertionError("no connection, though all is well")

    # ------------------------------------------------------------ a round

    async def _live(self, each: Round, opening: tuple[Rule, ...]) -> None:
        store = self.store
        snapshot, start, places = self.store.view(), store.head, self.world.places()
        readers: list[Reader] = []
        async with anyio.create_task_group() as tasks:
            for number, step in enumerate(each.steps):
                await self._do(step, tasks)
                for kind, after in each.readers:
                    if after == number:
                        readers.append(reader(kind, self.host, store, self._rng))
                        readers[-1].begin(tasks)
                for one in readers:
                    one.step()
            self._say("rest")
            await self._rest()
            self._say("settled")
            while any(one.is_behind for one in readers):
                for one in readers:
                    await one.end()
            assert self.sim.truth() == self.host.view, self.sim.truth().differences(self.host.view)
            validate(store.since(start), snapshot=snapshot, view=store.view(), start=start)
            if self.plan.patient and not any(_disturbs(rule) for rule in (*opening, *_rules_of(each))):
                assert (found := backwards(store.since(start), self.world.histories, places)) == [], found
            for one in readers:
                one.judge()
                one.close()
            tasks.cancel_scope.cancel()

    async def _rest(self) -> None:
        """Nothing goes wrong any more: wait until it shows."""
        self.sim.faults.clear()
        with anyio.move_on_after(REST), self.store.subscribe() as links:
            while self.host.status.state is not HostState.LIVE or not self.host.status.synced:
                await links.next_batch()
        while self._verbs:
            await self._verb_ended.wait()
        await self.sim.settled(self.host, timeout=REST, quiet=0.1)

    # ------------------------------------------------------------ steps

    async def _do(self, step: Step, tasks: TaskGroup) -> None:
        match step:
            case Happen(domain, pick):
                surely_told = self.host.status.synced and not self.sim.faults.rules
                self._say(what := self.stage.act(domain, pick, surely_told=surely_told))
                if TOLD_AT_ONCE in what:
                    await anyio.sleep(2 * self.sim.world.times.death)
            case Ask():
                self._ask(step, tasks)
            case Spoil(rule):
                self._say(repr(rule))
                self.sim.faults.add(rule)
            case Heal():
                self._say("heal")
                self.sim.faults.clear()
            case Restart(unseen, away):
                await self._restart(unseen, away)
            case Replace(domains):
                self._say("another host")
                self.sim.replace_host()
                with self.sim.world.muted():
                    for index in range(domains):
                        self.stage.appear(index * 7)
        await anyio.sleep(step.pause)

    async def _restart(self, unseen: tuple[tuple[int, int], ...], away: float) -> None:
        if away:
            self.sim.stop()
            self._say(f"stopped for {away} s")
            await anyio.sleep(away)
            self.sim.start()
        with self.sim.restart():
            for domain, pick in unseen:
                self._say(f"unseen: {self.stage.act(domain, pick)}")

    def _ask(self, step: Ask, tasks: TaskGroup) -> None:
        records = list(self.host.view.values())
        if not records:
            return
        record = records[step.domain % len(records)]
        name, verb = ASKS[step.verb % len(ASKS)]
        domain = Domain(self.host, record.key, record)
        self._say(f"asked: {name} {record.name}, patience {step.patience}")

        async def ask() -> None:
            self._verbs += 1
            try:
                with anyio.move_on_after(step.patience):
                    await verb(domain, step.wait)
            except InternalError:
                raise
            except AvirtError:
                pass
            finally:
                self._verbs -= 1
                self._verb_ended.set()
                self._verb_ended = anyio.Event()

        tasks.start_soon(ask)

    # ------------------------------------------------------------ notes

    def _struck(self, fault: str) -> None:
        phase = phase_of(self.sim, self._engine, self._verbs, self._was_synced)
        self.reach[fault, phase] += 1
        if len(self.log) < 2000:
            self._say(f"  {fault} strikes while {phase}")

    def _say(self, what: str) -> None:
        self.log.append(f"{anyio.current_time():.4f} {what}")


def _rules_of(each: Round) -> Iterator[Rule]:
    return (step.rule for step in each.steps if isinstance(step, Spoil))


def _disturbs(rule: Rule) -> bool:
    """While a call hangs, reads go over another connection, and may come ahead of events; what is lost is not told."""
    return isinstance(rule, Hang | Silence | LoseEvent) or (isinstance(rule, LateReply) and rule.seconds >= PATIENCE)


ASKS: Final[tuple[tuple[str, Callable[[Domain, bool], Awaitable[object]]], ...]] = (
    ("start", lambda domain, wait: domain.start(wait=wait)),
    ("start paused", lambda domain, wait: domain.start(paused=True, wait=wait)),
    ("shutdown", lambda domain, wait: domain.shutdown(wait=wait)),
    ("destroy", lambda domain, wait: domain.destroy(wait=wait)),
    ("reboot", lambda domain, wait: domain.reboot(wait=wait)),
    ("reset", lambda domain, wait: domain.reset(wait=wait)),
    ("suspend", lambda domain, wait: domain.suspend(wait=wait)),
    ("resume", lambda domain, wait: domain.resume(wait=wait)),
    ("managed save", lambda domain, wait: domain.managed_save(wait=wait)),
    ("undefine", lambda domain, wait: domain.undefine(managed_save=True, wait=wait)),
    ("rename", lambda domain, wait: domain.rename(f"{domain.name[:4]}2", wait=wait)),
    ("refresh", lambda domain, wait: domain.refresh()),
    ("refresh all", lambda domain, wait: domain.host.refresh()),
)
