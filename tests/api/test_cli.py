"""The command against a live gRPC server over the fake service."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from controller.api import quantities
from controller.api.grpc_face import grpc_server
from controller.cli import app
from controller.core.errors import CorridorError
from controller.core.model import Isolation, Objective, PathConstraints, Reservation
from tests.api.fake_service import DOMAIN, FakeService

C1 = "tenants/default/corridors/c1"
PROFILES = ("--profile", "inference=20M", "--profile", "training=100M")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[FakeService, str]]:
    """A server in a thread with its own loop; the command is synchronous."""
    service, address, up = FakeService(), f"unix:{tmp_path}/grpc.sock", threading.Event()
    loop = asyncio.new_event_loop()

    async def run(stopping: asyncio.Event) -> None:
        server = grpc_server(service, address)
        await server.start()
        up.set()
        await stopping.wait()
        await server.stop(None)

    stopping = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(run(stopping),))
    thread.start()
    assert up.wait(5)
    yield service, address
    loop.call_soon_threadsafe(stopping.set)
    thread.join(5)
    loop.close()


@dataclass
class Command:
    endpoint: str

    def __call__(self, *arguments: str, **options: Any) -> str:
        """Standard output of a command that must succeed."""
        result = self.run(*arguments, **options)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    def json(self, *arguments: str, **options: Any) -> Any:
        return json.loads(self(*arguments, "--output", "json", **options))

    def refused(self, *arguments: str, code: int = 1) -> str:
        """The complaint of a command that must fail: one line, nothing on standard output."""
        result = self.run(*arguments)
        assert (result.exit_code, result.stdout) == (code, ""), result.output
        if code == 1:
            assert result.stderr.count("\n") == 1
            assert result.stderr.startswith("error: ")
        return str(result.stderr)

    def run(self, *arguments: str, **options: Any) -> Any:
        environment = {"CORRIDOR_ENDPOINT": self.endpoint, "COLUMNS": "200"}
        return CliRunner().invoke(app, arguments, env=environment, **options)


@pytest.fixture
def service(live: tuple[FakeService, str]) -> FakeService:
    return live[0]


@pytest.fixture
def corridor(live: tuple[FakeService, str]) -> Command:
    return Command(live[1])


def test_create_states_every_option(corridor: Command, service: FakeService) -> None:
    created = corridor.json(
        *("create", "c1", "--from", "zgc-r:dc1", "--to", f"{DOMAIN}/nodes/zgc-r:ent1", *PROFILES),
        *("--from-prefix", "10.1.0.0/24", "--from-prefix", "2001:db8:1::/64", "--to-prefix", "10.2.0.0/24"),
        *("--from-dscp", "0", "--isolation", "soft", "--reservation", "active", "--protection", "unprotected"),
        *("--active", "training", "--max-latency", "1.5ms", "--mtu", "1400", "--reference-packet", "1000"),
        *("--priority", "7", "--display-name", "[red]pipe", "--allow-interruption"),
    )
    kept = service.corridors[C1]
    assert created["name"] == C1
    assert (kept.a_end.node, kept.a_end.port, kept.a_end.dscp) == (f"{DOMAIN}/nodes/zgc-r", "dc1", 0)
    assert (kept.a_end.ipv4_prefixes, kept.a_end.ipv6_prefixes) == (("10.1.0.0/24",), ("2001:db8:1::/64",))
    assert (kept.z_end.node, kept.z_end.port, kept.z_end.dscp) == (f"{DOMAIN}/nodes/zgc-r", "ent1", None)
    assert (kept.isolation, kept.reservation) == (Isolation.SOFT, Reservation.ACTIVE)
    assert [(each.name, each.bandwidth_kbps) for each in kept.profiles] == [("inference", 20000), ("training", 100000)]
    assert (kept.active_profile, kept.max_latency_us, kept.mtu_bytes) == ("training", 1500, 1400)
    assert (kept.reference_packet_bytes, kept.priority, kept.allow_interruption) == (1000, 7, True)
    assert "[red]pipe" in corridor("get", "c1")


def test_create_from_a_file_and_options(corridor: Command, service: FakeService, tmp_path: Path) -> None:
    document = {
        "aEnd": {"node": f"{DOMAIN}/nodes/zgc-r", "port": "dc1"},
        "profiles": [{"name": "x", "bandwidthKbps": 7}],
    }
    file = tmp_path / "corridor.json"
    file.write_text(json.dumps(document))
    corridor("create", "acme/c1", "--file", str(file), "--from-dscp", "46", "--isolation", "HARD")
    kept = service.corridors["tenants/acme/corridors/c1"]
    assert (kept.a_end.port, kept.a_end.dscp, kept.profiles[0].bandwidth_kbps, kept.active_profile) == (
        "dc1",
        46,
        7,
        "x",
    )
    corridor("create", "c2", "--file", "-", input=json.dumps(document))
    assert service.corridors["tenants/default/corridors/c2"].profiles == kept.profiles


def test_a_soft_profile_may_differ_in_reverse(corridor: Command, service: FakeService) -> None:
    corridor("create", "c1", "--profile", "x=1.5G/800k")
    (profile,) = service.corridors[C1].profiles
    assert (profile.bandwidth_kbps, profile.reverse_bandwidth_kbps) == (1_500_000, 800)


def test_validate_only(corridor: Command, service: FakeService) -> None:
    assert C1 in corridor("create", "c1", *PROFILES, "--validate-only", "--wait")
    assert service.corridors == {}


def test_waiting_until_the_devices_agree(corridor: Command, service: FakeService) -> None:
    assert corridor.json("create", "c1", *PROFILES)["reconciling"]
    assert "is not settled after 0.05 s" in corridor.refused("switch", "c1", "training", "--wait", "--timeout", "0.05")
    service.settles = True
    switched = corridor.json("switch", "c1", "inference", "--wait")
    assert (switched["reconciling"], switched["state"], switched["activeProfile"]) == (False, "UP", "inference")
    assert corridor.json("delete", C1, "--wait")["state"] == "DELETING"


def test_patch_sends_what_is_stated(corridor: Command, service: FakeService, tmp_path: Path) -> None:
    corridor("create", "c1", *PROFILES, "--from", "zgc-r:dc1", "--max-latency", "5ms", "--display-name", "x")
    corridor("patch", "c1", "--max-latency", "0", "--display-name", "", "--etag", "g1")
    assert service.updates[-1][1:] == (("display_name", "max_latency_us"), "g1")
    assert service.corridors[C1].max_latency_us == 0
    corridor("patch", "c1", "--from-prefix", "10.9.0.0/16")
    assert service.updates[-1][1:] == (("a_end",), "g2")
    assert service.corridors[C1].a_end.port == "dc1"
    file = tmp_path / "change.json"
    file.write_text('{"profiles": [{"name": "x", "bandwidthKbps": 5}], "mtuBytes": 1300}')
    corridor("patch", "c1", "--file", str(file))
    assert service.updates[-1][1:] == (("profiles", "mtu_bytes"), "")
    assert len(service.corridors[C1].profiles) == 1
    corridor.refused("patch", "c1", code=2)


def test_path_constraints_are_stated_by_short_names(corridor: Command, service: FakeService) -> None:
    created = corridor.json(
        *("create", "c1", *PROFILES, "--objective", "te", "--max-hops", "4", "--max-jitter-us", "90"),
        *("--include-node", "zgc-r", "--include-link", "F-a-b", "--exclude-node", f"{DOMAIN}/nodes/zgc-o"),
        *("--exclude-link", "F-1", "--exclude-link", "F-2", "--exclude-srlg", "11", "--exclude-srlg", "12"),
        *("--include-any", "gold", "--include-all", "green", "--exclude-any", "red"),
    )
    stated = PathConstraints(
        objective=Objective.TE,
        max_hops=4,
        max_jitter_us=90,
        include_nodes=(f"{DOMAIN}/nodes/zgc-r",),
        include_links=(f"{DOMAIN}/links/F-a-b",),
        exclude_nodes=(f"{DOMAIN}/nodes/zgc-o",),
        exclude_links=(f"{DOMAIN}/links/F-1", f"{DOMAIN}/links/F-2"),
        exclude_srlgs=(11, 12),
        include_any_affinities=("gold",),
        include_all_affinities=("green",),
        exclude_any_affinities=("red",),
    )
    assert service.corridors[C1].path_constraints == stated
    assert created["pathConstraints"]["excludeSrlgs"] == [11, 12]
    shown = corridor("get", "c1")
    told = ("least te, at most 4 hops, jitter at most 90 µs", "including zgc-r F-a-b", "excluding zgc-o F-1 F-2")
    assert all(words in shown for words in (*told, "excluding risk groups 11 12", "with none of red")), shown
    corridor("patch", "c1", "--exclude-link", "", "--max-hops", "0")
    assert service.corridors[C1].path_constraints == replace(stated, exclude_links=(), max_hops=0)
    corridor("patch", "c1", "--priority", "3")
    assert service.updates[-1][1] == ("priority",)


def test_path_constraints_of_a_file_are_taken_as_a_whole(
    corridor: Command, service: FakeService, tmp_path: Path
) -> None:
    corridor("create", "c1", *PROFILES, "--exclude-srlg", "11")
    file = tmp_path / "change.json"
    file.write_text('{"pathConstraints": {"maxHops": 5}}')
    corridor("patch", "c1", "--file", str(file), "--objective", "LOAD")
    assert service.corridors[C1].path_constraints == PathConstraints(Objective.LOAD, max_hops=5)
    assert "path by" not in corridor("create", "c2", *PROFILES)


def test_lists_and_tables(corridor: Command) -> None:
    corridor("create", "c1", *PROFILES, "--from", "zgc-r:dc1", "--to", "zgc-r:ent1")
    corridor("create", "acme/c2", *PROFILES)
    assert [each["name"] for each in corridor.json("list")["corridors"]] == ["tenants/acme/corridors/c2", C1]
    assert [each["name"] for each in corridor.json("list", "--tenant", "default")["corridors"]] == [C1]
    shown = corridor("list")
    assert all(word in shown for word in ("c1", "acme/c2", "PROVISIONING", "20 Mbit/s", "zgc-r:dc1 → zgc-r:ent1"))
    assert all(word in corridor("get", "c1") for word in (C1, "training 100 Mbit/s", "inference 20 Mbit/s (active)"))


def test_a_list_longer_than_a_page(corridor: Command, service: FakeService) -> None:
    for number in range(51):
        corridor("create", f"c{number}", *PROFILES)
    assert len(corridor.json("list")["corridors"]) == 51


def test_topology(corridor: Command) -> None:
    assert corridor.json("topology")["srv6Block"] == "fcbb:bb00::/32"
    assert corridor.json("topology", "--domain", "metro")["version"] == 7
    (router, _) = corridor.json("topology")["nodes"]
    assert router["capabilities"] == {
        "shaping": False,
        "liveness": "REMOTE",
        "maxCarriers": 2,
        "mtuBytes": 1600,
        "resolvesNeighbors": False,
        "fenced": False,
    }
    assert router["accessPorts"][0]["neighbors"] == [{"address": "10.1.0.2", "mac": "0a:00:00:01:00:02"}]
    shown = corridor("topology")
    assert all(word in shown for word in ("zgc-r", "F-a-b", "MISSING", "dc1"))
    assert "NOT_FOUND" in corridor.refused("topology", "--domain", "moon")


def test_defragment(corridor: Command) -> None:
    """Planned, made, and stopped by what came in between: that fails the command."""
    asked = ("otn", "defragment", "--max-moves", "3")
    planned = corridor.json(*asked, "--dry-run")
    assert (planned["freed"][0]["server"], planned["moves"][0]["done"]) == ("odu0-1", False)
    shown = corridor(*asked)
    assert all(word in shown for word in ("acme/c1", "F-a-b", "odu0-1", "odu0-2", "yes", "119"))
    stopped = corridor.run(*asked)
    assert (stopped.exit_code, "is in use again" in stopped.stdout) == (1, True)
    assert "max_moves" in corridor.refused("otn", "defragment", "--max-moves", "201")


def test_watch(corridor: Command) -> None:
    corridor("create", "c1", *PROFILES)
    corridor("create", "c2", *PROFILES)
    corridor("switch", "c1", "training")
    told = [json.loads(line) for line in corridor("watch", "--count", "2", "-o", "json").splitlines()]
    assert [event["corridor"]["name"] for event in told] == [C1, "tenants/default/corridors/c2"]
    line = corridor("watch", "c1", "--after", "2", "--count", "1")
    assert "UPDATED c1: PROVISIONING (build), training 100 Mbit/s" in line


def test_refusals_are_one_line(corridor: Command) -> None:
    corridor("create", "c1", *PROFILES)
    assert "ALREADY_EXISTS" in corridor.refused("create", "c1", *PROFILES)
    assert "tenants/default/corridors/c9 does not exist" in corridor.refused("get", "c9")
    assert "UNKNOWN_NODE: a_end.node: domains/metro/nodes/moon" in corridor.refused(
        "create", "c2", "--from", "moon:dc1"
    )
    assert "UNKNOWN_PROFILE" in corridor.refused("switch", "c1", "nope")
    assert "STALE_ETAG" in corridor.refused("delete", "c1", "--etag", "g0")
    assert "no path within 900 us; best 1.004 ms" in corridor.refused("get", "fault-infeasible")
    explained = (
        "error: NO_BANDWIDTH: no path with 100 Mbit/s each way; binding link F-a-b; max bandwidth 80 Mbit/s; "
        "min latency 1.004 ms; needed slots 10; without exclusion zgc-o,F-a-b\n"
    )
    assert corridor.refused("get", "fault-explained") == explained
    assert "INTERNAL" in corridor.refused("get", "fault-defect")


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "a/b/c"),
        ("create", "c1", "--from", "zgc-r"),
        ("create", "c1", "--profile", "training"),
        ("create", "c1", "--profile", "training=100"),
        ("create", "c1", "--profile", "training=-5M"),
        ("create", "c1", "--profile", "training=5000G"),
        ("create", "c1", "--max-latency", "5"),
        ("create", "c1", "--max-latency", "0.5us"),
        ("create", "c1", "--from-dscp", "64"),
        ("create", "c1", "--isolation", "firm"),
        ("create", "c1", "--objective", "speed"),
        ("create", "c1", "--max-hops", "-1"),
        ("create", "c1", "--exclude-srlg", "x"),
        ("create", "c1", "--exclude-srlg", "4294967296"),
        ("create", "c1", "--file", "/nonexistent"),
        ("watch", "--after", "-1"),
        ("nonsense",),
        ("serve", "--topology", "/nonexistent", "--inventory", "/nonexistent"),
        ("lab", "up", "/nonexistent"),
    ],
    ids=" ".join,
)
def test_wrong_usage(corridor: Command, service: FakeService, arguments: tuple[str, ...]) -> None:
    corridor.refused(*arguments, code=2)
    assert service.corridors == {}


@pytest.mark.parametrize("content", ["{", "[]", '{"nonsense": 1}', '{"mtuBytes": -1}', '{"isolation": "FIRM"}'])
def test_a_bad_file(corridor: Command, tmp_path: Path, content: str) -> None:
    file = tmp_path / "corridor.json"
    file.write_text(content)
    assert "corridor.json" in corridor.refused("create", "c1", "--file", str(file), code=2).replace("\n", "")


def test_no_controller(tmp_path: Path) -> None:
    assert "no answer from a controller" in Command(f"unix:{tmp_path}/nobody.sock").refused("list")


def test_serve_reads_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setitem(sys.modules, "controller.app", SimpleNamespace(serve=started.append))
    topology, inventory = tmp_path / "t.yaml", tmp_path / "i.json"
    topology.touch()
    inventory.touch()
    Command("")("serve", "--topology", str(topology), "--inventory", str(inventory), "--db", "sqlite:///x.db")
    (settings,) = started
    assert (settings.topology, settings.inventory, settings.database) == (topology, inventory, "sqlite:///x.db")
    assert (settings.rest, settings.grpc, settings.openflow) == ("127.0.0.1:8080", "127.0.0.1:50051", "")
    assert (settings.id, settings.advertise_grpc, settings.advertise_rest, settings.lease_s) == ("", "", "", 2.0)
    assert settings.keep_events == 0


class FakeLab:
    """What `topologies.lab` offers to the command."""

    def __init__(self, calls: list[Any], alive: bool) -> None:
        self.calls, self.alive = calls, alive
        self.Lab = self

    def up(self, *arguments: Any, **options: Any) -> FakeLab:
        self.calls.append(("up", *arguments, options))
        return self

    def load(self, run_dir: Path) -> FakeLab:
        if run_dir.name == "nothing":
            raise CorridorError(f"no lab in {run_dir}")
        self.calls.append(("load", run_dir))
        return self

    def status(self) -> Any:
        processes = {"router/zgc-r": (17, self.alive), "fibre/F-1": (18, True)}
        return LabStatus("metro", {"zgc-r": "bmv2"}, Path("/r"), processes, self.alive)

    def down(self) -> None:
        self.calls.append("down")

    def call_controller(self, count: int) -> None:
        self.calls.append(("call", count))


@dataclass(frozen=True)
class LabStatus:
    domain: str
    targets: dict[str, str]
    run_dir: Path
    processes: dict[str, tuple[int, bool]]
    healthy: bool


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[Any]]:
    def install(alive: bool) -> list[Any]:
        calls: list[Any] = []
        fake = FakeLab(calls, alive)
        monkeypatch.setitem(sys.modules, "topologies", SimpleNamespace(lab=fake))
        monkeypatch.setitem(sys.modules, "topologies.lab", fake)
        return calls

    return install


def test_lab_up_status_down(lab: Callable[[bool], list[Any]], tmp_path: Path) -> None:
    calls, command, file = lab(True), Command(""), tmp_path / "metro.yaml"
    file.touch()
    shown = command("lab", "up", str(file), "--target", "bmv2").splitlines()
    assert ["router/zgc-r", "bmv2", "17", "running"] in [line.split() for line in shown]
    assert ["fibre/F-1", "18", "running"] in [line.split() for line in shown]
    assert command.json("lab", "status", "--run-dir", "/r")["healthy"] is True
    command("lab", "down", "--run-dir", "/r")
    up = ("up", file, "bmv2", None, {"targets": {}})
    assert calls == [up, ("load", Path("/r")), ("load", Path("/r")), "down"]


@pytest.mark.parametrize(
    ("stated", "target", "targets"),
    [
        ([], "linux", {}),
        (["b-r=bmv2"], "linux", {"b-r": "bmv2"}),
        (["a-r=linux", "bmv2", "b-r=linux"], "bmv2", {"a-r": "linux", "b-r": "linux"}),
    ],
)
def test_targets_are_stated_for_all_and_for_single_routers(
    lab: Callable[[bool], list[Any]], tmp_path: Path, stated: list[str], target: str, targets: dict[str, str]
) -> None:
    calls, file = lab(True), tmp_path / "metro.yaml"
    file.touch()
    Command("")("lab", "up", str(file), *(word for each in stated for word in ("--target", each)))
    assert calls == [("up", file, target, None, {"targets": targets})]


def test_nodes_are_told_to_call_several_controllers(lab: Callable[[bool], list[Any]]) -> None:
    calls = lab(True)
    Command("")("lab", "call", "2", "--run-dir", "/r")
    assert calls == [("load", Path("/r")), ("call", 2)]


def test_a_lab_that_is_gone_or_broken_fails(lab: Callable[[bool], list[Any]]) -> None:
    lab(False)
    assert Command("").run("lab", "status", "--run-dir", "/r").exit_code == 1
    assert "no lab" in Command("").refused("lab", "down", "--run-dir", "/nothing")


@pytest.mark.parametrize(
    ("text", "kbps"), [("100M", 100_000), ("1.5G", 1_500_000), ("800kbps", 800), ("1Mbit/s", 1000)]
)
def test_rates(text: str, kbps: int) -> None:
    assert quantities.kbps(text) == kbps


@pytest.mark.parametrize("text", ["", "5", "1.0005k", "x", "M", "-1M", "1e3M", "5ms"])
def test_no_rates(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        quantities.kbps(text)


@pytest.mark.parametrize(
    ("text", "us"), [("5ms", 5000), ("1.204ms", 1204), ("900us", 900), ("2s", 2_000_000), ("0", 0)]
)
def test_durations(text: str, us: int) -> None:
    assert quantities.microseconds(text) == us
