"""What is written is read back from the kernel, entry by entry, and survives what happens to the kernel."""

from __future__ import annotations

import grpc
import pytest
from chain_entries import BLOCK, everything, ternary
from finsy.proto import p4r
from flows import flow
from p4_client import DELETE, INSERT, MODIFY, additions, canonical
from router_chain import inside, mac, reaches
from waiting import wait_until

pytestmark = pytest.mark.root


OK = grpc.StatusCode.OK


def every_action(client):
    """One entry at least of every table and action, none of which carries traffic of the chain."""
    entry = client.schema.entry
    ours = {"src_mac": mac("r2", 3), "dst_mac": "02:00:00:07:d0:01"}
    match = {"vrf": 77, "src": ternary("2001:db8:77::/56"), "dst": ternary("2001:db8:78::7/128"), "dscp": "46/&0x3f"}
    v4 = {"vrf": 77, "dst": ternary("10.77.0.0/20")}
    sid = f"{BLOCK}:2"
    return [
        entry("next_hop", {"next_hop": 2000}, "to_adjacency", port=3, **ours),
        entry("next_hop", {"next_hop": 65535}, "to_adjacency", port=3, **ours),
        entry("next_hop", {"next_hop": 2001}, "to_customer", port=2),
        entry("edge_filter", {"dst": f"{BLOCK}::/32"}, "drop_infrastructure"),
        entry("edge_filter", {"dst": f"{BLOCK}:2::/48"}, "drop_infrastructure"),
        entry("local_sid", {"dst": f"{sid}:f001::/64"}, "end"),
        entry("local_sid", {"dst": f"{sid}:f002::/64"}, "end_x", next_hop=2000),
        entry("local_sid", {"dst": f"{sid}:f003::/64"}, "end_dt6", vrf=77),
        entry("local_sid", {"dst": f"{sid}:f004::/64"}, "end_dt4", vrf=77),
        entry("local_sid", {"dst": f"{sid}:f005::/64"}, "end_dx4", next_hop=65535),
        entry("local_sid", {"dst": f"{BLOCK}:dfff::/48"}, "u_n"),
        entry("local_sid", {"dst": f"{sid}:f006::/64"}, "u_a", next_hop=2000),
        entry("local_sid", {"dst": f"{sid}:f007::/64"}, "u_dt6", vrf=0),
        entry("local_sid", {"dst": f"{sid}:f008::/64"}, "u_dt4", vrf=77),
        entry("local_sid", {"dst": f"{sid}:f009::/64"}, "end_flavors", flavors=1),
        entry("node_address", {"dst": f"{sid}::2"}, "to_node"),
        entry("node_address", {"dst": "::ffff:102:304"}, "to_node"),
        client.schema.group(0, (2000, 1, 3)),
        client.schema.group(65535, (2000, 3, 3), (2001, 60, 2), (65535, 1, 3)),
        entry("route_v6", {"vrf": 77, "dst": "2001:db8:77:2::/64"}, "set_next_hop_group", group=65535),
        entry("route_v6", {"vrf": 0, "dst": f"{BLOCK}:a::/48"}, "set_next_hop_group", group=0),
        entry("route_v4", {"vrf": 77, "dst": "10.77.1.0/24"}, "set_next_hop_group", group=65535),
        entry("policy", {"policy": 1}, "encap_red_1", next_hop=2000, carrier1=f"{BLOCK}:9::"),
        entry("policy", {"policy": 2}, "encap_red_2", next_hop=2000, carrier1=f"{BLOCK}:9::", carrier2="::5"),
        entry("policy", {"policy": 3}, "encap_red_3", next_hop=2000, carrier1="5f00::", carrier2="::5", carrier3="::6"),
        entry("classifier_v6", match, "set_policy", 10, policy=1, corridor=1, mtu=1500),
        entry("classifier_v6", {"vrf": 77}, "set_policy", 9, policy=2, corridor=65534, mtu=9000),
        entry("classifier_v4", v4, "set_policy", 2147483647, policy=3, corridor=1, mtu=1280),
        entry("classifier_v4", v4, "set_policy", 1, policy=1, corridor=1, mtu=1400),
        entry("route_v6", {"vrf": 77, "dst": "2001:db8:77::/64"}, "set_next_hop", next_hop=2001),
        entry("route_v6", {"vrf": 77, "dst": "2001:db8:77:1::/64"}, "drop_route"),
        entry("route_v6", {"vrf": 77}, "drop_route"),
        entry("route_v6", {"vrf": 0, "dst": f"{BLOCK}:9::/48"}, "set_next_hop", next_hop=2000),
        entry("route_v4", {"vrf": 77, "dst": "10.77.0.0/24"}, "set_next_hop", next_hop=2001),
        entry("route_v4", {"vrf": 65535, "dst": "10.77.0.0/24"}, "drop_route"),
        entry("route_v4", {"vrf": 77}, "set_next_hop", next_hop=2000),
        entry("host_v6", {"port": 2, "addr": "2001:db8:77::7"}, "set_dst_mac", mac="0a:00:00:00:00:77"),
        entry("host_v4", {"port": 2, "addr": "10.77.0.7"}, "set_dst_mac", mac="0a:00:00:00:00:77"),
    ]


def removals(entities):
    return [p4r.Update(type=DELETE, entity=entity) for entity in entities]


def test_what_is_written_is_read_back(unchanged):
    client = unchanged.clients["r2"]
    before, entries = client.read_all(), every_action(client)
    meters = [client.schema.meter(index, rate, 40_001) for index, rate in ((1, 1), (2, 1_251_163), (65534, 1 << 33))]
    client.send(additions(entries))
    client.write(MODIFY, meters)
    assert client.read_all() - before == canonical(entries + meters)
    client.send(removals(entries))
    client.write(MODIFY, [client.schema.meter(index) for index in (1, 2, 65534)])


def test_one_table_one_entry_and_one_cell_can_be_read(unchanged):
    client = unchanged.clients["r2"]
    table_id = client.table_id("local_sid")
    sids = client.read(p4r.Entity(table_entry=p4r.TableEntry(table_id=table_id)))
    assert {sid.table_entry.table_id for sid in sids} == {table_id}
    assert len(sids) == 4
    wanted = p4r.Entity()
    wanted.CopyFrom(sids[0])
    wanted.table_entry.ClearField("action")
    assert client.read(wanted) == [sids[0]]
    client.write(MODIFY, [client.schema.meter(index, 1000, 1000) for index in (3, 4)])
    assert len(client.read(client.schema.meter(4))) == 1
    client.write(MODIFY, [client.schema.meter(index) for index in (3, 4)])
    assert client.read(client.schema.meter(4)) == []


def test_modified_entries_are_read_back_modified(unchanged):
    """Every entry becomes another of its kind, also of another action, and back."""
    client = unchanged.clients["r2"]
    entry = client.schema.entry
    adjacency = {"src_mac": mac("r2", 3), "dst_mac": "02:00:00:07:d0:02"}
    other = {"src_mac": mac("r2", 1), "dst_mac": "02:00:00:07:d0:03"}
    sid, dst, dst4 = (
        {"dst": f"{BLOCK}:2:f001::/64"},
        {"vrf": 8, "dst": "2001:db8::/64"},
        {"vrf": 8, "dst": "10.8.0.0/16"},
    )
    base = [
        entry("next_hop", {"next_hop": 50}, "to_adjacency", port=3, **adjacency),
        entry("next_hop", {"next_hop": 51}, "to_adjacency", port=1, **other),
    ]
    forms = [
        [entry("local_sid", sid, action, **params) for action, params in SID_FORMS],
        [entry("route_v6", dst, "drop_route"), entry("route_v6", dst, "set_next_hop", next_hop=50)],
        [
            entry("route_v4", dst4, "drop_route"),
            entry("route_v4", dst4, "set_next_hop_group", group=8),
            entry("route_v4", dst4, "set_next_hop", next_hop=51),
        ],
        [entry("policy", {"policy": 8}, "encap_red_1", next_hop=n, carrier1=c) for n, c in ((50, "::1"), (51, "::2"))],
        [
            entry("next_hop", {"next_hop": 52}, "to_adjacency", port=1, **other),
            entry("next_hop", {"next_hop": 52}, "to_customer", port=1),
            entry("next_hop", {"next_hop": 52}, "to_adjacency", port=3, **adjacency),
        ],
        [client.schema.group(8, *members) for members in (((50, 1, 3),), ((50, 2, 3), (51, 5, 1)), ((51, 1, 1),))],
        [entry("classifier_v6", {"vrf": 8}, "set_policy", 5, policy=p, corridor=p, mtu=1500 + p) for p in (8, 9)],
    ]
    client.write(INSERT, base)
    before = client.read_all()
    client.write(INSERT, [versions[-1] for versions in forms])
    for versions in forms:
        for version in versions:
            client.write(MODIFY, [version])
            assert client.read_all() - before == canonical([version, *(v[-1] for v in forms if v is not versions)])
    client.write(DELETE, [versions[-1] for versions in forms])
    client.write(DELETE, base)


SID_FORMS = [
    ("end", {}),
    ("u_dt6", {"vrf": 8}),
    ("end_dt4", {"vrf": 8}),
    ("u_a", {"next_hop": 50}),
    ("u_dt4", {"vrf": 9}),
    ("end_dx4", {"next_hop": 51}),
    ("end_dt6", {"vrf": 9}),
    ("end_flavors", {"flavors": 1}),
    ("end_x", {"next_hop": 51}),
]


BY_HAND = [
    ("route", ["ip", "-6", "route", "del", f"{BLOCK}:3::/48"], 1),
    ("SID", ["ip", "-6", "route", "del", f"{BLOCK}:2:e001::/64", "table", "262144"], 1),
    ("rule", ["ip", "rule", "del", "pref", "70", "fwmark", "0x1/0xffff"], 1),
    ("policy", ["ip", "route", "del", "default", "table", "131073"], 1),
    ("neighbour", ["ip", "neigh", "del", "fdc0:de::7d0", "dev", "eth3"], 1),
    ("group's routes", ["ip", "nexthop", "del", "id", str(0x10000 | 65535)], 3),
    ("node address", ["nft", "flush", "set", "inet", "corridor", "node_addresses"], 2),
    ("node's route", ["ip", "-6", "route", "del", "local", f"{BLOCK}:2::2", "table", "262144"], 1),
    ("host", ["ip", "neigh", "del", "10.77.0.7", "dev", "eth2"], 1),
    ("class", ["tc", "class", "del", "dev", "eth3", "classid", "1:5"], 1),
    ("element", ["nft", "delete", "element", "inet", "corridor", "network_ports", "{ eth3 }"], 1),
    ("chain", ["nft", "flush", "chain", "inet", "corridor", "classify_v6_77"], 2),
    ("edge filter", ["nft", "flush", "chain", "inet", "corridor", "edge_filter"], 2),
]


def test_what_is_deleted_by_hand_is_gone_and_can_be_written_again(unchanged):
    client = unchanged.clients["r2"]
    original, meter = client.read_all(), client.schema.meter(5, 1_000_000, 20_000)
    entries = every_action(client)
    client.send(additions(entries))
    client.write(MODIFY, [meter])
    whole = client.read_all()
    for what, command, count in BY_HAND:
        inside("r2", *command)
        missing = whole - client.read_all()
        assert len(missing) == count, what
        again = [p4r.Entity.FromString(entity) for entity in missing]
        client.write(MODIFY if what == "class" else INSERT, again)
        assert client.read_all() == whole, what
    client.send(removals(entries))
    client.write(MODIFY, [client.schema.meter(5)])
    assert client.read_all() == original


def test_what_stands_under_the_entries_comes_back_too(unchanged):
    """All of nftables flushed by hand, the fence and the SID device gone: written again, it forwards as before."""
    client = unchanged.clients["r3"]
    whole = client.read_all()
    inside("r3", "nft", "flush", "ruleset")
    inside("r3", "ip", "link", "del", "sr0")
    inside("r3", "ip", "-6", "rule", "del", "pref", "50")
    client.set_pipeline()
    missing = [p4r.Entity.FromString(entity) for entity in whole - client.read_all()]
    assert len(missing) > 10
    client.write(INSERT, missing)
    assert client.read_all() == whole
    inside("r3", "nft", "flush", "ruleset")
    missing = [p4r.Entity.FromString(entity) for entity in whole - client.read_all()]
    client.write(INSERT, missing)
    assert client.read_all() == whole
    assert all(reaches(host, address) for host in ("h1", "h1b") for address in ("10.3.0.2", "2001:db8:3::2"))


def test_foreign_things_are_neither_shown_nor_touched(unchanged):
    client = unchanged.clients["r2"]
    before, entry = client.read_all(), client.schema.entry
    inside("r2", "ip", "-6", "route", "add", "2001:db8:f::/64", "dev", "eth3", "proto", "static")
    inside("r2", "ip", "nexthop", "add", "id", "900", "dev", "eth3", "protocol", "static")
    inside("r2", "ip", "nexthop", "add", "id", str(0x10000 | 9), "group", "900", "protocol", "static")
    inside("r2", "nft", "add table inet foreign")
    assert client.read_all() == before
    mine = [
        entry("route_v6", {"vrf": 0, "dst": "2001:db8:f::/64"}, "drop_route"),
        entry("next_hop", {"next_hop": 900}, "to_customer", port=2),
        client.schema.group(9, (3, 1, 3)),
    ]
    assert client.errors(additions(mine)) == [grpc.StatusCode.ALREADY_EXISTS] * 3
    assert "static" in inside("r2", "ip", "-6", "route", "show", "2001:db8:f::/64").stdout
    assert "static" in inside("r2", "ip", "nexthop", "show", "id", "900").stdout
    inside("r2", "ip", "-6", "route", "del", "2001:db8:f::/64")
    assert "group 900" in inside("r2", "ip", "nexthop", "show", "id", str(0x10000 | 9)).stdout
    inside("r2", "ip", "nexthop", "del", "id", "900")
    inside("r2", "nft", "delete table inet foreign")


def test_restarted_agent_adopts_what_stands(unchanged):
    client, agent = unchanged.clients["r1"], unchanged.agents["r1"]
    client.write(MODIFY, [client.schema.meter(5, 10_000_000, 20_000)])
    before = client.read_all()
    counted = client.count(5)
    with flow("h1", "h3", "10.3.0.2", size=200, per_second=1000, count=3500) as result:
        client.close()
        agent.kill()
        agent.restart()
        client = unchanged.connect("r1", election_id=1)
        assert client.read_all() == before
    assert result.lost == 0
    assert client.count(5)[0] >= counted[0] + 3500
    assert reaches("h1", "2001:db8:3::2")
    client.write(MODIFY, [client.schema.meter(5)])


def test_entries_of_a_dead_port_are_gone_until_written_again(unchanged):
    """The kernel drops next hops and routes with their link; what is written meanwhile is refused as transient."""
    client = unchanged.clients["r1"]
    whole = client.read_all()
    inside("r2", "ip", "link", "set", "eth2", "down")
    try:
        wait_until(lambda: len(whole - client.read_all()) >= 1, "the next hop of port 2 is gone")
        missing = [p4r.Entity.FromString(entity) for entity in whole - client.read_all()]
        assert client.schema.entry("next_hop", *NEXT_HOP_2[0], **NEXT_HOP_2[1]) in missing
        codes = client.errors([p4r.Update(type=INSERT, entity=entity) for entity in missing])
        assert set(codes) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, OK}
        assert grpc.StatusCode.UNAVAILABLE in codes
    finally:
        inside("r2", "ip", "link", "set", "eth2", "up")
    wait_until(lambda: "LOWER_UP" in inside("r1", "ip", "link", "show", "eth2").stdout, "carrier is back")
    for router in ("r1", "r2"):
        here = unchanged.clients[router]
        wanted = canonical(everything(here.schema, router))
        here.write(INSERT, [p4r.Entity.FromString(entity) for entity in wanted - here.read_all()])
    assert client.read_all() == whole
    assert reaches("h1", "10.3.0.2")


NEXT_HOP_2 = (
    ({"next_hop": 2}, "to_adjacency"),
    {"port": 2, "src_mac": mac("r1", 2), "dst_mac": mac("r2", 2)},
)


def test_default_actions_can_be_read_and_the_tunnel_source_reset(unchanged):
    client = unchanged.clients["r2"]
    source = client.schema.entry("tunnel_source", {}, "set_tunnel_source", addr=f"{BLOCK}:2::1")
    asked = p4r.Entity(table_entry=p4r.TableEntry(table_id=client.table_id("tunnel_source"), is_default_action=True))
    assert canonical(client.read(asked)) == canonical([source])
    client.write(MODIFY, [asked])
    assert client.read(asked) == []
    client.write(MODIFY, [source])
    defaults = client.read(p4r.Entity(table_entry=p4r.TableEntry(is_default_action=True)))
    assert len(defaults) == len(client.schema.p4info.tables)


def test_everything_written_at_once_is_what_the_chain_stands_on(chain):
    for router, client in chain.clients.items():
        assert canonical(everything(client.schema, router)) <= client.read_all()
