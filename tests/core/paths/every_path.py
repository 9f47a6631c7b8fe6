"""The oracle of path searches: every simple path of a small layer, summed up link by link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from random_graphs import Layer

from controller.core.graph import Objective
from controller.core.model import Link
from controller.core.paths.path import Constraints


@dataclass(frozen=True)
class Walked:
    """A simple path: (link, direction) in order."""

    layer: Layer
    nodes: tuple[str, ...]
    hops: tuple[tuple[Link, int], ...]

    @property
    def delay(self) -> int:
        processing = {node.name: node.processing_us for node in self.layer.nodes}
        return sum(link.delay_us for link, _ in self.hops) + sum(processing[node] for node in self.nodes[1:-1])

    def cost(self, objective: Objective, demand: int) -> int:
        if objective is Objective.DELAY:
            return self.delay
        if objective is Objective.LOAD:
            return sum(
                1000 * link.capacity_kbps // max(1, self.layer.free[link.name, way] - demand) for link, way in self.hops
            )
        return sum(link.igp_metric if objective is Objective.IGP else link.te_metric for link, _ in self.hops)

    def keeps(self, asked: Constraints) -> bool:
        names = {link.name for link, _ in self.hops}
        return (
            (not asked.max_delay_us or self.delay <= asked.max_delay_us)
            and (not asked.max_hops or len(self.hops) <= asked.max_hops)
            and (not asked.max_jitter_us or sum(link.jitter_us for link, _ in self.hops) <= asked.max_jitter_us)
            and asked.include_nodes <= set(self.nodes)
            and asked.include_links <= names
            and not asked.exclude_nodes & set(self.nodes)
            and all(admits(self.layer, link, way, asked) for link, way in self.hops)
        )


def admits(layer: Layer, link: Link, way: int, asked: Constraints) -> bool:
    """True where a link may be used in a direction."""
    colours = set(link.affinities)
    return (
        link.name not in layer.closed
        and link.name not in asked.exclude_links
        and layer.free[link.name, way] >= asked.demand
        and layer.free[link.name, 1 - way] >= asked.reverse_demand
        and link.mtu_bytes >= asked.mtu_bytes
        and not set(link.srlgs) & asked.exclude_srlgs
        and not colours & asked.exclude_any
        and (not asked.include_any or bool(colours & asked.include_any))
        and asked.include_all <= colours
    )


def every_path(layer: Layer, source: str, target: str) -> Iterator[Walked]:
    """All simple paths over all links, whatever their state."""
    around: dict[str, list[tuple[str, Link, int]]] = {node.name: [] for node in layer.nodes}
    for link in layer.links:
        around[link.a_node].append((link.z_node, link, 0))
        around[link.z_node].append((link.a_node, link, 1))

    def on(nodes: tuple[str, ...], hops: tuple[tuple[Link, int], ...]) -> Iterator[Walked]:
        if nodes[-1] == target:
            yield Walked(layer, nodes, hops)
            return
        for node, link, way in around[nodes[-1]]:
            if node not in nodes:
                yield from on((*nodes, node), (*hops, (link, way)))

    return on((source,), ())


def kept(layer: Layer, source: str, target: str, asked: Constraints) -> list[Walked]:
    """The simple paths that keep to the constraints."""
    return [path for path in every_path(layer, source, target) if path.keeps(asked)]
