"""A lab with its controller: what the demo and the end-to-end tests drive, by REST and with packets alone."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from topologies.lab import Lab, LabError

T = TypeVar("T")

START_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 15.0
POLL_S = 0.01


def wait_for(what: str, ready: Callable[[], T | None], timeout_s: float = SETTLE_TIMEOUT_S) -> T:
    """The first true answer of `ready`; LabError naming `what` when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = ready()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {timeout_s:g} s")
        time.sleep(POLL_S)


class Controller:
    """One `corridor serve` over a lab, with a database that survives restarts: its own, or one that it shares.

    `number`: of those that share a database; OTN nodes call each at an address of its own.
    """

    def __init__(self, lab: Lab, topology: Path, database: str = "", number: int = 1) -> None:
        self.lab = lab
        self._topology = topology
        self._directory = Path(tempfile.mkdtemp(prefix="corridor-"))
        self._database = database or f"sqlite:///{self._directory}/corridor.db"
        self.name = f"controller-{number}"
        self._openflow = lab.openflow_socket_of(number)
        self._rest, self._grpc = (_free_port() for _ in range(2))
        self._process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self._rest}", timeout=30)

    @property
    def log(self) -> Path:
        return self._directory / "serve.log"

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self._grpc}"

    def start(self) -> None:
        argv = [
            *(sys.executable, "-m", "controller.cli", "serve"),
            *("--topology", str(self._topology), "--inventory", str(self.lab.inventory)),
            *("--db", self._database, "--id", self.name, "--openflow", f"unix:{self._openflow}"),
            *("--rest", f"127.0.0.1:{self._rest}", "--grpc", self.grpc_address),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdout=log, stderr=log, start_new_session=True, env=self.lab.environment
            )

    def send(self, number: int) -> None:
        """To the process as it is; it stays this controller's."""
        assert self._process is not None
        self._process.send_signal(number)

    def ended(self) -> int | None:
        """Exit status of a process that ended by itself, negative for a signal; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def stop(self, number: int = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        self.stop()
        self.client.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def await_topology(self) -> float:
        """Wait until every planned link is up; seconds since the call."""
        began = time.monotonic()
        wait_for("every link up", self._all_up, START_TIMEOUT_S)
        return time.monotonic() - began

    def _all_up(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise LabError(f"the controller ended: {self.log.read_text()[-2000:]}")
        try:
            answer = self.client.get(f"/v1/domains/{self.lab.domain}/topology")
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK and all(link["status"] == "UP" for link in answer.json()["links"])

    def standing(self) -> dict[str, Any]:
        """Its role, and who leads."""
        return self._json(self.client.get("/v1/controller"))

    def leads(self) -> bool:
        """Whether it leads, and has taken over."""
        try:
            ready = self.standing()["role"] == "LEADER" and self.client.get("/readyz").json()
        except httpx.TransportError:
            return False
        return bool(ready and ready.get("role") == "LEADER")

    def topology(self) -> dict[str, Any]:
        return self._json(self.client.get(f"/v1/domains/{self.lab.domain}/topology"))

    def create(self, corridor_id: str, body: dict[str, Any], tenant: str = "default") -> dict[str, Any]:
        """Create a corridor and wait until every device agrees."""
        path = f"/v1/tenants/{tenant}/corridors"
        self._json(self.client.post(path, params={"corridorId": corridor_id}, json=body))
        return self.settled(corridor_id, tenant)

    def patch(self, corridor_id: str, body: dict[str, Any], tenant: str = "default") -> dict[str, Any]:
        return self._json(self.client.patch(f"/v1/tenants/{tenant}/corridors/{corridor_id}", json=body))

    def get(self, corridor_id: str, tenant: str = "default") -> dict[str, Any]:
        return self._json(self.client.get(f"/v1/tenants/{tenant}/corridors/{corridor_id}"))

    def delete(self, corridor_id: str, tenant: str = "default") -> None:
        """Delete a corridor and wait until it is gone."""
        path = f"/v1/tenants/{tenant}/corridors/{corridor_id}"
        self._json(self.client.delete(path))
        wait_for(f"{corridor_id} gone", lambda: self.client.get(path).status_code == 404)

    def settled(self, corridor_id: str, tenant: str = "default") -> dict[str, Any]:
        """The corridor once it is UP and no change is under way."""

        def ready() -> dict[str, Any] | None:
            corridor = self.get(corridor_id, tenant)
            return corridor if corridor["state"] == "UP" and not corridor["reconciling"] else None

        return wait_for(f"{corridor_id} settled", ready)

    @staticmethod
    def _json(response: httpx.Response) -> dict[str, Any]:
        if response.is_error:
            raise LabError(f"{response.request.method} {response.request.url.path}: {response.text}")
        body: dict[str, Any] = response.json()
        return body


def end_point(domain: str, node: str, port: str, *prefixes: str, dscp: int | None = None) -> dict[str, Any]:
    """An end of a corridor in the API's JSON."""
    end: dict[str, Any] = {"node": f"domains/{domain}/nodes/{node}", "port": port}
    end["ipv4Prefixes"] = [p for p in prefixes if ":" not in p]
    end["ipv6Prefixes"] = [p for p in prefixes if ":" in p]
    return end if dscp is None else {**end, "dscp": dscp}


def profiles(**mbps: float) -> list[dict[str, Any]]:
    """Profiles by name, in Mbit/s."""
    return [{"name": name, "bandwidthKbps": round(value * 1000)} for name, value in mbps.items()]


@contextmanager
def controlled(lab: Lab, topology: Path) -> Iterator[Controller]:
    """The controller of a lab, discovery done; gone afterwards."""
    controller = Controller(lab, topology)
    try:
        controller.start()
        lab.call_controller()
        controller.await_topology()
        yield controller
    finally:
        controller.close()


@contextmanager
def sharing(lab: Lab, topology: Path, databases: Sequence[str]) -> Iterator[tuple[Controller, ...]]:
    """Controllers on one PostgreSQL database, the first leading and discovery done; gone afterwards.

    `databases`: the URL of that database for each of them.
    """
    controllers = tuple(Controller(lab, topology, url, number) for number, url in enumerate(databases, 1))
    try:
        for each in controllers:
            each.start()
            wait_for("a leader", controllers[0].leads, START_TIMEOUT_S)
        lab.call_controller(len(controllers))
        controllers[0].await_topology()
        yield controllers
    finally:
        for each in controllers:
            each.close()


@contextmanager
def running(topology: Path, build: Callable[[], Lab]) -> Iterator[Controller]:
    """A lab and its controller; all of it gone afterwards."""
    lab = build()
    try:
        with controlled(lab, topology) as controller:
            yield controller
    finally:
        lab.down()


def libexec(program: str) -> str:
    """Path of a program that `make setup` compiles."""
    return str(Path(sys.prefix) / "libexec" / program)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
