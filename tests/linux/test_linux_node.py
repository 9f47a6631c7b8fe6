"""The node's own addresses: the kernel answers echo requests of the network, STAMP is punted, all else ends there."""

from __future__ import annotations

import pytest
from chain_entries import BLOCK, VRFS, locator
from p4_client import DELETE, INSERT, MODIFY
from router_chain import inside, mac, reaches
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrSegmentRouting
from scapy.layers.l2 import Ether
from test_linux_forwarding import ADDRESSES, forge_frame, frames
from waiting import wait_until

pytestmark = pytest.mark.root
NODE, OTHER = f"{locator('r2')}::2", f"{locator('r2')}::3"
ASKER = f"{locator('r1')}::9"
STAMP = IPv6(src=ASKER, dst=NODE) / UDP(sport=4000, dport=862) / bytes(44)
ANSWERS = ("Icmp6OutEchoReplies", "Icmp6OutDestUnreachs", "Icmp6OutParmProblems", "Tcp6OutRsts")


@pytest.fixture
def node(unchanged):
    """r2 with an address of its own."""
    client = unchanged.clients["r2"]
    entry = client.schema.entry("node_address", {"dst": NODE}, "to_node")
    client.write(INSERT, [entry])
    yield unchanged
    unchanged.clients["r2"].write(DELETE, [entry])


def framed(packet, source="r1", port=1, neighbour=("r2", 1)):
    return bytes(Ether(src=mac(source, port), dst=mac(*neighbour)) / packet)


def answers(router="r2"):
    """What the router's kernel has sent of its own so far, by kind."""
    lines = inside(router, "cat", "/proc/net/snmp6").stdout.splitlines()
    found = dict(line.split() for line in lines)
    resets = inside(router, "cat", "/proc/net/snmp").stdout.splitlines()
    names, values = (line.split() for line in resets if line.startswith("Tcp:"))
    found["Tcp6OutRsts"] = values[names.index("OutRsts")]
    return {name: int(found[name]) for name in ANSWERS}


def ask(chain, *packets, port=1, neighbour=("r2", 1)):
    """Send packets out of r1 and, last, an echo request that is answered: then the others have been dealt with."""
    before = answers()
    stream = chain.clients["r1"].stream
    for packet in packets:
        stream.send(port, framed(packet, port=port, neighbour=neighbour))
    stream.send(1, framed(IPv6(src=ASKER, dst=NODE) / ICMPv6EchoRequest()))
    wait_until(lambda: answers()["Icmp6OutEchoReplies"] > before["Icmp6OutEchoReplies"], "the last is answered")
    after = answers()
    return (
        {name: after[name] - before[name] for name in ANSWERS}
        | {"Icmp6OutEchoReplies": 0}
        | {"echoes": after["Icmp6OutEchoReplies"] - before["Icmp6OutEchoReplies"] - 1}
    )


def test_echo_requests_are_answered_to_whom_a_route_leads(node):
    before = frames("r2", 1)
    assert ask(node, *[IPv6(src=ASKER, dst=NODE) / ICMPv6EchoRequest(seq=n) for n in range(5)])["echoes"] == 5
    assert frames("r2", 1) - before >= 6


@pytest.mark.parametrize(
    "packet",
    [
        IPv6(src=ASKER, dst=NODE) / UDP(dport=9) / b"x",
        IPv6(src=ASKER, dst=NODE) / TCP(dport=22, flags="S"),
        IPv6(src=ASKER, dst=NODE, nh=200) / b"x",
        IPv6(src=ASKER, dst=NODE)
        / IPv6ExtHdrSegmentRouting(addresses=[ADDRESSES[6], NODE], segleft=1, lastentry=1)
        / ICMPv6EchoRequest(),
        IPv6(src=ASKER, dst=NODE) / IPv6(src=ASKER, dst=NODE) / ICMPv6EchoRequest(),
        STAMP,
    ],
    ids=["udp", "tcp", "unknown", "segments left", "tunnel", "stamp"],
)
def test_all_else_ends_without_an_answer(node, packet):
    assert set(ask(node, packet).values()) == {0}
    while not node.clients["r2"].stream.packets.empty():
        node.clients["r2"].stream.packets.get_nowait()


def test_stamp_is_punted_as_it_arrived(node):
    packets = node.clients["r2"].stream.packets
    for port in (1, 2):
        sent = framed(STAMP, port=port, neighbour=("r2", port))
        node.clients["r1"].stream.send(port, sent)
        packet = packets.get(timeout=5)
        assert (packet.payload, packet.metadata[0].value) == (sent, bytes([port]))
    for packet, neighbour in (
        (IPv6(src=ASKER, dst=OTHER) / UDP(dport=862), ("r2", 1)),
        (IPv6(src=ASKER, dst=NODE) / UDP(dport=863, sport=862), ("r2", 1)),
        (STAMP, ("r3", 1)),
    ):
        ask(node, packet, neighbour=neighbour)
        assert packets.empty()


def test_decapsulated_packets_and_sid_lists_do_not_reach_the_node(node):
    """Inside a tunnel the address belongs to the VRF, where nobody has it."""
    into_vrf = f"{BLOCK}:2:f001::"
    client = node.clients["r2"]
    sid = client.schema.entry("local_sid", {"dst": f"{into_vrf}/64"}, "u_dt6", vrf=7)
    client.write(INSERT, [sid])
    inner = IPv6(src=ASKER, dst=NODE) / ICMPv6EchoRequest()
    assert ask(node, IPv6(src=ASKER, dst=into_vrf) / inner)["echoes"] == 0
    client.write(DELETE, [sid])


@pytest.mark.parametrize("vrf", [VRFS["a"], 0])
def test_customers_do_not_reach_the_node(unchanged, echoes, vrf):
    """Not even where no edge filter stands before it, nor with STAMP, nor from a port in the underlay's VRF."""
    client = unchanged.clients["r1"]
    ports = [
        client.schema.entry("port_role", {"port": 3}, "customer", mac=mac("r1", 3), vrf=v) for v in (vrf, VRFS["a"])
    ]
    client.write(MODIFY, ports[:1])
    own = "2001:db8:ffff::1"
    entry = client.schema.entry("node_address", {"dst": own}, "to_node")
    client.write(INSERT, [entry])
    before = echoes("r1")[1]
    for packet in (
        IPv6(src="2001:db8:1::2", dst=own) / ICMPv6EchoRequest(),
        IPv6(src="2001:db8:1::2", dst=own) / UDP(dport=862) / bytes(44),
    ):
        forge_frame("h1", bytes(Ether(src="0a:00:00:00:00:01", dst=mac("r1", 3)) / packet))
    client.write(MODIFY, ports[1:])
    assert reaches("h1", ADDRESSES[6])
    assert echoes("r1")[1] == before
    assert unchanged.clients["r1"].stream.packets.empty()
    client.write(DELETE, [entry])


def test_restarted_agent_punts_again(node):
    client, agent = node.clients["r2"], node.agents["r2"]
    standing = client.read_all()
    client.close()
    agent.kill()
    agent.restart()
    client = node.connect("r2", election_id=1)
    assert client.read_all() == standing
    node.clients["r1"].stream.send(1, framed(STAMP))
    assert client.stream.packets.get(timeout=5).payload == framed(STAMP)


def test_deleted_address_is_nobodys(unchanged):
    client = unchanged.clients["r2"]
    entry = client.schema.entry("node_address", {"dst": NODE}, "to_node")
    client.write(INSERT, [entry])
    client.write(DELETE, [entry])
    before = answers()
    for packet in (STAMP, IPv6(src=ASKER, dst=NODE) / ICMPv6EchoRequest()):
        unchanged.clients["r1"].stream.send(1, framed(packet))
    client.write(INSERT, [entry])
    assert set(ask(unchanged).values()) == {0}
    assert answers()["Icmp6OutEchoReplies"] == before["Icmp6OutEchoReplies"] + 1
    assert client.stream.packets.empty()
    client.write(DELETE, [entry])
