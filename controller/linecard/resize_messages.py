"""Messages of the in-band resizing protocol, and their octets (payload of an Ethernet frame on the fibre).

Named after the multiplex-overhead fields that they stand for (G.709 Annex O, as far as it is known here). A message
says at once what the overhead signals in single bits:

    REQUEST   RP=1, CTRL=ADD or REMOVE on the slots listed, TSCC=1   with the traffic's direction, link by link
    ACCEPT    TSGS=01                                                against it, nested: all links behind accepted
    REJECT    TSGS=10                                                against it: all is as it was
    BWR_IND   BWR_IND=1                                              with it, end to end
    NCS       NCS=1                                                  against it: all behind have the new size
    RELEASE   BWR_IND=0, RP=0                                        with it: this direction is through, or given up
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

MAGIC = b"fgRZ"
VERSION = 1
MAX_SLOTS = 512
MAX_SLOT_NUMBER = 2**16 - 1
MAX_TEXT = 160
"""Octets of a server's name or a detail."""
MIN_PAYLOAD = 46
"""Shorter Ethernet payloads are padded with zeros."""
_HEADER = struct.Struct("!4sBBHIBBQHHH")
_COUNT = struct.Struct("!H")
_LATEST = struct.Struct("!Q")


class MalformedMessage(Exception):
    """Octets that are no message of this protocol and version."""


class Kind(IntEnum):
    REQUEST = 1
    ACCEPT = 2
    REJECT = 3
    BWR_IND = 4
    NCS = 5
    RELEASE = 6


class Control(IntEnum):
    """CTRL of a tributary slot."""

    IDLE = 0
    ADD = 1
    REMOVE = 2


class Reason(IntEnum):
    """Why a direction was given up."""

    NONE = 0
    REJECTED = 1
    TIMEOUT = 2


@dataclass(frozen=True, slots=True)
class ResizeMessage:
    kind: Kind
    slice_id: int
    direction: int
    """Of the traffic that is resized: 0 from the commanded source on, 1 back to it."""
    attempt: int
    """64 bits, ascending at the commanded source; the higher one supersedes."""
    targets: tuple[int, int]
    """Slots asked for, by direction."""
    previous: int
    """What the source of this direction had before."""
    server: str = ""
    """REQUEST: server ODU of the segment …"""
    slots: tuple[int, ...] = ()
    """… and those of its slots that are to carry the slice, in order: both ends must have the same."""
    reason: Reason = Reason.NONE
    """REJECT, and RELEASE of what was given up."""
    detail: str = ""
    """Where and why, for the operator."""
    latest: int = 0
    """REJECT: the later attempt that is known, on whose account; 0 where it is for another reason."""

    @property
    def target(self) -> int:
        return self.targets[self.direction]

    @property
    def control(self) -> Control:
        if self.target == self.previous:
            return Control.IDLE
        return Control.ADD if self.target > self.previous else Control.REMOVE


def encode(message: ResizeMessage) -> bytes:
    """Raises `MalformedMessage` for one that `decode` would not take."""
    check(message)
    server, detail = message.server.encode(), message.detail.encode()
    tail = _text(server) + _text(detail) + struct.pack(f"!H{len(message.slots)}H", len(message.slots), *message.slots)
    tail += _LATEST.pack(message.latest) if message.latest else b""
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        message.kind,
        _HEADER.size + len(tail),
        message.slice_id,
        message.direction,
        message.reason,
        message.attempt,
        *message.targets,
        message.previous,
    )
    return header + tail


def decode(payload: bytes) -> ResizeMessage:
    """Raises `MalformedMessage`. Zeros that pad a short frame are not part of the message."""
    try:
        return _decode(payload)
    except (struct.error, ValueError, IndexError) as error:
        raise MalformedMessage(str(error)) from None


def _decode(payload: bytes) -> ResizeMessage:
    magic, version, kind, length, slice_id, direction, reason, attempt, forward, reverse, previous = (
        _HEADER.unpack_from(payload)
    )
    if magic != MAGIC or version != VERSION:
        raise MalformedMessage("another protocol or version")
    padding = payload[length:]
    if length > len(payload) or any(padding) or (padding and len(payload) > MIN_PAYLOAD):
        raise MalformedMessage(f"{len(payload)} octets, not {length}")
    server, at = _read_text(payload[:length], _HEADER.size)
    detail, at = _read_text(payload[:length], at)
    slots, at = _read_slots(payload[:length], at)
    message = ResizeMessage(
        Kind(kind),
        slice_id,
        direction,
        attempt,
        (forward, reverse),
        previous,
        server,
        slots,
        Reason(reason),
        detail,
        _read_latest(payload[:length], at),
    )
    check(message)
    return message


def check(message: ResizeMessage) -> None:
    """Raises `MalformedMessage` where the fields do not make a message."""
    bounds = [(message.slice_id, 1, 32), (message.attempt, 1, 64)]
    bounds += [(count, 0, 16) for count in (*message.targets, message.previous)]
    bounds += [(slot, 1, 16) for slot in message.slots]
    bounds += [(message.latest, 0, 64)]
    if any(not least <= value < 1 << bits for value, least, bits in bounds) or message.direction not in (0, 1):
        raise MalformedMessage("a number is out of range")
    _check_slots(message)
    failed = message.reason is not Reason.NONE
    if message.kind is not Kind.RELEASE and failed != (message.kind is Kind.REJECT):
        raise MalformedMessage(f"{message.kind.name} with reason {message.reason.name}")
    if message.latest and (message.kind is not Kind.REJECT or message.latest <= message.attempt):
        raise MalformedMessage(f"{message.kind.name} of attempt {message.attempt} for {message.latest}")
    if message.detail and not failed:
        raise MalformedMessage("a detail without a reason")
    if max(len(message.server.encode()), len(message.detail.encode())) > MAX_TEXT:
        raise MalformedMessage("a text is too long")


def _check_slots(message: ResizeMessage) -> None:
    slots = message.slots
    if message.kind is not Kind.REQUEST:
        if slots or message.server:
            raise MalformedMessage(f"{message.kind.name} with slots")
        return
    if not message.server or len(slots) > MAX_SLOTS or len(set(slots)) < len(slots):
        raise MalformedMessage("a request names a server and distinct slots of it")
    if len(slots) != message.target:
        raise MalformedMessage(f"{len(slots)} slots for {message.target}")


def _text(octets: bytes) -> bytes:
    return bytes([len(octets)]) + octets


def _read_text(payload: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + payload[at]
    if end > len(payload):
        raise MalformedMessage("a text is cut off")
    return payload[at + 1 : end].decode(), end


def _read_slots(payload: bytes, at: int) -> tuple[tuple[int, ...], int]:
    (count,) = _COUNT.unpack_from(payload, at)
    end = at + _COUNT.size + 2 * count
    if end > len(payload):
        raise MalformedMessage("slots are cut off")
    return struct.unpack_from(f"!{count}H", payload, at + _COUNT.size), end


def _read_latest(payload: bytes, at: int) -> int:
    """Left out where it would be 0."""
    if at == len(payload):
        return 0
    if at + _LATEST.size != len(payload):
        raise MalformedMessage("octets follow")
    (latest,) = _LATEST.unpack_from(payload, at)
    if not latest:
        raise MalformedMessage("a later attempt without a number")
    return int(latest)
