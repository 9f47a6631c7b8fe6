/* Checksums of what arrives and of what leaves, and the order in which headers leave. */

#ifndef CHECKSUMS_P4
#define CHECKSUMS_P4

#include "headers.p4"

control corridor_verify(inout headers_t hdr, inout metadata_t meta) {
    apply {
        verify_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5,
            { hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.dscp, hdr.ipv4.ecn, hdr.ipv4.total_len,
              hdr.ipv4.identification, hdr.ipv4.flags, hdr.ipv4.fragment_offset, hdr.ipv4.ttl,
              hdr.ipv4.protocol, hdr.ipv4.src_addr, hdr.ipv4.dst_addr },
            hdr.ipv4.checksum, HashAlgorithm.csum16);
        verify_checksum(hdr.inner_ipv4.isValid() && hdr.inner_ipv4.ihl == 5,
            { hdr.inner_ipv4.version, hdr.inner_ipv4.ihl, hdr.inner_ipv4.dscp, hdr.inner_ipv4.ecn, hdr.inner_ipv4.total_len,
              hdr.inner_ipv4.identification, hdr.inner_ipv4.flags, hdr.inner_ipv4.fragment_offset, hdr.inner_ipv4.ttl,
              hdr.inner_ipv4.protocol, hdr.inner_ipv4.src_addr, hdr.inner_ipv4.dst_addr },
            hdr.inner_ipv4.checksum, HashAlgorithm.csum16);
        verify_checksum_with_payload(hdr.neighbor.isValid(),
            { hdr.ipv6.src_addr, hdr.ipv6.dst_addr, 16w0, hdr.ipv6.payload_len, 24w0, hdr.ipv6.next_header,
              hdr.icmp.type, hdr.icmp.code, hdr.icmp.body, hdr.neighbor.target },
            hdr.icmp.checksum, HashAlgorithm.csum16);
    }
}

/* What the router sends of its own accord is covered by parsed headers alone: icmp.p4 cuts off what is behind. An
 * echo reply, whose data stays, has its checksum changed there by the difference. */
control corridor_checksum(inout headers_t hdr, inout metadata_t meta) {
    apply {
        update_checksum(hdr.ipv4.isValid() && hdr.ipv4.ihl == 5,
            { hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.dscp, hdr.ipv4.ecn, hdr.ipv4.total_len,
              hdr.ipv4.identification, hdr.ipv4.flags, hdr.ipv4.fragment_offset, hdr.ipv4.ttl,
              hdr.ipv4.protocol, hdr.ipv4.src_addr, hdr.ipv4.dst_addr },
            hdr.ipv4.checksum, HashAlgorithm.csum16);
        update_checksum(hdr.outer_ipv4.isValid(),
            { hdr.outer_ipv4.version, hdr.outer_ipv4.ihl, hdr.outer_ipv4.dscp, hdr.outer_ipv4.ecn, hdr.outer_ipv4.total_len,
              hdr.outer_ipv4.identification, hdr.outer_ipv4.flags, hdr.outer_ipv4.fragment_offset, hdr.outer_ipv4.ttl,
              hdr.outer_ipv4.protocol, hdr.outer_ipv4.src_addr, hdr.outer_ipv4.dst_addr },
            hdr.outer_ipv4.checksum, HashAlgorithm.csum16);
        update_checksum(hdr.link_address.isValid(),
            { hdr.ipv6.src_addr, hdr.ipv6.dst_addr, 16w0, hdr.ipv6.payload_len, 24w0, hdr.ipv6.next_header,
              hdr.icmp.type, hdr.icmp.code, hdr.icmp.body, hdr.neighbor.target,
              hdr.link_address.type, hdr.link_address.length, hdr.link_address.mac },
            hdr.icmp.checksum, HashAlgorithm.csum16);
        update_checksum(hdr.icmp_error.isValid() && hdr.outer_ipv4.isValid(),
            { hdr.icmp_error.type, hdr.icmp_error.code, hdr.icmp_error.body,
              hdr.ipv4.version, hdr.ipv4.ihl, hdr.ipv4.dscp, hdr.ipv4.ecn, hdr.ipv4.total_len,
              hdr.ipv4.identification, hdr.ipv4.flags, hdr.ipv4.fragment_offset, hdr.ipv4.ttl,
              hdr.ipv4.protocol, hdr.ipv4.checksum, hdr.ipv4.src_addr, hdr.ipv4.dst_addr, hdr.payload.octets },
            hdr.icmp_error.checksum, HashAlgorithm.csum16);
        /* Once with and once without a fragment header in the quote. */
        update_checksum(hdr.icmp_error.isValid() && hdr.outer_ipv6.isValid() && !hdr.fragment.isValid(),
            { hdr.outer_ipv6.src_addr, hdr.outer_ipv6.dst_addr, 16w0, hdr.outer_ipv6.payload_len,
              24w0, hdr.outer_ipv6.next_header,
              hdr.icmp_error.type, hdr.icmp_error.code, hdr.icmp_error.body,
              hdr.ipv6.version, hdr.ipv6.dscp, hdr.ipv6.ecn, hdr.ipv6.flow_label, hdr.ipv6.payload_len,
              hdr.ipv6.next_header, hdr.ipv6.hop_limit, hdr.ipv6.src_addr, hdr.ipv6.dst_addr,
              hdr.payload.octets },
            hdr.icmp_error.checksum, HashAlgorithm.csum16);
        update_checksum(hdr.icmp_error.isValid() && hdr.outer_ipv6.isValid() && hdr.fragment.isValid(),
            { hdr.outer_ipv6.src_addr, hdr.outer_ipv6.dst_addr, 16w0, hdr.outer_ipv6.payload_len,
              24w0, hdr.outer_ipv6.next_header,
              hdr.icmp_error.type, hdr.icmp_error.code, hdr.icmp_error.body,
              hdr.ipv6.version, hdr.ipv6.dscp, hdr.ipv6.ecn, hdr.ipv6.flow_label, hdr.ipv6.payload_len,
              hdr.ipv6.next_header, hdr.ipv6.hop_limit, hdr.ipv6.src_addr, hdr.ipv6.dst_addr,
              hdr.fragment.next_header, hdr.fragment.reserved, hdr.fragment.offset, hdr.fragment.flags,
              hdr.fragment.identification, hdr.payload.octets },
            hdr.icmp_error.checksum, HashAlgorithm.csum16);
    }
}

control corridor_deparser(packet_out packet, in headers_t hdr) {
    apply {
        packet.emit(hdr.packet_in);
        packet.emit(hdr.ethernet);
        packet.emit(hdr.arp);
        packet.emit(hdr.outer_ipv6);
        packet.emit(hdr.outer_srh);
        packet.emit(hdr.outer_segment_0);
        packet.emit(hdr.outer_segment_1);
        packet.emit(hdr.outer_ipv4);
        packet.emit(hdr.icmp_error);
        packet.emit(hdr.ipv6);
        packet.emit(hdr.srh);
        packet.emit(hdr.segments);
        packet.emit(hdr.fragment);
        packet.emit(hdr.inner_ipv6);
        packet.emit(hdr.inner_ipv4);
        packet.emit(hdr.ipv4);
        packet.emit(hdr.icmp);
        packet.emit(hdr.neighbor);
        packet.emit(hdr.link_address);
        packet.emit(hdr.udp);
        packet.emit(hdr.payload);
    }
}

#endif
