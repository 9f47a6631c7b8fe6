"""Two families: the caller's fault, and a device's. Anything else is a defect and crashes loudly.

CorridorError
├── Refused                 the caller's fault: nothing was changed
│   ├── Invalid             a field is wrong (names the field)
│   ├── NotFound
│   ├── AlreadyExists
│   ├── Conflict            etag or generation is stale, or a concurrent change won
│   ├── FailedPrecondition  the thing is in the wrong state for it
│   ├── NotLeader           another controller leads (names its addresses)
│   ├── Infeasible          no path, latency or capacity for it (names what binds)
│   ├── OutOfRange          an event that is kept no longer, or is not there yet
│   └── Unavailable         this controller cannot serve it now
│       └── DatabaseUnavailable   its database does not answer
└── DeviceError             a device's fault
    ├── DeviceUnreachable   retried with backoff
    └── DeviceRejected      terminal until the desired entries change
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason, tied to a field of the request (`a_end.node`) or to a resource of the network."""

    field: str
    description: str


class CorridorError(Exception):
    """Root of all expected errors."""


class Refused(CorridorError):
    """The request cannot be served as asked; nothing was touched.

    `reason` is a stable UPPER_SNAKE word for programs, `message` is for people, `violations` name fields,
    `metadata` holds figures (bounds, measured values, nearest alternative).
    """

    reason = "REFUSED"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        violations: tuple[Violation, ...] = (),
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or type(self).reason
        self.violations = violations
        self.metadata = dict(metadata or {})


class Invalid(Refused):
    reason = "INVALID_ARGUMENT"

    @classmethod
    def field(cls, field: str, description: str, reason: str = "") -> Invalid:
        return cls(f"{field}: {description}", reason=reason, violations=(Violation(field, description),))


class NotFound(Refused):
    reason = "NOT_FOUND"


class AlreadyExists(Refused):
    reason = "ALREADY_EXISTS"


class Conflict(Refused):
    reason = "ABORTED"


class FailedPrecondition(Refused):
    reason = "FAILED_PRECONDITION"


class NotLeader(Refused):
    """Asking here again is of no use; `metadata` has `leaderGrpc` (`host:port`) and `leaderRest` (URL)."""

    reason = "NOT_LEADER"


class Infeasible(Refused):
    reason = "INFEASIBLE"


class OutOfRange(Refused):
    reason = "OUT_OF_RANGE"


class Unavailable(Refused):
    reason = "UNAVAILABLE"


class DatabaseUnavailable(Unavailable):
    """Transient: the same request may be served when the database is back."""

    reason = "DATABASE_UNAVAILABLE"


class DeviceError(CorridorError):
    """A device's fault, with the device's resource name."""

    def __init__(self, device: str, message: str) -> None:
        super().__init__(f"{device}: {message}")
        self.device = device
        self.message = message


class DeviceUnreachable(DeviceError):
    """No answer: retried with backoff."""


class DeviceRejected(DeviceError):
    """The device refused an entry: terminal until the desired entries change."""
