"""What failures leave of a corridor: which of its slices carries the traffic, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from controller.core.conditions import with_condition, without_condition
from controller.core.lifecycle import Happening, after
from controller.core.model import Corridor, Protection, Slice, Status
from controller.core.names import short
from controller.core.records import Placement
from controller.core.topology import Topology

SWITCHED, EXPOSED = "ProtectionSwitched", "ProtectionLost"
"""Types of conditions."""


class Service(StrEnum):
    """Of a corridor that stands."""

    WHOLE = "WHOLE"
    """It has all that it was promised."""
    SWITCHED = "SWITCHED"
    """The working slice failed, line cards have moved the traffic to the one that protects it."""
    EXPOSED = "EXPOSED"
    """The working slice carries the traffic and nothing protects it, against the promise."""
    LOST = "LOST"
    """Nothing carries it."""
    UNKNOWN = "UNKNOWN"
    """Nothing is down, but not all is seen: its own news will come."""


def links_of(topology: Topology, placement: Placement) -> tuple[str, ...]:
    """All links that it stands on; slices hang on the client links of its ends."""
    if placement.slice is None:
        return placement.leg.links
    hops = (hop.link for part in placement.leg.slices for hop in part.hops)
    return (*dict.fromkeys(hops), *_clients(topology, placement))


def links_down(topology: Topology, placement: Placement) -> tuple[str, ...]:
    names = links_of(topology, placement)
    return tuple(name for name in names if topology.links[name].status is Status.DOWN)


def service_of(
    topology: Topology, corridor: Corridor, placement: Placement, signal_fails: Collection[int] = ()
) -> Service:
    """`signal_fails`: slices that line cards hear nothing from, which they may know of before a port does."""
    down = set(links_down(topology, placement))
    failed = [part.id in signal_fails or not down.isdisjoint(_fibres(part)) for part in placement.leg.slices]
    if placement.protection is None:
        lost = bool(down)
    else:
        lost = all(failed) or not down.isdisjoint(_clients(topology, placement))
    if lost:
        return Service.LOST
    if placement.protection is not None and any(failed):
        return Service.SWITCHED if failed[0] else Service.EXPOSED
    if any(topology.links[name].status is not Status.UP for name in links_of(topology, placement)):
        return Service.UNKNOWN
    promised = corridor.protection is Protection.PROTECT and placement.slice is not None
    return Service.EXPOSED if promised and placement.protection is None else Service.WHOLE


def judged(
    topology: Topology, corridor: Corridor, placement: Placement, service: Service, now: datetime, why: str = ""
) -> Corridor:
    """The public face of a corridor that is carried, after a look at it. `why`: no other protection was found."""
    over = {Service.WHOLE: ("PathLost", SWITCHED, EXPOSED), Service.SWITCHED: ("PathLost", EXPOSED)}
    for kind in over.get(service, ("PathLost", SWITCHED)):
        corridor = without_condition(corridor, kind)
    if service is Service.WHOLE:
        return replace(corridor, state=after(corridor.state, Happening.PATH_BACK))
    text = _failed(topology, placement, 0 if service is Service.SWITCHED else 1)
    reason = "ROUTE_DOWN" if links_down(topology, placement) else "SIGNAL_FAIL"
    if service is Service.SWITCHED:
        kind, text = SWITCHED, f"{text}; the protection slice carries the traffic"
    else:
        kind, text = EXPOSED, f"{text}; the working slice carries the traffic unprotected"
        reason = reason if placement.protection else "NO_SECOND_ROUTE"
    corridor = replace(corridor, state=after(corridor.state, Happening.ROUTE_LOST))
    return with_condition(corridor, kind, True, reason, f"{text}; {why}" if why else text, now)


def loss(topology: Topology, placement: Placement, signal_fails: Collection[int]) -> str:
    """What took a lost corridor's path: links that are down, slices over others that line cards hear nothing from."""
    down = links_down(topology, placement)
    mute = [
        str(part.id) for part in placement.leg.slices if part.id in signal_fails and set(down).isdisjoint(_fibres(part))
    ]
    parts = [f"{', '.join(down)} {'is' if len(down) == 1 else 'are'} down"] if down else []
    if mute:
        parts.append(f"no continuity on slice{'s' if len(mute) > 1 else ''} {', '.join(mute)}")
    return "; ".join(parts)


def _failed(topology: Topology, placement: Placement, position: int) -> str:
    """What is wrong with one of its slices."""
    if position >= len(placement.leg.slices):
        return "there is no second slice"
    part = placement.leg.slices[position]
    down = [short(name) for name in _fibres(part) if topology.links[name].status is Status.DOWN]
    where = f"{', '.join(down)} down" if down else "no continuity"
    return f"slice {part.id} fails: {where}"


def _fibres(part: Slice) -> Iterator[str]:
    return (hop.link for hop in part.hops)


def _clients(topology: Topology, placement: Placement) -> tuple[str, str]:
    clients = topology.client_links
    return clients[placement.a_end.node].name, clients[placement.z_end.node].name
