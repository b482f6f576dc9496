/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows when a worker sends in a lane and when in lane 0, that a lane's session is its own
 * (keys, counters, window), that its addresses tell nothing of lane 0, and that messages about
 * lanes go between causewayd and the sessions that they name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "dataplane/pipeline.h"
#include "dataplane/stage/stage.h"
#include "dataplane/table/lane_build.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/session.h"
#include "lib/wire/lane.h"
#include "lib/wire/wg.h"
#include "tests/unit/dp_packets.h"
#include "tests/unit/dp_rig.h"

#define PEER  1
#define LANES 2
#define MTU   1420
#define MS    1000000ull
#define LONG  (3600 * RIG_SECOND)

static struct dp_rig *rig;
static struct dpapi_session_set session, lane[LANES + 1];
static uint8_t inner[PK_MAX], wire[PK_MAX + 200], plain[PK_MAX + 200];

static struct dpapi_session_set install_lane(uint8_t n, uint32_t index)
{
	struct dpapi_session_set m = dp_rig_session_msg(rig, PEER, index, DPAPI_SESSION_CONFIRMED);

	m.lane = n;
	m.born_ns = session.born_ns;
	assert_int_equal(dp_rig_apply(rig, &m, sizeof(m)), 0);
	return m;
}

static int setup(void **state)
{
	rig = dp_rig_new(LANES);
	rig->dp.ports[0].lanes = LANES;
	session = dp_rig_ready_peer(rig, PEER, MTU, "10.1.0.0/16");
	for (uint8_t n = 1; n <= LANES; n++)
		lane[n] = install_lane(n, 0x2000u + n);
	return 0;
}

static int teardown(void **state)
{
	dp_rig_free(rig);
	return 0;
}

static int set_lane(uint8_t n, uint32_t index, uint64_t until_ns)
{
	struct dpapi_lane_set m = {
		.hdr.type = DPAPI_LANE_SET,
		.peer_id = PEER,
		.local_index = index,
		.until_ns = until_ns,
		.lane = n,
		.path = {.kind = DPAPI_PATH_UDP, .lane = n, .remote = dp_rig_addr("192.0.2.99:7")},
	};

	int ret = dp_rig_apply(rig, &m, sizeof(m));

	/* The control thread's clock is the real one, the rig's is not. */
	if (ret == 0)
		atomic_store(&peer_lanes_get(peer_get(rig->dp.peers, PEER))->slot[n - 1].since_ns,
			     rig->now_ns);
	return ret;
}

static struct packet *seal_from(unsigned worker)
{
	struct batch *b = dp_rig_batch(rig, worker);
	struct packet *p =
		dp_rig_add_inside(rig, b, inner, pk_udp(inner, "10.9.0.1", 1, "10.1.0.5", 53, 40));

	p->kind = PACKET_INNER;
	p->peer_out = PEER;
	seal_burst(rig->dp.workers[worker], b);
	return p;
}

/* Which session sealed it: 0 = the peer's own, n = that of lane n. */
static int sent_in(const struct packet *p)
{
	uint64_t counter;

	assert_int_equal(p->drop, DROP_NONE);
	if (dp_rig_open(&session, p->data, p->len, &counter, plain) >= 0) {
		assert_int_equal(packet_lane(p), 0);
		assert_int_equal(p->remote->port, 51820);
		return 0;
	}
	for (int n = 1; n <= LANES; n++) {
		if (dp_rig_open(&lane[n], p->data, p->len, &counter, plain) < 0)
			continue;
		assert_int_equal(packet_lane(p), n);
		assert_int_equal(p->remote->port, 7);
		return n;
	}
	fail_msg("sealed for nobody");
	return -1;
}

static unsigned told(uint32_t type)
{
	dp_rig_drain(rig);
	return dp_rig_events(rig, type);
}

static void test_data_waits_for_leave(void **state)
{
	assert_int_equal(sent_in(seal_from(0)), 0);
	assert_int_equal(told(DPAPI_EVENT_LANE_TRAFFIC), 1);
	assert_int_equal(set_lane(1, lane[1].local_index, rig->now_ns + LONG), 0);
	rig->now_ns += 6 * MS;
	assert_int_equal(sent_in(seal_from(0)), 1);
	/* The other worker's lane has no leave; then it has. */
	assert_int_equal(sent_in(seal_from(1)), 0);
	assert_int_equal(set_lane(2, lane[2].local_index, rig->now_ns + LONG), 0);
	rig->now_ns += 6 * MS;
	assert_int_equal(sent_in(seal_from(1)), 2);
	assert_int_equal(sent_in(seal_from(0)), 1);
	/* Told of once a second. */
	assert_int_equal(told(DPAPI_EVENT_LANE_TRAFFIC), 0);
	rig->now_ns += RIG_SECOND;
	seal_from(0);
	seal_from(1);
	assert_int_equal(told(DPAPI_EVENT_LANE_TRAFFIC), 1);
}

static void test_moves_in_a_gap(void **state)
{
	seal_from(0);
	assert_int_equal(set_lane(1, lane[1].local_index, rig->now_ns + LONG), 0);
	for (int i = 0; i < 100; i++) {
		rig->now_ns += 4 * MS;
		assert_int_equal(sent_in(seal_from(0)), 0);
	}
	rig->now_ns += 5 * MS;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(sent_in(seal_from(0)), 1);
		rig->now_ns += MS;
	}
}

/* Without a gap it goes all the same, a second after the lane could be used. */
static void test_patience_ends(void **state)
{
	struct peer_lanes *l = peer_lanes_get(peer_get(rig->dp.peers, PEER));
	struct session *s = session_find(rig->dp.sessions, lane[1].local_index);
	struct dpapi_lane_set m = {.lane = 1, .until_ns = rig->now_ns + LONG};
	uint64_t begin_ns = rig->now_ns;

	lane_pick(l, 0, rig->now_ns);
	assert_int_equal(lane_set(l, s, &m, rig->now_ns), 0);
	for (uint64_t t = begin_ns; t < begin_ns + RIG_SECOND; t += MS)
		assert_null(lane_pick(l, 0, t));
	assert_non_null(lane_pick(l, 0, begin_ns + RIG_SECOND));
	/* Prolonged in time it was usable all along; lapsed, the wait is a new one. */
	m.until_ns += RIG_SECOND;
	assert_int_equal(lane_set(l, s, &m, begin_ns + RIG_SECOND), 0);
	assert_non_null(lane_pick(l, 0, begin_ns + RIG_SECOND + MS));
	assert_null(lane_pick(l, 0, m.until_ns));
	m.until_ns += RIG_SECOND;
	assert_int_equal(lane_set(l, s, &m, m.until_ns - RIG_SECOND), 0);
	assert_null(lane_pick(l, 0, m.until_ns - RIG_SECOND + MS));
}

static void test_lapses(void **state)
{
	uint64_t until_ns = rig->now_ns + 3 * RIG_SECOND;

	assert_int_equal(set_lane(1, lane[1].local_index, until_ns), 0);
	rig->now_ns = until_ns - 1;
	assert_int_equal(sent_in(seal_from(0)), 1);
	rig->now_ns = until_ns;
	assert_int_equal(sent_in(seal_from(0)), 0);
}

static void test_keepalives_are_lane_0s(void **state)
{
	struct batch *b;
	struct packet *p;

	assert_int_equal(set_lane(1, lane[1].local_index, rig->now_ns + LONG), 0);
	rig->now_ns += 6 * MS;
	assert_int_equal(sent_in(seal_from(0)), 1);
	b = dp_rig_batch(rig, 0);
	p = dp_rig_add_inside(rig, b, inner, 0);
	p->kind = PACKET_KEEPALIVE;
	p->peer_out = PEER;
	seal_burst(rig->dp.workers[0], b);
	assert_int_equal(sent_in(p), 0);
}

/* Sessions of the next handshake come one by one: nobody changes places meanwhile. */
static void test_stays_while_the_next_ones_come(void **state)
{
	struct dpapi_session_set next[LANES + 1];

	for (uint8_t n = 1; n <= LANES; n++)
		assert_int_equal(set_lane(n, lane[n].local_index, rig->now_ns + LONG), 0);
	rig->now_ns += 6 * MS;
	assert_int_equal(sent_in(seal_from(0)), 1);
	assert_int_equal(sent_in(seal_from(1)), 2);
	session.born_ns += RIG_SECOND;
	for (uint8_t n = 1; n <= LANES; n++) {
		next[n] = install_lane(n, 0x3000u + n);
		assert_int_equal(sent_in(seal_from(0)), 1);
		assert_int_equal(sent_in(seal_from(1)), 2);
	}
	assert_int_equal(set_lane(1, next[1].local_index, rig->now_ns + LONG), 0);
	assert_int_equal(sent_in(seal_from(1)), 2);
	lane[1] = next[1];
	assert_int_equal(sent_in(seal_from(0)), 1);
}

/* Data that left before the lanes were there may be under way still. */
static void test_waits_for_what_went_before(void **state)
{
	assert_int_equal(sent_in(seal_from(1)), 0);
	rig->now_ns += MS;
	/* As for a peer whose lanes are new: the slot has seen nothing. */
	atomic_store(&peer_lanes_get(peer_get(rig->dp.peers, PEER))->slot[1].last_ns, 0);
	assert_int_equal(set_lane(2, lane[2].local_index, rig->now_ns + LONG), 0);
	assert_int_equal(sent_in(seal_from(1)), 0);
	rig->now_ns += 5 * MS;
	assert_int_equal(sent_in(seal_from(1)), 2);
}

static void test_goes_with_its_session(void **state)
{
	struct dpapi_session_del del = {.hdr.type = DPAPI_SESSION_DEL,
					.local_index = lane[1].local_index};

	assert_int_equal(set_lane(1, lane[1].local_index, rig->now_ns + LONG), 0);
	rig->now_ns += 6 * MS;
	assert_int_equal(sent_in(seal_from(0)), 1);
	assert_int_equal(dp_rig_apply(rig, &del, sizeof(del)), 0);
	assert_int_equal(sent_in(seal_from(0)), 0);
	assert_null(session_find(rig->dp.sessions, lane[1].local_index));
	assert_true(dp_rig_apply(rig, &del, sizeof(del)) < 0);
	/* Lane 0 is the peer's own session all the time. */
	assert_int_equal(peer_tx_session(peer_get(rig->dp.peers, PEER))->local_index,
			 session.local_index);
}

static void test_refused(void **state)
{
	struct dpapi_session_set far = lane[1], waits = lane[1];

	/* One that waits to be confirmed would become the peer's own by its first packet. */
	waits.local_index = 0x3002;
	waits.flags = 0;
	assert_int_equal(dp_rig_apply(rig, &waits, sizeof(waits)), -EINVAL);
	assert_int_equal(set_lane(1, session.local_index, LONG), -ENOENT);
	assert_int_equal(set_lane(1, 0x7777, LONG), -ENOENT);
	assert_int_equal(set_lane(2, lane[1].local_index, LONG), -EINVAL);
	rig->dp.ports[0].lanes = 1;
	assert_int_equal(set_lane(2, lane[2].local_index, LONG), -EINVAL);
	far.local_index = 0x3001;
	far.lane = LANE_MAX + 1;
	assert_int_equal(dp_rig_apply(rig, &far, sizeof(far)), -EINVAL);
	/* The same session again changes nothing. */
	assert_int_equal(dp_rig_apply(rig, &lane[1], sizeof(lane[1])), 0);
	assert_int_equal(peer_lanes_get(peer_get(rig->dp.peers, PEER))->session_count, LANES);
}

static struct packet *receive(const struct dpapi_session_set *s, uint64_t counter, const void *data,
			      size_t len)
{
	struct batch *b = dp_rig_batch(rig, 0);
	struct packet *p =
		dp_rig_add_outside(rig, b, wire, dp_rig_seal(s, counter, data, len, wire));

	open_burst(rig->dp.workers[0], b);
	return p;
}

static void test_receives(void **state)
{
	size_t len = pk_udp(inner, "10.1.0.5", 53, "10.9.0.1", 1, 40);

	/* From an address that is not the path's: nobody is told. */
	assert_int_equal(receive(&lane[1], 0, inner, len)->drop, DROP_NONE);
	assert_int_equal(told(DPAPI_EVENT_ROAMED), 0);
	/* Each lane has its own window. */
	assert_int_equal(receive(&lane[2], 0, inner, len)->drop, DROP_NONE);
	assert_int_equal(receive(&lane[1], 0, inner, len)->drop, DROP_OPEN_REPLAY);
	assert_int_equal(receive(&session, 0, inner, len)->drop, DROP_NONE);
	assert_int_equal(told(DPAPI_EVENT_ROAMED), 1);
	/* Its own keys: what is sealed for lane 2 does not open in lane 1. */
	dp_rig_seal(&lane[2], 5, inner, len, wire);
	le32_put(&((struct wg_msg_data *)wire)->receiver, lane[1].local_index);
	struct batch *b = dp_rig_batch(rig, 0);
	struct packet *p = dp_rig_add_outside(rig, b, wire, 32 + (len + 15) / 16 * 16);

	open_burst(rig->dp.workers[0], b);
	assert_int_equal(p->drop, DROP_OPEN_BAD_TAG);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->rx_packets), 3);
}

static void test_message_to_control(void **state)
{
	struct lane_msg m = {.type = LANE_MSG_PING, .lane = 1, .token = 7};
	uint8_t msg[LANE_MSG_BYTES];
	size_t len = lane_msg_encode(msg, &m);
	struct packet *p = receive(&lane[1], 0, msg, len);

	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->kind, PACKET_LANE);
	assert_int_equal(p->out, PACKET_OUT_CHANNEL);
	assert_int_equal(p->session, lane[1].local_index);
	assert_int_equal(p->peer_in, PEER);
	assert_memory_equal(p->data, msg, len);
	/* It is no data: nothing has to be answered for it. */
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->rx_unanswered_ns), 0);
	assert_int_equal(atomic_load(&peer_get(rig->dp.peers, PEER)->last_rx_ns), rig->now_ns);
	/* What only looks a little like it is dropped as ever. */
	msg[2] ^= 1;
	assert_int_equal(receive(&lane[1], 1, msg, len)->drop, DROP_OPEN_BAD_LENGTH);
}

static void test_flood_is_bounded(void **state)
{
	struct lane_msg m = {.type = LANE_MSG_WANT};
	uint8_t msg[LANE_MSG_BYTES];
	size_t len = lane_msg_encode(msg, &m);
	struct dpapi_session_set other = dp_rig_ready_peer(rig, PEER + 1, MTU, "10.2.0.0/16");
	unsigned passed = 0;

	/* One peer does not take the others' share. */
	for (unsigned i = 0; i < 5000; i++)
		passed += receive(&session, i, msg, len)->drop == DROP_NONE;
	assert_int_equal(passed, 512);
	assert_int_equal(receive(&other, 0, msg, len)->drop, DROP_NONE);
	rig->now_ns += RIG_SECOND;
	assert_int_equal(receive(&session, 6000, msg, len)->drop, DROP_NONE);
	/* All together a worker has a limit. */
	rig->now_ns += RIG_SECOND;
	passed = 0;
	for (uint32_t id = PEER + 2; id < PEER + 12; id++) {
		char net[16];

		snprintf(net, sizeof(net), "10.%u.0.0/16", id);
		other = dp_rig_ready_peer(rig, id, MTU, net);
		for (unsigned i = 0; i < 500; i++)
			passed += receive(&other, i, msg, len)->drop == DROP_NONE;
	}
	assert_int_equal(passed, 4096);
}

static struct packet *lane_out(uint32_t index, uint32_t peer)
{
	static struct dpapi_addr to;
	struct batch *b = dp_rig_batch(rig, 0);
	struct packet *p = dp_rig_add_inside(rig, b, "sixteen letters", 16);

	to = dp_rig_addr("192.0.2.50:5");
	p->kind = PACKET_LANE;
	p->session = index;
	p->peer_out = peer;
	p->remote = &to;
	p->port_out = 0;
	p->vni_lane = 2u << PACKET_LANE_SHIFT;
	lane_burst(rig->dp.workers[0], b);
	return p;
}

static void test_message_from_control(void **state)
{
	struct peer *peer = peer_get(rig->dp.peers, PEER);
	uint64_t counter;
	struct packet *p = lane_out(lane[1].local_index, PEER);

	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->kind, PACKET_SEALED);
	assert_int_equal(p->out, PACKET_OUT_UDP);
	assert_int_equal(packet_lane(p), 2);
	assert_int_equal(p->remote->port, 5);
	assert_int_equal(dp_rig_open(&lane[1], p->data, p->len, &counter, plain), 16);
	assert_memory_equal(plain, "sixteen letters", 16);
	assert_int_equal(counter, 0);
	assert_int_equal(atomic_load(&peer->last_tx_ns), 0);
	/* In lane 0 it counts as a keepalive does. */
	assert_int_equal(lane_out(session.local_index, PEER)->drop, DROP_NONE);
	assert_int_equal(atomic_load(&peer->last_tx_ns), rig->now_ns);
	assert_int_equal(atomic_load(&peer->tx_unanswered_ns), 0);
	assert_int_equal(atomic_load(&peer->tx_packets), 0);
	/* Not on a session of somebody else, or of nobody. */
	assert_int_equal(lane_out(lane[1].local_index, PEER + 1)->drop, DROP_ROUTE_NO_PEER);
	assert_int_equal(lane_out(0x7777, PEER)->drop, DROP_ROUTE_NO_PEER);
	rig->now_ns = lane[1].expire_ns;
	assert_int_equal(lane_out(lane[1].local_index, PEER)->drop, DROP_ROUTE_NO_PEER);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_data_waits_for_leave),
		TEST(test_moves_in_a_gap),
		TEST(test_patience_ends),
		TEST(test_lapses),
		TEST(test_keepalives_are_lane_0s),
		TEST(test_stays_while_the_next_ones_come),
		TEST(test_waits_for_what_went_before),
		TEST(test_goes_with_its_session),
		TEST(test_refused),
		TEST(test_receives),
		TEST(test_message_to_control),
		TEST(test_flood_is_bounded),
		TEST(test_message_from_control),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
