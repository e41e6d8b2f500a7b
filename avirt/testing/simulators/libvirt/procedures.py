"""Which procedure is answered by what: the table of a simulated daemon. What is not in it is not supported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.procedure import Procedure
from avirt.testing.simulators.libvirt.answers import Handler
from avirt.testing.simulators.libvirt.opening import BEFORE_AUTH, BEFORE_OPEN, OPENING
from avirt.testing.simulators.libvirt.reading import READING
from avirt.testing.simulators.libvirt.verbs import VERBS

__all__ = ["BEFORE_AUTH", "BEFORE_OPEN", "BULK", "HANDLERS", "STATE"]

HANDLERS: Final[Mapping[Procedure[Any], Handler]] = {**OPENING, **READING, **VERBS}

BULK: Final = frozenset(
    {
        Proc.CONNECT_GET_ALL_DOMAIN_STATS,
        Proc.CONNECT_LIST_ALL_DOMAINS,
        Proc.CONNECT_NUM_OF_DOMAINS,
        Proc.CONNECT_NUM_OF_DEFINED_DOMAINS,
        Proc.CONNECT_LIST_DOMAINS,
        Proc.CONNECT_LIST_DEFINED_DOMAINS,
    }
)
"""Calls that look at every domain."""

STATE: Final = frozenset(
    {
        Proc.DOMAIN_GET_STATE,
        Proc.DOMAIN_IS_ACTIVE,
        Proc.DOMAIN_IS_PERSISTENT,
        Proc.DOMAIN_GET_AUTOSTART,
        Proc.DOMAIN_LOOKUP_BY_ID,
        Proc.DOMAIN_LOOKUP_BY_NAME,
        Proc.DOMAIN_LOOKUP_BY_UUID,
    }
)
"""Reads of what the daemon itself remembers of a domain."""
