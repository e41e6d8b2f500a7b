"""Records the lives of `tests/lab/lives.py` with the libvirt that is installed: `tests/golden/recordings/`.

python -m tests.real.record_golden [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

import avirt
from tests.fix_lab import SCRIPTS, made
from tests.lab.daemon import Daemon
from tests.lab.lives import Life, container_life, driver_life, qemu_life
from tests.lab.site import ROOT, Site

FOLDER = ROOT / "tests/golden/recordings"


async def record(site: Site, life: Life, file: Path) -> None:
    """One life."""
    async with (
        avirt.Recorder(file, overwrite=True) as recorder,
        avirt.connect(site.uri, name=site.driver, recorder=recorder) as host,
    ):
        await life(site, host)
    print(f"{file}: {recorder.changes} changes")


def main(folder: Path) -> None:
    """All of them."""
    folder.mkdir(parents=True, exist_ok=True)
    root = made(SCRIPTS / "build_container.sh")
    lives: dict[str, Life] = {"test": driver_life, "qemu": qemu_life, "lxc": container_life(root)}
    with Daemon() as daemon:
        for driver, life in lives.items():
            site = Site(daemon, driver)
            file = folder / f"{driver}.avirt"
            anyio.run(record, site, life, file)
            file.chmod(0o644)
            if driver != "test":
                site.wipe()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
