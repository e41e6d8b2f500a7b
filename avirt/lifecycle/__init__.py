"""From what drivers saw to what it means: pure, driven by tables, one step an Item (design, sections 2 to 4)."""

from __future__ import annotations

from avirt.lifecycle.compare import Differs
from avirt.lifecycle.effect import Effect, Now, Probe, Relist, Step, WakeAt
from avirt.lifecycle.pairing import Pairing
from avirt.lifecycle.reconcile import slices
from avirt.lifecycle.step import HostLifecycle

__all__ = ["Differs", "Effect", "HostLifecycle", "Now", "Pairing", "Probe", "Relist", "Step", "WakeAt", "slices"]
