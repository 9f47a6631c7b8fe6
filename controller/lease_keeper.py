"""An election in a thread and with a connection of its own: a leader that is busy planning still renews its lease.

Whoever may not write any more ends its process, as controllers of Kubernetes do: no device may hear another word, not
even from a call that is under way, and BMv2 does not tell an old controller from a new one. The supervisor starts it
again, as a follower.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

from sqlalchemy.engine import make_url

from controller.core.errors import Invalid
from controller.core.leadership import Lease
from controller.leadership import Candidate, Election, LeadLost, LeaseStore
from controller.store import Store

T = TypeVar("T")

LEAD_LOST = 75
"""Exit status of a controller that has lost the lead (sysexits.h EX_TEMPFAIL: start it again). One that was stopped
for longer than its lease dies of SIGALRM instead."""
BEAT_S = 0.5
STUCK_S = 10.0
"""An event loop that does nothing for so long is not busy any more."""
FILE_LEASE_S = 60.0
"""On SQLite the lock of a file says who leads; the row only tells it."""

log = logging.getLogger(__name__)


def lead_lost(why: object) -> NoReturn:
    """End this process now: nothing is closed, nothing is sent."""
    log.critical("%s: this process ends and is to be started again", why)
    logging.shutdown()
    os._exit(LEAD_LOST)


def die_after(seconds: float) -> None:
    """The kernel ends this process then, also one that is stopped: it wakes to nothing. 0: never."""
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6) if seconds else 0.0)


class LeaseKeeper:
    """One candidate on a database. Its methods are for the event loop that it was started in.

    `Invalid` where the database is in memory."""

    def __init__(self, database: str, candidate: Candidate, ttl_s: float) -> None:
        self._database = database
        self._shared = not database.startswith("sqlite")
        self._lock = None if self._shared else lock_of(database)
        self._candidate = candidate
        self._ttl_s = ttl_s if self._shared else FILE_LEASE_S
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lease", daemon=True)
        self._beats = 0
        self._beating: asyncio.Task[None] | None = None
        self._holding: asyncio.Task[None] | None = None
        self._store: Store
        self.election: Election

    async def start(self) -> None:
        self._thread.start()
        self._beating = asyncio.create_task(self._live(), name="lease: live")
        await self._there(self._open())

    async def try_to_win(self) -> int:
        """The epoch where this controller leads now, and from then on the lease is renewed; else 0."""
        return await self._there(self._begun(self.election.try_to_win()))

    async def win(self) -> int:
        """The same, however long that takes."""
        return await self._there(self._begun(self.election.win()))

    async def resign(self) -> None:
        """For when nothing is written any more: whoever stands by may begin."""
        await self._there(self._end())

    async def close(self) -> None:
        await self.resign()
        await self._there(self._store.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()
        if self._beating is not None:
            self._beating.cancel()

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _live(self) -> None:
        while True:
            self._beats += 1
            await asyncio.sleep(BEAT_S)

    async def _open(self) -> None:
        self._store = await Store.open(self._database)
        store: LeaseStore = self._store if self._lock is None else OneMachine(self._store, self._lock)
        when_safe: Callable[[float], None] = die_after if self._shared else lambda _seconds: None
        self.election = Election(store, self._candidate, self._ttl_s, strict=self._shared, when_safe=when_safe)

    async def _begun(self, winning: Coroutine[Any, Any, int]) -> int:
        epoch = await winning
        if epoch:
            self._holding = asyncio.create_task(self._hold())
        return epoch

    async def _hold(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            group.create_task(self._listen())

    async def _renew(self) -> None:
        try:
            await self.election.hold()
        except LeadLost as lost:
            lead_lost(lost)
        except Exception as defect:
            log.exception("a defect")
            lead_lost(f"the lease cannot be renewed: {defect}")

    async def _listen(self) -> None:
        """Looks are counted, not seconds: while all of this process is stopped, its loop misses nothing."""
        heard, missed = self._beats, 0
        while missed * BEAT_S < STUCK_S:
            await asyncio.sleep(BEAT_S)
            heard, missed = self._beats, missed + 1 if self._beats == heard else 0
        lead_lost(f"the event loop has done nothing for {STUCK_S:g} s")

    async def _end(self) -> None:
        holding, self._holding = self._holding, None
        if holding is None:
            return
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        die_after(0)
        await self.election.resign()


def lock_of(database: str) -> Path:
    """Beside the file of `sqlite:///file`, by whatever name it is called; `Invalid` where it is in memory."""
    url = make_url(database)
    file = url.database or ":memory:"
    if ":memory:" in file or url.query.get("mode") == "memory":
        raise Invalid("a database in memory is of one connection, and a controller needs two: say sqlite:///file")
    return Path(f"{Path(file).resolve()}.lock")


class OneMachine:
    """Leases on a database that is a file: who holds its lock leads, as long as he lives; the kernel knows."""

    def __init__(self, store: LeaseStore, lock: Path) -> None:
        self._store = store
        self._path = lock
        self._lock: IO[str] | None = None

    async def acquire_lease(self, holder: str, grpc: str, rest: str, ttl_s: float) -> Lease | None:
        if not self._locked():
            return None
        if (left := await self._store.lease()) is not None:
            await self._store.release_lease(left.holder, left.epoch)  # of one that died
        return await self._store.acquire_lease(holder, grpc, rest, ttl_s)

    async def renew_lease(self, holder: str, epoch: int, ttl_s: float) -> bool:
        """Also where the row has ended meanwhile: nobody else can have written it."""
        await self._store.renew_lease(holder, epoch, ttl_s)
        return True

    async def release_lease(self, holder: str, epoch: int) -> None:
        await self._store.release_lease(holder, epoch)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def lease(self) -> Lease | None:
        """None where nobody alive leads."""
        return None if self._locked() else await self._store.lease()

    def _locked(self) -> bool:
        if self._lock is None:
            lock = self._path.open("a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True
