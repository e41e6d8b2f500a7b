"""For tests of what is built on avirt, and of drivers: a simulated hypervisor, judges of streams, a conformance suite.

Public, and loaded when asked for: only `DriverConformance` needs pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from avirt.drivers.sim.domain import Config as Config
    from avirt.drivers.sim.domain import SimDomain as SimDomain
    from avirt.drivers.sim.driver import SimDriver as SimDriver
    from avirt.drivers.sim.faults import Faults as Faults
    from avirt.drivers.sim.life import Act as Act
    from avirt.drivers.sim.life import Scripted as Scripted
    from avirt.drivers.sim.life import Seeded as Seeded
    from avirt.drivers.sim.life import Step as Step
    from avirt.drivers.sim.world import Times as Times
    from avirt.drivers.sim.world import World as World
    from avirt.recording.replay import Replayed as Replayed
    from avirt.recording.replay import ReplayFrom as ReplayFrom
    from avirt.recording.replay import replay as replay
    from avirt.testing.checkers import CHECKERS as CHECKERS
    from avirt.testing.checkers import Finding as Finding
    from avirt.testing.checkers import InvalidStream as InvalidStream
    from avirt.testing.checkers import Recording as Recording
    from avirt.testing.checkers import findings as findings
    from avirt.testing.checkers import validate as validate
    from avirt.testing.checkpoints import Canceller as Canceller
    from avirt.testing.checkpoints import cancelled_at as cancelled_at
    from avirt.testing.checkpoints import cancelled_at_each_checkpoint as cancelled_at_each_checkpoint
    from avirt.testing.conformance import DriverConformance as DriverConformance
    from avirt.testing.faults import Cut as Cut
    from avirt.testing.faults import Delay as Delay
    from avirt.testing.faults import Direction as Direction
    from avirt.testing.faults import FailCall as FailCall
    from avirt.testing.faults import Fragment as Fragment
    from avirt.testing.faults import Hang as Hang
    from avirt.testing.faults import LateReply as LateReply
    from avirt.testing.faults import LoseEvent as LoseEvent
    from avirt.testing.faults import RefuseAuth as RefuseAuth
    from avirt.testing.faults import RefuseConnection as RefuseConnection
    from avirt.testing.faults import Reorder as Reorder
    from avirt.testing.faults import RepeatEvent as RepeatEvent
    from avirt.testing.faults import ReplaceHost as ReplaceHost
    from avirt.testing.faults import Restart as Restart
    from avirt.testing.faults import Rule as Rule
    from avirt.testing.faults import Silence as Silence
    from avirt.testing.faults import SlowAccept as SlowAccept
    from avirt.testing.faults import Storm as Storm
    from avirt.testing.faults import Where as Where
    from avirt.testing.faults import WireFaults as WireFaults
    from avirt.testing.simulators.libvirt import Auth as Auth
    from avirt.testing.simulators.libvirt import LibvirtSim as LibvirtSim
    from avirt.testing.simulators.libvirt import Profile as Profile

_LAZY: Final[dict[str, str]] = {
    "CHECKERS": "avirt.testing.checkers",
    "Act": "avirt.drivers.sim.life",
    "Auth": "avirt.testing.simulators.libvirt",
    "Canceller": "avirt.testing.checkpoints",
    "Config": "avirt.drivers.sim.domain",
    "Cut": "avirt.testing.faults",
    "Delay": "avirt.testing.faults",
    "Direction": "avirt.testing.faults",
    "DriverConformance": "avirt.testing.conformance",
    "FailCall": "avirt.testing.faults",
    "Faults": "avirt.drivers.sim.faults",
    "Finding": "avirt.testing.checkers",
    "Fragment": "avirt.testing.faults",
    "Hang": "avirt.testing.faults",
    "InvalidStream": "avirt.testing.checkers",
    "LateReply": "avirt.testing.faults",
    "LibvirtSim": "avirt.testing.simulators.libvirt",
    "LoseEvent": "avirt.testing.faults",
    "Profile": "avirt.testing.simulators.libvirt",
    "Recording": "avirt.testing.checkers",
    "RefuseAuth": "avirt.testing.faults",
    "RefuseConnection": "avirt.testing.faults",
    "Reorder": "avirt.testing.faults",
    "RepeatEvent": "avirt.testing.faults",
    "ReplayFrom": "avirt.recording.replay",
    "Replayed": "avirt.recording.replay",
    "ReplaceHost": "avirt.testing.faults",
    "Restart": "avirt.testing.faults",
    "Rule": "avirt.testing.faults",
    "Scripted": "avirt.drivers.sim.life",
    "Seeded": "avirt.drivers.sim.life",
    "Silence": "avirt.testing.faults",
    "SimDomain": "avirt.drivers.sim.domain",
    "SimDriver": "avirt.drivers.sim.driver",
    "SlowAccept": "avirt.testing.faults",
    "Step": "avirt.drivers.sim.life",
    "Storm": "avirt.testing.faults",
    "Times": "avirt.drivers.sim.world",
    "Where": "avirt.testing.faults",
    "WireFaults": "avirt.testing.faults",
    "World": "avirt.drivers.sim.world",
    "cancelled_at": "avirt.testing.checkpoints",
    "cancelled_at_each_checkpoint": "avirt.testing.checkpoints",
    "findings": "avirt.testing.checkers",
    "replay": "avirt.recording.replay",
    "validate": "avirt.testing.checkers",
}

__all__ = [
    "CHECKERS",
    "Act",
    "Auth",
    "Canceller",
    "Config",
    "Cut",
    "Delay",
    "Direction",
    "DriverConformance",
    "FailCall",
    "Faults",
    "Finding",
    "Fragment",
    "Hang",
    "InvalidStream",
    "LateReply",
    "LibvirtSim",
    "LoseEvent",
    "Profile",
    "Recording",
    "RefuseAuth",
    "RefuseConnection",
    "Reorder",
    "RepeatEvent",
    "ReplaceHost",
    "ReplayFrom",
    "Replayed",
    "Restart",
    "Rule",
    "Scripted",
    "Seeded",
    "Silence",
    "SimDomain",
    "SimDriver",
    "SlowAccept",
    "Step",
    "Storm",
    "Times",
    "Where",
    "WireFaults",
    "World",
    "cancelled_at",
    "cancelled_at_each_checkpoint",
    "findings",
    "replay",
    "validate",
]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'avirt.testing' has no attribute {name!r}")
    return getattr(import_module(module), name)
