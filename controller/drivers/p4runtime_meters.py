"""What a device is known to hold in its meters: which cells to read back, and which rates they really have.

BMv2 answers a read of an array with all of its cells, some ten thousand, and counts in octets per microsecond: some
rates come back less by one. So the array is read once per session, its cells in use from then on, and a rate that
differs by rounding from what was written is what was written. Of cells that a predecessor wrote nobody knows that: one
that differs by rounding from what is wanted of it is what is wanted. Written again, it would have a full bucket.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from finsy.proto import p4r

from controller.core.entries import Change, MeterEntry, Operation, Rejection
from controller.drivers.pipeline import Pipeline

_ROUNDING = 1


class MeterCells:
    """The meter cells in use on one device."""

    def __init__(self) -> None:
        self._used: dict[Hashable, MeterEntry] = {}
        self._inherited: set[Hashable] = set()
        """Those that were found, and not written by this controller so far."""
        self._all_known = False

    def forget(self) -> None:
        """A new session: others may have written since. What was written stays known, to compare with."""
        self._all_known = False

    def request(self, pipeline: Pipeline) -> list[p4r.Entity]:
        """What to read in order to know of every cell in use."""
        if not self._all_known:
            arrays = pipeline.meters.values()
            return [p4r.Entity(meter_entry=p4r.MeterEntry(meter_id=meter.id)) for meter in arrays]
        return [
            p4r.Entity(
                meter_entry=p4r.MeterEntry(meter_id=pipeline.meters[cell.meter].id, index=p4r.Index(index=cell.index))
            )
            for cell in self._used.values()
        ]

    def read(self, cells: Sequence[MeterEntry]) -> list[MeterEntry]:
        """What the cells hold that a read of `request` returned."""
        self._all_known = True
        found = [self._as_written(cell) for cell in cells]
        self._inherited.update(cell.key for cell in found if cell.key not in self._used)
        self._used.update((cell.key, cell) for cell in found)
        return found

    def unmet(self, changes: Sequence[Change]) -> list[Change]:
        """The changes that are left to write."""
        return [change for change in changes if not self._is_met(change)]

    def _is_met(self, change: Change) -> bool:
        entry = change.entry
        if change.operation is not Operation.MODIFY or not isinstance(entry, MeterEntry):
            return False
        return entry.key in self._inherited and _reads_back_as(entry, self._used[entry.key])

    def wrote(self, changes: Iterable[Change], rejections: Iterable[Rejection]) -> None:
        """What a device has accepted; a cell that it did not accept, or of which it told nothing, may hold anything."""
        refused = {each.change.entry.key for each in rejections if isinstance(each.change.entry, MeterEntry)}
        if refused:
            self.forget()
        for change in changes:
            entry = change.entry
            if not isinstance(entry, MeterEntry) or entry.key in refused:
                continue
            if change.operation is Operation.DELETE:
                self._used.pop(entry.key, None)
            else:
                self._used[entry.key] = entry
            self._inherited.discard(entry.key)

    def _as_written(self, cell: MeterEntry) -> MeterEntry:
        written = self._used.get(cell.key)
        return cell if written is None or not _reads_back_as(written, cell) else written


def _reads_back_as(written: MeterEntry, read: MeterEntry) -> bool:
    pairs = zip(_limits(written), _limits(read), strict=True)
    return all(0 <= wrote - found <= _ROUNDING for wrote, found in pairs)


def _limits(cell: MeterEntry) -> tuple[int, int, int, int]:
    return cell.rate, cell.burst, cell.peak_rate or cell.rate, cell.peak_burst or cell.burst
