"""What is wrong, stale or in use is refused, update by update, and changes nothing."""

from __future__ import annotations

import grpc
import pytest
from chain_entries import BLOCK
from finsy.proto import U128, p4r
from p4_client import DELETE, INSERT, MODIFY, Client, outcomes
from router_chain import mac
from waiting import wait_until

pytestmark = pytest.mark.root


def test_a_batch_goes_on_after_an_error(unchanged):
    client = unchanged.clients["r2"]
    entry = client.schema.entry
    good = entry("route_v6", {"vrf": 7, "dst": "2001:db8:1::/64"}, "drop_route")
    other = entry("route_v4", {"vrf": 7, "dst": "10.0.0.0/8"}, "drop_route")
    dangling = entry("route_v6", {"vrf": 7, "dst": "2001:db8:2::/64"}, "set_next_hop", next_hop=999)
    codes = client.errors(
        [
            p4r.Update(type=INSERT, entity=good),
            p4r.Update(type=INSERT, entity=good),
            p4r.Update(type=MODIFY, entity=other),
            p4r.Update(type=DELETE, entity=other),
            p4r.Update(type=INSERT, entity=dangling),
            p4r.Update(type=INSERT, entity=other),
        ]
    )
    assert [code.name for code in codes] == [
        "OK",
        "ALREADY_EXISTS",
        "NOT_FOUND",
        "NOT_FOUND",
        "ABORTED",
        "OK",
    ]
    client.write(DELETE, [good, other])


def test_what_is_in_use_stays(unchanged):
    """The kernel would drop every route with its next hop; here the removal is refused and the rest goes on."""
    client = unchanged.clients["r2"]
    used = client.schema.entry(
        "next_hop", {"next_hop": 3}, "to_adjacency", port=3, src_mac=mac("r2", 3), dst_mac=mac("r3", 1)
    )
    customer = client.schema.entry("next_hop", {"next_hop": 3}, "to_customer", port=3)
    updates = [p4r.Update(type=DELETE, entity=used), p4r.Update(type=MODIFY, entity=customer)]
    assert client.errors(updates[:1]) == [grpc.StatusCode.FAILED_PRECONDITION]
    assert client.errors(updates[1:]) == [grpc.StatusCode.FAILED_PRECONDITION]


INVALID, UNIMPLEMENTED = "INVALID_ARGUMENT", "UNIMPLEMENTED"


SOUND = {"policy": 1, "corridor": 1, "mtu": 1500}


WRONG = [
    ("local_sid", {"dst": f"{BLOCK}:2::/64"}, "u_n", {}, 0, INVALID),
    ("local_sid", {"dst": f"{BLOCK}:f00f::/48"}, "u_a", {"next_hop": 3}, 0, INVALID),
    ("local_sid", {"dst": f"{BLOCK}:2:f00f::/64"}, "u_a", {"next_hop": 101}, 0, "ABORTED"),
    ("port_role", {"port": 3}, "network", {"mac": mac("r2", 1)}, 0, INVALID),
    ("port_role", {"port": 99}, "network", {"mac": mac("r2", 1)}, 0, INVALID),
    ("next_hop", {"next_hop": 0}, "to_customer", {"port": 2}, 0, INVALID),
    ("next_hop", {"next_hop": 9}, "to_adjacency", {"port": 3, "src_mac": 5, "dst_mac": 6}, 0, INVALID),
    ("policy", {"policy": 0x8000}, "encap_red_1", {"next_hop": 3, "carrier1": "::1"}, 0, INVALID),
    ("classifier_v6", {"vrf": 1}, "set_policy", {"policy": 1, "corridor": 1, "mtu": 1279}, 1, INVALID),
    ("classifier_v6", {"vrf": 1}, "set_policy", {"policy": 1, "corridor": 0, "mtu": 1500}, 1, INVALID),
    ("classifier_v4", {"vrf": 1, "src": "5/&7"}, "set_policy", SOUND, 1, UNIMPLEMENTED),
    ("classifier_v4", {"vrf": 1, "dscp": "8/&8"}, "set_policy", SOUND, 1, UNIMPLEMENTED),
    ("classifier_v4", {"vrf": 1}, "set_policy", SOUND, 0, INVALID),
    ("host_v6", {"port": 2, "addr": "fdc0:de::1"}, "set_dst_mac", {"mac": 1}, 0, INVALID),
    ("node_address", {"dst": "ff02::1"}, "to_node", {}, 0, INVALID),
    ("node_address", {"dst": "::1"}, "to_node", {}, 0, INVALID),
    ("node_address", {"dst": "fe80::1"}, "to_node", {}, 0, INVALID),
    # What the kernel has not, or does in its own way.
    ("gateway", {"port": 2}, "set_gateway", {"ipv4": "10.0.0.1", "ipv6": "2001:db8::1"}, 0, UNIMPLEMENTED),
    ("color_policy", {"corridor": 5, "color": 2}, "drop_colored", {}, 0, UNIMPLEMENTED),
    ("color_policy", {"corridor": 5, "color": 1}, "mark_dscp", {"dscp": 8}, 0, UNIMPLEMENTED),
    ("local_sid", {"dst": f"{BLOCK}:2:f010::/64"}, "end_flavors", {"flavors": 0}, 0, UNIMPLEMENTED),
    ("local_sid", {"dst": f"{BLOCK}:2:f011::/64"}, "end_flavors", {"flavors": 2}, 0, UNIMPLEMENTED),
    ("local_sid", {"dst": f"{BLOCK}:2:f012::/64"}, "end_flavors", {"flavors": 3}, 0, UNIMPLEMENTED),
    ("local_sid", {"dst": f"{BLOCK}:2:f013::/64"}, "end_flavors", {"flavors": 5}, 0, UNIMPLEMENTED),
    ("local_sid", {"dst": f"{BLOCK}:2:f014::/64"}, "end_x_flavors", {"next_hop": 3, "flavors": 1}, 0, UNIMPLEMENTED),
]


def test_wrong_entries_are_refused_one_by_one(unchanged):
    client = unchanged.clients["r2"]
    entry = client.schema.entry
    updates = [
        p4r.Update(type=INSERT, entity=entry(table, match, action, priority, **params))
        for table, match, action, params, priority, _ in WRONG
    ]
    assert [code.name for code in client.errors(updates)] == [code for *_, code in WRONG]


def test_meters_and_counters_that_the_kernel_has_not_are_refused(unchanged):
    """Written: with words for each. Read: a meter has no cells, a counter that nobody keeps is an error."""
    client = unchanged.clients["r2"]
    meter = client.schema.meter
    cells = [meter(2, 10, 10, name="icmp_limit"), meter(2, name="icmp_limit"), meter(5, 1000, 2000, peak=1001)]
    found = outcomes(client, [p4r.Update(type=MODIFY, entity=cell) for cell in cells])
    assert [code.name for code, _ in found] == [UNIMPLEMENTED] * 3
    assert [words.partition(":")[0] for _, words in found] == ["icmp_limit"] * 2 + ["a shaper has one rate"]
    assert client.read(meter(2, name="icmp_limit")) == []
    for index in (5, None):
        asked = client.schema.counter(5, "drop_counter")
        if index is None:
            asked.counter_entry.ClearField("index")
        with pytest.raises(grpc.RpcError) as refused:
            client.read(asked)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    counted = client.read(p4r.Entity(counter_entry=p4r.CounterEntry()))
    known = {
        client.schema.counter(0, name).counter_entry.counter_id for name in ("corridor_counter", "oversize_counter")
    }
    assert {item.counter_entry.counter_id for item in counted} <= known


def test_a_customers_port_is_no_adjacency(unchanged):
    """A policy and the SIDs that cross-connect send to an address, and a port names none."""
    client = unchanged.clients["r3"]
    entry, customer = client.schema.entry, 105
    updates = [
        p4r.Update(type=INSERT, entity=entity)
        for entity in (
            entry("local_sid", {"dst": f"{BLOCK}:3:f001::/64"}, "end_dx4", next_hop=customer),
            entry("local_sid", {"dst": f"{BLOCK}:3:f002::/64"}, "end_x", next_hop=customer),
            entry("local_sid", {"dst": f"{BLOCK}:3:f003::/64"}, "u_a", next_hop=customer),
            entry("policy", {"policy": 7}, "encap_red_1", next_hop=customer, carrier1="::1"),
        )
    ]
    found = outcomes(client, updates)
    assert [code.name for code, _ in found] == [UNIMPLEMENTED] * 4
    assert found[0][1] == "next hop 105 is no adjacency, and end_dx4 takes no other"


def test_what_the_contract_does_not_have_is_refused(unchanged):
    client = unchanged.clients["r2"]
    schema = client.schema
    route = schema.entry("route_v6", {"vrf": 7, "dst": "2001:db8:1::/64"}, "drop_route")
    wrong = []
    for change in (
        lambda e: setattr(e.table_entry, "table_id", 0x02FFFFFF),
        lambda e: setattr(e.table_entry.action.action, "action_id", 0x01FFFFFF),
        lambda e: setattr(e.table_entry.action.action, "action_id", schema.schema.actions["u_n"].id),
        lambda e: e.table_entry.action.action.params.add(param_id=9, value=b"\1"),
        lambda e: setattr(e.table_entry.match[0], "field_id", 77),
        lambda e: setattr(e.table_entry.match[0].exact, "value", b"\1\0\0"),
        lambda e: setattr(e.table_entry.match[1].lpm, "prefix_len", 16),
        lambda e: setattr(e.table_entry, "metadata", b"x"),
        lambda e: e.Clear() or e.table_entry.SetInParent(),
        lambda e: e.Clear() or e.action_profile_member.SetInParent(),
        lambda e: e.Clear() or e.CopyFrom(schema.counter(3)),
    ):
        entity = p4r.Entity()
        entity.CopyFrom(route)
        change(entity)
        wrong.append(p4r.Update(type=INSERT, entity=entity))
    wrong.append(p4r.Update(type=INSERT, entity=schema.meter(4, 1000, 1000)))
    wrong.append(p4r.Update(entity=route))
    codes = [code.name for code in client.errors(wrong)]
    assert codes == [INVALID] * 7 + [UNIMPLEMENTED, INVALID, UNIMPLEMENTED, UNIMPLEMENTED, INVALID, INVALID]


def test_only_the_primary_writes(unchanged):
    """A newer controller fences the older one off, and the bar stays when it leaves."""
    client = unchanged.clients["r2"]
    route = client.schema.entry("route_v6", {"vrf": 7, "dst": "2001:db8:1::/64"}, "drop_route")
    successor = Client(unchanged.agents["r2"].address, client.device_id, election_id=(1 << 64) + 5).lead()
    for stage in ("while the successor leads", "after it left"):
        with pytest.raises(grpc.RpcError) as refused:
            client.write(INSERT, [route])
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED, stage
        with pytest.raises(grpc.RpcError) as refused:
            client.set_pipeline()
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED, stage
        successor.close()
    client.election_id = (1 << 64) + 5
    client.stream.arbitrate(client.election_id)
    wait_until(lambda: client.stream.status() == 0, "primary again")
    client.write(INSERT, [route])
    client.write(DELETE, [route])


def test_pipeline_without_the_contract_is_refused(unchanged):
    client = unchanged.clients["r2"]
    request = p4r.SetForwardingPipelineConfigRequest(device_id=client.device_id)
    request.action = p4r.SetForwardingPipelineConfigRequest.VERIFY
    request.election_id.CopyFrom(U128.encode(client.election_id))
    request.config.p4info.CopyFrom(client.schema.p4info)
    client.stub.SetForwardingPipelineConfig(request, timeout=5)
    del request.config.p4info.tables[0]
    with pytest.raises(grpc.RpcError) as refused:
        client.stub.SetForwardingPipelineConfig(request, timeout=5)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    answer = client.stub.GetForwardingPipelineConfig(
        p4r.GetForwardingPipelineConfigRequest(device_id=client.device_id), timeout=5
    )
    assert answer.config.cookie.cookie == 4711
    assert answer.config.p4info == client.schema.p4info
