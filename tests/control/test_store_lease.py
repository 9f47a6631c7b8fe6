"""The lease: of any number of controllers one leads, and who no longer does writes nothing; the database keeps time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from databases import execute

from controller.core.errors import Conflict
from controller.core.ids import Ids
from controller.core.leadership import Lease
from controller.core.model import Corridor, EventType, Stage
from controller.core.otn import Ledger
from controller.core.plan import Plan
from controller.core.records import Record
from controller.store import Store, Wiring

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONG_S = 600.0


@pytest.fixture
async def stores(either_database: str) -> AsyncIterator[list[Store]]:
    opened = [await Store.open(either_database) for _ in range(3)]
    yield opened
    for each in opened:
        await each.close()


def end_lease(database: str) -> None:
    """As if its time had passed."""
    execute(database, "UPDATE lease SET ends = 0")


async def win(store: Store, holder: str, ttl_s: float = LONG_S) -> Lease | None:
    return await store.acquire_lease(holder, f"{holder}:50051", f"http://{holder}:8080", ttl_s)


async def create(store: Store, name: str) -> None:
    record = Record(Corridor(name=f"tenants/t/corridors/{name}"), None, None, Stage.SETTLED)
    await store.commit(Plan(None, record, Ledger(), Ids()), Ledger(), Ids(), EventType.CREATED, NOW)


async def test_who_comes_first_leads_until_he_lets_go(stores: list[Store]) -> None:
    a, b, c = stores
    assert await c.lease() is None
    won = await win(a, "a")
    assert won is not None
    assert (won.holder, won.epoch, won.grpc, won.rest) == ("a", 1, "a:50051", "http://a:8080")
    assert LONG_S - 60 < won.remaining_s <= LONG_S
    assert await win(b, "b") is None
    seen = await c.lease()
    assert seen is not None
    assert (seen.holder, seen.epoch) == ("a", 1)
    await b.release_lease("b", 1)
    await b.release_lease("a", 7)
    assert await win(b, "b") is None
    await a.release_lease("a", 1)
    late = await win(b, "b")
    assert late is not None
    assert late.epoch == 2


async def test_one_that_has_ended_is_won_by_another_and_not_renewed(stores: list[Store], either_database: str) -> None:
    a, b, _ = stores
    await win(a, "a")
    assert await a.renew_lease("a", 1, LONG_S)
    assert not await b.renew_lease("b", 1, LONG_S)
    assert not await a.renew_lease("a", 2, LONG_S)
    end_lease(either_database)
    ended = await a.lease()
    assert ended is not None
    assert ended.remaining_s < 0
    assert not await a.renew_lease("a", 1, LONG_S)
    taken = await win(b, "b")
    assert taken is not None
    assert taken.epoch == 2
    assert not await a.renew_lease("a", 1, LONG_S)


async def test_it_ends_by_itself(stores: list[Store]) -> None:
    a, b, _ = stores
    await win(a, "a", 0.2)
    start = asyncio.get_running_loop().time()
    while (won := await win(b, "b")) is None:
        assert asyncio.get_running_loop().time() < start + 30
    assert won.epoch == 2


async def test_the_same_one_started_anew_leads_at_once_with_an_epoch_of_its_own(stores: list[Store]) -> None:
    before, after, _ = stores
    await win(before, "a")
    again = await win(after, "a")
    assert again is not None
    assert again.epoch == 2
    with pytest.raises(Conflict) as refusal:
        await create(before, "late")
    assert refusal.value.reason == "FENCED"


async def test_who_led_writes_nothing_more(stores: list[Store], either_database: str) -> None:
    a, b, _ = stores
    await win(a, "a")
    await create(a, "c1")
    end_lease(either_database)
    await create(a, "c2")  # nobody has taken over: nobody is harmed
    await win(b, "b")
    for late in create(a, "c3"), a.put_wiring("F", Wiring(1, 2)), a.put_drained("F", True):
        with pytest.raises(Conflict) as refusal:
            await late
        assert refusal.value.reason == "FENCED"
    stored = await b.load()
    assert {name[-2:] for name in stored.records} == {"c1", "c2"}
    assert (stored.wiring, stored.drained) == ({}, frozenset())


@pytest.mark.parametrize("round_", range(3))
async def test_of_many_who_want_it_at_once_exactly_one_has_it(either_database: str, round_: int) -> None:
    stores = [await Store.open(either_database) for _ in range(8)]
    for epoch in (1, 2):
        results = await asyncio.gather(*(win(each, f"c{n}") for n, each in enumerate(stores)))
        (won,) = [each for each in results if each is not None]
        assert won.epoch == epoch
        held = await stores[0].lease()
        assert held is not None
        assert held.holder == won.holder
        end_lease(either_database)
    for each in stores:
        await each.close()


CONTENDER = """
import asyncio, sys
from controller.store import Store

async def main(url, holder):
    store = await Store.open(url)
    print("ready", flush=True)
    sys.stdin.readline()
    print((await store.acquire_lease(holder, "g", "r", 600.0)) is not None, flush=True)
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_of_processes_that_find_an_empty_database_one_leads(either_database: str) -> None:
    """All of them migrate it, too."""
    pipe = asyncio.subprocess.PIPE
    command = sys.executable, "-c", CONTENDER, either_database
    contenders = [await asyncio.create_subprocess_exec(*command, f"c{n}", stdin=pipe, stdout=pipe) for n in range(3)]
    for each in contenders:
        assert each.stdout is not None
        assert await each.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(each.communicate(b"go\n") for each in contenders))
    assert sorted(out for out, _ in answers) == [b"False\n", b"False\n", b"True\n"]


async def test_followers_hear_of_every_commit(stores: list[Store]) -> None:
    leader, follower, _ = stores
    told = follower.changes()
    heard = [await anext(told)]
    newest = heard[0] + 5

    async def listen() -> None:
        while heard[-1] < newest:
            heard.append(await anext(told))

    await asyncio.wait_for(asyncio.gather(listen(), *(create(leader, f"c{n}") for n in range(5))), 30)
    assert heard == sorted(set(heard))
    assert heard[-1] == newest
