"""Identities, addresses and lists as the YANG models spell them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Any, TypeAlias

from controller.core.model import Container, Link, Node, ResizeState
from controller.core.names import short
from controller.core.otn.servers import LINE, opened_server, standing_slots
from controller.core.otn.slots import format_slots
from controller.core.topology import port_at

Json: TypeAlias = dict[str, Any]
"""Member names to values, as `json.dumps` takes them."""

FGODUFLEX = "ietf-fgotn-types:fgODUflex"
SWITCHING = MappingProxyType(
    {"encoding": "ietf-te-types:lsp-encoding-oduk", "switching-capability": "ietf-te-types:switching-otn"}
)
BANDWIDTH_STATES: Mapping[ResizeState, str] = MappingProxyType(
    {
        ResizeState.MODIFYING: "lsp-bandwidth-modifying",
        ResizeState.MODIFIED_OK: "lsp-bandwidth-modified-ok",
        ResizeState.MODIFY_FAILED: "lsp-bandwidth-modify-failed",
    }
)
"""As the draft's text has them; a slice that never changed has none."""


def odu_type(odu: Container) -> str:
    """The identity of a fixed-rate ODU, of an fgODUflex, or of an ODUflex, which is resizable."""
    if odu is Container.FGODUFLEX:
        return FGODUFLEX
    return f"ietf-layer1-types:{'ODUflex-resizable' if odu is Container.ODUFLEX else odu}"


def granularity(line: Container) -> str:
    """Of a line's tributary slots."""
    return f"ietf-layer1-types:{'tsg-5G' if line is Container.ODUC else 'tsg-1.25G'}"


def te_node_id(node: Node) -> str:
    """Dotted quad of the datapath id."""
    return str(IPv4Address(node.node_id))


def link_tp(link: Link, node: str) -> Json:
    """A fibre's end: named by the fibre, numbered by its port once that is discovered."""
    port = port_at(link, node)
    return {"tp-id": short(link.name), **({"ietf-te-topology:te-tp-id": port} if port else {})}


def ts_list(slots: Iterable[int]) -> str:
    """`1-20,25`: ascending, empty for none."""
    return format_slots(sorted(slots))


def bits(bitmap: int) -> list[int]:
    """Slot numbers of a bitmap, bit 0 for slot 1."""
    return [slot for slot in range(1, bitmap.bit_length() + 1) if bitmap >> (slot - 1) & 1]


def server_of(link: Link, name: str) -> tuple[Container, list[int]]:
    """(ODU, its tributary slots of the line) of a server of a fibre."""
    opened = opened_server(name)
    if opened is not None:
        return opened.odu, bits(opened.tributaries)
    server = next(each for each in link.servers if each.name == name)
    return server.odu, list(standing_slots(link)[name])


def otn_label(link: Link, server: str, slots: Iterable[int]) -> Json:
    """A label: tributary slots of the line and, of the server ODU in them, the fine-grain ones in use."""
    label: Json = {"tsg": granularity(link.line)}
    if server == LINE:
        return label | {"ts-list": ts_list(slots)}
    return label | {"ts-list": ts_list(server_of(link, server)[1]), "ietf-fgotn-tunnel:fgts-numbers": ts_list(slots)}
