"""The ids of watched paths, for headends that are able to watch; a protected path that none can watch is refused."""

from __future__ import annotations

from controller.core.errors import Infeasible
from controller.core.model import Corridor, Leg, Liveness
from controller.core.placement.draft import Draft
from controller.core.segments.loops import most_carriers, probe_carriers
from controller.core.watched import WatchedPath, watched_paths


def assign_watch(draft: Draft, corridor: Corridor, leg: Leg) -> None:
    """`Infeasible` (PROBE_TOO_LONG) where a protected path cannot be watched; of another the delay is not known."""
    for path in watched_paths(leg, corridor.a_end.node, corridor.z_end.node):
        if draft.topology.nodes[path.router].capabilities.liveness is not Liveness.REMOTE:
            continue
        if leg.backup is not None:
            _require_short(draft, path)
        draft.assign(path.session(corridor.name))
        for key in path.policies(corridor.name) if path.backup else ():
            draft.assign(key)


def _require_short(draft: Draft, path: WatchedPath) -> None:
    count, most = len(probe_carriers(draft.topology, draft.ids, path)), most_carriers(draft.topology, path.router)
    if count > most:
        raise Infeasible(
            f"a probe around the path over {', '.join(path.links)} and back takes {count} carriers, "
            f"{path.router} sends {most}",
            reason="PROBE_TOO_LONG",
            metadata={"carriers": str(count), "maxCarriers": str(most), "links": ",".join(path.links)},
        )
