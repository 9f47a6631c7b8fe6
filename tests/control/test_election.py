"""Of several candidates one leads, whatever the database does; the oracle is who says at which moment that he leads."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from waiting import until

from controller.core.errors import NotLeader, Unavailable
from controller.core.leadership import Lease, Role
from controller.leadership import Candidate, Election, LeadLost

TTL_S = 0.4
MOST_S = 20.0
LEAST_S = 4.0
"""Of trouble, also where the lead changes fast."""
CHANGES = 3
MANY_MOST_S = 60.0


@dataclass
class Leases:
    """One row in memory with a clock of its own; answers may come late, or not at all."""

    lease_now: Lease | None = None
    ends: float = 0.0
    epoch: int = 0
    won: list[tuple[int, str]] = field(default_factory=list)

    def remaining(self) -> float:
        return self.ends - time.monotonic()

    def present(self) -> Lease | None:
        return replace(self.lease_now, remaining_s=self.remaining()) if self.lease_now else None

    def acquire(self, holder: str, grpc: str, rest: str, ttl_s: float) -> Lease | None:
        if self.lease_now is not None and self.remaining() > 0 and self.lease_now.holder != holder:
            return None
        self.epoch += 1
        self.won.append((self.epoch, holder))
        self.lease_now, self.ends = Lease(holder, self.epoch, grpc, rest, ttl_s), time.monotonic() + ttl_s
        return self.present()

    def renew(self, holder: str, epoch: int, ttl_s: float) -> bool:
        mine = self.lease_now is not None and (self.lease_now.holder, self.lease_now.epoch) == (holder, epoch)
        if not mine or self.remaining() <= 0:
            return False
        self.ends = time.monotonic() + ttl_s
        return True


@dataclass
class Connection:
    """One candidate's way to it: `delay_s` before and after the database acts, nothing at all while `cut`."""

    leases: Leases
    delay_s: float = 0.0
    cut: bool = False
    refuses: bool = False

    async def acquire_lease(self, holder: str, grpc: str, rest: str, ttl_s: float) -> Lease | None:
        await self._travel()
        won = self.leases.acquire(holder, grpc, rest, ttl_s)
        await self._travel()
        return won

    async def renew_lease(self, holder: str, epoch: int, ttl_s: float) -> bool:
        await self._travel()
        kept = self.leases.renew(holder, epoch, ttl_s)
        await self._travel()
        return kept

    async def release_lease(self, holder: str, epoch: int) -> None:
        await self._travel()
        if self.leases.lease_now is not None and self.leases.lease_now.epoch == epoch:
            self.leases.lease_now = None

    async def lease(self) -> Lease | None:
        await self._travel()
        found = self.leases.present()
        await self._travel()
        return found

    async def _travel(self) -> None:
        if self.refuses:
            raise Unavailable("the database does not answer")
        await asyncio.sleep(self.delay_s)
        while self.cut:  # noqa: ASYNC110 - a test cuts and mends
            await asyncio.sleep(0.005)


def candidate(number: int) -> Candidate:
    return Candidate(f"c{number}", f"10.0.0.{number}:50051", f"http://10.0.0.{number}:8080")


class Contender:
    """A candidate that is started again whenever it has lost the lead."""

    def __init__(self, number: int, leases: Leases) -> None:
        self.number, self.connection, self.lost = number, Connection(leases), 0
        self.left_s: list[float] = []
        """Of its lease, whenever it gave up."""
        self.election = self._new()
        self.task = asyncio.create_task(self._run())

    def _new(self) -> Election:
        return Election(self.connection, candidate(self.number), TTL_S)

    async def _run(self) -> None:
        while True:
            await self.election.win()
            try:
                await self.election.hold()
            except LeadLost:
                self.left_s.append(self.connection.leases.remaining())
            self.lost += 1
            self.election = self._new()


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
async def three(leases: Leases) -> Iterator[list[Contender]]:  # type: ignore[misc]
    made = [Contender(number, leases) for number in range(3)]
    yield made
    for each in made:
        each.task.cancel()
    await asyncio.gather(*(each.task for each in made), return_exceptions=True)


def leading(contenders: list[Contender]) -> list[int]:
    return [each.number for each in contenders if each.election.leads]


@pytest.mark.parametrize("seed", range(3))
async def test_never_two_lead_and_always_one_comes_back(three: list[Contender], leases: Leases, seed: int) -> None:
    """Connections are cut, slowed and refused at random; meanwhile everybody is asked all the time.

    Until the lead was won often enough, however long that takes a slow machine.
    """
    dice, now = random.Random(seed), time.monotonic()
    least, most = now + LEAST_S, now + MANY_MOST_S
    while time.monotonic() < least or len(leases.won) <= CHANGES:
        assert time.monotonic() < most, f"won {len(leases.won)} times: the lead has changed hands"
        victim = dice.choice(three).connection
        victim.cut, victim.refuses = dice.random() < 0.3, dice.random() < 0.2
        victim.delay_s = dice.choice((0.0, 0.0, 0.01, TTL_S / 4, TTL_S))
        pause = time.monotonic() + dice.uniform(0.0, TTL_S / 2)
        while time.monotonic() < pause:
            assert len(leading(three)) <= 1
            await asyncio.sleep(0.001)
    for each in three:
        each.connection.cut = each.connection.refuses = False
        each.connection.delay_s = 0.0
    await until(lambda: len(leading(three)) == 1, "somebody leads", MOST_S)
    epochs = [epoch for epoch, _ in leases.won]
    assert epochs == sorted(set(epochs))


async def test_a_leader_that_hears_nothing_stops_before_another_begins(three: list[Contender], leases: Leases) -> None:
    await until(lambda: leading(three), "somebody leads", MOST_S)
    (first,) = leading(three)
    three[first].connection.cut = True
    await until(lambda: three[first].lost, "it notices", MOST_S)
    assert three[first].left_s[0] > 0, "its lease has not ended when it stops"
    await until(lambda: set(leading(three)) - {first}, "another leads", MOST_S)


async def test_a_planned_hand_over_waits_for_no_lease(leases: Leases) -> None:
    slow = 30.0
    first, second = (Election(Connection(leases), candidate(number), slow) for number in (1, 2))
    assert await first.win() == 1
    winning = asyncio.create_task(second.win())
    await until(lambda: second.standing().leader_grpc == "10.0.0.1:50051", "the second knows who leads", MOST_S)
    await first.resign()
    assert not first.leads
    async with asyncio.timeout(slow / 2):
        assert await winning == 2


async def test_a_lease_that_was_taken_away_is_lost_at_once(leases: Leases) -> None:
    election = Election(Connection(leases), candidate(1), TTL_S)
    await election.win()
    leases.ends = 0.0
    leases.acquire("c2", "", "", TTL_S)
    with pytest.raises(LeadLost, match="another controller leads"):
        await election.hold()
    assert not election.leads


async def test_what_a_follower_tells(leases: Leases) -> None:
    leader, follower = (Election(Connection(leases), candidate(number), TTL_S) for number in (1, 2))
    assert follower.refusal().reason == "NO_LEADER"
    assert follower.refusal().metadata == {"retryAfterS": "1"}
    await leader.win()
    assert await follower.try_to_win() == 0
    refusal = follower.refusal()
    assert isinstance(refusal, NotLeader)
    assert refusal.metadata == {"leaderGrpc": "10.0.0.1:50051", "leaderRest": "http://10.0.0.1:8080"}
    told, known = leader.standing(), follower.standing()
    assert (told.id, told.role, told.epoch) == ("c1", Role.LEADER, 1)
    assert (known.id, known.role, known.epoch, known.leader_grpc) == ("c2", Role.FOLLOWER, 1, "10.0.0.1:50051")
    await until(lambda: not follower.standing().leader_grpc, "the lease ends", MOST_S)
    assert follower.refusal().reason == "NO_LEADER"


async def test_its_own_last_lease_is_no_address_to_send_callers_to(leases: Leases) -> None:
    """A controller that was killed and started again at the same address does not lead because its lease lasts."""
    await Election(Connection(leases), candidate(1), 60.0).win()
    again = Election(Connection(leases), replace(candidate(1), id="c1-again"), 60.0)
    assert await again.try_to_win() == 0
    assert again.refusal().reason == "NO_LEADER"


async def test_how_long_it_may_write_is_told_at_each_renewal(leases: Leases) -> None:
    """Less than the lease lasts, counted from before the database was asked."""
    connection, told = Connection(leases, delay_s=0.05), list[tuple[float, float]]()
    election = Election(
        connection, candidate(1), 2.0, when_safe=lambda s: told.append((time.monotonic() + s, leases.ends))
    )
    await election.win()
    holding = asyncio.create_task(election.hold())
    await until(lambda: len(told) > 3, "renewals", MOST_S)
    holding.cancel()
    assert all(until_when < ends for until_when, ends in told)


class Slow(Connection):
    """The database takes longer to act than a lease lasts, counted from when it was asked."""

    async def acquire_lease(self, holder: str, grpc: str, rest: str, ttl_s: float) -> Lease | None:
        await asyncio.sleep(ttl_s)
        return self.leases.acquire(holder, grpc, rest, ttl_s)


async def test_an_answer_that_comes_too_late_makes_no_leader(leases: Leases) -> None:
    """No timer ends who never led, and the lease that nobody uses is free at once."""
    told: list[float] = []
    election = Election(Slow(leases), candidate(1), TTL_S, when_safe=told.append)
    assert await election.try_to_win() == 0
    assert leases.won == [(1, "c1")]
    assert (told, election.leads, leases.lease_now) == ([], False, None)
