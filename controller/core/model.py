"""The domain model: what an operator asks for, what the controller decided, what the network has.

Every shape here is defined once. The public contract (`proto/corridor/v1`) mirrors it field by field and a
test holds the two equal. Units are in the names: `_kbps` is customer IP bits per second / 1000, `_us` is
microseconds, `_km` kilometres of fibre route.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controller.core.promises import Move, Recovery, Reordering, Slo


class Isolation(StrEnum):
    """How a corridor is kept apart from the rest of the traffic."""

    HARD = "HARD"
    """Own end-to-end OTN slice in each direction, on one fibre route."""
    SOFT = "SOFT"
    """Shared IP adjacencies: shaped at the ingress and admitted against the ledger."""


class Reservation(StrEnum):
    """What the ledger holds for a corridor while a smaller profile is active."""

    PEAK = "PEAK"
    """The largest profile: a switch is never refused for capacity."""
    ACTIVE = "ACTIVE"
    """The active profile only: a switch may be refused, with the reason."""


class Protection(StrEnum):
    """What happens when the path fails (RFC 9543 availability, in one layer per corridor)."""

    UNPROTECTED = "UNPROTECTED"
    RESTORE = "RESTORE"
    """A new path is computed and signalled after the failure."""
    PROTECT = "PROTECT"
    """A second slice, or a soft corridor's second path, stands before the failure and shares no risk with the first."""


class State(StrEnum):
    """The life cycle of a corridor as its owner sees it; `lifecycle.py` holds the transitions."""

    PROVISIONING = "PROVISIONING"
    UP = "UP"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"
    DELETING = "DELETING"


class Stage(StrEnum):
    """The step of the change under way: a change is a sequence of desired states."""

    BUILD = "BUILD"
    STEER = "STEER"
    CLEAN = "CLEAN"
    SETTLED = "SETTLED"


class Objective(StrEnum):
    """What a path is chosen by. Each is additive."""

    DELAY = "DELAY"
    """One-way µs: links, and the nodes in between."""
    IGP = "IGP"
    TE = "TE"
    LOAD = "LOAD"
    """1000 x capacity / what would be left of it, at least a thousandth: an empty link costs 1000, a full one 10^6."""


class LatencySource(StrEnum):
    """Where a latency figure comes from."""

    MEASURED = "MEASURED"
    CONFIGURED = "CONFIGURED"
    COMPUTED = "COMPUTED"


class Container(StrEnum):
    """What carries a slice over the optical layer (G.709 clause 7, Annex M)."""

    FGODUFLEX = "FGODUFLEX"
    ODU0 = "ODU0"
    ODU1 = "ODU1"
    ODU2 = "ODU2"
    ODUFLEX = "ODUFLEX"
    ODU3 = "ODU3"
    ODU4 = "ODU4"
    ODUC = "ODUC"
    """ODUCn of a line: n is a hundredth of its rate in Gbit/s, or its tributary slots / 20."""


class SliceRole(StrEnum):
    """What a slice is to its corridor."""

    WORKING = "WORKING"
    PROTECTION = "PROTECTION"
    """Stands beside the working slice on a way without a common risk; carries its traffic while that one fails."""


class ResizeState(StrEnum):
    """Of the last change of a slice's size (draft-ietf-ccamp-fgotn-yang)."""

    NEVER = "NEVER"
    """It has the size it was made with."""
    MODIFYING = "MODIFYING"
    """`lsp-bandwidth-modifying`"""
    MODIFIED_OK = "MODIFIED_OK"
    """`lsp-bandwidth-modified-ok`"""
    MODIFY_FAILED = "MODIFY_FAILED"
    """`lsp-bandwidth-modify-failed`: it has the size it had before."""


class NodeKind(StrEnum):
    ROUTER = "ROUTER"
    OTN = "OTN"


class LinkKind(StrEnum):
    FIBRE = "FIBRE"
    """OTN node to OTN node: a fibre pair with a line interface at both ends."""
    CLIENT = "CLIENT"
    """Router to its OTN node: grey optics, carries every channel of the router."""
    ADJACENCY = "ADJACENCY"
    """Router to router: an IP link, carried by a long-lived OTN trail."""


class Status(StrEnum):
    """What is known of a node or link that the topology file plans."""

    MISSING = "MISSING"
    """In the file, not seen."""
    UP = "UP"
    DOWN = "DOWN"
    """Seen, then lost: port status or three missed continuity probes."""
    UNREACHABLE = "UNREACHABLE"
    """Its control stream is gone: entries and traffic stay, nothing new is placed on it."""
    UNPLANNED = "UNPLANNED"
    """Wired, but not in the file: reported, never used."""


class Liveness(StrEnum):
    """Which failures a target can see and act upon without the controller."""

    REMOTE = "REMOTE"
    LOCAL_PORT = "LOCAL_PORT"


class Enforcement(StrEnum):
    """What a headend does with traffic beyond the active profile."""

    SHAPED = "SHAPED"
    """It waits in a queue, and is lost when that is full: TCP gets the whole bandwidth."""
    POLICED = "POLICED"
    """It is lost at once: a sender that does not pace itself gets less than the bandwidth."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a packet target can do; admission heeds it. `max_carriers` is RFC 9352 Max H.Encaps."""

    shaping: bool = True
    """True where excess is queued, False where it is policed."""
    liveness: Liveness = Liveness.LOCAL_PORT
    max_carriers: int = 3
    mtu_bytes: int = 9000
    resolves_neighbors: bool = True
    """True where the target itself does ARP and neighbour discovery on customer ports."""
    fenced: bool = True
    """True where a write with a stale election id is rejected."""


@dataclass(frozen=True, slots=True)
class EndPoint:
    """One end of a corridor: a customer port and the prefixes behind it."""

    node: str = ""
    """`domains/{domain}/nodes/{node}` of a router."""
    port: str = ""
    """Name of an access port of that router."""
    ipv4_prefixes: tuple[str, ...] = ()
    """An end without any prefix stands for the subnets of its port."""
    ipv6_prefixes: tuple[str, ...] = ()
    dscp: int | None = None
    """Only traffic that enters here with this code point (0..63) uses the corridor; absent: all."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A named bandwidth that the owner switches to on demand, such as `training` or `inference`."""

    name: str = ""
    bandwidth_kbps: int = 0
    """A to Z, customer IP bits per second / 1000."""
    reverse_bandwidth_kbps: int = 0
    """Z to A; 0 means the same as A to Z. Only a soft corridor may differ."""


class Method(StrEnum):
    """How a path was found."""

    KEPT = "KEPT"
    """It stood already and still serves: not searched for, nothing is claimed of it."""

    SHORTEST = "SHORTEST"
    """One metric: A*, exact."""
    LARAC = "LARAC"
    """Lagrange relaxation of the delay bound (Jüttner et al. 2001): `gap` says how far from optimal it can be."""
    LABELS = "LABELS"
    """Label setting with dominance: exact."""
    SUURBALLE = "SUURBALLE"
    """Two disjoint paths of least sum: exact."""
    CONFLICTS = "CONFLICTS"
    """Two paths without a common risk group, by branching on what keeps them together: exact where `gap` is 0."""
    MILP = "MILP"
    """Two paths as a mixed-integer program (HiGHS): exact where `gap` is 0."""


@dataclass(frozen=True, slots=True)
class PathConstraints:
    """Where a corridor may run, and by what it is chosen. Zero and empty mean no bound; names are resource names.

    A soft corridor runs over routers and adjacencies, a hard one over OTN nodes and fibres: hops, jitter, affinities
    and risk groups are those of that layer.
    """

    objective: Objective = Objective.DELAY
    max_hops: int = 0
    max_jitter_us: int = 0
    """Sum of the links' one-way delay variation."""
    include_nodes: tuple[str, ...] = ()
    """Visited, in whatever order. For a hard corridor a router stands for its OTN node."""
    include_links: tuple[str, ...] = ()
    exclude_nodes: tuple[str, ...] = ()
    """Never visited, nor, for a soft corridor, passed below: adjacencies whose trails use an OTN node go with it."""
    exclude_links: tuple[str, ...] = ()
    """Never used; a soft corridor loses with a fibre the adjacencies whose trails use it."""
    exclude_srlgs: tuple[int, ...] = ()
    include_any_affinities: tuple[str, ...] = ()
    """RFC 3209 4.7.4: every link has one of these …"""
    include_all_affinities: tuple[str, ...] = ()
    """… and all of these …"""
    exclude_any_affinities: tuple[str, ...] = ()
    """… and none of these."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One observed fact about a corridor, with its reason."""

    type: str
    status: bool
    reason: str
    message: str
    since: datetime
    observed_generation: int


@dataclass(frozen=True, slots=True)
class LatencyTerm:
    """One term of the one-way latency budget."""

    name: str
    source: LatencySource
    value_us: int


@dataclass(frozen=True, slots=True)
class SegmentList:
    """An SRv6 segment list as it appears on the wire (RFC 8754, RFC 9800 NEXT-C-SID)."""

    carriers: tuple[str, ...] = ()
    """Up to three 128-bit carriers, first visited first; H.Encaps.Red puts the first into the outer destination."""
    description: str = ""
    """The same list in words: `uN(a) uA(b→c) uDT6(vrf 7)`."""
    overhead_bytes: int = 0
    """Bytes added to the customer's packet: 40 + (n > 1 ? 8 + 16 (n - 1) : 0)."""


@dataclass(frozen=True, slots=True)
class SliceHop:
    """The slots of a slice in one server ODU of one fibre; numbers are local to the server segment."""

    link: str
    server: str
    """Name of the server ODU within the fibre, such as `odu1-1`."""
    slots: str
    """1-based fgTS (or tributary slot) numbers as `1-4,20`, in the order in which the slice got them: the first
    `active_slots` carry traffic."""


@dataclass(frozen=True, slots=True)
class Slice:
    """An OTN connection in both directions on one fibre route."""

    id: int
    """32 bits, unique in the network; with the direction it makes the channel address."""
    container: Container
    claimed_slots: int
    """Held in the ledger at every hop."""
    active_slots: int
    """Committed in the devices: meters follow this count."""
    hops: tuple[SliceHop, ...] = ()
    role: SliceRole = SliceRole.WORKING
    opened_servers: int = 0
    """Server ODUs that had to be opened for it, of all that it runs through: what it cost beside its slots."""
    resize_state: ResizeState = ResizeState.NEVER


@dataclass(frozen=True, slots=True)
class BackupPath:
    """The other way of a protected soft corridor: stands before the failure, shares no risk with the path."""

    nodes: tuple[str, ...] = ()
    """Routers visited, A to Z."""
    links: tuple[str, ...] = ()
    """IP adjacencies, A to Z."""
    forward: SegmentList = SegmentList()
    forward_ipv4: SegmentList = SegmentList()
    reverse: SegmentList = SegmentList()
    reverse_ipv4: SegmentList = SegmentList()
    latency_us: int = 0
    """One-way, computed."""


@dataclass(frozen=True, slots=True)
class Leg:
    """What one domain carries of a corridor."""

    domain: str
    delay_budget_us: int
    nodes: tuple[str, ...] = ()
    """Routers visited, A to Z."""
    links: tuple[str, ...] = ()
    """Hard: the fibres of the slice, A to Z. Soft: the IP adjacencies, A to Z."""
    forward: SegmentList = SegmentList()
    forward_ipv4: SegmentList = SegmentList()
    reverse: SegmentList = SegmentList()
    reverse_ipv4: SegmentList = SegmentList()
    slices: tuple[Slice, ...] = ()
    latency: tuple[LatencyTerm, ...] = ()
    latency_us: int = 0
    """One-way, the sum of the terms."""
    path_method: Method = Method.SHORTEST
    path_gap_ppm: int = 0
    """How far the path can be from the best by its objective, in millionths of its cost, rounded up: 0 is optimal."""
    forward_enforcement: Enforcement = Enforcement.SHAPED
    """How the A end's router holds A to Z to the profile. Told by what the router is now, not by the plan."""
    reverse_enforcement: Enforcement = Enforcement.SHAPED
    backup: BackupPath | None = None
    """Of a protected soft corridor."""


@dataclass(frozen=True, slots=True)
class Corridor:
    """A guaranteed pipe between two places that compute."""

    name: str = ""
    """`tenants/{tenant}/corridors/{corridor}`."""
    uid: str = ""
    display_name: str = ""
    a_end: EndPoint = EndPoint()
    z_end: EndPoint = EndPoint()
    isolation: Isolation = Isolation.HARD
    reservation: Reservation = Reservation.PEAK
    protection: Protection = Protection.RESTORE
    profiles: tuple[Profile, ...] = ()
    active_profile: str = ""
    max_latency_us: int = 0
    """One-way bound, end to end; 0: none."""
    mtu_bytes: int = 1500
    """Largest customer IP packet; larger ones get Packet Too Big / fragmentation needed."""
    reference_packet_bytes: int = 1400
    """Customer IP packet size at which the bandwidth is guaranteed."""
    priority: int = 0
    """Order of restoration, higher first (0..7)."""
    allow_interruption: bool = False
    """A change that cannot be made without loss, or against `reordering`, is made all the same; else it is refused."""
    recovery: Recovery = Recovery()
    reordering: Reordering = Reordering.ALLOW
    path_constraints: PathConstraints = PathConstraints()
    state: State = State.PROVISIONING
    stage: Stage = Stage.BUILD
    reconciling: bool = False
    """The devices do not yet agree with the latest generation (AIP-128)."""
    vrf: int = 0
    legs: tuple[Leg, ...] = ()
    conditions: tuple[Condition, ...] = ()
    generation: int = 0
    observed_generation: int = 0
    etag: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
    slo: Slo | None = None
    """Whether it gets what it was promised, as far as that is known. Told by what is measured now, not stored."""
    last_move: Move | None = None
    """The last change of path."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server ODU of a fibre's line that fine-grain slices are multiplexed into (fgODTU.M)."""

    name: str
    odu: Container
    tributary_slots: int
    """That it takes of the line: of 1.25G, or of 5G where the line is an ODUCn."""
    fgts: int
    """Fine-grain slots it offers: 119, 238 or 952."""
    free_forward: int = 0
    free_reverse: int = 0


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A machine at or behind a customer port, as a router that resolves no addresses must be told."""

    address: str
    """IPv4 or IPv6."""
    mac: str
    """Six hexadecimal octets between colons: its own, or that of the customer's router before it."""


@dataclass(frozen=True, slots=True)
class AccessPort:
    """A customer-facing port of a router."""

    name: str
    port: int
    tenant: str = ""
    kind: str = ""
    """`enterprise`, `5g-a` or `compute`."""
    ipv4_gateway: str = ""
    """Address with prefix length on the port."""
    ipv6_gateway: str = ""
    neighbors: tuple[Neighbor, ...] = ()
    """Known from the topology file. Of no account to a router that resolves neighbours itself."""


@dataclass(frozen=True, slots=True)
class Node:
    """A router or an OTN node."""

    name: str
    """`domains/{domain}/nodes/{node}`."""
    kind: NodeKind
    site: str = ""
    latitude: float = 0.0
    longitude: float = 0.0
    node_id: int = 0
    """Router: SRv6 node id in the domain's block, 0x0001..0xDFFF. OTN node: its OpenFlow datapath id."""
    delay_node_id: int = 0
    """Router: its node id in algorithm 128, which routes by delay (RFC 9350); assigned, never renumbered."""
    processing_us: int = 0
    """Configured one-way latency through the node."""
    access_ports: tuple[AccessPort, ...] = ()
    capabilities: Capabilities = Capabilities()
    status: Status = Status.MISSING
    trouble: str = ""
    """Why the controller has no connection to it, for people; empty where it has one."""
    drained: bool = False
    """Kept free for maintenance: nothing new is placed on it."""


@dataclass(frozen=True, slots=True)
class Link:
    """A fibre, a client link or an IP adjacency; the same both ways unless said otherwise."""

    name: str
    """`domains/{domain}/links/{link}`."""
    kind: LinkKind
    a_node: str
    z_node: str
    length_km: float = 0.0
    """Fibre route length; an adjacency has the sum of its fibres."""
    delay_us: int = 0
    """One-way, computed at 4.9 µs/km plus what the OTN nodes add."""
    capacity_kbps: int = 0
    igp_metric: int = 0
    te_metric: int = 0
    """RFC 5305 3.7, RFC 7471: whatever the operator minimises beside the IGP metric, such as cost."""
    jitter_us: int = 0
    """One-way delay variation (RFC 8570 4.3)."""
    affinities: tuple[str, ...] = ()
    """Colours that constraints include or exclude (RFC 5305 administrative group, by name)."""
    mtu_bytes: int = 9000
    srlgs: tuple[int, ...] = ()
    line: Container = Container.ODU2
    """Fibre: the ODU of its line interface (OTU2: ODU2, OTU4: ODU4, OTUCn: ODUC)."""
    line_slots: int = 0
    """Fibre: tributary slots of the line: 8 of 1.25G (ODU2), 80 of 1.25G (ODU4), 20 n of 5G (ODUCn)."""
    servers: tuple[Server, ...] = ()
    """Fibre: the server ODUs open for slices."""
    trail: tuple[str, ...] = ()
    """Adjacency: the fibres of its trail, A to Z."""
    container: Container = Container.ODU0
    """Adjacency: what its trail is carried in."""
    slice_id: int = 0
    """Adjacency: the slice that is its trail."""
    a_port: int = 0
    """Port number at the A end, as discovered; 0 while MISSING."""
    z_port: int = 0
    reserved_forward_kbps: int = 0
    """Adjacency: claimed by soft corridors, wire rate."""
    reserved_reverse_kbps: int = 0
    status: Status = Status.MISSING
    drained: bool = False
    """Kept free for maintenance: nothing new is placed on it. Of an adjacency also where something below it is."""


@dataclass(frozen=True, slots=True)
class TopologyView:
    """The topology of a domain as the API shows it."""

    name: str
    """`domains/{domain}/topology`."""
    srv6_block: str
    nodes: tuple[Node, ...] = ()
    links: tuple[Link, ...] = ()
    version: int = 0
    """Raised by every event that changed it."""


class EventType(StrEnum):
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class CorridorEvent:
    """One change of one corridor, in the order of the store's sequence."""

    sequence: int
    type: EventType
    corridor: Corridor
    event_time: datetime
