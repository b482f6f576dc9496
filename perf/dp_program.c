/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/dp_program.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/addr.h"
#include "lib/base/clock.h"
#include "lib/base/sock.h"
#include "lib/dpapi/dpapi_msg.h"

#define ANSWER_MS  30000
#define SESSION_NS (7200 * NS_PER_SEC)

static _Noreturn void give_up(const char *what, const char *why)
{
	fprintf(stderr, "dataplane: %s: %s\n", what, why);
	exit(1);
}

static union {
	struct dpapi_hdr hdr;
	struct dpapi_hello_reply hello;
	struct dpapi_port port;
	struct dpapi_ack ack;
	uint8_t bytes[DPAPI_MSG_MAX];
} got;

/* The next message into got; 0 = none within wait_ms. */
static int receive(struct dp_program *p, int wait_ms)
{
	struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
	static uint8_t raw[DPAPI_MSG_MAX];
	int fds[DPAPI_FDS_MAX];
	unsigned nfds = DPAPI_FDS_MAX;
	ssize_t n;

	if (poll(&pfd, 1, wait_ms) == 0)
		return 0;
	n = dpapi_msg_recv(p->fd, raw, sizeof(raw), fds, &nfds);
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		give_up("lost", n ? strerror((int)-n) : "closed by the other end");
	/* No control traffic here: the sockets stay with the dataplane. */
	for (unsigned i = 0; i < nfds; i++)
		close(fds[i]);
	memset(&got, 0, sizeof(got));
	if (dpapi_msg_decode(raw, (size_t)n, &got, sizeof(got), &(size_t){0}, NULL, 0))
		give_up("answer", "not understood");
	if (got.hdr.type == DPAPI_ACK && got.ack.error)
		give_up(dpapi_type_name((uint16_t)got.ack.type), got.ack.text);
	return got.hdr.type;
}

static void expect(struct dp_program *p, int type)
{
	uint64_t until_ns = clock_now_ns() + ANSWER_MS * NS_PER_MS;

	while (receive(p, ANSWER_MS) != type)
		if (clock_now_ns() > until_ns)
			give_up(dpapi_type_name((uint16_t)type), "not there in time");
}

void dp_program_send(struct dp_program *p, void *msg, size_t len)
{
	struct dpapi_hdr *hdr = msg;
	struct pollfd pfd = {.fd = p->fd, .events = POLLOUT};
	int rc;

	hdr->generation = p->generation;
	hdr->seq = ++p->seq;
	while ((rc = dpapi_msg_send(p->fd, msg, len, NULL, 0)) == -EAGAIN) {
		receive(p, 0);
		poll(&pfd, 1, 10);
	}
	if (rc)
		give_up(dpapi_type_name(hdr->type), strerror(-rc));
	while (receive(p, 0))
		;
}

void dp_program_open(struct dp_program *p, const char *socket_path)
{
	struct dpapi_hello hello = {
		.hdr.type = DPAPI_HELLO,
		.version = DPAPI_VERSION,
		.role = DPAPI_ROLE_CONTROLLER,
		.program = "perf",
	};
	int type;

	*p = (struct dp_program){.fd = sock_unix_connect(socket_path, SOCK_SEQPACKET)};
	if (p->fd < 0)
		give_up(socket_path, strerror(-p->fd));
	sock_set_nonblock(p->fd);
	dpapi_msg_send(p->fd, &hello, sizeof(hello), NULL, 0);
	expect(p, DPAPI_HELLO_REPLY);
	p->session_slots = got.hello.session_slots;
	p->workers = got.hello.workers;
	p->generation = got.hello.controller_generation + 1;
	while ((type = receive(p, ANSWER_MS)) != DPAPI_DUMP_END) {
		if (!type)
			give_up("DUMP_END", "not there in time");
		if (type == DPAPI_PORT && p->port_count < 8)
			p->port[p->port_count++] = got.port;
	}
}

void dp_program_close(struct dp_program *p)
{
	close(p->fd);
	p->fd = -1;
}

void dp_program_barrier(struct dp_program *p, int sweep)
{
	struct dpapi_barrier b = {
		.hdr = {.type = DPAPI_BARRIER, .flags = DPAPI_WANT_ACK},
		.flags = sweep ? DPAPI_BARRIER_SWEEP : 0,
	};
	uint64_t until_ns = clock_now_ns() + ANSWER_MS * NS_PER_MS;
	uint32_t seq = p->seq + 1;

	b.hdr.generation = p->generation;
	b.hdr.seq = p->seq = seq;
	while (dpapi_msg_send(p->fd, &b, sizeof(b), NULL, 0) == -EAGAIN)
		receive(p, 1);
	while (receive(p, ANSWER_MS) != DPAPI_ACK || got.ack.hdr.seq != seq)
		if (clock_now_ns() > until_ns)
			give_up("BARRIER", "not acknowledged in time");
}

void dp_program_peer(struct dp_program *p, uint32_t id, const struct dpapi_addr *remote,
		     uint16_t local_port, uint16_t mtu)
{
	struct dpapi_peer_set peer = {.hdr.type = DPAPI_PEER_SET, .id = id, .mtu = mtu};
	struct dpapi_endpoint_set where = {
		.hdr.type = DPAPI_ENDPOINT_SET,
		.peer_id = id,
		.path = {.kind = DPAPI_PATH_UDP, .local_port = local_port, .remote = *remote},
	};

	memcpy(peer.public_key, &id, sizeof(id));
	peer.public_key[DPAPI_KEY_BYTES - 1] = 0x40; /* not all zero */
	dp_program_send(p, &peer, sizeof(peer));
	dp_program_send(p, &where, sizeof(where));
}

void dp_program_route(struct dp_program *p, uint32_t peer_id, const char *prefix)
{
	struct dpapi_route r = {.hdr.type = DPAPI_ROUTE_SET, .peer_id = peer_id};
	struct prefix parsed;

	if (prefix_parse(prefix, true, &parsed))
		give_up(prefix, "not a prefix");
	memcpy(r.addr, parsed.addr.bytes, sizeof(r.addr));
	r.family = parsed.addr.family;
	r.prefix_len = parsed.len;
	dp_program_send(p, &r, sizeof(r));
}

void dp_program_session(struct dp_program *p, const struct dp_program_session *s)
{
	struct dpapi_session_set set = {
		.hdr.type = DPAPI_SESSION_SET,
		.peer_id = s->peer_id,
		.local_index = s->local_index,
		.remote_index = s->remote_index,
		.flags = DPAPI_SESSION_INITIATOR | DPAPI_SESSION_CONFIRMED,
		.born_ns = clock_now_ns(),
	};

	set.expire_ns = set.born_ns + SESSION_NS;
	memcpy(set.send_key, s->send_key, sizeof(set.send_key));
	memcpy(set.recv_key, s->recv_key, sizeof(set.recv_key));
	dp_program_send(p, &set, sizeof(set));
}

void dp_program_allow_all(struct dp_program *p)
{
	struct dpapi_rules r = {.hdr.type = DPAPI_RULES, .mode = DPAPI_FILTER_ALLOW_ALL};

	dp_program_send(p, &r, sizeof(r));
}

struct dpapi_addr dp_program_addr(const char *text, uint16_t port)
{
	struct dpapi_addr a = {.port = port};
	struct ip_addr ip;

	if (addr_parse(text, &ip))
		give_up(text, "not an address");
	a.family = ip.family;
	memcpy(a.bytes, ip.bytes, sizeof(a.bytes));
	return a;
}
