"""The lab with real namespaces, switches and fibres: what it builds, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stub_lab import METRO, STUBS, new_run_dir, start_command
from waiting import wait_until

from controller.core.model import LinkKind, NodeKind
from controller.topology_file import load
from topologies.lab import Lab, LabError, Programs, temporary, up
from topologies.processes import Process, marked

pytestmark = [pytest.mark.root, pytest.mark.e2e]
PROGRAM = Path(STUBS.fibre).with_name("sequenced_udp")


def namespaces_in_use() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.add(os.readlink(process / "ns/net"))
        except OSError:
            continue
    return found


def root_links() -> set[str]:
    names = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout.split("\n")
    return {line.split()[0].split("@")[0] for line in names if line}


def token_of(run_dir: Path) -> str:
    return str(json.loads((run_dir / "lab.json").read_text())["token"])


def commands_that_name(run_dir: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.split("\n")
    return [command for command in listed if str(run_dir) in command]


def assert_nothing_left(run_dir: Path, token: str) -> None:
    assert list(marked(token)) == []
    assert commands_that_name(run_dir) == []
    assert not run_dir.exists()
    assert not {name for name in root_links() if name.startswith(("eth1", "eth2", "br0", "ovs", "tap"))}


def test_status_names_all_processes(lab: Lab) -> None:
    plan = load(METRO)
    status = lab.status()
    assert status.healthy
    routers = sum(node.kind is NodeKind.ROUTER for node in plan.nodes)
    fibres = sum(link.kind is LinkKind.FIBRE for link in plan.links)
    kinds = [name.split("/")[0] for name in status.processes]
    assert kinds.count("namespace") == len(plan.nodes) + len(plan.hosts)
    assert (kinds.count("router"), kinds.count("vswitchd"), kinds.count("fibre")) == (routers, routers, fibres)


def test_inventory_names_every_node(lab: Lab) -> None:
    inventory = json.loads(lab.inventory.read_text())
    assert inventory["nodes"].keys() == {node.name.split("/")[-1] for node in load(METRO).nodes}
    assert inventory["nodes"]["zgc-o"]["datapath_id"] == 0x101
    assert Path(inventory["nodes"]["zgc-r"]["p4runtime"].removeprefix("unix:")).is_socket()
    assert inventory["openflow"] == f"unix:{lab.openflow_socket}"


def test_ports_have_the_planned_addresses(lab: Lab) -> None:
    ports = {port["ifname"]: port for port in json.loads(lab.run("zgc-r", ["ip", "-j", "address"]).stdout)}
    assert ports["eth1"]["address"] == "06:00:00:01:00:01"
    assert ports["eth3"]["address"] == "06:00:00:01:00:03"
    assert {ports[name]["mtu"] for name in ("eth1", "eth2", "eth3", "eth4")} == {9000}
    for shared in ("eth3", "eth4"):
        addresses = {(a["local"], a["prefixlen"]) for a in ports[shared]["addr_info"] if a["scope"] == "global"}
        assert addresses == {("10.9.1.1", 24), ("2001:db8:91::1", 64)}
    assert lab.run("zgc-r", ["ip", "route"]).stdout == ""
    host = json.loads(lab.run("h-acme-zgc", ["ip", "-j", "address", "show", "eth0"]).stdout)[0]
    assert (host["address"], host["mtu"]) == ("0a:00:00:01:00:03", 1500)
    assert "default via 10.9.1.1" in lab.run("h-acme-zgc", ["ip", "route"]).stdout


def test_switch_is_openflow_13_only_with_the_planned_ports(lab: Lab) -> None:
    features = lab.ofctl("yz-o", "show")
    assert "dpid:0000000000000105" in features
    assert all(f" {port}(eth{port})" in features for port in (1, 2, 3, 4))
    assert lab.vsctl("yz-o", "get-fail-mode", "br0") == "secure\n"
    assert lab.vsctl("yz-o", "get", "bridge", "br0", "protocols", "datapath_type").split() == ["[OpenFlow13]", "netdev"]
    assert lab.ofctl("yz-o", "dump-flows").strip().count("\n") == 0


def test_switches_look_for_the_controller_at_the_common_socket(lab: Lab) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as controller:
        controller.bind(str(lab.openflow_socket))
        controller.listen(16)
        controller.settimeout(10)
        callers = [controller.accept()[0] for _ in range(7)]
        assert {caller.recv(1)[0] for caller in callers} == {4}  # OpenFlow 1.3
        for caller in callers:
            caller.close()
    lab.openflow_socket.unlink()


@pytest.fixture
def joined(lab: Lab) -> Lab:
    """Zhongguancun's and Yizhuang's routers joined by their direct fibre, with an address each."""
    for node, line in (("zgc-o", 5), ("yz-o", 4)):
        lab.ofctl(node, "add-flow", f"in_port=1,actions=output:{line}")
        lab.ofctl(node, "add-flow", f"in_port={line},actions=output:1")
    for node, address in (("zgc-r", "192.0.2.1/30"), ("yz-r", "192.0.2.2/30")):
        lab.run(node, ["ip", "address", "replace", address, "dev", "eth1"])
    wait_until(lambda: lab.run("zgc-r", ["ping", "-c1", "-W1", "192.0.2.2"], check=False).returncode == 0, "the ping")
    return lab


def send(lab: Lab, pps: int, ip_bytes: int, seconds: float) -> dict[str, object]:
    with lab.popen("yz-r", [PROGRAM, "receive", "5000", "20"], stdout=-1, stderr=-1) as receiver:
        assert receiver.stderr is not None
        assert receiver.stderr.readline() == "listening\n"
        lab.run("zgc-r", [PROGRAM, "send", "192.0.2.2", "5000", pps, ip_bytes, seconds])
        output, _ = receiver.communicate(timeout=20)
    result: dict[str, object] = json.loads(output)
    return result


def test_two_sites_are_as_far_apart_as_planned(joined: Lab) -> None:
    planned = next(link.delay_us for link in load(METRO).links if link.name.endswith("/F-zgc-yz"))
    result = send(joined, 1000, 200, 1)
    assert (result["lost"], result["duplicated"], result["reordered"]) == (0, 0, 0)
    one_way = result["one_way_us"]
    assert isinstance(one_way, dict)
    assert one_way["min"] >= planned


def test_fibre_carries_jumbo_frames(joined: Lab) -> None:
    assert send(joined, 500, 9000, 0.5)["received"] == 250


def test_cut_and_mend_are_seen_by_both_switches(joined: Lab) -> None:
    def link_states() -> set[str]:
        ends = (("zgc-o", "eth5"), ("yz-o", "eth4"))
        return {joined.vsctl(node, "get", "interface", port, "link_state").strip() for node, port in ends}

    before = time.monotonic_ns()
    cut_at = joined.cut("F-zgc-yz")
    assert before < cut_at < time.monotonic_ns()
    wait_until(lambda: link_states() == {"down"}, "both ports down")
    assert joined.run("zgc-r", ["ping", "-c1", "-W1", "192.0.2.2"], check=False).returncode == 1
    joined.mend("F-zgc-yz")
    wait_until(lambda: link_states() == {"up"}, "both ports up")
    wait_until(
        lambda: joined.run("zgc-r", ["ping", "-c1", "-W1", "192.0.2.2"], check=False).returncode == 0, "the ping"
    )


def test_capture(joined: Lab) -> None:
    with joined.capture("yz-r", "eth1", "icmp") as capture:
        joined.run("zgc-r", ["ping", "-c3", "-i0.05", "192.0.2.2"])
    rows = capture.fields("eth.src", "ip.dst", display_filter="icmp.type == 8")
    assert rows == [("06:00:00:01:00:01", "192.0.2.2")] * 3


def test_restarted_switch_has_its_ports_and_an_empty_table(joined: Lab) -> None:
    assert "in_port=1" in joined.ofctl("zgc-o", "dump-flows")
    joined.restart_otn_switch("zgc-o")
    assert "in_port" not in joined.ofctl("zgc-o", "dump-flows")
    wait_until(lambda: " 5(eth5)" in joined.ofctl("zgc-o", "show"), "the port in the switch")
    assert Lab.load(joined.run_dir).status().healthy


def test_restarted_agent_is_another_process(lab: Lab) -> None:
    before = lab.status().processes["router/cp-r"]
    lab.restart_router_agent("cp-r")
    after = lab.status().processes["router/cp-r"]
    assert before[0] != after[0]
    assert after[1]


def test_a_line_card_is_restarted_with_arguments_until_its_next_restart(lab: Lab) -> None:
    def words() -> list[str]:
        pid, alive = lab.status().processes["line-card/cp-o"]
        assert alive
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]

    before, (pid, _) = words(), lab.status().processes["line-card/cp-o"]
    lab.restart_line_card("cp-o", "--server", "2:odu1-1=3")
    assert words()[-2:] == ["--server", "2:odu1-1=3"]
    lab.restart_line_card("cp-o")
    assert words() == before
    assert lab.status().processes["line-card/cp-o"][0] != pid


@pytest.fixture(scope="module")
def mixed() -> Iterator[Lab]:
    """A lab where one router's target is Linux and all others are stand-ins for BMv2."""
    with temporary(METRO, "bmv2", new_run_dir("mixed"), STUBS, targets={"zgc-r": "linux"}) as lab:
        yield lab


def words_of(lab: Lab, router: str) -> list[str]:
    pid, alive = lab.status().processes[f"router/{router}"]
    assert alive
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def test_each_router_runs_its_target(mixed: Lab) -> None:
    targets = Lab.load(mixed.run_dir).status().targets
    assert targets.pop("zgc-r") == "linux"
    assert targets == dict.fromkeys(("cp-r", "sy-r", "tz-r", "yz-r", "ft-r", "sg-r"), "bmv2")
    assert "--port" in words_of(mixed, "zgc-r")
    assert "--no-p4" not in words_of(mixed, "zgc-r")


def test_bmv2_gets_its_ports_and_the_cpu_port(mixed: Lab) -> None:
    words = words_of(mixed, "yz-r")
    assert [words[n + 1] for n, word in enumerate(words) if word == "-i"] == [f"{n}@eth{n}" for n in (1, 2, 3, 4)]
    assert words[words.index("--log-level") + 1] == "off"
    bmv2_own = words[words.index("--") :]
    assert bmv2_own[1:5] == ["--grpc-server-addr", f"unix:{mixed.run_dir}/nodes/yz-r/p4rt.sock", "--cpu-port", "510"]


def test_beside_bmv2_the_kernel_is_silent(mixed: Lab) -> None:
    ports = {port["ifname"]: port for port in json.loads(mixed.run("yz-r", ["ip", "-j", "address"]).stdout)}
    assert [name for name, port in ports.items() if port["addr_info"]] == ["lo"]
    assert all("NOARP" in ports[f"eth{n}"]["flags"] for n in (1, 2, 3, 4))
    assert mixed.run("yz-r", ["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "0\n"
    with mixed.capture("h-yz", "eth0") as capture:
        for gateway in ("10.5.0.1", "2001:db8:5::1"):
            mixed.run("h-yz", ["ping", "-c1", "-W0.2", gateway], check=False)
    senders = {sender for (sender,) in capture.fields("eth.src")}
    assert senders == {mac_of(mixed, "h-yz", "eth0")}


def mac_of(lab: Lab, node: str, interface: str) -> str:
    return lab.run(node, ["cat", f"/sys/class/net/{interface}/address"]).stdout.strip()


def test_bmv2_sees_its_own_ports_in_sys(mixed: Lab) -> None:
    assert mac_of(mixed, "yz-r", "eth1") == "06:00:00:05:00:01"
    for state in ("down", "up"):
        mixed.run("h-yz", ["ip", "link", "set", "eth0", state])
        seen = ["cat", "/sys/class/net/eth2/carrier"]
        wait_until(lambda: mixed.run("yz-r", seen).stdout == f"{int(state == 'up')}\n", state)  # noqa: B023


def test_restarted_bmv2_is_another_process(mixed: Lab) -> None:
    before, words = mixed.status().processes["router/yz-r"][0], words_of(mixed, "yz-r")
    mixed.restart_router_agent("yz-r")
    assert words_of(mixed, "yz-r") == words
    assert mixed.status().processes["router/yz-r"][0] != before


def test_what_is_not_there_is_said(lab: Lab) -> None:
    with pytest.raises(LabError, match="F-none"):
        lab.cut("F-none")
    with pytest.raises(LabError, match="no namespace/nobody"):
        lab.run("nobody", ["true"])
    with pytest.raises(LabError, match="up already"):
        up(METRO, run_dir=lab.run_dir, programs=STUBS)
    nowhere = new_run_dir("none")
    with pytest.raises(LabError, match="not on the path"):
        up(METRO, run_dir=nowhere, programs=Programs(bmv2=("no-such-switch",)), targets={"yz-r": "bmv2"})
    with pytest.raises(LabError, match="no router 'yz-o' in metro-beijing"):
        up(METRO, run_dir=nowhere, programs=STUBS, targets={"yz-o": "bmv2"})
    with pytest.raises(LabError, match="no target 'tofino': linux or bmv2"):
        up(METRO, "tofino", nowhere, STUBS)
    assert not nowhere.exists()


def test_down_leaves_nothing_and_can_be_repeated() -> None:
    run_dir = new_run_dir("down")
    lab = up(METRO, run_dir=run_dir, programs=STUBS)
    token = token_of(run_dir)
    namespaces = {os.readlink(f"/proc/{lab.pid(name)}/ns/net") for name in ("zgc-r", "zgc-o", "h-zgc")}
    assert namespaces <= namespaces_in_use()
    client = lab.popen("h-zgc", ["sleep", "1000"])
    wait_until(lambda: Path(f"/proc/{client.pid}/comm").read_text() == "sleep\n", "the client runs its command")
    lab.down()
    assert client.wait(5) == -signal.SIGTERM
    assert_nothing_left(run_dir, token)
    assert not namespaces & namespaces_in_use()
    lab.down()
    with pytest.raises(LabError, match="no lab"):
        Lab.load(run_dir)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("progress", [5, 45])
def test_an_interrupted_start_leaves_nothing(number: signal.Signals, progress: int) -> None:
    run_dir = new_run_dir(f"cut{progress}-{number}")
    starter = subprocess.Popen(start_command(run_dir), stderr=subprocess.DEVNULL)
    state = run_dir / "lab.json"
    wait_until(
        lambda: state.exists() and len(json.loads(state.read_text())["started"]) >= progress,
        "the lab has come so far",
        20,
    )
    token = token_of(run_dir)
    starter.send_signal(number)
    assert starter.wait(10) != 0
    if number is signal.SIGKILL:
        Lab.load(run_dir).down()
    assert_nothing_left(run_dir, token)


def test_a_reused_pid_is_left_alone() -> None:
    other = subprocess.Popen(["sleep", "100"])
    started = int(Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19])
    assert Process(other.pid, started).alive()
    Process(other.pid, started - 1).signal(signal.SIGKILL)
    assert other.poll() is None
    other.kill()
    other.wait()
    assert not Process(other.pid, started).alive()
