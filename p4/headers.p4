/* Headers on the wire and the metadata that the pipeline carries with a packet. */

#ifndef HEADERS_P4
#define HEADERS_P4

#include <core.p4>
#include <v1model.p4>

const bit<9> CPU_PORT = 510;

const bit<16> ETHERTYPE_IPV4 = 0x0800;
const bit<16> ETHERTYPE_IPV6 = 0x86dd;
const bit<16> ETHERTYPE_LLDP = 0x88cc;

const bit<8> PROTO_HOP_BY_HOP = 0;
const bit<8> PROTO_IPV4 = 4;
const bit<8> PROTO_IPV6 = 41;
const bit<8> PROTO_ROUTING = 43;
const bit<8> PROTO_FRAGMENT = 44;
const bit<8> PROTO_AUTHENTICATION = 51;
const bit<8> PROTO_DESTINATION_OPTIONS = 60;

const bit<8> ROUTING_TYPE_SEGMENT = 4;    // RFC 8754 clause 2
const bit<8> TUNNEL_HOP_LIMIT = 64;       // pipe model: the tunnel is one hop to the customer (RFC 2473 clause 6.3)
const bit<2> COLOR_RED = 2;

/* What local_sid found; the processing itself is in the control's body, where it can be read in one piece. */
enum bit<4> behavior_t {
    NONE = 0, END = 1, END_X = 2, END_DT6 = 3, END_DT4 = 4, END_DX4 = 5, U_N = 6, U_A = 7, U_DT6 = 8, U_DT4 = 9
}

@controller_header("packet_in")
header packet_in_t {
    @id(1) bit<9> ingress_port;
    @id(2) @padding bit<7> pad;
}

@controller_header("packet_out")
header packet_out_t {
    @id(1) bit<9> egress_port;
    @id(2) @padding bit<7> pad;
}

header ethernet_t {
    bit<48> dst_addr;
    bit<48> src_addr;
    bit<16> ether_type;
}

header ipv6_t {
    bit<4> version;
    bit<6> dscp;
    bit<2> ecn;
    bit<20> flow_label;
    bit<16> payload_len;
    bit<8> next_header;
    bit<8> hop_limit;
    bit<128> src_addr;
    bit<128> dst_addr;
}

header ipv4_t {
    bit<4> version;
    bit<4> ihl;
    bit<6> dscp;
    bit<2> ecn;
    bit<16> total_len;
    bit<16> identification;
    bit<3> flags;
    bit<13> fragment_offset;
    bit<8> ttl;
    bit<8> protocol;
    bit<16> checksum;
    bit<32> src_addr;
    bit<32> dst_addr;
}

header srh_t {
    bit<8> next_header;
    bit<8> hdr_ext_len;       // 8-byte units beyond the first: 2 per segment
    bit<8> routing_type;
    bit<8> segments_left;
    bit<8> last_entry;        // index of the last element of the list
    bit<8> flags;
    bit<16> tag;
}

header segment_t {
    bit<128> sid;
}

struct headers_t {
    packet_in_t packet_in;
    packet_out_t packet_out;
    ethernet_t ethernet;
    ipv6_t outer_ipv6;        // what H.Encaps.Red pushes
    srh_t outer_srh;
    segment_t outer_segment_0;
    segment_t outer_segment_1;
    ipv6_t ipv6;              // what arrived
    srh_t srh;
    segment_t[3] segments;
    ipv6_t inner_ipv6;        // what decapsulation uncovers
    ipv4_t inner_ipv4;
    ipv4_t ipv4;
}

struct metadata_t {
    bool is_customer;
    bool has_routing_header;
    bool to_customer;
    bool next_hop_known;
    bit<48> port_mac;
    bit<16> vrf;
    bit<6> dscp;
    bit<16> ip_length;
    bit<16> mtu;
    bit<16> policy;
    bit<16> corridor;
    bit<16> next_hop;
    behavior_t behavior;
    bit<2> carriers;
    bit<128> carrier1;
    bit<128> carrier2;
    bit<128> carrier3;
    bit<128> tunnel_source;
    bit<2> color;
}

#endif
