"""Render what headends need to watch paths and to switch policies by themselves; nothing where they cannot."""

from __future__ import annotations

from collections.abc import Iterator

from controller.core.entries import Entry, Exact
from controller.core.ids import Ids
from controller.core.model import Liveness
from controller.core.records import Placement, adjacency_ids, headend_ids
from controller.core.render_packet import entry, policy
from controller.core.segments.loops import first_slice, most_carriers, probe_carriers
from controller.core.topology import Topology
from controller.core.watched import WatchedPath, watched_paths


def watch_entries(topology: Topology, ids: Ids, corridor: str, placement: Placement) -> Iterator[tuple[str, Entry]]:
    """(router, entry) pairs that carry no traffic by themselves: sessions, and the lists that stand in."""
    for path in watching(topology, ids, corridor, placement):
        carriers = probe_carriers(topology, ids, path)
        if len(carriers) > most_carriers(topology, path.router):
            continue  # of a protected path such a one is refused; the delay of another is not known
        next_hop = ids[adjacency_ids(path.router, first_slice(topology, path))[0]]
        yield path.router, _session(ids[path.session(corridor)], next_hop, path, carriers)
        if path.backup:
            policies = zip(path.policies(corridor), path.out, _families(placement), strict=True)
            yield from ((path.router, policy(ids[key], next_hop, segments)) for key, segments, used in policies if used)


def switch_entries(topology: Topology, ids: Ids, corridor: str, placement: Placement) -> Iterator[tuple[str, Entry]]:
    """(router, entry) pairs that join the policies which carry the traffic to those that stand in."""
    paths = watching(topology, ids, corridor, placement)
    for backup in (path for path in paths if path.backup):
        first = next(path for path in paths if path.router == backup.router and not path.backup)
        policies = zip(headend_ids(backup.router, corridor)[:2], backup.policies(corridor), strict=True)
        for (key, other), used in zip(policies, _families(placement), strict=True):
            if used:
                yield (
                    backup.router,
                    entry(
                        "policy_backup",
                        {"policy": Exact(ids[key])},
                        "set_backup",
                        backup=ids[other],
                        session=ids[first.session(corridor)],
                        backup_session=ids[backup.session(corridor)],
                        hold_off_ms=placement.recovery.hold_off_ms,
                        wait_to_restore_ms=1000 * placement.recovery.wait_to_restore_s,
                        revertive=int(placement.recovery.revertive),
                    ),
                )


def watching(topology: Topology, ids: Ids, corridor: str, placement: Placement) -> tuple[WatchedPath, ...]:
    """The paths that its headends do watch: those that are able to, of paths placed since they are."""
    a, z = placement.a_end.node, placement.z_end.node
    return tuple(
        path
        for path in watched_paths(placement.leg, a, z)
        if watches(topology, path.router) and path.session(corridor) in ids.assigned
    )


def watches(topology: Topology, router: str) -> bool:
    """Whether a router sees failures beyond its own ports."""
    return topology.nodes[router].capabilities.liveness is Liveness.REMOTE


def _session(number: int, next_hop: int, path: WatchedPath, carriers: tuple[int, ...]) -> Entry:
    return entry(
        "path_probe",
        {"session": Exact(number)},
        f"probe_{len(carriers)}",
        next_hop=next_hop,
        interval_us=path.pace.interval_us,
        detect_us=path.pace.detect_us,
        **{f"carrier{i}": each for i, each in enumerate(carriers, 1)},
    )


def _families(placement: Placement) -> tuple[bool, bool]:
    """Whether it has customers of IPv6, and of IPv4."""
    return bool(placement.a_end.ipv6_prefixes), bool(placement.a_end.ipv4_prefixes)
