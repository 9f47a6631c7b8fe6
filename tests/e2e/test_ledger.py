"""After any history the ledger equals what the OTN nodes hold: slots and their order, sizes, meters."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from otn_nodes import expected, free_slots, meters, otn_nodes, slots
from places import CP, ENDS, FT, SG, SY, YZ, ZGC, body

from topologies.lab import Lab, LabError
from topologies.system import Controller, wait_for

STEPS = 60
CHECK_EVERY = 10
HOSTS = (ZGC, YZ, CP, FT, SG, SY)
FIBRES = ("F-zgc-yz", "F-zgc-cp", "F-cp-sy", "F-yz-ft", "F-ft-sg")


@dataclass
class History:
    """Random requests and failures; who is refused is none the worse for it."""

    lab: Lab
    controller: Controller
    chance: random.Random
    made: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    count: int = 0

    def step(self) -> None:
        acts = [self.create, self.create, self.resize, self.resize, self.resize, self.delete, self.break_or_mend]
        self.chance.choice(acts)()

    def create(self) -> None:
        a, z = self.chance.sample(HOSTS, 2)
        self.count += 1
        corridor_id = f"h{self.count}"
        wanted = body(a, z, only=self.chance.randrange(2, 600)) | {"maxLatencyUs": 0}
        wanted["protection"] = self.chance.choice(["RESTORE", "PROTECT", "UNPROTECTED"])
        for end in ("aEnd", "zEnd"):
            wanted[end]["dscp"] = self.count % 64
        if self.tried(f"create {corridor_id} {ENDS[a][0]} {ENDS[z][0]}", lambda: self.post(corridor_id, wanted)):
            self.made.add(corridor_id)

    def post(self, corridor_id: str, wanted: dict[str, Any]) -> None:
        answer = self.controller.client.post(
            "/v1/tenants/default/corridors", params={"corridorId": corridor_id}, json=wanted
        )
        if answer.is_error:
            raise LabError(answer.text)

    def resize(self) -> None:
        if self.made:
            corridor_id, kbps = self.chance.choice(sorted(self.made)), self.chance.randrange(2_000, 600_000)
            change = {"profiles": [{"name": "only", "bandwidthKbps": kbps}]}
            self.tried(f"resize {corridor_id} {kbps}", lambda: self.controller.patch(corridor_id, change))

    def delete(self) -> None:
        if self.made:
            corridor_id = self.chance.choice(sorted(self.made))
            self.made.remove(corridor_id)
            self.tried(f"delete {corridor_id}", lambda: self.controller.delete(corridor_id))

    def break_or_mend(self) -> None:
        if self.cut:
            fibre = self.cut.pop()
            self.tried(f"mend {fibre}", lambda: self.lab.mend(fibre))
        else:
            fibre = self.chance.choice(FIBRES)
            self.cut.add(fibre)
            self.tried(f"cut {fibre}", lambda: self.lab.cut(fibre))

    def tried(self, what: str, act: Callable[[], object]) -> bool:
        try:
            act()
        except LabError as refusal:
            self.done.append(f"{what}: {refusal}")
            return False
        self.done.append(what)
        return True

    def end(self) -> None:
        while self.cut:
            self.lab.mend(self.cut.pop())
        self.controller.await_topology()
        while self.made:
            self.controller.delete(self.made.pop())

    def check(self) -> None:
        """Slices of corridors, and nothing else but trails, at every node."""
        try:
            wait_for("the nodes hold what the ledger says", lambda: not self.differences(), 30)
        except LabError as late:
            told = [*self.done, *map(str, self.differences())]
            raise AssertionError("\n".join(told)) from late

    def differences(self) -> list[object]:
        """(what, wanted, there), or who is being changed."""
        standing = [self.controller.get(corridor_id) for corridor_id in sorted(self.made)]
        found: list[object] = [
            (each["name"], each["stage"], each["conditions"]) for each in standing if each["reconciling"]
        ]
        if found:
            return found
        nodes, trails = otn_nodes(self.controller), trail_ids(self.controller)
        wanted_slots, wanted_meters = expected(self.controller, standing)
        for held, wanted in ((slots(self.lab, nodes), wanted_slots), (meters(self.lab, nodes), wanted_meters)):
            keys = (key for key in held.keys() | wanted.keys() if key[1] not in trails)
            found += [(key, wanted.get(key), held.get(key)) for key in keys if wanted.get(key) != held.get(key)]
        return found


def trail_ids(controller: Controller) -> set[int]:
    return {link["sliceId"] for link in controller.topology()["links"] if link["kind"] == "ADJACENCY"}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_ledger_is_what_the_nodes_hold(lab: Lab, controller: Controller, seed: int) -> None:
    empty = free_slots(controller)
    history = History(lab, controller, random.Random(seed))
    try:
        for number in range(1, STEPS + 1):
            history.step()
            if number % CHECK_EVERY == 0:
                history.check()
    finally:
        history.end()
    assert free_slots(controller) == empty, "a slot leaked"
    history.check()
