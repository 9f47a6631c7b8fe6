"""Somebody who asks for changes all the while and writes down what he was told, by the clock he asked by."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from history import ABSENT, Kind, Operation

PATH = "/v1/tenants/default/corridors"
PATIENCE_S = 8.0
KBPS = (5_000, 20_000, 30_000, 50_000)
NEVER_SENT = httpx.ConnectError, httpx.ConnectTimeout


class Caller(threading.Thread):
    """One thread, one call at a time. `controllers`: base URLs that writes go to, whoever leads.

    `bodies`: by id of the corridors that are his own, what he asks for when he makes one.
    """

    def __init__(self, controllers: Callable[[], list[str]], bodies: Mapping[str, dict[str, Any]], seed: int) -> None:
        super().__init__(daemon=True, name="caller")
        self._controllers = controllers
        self._bodies = bodies
        self._chance = random.Random(seed)
        self._go, self._idle, self._ended = threading.Event(), threading.Event(), threading.Event()
        self.history: list[Operation] = []

    def run(self) -> None:
        while not self._ended.is_set():
            self._idle.set()
            self._go.wait()
            self._idle.clear()
            self._ask()
            time.sleep(self._chance.uniform(0.02, 0.3))

    def resume(self) -> None:
        self._go.set()

    def pause(self) -> None:
        """Returns when his last call is over."""
        self._go.clear()
        self._idle.wait(4 * PATIENCE_S)

    def end(self) -> None:
        self._ended.set()
        self._go.set()
        self.join(2 * PATIENCE_S)

    def _ask(self) -> None:
        corridor_id = self._chance.choice(sorted(self._bodies))
        kbps = self._chance.choice(KBPS)
        size = {"profiles": [{"name": "only", "bandwidthKbps": kbps}], "activeProfile": "only"}
        match self._chance.choice(("create", "change", "change", "change", "delete")):
            case "create":
                asked = {"params": {"corridorId": corridor_id}, "json": self._bodies[corridor_id] | size}
                self._write("POST", PATH, corridor_id, kbps, **asked)
            case "change":
                self._write("PATCH", f"{PATH}/{corridor_id}", corridor_id, kbps, json=size)
            case _:
                self._write("DELETE", f"{PATH}/{corridor_id}", corridor_id, ABSENT)

    def _write(self, method: str, path: str, corridor_id: str, kbps: int | None, **asked: Any) -> None:
        kind = Kind.DELETE if method == "DELETE" else Kind.WRITE
        invoked = time.monotonic()
        answer = self._sent(method, self._chance.choice(self._controllers()) + path, **asked)
        answered = time.monotonic()
        if isinstance(answer, NEVER_SENT):
            return
        if isinstance(answer, Exception) or answer.is_server_error:
            self.history.append(Operation(corridor_id, kind, kbps, invoked))
        elif answer.is_success:
            generation = 0 if kind is Kind.DELETE else int(answer.json()["generation"])
            self.history.append(Operation(corridor_id, kind, kbps, invoked, answered, generation))
        elif answer.status_code == httpx.codes.NOT_FOUND:
            self.history.append(Operation(corridor_id, Kind.READ, ABSENT, invoked, answered))

    @staticmethod
    def _sent(method: str, url: str, **asked: Any) -> httpx.Response | httpx.TransportError:
        """The answer, or why there is none; of a redirect to whoever leads, his."""
        try:
            with httpx.Client(timeout=PATIENCE_S, follow_redirects=True) as client:
                return client.request(method, url, **asked)
        except httpx.TransportError as failure:
            return failure

    def read_all(self, leader: str) -> None:
        """What stands of each, by the word of who leads."""
        for corridor_id in self._bodies:
            invoked = time.monotonic()
            answer = httpx.get(f"{leader}{PATH}/{corridor_id}", timeout=PATIENCE_S)
            answered = time.monotonic()
            if answer.status_code == httpx.codes.NOT_FOUND:
                self.history.append(Operation(corridor_id, Kind.READ, ABSENT, invoked, answered))
                continue
            self.history.append(_read(corridor_id, answer.raise_for_status().json(), invoked, answered))


def _read(corridor_id: str, corridor: dict[str, Any], invoked: float, answered: float) -> Operation:
    return Operation(
        corridor_id,
        Kind.READ,
        corridor["profiles"][0]["bandwidthKbps"],
        invoked,
        answered,
        int(corridor["generation"]),
        going=corridor["state"] == "DELETING",
        undone=any(each["type"] == "RolledBack" for each in corridor.get("conditions", [])),
    )
