"""`make soak`: a watch with a journal, killed thousands of times (`killing.py`)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.events.killing import Lives


def main(argv: list[str] | None = None) -> int:
    """Run it and say what was found."""
    parser = argparse.ArgumentParser(description="a watch with a journal, killed again and again")
    parser.add_argument("--lives", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        lives = Lives(Path(folder) / "journal.db", options.seed)
        print(f"seed {options.seed}", flush=True)
        lives.run(options.lives)
    print(lives)
    return 0


if __name__ == "__main__":
    sys.exit(main())
