"""What outlives the controller: records, ledger rows, ids, wiring, events, and who leads. SQLite or PostgreSQL."""

from controller.store.events import KEEP_EVENTS
from controller.store.store import Store
from controller.store.stored import Stored, Wiring

__all__ = ["KEEP_EVENTS", "Store", "Stored", "Wiring"]
