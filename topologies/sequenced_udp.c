// sequenced_udp: numbered UDP packets, to count what a network does to each of them.
//
//   sequenced_udp send ADDRESS PORT PPS IP_BYTES SECONDS [BURST]
//   sequenced_udp receive PORT SECONDS [BIN_MS]
//
// IP_BYTES is the length of the IP packet. BURST packets leave back to back, at PPS on average; a PPS above what the
// path carries keeps its shaper backlogged. `receive` takes IPv4 and IPv6, and ends when all packets are there, when
// the last one is and nothing came for 1 s, SECONDS after its start, or on SIGTERM. Both print one JSON object. Times are CLOCK_MONOTONIC,
// so one-way delays are right only where both ends share a clock, as in the lab. `lost` includes the tail: each packet
// says how many there will be. With BIN_MS, `bins` holds the IP bytes received per bin since `first_ns`.
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_PACKETS = 1 << 24,
    MAX_BYTES = 9000,
    MAX_BINS = 100000,
    MAX_LOSS_BURSTS = 64,  // printed; all are counted
    BATCH = 64,
    UDP_OVERHEAD_V4 = 28,
    UDP_OVERHEAD_V6 = 48,
    SOCKET_BUFFER = 32 << 20,
};
static const uint64_t SECOND = 1000000000u;
static const uint64_t IDLE_NS = 1000000000u;

struct header {
    uint64_t sequence, total, sent_ns;
};

static volatile sig_atomic_t ending;

static void end_on(int signal_number) { ending = signal_number; }

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t due) {
    struct timespec t = {(time_t)(due / SECOND), (long)(due % SECOND)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static double number(const char *text, double least, double most, const char *what) {
    char *rest;
    double value = strtod(text, &rest);
    if (!*text || *rest || !(value >= least && value <= most)) errx(2, "%s must be within %g..%g", what, least, most);
    return value;
}

static int send_packets(int argc, char **argv) {
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST}, *to;
    if (getaddrinfo(argv[2], argv[3], &hints, &to)) errx(2, "%s %s: no such address and port", argv[2], argv[3]);
    size_t overhead = to->ai_family == AF_INET ? UDP_OVERHEAD_V4 : UDP_OVERHEAD_V6;
    double pps = number(argv[4], 0.1, 1e7, "PPS");
    size_t bytes = (size_t)number(argv[5], (double)(overhead + sizeof(struct header)), MAX_BYTES, "IP_BYTES");
    uint64_t total = (uint64_t)(pps * number(argv[6], 0, 86400, "SECONDS"));
    uint64_t burst = argc > 7 ? (uint64_t)number(argv[7], 1, MAX_PACKETS, "BURST") : 1;
    if (total < 1 || total > MAX_PACKETS) errx(2, "1 to %d packets, not %" PRIu64, MAX_PACKETS, total);
    int s = socket(to->ai_family, SOCK_DGRAM, 0), buffer = SOCKET_BUFFER;
    if (s < 0 || connect(s, to->ai_addr, to->ai_addrlen) < 0) err(1, "%s", argv[2]);
    setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
    static char packet[MAX_BYTES];
    uint64_t start = now_ns(), sequence = 0, errors = 0;
    for (; sequence < total && !ending; sequence++) {
        if (sequence % burst == 0) sleep_until(start + (uint64_t)((double)sequence / pps * (double)SECOND));
        struct header header = {sequence, total, now_ns()};
        memcpy(packet, &header, sizeof header);
        if (send(s, packet, bytes - overhead, 0) < 0) errors++;
    }
    double seconds = (double)(now_ns() - start) / (double)SECOND;
    printf("{\"sent\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"start_ns\": %" PRIu64 ", \"seconds\": %.6f}\n",
           sequence - errors, errors, start, seconds);
    return 0;
}

struct arrivals {
    uint64_t *arrived_ns;  // by sequence number, 0: not yet
    uint32_t *delay_ns;    // by order of arrival, capped at 4.29 s
    uint64_t *bin;
    uint64_t bin_ns, bins, total, received, duplicated, reordered, highest, first_ns, last_ns, bytes;
    uint64_t longest_gap_ns, longest_gap_from_ns;
};

static void note(struct arrivals *a, const struct header *h, uint64_t now, uint64_t ip_bytes) {
    if (h->sequence >= h->total || h->total > MAX_PACKETS || (a->total && h->total != a->total)) return;
    if (!a->total) {
        a->total = h->total;
        a->arrived_ns = calloc(h->total, sizeof *a->arrived_ns);
        a->delay_ns = calloc(h->total, sizeof *a->delay_ns);
        if (!a->arrived_ns || !a->delay_ns) err(1, "memory");
        a->first_ns = a->last_ns = now;
    }
    if (a->arrived_ns[h->sequence]) {
        a->duplicated++;
        return;
    }
    a->arrived_ns[h->sequence] = now;
    uint64_t delay = now - h->sent_ns;
    a->delay_ns[a->received++] = delay < UINT32_MAX ? (uint32_t)delay : UINT32_MAX;
    if (h->sequence < a->highest) a->reordered++;
    else a->highest = h->sequence;
    if (now - a->last_ns > a->longest_gap_ns) {
        a->longest_gap_ns = now - a->last_ns;
        a->longest_gap_from_ns = a->last_ns;
    }
    a->last_ns = now;
    a->bytes += ip_bytes;
    uint64_t bin = a->bin_ns ? (now - a->first_ns) / a->bin_ns : MAX_BINS;
    if (bin < MAX_BINS) {
        a->bin[bin] += ip_bytes;
        a->bins = bin + 1;
    }
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(const struct arrivals *a, double share) {
    if (!a->received) return 0;
    return a->delay_ns[(uint64_t)((double)(a->received - 1) * share)] / 1000.0;
}

// A run of missing numbers, dated by the packets that arrived before and after it.
static uint64_t print_loss_bursts(const struct arrivals *a) {
    uint64_t count = 0, before = a->first_ns;
    printf(", \"loss_bursts\": [");
    for (uint64_t i = 0; i < a->total; i++) {
        if (a->arrived_ns[i]) {
            before = a->arrived_ns[i];
            continue;
        }
        uint64_t from = i;
        while (i + 1 < a->total && !a->arrived_ns[i + 1]) i++;
        if (count++ < MAX_LOSS_BURSTS)
            printf("%s{\"sequence\": %" PRIu64 ", \"packets\": %" PRIu64 ", \"at_ms\": %.3f, \"until_ms\": %.3f}",
                   count > 1 ? ", " : "", from, i - from + 1, (double)(before - a->first_ns) / 1e6,
                   (double)((i + 1 < a->total ? a->arrived_ns[i + 1] : a->last_ns) - a->first_ns) / 1e6);
    }
    printf("]");
    return count;
}

static void print_arrivals(struct arrivals *a) {
    qsort(a->delay_ns, a->delay_ns ? a->received : 0, sizeof *a->delay_ns, ascending);
    double seconds = (double)(a->last_ns - a->first_ns) / 1e9;
    printf("{\"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"duplicated\": %" PRIu64
           ", \"reordered\": %" PRIu64,
           a->total, a->received, a->total - a->received, a->duplicated, a->reordered);
    printf(", \"ip_kbps\": %.1f, \"first_ns\": %" PRIu64 ", \"last_ns\": %" PRIu64,
           seconds > 0 ? (double)a->bytes * 8 / seconds / 1000 : 0, a->first_ns, a->last_ns);
    printf(", \"longest_gap_ms\": %.3f, \"longest_gap_at_ms\": %.3f", (double)a->longest_gap_ns / 1e6,
           a->longest_gap_ns ? (double)(a->longest_gap_from_ns - a->first_ns) / 1e6 : 0);
    printf(", \"one_way_us\": {\"min\": %.1f, \"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}",
           percentile_us(a, 0), percentile_us(a, 0.5), percentile_us(a, 0.99), percentile_us(a, 0.999),
           percentile_us(a, 1));
    uint64_t bursts = print_loss_bursts(a);
    printf(", \"loss_burst_count\": %" PRIu64 ", \"bins\": [", bursts);
    for (uint64_t i = 0; i < a->bins; i++) printf("%s%" PRIu64, i ? ", " : "", a->bin[i]);
    puts("]}");
}

static int listen_on(double port) {
    int s = socket(AF_INET6, SOCK_DGRAM, 0), buffer = SOCKET_BUFFER, no = 0;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_usec = 50000};
    setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (s < 0 || bind(s, (struct sockaddr *)&address, sizeof address) < 0) err(1, "port %g", port);
    return s;
}

static int receive_packets(int argc, char **argv) {
    int s = listen_on(number(argv[2], 1, 65535, "PORT"));
    uint64_t deadline = now_ns() + (uint64_t)(number(argv[3], 0, 86400, "SECONDS") * (double)SECOND);
    struct arrivals a = {.bin_ns = argc > 4 ? (uint64_t)(number(argv[4], 0.1, 60000, "BIN_MS") * 1e6) : 0};
    a.bin = calloc(MAX_BINS, sizeof *a.bin);
    static char packets[BATCH][MAX_BYTES];
    struct iovec parts[BATCH];
    struct sockaddr_in6 senders[BATCH];
    struct mmsghdr messages[BATCH];
    fprintf(stderr, "listening\n");
    for (uint64_t now; !ending && (now = now_ns()) < deadline;) {
        if (a.total && (a.received == a.total || (a.highest + 1 == a.total && now - a.last_ns > IDLE_NS))) break;
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){packets[i], MAX_BYTES};
            messages[i].msg_hdr = (struct msghdr){.msg_name = &senders[i], .msg_namelen = sizeof senders[i],
                                                  .msg_iov = &parts[i], .msg_iovlen = 1};
        }
        int count = recvmmsg(s, messages, BATCH, MSG_WAITFORONE, NULL);
        now = now_ns();
        for (int i = 0; i < count; i++) {
            if (messages[i].msg_len < sizeof(struct header)) continue;
            int is_v4 = IN6_IS_ADDR_V4MAPPED(&senders[i].sin6_addr);
            note(&a, (struct header *)packets[i], now, messages[i].msg_len + (is_v4 ? UDP_OVERHEAD_V4 : UDP_OVERHEAD_V6));
        }
    }
    print_arrivals(&a);
    return 0;
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = end_on};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1);
    if (argc >= 7 && argc <= 8 && !strcmp(argv[1], "send")) return send_packets(argc, argv);
    if (argc >= 4 && argc <= 5 && !strcmp(argv[1], "receive")) return receive_packets(argc, argv);
    errx(2, "usage: sequenced_udp send ADDRESS PORT PPS IP_BYTES SECONDS [BURST] | receive PORT SECONDS [BIN_MS]");
}
