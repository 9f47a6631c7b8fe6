"""What may go wrong in the lab, what it hits, and how it is over."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from cuttable import CuttablePath
from postgres import Postgres

from topologies.lab import Lab
from topologies.system import Controller, wait_for

LEASE_LOST_S = 4.0
"""For how long a leader that shall lose its lease is kept from renewing it."""


@dataclass
class System:
    """The lab, and the controllers that share a database, each over a path of its own."""

    lab: Lab
    cluster: Postgres
    controllers: tuple[Controller, ...]
    paths: tuple[CuttablePath, ...]

    def leader(self) -> Controller:
        return wait_for("a leader", lambda: next((each for each in self.controllers if _leads(each)), None), 30)

    def urls(self) -> list[str]:
        return [str(each.client.base_url).rstrip("/") for each in self.controllers]

    def told(self, path: str, **params: Any) -> Any:
        """What the leader answers; asked again where it goes meanwhile: on a busy machine one may lose its lease."""

        def answered() -> httpx.Response | None:
            self.revive()
            try:
                answer = self.leader().client.get(path, params=params)
            except httpx.TransportError:
                return None
            return None if answer.is_server_error else answer

        return wait_for(path, answered, 30).raise_for_status().json()

    def revive(self) -> None:
        """Whoever has ended, because he was killed or had to, is started again."""
        for each in self.controllers:
            if each.ended() is not None:
                each.start()


def _leads(controller: Controller) -> bool:
    return controller.ended() is None and controller.leads()


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong and is put right again. `hits`: short names of nodes and links."""

    what: str
    hits: frozenset[str]
    strike: Callable[[], object]
    relieve: Callable[[], object]
    lasts_s: float = 1.0


def drawn(system: System, chance: random.Random, topology: dict[str, Any]) -> Fault:
    """Any fault, each kind as likely as any other."""
    kind = chance.choice(KINDS)
    return kind(system, chance, topology)


def _cut(system: System, chance: random.Random, topology: dict[str, Any]) -> Fault:
    fibre = chance.choice(_names(topology["links"], "FIBRE"))
    lab = system.lab
    return Fault(f"cut {fibre}", frozenset({fibre}), lambda: lab.cut(fibre), lambda: lab.mend(fibre), 1.5)


def _agent(system: System, chance: random.Random, topology: dict[str, Any]) -> Fault:
    router, lab = chance.choice(_names(topology["nodes"], "ROUTER")), system.lab

    def killed() -> None:
        os.kill(lab.status().processes[f"router/{router}"][0], signal.SIGKILL)

    return Fault(f"kill the agent of {router}", frozenset({router}), killed, lambda: lab.restart_router_agent(router))


def _switch(system: System, chance: random.Random, topology: dict[str, Any]) -> Fault:
    node, lab = chance.choice(_names(topology["nodes"], "OTN")), system.lab
    return Fault(f"restart the switch of {node}", frozenset({node}), lambda: lab.restart_otn_switch(node), _nothing)


def _line_card(system: System, chance: random.Random, topology: dict[str, Any]) -> Fault:
    node, lab = chance.choice(_names(topology["nodes"], "OTN")), system.lab
    return Fault(f"restart the line card of {node}", frozenset({node}), lambda: lab.restart_line_card(node), _nothing)


def _controller(system: System, _chance: random.Random, _topology: dict[str, Any]) -> Fault:
    leader = system.leader()
    return Fault(f"kill {leader.name}, which leads", frozenset(), lambda: leader.stop(signal.SIGKILL), leader.start)


def _database(system: System, chance: random.Random, _topology: dict[str, Any]) -> Fault:
    immediate = chance.random() < 0.5
    how = "crash" if immediate else "restart"
    return Fault(f"{how} of the database", frozenset(), lambda: system.cluster.restart(immediate), _nothing)


def _paused(system: System, _chance: random.Random, _topology: dict[str, Any]) -> Fault:
    leader = system.leader()
    stop, go = (lambda: leader.send(signal.SIGSTOP)), (lambda: leader.send(signal.SIGCONT))
    return Fault(f"{leader.name}, which leads, stands still", frozenset(), stop, go, LEASE_LOST_S)


def _partitioned(system: System, _chance: random.Random, _topology: dict[str, Any]) -> Fault:
    leader = system.leader()
    path = system.paths[system.controllers.index(leader)]
    return Fault(f"{leader.name}, which leads, loses the database", frozenset(), path.cut, path.mend, LEASE_LOST_S)


KINDS = (_cut, _cut, _agent, _switch, _line_card, _controller, _database, _paused, _partitioned)


def _nothing() -> None:
    """It is over by itself."""


def _names(things: list[dict[str, Any]], kind: str) -> list[str]:
    return sorted(each["name"].rpartition("/")[2] for each in things if each["kind"] == kind)


def struck(fault: Fault) -> None:
    """From beginning to end."""
    fault.strike()
    time.sleep(fault.lasts_s)
    fault.relieve()
