"""OTN nodes and fibres as a TE topology: a link for each direction of a fibre, with its slots and what is left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.core.addresses import A_TO_Z, Z_TO_A
from controller.core.fgotn_view.names import (
    FGODUFLEX,
    SWITCHING,
    Json,
    bits,
    granularity,
    link_tp,
    odu_type,
    server_of,
    te_node_id,
    ts_list,
)
from controller.core.model import Container, Link, LinkKind, Node, NodeKind, Status
from controller.core.names import short
from controller.core.names import topology as topology_name
from controller.core.otn import FGTS_PER_SERVER, LINE, Ledger, Row
from controller.core.otn.odu import ODUK
from controller.core.otn.tributary import carries, tributary_slots
from controller.core.topology import Topology

LOWEST_PRIORITY = 7
"""Nothing preempts in this network: what is unreserved is so at every priority."""
MAX_NUMBER = 0xFFFF
"""The models count ODUs in 16 bits, which the fine-grain slots of an ODUC7 exceed."""
ODTU = {Container.ODU2: "2", Container.ODU3: "3", Container.ODU4: "4", Container.ODUC: "Cn"}
DIRECTIONS = {A_TO_Z: "a-z", Z_TO_A: "z-a"}


def networks(topology: Topology, ledger: Ledger) -> Json:
    """`ietf-network:networks` with the one network of the domain."""
    servers = _servers(ledger)
    fibres = [link for link in topology.of_kind(LinkKind.FIBRE) if link.status is not Status.UNPLANNED]
    network: Json = {
        "network-id": topology_name(topology.domain),
        "network-types": {"ietf-te-topology:te-topology": {"ietf-otn-topology:otn-topology": {}}},
        "ietf-te-topology:te-topology-identifier": te_topology_identifier(topology),
        "ietf-te-topology:te": {"name": topology.domain},
        "node": [
            _node(node, [link for link in fibres if node.name in (link.a_node, link.z_node)])
            for node in topology.nodes.values()
            if node.kind is NodeKind.OTN and node.status is not Status.UNPLANNED
        ],
        "ietf-network-topology:link": [
            _link(link, way, servers.get((link.name, way), {})) for link in fibres for way in DIRECTIONS
        ],
    }
    return {"ietf-network:networks": {"network": [network]}}


def te_topology_identifier(topology: Topology) -> Json:
    return {"provider-id": 0, "client-id": 0, "topology-id": topology.domain}


def _servers(ledger: Ledger) -> dict[tuple[str, int], dict[str, Row]]:
    """Per fibre and direction its rows by server."""
    found: dict[tuple[str, int], dict[str, Row]] = {}
    for key, row in ledger.rows.items():
        if key.server:
            found.setdefault((key.link, key.direction), {})[key.server] = row
    return found


def _node(node: Node, fibres: list[Link]) -> Json:
    return {
        "node-id": node.name,
        "ietf-te-topology:te-node-id": te_node_id(node),
        "ietf-te-topology:te": {
            "te-node-attributes": {"name": short(node.name), "admin-status": "up", "ietf-otn-topology:otn-node": {}},
            "oper-status": _oper_status(node.status),
        },
        "ietf-network-topology:termination-point": [link_tp(link, node.name) for link in fibres],
    }


def _oper_status(status: Status) -> str:
    return {Status.UP: "up", Status.DOWN: "down"}.get(status, "unknown")


def _link(link: Link, way: int, rows: Mapping[str, Row]) -> Json:
    source, sink = (link.a_node, link.z_node) if way == A_TO_Z else (link.z_node, link.a_node)
    return {
        "link-id": f"{link.name}/{DIRECTIONS[way]}",
        "source": {"source-node": source, "source-tp": short(link.name)},
        "destination": {"dest-node": sink, "dest-tp": short(link.name)},
        "ietf-te-topology:te": {
            "te-link-attributes": _attributes(link, way, rows),
            "oper-status": _oper_status(link.status),
        },
    }


def _attributes(link: Link, way: int, rows: Mapping[str, Row]) -> Json:
    line = rows.get(LINE, Row(link.line_slots))
    free = line.capacity - line.bitmap.bit_count()
    fine = sum(row.capacity - row.bitmap.bit_count() for server, row in rows.items() if server != LINE)
    return {
        "name": f"{short(link.name)} {DIRECTIONS[way]}",
        "admin-status": "up",
        "interface-switching-capability": [dict(SWITCHING)],
        "max-link-bandwidth": _bandwidth(link.line, line.capacity, 0),
        "unreserved-bandwidth": [{"priority": LOWEST_PRIORITY, **_bandwidth(link.line, free, fine)}],
        "te-default-metric": link.te_metric,
        "te-delay-metric": link.delay_us,
        "te-srlgs": {"value": list(link.srlgs)},
        "label-restrictions": {"label-restriction": [_restriction(link, line, rows)]},
        "ietf-otn-topology:otn-link": {
            "odtu-flex-type": ODTU[link.line],
            "tsg": granularity(link.line),
            "distance": round(link.length_km),
        },
    }


def _bandwidth(line: Container, free: int, fine: int) -> Json:
    """How many of each kind go into `free` tributary slots of a line; fgODUflex(1) into those and `fine` slots."""
    clients = {odu: free // tributary_slots(odu, line) for odu in ODUK if carries(line, odu)}
    counts: list[Json] = [{"odu-type": odu_type(odu), "number": number} for odu, number in clients.items()]
    flexible: list[Json] = [{"odu-type": odu_type(Container.ODUFLEX), "ts-number": free}] if free else []
    thin = min(fine + _fine_in(line, free), MAX_NUMBER)
    every = [*counts, *flexible, {"odu-type": FGODUFLEX, "number": thin}]
    return {"te-bandwidth": {"ietf-otn-topology:otn-bandwidth": {"odulist": every}}}


def _fine_in(line: Container, free: int) -> int:
    """Fine-grain slots of the server ODUs that could be opened in `free` tributary slots, largest first."""
    found = 0
    for odu in sorted(FGTS_PER_SERVER, key=FGTS_PER_SERVER.__getitem__, reverse=True):
        if carries(line, odu):
            opened, free = divmod(free, tributary_slots(odu, line))
            found += opened * FGTS_PER_SERVER[odu]
    return found


def _restriction(link: Link, line: Row, rows: Mapping[str, Row]) -> Json:
    """The tributary slots of the line that are free, and the fine-grain slots of each server ODU that is open."""
    free = ~line.bitmap & ((1 << line.capacity) - 1)
    return {
        "index": 1,
        "restriction": "inclusive",
        "ietf-otn-topology:otn-label-range": {"range-type": "trib-slot", "tsg": granularity(link.line)},
        "label-start": {"te-label": {"ietf-otn-topology:otn-label": {"ts": 1}}},
        "label-end": {"te-label": {"ietf-otn-topology:otn-label": {"ts": line.capacity}}},
        "label-step": {"ietf-otn-topology:otn-label-step": {"ts": 1}},
        "range-bitmap": free.to_bytes(-(-line.capacity // 8), "big").hex(":"),
        "ietf-fgotn-topology:fgts-range": list(_ranges(link, rows)),
    }


def _ranges(link: Link, rows: Mapping[str, Row]) -> Iterator[Json]:
    """In the order of their tributary slots."""
    open_ones = [(server_of(link, name), row) for name, row in rows.items() if name != LINE]
    for (odu, tributaries), row in sorted(open_ones, key=lambda each: each[0][1]):
        yield {
            "odu-type": odu_type(odu),
            "odu-ts-number": ts_list(tributaries),
            "fgts-reserved": ts_list(bits(row.bitmap)),
            "fgts-unreserved": ts_list(bits(~row.bitmap & ((1 << row.capacity) - 1))),
        }
