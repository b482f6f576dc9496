/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows two causewayd nodes, each with a dataplane that is a fake, handshaking
 * over loopback: a session is acknowledged before the response leaves; keys and
 * indices fit; a restarted causewayd adopts, a restarted dataplane is programmed
 * and handshakes at once; floods get cookies, bad input its own counter.
 */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sodium.h>

#include "controlplane/node/dp_sync.h"
#include "controlplane/node/peer.h"
#include "controlplane/node/timestamps.h"
#include "controlplane/noise/wg_cookie.h"
#include "controlplane/noise/wg_handshake.h"
#include "lib/base/fileio.h"
#include "lib/base/key.h"
#include "tests/unit/fake_dp.h"

struct side {
	char dir[64], sock[96], config[96];
	struct fake_dp dp;
	struct node node;
	struct key private_key, public_key;
};

static uv_loop_t loop;
static struct side a, b;

static void side_prepare(struct side *s)
{
	snprintf(s->dir, sizeof(s->dir), "/tmp/causeway-test-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->sock, sizeof(s->sock), "%s/dp", s->dir);
	snprintf(s->config, sizeof(s->config), "%s/node.hujson", s->dir);
	fake_dp_open(&s->dp, s->sock);
	randombytes_buf(s->private_key.bytes, KEY_BYTES);
	crypto_scalarmult_base(s->public_key.bytes, s->private_key.bytes);
}

static struct node_config *config_for(struct side *s, const struct side *other, bool endpoint)
{
	char text[1024], key[KEY_BASE64_MAX], err[CONFIG_ERROR_MAX], file[128], ep[64] = "";
	struct node_config *cfg;

	snprintf(file, sizeof(file), "%s/k", s->dir);
	assert_int_equal(key_write_file(file, &s->private_key), 0);
	if (endpoint)
		snprintf(ep, sizeof(ep), "\"endpoint\": \"127.0.0.1:%u\",", other->dp.udp_port);
	snprintf(text, sizeof(text),
		 "{\"private_key_file\": \"k\", \"filter\": \"allow-all\", \"peers\": [{\"name\": "
		 "\"other\", %s \"public_key\": \"%s\", \"allowed_ips\": [\"10.2.0.0/16\"]}]}",
		 ep, key_print_base64(&other->public_key, key));
	if (config_parse(text, strlen(text), s->config, s->dir, &cfg, err))
		fail_msg("%s", err);
	return cfg;
}

static void node_up(struct side *s, const struct side *other, bool endpoint)
{
	struct node_options opt = {.state_dir = s->dir, .dp_socket = s->sock};

	assert_int_equal(node_open(&loop, &opt, config_for(s, other, endpoint), NULL, &s->node), 0);
}

static void turn(void)
{
	uv_run(&loop, UV_RUN_NOWAIT);
	fake_dp_poll(&a.dp);
	fake_dp_poll(&b.dp);
	usleep(1000);
}

static void run_ms(unsigned ms)
{
	for (uint64_t end = clock_now_ns() + ms * NS_PER_MS; clock_now_ns() < end;)
		turn();
}

/* Turns until the condition holds; fails after 5 s. */
#define RUN_UNTIL(cond)                                                                            \
	do {                                                                                       \
		uint64_t end_ = clock_now_ns() + 5 * NS_PER_SEC;                                   \
		while (!(cond) && clock_now_ns() < end_)                                           \
			turn();                                                                    \
		assert_true(cond);                                                                 \
	} while (0)

static struct node_peer *peer_of(struct side *s)
{
	return node_peer_by_id(&s->node, s->dp.peer.id);
}

static int setup(void **state)
{
	(void)state;
	uv_loop_init(&loop);
	side_prepare(&a);
	side_prepare(&b);
	node_up(&a, &b, true);
	node_up(&b, &a, false);
	RUN_UNTIL(a.dp.barriers && b.dp.barriers);
	return 0;
}

static void side_down(struct side *s)
{
	char cmd[128];

	fake_dp_close(&s->dp);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", s->dir);
	assert_int_equal(system(cmd), 0);
}

static int teardown(void **state)
{
	(void)state;
	node_close(&a.node);
	node_close(&b.node);
	uv_run(&loop, UV_RUN_DEFAULT);
	side_down(&a);
	side_down(&b);
	assert_int_equal(uv_loop_close(&loop), 0);
	return 0;
}

static void check_session_pair(void)
{
	const struct dpapi_session_set *sa = fake_dp_session(&a.dp);
	const struct dpapi_session_set *sb = fake_dp_session(&b.dp);

	assert_non_null(sa);
	assert_non_null(sb);
	assert_memory_equal(sa->send_key, sb->recv_key, 32);
	assert_memory_equal(sa->recv_key, sb->send_key, 32);
	assert_int_equal(sa->local_index, sb->remote_index);
	assert_int_equal(sb->local_index, sa->remote_index);
	assert_int_equal(sa->flags, DPAPI_SESSION_INITIATOR | DPAPI_SESSION_CONFIRMED);
	assert_int_equal(sb->flags, 0);
	assert_int_equal(sa->expire_ns - sa->born_ns, 180 * NS_PER_SEC);
	assert_int_equal(sa->rekey_tx_ns - sa->born_ns, 120 * NS_PER_SEC);
	assert_int_equal(sa->rekey_rx_ns - sa->born_ns, 165 * NS_PER_SEC);
	assert_int_equal(sb->rekey_tx_ns, 0);
}

static void handshake_a_to_b(void)
{
	unsigned before = a.dp.session_count;

	fake_dp_event(&a.dp, DPAPI_EVENT_HANDSHAKE, a.dp.peer.id, 0);
	RUN_UNTIL(a.dp.session_count > before && a.dp.keepalives);
}

static void test_programs_the_dataplane(void **state)
{
	(void)state;
	assert_int_equal(a.dp.peer.id, 1);
	assert_int_equal(a.dp.peer.mtu, 1420);
	assert_memory_equal(a.dp.peer.public_key, b.public_key.bytes, 32);
	assert_int_equal(a.dp.routes, 1);
	assert_int_equal(a.dp.rules, 1);
	assert_int_equal(a.dp.endpoint.path.remote.port, b.dp.udp_port);
	assert_int_equal(b.dp.endpoint.path.kind, DPAPI_PATH_NONE);
}

static void test_install_is_acknowledged_first(void **state)
{
	uint8_t kept[WG_TIMESTAMP_BYTES];

	(void)state;
	assert_false(timestamps_get(b.node.timestamps, a.public_key.bytes, kept));
	b.dp.hold_acks = true;
	fake_dp_event(&a.dp, DPAPI_EVENT_HANDSHAKE, a.dp.peer.id, 0);
	RUN_UNTIL(b.dp.session_count == 1);
	run_ms(100);
	assert_int_equal(a.dp.session_count, 0);
	/* Nor does it leave before the initiation can be told from a replay of it for ever. */
	assert_true(timestamps_get(b.node.timestamps, a.public_key.bytes, kept));
	assert_memory_equal(kept, peer_of(&b)->engine.remote.last_accepted, sizeof(kept));
	fake_dp_release_acks(&b.dp);
	RUN_UNTIL(a.dp.session_count == 1 && a.dp.keepalives == 1);
	check_session_pair();
	/* B has learnt from the initiation where A is. */
	assert_int_equal(b.dp.endpoint.path.remote.port, a.dp.udp_port);
	assert_false(wg_peer_is_usable(&peer_of(&b)->engine, clock_now_ns()));
	fake_dp_event(&b.dp, DPAPI_EVENT_CONFIRMED, b.dp.peer.id,
		      fake_dp_session(&b.dp)->local_index);
	RUN_UNTIL(wg_peer_is_usable(&peer_of(&b)->engine, clock_now_ns()));
}

static void test_restarted_causewayd_adopts(void **state)
{
	uint32_t index;

	(void)state;
	handshake_a_to_b();
	index = fake_dp_session(&a.dp)->local_index;
	node_close(&a.node);
	run_ms(20); /* its handles close */
	node_up(&a, &b, true);
	RUN_UNTIL(a.dp.hellos == 2 && dp_sync_is_ready(&a.node));
	run_ms(50);
	assert_int_equal(a.dp.session_dels, 0);
	assert_int_equal(a.dp.session_count, 1);
	assert_int_equal(index_table_owner(&a.node.indices, index), a.dp.peer.id);
	assert_true(wg_peer_is_usable(&peer_of(&a)->engine, clock_now_ns()));
	assert_int_equal(a.node.counters.value[CONTROL_REPLAY], 0);
}

static void test_another_key_adopts_nothing(void **state)
{
	(void)state;
	handshake_a_to_b();
	node_close(&a.node);
	run_ms(20);
	randombytes_buf(a.private_key.bytes, KEY_BYTES);
	node_up(&a, &b, true);
	RUN_UNTIL(a.dp.hellos == 2 && dp_sync_is_ready(&a.node));
	RUN_UNTIL(a.dp.session_dels == 1);
	assert_false(wg_peer_is_usable(&peer_of(&a)->engine, clock_now_ns()));
}

static void test_restarted_dataplane_handshakes_at_once(void **state)
{
	uint64_t begin;

	(void)state;
	handshake_a_to_b();
	fake_dp_restart(&a.dp);
	begin = clock_now_ns();
	RUN_UNTIL(a.dp.hellos == 2 && a.dp.session_count == 1);
	/* Not after the spacing of 5 s. */
	assert_true(clock_now_ns() - begin < 2 * NS_PER_SEC);
	check_session_pair();
}

static void test_lost_connection_changes_nothing(void **state)
{
	(void)state;
	handshake_a_to_b();
	fake_dp_hang_up(&a.dp);
	RUN_UNTIL(a.dp.hellos == 2 && dp_sync_is_ready(&a.node));
	run_ms(50);
	assert_int_equal(a.dp.session_dels, 0);
	assert_int_equal(a.dp.session_count, 1);
	assert_true(wg_peer_is_usable(&peer_of(&a)->engine, clock_now_ns()));
}

static void test_roaming(void **state)
{
	struct dpapi_event_roamed e = {.hdr = {.type = DPAPI_EVENT_ROAMED}};

	(void)state;
	e.peer_id = a.dp.peer.id;
	e.path = a.dp.endpoint.path;
	e.path.remote.port = 9;
	fake_dp_send(&a.dp, &e, sizeof(e));
	RUN_UNTIL(a.dp.endpoint.path.remote.port == 9);
	assert_int_equal(peer_of(&a)->path.remote.port, 9);
}

static int client_socket(const struct side *to)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(to->dp.udp_port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static void test_bad_input_is_counted(void **state)
{
	static const uint8_t unknown[16] = {9}, runt[2] = {1}, short_initiation[100] = {1};
	static const uint8_t bad_mac[148] = {1}, data[32] = {4, 0, 0, 0, 7};
	uint8_t got[256];
	struct dpapi_chan_hdr hdr = {.kind = DPAPI_CHAN_RAW, .len = 16};
	struct iovec iov[2] = {{&hdr, sizeof(hdr)}, {(void *)(uintptr_t)unknown, 16}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	const uint64_t *c = a.node.counters.value;
	int fd = client_socket(&a), gso = 32;

	(void)state;
	send(fd, unknown, sizeof(unknown), 0);
	send(fd, runt, sizeof(runt), 0);
	send(fd, short_initiation, sizeof(short_initiation), 0);
	send(fd, bad_mac, sizeof(bad_mac), 0);
	RUN_UNTIL(c[CONTROL_UNKNOWN_TYPE] == 1 && c[CONTROL_RUNT] == 1 &&
		  c[CONTROL_BAD_LENGTH] == 1 && c[CONTROL_BAD_MAC1] == 1);
	/* What the dataplane found glued behind data is handled like a datagram. */
	assert_true(sendmsg(a.dp.channel, &msg, 0) > 0);
	RUN_UNTIL(c[CONTROL_UNKNOWN_TYPE] == 2);
	/* Data glued together: each piece goes to the dataplane. */
	setsockopt(fd, SOL_UDP, UDP_SEGMENT, &gso, sizeof(gso));
	memcpy(got, data, 32);
	memcpy(got + 32, data, 32);
	assert_int_equal(send(fd, got, 64, 0), 64);
	for (int i = 0; i < 2; i++) {
		ssize_t n = -1;

		RUN_UNTIL(n > 0 || (n = recv(a.dp.channel, got, sizeof(got), MSG_DONTWAIT)) > 0);
		assert_int_equal(n, sizeof(hdr) + 32);
		memcpy(&hdr, got, sizeof(hdr));
		assert_int_equal(hdr.kind, DPAPI_CHAN_SEALED);
		assert_memory_equal(got + sizeof(hdr), data, 32);
	}
	/* And the dataplane shows our counters. */
	RUN_UNTIL(a.dp.counter.value != 0);
	close(fd);
}

static void test_flood_gets_cookies(void **state)
{
	struct wg_msg_initiation msg;
	struct wg_identity id;
	struct wg_remote remote;
	struct wg_handshake hs;
	struct wg_cookie_jar jar = {0};
	uint8_t ephemeral[32], tai[12] = {1}, got[256];
	int fd = client_socket(&b);

	(void)state;
	randombytes_buf(ephemeral, sizeof(ephemeral));
	assert_int_equal(wg_identity_init(&id, ephemeral), 0);
	assert_int_equal(wg_remote_init(&remote, &id, b.public_key.bytes, NULL), 0);
	assert_int_equal(wg_initiation_create(&hs, &id, &remote, ephemeral, tai, 7, &msg), 0);
	wg_cookie_macs(&jar, &remote, &msg, sizeof(msg), clock_now_ns());
	/* One alone is looked at: the key is not configured. */
	send(fd, &msg, sizeof(msg), 0);
	RUN_UNTIL(b.node.counters.value[CONTROL_UNKNOWN_PEER] == 1);
	assert_int_equal(b.node.counters.value[CONTROL_COOKIE_SENT], 0);
	for (int i = 0; i < 200; i++)
		send(fd, &msg, sizeof(msg), 0);
	RUN_UNTIL(b.node.counters.value[CONTROL_COOKIE_SENT] > 100);
	assert_int_equal(recv(fd, got, sizeof(got), 0), sizeof(struct wg_msg_cookie));
	assert_int_equal(wg_cookie_consume(&jar, &remote, (void *)got, clock_now_ns()), 0);
	/* With the cookie it is looked at again, up to the rate of one source. */
	wg_cookie_macs(&jar, &remote, &msg, sizeof(msg), clock_now_ns());
	for (int i = 0; i < 20; i++)
		send(fd, &msg, sizeof(msg), 0);
	RUN_UNTIL(b.node.counters.value[CONTROL_RATE_LIMITED] > 5);
	assert_true(b.node.counters.value[CONTROL_UNKNOWN_PEER] > 1);
	close(fd);
}

static void test_reload_and_stop(void **state)
{
	unsigned barriers;

	(void)state;
	handshake_a_to_b();
	/* The same configuration without endpoint: nothing is disturbed. */
	assert_int_equal(node_apply(&a.node, config_for(&a, &b, false)), 0);
	run_ms(50);
	assert_int_equal(a.dp.session_dels, 0);
	assert_true(wg_peer_is_usable(&peer_of(&a)->engine, clock_now_ns()));
	barriers = a.dp.barriers;
	assert_int_equal(node_stop(&a.node), 0);
	assert_int_equal(a.node.peer_count, 0);
	assert_int_equal(node_start(&a.node), 0);
	assert_int_equal(a.node.peer_count, 1);
	RUN_UNTIL(a.dp.barriers == barriers + 2);
}

static void write_config(struct side *s, const struct side *other, const char *mtu)
{
	char text[512], key[KEY_BASE64_MAX];

	snprintf(text, sizeof(text),
		 "{\"private_key_file\": \"k\", \"peers\": [{\"public_key\": \"%s\",\n %s}]}",
		 key_print_base64(&other->public_key, key), mtu);
	assert_int_equal(file_write_atomic(s->config, text, strlen(text), 0600), 0);
}

/* Refused whole, with place and reason, whether the file or the port says no. */
static void test_bad_reload_changes_nothing(void **state)
{
	char err[CONFIG_ERROR_MAX];
	unsigned barriers;

	(void)state;
	handshake_a_to_b();
	barriers = a.dp.barriers;
	a.node.opt.config_path = a.config;
	write_config(&a, &b, "\"mtu\": 9000.5");
	assert_int_not_equal(node_reload(&a.node, err), 0);
	assert_non_null(strstr(err, "node.hujson:2:9: "));
	/* The fake carries as much as a configuration may say. */
	write_config(&a, &b, "\"mtu\": 9000");
	assert_int_equal(node_reload(&a.node, err), 0);
	RUN_UNTIL(a.dp.barriers == barriers + 1 && a.dp.peer.mtu == 9000);
	a.dp.mtu_max = 2000;
	fake_dp_hang_up(&a.dp);
	RUN_UNTIL(a.dp.hellos == 2 && a.dp.barriers == barriers + 2);
	write_config(&a, &b, "\"mtu\": 2001");
	assert_int_not_equal(node_reload(&a.node, err), 0);
	assert_non_null(strstr(err, "node.hujson:2:9: "));
	assert_non_null(strstr(err, "2000"));
	run_ms(50);
	assert_int_equal(a.dp.barriers, barriers + 2);
	assert_int_equal(a.node.config->peers[0].mtu, 9000);
	assert_true(wg_peer_is_usable(&peer_of(&a)->engine, clock_now_ns()));
}

/* A dataplane that does not read costs a bounded amount of memory. */
static void test_stopped_dataplane_is_dropped(void **state)
{
	static struct {
		struct dpapi_rules rules;
		uint8_t rest[60000];
	} msg;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		msg.rules.hdr.type = DPAPI_RULES;
		dp_sync_send(&a.node, &msg, sizeof(msg));
	}
	assert_true(dp_sync_is_ready(&a.node));
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_false(dp_sync_is_ready(&a.node));
	RUN_UNTIL(a.dp.hellos == 2 && dp_sync_is_ready(&a.node));
}

/* While the connection is lost a peer goes and another gets its number. */
static void test_stranger_with_our_id_is_removed(void **state)
{
	(void)state;
	handshake_a_to_b();
	a.dp.peer.public_key[0] ^= 1;
	fake_dp_hang_up(&a.dp);
	RUN_UNTIL(a.dp.hellos == 2 && a.dp.peer_dels == 1);
	assert_int_equal(a.dp.peer_del.id, 1);
	/* Its sessions went with it; the peer that is meant is set behind that. */
	RUN_UNTIL(memcmp(a.dp.peer.public_key, b.public_key.bytes, 32) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_programs_the_dataplane),
		T(test_install_is_acknowledged_first),
		T(test_restarted_causewayd_adopts),
		T(test_another_key_adopts_nothing),
		T(test_restarted_dataplane_handshakes_at_once),
		T(test_lost_connection_changes_nothing),
		T(test_roaming),
		T(test_bad_input_is_counted),
		T(test_flood_gets_cookies),
		T(test_reload_and_stop),
		T(test_bad_reload_changes_nothing),
		T(test_stranger_with_our_id_is_removed),
		T(test_stopped_dataplane_is_dropped),
#undef T
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
