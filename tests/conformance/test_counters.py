"""What a router counts: packets of corridors, packets too large for them, and why packets went no further."""

from __future__ import annotations

from functools import partial

import pytest
from crossing import crosses
from drop_reasons import (
    CHECKSUM,
    COLOR,
    HOP_LIMIT,
    ICMP_LIMIT,
    INFRASTRUCTURE,
    IPV4_OPTIONS,
    MALFORMED,
    NO_HOST,
    NO_NEXT_HOP,
    NO_POLICY,
    NO_ROLE,
    NO_ROUTE,
    NOT_FOR_ROUTER,
    PROTOCOL,
    ROUTING_HEADER,
    SCOPE,
    SEGMENT_LIST,
    TO_ROUTER,
    TOO_BIG,
    UPPER_LAYER,
)
from exceptions import differs
from frames import from_core, from_host, inner4, inner6, outer, srh
from packet_world import (
    A6,
    CHANNEL,
    CORRIDOR,
    GATEWAY_6,
    HOST,
    MAC,
    METERED,
    SITES,
    SOURCE,
    Z6,
    classifier,
    gateway,
    route,
    v6,
)
from scapy.layers.inet import TCP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from targets import Target
from waiting import wait_until

from controller.core.entries import MeterEntry, Ternary
from controller.core.errors import DeviceRejected


def counted(target: Target, name: str) -> dict[int, tuple[int, int]]:
    return dict(target.ask(lambda device: device.counters(name)))


def grown(target: Target, name: str, before: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """The cells that are other than before, by how much."""
    after = counted(target, name)
    pairs = {cell: (after[cell], before.get(cell, (0, 0))) for cell in after}
    return {cell: (new[0] - old[0], new[1] - old[1]) for cell, (new, old) in pairs.items() if new != old}


def test_a_corridor_counts_what_enters_it(target: Target) -> None:
    """IP packets as the customer sent them; BMv2 counts the Ethernet header too."""
    before = counted(target, "corridor_counter")
    for size in (100, 500, 1500):
        crosses(target, 2, from_host(2, inner6(size=size)))
    crosses(target, 2, from_host(2, inner4(size=300)))
    header = 14 if differs(target.name, "counted header") else 0
    assert grown(target, "corridor_counter", before) == {CORRIDOR: (4, 2400 + 4 * header)}


def test_a_corridor_counts_what_is_too_large(target: Target) -> None:
    before = counted(target, "oversize_counter")
    for packet in (inner6(size=1501), inner4(size=2000)):
        target.send(2, from_host(2, packet))
    header = 14 if differs(target.name, "counted header") else 0
    wanted = {CORRIDOR: (2, 3501 + 2 * header)}
    wait_until(lambda: grown(target, "oversize_counter", before) == wanted, f"{wanted}")


# ---- why packets went no further: docs/pipeline.md names the reasons

DRY_METER = MeterEntry("slice_meter", METERED, 1, 100)
NO_ANSWERS = MeterEntry("icmp_limit", 2, 1, 1)
NOWHERE = route("route_v6", 7, v6("2001:db8:4::"), 48, 77)
UNLISTED = classifier(99, CORRIDOR, 50, **SITES, dscp=Ternary(20, 63))
STOPPED: dict[str, tuple[int, int, bytes]] = {
    "another MAC": (NOT_FOR_ROUTER, 2, from_host(2, inner6(), to=CHANNEL[1])),
    "cut short": (MALFORMED, 2, from_host(2, inner6())[:40]),
    "checksum": (CHECKSUM, 2, from_host(2, inner4(chksum=1))),
    "not IP": (PROTOCOL, 2, bytes(Ether(src=HOST[2], dst=MAC[2], type=0x0842) / (b"x" * 50))),
    "IPv4 options": (IPV4_OPTIONS, 2, from_host(2, inner4(options=b"\1\1\1\0"))),
    "multicast": (SCOPE, 2, from_host(2, inner6(dst="ff0e::1"))),
    "infrastructure": (INFRASTRUCTURE, 2, from_host(2, inner6(dst=SOURCE))),
    "routing header": (ROUTING_HEADER, 2, from_host(2, IPv6(src=A6, dst=Z6, nh=43) / srh(41, 1, Z6) / inner6())),
    "hop limit": (HOP_LIMIT, 2, from_host(2, inner6(hlim=1))),
    "hop limit in transit": (HOP_LIMIT, 1, from_core(outer("fcbb:bb00:2::", hlim=1) / inner6())),
    "too big": (TOO_BIG, 2, from_host(2, inner6(size=1501))),
    "no route": (NO_ROUTE, 2, from_host(2, inner6(dst="2001:db8:ffff::1"))),
    "drop_route": (NO_ROUTE, 2, from_host(2, inner6(src=Z6, dst="2001:db8:3::1"))),
    "no host": (NO_HOST, 2, from_host(2, inner6(src=Z6, dst="2001:db8:1::77"))),
    "End without a list": (SEGMENT_LIST, 1, from_core(outer("fcbb:bb00:1:e300::1") / inner6())),
    "IPv4 in uDT6": (UPPER_LAYER, 1, from_core(outer("fcbb:bb00:1:e107::", nh=4) / inner4())),
    "no role": (NO_ROLE, 5, bytes(Ether(src=HOST[2], dst=MAC[5]) / inner6())),
    "to the node": (TO_ROUTER, 1, from_core(IPv6(src="fcbb:bb00:2::1", dst=SOURCE) / TCP(dport=22))),
}


@pytest.mark.parametrize("name", STOPPED)
def test_every_drop_has_its_reason(target: Target, name: str) -> None:
    """And only one; where drops are not counted, asking is an error."""
    reason, port, frame = STOPPED[name]
    if differs(target.name, "drop reasons"):
        with pytest.raises(DeviceRejected, match="UNIMPLEMENTED"):
            counted(target, "drop_counter")
        return
    before = counted(target, "drop_counter")
    target.send(port, frame)
    wanted = {reason: (1, len(frame))}
    wait_until(lambda: grown(target, "drop_counter", before) == wanted, f"{wanted}", seconds=3)


def test_drops_that_need_entries_of_their_own(target: Target) -> None:
    if differs(target.name, "drop reasons"):
        return  # asserted above
    ping = IPv6(src=A6, dst=GATEWAY_6) / ICMPv6EchoRequest()
    cases = [
        (NO_POLICY, UNLISTED, inner6(dscp=20)),
        (COLOR, DRY_METER, inner6(dscp=10)),
        (NO_NEXT_HOP, NOWHERE, inner6(src=Z6, dst="2001:db8:4::1")),
    ]
    for reason, entry, packet in cases:
        before = counted(target, "drop_counter")
        with target.holding(entry):
            target.send(2, from_host(2, packet))
            wanted = {reason: (1, len(packet) + 14)}
            wait_until(partial(_is, target, before, wanted), f"{wanted}", seconds=3)
    with target.holding(gateway(2), NO_ANSWERS):
        before = counted(target, "drop_counter")
        for _ in range(3):
            target.send(2, from_host(2, ping))
        wait_until(lambda: ICMP_LIMIT in grown(target, "drop_counter", before), "an answer kept back", seconds=3)


def _is(target: Target, before: dict[int, tuple[int, int]], wanted: dict[int, tuple[int, int]]) -> bool:
    return grown(target, "drop_counter", before) == wanted
