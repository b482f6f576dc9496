/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traffic: numbered UDP packets, every one accounted for. Both sides run this program:
 *
 *     traffic --bind ADDR --to ADDR [--port P] [--rate PPS | --flood] [--size BYTES]
 *             [--time S] [--wait S] [--linger S] [--hosts N] [--flows N] [--mix] [--gro]
 *     traffic --bind ADDR --listen   (receive only, until the sender says it is done)
 *
 * With --to it sends; whether it sends or not it receives on the same port, so two
 * instances that name each other carry both directions at once. --size is that of the IP
 * packet (64 B: 36 B of UDP payload under IPv4, 16 B under IPv6). --hosts N spreads the
 * packets over N flows in turn: source and destination address + 0 .. N-1 (the addresses
 * must be on the interfaces); with --flows, more than N, over so many of their N * N pairs.
 * --mix sends seven packets of 64 B, four of 576 B and one of 1,280 B in turn. The sender ends with
 * "done" packets that carry how many it sent, so the other side knows of losses at the tail. With
 * --stamps (both sides) packets carry when they were sent, and the receiver reports how long they
 * took. What is due is sent every --tick.
 *
 * Ends with a JSON object on stdout; SIGTERM or SIGINT ends it early with the same.
 *
 * Two threads: the sender, and the receiver, which alone touches the account. They share
 * `stopping` and nothing else while they run.
 */
#include "lib/base/clock.h"
#include "tests/lab/account.h"
#include "tests/lab/histogram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC	    0x74726166u /* "traf" */
#define MAGIC_DONE  0x74726165u
#define BATCH	    64
#define RX_BATCH    32
#define RX_ROOM	    65536
#define DONE_COUNT  20
#define DONE_GAP_MS 25
/* Not a multiple of the kernel's tick, which samples what runs. */
#define TICK_NS	    970000ull
#define BURST_S	    0.02 /* at the rate asked for */
#define SOCKET_ROOM (32 << 20)

/* What a packet carries; 16 bytes fit the smallest IPv6 size. */
struct head {
	uint32_t magic;
	uint32_t flow;
	uint64_t seq; /* in a done packet: how many were sent */
};

union addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct traffic {
	union addr self, peer;
	bool sends, flood, gro, mix, stamps;
	unsigned int port, hosts, flows;
	double rate_pps, time_s, linger_s, wait_s;
	uint64_t tick_ns;
	size_t payload, overhead;
	int fd;
	uint64_t sent, send_errors, send_full;
	uint64_t tx_start_ns, tx_end_ns;
	volatile sig_atomic_t stopping;
	volatile bool tx_done;
	struct account account;
	struct histogram latency;
};

static struct traffic t;

static void on_signal(int sig)
{
	t.stopping = 1;
}

static socklen_t addr_len(const union addr *a)
{
	return a->sa.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

static int addr_parse(union addr *a, const char *text, unsigned int port)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons((uint16_t)port);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)port);
		return 0;
	}
	return -EINVAL;
}

/* The address n further on; only the last 16 bits count up. */
static union addr addr_plus(const union addr *a, uint32_t n)
{
	union addr out = *a;

	if (a->sa.sa_family == AF_INET) {
		out.v4.sin_addr.s_addr = htonl(ntohl(a->v4.sin_addr.s_addr) + n);
	} else {
		uint32_t low =
			(uint32_t)(a->v6.sin6_addr.s6_addr[14] << 8 | a->v6.sin6_addr.s6_addr[15]) +
			n;

		out.v6.sin6_addr.s6_addr[14] = (uint8_t)(low >> 8);
		out.v6.sin6_addr.s6_addr[15] = (uint8_t)low;
	}
	return out;
}

/* One prepared message a flow and place in the batch; only the head changes. */
struct slot {
	struct iovec iov;
	union addr to;
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	uint8_t payload[1600];
};

static void slot_init(struct slot *s, struct msghdr *m, uint32_t flow)
{
	union addr from = addr_plus(&t.self, flow % t.hosts);
	struct cmsghdr *c;

	memset(s, 0, sizeof(*s));
	memset(m, 0, sizeof(*m));
	/* With as many flows as hosts: host n to host n. */
	s->to = addr_plus(&t.peer, (flow + flow / t.hosts) % t.hosts);
	s->iov.iov_base = s->payload;
	s->iov.iov_len = t.payload;
	m->msg_iov = &s->iov;
	m->msg_iovlen = 1;
	m->msg_name = &s->to;
	m->msg_namelen = addr_len(&s->to);
	m->msg_control = s->control;
	c = (struct cmsghdr *)s->control;
	if (from.sa.sa_family == AF_INET) {
		struct in_pktinfo info = {.ipi_spec_dst = from.v4.sin_addr};

		m->msg_controllen = CMSG_SPACE(sizeof(info));
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	} else {
		struct in6_pktinfo info = {.ipi6_addr = from.v6.sin6_addr};

		m->msg_controllen = CMSG_SPACE(sizeof(info));
		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
}

/* Sizes are of the IP packet. One place further on in each turn of the flows. */
static size_t mixed_payload(uint64_t seq)
{
	static const uint16_t size[] = {64, 64, 576, 64, 576, 64, 64, 64, 576, 1280, 576, 64};

	return size[(seq + seq / t.flows) % (sizeof(size) / sizeof(size[0]))] - t.overhead;
}

/*
 * Sends n packets from the next number on. A packet the kernel takes is "sent"; one it
 * refuses for good (no route) is counted as an error under its number, which the receiver
 * will then report as lost. Full buffers are waited for.
 */
static void send_batch(struct mmsghdr *msgs, struct slot *slots, unsigned int n)
{
	uint64_t now = t.stamps ? clock_now_ns() : 0;
	unsigned int done = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint64_t seq = t.sent + i;
		struct head h = {MAGIC, (uint32_t)(seq % t.flows), seq};

		if (t.flows > 1)
			slot_init(&slots[i], &msgs[i].msg_hdr, h.flow);
		if (t.mix)
			slots[i].iov.iov_len = mixed_payload(seq);
		memcpy(slots[i].payload, &h, sizeof(h));
		if (t.stamps)
			memcpy(slots[i].payload + sizeof(h), &now, sizeof(now));
	}
	while (done < n && !t.stopping) {
		int rc = sendmmsg(t.fd, msgs + done, n - done, 0);

		if (rc > 0) {
			done += (unsigned int)rc;
		} else if (errno == EAGAIN || errno == ENOBUFS) {
			struct timespec nap = {0, 50 * 1000};

			t.send_full++;
			nanosleep(&nap, NULL);
		} else if (errno != EINTR) {
			t.send_errors++;
			done++;
		}
	}
	t.sent += done;
}

struct pace {
	uint64_t last_ns;
	double allowed;
};

/*
 * How many are to be sent now. Who was held up, by a machine that stood still,
 * catches up at twice the rate: all at once would be a burst that no queue on the
 * way is made for, and its loss would say nothing about what is tested.
 */
static uint64_t paced(struct pace *p, uint64_t now)
{
	double due = (double)(now - t.tx_start_ns) * t.rate_pps / 1e9;
	double behind = (double)((uint64_t)due - t.sent);
	double room = t.rate_pps * BURST_S > BATCH ? t.rate_pps * BURST_S : BATCH;

	p->allowed += 2 * t.rate_pps * (double)(now - p->last_ns) / 1e9;
	if (p->allowed > room)
		p->allowed = room;
	if (behind > p->allowed)
		behind = (double)(uint64_t)p->allowed;
	p->allowed -= behind;
	p->last_ns = now;
	return (uint64_t)behind;
}

static void *sender(void *arg)
{
	struct mmsghdr *msgs = calloc(BATCH, sizeof(*msgs));
	struct slot *slots = calloc(BATCH, sizeof(*slots));
	struct pace pace = {0};
	uint64_t end, now;
	struct head h;

	if (!msgs || !slots)
		exit(1);
	/* Pacing by the millisecond: the default slack of 50 us would drift the last one. */
	prctl(PR_SET_TIMERSLACK, 1ul);
	for (unsigned int i = 0; i < BATCH; i++)
		slot_init(&slots[i], &msgs[i].msg_hdr, 0);
	/* The other side may still be starting. */
	now = clock_now_ns() + (uint64_t)(t.wait_s * 1e9);
	while (clock_now_ns() < now && !t.stopping)
		usleep(1000);
	now = t.tx_start_ns = pace.last_ns = clock_now_ns();
	end = now + (uint64_t)(t.time_s * 1e9);
	while (now < end && !t.stopping) {
		uint64_t n = t.flood ? BATCH : paced(&pace, now);

		for (uint64_t left = n; left && !t.stopping;) {
			unsigned int k = left < BATCH ? (unsigned int)left : BATCH;

			send_batch(msgs, slots, k);
			left -= k;
		}
		if (!t.flood) {
			uint64_t tick =
				t.rate_pps < 1000 ? (uint64_t)(1e9 / t.rate_pps) : t.tick_ns;
			uint64_t next = now + tick - (now - t.tx_start_ns) % tick;
			struct timespec ts = {(time_t)(next / NS_PER_SEC),
					      (long)(next % NS_PER_SEC)};

			clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &ts, NULL);
		}
		now = clock_now_ns();
	}
	t.tx_end_ns = clock_now_ns();
	h = (struct head){MAGIC_DONE, 0, t.sent};
	slot_init(&slots[0], &msgs[0].msg_hdr, 0);
	memcpy(slots[0].payload, &h, sizeof(h));
	for (int i = 0; i < DONE_COUNT; i++) {
		struct timespec gap = {0, DONE_GAP_MS * (long)NS_PER_MS};

		(void)!sendmsg(t.fd, &msgs[0].msg_hdr, MSG_DONTWAIT);
		nanosleep(&gap, NULL);
	}
	t.tx_done = true;
	free(msgs);
	free(slots);
	return NULL;
}

static void take(const uint8_t *p, size_t len, uint64_t now)
{
	struct head h;

	if (len < sizeof(h)) {
		t.account.foreign++;
		return;
	}
	memcpy(&h, p, sizeof(h));
	if (h.magic == MAGIC_DONE) {
		account_done(&t.account, h.seq);
	} else if (h.magic == MAGIC) {
		account_take(&t.account, h.flow, h.seq, now);
		if (t.stamps && len >= sizeof(h) + sizeof(now)) {
			uint64_t sent;

			memcpy(&sent, p + sizeof(h), sizeof(sent));
			histogram_add(&t.latency, now > sent ? now - sent : 0, now);
		}
	} else {
		t.account.foreign++;
	}
}

/* With UDP_GRO one buffer holds several packets of the size in the control message. */
static void take_message(struct mmsghdr *m, uint64_t now)
{
	const uint8_t *p = m->msg_hdr.msg_iov->iov_base;
	size_t left = m->msg_len, seg = left;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(&m->msg_hdr); c; c = CMSG_NXTHDR(&m->msg_hdr, c)) {
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int v;

			memcpy(&v, CMSG_DATA(c), sizeof(v));
			if (v > 0)
				seg = (size_t)v;
		}
	}
	do {
		size_t n = left < seg ? left : seg;

		take(p, n, now);
		p += n;
		left -= n;
	} while (left);
}

static void receive(uint8_t (*buf)[RX_ROOM])
{
	static _Alignas(struct cmsghdr) uint8_t control[RX_BATCH][CMSG_SPACE(sizeof(int))];
	struct mmsghdr msgs[RX_BATCH];
	struct iovec iov[RX_BATCH];
	uint64_t now;
	int n;

	for (int i = 0; i < RX_BATCH; i++) {
		iov[i] = (struct iovec){buf[i], RX_ROOM};
		memset(&msgs[i], 0, sizeof(msgs[i]));
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
		msgs[i].msg_hdr.msg_control = control[i];
		msgs[i].msg_hdr.msg_controllen = sizeof(control[i]);
	}
	n = recvmmsg(t.fd, msgs, RX_BATCH, MSG_DONTWAIT, NULL);
	now = clock_now_ns();
	for (int i = 0; i < n; i++)
		take_message(&msgs[i], now);
}

static void receiver(void)
{
	uint8_t(*buf)[RX_ROOM] = malloc(RX_BATCH * sizeof(*buf));
	uint64_t quit = 0;

	if (!buf)
		exit(1);
	while (!t.stopping) {
		struct pollfd p = {.fd = t.fd, .events = POLLIN};
		bool tx_over = !t.sends || t.tx_done;

		if (poll(&p, 1, 20) > 0)
			receive(buf);
		/* Over when both sides are: ours sent, and theirs said so (or the time ran out). */
		if (!quit && tx_over && (t.account.sender_done || t.sends))
			quit = clock_now_ns() + (uint64_t)(t.linger_s * 1e9);
		if (quit && tx_over && clock_now_ns() >= quit)
			break;
	}
	free(buf);
}

static int socket_open(void)
{
	int one = 1, room = SOCKET_ROOM;
	bool v4 = t.self.sa.sa_family == AF_INET;
	union addr any = t.self;

	t.fd = socket(t.self.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (t.fd < 0)
		return -errno;
	if (t.hosts > 1) {
		if (v4)
			any.v4.sin_addr.s_addr = INADDR_ANY;
		else
			any.v6.sin6_addr = in6addr_any;
	}
	if (setsockopt(t.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(t.fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) ||
	    (t.gro && setsockopt(t.fd, SOL_UDP, UDP_GRO, &one, sizeof(one))) ||
	    bind(t.fd, &any.sa, addr_len(&any)))
		return -errno;
	return 0;
}

static int usage(const char *why)
{
	fprintf(stderr,
		"traffic: %s\n"
		"usage: traffic --bind ADDR (--to ADDR | --listen) [--port P] [--rate PPS | "
		"--flood]\n"
		"               [--size BYTES] [--time S] [--wait S] [--linger S] [--hosts N]\n"
		"               [--flows N] [--mix] [--gro] [--stamps] [--tick US]\n",
		why);
	return 2;
}

static int arguments(int argc, char **argv)
{
	static const struct option longs[] = {{"bind", 1, 0, 'b'},
					      {"to", 1, 0, 't'},
					      {"listen", 0, 0, 'l'},
					      {"port", 1, 0, 'p'},
					      {"rate", 1, 0, 'r'},
					      {"flood", 0, 0, 'f'},
					      {"size", 1, 0, 's'},
					      {"time", 1, 0, 'T'},
					      {"linger", 1, 0, 'L'},
					      {"wait", 1, 0, 'w'},
					      {"hosts", 1, 0, 'h'},
					      {"flows", 1, 0, 'F'},
					      {"mix", 0, 0, 'm'},
					      {"gro", 0, 0, 'g'},
					      {"stamps", 0, 0, 'S'},
					      {"tick", 1, 0, 'k'},
					      {0}};
	const char *bind_to = NULL, *to = NULL;
	bool listens = false;
	long size = 64, overhead;
	int c;

	t.port = 9000;
	t.hosts = 1;
	t.rate_pps = 1000;
	t.time_s = 5;
	t.tick_ns = TICK_NS;
	t.linger_s = 1;
	t.wait_s = 0.3;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'b':
			bind_to = optarg;
			break;
		case 't':
			to = optarg;
			break;
		case 'l':
			listens = true;
			break;
		case 'p':
			t.port = (unsigned int)atoi(optarg);
			break;
		case 'r':
			t.rate_pps = atof(optarg);
			break;
		case 'f':
			t.flood = true;
			break;
		case 's':
			size = atol(optarg);
			break;
		case 'T':
			t.time_s = atof(optarg);
			break;
		case 'L':
			t.linger_s = atof(optarg);
			break;
		case 'h':
			t.hosts = (unsigned int)atoi(optarg);
			break;
		case 'F':
			t.flows = (unsigned int)atoi(optarg);
			break;
		case 'm':
			t.mix = true;
			break;
		case 'w':
			t.wait_s = atof(optarg);
			break;
		case 'g':
			t.gro = true;
			break;
		case 'S':
			t.stamps = true;
			break;
		case 'k':
			t.tick_ns = (uint64_t)(atof(optarg) * 1000);
			break;
		default:
			return usage("unknown option");
		}
	}
	if (!bind_to || !to == !listens || optind != argc)
		return usage("--bind and one of --to and --listen are needed");
	if (addr_parse(&t.self, bind_to, t.port) || (to && addr_parse(&t.peer, to, t.port)) ||
	    (to && t.self.sa.sa_family != t.peer.sa.sa_family))
		return usage("two addresses of one family are needed");
	overhead = t.self.sa.sa_family == AF_INET ? 28 : 48;
	if (size < overhead + (long)sizeof(struct head) || size > overhead + 1500)
		return usage("bad --size");
	if (!t.flows)
		t.flows = t.hosts;
	if (t.stamps && size < overhead + (long)(sizeof(struct head) + sizeof(uint64_t)))
		return usage("--stamps wants 8 bytes more of --size");
	if (t.tick_ns < 1000)
		return usage("bad --tick");
	if (t.hosts < 1 || t.hosts > ACCOUNT_FLOWS || t.rate_pps <= 0)
		return usage("bad --hosts or --rate");
	if (t.flows < t.hosts || t.flows > ACCOUNT_FLOWS || t.flows > t.hosts * t.hosts)
		return usage("bad --flows");
	t.overhead = (size_t)overhead;
	t.payload = (size_t)size - t.overhead;
	t.sends = to != NULL;
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};
	pthread_t thread;
	int rc;

	rc = arguments(argc, argv);
	if (rc)
		return rc;
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	account_init(&t.account);
	rc = socket_open();
	if (rc) {
		fprintf(stderr, "traffic: socket: %s\n", strerror(-rc));
		return 1;
	}
	if (t.sends && pthread_create(&thread, NULL, sender, NULL))
		return 1;
	receiver();
	if (t.sends)
		pthread_join(thread, NULL);
	printf("{\"tx\":{\"sent\":%lu,\"errors\":%lu,\"full\":%lu,\"seconds\":%.6f,"
	       "\"start_ns\":%lu,\"end_ns\":%lu},\"rx\":",
	       t.sent, t.send_errors, t.send_full, (double)(t.tx_end_ns - t.tx_start_ns) / 1e9,
	       t.tx_start_ns, t.tx_end_ns);
	account_print(&t.account, stdout);
	if (t.stamps) {
		printf(",\"latency\":");
		histogram_print(&t.latency, stdout);
	}
	printf("}\n");
	account_fini(&t.account);
	return 0;
}
