/* The packet node's pipeline, and at the same time its contract: every target that announces this P4Info
 * behaves as written here, whether it runs the program (BMv2) or realises it by other means (Linux SRv6).
 *
 *   customer port -> gateway -> edge filter -> classifier -> policy (H.Encaps.Red) -> slice meter -> next hop
 *                       |                      no match   -> route by VRF          -> next hop -> host
 *                       +-> answer or ICMP error, by the port of entry
 *   network port  -> node address -> local SID -> route by VRF 0, or by the VRF of the SID -> next hop -> host
 *                       +-> answer -> route by VRF 0, or the controller
 *
 * Every stage either lets a packet go on, or says by drop_reason_t why not; the one place that drops, and counts, is
 * at the end of this control. Nothing is guessed: what a stage has no entry for goes no further.
 *
 * References: RFC 8754 (SRH), RFC 8986 (network programming), RFC 9800 (NEXT-C-SID), RFC 8200 (IPv6), RFC 4443
 * (ICMPv6), RFC 1812 (IPv4 routers). SIDs follow a 32-bit block and 16-bit C-SIDs (`block:node:function::`). Ids are
 * explicit so that they never change. docs/pipeline.md says who writes which table.
 */

#define V1MODEL_VERSION 20200408

#include <core.p4>
#include <v1model.p4>

#include "checksums.p4"
#include "customer_port.p4"
#include "forwarding.p4"
#include "headers.p4"
#include "icmp.p4"
#include "network_port.p4"
#include "parser.p4"

control ingress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {
    customer_port() customer_side;
    network_port() network_side;
    forwarding() forward;
    own_messages() own;

    /* Why packets went no further, by drop_reason_t. */
    @id(0x12000003) counter<bit<8>>(32, CounterType.packets_and_bytes) drop_counter;
    /* Echo replies and ICMP errors, by port of entry (RFC 4443 clause 2.4 (f), RFC 1812 clause 4.3.2.8). */
    @id(0x14000002) meter<bit<9>>(512, MeterType.packets) icmp_limit;

    // ---- what a port is ----

    @id(0x01000001) action network(@id(1) bit<48> mac) { meta.port_mac = mac; }

    @id(0x01000002) action customer(@id(1) bit<48> mac, @id(2) bit<16> vrf) {
        meta.port_mac = mac;
        meta.vrf = vrf;
        meta.is_customer = true;
    }

    /* A port without a role carries nothing but LLDP. */
    @id(0x02000001) table port_role {
        key = { standard_metadata.ingress_port : exact @id(1) @name("port"); }
        actions = { network; customer; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 512;
    }

    @hidden action punt() {
        standard_metadata.egress_spec = CPU_PORT;
        hdr.packet_in.setValid();
        hdr.packet_in.ingress_port = standard_metadata.ingress_port;
        hdr.packet_in.pad = 0;
    }

    apply {
        if (hdr.packet_out.isValid()) {
            standard_metadata.egress_spec = hdr.packet_out.egress_port;
            hdr.packet_out.setInvalid();
            exit;
        }
        /* Discovery comes first: LLDP is punted from any port, also one without a role, and whatever its
         * destination, since it is sent to a trail's channel address to prove an adjacency. */
        if (hdr.ethernet.isValid() && hdr.ethernet.ether_type == ETHERTYPE_LLDP) {
            punt();
            exit;
        }
        bool known_port = port_role.apply().hit;
        /* To a group go the questions who has an address; a router forwards nothing that came so. */
        bool for_router = hdr.ethernet.dst_addr == meta.port_mac
            || (meta.is_customer && hdr.arp.isValid() && hdr.ethernet.dst_addr == BROADCAST)
            || (meta.is_customer && hdr.neighbor.isValid() && hdr.ethernet.dst_addr[47:32] == IPV6_MULTICAST_MAC);
        /* IPv4: RFC 1812 clause 5.2.2. What the link padded a packet with may follow it, less may not. */
        bit<32> length = standard_metadata.packet_length - 14;
        bool broken = standard_metadata.parser_error != error.NoError || hdr.ethernet.src_addr[40:40] == 1
            || (hdr.ipv6.isValid() && (hdr.ipv6.version != 6 || length < (bit<32>) hdr.ipv6.payload_len + 40))
            || (hdr.ipv4.isValid() && (hdr.ipv4.version != 4 || length < (bit<32>) hdr.ipv4.total_len
                                       || hdr.ipv4.total_len < 20));
        if (!known_port) {
            meta.drop_reason = drop_reason_t.NO_ROLE;
        } else if (!for_router) {
            meta.drop_reason = drop_reason_t.NOT_FOR_ROUTER;
        } else if (broken) {
            meta.drop_reason = drop_reason_t.MALFORMED;
        } else if (meta.is_customer) {
            customer_side.apply(hdr, meta, standard_metadata);
        } else {
            network_side.apply(hdr, meta, standard_metadata);
        }

        if (meta.punted) {
            punt();
            exit;
        }
        if (meta.answer != answer_t.NONE) {
            bit<2> limit = 0;
            /* Who has the gateway's address must be known also while errors are kept back. Such an answer stays on
             * the link, and is no larger than its question. */
            if (meta.answer != answer_t.ARP_REPLY && meta.answer != answer_t.ADVERTISEMENT) {
                icmp_limit.execute_meter(standard_metadata.ingress_port, limit);
            }
            if (limit == COLOR_RED) {
                meta.answer = answer_t.NONE;
                if (meta.drop_reason == drop_reason_t.NONE) {
                    meta.drop_reason = drop_reason_t.ICMP_LIMIT;
                }
            } else {
                own.apply(hdr, meta, standard_metadata);
            }
        }
        /* On a network port the sender is some node beyond the neighbour, and the answer takes a route to it. */
        bool routed = meta.answer == answer_t.NONE || !meta.is_customer;
        if (meta.drop_reason == drop_reason_t.NONE && routed) {
            meta.originated = meta.answer != answer_t.NONE;
            meta.answer = answer_t.NONE;
            forward.apply(hdr, meta, standard_metadata);
        }
        /* An ICMP error takes the place of the packet that it is about, which is counted all the same. */
        if (meta.drop_reason != drop_reason_t.NONE) {
            drop_counter.count((bit<8>) meta.drop_reason);
            if (meta.answer == answer_t.NONE) {
                mark_to_drop(standard_metadata);
            }
        }
    }
}

control egress(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {
    apply { }
}

@pkginfo(name = "corridor", version = "1.2.0")
V1Switch(corridor_parser(), corridor_verify(), ingress(), egress(), corridor_checksum(), corridor_deparser()) main;
