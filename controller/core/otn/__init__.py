"""The optical layer's arithmetic: rates, containers, slot numbers, and the ledger that hands slots out."""

from controller.core.otn.containers import LINES, Carriage, carriage_for, narrowest, slot_bps
from controller.core.otn.ledger import Claim, Ledger, Row, RowKey, pick_slots, resumed
from controller.core.otn.rates import (
    ETHERNET_OVERHEAD_BYTES,
    FGTS_ETHERNET_BPS,
    FGTS_PER_SERVER,
    MAX_FGTS_PER_SLICE,
    least_slots,
    serialisation_us,
    slots_for,
    slots_rate_kbps,
    wire_kbps,
)
from controller.core.otn.servers import LINE
from controller.core.otn.slots import bitmap_of, format_slots, parse_slots
from controller.core.otn.tributary import line_slots, tributary_slots

__all__ = [
    "ETHERNET_OVERHEAD_BYTES",
    "FGTS_ETHERNET_BPS",
    "FGTS_PER_SERVER",
    "LINE",
    "LINES",
    "MAX_FGTS_PER_SLICE",
    "Carriage",
    "Claim",
    "Ledger",
    "Row",
    "RowKey",
    "bitmap_of",
    "carriage_for",
    "format_slots",
    "least_slots",
    "line_slots",
    "narrowest",
    "parse_slots",
    "pick_slots",
    "resumed",
    "serialisation_us",
    "slot_bps",
    "slots_for",
    "slots_rate_kbps",
    "tributary_slots",
    "wire_kbps",
]
