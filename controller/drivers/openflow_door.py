"""Where OTN nodes call: an os-ken application inside the asyncio process accepts them, whoever leads.

The loop accepts streams; os-ken's two threads per switch parse and send; what they hear meets the loop by
`call_soon_threadsafe` in `OpticalApp`, and nowhere else.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from controller.core.errors import Invalid
from controller.drivers.openflow_stream import Message, Timing
from controller.drivers.osken_native import (
    DEAD_DISPATCHER,
    MAIN_DISPATCHER,
    AppManager,
    NativeApp,
    NativeDatapath,
    NativeHandshake,
    ofp_event,
    ofproto,
    set_ev_cls,
    spawn,
)

BACKLOG = 128
GOODBYE_S = 2.0

log = logging.getLogger(__name__)

REPLIES = [
    ofp_event.EventOFPBarrierReply,
    ofp_event.EventOFPEchoReply,
    ofp_event.EventOFPErrorMsg,
    ofp_event.EventOFPFlowStatsReply,
    ofp_event.EventOFPMeterConfigStatsReply,
    ofp_event.EventOFPPacketIn,
    ofp_event.EventOFPPortDescStatsReply,
    ofp_event.EventOFPPortStatus,
    ofp_event.EventOFPRoleReply,
]


class OpticalApp(NativeApp):
    """Carries events from os-ken's threads into the loop. `state` and `message` are called in the loop."""

    OFP_VERSIONS = (ofproto.OFP_VERSION,)

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        state: Callable[[NativeDatapath, bool], None],
        message: Callable[[NativeDatapath, Message], None],
    ) -> None:
        super().__init__()
        self._loop = loop
        self._state = state
        self._message = message

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore[untyped-decorator]
    def state_changed(self, event: Any) -> None:
        self._into_loop(self._state, event.datapath, event.state == MAIN_DISPATCHER)

    @set_ev_cls(REPLIES, MAIN_DISPATCHER)  # type: ignore[untyped-decorator]
    def message_received(self, event: Any) -> None:
        self._into_loop(self._message, event.msg.datapath, event.msg)

    def _into_loop(self, call: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            log.debug("the event loop has ended before the stream")


class SwitchKeeper(Protocol):
    """Takes the switches over that have come, and those that come. Called in the event loop's thread."""

    def switch_came(self, datapath: NativeDatapath) -> None: ...

    def switch_left(self, datapath: NativeDatapath) -> None: ...

    def received(self, datapath: NativeDatapath, message: Message) -> None: ...


class SwitchDoor:
    """`listen` is `unix:/path` or `tcp:host:port`. One per process: os-ken's application registry is global.

    A controller that stands by lets switches in as well, and wants nothing of them: when it takes over they are there.
    Open vSwitch 3.1 tries every 8 s only where it never got in, whatever `max_backoff` says.
    """

    def __init__(self, listen: str, timing: Timing = Timing()) -> None:  # noqa: B008  frozen
        self._listen = listen
        self._timing = timing
        self._apps = AppManager()
        self._server: socket.socket | None = None
        self._acceptor: asyncio.Task[None] | None = None
        self._streams: set[NativeDatapath] = set()
        self._present: dict[int, NativeDatapath] = {}
        """Switches that have introduced themselves, by datapath id."""
        self._threads: list[Thread] = []
        self._keeper: SwitchKeeper | None = None

    async def open(self) -> None:
        """Raises `Invalid` for a malformed `listen`, OSError where it cannot be bound."""
        self._server = listening_socket(self._listen)
        self._apps.instantiate(NativeHandshake)
        self._apps.instantiate(OpticalApp, asyncio.get_running_loop(), self._state_changed, self._received)
        self._acceptor = asyncio.create_task(self._accept(self._server))

    def hand_over(self, keeper: SwitchKeeper) -> None:
        """The switches that are here, and all that come, are the keeper's."""
        self._keeper = keeper
        for datapath in tuple(self._present.values()):
            keeper.switch_came(datapath)

    async def shut(self) -> None:
        """Nobody comes in any more. A second call does nothing."""
        acceptor, server = self._acceptor, self._server
        self._acceptor = self._server = None
        if acceptor is None or server is None:
            return
        acceptor.cancel()
        await asyncio.gather(acceptor, return_exceptions=True)
        stop_listening(server)

    async def close(self) -> None:
        """Hang up on all switches; what they hold stays. A second call does nothing."""
        await self.shut()
        for datapath in self._streams:
            datapath.hang_up()
        threads, self._threads = self._threads, []
        for thread in threads:
            await asyncio.to_thread(thread.join, GOODBYE_S)
        self._apps.close()

    async def _accept(self, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, address = await loop.sock_accept(server)
            datapath = NativeDatapath(sock, address)
            self._streams.add(datapath)
            self._threads = [*filter(Thread.is_alive, self._threads), spawn(datapath.serve)]
            loop.call_later(self._timing.deadline_s, self._expect_handshake, datapath)

    def _expect_handshake(self, datapath: NativeDatapath) -> None:
        """Whoever calls and does not introduce itself holds two threads and a socket."""
        if datapath in self._streams and datapath.state != MAIN_DISPATCHER:
            log.warning("no OpenFlow handshake within %s s: hanging up", self._timing.deadline_s)
            datapath.hang_up()

    def _state_changed(self, datapath: NativeDatapath, up: bool) -> None:
        if up:
            self._came(datapath)
            return
        self._streams.discard(datapath)
        if self._present.get(datapath.id) is datapath:
            del self._present[datapath.id]
        if self._keeper is not None:
            self._keeper.switch_left(datapath)

    def _came(self, datapath: NativeDatapath) -> None:
        """A switch that comes once more has lost the stream it had, whether that is known here or not."""
        older, self._present[datapath.id] = self._present.get(datapath.id), datapath
        if self._keeper is not None:
            self._keeper.switch_came(datapath)
        elif older is not None:
            older.hang_up()

    def _received(self, datapath: NativeDatapath, message: Message) -> None:
        if self._keeper is not None:
            self._keeper.received(datapath, message)


def listening_socket(listen: str) -> socket.socket:
    """A non-blocking listening socket; the file that a dead process left at a Unix path is replaced."""
    scheme, _, place = listen.partition(":")
    host, _, port = place.rpartition(":")
    if scheme == "unix" and place:
        server = unix_server(place)
    elif scheme == "tcp" and host and port.isdecimal():
        server = socket.create_server((host.strip("[]"), int(port)), family=address_family(host))
    else:
        raise Invalid.field("openflow", f"{listen!r} is neither unix:/path nor tcp:host:port")
    server.listen(BACKLOG)
    server.setblocking(False)
    return server


def unix_server(path: str) -> socket.socket:
    """Raises OSError (EADDRINUSE) where a living process listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(path) == errno.ECONNREFUSED:  # left by a process that is gone
            Path(path).unlink()
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    return server


def stop_listening(server: socket.socket) -> None:
    place = server.getsockname()
    server.close()
    if isinstance(place, str):
        Path(place).unlink(missing_ok=True)


def address_family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
