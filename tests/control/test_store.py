"""The store: nobody takes over what another has written, and what goes in comes out."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from databases import dump, execute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from controller.core.errors import Conflict
from controller.core.ids import IdKey, Ids
from controller.core.model import (
    Container,
    Corridor,
    EndPoint,
    EventType,
    Leg,
    PathConstraints,
    Slice,
    SliceHop,
    Stage,
)
from controller.core.otn import Claim, Ledger, Row, RowKey
from controller.core.plan import Plan
from controller.core.records import Placement, Record
from controller.store import Store, Wiring

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
FIBRE = RowKey("domains/d/links/F", "odu1-1", 0)
TRUNK = RowKey("domains/d/links/A", "", 1)
LEDGER = Ledger({FIBRE: Row(952), TRUNK: Row(1000)})
NOBODY = Record(Corridor(name="tenants/t/corridors/c"), None, None, Stage.SETTLED)


@pytest.fixture
def database(either_database: str) -> str:
    return either_database


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    opened = await Store.open(database)
    await opened.open_ledger(LEDGER)
    yield opened
    await opened.close()


@pytest.fixture
async def other(store: Store, database: str) -> AsyncIterator[Store]:
    """A second process, as far as the database can tell."""
    opened = await Store.open(database)
    yield opened
    await opened.close()


def claiming(before: Ledger, *claims: Claim, name: str = NOBODY.name, ids: Ids | None = None) -> Plan:
    record = Record(Corridor(name=name), None, None, Stage.SETTLED)
    return Plan(None, record, before.change(frozenset(), frozenset(claims)), ids or Ids())


async def test_the_second_of_two_plans_on_one_ledger_is_refused_whole(
    store: Store, other: Store, database: str
) -> None:
    first = claiming(LEDGER, Claim("a", FIBRE, bitmap=0b11), name="tenants/t/corridors/a")
    ids = Ids({IdKey("vrf", "", "t"): 1})
    late = claiming(LEDGER, Claim("b", TRUNK, kbps=1), Claim("b", FIBRE, bitmap=0b1100), ids=ids)
    await store.commit(first, LEDGER, Ids(), EventType.CREATED, NOW)
    stood = dump(database)
    with pytest.raises(Conflict) as refusal:
        await other.commit(late, LEDGER, Ids(), EventType.CREATED, NOW)
    assert refusal.value.reason == "CONCURRENT_CHANGE"
    assert dump(database) == stood
    again = claiming(first.ledger, Claim("b", FIBRE, bitmap=0b1100))
    await other.commit(again, first.ledger, Ids(), EventType.CREATED, NOW)


async def test_of_many_at_once_exactly_one_wins(store: Store, other: Store, database: str) -> None:
    plans = [claiming(LEDGER, Claim(f"c{n}", FIBRE, bitmap=1), name=f"tenants/t/corridors/c{n}") for n in range(8)]
    tries = [(store, other)[n % 2].commit(plan, LEDGER, Ids(), EventType.CREATED, NOW) for n, plan in enumerate(plans)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 7
    assert len(dump(database)["records"]) == len(dump(database)["events"]) == 1


async def test_writers_of_different_rows_do_not_meet(store: Store, other: Store) -> None:
    await store.commit(claiming(LEDGER, Claim("a", FIBRE, bitmap=1)), LEDGER, Ids(), EventType.CREATED, NOW)
    await other.commit(claiming(LEDGER, Claim("b", TRUNK, kbps=1)), LEDGER, Ids(), EventType.CREATED, NOW)


async def test_an_id_is_handed_out_once(store: Store, other: Store, database: str) -> None:
    mine, yours = ({IdKey("policy", "r1", owner): 7} for owner in ("a/6", "b/6"))
    await store.commit(claiming(LEDGER, ids=Ids(mine)), LEDGER, Ids(), EventType.CREATED, NOW)
    stood = dump(database)
    with pytest.raises(Conflict):
        await other.commit(
            claiming(LEDGER, Claim("b", FIBRE, bitmap=1), ids=Ids(yours)), LEDGER, Ids(), EventType.CREATED, NOW
        )
    assert dump(database) == stood
    elsewhere = Ids({IdKey("policy", "r2", "b/6"): 7})
    await other.commit(claiming(LEDGER, ids=elsewhere), LEDGER, Ids(), EventType.CREATED, NOW)


async def test_the_database_itself_refuses_a_second_owner(store: Store, database: str) -> None:
    await store.put_ids(Ids(), Ids({IdKey("slice", "", "a"): 1}))
    with pytest.raises(IntegrityError):
        execute(database, "INSERT INTO ids VALUES ('slice', '', 'b', 1)")


async def test_ids_and_their_rest_survive(store: Store) -> None:
    key, kept = IdKey("slice", "", "a"), IdKey("vrf", "", "t")
    ids = Ids({key: 1, kept: 2})
    await store.put_ids(Ids(), ids)
    freed = ids.free(frozenset({key}), NOW)
    await store.put_ids(ids, freed)
    assert (await store.load()).ids == freed


async def test_every_start_has_an_epoch_of_its_own(store: Store, other: Store) -> None:
    assert await store.raise_epoch() == 1
    together = await asyncio.gather(*(each.raise_epoch() for each in (store, other) * 5))
    assert sorted(together) == list(range(2, 12))


async def test_ledger_versions_are_what_was_written_last(store: Store) -> None:
    plan = claiming(LEDGER, Claim("a", FIBRE, bitmap=1 << 951))
    await store.commit(plan, LEDGER, Ids(), EventType.CREATED, NOW)
    versions = (await store.load()).ledger_versions
    assert {key for key, version in versions.items() if version} == {FIBRE}
    assert versions[FIBRE] == 1


async def test_wiring_is_what_was_seen_last(store: Store) -> None:
    await store.put_wiring("F", Wiring(2, 3))
    await store.put_wiring("F", Wiring(4, 3, down=True))
    assert (await store.load()).wiring == {"F": Wiring(4, 3, down=True)}


async def test_events_are_numbered_without_gap_and_read_in_portions(store: Store) -> None:
    assert await store.newest_sequence() == 0
    written = [
        await store.commit(claiming(LEDGER, name=f"tenants/t/corridors/c{n}"), LEDGER, Ids(), kind, NOW)
        for n, kind in enumerate((EventType.CREATED, EventType.UPDATED, EventType.DELETED))
    ]
    assert [event.sequence for event in written] == [1, 2, 3]
    assert await store.events(0) == tuple(written)
    assert await store.events(1, limit=1) == (written[1],)
    assert await store.events(3) == ()
    assert await store.newest_sequence() == 3


async def test_what_an_older_controller_stored_is_read_with_defaults(store: Store, database: str) -> None:
    record = (Path(__file__).parent / "record_without_path_constraints.json").read_text()
    stored = json.loads(record)
    name = "tenants/acme/corridors/c1"
    execute(database, "INSERT INTO records VALUES (:name, :body)", {"name": name, "body": record})
    event = {"body": json.dumps(stored["corridor"]), "at": datetime(2026, 1, 1)}
    execute(database, "INSERT INTO events VALUES (1, 'CREATED', :body, :at)", event)
    (found,) = (await store.load()).records.values()
    (told,) = await store.events(0)
    assert "path_constraints" not in stored["corridor"]
    assert told.corridor == found.corridor
    assert (found.corridor.path_constraints, found.corridor.mtu_bytes) == (PathConstraints(), 1500)
    assert found.target is not None
    assert [*found.target.leg.links] == stored["target"]["leg"]["links"]


async def test_a_deleted_record_is_gone_and_its_event_stays(store: Store) -> None:
    await store.commit(claiming(LEDGER), LEDGER, Ids(), EventType.CREATED, NOW)
    await store.commit(claiming(LEDGER), LEDGER, Ids(), EventType.DELETED, NOW)
    assert not (await store.load()).records
    assert len(await store.events(0)) == 2


_utc = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))
st.register_type_strategy(datetime, _utc)
_slots = st.sampled_from(["", "1", "1-9", "3,7-12", "119-952"])
st.register_type_strategy(SliceHop, st.builds(SliceHop, st.sampled_from("FG"), st.just("odu"), _slots))
st.register_type_strategy(Placement, st.builds(Placement).map(lambda placement: _directed(placement)))
_records = st.builds(Record, corridor=st.from_type(Corridor).filter(lambda c: bool(c.name)))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(record=_records)
def test_a_record_comes_out_as_it_went_in(record: Record) -> None:
    async def there_and_back() -> None:
        async with _temporary() as store:
            plan = Plan(None, record, Ledger(), Ids())
            event = await store.commit(plan, Ledger(), Ids(), EventType.CREATED, NOW)
            assert (await store.load()).records == {record.name: record}
            assert await store.events(0) == (event,)

    asyncio.run(there_and_back())


def _directed(placement: Placement) -> Placement:
    """A direction to every link."""
    backup = placement.leg.backup.links if placement.leg.backup else ()
    return replace(placement, directions=(0,) * len(placement.leg.links), backup_directions=(1,) * len(backup))


@asynccontextmanager
async def _temporary() -> AsyncIterator[Store]:
    for folder in _folder():
        store = await Store.open(f"sqlite:///{folder / 'x.db'}")
        try:
            yield store
        finally:
            await store.close()


def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


async def test_who_was_followed_by_another_start_writes_nothing_more(store: Store, other: Store, database: str) -> None:
    """Not even what claims nothing: a condition of a corridor, that the other one may have taken away meanwhile."""
    await store.raise_epoch()
    await store.commit(claiming(LEDGER), LEDGER, Ids(), EventType.CREATED, NOW)
    await other.raise_epoch()
    await other.commit(claiming(LEDGER), LEDGER, Ids(), EventType.DELETED, NOW)
    stood = dump(database)
    with pytest.raises(Conflict) as refusal:
        await store.commit(claiming(LEDGER), LEDGER, Ids(), EventType.UPDATED, NOW)
    assert refusal.value.reason == "FENCED"
    assert dump(database) == stood
    assert not stood["records"]


def holding(name: str, *hops: SliceHop) -> Record:
    """A corridor on slots, as planning leaves it."""
    part = Slice(1, Container.ODUFLEX, 1, 1, hops)
    place = EndPoint("domains/d/nodes/r", "p")
    placement = Placement(place, place, 1, 1500, 1, 1, 1, 1, Leg("d", 1, slices=(part,)))
    return Record(Corridor(name=name), None, placement, Stage.BUILD)


@pytest.mark.parametrize(("slots", "free"), [("20", False), ("8-10", False), ("10-19", True), ("1-30", False)])
async def test_a_slot_is_refused_to_a_second_corridor_even_if_no_ledger_row_tells(
    store: Store, database: str, slots: str, free: bool
) -> None:
    """As after a fault in planning: the rows say nothing, and the versions fit."""
    planned = holding(NOBODY.name, SliceHop(FIBRE.link, FIBRE.server, "1-9,20"), SliceHop("G", "odu1-1", "5-14"))
    late = holding("tenants/t/corridors/z", SliceHop(FIBRE.link, FIBRE.server, slots))
    await store.commit(Plan(None, planned, LEDGER, Ids()), LEDGER, Ids(), EventType.CREATED, NOW)
    plan, stood = Plan(None, late, LEDGER, Ids()), dump(database)
    if free:
        await store.commit(plan, LEDGER, Ids(), EventType.CREATED, NOW)
        return
    with pytest.raises(Conflict) as refusal:
        await store.commit(plan, LEDGER, Ids(), EventType.CREATED, NOW)
    assert refusal.value.reason == "CONCURRENT_CHANGE"
    assert dump(database) == stood
    gone = replace(planned, target=None)
    await store.commit(Plan(planned, gone, LEDGER, Ids()), LEDGER, Ids(), EventType.UPDATED, NOW)
    await store.commit(plan, LEDGER, Ids(), EventType.CREATED, NOW)
    await store.open_ledger(LEDGER)
    assert {(row[0], row[5]) for row in dump(database)["claims"]} == {(FIBRE.link, late.name)}
