/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows what two path engines make of the NATs between them: a direct way wherever there can be
 * one, DERP elsewhere, packets on their way again within 2 s of a NAT that lost its mappings, and
 * no storm of pings, over many seeds and an hour. Time is simulated.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/path/path_peer.h"

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s (%s with %s, seed %u)\n", __FILE__, __LINE__,   \
				#cond, nat_text[world.side[0].nat], nat_text[world.side[1].nat],   \
				world.first_seed);                                                 \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define MS	   NS_PER_MS
#define SEC	   NS_PER_SEC
#define DATA_NS	   (100 * MS)
#define SILENCE_NS (800 * MS)
#define STUN_NS	   (23 * SEC)
#define MAPS_MAX   32
#define QUEUE_MAX  1024
#define REGION	   7

enum nat { NAT_NONE, NAT_EIM, NAT_SYMMETRIC, NAT_NO_UDP };
static const char *const nat_text[] = {"none", "eim", "symmetric", "no udp"};

struct map {
	uint16_t port;
	struct endpoint to;
};

struct side {
	int number;
	enum nat nat;
	struct map map[MAPS_MAX]; /* what was sent where, from which outer port */
	size_t maps;
	struct endpoint inner, endpoints[2];
	struct path_self self;
	struct path_peer peer;
	struct path_action use;
	uint64_t heard_ns, longest_gap_ns, direct_ns;
	uint64_t by_direct, by_derp;
	bool stun_runs;
};

enum item_kind { ITEM_DISCO, ITEM_DATA, ITEM_STUN, ITEM_NETMAP };

struct item {
	uint64_t at_ns;
	enum item_kind kind;
	int to;
	bool is_derp;
	struct endpoint from;
	size_t len;
	uint8_t bytes[DISCO_BOX_BYTES_MAX];
};

static struct {
	uint64_t now_ns, delay_ns, seed;
	unsigned first_seed, loss_percent;
	struct side side[2];
	struct item queue[QUEUE_MAX];
	size_t queued;
} world;

static uint64_t random64(void)
{
	uint64_t z = world.seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void random_fill(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)random64();
}

static struct endpoint v4(uint8_t a, uint8_t d, uint16_t port)
{
	return (struct endpoint){{AF_INET, {a, 0, 113, d}}, port};
}

/* The outer source of what s sends to `to`; a mapping comes into being. */
static struct endpoint nat_out(struct side *s, const struct endpoint *to)
{
	uint16_t port = 0;

	if (s->nat == NAT_NONE)
		return s->inner;
	for (size_t i = 0; i < s->maps; i++) {
		if (endpoint_equal(&s->map[i].to, to))
			return v4(203, (uint8_t)s->number, s->map[i].port);
		if (s->nat == NAT_EIM)
			port = s->map[i].port;
	}
	if (!port)
		port = (uint16_t)(1024 + random64() % 60000);
	CHECK(s->maps < MAPS_MAX);
	s->map[s->maps++] = (struct map){port, *to};
	return v4(203, (uint8_t)s->number, port);
}

/* Does a packet from `from` to `to` reach s? Both kinds let in only exact answers. */
static bool nat_in(const struct side *s, const struct endpoint *from, const struct endpoint *to)
{
	if (s->nat == NAT_NONE)
		return endpoint_equal(to, &s->inner);
	if (to->addr.bytes[0] != 203 || to->addr.bytes[3] != s->number)
		return false;
	for (size_t i = 0; i < s->maps; i++) {
		if (s->map[i].port == to->port && endpoint_equal(&s->map[i].to, from))
			return true;
	}
	return false;
}

static struct item *push(enum item_kind kind, int to, uint64_t at_ns)
{
	struct item *m = &world.queue[world.queued++];

	CHECK(world.queued < QUEUE_MAX);
	memset(m, 0, sizeof(*m) - sizeof(m->bytes));
	m->kind = kind;
	m->to = to;
	m->at_ns = at_ns;
	return m;
}

static void send_udp(struct side *s, enum item_kind kind, const struct endpoint *to,
		     const uint8_t *bytes, size_t len)
{
	struct side *other = &world.side[!s->number];
	struct endpoint from;
	struct item *m;

	if (s->nat == NAT_NO_UDP)
		return;
	from = nat_out(s, to);
	if (other->nat == NAT_NO_UDP || !nat_in(other, &from, to) ||
	    random64() % 100 < world.loss_percent)
		return;
	/* A filter judges on arrival, but what opens it meanwhile only helps: judge early. */
	m = push(kind, other->number, world.now_ns + world.delay_ns);
	m->from = from;
	m->len = len;
	if (len)
		memcpy(m->bytes, bytes, len);
}

static void send_derp(struct side *s, enum item_kind kind, const uint8_t *bytes, size_t len)
{
	struct item *m = push(kind, !s->number, world.now_ns + 3 * world.delay_ns);

	m->is_derp = true;
	m->len = len;
	if (len)
		memcpy(m->bytes, bytes, len);
}

static void start_stun(struct side *s)
{
	struct endpoint server = v4(198, 1, 3478);
	struct item *m;

	if (s->stun_runs)
		return;
	s->stun_runs = true;
	m = push(ITEM_STUN, s->number,
		 world.now_ns + (s->nat == NAT_NO_UDP ? 3 * SEC : 2 * world.delay_ns));
	m->from = s->nat == NAT_NO_UDP ? (struct endpoint){0} : nat_out(s, &server);
}

static void act(void *ctx, const struct path_action *a)
{
	struct side *s = ctx;

	if (a->type == PATH_NEED_ENDPOINTS) {
		start_stun(s);
	} else if (a->type == PATH_USE) {
		s->use = *a;
	} else if (a->type == PATH_SEND && a->to.addr.family) {
		send_udp(s, ITEM_DISCO, &a->to, a->bytes, a->len);
	} else if (a->type == PATH_SEND) {
		CHECK(a->region == REGION);
		send_derp(s, ITEM_DISCO, a->bytes, a->len);
	}
}

static void tell_netmap(struct side *s)
{
	struct side *other = &world.side[!s->number];

	CHECK(!path_peer_set(&s->peer, &other->self.disco, REGION, other->endpoints,
			     other->self.endpoint_count, world.now_ns));
}

static void stun_done(struct side *s, const struct endpoint *mapped)
{
	size_t count = 1;

	s->stun_runs = false;
	s->endpoints[0] = s->inner;
	if (mapped->addr.family && !endpoint_equal(mapped, &s->inner))
		s->endpoints[count++] = *mapped;
	s->self.endpoint_count = count;
	s->self.endpoints_ns = world.now_ns;
	path_peer_on_endpoints(&s->peer, world.now_ns);
	push(ITEM_NETMAP, !s->number, world.now_ns + 50 * MS);
}

static void deliver(const struct item *m)
{
	struct side *s = &world.side[m->to];
	const struct endpoint *from = m->is_derp ? NULL : &m->from;

	switch (m->kind) {
	case ITEM_STUN:
		stun_done(s, &m->from);
		break;
	case ITEM_NETMAP:
		tell_netmap(s);
		break;
	case ITEM_DISCO:
		path_peer_on_disco(&s->peer, m->bytes, m->len, from, REGION, world.now_ns);
		break;
	case ITEM_DATA:
		if (s->heard_ns && world.now_ns - s->heard_ns > s->longest_gap_ns)
			s->longest_gap_ns = world.now_ns - s->heard_ns;
		s->heard_ns = world.now_ns;
		s->by_derp += m->is_derp;
		s->by_direct += !m->is_derp;
		if (!m->is_derp && !s->direct_ns)
			s->direct_ns = world.now_ns;
		break;
	}
}

/* Delivers what is due, in the order of time. */
static void run_queue(void)
{
	for (;;) {
		size_t best = world.queued;
		struct item m;

		for (size_t i = 0; i < world.queued; i++) {
			if (world.queue[i].at_ns <= world.now_ns &&
			    (best == world.queued ||
			     world.queue[i].at_ns < world.queue[best].at_ns))
				best = i;
		}
		if (best == world.queued)
			return;
		m = world.queue[best];
		memmove(&world.queue[best], &world.queue[best + 1],
			(--world.queued - best) * sizeof(m));
		deliver(&m);
	}
}

static void step_side(struct side *s)
{
	uint64_t now_ns = world.now_ns;

	if (path_peer_next_ns(&s->peer) <= now_ns)
		path_peer_on_timer(&s->peer, now_ns);
	CHECK(path_peer_next_ns(&s->peer) > now_ns);
	if (now_ns % STUN_NS == 0)
		start_stun(s);
	if (now_ns % DATA_NS)
		return;
	path_peer_on_activity(&s->peer, now_ns);
	if (s->use.to.addr.family)
		send_udp(s, ITEM_DATA, &s->use.to, NULL, 0);
	if (s->use.region)
		send_derp(s, ITEM_DATA, NULL, 0);
	if (s->heard_ns && now_ns - s->heard_ns >= SILENCE_NS)
		path_peer_on_silence(&s->peer, now_ns);
}

static void run(uint64_t for_ns, uint64_t step_ns)
{
	uint64_t end_ns = world.now_ns + for_ns;

	for (; world.now_ns < end_ns; world.now_ns += step_ns) {
		run_queue();
		for (int i = 0; i < 2; i++)
			step_side(&world.side[i]);
	}
}

static void start(enum nat a, enum nat b, unsigned seed, unsigned loss_percent)
{
	static struct path_env env[2];

	memset(&world, 0, sizeof(world));
	world.first_seed = seed;
	world.seed = seed;
	world.now_ns = 1000 * SEC;
	world.loss_percent = loss_percent;
	world.delay_ns = (1 + random64() % 25) * 5 * MS;
	for (int i = 0; i < 2; i++) {
		struct side *s = &world.side[i];

		s->number = i;
		s->nat = i ? b : a;
		s->inner =
			s->nat == NAT_NONE ? v4(192, (uint8_t)i, 41641) : v4(10, (uint8_t)i, 41641);
		random_fill(NULL, s->self.disco_private.bytes, KEY_BYTES);
		crypto_scalarmult_base(s->self.disco.bytes, s->self.disco_private.bytes);
		s->self.endpoints = s->endpoints;
		env[i] = (struct path_env){s, random_fill, act};
		path_peer_init(&s->peer, &env[i], &s->self);
	}
	for (int i = 0; i < 2; i++) {
		start_stun(&world.side[i]);
		tell_netmap(&world.side[i]);
	}
}

static bool can_be_direct(enum nat a, enum nat b)
{
	if (a == NAT_NO_UDP || b == NAT_NO_UDP)
		return false;
	return a == NAT_NONE || b == NAT_NONE || (a == NAT_EIM && b == NAT_EIM);
}

static bool is_direct(const struct side *s)
{
	return s->use.to.addr.family && !s->use.region;
}

static void check_state(enum nat a, enum nat b)
{
	for (int i = 0; i < 2; i++) {
		const struct side *s = &world.side[i];

		CHECK(is_direct(s) == can_be_direct(a, b));
		CHECK(s->heard_ns && s->longest_gap_ns < 2 * SEC);
		CHECK(can_be_direct(a, b) || !s->by_direct);
		CHECK(!s->peer.counters.forged && !s->peer.counters.pings_limited);
	}
}

/* Direct in a second; then each side's NAT forgets everything, then both at once. */
static void flushes(enum nat a, enum nat b, unsigned seed)
{
	start(a, b, seed, 0);
	run(8 * SEC, 5 * MS);
	check_state(a, b);
	for (int i = 0; i < 2 && can_be_direct(a, b); i++)
		CHECK(world.side[i].direct_ns - 1000 * SEC <= 1500 * MS);
	for (int which = 1; which <= 3; which++) {
		run(random64() % 40 * SEC, 20 * MS);
		for (int i = 0; i < 2; i++) {
			if (which & (1 << i))
				world.side[i].maps = 0;
		}
		run(12 * SEC, 5 * MS);
		check_state(a, b);
	}
}

static void hour(enum nat a, enum nat b, unsigned loss_percent)
{
	start(a, b, 77, loss_percent);
	run(3600 * SEC, 20 * MS);
	for (int i = 0; i < 2; i++) {
		const struct side *s = &world.side[i];
		const struct path_counters *c = &s->peer.counters;
		/* A heartbeat each 3 s, or a round over the candidates each 5 s; some for loss. */
		uint64_t rounds = can_be_direct(a, b) ? 60 + loss_percent * 20 : 720;

		CHECK(s->longest_gap_ns < 2 * SEC);
		CHECK(c->pings_sent <= 1210 + rounds * (s->peer.candidates.count + 2));
		CHECK(c->calls_sent <= rounds + 20);
		if (can_be_direct(a, b))
			CHECK(s->by_derp * 10 < s->by_direct);
	}
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	for (enum nat a = NAT_NONE; a <= NAT_NO_UDP; a++) {
		for (enum nat b = a; b <= NAT_NO_UDP; b++) {
			for (unsigned seed = 1; seed <= 6; seed++)
				flushes(a, b, seed);
			hour(a, b, 3);
		}
	}
	return 0;
}
