"""The continuity frame of a protected slice: proof that its sender lives, and what the sender sees. Own format."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum


class Path(IntEnum):
    """The two slices of a protection group."""

    WORKING = 0
    PROTECTION = 1


class Health(IntEnum):
    """Of one path, as frames arrive on it."""

    UNKNOWN = 0
    """Nothing heard yet, or nothing on either path: the far end may merely be silent."""
    WHOLE = 1
    FAILED = 2


class Request(IntEnum):
    """What an end asks for of both; the larger one of the two holds (ITU-T G.873.1 orders requests so)."""

    NONE = 0
    WAIT_TO_RESTORE = 1
    SIGNAL_FAIL = 2


class BadFrame(Exception):
    """Not a frame of this format."""


@dataclass(frozen=True, slots=True)
class Report:
    """One frame. Both paths carry the same report at the same time, but for `path`."""

    working: int
    """Working slice of the group."""
    path: Path
    session: int
    """32 bits, drawn when the sender started watching: a restarted sender counts anew."""
    sequence: int
    """64 bits, one more with every tick of the sender."""
    working_health: Health = Health.UNKNOWN
    protection_health: Health = Health.UNKNOWN
    request: Request = Request.NONE
    on_protection: bool = False


PADDED_BYTES = 46
"""Shortest payload of an Ethernet frame."""
_FORMAT = struct.Struct("!IIQBB")
"""Working slice, session, sequence, path, and the state: 0 | on protection | request 2 | protection 2 | working 2."""


def encode(report: Report) -> bytes:
    state = report.working_health | report.protection_health << 2 | report.request << 4 | report.on_protection << 6
    return _FORMAT.pack(report.working, report.session, report.sequence, report.path, state)


def decode(data: bytes) -> Report:
    """Raises `BadFrame` for anything that `encode` does not write; zeros that pad a short frame may follow."""
    try:
        working, session, sequence, path, state = _FORMAT.unpack_from(data)
        if state >> 7 or len(data) > PADDED_BYTES or any(data[_FORMAT.size :]):
            raise BadFrame(f"{len(data)} octets, state {state:#x}")
        return Report(
            working,
            Path(path),
            session,
            sequence,
            Health(state & 3),
            Health(state >> 2 & 3),
            Request(state >> 4 & 3),
            bool(state >> 6),
        )
    except (struct.error, ValueError) as error:
        raise BadFrame(str(error)) from None
