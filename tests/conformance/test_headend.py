"""The headend: classification of customer packets into corridors, and H.Encaps.Red (RFC 8986 clause 5.2)."""

from __future__ import annotations

import pytest
from crossing import crosses, has_no_route, is_dropped
from frames import from_host, inner4, inner6, on_channel, tunnelled
from packet_world import CARRIERS, CORRIDOR, SITES, TUNNEL_SOURCE, classifier, route, v4, v6
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from targets import Target

from controller.core.entries import Ternary


@pytest.mark.covers("classifier_v6.set_policy", "policy.encap_red_1", "tunnel_source.set_tunnel_source")
def test_one_carrier_needs_no_srh(target: Target) -> None:
    port, frame = crosses(target, 2, from_host(2, inner6(dscp=12)))
    expected = tunnelled(target.name, frame, inner6(dscp=12), CARRIERS[0])
    assert (port, frame) == (1, on_channel(1, expected))
    assert len(frame) - len(from_host(2, inner6())) == 40


@pytest.mark.covers("classifier_v4.set_policy", "policy.encap_red_2")
def test_ipv4_goes_into_the_same_tunnel(target: Target) -> None:
    port, frame = crosses(target, 2, from_host(2, inner4()))
    expected = tunnelled(target.name, frame, inner4(), CARRIERS[0], CARRIERS[1])
    assert (port, frame) == (1, on_channel(1, expected))
    assert len(frame) - len(from_host(2, inner4())) == 64


@pytest.mark.covers("policy.encap_red_3")
def test_three_carriers_make_a_reduced_srh_of_two(target: Target) -> None:
    port, frame = crosses(target, 2, from_host(2, inner6(dscp=46)))
    expected = tunnelled(target.name, frame, inner6(dscp=46), *CARRIERS)
    assert (port, frame) == (1, on_channel(1, expected))
    assert len(frame) - len(from_host(2, inner6())) == 80


FLOWS = {
    "label": [inner6(fl=label) for label in range(1, 9)],
    "no label": [inner6(fl=0, dst=f"2001:db8:2::{number}") for number in range(1, 9)],
    "ipv4": [inner4(dst=f"10.2.0.{number}") for number in range(1, 9)],
}


@pytest.mark.parametrize("kind", FLOWS)
def test_a_flow_keeps_its_outer_label_and_another_has_another(target: Target, kind: str) -> None:
    """RFC 6437 clause 3, RFC 6438 clause 3: of many flows nearly every one."""
    first, again = ([outer_label(target, packet) for packet in FLOWS[kind]] for _ in range(2))
    assert first == again
    assert len(set(first)) >= 7


def outer_label(target: Target, packet: Packet) -> int:
    port, frame = crosses(target, 2, from_host(2, packet))
    assert port == 1
    label: int = Ether(frame)[IPv6].fl
    return label


def test_another_tenant_with_the_same_addresses_has_no_part_in_the_corridor(target: Target) -> None:
    has_no_route(target, 3, inner6())
    has_no_route(target, 3, inner4())


@pytest.mark.parametrize(
    "packet",
    [inner6(tc=12 << 2 | 1), inner6(hlim=2), inner6(hlim=255), inner6(fl=0), inner6(size=1500), inner6(size=48)],
    ids=["ecn", "hop limit 2", "hop limit 255", "no label", "largest", "smallest"],
)
def test_the_outer_header(target: Target, packet: Packet) -> None:
    port, frame = crosses(target, 2, from_host(2, packet))
    assert (port, frame) == (1, on_channel(1, tunnelled(target.name, frame, packet, CARRIERS[0])))


@pytest.mark.parametrize("packet", [inner4(tos=12 << 2 | 1), inner4(ttl=2)], ids=["ecn", "ttl 2"])
def test_the_outer_header_of_ipv4(target: Target, packet: Packet) -> None:
    port, frame = crosses(target, 2, from_host(2, packet))
    assert (port, frame) == (1, on_channel(1, tunnelled(target.name, frame, packet, *CARRIERS[:2])))


PLAIN_WAY = route("route_v6", 7, v6("2001:db8:2::"), 64, 11)
PLAIN_WAY_4 = route("route_v4", 7, v4("10.2.0.0"), 16, 11)
"""By which the packets of the corridor would go if they were not of it."""
UNLISTED = classifier(99, CORRIDOR, 50, **SITES, dscp=Ternary(20, 63))
"""Into a corridor that has no segment list."""


def test_a_corridor_goes_before_a_plain_route(target: Target) -> None:
    with target.holding(PLAIN_WAY):
        port, frame = crosses(target, 2, from_host(2, inner6()))
    assert (port, frame) == (1, on_channel(1, tunnelled(target.name, frame, inner6(), CARRIERS[0])))


def test_an_ipv4_corridor_goes_before_a_plain_route(target: Target) -> None:
    with target.holding(PLAIN_WAY_4):
        port, frame = crosses(target, 2, from_host(2, inner4()))
        assert crosses(target, 2, from_host(2, inner4(dst="10.2.1.2")))[0] == 4, "what is in no corridor"
    assert (port, frame) == (1, on_channel(1, tunnelled(target.name, frame, inner4(), *CARRIERS[:2])))


@pytest.mark.parametrize("vrf", [7, 0], ids=["its own VRF", "the underlay"])
def test_a_corridor_without_a_list_carries_nothing(target: Target, vrf: int) -> None:
    """Nor does any route that knows the destination, were it the customer's own."""
    plain = route("route_v6", vrf, v6("2001:db8:2::"), 64, 11)
    with target.holding(UNLISTED, plain):
        has_no_route(target, 2, inner6(dscp=20))


def test_a_corridor_without_a_source_carries_nothing(target: Target) -> None:
    with target.holding(route("route_v6", 0, v6("2001:db8:2::"), 64, 11)):
        target.delete([TUNNEL_SOURCE])
        try:
            is_dropped(target, 2, from_host(2, inner6()))
        finally:
            target.insert([TUNNEL_SOURCE])
    assert crosses(target, 2, from_host(2, inner6()))[0] == 1


def test_the_higher_priority_decides(target: Target) -> None:
    """Also where the other entry came first, and a removal lets that one through again."""
    assert Ether(crosses(target, 2, from_host(2, inner6(dscp=46)))[1])[IPv6].nh == 43
    with target.holding(classifier(1, CORRIDOR, 60, **SITES)):
        assert Ether(crosses(target, 2, from_host(2, inner6(dscp=46)))[1])[IPv6].nh == 41
    assert Ether(crosses(target, 2, from_host(2, inner6(dscp=46)))[1])[IPv6].nh == 43
