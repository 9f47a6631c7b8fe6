"""Packets through three routers that were programmed by nothing but P4Runtime writes."""

from __future__ import annotations

import json
import sys

import chain_entries
import pytest
from chain_entries import BLOCK, VRFS, corridor, terminal
from p4_client import DELETE, INSERT, MODIFY
from router_chain import inside, mac
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrRouting, IPv6ExtHdrSegmentRouting
from scapy.layers.l2 import Ether
from waiting import wait_until

pytestmark = pytest.mark.root
ADDRESSES = {4: "10.3.0.2", 6: "2001:db8:3::2"}


def ping(host, address, *options, count=3, patience=1.0):
    """What ping says; the patience in seconds is for the last answer."""
    done = inside(host, "ping", "-c", str(count), "-i", "0.02", "-W", str(patience), *options, address, check=False)
    return done.stdout


def received(output):
    return int(output.split(" received")[0].rsplit(" ", 1)[1])


def frames(router, port):
    text = inside(router, "ip", "-s", "-j", "link", "show", f"eth{port}").stdout
    return json.loads(text)[0]["stats64"]["tx"]["packets"]


def steer(chain, version, carriers, next_hop, name="a", at="r1"):
    """Replace the policy of a customer's corridor at r1."""
    client = chain.clients[at]
    entries = corridor(client.schema, at, name, {version: carriers}, next_hop)
    client.write(MODIFY, entries[:1])


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("carriers", [1, 2, 3])
def test_corridor_of_one_to_three_carriers(unchanged, version, carriers):
    """The same way in one carrier, or cut into two or three (H.Encaps.Red with an SRH)."""
    last = f"{BLOCK}:{terminal('r3', 'a', version)}::"
    lists = {
        1: [f"{BLOCK}:2:{terminal('r3', 'a', version)}::"],
        2: [f"{BLOCK}:2::", last],
        3: [f"{BLOCK}:2::", f"{BLOCK}:3::", last],
    }
    steer(unchanged, version, lists[carriers], 1)
    assert received(ping("h1", ADDRESSES[version])) == 3
    steer(unchanged, version, lists[1], 1)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("link", [1, 2])
def test_adjacency_segment_steers_over_one_of_two_parallel_links(unchanged, version, link):
    """On the way back r2 sends to r1 by its uA of the link, on the way there r1 by the policy's next hop."""
    back = f"{BLOCK}:2:{0xE000 + link:x}:{terminal('r1', 'a', version)}::"
    steer(unchanged, version, [back], 1, at="r3")
    steer(unchanged, version, [f"{BLOCK}:2:{terminal('r3', 'a', version)}::"], link)
    before = {(router, port): frames(router, port) for router in ("r1", "r2") for port in (1, 2)}
    assert received(ping("h1", ADDRESSES[version], count=20)) == 20
    used = {place: frames(*place) - count for place, count in before.items()}
    other = 3 - link
    assert used["r1", link] >= 20
    assert used["r2", link] >= 20
    # A stray neighbour discovery may pass, the flow may not.
    assert used["r1", other] <= 5
    assert used["r2", other] <= 5
    for router in ("r1", "r3"):
        steer(unchanged, version, chain_entries.default_carriers(router, "a")[version], 1, at=router)


@pytest.mark.parametrize("version", [4, 6])
def test_next_hop_that_moves_takes_its_policies_along(unchanged, version):
    """Also those that have traffic, whose outer route the kernel has cached; here from link 1 to link 2."""
    client = unchanged.clients["r1"]

    def move(port):
        params = {"port": port, "src_mac": mac("r1", port), "dst_mac": mac("r2", port)}
        client.write(MODIFY, [client.schema.entry("next_hop", {"next_hop": 1}, "to_adjacency", **params)])

    for port in (2, 1):
        assert received(ping("h1", ADDRESSES[version], count=5)) == 5
        move(port)
        before = frames("r1", port)
        assert received(ping("h1", ADDRESSES[version], count=20)) == 20
        assert frames("r1", port) - before >= 20


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("source", "own", "other"), [("h1", "h3", "h3b"), ("h1b", "h3b", "h3")])
def test_customers_with_the_same_addresses_never_meet(chain, echoes, version, source, own, other):
    index = 0 if version == 4 else 1
    before = echoes(own)[index], echoes(other)[index]
    assert received(ping(source, ADDRESSES[version], count=10)) == 10
    assert (echoes(own)[index] - before[0], echoes(other)[index] - before[1]) == (10, 0)


@pytest.mark.parametrize("version", [4, 6])
def test_customer_without_corridor_reaches_neither_others_nor_the_underlay(unchanged, echoes, version):
    """Without its classifier entry the packet is routed in its VRF, which has no route: it ends there."""
    client = unchanged.clients["r1"]
    entries = corridor(client.schema, "r1", "b", chain_entries.default_carriers("r1", "b"), 1)
    classifiers = [entity for entity in entries if entity.table_entry.priority]
    index = 0 if version == 4 else 1
    client.write(DELETE, classifiers)
    try:
        before = echoes("h3")[index], echoes("h3b")[index]
        assert received(ping("h1b", ADDRESSES[version], patience=0.3)) == 0
        # Where the underlay would take it: an address of another router.
        assert received(ping("h1b", f"{BLOCK}:2::1", patience=0.3)) == 0
        assert (echoes("h3")[index], echoes("h3b")[index]) == before
    finally:
        client.write(INSERT, classifiers)


@pytest.mark.parametrize(("version", "foreign"), [(4, "10.99.0.1"), (6, "2001:db8:99::1")])
def test_customers_never_see_the_routes_of_the_underlay(unchanged, version, foreign):
    """A prefix that VRF 0 knows, such as the operator's management: a customer's packet to it does not leave."""
    client, bits = unchanged.clients["r1"], {4: 24, 6: 64}[version]
    match = {"vrf": 0, "dst": f"{foreign}/{bits}"}
    route = client.schema.entry(f"route_v{version}", match, "set_next_hop", next_hop=1)
    client.write(INSERT, [route])
    before = frames("r1", 1)
    assert received(ping("h1", foreign, count=10, patience=0.3)) == 0
    after = frames("r1", 1)
    client.write(DELETE, [route])
    assert after - before <= 3


@pytest.mark.parametrize(("version", "payload"), [(4, 1472), (6, 1452)])
def test_1500_bytes_pass_and_1501_are_answered(chain, version, payload):
    inside("h1", "ip", f"-{version}", "route", "flush", "cache")
    address = ADDRESSES[version]
    assert received(ping("h1", address, "-M", "do", "-s", str(payload))) == 3
    output = ping("h1", address, "-M", "do", "-s", str(payload + 1), count=1)
    inside("h1", "ip", f"-{version}", "route", "flush", "cache")
    assert received(output) == 0
    assert "mtu = 1500" in output or "mtu=1500" in output


def test_oversize_ipv4_without_df_is_answered_too(chain):
    inside("h1", "ip", "route", "flush", "cache")
    output = ping("h1", ADDRESSES[4], "-M", "dont", "-s", "1473", count=1)
    inside("h1", "ip", "route", "flush", "cache")
    assert "Frag needed" in output
    assert "mtu = 1500" in output


@pytest.mark.parametrize("version", [4, 6])
def test_a_hop_limit_that_ends_at_the_edge_is_answered_to_the_sender(unchanged, version):
    before = frames("r1", 1)
    output = ping("h1", ADDRESSES[version], "-t", "1", count=3)
    assert received(output) == 0
    assert "Time to live exceeded" in output or "Hop limit" in output  # the kernel limits their rate
    assert frames("r1", 1) - before <= 3


SENDER = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind(("eth0", 0))
    for _ in range(10):
        raw.send(bytes.fromhex(sys.argv[1]))
"""


def forged(kind):
    """An IPv6 packet of host h1, honest or with segments that only the network may use."""
    own, target = "2001:db8:1::2", ADDRESSES[6]
    into_b = f"{BLOCK}:2:3:{chain_entries.DT6 + VRFS['b']:x}::"
    inner = IPv6(src=own, dst=target) / ICMPv6EchoRequest(id=7)
    if kind == "honest":
        return inner
    if kind == "sid":
        return IPv6(src=own, dst=into_b) / inner
    if kind == "own-sid":
        return IPv6(src=own, dst=f"{BLOCK}:1:{chain_entries.DT6 + VRFS['b']:x}::") / inner
    if kind == "srh":
        segments = IPv6ExtHdrSegmentRouting(addresses=[into_b, "2001:db8:1::1"], segleft=1, lastentry=1)
        return IPv6(src=own, dst="2001:db8:1::1") / segments / inner
    segments = IPv6ExtHdrSegmentRouting(addresses=[target], segleft=0, lastentry=0)
    return IPv6(src=own, dst=target) / segments / ICMPv6EchoRequest(id=7)


def forge(kind, destination):
    """Ten such frames to a MAC address."""
    forge_frame("h1", bytes(Ether(src="0a:00:00:00:00:01", dst=destination) / forged(kind)))


def forge_frame(host, frame):
    inside(host, sys.executable, "-I", "-S", "-c", SENDER, frame.hex())


def test_an_honest_frame_passes(chain, echoes):
    """The control of the tests below: the same frame without the forgery."""
    before = echoes("h3")[1]
    forge("honest", mac("r1", 3))
    wait_until(lambda: echoes("h3")[1] == before + 10, "all ten arrive")


@pytest.mark.parametrize("kind", ["sid", "own-sid", "srh", "srh-to-host"])
def test_forged_segments_are_dropped(chain, echoes, kind):
    before = echoes("h3"), echoes("h3b"), frames("r1", 1) + frames("r1", 2)
    forge(kind, mac("r1", 3))
    assert received(ping("h1b", ADDRESSES[4])) == 3
    assert echoes("h3")[1] == before[0][1]
    assert echoes("h3b")[1] == before[1][1]
    assert frames("r1", 1) + frames("r1", 2) - before[2] <= 3 + 3


@pytest.mark.parametrize("destination", [mac("r2", 1), "02:00:00:00:01:00", "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff"])
def test_frames_for_another_mac_are_dropped(chain, echoes, destination):
    before = echoes("h3")[1]
    forge("honest", destination)
    assert received(ping("h1b", ADDRESSES[6])) == 3
    assert echoes("h3")[1] == before


def test_edge_filter_guards_other_infrastructure(unchanged, echoes):
    """A prefix of the operator's choice, here the far host itself, is closed and opened again."""
    client = unchanged.clients["r1"]
    closed = [client.schema.entry("edge_filter", {"dst": "2001:db8:3::2/128"}, "drop_infrastructure")]
    client.write(INSERT, closed)
    assert received(ping("h1", ADDRESSES[6], patience=0.3)) == 0
    client.write(DELETE, closed)
    assert received(ping("h1", ADDRESSES[6])) == 3


@pytest.mark.parametrize("version", [4, 6])
def test_corridor_counter_counts_customer_packets_and_bytes(chain, version):
    client = chain.clients["r1"]
    before = client.count(VRFS["a"])
    assert received(ping("h1", ADDRESSES[version], "-s", "1000", count=10)) == 10
    packets, octets = (now - then for now, then in zip(client.count(VRFS["a"]), before, strict=True))
    header = {4: 28, 6: 48}[version]
    assert (packets, octets) == (10, 10 * (1000 + header))


@pytest.mark.parametrize(
    ("ends", "carried"),
    [
        ({"src": "169.254.3.4"}, 0),
        ({"dst": "169.254.3.4"}, 0),
        ({"src": "240.0.0.1"}, 0),
        ({"dst": "240.0.0.1"}, 0),
        ({"src": "169.253.255.255", "dst": "169.255.0.1"}, 10),
    ],
)
def test_ipv4_addresses_that_no_router_forwards(unchanged, ends, carried):
    """Link-local ones (RFC 3927 clause 7), loopback, this network's and reserved ones (RFC 1812 clauses 5.3.7 and
    4.2.2.11), in a corridor for everything."""
    client, vrf = unchanged.clients["r1"], VRFS["a"]
    all_of_them = client.schema.entry("classifier_v4", {"vrf": vrf}, "set_policy", 7, policy=54, corridor=vrf, mtu=1500)
    client.write(INSERT, [all_of_them])
    before = client.count(vrf)[0]
    packet = IP(**{"src": "10.1.0.2", "dst": "10.99.0.1"} | ends) / ICMP()
    forge_frame("h1", bytes(Ether(src="0a:00:00:00:00:01", dst=mac("r1", 3)) / packet))
    assert received(ping("h1", ADDRESSES[6], count=1)) == 1
    assert client.count(vrf)[0] == before + carried + 1
    client.write(DELETE, [all_of_them])


@pytest.mark.parametrize("version", [4, 6])
def test_nothing_is_decapsulated_behind_a_list_that_is_not_at_its_end(chain, echoes, version):
    """Also where the routing header is none that the kernel follows (RFC 8986 4.5, 4.7: Segments Left must be 0)."""
    index = 0 if version == 4 else 1
    inner = {
        4: IP(src="10.1.0.2", dst=ADDRESSES[4]) / ICMP(),
        6: IPv6(src="2001:db8:1::2", dst=ADDRESSES[6]) / ICMPv6EchoRequest(),
    }[version]
    sid = f"{BLOCK}:{terminal('r3', 'a', version)}::"

    def send(kind, left):
        listed = {"type": kind, "segleft": left, "addresses": ["2001:db8::1"]}
        packet = IPv6(src="fc00::1", dst=sid) / IPv6ExtHdrRouting(**listed) / inner
        frame = bytes(Ether(src=mac("r2", 3), dst=mac("r3", 1)) / packet)
        chain.clients["r2"].stream.send(3, frame)

    before = echoes("h3")[index]
    send(kind=3, left=1)
    send(kind=3, left=0)
    # Behind them on the same link, so that both have been dealt with.
    assert received(ping("h1", ADDRESSES[version], count=1)) == 1
    assert echoes("h3")[index] == before + 1 + 1


@pytest.mark.parametrize("version", [4, 6])
def test_sid_within_a_sid_comes_and_goes(unchanged, version):
    """While by the outer one traffic goes on."""
    client, sid = unchanged.clients["r3"], f"{BLOCK}:{terminal('r3', 'a', version)}::"
    inner = client.schema.entry("local_sid", {"dst": f"{sid}1/128"}, "end_dt6", vrf=VRFS["a"])
    for kind in (INSERT, DELETE):
        client.write(kind, [inner])
        assert received(ping("h1", ADDRESSES[version])) == 3


def test_list_that_names_a_vrf_says_nothing_once_it_is_at_its_end(unchanged):
    """The active segment cross-connects; the list, which holds another SID of this node, has no more to say."""
    client, own = unchanged.clients["r3"], f"{BLOCK}:3:f001::"
    crossing = client.schema.entry("local_sid", {"dst": f"{own}/64"}, "end_dx4", next_hop=1)
    client.write(INSERT, [crossing])
    inner = IP(src="10.1.0.2", dst="10.99.0.1") / ICMP()
    segments = IPv6ExtHdrSegmentRouting(addresses=[f"{BLOCK}:{terminal('r3', 'a', 4)}::"], segleft=0, lastentry=0)
    frame = Ether(src=mac("r2", 3), dst=mac("r3", 1)) / IPv6(src="fc00::1", dst=own) / segments / inner
    before = frames("r3", 1)
    for _ in range(20):
        unchanged.clients["r2"].stream.send(3, bytes(frame))
    wait_until(lambda: frames("r3", 1) - before >= 20, "all are sent on", seconds=5)
    client.write(DELETE, [crossing])
