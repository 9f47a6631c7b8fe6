"""Builds a lab's namespaces, links and programs from a topology file, and tells when all of them answer."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.core import names
from controller.core.model import Link, LinkKind, Node, NodeKind
from controller.topology_file import FIRST_LINE_PORT, LabHost, TopologyFile
from topologies import bmv2
from topologies.lab_state import LabError, LabState
from topologies.network import (
    Customer,
    Fibre,
    Namespace,
    Network,
    OtnNode,
    Router,
    port_mac,
    vsctl,
)
from topologies.processes import Process, environment, favoured, spawn

RMEM_DEFAULT = Path("/proc/sys/net/core/rmem_default")
RMEM_BYTES = 4 << 20
"""Below, Open vSwitch's packet sockets lose 9 % at 50 kpps and 0.4 % at 20 kpps; with it nothing at 20 kpps."""
TARGETS = ("linux", "bmv2")
"""What a router can run."""
DEBIAN = {
    "mnexec": "mininet",
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-tool": "openvswitch-switch",
    "ethtool": "ethtool",
    "ip": "iproute2",
}


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs that the lab starts beside the switches, as the first words of their commands."""

    router: tuple[str, ...] = (sys.executable, "-m", "controller.linux")
    line_card: tuple[str, ...] = (sys.executable, "-m", "controller.linecard")
    bmv2: tuple[str, ...] = (bmv2.PROGRAM,)
    line_card_arguments: tuple[str, ...] = ()
    """For every line card, such as `--step-ms 0`."""
    fibre: str = str(Path(sys.prefix) / "libexec" / "fibre")

    def check(self, targets: Collection[str]) -> None:
        """LabError, in one line, where something is missing for a lab of these targets."""
        for target in targets:
            if target not in TARGETS:
                raise LabError(f"no target {target!r}: {' or '.join(TARGETS)}")
        if os.geteuid() != 0:
            raise LabError("the lab needs root")
        for program, package in DEBIAN.items():
            if not shutil.which(program):
                raise LabError(f"{program} is missing: install Debian's {package} (make setup does)")
        if "bmv2" in targets and not shutil.which(self.bmv2[0]):
            raise LabError(f"{self.bmv2[0]} is not on the path: deploy/bmv2.sh gets it, or use --target linux")
        if not os.access(self.fibre, os.X_OK):
            raise LabError(f"{self.fibre} is missing: make setup compiles it")


class Builder:
    """One lab on its way up."""

    def __init__(self, plan: TopologyFile, state: LabState, programs: Programs) -> None:
        self._plan = plan
        self._state = state
        self._programs = programs
        self._network = Network()
        self._sockets: dict[str, Path] = {}
        self._logs = state.run_dir / "logs"
        self._environment = environment(state.token)
        self._common = {"spawn": self._spawn, "environment": self._environment}

    def build(self) -> None:
        """Everything started, in an order that lets slow starters start early; nothing waited for but namespaces."""
        self._logs.mkdir()
        (self._state.run_dir / "fibres").mkdir()
        raise_receive_buffers()
        self._add_nodes()
        self._until_held()
        self._add_links()
        self._network.build()
        for node in self._nodes(NodeKind.ROUTER):
            self._start_router(node)
        self._network.start()
        for node in self._nodes(NodeKind.OTN):
            self._start_line_card(node)
        for switch in self._network.switches:
            switch.start_switch()

    def not_ready(self) -> list[str]:
        """What does not answer yet. LabError where something died."""
        for name, started in self._state.started.items():
            if not started.process.alive():
                raise LabError(f"{name} ended at its start: {self._last_words(name)}")
        return [name for name, path in self._sockets.items() if not answers(path)]

    def finish(self) -> None:
        """Check the switches' ports, write the inventory, and call the lab ready."""
        checks = [
            subprocess.Popen(self._port_check(switch), stderr=subprocess.PIPE, env=self._environment)
            for switch in self._network.switches
        ]
        for switch, check in zip(self._network.switches, checks, strict=True):
            _, errors = check.communicate()
            if check.returncode:
                raise LabError(f"the ports of {switch.name} did not come up: {errors.decode().strip()}")
        inventory = {
            "domain": self._plan.domain,
            "openflow": f"unix:{self._state.run_dir}/openflow.sock",
            "nodes": {names.short(node.name): self._southbound(node) for node in self._plan.nodes},
        }
        (self._state.run_dir / "inventory.json").write_text(json.dumps(inventory, indent=1))
        self._state.ready = True
        self._state.save()

    def _nodes(self, kind: NodeKind) -> Iterator[Node]:
        return (node for node in self._plan.nodes if node.kind is kind)

    def _directory(self, node: Node) -> Path:
        return self._state.run_dir / "nodes" / names.short(node.name)

    def _southbound(self, node: Node) -> dict[str, object]:
        if node.kind is NodeKind.ROUTER:
            return {"p4runtime": f"unix:{self._directory(node)}/p4rt.sock", "device_id": node.node_id}
        return {"datapath_id": node.node_id, "line_card": f"unix:{self._directory(node)}/linecard.sock"}

    def _spawn(self, name: str, argv: Sequence[str]) -> Process:
        process = spawn(argv, self._state.token, self._logs / f"{name.replace('/', '-')}.log")
        self._state.record(name, process, argv)
        return process

    def _last_words(self, name: str) -> str:
        lines = (self._logs / f"{name.replace('/', '-')}.log").read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "no output")

    def _add_nodes(self) -> None:
        for node in self._plan.nodes:
            name, directory = names.short(node.name), self._directory(node)
            directory.mkdir(parents=True)
            if node.kind is NodeKind.ROUTER:
                self._add_router(name, node)
            else:
                self._add_otn_node(name, node, directory)
        for host in self._plan.hosts:
            self._network.addHost(
                host.name,
                cls=Customer,
                **self._common,
                addresses=[*filter(None, (host.ipv4, host.ipv6))],
                gateways=[*filter(None, (host.ipv4_gateway, host.ipv6_gateway))],
            )

    def _add_router(self, name: str, node: Node) -> None:
        if self._state.targets[name] == "bmv2":
            self._network.addHost(name, cls=bmv2.Bmv2Router, **self._common)
            return
        gateways = [
            (port.port, address)
            for port in node.access_ports
            for address in (port.ipv4_gateway, port.ipv6_gateway)
            if address
        ]
        self._network.addHost(name, cls=Router, gateways=gateways, **self._common)

    def _add_otn_node(self, name: str, node: Node, directory: Path) -> None:
        # Open vSwitch connects to a socket only below its own run directory, so the common one is linked into it.
        (directory / "openflow.sock").symlink_to(self._state.run_dir / "openflow.sock")
        self._network.addSwitch(
            name,
            cls=OtnNode,
            **self._common,
            directory=directory,
            controller=f"unix:{directory}/openflow.sock",
            dpid=f"{node.node_id:016x}",
            inNamespace=True,
        )

    def _until_held(self) -> None:
        waiting: list[Namespace] = [*self._network.hosts, *self._network.switches]
        while waiting:
            waiting = [node for node in waiting if not node.held()]

    def _add_links(self) -> None:
        router_ids = {node.name: node.node_id for node in self._nodes(NodeKind.ROUTER)}
        ports = {(node.name, port.name): port.port for node in self._plan.nodes for port in node.access_ports}
        for link in self._plan.links:
            if link.kind is LinkKind.CLIENT:
                self._add_client_link(link, router_ids[link.a_node])
            elif link.kind is LinkKind.FIBRE:
                self._add_fibre(link)
        for host in self._plan.hosts:
            self._add_access_link(host, router_ids[host.router], ports[host.router, host.port])

    def _add_client_link(self, link: Link, node_id: int) -> None:
        a, z = names.short(link.a_node), names.short(link.z_node)
        self._network.addLink(a, z, port1=1, port2=1, intfName1="eth1", intfName2="eth1", addr1=port_mac(node_id, 1))

    def _add_access_link(self, host: LabHost, node_id: int, port: int) -> None:
        self._network.addLink(
            host.name,
            names.short(host.router),
            port1=0,
            port2=port,
            intfName1="eth0",
            intfName2=f"eth{port}",
            addr1=host.mac,
            addr2=port_mac(node_id, port),
        )

    def _add_fibre(self, link: Link) -> None:
        name = names.short(link.name)
        control = self._state.run_dir / "fibres" / f"{name}.sock"
        self._network.addLink(
            names.short(link.a_node),
            names.short(link.z_node),
            cls=Fibre,
            port1=self._plan.line_port(link.a_node, link.name),
            port2=self._plan.line_port(link.z_node, link.name),
            spawn=self._spawn,
            program=self._programs.fibre,
            fibre=name,
            delay_us=link.delay_us,
            control=str(control),
        )

    def _start_router(self, node: Node) -> None:
        name, listen = names.short(node.name), self._directory(node) / "p4rt.sock"
        ports = [1, *(port.port for port in node.access_ports)]
        if self._state.targets[name] == "bmv2":
            # As the optical switches, it comes before the programs that make its traffic.
            command = [*favoured(), *bmv2.command(self._programs.bmv2, node.node_id, ports, listen)]
        else:
            command = [*self._programs.router, "--device-id", str(node.node_id), "--listen", f"unix:{listen}"]
            command += [word for port in ports for word in ("--port", f"{port}@eth{port}")]
        self._answering(f"router/{name}", self._network[name].inside(command), listen)

    def _start_line_card(self, node: Node) -> None:
        name, directory = names.short(node.name), self._directory(node)
        listen = directory / "linecard.sock"
        command = [*self._programs.line_card, "--node", name, "--listen", f"unix:{listen}"]
        command += ["--switch", f"unix:{directory}/br0.mgmt"]
        fibres = [k for k in self._plan.links if k.kind is LinkKind.FIBRE and node.name in (k.a_node, k.z_node)]
        for port, fibre in enumerate(fibres, FIRST_LINE_PORT):
            command += ["--port", f"{port}@eth{port}"]
            command += [word for s in fibre.servers for word in ("--server", f"{port}:{s.name}={s.fgts}")]
        command += self._programs.line_card_arguments
        self._answering(f"line-card/{name}", self._network[name].inside(command), listen)
        self._sockets[f"vswitchd/{name}"] = directory / "br0.mgmt"

    def _answering(self, name: str, argv: Sequence[str], path: Path) -> None:
        self._spawn(name, argv)
        self._sockets[name] = path

    def _port_check(self, switch: OtnNode) -> list[str]:
        command = vsctl(switch.directory)
        for port, intf in sorted(switch.intfs.items()):
            command += ["--", "wait-until", "interface", intf.name, f"ofport={port}", "link_state=up"]
        return command


def answers(path: Path) -> bool:
    """Something accepts connections on this Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            return False
        return True


def raise_receive_buffers() -> None:
    """The machine's default receive buffer, never lowered; a machine that forbids it goes without."""
    if int(RMEM_DEFAULT.read_text()) < RMEM_BYTES:
        try:
            RMEM_DEFAULT.write_text(str(RMEM_BYTES))
        except OSError:
            return
