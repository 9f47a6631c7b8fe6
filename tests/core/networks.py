"""Two-layer domains built by hand from model objects, and a controller's memory in miniature to plan on them.

Site `k` has router `r{k}` (SRv6 node id k), OTN node `o{k}` and the client link `C-r{k}`. Every router has one access
port per tenant, and both tenants use the same addresses at the same site: they must never meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import strategies as st

from controller.core.entries import Entry
from controller.core.ids import Ids
from controller.core.layers import Layers
from controller.core.model import (
    AccessPort,
    Capabilities,
    Container,
    Corridor,
    EndPoint,
    Isolation,
    Link,
    LinkKind,
    Liveness,
    Neighbor,
    Node,
    NodeKind,
    Profile,
    Server,
    Stage,
    State,
    Status,
)
from controller.core.otn import Ledger
from controller.core.plan import Plan, advance, plan, removal
from controller.core.records import Record
from controller.core.render import merged, render_infrastructure, render_record
from controller.core.segments.locators import routed
from controller.core.snapshot import Snapshot
from controller.core.topology import LinkChanged, NodeChanged, Topology
from controller.core.trails import initial_ledger, with_ids
from controller.routing import Routing

DOMAIN = "lab"
BLOCK = "fcbb:bb00::/32"
START = datetime(2026, 1, 1, tzinfo=UTC)
TENANTS = ("acme", "globex")
FGTS = {Container.ODU0: 119, Container.ODU1: 238, Container.ODU2: 952}
TRIBUTARIES = {Container.ODU0: 1, Container.ODU1: 2, Container.ODU2: 8}
TRAIL_KBPS = {Container.ODU0: 1_238_954, Container.ODU1: 2_488_320, Container.ODU2: 9_995_276}
LINE_SLOTS = 8
STAGES = {Stage.BUILD: Stage.STEER, Stage.STEER: Stage.CLEAN, Stage.CLEAN: Stage.SETTLED}


def node_name(short: str) -> str:
    return f"domains/{DOMAIN}/nodes/{short}"


def link_name(short: str) -> str:
    return f"domains/{DOMAIN}/links/{short}"


def router(site: int, processing_us: int = 15) -> Node:
    """Router of a site: port 1 towards its OTN node, ports 2 and 3 for the tenants, 4 for a second acme port."""
    ports = [access_port(site, tenant, 2 + i, tenant, 9) for i, tenant in enumerate(TENANTS)]
    ports.append(access_port(site, "acme-b", 4, "acme", 8))
    return Node(
        node_name(f"r{site}"),
        NodeKind.ROUTER,
        site=f"s{site}",
        latitude=39.9 + site / 100,
        longitude=116.3,
        node_id=site,
        processing_us=processing_us,
        access_ports=tuple(ports),
    )


def access_port(site: int, name: str, port: int, tenant: str, net: int) -> AccessPort:
    """Its subnets are `prefixes`; the tenants have the same machine there by address, each with a MAC of its own."""
    four, six = f"10.{net}.{site}.", f"2001:db8:{net}:{site:x}::"
    machines = tuple(Neighbor(f"{subnet}7", f"0a:00:00:00:{port - 2:02x}:{site:02x}") for subnet in (four, six))
    return AccessPort(name, port, tenant, "compute", f"{four}1/24", f"{six}1/64", machines)


def otn_node(site: int, processing_us: int = 25) -> Node:
    place = {"site": f"s{site}", "latitude": 39.9 + site / 100, "longitude": 116.3}
    return Node(node_name(f"o{site}"), NodeKind.OTN, node_id=256 + site, processing_us=processing_us, **place)  # type: ignore[arg-type]


def client_link(site: int) -> Link:
    ends = node_name(f"r{site}"), node_name(f"o{site}")
    return Link(link_name(f"C-r{site}"), LinkKind.CLIENT, *ends, capacity_kbps=10_000_000)


def fibre(
    name: str,
    a: int,
    z: int,
    delay_us: int = 60,
    servers: Iterable[Container] = (Container.ODU1,),
    line_slots: int = LINE_SLOTS,
) -> Link:
    """A fibre between the OTN nodes of two sites; full where servers and trails take all of `line_slots`."""
    offered = tuple(Server(f"{odu.lower()}-{i}", odu, TRIBUTARIES[odu], FGTS[odu]) for i, odu in enumerate(servers, 1))
    ends = node_name(f"o{a}"), node_name(f"o{z}")
    line = {"capacity_kbps": 9_995_276, "line_slots": line_slots, "servers": offered}
    return Link(link_name(name), LinkKind.FIBRE, *ends, delay_us=delay_us, **line)  # type: ignore[arg-type]


def adjacency(
    name: str, a: int, z: int, trail: Iterable[str], delay_us: int = 100, container: Container = Container.ODU0
) -> Link:
    """An IP adjacency between the routers of two sites over fibres listed A to Z."""
    return Link(
        link_name(name),
        LinkKind.ADJACENCY,
        node_name(f"r{a}"),
        node_name(f"r{z}"),
        delay_us=delay_us,
        capacity_kbps=TRAIL_KBPS[container],
        igp_metric=delay_us,
        trail=tuple(link_name(each) for each in trail),
        container=container,
    )


def domain(sites: Iterable[int], links: Iterable[Link]) -> Topology:
    sites = tuple(sites)
    nodes = [*map(router, sites), *map(otn_node, sites)]
    return Topology.planned(DOMAIN, BLOCK, nodes, [*links, *map(client_link, sites)])


def square(servers: Iterable[Container] = (Container.ODU1, Container.ODU0)) -> Topology:
    """Four sites in a ring with a chord 1-3; some links are named against the direction of travel on purpose."""
    servers = tuple(servers)
    links = [
        fibre("F-12", 1, 2, 50, servers),
        fibre("F-23", 2, 3, 60, servers),
        fibre("F-34", 3, 4, 70, servers),
        fibre("F-41", 4, 1, 80, servers),
        fibre("F-13", 1, 3, 90, servers),
        adjacency("A-12", 1, 2, ["F-12"], 100),
        adjacency("A-32", 3, 2, ["F-23"], 110),
        adjacency("A-34", 3, 4, ["F-34"], 120),
        adjacency("A-14", 1, 4, ["F-41"], 130),
        adjacency("A-13", 1, 3, ["F-12", "F-23"], 500),
    ]
    return domain(range(1, 5), links)


def chain(
    sites: int,
    servers: Iterable[Container] = (Container.ODU1,),
    twins: bool = False,
    line_slots: int = LINE_SLOTS,
) -> Topology:
    """Sites in a row, neighbours joined by one fibre and one adjacency; with `twins` by two that are alike.

    Where two are alike routes say nothing, and every hop costs a uA: long segment lists.
    """
    links: list[Link] = []
    for here, there in pairwise(range(1, sites + 1)):
        ends = (here, there) if here % 2 else (there, here)
        links += [
            fibre(f"F-{here}-{there}", *ends, 20, servers, line_slots),
            adjacency(f"A-{here}-{there}", *ends[::-1], [f"F-{here}-{there}"], 70),
        ]
        if twins:
            links.append(adjacency(f"B-{here}-{there}", *ends, [f"F-{here}-{there}"], 70))
    return domain(range(1, sites + 1), links)


def seeing_far(topology: Topology) -> Topology:
    """With routers that see failures beyond their own ports."""
    able = Capabilities(liveness=Liveness.REMOTE)
    nodes = {
        name: replace(node, capabilities=able) if node.kind is NodeKind.ROUTER else node
        for name, node in topology.nodes.items()
    }
    return replace(topology, nodes=nodes)


def port_numbers(topology: Topology) -> dict[str, tuple[int, int]]:
    """Per link (port at A, port at Z): 1 is the client link on both sides, fibres follow from 2 in their order."""
    following = {node.name: 2 for node in topology.nodes.values()}
    ports: dict[str, tuple[int, int]] = {}
    for link in topology.links.values():
        if link.kind is LinkKind.FIBRE:
            ports[link.name] = following[link.a_node], following[link.z_node]
            following[link.a_node] += 1
            following[link.z_node] += 1
        else:
            ports[link.name] = 1, 1
    return ports


def all_up(topology: Topology) -> Topology:
    """As discovery leaves it when all is well: every node and link UP, with its port numbers."""
    for node in topology.nodes:
        topology = topology.apply(NodeChanged(node, Status.UP))
    for name, (a_port, z_port) in port_numbers(topology).items():
        topology = topology.apply(LinkChanged(name, Status.UP, a_port, z_port))
    return topology


def prefixes(site: int, net: int = 9) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(IPv4, IPv6) prefixes behind a site's access port; the same for both tenants."""
    return (f"10.{net}.{site}.0/24",), (f"2001:db8:{net}:{site:x}::/64",)


def end_point(site: int, tenant: str, port: str = "", dscp: int | None = None) -> EndPoint:
    return EndPoint(node_name(f"r{site}"), port or tenant, *prefixes(site), dscp=dscp)


def corridor(
    short: str = "c1",
    a: int = 1,
    z: int = 3,
    isolation: Isolation = Isolation.HARD,
    rates: tuple[int, ...] = (20_000, 100_000),
    tenant: str = "acme",
    active: int = 0,
    reverse: int = 0,
    **fields: object,
) -> Corridor:
    """A valid corridor with the profiles `p0`, `p1`, … of `rates` kbit/s."""
    made = Corridor(
        name=f"tenants/{tenant}/corridors/{short}",
        a_end=end_point(a, tenant),
        z_end=end_point(z, tenant),
        isolation=isolation,
        profiles=tuple(Profile(f"p{i}", rate, reverse) for i, rate in enumerate(rates)),
        active_profile=f"p{active}",
    )
    return replace(made, **fields)  # type: ignore[arg-type]


@dataclass
class Network:
    """What a controller remembers, without store, clock or devices."""

    topology: Topology
    ledger: Ledger
    ids: Ids
    records: dict[str, Record]
    now: datetime = START
    kept: tuple[Topology, Ledger, Layers] | None = None
    """Layers as the controller keeps them in step, with what they follow; another topology has them built anew."""
    routing: Routing | None = None
    """Of the links that `link` cuts and repairs."""

    @classmethod
    def of(cls, planned: Topology, up: bool = True) -> Network:
        topology, ids = with_ids(all_up(planned) if up else planned, Ids(), START)
        return cls(topology, initial_ledger(topology), ids, {})

    @property
    def snapshot(self) -> Snapshot:
        known = self.kept is not None and (self.kept[0], self.kept[1]) == (self.topology, self.ledger)
        layers = self.kept[2] if known and self.kept else None
        routes = self.routing.for_plans if self.routing else ()
        return Snapshot(self.topology, self.ledger, self.ids, dict(self.records), self.now, layers, routes)

    def commit(self, change: Plan) -> Record:
        before = self.snapshot
        self.ledger, self.ids = change.ledger, change.ids
        layers = before.layers.booked(self.topology, self.ledger, change.rows)
        self.kept = self.topology, self.ledger, layers
        self.records[change.record.name] = change.record
        if change.record.stage is Stage.SETTLED and change.record.target is None:
            del self.records[change.record.name]
        if self.routing and self.routing.changed((change.record,), self.topology, self.ids):
            self.reroute()
        return change.record

    def ask(self, wanted: Corridor) -> Record:
        """Plan and book, the first stage standing."""
        return self.commit(plan(self.snapshot, wanted))

    def remove(self, name: str) -> Record:
        record = self.records[name]
        return self.commit(removal(self.snapshot, record, replace(record.corridor, state=State.DELETING)))

    def step(self, name: str) -> Record:
        """One stage on."""
        record = self.records[name]
        stage = STAGES[record.stage]
        current = record.target if stage is Stage.SETTLED else record.current
        public = replace(record.corridor, stage=stage)
        return self.commit(advance(self.snapshot, record, Record(public, current, record.target, stage)))

    def roll_back(self, name: str) -> Record:
        """A change that could not be built goes: what stood is the target, both hold their own until it settles."""
        record = self.records[name]
        assert record.stage is Stage.BUILD
        assert record.current is not None
        public = replace(record.corridor, stage=Stage.CLEAN)
        return self.commit(advance(self.snapshot, record, Record(public, record.target, record.current, Stage.CLEAN)))

    def settle(self, name: str) -> None:
        while name in self.records and self.records[name].stage is not Stage.SETTLED:
            self.step(name)

    def stand(self, wanted: Corridor) -> Record:
        """Planned, booked and settled."""
        self.ask(wanted)
        self.settle(wanted.name)
        return self.records[wanted.name]

    def take_away(self, name: str) -> None:
        self.remove(name)
        self.settle(name)

    def link(self, short: str, status: Status) -> None:
        """A link goes down or comes up, and the adjacencies over a fibre with it."""
        name, before = link_name(short), self.snapshot
        self.topology = self.topology.apply(LinkChanged(name, status))
        for rider in self.topology.of_kind(LinkKind.ADJACENCY):
            if name in rider.trail:
                self.topology = self.topology.apply(LinkChanged(rider.name, status))
        self.kept = self.topology, self.ledger, before.layers.observed(before.topology, self.topology)
        self.routing = self.routing or Routing(before.underlays[0])
        self.reroute()

    def reroute(self) -> None:
        assert self.routing is not None
        wanted = routed(self.topology, self.snapshot.layers.packet)
        self.routing.follow(wanted, self.topology, self.ids, self.records.values())

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def tables(self) -> dict[str, tuple[Entry, ...]]:
        """What every device shall hold now."""
        rendered = [render_record(self.topology, self.ids, record) for record in self.records.values()]
        parts = [render_infrastructure(self.topology, self.ids, self.snapshot.underlays[0]), *rendered]
        return {name: tuple(merged([part.get(name, {}) for part in parts]).values()) for name in self.topology.nodes}


@st.composite
def domains(draw: st.DrawFn, most: int = 5) -> Topology:
    """Random connected domains: a tree of fibres and more, each tree edge with an adjacency, some over two fibres."""
    sites = draw(st.integers(2, most))
    edges = [(draw(st.integers(1, site - 1)), site) for site in range(2, sites + 1)]
    pair = st.lists(st.integers(1, sites), min_size=2, max_size=2, unique=True).map(tuple)
    edges += draw(st.lists(pair, max_size=3))
    offers = st.sampled_from([(Container.ODU0,), (Container.ODU1,), (Container.ODU0, Container.ODU0)])
    fibres, riders = [], []
    for number, (a, z) in enumerate(edges, 1):
        ends = (a, z) if draw(st.booleans()) else (z, a)
        fibres.append(fibre(f"F-{number}", *ends, draw(st.integers(1, 400)), draw(offers)))
        if number < sites or draw(st.booleans()):
            ends = (a, z) if draw(st.booleans()) else (z, a)
            riders.append(adjacency(f"A-{number}", *ends, [f"F-{number}"], draw(st.integers(1, 400))))
    riders += list(_two_fibre_riders(edges)) if draw(st.booleans()) else []
    return domain(range(1, sites + 1), [*fibres, *riders])


def _two_fibre_riders(edges: list[tuple[int, int]]) -> Iterator[Link]:
    """At most two adjacencies that pass an OTN node without meeting its router."""
    made = 0
    for i, first in enumerate(edges, 1):
        for j, second in enumerate(edges[i:], i + 1):
            middle = set(first) & set(second)
            if len(middle) == 1 and made < 2:
                (via,) = middle
                (a,), (z,) = set(first) - middle, set(second) - middle
                made += 1
                yield adjacency(f"A-{a}-{via}-{z}-{i}-{j}", a, z, [f"F-{i}", f"F-{j}"], 150)


@st.composite
def corridors_on(draw: st.DrawFn, topology: Topology, short: str) -> Corridor:
    """A corridor between two different sites of a domain; whether it fits is for the planner to say."""
    sites = sum(node.kind is NodeKind.ROUTER for node in topology.nodes.values())
    a, z = draw(st.permutations(range(1, sites + 1)))[:2]
    isolation = draw(st.sampled_from(Isolation))
    rates = draw(st.lists(st.integers(1, 900_000), min_size=1, max_size=3))
    made = corridor(
        short,
        a,
        z,
        isolation,
        tuple(rates),
        tenant=draw(st.sampled_from(TENANTS)),
        active=draw(st.integers(0, len(rates) - 1)),
        reverse=0 if isolation is Isolation.HARD else draw(st.integers(0, 300_000)),
    )
    families = draw(st.sampled_from([("ipv4_prefixes", "ipv6_prefixes"), ("ipv4_prefixes",), ("ipv6_prefixes",)]))
    left_out: dict[str, object] = {f: () for f in ("ipv4_prefixes", "ipv6_prefixes") if f not in families}
    dscp = draw(st.sampled_from([None, None, 0, 46]))
    a_end, z_end = (replace(end, dscp=dscp, **left_out) for end in (made.a_end, made.z_end))  # type: ignore[arg-type]
    return replace(made, a_end=a_end, z_end=z_end)
