"""Row 3: 100 tasks calling at once on one connection, against libvirt-python in a pool of 20 threads."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import anyio

from avirt.drivers.libvirt.generated.procedures import Proc
from benchmarks.harness import Benchmark, Target, Turns, per_loop
from benchmarks.peers import avirt_connection, libvirt_domain, private_daemon

TASKS = 100
CALLS = 16
"""Of each task in a slice: starting tasks, which both sides do by means of their own, is not the question."""


async def avirt_tasks(turns: Turns) -> None:
    async with avirt_connection(turns.uri) as (rpc, domain):

        async def ask(times: int) -> None:
            for _ in range(times):
                await rpc.call(Proc.DOMAIN_GET_STATE, domain, 0)

        for work in turns:
            async with anyio.create_task_group() as group:
                for _ in range(TASKS):
                    group.start_soon(ask, work // TASKS)


async def libvirt_pool(turns: Turns) -> None:
    domain = libvirt_domain(turns.uri)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(20) as pool:

        async def ask(times: int) -> None:
            for _ in range(times):
                await loop.run_in_executor(pool, domain.state)

        for work in turns:
            async with asyncio.TaskGroup() as group:
                for _ in range(TASKS):
                    group.create_task(ask(work // TASKS))


def main() -> int:
    peer = "libvirt-python pool asyncio"
    loops = ("uvloop", "asyncio", "trio")
    return Benchmark(
        title=f"{TASKS} tasks calling at once on one connection, window 4 (domain_get_state, test driver, unix socket)",
        variants={
            **per_loop("libvirt-python pool", libvirt_pool, ["asyncio"]),
            **per_loop("avirt", avirt_tasks),
        },
        targets=[
            *(Target(f"avirt {loop}", peer, 0.55, 0.4) for loop in loops),
            *(Target(f"avirt {loop}", peer, 0.4, 0.2, "cpu") for loop in loops),
        ],
        work=TASKS * CALLS,
        unit="call",
        module="benchmarks.bench_03_concurrent_calls",
    ).main(private_daemon)


if __name__ == "__main__":
    sys.exit(main())
