"""The policy rules that send marked packets to their VRF's table, shared by all entries of the VRF."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from controller.linux.kernel import STANDS, Command, Tool
from controller.linux.marks import PROTOCOL, VRF_MASK, VRF_PREFERENCE, vrf_table
from controller.linux.view import View

RANK = 5


def ruled(view: View, vrf: int) -> bool:
    """Whether both families have the VRF's rule; VRF 0 needs none."""
    rule = (VRF_PREFERENCE, vrf << 16, VRF_MASK, vrf_table(vrf))
    return not vrf or (rule in view.ipv6.rules and rule in view.ipv4.rules)


def require_rules(view: View, vrf: int, key: Hashable) -> Iterator[Command]:
    """The rules stay when the last entry of the VRF goes: they only point to a table that is then empty."""
    if not ruled(view, vrf):
        line = (
            f"rule add pref {VRF_PREFERENCE} fwmark {vrf << 16:#x}/{VRF_MASK:#x} "
            f"lookup {vrf_table(vrf)} protocol {PROTOCOL}"
        )
        yield from (Command(tool, line, key, RANK, tolerates=STANDS) for tool in (Tool.IP6, Tool.IP4))
