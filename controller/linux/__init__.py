"""A P4Runtime target on the Linux kernel: `python -m controller.linux`.

It runs in a router's network namespace and realises the pipeline contract of `p4/corridor.p4` with what the kernel
has: seg6 and seg6local routes, nexthop objects, neighbours, policy rules, HTB and nftables. The kernel is the only
truth: what is read comes from it, a restarted agent adopts what stands, and nothing is ever flushed.
"""
