"""Which failures are the database's absence, and how long a transaction that found it absent is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from controller.core.errors import DatabaseUnavailable

Result = TypeVar("Result")

PATIENCE_S = 10.0
"""A restart of the database takes less; who waits longer is refused."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.5

READ_ONLY = "25006"
"""What was the primary is a standby now: the name may lead to another one meanwhile."""
_ABSENT = ("08", READ_ONLY, "40", "53", "55P03", "57P", "25P03", "25P04", "58")
"""SQLSTATEs (PostgreSQL, appendix A): connection, read only, rolled back for others' sake, out of resources, not got a
lock, ended by the operator, a session that stood idle, its machine."""
_ABSENT_FILE = ("SQLITE_BUSY", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL")


class OutcomeUnknown(DatabaseUnavailable):
    """A change was being committed when the database went, and it has not come back to say whether it was."""

    reason = "OUTCOME_UNKNOWN"


def is_outage(error: BaseException) -> bool:
    """Whether a transaction failed for no fault of its own."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, (OSError, TimeoutError, PoolTimeout))
    state = getattr(error.orig, "sqlstate", None)
    if state:
        return str(state).startswith(_ABSENT)
    causes = error.orig, getattr(error.orig, "__cause__", None)
    name = next(filter(None, (getattr(cause, "sqlite_errorname", "") for cause in causes)), "")
    return error.connection_invalidated or str(name).startswith(_ABSENT_FILE)


@contextmanager
def outages_told() -> Iterator[None]:
    """Raise `DatabaseUnavailable` for an outage; a transaction that ends so has not taken place."""
    try:
        yield
    except (DBAPIError, OSError, TimeoutError, PoolTimeout) as error:
        if not is_outage(error):
            raise
        raise DatabaseUnavailable(f"the database does not answer: {_first_line(error)}") from error


async def patiently(attempt: Callable[[], Awaitable[Result]], patience_s: float) -> Result:
    """Try until the database answers; `DatabaseUnavailable` when it has not for so long."""
    pause, loop = FIRST_PAUSE_S, asyncio.get_running_loop()
    end = loop.time() + patience_s
    while True:
        try:
            return await attempt()
        except OutcomeUnknown:
            raise
        except DatabaseUnavailable:
            if loop.time() + pause > end:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _first_line(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return (str(cause) or type(cause).__name__).splitlines()[0]
