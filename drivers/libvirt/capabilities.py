"""Which class implements which capability protocol. Loaded with the first capability that is asked for."""

from __future__ import annotations

from avirt.drivers.base import Definitions, Diagnostics, HostInfo, Power, Stats
from avirt.drivers.libvirt.diagnostics import ConnectionDiagnostics
from avirt.drivers.libvirt.lanes import Lanes
from avirt.drivers.libvirt.native import BulkCalls, ControlCalls, Libvirt
from avirt.drivers.libvirt.verbs import DefinitionVerbs, HostReads, PowerVerbs, StatsReads

__all__ = ["capability_of"]


def capability_of(kind: type, lanes: Lanes, *, has_domains: bool) -> object | None:
    """An implementation over these connections, or None if there is none."""
    calls = Libvirt(lanes)
    if kind is Libvirt:
        return calls
    if kind is HostInfo:
        return HostReads(calls)
    if kind is Diagnostics:
        return ConnectionDiagnostics(lanes)
    if not has_domains:
        return None
    if kind is Power:
        return PowerVerbs(ControlCalls(lanes), calls, BulkCalls(lanes))
    if kind is Definitions:
        return DefinitionVerbs(calls)
    if kind is Stats:
        return StatsReads(lanes)
    return None
