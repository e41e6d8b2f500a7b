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
    from avirt.testing.faults import WireFaults as WireFaults
    from avirt.testing.rules import Cut as Cut
    from avirt.testing.rules import Delay as Delay
    from avirt.testing.rules import Direction as Direction
    from avirt.testing.rules import FailCall as FailCall
    from avirt.testing.rules import Fragment as Fragment
    from avirt.testing.rules import Hang as Hang
    from avirt.testing.rules import LateReply as LateReply
    from avirt.testing.rules import LoseEvent as LoseEvent
    from avirt.testing.rules import RefuseAuth as RefuseAuth
    from avirt.testing.rules import RefuseConnection as RefuseConnection
    from avirt.testing.rules import Reorder as Reorder
    from avirt.testing.rules import RepeatEvent as RepeatEvent
    from avirt.testing.rules import ReplaceHost as ReplaceHost
    from avirt.testing.rules import Restart as Restart
    from avirt.testing.rules import Rule as Rule
    from avirt.testing.rules import Silence as Silence
    from avirt.testing.rules import SlowAccept as SlowAccept
    from avirt.testing.rules import Storm as Storm
    from avirt.testing.rules import Where as Where
    from avirt.testing.simulators.libvirt import Auth as Auth
    from avirt.testing.simulators.libvirt import LibvirtSim as LibvirtSim
    from avirt.testing.simulators.libvirt import Profile as Profile

_LAZY: Final[dict[str, str]] = {
    "CHECKERS": "avirt.testing.checkers",
    "Act": "avirt.drivers.sim.life",
    "Auth": "avirt.testing.simulators.libvirt",
    "Canceller": "avirt.testing.checkpoints",
    "Config": "avirt.drivers.sim.domain",
    "Cut": "avirt.testing.rules",
    "Delay": "avirt.testing.rules",
    "Direction": "avirt.testing.rules",
    "DriverConformance": "avirt.testing.conformance",
    "FailCall": "avirt.testing.rules",
    "Faults": "avirt.drivers.sim.faults",
    "Finding": "avirt.testing.checkers",
    "Fragment": "avirt.testing.rules",
    "Hang": "avirt.testing.rules",
    "InvalidStream": "avirt.testing.checkers",
    "LateReply": "avirt.testing.rules",
    "LibvirtSim": "avirt.testing.simulators.libvirt",
    "LoseEvent": "avirt.testing.rules",
    "Profile": "avirt.testing.simulators.libvirt",
    "Recording": "avirt.testing.checkers",
    "RefuseAuth": "avirt.testing.rules",
    "RefuseConnection": "avirt.testing.rules",
    "Reorder": "avirt.testing.rules",
    "RepeatEvent": "avirt.testing.rules",
    "ReplayFrom": "avirt.recording.replay",
    "Replayed": "avirt.recording.replay",
    "ReplaceHost": "avirt.testing.rules",
    "Restart": "avirt.testing.rules",
    "Rule": "avirt.testing.rules",
    "Scripted": "avirt.drivers.sim.life",
    "Seeded": "avirt.drivers.sim.life",
    "Silence": "avirt.testing.rules",
    "SimDomain": "avirt.drivers.sim.domain",
    "SimDriver": "avirt.drivers.sim.driver",
    "SlowAccept": "avirt.testing.rules",
    "Step": "avirt.drivers.sim.life",
    "Storm": "avirt.testing.rules",
    "Times": "avirt.drivers.sim.world",
    "Where": "avirt.testing.rules",
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
