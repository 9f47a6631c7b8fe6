"""Slice meters: one HTB class per cell, on every network port, so that excess is queued and not dropped at once.

The class 1:INDEX of `sr0` is the register of a cell (nothing is sent there); network ports repeat it. The rate counts
frames on the wire: HTB sees the 14 bytes of the Ethernet header, `overhead` adds preamble, FCS and gap. The quantum,
which only weighs classes against each other, is the cell's burst, and so keeps it exactly.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from controller.core.entries import Exact, TableEntry
from controller.linux.kernel import GONE, Command, Tool
from controller.linux.marks import SR_DEVICE
from controller.linux.rejected import invalid
from controller.linux.room import Entries, Step, Work, exact, param
from controller.linux.traffic_control import DEFAULT_MINOR, HtbClass
from controller.linux.view import View

RANK = 40
OVERHEAD_BYTES = 24
_MINIMUM_FRAME_BYTES = 84
_LARGEST_FRAME_BYTES = 9038
_QUEUE_SECONDS = 0.05
_DEFAULT_RATE = 12_500_000_000
_KEPT_MINORS = (0, DEFAULT_MINOR)


class SliceMeters:
    tables = frozenset({"slice_meter"})

    def read(self, view: View) -> Iterator[TableEntry]:
        register = view.classes.get(SR_DEVICE) or {}
        copies = [view.classes.get(name) or {} for name in view.network_interfaces()]
        for minor, cell in sorted(register.items()):
            if minor not in _KEPT_MINORS and all(copy.get(minor) == cell for copy in copies):
                params = (("rate", cell.rate), ("burst", cell.quantum))
                yield TableEntry("slice_meter", (("index", Exact(minor)),), "meter", params)

    def check(self, entry: TableEntry, view: View) -> None:
        if exact(entry, "index") in _KEPT_MINORS:
            raise invalid(f"this target has meter cells 1..{DEFAULT_MINOR - 1}")
        if param(entry, "rate") < 1 or not 0 < param(entry, "burst") < 1 << 31:
            raise invalid("a rate is at least 1 byte per second, a burst 1..2147483647 bytes")

    def work(self, steps: Sequence[Step], after: Entries, view: View) -> Work:
        interfaces = [SR_DEVICE, *(name for name in view.network_interfaces() if view.classes.get(name) is not None)]
        work = Work()
        for step in steps:
            for interface in interfaces:
                if step.new is not None:
                    cell = param(step.new, "rate"), param(step.new, "burst")
                    work.commands += cell_commands(interface, exact(step.new, "index"), *cell, step.key)
                elif step.old is not None:
                    line = f"class del dev {interface} classid 1:{exact(step.old, 'index'):x}"
                    work.commands.append(Command(Tool.TC, line, step.key, RANK, removes=True, tolerates=GONE))
        return work


def cell_commands(interface: str, index: int, rate: int, burst: int, key: Hashable) -> Iterator[Command]:
    """The class is changed in place where it stands, so a new rate loses nothing."""
    bucket = max(burst, _LARGEST_FRAME_BYTES)
    where = f"dev {interface} parent 1: classid 1:{index:x}"
    speed = f"rate {rate}bps ceil {rate}bps burst {bucket} cburst {bucket}"
    frame = f"quantum {burst} overhead {OVERHEAD_BYTES} mpu {_MINIMUM_FRAME_BYTES}"
    yield Command(Tool.TC, f"class replace {where} htb {speed} {frame}", key, RANK)
    limit = max(1 << 16, int(rate * _QUEUE_SECONDS))
    yield Command(Tool.TC, f"qdisc replace dev {interface} parent 1:{index:x} bfifo limit {limit}", key, RANK + 1)


def root_commands(interface: str, view: View, key: Hashable = None) -> Iterator[Command]:
    """HTB as the root with an unlimited class for all that belongs to no corridor, and every cell of the register."""
    if view.classes.get(interface) is None:
        yield Command(
            Tool.TC, f"qdisc replace dev {interface} root handle 1: htb default {DEFAULT_MINOR:x}", key, RANK - 2
        )
    standing = view.classes.get(interface) or {}
    if DEFAULT_MINOR not in standing:
        where = f"dev {interface} parent 1: classid 1:{DEFAULT_MINOR:x}"
        line = f"class replace {where} htb rate {_DEFAULT_RATE}bps burst 1mb cburst 1mb quantum 200000"
        yield Command(Tool.TC, line, key, RANK - 1)
    for minor, cell in (view.classes.get(SR_DEVICE) or {}).items():
        if minor not in _KEPT_MINORS and standing.get(minor) != cell:
            yield from _copy(interface, minor, cell, key)


def _copy(interface: str, minor: int, cell: HtbClass, key: Hashable) -> Iterator[Command]:
    yield from cell_commands(interface, minor, cell.rate, cell.quantum, key)
