"""Planning one corridor, against the floor of the path search alone (networkx on the same graph, in the same run).

bench/plan.py [--json FILE] [--seed N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import networkx as nx

from controller.core.ids import Ids
from controller.core.model import Corridor, EndPoint, Isolation, LinkKind, Profile, Status
from controller.core.plan import plan
from controller.core.render import render_record
from controller.core.snapshot import Snapshot
from controller.core.topology import LinkChanged, NodeChanged, Topology
from controller.core.trails import initial_ledger, with_ids
from controller.topology_file import load

TOPOLOGIES = Path(__file__).parents[1] / "topologies"


def live(name: str) -> Snapshot:
    """A topology of the repository with everything up and no corridor."""
    file = load(TOPOLOGIES / f"{name}.yaml")
    topology = Topology.planned(file.domain, file.srv6_block, file.nodes, file.links)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    topology, ids = with_ids(topology, Ids(), now)
    for node in topology.nodes:
        topology = topology.apply(NodeChanged(node, Status.UP))
    for link in tuple(topology.links.values()):
        fibre = link.kind is LinkKind.FIBRE
        ports = [file.line_port(node, link.name) if fibre else 1 for node in (link.a_node, link.z_node)]
        topology = topology.apply(LinkChanged(link.name, Status.UP, *ports))
    return Snapshot(topology, initial_ledger(topology), ids, {}, now)


def requests(snapshot: Snapshot, isolation: Isolation, rounds: int, seed: int) -> list[Corridor]:
    """Corridors between random pairs of access ports of the default tenant."""
    chance = random.Random(seed)
    ends = [
        EndPoint(node.name, port.name)
        for node in snapshot.topology.routers
        for port in node.access_ports
        if port.tenant in ("", "default")
    ]
    pairs = [chance.sample(ends, 2) for _ in range(rounds)]
    profiles = (Profile("inference", 20_000), Profile("training", 100_000))
    return [
        Corridor(
            f"tenants/default/corridors/c{n}", "", "", a, z, isolation, profiles=profiles, active_profile="training"
        )
        for n, (a, z) in enumerate(pairs)
    ]


def median_us(work: Callable[[Any], object], items: list[Any]) -> float:
    took = []
    for item in items:
        began = time.perf_counter()
        work(item)
        took.append((time.perf_counter() - began) * 1e6)
    return statistics.median(took)


def measure(name: str, isolation: Isolation, rounds: int, seed: int) -> dict[str, Any]:
    snapshot = live(name)
    asked = requests(snapshot, isolation, rounds, seed)
    kind = LinkKind.FIBRE if isolation is Isolation.HARD else LinkKind.ADJACENCY
    graph = nx.Graph()
    for link in snapshot.topology.of_kind(kind):
        graph.add_edge(link.a_node, link.z_node, weight=link.delay_us)

    def ours(corridor: Corridor) -> object:
        done = plan(snapshot, corridor)
        return render_record(snapshot.topology, done.ids, done.record)

    def floor(corridor: Corridor) -> object:
        ends = [end.node for end in (corridor.a_end, corridor.z_end)]
        if isolation is Isolation.HARD:
            ends = [snapshot.topology.otn_of(node) for node in ends]
        return nx.single_source_dijkstra(graph, *ends)

    value, peer = median_us(ours, asked), median_us(floor, asked)
    return {
        "name": f"plan and render, {name}, {isolation.value.lower()}",
        "value": round(value, 1),
        "unit": "µs",
        "peer": {"name": "networkx single_source_dijkstra alone", "value": round(peer, 1)},
        "ratio": round(value / peer, 2),
        "goal": None,
        "met": None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    cases = [(name, kind) for name in ("metro-beijing", "east-west") for kind in Isolation]
    rows = [measure(name, kind, options.rounds, options.seed) for name, kind in cases]
    for row in rows:
        peer = row["peer"]["value"]
        print(f"{row['name']:45} {row['value']:9.1f} µs   path search alone {peer:7.1f} µs   ratio {row['ratio']:6.2f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
