"""The proof at any length, and a failure of it again: `python -m tests.proof --lives 2000 --seed 0 --loop trio`."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial

from tests.proof.loops import JUMPING, Loop
from tests.proof.proving import Disproved, Tally, fails, prove, shrunk
from tests.proof.reach import table


def main() -> int:
    """Prove, say what was reached; of a life that does not hold the least that fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--lives", type=int, default=2000, help="how many, for each loop")
    parser.add_argument("--seed", type=int, default=1_000_000, help="of the first")
    parser.add_argument("--loop", type=Loop, action="append", help="trio, asyncio or uvloop; all by default")
    parser.add_argument("--no-shrink", action="store_true", help="say that a life fails, and no more")
    options = parser.parse_args()
    for loop in options.loop or list(Loop):
        tally, began = Tally(), time.monotonic()
        try:
            prove(loop, range(options.seed, options.seed + options.lives), tally)
        except Disproved as failure:
            print(failure)
            if loop in JUMPING and not options.no_shrink:
                print("\nthe least that fails:")
                least = shrunk(failure.plan, partial(fails, loop))
                print(f"{least.domains=} {least.ring=} {least.audit=} {least.opening=}")
                for each in least.rounds:
                    print(f"round with readers {each.readers}", *each.steps, sep="\n  ")
            return 1
        finally:
            print(f"{loop}: {tally.runs} runs in {tally.lives} lives, {time.monotonic() - began:.0f} s")
        print(*table(tally.reach), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
