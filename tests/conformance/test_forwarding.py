"""Routes by VRF, next hops and hosts (RFC 8200 clause 3, RFC 1812 clause 5)."""

from __future__ import annotations

import pytest
from crossing import crosses, has_no_route, is_dropped
from exceptions import differs
from frames import from_core, from_host, inner4, inner6, on_channel, outer, srh, to_host
from icmp_messages import TIME_EXCEEDED, TOO_BIG, icmp_v6
from packet_world import A6, MAC, NEIGHBOUR, Z4, Z6
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from targets import Target


def test_transit_touches_nothing_but_the_hop_limit(target: Target) -> None:
    tail = srh(41, 1, "fcbb:bb00:9::", "fcbb:bb00:8::", "fcbb:bb00:7::") / inner6()
    packet = outer("fcbb:bb00:3:e107::", nh=43) / tail
    expected = outer("fcbb:bb00:3:e107::", nh=43, hlim=63) / tail
    assert crosses(target, 1, from_core(packet)) == (4, on_channel(4, expected))


def test_neighbours_of_one_vrf_reach_each_other_without_a_tunnel(target: Target) -> None:
    expected = to_host(target.name, 2, inner6(src=Z6, dst=A6, hlim=63), entered=2)
    assert crosses(target, 2, from_host(2, inner6(src=Z6, dst=A6))) == (2, expected)


def test_what_nobody_knows_is_dropped(target: Target) -> None:
    is_dropped(target, 1, from_core(outer("fcbb:bb00:99::") / inner6()))


@pytest.mark.parametrize("packet", [inner6(dst="2001:db8:ffff::1"), inner4(dst="10.9.9.9")], ids=["ipv6", "ipv4"])
def test_what_has_no_route_goes_nowhere(target: Target, packet: Packet) -> None:
    has_no_route(target, 2, packet)


@pytest.mark.covers("route_v6.drop_route", "route_v4.drop_route")
def test_a_route_that_drops_is_silent(target: Target) -> None:
    is_dropped(target, 2, from_host(2, inner6(src=Z6, dst="2001:db8:3::1")))
    is_dropped(target, 2, from_host(2, inner4(src=Z4, dst="10.3.0.1")))


@pytest.mark.parametrize("packet", [outer("fcbb:bb00:1:2::") / inner6(), inner6(), inner4()], ids=["SID", "v6", "v4"])
def test_a_port_without_a_role_carries_nothing(target: Target, packet: Packet) -> None:
    is_dropped(target, 5, bytes(Ether(src=NEIGHBOUR, dst=MAC[5]) / packet))


@pytest.mark.parametrize(
    "packet", [inner6(src=Z6, dst="2001:db8:1::77"), inner4(src=Z4, dst="10.1.0.77")], ids=["ipv6", "ipv4"]
)
def test_an_unknown_host(target: Target, packet: Packet) -> None:
    """It may be asked for, but hears nothing, and nobody else either."""
    is_dropped(target, 2, from_host(2, packet))


@pytest.mark.parametrize(
    ("packet", "error"),
    [(inner6(hlim=1), TIME_EXCEEDED), (inner6(size=1501), TOO_BIG), (inner6(src=A6, dst=Z6, hlim=0), TIME_EXCEEDED)],
    ids=["hop limit 1", "too big", "hop limit 0"],
)
def test_where_the_router_is_nobodys_gateway(target: Target, packet: Packet, error: int) -> None:
    """It has no address to tell anything from; what goes no further is dropped in any case."""
    if not differs(target.name, "no gateway"):
        is_dropped(target, 2, from_host(2, packet))
        return
    port, frame = crosses(target, 2, from_host(2, packet))
    kind, _, _, quoted = icmp_v6(frame[14:])
    assert (port, kind) == (2, error)
    assert quoted == bytes(packet)[: len(quoted)]
