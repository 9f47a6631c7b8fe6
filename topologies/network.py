"""Mininet's nodes and links as the lab needs them: routers, OTN nodes, hosts, and fibres with their length's delay.

A node is a network namespace held open by a sleeping process instead of Mininet's shell, so that it outlives the
command that built it, and dies with that process and all its interfaces. Nothing is ever created in, or moved
through, the root namespace.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mininet.link import Intf, Link
from mininet.net import Mininet
from mininet.node import Node, Switch

from controller.core.addresses import mac_text, router_mac
from topologies.processes import Process, favoured

NETWORK_MTU = 9000
CUSTOMER_MTU = 1500
FIBRE_MTU = 9500
OFFLOADS = "rx off tx off tso off gso off gro off"
"""Off on every port: counters count packets, and user-space switches see whole checksums."""

Spawn = Callable[[str, Sequence[str]], Process]
"""Starts a named process of the lab and records it."""

_HOLD = "ip link set lo up; exec sleep infinity"
_KEEP_MEMORY = ("MALLOC_TRIM_THRESHOLD_=67108864", "MALLOC_TOP_PAD_=4194304")
"""For each look at a port Open vSwitch allocates room for 32 of the largest frames. By default the C library gives
that back to the kernel each time, and takes it again: most of what a packet would cost."""
_ROUTER_SETTINGS = """
for i in all default; do
  echo 0 >$i/accept_ra; echo 0 >$i/accept_dad; echo 1 >$i/keep_addr_on_down
done
"""
_HOST_SETTINGS = "for i in all default; do echo 0 >$i/accept_ra; echo 0 >$i/accept_dad; done\n"
_OTN_SETTINGS = "for i in all default; do echo 1 >$i/disable_ipv6; done\n"


class Port(Intf):  # type: ignore[misc]
    """An interface that its node's own script configures."""

    def config(self, **_params: Any) -> dict[str, Any]:
        return {}


class Namespace(Node):  # type: ignore[misc]
    """A node: a namespace and the process that holds it."""

    settings = ""
    """Shell commands run first, in /proc/sys/net/ipv6/conf of the namespace."""

    def __init__(self, name: str, spawn: Spawn, environment: Mapping[str, str], **params: Any) -> None:
        self._spawn = spawn
        self.environment = environment
        super().__init__(name, **params)

    def startShell(self, mnopts: str | None = None) -> None:  # noqa: N802
        script = f"set -e; cd /proc/sys/net/ipv6/conf\n{self.settings}cd /; {_HOLD}"
        self.holder = self._spawn(f"namespace/{self.name}", ["mnexec", "-n", "sh", "-c", script])
        self.pid = self.holder.pid

    def held(self) -> bool:
        """The namespace is there, with its settings. RuntimeError when its process died."""
        if not self.holder.alive():
            raise RuntimeError(f"the namespace of {self.name} did not start")
        return Path(f"/proc/{self.pid}/comm").read_text() == "sleep\n"

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in the namespace."""
        return ["mnexec", "-a", str(self.pid), *argv]

    def run(self, script: str) -> None:
        """Run a shell script inside; CalledProcessError with its output where a command fails."""
        subprocess.run(
            self.inside(["sh", "-e"]),
            input=script,
            text=True,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
        )

    def cmd(self, *args: Any, **_kwargs: Any) -> str:
        words = " ".join(str(arg) for arg in args)
        argv = self.inside(["sh", "-c", words])
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=self.environment).stdout

    def terminate(self) -> None:
        """The lab ends its processes itself."""


class Router(Namespace):
    """An SRv6 router before its agent: ports with addresses, nothing routed."""

    settings = _ROUTER_SETTINGS

    def config(self, gateways: Sequence[tuple[int, str]] = (), **_params: Any) -> dict[str, Any]:
        """`gateways`: port number and address with prefix length. Prefix routes are the agent's, by VRF."""
        lines = [f"link set {intf} mtu {NETWORK_MTU} up" for intf in self.intfList()]
        lines += [
            f"addr add {address} dev eth{port} noprefixroute" + (" nodad" if ":" in address else "")
            for port, address in gateways
        ]
        self.run(_batch(lines) + _offloads(self.intfNames()))
        return {}


class Customer(Namespace):
    """A customer's host with one port."""

    settings = _HOST_SETTINGS

    def config(self, addresses: Sequence[str] = (), gateways: Sequence[str] = (), **_params: Any) -> dict[str, Any]:
        lines = [f"link set eth0 mtu {CUSTOMER_MTU} up"]
        lines += [f"addr add {address} dev eth0" + (" nodad" if ":" in address else "") for address in addresses]
        lines += [f"route add default via {gateway} dev eth0" for gateway in gateways]
        self.run(_batch(lines) + _offloads(["eth0"]))
        return {}


class OtnNode(Namespace, Switch):  # type: ignore[misc]
    """An optical cross-connect: a bridge `br0` of a private Open vSwitch, user-space datapath, OpenFlow 1.3 only."""

    settings = _OTN_SETTINGS
    portBase = 1  # noqa: N815

    def __init__(self, name: str, directory: Path, controller: str, **params: Any) -> None:
        self.directory = directory
        self.controller = controller
        self.commands = switch_commands(directory)
        super().__init__(name, **params)

    def start(self, controllers: object) -> None:
        """Write the bridge into the database first: the switch then starts with all of it."""
        client = [intf.name for intf in self.intfList() if intf.name == "eth1"]
        self.run(_batch([f"link set {name} mtu {NETWORK_MTU} up" for name in client]) + _offloads(client))
        subprocess.run(
            ["ovsdb-tool", "create", str(self.directory / "conf.db"), "/usr/share/openvswitch/vswitch.ovsschema"],
            check=True,
            env=self.environment,
        )
        self._spawn(f"ovsdb/{self.name}", self.inside(self.commands["ovsdb"]))
        self._bridge = subprocess.Popen(
            self._bridge_command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment
        )

    def start_switch(self) -> None:
        """The second half of `start`, once the database answers."""
        output, _ = self._bridge.communicate()
        if self._bridge.returncode:
            raise RuntimeError(f"the bridge of {self.name}: {output.decode().strip()}")
        self._spawn(f"vswitchd/{self.name}", self.inside(self.commands["vswitchd"]))

    def _bridge_command(self) -> list[str]:
        command = [*vsctl(self.directory), "--retry", "--no-wait", "init", "--", "add-br", "br0"]
        command += ["--", "set", "bridge", "br0", "datapath_type=netdev", "protocols=OpenFlow13", "fail_mode=secure"]
        command += [f"other_config:datapath-id={self.dpid}", "other_config:disable-in-band=true"]
        command += ["--", *set_controllers([self.controller])]
        command += ["--", "set", "open_vswitch", ".", "other_config:n-handler-threads=1"]
        command += ["other_config:n-revalidator-threads=1"]
        for port, intf in sorted(self.intfs.items()):
            command += ["--", "add-port", "br0", intf.name, "--", "set", "interface", intf.name]
            command += [f"ofport_request={port}", f"mtu_request={NETWORK_MTU if port == 1 else FIBRE_MTU}"]
        return command

    def stop(self, deleteIntfs: bool = True) -> None:  # noqa: N803
        """The lab ends its processes itself."""


class ClientLink(Link):  # type: ignore[misc]
    """A veth pair between two namespaces: router and OTN node, or host and router."""

    @classmethod
    def makeIntfPair(  # noqa: N802
        cls,
        name1: str,
        name2: str,
        addr1: str,
        addr2: str,
        node1: Node,
        node2: Node,
        deleteIntfs: bool = False,  # noqa: N803
    ) -> None:
        near = ["name", name1, "address", addr1, "netns", str(node1.pid)]
        far = ["name", name2, "address", addr2, "netns", str(node2.pid)]
        argv = ["ip", "link", "add", *near, "type", "veth", "peer", *far]
        subprocess.run(argv, check=True, capture_output=True, text=True, env=node1.environment)


class Fibre(Link):  # type: ignore[misc]
    """A fibre pair between two OTN nodes: one process that delays what it carries and can be cut."""

    def __init__(self, node1: OtnNode, node2: OtnNode, **params: Any) -> None:
        """`program`: the compiled fibre.c; `fibre`: its name; `delay_us`; `control`: path of its socket; ports."""
        name1, name2 = f"eth{params['port1']}", f"eth{params['port2']}"
        self.intf1 = Port(name1, node=node1, link=self, port=params["port1"], moveIntfFn=self._ignore)
        self.intf2 = Port(name2, node=node2, link=self, port=params["port2"], moveIntfFn=self._ignore)
        ends = [str(node1.pid), name1, str(node2.pid), name2]
        params["spawn"](
            f"fibre/{params['fibre']}", [params["program"], *ends, str(params["delay_us"]), params["control"]]
        )


class Network(Mininet):  # type: ignore[misc]
    """Mininet without its changes to the machine's limits and without a controller of its own."""

    def __init__(self) -> None:
        super().__init__(controller=None, link=ClientLink, intf=Port, build=False)

    @classmethod
    def init(cls) -> None:
        """Mininet would raise sysctls of the whole machine here."""


def port_mac(node_id: int, port: int) -> str:
    """MAC of a router's port."""
    return mac_text(router_mac(node_id, port))


def vsctl(directory: Path) -> list[str]:
    return ["ovs-vsctl", f"--db=unix:{directory}/db.sock", "--timeout=10"]


def set_controllers(targets: Sequence[str]) -> list[str]:
    """The part of an ovs-vsctl command that names the bridge's controllers; it takes orders from whoever leads."""
    settings = ["max_backoff=1000", "connection_mode=out-of-band"]
    command: list[str] = []
    for number, target in enumerate(targets):
        command += [f"--id=@c{number}", "create", "controller", f'target="{target}"', *settings, "--"]
    return [*command, "set", "bridge", "br0", f"controller={','.join(f'@c{n}' for n in range(len(targets)))}"]


def switch_commands(directory: Path) -> dict[str, list[str]]:
    """How the two processes of a private Open vSwitch are started, in the order of their start.

    A switch comes before whatever makes or counts its traffic, where that is permitted: equipment waits for nobody.
    It has no real-time priority: woken for each packet it costs so much that traffic would stop all other programs.
    """
    quiet = ["-vconsole:off", "-vsyslog:off"]
    places = [f"{variable}={directory}" for variable in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")]
    ovsdb = [f"{directory}/conf.db", f"--remote=punix:{directory}/db.sock", f"--log-file={directory}/ovsdb.log"]
    vswitchd = [
        f"unix:{directory}/db.sock",
        f"--log-file={directory}/vswitchd.log",
        f"--pidfile={directory}/vswitchd.pid",
    ]
    return {
        "ovsdb": ["env", *places, "ovsdb-server", *ovsdb, *quiet],
        "vswitchd": [*favoured(), "env", *places, *_KEEP_MEMORY, "ovs-vswitchd", *vswitchd, *quiet],
    }


def _batch(lines: Sequence[str]) -> str:
    return "ip -batch - <<END\n" + "\n".join(lines) + "\nEND\n"


def _offloads(interfaces: Sequence[str]) -> str:
    return "".join(f"ethtool -K {interface} {OFFLOADS} >/dev/null\n" for interface in interfaces)
