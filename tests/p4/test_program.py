"""The compiled program by itself: it says the same as the P4Info, and takes packets apart and together without loss.

Read from the JSON that BMv2 executes, not from the source: what a compiler made of it is what forwards packets.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from finsy.proto import p4i
from google.protobuf import text_format

P4 = Path(__file__).resolve().parents[2] / "p4"
Program = dict[str, Any]
KINDS = {"exact": "EXACT", "lpm": "LPM", "ternary": "TERNARY"}
CONTROLLER_ONLY = {"packet_in", "packet_out"}


@pytest.fixture(scope="module")
def program() -> Program:
    return json.loads((P4 / "corridor.json").read_text())


@pytest.fixture(scope="module")
def p4info() -> p4i.P4Info:
    return text_format.Parse((P4 / "corridor.p4info.txtpb").read_text(), p4i.P4Info())


def tables(program: Program) -> dict[str, Program]:
    """Those with an entry to write; what the compiler made of statements has no dot in its name."""
    each = [table for pipeline in program["pipelines"] for table in pipeline["tables"]]
    return {table["name"]: table for table in each if "." in table["name"]}


def widths(program: Program) -> dict[tuple[str, str], int]:
    """Bits of (header, field)."""
    types = {kind["name"]: kind["fields"] for kind in program["header_types"]}
    return {(h["name"], f[0]): f[1] for h in program["headers"] for f in types[h["header_type"]]}


# ---- the P4Info and the program are two views of one thing


def test_tables_have_the_keys_of_the_p4info(program: Program, p4info: p4i.P4Info) -> None:
    bits = widths(program)
    found = {
        name: [(key["name"], KINDS[key["match_type"]], bits[tuple(key["target"])]) for key in table["key"]]
        for name, table in tables(program).items()
    }
    wanted = {
        table.preamble.name: [
            (field.name, p4i.MatchField.MatchType.Name(field.match_type), field.bitwidth)
            for field in table.match_fields
        ]
        for table in p4info.tables
    }
    assert {name: found[name] for name in wanted} == wanted
    assert not any(key["mask"] for table in tables(program).values() for key in table["key"])


def test_tables_have_the_actions_and_sizes_of_the_p4info(program: Program, p4info: p4i.P4Info) -> None:
    names = {action.preamble.id: action.preamble.name for action in p4info.actions}
    found = tables(program)
    for table in p4info.tables:
        compiled = found[table.preamble.name]
        assert sorted(compiled["actions"]) == sorted(names[ref.id] for ref in table.action_refs)
        assert compiled["max_size"] == table.size, table.preamble.name


def test_what_happens_without_an_entry(program: Program, p4info: p4i.P4Info) -> None:
    """The default action is the P4Info's, constant where it says so; a table with a selector has none but a miss."""
    names = {action.preamble.id: action.preamble.name for action in p4info.actions}
    compiled_names = {action["id"]: action["name"] for action in program["actions"]}
    for table in p4info.tables:
        compiled = tables(program)[table.preamble.name]
        if table.implementation_id:
            assert compiled["type"] == "indirect_ws"
            continue
        default = compiled["default_entry"]
        assert default["action_const"] == bool(table.const_default_action_id), table.preamble.name
        expected = table.const_default_action_id or table.initial_default_action.action_id
        assert compiled_names[default["action_id"]] == names[expected]


def test_actions_take_the_parameters_of_the_p4info(program: Program, p4info: p4i.P4Info) -> None:
    found: dict[str, set[tuple[tuple[str, int], ...]]] = {}
    for action in program["actions"]:
        data = tuple((each["name"], each["bitwidth"]) for each in action["runtime_data"])
        found.setdefault(action["name"], set()).add(data)
    for action in p4info.actions:
        assert found[action.preamble.name] == {tuple((param.name, param.bitwidth) for param in action.params)}


def test_meters_counters_and_the_selector(program: Program, p4info: p4i.P4Info) -> None:
    units = {p4i.MeterSpec.BYTES: "bytes", p4i.MeterSpec.PACKETS: "packets"}
    meters = {m["name"]: (m["size"], m["type"], m["rate_count"], m["is_direct"]) for m in program["meter_arrays"]}
    assert meters == {m.preamble.name: (m.size, units[m.spec.unit], 2, False) for m in p4info.meters}
    counters = {c["name"]: (c["size"], c["is_direct"]) for c in program["counter_arrays"]}
    assert counters == {c.preamble.name: (c.size, False) for c in p4info.counters}
    profiles = {p["name"]: p["max_size"] for each in program["pipelines"] for p in each["action_profiles"]}
    assert profiles == {p.preamble.name: p.size for p in p4info.action_profiles}


def test_flows_are_told_apart_by_addresses_and_label(program: Program) -> None:
    """RFC 6438: the three fields that a selector hashes, whole."""
    bits = widths(program)
    (profile,) = (p for each in program["pipelines"] for p in each["action_profiles"])
    fields = [tuple(each["value"]) for each in profile["selector"]["input"]]
    assert [field[1].rpartition("flow_")[2] for field in fields] == ["source", "destination", "label"]
    assert [bits[field] for field in fields] == [128, 128, 20]


def test_packet_headers_are_two_octets_and_those_of_the_p4info(program: Program, p4info: p4i.P4Info) -> None:
    headers = {header["name"]: header for header in program["headers"]}
    types = {kind["name"]: kind for kind in program["header_types"]}
    for info in p4info.controller_packet_metadata:
        fields = types[headers[info.preamble.alias]["header_type"]]["fields"]
        assert [(name, width) for name, width, _signed in fields] == [(f.name, f.bitwidth) for f in info.metadata]
        assert sum(width for _, width, _ in fields) == 16


# ---- the parser


def states(program: Program) -> dict[str, Program]:
    (parser,) = program["parsers"]
    assert parser["init_state"] == "start"
    return {state["name"]: state for state in parser["parse_states"]}


def paths(by_name: dict[str, Program], state: str = "start", been: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Every way through the parser as names of states; a state twice on one is a loop."""
    assert state not in been, f"{state} after {been}"
    been = (*been, state)
    for following in {transition["next_state"] for transition in by_name[state]["transitions"]}:
        if following is None:
            yield [*been]
        else:
            yield from paths(by_name, following, been)


def extracted(state: Program) -> Iterator[str]:
    for operation in state["parser_ops"]:
        if operation["op"] == "extract":
            (target,) = operation["parameters"]
            assert target["type"] in ("regular", "stack")
            yield target["value"]


def test_no_way_through_the_parser_loops_or_reads_beyond_a_stack(program: Program) -> None:
    by_name, stacks = states(program), {stack["name"]: stack["size"] for stack in program["header_stacks"]}
    ways = [*paths(by_name)]
    assert {name for way in ways for name in way} == by_name.keys(), "a state that nothing leads to"
    for way in ways:
        for header, count in Counter(h for name in way for h in extracted(by_name[name])).items():
            assert count <= stacks.get(header, 1), f"{header} {count} times on {way}"
    assert stacks == {"segments": 3}
    assert any(Counter(h for name in way for h in extracted(by_name[name]))["segments"] == 3 for way in ways)


def test_every_header_that_was_read_or_made_is_written_once(program: Program) -> None:
    """What the parser takes off the packet comes back only through the deparser."""
    (deparser,) = program["deparsers"]
    order = deparser["order"]
    assert len(set(order)) == len(order)
    members = {f"{s['name']}": [f"{s['name']}[{i}]" for i in range(s["size"])] for s in program["header_stacks"]}
    read = {
        each
        for state in states(program).values()
        for header in extracted(state)
        for each in members.get(header, [header])
    }
    made = {p["parameters"][0]["value"] for a in program["actions"] for p in primitives(a) if p["op"] == "add_header"}
    assert (read | made) - CONTROLLER_ONLY <= set(order) - CONTROLLER_ONLY
    assert order[:2] == ["packet_in", "ethernet"], "the switch hands the rest on as the frame"
    unused = set(order) - read - made - assigned(program)
    assert not unused, "headers that nothing ever makes valid"


def assigned(program: Program) -> set[str]:
    """Headers that take over another one's contents and validity."""
    operations = [p for action in program["actions"] for p in primitives(action)]
    return {p["parameters"][0]["value"] for p in operations if p["op"] == "assign_header"}


def primitives(action: Program) -> list[Program]:
    return action["primitives"]


# ---- the pipeline


def test_the_pipeline_goes_forward_only(program: Program) -> None:
    """Each table and condition at most once for a packet: BMv2 would go round a loop for ever."""
    for pipeline in program["pipelines"]:
        nodes = {node["name"]: set(following(node)) for node in (*pipeline["tables"], *pipeline["conditionals"])}
        done: set[str] = set()
        if pipeline["init_table"] is not None:
            visit(pipeline["init_table"], nodes, done, ())
        assert done == nodes.keys(), "a table that no packet reaches"


def following(node: Program) -> Iterator[str]:
    choices = [*node.get("next_tables", {}).values(), node.get("base_default_next")]
    choices += [node.get("true_next"), node.get("false_next")]
    yield from (name for name in choices if name is not None)


def visit(name: str, nodes: dict[str, set[str]], done: set[str], been: tuple[str, ...]) -> None:
    assert name not in been, f"{name} after itself"
    if name in done:
        return
    for each in nodes[name]:
        visit(each, nodes, done, (*been, name))
    done.add(name)


def test_a_packet_passes_once_and_is_not_copied(program: Program) -> None:
    """Recirculation would forget what was cut off, and copies would leave by ports that no table chose."""
    operations = {p["op"] for action in program["actions"] for p in primitives(action)}
    assert not operations & {"recirculate", "resubmit", "clone_ingress_pkt_to_egress", "clone_egress_pkt_to_egress"}


def test_headers_with_a_checksum_have_it_computed(program: Program) -> None:
    """Every IPv4 and ICMP header that may leave changed; verified are those of the customers."""
    updated = {each["target"][0] for each in program["checksums"] if each["update"]}
    verified = {each["target"][0] for each in program["checksums"] if each["verify"]}
    assert updated == {"ipv4", "outer_ipv4", "icmp", "icmp_error"}
    assert {"ipv4", "inner_ipv4"} <= verified
