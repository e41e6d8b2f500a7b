"""avirt: watch and control hypervisors from async Python.

Everything public is here; `__getattr__` loads it on first use, so that `import avirt` loads no driver and no optional
dependency. The modules below are where things live.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from avirt.audit import AuditStatistics as AuditStatistics
    from avirt.discovery import Found as Found
    from avirt.discovery import default_uri as default_uri
    from avirt.discovery import discover as discover
    from avirt.domain import Domain as Domain
    from avirt.drivers.base import Credentials as Credentials
    from avirt.drivers.base import CredentialsProvider as CredentialsProvider
    from avirt.drivers.base import DomainInfo as DomainInfo
    from avirt.drivers.base import DomainStats as DomainStats
    from avirt.drivers.base import Finding as Finding
    from avirt.drivers.base import NodeInfo as NodeInfo
    from avirt.drivers.base import StatsGroup as StatsGroup
    from avirt.errors import Aborted as Aborted
    from avirt.errors import AccessDenied as AccessDenied
    from avirt.errors import AlreadyExists as AlreadyExists
    from avirt.errors import AlreadyInState as AlreadyInState
    from avirt.errors import AmbiguousName as AmbiguousName
    from avirt.errors import AuthError as AuthError
    from avirt.errors import AvirtError as AvirtError
    from avirt.errors import Busy as Busy
    from avirt.errors import CannotConnect as CannotConnect
    from avirt.errors import ConnectionLost as ConnectionLost
    from avirt.errors import DomainGone as DomainGone
    from avirt.errors import InternalError as InternalError
    from avirt.errors import InvalidArgument as InvalidArgument
    from avirt.errors import InvalidOperation as InvalidOperation
    from avirt.errors import InvalidURI as InvalidURI
    from avirt.errors import LocalProtocolError as LocalProtocolError
    from avirt.errors import NativeError as NativeError
    from avirt.errors import NotFound as NotFound
    from avirt.errors import OperationTimeout as OperationTimeout
    from avirt.errors import Outcomes as Outcomes
    from avirt.errors import Phase as Phase
    from avirt.errors import ProtocolError as ProtocolError
    from avirt.errors import RemoteProtocolError as RemoteProtocolError
    from avirt.errors import ResourceError as ResourceError
    from avirt.errors import RevisionTooOld as RevisionTooOld
    from avirt.errors import SlowSubscriber as SlowSubscriber
    from avirt.errors import Stalled as Stalled
    from avirt.errors import Unsupported as Unsupported
    from avirt.events.filters import Filter as Filter
    from avirt.events.journal import Journal as Journal
    from avirt.events.journal import JournalStatistics as JournalStatistics
    from avirt.events.journal import open_store as open_store
    from avirt.events.journal_reader import JournalReader as JournalReader
    from avirt.events.policies import Retention as Retention
    from avirt.events.policies import Slow as Slow
    from avirt.events.policies import TooOld as TooOld
    from avirt.events.store import Store as Store
    from avirt.events.subscription import Subscription as Subscription
    from avirt.host import Host as Host
    from avirt.host import connect as connect
    from avirt.host import run_host as run_host
    from avirt.model.change import Added as Added
    from avirt.model.change import Change as Change
    from avirt.model.change import DomainChange as DomainChange
    from avirt.model.change import DomainEvent as DomainEvent
    from avirt.model.change import DuplicateHost as DuplicateHost
    from avirt.model.change import Gap as Gap
    from avirt.model.change import HostChange as HostChange
    from avirt.model.change import HostConnected as HostConnected
    from avirt.model.change import HostLost as HostLost
    from avirt.model.change import HostReplaced as HostReplaced
    from avirt.model.change import HostResynced as HostResynced
    from avirt.model.change import JournalLost as JournalLost
    from avirt.model.change import Migrated as Migrated
    from avirt.model.change import Origin as Origin
    from avirt.model.change import Rebooted as Rebooted
    from avirt.model.change import RecordChange as RecordChange
    from avirt.model.change import Removed as Removed
    from avirt.model.change import Renamed as Renamed
    from avirt.model.change import SplitBrain as SplitBrain
    from avirt.model.change import StateChanged as StateChanged
    from avirt.model.change import StoreChange as StoreChange
    from avirt.model.change import Updated as Updated
    from avirt.model.command import Outcome as Outcome
    from avirt.model.command import ShutdownMode as ShutdownMode
    from avirt.model.command import Verb as Verb
    from avirt.model.native_event import AgentLifecycle as AgentLifecycle
    from avirt.model.native_event import BalloonChange as BalloonChange
    from avirt.model.native_event import BlockJob as BlockJob
    from avirt.model.native_event import BlockThreshold as BlockThreshold
    from avirt.model.native_event import ChannelLifecycle as ChannelLifecycle
    from avirt.model.native_event import ControlError as ControlError
    from avirt.model.native_event import DeviceAdded as DeviceAdded
    from avirt.model.native_event import DeviceRemovalFailed as DeviceRemovalFailed
    from avirt.model.native_event import DeviceRemoved as DeviceRemoved
    from avirt.model.native_event import DiskChange as DiskChange
    from avirt.model.native_event import Graphics as Graphics
    from avirt.model.native_event import IOError as IOError
    from avirt.model.native_event import JobCompleted as JobCompleted
    from avirt.model.native_event import MemoryDeviceSizeChange as MemoryDeviceSizeChange
    from avirt.model.native_event import MemoryFailure as MemoryFailure
    from avirt.model.native_event import MetadataChange as MetadataChange
    from avirt.model.native_event import MigrationIteration as MigrationIteration
    from avirt.model.native_event import NicMacChange as NicMacChange
    from avirt.model.native_event import PMSuspend as PMSuspend
    from avirt.model.native_event import PMSuspendDisk as PMSuspendDisk
    from avirt.model.native_event import PMWakeup as PMWakeup
    from avirt.model.native_event import RTCChange as RTCChange
    from avirt.model.native_event import TrayChange as TrayChange
    from avirt.model.native_event import Tunable as Tunable
    from avirt.model.native_event import VCPURemoved as VCPURemoved
    from avirt.model.native_event import Watchdog as Watchdog
    from avirt.model.record import Certainty as Certainty
    from avirt.model.record import DomainKey as DomainKey
    from avirt.model.record import DomainRecord as DomainRecord
    from avirt.model.record import HostFacts as HostFacts
    from avirt.model.record import HostState as HostState
    from avirt.model.record import HostStatus as HostStatus
    from avirt.model.record import Key as Key
    from avirt.model.state import BlockedReason as BlockedReason
    from avirt.model.state import CrashedReason as CrashedReason
    from avirt.model.state import DomainState as DomainState
    from avirt.model.state import NostateReason as NostateReason
    from avirt.model.state import PausedReason as PausedReason
    from avirt.model.state import PMSuspendedReason as PMSuspendedReason
    from avirt.model.state import Reason as Reason
    from avirt.model.state import RunningReason as RunningReason
    from avirt.model.state import ShutdownReason as ShutdownReason
    from avirt.model.state import ShutoffReason as ShutoffReason
    from avirt.model.state import Transition as Transition
    from avirt.recording.recorder import Recorder as Recorder
    from avirt.uri import URI as URI
    from avirt.uri import parse_uri as parse_uri
    from avirt.version import __version__ as __version__

_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "avirt.host": (
        "Host",
        "connect",
        "run_host",
    ),
    "avirt.audit": ("AuditStatistics",),
    "avirt.domain": ("Domain",),
    "avirt.recording.recorder": ("Recorder",),
    "avirt.version": ("__version__",),
    "avirt.discovery": (
        "Found",
        "default_uri",
        "discover",
    ),
    "avirt.uri": (
        "URI",
        "parse_uri",
    ),
    "avirt.errors": (
        "Aborted",
        "AccessDenied",
        "AlreadyExists",
        "AlreadyInState",
        "AmbiguousName",
        "AuthError",
        "AvirtError",
        "Busy",
        "CannotConnect",
        "ConnectionLost",
        "DomainGone",
        "InternalError",
        "InvalidArgument",
        "InvalidOperation",
        "InvalidURI",
        "LocalProtocolError",
        "NativeError",
        "NotFound",
        "OperationTimeout",
        "Outcomes",
        "Phase",
        "ProtocolError",
        "RemoteProtocolError",
        "ResourceError",
        "RevisionTooOld",
        "SlowSubscriber",
        "Stalled",
        "Unsupported",
    ),
    "avirt.events.filters": ("Filter",),
    "avirt.events.journal": (
        "Journal",
        "JournalStatistics",
        "open_store",
    ),
    "avirt.events.journal_reader": ("JournalReader",),
    "avirt.events.policies": (
        "Retention",
        "Slow",
        "TooOld",
    ),
    "avirt.events.store": ("Store",),
    "avirt.events.subscription": ("Subscription",),
    "avirt.drivers.base": (
        "Credentials",
        "CredentialsProvider",
        "DomainInfo",
        "DomainStats",
        "Finding",
        "NodeInfo",
        "StatsGroup",
    ),
    "avirt.model.state": (
        "BlockedReason",
        "CrashedReason",
        "DomainState",
        "NostateReason",
        "PMSuspendedReason",
        "PausedReason",
        "Reason",
        "RunningReason",
        "ShutdownReason",
        "ShutoffReason",
        "Transition",
    ),
    "avirt.model.record": (
        "Certainty",
        "DomainKey",
        "DomainRecord",
        "HostFacts",
        "HostState",
        "HostStatus",
        "Key",
    ),
    "avirt.model.change": (
        "Added",
        "Change",
        "DomainChange",
        "DomainEvent",
        "DuplicateHost",
        "Gap",
        "HostChange",
        "HostConnected",
        "HostLost",
        "HostReplaced",
        "HostResynced",
        "JournalLost",
        "Migrated",
        "Origin",
        "Rebooted",
        "RecordChange",
        "Removed",
        "Renamed",
        "SplitBrain",
        "StateChanged",
        "StoreChange",
        "Updated",
    ),
    "avirt.model.native_event": (
        "AgentLifecycle",
        "BalloonChange",
        "BlockJob",
        "BlockThreshold",
        "ChannelLifecycle",
        "ControlError",
        "DeviceAdded",
        "DeviceRemovalFailed",
        "DeviceRemoved",
        "DiskChange",
        "Graphics",
        "IOError",
        "JobCompleted",
        "MemoryDeviceSizeChange",
        "MemoryFailure",
        "MetadataChange",
        "MigrationIteration",
        "NicMacChange",
        "PMSuspend",
        "PMSuspendDisk",
        "PMWakeup",
        "RTCChange",
        "TrayChange",
        "Tunable",
        "VCPURemoved",
        "Watchdog",
    ),
    "avirt.model.command": (
        "Outcome",
        "ShutdownMode",
        "Verb",
    ),
}

_HOME: Final[dict[str, str]] = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "URI",
    "Aborted",
    "AccessDenied",
    "Added",
    "AgentLifecycle",
    "AlreadyExists",
    "AlreadyInState",
    "AmbiguousName",
    "AuditStatistics",
    "AuthError",
    "AvirtError",
    "BalloonChange",
    "BlockJob",
    "BlockThreshold",
    "BlockedReason",
    "Busy",
    "CannotConnect",
    "Certainty",
    "Change",
    "ChannelLifecycle",
    "ConnectionLost",
    "ControlError",
    "CrashedReason",
    "Credentials",
    "CredentialsProvider",
    "DeviceAdded",
    "DeviceRemovalFailed",
    "DeviceRemoved",
    "DiskChange",
    "Domain",
    "DomainChange",
    "DomainEvent",
    "DomainGone",
    "DomainInfo",
    "DomainKey",
    "DomainRecord",
    "DomainState",
    "DomainStats",
    "DuplicateHost",
    "Filter",
    "Finding",
    "Found",
    "Gap",
    "Graphics",
    "Host",
    "HostChange",
    "HostConnected",
    "HostFacts",
    "HostLost",
    "HostReplaced",
    "HostResynced",
    "HostState",
    "HostStatus",
    "IOError",
    "InternalError",
    "InvalidArgument",
    "InvalidOperation",
    "InvalidURI",
    "JobCompleted",
    "Journal",
    "JournalLost",
    "JournalReader",
    "JournalStatistics",
    "Key",
    "LocalProtocolError",
    "MemoryDeviceSizeChange",
    "MemoryFailure",
    "MetadataChange",
    "Migrated",
    "MigrationIteration",
    "NativeError",
    "NicMacChange",
    "NodeInfo",
    "NostateReason",
    "NotFound",
    "OperationTimeout",
    "Origin",
    "Outcome",
    "Outcomes",
    "PMSuspend",
    "PMSuspendDisk",
    "PMSuspendedReason",
    "PMWakeup",
    "PausedReason",
    "Phase",
    "ProtocolError",
    "RTCChange",
    "Reason",
    "Rebooted",
    "RecordChange",
    "Recorder",
    "RemoteProtocolError",
    "Removed",
    "Renamed",
    "ResourceError",
    "Retention",
    "RevisionTooOld",
    "RunningReason",
    "ShutdownMode",
    "ShutdownReason",
    "ShutoffReason",
    "Slow",
    "SlowSubscriber",
    "SplitBrain",
    "Stalled",
    "StateChanged",
    "StatsGroup",
    "Store",
    "StoreChange",
    "Subscription",
    "TooOld",
    "Transition",
    "TrayChange",
    "Tunable",
    "Unsupported",
    "Updated",
    "VCPURemoved",
    "Verb",
    "Watchdog",
    "__version__",
    "connect",
    "default_uri",
    "discover",
    "open_store",
    "parse_uri",
    "run_host",
]


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'avirt' has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
