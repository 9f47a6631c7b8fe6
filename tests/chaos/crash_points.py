"""Every instant at which a controller can die in a change, one after the other; the next one must bring it to its end.

An instant is a happening of the simulated network: a write that a device took, a call of a line card, its answer, a
commit in band; and before and after each write to the store.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lives import Act, Lives, Shape
from mortal_store import COMMITTED
from simulated_network import SimulatedNetwork
from virtual_time import VirtualTimeLoop

from controller.topology_file import TopologyFile

STEP_S = 0.0005
"""Of a handshake between line cards: long enough for a controller to die during it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a cycle of changes, the last of which leads back to where the first began."""

    name: str
    act: Act
    """What a caller asks for, or what happens to the network; it may be done twice."""
    dies: bool = True
    """Whether controllers are killed in it, or it only leads to the next."""


def enumerated(plan: TopologyFile, database: Path | str, base: Sequence[Change], cycle: Sequence[Change]) -> None:
    """Kill a controller at every instant of each change of a cycle, and print how many these are.

    `database`: a URL, or a directory for one of SQLite's.
    """
    url = database if isinstance(database, str) else f"sqlite:///{database / 'corridor.db'}"
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        points = runner.run(_enumerate(plan, url, base, cycle))
    counted = Counter(change for change, _ in points)
    print(f"killed at {len(points)} instants: {', '.join(f'{name} {count}' for name, count in counted.items())}")
    assert all(counted[change.name] > 1 for change in cycle if change.dies)


async def _enumerate(
    plan: TopologyFile, database: str, base: Sequence[Change], cycle: Sequence[Change]
) -> list[tuple[str, str]]:
    """By change, the happening that was the last."""
    lives = Lives(SimulatedNetwork.wired(plan), database, plan)
    lives.network.handshakes.step_s = STEP_S
    lives.watch()
    await lives.begin()
    shapes = [await _done(lives, base), *[await _done(lives, [change]) for change in cycle]]
    idle = [change.name for change, (before, after) in zip(cycle, pairwise(shapes), strict=True) if before == after]
    assert not idle, f"nothing happens in {idle}"
    assert shapes[0] == shapes[-1], f"the cycle does not lead back: {_apart(shapes[0], shapes[-1])}"
    points: list[tuple[str, str]] = []
    moment, alive = 0, {change.name for change in cycle if change.dies}
    while alive:
        moment += 1
        for number, change in enumerate(cycle):
            if change.name not in alive:
                await change.act(lives.controller)
                await lives.quiet()
                continue
            died = await _killed_in(lives, change, moment, shapes[number], shapes[number + 1])
            if died:
                points.append((change.name, lives.deaths[-1]))
            else:
                alive.discard(change.name)
    await lives.kill()
    lives.unfelt()
    return points


async def _done(lives: Lives, changes: Sequence[Change]) -> Shape:
    for change in changes:
        await change.act(lives.controller)
        await lives.quiet()
    lives.invariants()
    return lives.shape()


async def _killed_in(lives: Lives, change: Change, moment: int, before: Shape, after: Shape) -> bool:
    """Whole or not at all; whole, if the caller was told so or the store has it. Who was told nothing asks again."""
    happened = len(lives.network.history)
    died, answered = await lives.dies_in(change.act, moment)
    promised = answered or any(each.startswith(COMMITTED) for each in lives.network.history[happened:])
    where = f"killed in {change.name} after {moment} happenings" + (f": {lives.deaths[-1]}" if died else "")
    if died:
        await lives.begin()
    lives.invariants()
    lives.unfelt()
    stands = lives.shape()
    if stands != after and not promised:
        assert stands == before, f"{where}: neither undone nor done: {_apart(before, stands)} {_apart(after, stands)}"
        stands = await _done(lives, [change])
    told = "what was answered or stored is lost" if promised else "it cannot be done any more"
    assert stands == after, f"{where}: {told}: {_apart(after, stands)}"
    return died


def _apart(one: Shape, other: Shape) -> str:
    return "; ".join(f"{key}: {one[key]} against {other[key]}" for key in one if one[key] != other[key])
