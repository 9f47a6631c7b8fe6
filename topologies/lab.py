"""The lab: any topology file as network namespaces on one machine, with real packets and real switches.

Each router, OTN node and host has a namespace. Routers run the packet agent or BMv2, OTN nodes an Open vSwitch and a
line card, fibres delay what they carry. The lab goes on when the process that built it ends; `Lab.load` finds it again.
Receive buffers: user-space switching loses packets with the kernel's default, so `net.core.rmem_default` (one value
for the whole machine) is raised and stays raised.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from controller.core import names
from controller.core.model import NodeKind
from controller.topology_file import TopologyFile, load
from topologies.builder import Builder, Programs, answers
from topologies.lab_state import LabError, LabState, load_state
from topologies.network import set_controllers, vsctl
from topologies.processes import collect, end, environment, marked, spawn, terminated_as_exit, undisturbed

__all__ = ["Capture", "Lab", "LabError", "LabStatus", "Programs", "default_run_dir", "temporary", "up"]

RUN_ROOT = Path("/run/corridor-lab")
START_TIMEOUT_S = 60.0
POLL_S = 0.01
LAST_FRAME_TYPE = 0x88B5
"""Local experimental Ethertype (IEEE 802), to an address that no bridge forwards."""
_SEND_FRAME = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind((sys.argv[1], 0))
    raw.send(bytes.fromhex(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True)
class LabStatus:
    """A lab as it stands: `processes` maps `kind/name` to (pid, alive)."""

    domain: str
    targets: dict[str, str]
    """What each router runs, by its short name."""
    run_dir: Path
    ready: bool
    processes: dict[str, tuple[int, bool]]

    @property
    def healthy(self) -> bool:
        return self.ready and all(alive for _, alive in self.processes.values())


def default_run_dir(topology: TopologyFile) -> Path:
    return RUN_ROOT / topology.domain


def up(
    topology: TopologyFile | str | Path,
    target: str = "linux",
    run_dir: Path | None = None,
    programs: Programs | None = None,
    targets: Mapping[str, str] | None = None,
) -> Lab:
    """Build the lab and wait until all of it answers. On any error or interrupt nothing stays behind.

    `target`: what routers run, `linux` or `bmv2`, but those that `targets` names. Raises `LabError`, or `Invalid` for
    a malformed file.
    """
    lab, builder = _begin(topology, target, run_dir, programs, targets or {})
    with terminated_as_exit(), ExitStack() as undo:
        undo.callback(lab.down)
        _build(builder)
        undo.pop_all()
    return lab


@contextmanager
def temporary(
    topology: TopologyFile | str | Path,
    target: str = "linux",
    run_dir: Path | None = None,
    programs: Programs | None = None,
    targets: Mapping[str, str] | None = None,
) -> Iterator[Lab]:
    """As `up`, and down again when the block ends, however it ends."""
    lab, builder = _begin(topology, target, run_dir, programs, targets or {})
    try:
        _build(builder)
        yield lab
    finally:
        lab.down()


def _begin(
    topology: TopologyFile | str | Path,
    target: str,
    run_dir: Path | None,
    programs: Programs | None,
    targets: Mapping[str, str],
) -> tuple[Lab, Builder]:
    """Check all that can be checked, and take the run directory."""
    plan = topology if isinstance(topology, TopologyFile) else load(topology)
    programs = programs or Programs()
    by_router = router_targets(plan, target, targets)
    programs.check(set(by_router.values()))
    state = LabState((run_dir or default_run_dir(plan)).absolute(), plan.domain, by_router)
    state.create()
    return Lab(state), Builder(plan, state, programs)


def router_targets(plan: TopologyFile, target: str, targets: Mapping[str, str]) -> dict[str, str]:
    """What each router runs, by its short name: `target`, but for those in `targets`. LabError for no router."""
    stated = {names.short(router): chosen for router, chosen in targets.items()}
    routers = [names.short(node.name) for node in plan.nodes if node.kind is NodeKind.ROUTER]
    for name in stated:
        if name not in routers:
            raise LabError(f"no router {name!r} in {plan.domain}")
    return {name: stated.get(name, target) for name in routers}


def _build(builder: Builder) -> None:
    try:
        builder.build()
        deadline = time.monotonic() + START_TIMEOUT_S
        while waiting := builder.not_ready():
            if time.monotonic() > deadline:
                raise LabError(f"the lab did not come up in {START_TIMEOUT_S:.0f} s: {', '.join(waiting)}")
            time.sleep(POLL_S)
        builder.finish()
    except subprocess.CalledProcessError as error:
        output = error.stderr or error.output or ""
        words = output.decode() if isinstance(output, bytes) else output
        raise LabError(f"{' '.join(map(str, error.cmd[:6]))}: {' '.join(words.split())}") from error
    except (OSError, RuntimeError) as error:
        raise LabError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture file (pcap)."""

    file: Path

    def fields(self, *fields: str, display_filter: str = "") -> list[tuple[str, ...]]:
        """These fields of each captured frame, as tshark prints them."""
        wanted = f"not eth.type == {LAST_FRAME_TYPE:#x}" + (f" and ({display_filter})" if display_filter else "")
        argv = ["tshark", "-n", "-r", str(self.file), "-T", "fields", "-E", "separator=/t", "-Y", wanted]
        argv += [word for name in fields for word in ("-e", name)]
        output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return [tuple(line.split("\t")) for line in output.splitlines()]


class Lab:
    """A running lab. Nodes, hosts and fibres go by their short names of the topology file."""

    def __init__(self, state: LabState) -> None:
        self._state = state

    @classmethod
    def load(cls, run_dir: str | Path) -> Lab:
        """The lab that some process built in this directory; LabError where there is none."""
        return cls(load_state(Path(run_dir)))

    @property
    def run_dir(self) -> Path:
        return self._state.run_dir

    @property
    def domain(self) -> str:
        return self._state.domain

    @property
    def inventory(self) -> Path:
        """Where the controller learns each node's southbound address."""
        return self.run_dir / "inventory.json"

    @property
    def openflow_socket(self) -> Path:
        """Where the OTN nodes look for their controller."""
        return self.run_dir / "openflow.sock"

    def openflow_socket_of(self, number: int) -> Path:
        """The first controller's, or that of another one which shares its database."""
        return self.openflow_socket if number == 1 else self.run_dir / f"openflow-{number}.sock"

    @property
    def environment(self) -> dict[str, str]:
        """For a program that is to end with the lab."""
        return environment(self._state.token)

    def status(self) -> LabStatus:
        processes = {name: (s.process.pid, s.process.alive()) for name, s in self._state.started.items()}
        return LabStatus(self.domain, self._state.targets, self.run_dir, self._state.ready, processes)

    def down(self) -> None:
        """Take everything down; again and again if need be."""
        with undisturbed():
            recorded = [started.process for started in self._state.started.values()]
            end(recorded)
            collect(recorded)
            while left := tuple(marked(self._state.token)):
                end(left)
            shutil.rmtree(self.run_dir, ignore_errors=True)
            if self.run_dir.parent == RUN_ROOT and RUN_ROOT.exists() and not any(RUN_ROOT.iterdir()):
                RUN_ROOT.rmdir()

    def pid(self, node: str) -> int:
        """The process that holds a node's namespace."""
        process = self._state.process(f"namespace/{names.short(node)}")
        if not process.alive():
            raise LabError(f"{node} is gone")
        return process.pid

    def popen(self, node: str, argv: Sequence[object], **options: Any) -> subprocess.Popen[str]:
        """Start a program in a node's namespace; it ends with the lab."""
        options.setdefault("text", True)
        command = ["mnexec", "-a", str(self.pid(node)), *map(str, argv)]
        return subprocess.Popen(command, env=self.environment, **options)

    def run(
        self, node: str, argv: Sequence[object], *, timeout: float = 30, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a node's namespace and wait for it; CalledProcessError where it fails and `check` is set."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        with self.popen(node, argv, **options) as process:
            try:
                output, errors = process.communicate(timeout=timeout)
            finally:
                process.kill()
        if check and process.returncode:
            raise subprocess.CalledProcessError(process.returncode, [*map(str, argv)], output, errors)
        return subprocess.CompletedProcess([*map(str, argv)], process.returncode, output, errors)

    def cut(self, fibre: str) -> int:
        """Cut a fibre; returns when it went dark (CLOCK_MONOTONIC, ns)."""
        return self._tell(fibre, "cut")[0]

    def mend(self, fibre: str) -> int:
        """Mend a fibre; returns when it was (CLOCK_MONOTONIC, ns)."""
        return self._tell(fibre, "mend")[0]

    def _tell(self, fibre: str, command: str) -> list[int]:
        path = self.run_dir / "fibres" / f"{names.short(fibre)}.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as control:
            control.settimeout(5)
            control.bind("")  # an abstract address of the kernel's choice, for the answer
            try:
                control.sendto(command.encode(), str(path))
                return [int(word) for word in control.recv(256).split()]
            except OSError as error:
                raise LabError(f"fibre {fibre}: {error.strerror or error}") from None

    def restart_router_agent(self, router: str) -> None:
        """End a router's agent, or BMv2, and start it again; returns when it answers. BMv2 comes back empty."""
        node = names.short(router)
        listen = self.run_dir / "nodes" / node / "p4rt.sock"
        self._end(f"router/{node}")
        listen.unlink(missing_ok=True)
        self._start(f"router/{node}")
        self._wait(f"the agent of {node}", lambda: answers(listen))

    def restart_otn_switch(self, otn_node: str) -> None:
        """End an OTN node's switch and start it again, with its ports and an empty table."""
        node = names.short(otn_node)
        directory = self.run_dir / "nodes" / node
        for kind in ("vswitchd", "ovsdb"):
            self._end(f"{kind}/{node}")
        for stale in ("db.sock", "br0.mgmt"):
            (directory / stale).unlink(missing_ok=True)
        self._start(f"ovsdb/{node}")
        self._wait(f"the database of {node}", lambda: answers(directory / "db.sock"))
        self._start(f"vswitchd/{node}")
        self._wait(f"the switch of {node}", lambda: answers(directory / "br0.mgmt"))

    def restart_line_card(self, otn_node: str, *arguments: str) -> None:
        """End an OTN node's line-card program and start it again, empty; until its next restart with these arguments.

        Of an option that is there already the later one counts.
        """
        node = names.short(otn_node)
        listen = self.run_dir / "nodes" / node / "linecard.sock"
        self._end(f"line-card/{node}")
        listen.unlink(missing_ok=True)
        self._start(f"line-card/{node}", *arguments)
        self._wait(f"the line card of {node}", lambda: answers(listen))

    def call_controller(self, count: int = 1) -> None:
        """Wait until so many controllers listen, then make every OTN node call each at once. Empties their tables.

        For a first start only: left alone, Open vSwitch 3.1 waits up to 8 s between its attempts before the first
        success, whatever `max_backoff` says.
        """
        sockets = [self.openflow_socket_of(number) for number in range(1, count + 1)]
        for path in sockets:
            self._wait(f"a controller's OpenFlow socket {path.name}", partial(answers, path))
        nodes = [name.partition("/")[2] for name in self._state.started if name.startswith("vswitchd/")]
        for calls in (False, True):
            for node in nodes:
                directory = self.run_dir / "nodes" / node
                targets = [f"unix:{self._reached_by(directory, path)}" for path in sockets]
                arguments = set_controllers(targets) if calls else ["del-controller", "br0"]
                command = [*vsctl(directory), *arguments]
                subprocess.run(command, check=True, capture_output=True, env=self.environment)

    def _reached_by(self, directory: Path, path: Path) -> Path:
        """Open vSwitch connects to a socket only below its own run directory: a controller's is linked there."""
        link = directory / path.name
        if not link.is_symlink():
            link.symlink_to(path)
        return link

    def ofctl(self, otn_node: str, command: str, *arguments: str) -> str:
        """What `ovs-ofctl COMMAND br0 ARGUMENTS` prints for an OTN node."""
        bridge = f"unix:{self.run_dir}/nodes/{names.short(otn_node)}/br0.mgmt"
        argv = ["ovs-ofctl", "-O", "OpenFlow13", "--timeout=10", command, bridge, *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def vsctl(self, otn_node: str, *arguments: str) -> str:
        """What `ovs-vsctl ARGUMENTS` prints for an OTN node."""
        argv = [*vsctl(self.run_dir / "nodes" / names.short(otn_node)), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    @contextmanager
    def capture(self, node: str, interface: str, expression: str = "") -> Iterator[Capture]:
        """Capture an interface's frames for the time of the `with` block, to the last."""
        file = self.run_dir / "captures" / f"{names.short(node)}-{interface}-{time.monotonic_ns()}.pcap"
        file.parent.mkdir(exist_ok=True)
        wanted = f"({expression}) or ether proto {LAST_FRAME_TYPE:#x}" if expression else ""
        argv = ["tcpdump", "-i", interface, "-U", "--immediate-mode", "-Z", "root", "-w", str(file), wanted]
        with self.popen(node, argv, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            started = process.stderr.readline()
            while started and "listening on" not in started:
                started = process.stderr.readline()
            if not started:
                raise LabError(f"tcpdump on {interface} of {node} did not start")
            try:
                yield Capture(file)
                self._see_last_frame(node, interface, file)
            finally:
                process.send_signal(signal.SIGINT)

    def _see_last_frame(self, node: str, interface: str, file: Path) -> None:
        """Send a frame of our own and wait until it is in the capture: whatever came before it is there too."""
        token = os.urandom(46)
        frame = bytes.fromhex("0180c200000e 020000000000") + LAST_FRAME_TYPE.to_bytes(2, "big") + token
        self.run(node, [sys.executable, "-c", _SEND_FRAME, interface, frame.hex()])
        self._wait(f"the end of a capture on {interface} of {node}", lambda: token in file.read_bytes())

    def _end(self, name: str) -> None:
        end([self._state.process(name)])
        collect([self._state.process(name)])

    def _start(self, name: str, *arguments: str) -> None:
        argv = self._state.started[name].argv
        log = self.run_dir / "logs" / f"{name.replace('/', '-')}.log"
        self._state.record(name, spawn([*argv, *arguments], self._state.token, log), argv)

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            if time.monotonic() > deadline:
                raise LabError(f"{what} did not come back")
            time.sleep(POLL_S)
