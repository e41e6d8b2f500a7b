"""A simulated libvirt daemon that speaks libvirt's RPC: `LibvirtSim`.

- `sim.py`: connections and time, what a test holds; `doors.py`: its sockets; `truth.py`: what a view must say
- `daemon.py`: the daemon without its sockets; `peer.py`: one client; `workers.py`: its worker threads
- `procedures.py`: procedure → handler, of `opening.py`, `reading.py` and `verbs.py`
- `events.py`: what the world tells as libvirt's events; `errors.py`: what it raises as libvirt's errors
- `profile.py`: the hypervisors it can stand for
"""

from avirt.testing.simulators.libvirt.daemon import Auth
from avirt.testing.simulators.libvirt.profile import LXC, QEMU, TEST, XEN, Profile
from avirt.testing.simulators.libvirt.sim import QUICK, LibvirtSim
from avirt.testing.simulators.libvirt.truth import TrueDomain, Truth

__all__ = ["LXC", "QEMU", "QUICK", "TEST", "XEN", "Auth", "LibvirtSim", "Profile", "TrueDomain", "Truth"]
