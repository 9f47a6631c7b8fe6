"""The edge of the SR domain: what a customer port lets in (RFC 8754 clause 5.1)."""

from __future__ import annotations

import pytest
from crossing import crosses, is_dropped
from exceptions import differs
from frames import from_host, inner4, inner6, on_channel, srh, tunnelled
from packet_world import A6, CARRIERS, CHANNEL, MAC, Z6
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import ARP
from scapy.packet import Packet, Raw
from targets import Target

FORGED = {
    "tunnel to a SID": IPv6(src=A6, dst="fcbb:bb00:1:e108::") / inner6(dst=A6),
    "SRH": IPv6(src=A6, dst=Z6, nh=43) / srh(41, 1, "fcbb:bb00:1:e108::", Z6) / inner6(),
    "other routing header": IPv6(src=A6, dst=Z6, nh=43) / IPv6ExtHdrRouting(addresses=[A6]) / UDP(),
    "SRH behind options": IPv6(src=A6, dst=Z6, nh=0) / IPv6ExtHdrHopByHop() / srh(17, 1, "fcbb:bb00:1::", Z6) / UDP(),
    "SRH behind a fragment header": IPv6(src=A6, dst=Z6, nh=0)
    / IPv6ExtHdrHopByHop(nh=44)
    / IPv6ExtHdrFragment(nh=43)
    / srh(17, 1, "fcbb:bb00:1::", Z6)
    / UDP(),
    "SRH behind two authentication headers": IPv6(src=A6, dst=Z6, nh=51)
    / Raw(b"\x33\x01" + bytes(10) + b"\x2b\x01" + bytes(10))
    / srh(17, 1, "fcbb:bb00:1::", Z6)
    / UDP(),
    "multicast": inner6(dst="ff0e::1"),
    "link-local source": inner6(src="fe80::1"),
    "link-local IPv4 source": inner4(src="169.254.3.4"),
    "link-local IPv4 destination": inner4(dst="169.254.3.4"),
    "checksum": inner4(chksum=0x1234),
    "IPv4 options": inner4(options=b"\x01\x01\x01\x00"),
    "ARP": ARP(pdst="10.1.0.1"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_customer_port_drops(target: Target, name: str) -> None:
    is_dropped(target, 2, from_host(2, FORGED[name]))


@pytest.mark.covers("edge_filter.drop_infrastructure")
def test_a_customer_port_drops_what_is_for_the_infrastructure(target: Target) -> None:
    is_dropped(target, 2, from_host(2, inner6(dst="fcbb:bb00:1:e108::")))


@pytest.mark.parametrize("to", [CHANNEL[1], MAC[1], MAC[3], "ff:ff:ff:ff:ff:ff"])
@pytest.mark.covers("port_role.customer")
def test_a_customer_port_drops_what_is_not_for_the_router(target: Target, to: str) -> None:
    is_dropped(target, 2, from_host(2, inner6(), to=to))


@pytest.mark.parametrize("kind", [135, 139, 140], ids=["mobility", "host identity", "shim"])
def test_a_routing_header_behind_what_only_hosts_read(target: Target, kind: int) -> None:
    """RFC 7045 clause 4 has these in the chain. No kernel has, so none of its segments finds a list there either."""
    packet = IPv6(src=A6, dst=Z6, nh=kind) / Raw(b"\x2b" + bytes(7)) / srh(17, 1, "fcbb:bb00:1:e108::", Z6) / UDP()
    if not differs(target.name, "headers between hosts"):
        is_dropped(target, 2, from_host(2, packet))
        return
    port, frame = crosses(target, 2, from_host(2, packet))
    assert (port, frame) == (1, on_channel(1, tunnelled(target.name, frame, packet, CARRIERS[0])))


def test_a_chain_of_extension_headers(target: Target) -> None:
    packet = IPv6(src=A6, dst=Z6, nh=0) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP()
    if not differs(target.name, "one extension header"):
        is_dropped(target, 2, from_host(2, packet))
        return
    port, frame = crosses(target, 2, from_host(2, packet))
    assert (port, frame) == (1, on_channel(1, tunnelled(target.name, frame, packet, CARRIERS[0])))


@pytest.mark.parametrize("packet", [inner6(), inner4()], ids=["IPv6", "IPv4"])
@pytest.mark.parametrize("more", [6, 3000])
def test_what_follows_a_packet_stays_outside(target: Target, packet: Packet, more: int) -> None:
    """A frame may be padded (RFC 894, RFC 2464 clause 3), and whatever it is padded with is no part of the packet,
    and would go round the MTU of the corridor."""
    carriers = CARRIERS[:1] if isinstance(packet, IPv6) else CARRIERS[:2]
    port, frame = crosses(target, 2, from_host(2, packet) + b"z" * more)
    assert (port, frame) == (1, on_channel(1, tunnelled(target.name, frame, packet, *carriers)))
