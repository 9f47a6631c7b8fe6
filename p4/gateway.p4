/* What the router is to the hosts on a customer port: their gateway, which they can resolve and ping, and which
 * tells them why a packet went no further. Here is decided what is answered; icmp.p4 makes the answer. */

#ifndef GATEWAY_P4
#define GATEWAY_P4

#include "headers.p4"

control gateway_port(inout headers_t hdr, inout metadata_t meta, inout standard_metadata_t standard_metadata) {
    @id(0x01000017) action set_gateway(@id(1) bit<32> ipv4, @id(2) bit<128> ipv6) {
        meta.gateway_ipv4 = ipv4;
        meta.gateway_ipv6 = ipv6;
    }

    /* 0 = none of that family. A port without an entry answers nothing. */
    @id(0x0200000d) table gateway {
        key = { standard_metadata.ingress_port : exact @id(1) @name("port"); }
        actions = { set_gateway; @defaultonly NoAction; }
        const default_action = NoAction();
        size = 512;
    }

    apply {
        gateway.apply();
        bool has_ipv4 = meta.gateway_ipv4 != 0;
        bool has_ipv6 = meta.gateway_ipv6 != 0;

        /* Address resolution: RFC 826. Who is not looking for the gateway gets no answer. */
        if (hdr.arp.isValid()) {
            if (has_ipv4 && hdr.arp.target_addr == meta.gateway_ipv4
                    && hdr.arp.hardware_type == ARP_ETHERNET && hdr.arp.protocol_type == ETHERTYPE_IPV4
                    && hdr.arp.hardware_length == 6 && hdr.arp.protocol_length == 4
                    && hdr.arp.operation == ARP_REQUEST) {
                meta.answer = answer_t.ARP_REPLY;
            } else {
                meta.drop_reason = drop_reason_t.NOT_FOR_ROUTER;
            }
            return;
        }
        /* RFC 4861 clauses 7.1.1, 7.2.3. Sent to the gateway's own address or to its solicited-node address (RFC
         * 4291 clause 2.7.1), and only to that from a host that has no address yet. */
        if (hdr.neighbor.isValid() && hdr.icmp.code == 0 && has_ipv6 && hdr.neighbor.target == meta.gateway_ipv6) {
            bool to_group = hdr.ipv6.dst_addr == SOLICITED_NODE ++ meta.gateway_ipv6[23:0];
            bool to_gateway = hdr.ipv6.dst_addr == meta.gateway_ipv6 && hdr.ipv6.src_addr != 0;
            if ((to_group || to_gateway) && hdr.ipv6.src_addr[127:120] != 0xff) {
                meta.answer = answer_t.ADVERTISEMENT;
            } else {
                meta.drop_reason = drop_reason_t.TO_ROUTER;
            }
            return;
        }
        if (hdr.ethernet.dst_addr != meta.port_mac) {
            meta.drop_reason = drop_reason_t.NOT_FOR_ROUTER;
            return;
        }

        /* Echo: RFC 4443 clause 4.2, RFC 792 (RFC 1122 clause 3.2.2.6); whole datagrams from one host only. */
        if (hdr.ipv6.isValid() && has_ipv6 && hdr.ipv6.dst_addr == meta.gateway_ipv6) {
            if (hdr.ipv6.next_header == PROTO_ICMPV6 && hdr.icmp.isValid()
                    && hdr.icmp.type == ICMPV6_ECHO_REQUEST && hdr.icmp.code == 0
                    && hdr.ipv6.src_addr[127:120] != 0xff && hdr.ipv6.src_addr[127:1] != 0) {
                meta.answer = answer_t.ECHO_REPLY;
            } else {
                meta.drop_reason = drop_reason_t.TO_ROUTER;
            }
            return;
        }
        if (hdr.ipv4.isValid() && has_ipv4 && hdr.ipv4.dst_addr == meta.gateway_ipv4) {
            if (hdr.ipv4.protocol == PROTO_ICMP && hdr.icmp.isValid() && hdr.ipv4.flags[0:0] == 0
                    && hdr.icmp.type == ICMP_ECHO_REQUEST && hdr.icmp.code == 0
                    && hdr.ipv4.src_addr[31:29] != 7 && hdr.ipv4.src_addr[31:24] != 0
                    && hdr.ipv4.src_addr[31:24] != 127) {
                meta.answer = answer_t.ECHO_REPLY;
            } else {
                meta.drop_reason = drop_reason_t.TO_ROUTER;
            }
            return;
        }

        /* RFC 4443 clause 2.4 (e), RFC 1122 clause 3.2.2: no error about an error or a redirect. Frames to a group
         * were stopped above, addresses of a group or of no host by customer_port; and where the parser kept
         * nothing to quote (a later fragment, headers that it does not read), an error may hide. */
        if (hdr.icmp.isValid()) {
            if (hdr.ipv6.isValid()) {
                meta.may_be_told = has_ipv6 && hdr.icmp.type >= ICMPV6_ECHO_REQUEST && hdr.icmp.type != ICMPV6_REDIRECT;
            } else {
                meta.may_be_told = has_ipv4 && (hdr.icmp.type == ICMP_ECHO_REQUEST || hdr.icmp.type == ICMP_ECHO_REPLY
                                                || hdr.icmp.type == ICMP_TIMESTAMP
                                                || hdr.icmp.type == ICMP_TIMESTAMP_REPLY);
            }
        } else if (hdr.ipv6.isValid()) {
            meta.may_be_told = has_ipv6 && (hdr.udp.isValid() || hdr.payload.isValid()
                                            || hdr.inner_ipv6.isValid() || hdr.inner_ipv4.isValid());
        } else {
            meta.may_be_told = has_ipv4 && hdr.payload.isValid();
        }
    }
}

#endif
