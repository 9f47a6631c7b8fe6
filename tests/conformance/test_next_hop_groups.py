"""ECMP and UCMP by flow label (RFC 6437, RFC 6438), with members that leave the group with their port."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import pytest
from exceptions import bearable, differs
from frames import from_core, inner4, inner6, outer
from packet_world import ENTRIES, GROUPS, Z4
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from targets import Target
from waiting import wait_until

FLOWS = 400
LABELS = random.Random(6437).sample(range(1, 1 << 20), FLOWS)
"""As a headend makes them: spread over the whole range (RFC 6437 clause 2)."""
TOLERANCE = 0.09
"""Four standard deviations of a fair choice among 400 flows are 0.1 at the worst."""


@pytest.fixture(scope="module")
def grouped(programmed: Target) -> Target:
    programmed.insert(bearable(programmed.name, GROUPS))
    return programmed


@pytest.fixture
def target(grouped: Target) -> Target:
    grouped.drain()
    return grouped


def labelled(destination: str, labels: Iterable[int]) -> list[bytes]:
    return [from_core(outer(destination, fl=label) / inner6()) for label in labels]


def leaves_by(target: Target, frames: list[bytes]) -> list[tuple[int, bytes]]:
    """What comes out, sent in parts: BMv2 takes some 30 frames at once."""
    received: list[tuple[int, bytes]] = []
    for start in range(0, len(frames), 20):
        part = frames[start : start + 20]
        for frame in part:
            target.send(1, frame)
        received += target.receive(len(part), seconds=1)
    return received


def shares(received: list[tuple[int, bytes]]) -> dict[int, float]:
    counted = Counter(port for port, _ in received)
    return {port: count / len(received) for port, count in counted.items()}


@pytest.mark.covers("route_v6.set_next_hop_group", "next_hop_group.set_next_hop")
@pytest.mark.parametrize(("destination", "fourth"), [("fcbb:bb00:6::", 0.5), ("fcbb:bb00:7::", 0.75)])
def test_flows_are_shared_by_weight(target: Target, destination: str, fourth: float) -> None:
    received = leaves_by(target, labelled(destination, LABELS))
    assert len(received) == FLOWS
    assert shares(received) == pytest.approx({1: 1 - fourth, 4: fourth}, abs=TOLERANCE)


def test_a_flow_keeps_its_member(target: Target) -> None:
    """Also where it is not the only one under way."""
    received = leaves_by(target, labelled("fcbb:bb00:6::", LABELS[:39] * 5))
    member = {(Ether(frame)[IPv6].fl, port) for port, frame in received}
    assert len(received) == 39 * 5
    assert len(member) == 39


@pytest.mark.covers("route_v4.set_next_hop_group")
def test_ipv4_flows_are_told_apart_by_their_addresses(target: Target) -> None:
    packets = [
        from_core(outer("fcbb:bb00:1:e207::", nh=4) / inner4(src=Z4, dst=f"10.6.{n // 100}.{n % 100}"))
        for n in range(FLOWS)
    ]
    received = leaves_by(target, packets)
    assert len(received) == FLOWS
    assert shares(received) == pytest.approx({1: 0.5, 4: 0.5}, abs=TOLERANCE)
    again = leaves_by(target, packets[:100])
    first = {Ether(frame)[IP].dst: port for port, frame in received}
    assert all(first[Ether(frame)[IP].dst] == port for port, frame in again)


def test_a_member_leaves_with_its_port_and_comes_back(target: Target) -> None:
    flows = labelled("fcbb:bb00:6::", LABELS[:40])
    before = {Ether(frame)[IPv6].fl: port for port, frame in leaves_by(target, flows)}
    target.set_far_end(4, up=False)
    try:
        wait_until(lambda: not target.carrier(4), "the port is down")
        # No flow waits for a controller; the target looks at its ports as often as it likes.
        wait_until(lambda: [port for port, _ in leaves_by(target, flows)] == [1] * len(flows), "all flows by the other")
    finally:
        target.set_far_end(4, up=True)
    wait_until(lambda: target.carrier(4), "the port is up")
    _come_back(target)
    wait_until(lambda: {port for port, _ in leaves_by(target, flows)} == {1, 4}, "the member is back")
    after = {Ether(frame)[IPv6].fl: port for port, frame in leaves_by(target, flows)}
    assert after == before


def _come_back(target: Target) -> None:
    """By itself, or by the controller's next pass, which sees by reading what is missing."""
    wanted = bearable(target.name, [*ENTRIES, *GROUPS])
    standing = dict(target.ask(lambda device: device.read()))
    missing = [entry for entry in wanted if standing.get(entry.key) != entry]
    assert bool(missing) == differs(target.name, "member back")
    target.insert(missing)
