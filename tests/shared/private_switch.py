"""Private Open vSwitches in network namespaces of their own, and raw frames through them."""

import ctypes
import os
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_S = 15.0
RECEIVE_BUFFER = 4_194_304
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
CLONE_NEWNET = 0x40000000
PACKET_OUTGOING = 4
NEEDED = ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl", "ip", "ethtool")


def missing() -> str:
    """Why the real switch cannot be had here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [program for program in NEEDED if shutil.which(program, path=path) is None]
    return f"needs {', '.join(absent)}" if absent else ""


real_switch = [pytest.mark.root, pytest.mark.skipif(bool(missing()), reason=missing() or "all there")]


def run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def alive(pid: int) -> bool:
    """A process that only waits to be reaped is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class PrivateSwitch:
    """ovsdb-server and ovs-vswitchd with their own run directory, in their own namespace; one bridge `br0`."""

    def __init__(self, namespace: str, directory: Path, datapath_id: int) -> None:
        self.namespace = namespace
        self.directory = directory
        self.datapath_id = datapath_id
        self._env = os.environ | {f"OVS_{key}DIR": str(directory) for key in ("RUN", "DB", "LOG", "SYSCONF")}

    def start(self) -> None:
        run("sysctl", "-qw", f"net.core.rmem_default={RECEIVE_BUFFER}")
        run("ip", "netns", "add", self.namespace)
        self._inside("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        run("ovsdb-tool", "create", f"{self.directory}/conf.db", str(SCHEMA))
        self._daemon("ovsdb-server", f"{self.directory}/conf.db", f"--remote=punix:{self.directory}/db.sock")
        self.vsctl("--no-wait", "init")
        self.start_vswitchd()
        settings = ("datapath_type=netdev", "protocols=OpenFlow13", "fail_mode=secure")
        datapath = f"other_config:datapath-id={self.datapath_id:016x}"
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", *settings, datapath)

    def start_vswitchd(self) -> None:
        self._daemon("ovs-vswitchd", f"unix:{self.directory}/db.sock")

    def kill(self, program: str) -> None:
        pid = int((self.directory / f"{program}.pid").read_text())
        os.kill(pid, 9)
        deadline = time.monotonic() + PATIENCE_S
        while alive(pid):
            assert time.monotonic() < deadline, f"{program} outlives SIGKILL"
            time.sleep(0.005)

    def freeze(self, frozen: bool) -> None:
        os.kill(int((self.directory / "ovs-vswitchd.pid").read_text()), 19 if frozen else 18)

    def stop(self) -> None:
        for program in ("ovs-vswitchd", "ovsdb-server"):
            if (self.directory / f"{program}.pid").exists():
                self.kill(program)
        run("ip", "netns", "del", self.namespace)

    def controlled_by(self, path: Path) -> None:
        """OVS calls no Unix socket outside its run directory: it gets a link to it there."""
        link = self.directory / path.name
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        out_of_band = ("max_backoff=1000", "connection_mode=out-of-band")
        self.vsctl("set-controller", "br0", f"unix:{link}", "--", "set", "controller", "br0", *out_of_band)

    def clear(self) -> None:
        self.vsctl("del-controller", "br0")
        self.ofctl("del-flows")
        self.ofctl("del-meters")

    def add_port(self, interface: str, number: int) -> None:
        self.vsctl("add-port", "br0", interface, "--", "set", "interface", interface, f"ofport_request={number}")

    def client_port(self, number: int) -> str:
        """A port whose other end `hN` stays in the same namespace, for raw sockets."""
        port, host = f"eth{number}", f"h{number}"
        self._inside("ip", "link", "add", port, "type", "veth", "peer", "name", host)
        for interface in (port, host):
            self.bring_up(interface)
        self.add_port(port, number)
        return host

    def bring_up(self, interface: str) -> None:
        """Without offloads: the user-space datapath does not finish checksums."""
        self._inside("ip", "link", "set", interface, "mtu", "9000", "up")
        self._inside("ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off")

    def carrier(self, host: str, up: bool) -> None:
        self._inside("ip", "link", "set", host, "up" if up else "down")

    def vsctl(self, *command: str) -> str:
        return run("ovs-vsctl", f"--db=unix:{self.directory}/db.sock", *command, env=self._env)

    def ofctl(self, command: str, *arguments: str) -> str:
        return run("ovs-ofctl", "-O", "OpenFlow13", command, f"{self.directory}/br0.mgmt", *arguments, env=self._env)

    def flows(self) -> list[str]:
        return [line for line in self.ofctl("dump-flows", "--no-stats").splitlines() if "actions=" in line]

    def packets(self, text: str) -> int:
        """The packet counter of the flow whose line holds `text`."""
        line = next(line for line in self.ofctl("dump-flows").splitlines() if text in line)
        return int(line.split("n_packets=")[1].split(",")[0])

    def socket(self, interface: str) -> socket.socket:
        """A raw socket in the switch's namespace, made by a thread that visits it."""
        made: list[socket.socket] = []

        def visit() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/run/netns/{self.namespace}") as namespace:
                assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.setsockopt(socket.SOL_SOCKET, 33, RECEIVE_BUFFER)  # SO_RCVBUFFORCE
            sock.bind((interface, 0x0003))
            made.append(sock)

        visitor = threading.Thread(target=visit)
        visitor.start()
        visitor.join()
        return made[0]

    def _inside(self, *command: str) -> str:
        return run("ip", "netns", "exec", self.namespace, *command, env=self._env)

    def _daemon(self, program: str, *arguments: str) -> None:
        quiet = ("--pidfile", "--log-file", "-vconsole:off", "-vsyslog:off", "--detach", "--no-chdir")
        self._inside(program, *arguments, *quiet)


def join(a: PrivateSwitch, z: PrivateSwitch, number: int) -> None:
    """A fibre between port `number` of both."""
    port = f"eth{number}"
    run("ip", "link", "add", port, "netns", a.namespace, "type", "veth", "peer", "name", port, "netns", z.namespace)
    for switch in (a, z):
        switch.bring_up(port)
        switch.add_port(port, number)


def mac_bytes(address: int) -> bytes:
    return address.to_bytes(6, "big")


def frame(destination: int, payload: bytes = b"", size: int = 0, ethertype: int = 0x88B5) -> bytes:
    """Ethernet without FCS; 0x88b5 is the local experimental ethertype (IEEE 802)."""
    head = mac_bytes(destination) + mac_bytes(0x0A0000000001) + ethertype.to_bytes(2, "big")
    return (head + payload).ljust(max(size, 60), b"\0")


class Capture:
    """Collects what arrives on a raw socket, with the time of arrival, until it is closed."""

    def __init__(self, sock: socket.socket) -> None:
        self.frames: list[tuple[float, bytes]] = []
        self._sock = sock
        self._stop, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        while True:
            ready, _, _ = select.select([self._sock, self._stop], [], [])
            if self._stop in ready:
                return
            data, address = self._sock.recvfrom(65536)
            if address[2] != PACKET_OUTGOING:
                self.frames.append((time.monotonic(), data))

    @property
    def payloads(self) -> list[bytes]:
        return [data for _, data in self.frames]

    def close(self) -> None:
        self._wake.send(b".")
        self._thread.join()
        for sock in (self._sock, self._stop, self._wake):
            sock.close()


@contextmanager
def sending(sock: socket.socket, frames: Sequence[bytes], per_second: float) -> Iterator[threading.Event]:
    """Sends from a thread, evenly by the monotonic clock, late frames caught up; the event says that all are out."""
    done = threading.Event()

    def send() -> None:
        start = time.monotonic()
        for count, data in enumerate(frames):
            while (ahead := start + count / per_second - time.monotonic()) > 0:
                time.sleep(min(ahead, 0.002))
            sock.send(data)
        done.set()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield done
    finally:
        thread.join()
        sock.close()
