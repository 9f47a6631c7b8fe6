"""Defragmentation as a use case: what it plans it does, one corridor after the other, until something is in its way."""

from __future__ import annotations

import asyncio

import pytest
from running_controller import DOMAIN, Controller, corridor, dump, end

from controller.core.entries import Change, CrossConnect
from controller.core.errors import Conflict, Invalid, NotFound
from controller.core.model import Profile, Slice, Stage

TOPOLOGY = f"{DOMAIN}/topology"
FIBRE = f"{DOMAIN}/links/F-zgc-yz"
LARGE, SMALL = 900_000, 517_000
"""kbit/s that take 95 and 55 slots: two large ones fit an ODU1 of 238, with a small one beside them they do not."""
ENDS = (("a_end", "zgc-r:campus"), ("z_end", "yz-r:dc"))


def name(corridor_id: str) -> str:
    return f"tenants/default/corridors/{corridor_id}"


def slice_of(controller: Controller, corridor_id: str) -> Slice:
    target = controller.state.records[name(corridor_id)].target
    assert target is not None
    assert target.slice is not None
    return target.slice


def servers(controller: Controller) -> set[str]:
    """Those of the fibre that hold something."""
    rows = controller.state.snapshot().ledger.rows
    return {key.server for key, row in rows.items() if key.link == FIBRE and row.bitmap} - {"line"}


async def stand(controller: Controller, *ids: str, kbps: int = LARGE) -> None:
    """Between the same ports, told apart by their code points."""
    for corridor_id in ids:
        marked = {each: end(where, dscp=int(corridor_id[1:])) for each, where in ENDS}
        wanted = corridor(profiles=(Profile("only", kbps),), active_profile="only", **marked)
        await controller.service.create_corridor("tenants/default", corridor_id, wanted)
        await controller.settled(name(corridor_id))
        assert [hop.link for hop in slice_of(controller, corridor_id).hops] == [FIBRE]


async def leave(controller: Controller, corridor_id: str) -> None:
    await controller.service.delete_corridor(name(corridor_id))
    await controller.settled(name(corridor_id))


@pytest.fixture
async def scattered(controller: Controller) -> Controller:
    """c1 and c3 alone in a server each."""
    await stand(controller, "c1", "c2", "c3")
    await leave(controller, "c2")
    assert len(servers(controller)) == 2
    return controller


async def test_only_to_see_it_changes_nothing(scattered: Controller, database: str) -> None:
    stored, written = dump(database), len(scattered.network.writes)
    plan = await scattered.service.defragment(TOPOLOGY, 5, validate_only=True)
    assert [move.corridor for move in plan.moves] == [name("c3")]
    assert [(each.link, each.server) for each in plan.freed] == [(FIBRE, plan.moves[0].changes[0].from_server)]
    assert not plan.moves[0].done
    assert (dump(database), len(scattered.network.writes)) == (stored, written)


async def test_a_server_is_freed_and_every_device_follows(scattered: Controller) -> None:
    before = slice_of(scattered, "c3")
    done = await scattered.service.defragment("domains/-/topology", 5)
    after = slice_of(scattered, "c3")
    assert (len(done.moves), done.moves[0].done, done.stopped) == (1, True, "")
    assert servers(scattered) == {"odu1-1"} == {hop.server for hop in after.hops}
    assert [each.server for each in done.freed] == [before.hops[0].server]
    assert (before.id != after.id, before.claimed_slots) == (True, after.claimed_slots)
    await scattered.in_line()
    record = scattered.state.records[name("c3")]
    assert (record.stage, record.corridor.reconciling) == (Stage.SETTLED, False)
    again = await scattered.service.defragment(TOPOLOGY, 5)
    assert (again.moves, again.freed) == ((), ())


async def test_the_new_slice_stands_before_the_old_one_goes(scattered: Controller) -> None:
    old, began = slice_of(scattered, "c3"), len(scattered.network.writes)
    await scattered.service.defragment(TOPOLOGY, 5)
    new = slice_of(scattered, "c3")
    writes = [w for w in scattered.network.writes[began:] if isinstance(w.entry, CrossConnect)]
    built = [w.confirmed for w in writes if w.entry.slice_id == new.id]  # type: ignore[union-attr]
    taken = [w.sent for w in writes if w.entry.slice_id == old.id]  # type: ignore[union-attr]
    assert (len(built), len(taken)) == (4, 4)
    assert max(built) < min(taken)


async def test_a_move_that_a_device_refuses_stops_it_and_is_told(scattered: Controller) -> None:
    old, known = slice_of(scattered, "c3"), scattered.network["yz-o"].own().keys()

    def refuses(change: Change) -> bool:
        return isinstance(change.entry, CrossConnect) and change.entry.key not in known

    scattered.network["yz-o"].refuses = refuses
    done = await scattered.service.defragment(TOPOLOGY, 5)
    assert (done.moves[0].done, done.freed) == (False, ())
    assert name("c3") in done.stopped
    assert "yz-o" in done.stopped
    assert slice_of(scattered, "c3") == old
    assert len(servers(scattered)) == 2


async def test_a_newcomer_in_a_server_to_be_freed_stops_it(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two moves were to free the second server; after the first somebody finds room nowhere else."""
    await stand(controller, "c1", "c2", kbps=SMALL)
    await stand(controller, "c3")
    await stand(controller, "c4", "c5", kbps=SMALL)
    await leave(controller, "c3")
    finished = controller.progress.finished

    async def meanwhile(moved: str) -> None:
        await finished(moved)
        await stand(controller, "c6")

    monkeypatch.setattr(controller.progress, "finished", meanwhile)
    done = await controller.service.defragment(TOPOLOGY, 5)
    assert [(move.corridor, move.done) for move in done.moves] == [(name("c4"), True), (name("c5"), False)]
    assert "in use again" in done.stopped
    assert done.freed == ()
    assert len(servers(controller)) == 2


@pytest.mark.parametrize("bound", [0, 201, -1])
async def test_the_bound_is_bounded(controller: Controller, bound: int) -> None:
    with pytest.raises(Invalid):
        await controller.service.defragment(TOPOLOGY, bound)


async def test_one_at_a_time_and_only_here(scattered: Controller) -> None:
    with pytest.raises(NotFound):
        await scattered.service.defragment("domains/moon/topology", 5)
    first = asyncio.create_task(scattered.service.defragment(TOPOLOGY, 5))
    await asyncio.sleep(0)
    with pytest.raises(Conflict):
        await scattered.service.defragment(TOPOLOGY, 5)
    assert (await first).moves[0].done


async def test_a_corridor_that_goes_meanwhile_stops_it(scattered: Controller) -> None:
    """It is planned while the corridor stands; its deletion gets the writer first."""
    await scattered.state.writer.acquire()
    deleting = asyncio.create_task(scattered.service.delete_corridor(name("c3")))
    await asyncio.sleep(0)
    running = asyncio.create_task(scattered.service.defragment(TOPOLOGY, 5))
    await asyncio.sleep(0)
    scattered.state.writer.release()
    await deleting
    done = await running
    assert [(move.corridor, move.done) for move in done.moves] == [(name("c3"), False)]
    assert name("c3") in done.stopped
    await scattered.settled(name("c3"))
