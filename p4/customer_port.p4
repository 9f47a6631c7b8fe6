/* A customer port: the edge of the SR domain, classification into corridors, headend of the SR policies. */

#ifndef CUSTOMER_PORT_P4
#define CUSTOMER_PORT_P4

#include "gateway.p4"
#include "headers.p4"

control customer_port(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {
    gateway_port() gateway_side;

    @id(0x14000001) meter<bit<16>>(65536, MeterType.bytes) slice_meter;
    @id(0x12000001) counter<bit<16>>(65536, CounterType.packets_and_bytes) corridor_counter;
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

    // ---- SR policy headend: H.Encaps.Red (RFC 8986 clause 5.2); carriers are exactly as on the wire ----

    @id(0x0100000e) action encap_red_1(@id(1) bit<16> next_hop, @id(2) bit<128> carrier1) {
        meta.carriers = 1;
        meta.next_hop = next_hop;
        meta.carrier1 = carrier1;
    }

    @id(0x0100000f) action encap_red_2(@id(1) bit<16> next_hop, @id(2) bit<128> carrier1, @id(3) bit<128> carrier2) {
        meta.carriers = 2;
        meta.next_hop = next_hop;
        meta.carrier1 = carrier1;
        meta.carrier2 = carrier2;
    }

    @id(0x01000010) action encap_red_3(@id(1) bit<16> next_hop, @id(2) bit<128> carrier1, @id(3) bit<128> carrier2,
                                       @id(4) bit<128> carrier3) {
        meta.carriers = 3;
        meta.next_hop = next_hop;
        meta.carrier1 = carrier1;
        meta.carrier2 = carrier2;
        meta.carrier3 = carrier3;
    }

    @id(0x02000006) table policy {
        key = { meta.policy : exact @id(1) @name("policy"); }
        actions = { encap_red_1; encap_red_2; encap_red_3; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 65536;
    }

    @id(0x01000016) action set_tunnel_source(@id(1) bit<128> addr) { meta.tunnel_source = addr; }

    /* The node's own address, source of every tunnel. No key: the default action is the value. */
    @id(0x0200000c) table tunnel_source {
        actions = { set_tunnel_source; @defaultonly NoAction; }
        default_action = NoAction();
        size = 1;
    }

    // ---- what the slice meter's colours mean (RFC 2698) ----

    @id(0x0100001a) action mark_dscp(@id(1) bit<6> dscp) { hdr.outer_ipv6.dscp = dscp; }

    @id(0x0100001b) action drop_colored() { meta.drop_reason = drop_reason_t.COLOR; }

    /* Without an entry green and yellow pass as they are, and red is dropped. */
    @id(0x02000010) table color_policy {
        key = {
            meta.corridor : exact @id(1) @name("corridor");
            meta.color : exact @id(2) @name("color");
        }
        actions = { mark_dscp; drop_colored; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 65536;
    }

    /* RFC 8986 clause 5: DSCP and ECN are copied out, so that the core can treat classes apart. */
    @hidden action push_outer(bit<8> next_header, bit<6> dscp, bit<2> ecn, bit<20> flow_label) {
        hdr.ethernet.ether_type = ETHERTYPE_IPV6;
        hdr.outer_ipv6.setValid();
        hdr.outer_ipv6.version = 6;
        hdr.outer_ipv6.dscp = dscp;
        hdr.outer_ipv6.ecn = ecn;
        hdr.outer_ipv6.flow_label = flow_label;
        hdr.outer_ipv6.payload_len = meta.ip_length;
        hdr.outer_ipv6.next_header = next_header;
        hdr.outer_ipv6.hop_limit = TUNNEL_HOP_LIMIT;
        hdr.outer_ipv6.src_addr = meta.tunnel_source;
        hdr.outer_ipv6.dst_addr = meta.carrier1;
    }

    /* Reduced SRH (RFC 8754 clause 4.1.1): the first segment is only in the destination address, the list holds
     * the others in reverse. So Segments Left counts one more than Last Entry says. */
    @hidden action push_srh(bit<8> listed) {
        hdr.outer_srh.setValid();
        hdr.outer_srh.next_header = hdr.outer_ipv6.next_header;
        hdr.outer_srh.hdr_ext_len = listed << 1;
        hdr.outer_srh.routing_type = ROUTING_TYPE_SEGMENT;
        hdr.outer_srh.segments_left = listed;
        hdr.outer_srh.last_entry = listed - 1;
        hdr.outer_srh.flags = 0;
        hdr.outer_srh.tag = 0;
        hdr.outer_ipv6.next_header = PROTO_ROUTING;
        hdr.outer_ipv6.payload_len = meta.ip_length + 8 + ((bit<16>) listed << 4);
    }

    @hidden action push_list_of_one() {
        push_srh(1);
        hdr.outer_segment_0.setValid();
        hdr.outer_segment_0.sid = meta.carrier2;
    }

    @hidden action push_list_of_two() {
        push_srh(2);
        hdr.outer_segment_0.setValid();
        hdr.outer_segment_0.sid = meta.carrier3;
        hdr.outer_segment_1.setValid();
        hdr.outer_segment_1.sid = meta.carrier2;
    }

    apply {
        bit<20> flow_label = 0;
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
                hash(flow_label, HashAlgorithm.crc32, 20w0,
                     { hdr.ipv6.src_addr, hdr.ipv6.dst_addr, hdr.ipv6.flow_label, hdr.ipv6.next_header }, 20w0xfffff);
            }
        } else if (hdr.ipv4.isValid()) {
            /* RFC 1812 clause 5.3.7: 0/8, 127/8, multicast and above. */
            if (hdr.ipv4.dst_addr[31:29] == 7 || hdr.ipv4.src_addr[31:29] == 7
                    || hdr.ipv4.dst_addr[31:24] == 0 || hdr.ipv4.src_addr[31:24] == 0
                    || hdr.ipv4.dst_addr[31:24] == 127 || hdr.ipv4.src_addr[31:24] == 127) {
                meta.drop_reason = drop_reason_t.SCOPE;
                return;
            }
            if (hdr.ipv4.ttl <= 1) {
                meta.drop_reason = drop_reason_t.HOP_LIMIT;
            } else {
                meta.dscp = hdr.ipv4.dscp;
                meta.ip_length = hdr.ipv4.total_len;
                meta.classified = classifier_v4.apply().hit;
                hash(flow_label, HashAlgorithm.crc32, 20w0,
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
            if (meta.ip_length > meta.mtu) {
                /* IPv4 that may be fragmented too: this router does not, so its source has to know. */
                oversize_counter.count(meta.corridor);
                meta.drop_reason = drop_reason_t.TOO_BIG;
                if (meta.may_be_told) {
                    meta.answer = answer_t.TOO_BIG;
                }
                return;
            }
            tunnel_source.apply();
            bool has_policy = policy.apply().hit;
            /* A corridor without a list or a source must not fall back to the open network. */
            if (!has_policy || meta.tunnel_source == 0) {
                meta.drop_reason = drop_reason_t.NO_POLICY;
                return;
            }
            if (hdr.ipv6.isValid()) {
                push_outer(PROTO_IPV6, hdr.ipv6.dscp, hdr.ipv6.ecn, flow_label);
            } else {
                push_outer(PROTO_IPV4, hdr.ipv4.dscp, hdr.ipv4.ecn, flow_label);
            }
            if (meta.carriers == 2) {
                push_list_of_one();
            } else if (meta.carriers == 3) {
                push_list_of_two();
            }
            meta.next_hop_known = true;
            slice_meter.execute_meter(meta.corridor, meta.color);
            bool has_color_policy = color_policy.apply().hit;
            if (!has_color_policy && meta.color == COLOR_RED) {
                meta.drop_reason = drop_reason_t.COLOR;
            }
            if (meta.drop_reason != drop_reason_t.NONE) {
                return;
            }
            corridor_counter.count(meta.corridor);
        }
    }
}

#endif
