"""A P4Runtime target on the Linux kernel: `python -m controller.linux`.

It runs in a router's network namespace and realises the pipeline contract of `p4/corridor.p4` with what the kernel
has. The kernel is the only truth: what is read comes from it, a restarted agent adopts what stands, and nothing is
ever flushed. What is ours has protocol number 200 or is in nft table `inet corridor`.

| contract | kernel | room |
|---|---|---|
| port_role | nft set and map by interface; HTB as root of network ports | port_roles |
| edge_filter | rules of an nft chain | edge_filter |
| next_hop_group | nexthop group 0x10000 + g, members and weights | groups |
| node_address | local route beside the SIDs, nft set and chain at the input hook | node_addresses |
| local_sid | seg6local routes in table 0x40000 on `sr0`; nft map SID → mark for IPv4 | sids |
| classifier_v6, _v4 | nft chain per VRF: mark, HTB class, named counters | classifier |
| policy | table 0x20000 + p: encapsulation, first carrier → nexthop object; ip rule by mark (`rules`) | policies |
| path_probe | element of an nft set, and a session of the engine (`liveness`), a program of its own | protection |
| policy_backup | element of an nft set, a chain that gives the backup's mark; switched by the engine | protection |
| route_v6, _v4 | table 0x10000 + vrf (VRF 0: main) → nexthop object | routes |
| next_hop | nexthop object, synthetic permanent neighbour | next_hops |
| host_v6, _v4 | permanent neighbour | next_hops |
| tunnel_source | `ip sr tunsrc` | policies |
| slice_meter | HTB class 1:index on `sr0` (the register) and every network port | shaper |

Refused, each with its reason (`contract.REFUSED`, `LocalSids.check`, `references`): gateway, color_policy, icmp_limit,
drop_counter, a meter with two rates, flavours other than PSP of End, a member that watches another port than its own.

Limits: policies 1..0x7fff, corridors 1..65534, classifier masks are prefixes, no own host lookup after End.DX4. A
router's own addresses are in one table for all VRFs, so a customer's packet to an address that another customer's
gateway on this router has is answered by the router.
"""
