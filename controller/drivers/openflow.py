"""OpenFlow 1.3 towards the OTN nodes: an os-ken application inside the asyncio process.

The loop accepts streams; os-ken's two threads per switch parse and send; what they hear meets the loop by
`call_soon_threadsafe` in `OpticalApp`, and nowhere else.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from controller.core.errors import Invalid
from controller.drivers.device import DeviceListener
from controller.drivers.line_card import LineCard
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
from controller.drivers.otn_node import OtnNode

LINE_CARD_DEADLINE_S = 2.0
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


class OpenFlowController:
    """All OTN nodes. One per process: os-ken's application registry is global.

    `listen` is `unix:/path` or `tcp:host:port`. `nodes` maps a datapath id to (device name, line card's address).
    `epoch` is the OpenFlow generation id: a switch that has seen a higher one refuses us.
    """

    def __init__(
        self,
        listen: str,
        listener: DeviceListener,
        nodes: Mapping[int, tuple[str, str]],
        epoch: int,
        timing: Timing = Timing(),  # noqa: B008  frozen
    ) -> None:
        self._listen = listen
        self._listener = listener
        self._plan = dict(nodes)
        self._epoch = epoch
        self._timing = timing
        self._nodes: dict[int, OtnNode] = {}
        self._apps = AppManager()
        self._server: socket.socket | None = None
        self._acceptor: asyncio.Task[None] | None = None
        self._streams: set[NativeDatapath] = set()
        self._threads: list[Thread] = []

    @property
    def nodes(self) -> Mapping[str, OtnNode]:
        """By device name; empty before `start()`."""
        return {node.name: node for node in self._nodes.values()}

    async def start(self) -> None:
        """Raises `Invalid` for a malformed `listen`, OSError where it cannot be bound."""
        self._server = listening_socket(self._listen)
        for datapath_id, (name, address) in self._plan.items():
            line_card = LineCard(name, address, self._epoch, LINE_CARD_DEADLINE_S)
            self._nodes[datapath_id] = OtnNode(name, line_card, self._listener, self._epoch, self._timing)
        self._apps.instantiate(NativeHandshake)
        self._apps.instantiate(OpticalApp, asyncio.get_running_loop(), self._state_changed, self._received)
        self._acceptor = asyncio.create_task(self._accept(self._server))

    async def close(self) -> None:
        """Hang up on all switches; what they hold stays. A second call does nothing."""
        acceptor, server = self._acceptor, self._server
        self._acceptor = self._server = None
        if acceptor is None or server is None:
            return
        acceptor.cancel()
        await asyncio.gather(acceptor, return_exceptions=True)
        stop_listening(server)
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        for datapath in self._streams:
            datapath.hang_up()
        for thread in self._threads:
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
        node = self._nodes.get(datapath.id)
        if not up:
            self._streams.discard(datapath)
            if node is not None:
                node.detach(datapath)
        elif node is None:
            log.error("datapath id %s is not in the inventory: hanging up", datapath.id)
            datapath.hang_up()
        else:
            node.attach(datapath)

    def _received(self, datapath: NativeDatapath, message: Message) -> None:
        node = self._nodes.get(datapath.id)
        if node is not None:
            node.received(datapath, message)


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
