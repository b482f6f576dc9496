/* SPDX-License-Identifier: Apache-2.0 */
/* Shows the dpapi conversation on a real socket: roles, take-over, lengths, events, tables. */
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
	peer_note_tx(p, rig->now_ns, 1, 100, true);
	event_sweep(server, rig->now_ns + EVENT_UNANSWERED_NS - 1);
	assert_int_equal(next(fd), -1);
	event_sweep(server, rig->now_ns + EVENT_UNANSWERED_NS);
	event_sweep(server, rig->now_ns + EVENT_UNANSWERED_NS + 1);
	assert_int_equal(next(fd), DPAPI_EVENT_ACTIVITY);
	assert_int_equal(got.activity.tx_unanswered_ns, rig->now_ns);
	assert_int_equal(got.activity.rx_unanswered_ns, 0);
	assert_int_equal(next(fd), -1);
	peer_note_rx(p, rig->now_ns + 3 * RIG_SECOND, 0, 0, true);
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
	};

	log_init("test_dp_api", LOG_ERROR);
	return cmocka_run_group_tests_name("dp_api", tests, NULL, NULL);
}
