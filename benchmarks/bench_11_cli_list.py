"""Row 11: `avirt list --all` against `virsh list --all`, 200 domains, the whole process from its start to its end."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.harness import Benchmark, Target, Turns

DOMAINS: Final = 200


def avirt_command() -> list[str]:
    """The command as installed beside this Python, else the module."""
    installed = Path(sys.executable).with_name("avirt")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "avirt"]


def whole_process(command: Sequence[str], turns: Turns) -> None:
    for work in turns:
        for _ in range(work):
            subprocess.run([*command, "-c", turns.uri, "list", "--all"], stdout=subprocess.DEVNULL, check=True)


def daemon_with_domains() -> Iterator[str]:
    """A private QEMU driver with 200 defined domains."""
    from tests.lab.daemon import Daemon
    from tests.lab.guests import firmware
    from tests.lab.site import Site

    with Daemon() as daemon:
        site = Site(daemon, "qemu")
        files = [site.file(firmware(f"bench-{number:03}")) for number in range(DOMAINS)]
        site.oracle.batch([f"define {file}" for file in files])
        yield site.uri


def main() -> int:
    return Benchmark(
        title=f"list --all, {DOMAINS} domains (QEMU driver, unix socket), whole process",
        variants={
            "virsh": functools.partial(whole_process, ["virsh"]),
            "avirt": functools.partial(whole_process, avirt_command()),
        },
        targets=[Target("avirt", "virsh", 4.0, 2.0)],
        work=2,
        unit="run",
        module="benchmarks.bench_11_cli_list",
    ).main(daemon_with_domains)


if __name__ == "__main__":
    sys.exit(main())
