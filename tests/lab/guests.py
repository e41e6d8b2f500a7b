"""Definitions of guests for the laboratory. All run in software emulation: no KVM is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from uuid import UUID

__all__ = ["container", "firmware", "linux", "test_domain"]

EMULATOR: Final = "/usr/bin/qemu-system-x86_64"


def _uuid(uuid: UUID | str | None) -> str:
    return f"<uuid>{uuid}</uuid>" if uuid else ""


def firmware(name: str, *, uuid: UUID | str | None = None, extra: str = "") -> str:
    """No disk, no kernel: it sits in SeaBIOS as "running" and costs no processor. It hears no power button.

    Less than 16 MiB saves nothing, and QEMU 7.2 dies now and then of a reset while the firmware starts.
    """
    return (
        f"<domain type='qemu'><name>{name}</name>{_uuid(uuid)}<memory unit='MiB'>16</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>"
        f"<devices><emulator>{EMULATOR}</emulator><controller type='usb' model='none'/><memballoon model='none'/>"
        f"</devices>{extra}</domain>"
    )


def linux(
    name: str, images: Path, *, arguments: str = "", on_crash: str = "preserve", on_poweroff: str = "destroy"
) -> str:
    """A small Linux that answers the power button, with the QEMU agent, a panic device and a balloon."""
    return (
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64' machine='pc'>hvm</type>"
        f"<kernel>{images / 'vmlinuz'}</kernel><initrd>{images / 'initrd.gz'}</initrd>"
        f"<cmdline>console=ttyS0 quiet {arguments}</cmdline></os>"
        f"<features><acpi/></features><on_poweroff>{on_poweroff}</on_poweroff><on_crash>{on_crash}</on_crash>"
        f"<devices><emulator>{EMULATOR}</emulator><controller type='usb' model='none'/>"
        "<serial type='null'><target port='0'/></serial><panic model='isa'/>"
        "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
        "</devices></domain>"
    )


def container(name: str, root: Path) -> str:
    """An LXC container whose init ends on SIGTERM."""
    return (
        f"<domain type='lxc'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
        "<os><type>exe</type><init>/init</init></os>"
        "<devices><emulator>/usr/lib/libvirt/libvirt_lxc</emulator>"
        f"<filesystem type='mount'><source dir='{root}'/><target dir='/'/></filesystem><console type='pty'/>"
        "</devices></domain>"
    )


def test_domain(name: str) -> str:
    """For libvirt's test driver."""
    return (
        f"<domain type='test'><name>{name}</name><memory unit='KiB'>8192</memory><vcpu>1</vcpu>"
        "<os><type>hvm</type></os></domain>"
    )


test_domain.__test__ = False  # type: ignore[attr-defined]
