"""The command line on a real libvirtd: what it prints is what virsh prints, verb by verb; who reads is virsh.

The tables are compared as text: whoever knows virsh's output, or parses it, finds the same.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from anyio import to_thread

from tests.lab.guests import firmware
from tests.lab.site import ROOT, Site, run_avirt

pytestmark = [pytest.mark.real, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    """The command line has a loop of its own."""
    return "asyncio"


def virsh(site: Site, *words: str) -> str:
    """virsh with its table heads, which `site.virsh` leaves out."""
    ran = subprocess.run(["virsh", "-c", site.uri, *words], capture_output=True, text=True, check=True)
    return ran.stdout


async def same(site: Site, line: str) -> None:
    """Both print the same, trailing blanks and empty lines aside."""
    theirs = await to_thread.run_sync(partial(virsh, site, *line.split()))
    ours = (await site.avirt(*line.split())).stdout
    assert stripped(ours) == stripped(theirs), line


def stripped(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


async def two(site: Site) -> None:
    await site.define(firmware("one"))
    await site.define(firmware("two"))
    await site.virsh("start", "one")


LISTS = (
    "list",
    "list --all",
    "list --inactive",
    "list --all --name",
    "list --all --uuid",
    "list --all --id",
    "list --all --id --name",
    "list --all --uuid --name",
    "list --state-running",
    "list --state-shutoff",
    "list --state-paused",
    "list --state-other",
    "list --all --persistent",
    "list --all --transient",
    "list --all --no-autostart",
)
READS = (
    "domstate one --reason",
    "domstate two",
    "domid one",
    "domid two",
    "domuuid one",
    "domstats two --state --vcpu",
    "domstats --state --list-active",
    "dumpxml one",
    "dumpxml one --inactive",
    "hostname",
    "nodeinfo",
)


async def test_list_prints_what_virsh_prints(qemu: Site) -> None:
    await two(qemu)
    for line in LISTS:
        await same(qemu, line)


async def test_reads_print_what_virsh_prints(qemu: Site) -> None:
    await two(qemu)
    for line in READS:
        await same(qemu, line)


async def test_dominfo_prints_what_virsh_prints(qemu: Site) -> None:
    """But for messages of the daemon, and the CPU time, which goes on."""
    await two(qemu)

    def facts(text: str) -> list[str]:
        return [line for line in stripped(text) if not line.startswith(("CPU time", "Messages"))]

    for name in ("one", "two"):
        assert facts((await qemu.avirt("dominfo", name)).stdout) == facts(await qemu.virsh("dominfo", name))


async def test_event_prints_what_virsh_prints(qemu: Site) -> None:
    await qemu.define(firmware("one"))
    ours, theirs = await to_thread.run_sync(partial(overheard, qemu))
    head = "event 'lifecycle' for domain 'one': Resumed Unpaused"
    assert theirs.count(head) == 2
    assert ours[ours.index(head) :] == theirs[theirs.index(head) :]


def overheard(site: Site) -> tuple[list[str], list[str]]:
    """What `event` of avirt and of virsh print of one life."""
    listeners = [
        spawn(site, "event", "--loop"),
        subprocess.Popen(["virsh", "-c", site.uri, "event", "--all", "--loop"], stdout=subprocess.PIPE, text=True),
    ]
    heard: list[list[str]] = []
    try:
        with ThreadPoolExecutor() as threads:
            readers = [threads.submit(read_until, each, "'other': Undefined Removed") for each in listeners]
            # both listen once something came from each
            again = site.file(firmware("one", uuid=site.oracle("domuuid", "one").strip()))
            waiting = set(listeners)
            while waiting:
                site.oracle("define", again)
                time.sleep(0.1)
                waiting = {each for each in waiting if each not in HEARD}
            for command in ("start", "suspend", "resume", "reset", "destroy"):
                site.oracle(command, "one")
            site.oracle("domrename", "one", "other")
            site.oracle("undefine", "other")
            heard = [reader.result(timeout=30) for reader in readers]
    finally:
        for each in listeners:
            each.kill()
            each.communicate()
    return heard[0], heard[1]


HEARD: set[subprocess.Popen[str]] = set()
"""Listeners that printed something."""


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        HEARD.add(process)
        lines.append(line.rstrip())
        if text in line:
            break
    return lines


def spawn(site: Site, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "avirt", "-c", site.uri, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


async def test_every_verb_does_what_virsh_sees(qemu: Site) -> None:
    """A life of one domain by avirt's verbs; after each, virsh is asked."""
    xml = qemu.file(firmware("one"))
    saved = str(qemu.daemon.folder / "one.save")
    steps: list[tuple[str, str]] = [
        (f"define {xml}", "shut off (unknown)"),
        ("start one --paused", "paused (user)"),
        ("resume one", "running (unpaused)"),
        ("suspend one", "paused (user)"),
        ("resume one", "running (unpaused)"),
        ("reset one", "running (unpaused)"),
        (f"save one {saved}", "shut off (saved)"),
        (f"restore {saved}", "running (restored)"),
        ("managedsave one", "shut off (saved)"),
        ("start one", "running (restored)"),
        ("destroy one", "shut off (destroyed)"),
        ("start one", "running (booted)"),
        ("destroy one --graceful", "shut off (destroyed)"),
        ("managedsave one", ""),
        ("managedsave-remove one", "shut off (destroyed)"),
        ("autostart one", "shut off (destroyed)"),
        ("domrename one two", ""),
        ("domrename two one", "shut off (destroyed)"),
    ]
    for line, state in steps:
        answer = await qemu.avirt(*line.split(), check=bool(state) or "rename" in line)
        if state:
            assert answer.returncode == 0, line
            assert (await qemu.virsh("domstate", "one", "--reason")).strip() == state, line
    assert "Autostart:      enable" in await qemu.virsh("dominfo", "one")
    await qemu.avirt("undefine", "one")
    assert await qemu.truth() == {}
    await qemu.avirt("create", xml)
    [row] = (await qemu.truth()).values()
    assert (row["state"], row["persistent"]) == ("running", False)
    assert (await qemu.avirt("destroy", "one")).stdout == "Domain 'one' destroyed\n"
    assert await qemu.truth() == {}


async def test_what_virsh_refuses_is_refused_with_its_words(qemu: Site) -> None:
    await two(qemu)
    for line in ("resume two", "suspend two", "reset two", "domrename one x", "managedsave two"):
        answer = await qemu.avirt(*line.split(), check=False)
        assert answer.returncode in (0, 1), line
        assert len(answer.stderr.splitlines()) <= 2
        if answer.returncode == 0:  # what is so already is no failure
            assert "already" in answer.stdout
        else:
            assert answer.stderr.startswith("error: ")


async def test_watch_goes_on_through_a_restart_of_the_daemon(qemu: Site) -> None:
    await two(qemu)
    process = spawn(qemu, "-o", "json", "watch")
    try:
        assert process.stdout is not None
        await to_thread.run_sync(process.stdout.readline)
        await qemu.restart()
        kinds: list[str] = []
        while "host_resynced" not in kinds:
            kinds.append(json.loads(await to_thread.run_sync(process.stdout.readline))["kind"])
        assert [kind for kind in kinds if kind.startswith("host_")] == ["host_lost", "host_connected", "host_resynced"]
        await qemu.virsh("start", "two")
        while True:
            change = json.loads(await to_thread.run_sync(process.stdout.readline))
            if change["name"] == "two" and change["after"]["state"] == "running":
                break
        process.send_signal(signal.SIGINT)
        assert await to_thread.run_sync(process.wait) == 130
    finally:
        process.kill()
        process.communicate()


async def test_doctor_finds_nothing_wrong(qemu: Site) -> None:
    answer = await qemu.avirt("doctor", "-o", "json")
    found = {step["step"]: step["ok"] for step in json.loads(answer.stdout)}
    assert all(found.values())
    assert {"socket", "permission", "connection", "keepalive", "request limit", "second lane"} <= found.keys()


async def test_doctor_names_a_driver_that_the_daemon_has_not(qemu: Site) -> None:
    uri = qemu.uri.replace("qemu+", "bhyve+")
    answer = await to_thread.run_sync(partial(run_avirt, "-o", "json", "doctor", uri, check=False))
    assert answer.returncode == 4
    last = json.loads(answer.stdout)[-1]
    assert (last["step"], last["ok"]) == ("hypervisor", False)
