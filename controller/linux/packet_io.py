"""Packet-in and packet-out: LLDP from every port, STAMP for the node from network ports, and what the controller emits.

Packet sockets hear their interfaces before any other processing, so LLDP is punted whatever its destination MAC, and
STAMP although the kernel then drops it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection
from functools import partial

from controller.linux import stamp
from controller.linux.interfaces import Ports
from controller.linux.port_socket import PortSocket
from controller.linux.rejected import Rejected, invalid, unmet

ETHERTYPE_LLDP, ETHERTYPE_IPV6 = 0x88CC, 0x86DD
_LLDP_GROUPS = (bytes.fromhex("0180c200000e"), bytes.fromhex("0180c2000003"), bytes.fromhex("0180c2000000"))
_MINIMUM_FRAME_BYTES = 14
_LOOK_FOR_INTERFACES_S = 1.0


class PacketIo:
    """`receive(port, frame)` is called in the event loop's thread, of each port as often as its sockets allow."""

    def __init__(self, ports: Ports, receive: Callable[[int, bytes], None]) -> None:
        self._ports = ports
        self._out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._lldp: list[PortSocket] = []
        self._stamp: dict[int, PortSocket] = {}
        for name in ports.names:
            number = ports.number(name)
            assert number is not None
            heard = partial(receive, number)
            self._lldp.append(PortSocket(name, ETHERTYPE_LLDP, heard, _LLDP_GROUPS))
            self._stamp[number] = PortSocket(name, ETHERTYPE_IPV6, heard)
        self.hear_stamp((), ())
        self._again: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        for one in self._sockets():
            one.start(loop)
        self._again = loop.call_later(_LOOK_FOR_INTERFACES_S, self._look_for_interfaces, loop)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._again is not None:
            self._again.cancel()
        for one in self._sockets():
            one.close(loop)
        self._out.close()

    def hear_stamp(self, addresses: Collection[int], ports: Collection[int]) -> None:
        """From now on STAMP to these addresses from these ports is punted; may be called in any thread."""
        for number, one in self._stamp.items():
            stamp.attach(one.packets, addresses if number in ports else ())

    def send(self, port: int, frame: bytes) -> None:
        """Raises `Rejected` for an unknown or missing port, or what is no frame."""
        name = self._ports.name(port)
        if len(frame) < _MINIMUM_FRAME_BYTES:
            raise invalid(f"{len(frame)} bytes are no Ethernet frame")
        try:
            self._out.sendto(frame, (name, int.from_bytes(frame[12:14], "big")))
        except OSError as error:
            raise _unsent(port, error) from error

    def _sockets(self) -> list[PortSocket]:
        return [*self._lldp, *self._stamp.values()]

    def _look_for_interfaces(self, loop: asyncio.AbstractEventLoop) -> None:
        for one in self._sockets():
            one.require_bound()
        self._again = loop.call_later(_LOOK_FOR_INTERFACES_S, self._look_for_interfaces, loop)


def _unsent(port: int, error: OSError) -> Rejected:
    return unmet(f"port {port}: {error.strerror}")
