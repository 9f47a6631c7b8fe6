"""The live topology of a domain: planned nodes and links in two layers, with what was seen of them.

Immutable: `apply(event)` gives a new one. `graph` is the public view, a networkx multigraph keyed by link name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

import networkx as nx

from controller.core.model import AccessPort, Capabilities, Link, LinkKind, Node, NodeKind, Status, TopologyView
from controller.core.names import topology as topology_name


@dataclass(frozen=True, slots=True)
class NodeChanged:
    node: str
    status: Status
    capabilities: Capabilities | None = None


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """Status of a planned link; ports are those discovered, 0 keeps what is known."""

    link: str
    status: Status
    a_port: int = 0
    z_port: int = 0


@dataclass(frozen=True, slots=True)
class LinkUnplanned:
    """Two ports that are wired although the file does not say so."""

    link: Link


@dataclass(frozen=True, slots=True)
class LinkGone:
    """An unplanned link that is no longer wired: nothing is left to say of it."""

    link: str


@dataclass(frozen=True, slots=True)
class DrainChanged:
    """A node or link is kept free for maintenance from now on, or no longer."""

    name: str
    drained: bool


Event = NodeChanged | LinkChanged | LinkUnplanned | LinkGone | DrainChanged


@dataclass(frozen=True)
class Topology:
    """Planned and observed. Not slotted: it caches its views."""

    domain: str
    srv6_block: str
    nodes: Mapping[str, Node] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    version: int = 0

    @classmethod
    def planned(cls, domain: str, srv6_block: str, nodes: Iterable[Node], links: Iterable[Link]) -> Topology:
        return cls(
            domain,
            srv6_block,
            MappingProxyType({n.name: n for n in nodes}),
            MappingProxyType({link.name: link for link in links}),
        )

    def apply(self, event: Event) -> Topology:
        """The topology after `event`; itself where nothing changes."""
        match event:
            case NodeChanged():
                return self._node(event)
            case LinkChanged():
                old = self.links[event.link]
                ports = event.a_port or old.a_port, event.z_port or old.z_port
                return self._link(replace(old, status=event.status, a_port=ports[0], z_port=ports[1]))
            case LinkUnplanned():
                return self._link(replace(event.link, status=Status.UNPLANNED))
            case LinkGone():
                return self._without(event.link)
            case DrainChanged() if event.name in self.nodes:
                return self._put_node(replace(self.nodes[event.name], drained=event.drained))
            case DrainChanged():
                return self._link(replace(self.links[event.name], drained=event.drained))

    def _node(self, event: NodeChanged) -> Topology:
        old = self.nodes[event.node]
        return self._put_node(replace(old, status=event.status, capabilities=event.capabilities or old.capabilities))

    def _put_node(self, new: Node) -> Topology:
        if self.nodes[new.name] == new:
            return self
        return replace(self, nodes=MappingProxyType({**self.nodes, new.name: new}), version=self.version + 1)

    def _link(self, new: Link) -> Topology:
        if self.links.get(new.name) == new:
            return self
        return replace(self, links=MappingProxyType({**self.links, new.name: new}), version=self.version + 1)

    def _without(self, link: str) -> Topology:
        if link not in self.links:
            return self
        left = {name: other for name, other in self.links.items() if name != link}
        return replace(self, links=MappingProxyType(left), version=self.version + 1)

    @cached_property
    def graph(self) -> nx.MultiDiGraph:
        """Both layers: one node per node, one edge per link and direction, with `link` and `direction` attributes."""
        graph = nx.MultiDiGraph(domain=self.domain)
        for node in self.nodes.values():
            graph.add_node(node.name, node=node)
        for link in self.links.values():
            graph.add_edge(link.a_node, link.z_node, key=link.name, link=link, direction=0)
            graph.add_edge(link.z_node, link.a_node, key=link.name, link=link, direction=1)
        return graph

    def of_kind(self, kind: LinkKind) -> tuple[Link, ...]:
        return tuple(link for link in self.links.values() if link.kind is kind)

    @cached_property
    def client_links(self) -> Mapping[str, Link]:
        """The planned client link of each router and of each OTN node, by node name; a stray cable changes nothing."""
        found: dict[str, Link] = {}
        for link in self.of_kind(LinkKind.CLIENT):
            if link.status is not Status.UNPLANNED:
                found[link.a_node] = link
                found[link.z_node] = link
        return found

    def otn_of(self, router: str) -> str:
        """The OTN node that a router hangs on."""
        link = self.client_links[router]
        return link.z_node if link.a_node == router else link.a_node

    @cached_property
    def drained(self) -> frozenset[str]:
        """Nodes and links that are kept free for maintenance."""
        nodes = (node.name for node in self.nodes.values() if node.drained)
        return frozenset(nodes).union(link.name for link in self.links.values() if link.drained)

    def usable(self, link: Link) -> bool:
        """True where new traffic may be placed on it: it is up and both its nodes answer."""
        ends = (self.nodes[link.a_node].status, self.nodes[link.z_node].status)
        return link.status is Status.UP and ends == (Status.UP, Status.UP)

    def wired(self, adjacency: Link) -> bool:
        """True where it has a trail of which every port is known: nothing is rendered before discovery saw it once."""
        links = [self.links[fibre] for fibre in adjacency.trail]
        links += [self.client_links[router] for router in (adjacency.a_node, adjacency.z_node)]
        return bool(adjacency.trail) and all(link.a_port and link.z_port for link in links)

    def access_port(self, node: str, port: str) -> AccessPort | None:
        return next((p for p in self.nodes[node].access_ports if p.name == port), None)

    @cached_property
    def routers(self) -> tuple[Node, ...]:
        return tuple(n for n in self.nodes.values() if n.kind is NodeKind.ROUTER)

    def below(self, link: Link) -> frozenset[str]:
        """What an adjacency rides on: fibres and OTN nodes of its trail, and the client links of its routers."""
        if link.kind is not LinkKind.ADJACENCY:
            return frozenset()
        trail = [name for name in link.trail if name in self.links]
        clients = (self.client_links[end].name for end in (link.a_node, link.z_node) if end in self.client_links)
        return self.ends(trail).union(trail, clients)

    def ends(self, links: Iterable[str]) -> frozenset[str]:
        """The nodes that links join."""
        return frozenset(end for name in links for end in (self.links[name].a_node, self.links[name].z_node))

    def _told(self, link: Link) -> Link:
        """Of an adjacency, with what is said of all that it rides on."""
        off = self.drained and not self.drained.isdisjoint(self.below(link))
        return replace(link, drained=True) if off else link

    def view(self) -> TopologyView:
        return TopologyView(
            name=topology_name(self.domain),
            srv6_block=self.srv6_block,
            nodes=tuple(self.nodes.values()),
            links=tuple(self._told(link) for link in self.links.values()),
            version=self.version,
        )


def port_at(link: Link, node: str) -> int:
    """The discovered port number of `link` at `node`; 0 while unknown."""
    return link.a_port if link.a_node == node else link.z_port


def other_end(link: Link, node: str) -> str:
    return link.z_node if link.a_node == node else link.a_node
