"""What a router counts: packets of corridors, packets too large for them, and why packets went no further."""

from __future__ import annotations

import pytest
from crossing import crosses
from drop_reasons import (
    CHECKSUM,
    HOP_LIMIT,
    INFRASTRUCTURE,
    IPV4_OPTIONS,
    MALFORMED,
    NO_HOST,
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
from packet_world import A6, CHANNEL, CORRIDOR, HOST, MAC, SOURCE, Z6
from scapy.layers.inet import TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from targets import Target
from waiting import wait_until

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
