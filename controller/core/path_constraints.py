"""What a corridor asks of its path: checked against the topology, and put in terms of the layer that it runs over.

A soft corridor runs over routers and adjacencies, a hard one over OTN nodes and fibres. Exclusion reaches through the
layers: what rides on an excluded fibre, or passes an excluded OTN node, is excluded with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from controller.core.errors import Violation
from controller.core.maintenance import kept_off, refusal
from controller.core.model import Corridor, Isolation, Link, LinkKind, NodeKind, PathConstraints, Status
from controller.core.paths.path import Constraints
from controller.core.paths.places import MAX_PLACES
from controller.core.topology import Topology, other_end

UNCONSTRAINED = PathConstraints()
NODE_KINDS = {NodeKind.ROUTER: "a router", NodeKind.OTN: "an OTN node"}
LINK_KINDS = {LinkKind.FIBRE: "a fibre", LinkKind.CLIENT: "a client link", LinkKind.ADJACENCY: "an adjacency"}
MAY_NAME: dict[tuple[str, Isolation], tuple[NodeKind | LinkKind, ...]] = {
    ("include_nodes", Isolation.SOFT): (NodeKind.ROUTER,),
    ("include_nodes", Isolation.HARD): (NodeKind.ROUTER, NodeKind.OTN),
    ("include_links", Isolation.SOFT): (LinkKind.ADJACENCY,),
    ("include_links", Isolation.HARD): (LinkKind.FIBRE,),
    ("exclude_nodes", Isolation.SOFT): (NodeKind.ROUTER, NodeKind.OTN),
    ("exclude_nodes", Isolation.HARD): (NodeKind.ROUTER, NodeKind.OTN),
    ("exclude_links", Isolation.SOFT): (LinkKind.ADJACENCY, LinkKind.FIBRE),
    ("exclude_links", Isolation.HARD): (LinkKind.FIBRE,),
}
INCLUSIONS = ("include_nodes", "include_links")
AFFINITIES = ("include_any_affinities", "include_all_affinities", "exclude_any_affinities")
EXCLUSIONS = ("exclude_nodes", "exclude_links", "exclude_srlgs", *AFFINITIES)
"""What keeps a path from links, those too that have not the affinities asked for."""
LISTS = (*INCLUSIONS, *EXCLUSIONS)


def search_constraints(
    corridor: Corridor, topology: Topology, *, demand: int, reverse_demand: int, mtu_bytes: int, max_delay_us: int
) -> Constraints:
    """What to search the corridor's layer with; both demands in that layer's unit. The corridor is validated.

    An exclusion of what has left the topology since it was agreed excludes nothing. What is kept free for maintenance
    is excluded too; `Infeasible` (DRAINED) where it is to be passed.
    """
    asked, isolation = corridor.path_constraints, corridor.isolation
    ends = {_place(topology, isolation, end.node) for end in (corridor.a_end, corridor.z_end)}
    included = _places(topology, isolation, asked.include_nodes) - ends  # the others it visits anyway
    off_nodes, off_links = kept_off(topology, isolation, (corridor.a_end.node, corridor.z_end.node))
    if off := (included & off_nodes) | off_links.intersection(asked.include_links):
        raise refusal(off, "it shall pass what it cannot: ")
    return Constraints(
        demand=demand,
        reverse_demand=reverse_demand,
        max_delay_us=max_delay_us,
        max_hops=asked.max_hops,
        max_jitter_us=asked.max_jitter_us,
        mtu_bytes=mtu_bytes,
        include_nodes=included,
        include_links=frozenset(asked.include_links),
        exclude_nodes=_places(topology, isolation, asked.exclude_nodes) | off_nodes,
        exclude_links=_excluded_links(topology, isolation, asked) | off_links,
        exclude_srlgs=frozenset(asked.exclude_srlgs),
        include_any=frozenset(asked.include_any_affinities),
        include_all=frozenset(asked.include_all_affinities),
        exclude_any=frozenset(asked.exclude_any_affinities),
    )


def _place(topology: Topology, isolation: Isolation, name: str) -> str | None:
    """The node of the corridor's layer at the site of `name`: itself, or what hangs on it by its client link."""
    node = topology.nodes.get(name)
    if node is None or node.kind is (NodeKind.ROUTER if isolation is Isolation.SOFT else NodeKind.OTN):
        return name
    client = topology.client_links.get(name)
    return other_end(client, name) if client else None


def _places(topology: Topology, isolation: Isolation, named: Collection[str]) -> frozenset[str]:
    """Those of them that there are."""
    places = (_place(topology, isolation, name) for name in named)
    return frozenset(place for place in places if place is not None and place in topology.nodes)


def _excluded_links(topology: Topology, isolation: Isolation, asked: PathConstraints) -> frozenset[str]:
    """With the adjacencies whose trails use an excluded fibre or pass an excluded OTN node."""
    direct = frozenset(name for name in asked.exclude_links if _kind(topology, "exclude_links", name))
    if isolation is Isolation.HARD or not (direct or asked.exclude_nodes):
        return direct
    below = direct.union(asked.exclude_nodes)
    riders = topology.of_kind(LinkKind.ADJACENCY)
    return frozenset(link.name for link in riders if not below.isdisjoint((link.name, *_ridden(topology, link))))


def _ridden(topology: Topology, adjacency: Link) -> Iterator[str]:
    """The fibres and OTN nodes of its trail."""
    for name in adjacency.trail:
        yield name
        if name in topology.links:
            yield from (topology.links[name].a_node, topology.links[name].z_node)


def violations(corridor: Corridor, topology: Topology, agreed: PathConstraints) -> Iterator[Violation]:
    """Every constraint that means nothing in this topology, or contradicts another.

    What is excluded in `agreed` already may have left the topology since: that keeps a corridor from no other change.
    """
    asked = corridor.path_constraints
    if asked == UNCONSTRAINED:
        return
    for field in ("max_hops", "max_jitter_us"):
        if getattr(asked, field) < 0:
            yield _wrong(field, f"{getattr(asked, field)} is negative; 0 is no bound")
    for field in LISTS:
        yield from _repeated(field, getattr(asked, field))
    if len(asked.include_nodes) + len(asked.include_links) > MAX_PLACES:
        yield _wrong("include_nodes", f"at most {MAX_PLACES} nodes and links can be included")
    yield from _names(corridor, topology, agreed)
    yield from _groups(asked, topology, agreed)
    yield from _colours(asked, topology, agreed)
    yield from _contradictions(corridor, topology)


def _wrong(field: str, description: str) -> Violation:
    return Violation(f"path_constraints.{field}", description)


def _repeated(field: str, values: Sequence[object]) -> Iterator[Violation]:
    seen: set[object] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield _wrong(f"{field}[{index}]", f"{value} is given twice")
        seen.add(value)


def _names(corridor: Corridor, topology: Topology, agreed: PathConstraints) -> Iterator[Violation]:
    for field in (*INCLUSIONS, "exclude_nodes", "exclude_links"):
        allowed = MAY_NAME[field, corridor.isolation]
        for index, name in enumerate(getattr(corridor.path_constraints, field)):
            kind = _kind(topology, field, name)
            if kind is None:
                what = "node" if field.endswith("nodes") else "link"
                if not (field.startswith("exclude") and name in getattr(agreed, field)):
                    yield _wrong(f"{field}[{index}]", f"no {what} {name!r} in domain {topology.domain}")
            elif kind not in allowed:
                expected = " or ".join(_called(each) for each in allowed)
                text = f"{name} is {_called(kind)}; a {corridor.isolation.lower()} corridor takes {expected} here"
                yield _wrong(f"{field}[{index}]", text)


def _kind(topology: Topology, field: str, name: str) -> NodeKind | LinkKind | None:
    """What a planned node or link is; None where there is none of that name."""
    thing = topology.nodes.get(name) if field.endswith("nodes") else topology.links.get(name)
    return None if thing is None or thing.status is Status.UNPLANNED else thing.kind


def _called(kind: NodeKind | LinkKind) -> str:
    return NODE_KINDS[kind] if isinstance(kind, NodeKind) else LINK_KINDS[kind]


def _groups(asked: PathConstraints, topology: Topology, agreed: PathConstraints) -> Iterator[Violation]:
    if not asked.exclude_srlgs:
        return
    known = {group for link in topology.links.values() for group in link.srlgs}.union(agreed.exclude_srlgs)
    for index, group in enumerate(asked.exclude_srlgs):
        if group not in known:
            yield _wrong(f"exclude_srlgs[{index}]", f"no link is in risk group {group}")


def _colours(asked: PathConstraints, topology: Topology, agreed: PathConstraints) -> Iterator[Violation]:
    if not any(getattr(asked, field) for field in AFFINITIES):
        return
    known = {colour for link in topology.links.values() for colour in link.affinities}
    for field in AFFINITIES:
        includes = field != "exclude_any_affinities"
        for index, colour in enumerate(getattr(asked, field)):
            if includes and colour in asked.exclude_any_affinities:
                yield _wrong(f"{field}[{index}]", f"{colour} is both included and excluded")
            elif colour not in known and (includes or colour not in agreed.exclude_any_affinities):
                yield _wrong(f"{field}[{index}]", f"no link has the affinity {colour!r}" if colour else "is empty")


def _contradictions(corridor: Corridor, topology: Topology) -> Iterator[Violation]:
    asked, isolation = corridor.path_constraints, corridor.isolation
    nodes = _places(topology, isolation, asked.exclude_nodes)
    ends = _places(topology, isolation, (corridor.a_end.node, corridor.z_end.node))
    for index, name in enumerate(asked.exclude_nodes):
        if _place(topology, isolation, name) in ends:
            yield _wrong(f"exclude_nodes[{index}]", f"{name} is at an end of the corridor")
    for index, name in enumerate(asked.include_nodes):
        if _place(topology, isolation, name) in nodes:
            yield _wrong(f"include_nodes[{index}]", f"{name} is both included and excluded")
    links = _excluded_links(topology, isolation, asked)
    for index, name in enumerate(asked.include_links):
        link = topology.links.get(name)
        if link is not None and (why := _ruled_out(link, nodes, links, asked)):
            yield _wrong(f"include_links[{index}]", f"{name} is included, {why}")


def _ruled_out(link: Link, nodes: Collection[str], links: Collection[str], asked: PathConstraints) -> str:
    """By which constraint a path may not use a link; empty where it may."""
    colours = set(link.affinities)
    for broken, why in (
        (link.name in links, "and excluded, itself or with what it rides on"),
        (link.a_node in nodes or link.z_node in nodes, "a node that it ends at is excluded"),
        (not set(asked.exclude_srlgs).isdisjoint(link.srlgs), "a risk group that it is in is excluded"),
        (not colours.isdisjoint(asked.exclude_any_affinities), "an affinity that it has is excluded"),
        (not colours.issuperset(asked.include_all_affinities), "and has not all affinities asked for"),
        (
            bool(asked.include_any_affinities) and colours.isdisjoint(asked.include_any_affinities),
            "and has no affinity asked for",
        ),
    ):
        if broken:
            return why
    return ""
