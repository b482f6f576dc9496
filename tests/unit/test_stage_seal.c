/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that what seal makes is what libsodium opens on the other side, with
 * zero padding and counters that never come twice; and that packets without a
 * session wait, ask once a second, and leave in order when the session comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/channel.h"
#include "dataplane/pipeline.h"
#include "dataplane/stage/stage.h"
#include "dataplane/staging.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/session.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/wire/wg.h"
#include "tests/unit/dp_packets.h"
#include "tests/unit/dp_rig.h"

#define PEER  1
#define INDEX 0x1001u
#define MTU   1420

static struct dp_rig *rig;
static struct worker *w;
static struct batch *b;
static struct dpapi_session_set session;
static uint8_t inner[PK_MAX], wire[PK_MAX + 200], plain[PK_MAX + 200];

static int setup(void **state)
{
	rig = dp_rig_new(2);
	w = rig->dp.workers[0];
	session = dp_rig_ready_peer(rig, PEER, MTU, "10.1.0.0/16");
	b = dp_rig_batch(rig, 0);
	return 0;
}

static int teardown(void **state)
{
	dp_rig_free(rig);
	return 0;
}

static size_t udp(size_t payload)
{
	return pk_udp(inner, "10.9.0.1", 1, "10.1.0.5", 53, payload);
}

static struct packet *add_to(uint32_t peer, const void *data, size_t len)
{
	struct packet *p = dp_rig_add_inside(rig, b, data, len);

	p->peer_out = peer;
	return p;
}

/* One packet in a batch of its own through the stage. */
static struct packet *seal_one(const void *data, size_t len)
{
	struct packet *p;

	b = dp_rig_batch(rig, 0);
	p = add_to(PEER, data, len);
	seal_burst(w, b);
	return p;
}

/* The sealed packet opens to want and zeros; returns its counter. */
static uint64_t check_sealed(const struct dpapi_session_set *s, const uint8_t *message,
			     size_t message_len, const void *want, size_t len, size_t mtu)
{
	size_t padded = (len + 15) / 16 * 16;
	uint64_t counter = UINT64_MAX;

	if (padded > mtu)
		padded = mtu;
	assert_int_equal(dp_rig_open(s, message, message_len, &counter, plain), padded);
	assert_memory_equal(plain, want, len);
	for (size_t i = len; i < padded; i++)
		assert_int_equal(plain[i], 0);
	return counter;
}

static void test_wire_and_padding(void **state)
{
	uint64_t next = 0;

	for (size_t payload = 0; payload <= MTU - 28; payload += payload < 40 ? 1 : 13) {
		size_t len = udp(payload);
		struct packet *p = seal_one(inner, len);

		assert_int_equal(p->drop, DROP_NONE);
		assert_int_equal(p->kind, PACKET_SEALED);
		assert_int_equal(check_sealed(&session, p->data, p->len, inner, len, MTU), next++);
		assert_int_equal(p->session, INDEX);
		assert_int_equal(p->out, PACKET_OUT_UDP);
		assert_int_equal(p->port_out, 0);
		assert_int_equal(p->remote->port, 51820);
		assert_int_equal(p->headroom, PACKET_HEADROOM - WG_DATA_HEADER_BYTES);
	}
	/* The last few bytes below the MTU are padded up to it only. */
	for (size_t len = MTU - 20; len <= MTU; len++) {
		struct packet *p = seal_one(inner, udp(len - 28));

		check_sealed(&session, p->data, p->len, inner, len, MTU);
	}
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->last_tx_ns), rig->now_ns);
}

static void test_counters_of_two_workers(void **state)
{
	static uint8_t seen[4096];
	unsigned total = 0;
	size_t len = udp(10);

	memset(seen, 0, sizeof(seen));
	for (unsigned round = 0; round < 40; round++) {
		unsigned id = round % 3 == 1, n = 1 + round * 7 % BATCH_MAX;
		uint64_t last = 0;

		b = dp_rig_batch(rig, id);
		for (unsigned i = 0; i < n; i++)
			add_to(PEER, inner, len);
		seal_burst(rig->dp.workers[id], b);
		for (unsigned i = 0; i < n; i++) {
			uint64_t c = check_sealed(&session, b->pkts[i].data, b->pkts[i].len, inner,
						  len, MTU);

			assert_true(i == 0 || c == last + 1);
			assert_true(c < sizeof(seen) && !seen[c]);
			seen[c % sizeof(seen)] = 1;
			last = c;
		}
		total += n;
	}
	for (unsigned i = 0; i < total; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(atomic_load(&session_find(rig->dp.sessions, INDEX)->send_counter), total);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->tx_packets), total);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->tx_bytes), total * len);
}

static void test_no_session_waits_and_asks(void **state)
{
	uint64_t start = rig->now_ns;

	dp_rig_peer(rig, 2, MTU, 0);
	dp_rig_path(rig, 2, "192.0.2.2:51820");
	for (unsigned ms = 0; ms < 3000; ms += 100) {
		rig->now_ns = start + ms * 1000000ull;
		b = dp_rig_batch(rig, ms / 100 & 1);
		for (unsigned i = 0; i < 3; i++)
			add_to(2, inner, udp(30));
		seal_burst(rig->dp.workers[ms / 100 & 1], b);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(b->pkts[i].drop, DROP_NONE);
			assert_int_equal(b->pkts[i].out, PACKET_OUT_NONE);
		}
	}
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_HANDSHAKE), 3);
	assert_int_equal(staging_count(w->staging), 45);
	assert_int_equal(staging_count(rig->dp.workers[1]->staging), 45);
	/* A keepalive is worth no handshake, and does not wait. */
	rig->now_ns += 10 * RIG_SECOND;
	b = dp_rig_batch(rig, 0);
	add_to(2, inner, 0)->kind = PACKET_KEEPALIVE;
	seal_burst(w, b);
	dp_rig_drain(rig);
	assert_int_equal(rig->event_count, 0);
	assert_int_equal(staging_count(w->staging), 45);
}

static void test_staging_overflow_is_counted(void **state)
{
	dp_rig_peer(rig, 2, MTU, 0);
	for (unsigned k = 0; k < 3; k++) {
		b = dp_rig_batch(rig, 0);
		for (unsigned i = 0; i < BATCH_MAX; i++)
			add_to(2, inner, udp(30));
		pipeline_seal(w, b);
	}
	assert_int_equal(staging_count(w->staging), STAGING_PER_PEER);
	assert_int_equal(dp_rig_dropped(rig, DROP_SEAL_STAGED_OVERFLOW),
			 3 * BATCH_MAX - STAGING_PER_PEER);
	assert_int_equal(rig->port[0].sent_count, 0);
}

static void test_expired_session_waits(void **state)
{
	rig->now_ns = session.expire_ns - 1;
	assert_int_equal(seal_one(inner, udp(30))->kind, PACKET_SEALED);
	rig->now_ns = session.expire_ns;
	assert_int_equal(seal_one(inner, udp(30))->kind, PACKET_INNER);
	assert_int_equal(staging_count(w->staging), 1);
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_HANDSHAKE), 1);
}

static void test_no_path_no_peer(void **state)
{
	dp_rig_path(rig, PEER, NULL);
	assert_int_equal(seal_one(inner, udp(30))->drop, DROP_SEAL_NO_PATH);
	b = dp_rig_batch(rig, 0);
	add_to(77, inner, udp(30));
	add_to(1u << 24, inner, udp(30));
	seal_burst(w, b);
	assert_int_equal(b->pkts[0].drop, DROP_ROUTE_NO_PEER);
	assert_int_equal(b->pkts[1].drop, DROP_ROUTE_NO_PEER);
	/* Nothing that is not sent uses up a counter. */
	assert_int_equal(atomic_load(&session_find(rig->dp.sessions, INDEX)->send_counter), 0);
}

static void test_rekey_event(void **state)
{
	struct session *s = session_find(rig->dp.sessions, INDEX);

	rig->now_ns = session.rekey_tx_ns;
	seal_one(inner, udp(30));
	dp_rig_drain(rig);
	assert_int_equal(rig->event_count, 0);
	for (unsigned i = 0; i < 20; i++) {
		rig->now_ns += RIG_SECOND / 10;
		seal_one(inner, udp(30));
	}
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_REKEY), 2);
	assert_int_equal(rig->events[0].local_index, INDEX);
	/* By count, long before it is old. */
	rig->now_ns = RIG_NOW_NS + 1;
	atomic_store(&s->rekey_told_ns, 0);
	atomic_store(&s->send_counter, WG_REKEY_AFTER_MESSAGES);
	seal_one(inner, udp(30));
	dp_rig_drain(rig);
	assert_int_equal(rig->event_count, 0);
	seal_one(inner, udp(30));
	dp_rig_drain(rig);
	assert_int_equal(dp_rig_events(rig, DPAPI_EVENT_REKEY), 1);
}

/* A run that gets no counters leaves the batch, and the runs around it are right. */
static void test_counter_limit(void **state)
{
	struct dpapi_session_set two = dp_rig_ready_peer(rig, 2, MTU, "10.2.0.0/16");
	size_t len = udp(100);
	uint64_t next = 0;

	atomic_store(&session_find(rig->dp.sessions, INDEX)->send_counter,
		     WG_REJECT_AFTER_MESSAGES - 4);
	b = dp_rig_batch(rig, 0);
	for (unsigned i = 0; i < 40; i++)
		add_to(i / 5 & 1 ? PEER : 2, inner, len);
	seal_burst(w, b);
	for (unsigned i = 0; i < 40; i++) {
		const struct packet *p = &b->pkts[i];

		if (i / 5 & 1) {
			assert_int_equal(p->drop, DROP_SEAL_COUNTER_LIMIT);
		} else {
			assert_int_equal(p->drop, DROP_NONE);
			assert_int_equal(check_sealed(&two, p->data, p->len, inner, len, MTU),
					 next++);
		}
	}
	/* Fewer still get their counters, never the forbidden one. */
	for (unsigned i = 0; i < 8; i++) {
		struct packet *p = seal_one(inner, len);

		if (p->drop == DROP_NONE)
			assert_true(check_sealed(&session, p->data, p->len, inner, len, MTU) <
				    WG_REJECT_AFTER_MESSAGES);
		else
			assert_int_equal(p->drop, DROP_SEAL_COUNTER_LIMIT);
	}
	assert_int_equal(seal_one(inner, len)->drop, DROP_SEAL_COUNTER_LIMIT);
}

static void test_room(void **state)
{
	/* len 36: 12 bytes of padding and 16 of tag. */
	static const struct {
		unsigned head, tail;
		bool in_place;
	} rows[] = {
		{16, 28, true},	 {15, 28, false}, {16, 27, false},  {0, 0, false},
		{128, 0, false}, {0, 128, false}, {200, 200, true},
	};
	size_t len = udp(8);

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct packet *p;
		uint8_t *was;

		b = dp_rig_batch(rig, 0);
		p = dp_rig_add(rig, b, inner, len, rows[i].head, rows[i].tail);
		p->kind = PACKET_INNER;
		p->peer_out = PEER;
		was = p->data;
		seal_burst(w, b);
		assert_int_equal(p->drop, DROP_NONE);
		assert_int_equal(p->data == was - WG_DATA_HEADER_BYTES, rows[i].in_place);
		if (!rows[i].in_place)
			assert_memory_equal(was, inner, len);
		check_sealed(&session, p->data, p->len, inner, len, MTU);
	}
}

/* From a peer of MTU 1420 to one of 1500: four bytes more of padding than there is room. */
static void test_hub_reseals(void **state)
{
	struct dpapi_session_set two = dp_rig_ready_peer(rig, 2, 1500, "10.2.0.0/16");
	const struct rig_sent *sent = rig->port[0].sent;
	unsigned n = 0;

	b = dp_rig_batch(rig, 0);
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		size_t len = pk_udp(inner, "10.1.0.5", 1, "10.2.0.5", 2, MTU - 28 - i);
		size_t padded = len + wg_padding((uint32_t)len, MTU);

		memset(inner + len, 0, padded - len);
		dp_rig_add_outside(rig, b, wire, dp_rig_seal(&session, i, inner, padded, wire));
	}
	pipeline_outside(w, b);
	assert_int_equal(rig->port[0].sent_count, BATCH_MAX);
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		size_t len = pk_udp(inner, "10.1.0.5", 1, "10.2.0.5", 2, MTU - 28 - i);

		pk_set_ttl(inner, 63);
		assert_int_equal(
			check_sealed(&two, sent[i].bytes, sent[i].meta.len, inner, len, 1500), i);
		assert_memory_equal(sent[i].remote.bytes, ((uint8_t[]){192, 0, 2, 2}), 4);
		n += sent[i].meta.headroom == PACKET_HEADROOM - WG_DATA_HEADER_BYTES;
	}
	assert_true(n >= 1 && n < BATCH_MAX); /* some had to move, not all */
}

static void test_ecn_goes_outside(void **state)
{
	for (unsigned ecn = 0; ecn < 4; ecn++) {
		size_t len = udp(20);

		pk_set_tos(inner, (uint8_t)(0xb8 | ecn));
		assert_int_equal(seal_one(inner, len)->outer_tos, ecn);
		len = pk_udp(inner, "fd00::1", 1, "fd00::2", 2, 20);
		pk_set_tos(inner, (uint8_t)(0xb8 | ecn));
		assert_int_equal(seal_one(inner, len)->outer_tos, ecn);
	}
}

/* Three super-packets: to one peer, to nobody, to another peer. */
static void test_super_packet(void **state)
{
	struct dpapi_session_set two = dp_rig_ready_peer(rig, 2, MTU, "10.2.0.0/16");
	size_t len = udp(400);

	b = dp_rig_batch(rig, 0);
	for (unsigned i = 0; i < 12; i++) {
		struct packet *p;

		inner[len - 1] = (uint8_t)i;
		p = dp_rig_add_inside(rig, b, inner, len);
		p->seg_size = 400;
		p->leader = (uint8_t)(i / 4 * 4);
	}
	/* Only the leaders are asked where they go. */
	b->pkts[4].data[17] = 99;
	b->pkts[8].data[17] = 2;
	pipeline_inside(w, b);
	assert_int_equal(rig->port[0].sent_count, 8);
	assert_int_equal(dp_rig_dropped(rig, DROP_ROUTE_NO_PEER), 4);
	for (unsigned i = 0; i < 8; i++) {
		const struct rig_sent *s = &rig->port[0].sent[i];

		inner[len - 1] = (uint8_t)(i < 4 ? i : i + 4);
		inner[17] = i == 4 ? 2 : 1;
		assert_int_equal(check_sealed(i < 4 ? &session : &two, s->bytes, s->meta.len, inner,
					      len, MTU),
				 i % 4);
	}
}

/* ---- with the worker's own loop; these take time from the real clock ---- */

static void run_worker(enum worker_command_type type, uint32_t peer)
{
	struct worker_command c = {.type = type, .peer_id = peer};
	struct worker_command stop = {.type = WORKER_CMD_STOP};

	if (type)
		assert_int_equal(worker_command(w, &c), 0);
	assert_int_equal(worker_command(w, &stop), 0);
	alarm(30); /* it may not hang */
	assert_int_equal(worker_main(w), 0);
	alarm(0);
}

static void stage_some(uint32_t peer, unsigned n)
{
	for (unsigned i = 0; i < n;) {
		b = dp_rig_batch(rig, 0);
		for (; i < n && b->n < BATCH_MAX; i++) {
			size_t len = udp(40);

			memcpy(inner + len - sizeof(i), &i, sizeof(i));
			add_to(peer, inner, len);
		}
		pipeline_seal(w, b);
	}
	assert_int_equal(rig->port[0].sent_count, 0);
}

static void check_order(const struct dpapi_session_set *s, unsigned n)
{
	assert_int_equal(rig->port[0].sent_count, n);
	for (unsigned i = 0; i < n; i++) {
		const struct rig_sent *one = &rig->port[0].sent[i];
		size_t len = udp(40);

		memcpy(inner + len - sizeof(i), &i, sizeof(i));
		assert_int_equal(check_sealed(s, one->bytes, one->meta.len, inner, len, MTU), i);
	}
}

static void test_flush_in_order(void **state)
{
	struct dpapi_session_set two;

	rig->now_ns = clock_now_ns();
	dp_rig_peer(rig, 2, MTU, 0);
	dp_rig_path(rig, 2, "192.0.2.2:51820");
	stage_some(2, 100);
	/* An unconfirmed one does not send. */
	dp_rig_session(rig, 2, 0x2003, 0);
	run_worker(0, 0);
	assert_int_equal(rig->port[0].sent_count, 0);
	two = dp_rig_session(rig, 2, 0x2002, DPAPI_SESSION_CONFIRMED);
	run_worker(0, 0);
	check_order(&two, 100);
	assert_int_equal(staging_count(w->staging), 0);
}

static void test_flush_when_confirmed(void **state)
{
	struct dpapi_session_set two;
	struct batch *in;

	rig->now_ns = clock_now_ns();
	dp_rig_peer(rig, 2, MTU, 0);
	dp_rig_path(rig, 2, "192.0.2.2:51820");
	stage_some(2, 128);
	two = dp_rig_session(rig, 2, 0x2002, 0);
	in = dp_rig_batch(rig, 0);
	dp_rig_add_outside(rig, in, wire, dp_rig_seal(&two, 0, NULL, 0, wire));
	pipeline_outside(w, in);
	assert_true(w->is_flush_wanted);
	/* Anything that the worker takes next brings it there. */
	dp_rig_feed(rig, 0, inner, pk_udp(inner, "10.9.0.1", 1, "10.200.0.1", 2, 1));
	run_worker(0, 0);
	check_order(&two, 128);
}

/* The sweep takes an expired session away only later: until then it must not be tried. */
static void test_flush_with_expired_session(void **state)
{
	struct dpapi_session_set two;
	uint64_t now = clock_now_ns();

	rig->now_ns = now;
	dp_rig_peer(rig, 2, MTU, 0);
	dp_rig_path(rig, 2, "192.0.2.2:51820");
	two = dp_rig_session_msg(rig, 2, 0x2002, DPAPI_SESSION_CONFIRMED);
	two.expire_ns = now;
	assert_int_equal(dp_rig_apply(rig, &two, sizeof(two)), 0);
	stage_some(2, 100);
	run_worker(WORKER_CMD_FLUSH, 0);
	assert_int_equal(staging_count(w->staging), 100);
	assert_int_equal(rig->port[0].sent_count, 0);
	rig->now_ns = now;
	two = dp_rig_session_msg(rig, 2, 0x2003, DPAPI_SESSION_CONFIRMED);
	two.born_ns++;
	assert_int_equal(dp_rig_apply(rig, &two, sizeof(two)), 0);
	run_worker(0, 0);
	check_order(&two, 100);
}

/* More peers wait than fit into a small list, and only the last ones may send. */
static void test_flush_many_peers(void **state)
{
	rig->now_ns = clock_now_ns();
	for (uint32_t id = 2; id < 452; id++) {
		dp_rig_peer(rig, id, MTU, 0);
		dp_rig_path(rig, id, "192.0.2.2:51820");
		stage_some(id, 1);
	}
	for (uint32_t id = 2; id < 452; id += 3)
		dp_rig_session(rig, id, 0x20000 + id, DPAPI_SESSION_CONFIRMED);
	run_worker(0, 0);
	assert_int_equal(rig->port[0].sent_count, 150);
	assert_int_equal(staging_count(w->staging), 300);
}

static void test_keepalive_command(void **state)
{
	const struct rig_sent *s = &rig->port[0].sent[0];
	uint64_t counter;

	rig->now_ns = clock_now_ns();
	session = dp_rig_session_msg(rig, PEER, 0x5005, DPAPI_SESSION_CONFIRMED);
	assert_int_equal(dp_rig_apply(rig, &session, sizeof(session)), 0);
	run_worker(WORKER_CMD_KEEPALIVE, PEER);
	assert_int_equal(rig->port[0].sent_count, 1);
	assert_int_equal(s->meta.len, WG_DATA_MIN_BYTES);
	assert_int_equal(s->meta.outer_tos, 0);
	assert_int_equal(dp_rig_open(&session, s->bytes, s->meta.len, &counter, plain), 0);
	assert_int_equal(w->stats.keepalives_sent, 1);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->tx_packets), 0);
	run_worker(WORKER_CMD_KEEPALIVE, 99);
	assert_int_equal(rig->port[0].sent_count, 1);
}

static void test_drop_staged_command(void **state)
{
	rig->now_ns = clock_now_ns();
	dp_rig_peer(rig, 2, MTU, 0);
	stage_some(2, 10);
	dp_rig_peer(rig, 3, MTU, 0);
	stage_some(3, 5);
	run_worker(WORKER_CMD_DROP_STAGED, 2);
	assert_int_equal(dp_rig_dropped(rig, DROP_SEAL_STAGED_TIMEOUT), 10);
	assert_int_equal(staging_count(w->staging), 5);
}

static void test_staged_timeout(void **state)
{
	rig->now_ns = clock_now_ns();
	dp_rig_peer(rig, 2, MTU, 0);
	rig->now_ns -= STAGING_TIMEOUT_NS + RIG_SECOND;
	stage_some(2, 10);
	rig->now_ns += 2 * RIG_SECOND;
	stage_some(2, 3);
	dp_rig_feed(rig, 0, inner, pk_udp(inner, "10.9.0.1", 1, "10.200.0.1", 2, 1));
	/* STOP comes in the round after the one that looks. */
	run_worker(WORKER_CMD_FLUSH, 0);
	run_worker(0, 0);
	staging_expire(w->staging, clock_now_ns());
	assert_int_equal(staging_count(w->staging), 3);
}

static void test_channel_path(void **state)
{
	struct dpapi_endpoint_set m = {.hdr.type = DPAPI_ENDPOINT_SET, .peer_id = PEER};
	struct {
		struct dpapi_chan_hdr h;
		uint8_t bytes[2048];
	} got;
	size_t len = udp(77);
	int theirs;
	ssize_t n;

	assert_int_equal(channel_open(&rig->dp.channel_fd, &theirs), 0);
	m.path.kind = DPAPI_PATH_CHANNEL;
	m.path.remote.port = 11;
	assert_int_equal(dp_rig_apply(rig, &m, sizeof(m)), 0);
	b = dp_rig_batch(rig, 0);
	add_to(PEER, inner, len);
	pipeline_seal(w, b);
	assert_int_equal(rig->port[0].sent_count, 0);
	n = recv(theirs, &got, sizeof(got), MSG_DONTWAIT);
	assert_int_equal(n, sizeof(got.h) + got.h.len);
	assert_int_equal(got.h.kind, DPAPI_CHAN_SEALED);
	assert_int_equal(got.h.peer_id, PEER);
	assert_int_equal(got.h.path.remote.port, 11);
	check_sealed(&session, got.bytes, got.h.len, inner, len, MTU);
	/* Nobody at the other end: counted. */
	close(theirs);
	b = dp_rig_batch(rig, 0);
	add_to(PEER, inner, len);
	pipeline_seal(w, b);
	assert_int_equal(dp_rig_dropped(rig, DROP_CHANNEL_FULL), 1);
	close(rig->dp.channel_fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_wire_and_padding),
		TEST(test_counters_of_two_workers),
		TEST(test_no_session_waits_and_asks),
		TEST(test_staging_overflow_is_counted),
		TEST(test_expired_session_waits),
		TEST(test_no_path_no_peer),
		TEST(test_rekey_event),
		TEST(test_counter_limit),
		TEST(test_room),
		TEST(test_hub_reseals),
		TEST(test_ecn_goes_outside),
		TEST(test_super_packet),
		TEST(test_flush_in_order),
		TEST(test_flush_when_confirmed),
		TEST(test_flush_with_expired_session),
		TEST(test_flush_many_peers),
		TEST(test_keepalive_command),
		TEST(test_drop_staged_command),
		TEST(test_staged_timeout),
		TEST(test_channel_path),
	};

	int failed;

	/* Stages look ahead in large tables; packets must not notice. */
	dp_rig_tables(false);
	failed = cmocka_run_group_tests_name("stage_seal", tests, NULL, NULL);
	dp_rig_tables(true);
	return failed + cmocka_run_group_tests_name("stage_seal, large tables", tests, NULL, NULL);
}
