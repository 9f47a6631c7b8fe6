"""What headends say of the paths that they watch: the newest of each session and policy, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from controller.core.ids import IdKey, Ids
from controller.core.model import Stage, Status
from controller.core.protection import UNWATCHED, Watched
from controller.core.records import Placement, Record, headend_ids
from controller.core.watched import WatchedPath, corridor_of, watched_paths
from controller.drivers.device import PathWatch, PolicyState, SessionState
from controller.state import NetworkState

_Key = tuple[str, int]
"""Router, and the number of a session or policy there."""


class HeadendReports:
    """Kept in memory: a headend says everything again after its controller has connected."""

    def __init__(self, state: NetworkState) -> None:
        self._state = state
        self._sessions: dict[_Key, SessionState] = {}
        self._policies: dict[_Key, PolicyState] = {}
        self._owners: tuple[Ids, Mapping[tuple[str, str, int], str]] = (Ids(), {})
        """The ids that it was made of, and the corridor of each (kind, router, number)."""

    def heard(self, device: str, watch: PathWatch) -> frozenset[str]:
        """Take it over; the corridors that it is news of: a path came or went, or traffic moved."""
        owners, news = self._corridors(), set()
        for session in watch.sessions:
            name = owners.get(("session", device, session.session))
            before = self._sessions.get((device, session.session))
            if name is not None:
                self._sessions[device, session.session] = session
                news |= {name} if before is None or before.up is not session.up else set()
        for policy in watch.policies:
            name = owners.get(("policy", device, policy.policy))
            if name is not None and self._policies.get((device, policy.policy)) != policy:
                self._policies[device, policy.policy] = policy
                news.add(name)
        for name in {owners.get(("session", device, each.session)) for each in watch.sessions if each.up} - {None}:
            self._measure(device, self._state.records.get(name or ""))
        return frozenset(news)

    def watched(self, record: Record) -> Watched:
        """Of a protected soft corridor; what a headend said that is not reached now counts no more."""
        placement = record.target
        if placement is None or placement.leg.backup is None:
            return UNWATCHED
        ends = (placement.a_end.node, placement.z_end.node)
        paths = [path for path in watched_paths(placement.leg, *ends) if self._answers(path.router)]
        silent = [
            any(self._state_of(record, path) is False for path in paths if path.backup is backup)
            for backup in (False, True)
        ]
        on_backup = tuple(end for end in ends if self._answers(end) and self._on_backup(record.name, end))
        return Watched(silent[0], silent[1], on_backup)

    def settled(self, record: Record) -> None:
        """What was measured of a path that the corridor has left says nothing of it any more, nor what had a backup."""
        if record.target is None:
            return
        ends = (record.target.a_end.node, record.target.z_end.node)
        paths = frozenset(path.mark for path in watched_paths(record.target.leg, *ends))
        self._state.measured.keep(record.name, paths)
        if record.target.leg.backup is None:
            for key in self._policies.keys() & {*self._carriers(record.name, ends)}:
                del self._policies[key]

    def _state_of(self, record: Record, path: WatchedPath) -> bool | None:
        """Whether a session is up; None where nothing is known of it."""
        number = self._state.snapshot().ids.assigned.get(path.session(record.name))
        session = None if number is None else self._sessions.get((path.router, number))
        return None if session is None else session.up

    def _on_backup(self, name: str, router: str) -> bool:
        policies = (self._policies.get(key) for key in self._carriers(name, (router,)))
        return any(policy.on_backup for policy in policies if policy is not None)

    def _carriers(self, name: str, routers: Iterable[str]) -> Iterator[_Key]:
        """The policies that a corridor's traffic has, of both families."""
        ids = self._state.snapshot().ids.assigned
        for router in routers:
            yield from ((router, ids[key]) for key in headend_ids(router, name)[:2] if key in ids)

    def _answers(self, router: str) -> bool:
        return self._state.topology.nodes[router].status is Status.UP

    def _measure(self, device: str, record: Record | None) -> None:
        """The round trip of the path that the A end's traffic takes."""
        placement = _carrying(record) if record else None
        if record is None or placement is None or placement.a_end.node != device:
            return
        backup = placement.leg.backup is not None and self._on_backup(record.name, device)
        ends = (placement.a_end.node, placement.z_end.node)
        for path in watched_paths(placement.leg, *ends):
            number = self._state.snapshot().ids.assigned.get(path.session(record.name))
            session = self._sessions.get((device, number)) if number is not None else None
            mine = (path.router, path.backup) == (device, backup)
            if mine and session is not None and session.up and session.round_trip_us:
                self._state.measured.note(record.name, session.round_trip_us, path.mark)

    def _corridors(self) -> Mapping[tuple[str, str, int], str]:
        """Whose each session and policy is; made anew where ids have changed, and what was of others forgotten."""
        ids = self._state.snapshot().ids
        if self._owners[0] is not ids:
            found = {(key.kind, key.where, value): _owner(key) for key, value in ids.assigned.items() if _owner(key)}
            self._owners = ids, found
            self._sessions = {key: each for key, each in self._sessions.items() if ("session", *key) in found}
            self._policies = {key: each for key, each in self._policies.items() if ("policy", *key) in found}
        return self._owners[1]


def _owner(key: IdKey) -> str:
    """The corridor of a session, or of a policy that carries its traffic; empty of all else."""
    if key.kind == "session":
        return corridor_of(key)
    own = key.kind == "policy" and "#" not in key.owner
    return key.owner.rpartition("/")[0] if own else ""


def _carrying(record: Record) -> Placement | None:
    """The placement whose lists its traffic has: the new one from STEER on."""
    return record.current if record.stage is Stage.BUILD else record.target
