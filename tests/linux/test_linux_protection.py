"""Probes around real routers, and policies that a headend switches by itself, whatever its main program does.

A cut is a filter at the far node: no port of the headend goes down, so nothing but its probes can tell.
"""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest
from chain_entries import BLOCK, VRFS, default_carriers, locator
from finsy.proto import p4r
from flows import flow
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from p4_client import DELETE, INSERT, canonical_bytes
from router_chain import inside
from waiting import wait_until

pytestmark = pytest.mark.root
OWN = f"{locator('r1')}::1"
AROUND = {link: [f"{BLOCK}:2:{0xE000 + link:x}:1::", OWN] for link in (1, 2)}
"""Out by one of the parallel links to r2, and back by the same."""
POLICY, BACKUP = 10 * VRFS["a"] + 6, 156
"""Customer a's IPv6 corridor from r1 goes by link 1; the backup goes by link 2."""
FAR = "2001:db8:3::2"
PER_SECOND = 2000
LIMIT = 0.050 * PER_SECOND
"""Packets of 50 ms."""


class News:
    """What a headend has said of its sessions and policies last."""

    def __init__(self, client):
        self._client = client
        self.sessions, self.policies, self.moves, self.downs = {}, {}, [], []

    def take(self):
        while not self._client.stream.others.empty():
            said = Struct()
            assert self._client.stream.others.get().Unpack(said)
            news = MessageToDict(said)
            for item in news["sessions"]:
                self.sessions[int(item["session"])] = item["up"]
                self.downs += [int(item["session"])] * (not item["up"])
            for item in news["policies"]:
                self.policies[int(item["policy"])] = item["on_backup"]
                self.moves += [item["reason"]] * bool(item["reason"])
        return self

    def up(self, *sessions):
        return all(self.take().sessions.get(session) for session in sessions)

    def wait(self, condition, what):
        wait_until(lambda: condition(self.take()), what)


def probe(schema, session, carriers, next_hop, interval_us=10_000, detect_us=25_000):
    named = {f"carrier{n}": carrier for n, carrier in enumerate(carriers, 1)}
    times = {"interval_us": interval_us, "detect_us": detect_us}
    return schema.entry(
        "path_probe", {"session": session}, f"probe_{len(carriers)}", next_hop=next_hop, **times, **named
    )


def backed(schema, policy=POLICY, hold_off_ms=0, wait_to_restore_ms=300, revertive=1):
    times = {"hold_off_ms": hold_off_ms, "wait_to_restore_ms": wait_to_restore_ms, "revertive": revertive}
    return schema.entry(
        "policy_backup", {"policy": policy}, "set_backup", backup=BACKUP, session=1, backup_session=2, **times
    )


def listed(schema, policy, next_hop):
    (carrier,) = default_carriers("r1", "a")[6]
    return schema.entry("policy", {"policy": policy}, "encap_red_1", next_hop=next_hop, carrier1=carrier)


@pytest.fixture
def headend(unchanged):
    """r1 with an address of its own, whatever it is given during the test taken away again."""
    client = unchanged.clients["r1"]
    address = client.schema.entry("node_address", {"dst": OWN}, "to_node")
    client.write(INSERT, [address])
    before = client.read_all()
    yield unchanged.agents["r1"], client
    client = unchanged.clients["r1"]
    for table in ("policy_backup", "path_probe", "policy"):
        asked = p4r.Entity(table_entry=p4r.TableEntry(table_id=client.table_id(table)))
        added = [entity for entity in client.read(asked) if canonical_bytes(entity) not in before]
        if added:
            client.write(DELETE, added)
    client.write(DELETE, [address])


@pytest.fixture
def protected(headend):
    """Customer a's corridor with its backup, both ways watched and whole."""
    agent, client = headend
    news = News(client)
    protect(client, news)
    return agent, client, news


def protect(client, news, **times):
    schema = client.schema
    client.write(INSERT, [listed(schema, BACKUP, 2)])
    client.write(INSERT, [probe(schema, link, AROUND[link], link) for link in AROUND])
    client.write(INSERT, [backed(schema, **times)])
    news.wait(lambda n: n.up(1, 2), "both ways are whole")


@contextmanager
def cut(*links, router="r2"):
    """Nothing arrives by these links, nor does anybody see a port go down."""
    names = ", ".join(f'"eth{link}"' for link in links)
    lines = (
        "add table inet cut",
        "add chain inet cut arrivals { type filter hook prerouting priority -400; policy accept; }",
        f"add rule inet cut arrivals iifname {{ {names} }} drop",
    )
    inside(router, "nft", "; ".join(lines))
    try:
        yield
    finally:
        inside(router, "nft", "delete table inet cut")


def customer_flow(seconds):
    return flow("h1", "h3", FAR, size=200, per_second=PER_SECOND, count=int(seconds * PER_SECOND))


def sent_by(link):
    return int(inside("r1", "cat", f"/sys/class/net/eth{link}/statistics/tx_packets").stdout)


def runs_by(link):
    """Wait until the flow takes this link."""
    before = sent_by(link)
    wait_until(lambda: sent_by(link) > before + 200, f"the flow runs by link {link}")


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


def test_a_cut_costs_less_than_50_ms_and_the_way_back_nothing(protected):
    _, client, news = protected
    standing = client.read_all()
    with customer_flow(2) as lost_by_cut:
        runs_by(1)
        with cut(1):
            news.wait(lambda n: n.policies[POLICY], "the policy is on its backup")
            assert client.read_all() == standing, "what the controller wrote is what it reads"
            time.sleep(0.5)
    assert news.moves[0] == "SIGNAL_FAIL"
    news.wait(lambda n: not n.policies[POLICY], "traffic has its own list again")
    assert news.moves == ["SIGNAL_FAIL", "REVERTED"]
    print(f"cut: {lost_by_cut.lost / PER_SECOND * 1000:.1f} ms")
    assert 0 < lost_by_cut.lost < LIMIT
