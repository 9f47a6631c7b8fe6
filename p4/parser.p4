/* Wire to headers: what of a frame the pipeline reads. Whatever it does not, it carries on or drops, but never answers. */

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
            ETHERTYPE_ARP: parse_arp;
            default: accept;
        }
    }

    state parse_arp {
        packet.extract(hdr.arp);
        transition accept;
    }

    /* What is behind options or in a later fragment stays unread, and no ICMP error is sent about it. */
    state parse_ipv4 {
        packet.extract(hdr.ipv4);
        meta.upper_length = hdr.ipv4.total_len - 20;
        transition select(hdr.ipv4.ihl, hdr.ipv4.fragment_offset, meta.upper_length[15:3], hdr.ipv4.protocol) {
            (5, 0, 0, _): accept;
            (5, 0, _, PROTO_ICMP): parse_icmp;
            (5, 0, _, _): parse_payload;
            default: accept;
        }
    }

    state parse_ipv6 {
        packet.extract(hdr.ipv6);
        meta.upper_layer = hdr.ipv6.next_header;
        meta.upper_length = hdr.ipv6.payload_len;
        transition select(hdr.ipv6.next_header) {
            PROTO_ROUTING: parse_routing;
            PROTO_HOP_BY_HOP: peek_behind_extension;
            PROTO_DESTINATION_OPTIONS: peek_behind_extension;
            PROTO_FRAGMENT: parse_fragment;
            PROTO_AUTHENTICATION: peek_behind_extension;
            PROTO_MOBILITY: peek_behind_extension;
            PROTO_HOST_IDENTITY: peek_behind_extension;
            PROTO_SHIM6: peek_behind_extension;
            PROTO_ICMPV6: parse_icmpv6;
            default: parse_upper_layer;
        }
    }

    /* Eight bytes of whatever it is, for an ICMP error to quote; never of another extension header, behind which
     * an ICMP error may hide. */
    state parse_upper_layer {
        transition select(meta.upper_length[15:3], meta.upper_layer) {
            (0, _): accept;
            (_, PROTO_IPV6): parse_inner_ipv6;
            (_, PROTO_IPV4): parse_inner_ipv4;
            (_, PROTO_ICMPV6): parse_icmp;
            (_, PROTO_UDP): parse_udp;
            (_, PROTO_HOP_BY_HOP): accept;
            (_, PROTO_ROUTING): accept;
            (_, PROTO_FRAGMENT): accept;
            (_, PROTO_AUTHENTICATION): accept;
            (_, PROTO_DESTINATION_OPTIONS): accept;
            (_, PROTO_MOBILITY): accept;
            (_, PROTO_HOST_IDENTITY): accept;
            (_, PROTO_SHIM6): accept;
            default: parse_payload;
        }
    }

    state parse_payload {
        packet.extract(hdr.payload);
        transition accept;
    }

    state parse_udp {
        packet.extract(hdr.udp);
        transition accept;
    }

    state parse_icmp {
        packet.extract(hdr.icmp);
        transition accept;
    }

    /* A solicitation that comes from the link itself, and is long enough (RFC 4861 clause 7.1.1). */
    state parse_icmpv6 {
        transition select(meta.upper_length[15:3], hdr.ipv6.hop_limit, packet.lookahead<bit<8>>()) {
            (0, _, _): accept;
            (1, _, _): parse_icmp;
            (2, _, _): parse_icmp;
            (_, HOP_LIMIT_ON_LINK, NEIGHBOR_SOLICITATION): parse_solicitation;
            default: parse_icmp;
        }
    }

    state parse_solicitation {
        packet.extract(hdr.icmp);
        packet.extract(hdr.neighbor);
        transition accept;
    }

    /* In each fragment this header says what the first one starts with (RFC 8200 clause 4.5). */
    state parse_fragment {
        packet.extract(hdr.fragment);
        meta.upper_layer = hdr.fragment.next_header;
        meta.upper_length = hdr.ipv6.payload_len - 8;
        transition select(hdr.fragment.next_header, hdr.fragment.offset) {
            (PROTO_ROUTING, _): routing_header_seen;
            (PROTO_HOP_BY_HOP, _): routing_header_seen;
            (PROTO_FRAGMENT, _): routing_header_seen;
            (PROTO_AUTHENTICATION, _): routing_header_seen;
            (PROTO_DESTINATION_OPTIONS, _): routing_header_seen;
            (PROTO_MOBILITY, _): routing_header_seen;
            (PROTO_HOST_IDENTITY, _): routing_header_seen;
            (PROTO_SHIM6, _): routing_header_seen;
            (_, 0): parse_upper_layer;
            default: accept;
        }
    }

    /* A routing header may hide behind other extension headers (RFC 8200 clause 4.1, RFC 7045 clause 4). One is looked
     * behind; a longer chain counts as hiding one, since what cannot be checked must not enter the SR domain. */
    state peek_behind_extension {
        transition select(packet.lookahead<bit<8>>()) {
            PROTO_ROUTING: routing_header_seen;
            PROTO_HOP_BY_HOP: routing_header_seen;
            PROTO_FRAGMENT: routing_header_seen;
            PROTO_AUTHENTICATION: routing_header_seen;
            PROTO_DESTINATION_OPTIONS: routing_header_seen;
            PROTO_MOBILITY: routing_header_seen;
            PROTO_HOST_IDENTITY: routing_header_seen;
            PROTO_SHIM6: routing_header_seen;
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
        meta.upper_layer = hdr.srh.next_header;
        meta.upper_length = hdr.ipv6.payload_len - 8 - ((bit<16>) hdr.srh.hdr_ext_len << 3);
        transition parse_upper_layer;
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

#endif
