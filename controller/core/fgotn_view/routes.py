"""Routes of connections hop by hop, with their labels, as the tunnel model lists them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from controller.core.fgotn_view.names import Json, otn_label, te_node_id
from controller.core.model import Link
from controller.core.topology import Topology, other_end, port_at


@dataclass(frozen=True, slots=True)
class Hop:
    """One fibre in the direction of travel."""

    link: Link
    node: str
    """Where the fibre is entered."""
    node_id: str
    server: str
    slots: tuple[int, ...]
    """In the order in which they were got."""


Route: TypeAlias = Sequence[Hop]
Leg: TypeAlias = tuple[str, str, tuple[int, ...]]
"""Fibre, server and slots."""


def route(topology: Topology, node: str, legs: Iterable[Leg]) -> Route:
    """Along `legs` from an OTN node."""
    hops = []
    for name, server, slots in legs:
        link = topology.links[name]
        hops.append(Hop(link, node, te_node_id(topology.nodes[node]), server, slots))
        node = other_end(link, node)
    return hops


def back(topology: Topology, there: Route) -> Route:
    """The same fibres and slots the other way."""
    if not there:
        return there
    far = other_end(there[-1].link, there[-1].node)
    return route(topology, far, [(hop.link.name, hop.server, hop.slots) for hop in reversed(there)])


def included(hops: Route) -> Json:
    """Explicit route: for each hop the port that it leaves by, and then its label."""
    usage = {"explicit-route-usage": "ietf-te-types:route-include-object"}
    objects = [{"index": index, **usage, **each} for index, each in enumerate(_objects(hops, strict=True), 1)]
    return {"explicit-route-objects": {"route-object-include-exclude": objects}}


def recorded(hops: Route) -> Json:
    """Actual route of an LSP."""
    objects = [{"index": index, **each} for index, each in enumerate(_objects(hops, strict=False), 1)]
    return {"lsp-actual-route-information": {"lsp-actual-route-information": objects}}


def _objects(hops: Route, *, strict: bool) -> Iterator[Json]:
    for hop in hops:
        port: Json = {"link-tp-id": port_at(hop.link, hop.node), "node-id": hop.node_id}
        label: Json = {"te-label": {"ietf-otn-tunnel:otn-label": otn_label(hop.link, hop.server, hop.slots)}}
        if strict:
            port |= {"hop-type": "strict", "direction": "outgoing"}
            label["te-label"]["direction"] = "forward"
        yield {"unnumbered-link-hop": port}
        yield {"label-hop": label}
