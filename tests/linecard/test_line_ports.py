"""Line ports over interfaces that come, go down, and go, in a network namespace of the test's own thread."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import Coroutine
from typing import Any

import pytest
from private_switch import CLONE_NEWNET, run
from waiting import until

from controller.linecard.frames import MINIMUM_BYTES, NEIGHBOUR, destination, frame, payload
from controller.linecard.line_ports import LinePorts

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

CHANNEL = 0x020000000700


def isolated(work: Coroutine[Any, Any, None]) -> None:
    """Runs it in a thread that has a network namespace to itself."""
    failures: list[BaseException] = []

    def inside() -> None:
        try:
            assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            asyncio.run(work)
        except BaseException as error:  # noqa: BLE001  raised again by the test's thread
            failures.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def fibre() -> None:
    run("ip", "link", "add", "eth2", "type", "veth", "peer", "name", "far2")
    run("ip", "link", "set", "eth2", "up")
    run("ip", "link", "set", "far2", "up")


async def exchange() -> None:
    heard: list[tuple[int, bytes]] = []
    near = LinePorts({2: "eth2"}, lambda port, data: heard.append((port, data)))
    far = LinePorts({5: "far2"}, lambda port, data: heard.append((port, data)))
    for ports in (near, far):
        ports.start()
    near.send(2, frame(NEIGHBOUR, 2, b"lost: there is no interface yet"))
    for _ in range(2):  # made anew, it is another interface
        fibre()
        await reaches(near, 2, heard, b"forth", 5)
        await reaches(far, 5, heard, b"back", 2)
        run("ip", "link", "set", "eth2", "down")
        near.send(2, frame(NEIGHBOUR, 2, b"lost: it is down"))
        run("ip", "link", "set", "eth2", "up")
        await reaches(near, 2, heard, b"up again", 5)
        run("ip", "link", "del", "eth2")
        near.send(2, frame(NEIGHBOUR, 2, b"lost: it is gone"))
        assert not [data for _, data in heard if b"lost" in data]
    for ports in (near, far):
        ports.close()


async def reaches(ports: LinePorts, port: int, heard: list[tuple[int, bytes]], text: bytes, at: int) -> None:
    """Sent until heard, at the other end alone: no port hears what it sent."""
    heard.clear()

    def sent_and_heard() -> bool:
        ports.send(port, frame(NEIGHBOUR, port, text))
        return any(text in data for _, data in heard)

    await until(sent_and_heard, f"{text!r} at port {at}", 5)
    assert {number for number, data in heard if text in data} == {at}


def test_ports_come_go_down_and_go() -> None:
    isolated(exchange())


async def channels() -> None:
    heard: list[tuple[int, bytes]] = []
    near = LinePorts({2: "eth2"}, lambda port, data: heard.append((port, data)))
    far = LinePorts({5: "far2"}, lambda port, data: heard.append((port, data)))
    fibre()
    for ports in (near, far):
        ports.start()
    await reaches(near, 2, heard, b"neighbour", 5)
    near.send(2, frame(CHANNEL, 2, b"nobody's"))
    far.hear_channels({5})
    near.send(2, frame(CHANNEL, 2, b"first"))
    near.send(2, frame(CHANNEL, 2, b"second"))
    await reaches(near, 2, heard, b"later", 5)
    assert {destination(data) for _, data in heard} == {NEIGHBOUR}
    heard.clear()
    far.drain()
    assert [(port, destination(data), payload(data).rstrip(b"\0")) for port, data in heard] == [
        (5, CHANNEL, b"first"),
        (5, CHANNEL, b"second"),
    ]
    for ports in (near, far):
        ports.close()


def test_channels_are_heard_where_one_ends_and_when_drained() -> None:
    isolated(channels())


def test_a_frame_by_hand() -> None:
    data = frame(CHANNEL, 3, b"\x01\x02")
    assert data.hex() == "0200000007000e000000000388b60102" + "00" * 44
    assert (destination(data), len(data), payload(data)[:2]) == (CHANNEL, MINIMUM_BYTES, b"\x01\x02")
