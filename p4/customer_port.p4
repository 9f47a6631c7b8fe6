/* A customer port: what may enter here, whether the router forwards it, and which corridor it belongs to. */

#ifndef CUSTOMER_PORT_P4
#define CUSTOMER_PORT_P4

#include "gateway.p4"
#include "headend.p4"
#include "headers.p4"

control customer_port(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {
    gateway_port() gateway_side;
    headend() head;

    /* Customer packets refused for their size, by corridor. */
    @id(0x12000002) counter<bit<16>>(65536, CounterType.packets_and_bytes) oversize_counter;

    // ---- the edge of the SR domain (RFC 8754 clause 5.1, RFC 8986 clause 9) ----

    @id(0x01000003) action drop_infrastructure() { meta.drop_reason = drop_reason_t.INFRASTRUCTURE; }

    /* Destinations that no customer may address: the locator block, loopbacks, management. */
    @id(0x02000002) table edge_filter {
        key = { hdr.ipv6.dst_addr : lpm @id(1) @name("dst"); }
        actions = { drop_infrastructure; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 256;
    }

    // ---- classification into corridors ----

    @id(0x0100000d) action set_policy(@id(1) bit<16> policy, @id(2) bit<16> corridor, @id(3) bit<16> mtu) {
        meta.policy = policy;
        meta.corridor = corridor;
        meta.mtu = mtu;
    }

    @id(0x02000004) table classifier_v6 {
        key = {
            meta.vrf : exact @id(1) @name("vrf");
            hdr.ipv6.src_addr : ternary @id(2) @name("src");
            hdr.ipv6.dst_addr : ternary @id(3) @name("dst");
            meta.dscp : ternary @id(4) @name("dscp");
        }
        actions = { set_policy; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 16384;
    }

    @id(0x02000005) table classifier_v4 {
        key = {
            meta.vrf : exact @id(1) @name("vrf");
            hdr.ipv4.src_addr : ternary @id(2) @name("src");
            hdr.ipv4.dst_addr : ternary @id(3) @name("dst");
            meta.dscp : ternary @id(4) @name("dscp");
        }
        actions = { set_policy; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 16384;
    }

    apply {
        /* The checksum of a tunnel that passes through is nobody's business here. */
        if (standard_metadata.checksum_error == 1 && !hdr.inner_ipv4.isValid()) {
            meta.drop_reason = drop_reason_t.CHECKSUM;
            return;
        }
        if (hdr.ipv4.isValid() && hdr.ipv4.ihl != 5) {
            meta.drop_reason = drop_reason_t.IPV4_OPTIONS;    // RFC 7126
            return;
        }
        gateway_side.apply(hdr, meta, standard_metadata);
        if (meta.answer != answer_t.NONE || meta.drop_reason != drop_reason_t.NONE) {
            return;
        }

        if (hdr.ipv6.isValid()) {
            edge_filter.apply();
            if (meta.drop_reason != drop_reason_t.NONE) {
                return;
            }
            if (meta.has_routing_header) {
                meta.drop_reason = drop_reason_t.ROUTING_HEADER;
                return;
            }
            /* Multicast stays local, link-local scope never leaves the link, and a source is one host's (RFC 4291
             * clauses 2.5.2, 2.5.3, 2.5.6, 2.7). ::/127 holds the unspecified and the loopback address. */
            if (hdr.ipv6.dst_addr[127:120] == 0xff || hdr.ipv6.src_addr[127:120] == 0xff
                    || hdr.ipv6.dst_addr[127:118] == 0x3fa || hdr.ipv6.src_addr[127:118] == 0x3fa
                    || hdr.ipv6.dst_addr[127:1] == 0 || hdr.ipv6.src_addr[127:1] == 0) {
                meta.drop_reason = drop_reason_t.SCOPE;
                return;
            }
            if (hdr.ipv6.hop_limit <= 1) {
                meta.drop_reason = drop_reason_t.HOP_LIMIT;
            } else {
                meta.dscp = hdr.ipv6.dscp;
                meta.ip_length = hdr.ipv6.payload_len |+| 40;
                meta.classified = classifier_v6.apply().hit;
                hash(meta.flow_label, HashAlgorithm.crc32, 20w0,
                     { hdr.ipv6.src_addr, hdr.ipv6.dst_addr, hdr.ipv6.flow_label, hdr.ipv6.next_header },
                     20w0xfffff);
            }
        } else if (hdr.ipv4.isValid()) {
            /* RFC 1812 clause 5.3.7: 0/8, 127/8, multicast and above; RFC 3927 clause 7: 169.254/16. */
            if (hdr.ipv4.dst_addr[31:29] == 7 || hdr.ipv4.src_addr[31:29] == 7
                    || hdr.ipv4.dst_addr[31:24] == 0 || hdr.ipv4.src_addr[31:24] == 0
                    || hdr.ipv4.dst_addr[31:24] == 127 || hdr.ipv4.src_addr[31:24] == 127
                    || hdr.ipv4.dst_addr[31:16] == IPV4_LINK_LOCAL || hdr.ipv4.src_addr[31:16] == IPV4_LINK_LOCAL) {
                meta.drop_reason = drop_reason_t.SCOPE;
                return;
            }
            if (hdr.ipv4.ttl <= 1) {
                meta.drop_reason = drop_reason_t.HOP_LIMIT;
            } else {
                meta.dscp = hdr.ipv4.dscp;
                meta.ip_length = hdr.ipv4.total_len;
                meta.classified = classifier_v4.apply().hit;
                hash(meta.flow_label, HashAlgorithm.crc32, 20w0,
                     { hdr.ipv4.src_addr, hdr.ipv4.dst_addr, hdr.ipv4.protocol }, 20w0xfffff);
            }
        } else {
            meta.drop_reason = drop_reason_t.PROTOCOL;
            return;
        }

        if (meta.drop_reason == drop_reason_t.HOP_LIMIT) {
            if (meta.may_be_told) {
                meta.answer = answer_t.TIME_EXCEEDED;
            }
            return;
        }
        if (meta.classified) {
            if (meta.ip_length <= meta.mtu) {
                head.apply(hdr, meta, standard_metadata);
                return;
            }
            /* IPv4 that may be fragmented too: this router does not, so its source has to know. */
            oversize_counter.count(meta.corridor);
            meta.drop_reason = drop_reason_t.TOO_BIG;
            if (meta.may_be_told) {
                meta.answer = answer_t.TOO_BIG;
            }
        }
    }
}

#endif
