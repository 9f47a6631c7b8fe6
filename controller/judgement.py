"""What carries a corridor now, by links that are down and what line cards and headends say; what is then said of it."""

from __future__ import annotations

from dataclasses import replace

from controller.core.model import Corridor, EventType, Status
from controller.core.plan import advance
from controller.core.protection import Service, failed_paths, judged, loss, service_of, suspects
from controller.core.records import Record
from controller.drivers.device import PathWatch, Selector
from controller.path_watch import HeadendReports
from controller.state import NetworkState


class Judgement:
    """Looks at corridors that stand; changes nothing but their public face."""

    def __init__(self, state: NetworkState) -> None:
        self._state = state
        self._selectors: dict[tuple[str, int], Selector] = {}
        """By OTN node and working slice."""
        self._reports = HeadendReports(state)

    def selector_moved(self, device: str, selector: Selector) -> str | None:
        """One end of a protected slice says which slice its traffic takes; the corridor that this is news of."""
        names = {r.target.slice.id: r.name for r in self._state.records.values() if r.target and r.target.slice}
        self._selectors = {key: each for key, each in self._selectors.items() if key[1] in names}
        if selector.working not in names or self._selectors.get((device, selector.working)) == selector:
            return None
        self._selectors[device, selector.working] = selector
        return names[selector.working]

    def path_watched(self, device: str, watch: PathWatch) -> frozenset[str]:
        """A headend says what its probes found, and which lists its policies take; the corridors it is news of."""
        return self._reports.heard(device, watch)

    def settled(self, record: Record) -> None:
        """A change is through: what was measured before may be of another path."""
        self._reports.settled(record)

    def service(self, record: Record) -> Service:
        assert record.target is not None
        fails, watched = self._signal_fails(record), self._reports.watched(record)
        return service_of(self._state.topology, record.corridor, record.target, fails, watched)

    def dark(self, record: Record) -> bool:
        """By its links alone nothing carries it: line cards and headends have nothing to switch to."""
        assert record.target is not None
        return service_of(self._state.topology, record.corridor, record.target) is Service.LOST

    def suspects(self, record: Record) -> tuple[str, ...]:
        """Links of a path that headends find dead, and nobody else does."""
        assert record.target is not None
        return tuple(suspects(self._state.topology, record.target, self._reports.watched(record)))

    def reverting(self, record: Record) -> bool:
        """Its headends send over the backup, and will go back by themselves: the path is whole."""
        placement, watched = record.target, self._reports.watched(record)
        if placement is None or placement.leg.backup is None:
            return False
        return bool(watched.on_backup) and not any(failed_paths(self._state.topology, placement, watched))

    def cut(self, name: str) -> bool:
        """Its path is down: it is moved, or stays where it is until there is room."""
        record = self._state.records.get(name)
        return bool(record and record.target and self.service(record) is Service.LOST)

    def loss(self, record: Record) -> str:
        """What took the path of a lost corridor."""
        assert record.target is not None
        fails, watched = self._signal_fails(record), self._reports.watched(record)
        return loss(self._state.topology, record.target, fails, watched)

    async def say(self, record: Record, service: Service, why: str = "") -> None:
        """Under the writer. Store what is to be said of a corridor that is carried."""
        assert record.target is not None
        now, watched = self._state.now(), self._reports.watched(record)
        said = judged(self._state.topology, record.corridor, record.target, service, now, why, watched)
        await self.note(record, said)

    async def note(self, record: Record, corridor: Corridor) -> None:
        """Under the writer. Only what is said of the corridor changes."""
        if corridor == record.corridor:
            return
        corridor = replace(corridor, update_time=self._state.now())
        change = advance(self._state.snapshot(), record, replace(record, corridor=corridor))
        await self._state.commit(change, EventType.UPDATED)

    def _signal_fails(self, record: Record) -> frozenset[int]:
        """Slices that an end of which hears nothing; what a node said that is not reached now counts no more.

        Nor does an end that hears nothing of the far one at all: that one's program may be starting anew.
        """
        if record.target is None or record.target.slice is None or record.target.protection is None:
            return frozenset()
        working, protection = record.target.slice.id, record.target.protection.id
        nodes = self._state.topology.nodes
        said = [
            each
            for (device, number), each in self._selectors.items()
            if number == working and nodes[device].status is Status.UP and not each.far_end_silent
        ]
        failed = [working] * any(not each.working_ok for each in said)
        return frozenset(failed + [protection] * any(not each.protection_ok for each in said))
