"""What the RFCs leave to a node, or a target cannot do: each target's way, as docs/pipeline.md lists it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choices:
    """A node that keeps to the letter where the standards have one, and is generous where they have none."""

    copies_hop_limit: bool = False
    """Outer hop limit of an IPv6 customer: the customer's (RFC 2473 clause 6.3), not 64."""
    entering_is_a_hop: bool = True
    """The packet's own hop limit is lowered before it is encapsulated (RFC 2473 clause 3.1), not the tunnel's after."""
    copies_ipv4_class: bool = True
    """Outer DSCP and ECN of an IPv4 customer (RFC 8986 clause 5: by local policy)."""
    source_mac_of_departure: bool = True
    """Towards a host: the MAC of the port by which the frame leaves, not of that by which it came."""
    passes: int = 16
    """How often one packet may meet a segment of the node."""
    hop_per_pass: bool = True
    """Each of them lowers the hop limit (RFC 8986 S12), not only leaving the node."""
    most_segments: int = 127
    reads_tlvs: bool = True
    checks_tlvs: bool = False
    """Refuses a list whose TLVs do not fill its header (RFC 8754 clause 2.1), also where it wants none of them."""
    reads_chains: bool = True
    """Finds an SRH or an upper layer behind other extension headers."""
    knows_headers_of_hosts: bool = True
    """Looks for routing headers behind mobility, host identity and shim headers (RFC 7045 clause 4)."""
    parses_ahead: bool = False
    """Takes apart what stands behind the IPv6 header whoever it is for, and drops what breaks off there."""
    verifies_inner: bool = True
    """An uncovered IPv4 packet's version, lengths and checksum (RFC 1812 clause 5.2.2)."""
    takes_inner_options: bool = True
    merges_ecn: bool = True
    """Hands on the congestion that a tunnel met (RFC 6040 clause 4.2)."""
    writes_no_zero_sum: bool = False
    """An IPv4 echo reply's checksum of zero is written 0xffff, which is as good (RFC 1624 clause 3)."""
    answers_any_code: bool = False
    """Answers echo requests of another code than 0 (RFC 4443 clause 4.1), with the same code."""


BMV2 = Choices(
    source_mac_of_departure=False,
    passes=1,
    most_segments=3,
    reads_tlvs=False,
    reads_chains=False,
    parses_ahead=True,
    takes_inner_options=False,
    writes_no_zero_sum=True,
)
LINUX = Choices(
    copies_hop_limit=True,
    entering_is_a_hop=False,
    copies_ipv4_class=False,
    hop_per_pass=False,
    knows_headers_of_hosts=False,
    checks_tlvs=True,
    verifies_inner=False,
    merges_ecn=False,
    answers_any_code=True,
)
