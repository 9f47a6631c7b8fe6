"""Use cases at their edges: refusals change nothing, pages and watches leave nothing out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from running_controller import DOMAIN, Controller, corridor, dump, end
from simulated_network import SimulatedNetwork

from controller import audience
from controller.core.errors import AlreadyExists, Conflict, Infeasible, Invalid, NotFound, Refused
from controller.core.model import (
    Corridor,
    CorridorEvent,
    EndPoint,
    EventType,
    Isolation,
    LinkKind,
    PathConstraints,
    Profile,
    Reservation,
    State,
)
from controller.core.otn import wire_kbps
from controller.core.plan import advance
from controller.service import CHANGEABLE

NAME = "tenants/default/corridors/c1"
PARENT = "tenants/default"
FT = f"{DOMAIN}/nodes/ft-r"
Call = Callable[[Controller], Awaitable[object]]


async def stands(controller: Controller, corridor_id: str = "c1", **fields: Any) -> None:
    answer = await controller.service.create_corridor(PARENT, corridor_id, corridor(**fields))
    await controller.settled(answer.name)


def creating(**fields: Any) -> Call:
    return lambda c: c.service.create_corridor(PARENT, "c2", replace(corridor("ft-r:office", "sg-r:dc"), **fields))


def rate(kbps: int) -> tuple[Profile, ...]:
    return (Profile("inference", kbps),)


REFUSED: dict[str, tuple[Call, type[Refused]]] = {
    "unknown node": (creating(a_end=EndPoint(f"{DOMAIN}/nodes/nowhere", "dc", ("10.0.0.0/24",))), Invalid),
    "unknown port": (creating(a_end=replace(end("ft-r:office"), port="none")), Invalid),
    "optical node as end": (creating(a_end=replace(end("ft-r:office"), node=f"{DOMAIN}/nodes/ft-o")), Invalid),
    "same end points": (creating(z_end=end("ft-r:office")), Invalid),
    "no bandwidth": (creating(profiles=rate(0)), Invalid),
    "negative bandwidth": (creating(profiles=rate(-5)), Invalid),
    "absurd bandwidth": (creating(profiles=rate(10**12)), Invalid),
    "more than a fibre holds": (creating(profiles=rate(12_000_000)), Infeasible),
    "unknown active profile": (creating(active_profile="none"), Invalid),
    "faster than light": (creating(max_latency_us=1), Invalid),
    "tighter than any path": (creating(max_latency_us=120), Infeasible),
    "an unknown link excluded": (creating(path_constraints=PathConstraints(exclude_links=("F-9",))), Invalid),
    "an end excluded": (
        creating(path_constraints=PathConstraints(exclude_nodes=(f"{DOMAIN}/nodes/sg-o",))),
        Invalid,
    ),
    "a node included and excluded": (
        lambda c: c.service.update_corridor(
            corridor(name=NAME, path_constraints=PathConstraints(include_nodes=(FT,), exclude_nodes=(FT,))),
            ("path_constraints",),
        ),
        Invalid,
    ),
    "bad id": (lambda c: c.service.create_corridor(PARENT, "C 2", corridor()), Invalid),
    "bad parent": (lambda c: c.service.create_corridor("nobody", "c2", corridor()), Invalid),
    "a corridor as parent": (
        lambda c: c.service.create_corridor(NAME, "c2", corridor("ft-r:office", "sg-r:dc")),
        Invalid,
    ),
    "list of a corridor": (lambda c: c.service.list_corridors(NAME), Invalid),
    "tenant as corridor": (lambda c: c.service.get_corridor(PARENT), Invalid),
    "existing id": (
        lambda c: c.service.create_corridor(PARENT, "c1", corridor("ft-r:office", "sg-r:dc")),
        AlreadyExists,
    ),
    "traffic of another": (lambda c: c.service.create_corridor(PARENT, "c2", corridor()), Invalid),
    "unknown corridor": (lambda c: c.service.switch_profile(f"{PARENT}/corridors/c9", "training"), NotFound),
    "unknown profile": (lambda c: c.service.switch_profile(NAME, "none"), Invalid),
    "stale etag of a switch": (lambda c: c.service.switch_profile(NAME, "training", etag="old"), Conflict),
    "stale etag of an update": (
        lambda c: c.service.update_corridor(replace(corridor(), name=NAME, etag="old", priority=3), ("priority",)),
        Conflict,
    ),
    "stale etag of a delete": (lambda c: c.service.delete_corridor(NAME, etag="old"), Conflict),
    "delete of nothing": (lambda c: c.service.delete_corridor(f"{PARENT}/corridors/c9"), NotFound),
    "isolation changed": (
        lambda c: c.service.update_corridor(corridor(name=NAME, isolation=Isolation.SOFT), ("isolation",)),
        Invalid,
    ),
    "active profile removed": (
        lambda c: c.service.update_corridor(corridor(name=NAME, profiles=(Profile("training", 9_000),)), ("profiles",)),
        Invalid,
    ),
    "output changed": (lambda c: c.service.update_corridor(corridor(name=NAME), ("state",)), Invalid),
    "negative page": (lambda c: c.service.list_corridors(PARENT, -1), Invalid),
    "strange page token": (lambda c: c.service.list_corridors(PARENT, 1, "é"), Invalid),
    "another topology": (lambda c: c.service.get_topology("domains/nowhere/topology"), NotFound),
}


async def test_a_refusal_changes_nothing(controller: Controller, database: str) -> None:
    await stands(controller)
    stored, written, records = dump(database), len(controller.network.writes), dict(controller.state.records)
    for what, (call, family) in REFUSED.items():
        with pytest.raises(family) as refusal:
            await call(controller)
        assert refusal.value.reason, what
        assert refusal.value.message, what
        assert dump(database) == stored, what
    assert len(controller.network.writes) == written
    assert dict(controller.state.records) == records


async def test_validate_only_says_what_would_be_and_does_nothing(controller: Controller, database: str) -> None:
    stored = dump(database)
    answer = await controller.service.create_corridor(PARENT, "c1", corridor(), validate_only=True)
    assert answer.legs[0].slices
    assert dump(database) == stored
    assert not controller.state.records


async def test_a_create_repeated_with_its_request_id_is_answered_once_more(controller: Controller) -> None:
    for _ in range(2):
        answer = await controller.service.create_corridor(PARENT, "c1", corridor(), request_id="r1")
    await controller.settled(answer.name)
    with pytest.raises(AlreadyExists):
        await controller.service.create_corridor(PARENT, "c1", corridor(), request_id="r2")
    with pytest.raises(AlreadyExists):
        await controller.service.create_corridor(PARENT, "c1", corridor(priority=7), request_id="r1")


async def test_a_create_repeated_after_a_restart_is_known(network: SimulatedNetwork, database: str) -> None:
    """The answer was lost with the controller that gave it: the caller asks again."""
    first = await Controller(network, database).start()
    await first.bootstrapped()
    made = await first.service.create_corridor(PARENT, "c1", corridor(), request_id="r1")
    await first.settled(made.name)
    await first.service.switch_profile(made.name, "training")
    await first.settled(made.name)
    await first.stop()
    second = await Controller(network, database).start()
    answer = await second.service.create_corridor(PARENT, "c1", corridor(), request_id="r1")
    assert (answer.uid, answer.active_profile) == (made.uid, "training")
    await second.stop()


async def test_an_update_that_changes_nothing_is_no_change(controller: Controller) -> None:
    await stands(controller)
    before = await controller.service.get_corridor(NAME)
    assert await controller.service.switch_profile(NAME, "inference") == before
    assert await controller.service.get_corridor(NAME) == before


async def test_what_was_read_can_be_sent_back(controller: Controller) -> None:
    """All fields that a caller may state, as the mask `*` names them, the immutable ones too."""
    await stands(controller)
    read = await controller.service.get_corridor(NAME)
    changed = await controller.service.update_corridor(replace(read, priority=5), (*CHANGEABLE, "isolation"))
    assert (changed.priority, changed.isolation) == (5, read.isolation)
    await controller.settled(NAME)


async def test_path_constraints_are_changed_as_any_field(controller: Controller) -> None:
    await stands(controller)
    current = await controller.service.get_corridor(NAME)
    asked = PathConstraints(exclude_nodes=(FT,))
    changed = replace(current, path_constraints=asked, priority=7)
    answer = await controller.service.update_corridor(changed, ("path_constraints",), etag=current.etag)
    assert (answer.path_constraints, answer.priority) == (asked, 0)
    assert answer.generation == current.generation + 1
    await controller.settled(NAME)
    unmasked = replace(Corridor(), name=NAME, path_constraints=PathConstraints(max_hops=9))
    assert (await controller.service.update_corridor(unmasked, ())).path_constraints == PathConstraints(max_hops=9)
    await controller.settled(NAME)
    await controller.in_line()


async def test_a_new_profile_table_resizes_the_slice(controller: Controller) -> None:
    await stands(controller)
    wide = Profile("inference", 20_000), Profile("training", 200_000)
    current = await controller.service.get_corridor(NAME)
    await controller.service.update_corridor(replace(current, profiles=wide), ("profiles",), etag=current.etag)
    await controller.settled(NAME)
    part = (await controller.service.get_corridor(NAME)).legs[0].slices[0]
    assert (part.claimed_slots, part.active_slots) == (22, 3)
    assert part.id == current.legs[0].slices[0].id
    await controller.in_line()


async def test_pages_hold_everything_once_and_in_order(controller: Controller) -> None:
    ids = [f"c{n}" for n in range(5)]
    for number, corridor_id in enumerate(ids):
        a = replace(end("zgc-r:campus"), ipv4_prefixes=(f"10.1.0.{16 * number}/28",), ipv6_prefixes=())
        fields = {"a_end": a, "z_end": replace(end("yz-r:dc"), ipv6_prefixes=())}
        await stands(controller, corridor_id, isolation=Isolation.SOFT, **fields)
    acme = corridor("zgc-r:acme", "yz-r:acme", isolation=Isolation.SOFT)
    await controller.service.create_corridor("tenants/acme", "c0", acme)
    await controller.settled("tenants/acme/corridors/c0")
    found, token = [], ""
    while True:
        page, token = await controller.service.list_corridors(PARENT, 2, token)
        assert 1 <= len(page) <= 2
        found += [each.name for each in page]
        if not token:
            break
    assert found == [f"{PARENT}/corridors/{corridor_id}" for corridor_id in ids]
    everyone, _ = await controller.service.list_corridors("tenants/-")
    assert len(everyone) == 6


async def _take(
    stream: AsyncIterator[CorridorEvent], enough: Callable[[list[CorridorEvent]], bool]
) -> list[CorridorEvent]:
    taken: list[CorridorEvent] = []
    async with asyncio.timeout(5):
        async for event in stream:
            taken.append(event)
            if enough(taken):
                break
    return taken


async def test_a_watch_tells_what_is_and_then_all_that_happens(controller: Controller) -> None:
    await stands(controller)
    stream = controller.service.watch_corridors(PARENT)
    (first,) = await _take(stream, lambda taken: True)
    assert (first.type, first.corridor) == (EventType.CREATED, await controller.service.get_corridor(NAME))
    stream = controller.service.watch_corridors(PARENT)
    watching = asyncio.create_task(_take(stream, lambda taken: taken[-1].type is EventType.DELETED))
    await controller.service.switch_profile(NAME, "training")
    await controller.settled(NAME)
    await controller.service.delete_corridor(NAME)
    events = await watching
    sequences = [event.sequence for event in events[1:]]
    assert sequences == list(range(first.sequence + 1, controller.state.sequence + 1))
    told = [(event.corridor.stage, event.corridor.legs[0].slices[0].resize_state) for event in events[1:6]]
    assert told == [
        ("BUILD", "NEVER"),
        ("BUILD", "MODIFYING"),
        ("STEER", "MODIFIED_OK"),
        ("CLEAN", "MODIFIED_OK"),
        ("SETTLED", "MODIFIED_OK"),
    ]
    assert events[-1].corridor.state is State.DELETING


@pytest.mark.parametrize("behind", [1, 3, 7])
async def test_a_watch_resumes_without_gap_or_repetition(controller: Controller, behind: int) -> None:
    """However far behind: the store gives its events in portions, here of three."""
    await stands(controller)
    controller.store.events = partial(controller.store.events, limit=3)  # type: ignore[method-assign]
    while controller.state.sequence < behind + 2:  # a restless neighbour, as far as the store can tell
        record = controller.state.records[NAME]
        async with controller.state.writer:
            plan = advance(controller.state.snapshot(), record, record)
            await controller.state.commit(plan, EventType.UPDATED)
    start = controller.state.sequence - behind
    stream = controller.service.watch_corridors(PARENT, start)
    watching = asyncio.create_task(_take(stream, lambda taken: taken[-1].corridor.active_profile == "training"))
    await controller.service.switch_profile(NAME, "training")
    events = await watching
    assert [event.sequence for event in events] == list(range(start + 1, events[-1].sequence + 1))
    await controller.settled(NAME)


async def test_a_watcher_who_does_not_read_is_not_remembered_for(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He finds all that he missed in the store; the controller's memory holds little of it."""
    monkeypatch.setattr(audience, "BACKLOG", 3)
    await stands(controller)
    stream = controller.service.watch_corridors(PARENT)
    first = await anext(aiter(stream))
    (queue,) = controller.state._audience._queues
    for profile in ("training", "inference", "training"):
        await controller.service.switch_profile(NAME, profile)
        await controller.settled(NAME)
    assert queue.qsize() <= 3
    newest = controller.state.sequence
    events = await _take(stream, lambda taken: taken[-1].sequence == newest)
    assert [event.sequence for event in events] == list(range(first.sequence + 1, newest + 1))


async def test_a_watch_sees_its_own_tenant_only(controller: Controller) -> None:
    watching = asyncio.create_task(_take(controller.service.watch_corridors("tenants/acme"), lambda taken: True))
    await stands(controller)
    acme = corridor("zgc-r:acme", "yz-r:acme", isolation=Isolation.SOFT)
    await controller.service.create_corridor("tenants/acme", "c0", acme)
    (event,) = await watching
    assert event.corridor.name == "tenants/acme/corridors/c0"
    await controller.settled("tenants/acme/corridors/c0")


async def test_the_topology_shows_what_is_reserved(controller: Controller) -> None:
    profiles = (Profile("inference", 20_000, 5_000),)
    await stands(controller, "soft", isolation=Isolation.SOFT, profiles=profiles)
    hard = corridor("ft-r:office", "sg-r:dc", reservation=Reservation.PEAK)
    await controller.service.create_corridor(PARENT, "hard", hard)
    await controller.settled(f"{PARENT}/corridors/hard")
    view = await controller.service.get_topology(f"{DOMAIN}/topology")
    links = {link.name.rsplit("/", 1)[-1]: link for link in view.links}
    used = links["A-zgc-yz"]
    assert used.reserved_forward_kbps == wire_kbps(20_000, 1400, 40) == 21_115
    assert used.reserved_reverse_kbps == wire_kbps(5_000, 1400, 40)
    (server,) = links["F-ft-sg"].servers
    assert (server.free_forward, server.free_reverse) == (238 - 11, 238 - 11)
    untouched = [link for name, link in links.items() if name not in ("A-zgc-yz", "F-ft-sg")]
    assert all(s.free_forward == s.fgts for link in untouched for s in link.servers)
    assert not any(k.reserved_forward_kbps for k in untouched if k.kind is LinkKind.ADJACENCY)


@pytest.mark.parametrize("change", ["create", "switch", "delete"])
async def test_a_caller_who_goes_away_leaves_nothing_half_done(
    controller: Controller, database: str, change: str
) -> None:
    """A gRPC client that hangs up cancels its call, wherever that is: all is done then, or nothing."""
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: controller.service.create_corridor(PARENT, "c1", corridor()),
        "switch": lambda: controller.service.switch_profile(NAME, "training"),
        "delete": lambda: controller.service.delete_corridor(NAME),
    }
    if change != "create":
        await stands(controller)
    start = controller.state.sequence
    for steps in range(40):
        call = asyncio.ensure_future(calls[change]())
        for _ in range(steps):
            await asyncio.sleep(0 if steps % 2 else 0.0002)
        call.cancel()
        await asyncio.wait({call})
        if controller.state.sequence != start:
            break
        assert {row[0] for row in dump(database)["records"]} == controller.state.records.keys()
    await controller.settled(NAME)
    resized = change == "switch"  # one event more: its slice is being resized
    assert controller.state.sequence == start + 4 + resized, "it was carried to its end"
    await controller.in_line()
    other = await controller.service.create_corridor(PARENT, "c2", corridor("ft-r:office", "yz-r:dc"))
    await controller.settled(other.name)
    assert controller.state.records[other.name].corridor.state is State.UP
