"""The pipeline contract that this target realises, by the names of `p4/corridor.p4`.

A pipeline configuration must hold at least these tables, fields and actions, in these widths. Some of them this target
refuses entry by entry, because the kernel has nothing of the kind or does it by its own means.
"""

from __future__ import annotations

from collections.abc import Mapping

from finsy.proto import p4i

from controller.linux import members
from controller.linux.pipeline import Pipeline, Table
from controller.linux.rejected import invalid, unimplemented

EXACT, LPM, TERNARY = (p4i.MatchField.EXACT, p4i.MatchField.LPM, p4i.MatchField.TERNARY)
_CLASSIFIED = {"set_policy": {"policy": 16, "corridor": 16, "mtu": 16}}
_ROUTED = {"set_next_hop": {"next_hop": 16}, "set_next_hop_group": {"group": 16}, "drop_route": {}}
_HOST = {"set_dst_mac": {"mac": 48}}
_PROBED = {"next_hop": 16, "interval_us": 32, "detect_us": 32}

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
    "gateway": {"port": (9, EXACT)},
    "node_address": {"dst": (128, EXACT)},
    "next_hop_group": {"group": (16, EXACT)},
    "color_policy": {"corridor": (16, EXACT), "color": (2, EXACT)},
    "path_probe": {"session": (16, EXACT)},
    "policy_backup": {"policy": (16, EXACT)},
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
        "end_flavors": {"flavors": 3},
        "end_x_flavors": {"next_hop": 16, "flavors": 3},
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
    "gateway": {"set_gateway": {"ipv4": 32, "ipv6": 128}},
    "node_address": {"to_node": {}},
    "next_hop_group": {"set_next_hop": {"next_hop": 16}},
    "color_policy": {"mark_dscp": {"dscp": 6}, "drop_colored": {}},
    "path_probe": {
        "probe_1": {**_PROBED, "carrier1": 128},
        "probe_2": {**_PROBED, "carrier1": 128, "carrier2": 128},
        "probe_3": {**_PROBED, "carrier1": 128, "carrier2": 128, "carrier3": 128},
    },
    "policy_backup": {
        "set_backup": {
            "backup": 16,
            "session": 16,
            "backup_session": 16,
            "hold_off_ms": 32,
            "wait_to_restore_ms": 32,
            "revertive": 1,
        }
    },
}
"""Table → action → parameter → bits."""

METERS = frozenset({"slice_meter", "icmp_limit"})
COUNTERS = frozenset({"corridor_counter", "oversize_counter", "drop_counter"})

REFUSED: Mapping[str, str] = {
    "gateway": "the kernel answers for the addresses that its interfaces have",
    "color_policy": "slices are shaped, and so no packet is coloured",
    "end_x_flavors": "the kernel's End.X has neither PSP nor USD",
    "icmp_limit": "the kernel limits its answers by its own settings",
    "drop_counter": "the kernel counts drops in its own places, by other reasons",
}
"""Table, action, meter or counter → why this target has no entry of it."""


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
    if pipeline.table_names[members.TABLE].group_limit is None:
        raise invalid(f"table {members.TABLE} has no action selector")
    lacking = sorted(METERS - set(pipeline.meters)) + sorted(COUNTERS - set(pipeline.counters))
    if lacking:
        raise invalid(f"the P4Info has no {lacking[0]}")


def require(table: str, action: str | None = None) -> None:
    """Raise `Rejected` for what this target would not act on: of the contract, or beyond it."""
    permit(table)
    if table not in ACTIONS:
        raise unimplemented(f"this target has no table {table}")
    if action is not None and action not in ACTIONS[table]:
        raise unimplemented(f"this target has no action {action} in table {table}")
    if action is not None:
        permit(action)


def require_cells(name: str) -> None:
    """Raise `Rejected` for a meter or counter that this target does not have."""
    permit(name)
    if name not in METERS | COUNTERS:
        raise unimplemented(f"this target has no {name}")


def permit(name: str) -> None:
    """Raise `Rejected` for a table, action, meter or counter that this target refuses."""
    if name in REFUSED:
        raise unimplemented(f"{name}: {REFUSED[name]}")


def _check_actions(pipeline: Pipeline, table: Table) -> None:
    actions = {pipeline.actions[action].name: pipeline.actions[action] for action in table.actions}
    for name, params in ACTIONS[table.name].items():
        action = actions.get(name)
        if action is None or {param.name: param.bits for param in action.params} != params:
            raise invalid(f"table {table.name} lacks action {name}({', '.join(params)})")
