"""The compiled pipeline covers the contract, and is what its source compiles to."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from finsy.proto import p4i
from google.protobuf import text_format

ROOT = Path(__file__).resolve().parents[2]
P4 = ROOT / "p4"

# The contract with every packet target, by hand. Ids must never change: targets and stored pipelines rely on them.
ROUTED = {"set_next_hop", "set_next_hop_group", "drop_route"}
# table: (id, {field: (kind, bits)}, {action: id})
TABLES = {
    "port_role": (0x02000001, {"port": ("EXACT", 9)}, {"network", "customer"}),
    "edge_filter": (0x02000002, {"dst": ("LPM", 128)}, {"drop_infrastructure"}),
    "local_sid": (
        0x02000003,
        {"dst": ("LPM", 128)},
        {"end", "end_x", "end_flavors", "end_x_flavors", "end_dt6", "end_dt4", "end_dx4"}
        | {"u_n", "u_a", "u_dt6", "u_dt4"},
    ),
    "classifier_v6": (
        0x02000004,
        {"vrf": ("EXACT", 16), "src": ("TERNARY", 128), "dst": ("TERNARY", 128), "dscp": ("TERNARY", 6)},
        {"set_policy"},
    ),
    "classifier_v4": (
        0x02000005,
        {"vrf": ("EXACT", 16), "src": ("TERNARY", 32), "dst": ("TERNARY", 32), "dscp": ("TERNARY", 6)},
        {"set_policy"},
    ),
    "policy": (0x02000006, {"policy": ("EXACT", 16)}, {"encap_red_1", "encap_red_2", "encap_red_3"}),
    "route_v6": (0x02000007, {"vrf": ("EXACT", 16), "dst": ("LPM", 128)}, ROUTED),
    "route_v4": (0x02000008, {"vrf": ("EXACT", 16), "dst": ("LPM", 32)}, ROUTED),
    "next_hop": (0x02000009, {"next_hop": ("EXACT", 16)}, {"to_adjacency", "to_customer"}),
    "host_v6": (0x0200000A, {"port": ("EXACT", 9), "addr": ("EXACT", 128)}, {"set_dst_mac"}),
    "host_v4": (0x0200000B, {"port": ("EXACT", 9), "addr": ("EXACT", 32)}, {"set_dst_mac"}),
    "tunnel_source": (0x0200000C, {}, {"set_tunnel_source"}),
    "gateway": (0x0200000D, {"port": ("EXACT", 9)}, {"set_gateway"}),
    "node_address": (0x0200000E, {"dst": ("EXACT", 128)}, {"to_node"}),
    "next_hop_group": (0x0200000F, {"group": ("EXACT", 16)}, {"set_next_hop"}),
    "color_policy": (0x02000010, {"corridor": ("EXACT", 16), "color": ("EXACT", 2)}, {"mark_dscp", "drop_colored"}),
    "path_probe": (0x02000011, {"session": ("EXACT", 16)}, {"probe_1", "probe_2", "probe_3"}),
    "policy_backup": (0x02000012, {"policy": ("EXACT", 16)}, {"set_backup"}),
}

PROBED = [("next_hop", 16), ("interval_us", 32), ("detect_us", 32)]
SWITCHED = [("hold_off_ms", 32), ("wait_to_restore_ms", 32), ("revertive", 1)]
# action: (id, [(parameter, bits)])
ACTIONS = {
    "network": (0x01000001, [("mac", 48)]),
    "customer": (0x01000002, [("mac", 48), ("vrf", 16)]),
    "drop_infrastructure": (0x01000003, []),
    "end": (0x01000004, []),
    "end_x": (0x01000005, [("next_hop", 16)]),
    "end_dt6": (0x01000006, [("vrf", 16)]),
    "end_dt4": (0x01000007, [("vrf", 16)]),
    "end_dx4": (0x01000008, [("next_hop", 16)]),
    "u_n": (0x01000009, []),
    "u_a": (0x0100000A, [("next_hop", 16)]),
    "u_dt6": (0x0100000B, [("vrf", 16)]),
    "u_dt4": (0x0100000C, [("vrf", 16)]),
    "set_policy": (0x0100000D, [("policy", 16), ("corridor", 16), ("mtu", 16)]),
    "encap_red_1": (0x0100000E, [("next_hop", 16), ("carrier1", 128)]),
    "encap_red_2": (0x0100000F, [("next_hop", 16), ("carrier1", 128), ("carrier2", 128)]),
    "encap_red_3": (0x01000010, [("next_hop", 16), ("carrier1", 128), ("carrier2", 128), ("carrier3", 128)]),
    "set_next_hop": (0x01000011, [("next_hop", 16)]),
    "drop_route": (0x01000012, []),
    "to_adjacency": (0x01000013, [("port", 9), ("src_mac", 48), ("dst_mac", 48)]),
    "to_customer": (0x01000014, [("port", 9)]),
    "set_dst_mac": (0x01000015, [("mac", 48)]),
    "set_tunnel_source": (0x01000016, [("addr", 128)]),
    "set_gateway": (0x01000017, [("ipv4", 32), ("ipv6", 128)]),
    "to_node": (0x01000018, []),
    "set_next_hop_group": (0x01000019, [("group", 16)]),
    "mark_dscp": (0x0100001A, [("dscp", 6)]),
    "drop_colored": (0x0100001B, []),
    "end_flavors": (0x0100001C, [("flavors", 3)]),
    "end_x_flavors": (0x0100001D, [("next_hop", 16), ("flavors", 3)]),
    "probe_1": (0x0100001E, [*PROBED, ("carrier1", 128)]),
    "probe_2": (0x0100001F, [*PROBED, ("carrier1", 128), ("carrier2", 128)]),
    "probe_3": (0x01000020, [*PROBED, ("carrier1", 128), ("carrier2", 128), ("carrier3", 128)]),
    "set_backup": (0x01000021, [("backup", 16), ("session", 16), ("backup_session", 16), *SWITCHED]),
}


@pytest.fixture(scope="module")
def p4info() -> p4i.P4Info:
    return text_format.Parse((P4 / "corridor.p4info.txtpb").read_text(), p4i.P4Info())


def test_tables_match_fields_and_actions(p4info: p4i.P4Info) -> None:
    names = {action.preamble.id: action.preamble.alias for action in p4info.actions}
    found = {
        table.preamble.alias: (
            table.preamble.id,
            {f.name: (p4i.MatchField.MatchType.Name(f.match_type), f.bitwidth) for f in table.match_fields},
            {names[ref.id] for ref in table.action_refs if ref.scope != p4i.ActionRef.DEFAULT_ONLY},
        )
        for table in p4info.tables
    }
    assert found == TABLES


def test_actions_and_parameters(p4info: p4i.P4Info) -> None:
    found = {
        action.preamble.alias: (action.preamble.id, [(param.name, param.bitwidth) for param in action.params])
        for action in p4info.actions
    }
    assert {name: found[name] for name in ACTIONS} == ACTIONS
    assert set(found) - set(ACTIONS) == {"NoAction"}


def test_only_the_tunnel_source_has_a_default_action_to_write(p4info: p4i.P4Info) -> None:
    assert [table.preamble.alias for table in p4info.tables if not table.const_default_action_id] == ["tunnel_source"]


def test_meters_and_counters(p4info: p4i.P4Info) -> None:
    meters = {m.preamble.alias: (m.preamble.id, m.spec.unit, m.size) for m in p4info.meters}
    assert meters == {
        "slice_meter": (0x14000001, p4i.MeterSpec.BYTES, 2**16),
        "icmp_limit": (0x14000002, p4i.MeterSpec.PACKETS, 2**9),
    }
    counters = {c.preamble.alias: (c.preamble.id, c.spec.unit, c.size) for c in p4info.counters}
    assert counters == {
        "corridor_counter": (0x12000001, p4i.CounterSpec.BOTH, 2**16),
        "oversize_counter": (0x12000002, p4i.CounterSpec.BOTH, 2**16),
        "drop_counter": (0x12000003, p4i.CounterSpec.BOTH, 32),
    }


def test_the_register_of_the_liveness_agent(p4info: p4i.P4Info) -> None:
    """Sessions that are down, by their id: a bit each."""
    (register,) = p4info.registers
    assert (register.preamble.alias, register.preamble.id, register.size) == ("session_down", 0x16000001, 2**16)
    assert register.type_spec.bitstring.bit.bitwidth == 1


def test_groups_choose_by_a_selector(p4info: p4i.P4Info) -> None:
    (selector,) = p4info.action_profiles
    (table,) = (table for table in p4info.tables if table.implementation_id)
    assert (table.preamble.alias, table.implementation_id) == ("next_hop_group", 0x11000001)
    assert (selector.preamble.alias, selector.preamble.id) == ("next_hop_selector", 0x11000001)
    assert selector.with_selector
    assert list(selector.table_ids) == [table.preamble.id]


def test_the_version_tells_the_contract(p4info: p4i.P4Info) -> None:
    assert (p4info.pkg_info.name, p4info.pkg_info.version) == ("corridor", "1.2.0")


def test_every_drop_reason_has_its_row_in_the_documentation() -> None:
    source = re.search(r"enum bit<8> drop_reason_t \{(.*?)\n\}", (P4 / "headers.p4").read_text(), re.DOTALL)
    assert source is not None
    named = re.findall(r"^\s+([A-Z0-9_]+) = (\d+)", source[1], re.MULTILINE)
    documented = re.findall(r"^\| (\d+) \| `([A-Z0-9_]+)` \|", (ROOT / "docs/pipeline.md").read_text(), re.MULTILINE)
    assert [(name, number) for number, name in documented] == named[1:], "NONE is no reason"
    assert max(int(number) for _, number in named) < 32


def test_packet_headers(p4info: p4i.P4Info) -> None:
    found = {
        header.preamble.alias: [(field.name, field.bitwidth) for field in header.metadata]
        for header in p4info.controller_packet_metadata
    }
    assert found == {"packet_in": [("ingress_port", 9), ("pad", 7)], "packet_out": [("egress_port", 9), ("pad", 7)]}


def test_the_committed_files_come_from_the_committed_source() -> None:
    lines = (P4 / "corridor.sha256").read_text().splitlines()
    recorded = dict(reversed(line.split(maxsplit=1)) for line in lines if not line.startswith("#"))
    actual = {f"p4/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in P4.glob("*.p4")}
    assert recorded == actual, "the P4 source changed: run p4/compile.sh"


def test_the_compiled_program_names_no_place_on_a_machine() -> None:
    text = (P4 / "corridor.json").read_text()
    assert json.loads(text)["program"] == "p4/corridor.p4"
    assert not [name for name in re.findall(r'"filename" : "([^"]*)"', text) if name.startswith("/")]


def test_compiling_gives_the_committed_files(tmp_path: Path, p4info: p4i.P4Info) -> None:
    compiler = shutil.which("p4c-bm2-ss")
    if compiler is None:
        pytest.skip("p4c-bm2-ss is not on the path")
    info, program = tmp_path / "corridor.p4info.txtpb", tmp_path / "corridor.json"
    subprocess.run(
        [compiler, "--arch", "v1model", "--p4runtime-files", info, "-o", program, "p4/corridor.p4"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert text_format.Parse(info.read_text(), p4i.P4Info()) == p4info
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True).stderr
    recorded = (P4 / "corridor.sha256").read_text().splitlines()[0].rsplit(maxsplit=1)[-1]
    if f"Version {recorded} " not in version:
        pytest.skip(f"committed with p4c {recorded}, this is another one: only the P4Info was compared")
    assert json.loads(program.read_text()) == json.loads((P4 / "corridor.json").read_text())
