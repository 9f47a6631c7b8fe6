"""What a lab has started, on disk: whoever reads it can look at the lab, work in it, and take it down."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from controller.core.errors import CorridorError
from topologies.processes import Process

STATE_FILE = "lab.json"


class LabError(CorridorError):
    """The lab cannot be built or asked for this; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process of the lab and the command that starts it again."""

    process: Process
    argv: tuple[str, ...]


@dataclass
class LabState:
    """The state file. Processes are named `kind/name`: namespace, router, line-card, ovsdb, vswitchd, fibre."""

    run_dir: Path
    domain: str
    targets: dict[str, str]
    """What each router runs, by its short name."""
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    ready: bool = False
    started: dict[str, Started] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.run_dir / STATE_FILE

    def create(self) -> None:
        """Take the directory. LabError where a lab, or anything else, is in it already."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            raise LabError(f"a lab is up already in {self.run_dir}: take it down first (corridor lab down)")
        if any(self.run_dir.iterdir()):
            raise LabError(f"{self.run_dir} is not empty")
        self.save()

    def record(self, name: str, process: Process, argv: Sequence[str]) -> None:
        self.started[name] = Started(process, tuple(argv))
        self.save()

    def save(self) -> None:
        """Replace the file whole: a reader sees the old one or the new one."""
        started = {name: {**asdict(s.process), "argv": s.argv} for name, s in self.started.items()}
        document = {"domain": self.domain, "targets": self.targets, "token": self.token, "ready": self.ready}
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps({**document, "started": started}, indent=1))
        os.replace(draft, self.path)

    def process(self, name: str) -> Process:
        if name not in self.started:
            raise LabError(f"the lab has no {name}")
        return self.started[name].process


def load_state(run_dir: Path) -> LabState:
    """The state of the lab in a directory; LabError where there is none."""
    try:
        document = json.loads((run_dir / STATE_FILE).read_text())
    except FileNotFoundError:
        raise LabError(f"no lab in {run_dir}") from None
    started = {
        name: Started(Process(entry["pid"], entry["started"]), tuple(entry["argv"]))
        for name, entry in document["started"].items()
    }
    return LabState(run_dir, document["domain"], document["targets"], document["token"], document["ready"], started)
