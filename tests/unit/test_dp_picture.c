/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that programming a whole picture again leads to the state of a fresh
 * dataplane whatever came before, that refused messages change nothing, and that
 * neither tables nor mutated messages ever give anything but valid JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <rte_ring_elem.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/api/apply.h"
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
#include "lib/dpapi/dpapi_msg.h"
#include "tests/unit/dp_packets.h"
#include "tests/unit/dp_rig.h"

static struct dp_rig *rig;

static int setup(void **state)
{
	rig = dp_rig_new(2);
	rig->now_ns = clock_now_ns();
	return 0;
}

static int teardown(void **state)
{
	dp_rig_free(rig);
	return 0;
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
		TEST(test_picture_again_equals_fresh), TEST(test_refused_changes_nothing),
		TEST(test_too_many_sessions),	       TEST(test_every_table_is_json),
		TEST(test_mutated_messages),
	};

	log_init("test_dp_picture", LOG_ERROR);
	return cmocka_run_group_tests_name("dp_picture", tests, NULL, NULL);
}
