"""The pipeline contract that this target realises, by the names of `p4/corridor.p4`.

A pipeline configuration must hold at least these tables, fields and actions, in these widths.
"""

from __future__ import annotations

from collections.abc import Mapping

from finsy.proto import p4i

from controller.linux.pipeline import Pipeline, Table
from controller.linux.rejected import invalid, unimplemented

EXACT, LPM, TERNARY = (p4i.MatchField.EXACT, p4i.MatchField.LPM, p4i.MatchField.TERNARY)
_CLASSIFIED = {"set_policy": {"policy": 16, "corridor": 16, "mtu": 16}}
_ROUTED = {"set_next_hop": {"next_hop": 16}, "drop_route": {}}
_HOST = {"set_dst_mac": {"mac": 48}}

FIELDS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "port_role": {"port": (9, EXACT)},
    "edge_filter": {"dst": (128, LPM)},
    "local_sid": {"dst": (128, LPM)},
    "classifier_v6": {"vrf": (16, EXACT), "src": (128, TERNARY), "dst": (128, TERNARY), "dscp": (6, TERNARY)},
    "classifier_v4": {"vrf": (16, EXACT), "src": (32, TERNARY), "dst": (32, TERNARY), "dscp": (6, TERNARY)},
    "policy": {"policy": (16, EXACT)},
    "route_v6": {"vrf": (16, EXACT), "dst": (128, LPM)},
    "route_v4": {"vrf": (16, EXACT), "dst": (32, LPM)},
    "next_hop": {"next_hop": (16, EXACT)},
    "host_v6": {"port": (9, EXACT), "addr": (128, EXACT)},
    "host_v4": {"port": (9, EXACT), "addr": (32, EXACT)},
    "tunnel_source": {},
}
"""Table → field → bits and match type."""

ACTIONS: Mapping[str, Mapping[str, Mapping[str, int]]] = {
    "port_role": {"network": {"mac": 48}, "customer": {"mac": 48, "vrf": 16}},
    "edge_filter": {"drop_infrastructure": {}},
    "local_sid": {
        "end": {},
        "end_x": {"next_hop": 16},
        "end_dt6": {"vrf": 16},
        "end_dt4": {"vrf": 16},
        "end_dx4": {"next_hop": 16},
        "u_n": {},
        "u_a": {"next_hop": 16},
        "u_dt6": {"vrf": 16},
        "u_dt4": {"vrf": 16},
    },
    "classifier_v6": _CLASSIFIED,
    "classifier_v4": _CLASSIFIED,
    "policy": {
        "encap_red_1": {"next_hop": 16, "carrier1": 128},
        "encap_red_2": {"next_hop": 16, "carrier1": 128, "carrier2": 128},
        "encap_red_3": {"next_hop": 16, "carrier1": 128, "carrier2": 128, "carrier3": 128},
    },
    "route_v6": _ROUTED,
    "route_v4": _ROUTED,
    "next_hop": {"to_adjacency": {"port": 9, "src_mac": 48, "dst_mac": 48}, "to_customer": {"port": 9}},
    "host_v6": _HOST,
    "host_v4": _HOST,
    "tunnel_source": {"set_tunnel_source": {"addr": 128}},
}
"""Table → action → parameter → bits."""


def check(pipeline: Pipeline) -> None:
    """Raise `Rejected` where the configuration lacks something of the contract."""
    for name, fields in FIELDS.items():
        table = pipeline.table_names.get(name)
        if table is None:
            raise invalid(f"the P4Info has no table {name}")
        found = {field.name: (field.bits, field.kind) for field in table.fields}
        if found != fields:
            raise invalid(f"table {name} matches {sorted(found)} in other widths or kinds than the contract")
        _check_actions(pipeline, table)
    for kind, wanted in (("meter", "slice_meter"), ("counter", "corridor_counter")):
        if wanted not in (pipeline.meters if kind == "meter" else pipeline.counters):
            raise invalid(f"the P4Info has no {kind} {wanted}")


def require(table: str, action: str | None = None) -> None:
    """Raise `Rejected` for what a pipeline has beyond the contract: this target would not act on it."""
    if table not in ACTIONS:
        raise unimplemented(f"this target has no table {table}")
    if action is not None and action not in ACTIONS[table]:
        raise unimplemented(f"this target has no action {action} in table {table}")


def _check_actions(pipeline: Pipeline, table: Table) -> None:
    actions = {pipeline.actions[action].name: pipeline.actions[action] for action in table.actions}
    for name, params in ACTIONS[table.name].items():
        action = actions.get(name)
        if action is None or {param.name: param.bits for param in action.params} != params:
            raise invalid(f"table {table.name} lacks action {name}({', '.join(params)})")
