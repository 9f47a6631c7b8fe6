"""A BMv2 switch in a network namespace of its own, with a raw socket at the far end of each port."""

from __future__ import annotations

import asyncio
import ctypes
import os
import select
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from controller.core.entries import Change, Entry, Operation
from controller.drivers import pipeline
from controller.drivers.p4runtime import P4RuntimeDevice

PORTS = (1, 2, 3, 4)
CPU_PORT = 510
DEVICE_ID = 1
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


class SwitchBench:
    """`start` and `stop` in pairs. Ports are numbered as in `PORTS`."""

    def __init__(self, directory: Path) -> None:
        self.address = f"unix:{directory}/p4rt.sock"
        self.namespace = f"pb-{os.getpid()}"
        self.sockets: dict[int, socket.socket] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, switch: str) -> None:
        _run("ip", "netns", "add", self.namespace)
        inside = ("ip", "netns", "exec", self.namespace)
        _run(*inside, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        for port in PORTS:
            _run(*inside, "ip", "link", "add", f"s{port}", "type", "veth", "peer", "name", f"t{port}")
            for interface in (f"s{port}", f"t{port}"):
                _run(*inside, "ip", "link", "set", interface, "mtu", "9000", "up")
        self.sockets = _sockets(self.namespace)
        interfaces = [word for port in PORTS for word in ("-i", f"{port}@s{port}")]
        arguments = ["--no-p4", "--device-id", str(DEVICE_ID), *interfaces, "--log-level", "off"]
        target = ["--grpc-server-addr", self.address, "--cpu-port", str(CPU_PORT)]
        # In a namespace of its own, so the management port can stay at its default.
        self._process = subprocess.Popen(
            [*inside, switch, *arguments, "--", *target], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        for sock in self.sockets.values():
            sock.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False)

    def device(self, listener: SilentListener, epoch: int) -> P4RuntimeDevice:
        return P4RuntimeDevice("bmv2", self.address, DEVICE_ID, epoch, listener, pipeline=pipeline.load())

    async def write(self, entries: Sequence[Entry], epoch: int = 1) -> None:
        """Insert entries and leave; the switch keeps them."""
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
        """The next frames out of any port, at most `count`, in order per port."""
        found: list[tuple[int, bytes]] = []
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for port, sock in self.sockets.items():
                selector.register(sock, selectors.EVENT_READ, port)
            while len(found) < count and (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    frame, source = self.sockets[key.data].recvfrom(65_535)
                    if source[2] != _PACKET_OUTGOING:
                        found.append((key.data, frame))
        return found

    def drain(self) -> None:
        for sock in self.sockets.values():
            while select.select([sock], [], [], 0)[0]:
                sock.recv(65_535)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _sockets(namespace: str) -> dict[int, socket.socket]:
    """Raw sockets live in the namespace they were opened in: a thread goes there, opens them and ends."""
    sockets: dict[int, socket.socket] = {}

    def open_all() -> None:
        with open(f"/run/netns/{namespace}") as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        for port in PORTS:
            sockets[port] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            sockets[port].bind((f"t{port}", 0))

    thread = threading.Thread(target=open_all)
    thread.start()
    thread.join()
    return sockets
