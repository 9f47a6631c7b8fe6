"""The P4Runtime driver against the Linux target in a network namespace: the same contract, the kernel behind it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from device_contract import DeviceContract, Recorder
from network_namespace import raw_socket
from packet_entries import ENTRIES, ROUTER_MAC, modified
from waiting import until

from controller.core.entries import Entry, Exact, TableEntry
from controller.core.model import Capabilities, Liveness
from controller.drivers import pipeline
from controller.drivers.p4runtime import P4RuntimeDevice

TOOLS = ("ip", "nft", "tc", "ethtool")
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace"),
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}"),
    pytest.mark.skipif(importlib.util.find_spec("controller.linux.__main__") is None, reason="no Linux target"),
]
PIPELINE = pipeline.load()
PORTS = (1, 2, 3)
FOREIGN = "2001:db8:f0::/48"


class LinuxHarness:
    def __init__(self, directory: Path) -> None:
        self.address = f"unix:{directory}/p4rt.sock"
        self.namespace = f"pb-l{os.getpid()}"
        self.listener = Recorder()
        self.device = P4RuntimeDevice(
            "domains/metro/nodes/l1", self.address, 5, 3, self.listener, pipeline=PIPELINE, heartbeat_s=0.2
        )
        self.process: asyncio.subprocess.Process | None = None
        self.sockets: dict[int, socket.socket] = {}

    def make_namespace(self) -> None:
        run("ip", "netns", "add", self.namespace)
        for port in PORTS:
            mac = (ROUTER_MAC + port - 1).to_bytes(6, "big").hex(":")
            self.ip("link", "add", f"eth{port}", "address", mac, "type", "veth", "peer", "name", f"far{port}")
            self.ip("link", "set", f"far{port}", "mtu", "9000", "up")
            self.ip("link", "set", f"eth{port}", "mtu", "9000", "up")
            self.sockets[port] = raw_socket(self.namespace, f"far{port}")

    def drop_namespace(self) -> None:
        for sock in self.sockets.values():
            sock.close()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False)

    def ip(self, *words: str) -> str:
        return run("ip", "-n", self.namespace, *words)

    async def start(self) -> None:
        ports = [word for port in PORTS for word in ("--port", f"{port}@eth{port}")]
        agent = [sys.executable, "-m", "controller.linux", "--device-id", "5", "--listen", self.address, *ports]
        self.process = await asyncio.create_subprocess_exec(
            "ip", "netns", "exec", self.namespace, *agent, stderr=asyncio.subprocess.DEVNULL
        )

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    def entries(self) -> Sequence[Entry]:
        return ENTRIES

    def modified(self, entry: Entry) -> Entry:
        if isinstance(entry, TableEntry) and entry.action == "network":
            return entry  # a port's MAC is the interface's own, there is no other value
        if isinstance(entry, TableEntry) and entry.action == "customer":
            mac = dict(entry.params)["mac"]
            return TableEntry(entry.table, entry.match, entry.action, (("mac", mac), ("vrf", 8)))
        return modified(entry)

    def refused(self) -> Entry:
        """A next hop on a port that the router does not have."""
        return TableEntry("next_hop", (("next_hop", Exact(99)),), "to_customer", (("port", 77),))

    async def plant_foreign(self) -> bool:
        self.ip("-6", "route", "add", FOREIGN, "dev", "eth1")
        return True

    async def foreign_stands(self) -> bool:
        return FOREIGN in self.ip("-6", "route", "show")

    async def interrupt(self) -> None:
        """The agent restarts, the kernel goes on."""
        await self.stop()
        await until(lambda: not self.device.connected, "the loss")
        await self.start()

    async def restart_empty(self) -> None:
        """The whole router restarts: a new namespace."""
        await self.stop()
        await until(lambda: not self.device.connected, "the loss")
        self.drop_namespace()
        self.make_namespace()
        await self.start()

    async def provoke_frame(self, port: int, frame: bytes) -> bool:
        self.sockets[port].send(frame)
        return True

    async def frame_left(self, port: int, frame: bytes) -> bool:
        sock = self.sockets[port]
        sock.settimeout(10)
        while await asyncio.to_thread(sock.recv, 65_535) != frame:
            pass  # the kernel itself sends router and multicast messages
        return True


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[LinuxHarness]:
    harness = LinuxHarness(tmp_path)
    try:
        harness.make_namespace()
        yield harness
    finally:
        harness.drop_namespace()


@pytest.fixture
async def harness(namespace: LinuxHarness) -> AsyncIterator[LinuxHarness]:
    await namespace.start()
    namespace.device.start()
    try:
        await until(lambda: namespace.device.connected, "the first connection")
        yield namespace
    finally:
        await namespace.device.close()
        await namespace.stop()


class TestContract(DeviceContract):
    """The suite that every device passes."""


async def test_announces_what_a_linux_router_can_do(harness: LinuxHarness) -> None:
    can = harness.device.capabilities
    assert isinstance(can, Capabilities)
    assert can.shaping
    assert can.resolves_neighbors
    assert can.fenced
    assert can.liveness in Liveness
    assert can.max_carriers == 3
