/* Routes by VRF, next hops and hosts: where a packet leaves, and with which addresses. */

#ifndef FORWARDING_P4
#define FORWARDING_P4

#include "headers.p4"

control forwarding(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {

    // ---- routes by VRF; VRF 0 is the underlay and holds the locators ----

    @id(0x01000011) action set_next_hop(@id(1) bit<16> next_hop) { meta.next_hop = next_hop; }

    @id(0x01000019) action set_next_hop_group(@id(1) bit<16> group) {
        meta.group = group;
        meta.has_group = true;
    }

    @id(0x01000012) action drop_route() { meta.drop_reason = drop_reason_t.NO_ROUTE; }

    @id(0x02000007) table route_v6 {
        key = {
            meta.vrf : exact @id(1) @name("vrf");
            hdr.ipv6.dst_addr : lpm @id(2) @name("dst");
        }
        actions = { set_next_hop; set_next_hop_group; drop_route; }
        const default_action = drop_route();
        size = 65536;
    }

    @id(0x02000008) table route_v4 {
        key = {
            meta.vrf : exact @id(1) @name("vrf");
            hdr.ipv4.dst_addr : lpm @id(2) @name("dst");
        }
        actions = { set_next_hop; set_next_hop_group; drop_route; }
        const default_action = drop_route();
        size = 65536;
    }

    // ---- several next hops for one route ----

    @id(0x11000001) @max_group_size(64)
    action_selector(HashAlgorithm.crc32, 32w4096, 32w16) next_hop_selector;

    /* One flow keeps to one path: IPv6 by its addresses and flow label (RFC 6437 clause 3, for tunnels RFC 6438),
     * IPv4, where ports may be in another fragment, by addresses and protocol. A member is out of the choice as
     * long as the port that it watches is down. BMv2 1.15.5 does not live through a packet for a group that has lost
     * all members so: one of them should watch no port. */
    @id(0x0200000f) table next_hop_group {
        key = {
            meta.group : exact @id(1) @name("group");
            meta.flow_source : selector;
            meta.flow_destination : selector;
            meta.flow_label : selector;
        }
        actions = { set_next_hop; @defaultonly NoAction; }
        const default_action = NoAction();
        implementation = next_hop_selector;
        size = 4096;
    }

    // ---- next hops and hosts ----

    /* An adjacency that rides an OTN slice has the slice's channel address as dst_mac: this is where an
     * fgOTN slice becomes an SRv6 adjacency segment. */
    @id(0x01000013) action to_adjacency(@id(1) bit<9> port, @id(2) bit<48> src_mac, @id(3) bit<48> dst_mac) {
        standard_metadata.egress_spec = port;
        hdr.ethernet.src_addr = src_mac;
        hdr.ethernet.dst_addr = dst_mac;
    }

    /* The source MAC is the one the frame came in for: port_role made sure that it is this router's own. */
    @id(0x01000014) action to_customer(@id(1) bit<9> port) {
        standard_metadata.egress_spec = port;
        hdr.ethernet.src_addr = meta.port_mac;
        meta.to_customer = true;
    }

    @id(0x02000009) table next_hop {
        key = { meta.next_hop : exact @id(1) @name("next_hop"); }
        actions = { to_adjacency; to_customer; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 65536;
    }

    @id(0x01000015) action set_dst_mac(@id(1) bit<48> mac) { hdr.ethernet.dst_addr = mac; }

    @id(0x0200000a) table host_v6 {
        key = {
            standard_metadata.egress_spec : exact @id(1) @name("port");
            hdr.ipv6.dst_addr : exact @id(2) @name("addr");
        }
        actions = { set_dst_mac; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 65536;
    }

    @id(0x0200000b) table host_v4 {
        key = {
            standard_metadata.egress_spec : exact @id(1) @name("port");
            hdr.ipv4.dst_addr : exact @id(2) @name("addr");
        }
        actions = { set_dst_mac; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 65536;
    }

    apply {
        /* A router lowers the hop limit once, of the packet it forwards (RFC 8200 clause 3, RFC 1812 clause
         * 5.3.1); what it sends itself, a tunnel's header too, has the right one from the start. */
        if (hdr.ipv6.isValid()) {
            if (!meta.originated) {
                if (hdr.ipv6.hop_limit <= 1) {
                    meta.drop_reason = drop_reason_t.HOP_LIMIT;
                    return;
                }
                hdr.ipv6.hop_limit = hdr.ipv6.hop_limit - 1;
            }
            meta.flow_source = hdr.ipv6.src_addr;
            meta.flow_destination = hdr.ipv6.dst_addr;
            meta.flow_label = hdr.ipv6.flow_label;
            if (!meta.next_hop_known) {
                route_v6.apply();
            }
        } else {
            if (hdr.ipv4.ttl <= 1) {
                meta.drop_reason = drop_reason_t.HOP_LIMIT;
                return;
            }
            hdr.ipv4.ttl = hdr.ipv4.ttl - 1;
            meta.flow_source = (bit<128>) hdr.ipv4.src_addr;
            meta.flow_destination = (bit<128>) hdr.ipv4.dst_addr;
            meta.flow_label = (bit<20>) hdr.ipv4.protocol;
            if (!meta.next_hop_known) {
                route_v4.apply();
            }
        }
        if (meta.drop_reason != drop_reason_t.NONE) {
            return;
        }
        bool chosen = true;
        if (meta.has_group) {
            chosen = next_hop_group.apply().hit;
        }
        if (!chosen || !next_hop.apply().hit) {
            meta.drop_reason = drop_reason_t.NO_NEXT_HOP;
            return;
        }
        if (meta.to_customer) {
            bool host_known = false;
            if (hdr.ipv6.isValid()) {
                host_known = host_v6.apply().hit;
            } else {
                host_known = host_v4.apply().hit;
            }
            if (!host_known) {
                meta.drop_reason = drop_reason_t.NO_HOST;
            }
        }
        /* What the link, or someone else, put behind a packet is no part of it: a corridor's MTU is of what its header
         * says. */
        if (hdr.outer_ipv6.isValid()) {
            truncate((bit<32>) hdr.outer_ipv6.payload_len + (14 + 40));
        } else if (hdr.ipv6.isValid()) {
            truncate((bit<32>) hdr.ipv6.payload_len + (14 + 40));
        } else {
            truncate((bit<32>) hdr.ipv4.total_len + 14);
        }
    }
}

#endif
