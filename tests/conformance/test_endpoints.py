"""SR segment endpoint behaviours at a network port (RFC 8986 clause 4, RFC 9800 clause 4.1)."""

from __future__ import annotations

import pytest
from crossing import crosses, is_dropped
from exceptions import differs
from frames import from_core, inner4, inner6, on_channel, outer, srh, to_host
from packet_world import A4, A6, Z4, Z6
from targets import Target


@pytest.mark.covers("local_sid.u_n", "port_role.network", "next_hop.to_adjacency")
def test_u_n_takes_one_c_sid_off(target: Target) -> None:
    packet = from_core(outer("fcbb:bb00:1:2:e003:d6::", hlim=9) / inner6())
    assert crosses(target, 1, packet) == (1, on_channel(1, outer("fcbb:bb00:2:e003:d6::", hlim=8) / inner6()))


@pytest.mark.covers("local_sid.u_a")
def test_u_a_takes_two_c_sids_off_and_uses_its_own_adjacency(target: Target) -> None:
    packet = from_core(outer("fcbb:bb00:1:e001:2:e107::", hlim=9) / inner6())
    assert crosses(target, 1, packet) == (4, on_channel(4, outer("fcbb:bb00:2:e107::", hlim=8) / inner6()))


@pytest.mark.parametrize(
    ("address", "next_segment", "port"),
    [
        pytest.param("fcbb:bb00:1::", "fcbb:bb00:2::", 1, id="uN"),
        pytest.param("fcbb:bb00:1:e300::1", "fcbb:bb00:2::", 1, id="End", marks=pytest.mark.covers("local_sid.end")),
        pytest.param(
            "fcbb:bb00:1:e300::2", "fcbb:bb00:2::", 4, id="End.X", marks=pytest.mark.covers("local_sid.end_x")
        ),
        pytest.param("fcbb:bb00:1:e001::", "fcbb:bb00:2::", 4, id="uA"),
    ],
)
def test_an_emptied_carrier_makes_way_for_the_next(target: Target, address: str, next_segment: str, port: int) -> None:
    last = "fcbb:bb00:9:e107::"
    packet = outer(address, nh=43) / srh(41, 2, next_segment, last) / inner6()
    moved = outer(next_segment, nh=43, hlim=63) / srh(41, 1, next_segment, last) / inner6()
    assert crosses(target, 1, from_core(packet)) == (port, on_channel(port, moved))


@pytest.mark.parametrize(
    ("address", "port"),
    [
        pytest.param("fcbb:bb00:1:e107::", 2, id="uDT6 VRF 7", marks=pytest.mark.covers("local_sid.u_dt6")),
        pytest.param("fcbb:bb00:1:e108::", 3, id="uDT6 VRF 8"),
        pytest.param("fcbb:bb00:1:e300::3", 2, id="End.DT6 VRF 7", marks=pytest.mark.covers("local_sid.end_dt6")),
    ],
)
@pytest.mark.covers("route_v6.set_next_hop", "next_hop.to_customer", "host_v6.set_dst_mac")
def test_ipv6_is_delivered_in_the_vrf_of_the_sid(target: Target, address: str, port: int) -> None:
    packet = inner6(src=Z6, dst=A6)
    with_list = outer(address, nh=43) / srh(41, 0, address) / packet
    for tunnelled in (outer(address) / packet, with_list):
        expected = to_host(target.name, port, inner6(src=Z6, dst=A6, hlim=63))
        assert crosses(target, 1, from_core(tunnelled)) == (port, expected)


@pytest.mark.parametrize(
    ("address", "port"),
    [
        pytest.param("fcbb:bb00:1:e207::", 2, id="uDT4 VRF 7", marks=pytest.mark.covers("local_sid.u_dt4")),
        pytest.param("fcbb:bb00:1:e208::", 3, id="uDT4 VRF 8"),
        pytest.param("fcbb:bb00:1:e300::4", 3, id="End.DT4 VRF 8", marks=pytest.mark.covers("local_sid.end_dt4")),
    ],
)
@pytest.mark.covers("route_v4.set_next_hop", "host_v4.set_dst_mac")
def test_ipv4_is_delivered_in_the_vrf_of_the_sid(target: Target, address: str, port: int) -> None:
    packet = outer(address, nh=4) / inner4(src=Z4, dst=A4)
    expected = to_host(target.name, port, inner4(src=Z4, dst=A4, ttl=63))
    assert crosses(target, 1, from_core(packet)) == (port, expected)


@pytest.mark.covers("local_sid.end_dx4")
def test_end_dx4_leaves_by_its_adjacency(target: Target) -> None:
    packet = outer("fcbb:bb00:1:e300::6", nh=4) / inner4(src=Z4, dst=A4)
    assert crosses(target, 1, from_core(packet)) == (4, on_channel(4, inner4(src=Z4, dst=A4, ttl=63)))


MALFORMED = {
    "End without a list": outer("fcbb:bb00:1:e300::1") / inner6(),
    "End at the end of its list": outer("fcbb:bb00:1:e300::1", nh=43) / srh(41, 0, "fcbb:bb00:2::") / inner6(),
    "more left than listed": outer("fcbb:bb00:1:e300::1", nh=43) / srh(41, 3, "fcbb:bb00:2::") / inner6(),
    "decapsulation before the end": outer("fcbb:bb00:1:e107::", nh=43) / srh(41, 1, "fcbb:bb00:2::") / inner6(dst=A6),
    "IPv4 in uDT6": outer("fcbb:bb00:1:e107::", nh=4) / inner4(dst=A4),
    "IPv6 in uDT4": outer("fcbb:bb00:1:e207::") / inner6(dst=A6),
    "plain IPv4": inner4(),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_list_that_does_not_hold_together_is_dropped(target: Target, name: str) -> None:
    is_dropped(target, 1, from_core(MALFORMED[name]))


def test_a_bad_inner_checksum(target: Target) -> None:
    damaged = inner4(src=Z4, dst=A4, chksum=0x1234)
    frame = from_core(outer("fcbb:bb00:1:e207::", nh=4) / damaged)
    if not differs(target.name, "inner checksum"):
        is_dropped(target, 1, frame)
        return
    # A router that lowers the TTL updates the checksum by the difference (RFC 1624), so it stays as wrong as it was.
    expected = inner4(src=Z4, dst=A4, ttl=63, chksum=0x1234 + 0x100)
    assert crosses(target, 1, frame) == (2, to_host(target.name, 2, expected))


@pytest.mark.parametrize(
    ("outside", "inside", "after"), [(3, 2, 3), (3, 1, 3), (1, 2, 1), (2, 1, 1), (0, 3, 3), (1, 0, 0)]
)
def test_congestion_met_by_a_tunnel_goes_on_with_the_packet(
    target: Target, outside: int, inside: int, after: int
) -> None:
    """RFC 6040 clause 4.2, figure 4."""
    marked = inside if differs(target.name, "congestion") else after
    six = from_core(outer("fcbb:bb00:1:e107::", tc=outside) / inner6(src=Z6, dst=A6, tc=40 | inside))
    assert crosses(target, 1, six) == (2, to_host(target.name, 2, inner6(src=Z6, dst=A6, hlim=63, tc=40 | marked)))
    four = from_core(outer("fcbb:bb00:1:e207::", nh=4, tc=outside) / inner4(src=Z4, dst=A4, tos=40 | inside))
    assert crosses(target, 1, four) == (2, to_host(target.name, 2, inner4(src=Z4, dst=A4, ttl=63, tos=40 | marked)))


def test_congestion_that_a_packet_cannot_tell_of(target: Target) -> None:
    """RFC 6040 clause 4.2: dropped, as a router without ECN would have."""
    frame = from_core(outer("fcbb:bb00:1:e107::", tc=3) / inner6(src=Z6, dst=A6))
    if differs(target.name, "congestion"):
        assert crosses(target, 1, frame) == (2, to_host(target.name, 2, inner6(src=Z6, dst=A6, hlim=63)))
    else:
        is_dropped(target, 1, frame)
