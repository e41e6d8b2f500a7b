"""Fixtures: real hypervisors (tests/lab/), one laboratory a module, swept after each test.

What can't be had here skips its tests, unless AVIRT_REQUIRE_REAL=1: then it fails them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import pytest

from tests.lab.daemon import Daemon, missing
from tests.lab.site import ROOT, Site

LAB: Final = ROOT / ".lab"
"""What takes a while to make, and is kept."""

SCRIPTS: Final = ROOT / "tests" / "lab"


def not_here(why: str) -> NoReturn:
    """A real peer that can't be had."""
    if os.environ.get("AVIRT_REQUIRE_REAL") == "1":
        pytest.fail(f"AVIRT_REQUIRE_REAL is set, and {why}", pytrace=False)
    pytest.skip(why)


def require(*programs: str) -> None:
    """A laboratory with these programs can be had."""
    why = missing(*programs)
    if why:
        not_here(why)


def made(script: Path) -> Path:
    """The folder that a script makes, made once for each of its versions."""
    version = hashlib.sha256(script.read_bytes()).hexdigest()[:12]
    folder = LAB / f"{script.stem}-{version}"
    LAB.mkdir(exist_ok=True)
    with (LAB / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            new = folder.with_suffix(".new")
            answer = subprocess.run(
                ["sh", str(script), str(new)], capture_output=True, text=True, timeout=300, check=False
            )
            if answer.returncode != 0:
                not_here(f"{script.name} failed: {answer.stderr.strip()[-300:]}")
            new.rename(folder)
    return folder


@pytest.fixture(scope="session")
def guest_images() -> Path:
    """vmlinuz and initrd.gz of the small Linux guest."""
    require("dpkg-deb", "cpio", "apt-get")
    return made(SCRIPTS / "build_guest.sh")


@pytest.fixture(scope="session")
def container_root() -> Path:
    """A root folder for containers."""
    require("busybox")
    return made(SCRIPTS / "build_container.sh")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A private libvirtd."""
    require()
    with Daemon() as running:
        yield running


@pytest.fixture
def qemu(daemon: Daemon) -> Iterator[Site]:
    """The QEMU driver, without domains."""
    require("qemu-system-x86_64")
    site = Site(daemon, "qemu")
    yield site
    site.wipe()


@pytest.fixture
def lxc(daemon: Daemon) -> Iterator[Site]:
    """The LXC driver, without domains."""
    if not Path("/usr/lib/libvirt/libvirt_lxc").exists():
        not_here("not installed: libvirt's LXC driver")
    site = Site(daemon, "lxc")
    yield site
    site.wipe()


@pytest.fixture
def testing(daemon: Daemon) -> Site:
    """libvirt's test driver: each connection has a hypervisor of its own, with one running domain."""
    return Site(daemon, "test")


@pytest.fixture
def other_host() -> Iterator[Site]:
    """A second host's QEMU driver, to migrate to."""
    require("qemu-system-x86_64")
    with Daemon(hostname="other") as running:
        yield Site(running, "qemu")
