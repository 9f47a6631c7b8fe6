/* Headers on the wire and the metadata that the pipeline carries with a packet. */

#ifndef HEADERS_P4
#define HEADERS_P4

#include <core.p4>
#include <v1model.p4>

const bit<9> CPU_PORT = 510;

const bit<16> ETHERTYPE_IPV4 = 0x0800;
const bit<16> ETHERTYPE_ARP = 0x0806;
const bit<16> ETHERTYPE_IPV6 = 0x86dd;
const bit<16> ETHERTYPE_LLDP = 0x88cc;

const bit<8> PROTO_HOP_BY_HOP = 0;
const bit<8> PROTO_ICMP = 1;
const bit<8> PROTO_IPV4 = 4;
const bit<8> PROTO_UDP = 17;
const bit<8> PROTO_IPV6 = 41;
const bit<8> PROTO_ROUTING = 43;
const bit<8> PROTO_FRAGMENT = 44;
const bit<8> PROTO_AUTHENTICATION = 51;
const bit<8> PROTO_ICMPV6 = 58;
const bit<8> PROTO_DESTINATION_OPTIONS = 60;
const bit<8> PROTO_MOBILITY = 135;
const bit<8> PROTO_HOST_IDENTITY = 139;
const bit<8> PROTO_SHIM6 = 140;

const bit<16> PORT_STAMP = 862;           // RFC 8762 clause 4.1

const bit<8> ROUTING_TYPE_SEGMENT = 4;    // RFC 8754 clause 2
const bit<8> TUNNEL_HOP_LIMIT = 64;       // pipe model: the tunnel is one hop to the customer (RFC 2473 clause 6.3)
const bit<8> OWN_HOP_LIMIT = 64;          // of what the router itself sends
const bit<8> HOP_LIMIT_ON_LINK = 255;     // neighbour discovery: never forwarded (RFC 4861 clause 7.1)
const bit<48> BROADCAST = 0xffffffffffff;
const bit<16> IPV6_MULTICAST_MAC = 0x3333;    // the first two bytes (RFC 2464 clause 7)

const bit<16> ARP_ETHERNET = 1;
const bit<16> ARP_REQUEST = 1;
const bit<16> ARP_REPLY = 2;

const bit<8> ICMP_ECHO_REPLY = 0;
const bit<8> ICMP_UNREACHABLE = 3;
const bit<8> FRAGMENTATION_NEEDED = 4;    // a code of ICMP_UNREACHABLE
const bit<8> ICMP_ECHO_REQUEST = 8;
const bit<8> ICMP_TIME_EXCEEDED = 11;
const bit<8> ICMP_TIMESTAMP = 13;
const bit<8> ICMP_TIMESTAMP_REPLY = 14;

const bit<8> ICMPV6_PACKET_TOO_BIG = 2;
const bit<8> ICMPV6_TIME_EXCEEDED = 3;
const bit<8> ICMPV6_ECHO_REQUEST = 128;   // types below are errors (RFC 4443 clause 2.1)
const bit<8> ICMPV6_ECHO_REPLY = 129;
const bit<8> NEIGHBOR_SOLICITATION = 135;
const bit<8> NEIGHBOR_ADVERTISEMENT = 136;
const bit<8> ICMPV6_REDIRECT = 137;
const bit<8> TARGET_LINK_ADDRESS = 2;     // an option of neighbour discovery

const bit<128> ALL_NODES = 0xff020000000000000000000000000001;
const bit<104> SOLICITED_NODE = 0xff0200000000000000000001ff;
const bit<16> IPV4_LINK_LOCAL = 0xa9fe;   // 169.254.0.0/16 (RFC 3927)
const bit<3> IPV4_DO_NOT_FRAGMENT = 2;

const bit<6> DSCP_CONTROL = 48;           // CS6, of ICMP errors (RFC 1812 clause 4.3.2.5)

const bit<2> ECN_NOT_ECT = 0;             // RFC 3168 clause 5
const bit<2> ECN_ECT_1 = 1;
const bit<2> ECN_ECT_0 = 2;
const bit<2> ECN_CE = 3;

const bit<2> COLOR_RED = 2;               // 0 is green, 1 yellow (RFC 2698)

const bit<3> FLAVOR_PSP = 1;
const bit<3> FLAVOR_USD = 2;

/* What local_sid found; the processing itself is in the control's body, where it can be read in one piece. */
enum bit<4> behavior_t {
    NONE = 0, END = 1, END_X = 2, END_DT6 = 3, END_DT4 = 4, END_DX4 = 5, U_N = 6, U_A = 7, U_DT6 = 8, U_DT4 = 9
}

/* Why a packet went no further: index of drop_counter, with a row each in docs/pipeline.md. Never renumbered. */
enum bit<8> drop_reason_t {
    NONE = 0,
    NO_ROLE = 1,             // the port is nobody's
    NOT_FOR_ROUTER = 2,      // a frame for another MAC; a neighbour looking for somebody else
    MALFORMED = 3,           // cannot be parsed, a wrong version, longer by its header than by the frame
    CHECKSUM = 4,            // IPv4 header, what is decapsulated included; neighbour solicitation
    PROTOCOL = 5,            // not IP, or not the IP that this kind of port takes
    IPV4_OPTIONS = 6,
    SCOPE = 7,               // addresses that no router forwards: multicast, link-local, loopback, unspecified
    INFRASTRUCTURE = 8,      // a customer addresses the SR domain
    ROUTING_HEADER = 9,      // a customer brings a routing header, or headers that may hide one
    HOP_LIMIT = 10,
    TOO_BIG = 11,
    NO_POLICY = 12,          // a corridor without segment list or tunnel source
    COLOR = 13,              // beyond what the slice meter and color_policy let pass
    NO_ROUTE = 14,
    NO_NEXT_HOP = 15,        // an unknown next hop, a group without a live member
    NO_HOST = 16,
    SEGMENT_LIST = 17,       // nothing left of it, or it does not hold together
    UPPER_LAYER = 18,        // not what this SID takes behind the last segment
    TO_ROUTER = 19,          // for the router itself, and nothing that it answers
    ICMP_LIMIT = 20,         // an answer kept back to keep to the rate; an error's packet has its own reason
    CONGESTION = 21          // met on the way, and the packet's ends would not understand the mark
}

/* What the router itself sends instead of the packet. */
enum bit<3> answer_t {
    NONE = 0, ARP_REPLY = 1, ADVERTISEMENT = 2, ECHO_REPLY = 3, TIME_EXCEEDED = 4, TOO_BIG = 5
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

header arp_t {                 // RFC 826, over Ethernet for IPv4
    bit<16> hardware_type;
    bit<16> protocol_type;
    bit<8> hardware_length;
    bit<8> protocol_length;
    bit<16> operation;
    bit<48> sender_mac;
    bit<32> sender_addr;
    bit<48> target_mac;
    bit<32> target_addr;
}

header icmp_t {                // RFC 792, RFC 4443
    bit<8> type;
    bit<8> code;
    bit<16> checksum;
    bit<32> body;             // echo: identifier and sequence number; too big: MTU
}

header fragment_t {            // RFC 8200 clause 4.5
    bit<8> next_header;
    bit<8> reserved;
    bit<13> offset;
    bit<3> flags;             // two reserved bits, more fragments
    bit<32> identification;
}

header neighbor_t {            // RFC 4861 clauses 4.3, 4.4, behind icmp_t
    bit<128> target;
}

header link_address_t {        // RFC 4861 clause 4.6.1
    bit<8> type;
    bit<8> length;            // in units of 8 bytes
    bit<48> mac;
}

header udp_t {
    bit<16> src_port;
    bit<16> dst_port;
    bit<16> length;
    bit<16> checksum;
}

/* The first 8 bytes behind an IP header that nobody here reads: what an ICMP error quotes of them. */
header payload_t {
    bit<64> octets;
}

struct headers_t {
    packet_in_t packet_in;
    packet_out_t packet_out;
    ethernet_t ethernet;
    ipv6_t outer_ipv6;        // what H.Encaps.Red pushes
    srh_t outer_srh;
    segment_t outer_segment_0;
    segment_t outer_segment_1;
    ipv4_t outer_ipv4;        // of an ICMP error, as outer_ipv6 is of an ICMPv6 error
    icmp_t icmp_error;
    arp_t arp;
    ipv6_t ipv6;              // what arrived
    srh_t srh;
    segment_t[3] segments;
    ipv6_t inner_ipv6;        // what decapsulation uncovers
    ipv4_t inner_ipv4;
    ipv4_t ipv4;
    fragment_t fragment;      // what is read behind an IP header
    icmp_t icmp;
    neighbor_t neighbor;
    link_address_t link_address;
    udp_t udp;
    payload_t payload;
}

struct metadata_t {
    drop_reason_t drop_reason;
    answer_t answer;
    bool is_customer;
    bit<8> upper_layer;       // next header of what is behind IPv6 and the extension headers read, and its length
    bit<16> upper_length;
    bool may_be_told;         // an ICMP error about the packet may be sent to its source
    bool has_routing_header;
    bool to_customer;
    bool classified;
    bool next_hop_known;
    bool punted;
    bool originated;          // by this router, so that its hop limit is as it should be
    bit<48> port_mac;
    bit<16> vrf;
    bit<6> dscp;
    bit<16> ip_length;
    bit<16> mtu;
    bit<16> policy;
    bit<16> session;          // what watches the list of this policy, and what the list that may take its place
    bit<16> backup_session;
    bit<16> backup;
    bit<16> corridor;
    bit<16> next_hop;
    bit<16> group;
    bool has_group;
    bit<128> flow_source;     // what tells flows apart where a group has to choose
    bit<128> flow_destination;
    bit<20> flow_label;       // at the headend: of the outer header
    bit<32> gateway_ipv4;
    bit<128> gateway_ipv6;
    behavior_t behavior;
    bit<3> flavors;
    bit<2> carriers;
    bit<128> carrier1;
    bit<128> carrier2;
    bit<128> carrier3;
    bit<128> tunnel_source;
    bit<2> color;
}

#endif
