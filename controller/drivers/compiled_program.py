"""Whether a device configuration is the compiled BMv2 program of a P4Info.

A switch takes whatever it is given: an empty object is accepted and ends the switch at the next packet, anything that
is not JSON blocks every later push. So what is pushed is checked here first, against the P4Info it is pushed with.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from finsy.proto import p4i

_TABLE_TYPES = {True: "indirect_ws", False: "simple"}
"""By whether the table has an action selector."""


class InvalidProgram(ValueError):
    """What was to be pushed is not a compiled program of its P4Info; the message says what is wrong first."""


def check(p4info: p4i.P4Info, device_config: bytes) -> None:
    """Raises `InvalidProgram`."""
    try:
        _compare(p4info, _Program(_json(device_config)))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidProgram(f"not a compiled program: {type(error).__name__} {error}") from None


def _compare(p4info: p4i.P4Info, program: _Program) -> None:
    for action in p4info.actions:
        program.check_action(action)
    names = {action.preamble.id: action.preamble.name for action in p4info.actions}
    selectors = {profile.preamble.id: profile.preamble.name for profile in p4info.action_profiles}
    for table in p4info.tables:
        program.check_table(table, names, selectors.get(table.implementation_id))
    for meter in p4info.meters:
        program.check_array("meter_arrays", meter)
        program.check_unit(meter)
    for counter in p4info.counters:
        program.check_array("counter_arrays", counter)
    for header in p4info.controller_packet_metadata:
        program.check_header(header)


def _json(device_config: bytes) -> dict[str, Any]:
    try:
        program = json.loads(device_config)
    except ValueError as error:  # of the text or of its encoding
        raise InvalidProgram(f"not JSON: {error}") from None
    if not isinstance(program, dict):
        raise InvalidProgram(f"a JSON {type(program).__name__} instead of an object")
    return program


class _Program:
    """The compiled program by names, as far as P4Info speaks of it."""

    def __init__(self, program: Mapping[str, Any]) -> None:
        self._program = program
        self._check_stages()
        self._tables = {table["name"]: table for stage in program["pipelines"] for table in stage["tables"]}
        self._selectors = {each["name"] for stage in program["pipelines"] for each in stage["action_profiles"]}
        self._actions = {action["id"]: action for action in program["actions"]}
        types = {each["name"]: _widths(each["fields"]) for each in program["header_types"]}
        self._headers = {each["name"]: types[each["header_type"]] for each in program["headers"]}

    def _check_stages(self) -> None:
        wanted = {"parsers": {"parser"}, "pipelines": {"ingress", "egress"}, "deparsers": {"deparser"}}
        for stage, names in wanted.items():
            missing = names - {each["name"] for each in self._program[stage]}
            if missing:
                raise InvalidProgram(f"no {', '.join(sorted(missing))} among its {stage}")
        for parser in self._program["parsers"]:
            if parser["init_state"] not in {state["name"] for state in parser["parse_states"]}:
                raise InvalidProgram(f"parser {parser['name']} begins in a state that it has not")

    def check_action(self, action: p4i.Action) -> None:
        """Every variant of it: the compiler makes one per table that has it."""
        name, wanted = action.preamble.name, [(param.name, param.bitwidth) for param in action.params]
        variants = [each for each in self._actions.values() if each["name"] == name]
        _require(bool(variants), f"no action {name}")
        for variant in variants:
            compiled = [(param["name"], param["bitwidth"]) for param in variant["runtime_data"]]
            _require(compiled == wanted, f"action {name} has parameters {compiled}, in the P4Info {wanted}")

    def check_table(self, table: p4i.Table, actions: Mapping[int, str], selector: str | None) -> None:
        name = table.preamble.name
        _require(name in self._tables, f"no table {name}")
        compiled = self._tables[name]
        _require(
            compiled["max_size"] == table.size, f"table {name} has {compiled['max_size']} entries, not {table.size}"
        )
        _require(compiled["type"] == _TABLE_TYPES[selector is not None], f"table {name} is {compiled['type']}")
        if selector is not None:
            fits = compiled.get("action_profile") == selector and selector in self._selectors
            _require(fits, f"table {name} has no action selector {selector}")
        wanted = sorted(actions[ref.id] for ref in table.action_refs)
        found = sorted(self._actions[number]["name"] for number in compiled["action_ids"])
        _require(found == wanted, f"table {name} has actions {found}, in the P4Info {wanted}")
        self._check_key(name, compiled["key"], table.match_fields)

    def _check_key(self, table: str, key: Sequence[Mapping[str, Any]], fields: Iterable[p4i.MatchField]) -> None:
        wanted = [(field.name, p4i.MatchField.MatchType.Name(field.match_type), field.bitwidth) for field in fields]
        compiled = [(each["name"], each["match_type"].upper(), self._width(*each["target"])) for each in key]
        _require(compiled == wanted, f"table {table} has the key {compiled}, in the P4Info {wanted}")

    def _width(self, header: str, field: str) -> int:
        return self._headers.get(header, {}).get(field, 0)

    def check_array(self, kind: str, array: p4i.Meter | p4i.Counter) -> None:
        name, sizes = array.preamble.name, {each["name"]: each["size"] for each in self._program[kind]}
        _require(name in sizes, f"no {name} among its {kind}")
        _require(sizes[name] == array.size, f"{name} has {sizes[name]} cells, in the P4Info {array.size}")

    def check_unit(self, meter: p4i.Meter) -> None:
        units = {each["name"]: each["type"].upper() for each in self._program["meter_arrays"]}
        wanted = p4i.MeterSpec.Unit.Name(meter.spec.unit)
        _require(units[meter.preamble.name] == wanted, f"{meter.preamble.name} does not count {wanted.lower()}")

    def check_header(self, header: p4i.ControllerPacketMetadata) -> None:
        name, wanted = header.preamble.name, {field.name: field.bitwidth for field in header.metadata}
        compiled = self._headers.get(name)
        _require(compiled == wanted, f"header {name} has fields {compiled}, in the P4Info {wanted}")


def _widths(fields: Iterable[Sequence[Any]]) -> dict[str, int]:
    return {field[0]: field[1] for field in fields}


def _require(fact: bool, message: str) -> None:
    if not fact:
        raise InvalidProgram(message)
