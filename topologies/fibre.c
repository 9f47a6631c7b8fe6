// fibre: a fibre pair of fixed one-way delay between two Ethernet ports.
//
//   fibre NETNS_A IF_A NETNS_B IF_B DELAY_US CONTROL_SOCKET
//
// Creates a TAP in each network namespace (a name under /run/netns, or a process id), prints "ready", and carries
// frames both ways, each DELAY_US after it entered, in order. CONTROL_SOCKET is a Unix datagram socket that takes
//   cut     both ends lose carrier; frames in flight are lost
//   mend    carrier comes back
//   count   nothing
// and answers each with "MONOTONIC_NS CARRIED_A_Z CARRIED_Z_A LOST". SIGTERM ends it. It does not end with its
// parent, because the command that brings a lab up exits long before the lab goes down.
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    MTU = 9500,
    MAX_FRAME = MTU + 64,
    TX_QUEUE = 8192,      // frames that wait in the TAP while this process does not run
    IN_FLIGHT = 1 << 16,  // frames on the way in one direction; beyond, they are lost and counted
    BATCH = 64,           // frames taken from one end before the other end gets its turn
};

struct frame {
    uint64_t due;
    uint32_t length;
    char *bytes;
};

struct direction {
    struct frame *ring;
    uint64_t head, tail;  // ring[head % IN_FLIGHT] leaves next
    uint64_t carried;
};

static int tap[2];
static int route_socket[2];   // netlink, in the namespace of tap[i]
static int interface_index[2];
static struct direction direction[2];  // direction[i] goes from tap[i] to tap[1 - i]
static uint64_t lost;
static bool is_cut;
static volatile sig_atomic_t ending;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void enter_namespace(const char *name) {
    char path[256];
    bool is_pid = name[0] && strspn(name, "0123456789") == strlen(name);
    snprintf(path, sizeof path, is_pid ? "/proc/%s/ns/net" : "/run/netns/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) err(1, "%s", path);
    close(fd);
}

// A TAP belongs to the namespace in which /dev/net/tun is opened, so nothing ever appears in another one.
static void open_tap(int end, const char *namespace, const char *interface) {
    enter_namespace(namespace);
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) err(1, "TAP %s in %s", interface, namespace);
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    request.ifr_mtu = MTU;
    if (control < 0 || ioctl(control, SIOCSIFMTU, &request) < 0) err(1, "MTU of %s", interface);
    request.ifr_qlen = TX_QUEUE;
    if (ioctl(control, SIOCSIFTXQLEN, &request) < 0) err(1, "queue of %s", interface);
    request.ifr_flags = IFF_UP;
    if (ioctl(control, SIOCSIFFLAGS, &request) < 0) err(1, "%s up", interface);
    if (ioctl(control, SIOCGIFINDEX, &request) < 0) err(1, "index of %s", interface);
    close(control);
    tap[end] = fd;
    interface_index[end] = request.ifr_ifindex;
    route_socket[end] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (route_socket[end] < 0) err(1, "netlink in %s", namespace);
}

static int open_control(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) errx(1, "%s: too long for a socket", path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) err(1, "%s", path);
    return fd;
}

static void take_in(int end, uint64_t delay_ns) {
    static char buffer[MAX_FRAME];
    struct direction *d = &direction[end];
    for (int i = 0; i < BATCH; i++) {
        ssize_t length = read(tap[end], buffer, sizeof buffer);
        if (length <= 0) return;
        char *bytes = !is_cut && d->tail - d->head < IN_FLIGHT ? malloc((size_t)length) : NULL;
        if (!bytes) {
            lost++;
            continue;
        }
        memcpy(bytes, buffer, (size_t)length);
        d->ring[d->tail++ % IN_FLIGHT] = (struct frame){now_ns() + delay_ns, (uint32_t)length, bytes};
    }
}

static struct frame *next_frame(struct direction *d) {
    return d->head == d->tail ? NULL : &d->ring[d->head % IN_FLIGHT];
}

static void let_out(int end) {
    struct direction *d = &direction[end];
    for (struct frame *f; (f = next_frame(d)) && f->due <= now_ns(); d->head++) {
        if (write(tap[1 - end], f->bytes, f->length) == (ssize_t)f->length) d->carried++;
        else lost++;
        free(f->bytes);
    }
}

// The kernel tells of lost carriers at most once a second, for all interfaces of the machine together; optics tell of
// lost light at once. A change to operational state "dormant" (RFC 2863) is told at once, and without "running".
static void tell_at_once(int end) {
    struct {
        struct nlmsghdr header;
        struct ifinfomsg link;
        struct rtattr attribute;
        uint8_t state[RTA_ALIGN(1)];
    } request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_SETLINK, .nlmsg_flags = NLM_F_REQUEST},
        .link = {.ifi_family = AF_UNSPEC, .ifi_index = interface_index[end]},
        .attribute = {.rta_len = RTA_LENGTH(1), .rta_type = IFLA_OPERSTATE},
        .state = {IF_OPER_DORMANT},
    };
    if (send(route_socket[end], &request, sizeof request, 0) < 0) warn("operational state");
}

static void set_carrier(int on) {
    is_cut = !on;
    for (int end = 0; end < 2; end++) {
        if (ioctl(tap[end], TUNSETCARRIER, &on) < 0) warn("carrier");
        if (is_cut) tell_at_once(end);
    }
}

static void lose_frames_in_flight(void) {
    for (int end = 0; end < 2; end++)
        for (struct frame *f; (f = next_frame(&direction[end])); direction[end].head++, lost++) free(f->bytes);
}

static void obey(int control) {
    char command[16] = "", answer[128];
    struct sockaddr_un sender;
    socklen_t size = sizeof sender;
    if (recvfrom(control, command, sizeof command - 1, 0, (struct sockaddr *)&sender, &size) <= 0) return;
    if (!strcmp(command, "cut")) {
        set_carrier(0);
        lose_frames_in_flight();
    } else if (!strcmp(command, "mend")) {
        set_carrier(1);
    }
    int length = snprintf(answer, sizeof answer, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, now_ns(),
                          direction[0].carried, direction[1].carried, lost);
    sendto(control, answer, (size_t)length, 0, (struct sockaddr *)&sender, size);
}

static struct timespec until_next_frame(void) {
    uint64_t due = UINT64_MAX, now = now_ns();
    for (int end = 0; end < 2; end++) {
        struct frame *f = next_frame(&direction[end]);
        if (f && f->due < due) due = f->due;
    }
    uint64_t wait = due == UINT64_MAX ? 3600000000000u : due > now ? due - now : 0;
    return (struct timespec){(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
}

static void end_on(int signal_number) { ending = signal_number; }

int main(int argc, char **argv) {
    if (argc != 7) errx(2, "usage: fibre NETNS_A IF_A NETNS_B IF_B DELAY_US CONTROL_SOCKET");
    char *rest;
    double delay_us = strtod(argv[5], &rest);
    if (*rest || !(delay_us >= 0 && delay_us <= 1e6)) errx(2, "DELAY_US must be within 0..1000000");
    uint64_t delay_ns = (uint64_t)(delay_us * 1000);
    int control = open_control(argv[6]);
    for (int end = 0; end < 2; end++) {
        open_tap(end, argv[1 + 2 * end], argv[2 + 2 * end]);
        direction[end].ring = calloc(IN_FLIGHT, sizeof(struct frame));
        if (!direction[end].ring) err(1, "ring");
    }
    // Light does not wait for a processor: a fibre that pauses on a busy machine is a cut to those who watch it.
    struct sched_param realtime = {.sched_priority = 3};  // ahead of the line-card programs
    if (sched_setscheduler(0, SCHED_FIFO, &realtime) < 0) warn("no real-time scheduling");
    prctl(PR_SET_TIMERSLACK, 1);  // else every timer may be 50 us late
    struct sigaction action = {.sa_handler = end_on};
    sigset_t blocked, while_waiting;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &while_waiting);  // taken only inside ppoll, so that none is missed
    sigaction(SIGTERM, &action, NULL);
    puts("ready");
    fflush(stdout);
    while (!ending) {
        struct pollfd ports[3] = {{tap[0], POLLIN, 0}, {tap[1], POLLIN, 0}, {control, POLLIN, 0}};
        struct timespec wait = until_next_frame();
        if (ppoll(ports, 3, &wait, &while_waiting) < 0 && errno != EINTR) err(1, "ppoll");
        let_out(0);
        let_out(1);
        if (ports[0].revents & POLLIN) take_in(0, delay_ns);
        if (ports[1].revents & POLLIN) take_in(1, delay_ns);
        if (ports[2].revents & POLLIN) obey(control);
    }
    unlink(argv[6]);
    return 0;
}
