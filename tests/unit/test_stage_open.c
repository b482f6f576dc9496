/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows what becomes of every kind of outer datagram in classify and open: each
 * reason to drop, what is left in the packet when it opens, and which events its
 * peer's session raises.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/stage/stage.h"
#include "dataplane/table/fib_build.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/session.h"
#include "lib/base/bug.h"
#include "lib/wire/wg.h"
#include "tests/unit/dp_packets.h"
#include "tests/unit/dp_rig.h"

#define PEER  1
#define INDEX 0x1001u

static struct dp_rig *rig;
static struct worker *w;
static struct batch *b;
static struct dpapi_session_set session;
static uint64_t counter;
static uint8_t inner[PK_MAX], wire[PK_MAX + 200];

static int setup(void **state)
{
	rig = dp_rig_new(2);
	w = rig->dp.workers[0];
	session = dp_rig_ready_peer(rig, PEER, 1420, "10.1.0.0/16");
	dp_rig_route(rig, "fd00:1::/32", PEER);
	counter = 0;
	b = dp_rig_batch(rig, 0);
	return 0;
}

static int teardown(void **state)
{
	dp_rig_free(rig);
	return 0;
}

static size_t udp_from_peer(void)
{
	return pk_udp(inner, "10.1.0.5", 1000, "10.9.0.1", 53, 100);
}

/* Both stages over one datagram in a batch of its own. */
static struct packet *receive(const void *data, size_t len)
{
	b = dp_rig_batch(rig, 0);
	dp_rig_add_outside(rig, b, data, len);
	classify_burst(w, b);
	open_burst(w, b);
	return &b->pkts[0];
}

static struct packet *receive_sealed(const struct dpapi_session_set *s, uint64_t number,
				     const void *plain, size_t len)
{
	return receive(wire, dp_rig_seal(s, number, plain, len, wire));
}

static struct packet *receive_plain(const void *plain, size_t len)
{
	return receive_sealed(&session, counter++, plain, len);
}

/* ---- classify ---- */

static void test_classify(void **state)
{
	static const struct {
		const char *what;
		uint8_t first[4];
		uint16_t len;
		enum drop_reason drop;
		bool is_for_control;
	} rows[] = {
		{"empty", {0}, 0, DROP_NONE, true},
		{"3 bytes", {4, 0, 0}, 3, DROP_NONE, true},
		{"type 4 of 4 bytes", {4}, 4, DROP_CLASSIFY_RUNT, false},
		{"type 4 of 31 bytes", {4}, 31, DROP_CLASSIFY_RUNT, false},
		{"type 4 of 32 bytes", {4}, 32, DROP_NONE, false},
		{"largest", {4}, RIG_MTU_MAX + 48, DROP_NONE, false},
		{"oversize", {4}, RIG_MTU_MAX + 49, DROP_CLASSIFY_OVERSIZE, false},
		{"reserved bits", {4, 0, 1}, 64, DROP_NONE, true},
		{"type 0", {0}, 64, DROP_NONE, true},
		{"type 5", {5}, 64, DROP_NONE, true},
		{"initiation", {1}, 148, DROP_NONE, true},
		{"initiation, a byte more", {1}, 149, DROP_NONE, true},
		{"response", {2}, 92, DROP_NONE, true},
		{"cookie", {3}, 64, DROP_NONE, true},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct packet *p;

		memset(wire, 0, sizeof(wire));
		memcpy(wire, rows[i].first, 4);
		b = dp_rig_batch(rig, 0);
		p = dp_rig_add_outside(rig, b, wire, rows[i].len);
		classify_burst(w, b);
		if (p->drop != rows[i].drop)
			fail_msg("%s: %s", rows[i].what, drop_name(p->drop));
		assert_int_equal(p->kind == PACKET_OTHER, rows[i].is_for_control);
		assert_int_equal(p->out == PACKET_OUT_CHANNEL, rows[i].is_for_control);
		if (p->out == PACKET_OUT_CHANNEL)
			assert_int_equal(p->port_out, p->port_in);
	}
}

/* ---- drops of open ---- */

static void test_opened(void **state)
{
	size_t len = udp_from_peer();
	struct packet *p = receive_plain(inner, len);

	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->kind, PACKET_INNER);
	assert_int_equal(p->len, len);
	assert_memory_equal(p->data, inner, len);
	assert_int_equal(p->peer_in, PEER);
	assert_int_equal(p->session, INDEX);
	assert_int_equal(p->headroom, WG_DATA_HEADER_BYTES);
	assert_int_equal(p->tailroom, WG_TAG_BYTES);
	assert_int_equal(b->info[0].dst_port, 53);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->rx_packets), 1);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->rx_bytes), len);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->last_rx_ns), rig->now_ns);
}

static void test_wrong_index(void **state)
{
	struct dpapi_session_set other = session;
	size_t len = udp_from_peer();

	other.local_index = INDEX + 1;
	assert_int_equal(receive_sealed(&other, 1, inner, len)->drop, DROP_OPEN_UNKNOWN_INDEX);
	/* The same slot of the table, another index. */
	other.local_index = INDEX + 0x10000;
	assert_int_equal(receive_sealed(&other, 1, inner, len)->drop, DROP_OPEN_UNKNOWN_INDEX);
	other.local_index = 0;
	assert_int_equal(receive_sealed(&other, 1, inner, len)->drop, DROP_OPEN_UNKNOWN_INDEX);
}

static void test_expired(void **state)
{
	size_t len = udp_from_peer();

	rig->now_ns = session.expire_ns - 1;
	assert_int_equal(receive_plain(inner, len)->drop, DROP_NONE);
	rig->now_ns = session.expire_ns;
	assert_int_equal(receive_plain(inner, len)->drop, DROP_OPEN_EXPIRED);
}

static void test_bad_tag(void **state)
{
	size_t len = dp_rig_seal(&session, 5, inner, udp_from_peer(), wire);
	struct packet *p;

	/* Counter, first and last byte of the ciphertext, tag. */
	for (unsigned i = 0; i < 4; i++) {
		static const int at[] = {8, 16, -17, -1};
		size_t k = at[i] < 0 ? len - (size_t)-at[i] : (size_t)at[i];

		wire[k] ^= 0x40;
		p = receive(wire, len);
		wire[k] ^= 0x40;
		assert_int_equal(p->drop, DROP_OPEN_BAD_TAG);
		/* Nothing of it is left. */
		for (size_t n = WG_DATA_HEADER_BYTES; n < len - WG_TAG_BYTES; n++)
			assert_int_equal(p->data[n], 0);
	}
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->last_rx_ns), 0);
	dp_rig_drain(rig);
	assert_int_equal(rig->event_count, 0);
	/* A forgery does not use up the counter. */
	assert_int_equal(receive(wire, len)->drop, DROP_NONE);
}

static void test_replay(void **state)
{
	size_t len = udp_from_peer();

	assert_int_equal(receive_sealed(&session, 9000, inner, len)->drop, DROP_NONE);
	assert_int_equal(receive_sealed(&session, 9000, inner, len)->drop, DROP_OPEN_REPLAY);
	assert_int_equal(receive_sealed(&session, 9000 - WG_REPLAY_WINDOW, inner, len)->drop,
			 DROP_NONE);
	assert_int_equal(receive_sealed(&session, 9000 - WG_REPLAY_WINDOW, inner, len)->drop,
			 DROP_OPEN_REPLAY);
	assert_int_equal(receive_sealed(&session, 9000 - WG_REPLAY_WINDOW - 1, inner, len)->drop,
			 DROP_OPEN_TOO_OLD);
	/* An old packet that is forged is forged, not old. */
	len = dp_rig_seal(&session, 0, inner, udp_from_peer(), wire);
	wire[len - 1] ^= 1;
	assert_int_equal(receive(wire, len)->drop, DROP_OPEN_BAD_TAG);
}

static void test_replay_in_one_batch(void **state)
{
	size_t len = dp_rig_seal(&session, 3, inner, udp_from_peer(), wire);

	b = dp_rig_batch(rig, 0);
	for (unsigned i = 0; i < 3; i++)
		dp_rig_add_outside(rig, b, wire, len);
	open_burst(w, b);
	assert_int_equal(b->pkts[0].drop, DROP_NONE);
	assert_int_equal(b->pkts[1].drop, DROP_OPEN_REPLAY);
	assert_int_equal(b->pkts[2].drop, DROP_OPEN_REPLAY);
}

static void test_counter_limit(void **state)
{
	size_t len = udp_from_peer();

	assert_int_equal(receive_sealed(&session, WG_REJECT_AFTER_MESSAGES, inner, len)->drop,
			 DROP_OPEN_COUNTER_LIMIT);
	assert_int_equal(receive_sealed(&session, UINT64_MAX, inner, len)->drop,
			 DROP_OPEN_COUNTER_LIMIT);
	assert_int_equal(receive_sealed(&session, WG_REJECT_AFTER_MESSAGES - 1, inner, len)->drop,
			 DROP_NONE);
}

static void test_not_ip(void **state)
{
	uint8_t bytes[64] = {0x50};

	assert_int_equal(receive_plain(bytes, sizeof(bytes))->drop, DROP_OPEN_NOT_IP);
	bytes[0] = 0;
	assert_int_equal(receive_plain(bytes, sizeof(bytes))->drop, DROP_OPEN_NOT_IP);
}

static void test_bad_length(void **state)
{
	size_t len = udp_from_peer();

	assert_int_equal(receive_plain(inner, len - 1)->drop, DROP_OPEN_BAD_LENGTH);
	assert_int_equal(receive_plain(inner, 19)->drop, DROP_OPEN_BAD_LENGTH);
	assert_int_equal(receive_plain(inner, 1)->drop, DROP_OPEN_BAD_LENGTH);
	inner[2] = 0;
	inner[3] = 19;
	assert_int_equal(receive_plain(inner, len)->drop, DROP_OPEN_BAD_LENGTH);
	len = pk_udp(inner, "fd00:1::5", 1, "fd00:9::1", 2, 10);
	assert_int_equal(receive_plain(inner, len - 1)->drop, DROP_OPEN_BAD_LENGTH);
	assert_int_equal(receive_plain(inner, 39)->drop, DROP_OPEN_BAD_LENGTH);
}

static void test_source_not_allowed(void **state)
{
	static const struct {
		const char *src, *dst;
		enum drop_reason drop;
	} rows[] = {
		{"10.1.255.255", "10.9.0.1", DROP_NONE},
		{"10.2.0.0", "10.9.0.1", DROP_OPEN_SRC_NOT_ALLOWED},
		{"10.3.0.1", "10.9.0.1", DROP_OPEN_SRC_NOT_ALLOWED}, /* another peer's */
		{"10.1.7.7", "10.9.0.1", DROP_OPEN_SRC_NOT_ALLOWED}, /* more specific: also */
		{"fd00:1:ffff::1", "fd00:9::1", DROP_NONE},
		{"fd00:2::1", "fd00:9::1", DROP_OPEN_SRC_NOT_ALLOWED},
	};

	dp_rig_ready_peer(rig, 2, 1420, "10.3.0.0/16");
	dp_rig_route(rig, "10.1.7.0/24", 2);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = pk_udp(inner, rows[i].src, 1, rows[i].dst, 2, 10);

		assert_int_equal(receive_plain(inner, len)->drop, rows[i].drop);
	}
	/* It was authentic all the same: it says that the peer lives, and is no data. */
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->rx_packets), 2);
}

static void send_from(const char *src, enum drop_reason drop)
{
	size_t len = pk_udp(inner, src, 1, "10.9.0.1", 2, 10);

	assert_int_equal(receive_plain(inner, len)->drop, drop);
}

/* What is remembered of a source ends with the next change of routes, and is the peer's alone. */
static void test_source_moves(void **state)
{
	uint8_t moved[16] = {10, 1, 0, 5};

	dp_rig_ready_peer(rig, 2, 1420, "10.3.0.0/16");
	for (unsigned i = 0; i < 3; i++) {
		send_from("10.1.0.5", DROP_NONE);
		send_from("10.1.0.6", DROP_NONE);
		send_from("10.3.0.1", DROP_OPEN_SRC_NOT_ALLOWED);
		send_from("0.0.0.0", DROP_OPEN_SRC_NOT_ALLOWED);
	}
	dp_rig_route(rig, "10.1.0.5/32", 2);
	send_from("10.1.0.5", DROP_OPEN_SRC_NOT_ALLOWED);
	send_from("10.1.0.6", DROP_NONE);
	send_from("10.1.0.5", DROP_OPEN_SRC_NOT_ALLOWED);
	dp_rig_route(rig, "10.1.0.5/32", PEER);
	send_from("10.1.0.5", DROP_NONE);
	dp_rig_route(rig, "10.1.0.5/32", 2);
	send_from("10.1.0.5", DROP_OPEN_SRC_NOT_ALLOWED);
	assert_int_equal(fib_del(rig->dp.mesh, moved, AF_INET, 32), 0);
	send_from("10.1.0.5", DROP_NONE);
	fib_del_id(rig->dp.mesh, PEER);
	send_from("10.1.0.5", DROP_OPEN_SRC_NOT_ALLOWED);
}

/* RFC 6040, figure 4; rows: inner, columns: outer Not-ECT, ECT(1), ECT(0), CE. */
static void test_ecn(void **state)
{
	enum { NOT = 0, ECT1 = 1, ECT0 = 2, CE = 3, DROP = 9 };
	static const uint8_t table[4][4] = {
		[NOT] = {[NOT] = NOT, [ECT0] = NOT, [ECT1] = NOT, [CE] = DROP},
		[ECT0] = {[NOT] = ECT0, [ECT0] = ECT0, [ECT1] = ECT1, [CE] = CE},
		[ECT1] = {[NOT] = ECT1, [ECT0] = ECT1, [ECT1] = ECT1, [CE] = CE},
		[CE] = {[NOT] = CE, [ECT0] = CE, [ECT1] = CE, [CE] = CE},
	};
	static const uint8_t dscp = 0xb8;
	unsigned changed = 0;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		for (unsigned in = 0; in < 4; in++) {
			for (unsigned out = 0; out < 4; out++) {
				size_t len = v6 ? pk_udp(inner, "fd00:1::1", 1, "fd00:9::1", 2, 9)
						: pk_udp(inner, "10.1.0.5", 1, "10.9.0.1", 2, 9);
				struct packet *p;

				pk_set_tos(inner, (uint8_t)(dscp | in));
				len = dp_rig_seal(&session, counter++, inner, len, wire);
				b = dp_rig_batch(rig, 0);
				p = dp_rig_add_outside(rig, b, wire, len);
				/* The outer DSCP is nobody's business. */
				p->outer_tos = (uint8_t)(0x20 | out);
				open_burst(w, b);
				if (table[in][out] == DROP) {
					assert_int_equal(p->drop, DROP_OPEN_ECN);
					continue;
				}
				assert_int_equal(p->drop, DROP_NONE);
				assert_int_equal(pk_tos(p->data), dscp | table[in][out]);
				assert_int_equal(b->info[0].tos, dscp | table[in][out]);
				assert_true(pk_is_sound(p->data, p->len));
				changed += table[in][out] != in;
				assert_int_equal(!!(p->flags & PACKET_INNER_CHANGED),
						 table[in][out] != in);
			}
		}
	}
	assert_int_equal(w->stats.ecn_ce_marked, changed);
}

static void test_keepalive(void **state)
{
	struct packet *p = receive_plain(inner, 0);

	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->kind, PACKET_KEEPALIVE);
	assert_int_equal(p->len, 0);
	assert_int_equal(p->peer_in, PEER);
	assert_int_equal(w->stats.keepalives_received, 1);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->rx_packets), 0);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->last_rx_ns), rig->now_ns);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->rx_unanswered_ns), 0);
}

static void test_padding_is_trimmed(void **state)
{
	for (size_t pad = 1; pad < 40; pad++) {
		size_t len = udp_from_peer();
		struct packet *p;

		memset(inner + len, 0x77, pad);
		p = receive_plain(inner, len + pad);
		assert_int_equal(p->drop, DROP_NONE);
		assert_int_equal(p->len, len);
		assert_int_equal(p->tailroom, pad + WG_TAG_BYTES);
	}
}

/* ---- what it tells about the peer ---- */

static void test_promotion_once(void **state)
{
	struct dpapi_session_set next = dp_rig_session(rig, PEER, 0x2002, 0);
	struct peer *peer = peer_get(rig->dp.peers, PEER);
	size_t len;

	assert_int_equal(peer_tx_session(peer)->local_index, INDEX);
	/* A forged packet confirms nothing. */
	len = dp_rig_seal(&next, 0, inner, udp_from_peer(), wire);
	wire[20] ^= 1;
	receive(wire, len);
	wire[20] ^= 1;
	assert_false(w->is_flush_wanted);
	/* Both workers receive on it. */
	for (unsigned i = 0; i < 4; i++) {
		struct worker *one = rig->dp.workers[i & 1];

		len = dp_rig_seal(&next, i, inner, udp_from_peer(), wire);
		b = dp_rig_batch(rig, i & 1);
		dp_rig_add_outside(rig, b, wire, len);
		open_burst(one, b);
		assert_int_equal(b->pkts[0].drop, DROP_NONE);
	}
	assert_int_equal(peer_tx_session(peer)->local_index, 0x2002);
	assert_true(w->is_flush_wanted);
	assert_false(rig->dp.workers[1]->is_flush_wanted);
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_CONFIRMED), 1);
}

static void test_old_session_does_not_send_again(void **state)
{
	struct dpapi_session_set old;

	/* Unconfirmed and older than the one that sends: confirmed late, it stays behind. */
	old = dp_rig_session_msg(rig, PEER, 0x3003, 0);
	old.born_ns -= 5 * RIG_SECOND;
	assert_int_equal(dp_rig_apply(rig, &old, sizeof(old)), 0);
	assert_int_equal(receive_sealed(&old, 0, inner, udp_from_peer())->drop, DROP_NONE);
	assert_int_equal(peer_tx_session(peer_get(rig->dp.peers, PEER))->local_index, INDEX);
}

static void test_roamed(void **state)
{
	struct dpapi_addr at = dp_rig_addr("192.0.2.1:51820"), elsewhere = rig->remote;
	const struct worker_event *e = rig->events;

	rig->remote = at; /* the path that it has */
	receive_plain(inner, udp_from_peer());
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_ROAMED), 0);

	rig->remote = elsewhere;
	for (unsigned i = 0; i < 3; i++)
		receive_plain(inner, udp_from_peer());
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_ROAMED), 1);
	while (e->type != DPAPI_EVENT_ROAMED)
		e++;
	assert_int_equal(e->peer_id, PEER);
	assert_int_equal(e->local_index, INDEX);
	assert_int_equal(e->path.kind, DPAPI_PATH_UDP);
	assert_memory_equal(&e->path.remote, &elsewhere, sizeof(elsewhere));

	/* The same address, another port, 10 ms later; and a keepalive tells as well. */
	rig->now_ns += 10 * 1000000ull;
	rig->remote = at;
	rig->remote.port++;
	receive_plain(inner, 0);
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_ROAMED), 1);

	/* Without a path every address is a new one; what is forged tells nothing. */
	rig->now_ns += RIG_SECOND;
	dp_rig_path(rig, PEER, NULL);
	size_t len = dp_rig_seal(&session, counter, inner, udp_from_peer(), wire);
	wire[len - 1] ^= 1;
	receive(wire, len);
	dp_rig_drain(rig);
	assert_int_equal(rig->event_count, 0);
	receive_plain(inner, udp_from_peer());
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_ROAMED), 1);
}

/* The path that counts is the last that was set, of either family, to the last byte. */
static void test_roamed_from_the_path_of_now(void **state)
{
	static const struct {
		const char *path, *from;
		unsigned events;
	} rows[] = {
		{"192.0.2.7:9", "192.0.2.7:9", 0},
		{"192.0.2.8:9", "192.0.2.7:9", 1},
		{"192.0.2.8:9", "[2001:db8::1]:9", 1},
		{"[2001:db8::1]:9", "[2001:db8::1]:9", 0},
		{"[2001:db8::1]:9", "[2001:db8::2]:9", 1},
		{"[2001:db8::1]:9", "192.0.2.8:9", 1},
		{"192.0.2.8:9", "192.0.2.8:8", 1},
		{"192.0.2.8:9", "192.0.2.8:9", 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		rig->now_ns += RIG_SECOND;
		dp_rig_path(rig, PEER, rows[i].path);
		rig->remote = dp_rig_addr(rows[i].from);
		receive_plain(inner, udp_from_peer());
		dp_rig_drain(rig);
		assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_ROAMED), rows[i].events);
	}
}

static void test_rekey_and_traffic(void **state)
{
	rig->now_ns = session.rekey_rx_ns;
	receive_plain(inner, udp_from_peer());
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_REKEY), 0);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_TRAFFIC), 1);
	for (unsigned i = 0; i < 20; i++) {
		rig->now_ns += RIG_SECOND / 10;
		receive_plain(inner, 0);
	}
	dp_rig_drain(rig);
	/* Once a second, in two. */
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_REKEY), 2);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_TRAFFIC), 2);
}

/* The clocks of two workers' batches differ a little: that is no second. */
static void test_told_once_between_workers(void **state)
{
	uint64_t at = session.rekey_rx_ns + RIG_SECOND;

	for (unsigned i = 0; i < 2; i++) {
		size_t len = dp_rig_seal(&session, counter++, inner, udp_from_peer(), wire);

		rig->now_ns = at - i * 1000;
		b = dp_rig_batch(rig, i);
		dp_rig_add_outside(rig, b, wire, len);
		open_burst(rig->dp.workers[i], b);
	}
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_REKEY), 1);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_TRAFFIC), 1);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_ROAMED), 1);
}

/* Sessions, forgeries and drops mixed in one full batch. */
static void test_mixed_batch(void **state)
{
	struct dpapi_session_set two = dp_rig_ready_peer(rig, 2, 1420, "10.3.0.0/16");
	uint64_t numbers[2] = {0, 0};
	size_t len;

	b = dp_rig_batch(rig, 0);
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		unsigned who = i / 3 & 1;

		len = pk_udp(inner, who ? "10.3.0.1" : "10.1.0.1", 1, "10.9.0.1", 2, i * 20);
		len = dp_rig_seal(who ? &two : &session, numbers[who]++, inner, len, wire);
		if (i % 7 == 0)
			wire[len - 3] ^= 2;
		if (i % 11 == 5)
			wire[0] = 1;
		dp_rig_add_outside(rig, b, wire, len);
	}
	classify_burst(w, b);
	open_burst(w, b);
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		const struct packet *p = &b->pkts[i];

		if (i % 11 == 5) {
			assert_int_equal(p->kind, PACKET_OTHER);
			assert_int_equal(p->drop, DROP_NONE);
		} else if (i % 7 == 0) {
			assert_int_equal(p->drop, DROP_OPEN_BAD_TAG);
		} else {
			assert_int_equal(p->drop, DROP_NONE);
			assert_int_equal(p->peer_in, 1 + (i / 3 & 1));
			assert_int_equal(p->len, 28 + i * 20);
			assert_true(pk_is_sound(p->data, p->len));
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_classify),
		TEST(test_opened),
		TEST(test_wrong_index),
		TEST(test_expired),
		TEST(test_bad_tag),
		TEST(test_replay),
		TEST(test_replay_in_one_batch),
		TEST(test_counter_limit),
		TEST(test_not_ip),
		TEST(test_bad_length),
		TEST(test_source_not_allowed),
		TEST(test_source_moves),
		TEST(test_ecn),
		TEST(test_keepalive),
		TEST(test_padding_is_trimmed),
		TEST(test_promotion_once),
		TEST(test_old_session_does_not_send_again),
		TEST(test_roamed),
		TEST(test_roamed_from_the_path_of_now),
		TEST(test_rekey_and_traffic),
		TEST(test_told_once_between_workers),
		TEST(test_mixed_batch),
	};

	int failed;

	/* Stages look ahead in large tables; packets must not notice. */
	dp_rig_tables(false);
	failed = cmocka_run_group_tests_name("stage_open", tests, NULL, NULL);
	dp_rig_tables(true);
	return failed + cmocka_run_group_tests_name("stage_open, large tables", tests, NULL, NULL);
}
