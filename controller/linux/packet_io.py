"""Packet-in and packet-out: LLDP from every port, STAMP for the node from network ports, and what the controller emits.

Packet sockets hear all interfaces before any other processing, so LLDP is punted whatever its destination MAC, and
STAMP although the kernel then drops it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Collection, Iterator

from controller.linux import stamp
from controller.linux.interfaces import Ports
from controller.linux.rejected import Rejected, invalid, unmet

ETHERTYPE_LLDP, ETHERTYPE_IPV6 = 0x88CC, 0x86DD
_SOL_PACKET, _ADD_MEMBERSHIP, _MULTICAST = 263, 1, 0
_LLDP_GROUPS = (bytes.fromhex("0180c200000e"), bytes.fromhex("0180c2000003"), bytes.fromhex("0180c2000000"))
_MINIMUM_FRAME_BYTES = 14
_LARGEST_FRAME_BYTES = 65535


class PacketIo:
    """`receive(port, frame)` is called in the event loop's thread."""

    def __init__(self, ports: Ports, receive: Callable[[int, bytes], None]) -> None:
        self._ports = ports
        self._receive = receive
        self._socket = _packet_socket(ETHERTYPE_LLDP)
        self._stamp_ports: Collection[int] = ()
        self._stamp = _packet_socket(ETHERTYPE_IPV6)
        stamp.attach(self._stamp, ())
        # What it heard before the filter was on it.
        for _ in self._frames(self._stamp):
            pass

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        for name in self._ports.names:
            self._join(name)
        loop.add_reader(self._socket.fileno(), self._lldp_readable)
        loop.add_reader(self._stamp.fileno(), self._stamp_readable)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        for one in (self._socket, self._stamp):
            loop.remove_reader(one.fileno())
            one.close()

    def hear_stamp(self, addresses: Collection[int], ports: Collection[int]) -> None:
        """From now on STAMP to these addresses from these ports is punted; may be called in any thread."""
        self._stamp_ports = frozenset(ports)
        stamp.attach(self._stamp, addresses)

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

    def _lldp_readable(self) -> None:
        for port, frame in self._frames(self._socket):
            self._receive(port, frame)

    def _stamp_readable(self) -> None:
        for port, frame in self._frames(self._stamp):
            if port in self._stamp_ports:
                self._receive(port, frame)

    def _frames(self, heard: socket.socket) -> Iterator[tuple[int, bytes]]:
        """What waits in the socket, with its port; nothing of what went out."""
        while True:
            try:
                frame, (name, _, kind, *_) = heard.recvfrom(_LARGEST_FRAME_BYTES)
            except BlockingIOError:
                return
            except OSError:
                # ENETDOWN is told once when an interface goes down; the socket goes on with the others.
                continue
            port = self._ports.number(name)
            if port is not None and kind != socket.PACKET_OUTGOING:
                yield port, frame


def _packet_socket(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(protocol))


def _unsent(port: int, error: OSError) -> Rejected:
    return unmet(f"port {port}: {error.strerror}")
