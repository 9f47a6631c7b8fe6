/* Headend of the SR policies: a packet of a corridor gets its segment list, if it keeps to its rate. */

#ifndef HEADEND_P4
#define HEADEND_P4

#include "headers.p4"

control headend(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {
    @id(0x14000001) meter<bit<16>>(65536, MeterType.bytes) slice_meter;
    /* What entered a corridor, as it came from the customer. */
    @id(0x12000001) counter<bit<16>>(65536, CounterType.packets_and_bytes) corridor_counter;

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

    // ---- protection: while the way of a list is down, another list takes its traffic ----

    /* 1 while a session is down. Written by the switch's own liveness agent, which knows hold-off and wait-to-restore;
     * a switch without one has all sessions up. */
    @id(0x16000001) register<bit<1>, bit<16>>(65536) session_down;

    /* One way around a path and back to the node: what the agent sends every interval, and takes for lost when none
     * came back for `detect_us`. Carriers are exactly as on the wire; the last one is the node's own address. */
    @noWarn("unused")
    @id(0x0100001e) action probe_1(@id(1) bit<16> next_hop, @id(2) bit<32> interval_us, @id(3) bit<32> detect_us,
                                   @id(4) bit<128> carrier1) { }

    @noWarn("unused")
    @id(0x0100001f) action probe_2(@id(1) bit<16> next_hop, @id(2) bit<32> interval_us, @id(3) bit<32> detect_us,
                                   @id(4) bit<128> carrier1, @id(5) bit<128> carrier2) { }

    @noWarn("unused")
    @id(0x01000020) action probe_3(@id(1) bit<16> next_hop, @id(2) bit<32> interval_us, @id(3) bit<32> detect_us,
                                   @id(4) bit<128> carrier1, @id(5) bit<128> carrier2, @id(6) bit<128> carrier3) { }

    @id(0x02000011) table path_probe {
        key = { meta.session : exact @id(1) @name("session"); }
        actions = { probe_1; probe_2; probe_3; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 65536;
    }

    @noWarn("unused")
    @id(0x01000021) action set_backup(@id(1) bit<16> backup, @id(2) bit<16> session, @id(3) bit<16> backup_session,
                                      @id(4) bit<32> hold_off_ms, @id(5) bit<32> wait_to_restore_ms,
                                      @id(6) bit<1> revertive) {
        meta.backup = backup;
        meta.session = session;
        meta.backup_session = backup_session;
    }

    @id(0x02000012) table policy_backup {
        key = { meta.policy : exact @id(1) @name("policy"); }
        actions = { set_backup; @defaultonly NoAction; }
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

    /* RFC 8986 clause 5.1: DSCP and ECN are copied out, so that the core can treat classes apart (RFC 2473 clause
     * 6.4, RFC 6040 clause 4.1); the flow label is a hash, which keeps a flow on one path (RFC 6437 clause 3). */
    @hidden action push_outer(bit<8> next_header, bit<6> dscp, bit<2> ecn) {
        hdr.ethernet.ether_type = ETHERTYPE_IPV6;
        hdr.outer_ipv6.setValid();
        hdr.outer_ipv6.version = 6;
        hdr.outer_ipv6.dscp = dscp;
        hdr.outer_ipv6.ecn = ecn;
        hdr.outer_ipv6.flow_label = meta.flow_label;
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

    apply {
        tunnel_source.apply();
        if (policy_backup.apply().hit && path_probe.apply().hit) {
            bit<1> list_is_down;
            bit<1> backup_is_down;
            session_down.read(list_is_down, meta.session);
            session_down.read(backup_is_down, meta.backup_session);
            if (list_is_down == 1 && backup_is_down == 0) {
                meta.policy = meta.backup;
            }
        }
        /* A corridor without a list or a source must not fall back to the open network. */
        if (!policy.apply().hit || meta.tunnel_source == 0) {
            meta.drop_reason = drop_reason_t.NO_POLICY;
            return;
        }
        if (hdr.ipv6.isValid()) {
            push_outer(PROTO_IPV6, hdr.ipv6.dscp, hdr.ipv6.ecn);
        } else {
            push_outer(PROTO_IPV4, hdr.ipv4.dscp, hdr.ipv4.ecn);
        }
        if (meta.carriers == 2) {
            push_list_of_one();
        } else if (meta.carriers == 3) {
            push_list_of_two();
        }
        meta.next_hop_known = true;

        slice_meter.execute_meter(meta.corridor, meta.color);
        if (!color_policy.apply().hit && meta.color == COLOR_RED) {
            meta.drop_reason = drop_reason_t.COLOR;
        }
        if (meta.drop_reason == drop_reason_t.NONE) {
            corridor_counter.count(meta.corridor);
        }
    }
}

#endif
