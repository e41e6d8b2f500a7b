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
    from avirt.testing.conformance import DriverConformance as DriverConformance
    from avirt.testing.validate import CHECKERS as CHECKERS
    from avirt.testing.validate import Finding as Finding
    from avirt.testing.validate import InvalidStream as InvalidStream
    from avirt.testing.validate import Recording as Recording
    from avirt.testing.validate import findings as findings
    from avirt.testing.validate import validate as validate

_LAZY: Final[dict[str, str]] = {
    "CHECKERS": "avirt.testing.validate",
    "Act": "avirt.drivers.sim.life",
    "Config": "avirt.drivers.sim.domain",
    "DriverConformance": "avirt.testing.conformance",
    "Faults": "avirt.drivers.sim.faults",
    "Finding": "avirt.testing.validate",
    "InvalidStream": "avirt.testing.validate",
    "Recording": "avirt.testing.validate",
    "Scripted": "avirt.drivers.sim.life",
    "Seeded": "avirt.drivers.sim.life",
    "SimDomain": "avirt.drivers.sim.domain",
    "SimDriver": "avirt.drivers.sim.driver",
    "Step": "avirt.drivers.sim.life",
    "Times": "avirt.drivers.sim.world",
    "World": "avirt.drivers.sim.world",
    "findings": "avirt.testing.validate",
    "validate": "avirt.testing.validate",
}

__all__ = [
    "CHECKERS",
    "Act",
    "Config",
    "DriverConformance",
    "Faults",
    "Finding",
    "InvalidStream",
    "Recording",
    "Scripted",
    "Seeded",
    "SimDomain",
    "SimDriver",
    "Step",
    "Times",
    "World",
    "findings",
    "validate",
]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'avirt.testing' has no attribute {name!r}")
    return getattr(import_module(module), name)
