"""Settings of `corridor serve`, read once, and the inventory: where each device is reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.core.errors import Invalid


@dataclass(frozen=True, slots=True)
class Settings:
    """What a controller is started with; addresses are `host:port`, or `unix:/path` southbound."""

    topology: Path
    inventory: Path
    database: str = "sqlite:///corridor.db"
    rest: str = "127.0.0.1:8080"
    grpc: str = "127.0.0.1:50051"
    openflow: str = ""
    """Empty: as the inventory says."""
    id: str = ""
    """Unique among the controllers that share the database; empty: host and process."""
    advertise_grpc: str = ""
    """`host:port` where others reach the gRPC face; empty: `grpc`."""
    advertise_rest: str = ""
    """URL where others reach the REST face; empty: from `rest`."""
    lease_s: float = 2.0
    """So long after a leader's last word another one may lead."""
    keep_events: int = 0
    """So many of the newest; 0: as many as the store keeps by itself."""


@dataclass(frozen=True, slots=True)
class RouterAddress:
    p4runtime: str
    device_id: int


@dataclass(frozen=True, slots=True)
class OtnAddress:
    datapath_id: int
    line_card: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """Southbound addresses by short node name."""

    openflow: str
    routers: Mapping[str, RouterAddress]
    otn_nodes: Mapping[str, OtnAddress]


def load_inventory(path: Path) -> Inventory:
    """Read the inventory; `Invalid` names the file and what is wrong with it."""
    try:
        document = json.loads(path.read_text())
        nodes: dict[str, dict[str, object]] = document["nodes"]
        routers = {
            n: RouterAddress(str(v["p4runtime"]), int(str(v["device_id"])))
            for n, v in nodes.items()
            if "p4runtime" in v
        }
        otn_nodes = {
            n: OtnAddress(int(str(v["datapath_id"])), str(v["line_card"]))
            for n, v in nodes.items()
            if "datapath_id" in v
        }
        return Inventory(str(document["openflow"]), routers, otn_nodes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise Invalid(f"{path}: not an inventory: {wrong!r}") from wrong
