"""What the namespace needs before the first entry; every step may be taken again without harm."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from controller.linux.edge_filter import CHAIN as EDGE_CHAIN
from controller.linux.interfaces import Ports
from controller.linux.kernel import STANDS, Command, Kernel, KernelError, Tool
from controller.linux.liveness.switch_table import MAP as SWITCHED
from controller.linux.marks import EXPIRED, EXPIRED_TABLE, POLICY_MASK, PROTOCOL, SR_DEVICE
from controller.linux.node_addresses import NODE_CHAIN, NODE_RULES
from controller.linux.rules import in_order
from controller.linux.shaper import root_commands
from controller.linux.sids import SRH_CHAIN, SRH_RULES
from controller.linux.view import View

log = logging.getLogger(__name__)

_SR_MTU_BYTES = 65535
_ND = "{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }"
_MULTICAST = "{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-report, mld2-listener-report }"

_SYSCTLS = {
    "net/ipv4/ip_forward": 1,
    "net/ipv4/fwmark_reflect": 1,
    "net/ipv6/fwmark_reflect": 1,
    "net/ipv4/fib_multipath_hash_policy": 0,
    "net/ipv6/fib_multipath_hash_policy": 0,
    "net/ipv6/seg6_flowlabel": 1,
    "net/ipv4/conf/{}/rp_filter": 0,
    "net/ipv4/conf/{}/send_redirects": 0,
    "net/ipv6/conf/{}/forwarding": 1,
    "net/ipv6/conf/{}/seg6_enabled": 1,
    "net/ipv6/conf/{}/accept_dad": 0,
    "net/ipv6/conf/{}/keep_addr_on_down": 1,
    "net/ipv6/conf/{}/accept_ra": 0,
}
"""`fwmark_reflect` brings the kernel's own ICMP errors back into the customer's VRF. Hash policy 0: a flow is told by
its addresses and, in IPv6, its flow label (RFC 6438); `seg6_flowlabel` gives a tunnel one that is a hash of what it
carries (RFC 6437 clause 3)."""

_CHAINS = {
    "prerouting": (
        "iifname @network_ports goto network_port",
        "meta mark set iifname map @customer_ports goto customer_port",
        # A port without a role carries nothing but LLDP, which is taken before this hook.
        "iifname @ports drop",
    ),
    "network_port": (
        "meta nfproto ipv4 drop",
        # The kernel passes over a routing header that it cannot follow (RFC 8986 4.6 S02, RFC 8200 4.4).
        "rt seg-left != 0 ip6 daddr @decapsulation drop",
        "meta mark set ip6 daddr map @decapsulation accept",
        f"exthdr rt exists jump {SRH_CHAIN}",
    ),
    # Frames for another MAC are dropped by the kernel itself (PACKET_OTHERHOST) before this hook.
    "customer_port": (
        "exthdr rt exists drop",
        f"jump {EDGE_CHAIN}",
        f"meta pkttype != host ip6 daddr ff02::/16 icmpv6 type {_MULTICAST} accept",
        "meta pkttype != host drop",
        f"ip6 daddr fe80::/10 icmpv6 type {_ND} accept",
        f"ip6 saddr fe80::/10 icmpv6 type {_ND} accept",
        "ip6 daddr { ::/127, fe80::/10, ff00::/8 } drop",
        "ip6 saddr { ::/127, fe80::/10, ff00::/8 } drop",
        # IPv4 options are refused at the edge (RFC 7126), multicast stays local, and so does what is link-local (RFC
        # 3927 clause 7) or reserved (RFC 1812 clause 5.3.7).
        "ip hdrlength != 5 drop",
        "ip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } drop",
        "ip saddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } drop",
        # Encapsulated first, it would expire as an outer packet, and the answer would go to ourselves.
        f"ip6 hoplimit <= 1 meta mark set meta mark | {EXPIRED:#x} accept",
        f"ip ttl <= 1 meta mark set meta mark | {EXPIRED:#x} accept",
        "meta nfproto ipv6 meta mark vmap @classifiers_v6",
        "meta nfproto ipv4 meta mark vmap @classifiers_v4",
    ),
    # Behind the classifiers: a policy that is on its backup gets that one's mark.
    "protection": (f"meta mark & {POLICY_MASK:#x} vmap @{SWITCHED}",),
    "input": (f"ip6 daddr @node_addresses goto {NODE_CHAIN}",),
    NODE_CHAIN: NODE_RULES,
    SRH_CHAIN: SRH_RULES,
}


def prepare(kernel: Kernel, ports: Ports) -> None:
    """Raises `KernelError` where the namespace cannot be a router."""
    for name, value in _sysctls(ports):
        _set(name, value)
    prepare_tables(kernel, ports)
    _set(f"net/ipv6/conf/{SR_DEVICE}/forwarding", 1)
    _set(f"net/ipv6/conf/{SR_DEVICE}/seg6_enabled", 1)


def prepare_tables(kernel: Kernel, ports: Ports) -> None:
    """What entries are written into. Again also in operation, after someone else has removed it."""
    for tool in (Tool.IP6, Tool.IP4):
        _require(kernel, tool, [*_commands(tool), *in_order(tool, kernel.dump(tool).rules)])
    kernel.nft(list(_nft_lines(ports)))
    view = View(kernel, ports)
    roots = [SR_DEVICE, *(name for name in view.network_interfaces() if name in view.classes)]
    _require(kernel, Tool.TC, [command for name in roots for command in root_commands(name, view)])


def _require(kernel: Kernel, tool: Tool, commands: list[Command]) -> None:
    failures = kernel.run(tool, commands)
    if failures:
        raise KernelError("; ".join(f"{failure.command.line}: {failure.message}" for failure in failures))


def _sysctls(ports: Ports) -> Iterator[tuple[str, int]]:
    for name, value in _SYSCTLS.items():
        if "{}" not in name:
            yield name, value
            continue
        yield from ((name.format(where), value) for where in ("all", "default", *ports.names))


def _set(name: str, value: int) -> None:
    path = Path("/proc/sys", name)
    try:
        if path.read_text().strip() != str(value):
            path.write_text(f"{value}\n")
    except FileNotFoundError:
        log.warning("%s: not in this kernel, or the interface is not there yet", name)


def _commands(tool: Tool) -> Iterator[Command]:
    if tool is Tool.IP6:
        # While it is down the kernel may have no table of local addresses, and takes every IPv4 host for a broadcast.
        yield Command(tool, "link set lo up")
        yield Command(tool, f"link add {SR_DEVICE} type ifb", tolerates=STANDS)
        yield Command(tool, f"link set {SR_DEVICE} mtu {_SR_MTU_BYTES} up")
    # A plain route, where the kernel looks at the hop limit and answers Time Exceeded.
    yield Command(tool, f"route replace default dev {SR_DEVICE} table {EXPIRED_TABLE} protocol {PROTOCOL}")


def _nft_lines(ports: Ports) -> Iterator[str]:
    """The static part of the table; the chains are swapped whole, what entries put into sets and maps stays."""
    table = "inet corridor"
    names = ", ".join(f'"{name}"' for name in ports.names)
    yield f"add table {table}"
    for name in ("ports", "network_ports"):
        yield f"add set {table} {name} {{ type ifname; }}"
    yield f"add map {table} customer_ports {{ type ifname : mark; }}"
    yield f"add set {table} node_addresses {{ type ipv6_addr; }}"
    yield f"add set {table} path_probes {{ type mark; }}"
    yield f"add set {table} policy_backups {{ type mark; }}"
    yield f"add map {table} {SWITCHED} {{ type mark : verdict; }}"
    yield f"add map {table} decapsulation {{ type ipv6_addr : mark; flags interval; }}"
    yield f"add map {table} segment_lists {{ type ipv6_addr : verdict; flags interval; }}"
    yield f"add set {table} decapsulating {{ type ipv6_addr; flags interval; }}"
    yield f"add map {table} classifiers_v6 {{ type mark : verdict; }}"
    yield f"add map {table} classifiers_v4 {{ type mark : verdict; }}"
    for chain in (EDGE_CHAIN, SRH_CHAIN, NODE_CHAIN, "network_port", "customer_port"):
        yield f"add chain {table} {chain}"
    yield f"add chain {table} prerouting {{ type filter hook prerouting priority mangle; policy accept; }}"
    yield f"add chain {table} protection {{ type filter hook prerouting priority -149; policy accept; }}"
    yield f"add chain {table} input {{ type filter hook input priority mangle; policy accept; }}"
    yield f"flush set {table} ports"
    yield f"add element {table} ports {{ {names} }}"
    for chain, rules in _CHAINS.items():
        yield f"flush chain {table} {chain}"
        yield from (f"add rule {table} {chain} {rule}" for rule in rules)
