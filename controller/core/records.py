"""What the controller keeps of a corridor beside its public face: the states it stands in and moves to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.core.ids import IdKey
from controller.core.model import Corridor, EndPoint, Leg, Slice, SliceHop, Stage
from controller.core.otn import Claim, RowKey
from controller.core.otn.ledger import ClaimRole, slice_claims
from controller.core.promises import Recovery
from controller.core.watched import watch_ids


@dataclass(frozen=True, slots=True)
class Placement:
    """One realised state of a corridor: everything that its device entries follow from, with topology and ids."""

    a_end: EndPoint
    z_end: EndPoint
    vrf: int
    mtu_bytes: int
    forward_kbps: int
    """Rate of the ingress shaper A to Z, wire bits (Ethernet with preamble and gap)."""
    reverse_kbps: int
    claimed_forward_kbps: int
    """Soft: held in the ledger on each adjacency; equal to the shaper rate or, with reservation PEAK, above it."""
    claimed_reverse_kbps: int
    leg: Leg
    directions: tuple[int, ...] = ()
    """Per link of the leg: 0 where A to Z runs from the link's A end to its Z end, else 1."""
    reference_packet_bytes: int = 0
    """Customer packet at which the rates are what was asked for; 0 where that was not stored yet
    (`with_reference_packets`)."""
    backup_directions: tuple[int, ...] = ()
    """Per link of the leg's backup, as `directions`."""
    recovery: Recovery = Recovery()
    """Of a leg with a backup: how its headends switch over and back."""

    @property
    def slice(self) -> Slice | None:
        """The one that the routers know: of a protected corridor the working slice."""
        return self.leg.slices[0] if self.leg.slices else None

    @property
    def protection(self) -> Slice | None:
        """The slice that stands in for it, if any: routers know nothing of it."""
        return self.leg.slices[1] if len(self.leg.slices) > 1 else None

    @property
    def stood_in_for(self) -> bool:
        """Whether a second slice or path carries it while the first one fails."""
        return self.protection is not None or self.leg.backup is not None


@dataclass(frozen=True, slots=True)
class Leftover:
    """What nodes that do not answer may still hold of a placement that is gone everywhere else."""

    placement: Placement
    nodes: tuple[str, ...]
    """In order of name; each until it has let go."""
    hops: tuple[SliceHop, ...] = ()
    """Whose slots stay claimed: an end of each fibre is such a node."""

    @property
    def may_send(self) -> bool:
        """Whether an end is among the nodes: soft, what it may send stays claimed all along the path."""
        return not {self.placement.a_end.node, self.placement.z_end.node}.isdisjoint(self.nodes)


@dataclass(frozen=True, slots=True)
class Record:
    """A corridor with what stands (`current`) and what the change under way leads to (`target`)."""

    corridor: Corridor
    current: Placement | None
    target: Placement | None
    stage: Stage
    previous: Corridor | None = None
    """While a change is under way, the public face that a roll-back returns to."""
    request: str = ""
    """What identifies the request that created it, so that its repetition is known even after a restart; "" if none."""
    leftovers: tuple[Leftover, ...] = ()
    """Of changes that are through but for nodes that do not answer: nothing of it is desired any more."""
    then: Placement | None = None
    """Break before make: what is built when nothing is left of `current`, on slots that it holds; `target` is None."""

    @property
    def name(self) -> str:
        return self.corridor.name

    @property
    def unborn(self) -> bool:
        """True in a first build: nothing stood before, and no traffic is steered into it yet."""
        return self.stage is Stage.BUILD and self.current is None

    @property
    def gone(self) -> bool:
        """It was taken away, and nothing is left of it anywhere."""
        return self.stage is Stage.SETTLED and self.target is None and not self.leftovers

    @property
    def placements(self) -> tuple[Placement, ...]:
        """What must be held: both while a change is under way, one when settled."""
        held = (self.current, self.target, self.then) if self.stage is not Stage.SETTLED else (self.target,)
        return tuple(p for i, p in enumerate(held) if p is not None and p not in held[:i])


def with_reference_packets(record: Record) -> Record:
    """The record, its placements with the reference packet that they were made for where they do not say it."""
    stood = record.previous or record.corridor
    return replace(
        record,
        current=_with_reference_packet(record.current, stood),
        target=_with_reference_packet(record.target, record.corridor),
    )


def _with_reference_packet(placement: Placement | None, corridor: Corridor) -> Placement | None:
    if placement is None or placement.reference_packet_bytes:
        return placement
    return replace(placement, reference_packet_bytes=corridor.reference_packet_bytes)


def claims_of(record: Record) -> frozenset[Claim]:
    """Per ledger row: the union of slots, and the larger of the soft rates (old and new path count once)."""
    slots: dict[RowKey, Claim] = {}
    rates: dict[RowKey, Claim] = {}
    for placement in record.placements:
        leaving = record.target is not None and placement != record.target
        for claim in _slot_claims(record.name, placement, leaving):
            held = slots.get(claim.row)
            slots[claim.row] = claim._replace(bitmap=held.bitmap | claim.bitmap) if held else claim
        for claim in _rate_claims(record.name, placement):
            rates[claim.row] = _larger(rates.get(claim.row, claim), claim)
    for leftover in record.leftovers:
        for claim in slice_claims(record.name, leftover.hops, ClaimRole.MOVE):
            held = slots.get(claim.row, claim)
            slots[claim.row] = held._replace(bitmap=held.bitmap | claim.bitmap)
        for claim in _rate_claims(record.name, leftover.placement) if leftover.may_send else ():
            rates[claim.row] = _larger(rates.get(claim.row, claim), claim)
    return frozenset([*slots.values(), *rates.values()])


def _slot_claims(owner: str, placement: Placement, leaving: bool) -> Iterable[Claim]:
    for part in placement.leg.slices:
        yield from slice_claims(owner, part.hops, ClaimRole.MOVE if leaving else ClaimRole(part.role))


def _rate_claims(owner: str, placement: Placement) -> Iterable[Claim]:
    """Both paths of a protected corridor hold the whole rate; they share no adjacency."""
    leg, backup = placement.leg, placement.leg.backup
    if leg.slices:
        return
    ways = [(ClaimRole.WORKING, leg.links, placement.directions)]
    ways += [(ClaimRole.PROTECTION, backup.links, placement.backup_directions)] if backup else []
    for role, links, directions in ways:
        for link, way in zip(links, directions, strict=True):
            yield Claim(owner, RowKey(link, "", way), kbps=placement.claimed_forward_kbps, role=role)
            yield Claim(owner, RowKey(link, "", 1 - way), kbps=placement.claimed_reverse_kbps, role=role)


def _larger(held: Claim, more: Claim) -> Claim:
    """Of two rates that one corridor holds of one row; working, where it is that to either."""
    if more.kbps <= held.kbps and held.role in (ClaimRole.WORKING, more.role):
        return held
    roles = {held.role, more.role}
    role = ClaimRole.WORKING if ClaimRole.WORKING in roles else more.role
    return held._replace(kbps=max(held.kbps, more.kbps), role=role)


def paths_of(leg: Leg) -> tuple[tuple[str, ...], ...]:
    """Links of the path, and of the backup where there is one."""
    return (leg.links, leg.backup.links) if leg.backup else (leg.links,)


def same_ways(one: Placement, other: Placement) -> bool:
    """Whether two placements run over the same slices, or the same paths."""
    return one.leg.slices == other.leg.slices and paths_of(one.leg) == paths_of(other.leg)


def overheads(leg: Leg) -> tuple[int, int]:
    """Bytes around a customer's packet at most, A to Z and Z to A: on the path or on the backup."""
    there, back = [leg.forward], [leg.reverse]
    if leg.backup is not None:
        there.append(leg.backup.forward)
        back.append(leg.backup.reverse)
    return max(each.overhead_bytes for each in there), max(each.overhead_bytes for each in back)


def own_ids(record: Record) -> frozenset[IdKey]:
    """The ids that belong to this corridor alone and rest when it no longer needs them."""
    keys: set[IdKey] = set()
    for placement in (*record.placements, *(leftover.placement for leftover in record.leftovers)):
        ends = (placement.a_end.node, placement.z_end.node)
        keys |= {key for router in ends for key in headend_ids(router, record.name)}
        keys.update(watch_ids(record.name, placement.leg, *ends))
        for part in placement.leg.slices:
            keys.add(slice_id_key(record.name, part.id))
        if placement.slice is not None:
            keys |= {key for router in ends for key in adjacency_ids(router, placement.slice.id)}
    return frozenset(keys)


def headend_ids(router: str, corridor: str) -> tuple[IdKey, ...]:
    """Policy per family, and the index of shaper and counter, at a corridor's headend."""
    families = tuple(IdKey("policy", router, f"{corridor}/{family}") for family in (6, 4))
    return (*families, IdKey("corridor", router, corridor))


def adjacency_ids(router: str, slice_id: int) -> tuple[IdKey, IdKey]:
    """(next hop, uA function) of the adjacency that rides a slice."""
    return IdKey("next-hop", router, f"slice:{slice_id}"), IdKey("function", router, f"slice:{slice_id}")


def slice_id_key(owner: str, slice_id: int) -> IdKey:
    """A slice's id is its own owner's: the value is part of the key, so that old and new stand side by side."""
    return IdKey("slice", "", f"{owner}#{slice_id}")


def vrf_key(tenant: str) -> IdKey:
    return IdKey("vrf", "", tenant)


def decapsulation_ids(router: str, vrf: int) -> tuple[IdKey, IdKey]:
    """(uDT6, uDT4) functions of a VRF at a router."""
    return IdKey("function", router, f"dt6:{vrf}"), IdKey("function", router, f"dt4:{vrf}")


def customer_port_id(router: str, port: int) -> IdKey:
    return IdKey("next-hop", router, f"port:{port}")
