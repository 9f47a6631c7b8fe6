"""Two controllers that share a database, one leading: what a test does to them, and the traffic meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from corridor_lab import between
from cuttable import CuttablePath
from postgres import Postgres

from topologies.lab import Lab
from topologies.system import Controller, end_point, wait_for
from topologies.traffic import Flow, Load, await_ping

NAME = "/v1/tenants/default/corridors/kept"
ENDS = ("west-r", "campus", "10.1.0.0/24"), ("east-r", "dc", "10.2.0.0/24")
WAYS = ("h-west", "h-east", "10.2.0.2"), ("h-east", "h-west", "10.1.0.2")
KBPS, IP_BYTES = 4_000, 500
"""A thousand packets a second each way."""
PATIENCE_S = 60.0
STRAGGLERS_S = 0.5
ASK_S = 0.05
"""Between two requests: who asks all the time takes the machine's time from the controllers."""
START_S = 60.0


@dataclass
class Pair:
    lab: Lab
    cluster: Postgres
    url: str
    controllers: tuple[Controller, ...]
    paths: tuple[CuttablePath, ...]

    def roles(self) -> tuple[Controller, Controller]:
        """Leader and follower, once each knows what it is; who has ended is started again, as a supervisor would."""
        for each in self.controllers:
            if each.ended() is not None:
                each.start()
        leader = wait_for("a leader", lambda: next((each for each in self.controllers if each.leads()), None), START_S)
        follower = next(each for each in self.controllers if each is not leader)
        wait_for("the follower reads", lambda: reads(follower), START_S)
        return leader, follower

    def path(self, controller: Controller) -> CuttablePath:
        return self.paths[self.controllers.index(controller)]


def reads(controller: Controller) -> bool:
    time.sleep(ASK_S)
    try:
        return controller.client.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def body() -> dict[str, Any]:
    a_end, z_end = (end_point("pair", *end) for end in ENDS)
    return between(a_end, z_end, inference=5, training=10)


def switched(controller: Controller, profile: str) -> httpx.Response | None:
    """What the controller says of it; None while nobody is there, or it does not lead yet."""
    time.sleep(ASK_S)
    try:
        answer = controller.client.patch(NAME, json={"activeProfile": profile}, follow_redirects=False)
    except httpx.TransportError:
        return None
    return answer if answer.status_code == httpx.codes.OK else None


def settles(controller: Controller, profile: str, began: float) -> tuple[float, float]:
    """Seconds from `began` until it has acknowledged another profile, and until all devices hold it."""
    wait_for("the change is acknowledged", lambda: switched(controller, profile), 30)
    acknowledged = time.monotonic() - began
    assert controller.settled("kept")["activeProfile"] == profile
    return acknowledged, time.monotonic() - began


@contextmanager
def traffic(lab: Lab) -> Iterator[list[dict[str, Any]]]:
    """A steady flow each way while the block lasts; afterwards what became of it."""
    for source, _, address in WAYS:
        await_ping(lab, source, address)
    load = Load(KBPS, IP_BYTES, PATIENCE_S, steady=True)
    flows = [Flow(lab, source, sink, address, load) for source, sink, address in WAYS]
    found: list[dict[str, Any]] = []
    yield found
    for each in flows:
        each.stop()
    time.sleep(STRAGGLERS_S)
    for each in flows:
        each.end()
    found += [each.result() for each in flows]


def harm(results: list[dict[str, Any]]) -> list[tuple[int, int, int]]:
    """(lost, reordered, duplicated) of each flow."""
    return [(each["lost"], each["reordered"], each["duplicated"]) for each in results]
