"""All calls of the programs remote, qemu and lxc as typed methods. `_call` is the connection's."""

from __future__ import annotations

from avirt.drivers.libvirt.generated.connect import ConnectCalls
from avirt.drivers.libvirt.generated.domain import DomainCalls
from avirt.drivers.libvirt.generated.interface import InterfaceCalls
from avirt.drivers.libvirt.generated.lxc import LxcCalls
from avirt.drivers.libvirt.generated.network import NetworkCalls
from avirt.drivers.libvirt.generated.node import NodeCalls
from avirt.drivers.libvirt.generated.nwfilter import NwfilterCalls
from avirt.drivers.libvirt.generated.qemu import QemuCalls
from avirt.drivers.libvirt.generated.secret import SecretCalls
from avirt.drivers.libvirt.generated.storage import StorageCalls

__all__ = ["Remote"]


class Remote(
    ConnectCalls,
    DomainCalls,
    NetworkCalls,
    StorageCalls,
    NodeCalls,
    InterfaceCalls,
    SecretCalls,
    NwfilterCalls,
    QemuCalls,
    LxcCalls,
):
    """Every call of libvirt's protocol. Outside avirt's promise of stability: it follows libvirt."""
