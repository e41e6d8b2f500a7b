"""Rows 1 and 2: one awaited call after another, against libvirt-python called directly and through a thread."""

from __future__ import annotations

import asyncio
import sys

from avirt.drivers.libvirt.generated.procedures import Proc
from benchmarks.harness import Benchmark, Target, Turns, per_loop
from benchmarks.peers import avirt_connection, libvirt_domain, private_daemon


async def avirt_calls(turns: Turns) -> None:
    async with avirt_connection(turns.uri) as (rpc, domain):
        for work in turns:
            for _ in range(work):
                await rpc.call(Proc.DOMAIN_GET_STATE, domain, 0)


def libvirt_blocking(turns: Turns) -> None:
    domain = libvirt_domain(turns.uri)
    for work in turns:
        for _ in range(work):
            domain.state()


async def libvirt_to_thread(turns: Turns) -> None:
    domain = libvirt_domain(turns.uri)
    for work in turns:
        for _ in range(work):
            await asyncio.to_thread(domain.state)


def main() -> int:
    must_and_aim = {"uvloop": (1.15, 1.0), "asyncio": (1.3, 1.1), "trio": (1.5, 1.2)}
    return Benchmark(
        title="one awaited call after another (domain_get_state, test driver, unix socket)",
        variants={
            "libvirt-python blocking": libvirt_blocking,
            **per_loop("libvirt-python to_thread", libvirt_to_thread, ["asyncio"]),
            **per_loop("avirt", avirt_calls),
        },
        targets=[
            *(Target(f"avirt {loop}", "libvirt-python blocking", *limits) for loop, limits in must_and_aim.items()),
            *(Target(f"avirt {loop}", "libvirt-python to_thread asyncio", 0.6, 0.4) for loop in must_and_aim),
        ],
        work=300,
        unit="call",
        module="benchmarks.bench_01_sequential_calls",
    ).main(private_daemon)


if __name__ == "__main__":
    sys.exit(main())
