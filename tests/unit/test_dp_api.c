/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows the dpapi conversation on a real socket (roles, take-over, lengths,
 * events), that programming a whole picture again leads to the state of a fresh
 * dataplane whatever came before, that refused messages change nothing, and that
 * neither tables nor mutated messages ever give anything but valid JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_ring_elem.h>

#include "dataplane/api/apply.h"
#include "dataplane/api/event.h"
#include "dataplane/api/server.h"
#include "dataplane/api/show.h"
#include "dataplane/channel.h"
#include "dataplane/pipeline.h"
#include "dataplane/table/fib_build.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/retire.h"
#include "dataplane/table/rule_build.h"
#include "dataplane/table/session_build.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/sock.h"
#include "lib/dpapi/dpapi_msg.h"
#include "tests/unit/dp_packets.h"
#include "tests/unit/dp_rig.h"

static struct dp_rig *rig;
static struct server *server;
static int epoll_fd;
static char dir[64], path[128];

static int setup(void **state)
{
	int error;

	rig = dp_rig_new(2);
	rig->now_ns = clock_now_ns();
	snprintf(dir, sizeof(dir), "/tmp/dp_api_XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/dp.sock", dir);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server = server_new(&rig->dp, path, epoll_fd, &error);
	return server ? 0 : -1;
}

static int teardown(void **state)
{
	server_free(server);
	rmdir(dir);
	close(epoll_fd);
	dp_rig_free(rig);
	return 0;
}

/* ---- a client, and the loop that serves it ---- */

static void serve(void)
{
	struct epoll_event ev;

	for (unsigned i = 0; i < 10000 && epoll_wait(epoll_fd, &ev, 1, 0) > 0; i++) {
		struct loop_handler *h = ev.data.ptr;

		h->on_ready(h, ev.events);
	}
}

static int client(void)
{
	int fd = sock_unix_connect(path, SOCK_SEQPACKET);

	assert_true(fd >= 0);
	assert_int_equal(sock_set_nonblock(fd), 0);
	serve();
	return fd;
}

static union {
	struct dpapi_hdr hdr;
	struct dpapi_hello_reply hello;
	struct dpapi_port port;
	struct dpapi_peer_state peer;
	struct dpapi_session_state session;
	struct dpapi_dump_end end;
	struct dpapi_ack ack;
	struct dpapi_show_reply show;
	struct dpapi_event event;
	struct dpapi_event_activity activity;
	struct dpapi_event_roamed roamed;
	uint8_t bytes[DPAPI_MSG_MAX + 1];
} got;

static int got_fds[DPAPI_FDS_MAX];
static unsigned got_fd_count;

/* The next message's type; 0 = closed, -1 = nothing there. */
static int next(int fd)
{
	ssize_t n;

	got_fd_count = DPAPI_FDS_MAX;
	n = dpapi_msg_recv(fd, got.bytes, sizeof(got.bytes), got_fds, &got_fd_count);
	if (n == -EAGAIN)
		return -1;
	if (n <= 0)
		return 0;
	assert_int_equal(got.hdr.len, n);
	return got.hdr.type;
}

static void say(int fd, const void *msg, size_t len)
{
	struct dpapi_hdr hdr;
	uint8_t copy[DPAPI_MSG_MAX];

	memcpy(copy, msg, len);
	memcpy(&hdr, msg, sizeof(hdr));
	assert_int_equal(dpapi_msg_send(fd, copy, len, NULL, 0), 0);
	serve();
}

static struct dpapi_hello hello_of(uint32_t role)
{
	return (struct dpapi_hello){.hdr = {.type = DPAPI_HELLO, .seq = 77},
				    .version = DPAPI_VERSION,
				    .role = role,
				    .program = "test"};
}

static void close_fds(void)
{
	for (unsigned i = 0; i < got_fd_count; i++)
		close(got_fds[i]);
}

/* Says hello and reads what follows, descriptors closed. */
static int greeted(uint32_t role)
{
	struct dpapi_hello h = hello_of(role);
	int fd = client();

	say(fd, &h, sizeof(h));
	assert_int_equal(next(fd), DPAPI_HELLO_REPLY);
	close_fds();
	assert_int_equal(next(fd), DPAPI_PORT);
	if (role == DPAPI_ROLE_CONTROLLER) {
		while (next(fd) != DPAPI_DUMP_END)
			assert_true(got.hdr.type == DPAPI_PEER_STATE ||
				    got.hdr.type == DPAPI_SESSION_STATE);
	}
	assert_int_equal(next(fd), -1);
	return fd;
}

static void want_ack(int fd, int error, const char *text)
{
	assert_int_equal(next(fd), DPAPI_ACK);
	assert_int_equal(got.ack.error, error);
	if (!strstr(got.ack.text, text))
		fail_msg("\"%s\" does not say \"%s\"", got.ack.text, text);
}

static struct dpapi_peer_set peer_msg(uint32_t id, uint16_t flags)
{
	struct dpapi_peer_set m = {
		.hdr = {.type = DPAPI_PEER_SET, .flags = flags, .seq = 5}, .id = id, .mtu = 1420};

	memcpy(m.public_key, &id, sizeof(id));
	return m;
}

/* ---- the conversation ---- */

static void test_controller_gets_descriptors(void **state)
{
	struct dpapi_hello h = hello_of(DPAPI_ROLE_CONTROLLER);
	struct dpapi_chan_hdr chan = {.kind = DPAPI_CHAN_INNER_OUT, .peer_id = 1};
	struct dpapi_session_set s = dp_rig_ready_peer(rig, 1, 1420, "10.1.0.0/16");
	int fd, udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct stat st, st2;
	uint8_t inner[256];
	uint8_t message[512];
	bool is_outside = true;
	struct batch *b;

	dp_rig_peer(rig, 2, 1280, 0);
	rig->dp.ports[0].control_fd_v6 = udp;
	rig->dp.controller_generation = 12;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = client();
	say(fd, &h, sizeof(h));
	assert_int_equal(next(fd), DPAPI_HELLO_REPLY);
	assert_int_equal(got.hello.hdr.seq, 77);
	assert_int_equal(got.hello.version, DPAPI_VERSION);
	assert_int_equal(got.hello.instance, rig->dp.instance);
	assert_int_equal(got.hello.session_slots, 65536);
	assert_int_equal(got.hello.workers, 2);
	assert_int_equal(got.hello.port_count, 1);
	assert_int_equal(got.hello.controller_generation, 12);
	assert_int_equal(got.hello.udp_fds, 1);
	assert_int_equal(got_fd_count, 2);
	fstat(udp, &st);
	fstat(got_fds[0], &st2);
	assert_int_equal(st.st_ino, st2.st_ino);

	/* The second one is the packet channel: what goes in comes out sealed. */
	chan.len = (uint32_t)pk_udp(inner, "10.9.0.1", 1, "10.1.0.1", 2, 40);
	memcpy(message, &chan, sizeof(chan));
	memcpy(message + sizeof(chan), inner, chan.len);
	assert_int_equal(send(got_fds[1], message, sizeof(chan) + chan.len, 0),
			 sizeof(chan) + chan.len);
	b = dp_rig_batch(rig, 0);
	assert_int_equal(channel_rx(rig->dp.workers[0], b, &is_outside), 1);
	assert_false(is_outside);
	pipeline_seal(rig->dp.workers[0], b);
	assert_int_equal(rig->port[0].sent_count, 1);
	close_fds();

	assert_int_equal(next(fd), DPAPI_PORT);
	assert_int_equal(got.port.listen_port, 41641);
	assert_int_equal(got.port.udp_fd_v4, 0);
	assert_int_equal(got.port.udp_fd_v6, 1);
	assert_int_equal(got.port.mtu_max, RIG_MTU_MAX);
	assert_int_equal(next(fd), DPAPI_PEER_STATE);
	assert_int_equal(got.peer.id, 1);
	assert_int_equal(got.peer.path.remote.port, 51820);
	assert_int_equal(next(fd), DPAPI_SESSION_STATE);
	assert_int_equal(got.session.local_index, s.local_index);
	assert_int_equal(got.session.remote_index, s.remote_index);
	assert_int_equal(got.session.born_ns, s.born_ns);
	assert_int_equal(got.session.expire_ns, s.expire_ns);
	assert_int_equal(got.session.send_counter, 0);
	assert_int_equal(got.session.is_current, 1);
	assert_int_equal(got.session.flags, DPAPI_SESSION_CONFIRMED);
	assert_int_equal(next(fd), DPAPI_PEER_STATE);
	assert_int_equal(got.peer.id, 2);
	assert_int_equal(next(fd), DPAPI_DUMP_END);
	assert_int_equal(got.end.peers, 2);
	assert_int_equal(got.end.sessions, 1);
	close(fd);
	close(udp);
	serve();
}

static void test_observer_may_only_show(void **state)
{
	struct dpapi_peer_set m = peer_msg(1, 0);
	struct dpapi_barrier barrier = {.hdr.type = DPAPI_BARRIER};
	struct dpapi_show show = {.hdr = {.type = DPAPI_SHOW, .seq = 9}, .what = "peers"};
	struct dpapi_hello h = hello_of(DPAPI_ROLE_OBSERVER);
	int fd = client();

	say(fd, &h, sizeof(h));
	assert_int_equal(next(fd), DPAPI_HELLO_REPLY);
	assert_int_equal(got_fd_count, 0);
	assert_int_equal(got.hello.udp_fds, 0);
	assert_int_equal(next(fd), DPAPI_PORT);
	assert_int_equal(next(fd), -1); /* nothing about peers and sessions */
	say(fd, &m, sizeof(m));
	want_ack(fd, -EPERM, "controller");
	say(fd, &barrier, sizeof(barrier));
	want_ack(fd, -EPERM, "controller");
	assert_int_equal(peer_count(rig->dp.peers), 0);
	say(fd, &show, sizeof(show));
	assert_int_equal(next(fd), DPAPI_SHOW_REPLY);
	assert_int_equal(got.show.error, 0);
	assert_int_equal(got.show.more, 0);
	assert_int_equal(got.hdr.seq, 9);
	assert_int_equal(got.show.text_bytes, strlen("{\"peers\":[]}"));
	memcpy(show.what, "nothing", 8);
	say(fd, &show, sizeof(show));
	assert_int_equal(next(fd), DPAPI_SHOW_REPLY);
	assert_int_equal(got.show.error, -ENOENT);
	close(fd);
	serve();
}

static void test_hello_comes_first(void **state)
{
	struct dpapi_show show = {.hdr.type = DPAPI_SHOW, .what = "peers"};
	struct dpapi_hello h = hello_of(DPAPI_ROLE_CONTROLLER);
	int fd = client();

	say(fd, &show, sizeof(show));
	want_ack(fd, -EPROTO, "HELLO");
	assert_int_equal(next(fd), 0);
	close(fd);
	/* Not even a header. */
	fd = client();
	assert_int_equal(send(fd, "abc", 3, 0), 3);
	serve();
	assert_int_equal(next(fd), 0);
	close(fd);
	/* Another version: told which, and no controller. */
	fd = client();
	h.version = DPAPI_VERSION + 1;
	say(fd, &h, sizeof(h));
	want_ack(fd, -EPROTONOSUPPORT, "version 2");
	assert_false(server_has_controller(server));
	close(fd);
	fd = client();
	h = hello_of(7);
	say(fd, &h, sizeof(h));
	want_ack(fd, -EINVAL, "role 7");
	assert_int_equal(next(fd), 0);
	close(fd);
	serve();
}

static void test_second_controller_takes_over(void **state)
{
	int first = greeted(DPAPI_ROLE_CONTROLLER), second;
	int observer = greeted(DPAPI_ROLE_OBSERVER);
	struct dpapi_peer_set m = peer_msg(3, DPAPI_WANT_ACK);
	int channel = rig->dp.channel_fd;

	say(first, &m, sizeof(m));
	want_ack(first, 0, "");
	second = greeted(DPAPI_ROLE_CONTROLLER);
	assert_int_equal(next(first), 0);
	close(first);
	assert_int_not_equal(rig->dp.channel_fd, channel);
	/* What the first one has made is there, and is the second one's now. */
	assert_non_null(peer_get(rig->dp.peers, 3));
	m.id = 4;
	m.public_key[0] = 4;
	say(second, &m, sizeof(m));
	want_ack(second, 0, "");
	assert_int_equal(next(observer), -1);
	close(second);
	serve();
	assert_false(server_has_controller(server));
	assert_int_equal(rig->dp.channel_fd, -1);
	assert_int_equal(peer_count(rig->dp.peers), 2);
	close(observer);
	serve();
}

static void test_lengths(void **state)
{
	int fd = greeted(DPAPI_ROLE_CONTROLLER);
	struct {
		struct dpapi_peer_set m;
		uint8_t more[16];
	} longer = {.m = peer_msg(1, DPAPI_WANT_ACK)};
	struct {
		struct dpapi_show m;
		uint8_t more[8];
	} show = {.m = {.hdr = {.type = DPAPI_SHOW, .seq = 3}, .what = "peers"}, .more = {1}};
	struct {
		struct dpapi_hello m;
		uint8_t more[8];
	} hello = {.m = hello_of(DPAPI_ROLE_OBSERVER), .more = {[7] = 1}};
	struct dpapi_session_set s;
	int other;

	/* Without its last two fields: they are zero. */
	say(fd, &longer, offsetof(struct dpapi_peer_set, reserved));
	want_ack(fd, 0, "");
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, 1)->mtu), 1420);
	/* Without the MTU: 0 is none that the ports carry, and the name says who asked. */
	say(fd, &longer, offsetof(struct dpapi_peer_set, mtu));
	want_ack(fd, -EMSGSIZE, "peer 1");
	/* Longer, zeros. */
	say(fd, &longer, sizeof(longer));
	want_ack(fd, 0, "");
	longer.more[15] = 1;
	longer.m.mtu = 1300;
	say(fd, &longer, sizeof(longer));
	want_ack(fd, -E2BIG, "PEER_SET");
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, 1)->mtu), 1420);
	s = dp_rig_session_msg(rig, 1, 0x77, DPAPI_SESSION_CONFIRMED);
	s.hdr.flags = DPAPI_WANT_ACK;
	say(fd, &s, offsetof(struct dpapi_session_set, lane));
	want_ack(fd, 0, "");
	/* SHOW and HELLO are refused by name as well. */
	say(fd, &show, sizeof(show));
	assert_int_equal(next(fd), DPAPI_SHOW_REPLY);
	assert_int_equal(got.show.error, -E2BIG);
	assert_int_equal(got.hdr.seq, 3);
	assert_non_null(memmem(got.bytes, got.hdr.len, "SHOW", 4));
	say(fd, &show, sizeof(struct dpapi_hdr) + 8);
	assert_int_equal(next(fd), DPAPI_SHOW_REPLY);
	assert_int_equal(got.show.error, 0);
	other = client();
	say(other, &hello, sizeof(hello));
	want_ack(other, -E2BIG, "HELLO");
	assert_int_equal(next(other), 0);
	close(other);
	/* A type that nobody knows. */
	longer.m.hdr.type = 4711;
	say(fd, &longer.m, sizeof(longer.m));
	want_ack(fd, -ENOTSUP, "4711");
	/* One that only goes the other way. */
	longer.m.hdr.type = DPAPI_PEER_STATE;
	say(fd, &longer.m, sizeof(longer.m));
	want_ack(fd, -EOPNOTSUPP, "controller");
	close(fd);
	serve();
}

static void test_acks(void **state)
{
	int fd = greeted(DPAPI_ROLE_CONTROLLER);
	struct dpapi_peer_set m = peer_msg(1, 0);
	struct dpapi_barrier b = {.hdr = {.type = DPAPI_BARRIER, .seq = 8, .generation = 21}};

	say(fd, &m, sizeof(m));
	assert_int_equal(next(fd), -1);
	m.mtu = 100;
	say(fd, &m, sizeof(m));
	want_ack(fd, -EMSGSIZE, "100");
	assert_int_equal(got.ack.type, DPAPI_PEER_SET);
	assert_int_equal(got.hdr.seq, 5);
	say(fd, &b, sizeof(b));
	want_ack(fd, 0, "");
	assert_int_equal(got.hdr.seq, 8);
	assert_int_equal(got.hdr.generation, 21);
	assert_int_equal(rig->dp.controller_generation, 21);
	assert_non_null(peer_get(rig->dp.peers, 1)); /* no sweep was asked for */
	close(fd);
	serve();
}

static void test_events(void **state)
{
	int fd = greeted(DPAPI_ROLE_CONTROLLER);
	struct worker_event e = {.type = DPAPI_EVENT_HANDSHAKE, .peer_id = 1, .time_ns = 99};
	struct worker_event roamed = {
		.type = DPAPI_EVENT_ROAMED,
		.peer_id = 1,
		.local_index = 2,
		.path = {.kind = DPAPI_PATH_UDP, .remote = dp_rig_addr("203.0.113.5:99")}};
	struct worker_command c;
	struct peer *p;

	dp_rig_ready_peer(rig, 1, 1420, "10.1.0.0/16");
	for (unsigned i = 0; i < 2; i++) /* the session's own flush */
		while (rte_ring_dequeue_elem(rig->dp.workers[i]->commands, &c, sizeof(c)) == 0)
			;
	worker_post(rig->dp.workers[0], &e);
	worker_post(rig->dp.workers[1], &roamed);
	event_drain(server);
	assert_int_equal(next(fd), DPAPI_EVENT_HANDSHAKE);
	assert_int_equal(got.event.peer_id, 1);
	assert_int_equal(got.event.time_ns, 99);
	assert_int_equal(next(fd), DPAPI_EVENT_ROAMED);
	assert_int_equal(got.roamed.path.remote.port, 99);
	assert_int_equal(next(fd), -1);
	assert_int_not_equal(rte_ring_dequeue_elem(rig->dp.workers[0]->commands, &c, sizeof(c)), 0);
	/* What waits at the other workers goes too. */
	e.type = DPAPI_EVENT_CONFIRMED;
	worker_post(rig->dp.workers[1], &e);
	event_drain(server);
	assert_int_equal(next(fd), DPAPI_EVENT_CONFIRMED);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(rte_ring_dequeue_elem(rig->dp.workers[i]->commands, &c, sizeof(c)),
				 0);
		assert_int_equal(c.type, WORKER_CMD_FLUSH);
	}
	/* Silence is told once, and once when it ends. */
	p = peer_get(rig->dp.peers, 1);
	peer_note_tx(p, rig->now_ns, 1, 100);
	event_sweep(server, rig->now_ns + EVENT_UNANSWERED_NS - 1);
	assert_int_equal(next(fd), -1);
	event_sweep(server, rig->now_ns + EVENT_UNANSWERED_NS);
	event_sweep(server, rig->now_ns + EVENT_UNANSWERED_NS + 1);
	assert_int_equal(next(fd), DPAPI_EVENT_ACTIVITY);
	assert_int_equal(got.activity.tx_unanswered_ns, rig->now_ns);
	assert_int_equal(got.activity.rx_unanswered_ns, 0);
	assert_int_equal(next(fd), -1);
	peer_note_rx(p, rig->now_ns + 3 * RIG_SECOND, 0, 0);
	event_sweep(server, rig->now_ns + 4 * RIG_SECOND);
	assert_int_equal(next(fd), DPAPI_EVENT_ACTIVITY);
	assert_int_equal(got.activity.tx_unanswered_ns, 0);
	/* The end of a session. */
	event_sweep(server, rig->now_ns + 180 * RIG_SECOND - 1);
	assert_int_equal(next(fd), -1);
	event_sweep(server, rig->now_ns + 180 * RIG_SECOND);
	assert_int_equal(next(fd), DPAPI_EVENT_SESSION_GONE);
	assert_int_equal(got.event.local_index, 0x1001);
	assert_null(session_find(rig->dp.sessions, 0x1001));
	close(fd);
	serve();
}

/* A client that does not read for a while gets everything, in order, afterwards. */
static void test_slow_reader(void **state)
{
	int fd = greeted(DPAPI_ROLE_CONTROLLER);
	uint32_t seen = 0;

	for (uint32_t i = 0; i < 5000; i++) {
		struct dpapi_event e = {.hdr.type = DPAPI_EVENT_TRAFFIC, .peer_id = i};

		server_to_controller(server, &e, sizeof(e));
	}
	for (unsigned round = 0; round < 10000 && seen < 5000; round++) {
		while (next(fd) == DPAPI_EVENT_TRAFFIC)
			assert_int_equal(got.event.peer_id, seen++);
		serve();
	}
	assert_int_equal(seen, 5000);
	close(fd);
	serve();
}

static void test_large_show_comes_in_pieces(void **state)
{
	struct dpapi_show show = {.hdr.type = DPAPI_SHOW, .what = "peers"};
	int fd = greeted(DPAPI_ROLE_OBSERVER);
	static char text[4 << 20];
	size_t len = 0;
	unsigned pieces = 0;
	json_t *root;

	for (uint32_t id = 1; id <= 2000; id++)
		dp_rig_peer(rig, id, 1420, 0);
	say(fd, &show, sizeof(show));
	for (unsigned round = 0; round < 1000; round++) {
		bool is_last = false;

		while (!is_last && next(fd) == DPAPI_SHOW_REPLY) {
			memcpy(text + len, got.bytes + sizeof(got.show), got.show.text_bytes);
			len += got.show.text_bytes;
			pieces++;
			is_last = !got.show.more;
		}
		if (is_last)
			break;
		serve();
	}
	assert_true(pieces > 5);
	root = json_loadb(text, len, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(root, "peers")), 2000);
	json_decref(root);
	close(fd);
	serve();
}

/* ---- pictures ---- */

#define PEERS	 12
#define PREFIXES 24
#define LOCALS	 6

/* What a controller wants. */
struct picture {
	bool has_peer[PEERS];
	uint16_t mtu[PEERS];
	uint32_t flags[PEERS];
	uint16_t endpoint_port[PEERS]; /* 0 = no path */
	uint8_t session_count[PEERS];  /* of the peer's three possible ones */
	uint8_t owner[PREFIXES];       /* peer number, PEERS = nobody */
	bool has_local[LOCALS];
};

static void picture_random(struct picture *p)
{
	memset(p, 0, sizeof(*p));
	for (unsigned i = 0; i < PEERS; i++) {
		p->has_peer[i] = random() % 4 != 0;
		p->mtu[i] = (uint16_t)(1280 + random() % 200);
		p->flags[i] = (uint32_t)(random() % 2);
		p->endpoint_port[i] = (uint16_t)(random() % 3);
		p->session_count[i] = p->has_peer[i] ? (uint8_t)(random() % 4) : 0;
	}
	for (unsigned i = 0; i < PREFIXES; i++) {
		p->owner[i] = (uint8_t)(random() % (PEERS + 1));
		if (p->owner[i] < PEERS && !p->has_peer[p->owner[i]])
			p->owner[i] = PEERS;
	}
	for (unsigned i = 0; i < LOCALS; i++)
		p->has_local[i] = random() % 2;
}

static struct dpapi_peer_set picture_peer(const struct picture *p, unsigned i)
{
	struct dpapi_peer_set m = {
		.hdr.type = DPAPI_PEER_SET, .id = i + 1, .mtu = p->mtu[i], .flags = p->flags[i]};

	memset(m.public_key, (int)i + 1, sizeof(m.public_key));
	return m;
}

/* Prefixes that lie inside one another, of both families. */
static struct dpapi_route picture_route(unsigned i, unsigned owner)
{
	struct dpapi_route m = {.hdr.type = DPAPI_ROUTE_SET, .peer_id = owner + 1};

	if (i % 3 == 2) {
		m.family = AF_INET6;
		m.addr[0] = 0xfd;
		m.prefix_len = (uint8_t)(8 + i);
		if (i >= 12)
			m.addr[1] = 0x80;
	} else {
		m.family = AF_INET;
		m.addr[0] = 10;
		m.prefix_len = (uint8_t)(8 + i);
		if (i % 2)
			m.addr[1] = 128;
	}
	return m;
}

static struct dpapi_session_set picture_session(const struct dp_rig *r, unsigned peer, unsigned k)
{
	uint32_t index = 0x100 * (peer + 1) + k;
	struct dpapi_session_set m =
		dp_rig_session_msg(r, peer + 1, index, k == 1 ? 0 : DPAPI_SESSION_CONFIRMED);

	m.born_ns = RIG_NOW_NS + k;
	m.expire_ns = m.rekey_tx_ns = m.rekey_rx_ns = UINT64_MAX;
	return m;
}

static void must(struct dp_rig *r, void *msg, size_t len, uint32_t generation)
{
	((struct dpapi_hdr *)msg)->generation = generation;
	if (dp_rig_apply(r, msg, len) < 0)
		fail_msg("%s: %s", dpapi_type_name(((struct dpapi_hdr *)msg)->type), r->text);
}

static void program_peer(struct dp_rig *r, const struct picture *p, unsigned i, uint32_t generation)
{
	struct dpapi_peer_set set = picture_peer(p, i);
	struct dpapi_endpoint_set at = {.hdr.type = DPAPI_ENDPOINT_SET, .peer_id = i + 1};

	if (!p->has_peer[i])
		return;
	must(r, &set, sizeof(set), generation);
	if (p->endpoint_port[i]) {
		at.path.kind = DPAPI_PATH_UDP;
		at.path.remote = dp_rig_addr("192.0.2.77:1");
		at.path.remote.port = p->endpoint_port[i];
	}
	must(r, &at, sizeof(at), generation);
	/* Sessions carry no generation: the controller knows which to remove. */
	for (unsigned k = 0; k < 3; k++) {
		struct dpapi_session_set s = picture_session(r, i, k);
		struct dpapi_session_del del = {.hdr.type = DPAPI_SESSION_DEL,
						.local_index = s.local_index};

		if (k < p->session_count[i])
			must(r, &s, sizeof(s), generation);
		else
			dp_rig_apply(r, &del, sizeof(del));
	}
}

static void program(struct dp_rig *r, const struct picture *p, uint32_t generation)
{
	struct dpapi_barrier barrier = {.hdr.type = DPAPI_BARRIER, .flags = DPAPI_BARRIER_SWEEP};

	for (unsigned i = 0; i < PEERS; i++)
		program_peer(r, p, i, generation);
	for (unsigned i = 0; i < PREFIXES; i++) {
		struct dpapi_route m = picture_route(i, p->owner[i]);

		if (p->owner[i] < PEERS)
			must(r, &m, sizeof(m), generation);
	}
	for (unsigned i = 0; i < LOCALS; i++) {
		struct dpapi_local m = {.hdr.type = DPAPI_LOCAL_SET,
					.family = AF_INET,
					.prefix_len = (uint8_t)(10 + i)};

		m.addr[0] = 100;
		if (p->has_local[i])
			must(r, &m, sizeof(m), generation);
	}
	must(r, &barrier, sizeof(barrier), generation);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A table's rows as sorted text, without what time makes different. */
static char *rows_of(struct dp_rig *r, const char *table)
{
	struct json_out js;
	json_t *root, *rows;
	char **lines, *all;
	size_t n, len = 1;

	json_out_init(&js);
	assert_int_equal(show_table(&r->dp, table, 0, &js), 0);
	root = json_loadb(js.text, js.len, 0, NULL);
	assert_non_null(root);
	json_out_fini(&js);
	rows = json_object_get(root, table);
	assert_true(json_is_array(rows));
	n = json_array_size(rows);
	lines = calloc(n + 1, sizeof(*lines));
	for (size_t i = 0; i < n; i++) {
		json_object_del(json_array_get(rows, i), "age_s");
		lines[i] = json_dumps(json_array_get(rows, i), JSON_SORT_KEYS);
		len += strlen(lines[i]) + 1;
	}
	qsort(lines, n, sizeof(*lines), by_text);
	all = calloc(1, len);
	for (size_t i = 0, at = 0; i < n; i++) {
		at += (size_t)snprintf(all + at, len - at, "%s\n", lines[i]);
		free(lines[i]);
	}
	free(lines);
	json_decref(root);
	return all;
}

static const char *const state_tables[] = {"peers", "sessions", "routes", "rules"};

static int by_steer(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct rig_steer));
}

static void assert_same(struct dp_rig *a, struct dp_rig *b)
{
	for (unsigned i = 0; i < ARRAY_SIZE(state_tables); i++) {
		char *x = rows_of(a, state_tables[i]), *y = rows_of(b, state_tables[i]);

		if (strcmp(x, y) != 0)
			fail_msg("%s differ:\n%s---\n%s", state_tables[i], x, y);
		free(x);
		free(y);
	}
	/* The ports' steering program has been told the same. */
	qsort(a->steer, a->steer_count, sizeof(a->steer[0]), by_steer);
	qsort(b->steer, b->steer_count, sizeof(b->steer[0]), by_steer);
	assert_int_equal(a->steer_count, b->steer_count);
	assert_memory_equal(a->steer, b->steer, a->steer_count * sizeof(a->steer[0]));
	assert_int_equal(a->steer_count,
			 fib_count(a->dp.mesh, AF_INET) + fib_count(a->dp.mesh, AF_INET6));
	for (unsigned i = 0; i < LOCALS; i++) {
		uint8_t addr[4] = {100};

		assert_int_equal(fib_get(a->dp.rules->local, addr, AF_INET, 10 + i),
				 fib_get(b->dp.rules->local, addr, AF_INET, 10 + i));
	}
}

/* A few changes one by one, as between two pictures. */
static void scribble(struct dp_rig *r)
{
	for (unsigned n = (unsigned)(random() % 20); n > 0; n--) {
		unsigned peer = (unsigned)(random() % PEERS), i = (unsigned)(random() % PREFIXES);
		struct dpapi_peer_del del = {.hdr.type = DPAPI_PEER_DEL, .id = peer + 1};
		struct dpapi_route route = picture_route(i, peer);
		struct dpapi_session_set s = picture_session(r, peer, (unsigned)(random() % 3));
		struct picture p;

		switch (random() % 5) {
		case 0:
			dp_rig_apply(r, &del, sizeof(del));
			break;
		case 1:
			dp_rig_apply(r, &route, sizeof(route));
			break;
		case 2:
			route.hdr.type = DPAPI_ROUTE_DEL;
			dp_rig_apply(r, &route, sizeof(route));
			break;
		case 3:
			dp_rig_apply(r, &s, sizeof(s));
			break;
		case 4:
			picture_random(&p);
			program_peer(r, &p, peer, 7);
			break;
		}
	}
}

static void test_picture_again_equals_fresh(void **state)
{
	srandom(11);
	for (unsigned run = 0; run < 60; run++) {
		uint32_t generation = 100;
		struct dp_rig *fresh;
		struct picture p;

		for (unsigned n = (unsigned)(random() % 4); n > 0; n--) {
			picture_random(&p);
			program(rig, &p, generation++);
			scribble(rig);
		}
		picture_random(&p);
		for (unsigned n = 1 + (unsigned)(random() % 2); n > 0; n--)
			program(rig, &p, generation++);
		/* The queue of what is retired is the process's, so it must be empty. */
		retire_drain();
		fresh = dp_rig_new(1);
		program(fresh, &p, 5);
		assert_same(rig, fresh);
		dp_rig_free(fresh);
		retire_init(rig->dp.qsbr);
	}
}

static void test_refused_changes_nothing(void **state)
{
	struct picture p;
	char *before[ARRAY_SIZE(state_tables)];
	struct dpapi_peer_set peer;
	struct dpapi_route route;
	struct dpapi_session_set session;
	struct dpapi_endpoint_set at = {.hdr.type = DPAPI_ENDPOINT_SET, .peer_id = 1};
	struct dpapi_local local = {.hdr.type = DPAPI_LOCAL_SET, .family = 9};
	struct dpapi_rules rules = {.hdr.type = DPAPI_RULES, .mode = 3};
	struct dpapi_counter counter = {.hdr.type = DPAPI_COUNTER};
	unsigned steered;

	srandom(3);
	picture_random(&p);
	p.has_peer[0] = p.has_peer[1] = true;
	p.session_count[0] = 2;
	p.owner[0] = 0;
	program(rig, &p, 1);
	steered = rig->steer_count;
	for (unsigned i = 0; i < ARRAY_SIZE(state_tables); i++)
		before[i] = rows_of(rig, state_tables[i]);

#define REFUSED(m, want)                                                                           \
	do {                                                                                       \
		assert_int_equal(dp_rig_apply(rig, &(m), sizeof(m)), want);                        \
		assert_true(rig->text[0] != 0);                                                    \
	} while (0)
	peer = picture_peer(&p, 0);
	peer.mtu = 575;
	REFUSED(peer, -EMSGSIZE);
	peer.mtu = RIG_MTU_MAX + 1;
	REFUSED(peer, -EMSGSIZE);
	peer.mtu = 1400;
	peer.id = 0;
	REFUSED(peer, -EINVAL);
	peer.id = 2;
	REFUSED(peer, -EEXIST); /* the key is peer 1's */
	peer.id = 1;
	peer.public_key[0] ^= 1;
	REFUSED(peer, -EEXIST);
	peer.id = PEER_ID_MAX + 1;
	REFUSED(peer, -EINVAL);
	route = picture_route(0, 0);
	route.addr[3] = 1; /* host bits */
	REFUSED(route, -EINVAL);
	route = picture_route(0, 998);
	REFUSED(route, -ENOENT);
	route = picture_route(0, 1);
	route.family = 1;
	REFUSED(route, -EAFNOSUPPORT);
	route.family = AF_INET;
	route.prefix_len = 33;
	REFUSED(route, -EINVAL);
	route = picture_route(0, 1); /* peer 1's, not peer 2's */
	route.hdr.type = DPAPI_ROUTE_DEL;
	REFUSED(route, -ENOENT);
	session = picture_session(rig, 0, 0);
	session.send_key[0] ^= 1;
	REFUSED(session, -EEXIST);
	session = picture_session(rig, 0, 2);
	session.peer_id = 999;
	REFUSED(session, -ENOENT);
	session.peer_id = 1;
	session.local_index = 0;
	REFUSED(session, -EINVAL);
	at.path.local_port = 1;
	REFUSED(at, -EINVAL);
	at.path.local_port = 0;
	at.path.kind = DPAPI_PATH_RELAY;
	REFUSED(at, -EOPNOTSUPP);
	at.path.kind = DPAPI_PATH_UDP;
	REFUSED(at, -EAFNOSUPPORT);
	at.path.kind = 4;
	REFUSED(at, -EINVAL);
	REFUSED(local, -EAFNOSUPPORT);
	REFUSED(rules, -EINVAL);
	rules.mode = DPAPI_FILTER_RULES;
	rules.rule_count = 1;
	REFUSED(rules, -EINVAL);
	REFUSED(counter, -EINVAL);
#undef REFUSED
	assert_int_equal(rig->steer_count, steered);
	for (unsigned i = 0; i < ARRAY_SIZE(state_tables); i++) {
		char *after = rows_of(rig, state_tables[i]);

		assert_string_equal(before[i], after);
		free(before[i]);
		free(after);
	}
}

/* A seventh session of a peer is refused, and the six go on. */
static void test_too_many_sessions(void **state)
{
	struct dpapi_session_set s;

	dp_rig_peer(rig, 1, 1420, 0);
	for (uint32_t i = 1; i <= PEER_SESSIONS_MAX; i++)
		dp_rig_session(rig, 1, i, DPAPI_SESSION_CONFIRMED);
	s = dp_rig_session_msg(rig, 1, 99, DPAPI_SESSION_CONFIRMED);
	assert_int_equal(dp_rig_apply(rig, &s, sizeof(s)), -ENOSPC);
	assert_null(session_find(rig->dp.sessions, 99));
	/* The same one again is no new one. */
	s = dp_rig_session_msg(rig, 1, 3, DPAPI_SESSION_CONFIRMED);
	assert_int_equal(dp_rig_apply(rig, &s, sizeof(s)), 0);
}

/* ---- tables as JSON ---- */

static const char *const all_tables[] = {"ports", "workers", "peers",	 "sessions", "routes",
					 "rules", "flows",   "counters", "latency"};

static size_t check_table(const char *table, uint32_t limit)
{
	struct json_out js;
	json_error_t error;
	json_t *root;
	size_t n;

	json_out_init(&js);
	assert_int_equal(show_table(&rig->dp, table, limit, &js), 0);
	assert_int_equal(js.error, 0);
	/* Counters have 64 bits, and jansson 63. */
	root = json_loadb(js.text, js.len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL,
			  &error);
	if (!root)
		fail_msg("%s: %s in %.*s", table, error.text, (int)js.len, js.text);
	assert_true(json_is_array(json_object_get(root, table)));
	n = json_array_size(json_object_get(root, table));
	json_decref(root);
	json_out_fini(&js);
	return n;
}

static void test_every_table_is_json(void **state)
{
	struct {
		struct dpapi_rules m;
		struct dpapi_rule rule[2];
		struct dpapi_range range[2];
	} rules = {
		.m = {.hdr.type = DPAPI_RULES,
		      .mode = DPAPI_FILTER_RULES,
		      .rule_count = 2,
		      .range_count = 2,
		      .total_bytes = sizeof(rules) - sizeof(rules.m),
		      .piece_bytes = sizeof(rules) - sizeof(rules.m)},
		.rule = {{0, 1, 1, 1, {6, 17}}, {0, 1, 1, 1, {0}}},
		.range = {{.last = {255, 255, 255, 255}, .family = AF_INET},
			  {.last = {255, 255, 255, 255}, .family = AF_INET, .port_last = 65535}},
	};
	struct dpapi_counter counter = {.hdr.type = DPAPI_COUNTER,
					.value = 7,
					.name = "CONTROL_\"QUOTED\"",
					.help = "\x01\xff\\ not text"};
	uint8_t bytes[256];
	struct json_out js;
	struct batch *b;

	dp_rig_ready_peer(rig, 1, 1420, "10.1.0.0/16");
	dp_rig_ready_peer(rig, 2, 1420, "fd00::/64");
	dp_rig_path(rig, 2, "[2001:db8::1]:51820");
	dp_rig_kernel_route(rig, "192.168.0.0/16", FIB_LOCAL_KERNEL);
	dp_rig_kernel_route(rig, "192.168.1.0/24", FIB_LOCAL_CONNECTED(0, 1));
	dp_rig_kernel_route(rig, "192.168.2.0/24", FIB_LOCAL_NEXTHOP(9));
	assert_int_equal(dp_rig_apply(rig, &rules, sizeof(rules)), 0);
	assert_int_equal(dp_rig_apply(rig, &counter, sizeof(counter)), 0);
	b = dp_rig_batch(rig, 0);
	for (uint16_t i = 0; i < 3; i++)
		dp_rig_add_inside(rig, b, bytes, pk_udp(bytes, "10.9.0.1", i, "10.1.0.1", 53, 20));
	pipeline_inside(rig->dp.workers[0], b);
	assert_int_equal(check_table("peers", 0), 2);
	assert_int_equal(check_table("sessions", 0), 2);
	assert_int_equal(check_table("routes", 0), 5);
	assert_int_equal(check_table("rules", 0), 2);
	assert_int_equal(check_table("flows", 0), 3);
	assert_int_equal(check_table("workers", 0), 2);
	assert_int_equal(check_table("ports", 0), 1);
	assert_true(check_table("counters", 0) > DROP_REASON_COUNT);
	assert_int_equal(check_table("latency", 0), STAGE_COUNT + 1);
	for (unsigned i = 0; i < 5; i++) {
		static const char *const limited[] = {"peers", "sessions", "routes", "rules",
						      "flows"};

		assert_int_equal(check_table(limited[i], 1), 1);
	}
	json_out_init(&js);
	assert_int_equal(show_table(&rig->dp, "nothing", 0, &js), -ENOENT);
	assert_int_equal(js.len, 0);
	json_out_fini(&js);
}

/* ---- mutations ---- */

static size_t example(unsigned which, uint8_t *out)
{
	struct picture p;
	struct {
		struct dpapi_rules m;
		struct dpapi_rule rule[2];
		struct dpapi_range range[3];
	} rules = {.m = {.hdr.type = DPAPI_RULES,
			 .mode = DPAPI_FILTER_RULES,
			 .rule_count = 2,
			 .range_count = 3,
			 .total_bytes = sizeof(rules) - sizeof(rules.m),
			 .piece_bytes = sizeof(rules) - sizeof(rules.m)},
		   .rule = {{0, 1, 1, 2, {6, 17}}, {0, 3, 1, 1, {0}}},
		   .range = {{.first = {10}, .last = {10, 255}, .family = AF_INET},
			     {.last = {255}, .family = AF_INET6, .port_last = 65535},
			     {.last = {255}, .family = AF_INET, .port_last = 80}}};
	struct dpapi_barrier barrier = {.hdr.type = DPAPI_BARRIER, .flags = which & 1};
	struct dpapi_local local = {
		.hdr.type = DPAPI_LOCAL_SET, .family = AF_INET, .addr = {10}, .prefix_len = 8};
	struct dpapi_counter counter = {.hdr.type = DPAPI_COUNTER, .name = "A", .help = "b"};
	struct dpapi_endpoint_set at = {
		.hdr.type = DPAPI_ENDPOINT_SET,
		.path = {.kind = DPAPI_PATH_UDP, .remote = {.family = AF_INET, .port = 1}}};
	struct dpapi_peer_set peer;
	struct dpapi_route route;
	struct dpapi_session_set session;
	struct dpapi_peer_ref ref = {.hdr.type = DPAPI_SEND_KEEPALIVE};
	unsigned who = (unsigned)(random() % PEERS);
	const void *m;
	size_t len;

#define TAKE(x) (m = &(x), len = sizeof(x))
	switch (which % 12) {
	case 0:
	case 1:
		picture_random(&p);
		peer = picture_peer(&p, who);
		TAKE(peer);
		break;
	case 2:
	case 3:
		route = picture_route((unsigned)(random() % PREFIXES), who);
		route.hdr.type = which & 16 ? DPAPI_ROUTE_SET : DPAPI_ROUTE_DEL;
		TAKE(route);
		break;
	case 4:
	case 5:
		session = picture_session(rig, who, (unsigned)(random() % 3));
		TAKE(session);
		break;
	case 6:
		at.peer_id = who + 1;
		TAKE(at);
		break;
	case 7:
		TAKE(rules);
		break;
	case 8:
		TAKE(local);
		break;
	case 9:
		ref.id = who + 1;
		ref.hdr.type = which & 16 ? DPAPI_SEND_KEEPALIVE : DPAPI_DROP_STAGED;
		TAKE(ref);
		break;
	case 10:
		TAKE(barrier);
		break;
	default:
		TAKE(counter);
		break;
	}
#undef TAKE
	memcpy(out, m, len);
	return len;
}

static size_t mutate(uint8_t *m, size_t len)
{
	struct dpapi_hdr hdr;

	for (unsigned n = (unsigned)(random() % 4); n > 0; n--) {
		size_t at = sizeof(hdr) + (size_t)random() % (len - sizeof(hdr));

		m[at] = random() & 1 ? (uint8_t)random() : (uint8_t)(m[at] ^ 1u << random() % 8);
	}
	if (random() % 10 == 0)
		m[0] = (uint8_t)(random() % 90); /* another type */
	if (random() % 8 == 0)
		len = (size_t)random() % (len + 1);
	else if (random() % 8 == 0) {
		size_t more = (size_t)random() % 40;

		memset(m + len, random() & 1 ? 0 : 1, more);
		len += more;
	}
	if (len >= sizeof(hdr) && random() % 16) {
		memcpy(&hdr, m, sizeof(hdr));
		hdr.len = (uint32_t)len;
		hdr.generation = (uint32_t)(random() % 3);
		memcpy(m, &hdr, sizeof(hdr));
	}
	return len;
}

static void empty_commands(void)
{
	struct worker_command c;

	for (unsigned i = 0; i < rig->dp.worker_count; i++)
		while (rte_ring_dequeue_elem(rig->dp.workers[i]->commands, &c, sizeof(c)) == 0)
			;
}

static void test_mutated_messages(void **state)
{
	unsigned accepted = 0, refused = 0;
	char text[DPAPI_ERROR_TEXT];
	uint8_t m[1024];

	srandom(23);
	for (unsigned i = 0; i < 100000; i++) {
		size_t len = mutate(m, example((unsigned)random(), m));
		/* Exactly as long as it says, so that a byte too far is seen. */
		uint8_t *exact = malloc(len ? len : 1);

		memcpy(exact, m, len);
		text[0] = 0;
		if (apply_message(&rig->dp, exact, len, text) < 0)
			refused++;
		else
			accepted++;
		free(exact);
		if (i % 500 == 0) {
			for (unsigned k = 0; k < ARRAY_SIZE(all_tables); k++)
				check_table(all_tables[k], 0);
			assert_int_equal(rig->steer_count,
					 fib_count(rig->dp.mesh, AF_INET) +
						 fib_count(rig->dp.mesh, AF_INET6));
			empty_commands();
			retire_poll();
		}
	}
	/* Both have been tried. */
	assert_true(accepted > 10000);
	assert_true(refused > 10000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_controller_gets_descriptors),
		TEST(test_observer_may_only_show),
		TEST(test_hello_comes_first),
		TEST(test_second_controller_takes_over),
		TEST(test_lengths),
		TEST(test_acks),
		TEST(test_events),
		TEST(test_slow_reader),
		TEST(test_large_show_comes_in_pieces),
		TEST(test_picture_again_equals_fresh),
		TEST(test_refused_changes_nothing),
		TEST(test_too_many_sessions),
		TEST(test_every_table_is_json),
		TEST(test_mutated_messages),
	};

	log_init("test_dp_api", LOG_ERROR);
	return cmocka_run_group_tests_name("dp_api", tests, NULL, NULL);
}
