/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See flow.h. Writing a flow: seq even -> odd by CAS, fields, seq even + 2. Whoever
 * reads the key compares seq before and after (a seqlock a flow). The tag and the
 * time of a bucket's way belong to the writer of its flow while seq is odd.
 */
#include "dataplane/table/flow.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/table/flow_build.h"
#include "lib/base/clock.h"

#define CAPACITY_MAX	(1u << 30)
#define TICKS_AHEAD_MAX 60000u /* milliseconds that two workers' clocks are never apart */

void flow_key_make(struct flow_key *k, bool is_out, int family, uint8_t proto, const uint8_t *src,
		   uint16_t sport, const uint8_t *dst, uint16_t dport, enum flow_space space)
{
	size_t n = family == AF_INET ? 4 : 16;

	memset(k, 0, sizeof(*k));
	memcpy(k->peer_addr, is_out ? dst : src, n);
	memcpy(k->local_addr, is_out ? src : dst, n);
	k->peer_port = is_out ? dport : sport;
	k->local_port = is_out ? sport : dport;
	k->family = (uint8_t)family;
	k->proto = proto;
	k->space = (uint8_t)space;
}

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

uint64_t flow_hash(const struct flow_table *t, const struct flow_key *k)
{
	uint64_t w[FLOW_KEY_WORDS], h = t->seed[FLOW_KEY_WORDS];

	memcpy(w, k, sizeof(w));
	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++)
		h = mix(h ^ (w[i] + t->seed[i]));
	return h;
}

static uint32_t tag_of(uint64_t hash)
{
	uint32_t tag = (uint32_t)(hash >> 32);

	return tag ? tag : 1;
}

static uint32_t tick_of(uint64_t now_ns)
{
	return (uint32_t)(now_ns / NS_PER_MS);
}

static bool key_is(const struct flow *f, const struct flow_key *k, uint32_t seq)
{
	uint64_t w[FLOW_KEY_WORDS], diff = 0;

	memcpy(w, k, sizeof(w));
	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++)
		diff |= w[i] ^ atomic_load_explicit(&f->key[i], memory_order_acquire);
	return diff == 0 && atomic_load_explicit(&f->seq, memory_order_acquire) == seq;
}

/* Way of the flow in its bucket, or -1. */
static int find(const struct flow_table *t, const struct flow_key *k, uint64_t hash)
{
	uint32_t at = (uint32_t)hash & t->bucket_mask;
	const struct flow_bucket *b = &t->bucket[at];
	uint32_t tag = tag_of(hash);

	for (int way = 0; way < FLOW_WAYS; way++) {
		const struct flow *f = &t->flow[at * FLOW_WAYS + (unsigned)way];
		uint32_t seq;

		if (atomic_load_explicit(&b->tag[way], memory_order_acquire) != tag)
			continue;
		seq = atomic_load_explicit(&f->seq, memory_order_acquire);
		if (!(seq & 1) && seq && key_is(f, k, seq))
			return way;
	}
	return -1;
}

static uint32_t touch(struct flow_table *t, uint64_t hash, int way, uint64_t now_ns)
{
	uint32_t at = (uint32_t)hash & t->bucket_mask, tick = tick_of(now_ns);
	struct flow_bucket *b = &t->bucket[at];

	if (atomic_load_explicit(&b->used[way], memory_order_relaxed) != tick)
		atomic_store_explicit(&b->used[way], tick, memory_order_relaxed);
	return at * FLOW_WAYS + (uint32_t)way + 1;
}

uint32_t flow_lookup_in(struct flow_table *t, const struct flow_key *k, uint64_t hash,
			uint64_t now_ns)
{
	int way = find(t, k, hash);

	return way < 0 ? 0 : touch(t, hash, way, now_ns);
}

/* Another worker's batch may be a little ahead: what was used after `tick` is new. */
static uint32_t age_of(uint32_t used, uint32_t tick)
{
	uint32_t age = tick - used;

	return age > UINT32_MAX - TICKS_AHEAD_MAX ? 0 : age;
}

/* A free way, or the least recently used one, of those that are not in `tried`; -1: none. */
static int victim(const struct flow_bucket *b, uint32_t tick, unsigned tried)
{
	uint32_t oldest = 0;
	int way = -1;

	for (int i = 0; i < FLOW_WAYS; i++) {
		uint32_t age =
			age_of(atomic_load_explicit(&b->used[i], memory_order_relaxed), tick);

		if (tried & 1u << i)
			continue;
		if (!atomic_load_explicit(&b->tag[i], memory_order_relaxed))
			return i;
		if (way < 0 || age > oldest) {
			oldest = age;
			way = i;
		}
	}
	return way;
}

static void write_flow(struct flow *f, const struct flow_key *k, uint32_t peer, uint64_t now_ns)
{
	uint64_t w[FLOW_KEY_WORDS];

	memcpy(w, k, sizeof(w));
	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++)
		atomic_store_explicit(&f->key[i], w[i], memory_order_release);
	atomic_store_explicit(&f->peer, peer, memory_order_relaxed);
	atomic_store_explicit(&f->rule, 0, memory_order_relaxed);
	atomic_store_explicit(&f->flags, 0, memory_order_relaxed);
	atomic_store_explicit(&f->created_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&f->packets_in, 0, memory_order_relaxed);
	atomic_store_explicit(&f->packets_out, 0, memory_order_relaxed);
	atomic_store_explicit(&f->bytes_in, 0, memory_order_relaxed);
	atomic_store_explicit(&f->bytes_out, 0, memory_order_relaxed);
}

/* True: the flow is ours to write until seq is stored even again. */
static bool claim(struct flow *f, uint32_t *seq)
{
	*seq = atomic_load_explicit(&f->seq, memory_order_relaxed);
	return !(*seq & 1) &&
	       atomic_compare_exchange_strong_explicit(&f->seq, seq, *seq + 1, memory_order_acq_rel,
						       memory_order_relaxed);
}

uint32_t flow_note_out(struct flow_table *t, const struct flow_key *k, uint64_t hash, uint32_t peer,
		       uint64_t now_ns)
{
	uint32_t at = (uint32_t)hash & t->bucket_mask, tick = tick_of(now_ns);
	struct flow_bucket *b = &t->bucket[at];
	unsigned tried = 0;

	for (;;) {
		int way = find(t, k, hash), other;
		struct flow *f;
		uint32_t seq;

		if (way >= 0)
			return touch(t, hash, way, now_ns);
		way = victim(b, tick, tried);
		if (way < 0)
			return 0;
		tried |= 1u << way;
		f = &t->flow[at * FLOW_WAYS + (unsigned)way];
		/* Somebody else writes there at this moment, perhaps the same flow. */
		if (!claim(f, &seq))
			continue;
		atomic_store_explicit(&b->tag[way], 0, memory_order_release);
		write_flow(f, k, peer, now_ns);
		/* Noted in another way meanwhile: this one stays free. */
		other = find(t, k, hash);
		if (other < 0) {
			atomic_store_explicit(&b->used[way], tick, memory_order_relaxed);
			atomic_store_explicit(&b->tag[way], tag_of(hash), memory_order_release);
		}
		/* Last: until here nobody else may write the tag or the flow. */
		atomic_store_explicit(&f->seq, seq + 2 ? seq + 2 : 2, memory_order_release);
		return touch(t, hash, other < 0 ? way : other, now_ns);
	}
}

struct flow_table *flow_table_new(uint32_t capacity)
{
	struct flow_table *t = calloc(1, sizeof(*t));
	uint32_t buckets = 1;

	if (!t || capacity > CAPACITY_MAX)
		goto fail;
	while (buckets * FLOW_WAYS < capacity)
		buckets *= 2;
	t->bucket = aligned_alloc(64, buckets * sizeof(*t->bucket));
	t->flow = aligned_alloc(64, (size_t)buckets * FLOW_WAYS * sizeof(*t->flow));
	if (!t->bucket || !t->flow)
		goto fail;
	memset(t->bucket, 0, buckets * sizeof(*t->bucket));
	memset(t->flow, 0, (size_t)buckets * FLOW_WAYS * sizeof(*t->flow));
	t->bucket_mask = buckets - 1;
	randombytes_buf(t->seed, sizeof(t->seed));
	return t;
fail:
	flow_table_free(t);
	return NULL;
}

void flow_table_free(struct flow_table *t)
{
	if (!t)
		return;
	free(t->bucket);
	free(t->flow);
	free(t);
}

uint32_t flow_capacity(const struct flow_table *t)
{
	return (t->bucket_mask + 1) * FLOW_WAYS;
}

static bool read_key(const struct flow *f, struct flow_key *k)
{
	uint32_t seq = atomic_load_explicit(&f->seq, memory_order_acquire);
	uint64_t w[FLOW_KEY_WORDS];

	if (!seq || (seq & 1))
		return false;
	for (unsigned i = 0; i < FLOW_KEY_WORDS; i++)
		w[i] = atomic_load_explicit(&f->key[i], memory_order_acquire);
	memcpy(k, w, sizeof(*k));
	return atomic_load_explicit(&f->seq, memory_order_acquire) == seq;
}

void flow_clear(struct flow_table *t, enum flow_space space)
{
	for (uint32_t i = 0; i < flow_capacity(t); i++) {
		_Atomic uint32_t *tag = &t->bucket[i / FLOW_WAYS].tag[i % FLOW_WAYS];
		struct flow_key k;

		if (atomic_load_explicit(tag, memory_order_acquire) && read_key(&t->flow[i], &k) &&
		    k.space == space)
			atomic_store_explicit(tag, 0, memory_order_release);
	}
}

#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)

int flow_walk(struct flow_table *t, uint64_t now_ns,
	      int (*fn)(const struct flow_view *v, void *arg), void *arg)
{
	for (uint32_t i = 0; i < flow_capacity(t); i++) {
		const struct flow_bucket *b = &t->bucket[i / FLOW_WAYS];
		const struct flow *f = &t->flow[i];
		struct flow_view v = {.ref = i + 1};
		int ret;

		if (!GET(b->tag[i % FLOW_WAYS]) || !read_key(f, &v.key))
			continue;
		v.peer = GET(f->peer);
		v.rule = GET(f->rule);
		v.created_ns = GET(f->created_ns);
		v.age_ns = NS_PER_MS * age_of(GET(b->used[i % FLOW_WAYS]), tick_of(now_ns));
		v.packets_in = GET(f->packets_in);
		v.packets_out = GET(f->packets_out);
		v.bytes_in = GET(f->bytes_in);
		v.bytes_out = GET(f->bytes_out);
		ret = fn(&v, arg);
		if (ret)
			return ret;
	}
	return 0;
}
