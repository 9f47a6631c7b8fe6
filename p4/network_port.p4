/* A network port: SR segment endpoint behaviours. What is not a local SID is only in transit. */

#ifndef NETWORK_PORT_P4
#define NETWORK_PORT_P4

#include "headers.p4"

control network_port(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {
    // ---- the node itself ----

    @id(0x01000018) action to_node() { }

    /* Looked up before local_sid: the node's address lies inside its locator. */
    @id(0x0200000e) table node_address {
        key = { hdr.ipv6.dst_addr : exact @id(1) @name("dst"); }
        actions = { to_node; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 16;
    }

    // ---- SR segment endpoint behaviours ----

    @id(0x01000004) action end() { meta.behavior = behavior_t.END; }

    @id(0x0100001c) action end_flavors(@id(1) bit<3> flavors) {
        meta.behavior = behavior_t.END;
        meta.flavors = flavors;
    }

    @id(0x0100001d) action end_x_flavors(@id(1) bit<16> next_hop, @id(2) bit<3> flavors) {
        meta.behavior = behavior_t.END_X;
        meta.next_hop = next_hop;
        meta.flavors = flavors;
    }

    @id(0x01000005) action end_x(@id(1) bit<16> next_hop) {
        meta.behavior = behavior_t.END_X;
        meta.next_hop = next_hop;
    }

    @id(0x01000006) action end_dt6(@id(1) bit<16> vrf) {
        meta.behavior = behavior_t.END_DT6;
        meta.vrf = vrf;
    }

    @id(0x01000007) action end_dt4(@id(1) bit<16> vrf) {
        meta.behavior = behavior_t.END_DT4;
        meta.vrf = vrf;
    }

    @id(0x01000008) action end_dx4(@id(1) bit<16> next_hop) {
        meta.behavior = behavior_t.END_DX4;
        meta.next_hop = next_hop;
    }

    @id(0x01000009) action u_n() { meta.behavior = behavior_t.U_N; }

    @id(0x0100000a) action u_a(@id(1) bit<16> next_hop) {
        meta.behavior = behavior_t.U_A;
        meta.next_hop = next_hop;
    }

    @id(0x0100000b) action u_dt6(@id(1) bit<16> vrf) {
        meta.behavior = behavior_t.U_DT6;
        meta.vrf = vrf;
    }

    @id(0x0100000c) action u_dt4(@id(1) bit<16> vrf) {
        meta.behavior = behavior_t.U_DT4;
        meta.vrf = vrf;
    }

    /* Longest prefix wins, which is what lets `block:node:function::/64` (uA, uDT) stand beside the node's
     * own `block:node::/48` (uN): RFC 9800 clause 4.1. */
    @id(0x02000003) table local_sid {
        key = { hdr.ipv6.dst_addr : lpm @id(1) @name("dst"); }
        actions = {
            end; end_x; end_flavors; end_x_flavors; end_dt6; end_dt4; end_dx4; u_n; u_a; u_dt6; u_dt4;
            @defaultonly NoAction;
        }
        const default_action = NoAction();
        size = 16384;
    }

    /* RFC 8986 clause 4.1 lines S13..S15 (End): the next segment of the list becomes the destination. */
    @hidden action next_segment(bit<128> sid) {
        hdr.srh.segments_left = hdr.srh.segments_left - 1;
        hdr.ipv6.dst_addr = sid;
    }

    /* RFC 9800 clause 4.1.1 (End): one C-SID consumed, the rest of the carrier moves up behind the block. */
    @hidden action shift_one() { hdr.ipv6.dst_addr = hdr.ipv6.dst_addr[127:96] ++ hdr.ipv6.dst_addr[79:0] ++ 16w0; }

    /* RFC 9800 clause 4.1.2 (End.X) where node and function are both of this node: two C-SIDs consumed. */
    @hidden action shift_two() { hdr.ipv6.dst_addr = hdr.ipv6.dst_addr[127:96] ++ hdr.ipv6.dst_addr[63:0] ++ 32w0; }

    @hidden action strip_srh() {
        hdr.srh.setInvalid();
        hdr.segments[0].setInvalid();
        hdr.segments[1].setInvalid();
        hdr.segments[2].setInvalid();
    }

    /* RFC 8986 clause 4.16.1 S14.2 to S14.4. */
    @hidden action remove_srh() {
        hdr.ipv6.next_header = hdr.srh.next_header;
        hdr.ipv6.payload_len = hdr.ipv6.payload_len - 8 - ((bit<16>) hdr.srh.hdr_ext_len << 3);
        strip_srh();
    }

    /* The uncovered customer packet takes the place of what arrived, so that everything behind looks at one. */
    @hidden action decapsulate_ipv6() {
        strip_srh();
        hdr.ipv6 = hdr.inner_ipv6;
        hdr.inner_ipv6.setInvalid();
    }

    @hidden action decapsulate_ipv4() {
        strip_srh();
        hdr.ipv6.setInvalid();
        hdr.ipv4 = hdr.inner_ipv4;
        hdr.inner_ipv4.setInvalid();
        hdr.ethernet.ether_type = ETHERTYPE_IPV4;
    }

    apply {
        if (!hdr.ipv6.isValid()) {
            meta.drop_reason = drop_reason_t.PROTOCOL;
            return;
        }
        if (meta.upper_length > hdr.ipv6.payload_len) {
            meta.drop_reason = drop_reason_t.MALFORMED;    // the SRH is longer than the packet
            return;
        }
        bool list_is_done = !meta.has_routing_header || (hdr.srh.isValid() && hdr.srh.segments_left == 0);

        /* RFC 8754 clause 4.3.2: a segment that is an address of the node ends the list. */
        if (node_address.apply().hit) {
            if (!list_is_done) {
                meta.drop_reason = drop_reason_t.SEGMENT_LIST;
            } else if (hdr.udp.isValid() && hdr.udp.dst_port == PORT_STAMP && !hdr.fragment.isValid()) {
                meta.punted = true;
            } else if (hdr.icmp.isValid() && hdr.icmp.type == ICMPV6_ECHO_REQUEST && hdr.icmp.code == 0
                    && !hdr.fragment.isValid() && hdr.ipv6.src_addr[127:120] != 0xff
                    && hdr.ipv6.src_addr[127:1] != 0) {
                meta.answer = answer_t.ECHO_REPLY;
                if (hdr.srh.isValid()) {
                    remove_srh();
                }
            } else {
                meta.drop_reason = drop_reason_t.TO_ROUTER;
            }
            return;
        }

        local_sid.apply();
        bool ends_here = meta.behavior == behavior_t.END || meta.behavior == behavior_t.END_X
                || meta.behavior == behavior_t.U_N || meta.behavior == behavior_t.U_A;
        if (meta.flavors[2:2] == 1) {
            meta.drop_reason = drop_reason_t.SEGMENT_LIST;    // a flavor that nobody has defined here
            return;
        }
        if (meta.behavior == behavior_t.U_N && hdr.ipv6.dst_addr[79:0] != 0) {
            shift_one();
        } else if (meta.behavior == behavior_t.U_A && hdr.ipv6.dst_addr[63:0] != 0) {
            shift_two();
        } else if (ends_here && !(list_is_done && (meta.flavors & FLAVOR_USD) != 0)) {
            /* RFC 8986 clause 4.1 S02..S09: nothing left, or a list that does not hold together. */
            if (!hdr.srh.isValid() || hdr.srh.segments_left > hdr.srh.last_entry + 1) {
                meta.drop_reason = drop_reason_t.SEGMENT_LIST;
                return;
            }
            if (hdr.srh.segments_left == 1) {
                next_segment(hdr.segments[0].sid);
            } else if (hdr.srh.segments_left == 2) {
                next_segment(hdr.segments[1].sid);
            } else if (hdr.srh.segments_left == 3) {
                next_segment(hdr.segments[2].sid);
            } else {
                meta.drop_reason = drop_reason_t.SEGMENT_LIST;
                return;
            }
            /* PSP, RFC 8986 clause 4.16.1: behind S14, so of the list as it leaves. */
            if (hdr.srh.segments_left == 0 && (meta.flavors & FLAVOR_PSP) != 0) {
                remove_srh();
            }
        } else if (meta.behavior != behavior_t.NONE) {
            /* Decapsulation is for the last segment only (RFC 8986 clauses 4.5 to 4.7 S02; USD 4.16.3). */
            if (!list_is_done) {
                meta.drop_reason = drop_reason_t.SEGMENT_LIST;
                return;
            }
            bool takes_ipv6 = ends_here || meta.behavior == behavior_t.END_DT6 || meta.behavior == behavior_t.U_DT6;
            bool takes_ipv4 = ends_here || !takes_ipv6;
            bool whole = !hdr.fragment.isValid();    // nobody here puts fragments together
            bit<2> outer_ecn = hdr.ipv6.ecn;
            bit<2> inner_ecn = ECN_NOT_ECT;
            if (whole && takes_ipv6 && hdr.inner_ipv6.isValid()) {
                if (hdr.inner_ipv6.version != 6 || (hdr.inner_ipv6.payload_len |+| 40) > meta.upper_length) {
                    meta.drop_reason = drop_reason_t.MALFORMED;
                    return;
                }
                inner_ecn = hdr.inner_ipv6.ecn;
                decapsulate_ipv6();
            } else if (whole && takes_ipv4 && hdr.inner_ipv4.isValid()) {
                if (hdr.inner_ipv4.version != 4 || hdr.inner_ipv4.total_len < 20
                        || hdr.inner_ipv4.total_len > meta.upper_length) {
                    meta.drop_reason = drop_reason_t.MALFORMED;
                    return;
                }
                if (hdr.inner_ipv4.ihl != 5) {
                    meta.drop_reason = drop_reason_t.IPV4_OPTIONS;
                    return;
                }
                if (standard_metadata.checksum_error == 1) {
                    meta.drop_reason = drop_reason_t.CHECKSUM;
                    return;
                }
                inner_ecn = hdr.inner_ipv4.ecn;
                decapsulate_ipv4();
            } else {
                meta.drop_reason = drop_reason_t.UPPER_LAYER;
                return;
            }
            /* RFC 6040 clause 4.2, figure 4: congestion met on the way goes on with the packet, if that can tell of it. */
            if (outer_ecn == ECN_CE && inner_ecn == ECN_NOT_ECT) {
                meta.drop_reason = drop_reason_t.CONGESTION;
                return;
            }
            if (outer_ecn == ECN_CE || (outer_ecn == ECN_ECT_1 && inner_ecn == ECN_ECT_0)) {
                if (hdr.ipv6.isValid()) {
                    hdr.ipv6.ecn = outer_ecn;
                } else {
                    hdr.ipv4.ecn = outer_ecn;
                }
            }
        }
        if (meta.behavior == behavior_t.END_X || meta.behavior == behavior_t.U_A
                || meta.behavior == behavior_t.END_DX4) {
            meta.next_hop_known = true;
        }
    }
}

#endif
