"""What the program on BMv2 does in its own way: above all what goes no further, for the reason that is counted.

What all targets do alike is in the other modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from drop_reasons import (
    CHECKSUM,
    CONGESTION,
    HOP_LIMIT,
    ICMP_LIMIT,
    IPV4_OPTIONS,
    MALFORMED,
    NO_NEXT_HOP,
    NO_POLICY,
    NO_ROLE,
    NOT_FOR_ROUTER,
    PROTOCOL,
    ROUTING_HEADER,
    SCOPE,
    SEGMENT_LIST,
    TO_ROUTER,
    UPPER_LAYER,
)
from frames import from_core, from_host, inner4, inner6, on_channel, outer, srh
from icmp_messages import checksum_holds
from packet_world import (
    A4,
    A6,
    CHANNEL,
    CORRIDOR,
    ENTRIES,
    GATEWAY_4,
    GATEWAY_6,
    GROUPS,
    HOST,
    MAC,
    SOURCE,
    Z4,
    Z6,
    adjacency,
    group_route,
    sid,
    v6,
)
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6ND_Redirect,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw
from targets import Bmv2, running
from waiting import wait_until

from controller.core.entries import Exact, MeterEntry, TableEntry, Ternary

pytestmark = pytest.mark.root
PEER = "fcbb:bb00:2::1"
GROUP_MAC, GROUP = "33:33:ff:00:00:01", "ff02::1:ff00:1"
RESERVED, LOST, GROUPLESS = "fcbb:bb00:1:e300::99", "fcbb:bb00:1:e099::", "fcbb:bb00:99::"
LIMITED = 3
"""A customer port whose first answer is its last."""
BESIDES = [
    sid(RESERVED, 128, "end_flavors", flavors=4),
    sid(LOST, 64, "u_a", next_hop=999),
    group_route("route_v6", 0, v6(GROUPLESS), 48, 999),
    adjacency(0, 1),  # what a forgotten number would lead to
    TableEntry(
        "classifier_v6",
        (("dst", Ternary(0x99, 0xFFFF)), ("vrf", Exact(7))),
        "set_policy",
        (("policy", 999), ("corridor", CORRIDOR), ("mtu", 1500)),
        priority=100,
    ),
    *(
        TableEntry(
            "gateway",
            (("port", Exact(port)),),
            "set_gateway",
            (("ipv4", 0x0A010001), ("ipv6", 0x20010DB8000100000000000000000001)),
        )
        for port in (2, LIMITED)
    ),
    MeterEntry("icmp_limit", LIMITED, 1, 1),
]


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bmv2]:
    with running(Bmv2, tmp_path_factory.mktemp("bmv2"), {**MAC, 5: "06:00:00:01:00:05"}) as target:
        target.insert([*ENTRIES, *GROUPS, *BESIDES])
        yield target


def solicitation(source: str = A6, to: str = GROUP, mac: str = GROUP_MAC, port: int = 2, **fields: int) -> bytes:
    return from_host(port, IPv6(src=source, dst=to, hlim=255) / ICMPv6ND_NS(tgt=GATEWAY_6, **fields), to=mac)


def echo6(**fields: object) -> Packet:
    return IPv6(**({"src": A6, "dst": GATEWAY_6} | fields)) / ICMPv6EchoRequest(data=b"x" * 16)


def echo4(**fields: object) -> Packet:
    return IP(**({"src": A4, "dst": GATEWAY_4} | fields)) / ICMP() / (b"x" * 16)


def dying(upper: Packet, **fields: object) -> bytes:
    return from_host(2, IPv6(src=A6, dst=Z6, hlim=1, **fields) / upper)


def dying4(upper: Packet, **fields: object) -> bytes:
    return from_host(2, IP(**({"src": A4, "dst": Z4, "ttl": 1} | fields)) / upper)


def to_node(upper: Packet, **fields: object) -> bytes:
    return from_core(IPv6(**({"src": PEER, "dst": SOURCE} | fields)) / upper)


def chained(*kinds: int) -> bytes:
    """A routing header, to a SID, behind headers of these kinds."""
    heads = [_head(kind, following) for kind, following in zip(kinds, (*kinds[1:], 43), strict=True)]
    behind = bytes(srh(17, 1, "fcbb:bb00:1:e108::", Z6) / UDP_DATA)
    return from_host(2, IPv6(src=A6, dst=Z6, nh=kinds[0]) / Raw(b"".join(heads) + behind))


def _head(kind: int, following: int) -> bytes:
    """Of the least length (RFC 8200 clause 4, RFC 4302 clause 2)."""
    if kind == AUTHENTICATION:
        return bytes([following, 1]) + bytes(10)
    return bytes([following, 0]) + (bytes(6) if kind == FRAGMENT else b"\1\4" + bytes(4))


def decapsulated(inner: Packet, **fields: int) -> bytes:
    ipv6 = isinstance(inner, IPv6)
    sid = "fcbb:bb00:1:e107::" if ipv6 else "fcbb:bb00:1:e207::"
    return from_core(outer(sid, nh=41 if ipv6 else 4, **fields) / inner)


UDP_DATA = UDP(sport=1, dport=2, chksum=1) / Raw(b"x" * 40)
HOP_BY_HOP, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS, MOBILITY, HOST_IDENTITY, SHIM = 0, 44, 51, 60, 135, 139, 140
EXTENSIONS = (HOP_BY_HOP, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS, MOBILITY, HOST_IDENTITY, SHIM)
CHAINS = [(each,) for each in EXTENSIONS] + [*product(EXTENSIONS, repeat=2)]
FROM_NOBODY_6 = ("::", "::1", "ff02::5")
FROM_NOBODY_4 = ("0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255")
SILENT: dict[str, tuple[int, int, bytes]] = {
    "no role": (NO_ROLE, 5, from_host(2, inner6(), to="06:00:00:01:00:05")),
    # ---- a way into the SR domain
    **{f"routing header behind {chain}": (ROUTING_HEADER, 2, chained(*chain)) for chain in CHAINS},
    "authentication in a fragment": (ROUTING_HEADER, 2, dying(IPv6ExtHdrFragment(nh=51) / Raw(b"\x11" + bytes(39)))),
    # ---- address resolution
    "ARP reply": (NOT_FOR_ROUTER, 2, from_host(2, ARP(op=2, psrc=A4, pdst=GATEWAY_4))),
    "ARP of a ring": (
        NOT_FOR_ROUTER,
        2,
        bytes(Ether(src=HOST[2], dst=MAC[2], type=0x806) / (b"\0\6" + bytes(ARP(psrc=A4, pdst=GATEWAY_4))[2:])),
    ),
    "ARP to a group": (NOT_FOR_ROUTER, 2, from_host(2, ARP(psrc=A4, pdst=GATEWAY_4), to=GROUP_MAC)),
    "ARP in the core": (PROTOCOL, 1, bytes(Ether(src=HOST[2], dst=MAC[1]) / ARP(psrc=A4, pdst=GATEWAY_4))),
    "solicitation, damaged": (CHECKSUM, 2, solicitation(cksum=0x1234)),
    "solicitation, code 1": (NOT_FOR_ROUTER, 2, solicitation(code=1)),
    "solicitation to one, from none": (TO_ROUTER, 2, solicitation("::", GATEWAY_6, MAC[2])),
    "solicitation from a group": (TO_ROUTER, 2, solicitation("ff02::5")),
    "solicitation to another group": (TO_ROUTER, 2, solicitation(to="ff02::1:ff00:2")),
    "solicitation behind a short header": (
        NOT_FOR_ROUTER,
        2,
        from_host(2, IPv6(src=A6, dst=GROUP, hlim=255, nh=58, plen=20) / Raw(b"\x87" + bytes(23)), to=GROUP_MAC),
    ),
    "broadcast IPv4": (NOT_FOR_ROUTER, 2, from_host(2, echo4(), to="ff:ff:ff:ff:ff:ff")),
    # ---- to the gateway
    "UDP to the gateway": (TO_ROUTER, 2, from_host(2, IPv6(src=A6, dst=GATEWAY_6) / UDP_DATA)),
    "TCP to the gateway": (TO_ROUTER, 2, from_host(2, IP(src=A4, dst=GATEWAY_4) / TCP(dport=179))),
    "echo reply to the gateway": (TO_ROUTER, 2, from_host(2, IPv6(src=A6, dst=GATEWAY_6) / ICMPv6EchoReply())),
    "first fragment of an echo": (TO_ROUTER, 2, from_host(2, echo4(flags="MF"))),
    "later fragment of an echo": (TO_ROUTER, 2, from_host(2, echo4(frag=8))),
    "IPv6 fragment of an echo": (
        TO_ROUTER,
        2,
        from_host(2, IPv6(src=A6, dst=GATEWAY_6) / IPv6ExtHdrFragment() / ICMPv6EchoRequest(data=b"x" * 16)),
    ),
    "echo behind options": (
        TO_ROUTER,
        2,
        from_host(2, IPv6(src=A6, dst=GATEWAY_6) / IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(data=b"x" * 16)),
    ),
    **{f"echo from {source}": (TO_ROUTER, 2, from_host(2, echo6(src=source))) for source in FROM_NOBODY_6},
    **{f"echo from {source}": (TO_ROUTER, 2, from_host(2, echo4(src=source))) for source in FROM_NOBODY_4},
    # ---- addresses that nobody routes
    **{f"from {source}": (SCOPE, 2, from_host(2, inner6(src=source))) for source in FROM_NOBODY_6},
    **{f"from {each}": (SCOPE, 2, from_host(2, inner4(src=each))) for each in (*FROM_NOBODY_4, "169.254.1.1")},
    "link-local IPv4 at its last hop": (SCOPE, 2, dying4(UDP_DATA, src="169.254.1.1")),
    **{f"to {each}": (SCOPE, 2, from_host(2, inner6(dst=each))) for each in ("::", "::1", "fe80::1")},
    **{
        f"to {each}": (SCOPE, 2, from_host(2, inner4(dst=each)))
        for each in ("0.0.0.1", "127.0.0.1", "169.254.255.1", "255.255.255.255")
    },
    # ---- no error about it
    "redirect": (HOP_LIMIT, 2, dying(ICMPv6ND_Redirect())),
    "ICMP redirect": (HOP_LIMIT, 2, dying4(ICMP(type=5) / (b"x" * 40))),
    "unknown ICMP": (HOP_LIMIT, 2, dying4(ICMP(type=42) / (b"x" * 40))),
    "later fragment": (HOP_LIMIT, 2, dying4(UDP_DATA, frag=8)),
    "later IPv6 fragment": (HOP_LIMIT, 2, dying(IPv6ExtHdrFragment(offset=8, nh=17) / Raw(b"x" * 40))),
    "hop-by-hop": (HOP_LIMIT, 2, dying(IPv6ExtHdrHopByHop() / UDP_DATA)),
    "destination options": (HOP_LIMIT, 2, dying(IPv6ExtHdrDestOpt() / UDP_DATA)),
    "authentication": (HOP_LIMIT, 2, dying(Raw(b"\x11" + bytes(39)), nh=51)),
    "mobility": (HOP_LIMIT, 2, dying(Raw(b"\x3b" + bytes(39)), nh=135)),
    "seven bytes": (HOP_LIMIT, 2, dying(Raw(b"x" * 7), nh=17)),
    "seven bytes of IPv4": (HOP_LIMIT, 2, dying4(Raw(b"x" * 7), proto=17)),
    # ---- frames that do not hold together
    "group as source": (MALFORMED, 2, bytes(Ether(src=GROUP_MAC, dst=MAC[2]) / inner6())),
    "IPv6 cut off": (MALFORMED, 2, from_host(2, inner6())[:-1]),
    "IPv4 cut off": (MALFORMED, 2, from_host(2, inner4())[:-1]),
    "IPv6 of version 4": (MALFORMED, 2, from_host(2, inner6(version=4))),
    "IPv4 of version 6": (MALFORMED, 2, bytes(Ether(src=HOST[2], dst=MAC[2], type=0x800) / inner4(version=6))),
    "IPv4 shorter than its header": (MALFORMED, 2, from_host(2, inner4(len=19))),
    "cut off in the core": (MALFORMED, 1, from_core(outer("fcbb:bb00:3::") / inner6())[:-1]),
    "SRH longer than its packet": (MALFORMED, 1, from_core(outer(PEER, nh=43, plen=16) / srh(59, 0, PEER))),
    # ---- endpoints
    "reserved flavor": (SEGMENT_LIST, 1, from_core(outer(RESERVED, nh=43) / srh(41, 1, "fcbb:bb00:2::") / inner6())),
    "node before the end": (
        SEGMENT_LIST,
        1,
        to_node(srh(58, 1, "fcbb:bb00:2::", SOURCE) / ICMPv6EchoRequest(), nh=43),
    ),
    "node behind options": (TO_ROUTER, 1, to_node(IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(data=b"x" * 16))),
    "STAMP in a fragment": (TO_ROUTER, 1, to_node(IPv6ExtHdrFragment() / UDP(dport=862) / Raw(b"x" * 44))),
    **{f"node, from {each}": (TO_ROUTER, 1, to_node(ICMPv6EchoRequest(), src=each)) for each in FROM_NOBODY_6},
    **{
        f"fragment of a tunnel to {action}": (
            UPPER_LAYER,
            1,
            from_core(outer(f"fcbb:bb00:1:{action}::", nh=44) / IPv6ExtHdrFragment(nh=upper) / inner),
        )
        for action, upper, inner in (("e107", 41, inner6(dst=A6)), ("e207", 4, inner4(dst=A4)))
    },
    "inner IPv6 longer than the tunnel": (MALFORMED, 1, decapsulated(inner6(dst=A6, plen=61))),
    "inner IPv4 longer than the tunnel": (MALFORMED, 1, decapsulated(inner4(dst=A4, len=101))),
    "inner IPv4 shorter than its header": (MALFORMED, 1, decapsulated(inner4(dst=A4, len=19))),
    "inner IPv6 of version 4": (MALFORMED, 1, decapsulated(inner6(dst=A6, version=4))),
    "inner IPv4 of version 6": (MALFORMED, 1, decapsulated(inner4(dst=A4, version=6))),
    "inner IPv4 options": (IPV4_OPTIONS, 1, decapsulated(inner4(dst=A4, options=b"\1\1\1\0"))),
    "inner IPv4 damaged": (CHECKSUM, 1, decapsulated(inner4(dst=A4, chksum=1))),
    "congestion that IPv6 cannot tell of": (CONGESTION, 1, decapsulated(inner6(dst=A6), tc=3)),
    "congestion that IPv4 cannot tell of": (CONGESTION, 1, decapsulated(inner4(dst=A4), tc=3)),
    # ---- nothing to go by
    "no policy": (NO_POLICY, 2, from_host(2, inner6(dst="2001:db8:2::99"))),
    "no group": (NO_NEXT_HOP, 1, from_core(outer(GROUPLESS) / inner6())),
    "no next hop": (NO_NEXT_HOP, 1, from_core(outer(f"{LOST[:-2]}:5::") / inner6())),
}


def counted(router: Bmv2) -> dict[int, int]:
    cells = dict(router.ask(lambda device: device.counters("drop_counter")))
    return {reason: packets for reason, (packets, _) in cells.items() if packets}


@pytest.mark.parametrize("name", SILENT)
def test_nothing_comes_out_for_one_reason(router: Bmv2, name: str) -> None:
    reason, port, frame = SILENT[name]
    router.drain()
    before = counted(router)
    router.send(port, frame)
    wanted = before | {reason: before.get(reason, 0) + 1}
    wait_until(lambda: counted(router) != before, "it is counted")
    assert counted(router) == wanted
    assert router.receive(1, seconds=0.02) == []


def test_answers_are_limited_and_counted(router: Bmv2) -> None:
    """RFC 4443 clause 2.4 (f): the packet that an error would be about is counted for itself."""
    router.drain()
    before = counted(router)
    frames = [from_host(LIMITED, echo6()), from_host(LIMITED, echo6()), from_host(LIMITED, inner6(hlim=1))]
    for frame in frames:
        router.send(LIMITED, frame)
    wanted = before | {each: before.get(each, 0) + 1 for each in (ICMP_LIMIT, HOP_LIMIT)}
    wait_until(lambda: sum(counted(router).values()) == sum(wanted.values()), "both are counted")
    assert counted(router) == wanted
    assert [(port, len(frame)) for port, frame in router.receive(3, seconds=0.2)] == [(LIMITED, len(frames[0]))]


def test_neighbours_are_answered_whatever_the_limit(router: Bmv2) -> None:
    """Without its MAC nobody reaches the gateway, however few errors it may send."""
    router.drain()
    before = counted(router).get(ICMP_LIMIT, 0)
    for _ in range(3):
        router.send(LIMITED, from_host(LIMITED, echo6()))
    wait_until(lambda: counted(router).get(ICMP_LIMIT, 0) >= before + 2, "the limit is reached")
    router.drain()
    asked = from_host(LIMITED, ARP(psrc=A4, pdst=GATEWAY_4), to="ff:ff:ff:ff:ff:ff")
    for _ in range(3):
        router.send(LIMITED, asked)
        router.send(LIMITED, solicitation(port=LIMITED))
    heard = [Ether(frame).type for port, frame in router.receive(6) if port == LIMITED]
    assert sorted(heard) == [0x806] * 3 + [0x86DD] * 3


def test_an_echo_by_a_segment_list_is_answered_without_it(router: Bmv2) -> None:
    """RFC 9259 clause A.1.1: the node's address as the last segment."""
    router.drain()
    router.send(1, to_node(srh(58, 0, SOURCE, "fcbb:bb00:1::") / ICMPv6EchoRequest(id=5, data=b"x" * 9), nh=43))
    ((port, frame),) = router.receive(1)
    reply = IPv6(src=SOURCE, dst=PEER) / ICMPv6EchoReply(id=5, data=b"x" * 9)
    assert (port, frame) == (1, on_channel(1, reply))


def test_a_customers_own_tunnel_is_nobodys_business(router: Bmv2) -> None:
    """Its inner checksum belongs to whoever ends it."""
    router.drain()
    router.send(2, from_host(2, IPv6(src=A6, dst=Z6, nh=4) / inner4(chksum=1)))
    ((port, frame),) = router.receive(1)
    assert (port, frame[:6].hex(":")) == (1, CHANNEL[1])


@pytest.mark.parametrize("field", ["src", "dst", "proto"])
def test_each_field_tells_ipv4_flows_apart(router: Bmv2, field: str) -> None:
    """In the choice of a group's member; 24 coins fall on one side once in eight million throws."""
    router.drain()
    values = {"src": [f"10.2.0.{n}" for n in range(2, 26)], "dst": [f"10.6.0.{n}" for n in range(2, 26)]}
    for value in values.get(field, range(100, 124)):
        packet = IP(**({"src": Z4, "dst": "10.6.0.1", "proto": 17} | {field: value})) / (b"x" * 40)
        router.send(1, from_core(outer("fcbb:bb00:1:e207::", nh=4) / packet))
    assert {port for port, _ in router.receive(24)} == {1, 4}


def test_a_ping_of_zeros_has_a_right_checksum_too(router: Bmv2) -> None:
    """The sum of the answer is zero in the one writing that an all-zero message can have (RFC 1624 clause 3)."""
    router.drain()
    router.send(2, from_host(2, IP(src=A4, dst=GATEWAY_4) / ICMP(id=0, seq=0) / bytes(16)))
    ((port, frame),) = router.receive(1)
    assert (port, frame[34:]) == (2, bytes(ICMP(type=0, id=0, seq=0) / bytes(16)))
    assert checksum_holds(frame[14:])
