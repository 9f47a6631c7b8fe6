"""Probes around real routers, and the entries that ask for them."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest
from chain_entries import BLOCK
from finsy.proto import p4r
from network_namespace import raw_socket
from p4_client import DELETE, INSERT, outcomes
from protected_headend import AROUND, BACKUP, OWN, POLICY, News, backed, cut, listed, probe, switched
from router_chain import PREFIX, inside, mac
from scapy.layers.inet6 import IPv6, IPv6ExtHdrSegmentRouting
from scapy.layers.l2 import Ether
from waiting import wait_until

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("next_hop", "carriers"),
    [
        (2, [OWN]),
        (1, AROUND[1]),
        (2, AROUND[2]),
        (1, [f"{BLOCK}:2:3:2:e002:1::", OWN]),
        (2, [f"{BLOCK}:2:3::", f"{BLOCK}:2:e001:1::", OWN]),
    ],
    ids=["routed back", "link 1", "link 2", "over r3", "over r3, three carriers"],
)
def test_probes_go_round(headend, next_hop, carriers):
    _, client = headend
    news = News(client)
    client.write(INSERT, [probe(client.schema, 7, carriers, next_hop)])
    news.wait(lambda n: n.up(7), "the probes come back")
    with cut(1, 2):
        news.wait(lambda n: not n.up(7), "the probes are lost")
    news.wait(lambda n: n.up(7), "the probes come back again")


def test_entries_that_are_taken_back_leave_nothing(protected):
    _, client, news = protected
    with cut(1):
        news.wait(lambda n: n.policies[POLICY], "the policy is on its backup")
        client.write(DELETE, [backed(client.schema)])
        wait_until(lambda: not switched(), "traffic is where its policy says")
    chains = inside("r1", "nft", "list", "chains").stdout
    assert f"policy_{BACKUP}" not in chains


def test_a_backup_is_not_removed_from_under_a_policy(protected):
    _, client, _ = protected
    gone = [p4r.Update(type=DELETE, entity=listed(client.schema, BACKUP, 2))]
    ((code, said),) = outcomes(client, gone)
    assert (code.name, "policy_backup" in said) == ("FAILED_PRECONDITION", True)
    more = p4r.Update(type=INSERT, entity=probe(client.schema, 9, AROUND[1], next_hop=99))
    ((code, said),) = outcomes(client, [more])
    assert (code.name, "next hop 99 is none" in said) == ("ABORTED", True)


def test_a_customer_cannot_bring_probes_back(protected):
    """Not even one who has seen them in the core: his copies, whole and with no segments left, come in for nothing."""
    _, _, news = protected
    with closing(raw_socket(PREFIX + "r2", "eth1")) as core, closing(raw_socket(PREFIX + "h1", "eth0")) as customer:
        with cut(1):
            news.wait(lambda n: not n.sessions[1], "the way is down")
            for _ in range(20):
                customer.send(forged(next_probe(core)))
            assert not news.take().sessions[1]
        news.wait(lambda n: n.up(1), "the way is whole")


def next_probe(core):
    """As it left r1."""
    while True:
        frame, source = core.recvfrom(2048)
        if source[2] != socket.PACKET_OUTGOING and frame[6:12] == mac_bytes("r1", 1) and b"\x0e\xc9\x0e\xc9" in frame:
            return frame


def forged(frame):
    """To the MAC of the customer's port, at the end of its list."""
    packet = Ether(frame)
    packet.dst, packet.src = mac("r1", 3), "0a:00:00:00:00:01"
    packet[IPv6].dst = OWN
    packet[IPv6ExtHdrSegmentRouting].segleft = 0
    return bytes(packet)


def mac_bytes(router, port):
    return bytes.fromhex(mac(router, port).replace(":", ""))
