"""The database goes away, at the worst of moments: what was told is stored, what is stored once was told once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from traceback import format_exception

import pytest
from cut_line import Line, line_to
from databases import dump
from postgres import Postgres
from waiting import until

from controller.core.errors import Conflict, DatabaseUnavailable, Invalid
from controller.core.ids import Ids
from controller.core.model import Corridor, CorridorEvent, EventType, Stage
from controller.core.otn import Ledger
from controller.core.plan import Plan
from controller.core.records import Record
from controller.store import Store
from controller.store.connecting import engine_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AT_COMMIT = b"COMMIT;"


async def create(store: Store, name: str) -> CorridorEvent:
    record = Record(Corridor(name=name), None, None, Stage.SETTLED)
    return await store.commit(Plan(None, record, Ledger(), Ids()), Ledger(), Ids(), EventType.CREATED, NOW)


def stored(database: str) -> tuple[list[str], list[int]]:
    """Names of records, and sequence numbers."""
    found = dump(database)
    return [row[0] for row in found["records"]], [row[0] for row in found["events"]]


@pytest.fixture
async def line(postgres: Postgres) -> AsyncIterator[Line]:
    async with line_to(postgres.port) as opened:
        yield opened


@pytest.fixture
def database(postgres: Postgres) -> str:
    return postgres.create()


def through(line: Line, database: str) -> str:
    return f"postgresql://corridor@127.0.0.1:{line.port}/{database.rpartition('/')[2]}"


@pytest.mark.parametrize("delivers", [True, False])
async def test_a_commit_whose_answer_is_lost_is_looked_up(line: Line, database: str, delivers: bool) -> None:
    """Where it took place it is not made again; where it did not, it is."""
    store = await Store.open(through(line, database))
    await store.raise_epoch()
    await create(store, "before")
    line.word, line.delivers = AT_COMMIT, delivers
    event = await create(store, "cut")
    assert line.cuts == 1
    assert event.sequence == 2
    assert stored(database) == (["before", "cut"], [1, 2])
    assert (await create(store, "z")).sequence == 3
    await store.close()


@pytest.mark.parametrize("delivers", [True, False])
async def test_who_cannot_look_it_up_says_so_and_goes_on_only_if_nothing_was_stored(
    line: Line, database: str, delivers: bool
) -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context.get("exception")))
    store = await Store.open(through(line, database), patience_s=0.2)
    await store.raise_epoch()
    line.word, line.delivers, line.stays_down = AT_COMMIT, delivers, True
    with pytest.raises(DatabaseUnavailable) as unknown:
        await create(store, "cut")
    assert unknown.value.reason == "OUTCOME_UNKNOWN"
    with pytest.raises(DatabaseUnavailable):
        await create(store, "while it is away")
    line.down = False
    if delivers:
        with pytest.raises(RuntimeError, match="a new start finds it") as loud:
            await create(store, "on top of what is not known")
        assert loud.value in faults
        assert stored(database) == (["cut"], [1])
    else:
        assert (await create(store, "after")).sequence == 1
        assert stored(database) == (["after"], [1])
    await store.close()


async def test_a_doubt_ends_where_another_has_taken_over(line: Line, database: str) -> None:
    store, other = await Store.open(through(line, database), patience_s=0.2), await Store.open(database)
    await store.raise_epoch()
    line.word, line.delivers, line.stays_down = AT_COMMIT, True, True
    with pytest.raises(DatabaseUnavailable):
        await create(store, "cut")
    await other.raise_epoch()
    await create(other, "theirs")
    line.down = False
    with pytest.raises(Conflict) as refusal:
        await create(store, "late")
    assert refusal.value.reason == "FENCED"
    assert stored(database)[0] == ["cut", "theirs"]
    await store.close()
    await other.close()


@pytest.mark.parametrize("immediate", [True, False])
async def test_a_restart_under_load_costs_time_and_nothing_else(
    postgres: Postgres, database: str, immediate: bool
) -> None:
    store = await Store.open(database)
    told: dict[int, str] = {}
    over = asyncio.Event()

    async def write(writer: str) -> None:
        count = 0
        while not over.is_set():
            event = await create(store, f"{writer}{count}")
            assert event.sequence not in told
            told[event.sequence] = event.corridor.name
            count += 1

    async def restart() -> None:
        for _ in range(3):
            enough = len(told) + 10
            await until(lambda wanted=enough: len(told) >= wanted, "some were told")
            await asyncio.to_thread(postgres.restart, immediate)
        over.set()

    await asyncio.gather(restart(), *map(write, "abc"))
    await store.close()
    names, sequences = stored(database)
    assert sequences == list(range(1, len(told) + 1))
    assert sorted(told.values()) == names
    assert sorted(told) == sequences


async def test_who_opens_it_while_it_is_away_waits_and_says_so(
    postgres: Postgres, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    postgres.stop()
    try:
        with pytest.raises(DatabaseUnavailable):
            await Store.open(database, patience_s=0.1)
        opening = asyncio.ensure_future(Store.open(database, patience_s=0.1, endless=True))
        await until(lambda: "waiting for the database" in caplog.text, "it says so")
        assert not opening.done()
    finally:
        await asyncio.to_thread(postgres.start)
    store = await asyncio.wait_for(opening, 60)
    await store.close()


async def test_readers_wait_for_a_restart_too(postgres: Postgres, database: str) -> None:
    store = await Store.open(database, patience_s=60)
    await create(store, "c")
    postgres.stop()
    waits = [asyncio.ensure_future(each) for each in (store.load(), store.events(0), store.newest_sequence())]
    await asyncio.sleep(0)
    await asyncio.to_thread(postgres.start)
    loaded, events, newest = await asyncio.gather(*waits)
    assert ([*loaded.records], len(events), newest) == (["c"], 1, 1)
    await store.close()


async def test_who_waits_in_vain_is_refused_with_what_to_do(postgres: Postgres, database: str) -> None:
    store = await Store.open(database, patience_s=0.1)
    postgres.stop()
    for call in create(store, "c"), store.load(), store.lease(), store.renew_lease("a", 1, 1.0), store.raise_epoch():
        with pytest.raises(DatabaseUnavailable) as refusal:
            await call
        assert refusal.value.reason == "DATABASE_UNAVAILABLE"
    await asyncio.to_thread(postgres.start)
    assert (await create(store, "c")).sequence == 1
    await store.close()


async def test_a_server_that_only_reads_is_waited_for_and_not_clung_to(postgres: Postgres, database: str) -> None:
    """As after a failover: what was the primary answers on, and the name leads elsewhere."""
    name = database.rpartition("/")[2]
    store = await Store.open(database, patience_s=0.1)
    await create(store, "before")
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    for call in create(store, "c"), store.raise_epoch(), store.renew_lease("a", 1, 1.0):
        with pytest.raises(DatabaseUnavailable):
            await call
    postgres.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert (await create(store, "after")).sequence == 2
    await store.close()


SECRET = "sesame"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql//corridor:{SECRET}@host/db",
        f"postgresql:/corridor:{SECRET}@host/db",
        f"postgresql://corridor:{SECRET}@host:x/db",
        f"mysql://corridor:{SECRET}@host/db",
        f"{SECRET}://host/db",
    ],
)
def test_what_is_no_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        engine_of(url)
    assert SECRET not in "".join(format_exception(refusal.value))


MIDWAY = """
import asyncio, sys
from controller.store import Store, store as rooms
sys.path.insert(0, {folder!r})
from test_store_outages import create

async def stop(*_):
    print("midway", flush=True)
    await asyncio.sleep(600)

async def main(url):
    store = await Store.open(url)
    await store.raise_epoch()
    await create(store, "whole")
    rooms.events.append = stop
    await create(store, "half")

asyncio.run(main(sys.argv[1]))
"""


async def midway(database: str) -> asyncio.subprocess.Process:
    """A controller that has written the record, and not the event."""
    script = MIDWAY.format(folder=os.path.dirname(__file__))
    paths = os.pathsep.join(sys.path)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, database),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"midway\n"
    return child


async def test_who_is_killed_in_the_middle_of_a_commit_has_committed_nothing(either_database: str) -> None:
    child = await midway(either_database)
    child.send_signal(signal.SIGKILL)
    await child.wait()
    assert stored(either_database) == (["whole"], [1])
    store = await Store.open(either_database)
    assert await store.raise_epoch() == 2
    assert (await create(store, "next")).sequence == 2
    await store.close()


async def test_who_stops_in_the_middle_of_a_commit_does_not_hold_up_his_successor(database: str) -> None:
    """Paused, or cut off from the database: the server ends his transaction."""
    child = await midway(database)
    child.send_signal(signal.SIGSTOP)
    try:
        store = await Store.open(database)
        assert await asyncio.wait_for(store.acquire_lease("b", "g", "r", 60.0), 30)
        await create(store, "next")
        assert stored(database) == (["next", "whole"], [1, 2])
        await store.close()
    finally:
        child.kill()
        await child.wait()
