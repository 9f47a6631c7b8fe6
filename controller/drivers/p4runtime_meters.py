"""What a device is known to hold in its meters: which cells to read back, and which rates they really have.

BMv2 answers a read of an array with all of its cells, some ten thousand, and counts in octets per microsecond: some
rates come back less by one. So the array is read once per session, its cells in use from then on, and a rate that
differs by rounding from what was written is what was written.
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
        self._used.update((cell.key, cell) for cell in found)
        return found

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

    def _as_written(self, cell: MeterEntry) -> MeterEntry:
        written = self._used.get(cell.key)
        if written is None:
            return cell
        pairs = zip(_limits(written), _limits(cell), strict=True)
        return written if all(0 <= wrote - read <= _ROUNDING for wrote, read in pairs) else cell


def _limits(cell: MeterEntry) -> tuple[int, int, int, int]:
    return cell.rate, cell.burst, cell.peak_rate or cell.rate, cell.peak_burst or cell.burst
