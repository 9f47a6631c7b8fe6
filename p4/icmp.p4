/* What the router sends of its own accord: answers to its neighbours, and ICMP errors. All of it leaves by the port
 * of entry, for the MAC that the frame came from: no lookup can send it astray. */

#ifndef ICMP_P4
#define ICMP_P4

#include "headers.p4"

control own_messages(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {
    @hidden action turn_round() {
        standard_metadata.egress_spec = standard_metadata.ingress_port;
        hdr.ethernet.dst_addr = hdr.ethernet.src_addr;
        hdr.ethernet.src_addr = meta.port_mac;
    }

    // ---- answers, made of the question ----

    @hidden action arp_reply() {
        hdr.arp.operation = ARP_REPLY;
        hdr.arp.target_mac = hdr.arp.sender_mac;
        hdr.arp.target_addr = hdr.arp.sender_addr;
        hdr.arp.sender_mac = meta.port_mac;
        hdr.arp.sender_addr = meta.gateway_ipv4;
    }

    /* RFC 4861 clause 7.2.4: a router, asked for, and this address stands over the one known before. */
    @hidden action advertisement(bit<128> destination, bit<32> flags) {
        hdr.ipv6.dscp = 0;
        hdr.ipv6.ecn = 0;
        hdr.ipv6.flow_label = 0;
        hdr.ipv6.payload_len = 32;
        hdr.ipv6.hop_limit = HOP_LIMIT_ON_LINK;
        hdr.ipv6.dst_addr = destination;
        hdr.ipv6.src_addr = meta.gateway_ipv6;
        hdr.icmp.type = NEIGHBOR_ADVERTISEMENT;
        hdr.icmp.code = 0;
        hdr.icmp.body = flags;
        hdr.link_address.setValid();
        hdr.link_address.type = TARGET_LINK_ADDRESS;
        hdr.link_address.length = 1;
        hdr.link_address.mac = meta.port_mac;
        truncate(14 + 40 + 32);
    }

    /* RFC 1624 equation 3: the checksum by what changes in its sum, so data that was damaged on its way stays so.
     * Addresses that change places change nothing. */
    @hidden action change_type(bit<8> type, bit<16> difference) {
        bit<32> sum = (bit<32>) (~hdr.icmp.checksum) + (bit<32>) difference;
        hdr.icmp.checksum = ~(sum[15:0] + sum[31:16]);
        hdr.icmp.type = type;
    }

    @hidden action echo_reply_ipv6() {
        bit<128> asked = hdr.ipv6.dst_addr;
        hdr.ipv6.dst_addr = hdr.ipv6.src_addr;
        hdr.ipv6.src_addr = asked;
        hdr.ipv6.hop_limit = OWN_HOP_LIMIT;
        change_type(ICMPV6_ECHO_REPLY, 0x0100);    // + 129 - 128
        truncate((bit<32>) hdr.ipv6.payload_len + (14 + 40));
    }

    @hidden action echo_reply_ipv4() {
        bit<32> asked = hdr.ipv4.dst_addr;
        hdr.ipv4.dst_addr = hdr.ipv4.src_addr;
        hdr.ipv4.src_addr = asked;
        hdr.ipv4.ttl = OWN_HOP_LIMIT;
        change_type(ICMP_ECHO_REPLY, 0xf7ff);      // - 8
        /* Zero in either writing is a right sum, but of a message of nothing but zeros only this one is. */
        hdr.icmp.checksum = hdr.icmp.checksum == 0 ? 16w0xffff : hdr.icmp.checksum;
        truncate((bit<32>) hdr.ipv4.total_len + 14);
    }

    // ---- errors: a header in front of what is quoted, everything behind cut off ----

    @hidden action quote(bit<64> octets) {
        hdr.icmp.setInvalid();
        hdr.udp.setInvalid();
        hdr.inner_ipv6.setInvalid();
        hdr.inner_ipv4.setInvalid();
        hdr.payload.setValid();
        hdr.payload.octets = octets;
    }

    @hidden action error_ipv6(bit<8> type, bit<32> body, bit<16> quoted) {
        hdr.icmp_error.setValid();
        hdr.icmp_error.type = type;
        hdr.icmp_error.code = 0;
        hdr.icmp_error.body = body;
        hdr.outer_ipv6.setValid();
        hdr.outer_ipv6.version = 6;
        hdr.outer_ipv6.dscp = DSCP_CONTROL;
        hdr.outer_ipv6.ecn = 0;
        hdr.outer_ipv6.flow_label = 0;
        hdr.outer_ipv6.payload_len = 8 + quoted;
        hdr.outer_ipv6.next_header = PROTO_ICMPV6;
        hdr.outer_ipv6.hop_limit = OWN_HOP_LIMIT;
        hdr.outer_ipv6.src_addr = meta.gateway_ipv6;
        hdr.outer_ipv6.dst_addr = hdr.ipv6.src_addr;
        truncate((bit<32>) quoted + (14 + 40 + 8));
    }

    @hidden action error_ipv4(bit<8> type, bit<8> code, bit<32> body) {
        hdr.icmp_error.setValid();
        hdr.icmp_error.type = type;
        hdr.icmp_error.code = code;
        hdr.icmp_error.body = body;
        hdr.outer_ipv4.setValid();
        hdr.outer_ipv4.version = 4;
        hdr.outer_ipv4.ihl = 5;
        hdr.outer_ipv4.dscp = DSCP_CONTROL;
        hdr.outer_ipv4.ecn = 0;
        hdr.outer_ipv4.total_len = 20 + 8 + 20 + 8;
        hdr.outer_ipv4.identification = 0;         // never fragmented (RFC 6864 clause 4.1)
        hdr.outer_ipv4.flags = IPV4_DO_NOT_FRAGMENT;
        hdr.outer_ipv4.fragment_offset = 0;
        hdr.outer_ipv4.ttl = OWN_HOP_LIMIT;
        hdr.outer_ipv4.protocol = PROTO_ICMP;
        hdr.outer_ipv4.src_addr = meta.gateway_ipv4;
        hdr.outer_ipv4.dst_addr = hdr.ipv4.src_addr;
        truncate(14 + 20 + 8 + 20 + 8);
    }

    apply {
        turn_round();
        if (meta.answer == answer_t.ARP_REPLY) {
            arp_reply();
        } else if (meta.answer == answer_t.ADVERTISEMENT) {
            if (hdr.ipv6.src_addr == 0) {
                advertisement(ALL_NODES, 0xa0000000);              // router, override
            } else {
                advertisement(hdr.ipv6.src_addr, 0xe0000000);      // router, solicited, override
            }
        } else if (meta.answer == answer_t.ECHO_REPLY) {
            if (hdr.ipv6.isValid()) {
                echo_reply_ipv6();
            } else {
                echo_reply_ipv4();
            }
        } else {
            if (hdr.icmp.isValid()) {
                quote(hdr.icmp.type ++ hdr.icmp.code ++ hdr.icmp.checksum ++ hdr.icmp.body);
            } else if (hdr.udp.isValid()) {
                quote(hdr.udp.src_port ++ hdr.udp.dst_port ++ hdr.udp.length ++ hdr.udp.checksum);
            } else if (hdr.inner_ipv6.isValid()) {
                quote(hdr.inner_ipv6.version ++ hdr.inner_ipv6.dscp ++ hdr.inner_ipv6.ecn ++ hdr.inner_ipv6.flow_label
                      ++ hdr.inner_ipv6.payload_len ++ hdr.inner_ipv6.next_header ++ hdr.inner_ipv6.hop_limit);
            } else if (hdr.inner_ipv4.isValid()) {
                quote(hdr.inner_ipv4.version ++ hdr.inner_ipv4.ihl ++ hdr.inner_ipv4.dscp ++ hdr.inner_ipv4.ecn
                      ++ hdr.inner_ipv4.total_len ++ hdr.inner_ipv4.identification ++ hdr.inner_ipv4.flags
                      ++ hdr.inner_ipv4.fragment_offset);
            }
            bit<16> quoted = 40 + 8;
            if (hdr.fragment.isValid()) {
                quoted = 40 + 8 + 8;
            }
            if (meta.answer == answer_t.TIME_EXCEEDED) {
                if (hdr.ipv6.isValid()) {
                    error_ipv6(ICMPV6_TIME_EXCEEDED, 0, quoted);
                } else {
                    error_ipv4(ICMP_TIME_EXCEEDED, 0, 0);
                }
            } else if (hdr.ipv6.isValid()) {
                error_ipv6(ICMPV6_PACKET_TOO_BIG, (bit<32>) meta.mtu, quoted);
            } else {
                error_ipv4(ICMP_UNREACHABLE, FRAGMENTATION_NEEDED, (bit<32>) meta.mtu);
            }
        }
    }
}

#endif
