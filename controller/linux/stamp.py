"""Which frames are STAMP for the node itself, as a classic BPF program of a packet socket (linux/filter.h).

The kernel judges every IPv6 frame by it, so that what is only forwarded never wakes the agent.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable, Iterator

UDP_PORT = 862
"""Of a STAMP reflector (RFC 8762 clause 4.1)."""

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_EQUAL, _RETURN = 0x15, 0x06
_PACKET_TYPE, _PACKET_HOST = 0xFFFFF004, 0
_NEXT_HEADER, _DESTINATION, _DESTINATION_PORT = 20, 38, 56
"""Offsets in a frame with an IPv6 header of 40 bytes."""
_UDP = 17
_WHOLE = 0x40000
_SO_ATTACH_FILTER = 26
_INSTRUCTION = struct.Struct("=HBBI")


def program(addresses: Iterable[int]) -> bytes:
    """Instructions that take whole frames addressed to this machine and to one of the addresses, UDP port 862."""
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in _instructions(sorted(addresses)))


def attach(packets: socket.socket, addresses: Iterable[int]) -> None:
    """In place of the program that the socket had."""
    code = program(addresses)
    buffer = ctypes.create_string_buffer(code, len(code))
    packets.setsockopt(
        socket.SOL_SOCKET,
        _SO_ATTACH_FILTER,
        struct.pack("@HP", len(code) // _INSTRUCTION.size, ctypes.addressof(buffer)),
    )


def _instructions(addresses: list[int]) -> Iterator[tuple[int, int, int, int]]:
    """Code, jump if true, jump if false, operand."""
    for load, offset, wanted in (
        (_LOAD_WORD, _PACKET_TYPE, _PACKET_HOST),
        (_LOAD_BYTE, _NEXT_HEADER, _UDP),
        (_LOAD_HALF, _DESTINATION_PORT, UDP_PORT),
    ):
        yield load, 0, 0, offset
        yield _EQUAL, 1, 0, wanted
        yield _RETURN, 0, 0, 0
    for address in addresses:
        for word, value in enumerate(struct.unpack("!4I", address.to_bytes(16, "big"))):
            yield _LOAD_WORD, 0, 0, _DESTINATION + 4 * word
            # Past the rest of this address: two for each word to come, and its return.
            yield _EQUAL, 0, 2 * (3 - word) + 1, value
        yield _RETURN, 0, 0, _WHOLE
    yield _RETURN, 0, 0, 0
