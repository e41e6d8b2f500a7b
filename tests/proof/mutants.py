"""The rules of the lifecycle, each broken once: `python -m tests.proof.mutants [--only WORD]`.

Says of each which judge sees it: the proof (of this many lives on asyncio), or the named tests. One that neither sees
is a rule that nothing holds; then this ends with 1. `test_mutants.py` holds the table to the code.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["MUTANTS", "ROOT", "Mutant"]

ROOT: Final = Path(__file__).parents[2]
TESTS: Final = (
    "tests/avirt/lifecycle",
    "tests/avirt/test_engine.py",
    "tests/avirt/test_audit.py",
    "tests/avirt/test_probes.py",
    "tests/drivers/libvirt/test_lanes_and_sick_domains.py",
    "tests/events/test_store.py",
    "tests/promises",
)
"""The named tests of these rules."""
CODE: Final = ("avirt", "drivers", "events", "tests", "pyproject.toml")


class Mutant(msgspec.Struct, frozen=True):
    """A rule, and how it is broken: a text that is in the file once, and another instead."""

    rule: str
    file: str
    text: str
    instead: str


_LIFE: Final = "avirt/lifecycle/"
_TIME: Final = "return asked < entry.last_event or asked < entry.last_read"

MUTANTS: Final = (
    # the rule of time
    Mutant("a read that an event has overtaken is not believed", _LIFE + "rules.py", _TIME, "return False"),
    Mutant("… an event", _LIFE + "rules.py", _TIME, "return asked < entry.last_read"),
    Mutant("… or a later read", _LIFE + "rules.py", _TIME, "return asked < entry.last_event"),
    Mutant(
        "the events of other domains overtake nothing",
        _LIFE + "events.py",
        "    entry.last_event = max(entry.last_event, seen.asked)\n",
        "    for each in ledger.entries.values():\n        each.last_event = seen.asked\n",
    ),
    Mutant(
        "a read that came too late is made again",
        _LIFE + "reads.py",
        "    if entry.last_read < entry.last_event and entry.record is not None:\n        ledger.probe(key)",
        "    return",
    ),
    Mutant(
        "what is older than its end can't raise a domain",
        _LIFE + "rules.py",
        "        self.record = None\n        self.removed = True\n",
        "        self.record = None\n        self.removed = True\n        self.last_event = self.last_read = -1\n",
    ),
    Mutant(
        "counts begin anew with a connection",
        _LIFE + "rules.py",
        "        self.last_event = 0\n        self.last_read = 0\n        self.started",
        "        self.last_event = getattr(self, 'last_event', 0)\n"
        "        self.last_read = getattr(self, 'last_read', 0)\n        self.started",
    ),
    Mutant(
        "an event is followed by a read",
        "avirt/engine.py",
        "                    self._schedule.ask(effect.key, now)\n",
        "                    pass\n",
    ),
    Mutant(
        "events of what is known to be over are not shown",
        _LIFE + "events.py",
        "    if is_late(ledger, entry, seen.id, active):",
        "    if False:",
    ),
    Mutant(
        "a read of what has just ended is not believed",
        _LIFE + "reads.py",
        "and is_ghost(ledger, entry, seen)",
        "and False",
    ),
    # one domain
    Mutant(
        "an inactive domain is off, whatever else is said",
        _LIFE + "rules.py",
        "            return status\n        return OFF",
        "            return status\n        return status",
    ),
    Mutant(
        "an inactive domain has no runtime id",
        _LIFE + "record.py",
        "    if not active:\n        id = marker = None\n    elif",
        "    if not active:\n        id, marker = seen.id, None\n    elif",
    ),
    Mutant(
        "a start that nobody told is filled in",
        _LIFE + "events.py",
        "    if step is Legality.STARTED_MISSING:\n        before = fill(ledger, entry, before, UP)\n    elif",
        "    if",
    ),
    Mutant(
        "a stop that nobody told is filled in",
        _LIFE + "events.py",
        "    elif step is Legality.STOPPED_MISSING:\n        before = fill(ledger, entry, before, OFF)\n",
        "",
    ),
    Mutant(
        "what is filled in is marked",
        _LIFE + "record.py",
        "    ledger.change(StateChanged, entry, before, after, Origin.INFERRED)\n    return after",
        "    ledger.change(StateChanged, entry, before, after, Origin.EVENT)\n    return after",
    ),
    Mutant(
        "an illegal step is marked",
        _LIFE + "events.py",
        "    elif step is Legality.ILLEGAL:\n        origin = Origin.INFERRED\n",
        "",
    ),
    Mutant(
        "BOOTED says more than UNPAUSED",
        _LIFE + "rules.py",
        "return before is RunningReason.BOOTED and told is RunningReason.UNPAUSED",
        "return False",
    ),
    Mutant(
        "a domain that was opened paused is not running by its STARTED",
        _LIFE + "events.py",
        "    return before.active and before.state == DomainState.PAUSED",
        "    return False",
    ),
    Mutant(
        "a transient domain ends with its stop",
        _LIFE + "events.py",
        "    if after.persistent is False and after.transition is not Transition.REBOOTING:",
        "    if False:",
    ),
    Mutant(
        "undefined while it runs, a domain stays",
        _LIFE + "events.py",
        "    elif before.active or entry.started:\n",
        "    elif False:\n",
    ),
    Mutant(
        "a rename is no end",
        _LIFE + "events.py",
        "    Signal.RENAMED_FROM: _on_renamed_from,",
        "    Signal.RENAMED_FROM: _on_undefined,",
    ),
    Mutant("a rename changes the name", _LIFE + "events.py", "name = seen.name if seen.signal", "name = None if True"),
    Mutant(
        "two words of a reboot are one",
        _LIFE + "rules.py",
        "    return entry.rebooted_at is not None and",
        "    return False and entry.rebooted_at is not None and",
    ),
    # listings
    Mutant(
        "events are armed before the first listing",
        "avirt/engine.py",
        "                        await tg.start(self._watch, session)\n",
        "                        await self._list(session)\n"
        "                        await tg.start(self._watch, session)\n"
        "                        on_synced()\n                        self._link_tasks = tg\n"
        "                        await self._keep_listing(session)\n",
    ),
    Mutant(
        "an empty listing is not believed by itself",
        _LIFE + "step.py",
        "        if part.keys is not None and not part.keys and doubt.begin(ledger, part.asked):\n            return\n",
        "",
    ),
    Mutant(
        "a partial listing removes nothing",
        _LIFE + "reconcile.py",
        "keys = frozenset(item.key for item in items) if listing.complete else None",
        "keys = frozenset(item.key for item in items)",
    ),
    Mutant(
        "what a complete listing lacks is gone",
        _LIFE + "reconcile.py",
        "    if part.keys is not None:\n",
        "    if False:\n",
    ),
    Mutant(
        "a listing that failed is made again",
        "avirt/engine.py",
        "                await anyio.sleep(FAILED_READ_PAUSE)\n                self._request_listing()\n",
        "                pass\n",
    ),
    Mutant(
        "a complete listing is owed until there is one",
        "avirt/engine.py",
        "            policy = poll or (OWED if self._lifecycle.owes_listing else None)\n",
        "            policy = poll\n",
    ),
    # what is not known
    Mutant(
        "a record whose read failed is stale",
        _LIFE + "reads.py",
        "    ledger.change(Updated, entry, before, after, Origin.POLL)",
        "    return",
    ),
    Mutant(
        "a read that failed is made again",
        "avirt/engine.py",
        "        self._schedule.later(key, again)\n",
        "",
    ),
    Mutant(
        "a read that another connection's loss took with it is made again",
        "drivers/libvirt/lanes.py",
        "                if control.lost is not None:\n                    raise\n",
        "                raise\n",
    ),
    Mutant(
        "the loss of a host is told",
        _LIFE + "step.py",
        "        if not self._connected:\n            return\n        ledger = self._ledger\n        self._connected",
        "        if True:\n            return\n        ledger = self._ledger\n        self._connected",
    ),
    Mutant(
        "another host is another host",
        _LIFE + "step.py",
        "        if before is not None and before.uuid != facts.uuid:",
        "        if False:",
    ),
    Mutant(
        "an audit puts right what it finds",
        "avirt/audit.py",
        "            if seen is None:\n                self._take(",
        "            if True:\n                pass\n            elif seen is None:\n                self._take(",
    ),
    # the stream
    Mutant(
        "numbers follow each other",
        "events/store.py",
        "            seq = window.head + 1\n",
        "            seq = window.head + 1 + (change.revision % 50 == 49)\n",
    ),
    Mutant(
        "revisions of a host follow each other",
        _LIFE + "ledger.py",
        "        self.revision += 1\n        entry.bury()",
        "        self.revision += 2\n        entry.bury()",
    ),
)


def main() -> int:
    """Break each, and see who sees it."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.mutants", description=__doc__)
    parser.add_argument("--lives", type=int, default=150, help="of the proof")
    parser.add_argument("--only", default="", help="mutants whose rule has this word")
    options = parser.parse_args()
    unseen = 0
    for mutant in MUTANTS:
        if options.only not in mutant.rule:
            continue
        with tempfile.TemporaryDirectory() as folder:
            proof, tests = _judge(mutant, Path(folder), options.lives)
        unseen += not (proof or tests)
        print(f"{mutant.rule:<72} {proof or '·':<24} {tests or '·'}", flush=True)
    return 1 if unseen else 0


def _judge(mutant: Mutant, folder: Path, lives: int) -> tuple[str, str]:
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    path = folder / mutant.file
    path.write_text(path.read_text().replace(mutant.text, mutant.instead))
    proof = _run(folder, "-m", "tests.proof", "--loop", "asyncio", "--seed", "0", "--lives", str(lives), "--no-shrink")
    tests = _run(folder, "-m", "pytest", "-q", "-x", "-m", "not real and not slow", *TESTS)
    seen_by = next((line for line in tests.splitlines() if line.startswith("FAILED")), "")
    return (
        (f"proof, seed {seed[1]}" if (seed := re.search(r"the life of seed (\d+)", proof)) else "proof")
        if proof
        else "",
        seen_by.partition("::")[2].split(" ")[0] or ("tests" if tests else ""),
    )


def _run(folder: Path, *arguments: str) -> str:
    """What it said, if it failed."""
    env = {**os.environ, "PYTHONPATH": str(folder)}
    try:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        return "it did not end"
    return (done.stdout + done.stderr or "it failed") if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
