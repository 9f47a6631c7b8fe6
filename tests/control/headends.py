"""A protected soft corridor between two headends of the simulated network that say what their probes find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from running_controller import Controller, corridor
from simulated_network import SimulatedNetwork
from waiting import until

from controller.core.entries import Entry, TableEntry
from controller.core.model import Capabilities, Corridor, Isolation, Leg, Liveness, Protection, State
from controller.core.names import short
from controller.drivers.device import PathWatch, PolicyState, SessionState
from controller.topology_file import TopologyFile

NAME = "tenants/default/corridors/c1"
A, Z = "zgc-r", "yz-r"
SOFT = {"isolation": Isolation.SOFT, "protection": Protection.PROTECT}


def watching(plan: TopologyFile) -> SimulatedNetwork:
    """Every router sees failures beyond its own ports."""
    made = SimulatedNetwork.wired(plan)
    for device in made.devices.values():
        if short(device.name).endswith("-r"):
            device.capabilities = Capabilities(liveness=Liveness.REMOTE)
    return made


async def protected(controller: Controller, **fields: Any) -> Corridor:
    made = await controller.service.create_corridor("tenants/default", "c1", corridor(**{**SOFT, **fields}))
    await controller.settled(made.name)
    await whole(controller)
    return now(controller)


def now(controller: Controller) -> Corridor:
    return controller.state.records[NAME].corridor


def leg(controller: Controller) -> Leg:
    return now(controller).legs[0]


def paths(controller: Controller) -> list[tuple[str, ...]]:
    """Adjacencies of the path, and of the backup."""
    found = leg(controller)
    return [found.links] + ([found.backup.links] if found.backup else [])


def fibres(controller: Controller, links: Iterable[str]) -> set[str]:
    topology = controller.state.topology
    return {fibre for name in links for fibre in topology.links[name].trail}


def conditions(controller: Controller) -> dict[str, str]:
    return {each.type: each.reason for each in now(controller).conditions if each.status}


def message(controller: Controller, kind: str) -> str:
    return next((each.message for each in now(controller).conditions if each.type == kind), "")


async def degraded(controller: Controller, kind: str, reason: str) -> None:
    await until(
        lambda: now(controller).state is State.DEGRADED and conditions(controller) == {kind: reason},
        f"it says {kind}, {reason}",
    )


async def whole(controller: Controller) -> None:
    await until(
        lambda: now(controller).state is State.UP and not now(controller).reconciling and not conditions(controller),
        "it is up without any reserve",
    )


class Headend:
    """A router as its agent sees the watched paths of the one protected corridor on it."""

    def __init__(self, network: SimulatedNetwork, name: str) -> None:
        self.device = network[name]

    def entries(self, table: str) -> list[TableEntry]:
        held: Iterable[Entry] = self.device.own().values()
        return [each for each in held if isinstance(each, TableEntry) and each.table == table]

    @property
    def backups(self) -> list[tuple[int, dict[str, int]]]:
        """(policy, what stands in for it)."""
        rows = self.entries("policy_backup")
        return sorted((dict(row.match)["policy"].value, dict(row.params)) for row in rows)

    def says(self, *, path: bool = True, backup: bool = True, on_backup: bool = False, round_trip_us: int = 0) -> None:
        policies = [number for number, _ in self.backups]
        joined = self.backups[0][1]
        sessions = (
            SessionState(joined["session"], path, round_trip_us),
            SessionState(joined["backup_session"], backup, 2 * round_trip_us),
        )
        states = tuple(PolicyState(number, on_backup, "SIGNAL_FAIL" if on_backup else "") for number in policies)
        assert self.device.listener is not None
        self.device.listener.path_watched(self.device.name, PathWatch(sessions, states))


def cut_path(controller: Controller, position: int) -> str:
    """A fibre of one of both paths, cut."""
    name = short(sorted(fibres(controller, paths(controller)[position]))[0])
    controller.network.cut(name)
    return name
