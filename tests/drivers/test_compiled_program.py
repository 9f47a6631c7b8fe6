"""What is pushed to a device is a compiled program of its P4Info, or it is not pushed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from controller.drivers import pipeline
from controller.drivers.compiled_program import InvalidProgram

INFO = (pipeline.DIRECTORY / "corridor.p4info.txtpb").read_bytes()
CONFIG = (pipeline.DIRECTORY / "corridor.json").read_bytes()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"", "not JSON"),
        (b"junk", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (CONFIG[:-2], "not JSON"),
        (b"[]", "a JSON list"),
        (b"null", "a JSON NoneType"),
        (b"{}", "parsers"),
        (b'{"parsers": 1}', "not a compiled program"),
        (b'{"parsers": [null]}', "not a compiled program"),
        (b'{"parsers": [], "pipelines": [], "deparsers": []}', "no parser among its parsers"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[-40:]),
)
def test_refuses_what_is_no_program(config: bytes, words: str) -> None:
    with pytest.raises(InvalidProgram, match=words):
        pipeline.parse(INFO, config)


def table(program: dict[str, Any], name: str) -> dict[str, Any]:
    tables = [each for stage in program["pipelines"] for each in stage["tables"]]
    return next(each for each in tables if each["name"].endswith(f".{name}"))


def action(program: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in program["actions"] if each["name"].endswith(f".{name}"))


def without_table(program: dict[str, Any]) -> None:
    for stage in program["pipelines"]:
        stage["tables"] = [each for each in stage["tables"] if not each["name"].endswith(".policy")]


def rename(member: dict[str, Any]) -> None:
    member["name"] += "_2"


def widen(program: dict[str, Any], header: str, field: str) -> None:
    kind = next(each["header_type"] for each in program["headers"] if each["name"] == header)
    fields = next(each["fields"] for each in program["header_types"] if each["name"] == kind)
    next(each for each in fields if each[0] == field)[1] += 1


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no deparser": (lambda p: p.pop("deparsers"), "deparsers"),
    "no egress": (lambda p: p["pipelines"].pop(), "no egress among its pipelines"),
    "parser without its first state": (lambda p: p["parsers"][0].update(init_state="x"), "parser parser begins"),
    "no table": (without_table, "no table .*policy"),
    "another size": (lambda p: table(p, "policy").update(max_size=7), "policy has 7 entries"),
    "another kind of match": (lambda p: table(p, "local_sid")["key"][0].update(match_type="exact"), "local_sid .* key"),
    "another name of a field": (lambda p: rename(table(p, "local_sid")["key"][0]), "local_sid .* key"),
    "another order of the key": (lambda p: table(p, "route_v6")["key"].reverse(), "route_v6 .* key"),
    "a wider key": (lambda p: widen(p, "ipv6", "dst_addr"), "dst"),
    "a field that is not there": (
        lambda p: table(p, "local_sid")["key"][0].update(target=["x", "y"]),
        "local_sid .* key",
    ),
    "no action": (lambda p: rename(action(p, "encap_red_2")), "encap_red_2"),
    "an action less": (lambda p: table(p, "policy")["action_ids"].pop(0), "policy has actions"),
    "an action that is not there": (lambda p: table(p, "policy")["action_ids"].append(10_000), "10000"),
    "a wider parameter": (lambda p: action(p, "set_policy")["runtime_data"][0].update(bitwidth=17), "set_policy"),
    "no parameters": (lambda p: action(p, "set_policy").update(runtime_data=[]), "set_policy"),
    "no action selector": (lambda p: table(p, "next_hop_group").update(type="simple"), "next_hop_group is simple"),
    "another action selector": (lambda p: table(p, "next_hop_group").update(action_profile="x"), "next_hop_selector"),
    "an action selector too many": (lambda p: table(p, "policy").update(type="indirect_ws"), "policy is indirect_ws"),
    "no meter": (lambda p: rename(p["meter_arrays"][0]), "among its meter_arrays"),
    "no meters": (lambda p: p.pop("meter_arrays"), "meter_arrays"),
    "a smaller meter": (lambda p: p["meter_arrays"][0].update(size=8), "8 cells"),
    "a meter of packets": (lambda p: p["meter_arrays"][0].update(type="mark"), "does not count"),
    "no counter": (lambda p: rename(p["counter_arrays"][0]), "among its counter_arrays"),
    "a smaller counter": (lambda p: p["counter_arrays"][0].update(size=8), "8 cells"),
    "another packet-in": (lambda p: widen(p, "packet_in", "ingress_port"), "header packet_in"),
    "no packet-out": (
        lambda p: rename(next(h for h in p["headers"] if h["name"] == "packet_out")),
        "header packet_out",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_refuses_the_program_of_another_p4info(fault: str) -> None:
    change, words = FAULTS[fault]
    program = json.loads(CONFIG)
    change(program)
    with pytest.raises(InvalidProgram, match=words):
        pipeline.parse(INFO, json.dumps(program).encode())


def test_takes_the_program_in_whatever_order_its_parts_come() -> None:
    program = json.loads(CONFIG)
    for kind in ("headers", "header_types", "actions", "meter_arrays", "counter_arrays", "pipelines"):
        program[kind].reverse()
    for stage in program["pipelines"]:
        stage["tables"].reverse()
    pipeline.parse(INFO, json.dumps(program, sort_keys=True).encode())


def test_refuses_what_is_no_p4info() -> None:
    with pytest.raises(InvalidProgram, match="not a P4Info"):
        pipeline.parse(b"tables { id: }", CONFIG)
