"""Which frames are STAMP, or probes, for the node itself, as a classic BPF program of a packet socket (linux/filter.h).

The kernel judges every IPv6 frame by it, so that what is only forwarded never wakes the agent.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable, Iterator

UDP_PORT = 862
"""Of a STAMP reflector (RFC 8762 clause 4.1)."""

_LOAD_WORD, _LOAD_BYTE, _LOAD_WORD_INDEXED, _LOAD_HALF_INDEXED = 0x20, 0x30, 0x40, 0x48
_ADD, _SHIFT_LEFT, _SET_INDEX, _INDEX_IS_RESULT = 0x04, 0x64, 0x01, 0x07
_EQUAL, _RETURN = 0x15, 0x06
_PACKET_TYPE, _PACKET_HOST = 0xFFFFF004, 0
_NEXT_HEADER, _DESTINATION, _DESTINATION_PORT, _PAYLOAD = 20, 38, 56, 62
"""Offsets in a frame with an IPv6 header of 40 bytes, and nothing between it and UDP."""
_SRH_NEXT_HEADER, _SRH_LENGTH, _ROUTING_TYPE, _SEGMENTS_LEFT = 54, 55, 56, 57
_UDP, _ROUTING, _SEGMENT_ROUTING = 17, 43, 4
_WHOLE = 0x40000
_SO_ATTACH_FILTER = 26
_INSTRUCTION = struct.Struct("=HBBI")


def program(addresses: Iterable[int]) -> bytes:
    """Instructions that take whole frames addressed to this machine and to one of the addresses, UDP port 862.

    Before UDP an SRH may stand whose last segment the address is (RFC 8754 clause 4.3.2).
    """
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in _instructions(sorted(addresses)))


def behind_udp(port: int, start: bytes) -> bytes:
    """Instructions that take whole frames addressed to this machine, of this UDP port, whose payload starts so.

    `start` is a multiple of 4 bytes. An SRH as above may stand before UDP.
    """
    found = [*_to_port(port)]
    for place, value in enumerate(struct.unpack(f"!{len(start) // 4}I", start)):
        found += _require(_LOAD_WORD_INDEXED, _PAYLOAD + 4 * place, value)
    return b"".join(_INSTRUCTION.pack(*each) for each in (*found, (_RETURN, 0, 0, _WHOLE)))


def attach(packets: socket.socket, addresses: Iterable[int]) -> None:
    """In place of the program that the socket had."""
    attach_program(packets, program(addresses))


def attach_program(packets: socket.socket, code: bytes) -> None:
    buffer = ctypes.create_string_buffer(code, len(code))
    packets.setsockopt(
        socket.SOL_SOCKET,
        _SO_ATTACH_FILTER,
        struct.pack("@HP", len(code) // _INSTRUCTION.size, ctypes.addressof(buffer)),
    )


_Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


def _instructions(addresses: list[int]) -> Iterator[_Instruction]:
    yield from _to_port(UDP_PORT)
    for address in addresses:
        for word, value in enumerate(struct.unpack("!4I", address.to_bytes(16, "big"))):
            yield _LOAD_WORD, 0, 0, _DESTINATION + 4 * word
            # Past the rest of this address: two for each word to come, and its return.
            yield _EQUAL, 0, 2 * (3 - word) + 1, value
        yield _RETURN, 0, 0, _WHOLE
    yield _RETURN, 0, 0, 0


def _to_port(port: int) -> Iterator[_Instruction]:
    """To this machine, and to this UDP port; the index is the length of the SRH, 0 without one."""
    yield from _require(_LOAD_WORD, _PACKET_TYPE, _PACKET_HOST)
    yield _SET_INDEX, 0, 0, 0
    yield _LOAD_BYTE, 0, 0, _NEXT_HEADER
    srh = list(_past_srh())
    yield _EQUAL, len(srh), 0, _UDP
    yield from srh
    yield from _require(_LOAD_HALF_INDEXED, _DESTINATION_PORT, port)


def _past_srh() -> Iterator[_Instruction]:
    """From the next header's number: the index becomes the length of the SRH, without which nothing is taken."""
    yield from _unless(_ROUTING)
    for offset, wanted in ((_ROUTING_TYPE, _SEGMENT_ROUTING), (_SEGMENTS_LEFT, 0), (_SRH_NEXT_HEADER, _UDP)):
        yield from _require(_LOAD_BYTE, offset, wanted)
    # In units of 8 bytes, the first one not counted (RFC 8754 clause 2).
    yield _LOAD_BYTE, 0, 0, _SRH_LENGTH
    yield _ADD, 0, 0, 1
    yield _SHIFT_LEFT, 0, 0, 3
    yield _INDEX_IS_RESULT, 0, 0, 0


def _require(load: int, offset: int, wanted: int) -> Iterator[_Instruction]:
    yield load, 0, 0, offset
    yield from _unless(wanted)


def _unless(wanted: int) -> Iterator[_Instruction]:
    """What was loaded is this, or nothing is taken."""
    yield _EQUAL, 1, 0, wanted
    yield _RETURN, 0, 0, 0
