"""The line ports: one packet socket on each fibre's interface, beside the switch.

A frame that cannot be sent is a frame lost on the line: whoever sent it repeats it, or counts the line as failed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping

from controller.linecard.frames import ETHERTYPE, HEADER_BYTES

log = logging.getLogger(__name__)

RETRY_S = 0.1
"""Between two looks for an interface that is not there."""
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
"""packet(7), since Linux 4.20: what this host sends on the interface, the switch too, is not heard."""
LARGEST_FRAME_BYTES = 9600

Receive = Callable[[int, bytes], None]
"""Line port and frame."""


class LinePorts:
    """`receive` is called in the event loop's thread. Ports by OpenFlow number."""

    def __init__(self, interfaces: Mapping[int, str], receive: Receive) -> None:
        self._interfaces = dict(interfaces)
        self._receive = receive
        self._sockets: dict[int, tuple[socket.socket, int]] = {}
        """With the interface's index: one that was made anew is another."""
        self._watcher: asyncio.TimerHandle | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(sorted(self._interfaces))

    def start(self) -> None:
        """To be called in the event loop."""
        self._look()

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        for port in list(self._sockets):
            self._close(port)

    def send(self, port: int, frame: bytes) -> None:
        """Lost where the port does not exist or is down."""
        held = self._sockets.get(port)
        if held is None:
            return
        try:
            held[0].send(frame)
        except OSError as error:
            log.debug("line port %d: %s", port, error)

    def drain(self) -> None:
        """Receive all that waits in any of the sockets, now."""
        for port in list(self._sockets):
            self._readable(port)

    def _look(self) -> None:
        """Interfaces come and go with their fibre and with the switch's namespace."""
        for port, name in self._interfaces.items():
            index = _index(name)
            held = self._sockets.get(port)
            if held is not None and held[1] != index:
                self._close(port)
            if index is not None and port not in self._sockets:
                self._open(port, name, index)
        self._watcher = asyncio.get_running_loop().call_later(RETRY_S, self._look)

    def _open(self, port: int, name: str, index: int) -> None:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        try:
            opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            opened.bind((name, ETHERTYPE))
        except OSError as error:
            log.debug("line port %d: %s", port, error)
            opened.close()
            return
        self._sockets[port] = opened, index
        asyncio.get_running_loop().add_reader(opened.fileno(), self._readable, port)

    def _close(self, port: int) -> None:
        held, _ = self._sockets.pop(port)
        asyncio.get_running_loop().remove_reader(held.fileno())
        held.close()

    def _readable(self, port: int) -> None:
        held = self._sockets.get(port)
        while held is not None:
            try:
                frame, (_, _, kind, *_) = held[0].recvfrom(LARGEST_FRAME_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                # ENETDOWN is told once when the interface goes down; the socket goes on when it is up again.
                log.debug("line port %d: %s", port, error)
                return
            if kind != socket.PACKET_OUTGOING and len(frame) >= HEADER_BYTES:
                self._receive(port, frame)


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None
