"""The targets of the pipeline contract: each a router in a network namespace, with a raw socket at the far end of
every port."""

from __future__ import annotations

import asyncio
import errno
import select
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import machine
import namespaces
from device_contract import Recorder
from network_namespace import raw_socket
from packet_world import gateway
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from waiting import until, wait_until

from controller.core.entries import Change, Entry, MeterEntry, Operation, Rejection
from controller.drivers import pipeline
from controller.drivers.p4runtime import P4RuntimeDevice
from topologies import bmv2

DEVICE_ID = 1
DEVICE = "domains/metro/nodes/r1"
PIPELINE = pipeline.load()
ROOT = Path(__file__).resolve().parents[2]
_PACKET_OUTGOING = 4
_T = TypeVar("_T")

Frames = list[tuple[int, bytes]]
"""Port and frame."""


class Target:
    """`lay_cables`, `start` … `stop`, `cut_cables`; `macs` are the router's own, by port number."""

    name = ""
    tools: tuple[str, ...] = ()

    def __init__(self, directory: Path, macs: Mapping[int, str]) -> None:
        self.socket_path = directory / "p4rt.sock"
        self.address = f"unix:{self.socket_path}"
        self.namespace = namespaces.own(self.name)
        self.sockets: dict[int, socket.socket] = {}
        self.macs = macs
        self._process: subprocess.Popen[bytes] | None = None
        self.epoch = 0

    def command(self) -> list[str]:
        """What runs the target on interfaces `eth1`, `eth2` …"""
        raise NotImplementedError

    def own(self, frame: bytes) -> bool:
        """A frame of the router's kernel that has nothing to do with what is tested."""
        packet = Ether(frame)
        if isinstance(packet.payload, IPv6):
            return str(packet.payload.dst).startswith("ff02")
        return isinstance(packet.payload, ARP) and packet.src in self.macs.values() and packet[ARP].op == 1

    # ---- life

    def lay_cables(self) -> None:
        run("ip", "netns", "add", self.namespace)
        for port, mac in self.macs.items():
            peer = ("type", "veth", "peer", "name", f"far{port}")
            self.ip("link", "add", f"eth{port}", "address", mac, *peer)
            self._prepare_port(port)
            for interface in (f"far{port}", f"eth{port}"):
                self.ip("link", "set", interface, "mtu", "9000", "up")
            self.sockets[port] = raw_socket(self.namespace, f"far{port}")

    def _prepare_port(self, port: int) -> None:
        self.inside("sysctl", "-qw", f"net.ipv6.conf.far{port}.disable_ipv6=1")

    def cut_cables(self) -> None:
        for sock in self.sockets.values():
            sock.close()
        namespaces.delete(self.namespace)

    def start(self) -> None:
        self.launch()
        wait_until(self.socket_path.exists, f"{self.name} listens", seconds=20)

    def launch(self) -> None:
        """It ends with the thread that calls this, however that ends: not for a thread of a pool."""
        command = ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.namespace, *self.command()]
        self.socket_path.unlink(missing_ok=True)
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def come_back_empty(self) -> None:
        """After `stop`: the router is about to come back as from the factory."""
        self.launch()

    def ip(self, *words: str) -> str:
        return run("ip", "-n", self.namespace, *words)

    def inside(self, *command: str) -> str:
        return run("ip", "netns", "exec", self.namespace, *command)

    def set_far_end(self, port: int, *, up: bool) -> None:
        """The cable of a port, pulled or put back at the other end."""
        self.ip("link", "set", f"far{port}", "up" if up else "down")

    def carrier(self, port: int) -> bool:
        """Whether the router sees somebody at the other end."""
        return "LOWER_UP" in self.ip("link", "show", f"eth{port}")

    # ---- the controller's side

    def device(self, listener: Recorder, epoch: int, heartbeat_s: float = 5.0, address: str = "") -> P4RuntimeDevice:
        where = address or self.address
        return P4RuntimeDevice(DEVICE, where, DEVICE_ID, epoch, listener, pipeline=PIPELINE, heartbeat_s=heartbeat_s)

    def next_epoch(self) -> int:
        self.epoch += 1
        return self.epoch

    @property
    def election_id(self) -> int:
        """Of the first session of the latest controller: its epoch is the high half."""
        return self.epoch << 64

    def next_election_id(self) -> int:
        self.next_epoch()
        return self.election_id

    @asynccontextmanager
    async def controlled(self, listener: Recorder | None = None) -> AsyncIterator[P4RuntimeDevice]:
        """The target with a controller that is primary; the target keeps what that one wrote."""
        device = self.device(listener or Recorder(), self.next_epoch())
        device.start()
        try:
            await until(lambda: device.connected, "the connection")
            yield device
        finally:
            await device.close()

    def ask(self, work: Callable[[P4RuntimeDevice], Awaitable[_T]]) -> _T:
        """One piece of work of a controller that comes and goes."""

        async def with_device() -> _T:
            async with self.controlled() as device:
                return await work(device)

        return asyncio.run(with_device())

    def apply(self, operation: Operation, entries: Sequence[Entry]) -> Sequence[Rejection]:
        return self.ask(lambda device: device.apply([Change(operation, entry) for entry in entries]))

    def insert(self, entries: Sequence[Entry]) -> None:
        _none(self.apply(Operation.INSERT, entries))

    def delete(self, entries: Sequence[Entry]) -> None:
        """In the reverse order."""
        _none(self.apply(Operation.DELETE, entries[::-1]))

    async def clear(self, device: P4RuntimeDevice) -> None:
        """Delete all entries; an entry that others need goes in the next round."""
        while standing := await device.read():
            rejections = await device.apply([Change(Operation.DELETE, entry) for entry in standing.values()])
            assert len(rejections) < len(standing), rejections

    @contextmanager
    def holding(self, *entries: Entry) -> Iterator[None]:
        """With these entries besides, as long as the context lasts."""
        self.insert(entries)
        try:
            yield
        finally:
            rejections = self.apply(Operation.DELETE, entries[::-1])
            assert not rejections, [(item.change.entry, item.code, item.message) for item in rejections[:3]]

    def become_gateway(self, port: int, ipv4: str, ipv6: str) -> None:
        """Be this to the hosts on a customer port."""
        raise NotImplementedError

    def limit_own_messages(self, port: int) -> None:
        """Send a customer few ICMP errors."""
        raise NotImplementedError

    # ---- packets

    def send(self, port: int, frame: bytes) -> None:
        self.sockets[port].send(frame)

    def receive(self, count: int, seconds: float = 10.0, own: bool = False) -> Frames:
        """The next frames out of any port, about `count`, in order per port; with the kernel's own ones if wished."""
        found: Frames = []
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for port, sock in self.sockets.items():
                selector.register(sock, selectors.EVENT_READ, port)
            while len(found) < count and (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    frame = _arrived(self.sockets[key.data])
                    if frame and (own or not self.own(frame)):
                        found.append((key.data, frame))
        return found

    def drain(self) -> None:
        for sock in self.sockets.values():
            while select.select([sock], [], [], 0)[0]:
                _arrived(sock)


class Bmv2(Target):
    """The compiled program itself."""

    name = "bmv2"
    tools = (bmv2.PROGRAM,)

    def command(self) -> list[str]:
        return bmv2.command([bmv2.PROGRAM], DEVICE_ID, self.macs, self.socket_path)

    def become_gateway(self, port: int, ipv4: str, ipv6: str) -> None:
        self.insert([gateway(port, ipv4, ipv6)])

    def limit_own_messages(self, port: int) -> None:
        self.insert([MeterEntry("icmp_limit", port, 1, 5)])

    def _prepare_port(self, port: int) -> None:
        """The kernel, which shares the interfaces with the switch, has to be silent."""
        super()._prepare_port(port)
        self.inside("sysctl", "-qw", f"net.ipv6.conf.eth{port}.disable_ipv6=1")


class Linux(Target):
    """The kernel's own SRv6, under the agent that speaks the same contract."""

    name = "linux"
    tools = ("nft", "tc", "ethtool")

    def command(self) -> list[str]:
        ports = [word for port in self.macs for word in ("--port", f"{port}@eth{port}")]
        agent = [sys.executable, "-m", "controller.linux"]
        return [*agent, "--device-id", str(DEVICE_ID), "--listen", self.address, *ports]

    def _prepare_port(self, port: int) -> None:
        super()._prepare_port(port)
        # Its errors are limited in rate by destination; here one host provokes them all.
        self.inside("sysctl", "-qw", "net.ipv6.icmp.ratelimit=0", "net.ipv4.icmp_ratelimit=0")

    def become_gateway(self, port: int, ipv4: str, ipv6: str) -> None:
        """As its operator would: the interface's own addresses."""
        self.ip("address", "add", f"{ipv4}/32", "dev", f"eth{port}")
        self.ip("-6", "address", "add", f"{ipv6}/128", "dev", f"eth{port}", "nodad")

    def limit_own_messages(self, port: int) -> None:
        self.inside("sysctl", "-qw", "net.ipv6.icmp.ratelimit=200")

    def come_back_empty(self) -> None:
        """The kernel keeps everything, so it is another kernel that comes back."""
        self.cut_cables()
        self.lay_cables()
        self.launch()


TARGETS: tuple[type[Target], ...] = (Linux, Bmv2)
_K = TypeVar("_K", bound=Target)


def _none(rejections: Sequence[Rejection]) -> None:
    assert not rejections, [(item.change.entry, item.code, item.message) for item in rejections[:3]]


def _arrived(sock: socket.socket) -> bytes:
    """The frame that waits; nothing where it is our own, or the news that the interface went down."""
    try:
        frame, source = sock.recvfrom(65_535)
    except OSError as error:
        if error.errno != errno.ENETDOWN:
            raise
        return b""
    return b"" if source[2] == _PACKET_OUTGOING else frame


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def require(kind: type[Target]) -> None:
    """What this machine needs to run the target."""
    machine.require("ip", "setpriv", *kind.tools)


@contextmanager
def running(kind: type[_K], directory: Path, macs: Mapping[int, str]) -> Iterator[_K]:
    """A target that runs, without a pipeline; no run that was killed has left it anything."""
    require(kind)
    namespaces.sweep()
    target = kind(directory, macs)
    try:
        target.lay_cables()
        target.start()
        yield target
    finally:
        target.stop()
        target.cut_cables()
