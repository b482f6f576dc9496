/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows what two engines of lanes agree on over a wire that loses, delays and repeats, through
 * a NAT, past cut port pairs, over rekeys, and beside a peer that knows no lanes. Time is
 * simulated. A message carries the key that it is sealed with: it is opened only by whoever
 * installed the same one under the index that it names.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/noise/wg_lanes.h"
#include "lib/base/clock.h"

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define MS	   NS_PER_MS
#define SEC	   NS_PER_SEC
#define DELAY_NS   (10 * MS)
#define WIRE_MAX   4096
#define DP_MAX	   64
#define HOME_PORT  41641
#define LANE_PORT  61000
#define PUBLIC(at) ((at) ? 2 : 1) /* last byte of a side's address */

struct session {
	uint32_t local_index, remote_index; /* 0: free */
	uint8_t lane;
	uint8_t send[WG_KEY_BYTES], recv[WG_KEY_BYTES];
};

struct side {
	int number;
	struct wg_lanes l;
	bool is_stock; /* has no lanes */
	uint32_t next_index;
	int indices; /* chosen and not freed */
	struct wg_sessions sessions;
	struct session dp[DP_MAX];
	uint64_t until_ns[LANE_MAX + 1];
	uint32_t used[LANE_MAX + 1]; /* local index */
	struct wg_lane_pair pair[LANE_MAX + 1];
	uint16_t home_port; /* of the other side, as lane 0 knows it */
	bool has_data;
	unsigned sent[5], installs; /* by type of message */
	unsigned lane_messages;	    /* sent anywhere but in lane 0 */
};

struct message {
	uint64_t at_ns;
	int to;
	uint16_t from_port, to_port; /* as the receiver's network sees them */
	uint32_t index;
	uint8_t key[WG_KEY_BYTES];
	size_t len;
	uint8_t data[LANE_MSG_BYTES];
};

static struct side side[2];
static struct message wire[WIRE_MAX];
static unsigned wire_count;
static uint64_t now_ns, random_state;
static unsigned loss_pct, copies;
static bool has_nat;	      /* before side 0 */
static uint16_t nat_epoch;    /* mappings of another one are forgotten */
static uint16_t nat_to[3000]; /* by mapped port - 20000: where it may come from, 0: unused */
static uint16_t cut[4];	      /* lane ports of either side that nothing passes */
static uint32_t base_counter;

static uint32_t chance(void)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random_state >> 33);
}

static void random_fill(void *ctx, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)chance();
}

static uint32_t index_alloc(void *owner, uint8_t lane)
{
	struct side *s = owner;

	s->indices++;
	return ++s->next_index;
}

static void index_free(void *owner, uint32_t index)
{
	((struct side *)owner)->indices--;
}

static struct session *dp_find(struct side *s, uint32_t local_index)
{
	for (int i = 0; i < DP_MAX; i++)
		if (s->dp[i].local_index == local_index)
			return &s->dp[i];
	return NULL;
}

static uint16_t port_of(uint8_t lane)
{
	return lane ? (uint16_t)(LANE_PORT + lane) : HOME_PORT;
}

/* A mapping for (inside port, destination), as a NAT with a table of connections has it. */
static uint16_t nat_out(uint16_t port, uint16_t to_port)
{
	uint16_t lane = port == HOME_PORT ? 0 : (uint16_t)(port - LANE_PORT);
	uint16_t mapped = (uint16_t)(20000 + nat_epoch * 100 + lane * 4 + (to_port != HOME_PORT));

	nat_to[mapped - 20000] = to_port;
	return mapped;
}

static bool nat_in(uint16_t mapped, uint16_t from_port, uint16_t *port)
{
	uint16_t i = (uint16_t)(mapped - 20000), lane;

	if (mapped < 20000 || i >= 3000 || nat_to[i] != from_port || i / 100 != nat_epoch)
		return false;
	lane = i % 100 / 4;
	*port = port_of((uint8_t)lane);
	return true;
}

static bool is_cut(uint16_t a, uint16_t b)
{
	for (unsigned i = 0; i < 4; i++)
		if (cut[i] && (cut[i] == a || cut[i] == b))
			return true;
	return false;
}

static void send_message(void *owner, uint32_t local_index, const struct wg_lane_pair *pair,
			 const uint8_t *data, size_t len)
{
	struct side *s = owner;
	struct session *se = dp_find(s, local_index);
	struct message m = {.to = !s->number, .len = len};
	uint16_t to_port = pair->is_home ? s->home_port : pair->remote.port;

	CHECK(se);
	CHECK(pair->is_home || pair->remote.addr.bytes[3] == PUBLIC(!s->number));
	s->sent[data[3]]++;
	s->lane_messages += se->lane != 0;
	m.index = se->remote_index;
	memcpy(m.key, se->send, sizeof(m.key));
	memcpy(m.data, data, len);
	m.from_port = port_of(pair->port);
	m.to_port = to_port;
	if (is_cut(m.from_port, m.to_port) || chance() % 100 < loss_pct)
		return;
	if (has_nat && s->number == 0)
		m.from_port = nat_out(m.from_port, m.to_port);
	if (has_nat && s->number == 1 && !nat_in(m.to_port, m.from_port, &m.to_port))
		return;
	for (unsigned n = 0; n <= copies; n++) {
		m.at_ns = now_ns + DELAY_NS + (copies ? chance() % 50 * MS : 0);
		CHECK(wire_count < WIRE_MAX);
		wire[wire_count++] = m;
	}
}

static void install(void *owner, const struct wg_lane_install *in)
{
	struct side *s = owner;
	struct session *free_one = dp_find(s, 0);

	CHECK(free_one && !dp_find(s, in->local_index));
	for (int i = 0; i < DP_MAX; i++)
		CHECK(!s->dp[i].local_index || memcmp(s->dp[i].send, in->keys.send, 32));
	*free_one = (struct session){in->local_index, in->remote_index, in->lane, {0}, {0}};
	memcpy(free_one->send, in->keys.send, 32);
	memcpy(free_one->recv, in->keys.recv, 32);
	s->installs++;
}

static void remove_session(void *owner, uint32_t local_index)
{
	struct session *se = dp_find(owner, local_index);

	CHECK(se && se->lane);
	*se = (struct session){0};
}

static void use(void *owner, uint8_t lane, uint32_t local_index, const struct wg_lane_pair *pair,
		uint64_t until_ns)
{
	struct side *s = owner;
	const struct session *se = dp_find(s, local_index);

	CHECK(se && se->lane == lane && until_ns > now_ns && until_ns <= now_ns + 3 * SEC);
	s->until_ns[lane] = until_ns;
	s->used[lane] = local_index;
	s->pair[lane] = *pair;
}

static const struct wg_lanes_ops ops = {index_alloc, index_free,     send_message,
					install,     remove_session, use};
static const struct wg_random the_random = {.fill = random_fill};

static void deliver(const struct message *m)
{
	struct side *s = &side[m->to];
	struct session *se = dp_find(s, m->index);
	struct wg_lane_pair from = {
		.port = m->to_port == HOME_PORT ? 0 : (uint8_t)(m->to_port - LANE_PORT)};

	if (!se || memcmp(se->recv, m->key, 32) != 0)
		return; /* does not open */
	from.remote.addr.family = AF_INET;
	from.remote.addr.bytes[3] = PUBLIC(!m->to);
	from.remote.port = m->from_port;
	if (!se->lane)
		s->home_port = m->from_port; /* roaming */
	if (!s->is_stock)
		wg_lanes_message(&s->l, m->index, &from, m->data, m->len, now_ns);
}

static void step(void)
{
	now_ns += MS;
	for (unsigned i = 0; i < wire_count;) {
		struct message m = wire[i];

		if (m.at_ns > now_ns) {
			i++;
			continue;
		}
		wire[i] = wire[--wire_count];
		deliver(&m);
	}
	for (int i = 0; i < 2; i++) {
		struct side *s = &side[i];

		if (s->is_stock)
			continue;
		/* Acknowledgements of the dataplane come a turn later. */
		for (int k = 0; k < DP_MAX; k++)
			if (s->dp[k].lane)
				wg_lanes_installed(&s->l, s->dp[k].local_index, true, now_ns);
		if (s->has_data && now_ns % SEC == 0)
			wg_lanes_traffic(&s->l, now_ns);
		if (now_ns >= wg_lanes_next_deadline(&s->l))
			wg_lanes_tick(&s->l, now_ns);
		CHECK(wg_lanes_next_deadline(&s->l) > now_ns);
	}
}

static void run(uint64_t ns)
{
	for (uint64_t end = now_ns + ns; now_ns < end;)
		step();
}

static void world(uint8_t offer0, uint8_t offer1)
{
	memset(side, 0, sizeof(side));
	memset(nat_to, 0, sizeof(nat_to));
	memset(cut, 0, sizeof(cut));
	wire_count = loss_pct = copies = nat_epoch = 0;
	has_nat = false;
	now_ns = 1000 * SEC;
	for (int i = 0; i < 2; i++) {
		side[i].number = i;
		side[i].next_index = 1000u * (unsigned)(i + 1);
		side[i].home_port = HOME_PORT;
		side[i].is_stock = !(i ? offer1 : offer0);
		if (!side[i].is_stock)
			wg_lanes_init(&side[i].l, &the_random, &ops, &side[i], i ? offer1 : offer0);
	}
}

/* A handshake that `initiator` began: sessions move on, as wg_sessions.h has them. */
static void handshake(int initiator)
{
	struct wg_peer_install in[2] = {{0}};
	uint8_t secret[32], keys[2][32];

	random_fill(NULL, secret, 32);
	random_fill(NULL, keys, sizeof(keys));
	base_counter += 2;
	for (int i = 0; i < 2; i++) {
		struct side *s = &side[i];
		struct session *se = dp_find(s, 0);

		in[i].local_index = 0x10000000u + base_counter + (unsigned)i;
		in[i].remote_index = 0x10000000u + base_counter + (unsigned)!i;
		in[i].is_initiator = i == initiator;
		in[i].born_ns = now_ns;
		in[i].expire_ns = now_ns + 180 * SEC;
		memcpy(in[i].keys.lane_secret, secret, 32);
		*se = (struct session){in[i].local_index, in[i].remote_index, 0, {0}, {0}};
		memcpy(se->send, keys[i == initiator], 32);
		memcpy(se->recv, keys[i != initiator], 32);
		if (s->sessions.previous.local_index)
			*dp_find(s, s->sessions.previous.local_index) = (struct session){0};
		s->sessions.previous = s->sessions.current;
		s->sessions.current =
			(struct wg_session){WG_SESSION_CONFIRMED, in[i].local_index,
					    in[i].remote_index, now_ns, i == initiator};
		if (has_nat)
			side[1].home_port = nat_out(HOME_PORT, HOME_PORT);
		if (!s->is_stock) {
			wg_lanes_derived(&s->l, &in[i], now_ns);
			wg_lanes_sync(&s->l, &s->sessions, now_ns);
		}
	}
}

static unsigned open_lanes(int i)
{
	unsigned n = 0;

	for (unsigned lane = 1; lane <= LANE_MAX; lane++)
		n += now_ns < side[i].until_ns[lane];
	return n;
}

static void data(bool on)
{
	side[0].has_data = side[1].has_data = on;
}

static void test_opens(void)
{
	for (unsigned k = 0; k < 4; k++) {
		uint8_t offers[4][2] = {{4, 2}, {2, 4}, {1, 1}, {16, 16}};

		world(offers[k][0], offers[k][1]);
		handshake((int)(k & 1));
		data(true);
		run(SEC);
		for (int i = 0; i < 2; i++) {
			unsigned want = offers[k][0] < offers[k][1] ? offers[k][0] : offers[k][1];

			CHECK(open_lanes(i) == want);
			CHECK(side[i].installs == want && side[i].indices == (int)want);
			CHECK(sodium_is_zero(side[i].l.sessions[0].secret, 32));
		}
		/* The opener sends from its lane ports, the other one back from its listen port. */
		CHECK(side[k & 1].pair[1].port == 1 && side[k & 1].pair[1].is_home);
		CHECK(side[!(k & 1)].pair[1].port == 0 && !side[!(k & 1)].pair[1].is_home);
		for (int t = 0; t < 300; t++) {
			run(100 * MS);
			CHECK(open_lanes(0) && open_lanes(1));
		}
		CHECK(side[0].sent[LANE_MSG_ANNOUNCE] <= 4 && side[1].sent[LANE_MSG_ANNOUNCE] <= 4);
	}
}

static void test_one_way(void)
{
	for (int who = 0; who < 2; who++) {
		world(2, 2);
		handshake(0);
		run(20 * SEC);
		CHECK(!open_lanes(0) && !open_lanes(1));
		side[who].has_data = true;
		run(8 * SEC);
		for (int t = 0; t < 100; t++) {
			run(100 * MS);
			CHECK(open_lanes(who) == 2);
		}
	}
}

static void test_bad_wire(void)
{
	unsigned unheard = 0;

	for (unsigned k = 0; k < 200; k++) {
		world(3, 3);
		random_state = k;
		loss_pct = 30;
		copies = k % 2;
		handshake((int)(k & 1));
		data(true);
		run(20 * SEC);
		loss_pct = 0;
		run(3 * SEC);
		CHECK(side[0].installs == side[1].installs);
		CHECK(open_lanes(0) == side[0].installs && open_lanes(1) == side[1].installs);
		unheard += side[0].installs != 3;
		CHECK(side[0].sent[LANE_MSG_ANNOUNCE] <= 8);
	}
	/* All three of both sides lost: 0.07 % each. Then there are none until the next session. */
	CHECK(unheard <= 2);
}

static void test_stock_peer(void)
{
	world(4, 0);
	for (int k = 0; k < 10; k++) {
		unsigned before = side[0].sent[LANE_MSG_ANNOUNCE];

		handshake(k & 1);
		side[0].has_data = true;
		run(120 * SEC);
		CHECK(side[0].sent[LANE_MSG_ANNOUNCE] - before == 3);
	}
	CHECK(side[0].lane_messages == 0 && side[0].sent[LANE_MSG_WANT] == 0);
	CHECK(side[0].installs == 0 && side[0].indices == 0 && open_lanes(0) == 0);
}

static void test_idle(void)
{
	unsigned before;

	world(2, 2);
	handshake(0);
	data(true);
	run(10 * SEC);
	data(false);
	run(12 * SEC);
	CHECK(!open_lanes(0) && !open_lanes(1));
	before = side[0].lane_messages + side[1].lane_messages;
	run(60 * SEC);
	CHECK(side[0].lane_messages + side[1].lane_messages == before);
	CHECK(wg_lanes_next_deadline(&side[0].l) == UINT64_MAX);
	data(true);
	run(2 * SEC);
	CHECK(open_lanes(0) == 2 && open_lanes(1) == 2);
}

static void test_nat(void)
{
	for (int initiator = 0; initiator < 2; initiator++) {
		world(2, 2);
		has_nat = true;
		handshake(initiator);
		data(true);
		run(5 * SEC);
		CHECK(open_lanes(0) == 2 && open_lanes(1) == 2);
		CHECK(side[0].pair[1].port == 1 && side[1].pair[1].port == 0);
		CHECK(side[1].pair[1].remote.port >= 20000);
		/* The NAT forgets: new ports, and within 3 s all is as before. */
		for (int k = 0; k < 5; k++) {
			uint16_t old = side[1].pair[1].remote.port;

			nat_epoch++;
			run(3 * SEC);
			CHECK(open_lanes(0) == 2 && open_lanes(1) == 2);
			CHECK(side[1].pair[1].remote.port != old);
		}
	}
}

static void test_cut(void)
{
	world(2, 2);
	handshake(0);
	data(true);
	run(2 * SEC);
	cut[0] = LANE_PORT + 1; /* of both sides */
	run(3 * SEC + DELAY_NS);
	CHECK(open_lanes(0) == 1 && open_lanes(1) == 1);
	CHECK(now_ns < side[0].until_ns[2] && now_ns < side[1].until_ns[2]);
	run(30 * SEC);
	CHECK(open_lanes(0) == 1 && open_lanes(1) == 1);
	cut[0] = 0;
	run(2 * SEC);
	CHECK(open_lanes(0) == 2 && open_lanes(1) == 2);
}

static void test_rekey(void)
{
	world(2, 2);
	handshake(0);
	data(true);
	run(SEC);
	for (int k = 0; k < 20; k++) {
		uint32_t old = side[0].used[1];

		loss_pct = k % 3 ? 0 : 20;
		run(20 * SEC);
		loss_pct = 0;
		run(2 * SEC);
		handshake(k & 1);
		for (int t = 0; t < 200; t++) {
			run(10 * MS);
			/* There is always one to send in. */
			CHECK(open_lanes(0) == 2 && open_lanes(1) == 2);
		}
		CHECK(side[0].used[1] != old);
		/* At most this session's and the last one's. */
		CHECK(side[0].indices <= 4 && side[1].indices <= 4);
	}
	side[0].sessions = side[1].sessions = (struct wg_sessions){0};
	for (int i = 0; i < 2; i++) {
		wg_lanes_sync(&side[i].l, &side[i].sessions, now_ns);
		CHECK(side[i].indices == 0);
		for (int d = 0; d < DP_MAX; d++)
			CHECK(side[i].dp[d].lane == 0);
	}
}

/* A peer that comes to know lanes no more gets none in its next session. */
static void test_peer_changes(void)
{
	world(2, 2);
	handshake(0);
	data(true);
	run(2 * SEC);
	side[1].is_stock = true;
	handshake(1);
	run(14 * SEC);
	CHECK(open_lanes(0) == 0);
	run(100 * SEC);
	CHECK(open_lanes(0) == 0);
}

static void test_adopted(void)
{
	struct wg_session base;

	world(2, 2);
	handshake(0);
	data(true);
	run(2 * SEC);
	base = side[0].sessions.current;
	wg_lanes_init(&side[0].l, &the_random, &ops, &side[0], 2);
	for (int i = 0; i < DP_MAX; i++)
		if (side[0].dp[i].lane)
			CHECK(!wg_lanes_adopt(&side[0].l, &base, side[0].dp[i].lane,
					      side[0].dp[i].local_index, side[0].dp[i].remote_index,
					      now_ns));
	wg_lanes_sync(&side[0].l, &side[0].sessions, now_ns);
	for (int t = 0; t < 100; t++) {
		run(100 * MS);
		CHECK(open_lanes(0) == 2 && open_lanes(1) == 2);
	}
	CHECK(side[0].installs == 2);
}

/* Whatever a peer sends, and on whichever session. */
static void test_nonsense(void)
{
	for (unsigned k = 0; k < 200000; k++) {
		uint8_t bytes[LANE_MSG_BYTES];
		struct wg_lane_pair from = {.port = (uint8_t)(chance() % 3)};
		struct side *s = &side[chance() % 2];
		size_t len = chance() % (sizeof(bytes) + 1);

		if (k % 5000 == 0) {
			world(3, 16);
			handshake((int)(k / 5000 & 1));
			run(SEC);
		}
		random_fill(NULL, bytes, sizeof(bytes));
		memcpy(bytes, "\xf0\x63\x77", 3);
		bytes[3] = (uint8_t)(1 + chance() % 5);
		bytes[4] = (uint8_t)(chance() % 3);
		bytes[5] = (uint8_t)(chance() % 4);
		bytes[6] = (uint8_t)(chance() % 20);
		bytes[7] = (uint8_t)(chance() % 20);
		from.remote.addr.family = AF_INET;
		from.remote.addr.bytes[3] = (uint8_t)PUBLIC(!s->number);
		from.remote.port = HOME_PORT;
		wg_lanes_message(&s->l, s->dp[chance() % 6].local_index, &from, bytes, len, now_ns);
		if (k % 16 == 0)
			step();
	}
	run(20 * SEC);
}

int main(void)
{
	test_opens();
	test_one_way();
	test_bad_wire();
	test_stock_peer();
	test_idle();
	test_nat();
	test_cut();
	test_rekey();
	test_peer_changes();
	test_adopted();
	test_nonsense();
	printf("lanes: all scenarios\n");
	return 0;
}
