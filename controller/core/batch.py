"""Several changes of one moment: each planned on what the ones before it leave, all to be applied as one."""

from __future__ import annotations

from dataclasses import replace

from controller.core.otn import RowKey
from controller.core.plan import Plan
from controller.core.records import Record
from controller.core.snapshot import Snapshot


class Batch:
    """Plans in their order. Mutable, and for one maker at a time; the snapshot that it began with stays as it was."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = replace(snapshot, known_lists=snapshot.encoder)
        self._records: dict[str, Record] | None = None
        self._rows: set[RowKey] = set()
        """Of the ledger, those that the layers have not followed yet."""
        self.plans: list[Plan] = []

    def __len__(self) -> int:
        return len(self.plans)

    @property
    def snapshot(self) -> Snapshot:
        """The network when all plans so far are applied; good for a plan until the next is added."""
        if self._rows:
            layers = self._snapshot.layers.booked(self._snapshot.topology, self._snapshot.ledger, self._rows)
            self._snapshot = replace(self._snapshot, kept=layers)
            self._rows = set()
        return self._snapshot

    def add(self, plan: Plan) -> None:
        """`plan`: made on `snapshot`, of a corridor that stays."""
        if self._records is None:
            self._records = dict(self._snapshot.records)
            self._snapshot = replace(self._snapshot, records=self._records)
        self._records[plan.record.name] = plan.record
        self._rows |= plan.rows
        self._snapshot = replace(self._snapshot, ledger=plan.ledger, ids=plan.ids, kept=self._snapshot.layers)
        self.plans.append(plan)
