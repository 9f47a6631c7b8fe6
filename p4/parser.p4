/* Wire to headers and back: parser, IPv4 checksums, deparser. */

#ifndef PARSER_P4
#define PARSER_P4

#include "headers.p4"

parser corridor_parser(packet_in packet, out headers_t hdr, inout metadata_t meta,
                       inout standard_metadata_t standard_metadata) {
    state start {
        transition select(standard_metadata.ingress_port) {
            CPU_PORT: parse_packet_out;
            default: parse_ethernet;
        }
    }

    state parse_packet_out {
        packet.extract(hdr.packet_out);
        transition accept;    // the frame goes out as it is
    }

    state parse_ethernet {
        packet.extract(hdr.ethernet);
        transition select(hdr.ethernet.ether_type) {
            ETHERTYPE_IPV6: parse_ipv6;
            ETHERTYPE_IPV4: parse_ipv4;
            default: accept;
        }
    }

    state parse_ipv4 {
        packet.extract(hdr.ipv4);
        transition accept;
    }

    state parse_ipv6 {
        packet.extract(hdr.ipv6);
        transition select(hdr.ipv6.next_header) {
            PROTO_ROUTING: parse_routing;
            PROTO_IPV6: parse_inner_ipv6;
            PROTO_IPV4: parse_inner_ipv4;
            PROTO_HOP_BY_HOP: peek_behind_extension;
            PROTO_DESTINATION_OPTIONS: peek_behind_extension;
            PROTO_FRAGMENT: peek_behind_extension;
            PROTO_AUTHENTICATION: peek_behind_extension;
            default: accept;
        }
    }

    /* A routing header may hide behind other extension headers (RFC 8200 clause 4.1). One is looked behind;
     * a longer chain counts as hiding one, since what cannot be checked must not enter the SR domain. */
    state peek_behind_extension {
        transition select(packet.lookahead<bit<8>>()) {
            PROTO_ROUTING: routing_header_seen;
            PROTO_HOP_BY_HOP: routing_header_seen;
            PROTO_DESTINATION_OPTIONS: routing_header_seen;
            default: accept;
        }
    }

    state routing_header_seen {
        meta.has_routing_header = true;
        transition accept;
    }

    /* Up to three segments and no TLV are taken apart; anything else stays payload, which a transit node
     * forwards unread and an endpoint refuses. Bytes: next header, length, type, segments left, last entry. */
    state parse_routing {
        meta.has_routing_header = true;
        bit<40> start_of_header = packet.lookahead<bit<40>>();
        transition select(start_of_header[23:16], start_of_header[31:24], start_of_header[7:0]) {
            (ROUTING_TYPE_SEGMENT, 2, 0): parse_srh;
            (ROUTING_TYPE_SEGMENT, 4, 1): parse_srh;
            (ROUTING_TYPE_SEGMENT, 6, 2): parse_srh;
            default: accept;
        }
    }

    state parse_srh {
        packet.extract(hdr.srh);
        packet.extract(hdr.segments.next);
        transition select(hdr.srh.last_entry) {
            0: parse_behind_srh;
            default: parse_second_segment;
        }
    }

    state parse_second_segment {
        packet.extract(hdr.segments.next);
        transition select(hdr.srh.last_entry) {
            1: parse_behind_srh;
            default: parse_third_segment;
        }
    }

    state parse_third_segment {
        packet.extract(hdr.segments.next);
        transition parse_behind_srh;
    }

    state parse_behind_srh {
        transition select(hdr.srh.next_header) {
            PROTO_IPV6: parse_inner_ipv6;
            PROTO_IPV4: parse_inner_ipv4;
            default: accept;
        }
    }

    state parse_inner_ipv6 {
        packet.extract(hdr.inner_ipv6);
        transition accept;
    }

    state parse_inner_ipv4 {
        packet.extract(hdr.inner_ipv4);
        transition accept;
    }
}

control corridor_verify(inout headers_t hdr, inout metadata_t meta) {
    apply {
        verify_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5,
            { hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.dscp, hdr.ipv4.ecn, hdr.ipv4.total_len,
              hdr.ipv4.identification, hdr.ipv4.flags, hdr.ipv4.fragment_offset, hdr.ipv4.ttl,
              hdr.ipv4.protocol, hdr.ipv4.src_addr, hdr.ipv4.dst_addr },
            hdr.ipv4.checksum, HashAlgorithm.csum16);
        verify_checksum(hdr.inner_ipv4.isValid() && hdr.inner_ipv4.ihl == 5,
            { hdr.inner_ipv4.version, hdr.inner_ipv4.ihl, hdr.inner_ipv4.dscp, hdr.inner_ipv4.ecn,
              hdr.inner_ipv4.total_len, hdr.inner_ipv4.identification, hdr.inner_ipv4.flags,
              hdr.inner_ipv4.fragment_offset, hdr.inner_ipv4.ttl, hdr.inner_ipv4.protocol,
              hdr.inner_ipv4.src_addr, hdr.inner_ipv4.dst_addr },
            hdr.inner_ipv4.checksum, HashAlgorithm.csum16);
    }
}

control corridor_checksum(inout headers_t hdr, inout metadata_t meta) {
    apply {
        update_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5,
            { hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.dscp, hdr.ipv4.ecn, hdr.ipv4.total_len,
              hdr.ipv4.identification, hdr.ipv4.flags, hdr.ipv4.fragment_offset, hdr.ipv4.ttl,
              hdr.ipv4.protocol, hdr.ipv4.src_addr, hdr.ipv4.dst_addr },
            hdr.ipv4.checksum, HashAlgorithm.csum16);
    }
}

control corridor_deparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.packet_in);
        packet.emit(hdr.ethernet);
        packet.emit(hdr.outer_ipv6);
        packet.emit(hdr.outer_srh);
        packet.emit(hdr.outer_segment_0);
        packet.emit(hdr.outer_segment_1);
        packet.emit(hdr.ipv6);
        packet.emit(hdr.srh);
        packet.emit(hdr.segments);
        packet.emit(hdr.inner_ipv6);
        packet.emit(hdr.inner_ipv4);
        packet.emit(hdr.ipv4);
    }
}

#endif
