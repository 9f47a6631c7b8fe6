"""os-ken 4.2.2 on native threads, repaired: the one place that imports it.

os-ken's threads receive and send, one pair per switch; everything else runs in the event loop. What its
native hub gets wrong is left out or overridden here, by subclass, not by patching. `test_osken_native.py` shows each
fault in the unpatched code; when one of those tests fails, the repair can go.

    1 `Datapath()` fails on a Unix socket: it sets TCP_NODELAY on any socket.
    2 `Datapath.serve()` hides a switch that left, until something is sent to it: it joins a sender that waits.
    3 `Datapath.send()` blocks its caller, here the event loop, once 16 messages wait.
    4 `Datapath.close()` leaves the receiver running until the peer closes.
    5 Threads are not daemons and the accept loop cannot be stopped: the process never ends.
    6 An application's event thread ends, unlogged, at the first error of a handler: `TaskExit` is `Exception`.

`hub.Event.wait(timeout)` never times out and `Datapath.set_xid` is not atomic either: nothing here uses the one,
and after the handshake only the event loop's thread draws numbers by the other.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

os.environ["OSKEN_HUB_TYPE"] = "native"  # os_ken.lib.hub reads it when it is imported

from os_ken.base.app_manager import AppManager, OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.controller import Datapath
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_handler import OFPHandler
from os_ken.exception import OSKenException
from os_ken.ofproto import ofproto_v1_3 as ofproto
from os_ken.ofproto import ofproto_v1_3_parser as parser

__all__ = [
    "DEAD_DISPATCHER",
    "MAIN_DISPATCHER",
    "AppManager",
    "NativeApp",
    "NativeDatapath",
    "NativeHandshake",
    "OSKenApp",
    "ofp_event",
    "ofproto",
    "parser",
    "set_ev_cls",
    "spawn",
]

SEND_TIMEOUT_S = 5.0
"""A switch that takes nothing off its socket for so long is hung up on."""

log = logging.getLogger("controller.drivers.openflow")


def spawn(target: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread


class StreamSocket(socket.socket):
    """A stream socket that takes TCP options also where there is no TCP (fault 1)."""

    @classmethod
    def adopt(cls, sock: socket.socket) -> StreamSocket:
        return cls(sock.family, sock.type, sock.proto, fileno=sock.detach())

    def setsockopt(self, level: int, *option: Any) -> None:
        if self.family != socket.AF_UNIX or level != socket.IPPROTO_TCP:
            super().setsockopt(level, *option)


class NativeDatapath(Datapath):  # type: ignore[misc]
    """A switch's stream: `serve()` receives in the calling thread until either side hangs up."""

    def __init__(self, sock: socket.socket, address: Any) -> None:
        super().__init__(StreamSocket.adopt(sock), address)
        self.socket.settimeout(SEND_TIMEOUT_S)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def send(self, buf: bytes, close_socket: bool = False) -> bool:
        """Never blocks (fault 3): what waits is bounded by the deadlines of those who wait for answers."""
        if self.state == DEAD_DISPATCHER:
            return False
        self._outbox.put(bytes(buf))
        if close_socket:
            self._outbox.put(None)
        return True

    def serve(self) -> None:
        sender = spawn(self._send_loop)
        self.send_msg(self.ofproto_parser.OFPHello(self))
        try:
            self._recv_loop()
        except OSKenException as error:
            log.warning("unintelligible OpenFlow from %s: %s", self.address or "a Unix socket", error)
        finally:
            self.set_state(DEAD_DISPATCHER)  # applications hear of it now (fault 2)
            self._outbox.put(None)
            sender.join(SEND_TIMEOUT_S)
            self.is_active = False

    def hang_up(self) -> None:
        """End the stream in both directions (fault 4); callable from any thread, any number of times."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            log.debug("already hung up: %s", error)

    def _send_loop(self) -> None:
        try:
            while (data := self._outbox.get()) is not None:
                self.socket.sendall(data)
        except OSError as error:
            log.debug("sending to datapath %s ended: %s", self.id, error)
        self.hang_up()


class NativeHandshake(OFPHandler):  # type: ignore[misc]
    """Hello, features, ports and echo, in the receiver's thread. Opens no listening socket of its own."""

    def start(self) -> None:
        """Its handlers are called by `Datapath`; it needs neither an event thread nor os-ken's server (fault 5)."""


class NativeApp(OSKenApp):  # type: ignore[misc]
    """An application without a thread of its own (faults 5 and 6): handlers run in the thread that saw the event."""

    def start(self) -> None:
        """There is nothing to start."""

    def _send_event(self, event: Any, state: str | None) -> None:
        for handler in self.get_handlers(event, state):
            handler(event)
