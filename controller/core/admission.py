"""What a corridor must be before anyone looks for a path: every refusal here names its field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network

from controller.core import names, path_constraints
from controller.core.errors import FailedPrecondition, Invalid, Violation
from controller.core.geography import light_floor_us
from controller.core.model import (
    Corridor,
    EndPoint,
    Isolation,
    Liveness,
    NodeKind,
    PathConstraints,
    Profile,
    Protection,
)
from controller.core.path_constraints import UNCONSTRAINED
from controller.core.promises import Recovery
from controller.core.topology import Topology

MAX_BANDWIDTH_KBPS = 400_000_000
"""400 Gbit/s: beyond any line interface in use; a larger number is a slip of the unit."""
MIN_MTU_BYTES = 1280
"""RFC 8200 clause 5: no IPv6 link has less."""
MAX_MTU_BYTES = 9000
MAX_HOLD_OFF_MS = 10_000
"""G.8031 clause 11.12."""
MAX_WAIT_TO_RESTORE_S = 720
"""12 minutes: G.8031 clause 11.13."""
INFRASTRUCTURE = IPv6Network("fdc0:de::/32")
"""Synthetic neighbour addresses of the routers' adjacencies."""
NOT_UNICAST = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"),  # 169.254: neighbours on targets, as above
        *("::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8"),
    )
)
"""What no customer has behind a port: this host, loopback, link-local, multicast, reserved (RFC 6890)."""
_SEES = {Liveness.LOCAL_PORT: "sees failures of its own ports only", Liveness.REMOTE: "sees failures of remote links"}


def completed(corridor: Corridor, topology: Topology) -> Corridor:
    """The corridor, an end without any prefix standing for the subnets of its access port."""
    return replace(
        corridor,
        a_end=_with_subnets(corridor.a_end, topology),
        z_end=_with_subnets(corridor.z_end, topology),
    )


def _with_subnets(end: EndPoint, topology: Topology) -> EndPoint:
    port = topology.access_port(end.node, end.port) if end.node in topology.nodes else None
    if port is None or end.ipv4_prefixes or end.ipv6_prefixes:
        return end
    v4, v6 = (
        tuple(_subnet(gateway) for gateway in (text,) if gateway) for text in (port.ipv4_gateway, port.ipv6_gateway)
    )
    return replace(end, ipv4_prefixes=v4, ipv6_prefixes=v6)


def _subnet(gateway: str) -> str:
    return str(ip_interface(gateway).network)


def validate(corridor: Corridor, topology: Topology, agreed: PathConstraints = UNCONSTRAINED) -> None:
    """Raise `Invalid` with every violated field, or return. `agreed`: the path constraints that it stands under."""
    violations = (*_violations(corridor, topology), *path_constraints.violations(corridor, topology, agreed))
    if violations:
        text = "; ".join(f"{v.field}: {v.description}" for v in violations)
        raise Invalid(text, violations=violations)
    if corridor.protection is Protection.PROTECT and corridor.isolation is Isolation.SOFT:
        _require_remote(corridor, topology)
    _light(corridor, topology)


def _require_remote(corridor: Corridor, topology: Topology) -> None:
    """Each headend of a protected soft corridor switches it by itself: it must see what fails behind its own ports."""
    ends = [topology.nodes[end.node] for end in (corridor.a_end, corridor.z_end)]
    liveness = [node.capabilities.liveness for node in ends]
    if all(each is Liveness.REMOTE for each in liveness):
        return
    seen = " and ".join(f"{node.name} {_SEES[node.capabilities.liveness]}" for node in ends)
    raise FailedPrecondition(
        f"protection PROTECT is not offered for a soft corridor between these routers: {seen}; "
        "a hard corridor is protected in the optical layer, whatever its routers see; RESTORE, which the controller "
        "does after a failure, is offered for both",
        reason="PROTECT_NOT_OFFERED",
        metadata={"nodes": ",".join(node.name for node in ends), "liveness": ",".join(liveness)},
    )


def _violations(corridor: Corridor, topology: Topology) -> Iterator[Violation]:
    tenant = names.tenant_of_corridor(corridor.name)
    yield from _end(corridor.a_end, "a_end", tenant, topology)
    yield from _end(corridor.z_end, "z_end", tenant, topology)
    if corridor.a_end.node == corridor.z_end.node:
        yield Violation("z_end.node", "both ends are on the same router")
    yield from _families(corridor)
    yield from _profiles(corridor)
    yield from _numbers(corridor)
    yield from _recovery(corridor)


def _end(end: EndPoint, field: str, tenant: str, topology: Topology) -> Iterator[Violation]:
    node = topology.nodes.get(end.node)
    if node is None or node.kind is not NodeKind.ROUTER:
        yield Violation(f"{field}.node", f"no router {end.node!r} in domain {topology.domain}")
    else:
        port = topology.access_port(end.node, end.port)
        if port is None:
            yield Violation(f"{field}.port", f"no access port {end.port!r} on {end.node}")
        elif port.tenant and port.tenant != tenant:
            yield Violation(f"{field}.port", f"port {end.port} does not belong to tenant {tenant}")
    if end.dscp is not None and not 0 <= end.dscp <= 63:
        yield Violation(f"{field}.dscp", "a DSCP is 0 to 63 (RFC 2474)")
    yield from _prefixes(end.ipv4_prefixes, f"{field}.ipv4_prefixes", IPv4Network, topology)
    yield from _prefixes(end.ipv6_prefixes, f"{field}.ipv6_prefixes", IPv6Network, topology)


def _prefixes(
    prefixes: Iterable[str], field: str, family: type[IPv4Network | IPv6Network], topology: Topology
) -> Iterator[Violation]:
    for index, text in enumerate(prefixes):
        try:
            network = ip_network(text)
        except ValueError as wrong:
            yield Violation(f"{field}[{index}]", str(wrong))
            continue
        if not isinstance(network, family):
            yield Violation(f"{field}[{index}]", f"{text} is of the other address family")
        elif why := no_customers(network, IPv6Network(topology.srv6_block)):
            yield Violation(f"{field}[{index}]", f"{text} {why}")


def no_customers(network: IPv4Network | IPv6Network, block: IPv6Network) -> str:
    """Why no customer has any of it behind a port; empty where one may. `block`: the domain's SRv6 locators."""
    if any(_share(network, special) for special in NOT_UNICAST):
        return "is not a customer's unicast"
    if any(_share(network, taken) for taken in (block, INFRASTRUCTURE)):
        return "overlaps the infrastructure of the SR domain (RFC 8754 5.1)"
    return ""


def _families(corridor: Corridor) -> Iterator[Violation]:
    a, z = corridor.a_end, corridor.z_end
    if not (a.ipv4_prefixes or a.ipv6_prefixes):
        yield Violation("a_end.ipv6_prefixes", "at least one prefix is needed at each end")
    if bool(a.ipv4_prefixes) != bool(z.ipv4_prefixes):
        yield Violation("z_end.ipv4_prefixes", "IPv4 prefixes are needed at both ends or at none")
    if bool(a.ipv6_prefixes) != bool(z.ipv6_prefixes):
        yield Violation("z_end.ipv6_prefixes", "IPv6 prefixes are needed at both ends or at none")
    for first in a.ipv4_prefixes + a.ipv6_prefixes:
        for second in z.ipv4_prefixes + z.ipv6_prefixes:
            if _overlap(first, second):
                yield Violation("z_end", f"{second} overlaps {first} of the other end")


def _overlap(first: str, second: str) -> bool:
    try:
        return _share(ip_network(first), ip_network(second))
    except ValueError:
        return False


def _share(a: IPv4Network | IPv6Network, b: IPv4Network | IPv6Network) -> bool:
    """True where two prefixes of one family have an address in common."""
    if isinstance(a, IPv4Network) and isinstance(b, IPv4Network):
        return a.overlaps(b)
    return isinstance(a, IPv6Network) and isinstance(b, IPv6Network) and a.overlaps(b)


def _profiles(corridor: Corridor) -> Iterator[Violation]:
    known = [p.name for p in corridor.profiles]
    if not known:
        yield Violation("profiles", "at least one profile is needed")
    for index, profile in enumerate(corridor.profiles):
        field = f"profiles[{index}]"
        if not profile.name or known.count(profile.name) > 1:
            yield Violation(f"{field}.name", f"{profile.name!r} is empty or given twice")
        yield from _bandwidth(profile, field, corridor.isolation)
    if known and corridor.active_profile not in known:
        wrong = f"{corridor.active_profile!r} is none of" if corridor.active_profile else "is required: one of"
        yield Violation("active_profile", f"{wrong} {', '.join(known)}")


def _bandwidth(profile: Profile, field: str, isolation: Isolation) -> Iterator[Violation]:
    if not 0 < profile.bandwidth_kbps <= MAX_BANDWIDTH_KBPS:
        yield Violation(f"{field}.bandwidth_kbps", f"{profile.bandwidth_kbps} is not in 1..{MAX_BANDWIDTH_KBPS} kbit/s")
    reverse = profile.reverse_bandwidth_kbps
    if not 0 <= reverse <= MAX_BANDWIDTH_KBPS:
        yield Violation(f"{field}.reverse_bandwidth_kbps", f"{reverse} is not in 0..{MAX_BANDWIDTH_KBPS} kbit/s")
    if isolation is Isolation.HARD and reverse not in (0, profile.bandwidth_kbps):
        yield Violation(f"{field}.reverse_bandwidth_kbps", "a hard corridor has the same bandwidth both ways")


def _numbers(corridor: Corridor) -> Iterator[Violation]:
    if not MIN_MTU_BYTES <= corridor.mtu_bytes <= MAX_MTU_BYTES:
        yield Violation("mtu_bytes", f"{corridor.mtu_bytes} is not in {MIN_MTU_BYTES}..{MAX_MTU_BYTES}")
    if not 64 <= corridor.reference_packet_bytes <= corridor.mtu_bytes:
        yield Violation("reference_packet_bytes", f"{corridor.reference_packet_bytes} is not in 64..mtu_bytes")
    if corridor.max_latency_us < 0:
        yield Violation("max_latency_us", f"{corridor.max_latency_us} is negative; 0 is no bound")
    if not 0 <= corridor.priority <= 7:
        yield Violation("priority", f"{corridor.priority} is not in 0..7")


def _recovery(corridor: Corridor) -> Iterator[Violation]:
    asked = corridor.recovery
    if asked == Recovery():
        return
    if corridor.isolation is Isolation.HARD:
        yield Violation("recovery", "a hard corridor is switched by its line cards, at once and revertively: leave it")
    if not 0 <= asked.hold_off_ms <= MAX_HOLD_OFF_MS:
        yield Violation("recovery.hold_off_ms", f"{asked.hold_off_ms} is not in 0..{MAX_HOLD_OFF_MS}")
    if not 0 <= asked.wait_to_restore_s <= MAX_WAIT_TO_RESTORE_S:
        yield Violation("recovery.wait_to_restore_s", f"{asked.wait_to_restore_s} is not in 0..{MAX_WAIT_TO_RESTORE_S}")


def _light(corridor: Corridor, topology: Topology) -> None:
    floor = light_floor_us(topology, corridor.a_end.node, corridor.z_end.node)
    if 0 < corridor.max_latency_us < floor:
        raise Invalid(
            f"max_latency_us: {corridor.max_latency_us} µs is less than light takes over the great circle ({floor} µs)",
            reason="FASTER_THAN_LIGHT",
            violations=(Violation("max_latency_us", f"light in vacuum needs {floor} µs"),),
            metadata={"floorUs": str(floor)},
        )


def peak(corridor: Corridor) -> Profile:
    """The largest of each direction over all profiles."""
    forward = max(p.bandwidth_kbps for p in corridor.profiles)
    reverse = max(reverse_of(p) for p in corridor.profiles)
    return Profile("", forward, reverse)


def active(corridor: Corridor) -> Profile:
    return next(p for p in corridor.profiles if p.name == corridor.active_profile)


def reverse_of(profile: Profile) -> int:
    return profile.reverse_bandwidth_kbps or profile.bandwidth_kbps
