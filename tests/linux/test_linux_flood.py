"""What one port may cost the agent: a customer who floods it with LLDP, an interface that comes back as another."""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
import time
from collections import Counter
from contextlib import suppress
from functools import partial

import pytest
import raw_frames
import router_chain
from router_chain import inside
from waiting import until

from controller.linux.interfaces import Ports
from controller.linux.packet_io import PacketIo
from controller.linux.port_socket import BURST_FRAMES, FRAMES_PER_S

pytestmark = pytest.mark.root
CLONE_NEWNET = 0x40000000
LLDP = bytes.fromhex("0180c200000e0a000000000188cc")
FLOOD, NEIGHBOURS = 20_000, 10
PATIENCE_S = 0.5
CUSTOMER_PORT, NETWORK_PORT = 3, 1


def send(host, frame, count=1, per_second=1e6):
    return router_chain.start(host, *raw_frames.command("eth0", frame, count, per_second))


def test_a_customer_who_floods_does_not_silence_the_others(chain):
    """Of its port no more is punted than a port may; of another one everything, and calls are answered."""
    packets, heard = chain.clients["r1"].stream.packets, Counter()

    def take(timeout=0.0):
        with suppress(queue.Empty):
            packet = packets.get(timeout=timeout)
            heard[packet.metadata[0].value[0]] += 1
            return packet.payload
        return b""

    began = time.monotonic()
    flood = send("h1", LLDP + bytes(46), FLOOD)
    try:
        for _ in range(NEIGHBOURS):
            chain.clients["r2"].stream.send(1, LLDP + b"neighbour" * 6)
            chain.clients["r1"].read_all()
        assert flood.wait(timeout=60) == 0
    finally:
        flood.kill()
    # The newest frame of the port is the last: nothing is left for other tests.
    frame = b""
    for number in range(1, 256):
        frame = LLDP + bytes([number]) * 46
        send("h1", frame).wait()
        if frame in iter(partial(take, PATIENCE_S), b""):
            break
    assert take() == b""
    assert heard[NETWORK_PORT] == NEIGHBOURS
    assert BURST_FRAMES <= heard[CUSTOMER_PORT] <= BURST_FRAMES + FRAMES_PER_S * (time.monotonic() - began) < FLOOD


@pytest.fixture
def far_end(lab):
    """A namespace with a pair of interfaces, `far` and `eth1`."""
    name = "far"
    router_chain.run("ip", "netns", "add", router_chain.PREFIX + name)
    plug(name)
    yield name
    router_chain.run("ip", "netns", "del", router_chain.PREFIX + name)


def plug(node):
    inside(node, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    for interface in ("eth0", "eth1"):
        inside(node, "ip", "link", "set", interface, "up")


def test_an_interface_that_was_replaced_is_heard_again(far_end):
    heard: list[tuple[int, bytes]] = []

    async def listen():
        loop, packets = asyncio.get_running_loop(), PacketIo(Ports({7: "eth1"}), lambda *frame: heard.append(frame))
        packets.start(loop)
        try:
            for number in range(2):
                frame = LLDP + bytes([number]) * 46
                await until(lambda frame=frame: send(far_end, frame).wait() or (7, frame) in heard, f"frame {number}")
                inside(far_end, "ip", "link", "del", "eth0")
                plug(far_end)
        finally:
            packets.close(loop)

    def go():
        with open(f"/run/netns/{router_chain.PREFIX}{far_end}") as there:
            assert not ctypes.CDLL(None).setns(there.fileno(), CLONE_NEWNET)
        asyncio.run(listen())

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    assert {frame[14] for _, frame in heard} == {0, 1}
