"""Every error avirt raises.

    AvirtError
    ├── InvalidURI                 (also ValueError) the URI, or its scheme, can't be used
    ├── InvalidArgument            (also ValueError) the hypervisor, or avirt, refuses what was given
    ├── CannotConnect              no connection came about
    │   └── AuthError              the peer wants other credentials, or none will do
    ├── ConnectionLost             a connection was lost; `outcome` says what is known of the call in flight
    ├── AccessDenied               authenticated, but not allowed; or the connection is read-only
    ├── NotFound
    │   └── DomainGone             what was waited for can't happen any more: the domain is gone
    ├── AlreadyExists
    ├── InvalidOperation           not possible in this state
    │   ├── AlreadyInState         raised by drivers; verbs turn it into Outcome(changed=False)
    │   └── AmbiguousName
    ├── Busy                       someone else holds it; retryable
    ├── OperationTimeout           `phase`: queued, sent or accepted
    │   └── Stalled                no progress
    ├── Aborted
    ├── Unsupported                names driver and verb
    ├── ResourceError              out of memory, disk, ports, ...
    ├── NativeError                anything else a hypervisor answered; the code is kept
    ├── RevisionTooOld             a token can't be resumed; oldest, head, reason
    ├── SlowSubscriber             a subscription with Slow.DISCONNECT fell behind
    ├── ProtocolError
    │   ├── LocalProtocolError     we broke the protocol's rules: nothing was sent
    │   └── RemoteProtocolError    the peer did: the connection is closed
    └── InternalError              a bug of ours

Foreign errors are mapped in one place, each driver's `session.py`, chained with `from`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avirt.model.record import DomainRecord

__all__ = [
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
]


class Phase(StrEnum):
    """How far a verb had come when its time was up."""

    QUEUED = "queued"
    """Nothing was sent."""
    SENT = "sent"
    """The hypervisor may or may not have begun."""
    ACCEPTED = "accepted"
    """The hypervisor took it; the effect was not observed."""


class Outcomes(StrEnum):
    """What is known of a call whose connection was lost."""

    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


class AvirtError(Exception):
    """Base of all errors of avirt.

    Attributes:
        message: what happened, one line.
        hint: what to do about it, one line, or "".
        driver, host, domain, verb: where it happened, as far as known.
        code: the hypervisor's own error number or name, or None.
        native: the hypervisor's own text, or "".
        retryable: the same call may succeed later, unchanged.
    """

    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        driver: str = "",
        host: str = "",
        domain: str = "",
        verb: str = "",
        code: int | str | None = None,
        native: str = "",
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.driver = driver
        self.host = host
        self.domain = domain
        self.verb = verb
        self.code = code
        self.native = native
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        return self.message

    def locate(self, *, driver: str = "", host: str = "", domain: str = "", verb: str = "") -> None:
        """Fill in where it happened, keeping what is already known."""
        self.driver = self.driver or driver
        self.host = self.host or host
        self.domain = self.domain or domain
        self.verb = self.verb or verb


class InvalidURI(AvirtError, ValueError):
    """The URI is malformed, or nothing here serves its scheme."""


class InvalidArgument(AvirtError, ValueError):
    """What was given is refused: bad XML, a wrong flag, a value out of range."""


class CannotConnect(AvirtError):
    """No connection came about: no socket, refused, not the expected server."""

    retryable = True


class AuthError(CannotConnect):
    """The peer refused the credentials, or offers no way to authenticate that works here."""

    retryable = False


class ConnectionLost(AvirtError):
    """A connection ended. Nothing is retried by avirt.

    Attributes:
        outcome: whether the call in flight can have had an effect.
    """

    retryable = True

    def __init__(
        self, message: str, *, outcome: Outcomes = Outcomes.UNKNOWN, hint: str = "", host: str = "", verb: str = ""
    ) -> None:
        super().__init__(message, hint=hint, host=host, verb=verb)
        self.outcome = outcome


class AccessDenied(AvirtError):
    """Authenticated, but not allowed; or the connection is read-only."""


class NotFound(AvirtError):
    """No such domain, or other object."""


class DomainGone(NotFound):
    """The domain was removed while it was waited for."""


class AlreadyExists(AvirtError):
    """An object with that name or uuid exists."""


class InvalidOperation(AvirtError):
    """The hypervisor refuses: not possible in the domain's present state."""


class AlreadyInState(InvalidOperation):
    """The domain is already where the verb would take it."""


class AmbiguousName(InvalidOperation):
    """More than one object answers to that name."""


class Busy(AvirtError):
    """Someone else holds it: a lock, a job, an agent that does not answer."""

    retryable = True


class OperationTimeout(AvirtError):
    """The time given is up.

    Attributes:
        phase: how far it had come.
        last: the domain's record when the time was up, or None.
    """

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        phase: Phase = Phase.SENT,
        last: DomainRecord | None = None,
        hint: str = "",
        host: str = "",
        domain: str = "",
        verb: str = "",
    ) -> None:
        super().__init__(message, hint=hint, host=host, domain=domain, verb=verb)
        self.phase = phase
        self.last = last


class Stalled(OperationTimeout):
    """A job without a deadline made no progress for too long."""


class Aborted(AvirtError):
    """The operation was aborted by someone."""


class Unsupported(AvirtError):
    """This connection can't do that: the driver, the server's age or the inner hypervisor."""


class ResourceError(AvirtError):
    """The host is out of something: memory, disk, ports."""


class NativeError(AvirtError):
    """Any other error a hypervisor answered. `code` and `native` say which."""


class RevisionTooOld(AvirtError):
    """A token can't be resumed from.

    Attributes:
        oldest, head: the range of seq that can still be given.
        reason: "pruned", "epoch" (another store) or "ahead".
    """

    def __init__(self, *, oldest: int, head: int, reason: str) -> None:
        super().__init__(
            f"the changes after this token are no longer here ({reason}; kept: {oldest} to {head})",
            hint='subscribe again with too_old="snapshot"',
        )
        self.oldest = oldest
        self.head = head
        self.reason = reason


class SlowSubscriber(AvirtError):
    """The subscription fell behind the ring and asked to be disconnected then.

    Attributes:
        lost: how many changes it did not see.
    """

    def __init__(self, *, lost: int) -> None:
        super().__init__(f"the subscription fell behind: {lost} changes were not read in time")
        self.lost = lost


class ProtocolError(AvirtError):
    """A protocol's rules were broken."""


class LocalProtocolError(ProtocolError):
    """By us, or by our caller: nothing was sent, the connection is as before."""


class RemoteProtocolError(ProtocolError):
    """By the peer: the connection is closed."""


class InternalError(AvirtError):
    """A bug of ours. Please report it."""
