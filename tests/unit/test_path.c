/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows the rules by which ways to a peer are judged and used: recorded comparisons and boxes, and
 * one engine event by event.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controlplane/path/endpoint_list.h"
#include "controlplane/path/home_region.h"
#include "controlplane/path/path_peer.h"
#include "tests/unit/vector_json.h"

#define MS     NS_PER_MS
#define SEC    NS_PER_SEC
#define START  (100 * SEC)
#define REGION 3

static const char *vectors_dir;

static json_t *load(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", vectors_dir, name);
	return vector_load(path);
}

static struct path_addr addr_of(const json_t *o)
{
	struct path_addr a = {0};
	const char *text = vector_text(o, "addr");

	if (text[0])
		assert_int_equal(endpoint_parse(text, &a.at), 0);
	a.vni = (uint32_t)json_integer_value(json_object_get(o, "vni"));
	a.latency_ns = (uint64_t)json_integer_value(json_object_get(o, "latency_us")) * NS_PER_US;
	a.wire_mtu = (uint16_t)json_integer_value(json_object_get(o, "wire_mtu"));
	return a;
}

/* The recorded 29 pairs. */
static void compares_as_recorded(void **state)
{
	json_t *root = load("path.json"), *pair;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(root, "better_addr"), i, pair)
	{
		struct path_addr a = addr_of(json_object_get(pair, "a"));
		struct path_addr b = addr_of(json_object_get(pair, "b"));

		if (path_addr_is_better(&a, &b) != json_is_true(json_object_get(pair, "a_better")))
			fail_msg("pair %zu", i);
	}
	assert_int_equal(i, 29);
	json_decref(root);
}

static void refuses_addresses(void **state)
{
	static const char *const bad[] = {"127.0.0.1:1",  "127.3.3.40:1",	  "0.0.0.0:1",
					  "224.0.0.1:1",  "255.255.255.255:1",	  "[::1]:1",
					  "[::]:1",	  "[ff02::1]:1",	  "[fe80::1]:1",
					  "[::7f00:1]:1", "[fd7a:115c:a1e0::1]:1"};
	static const char *const good[] = {"10.0.0.1:1", "100.64.0.1:1", "[2001:db8::1]:1",
					   "[fd00::1]:1"};
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(endpoint_parse(bad[i], &e), 0);
		if (path_addr_is_allowed(&e))
			fail_msg("%s", bad[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(endpoint_parse(good[i], &e), 0);
		if (!path_addr_is_allowed(&e))
			fail_msg("%s", good[i]);
	}
	e = (struct endpoint){{AF_INET, {10, 0, 0, 1}}, 0};
	assert_false(path_addr_is_allowed(&e));
}

static struct key key_of(const json_t *keys, const char *name)
{
	struct key k;

	assert_int_equal(key_parse_hex(vector_text(keys, name), &k), 0);
	return k;
}

/* Every recorded message between the two nodes opens; a changed bit anywhere does not. */
static void opens_recorded_boxes(void **state)
{
	json_t *root = load("disco.json"), *keys = json_object_get(root, "keys"), *rec;
	struct key a = key_of(keys, "a_private"), b = key_of(keys, "b_private");
	struct key pub_a = key_of(keys, "a_public"), pub_b = key_of(keys, "b_public");
	struct disco_box box[2];
	size_t i, opened = 0;

	(void)state;
	assert_int_equal(disco_box_init(&box[0], &b, &pub_b, &pub_a), 0);
	assert_int_equal(disco_box_init(&box[1], &a, &pub_a, &pub_b), 0);
	json_array_foreach(json_object_get(root, "messages"), i, rec)
	{
		uint8_t plain[DISCO_BOX_OPEN_MAX], again[DISCO_BOX_BYTES_MAX];
		struct disco_msg m;
		size_t len;
		uint8_t *data = vector_bytes(rec, "packet", &len);

		for (int n = 0; n < 2; n++) {
			if (disco_box_open(&box[n], data, len, plain, &m))
				continue;
			opened++;
			if (m.type == DISCO_PING && !m.ping.padding) {
				assert_int_equal(disco_box_seal(&box[!n], &m, data + 38, again),
						 len);
				assert_memory_equal(again, data, len);
			}
			for (size_t at = 0; at < len; at += 7) {
				data[at] ^= 1;
				assert_int_not_equal(disco_box_open(&box[n], data, len, plain, &m),
						     0);
				data[at] ^= 1;
			}
		}
		free(data);
	}
	assert_true(opened >= 6);
	json_decref(root);
}

/* The step of a recorded case as the DERP map and the connections see it. */
struct home_case {
	const json_t *scores, *frames; /* frames: ms ago */
	uint64_t now_ns;
};

static double region_score(void *ctx, uint16_t region)
{
	const struct home_case *c = ctx;
	char name[8];
	const json_t *v;

	snprintf(name, sizeof(name), "%u", region);
	v = json_object_get(c->scores, name);
	return v ? json_number_value(v) : 1;
}

static uint64_t last_frame_ns(void *ctx, uint16_t region)
{
	const struct home_case *c = ctx;
	char name[8];
	const json_t *v;

	snprintf(name, sizeof(name), "%u", region);
	v = json_object_get(c->frames, name);
	return v ? c->now_ns - (uint64_t)json_integer_value(v) * MS : 0;
}

/* The recorded 11 cases of a home kept or left. */
static void chooses_home_as_recorded(void **state)
{
	json_t *root = load("netcheck.json"), *rec, *step, *ms;
	const char *region;
	size_t i, n;

	(void)state;
	json_array_foreach(json_object_get(root, "home_selection"), i, rec)
	{
		static struct home_region h;
		struct home_case c = {.scores = json_object_get(rec, "region_scores")};
		struct home_env env = {&c, region_score, last_frame_ns};

		memset(&h, 0, sizeof(h));
		json_array_foreach(json_object_get(rec, "steps"), n, step)
		{
			struct home_report r = {0};

			c.now_ns =
				1000 * SEC +
				(uint64_t)json_integer_value(json_object_get(step, "at_s")) * SEC;
			c.frames = json_object_get(step, "last_derp_frame_ms_ago");
			r.begun_ns = r.ended_ns = c.now_ns;
			json_object_foreach(json_object_get(step, "latency_ms"), region, ms)
			{
				r.at[r.count++] = (struct home_latency){
					(uint16_t)strtoul(region, NULL, 10),
					(uint64_t)json_integer_value(ms) * MS};
			}
			if (home_region_choose(&h, &r, &env) !=
			    json_integer_value(json_object_get(step, "preferred")))
				fail_msg("%s, step %zu", vector_text(rec, "name"), n);
		}
	}
	assert_int_equal(i, 11);
	json_decref(root);
}

static struct endpoint at(uint8_t last)
{
	return (struct endpoint){{AF_INET, {203, 0, 113, last}}, 41641};
}

/* Order, types, what is left out, what is kept for how long, and when the set is a new one. */
static void lists_own_endpoints(void **state)
{
	static const struct ip_addr interfaces[] = {{AF_INET, {127, 0, 0, 1}},
						    {AF_INET, {10, 0, 0, 5}},
						    {AF_INET6, {0xfe, 0x80, [15] = 1}},
						    {AF_INET6, {0x20, 1, 0xd, 0xb8, [15] = 1}}};
	struct endpoint stun[2] = {{{AF_INET, {203, 0, 113, 9}}, 1000}, at(9)};
	struct endpoint_sources s = {.port_mapped = at(7),
				     .stun = stun,
				     .stun_count = 1,
				     .is_mapping_varying = true,
				     .is_port_fixed = true,
				     .port4 = 41641,
				     .port6 = 41642,
				     .interfaces = interfaces,
				     .interface_count = 4};
	static const enum endpoint_type types[] = {ENDPOINT_PORT_MAPPED, ENDPOINT_STUN,
						   ENDPOINT_STUN4_LOCAL_PORT, ENDPOINT_LOCAL,
						   ENDPOINT_LOCAL};
	struct endpoint_list l = {0};

	(void)state;
	assert_true(endpoint_list_update(&l, &s, START));
	assert_int_equal(l.count, ARRAY_SIZE(types));
	for (size_t i = 0; i < l.count; i++)
		assert_int_equal(l.at[i].type, types[i]);
	assert_true(endpoint_equal(&l.at[2].at, &stun[1])); /* the guess: our own port */
	assert_int_equal(l.at[4].at.port, 41642);
	assert_false(endpoint_list_update(&l, &s, START + SEC));

	s.port_mapped.addr.family = 0;
	s.interface_count = 2; /* the local one is gone at once, the mapped one is kept */
	assert_true(endpoint_list_update(&l, &s, START + 2 * SEC));
	assert_int_equal(l.count, 4);
	assert_false(endpoint_list_update(&l, &s, START + 311 * SEC));
	assert_true(endpoint_list_update(&l, &s, START + 312 * SEC));
	assert_int_equal(l.count, 3);

	s.is_port_fixed = false;
	for (unsigned i = 0; i < 20; i++) {
		stun[0].port++;
		endpoint_list_update(&l, &s, START + (313 + i) * SEC);
	}
	assert_int_equal(l.count, 6 + 1); /* six of the one address, and the local one */
	assert_true(endpoint_equal(&l.at[0].at, &stun[0]));

	/* A relay that was asked through the tunnel saw our mesh address. */
	stun[0] = (struct endpoint){{AF_INET, {100, 64, 0, 2}}, 41641};
	s.is_port_fixed = true;
	assert_false(endpoint_list_update(&l, &s, START + 334 * SEC));
}

/* One engine, and its peer's side of the box. */
static struct rig {
	struct path_peer p;
	struct path_env env;
	struct path_self self;
	struct endpoint own;
	struct disco_box theirs;
	struct key peer;
	uint64_t now_ns;
	struct path_action use, pong;
	struct endpoint inside; /* routed into the tunnel */
	unsigned pings, pongs, calls, needs;
	uint8_t tx[256][DISCO_TX_ID_BYTES];
	struct endpoint to[256];
} rig;

static bool is_outside(void *ctx, const struct endpoint *to)
{
	(void)ctx;
	return !endpoint_equal(to, &rig.inside);
}

static void fill(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	randombytes_buf(buf, len);
}

static void act(void *ctx, const struct path_action *a)
{
	uint8_t plain[DISCO_BOX_OPEN_MAX];
	struct disco_msg m;

	(void)ctx;
	if (a->type == PATH_USE)
		rig.use = *a;
	if (a->type == PATH_PONG)
		rig.pong = *a;
	if (a->type == PATH_NEED_ENDPOINTS)
		rig.needs++;
	if (a->type != PATH_SEND)
		return;
	assert_int_equal(disco_box_open(&rig.theirs, a->bytes, a->len, plain, &m), 0);
	if (m.type == DISCO_PING) {
		memcpy(rig.tx[rig.pings], m.ping.tx_id, DISCO_TX_ID_BYTES);
		rig.to[rig.pings++] = a->to;
		assert_memory_equal(m.ping.node_key, rig.self.node.bytes, KEY_BYTES);
	}
	rig.pongs += m.type == DISCO_PONG;
	if (m.type == DISCO_CALL_ME_MAYBE) {
		rig.calls++;
		assert_int_equal(a->region, REGION);
		assert_true(rig.pings > 0); /* the call goes after the pings */
	}
}

static int setup(void **state)
{
	struct endpoint e[3] = {at(1), at(2), {{AF_INET, {127, 0, 0, 1}}, 1}};
	struct key private = {{9}};

	(void)state;
	memset(&rig, 0, sizeof(rig));
	rig.now_ns = START;
	rig.env = (struct path_env){NULL, fill, act, is_outside};
	rig.inside = (struct endpoint){0};
	rig.own = at(99);
	rig.self = (struct path_self){.disco_private = {{7}},
				      .node = {{5}},
				      .endpoints = &rig.own,
				      .endpoint_count = 1,
				      .endpoints_ns = START};
	crypto_scalarmult_base(rig.self.disco.bytes, rig.self.disco_private.bytes);
	crypto_scalarmult_base(rig.peer.bytes, private.bytes);
	if (disco_box_init(&rig.theirs, &private, &rig.peer, &rig.self.disco))
		return -1;
	path_peer_init(&rig.p, &rig.env, &rig.self);
	return path_peer_set(&rig.p, &rig.peer, REGION, e, 3, START);
}

static int teardown(void **state)
{
	(void)state;
	path_peer_fini(&rig.p);
	return 0;
}

static void run_to(uint64_t ns)
{
	for (; path_peer_next_ns(&rig.p) <= ns;) {
		rig.now_ns = path_peer_next_ns(&rig.p);
		path_peer_on_timer(&rig.p, rig.now_ns);
	}
	rig.now_ns = ns;
}

static int give(const struct disco_msg *m, const struct endpoint *from)
{
	uint8_t nonce[DISCO_NONCE_BYTES], buf[DISCO_BOX_BYTES_MAX];

	randombytes_buf(nonce, sizeof(nonce));
	return path_peer_on_disco(&rig.p, buf, disco_box_seal(&rig.theirs, m, nonce, buf), from,
				  REGION, rig.now_ns);
}

static void give_pong(unsigned ping)
{
	struct disco_msg m = {.type = DISCO_PONG, .pong.src = rig.own};

	memcpy(m.pong.tx_id, rig.tx[ping], DISCO_TX_ID_BYTES);
	assert_int_equal(give(&m, &rig.to[ping]), 0);
}

static void give_ping(uint8_t tx, const struct endpoint *from)
{
	struct disco_msg m = {.type = DISCO_PING, .ping.tx_id = {tx, 1}};

	assert_int_equal(give(&m, from), 0);
}

/* DERP at once; the first pong makes a way, a clearly better one replaces it. */
static void goes_by_derp_then_direct(void **state)
{
	struct endpoint one = at(1), two = at(2);
	struct path_explanation x;

	(void)state;
	assert_int_equal(rig.use.region, REGION);
	assert_int_equal(rig.use.to.addr.family, 0);
	path_peer_on_activity(&rig.p, rig.now_ns);
	assert_int_equal(rig.pings, 2); /* not to 127.0.0.1 */
	assert_int_equal(rig.calls, 1);
	assert_int_equal(rig.p.counters.endpoints_refused, 1);
	run_to(START + 50 * MS);
	give_pong(0);
	assert_true(endpoint_equal(&rig.use.to, &one));
	assert_int_equal(rig.use.region, 0);
	run_to(START + 100 * MS);
	give_pong(1); /* slower */
	assert_true(endpoint_equal(&rig.use.to, &one));
	assert_true(path_peer_explain(&rig.p, 0, rig.now_ns, &x));
	assert_int_equal(x.verdict, PATH_VERDICT_CHOSEN);
	assert_true(path_peer_explain(&rig.p, 1, rig.now_ns, &x));
	assert_int_equal(x.verdict, PATH_VERDICT_FEWER_POINTS);
	assert_int_equal(x.points, 0);
	assert_int_equal(x.best_points, 50);
	assert_false(path_peer_explain(&rig.p, 2, rig.now_ns, &x));

	path_peer_on_unreachable(&rig.p, &one, rig.now_ns);
	assert_int_equal(rig.use.region, REGION);
	run_to(START + 10 * SEC);
	path_peer_on_activity(&rig.p, rig.now_ns);
	assert_true(rig.pings > 2);
	give_pong(rig.pings - 1);
	assert_true(endpoint_equal(&rig.use.to, &two));
}

/* Without pongs trust lasts 6.5 s, then DERP comes in beside; 45 s idle ends the heartbeat. */
static void trust_and_heartbeat(void **state)
{
	unsigned pings;

	(void)state;
	path_peer_on_activity(&rig.p, rig.now_ns);
	run_to(START + 4 * MS);
	give_pong(0);
	pings = rig.pings;
	run_to(START + 3 * SEC);
	assert_int_equal(rig.pings, pings + 1); /* the best alone */
	run_to(START + 6500 * MS);
	assert_int_equal(rig.use.region, 0);
	run_to(START + 6600 * MS);
	assert_int_equal(rig.use.region, REGION);
	assert_int_not_equal(rig.use.to.addr.family, 0);
	run_to(START + 12 * SEC); /* the heartbeat's pings are lost: no direct way */
	assert_int_equal(rig.use.to.addr.family, 0);
	run_to(START + 60 * SEC);
	assert_true(path_peer_next_ns(&rig.p) == PATH_NEVER);
	assert_true(rig.pings < 40);
}

static void silence_goes_by_derp(void **state)
{
	unsigned pings;

	(void)state;
	path_peer_on_activity(&rig.p, rig.now_ns);
	run_to(START + 4 * MS);
	give_pong(0);
	run_to(START + 2 * SEC);
	pings = rig.pings;
	path_peer_on_silence(&rig.p, rig.now_ns);
	assert_int_equal(rig.use.region, 0); /* it may be traffic in one direction */
	assert_int_equal(rig.pings, pings + 2);
	run_to(rig.now_ns + PATH_DOUBT_NS + 10 * MS);
	assert_int_equal(rig.use.region, REGION);
	assert_int_equal(rig.needs, 1);
	assert_int_equal(rig.calls, 1);
	path_peer_on_endpoints(&rig.p, rig.now_ns);
	assert_int_equal(rig.calls, 2);
	for (int i = 0; i < 100; i++)
		path_peer_on_silence(&rig.p, rig.now_ns);
	assert_int_equal(rig.pings, pings + 2);
	give_pong(pings);
	assert_int_equal(rig.use.region, 0);
}

/* The list of a call replaces the last one; a flood of calls pings each address once. */
static void call_brings_candidates(void **state)
{
	struct endpoint list[4] = {at(7), at(8), rig.own, {{AF_INET, {224, 0, 0, 1}}, 5}};
	struct disco_msg m = {.type = DISCO_CALL_ME_MAYBE, .call = {.endpoints = list, .count = 4}};
	struct endpoint from = at(1);

	(void)state;
	assert_int_equal(give(&m, &from), 0); /* by UDP: refused */
	assert_int_equal(rig.p.counters.calls_refused, 1);
	assert_int_equal(rig.pings, 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(give(&m, NULL), 0);
	assert_int_equal(rig.pings, 4);
	assert_int_equal(rig.calls, 0); /* no call back */
	m.call.count = 1;
	assert_int_equal(give(&m, NULL), 0);
	run_to(rig.now_ns + SEC);
	assert_int_equal(give(&m, NULL), 0);
	assert_int_equal(rig.p.candidates.count, 3);
}

/*
 * The best is pinged by silence and by a call even if it answered a moment ago: without the ping
 * its doubted trust would not come back before the next heartbeat.
 */
static void doubt_always_asks(void **state)
{
	struct endpoint one = at(1);
	struct disco_msg call = {.type = DISCO_CALL_ME_MAYBE,
				 .call = {.endpoints = &one, .count = 1}};
	unsigned pings;

	(void)state;
	path_peer_on_activity(&rig.p, rig.now_ns);
	run_to(START + 4 * MS);
	give_pong(0);
	for (int by_call = 0; by_call < 2; by_call++) {
		/* Just after a heartbeat that was answered. */
		path_peer_on_activity(&rig.p, rig.now_ns);
		run_to(START + (by_call ? 6 : 3) * SEC);
		give_pong(rig.pings - 1);
		run_to(rig.now_ns + 200 * MS);
		assert_int_equal(rig.use.region, 0);
		pings = rig.pings;
		if (by_call)
			assert_int_equal(give(&call, NULL), 0);
		else
			path_peer_on_silence(&rig.p, rig.now_ns);
		assert_true(rig.pings > pings);
		assert_true(endpoint_equal(&rig.to[rig.pings - 1], &one));
		give_pong(rig.pings - 1);
		run_to(rig.now_ns + 200 * MS);
		assert_int_equal(rig.use.region, 0);
	}
	/* A second call at once asks nothing, so it casts no doubt. */
	pings = rig.pings;
	assert_int_equal(give(&call, NULL), 0);
	run_to(rig.now_ns + 200 * MS);
	assert_int_equal(rig.pings, pings);
	assert_int_equal(rig.use.region, 0);
}

/* A ping that came just after one of ours is answered by a ping: ours met a closed NAT. */
static void pings_back_at_once(void **state)
{
	struct endpoint from = at(1);

	(void)state;
	path_peer_on_activity(&rig.p, rig.now_ns);
	assert_int_equal(rig.pings, 2);
	run_to(START + 2 * MS);
	give_ping(1, &from);
	assert_int_equal(rig.pings, 3);
	give_ping(2, &from); /* not again */
	assert_int_equal(rig.pings, 3);
	run_to(START + 13 * MS);
	give_ping(3, &from);
	assert_int_equal(rig.pings, 4);
	give_pong(3);
	run_to(START + 30 * MS);
	give_ping(4, &from); /* trusted */
	assert_int_equal(rig.pings, 4);
}

/* A peer that called is called back with our first packet: it may know no address of ours. */
static void calls_back_with_a_packet(void **state)
{
	struct endpoint one = at(1);
	struct disco_msg call = {.type = DISCO_CALL_ME_MAYBE,
				 .call = {.endpoints = &one, .count = 1}};

	(void)state;
	assert_int_equal(give(&call, NULL), 0);
	assert_int_equal(rig.pings, 2);
	assert_int_equal(rig.calls, 0);
	run_to(START + 2 * MS);
	path_peer_on_activity(&rig.p, rig.now_ns);
	assert_int_equal(rig.pings, 2); /* they were pinged just now */
	assert_int_equal(rig.calls, 1);
	for (int i = 0; i < 100; i++)
		path_peer_on_activity(&rig.p, rig.now_ns);
	assert_int_equal(rig.calls, 1);
}

static void answers_pings_within_bounds(void **state)
{
	struct endpoint from = at(50), own = rig.own;

	(void)state;
	give_ping(1, &own); /* our own address: forged */
	assert_int_equal(rig.pongs, 0);
	give_ping(1, &from);
	give_ping(1, &from); /* seen before */
	assert_int_equal(rig.pongs, 1);
	for (int i = 0; i < 1000; i++) {
		from.port = (uint16_t)(1 + i);
		give_ping(2, &from);
	}
	assert_int_equal(rig.pongs, PATH_ANSWER_BURST);
	assert_int_equal(rig.p.candidates.count, PATH_CANDIDATES_MAX);
	run_to(rig.now_ns + 60 * SEC);
	path_peer_on_activity(&rig.p, rig.now_ns);
	assert_int_equal(rig.p.candidates.count,
			 2); /* learnt ones are gone, the netmap's are not */
}

static void counts_forged(void **state)
{
	uint8_t junk[200] = {0};
	struct endpoint from = at(1);
	struct disco_msg m = {.type = DISCO_PONG};

	(void)state;
	memcpy(junk, disco_magic, DISCO_MAGIC_BYTES);
	assert_int_equal(path_peer_on_disco(&rig.p, junk, 200, &from, 0, rig.now_ns), -ENOENT);
	memcpy(junk + DISCO_MAGIC_BYTES, rig.peer.bytes, KEY_BYTES);
	assert_int_equal(path_peer_on_disco(&rig.p, junk, 200, &from, 0, rig.now_ns), -EBADMSG);
	assert_int_equal(rig.p.counters.forged, 1);
	assert_int_equal(path_peer_on_disco(&rig.p, junk, 200, NULL, 0, rig.now_ns), -EINVAL);
	assert_int_equal(give(&m, &from), 0);
	assert_int_equal(rig.p.counters.pongs_unknown, 1);
	assert_int_equal(rig.use.to.addr.family, 0);
}

/* A new key of the peer: the way stays in use, beside DERP, until it is confirmed. */
static void key_change_and_link_change(void **state)
{
	struct endpoint e[2] = {at(1), at(2)};
	struct key other = {{32}}, other_public, low = {{1}};

	(void)state;
	path_peer_on_activity(&rig.p, rig.now_ns);
	run_to(START + 4 * MS);
	give_pong(0);
	crypto_scalarmult_base(other_public.bytes, other.bytes);
	assert_int_equal(path_peer_set(&rig.p, &other_public, REGION, e, 2, rig.now_ns), 0);
	assert_true(endpoint_equal(&rig.use.to, &e[0]));
	assert_int_equal(rig.use.region, REGION);
	disco_box_init(&rig.theirs, &other, &other_public, &rig.self.disco);
	path_peer_on_link_change(&rig.p, rig.now_ns);
	assert_int_equal(rig.use.to.addr.family, 0);
	assert_int_equal(path_peer_set(&rig.p, &low, REGION, e, 2, rig.now_ns), -EINVAL);
	path_peer_on_activity(&rig.p, rig.now_ns);
	path_peer_on_silence(&rig.p, rig.now_ns);
	assert_int_equal(rig.use.region, REGION);
}

/* By DERP and to all candidates, then to the trusted way alone; answers are told with their time.
 */
static void user_pings(void **state)
{
	struct disco_msg m = {.type = DISCO_PONG};

	(void)state;
	assert_int_equal(path_peer_ping(&rig.p, rig.now_ns), 0);
	assert_int_equal(rig.pings, 3);
	assert_int_equal(rig.to[0].addr.family, 0);
	run_to(START + 7 * MS);
	memcpy(m.pong.tx_id, rig.tx[0], DISCO_TX_ID_BYTES);
	assert_int_equal(give(&m, &rig.to[1]), 0); /* a ping by DERP is not answered by UDP */
	assert_int_equal(rig.pong.type, 0);
	assert_int_equal(give(&m, NULL), 0);
	assert_int_equal(rig.pong.type, PATH_PONG);
	assert_int_equal(rig.pong.to.addr.family, 0);
	assert_int_equal(rig.pong.region, REGION);
	assert_int_equal(rig.pong.latency_ns, 7 * MS);
	assert_int_equal(rig.use.to.addr.family, 0); /* no direct way comes of it */
	give_pong(1);
	assert_true(endpoint_equal(&rig.pong.to, &rig.to[1]));
	assert_true(endpoint_equal(&rig.use.to, &rig.to[1]));
	assert_int_equal(path_peer_ping(&rig.p, rig.now_ns), 0);
	assert_int_equal(rig.pings, 5);
	assert_int_equal(rig.to[3].addr.family, 0);
	assert_true(endpoint_equal(&rig.to[4], &rig.to[1]));
	path_peer_set(&rig.p, &(struct key){{0}}, REGION, NULL, 0, rig.now_ns);
	assert_int_equal(path_peer_ping(&rig.p, rig.now_ns), -ENOENT);
}

/* What an earlier process used stays in use, and falls like any other if nothing answers. */
static void adopts_way(void **state)
{
	struct endpoint there = at(50), loop = {{AF_INET, {127, 0, 0, 1}}, 1};

	(void)state;
	path_peer_adopt(&rig.p, &loop, rig.now_ns);
	assert_int_equal(rig.use.to.addr.family, 0);
	path_peer_adopt(&rig.p, &there, rig.now_ns);
	assert_true(endpoint_equal(&rig.use.to, &there));
	assert_int_equal(rig.use.region, 0);
	assert_int_equal(rig.pings, 1);
	assert_true(endpoint_equal(&rig.to[0], &there));
	run_to(START + PATH_TRUST_NS + 10 * MS);
	assert_int_equal(rig.use.region, REGION);
}

/* An address behind the tunnel is no way, whether the route or the address came first. */
static void no_way_through_the_tunnel(void **state)
{
	struct endpoint e[2] = {at(1), at(2)}, later = at(3);

	(void)state;
	path_peer_on_activity(&rig.p, rig.now_ns);
	run_to(START + 4 * MS);
	give_pong(0);
	assert_true(endpoint_equal(&rig.use.to, &e[0]));
	rig.inside = e[0];
	run_to(START + PATH_TRUST_NS + PATH_PING_LOST_NS + 4 * SEC);
	path_peer_on_activity(&rig.p, rig.now_ns);
	assert_int_equal(rig.use.region, REGION);
	for (unsigned i = 2; i < rig.pings; i++)
		assert_false(endpoint_equal(&rig.to[i], &e[0]));
	rig.inside = later;
	give_ping(7, &later);
	assert_int_equal(rig.pongs, 0);
}

int main(int argc, char **argv)
{
#define RULE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_as_recorded),
		cmocka_unit_test(refuses_addresses),
		cmocka_unit_test(opens_recorded_boxes),
		cmocka_unit_test(chooses_home_as_recorded),
		cmocka_unit_test(lists_own_endpoints),
		RULE(goes_by_derp_then_direct),
		RULE(trust_and_heartbeat),
		RULE(silence_goes_by_derp),
		RULE(call_brings_candidates),
		RULE(doubt_always_asks),
		RULE(calls_back_with_a_packet),
		RULE(pings_back_at_once),
		RULE(answers_pings_within_bounds),
		RULE(counts_forged),
		RULE(key_change_and_link_change),
		RULE(user_pings),
		RULE(adopts_way),
		RULE(no_way_through_the_tunnel),
	};

	if (argc != 2 || sodium_init() < 0)
		return 2;
	vectors_dir = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
