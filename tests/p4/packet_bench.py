"""A packet target in a network namespace of its own, with a raw socket at the far end of each port."""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from scapy.layers.inet import ICMP
from scapy.layers.inet6 import IPv6, _ICMPv6Error
from scapy.layers.l2 import Ether

from controller.core.entries import Change, Entry, Operation
from controller.drivers import pipeline
from controller.drivers.p4runtime import P4RuntimeDevice

CPU_PORT = 510
DEVICE_ID = 1
ROOT = Path(__file__).resolve().parents[2]
_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3
_PACKET_OUTGOING = 4


class SilentListener:
    """Hears nothing but frames."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []

    def device_connected(self, device: str) -> None: ...

    def device_disconnected(self, device: str) -> None: ...

    def port_changed(self, device: str, port: int, up: bool) -> None: ...

    def frame_received(self, device: str, port: int, frame: bytes) -> None:
        self.frames.append((port, frame))


class PacketBench:
    """`start` and `stop` in pairs; `macs` are the router's own, by port number."""

    target = ""

    def __init__(self, directory: Path, macs: Mapping[int, str]) -> None:
        self.address = f"unix:{directory}/p4rt.sock"
        self.namespace = f"pb-{self.target}{os.getpid()}"
        self.sockets: dict[int, socket.socket] = {}
        self._macs = macs
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What runs the target on interfaces `eth1`, `eth2` …"""
        raise NotImplementedError

    def own(self, frame: bytes) -> bool:
        """A frame that the target sends by itself, not one that it forwards."""
        return False

    def start(self) -> None:
        inside = ("ip", "netns", "exec", self.namespace)
        _run("ip", "netns", "add", self.namespace)
        for port, mac in self._macs.items():
            peer = ("type", "veth", "peer", "name", f"far{port}")
            _run("ip", "-n", self.namespace, "link", "add", f"eth{port}", "address", mac, *peer)
            _run(*inside, "sysctl", "-qw", f"net.ipv6.conf.far{port}.disable_ipv6=1")
            for interface in (f"eth{port}", f"far{port}"):
                _run("ip", "-n", self.namespace, "link", "set", interface, "mtu", "9000", "up")
        self.sockets = _sockets(self.namespace, self._macs)
        self._process = subprocess.Popen(
            [*inside, *self.command()], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        for sock in self.sockets.values():
            sock.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False)

    def device(self, listener: SilentListener, epoch: int) -> P4RuntimeDevice:
        return P4RuntimeDevice(self.target, self.address, DEVICE_ID, epoch, listener, pipeline=pipeline.load())

    async def write(self, entries: Sequence[Entry], epoch: int = 1) -> None:
        """Insert entries and leave; the target keeps them."""
        device = self.device(SilentListener(), epoch)
        device.start()
        try:
            async with asyncio.timeout(20):
                while not device.connected:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            rejections = await device.apply([Change(Operation.INSERT, entry) for entry in entries])
            assert not rejections, rejections
        finally:
            await device.close()

    def send(self, port: int, frame: bytes) -> None:
        self.sockets[port].send(frame)

    def receive(self, count: int, seconds: float = 10.0) -> list[tuple[int, bytes]]:
        """The next forwarded frames out of any port, at most `count`, in order per port."""
        found: list[tuple[int, bytes]] = []
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for port, sock in self.sockets.items():
                selector.register(sock, selectors.EVENT_READ, port)
            while len(found) < count and (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    frame, source = self.sockets[key.data].recvfrom(65_535)
                    if source[2] != _PACKET_OUTGOING and not self.own(frame):
                        found.append((key.data, frame))
        return found

    def receive_own(self, port: int) -> bytes:
        """The next frame out of `port` that the target made itself."""
        sock = self.sockets[port]
        while select.select([sock], [], [], 10)[0]:
            frame, source = sock.recvfrom(65_535)
            if source[2] != _PACKET_OUTGOING and self.own(frame):
                return frame
        raise AssertionError("nothing came out")

    def drain(self) -> None:
        for sock in self.sockets.values():
            while select.select([sock], [], [], 0)[0]:
                sock.recv(65_535)


class Bmv2Bench(PacketBench):
    """The compiled program itself."""

    target = "bmv2"

    def command(self) -> list[str]:
        # In a namespace of its own, so the management port can stay at its default.
        interfaces = [word for port in self._macs for word in ("-i", f"{port}@eth{port}")]
        arguments = ["--no-p4", "--device-id", str(DEVICE_ID), *interfaces, "--log-level", "off"]
        return [
            "simple_switch_grpc",
            *arguments,
            "--",
            "--grpc-server-addr",
            self.address,
            "--cpu-port",
            str(CPU_PORT),
        ]

    def own(self, frame: bytes) -> bool:
        """The namespace's kernel, which shares the interfaces, speaks IPv6 multicast."""
        return _is_multicast(Ether(frame))


class LinuxBench(PacketBench):
    """The kernel's own SRv6, under the agent that speaks the same contract."""

    target = "linux"

    def command(self) -> list[str]:
        ports = [word for port in self._macs for word in ("--port", f"{port}@eth{port}")]
        return [sys.executable, "-m", "controller.linux", "--device-id", "1", "--listen", self.address, *ports]

    def own(self, frame: bytes) -> bool:
        packet = Ether(frame)
        return _is_multicast(packet) or isinstance(packet.payload.payload, ICMP | _ICMPv6Error)


def _is_multicast(packet: Ether) -> bool:
    return isinstance(packet.payload, IPv6) and str(packet.payload.dst).startswith("ff02")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _sockets(namespace: str, ports: Mapping[int, str]) -> dict[int, socket.socket]:
    """Raw sockets live in the namespace they were opened in: a thread goes there, opens them and ends."""
    sockets: dict[int, socket.socket] = {}

    def open_all() -> None:
        with open(f"/run/netns/{namespace}") as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        for port in ports:
            sockets[port] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            sockets[port].bind((f"far{port}", 0))

    thread = threading.Thread(target=open_all)
    thread.start()
    thread.join()
    return sockets
