"""Changes into write requests, in the given order, and what a device says of each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from finsy.proto import p4r

from controller.core.entries import Change, GroupEntry, Operation, Rejection, TableEntry
from controller.drivers.p4runtime_codec import encode
from controller.drivers.p4runtime_fields import Unencodable
from controller.drivers.p4runtime_session import P4RuntimeSession, ReadRefused, SessionLost, UpdateError, WriteFailed
from controller.drivers.pipeline import Pipeline, Table

BATCH = 100

_TRANSIENT = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "RESOURCE_EXHAUSTED"})
_TRANSIENT_WHOLE = _TRANSIENT | {"CANCELLED", "PERMISSION_DENIED", "FAILED_PRECONDITION"}
"""A write refused as a whole: besides the above, we are not primary any more or the pipeline is gone."""

_OTHER_WAY = {
    (Operation.INSERT, "ALREADY_EXISTS"): p4r.Update.MODIFY,
    (Operation.MODIFY, "NOT_FOUND"): p4r.Update.INSERT,
}
_MAY_BE_FULL = frozenset({"UNKNOWN", "RESOURCE_EXHAUSTED"})
"""What an insertion into a full table is answered with: the first by BMv2, the second as the specification has it."""


_Send = Callable[[Sequence[p4r.Update]], Awaitable[Sequence[UpdateError]]]


@dataclass(frozen=True, slots=True)
class _Write:
    change: Change
    update: p4r.Update


async def write(
    session: P4RuntimeSession, pipeline: Pipeline, changes: Sequence[Change], permitted: Callable[[], bool]
) -> list[Rejection]:
    """Write in the given order; returns what was not written.

    `permitted` is asked before each request: whether this controller still is the one to write.
    """

    async def send(updates: Sequence[p4r.Update]) -> Sequence[UpdateError]:
        if not updates:
            return ()
        if not permitted():
            raise WriteFailed("PERMISSION_DENIED", "not primary any more")
        return await session.write(updates)

    rejections: list[Rejection] = []
    batches = list(_batches(changes))
    for position, batch in enumerate(batches):
        # Encoded batch by batch: thousands at once would hold up whatever else this process has to do.
        writes, unencodable = _encoded(pipeline, batch)
        rejections += unencodable
        try:
            rejections += await _write_batch(send, writes)
        except WriteFailed as failed:
            later = (change for rest in batches[position + 1 :] for change in rest)
            untried = (*(each.change for each in writes), *later)
            transient = failed.code in _TRANSIENT_WHOLE
            return rejections + [Rejection(change, failed.code, failed.message, transient) for change in untried]
    return await _explained(session, pipeline, changes, rejections) if rejections else rejections


def _batches(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Runs of one operation on one table, at most `BATCH` long.

    A device may reorder the updates within a batch, but not across batches (P4Runtime, "Batching and Ordering of
    Updates").
    """
    for _, run in groupby(changes, key=lambda change: (change.operation, _table(change))):
        members = list(run)
        for start in range(0, len(members), BATCH):
            yield members[start : start + BATCH]


def _encoded(pipeline: Pipeline, batch: Sequence[Change]) -> tuple[list[_Write], list[Rejection]]:
    writes, rejections = [], []
    for change in batch:
        try:
            writes.append(_Write(change, encode(pipeline, change)))
        except Unencodable as error:
            rejections.append(Rejection(change, "INVALID_ARGUMENT", str(error)))
    return writes, rejections


async def _write_batch(send: _Send, batch: Sequence[_Write]) -> list[Rejection]:
    """One batch. What is there already is modified, what is gone already needs no removal."""
    again: list[_Write] = []
    rejections = []
    for error in await send([each.update for each in batch]):
        refused = batch[error.index]
        other = _OTHER_WAY.get((refused.change.operation, error.code))
        if other is not None:
            again.append(_Write(refused.change, p4r.Update(type=other, entity=refused.update.entity)))
        elif (refused.change.operation, error.code) != (Operation.DELETE, "NOT_FOUND"):
            rejections.append(_rejection(refused, error))
    rejections += [_rejection(again[error.index], error) for error in await send([each.update for each in again])]
    return rejections


def _rejection(refused: _Write, error: UpdateError) -> Rejection:
    return Rejection(refused.change, error.code, error.message, error.code in _TRANSIENT)


# ---- full tables


async def _explained(
    session: P4RuntimeSession, pipeline: Pipeline, changes: Sequence[Change], rejections: Sequence[Rejection]
) -> list[Rejection]:
    """Insertions that met a full table as RESOURCE_EXHAUSTED, whatever the device called it.

    That is final: who waits for the entry hears of it at once and can take back the rest, where waiting would only
    have it time out. It is transient where the same call has made room since: removals come last.
    """
    met = {table for each in rejections if (table := _may_be_full(each)) is not None}
    held = {table: await _held(session, pipeline.tables[table]) for table in met}
    removed = _removed(changes, rejections)
    explained = []
    for each in rejections:
        table = _may_be_full(each)
        if table is not None and held[table] + removed[table] >= pipeline.tables[table].size:
            room = held[table] < pipeline.tables[table].size
            message = f"table {table} {'was' if room else 'is'} full: {each.message}"
            each = replace(each, code="RESOURCE_EXHAUSTED", message=message, transient=room)
        explained.append(each)
    return explained


def _removed(changes: Sequence[Change], rejections: Sequence[Rejection]) -> Counter[str | None]:
    """How many entries of each table the device has taken away."""
    removals = [each for each in changes if each.operation is Operation.DELETE]
    refused = {each.change.entry.key for each in rejections if each.change.operation is Operation.DELETE}
    return Counter(_table(each) for each in removals if each.entry.key not in refused)


def _may_be_full(rejection: Rejection) -> str | None:
    """The table that may have been full."""
    inserted = rejection.change.operation is Operation.INSERT and rejection.code in _MAY_BE_FULL
    return _table(rejection.change) if inserted else None


def _table(change: Change) -> str | None:
    return change.entry.table if isinstance(change.entry, TableEntry | GroupEntry) else None


async def _held(session: P4RuntimeSession, table: Table) -> int:
    """Entries that the table holds, ours or not; 0 where the device does not say."""
    try:
        return len(await session.read([p4r.Entity(table_entry=p4r.TableEntry(table_id=table.id))]))
    except (SessionLost, ReadRefused):
        return 0
