"""Three OTN nodes with real switches, their line-card programs beside them, and the flows that a controller makes.

a ---2--- b ---3--- c        client port 1 on a and c
+-----------4-------+        ports have the same number at both ends
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
from private_switch import PrivateSwitch, join
from waiting import wait_until

from controller.core.addresses import channel_address, mac_text
from controller.core.otn import metering
from controller.core.otn.marks import CONTROLLER_TAG, Directory, cookie
from controller.core.otn.rates import FGTS_ETHERNET_BPS
from controller.linecard.gen import line_card_pb2 as pb
from controller.linecard.gen import line_card_pb2_grpc

A, B, C = "a", "b", "c"
PORTS = {A: (2, 4), B: (2, 3), C: (3, 4)}
FIBRES = ((A, B, 2), (B, C, 3), (A, C, 4))
CLIENT = 1
DEADLINE_S = 10.0
SERVER = "odu1:1-2"


class LineCardLab:
    def __init__(self, directory: Path, switches: dict[str, PrivateSwitch]) -> None:
        self.directory = directory
        self.switches = switches
        self.programs: dict[str, subprocess.Popen[bytes]] = {}
        self.stubs: dict[str, line_card_pb2_grpc.LineCardStub] = {}
        self._channels: list[grpc.Channel] = []

    def start(self, node: str, *more: str) -> None:
        """The program, in its switch's namespace."""
        switch, listen = self.switches[node], self.directory / f"{node}.sock"
        listen.unlink(missing_ok=True)
        command = ["ip", "netns", "exec", switch.namespace, sys.executable, "-m", "controller.linecard"]
        command += ["--node", node, "--listen", f"unix:{listen}", "--switch", f"unix:{switch.directory}/br0.mgmt"]
        command += [word for port in PORTS[node] for word in ("--port", f"{port}@eth{port}")]
        with (self.directory / f"{node}.log").open("ab") as log:
            self.programs[node] = subprocess.Popen([*command, *more], stderr=log)

    def reach(self, node: str) -> None:
        """Returns when the program answers."""
        listen = self.directory / f"{node}.sock"  # made when it serves
        wait_until(listen.exists, f"the line card of {node}", 30.0)
        channel = grpc.insecure_channel(f"unix:{listen}")
        grpc.channel_ready_future(channel).result(DEADLINE_S)
        self._channels.append(channel)
        self.stubs[node] = line_card_pb2_grpc.LineCardStub(channel)

    def kill(self, node: str) -> None:
        self.programs[node].kill()
        self.programs[node].wait()

    def stop(self) -> None:
        for channel in self._channels:
            channel.close()
        for program in self.programs.values():
            program.send_signal(signal.SIGTERM)
        for program in self.programs.values():
            program.wait(DEADLINE_S)

    def empty(self, node: str) -> None:
        """Table and switch, but for the switch's ports."""
        table = self.stubs[node].GetSlotTable(pb.GetSlotTableRequest(), timeout=DEADLINE_S)
        keys = [pb.HoldingKey(slice_id=held.slice_id, line_port=held.line_port) for held in table.holdings]
        changes = [pb.SlotChange(unprotect=group.working) for group in table.protections]
        self.apply(node, *changes, *(pb.SlotChange(delete=key) for key in keys))
        self.switches[node].clear()

    def apply(self, node: str, *changes: pb.SlotChange) -> None:
        answer = self.stubs[node].Apply(pb.ApplyRequest(epoch=1, changes=changes), timeout=DEADLINE_S)
        assert not answer.errors

    def resize(self, node: str, slice_id: int, count: int) -> pb.ResizeNotice:
        request = pb.ResizeRequest(epoch=1, slice_id=slice_id, target_count=count)
        return list(self.stubs[node].Resize(request, timeout=DEADLINE_S))[-1]

    def size(self, node: str, slice_id: int) -> tuple[int, int]:
        size = self.stubs[node].GetSlice(pb.GetSliceRequest(slice_id=slice_id), timeout=DEADLINE_S)
        return size.forward_count, size.reverse_count

    def meter(self, node: str, number: int) -> tuple[int, int]:
        """Rate in kbit/s and burst in kbit."""
        return meters(self.switches[node])[number]

    def selector(self, node: str) -> str:
        """Actions of the one flow in table 1."""
        lines = [line for line in self.switches[node].flows() if "table=1," in line]
        assert len(lines) <= 1
        return lines[0].split("actions=")[1].strip() if lines else ""

    def add_flows(self, node: str, flows: Sequence[str]) -> None:
        for flow in flows:
            self.switches[node].ofctl("add-flow", flow)

    def cross_connect(
        self, node: str, slice_id: int, direction: int, ports: tuple[int, str], meter: int, count: int, transit: bool
    ) -> None:
        """As the controller does: the meter, where it is found, and the flow through it. `ports`: in, and actions."""
        add_meter(self.switches[node], slice_id, direction, meter, count, transit)
        channel, (port, actions) = mac_text(channel_address(slice_id, direction)), ports
        mark = cookie(CONTROLLER_TAG, 1, slice_id)
        self.add_flows(
            node,
            [f"cookie={mark:#x},priority=100,in_port={port},dl_dst={channel},actions=meter:{meter},{actions}"],
        )


def add_meter(
    switch: PrivateSwitch, slice_id: int, direction: int, meter: int, count: int, transit: bool, follows: bool = True
) -> None:
    rate, burst = metering.limit(count, FGTS_ETHERNET_BPS, transit)
    switch.ofctl("add-meter", f"meter={meter},kbps,burst,stats,bands=type=drop,rate={rate},burst_size={burst}")
    metadata = Directory(slice_id, direction, follows, transit).metadata
    mark = cookie(CONTROLLER_TAG, 1, slice_id)
    switch.ofctl("add-flow", f"cookie={mark:#x},table=250,priority=1,metadata={metadata:#x},actions=meter:{meter}")


def meters(switch: PrivateSwitch) -> dict[int, tuple[int, int]]:
    found = re.findall(r"meter=(\d+).*?rate=(\d+) burst_size=(\d+)", switch.ofctl("dump-meters"), re.S)
    return {int(number): (int(rate), int(burst)) for number, rate, burst in found}


def holding(slice_id: int, port: int, slots: Sequence[int], active: int) -> pb.SlotChange:
    held = pb.Holding(slice_id=slice_id, line_port=port, server=SERVER, slots=slots, active_count=active)
    held.slot_bps = FGTS_ETHERNET_BPS
    return pb.SlotChange(set=held)


@contextmanager
def three_switches(directory: Path) -> Iterator[dict[str, PrivateSwitch]]:
    switches: dict[str, PrivateSwitch] = {}
    with ExitStack() as undo:
        for number, name in enumerate((A, B, C), 1):
            (directory / name).mkdir()
            switches[name] = PrivateSwitch(f"lc-{os.getpid()}-{name}", directory / name, number)
            undo.callback(switches[name].stop)
            switches[name].start()
        for near, far, port in FIBRES:
            join(switches[near], switches[far], port)
        for name in (A, C):
            switches[name].client_port(CLIENT)
        yield switches
