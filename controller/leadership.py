"""Who leads: one controller holds the lease in the database, the others stand by.

The lease ends by the database's clock, so its holder counts from before it asked, by a clock that goes on while a
process is stopped, and gives up a margin earlier: it has stopped before anybody else can begin.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from controller.core.errors import NotLeader, Refused, Unavailable
from controller.core.leadership import Controller, Lease, Role

log = logging.getLogger(__name__)

TTL_S = 2.0
RENEWALS = 5
"""In the life of a lease."""
MARGIN = 0.2
"""Share of a lease that its holder leaves unused: for a clock that is slow, and for what it is just sending."""
FIRST_PAUSE_S = 0.02
"""Before a database is asked once more that did not answer, or a lease that is about to end."""
LONGEST_PAUSE_S = 0.5
"""Between two looks of a follower at a lease that may be released any time."""
RETRY_AFTER_S = 1
"""What a caller is told to wait while nobody leads."""


class LeaseStore(Protocol):
    """What the database does of it. Each raises `Unavailable` or OSError where the database does not answer."""

    async def acquire_lease(self, holder: str, grpc: str, rest: str, ttl_s: float) -> Lease | None:
        """Win it where it is free or has ended; None where another holds it."""
        ...

    async def renew_lease(self, holder: str, epoch: int, ttl_s: float) -> bool: ...

    async def release_lease(self, holder: str, epoch: int) -> None: ...

    async def lease(self) -> Lease | None: ...


class LeadLost(Exception):
    """This controller must not write any more, neither to the store nor to a device."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A controller that would lead, and where callers reach it."""

    id: str
    grpc: str
    """`host:port`"""
    rest: str
    """URL"""


def steady() -> float:
    """Seconds by a clock that counts what the machine slept through, unlike the event loop's."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Election:
    """One candidate's part in it: `win`, then `hold` until it raises, or `resign`."""

    def __init__(
        self,
        store: LeaseStore,
        candidate: Candidate,
        ttl_s: float = TTL_S,
        *,
        strict: bool = True,
        when_safe: Callable[[float], None] = lambda _seconds: None,
        clock: Callable[[], float] = steady,
    ) -> None:
        """`strict`: lead no longer than the lease is known to last; else, on a database of one machine, until somebody
        else has it. `when_safe` is told, at each renewal, for how many seconds this controller may write at most."""
        self._store = store
        self._candidate = candidate
        self._ttl_s = ttl_s
        self._strict = strict
        self._when_safe = when_safe
        self._clock = clock
        self._seen: Lease | None = None
        self._seen_at = 0.0
        self._end = 0.0
        """By our clock, with the margin."""
        self._leads = False

    @property
    def leads(self) -> bool:
        """Whether this controller may write now."""
        return self._leads and (not self._strict or self._clock() < self._end)

    def standing(self) -> Controller:
        """Who leads, as far as this controller knows."""
        role = Role.LEADER if self.leads else Role.FOLLOWER
        lease, left = self._seen, self._left()
        if lease is None or left <= 0:
            return Controller(self._candidate.id, role, lease.epoch if lease else 0)
        end = datetime.now(UTC) + timedelta(seconds=left)
        return Controller(self._candidate.id, role, lease.epoch, lease.grpc, lease.rest, end)

    def refusal(self) -> Refused:
        """What a caller hears who wants from this controller what only the leader does."""
        told = self.standing()
        elsewhere = self._seen is not None and self._seen.holder != self._candidate.id
        if not elsewhere or not told.leader_grpc or told.leader_grpc == self._candidate.grpc:
            why = f"no controller leads now; try again in {RETRY_AFTER_S} s"
            return Unavailable(why, reason="NO_LEADER", metadata={"retryAfterS": str(RETRY_AFTER_S)})
        figures = {"leaderGrpc": told.leader_grpc, "leaderRest": told.leader_rest}
        return NotLeader(f"the controller at {told.leader_grpc} leads, not this one", metadata=figures)

    async def try_to_win(self) -> int:
        """The epoch where this controller leads now, else 0."""
        try:
            if await self._look() > 0 or not await self._acquire():
                return 0
        except (Unavailable, OSError, TimeoutError) as silent:
            log.warning("the database does not say who leads: %s", silent or "no answer")
            return 0
        assert self._seen is not None
        return self._seen.epoch

    async def win(self) -> int:
        """Returns the epoch once this controller leads, however long that takes."""
        while not (epoch := await self.try_to_win()):  # noqa: ASYNC110 - the lease of one that died ends unsaid
            await asyncio.sleep(self._until_next_try())
        return epoch

    async def hold(self) -> None:
        """Renew the lease again and again; raises `LeadLost` a margin before it can end."""
        pause = self._ttl_s / RENEWALS
        while True:
            await asyncio.sleep(min(pause, max(0.0, self._end - self._clock())) if self._strict else pause)
            try:
                await self._renew()
            except (Unavailable, OSError, TimeoutError) as silent:
                log.warning("the lease is not renewed: %s", silent or "no answer from the database")
                if self._strict and self._clock() >= self._end:
                    self._leads = False
                    raise LeadLost("the database did not renew the lease in time") from silent
                pause = min(2 * FIRST_PAUSE_S, pause)
                continue
            pause = self._ttl_s / RENEWALS

    async def resign(self) -> None:
        """Whoever stands by may begin at once; for when nothing is written any more."""
        if not self._leads or self._seen is None:
            return
        self._leads = False
        try:
            async with asyncio.timeout(self._ttl_s):
                await self._store.release_lease(self._candidate.id, self._seen.epoch)
        except (Unavailable, OSError, TimeoutError) as silent:
            log.warning("the lease is not released and will end by itself: %s", silent)

    async def _look(self) -> float:
        """Seconds that the present lease lasts, not positive where there is none."""
        asked = self._clock()
        async with asyncio.timeout(max(self._ttl_s, 1.0)):
            self._seen = await self._store.lease()
        self._seen_at = asked
        return self._left()

    async def _acquire(self) -> bool:
        asked, me = self._clock(), self._candidate
        won = await self._store.acquire_lease(me.id, me.grpc, me.rest, self._ttl_s)
        if won is None:
            return False
        self._seen, self._seen_at, self._leads = won, asked, True
        if not self._extend(asked):
            log.warning("the database took too long to give the lease: it is given back")
            await self.resign()
        return self._leads

    async def _renew(self) -> None:
        asked = self._clock()
        assert self._seen is not None
        renewing = asyncio.ensure_future(self._store.renew_lease(self._candidate.id, self._seen.epoch, self._ttl_s))
        try:
            await asyncio.wait({renewing}, timeout=max(0.0, self._end - asked) if self._strict else None)
        finally:
            renewing.cancel()  # which is not waited for: giving a database up may take longer than there is time
        if not renewing.done():
            raise TimeoutError
        took = self._clock() - asked
        if took > self._ttl_s / RENEWALS:
            log.warning("the database took %.2f s to renew the lease", took)
        if not renewing.result():
            self._leads = False
            raise LeadLost("another controller leads")
        self._seen_at = asked
        if not self._extend(asked):
            self._leads = False
            raise LeadLost("the answer of the database came too late")

    def _extend(self, asked: float) -> bool:
        """Whether it leads on: not where the answer came too late, and then nobody is told how long it may write."""
        self._end = asked + self._ttl_s * (1 - MARGIN)
        if not self.leads:
            return False
        if self._strict:
            self._when_safe(asked + self._ttl_s * (1 - MARGIN / 2) - self._clock())
        return True

    def _left(self) -> float:
        if self._seen is None:
            return 0.0
        lasts = self._ttl_s if self._leads else self._seen.remaining_s
        return lasts - (self._clock() - self._seen_at)

    def _until_next_try(self) -> float:
        """Often enough to hear of a release, and at the end of the lease; not all at once."""
        pause = min(self._ttl_s / RENEWALS, LONGEST_PAUSE_S)
        return random.uniform(1.0, 1.2) * min(pause, max(FIRST_PAUSE_S, self._left()))
