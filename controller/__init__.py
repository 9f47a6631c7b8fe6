"""SDN controller for computing-power corridors: SRv6 over fine-grain OTN."""
