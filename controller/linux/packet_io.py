"""Packet-in and packet-out: LLDP frames from every port, and frames that the controller emits.

One packet socket hears all interfaces before any other processing, so a frame is punted whatever its destination MAC.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

from controller.linux.interfaces import Ports
from controller.linux.rejected import Rejected, invalid, unmet

ETHERTYPE_LLDP = 0x88CC
_SOL_PACKET, _ADD_MEMBERSHIP, _MULTICAST = 263, 1, 0
_LLDP_GROUPS = (bytes.fromhex("0180c200000e"), bytes.fromhex("0180c2000003"), bytes.fromhex("0180c2000000"))
_MINIMUM_FRAME_BYTES = 14
_LARGEST_FRAME_BYTES = 65535


class PacketIo:
    """`receive(port, frame)` is called in the event loop's thread."""

    def __init__(self, ports: Ports, receive: Callable[[int, bytes], None]) -> None:
        self._ports = ports
        self._receive = receive
        self._socket = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETHERTYPE_LLDP)
        )

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        for name in self._ports.names:
            self._join(name)
        loop.add_reader(self._socket.fileno(), self._readable)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def send(self, port: int, frame: bytes) -> None:
        """Raises `Rejected` for an unknown or missing port, or what is no frame."""
        name = self._ports.name(port)
        if len(frame) < _MINIMUM_FRAME_BYTES:
            raise invalid(f"{len(frame)} bytes are no Ethernet frame")
        try:
            self._socket.sendto(frame, (name, int.from_bytes(frame[12:14], "big")))
        except OSError as error:
            raise _unsent(port, error) from error

    def _join(self, name: str) -> None:
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            return
        for group in _LLDP_GROUPS:
            request = struct.pack("iHH8s", index, _MULTICAST, len(group), group)
            self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)

    def _readable(self) -> None:
        while True:
            try:
                frame, (name, _, kind, *_) = self._socket.recvfrom(_LARGEST_FRAME_BYTES)
            except BlockingIOError:
                return
            except OSError:
                # ENETDOWN is told once when an interface goes down; the socket goes on with the others.
                continue
            port = self._ports.number(name)
            if port is not None and kind != socket.PACKET_OUTGOING:
                self._receive(port, frame)


def _unsent(port: int, error: OSError) -> Rejected:
    return unmet(f"port {port}: {error.strerror}")
