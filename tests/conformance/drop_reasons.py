"""Why a packet went no further, by the numbers of `docs/pipeline.md`: cells of `drop_counter`."""

(NO_ROLE, NOT_FOR_ROUTER, MALFORMED, CHECKSUM, PROTOCOL, IPV4_OPTIONS, SCOPE, INFRASTRUCTURE) = range(1, 9)
(ROUTING_HEADER, HOP_LIMIT, TOO_BIG, NO_POLICY, COLOR, NO_ROUTE, NO_NEXT_HOP, NO_HOST) = range(9, 17)
(SEGMENT_LIST, UPPER_LAYER, TO_ROUTER, ICMP_LIMIT, CONGESTION) = range(17, 22)
