"""The one-way latency of a leg, term by term, each with its source."""

from __future__ import annotations

from collections.abc import Iterable

from controller.core.model import Corridor, LatencySource, LatencyTerm, LinkKind
from controller.core.paths import Path
from controller.core.topology import Topology


def budget(
    topology: Topology, routers: Iterable[str], path: Path, packet_bytes: int, serialisation_us: int | None
) -> tuple[LatencyTerm, ...]:
    """Terms of a leg over `path` through `routers`.

    `serialisation_us`: into the slice of the thinnest profile, None for a soft leg, whose packets are clocked into its
    adjacencies.
    """
    clocking = _clocking_us(topology, path, packet_bytes) if serialisation_us is None else serialisation_us
    return (
        LatencyTerm("fibre", LatencySource.COMPUTED, sum(topology.links[name].delay_us for name in path.links)),
        LatencyTerm("otn-nodes", LatencySource.CONFIGURED, _otn_nodes_us(topology, path)),
        LatencyTerm("routers", LatencySource.CONFIGURED, sum(topology.nodes[name].processing_us for name in routers)),
        LatencyTerm("serialisation", LatencySource.COMPUTED, clocking),
    )


def _otn_nodes_us(topology: Topology, path: Path) -> int:
    """A path of fibres passes its own nodes; the delay of an adjacency already holds those of its trail."""
    if topology.links[path.links[0]].kind is not LinkKind.FIBRE:
        return 0
    return sum(topology.nodes[name].processing_us for name in path.nodes)


def _clocking_us(topology: Topology, path: Path, packet_bytes: int) -> int:
    return sum(-(-packet_bytes * 8 * 1000 // topology.links[name].capacity_kbps) for name in path.links)


def delay_left(corridor: Corridor, fixed_us: int) -> int:
    """What its latency bound leaves to the way between the ends, at least 1 µs; 0 where it has no bound."""
    return max(1, corridor.max_latency_us - fixed_us) if corridor.max_latency_us else 0
