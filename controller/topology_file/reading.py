"""One pass over a topology document: sections in order, each item checked against those before it.

Great circles use the mean earth radius (IUGG); a fibre's delay is its length times `fibre.us_per_km`, rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from controller.core import names
from controller.core.geography import great_circle_km
from controller.core.graph import MAX_COLOURS
from controller.core.model import AccessPort, Container, Link, LinkKind, Node, NodeKind
from controller.core.otn.odu import payload_kbps
from controller.topology_file.customers import CustomerPorts, host, with_host
from controller.topology_file.lines import DEFAULT_LINE, TRAILS, Occupation, line_of, servers
from controller.topology_file.marked_yaml import Element
from controller.topology_file.model import FIRST_ACCESS_PORT, LabHost, Role, Site, TopologyFile
from controller.topology_file.values import (
    LABEL,
    LINK_LABEL,
    affinities,
    fresh,
    jitter_us,
    locator_block,
    metric,
    risk_groups,
    unused,
)

Thing = TypeVar("Thing")

CLIENT_KBPS, FAST_CLIENT_KBPS = 10_000_000, 100_000_000
"""Of a client link: 10GE, and 100GE where the OTN node has a line beyond ODU2."""
MTU_BYTES = 9000

ENGINEERING = ("igp_metric", "te_metric", "jitter_us", "affinities")
"""Keys of a fibre and of a trail alike; a trail inherits what it does not state."""
LINK_SECTIONS = {LinkKind.FIBRE: "fibres", LinkKind.ADJACENCY: "trails"}

_CLIENT_PREFIX = "C-"
_ROUNDING_KM = 0.05


class Reading:
    """One pass over one document, in the order in which its sections refer to each other."""

    def __init__(self, root: Element) -> None:
        required = ("domain", "title", "srv6", "fibre", "sites", "routers", "otn_nodes", "fibres")
        self._sections = root.mapping(required, ("trails", "hosts"))
        self._domain = self._sections["domain"].text(LABEL)
        self._sites: dict[str, Site] = {}
        self._routers: dict[str, Node] = {}
        self._otn_nodes: dict[str, Node] = {}
        self._otn_of: dict[str, str] = {}
        self._fibres: dict[str, Link] = {}
        self._trails: dict[str, Link] = {}
        self._hosts: dict[str, LabHost] = {}
        self._occupation = Occupation()
        self._colours: dict[LinkKind, set[str]] = {kind: set() for kind in LINK_SECTIONS}
        self._occupied: set[tuple[str, str]] = set()

    def topology(self) -> TopologyFile:
        title = self._sections["title"].text()
        block = self._sections["srv6"].mapping(["block"])["block"].parsed(locator_block)
        self._customers = CustomerPorts(block)
        fibre = self._sections["fibre"].mapping(["us_per_km", "route_factor"])
        self._us_per_km = fibre["us_per_km"].number(3.33, 10)  # from the speed of light in vacuum
        self._route_factor = fibre["route_factor"].number(1, 5)
        for section, read_item in (
            ("sites", self._site),
            ("routers", self._router),
            ("otn_nodes", self._otn_node),
            ("fibres", self._fibre),
            ("trails", self._trail),
            ("hosts", self._host),
        ):
            for item in self._sections[section].sequence() if section in self._sections else ():
                read_item(item)
            if section == "otn_nodes":
                self._every_router_has_an_otn_node()
        clients = (self._client_link(router, otn) for router, otn in self._otn_of.items())
        return TopologyFile(
            domain=self._domain,
            title=title,
            srv6_block=str(block),
            sites=tuple(self._sites.values()),
            nodes=(*self._routers.values(), *self._otn_nodes.values()),
            links=(*self._fibres.values(), *clients, *self._trails.values()),
            hosts=tuple(self._hosts.values()),
        )

    def _site(self, item: Element) -> None:
        keys = item.mapping(["name", "title", "latitude", "longitude", "role"])
        name = fresh(keys["name"], keys["name"].text(LABEL), self._sites)
        latitude, longitude = keys["latitude"].number(-90, 90), keys["longitude"].number(-180, 180)
        self._sites[name] = Site(name, keys["title"].text(), latitude, longitude, keys["role"].choice(Role, Role))

    def _router(self, item: Element) -> None:
        keys = item.mapping(["name", "site", "node_id"], ["processing_us", "access"])
        name = fresh(keys["name"], keys["name"].text(LABEL), self._routers)
        node_id = keys["node_id"].integer(0x0001, 0xDFFF)
        unused(keys["node_id"], node_id, (router.node_id for router in self._routers.values()))
        ports: dict[str, AccessPort] = {}
        for number, port in enumerate(keys["access"].sequence() if "access" in keys else (), FIRST_ACCESS_PORT):
            read = self._customers.port(port, number, ports)
            ports[read.name] = read
        node = self._node(keys, name, NodeKind.ROUTER, node_id)
        self._routers[name] = replace(node, access_ports=tuple(ports.values()))

    def _node(self, keys: Mapping[str, Element], name: str, kind: NodeKind, node_id: int) -> Node:
        site = _known(keys["site"], self._sites)
        return Node(
            name=names.node(self._domain, name),
            kind=kind,
            site=site.name,
            latitude=site.latitude,
            longitude=site.longitude,
            node_id=node_id,
            processing_us=keys["processing_us"].integer(0, 100_000) if "processing_us" in keys else 0,
        )

    def _otn_node(self, item: Element) -> None:
        keys = item.mapping(["name", "site", "datapath_id"], ["router", "processing_us"])
        name = fresh(keys["name"], keys["name"].text(LABEL), self._routers, self._otn_nodes)
        datapath_id = keys["datapath_id"].integer(1, 0xFFFF_FFFF)
        unused(keys["datapath_id"], datapath_id, (node.node_id for node in self._otn_nodes.values()))
        self._otn_nodes[name] = node = self._node(keys, name, NodeKind.OTN, datapath_id)
        if "router" in keys:
            router = _known(keys["router"], self._routers)
            if router.site != node.site:
                raise keys["router"].wrong(f"the router is at {router.site}, not at {node.site}")
            self._otn_of[fresh(keys["router"], names.short(router.name), self._otn_of)] = name

    def _every_router_has_an_otn_node(self) -> None:
        for item in self._sections["routers"].sequence():
            name = item.mapping(["name", "site", "node_id"], ["processing_us", "access"])["name"]
            if name.text() not in self._otn_of:
                raise name.wrong(f"no OTN node names {name.text()!r} as its router")

    def _fibre(self, item: Element) -> None:
        keys = item.mapping(["name", "a", "z"], ["km", "line", "servers", "srlgs", *ENGINEERING])
        name = self._link_name(keys["name"])
        a, z = _known(keys["a"], self._otn_nodes), _known(keys["z"], self._otn_nodes)
        if a is z:
            raise keys["z"].wrong("a fibre ends at two nodes")
        line = line_of(keys["line"]) if "line" in keys else DEFAULT_LINE
        km = self._length_km(item, keys, great_circle_km((a.latitude, a.longitude), (z.latitude, z.longitude)))
        carried = servers(keys["servers"], line) if "servers" in keys else ()
        self._occupation.open(name, line, carried)
        delay_us = math.ceil(round(km * self._us_per_km, 6))
        self._fibres[name] = Link(
            name=names.link(self._domain, name),
            kind=LinkKind.FIBRE,
            a_node=a.name,
            z_node=z.name,
            length_km=km,
            delay_us=delay_us,
            capacity_kbps=line.capacity_kbps,
            igp_metric=metric(keys, "igp_metric", delay_us),
            te_metric=metric(keys, "te_metric", delay_us),
            jitter_us=jitter_us(keys, 0),
            affinities=self._affinities(keys, LinkKind.FIBRE, ()),
            mtu_bytes=MTU_BYTES,
            srlgs=risk_groups(keys["srlgs"]) if "srlgs" in keys else (),
            line=line.odu,
            line_slots=line.slots,
            servers=carried,
        )

    def _length_km(self, item: Element, keys: Mapping[str, Element], ground_km: float) -> float:
        if "km" not in keys:
            if ground_km < _ROUNDING_KM:
                raise item.wrong("both ends are at one place: give its km")
            return round(ground_km * self._route_factor, 3)
        km = keys["km"].number(0.001, 20_040)  # half the way around the earth
        if km < ground_km - _ROUNDING_KM:
            raise keys["km"].wrong(f"{km:g} km is shorter than the great circle of {ground_km:.1f} km")
        if km > 10 * ground_km + 100:
            raise keys["km"].wrong(f"{km:g} km is absurd for a great circle of {ground_km:.1f} km")
        return km

    def _client_link(self, router: str, otn_node: str) -> Link:
        node = names.node(self._domain, otn_node)
        lines = {fibre.line for fibre in self._fibres.values() if node in (fibre.a_node, fibre.z_node)}
        return Link(
            name=names.link(self._domain, _CLIENT_PREFIX + router),
            kind=LinkKind.CLIENT,
            a_node=names.node(self._domain, router),
            z_node=node,
            capacity_kbps=FAST_CLIENT_KBPS if lines - {Container.ODU2} else CLIENT_KBPS,
            mtu_bytes=MTU_BYTES,
        )

    def _trail(self, item: Element) -> None:
        keys = item.mapping(["name", "a", "z", "fibres"], ["container", *ENGINEERING])
        name = self._link_name(keys["name"])
        a, z = _known(keys["a"], self._routers), _known(keys["z"], self._routers)
        if a is z:
            raise keys["z"].wrong("a trail joins two routers")
        container = keys["container"].choice(Container, TRAILS) if "container" in keys else Container.ODU0
        fibres, otn_nodes = self._route(keys["fibres"], names.short(a.name), names.short(z.name))
        self._occupation.occupy(keys["fibres"], container)
        delay_us = sum(fibre.delay_us for fibre in fibres) + sum(node.processing_us for node in otn_nodes)
        self._trails[name] = Link(
            name=names.link(self._domain, name),
            kind=LinkKind.ADJACENCY,
            a_node=a.name,
            z_node=z.name,
            length_km=round(sum(fibre.length_km for fibre in fibres), 3),
            delay_us=delay_us,
            capacity_kbps=payload_kbps(container),
            igp_metric=metric(keys, "igp_metric", delay_us),
            te_metric=metric(keys, "te_metric", delay_us),
            jitter_us=jitter_us(keys, sum(fibre.jitter_us for fibre in fibres)),
            affinities=self._affinities(keys, LinkKind.ADJACENCY, (c for fibre in fibres for c in fibre.affinities)),
            mtu_bytes=MTU_BYTES,
            srlgs=tuple(sorted({group for fibre in fibres for group in fibre.srlgs})),
            trail=tuple(fibre.name for fibre in fibres),
            container=container,
        )

    def _affinities(self, keys: Mapping[str, Element], kind: LinkKind, inherited: Iterable[str]) -> tuple[str, ...]:
        """The colours of a link; a layer can tell only so many apart."""
        stated = affinities(keys["affinities"]) if "affinities" in keys else tuple(sorted(set(inherited)))
        known = self._colours[kind]
        known.update(stated)
        if len(known) > MAX_COLOURS:
            raise keys.get("affinities", keys["name"]).wrong(
                f"this makes {len(known)} affinities of {LINK_SECTIONS[kind]}; at most {MAX_COLOURS} are told apart"
            )
        return stated

    def _route(self, route: Element, a: str, z: str) -> tuple[list[Link], list[Node]]:
        """The fibres and the OTN nodes from router a to router z, in order."""
        here = self._otn_nodes[self._otn_of[a]]
        fibres, otn_nodes = list[Link](), [here]
        for item in route.sequence():
            fibre = _known(item, self._fibres)
            if here.name not in (fibre.a_node, fibre.z_node):
                raise item.wrong(f"{names.short(fibre.name)} does not continue from {names.short(here.name)}")
            far = fibre.z_node if here.name == fibre.a_node else fibre.a_node
            here = self._otn_nodes[names.short(far)]
            if here in otn_nodes:
                raise item.wrong(f"the route comes back to {names.short(here.name)}")
            fibres.append(fibre)
            otn_nodes.append(here)
        if names.short(here.name) != self._otn_of[z]:
            raise route.wrong(f"the route ends at {names.short(here.name)}, not at {self._otn_of[z]}")
        return fibres, otn_nodes

    def _link_name(self, key: Element) -> str:
        name = fresh(key, key.text(LINK_LABEL), self._fibres, self._trails)
        if name.removeprefix(_CLIENT_PREFIX) in self._routers and name.startswith(_CLIENT_PREFIX):
            raise key.wrong(f"{name!r} is the name of a client link")
        return name

    def _host(self, item: Element) -> None:
        keys = item.mapping(["name", "router", "port"], ["ipv4", "ipv6", "mac"])
        name = fresh(keys["name"], keys["name"].text(LABEL), self._hosts, self._routers, self._otn_nodes)
        router = _known(keys["router"], self._routers)
        port = _known(keys["port"], {port.name: port for port in router.access_ports})
        if (router.name, port.name) in self._occupied:
            raise keys["port"].wrong(f"{port.name!r} has a host already")
        self._occupied.add((router.name, port.name))
        self._hosts[name] = attached = host(item, keys, name, router, port)
        self._routers[names.short(router.name)] = with_host(router, attached, keys)


def _known(element: Element, things: Mapping[str, Thing]) -> Thing:
    name = element.text()
    if name not in things:
        raise element.wrong(f"there is no {name!r}")
    return things[name]
