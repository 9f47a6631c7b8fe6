"""What failures leave of a corridor: which of its slices or paths carries the traffic, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from controller.core.conditions import ConditionType, with_condition, without_condition
from controller.core.lifecycle import Happening, after
from controller.core.model import Corridor, Protection, Slice, Status
from controller.core.names import short
from controller.core.records import Placement, paths_of
from controller.core.topology import Topology

SWITCHED, EXPOSED = ConditionType.PROTECTION_SWITCHED, ConditionType.PROTECTION_LOST
"""Types of conditions."""


class Service(StrEnum):
    """Of a corridor that stands."""

    WHOLE = "WHOLE"
    """It has all that it was promised."""
    SWITCHED = "SWITCHED"
    """The working slice or path failed; line cards or headends have moved the traffic to the one that protects it."""
    EXPOSED = "EXPOSED"
    """The working slice or path carries the traffic and nothing protects it, against the promise."""
    LOST = "LOST"
    """Nothing carries it."""
    UNKNOWN = "UNKNOWN"
    """Nothing is down, but not all is seen: its own news will come."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What the headends of a protected soft corridor say: each switches what it sends, by its own probes."""

    silent: bool = False
    """The path: probes of an end do not come back."""
    backup_silent: bool = False
    on_backup: tuple[str, ...] = ()
    """Ends that send over the backup."""


UNWATCHED = Watched()


def links_of(topology: Topology, placement: Placement) -> tuple[str, ...]:
    """All links that it stands on, the backup's too; slices hang on the client links of its ends."""
    if placement.slice is None:
        return tuple(name for links in paths_of(placement.leg) for name in links)
    hops = (hop.link for part in placement.leg.slices for hop in part.hops)
    return (*dict.fromkeys(hops), *_clients(topology, placement))


def links_down(topology: Topology, placement: Placement) -> tuple[str, ...]:
    names = links_of(topology, placement)
    return tuple(name for name in names if topology.links[name].status is Status.DOWN)


def service_of(
    topology: Topology,
    corridor: Corridor,
    placement: Placement,
    signal_fails: Collection[int] = (),
    watched: Watched = UNWATCHED,
) -> Service:
    """`signal_fails`: slices that line cards hear nothing from, which they may know of before a port does."""
    if placement.leg.backup is not None:
        return _service_of_paths(topology, placement, watched)
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
    if not _is_seen(topology, placement):
        return Service.UNKNOWN
    promised = corridor.protection is Protection.PROTECT
    return Service.EXPOSED if promised and placement.protection is None else Service.WHOLE


def _service_of_paths(topology: Topology, placement: Placement, watched: Watched) -> Service:
    """Of a soft corridor with a backup. One that has switched and never reverts by itself lacks nothing when whole."""
    failed = failed_paths(topology, placement, watched)
    if all(failed):
        return Service.LOST
    if failed[1]:
        return Service.EXPOSED
    if failed[0] or (watched.on_backup and placement.recovery.revertive):
        return Service.SWITCHED
    return Service.WHOLE if _is_seen(topology, placement) else Service.UNKNOWN


def tellers(topology: Topology, placement: Placement) -> tuple[str, ...]:
    """Nodes that say which slice or path carries it, each for what it sends; none where there is no choice."""
    if not placement.stood_in_for:
        return ()
    ends = (placement.a_end.node, placement.z_end.node)
    return ends if placement.slice is None else tuple(topology.otn_of(end) for end in ends)


def _is_seen(topology: Topology, placement: Placement) -> bool:
    """Every link is up, and whoever would know of another fault answers."""
    links = (topology.links[name].status for name in links_of(topology, placement))
    nodes = (topology.nodes[name].status for name in tellers(topology, placement))
    return all(status is Status.UP for status in (*links, *nodes))


def failed_paths(topology: Topology, placement: Placement, watched: Watched) -> tuple[bool, bool]:
    """Whether the path failed, and the backup: by a link that is down, or by probes that do not come back."""
    down = set(links_down(topology, placement))
    path, backup = paths_of(placement.leg)
    return watched.silent or not down.isdisjoint(path), watched.backup_silent or not down.isdisjoint(backup)


def suspects(topology: Topology, placement: Placement, watched: Watched) -> Iterator[str]:
    """Links of a path that fails although none of them is down: any may be why."""
    if placement.leg.backup is None:
        return
    for links, silent in zip(paths_of(placement.leg), (watched.silent, watched.backup_silent), strict=True):
        if silent and all(topology.links[name].status is not Status.DOWN for name in links):
            yield from links


def judged(
    topology: Topology,
    corridor: Corridor,
    placement: Placement,
    service: Service,
    now: datetime,
    why: str = "",
    watched: Watched = UNWATCHED,
) -> Corridor:
    """The public face of a corridor that is carried, after a look at it. `why`: no other protection was found."""
    over = {
        Service.WHOLE: (ConditionType.PATH_LOST, SWITCHED, EXPOSED),
        Service.SWITCHED: (ConditionType.PATH_LOST, EXPOSED),
    }
    for ended in over.get(service, (ConditionType.PATH_LOST, SWITCHED)):
        corridor = without_condition(corridor, ended)
    if service is Service.WHOLE:
        return replace(corridor, state=after(corridor.state, Happening.PATH_BACK))
    if placement.slice is None:
        kind, reason, text = _said_of_paths(topology, placement, service, watched)
    else:
        kind, reason, text = _said_of_slices(topology, placement, service)
    corridor = replace(corridor, state=after(corridor.state, Happening.ROUTE_LOST))
    return with_condition(corridor, kind, True, reason, f"{text}; {why}" if why else text, now)


def _said_of_slices(topology: Topology, placement: Placement, service: Service) -> tuple[str, str, str]:
    """(type, reason, message) of the condition."""
    text = _failed(topology, placement, 0 if service is Service.SWITCHED else 1)
    reason = "ROUTE_DOWN" if links_down(topology, placement) else "SIGNAL_FAIL"
    if service is Service.SWITCHED:
        return SWITCHED, reason, f"{text}; the protection slice carries the traffic"
    reason = reason if placement.protection else "NO_SECOND_ROUTE"
    return EXPOSED, reason, f"{text}; the working slice carries the traffic unprotected"


def _said_of_paths(
    topology: Topology, placement: Placement, service: Service, watched: Watched
) -> tuple[str, str, str]:
    """(type, reason, message) of the condition. Each end switches by itself what it sends."""
    if placement.leg.backup is None:
        return EXPOSED, "NO_SECOND_ROUTE", "there is no second path; the path carries the traffic unprotected"
    position = 0 if service is Service.SWITCHED else 1
    down = [short(name) for name in paths_of(placement.leg)[position] if topology.links[name].status is Status.DOWN]
    reason = "ROUTE_DOWN" if down else "SIGNAL_FAIL"
    text = f"{', '.join(down)} down" if down else "probes do not come back"
    if service is Service.EXPOSED:
        return EXPOSED, reason, f"the backup path fails: {text}; the path carries the traffic unprotected"
    ends = (placement.a_end.node, placement.z_end.node)
    on, off = ([short(end) for end in ends if (end in watched.on_backup) is here] for here in (True, False))
    if not failed_paths(topology, placement, watched)[0]:
        text = "the path is whole again, and waited upon before traffic goes back"
        reason = "WAIT_TO_RESTORE"
    else:
        text = f"the path fails: {text}"
    sides = [f"{' and '.join(on)} send{'' if len(on) > 1 else 's'} over the backup"] if on else []
    sides += [f"{' and '.join(off)} {'do' if len(off) > 1 else 'does'} not, or did not say so yet"] if off else []
    return SWITCHED, reason, f"{text}; {', '.join(sides)}"


def loss(topology: Topology, placement: Placement, signal_fails: Collection[int], watched: Watched = UNWATCHED) -> str:
    """What took a lost corridor's path: links that are down, slices over others that line cards hear nothing from."""
    down = links_down(topology, placement)
    mute = [
        str(part.id) for part in placement.leg.slices if part.id in signal_fails and set(down).isdisjoint(_fibres(part))
    ]
    parts = [f"{', '.join(down)} {'is' if len(down) == 1 else 'are'} down"] if down else []
    if mute:
        parts.append(f"no continuity on slice{'s' if len(mute) > 1 else ''} {', '.join(mute)}")
    silent = [name for name, mute in (("path", watched.silent), ("backup", watched.backup_silent)) if mute]
    if silent and placement.leg.backup is not None:
        parts.append(f"probes do not come back over the {' and the '.join(silent)}")
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
