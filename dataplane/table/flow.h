/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flow table: one for all workers, read and written without locks, of fixed
 * size. It remembers what went out (UDP, SCTP) so that the answer comes in.
 *
 *    hash -> bucket (one cache line)            flow (two lines), number bucket * 8 + way
 *            +--------------+---------------+   +-----------------------------------+
 *            | tag x 8      | used x 8      |   | seq, key, peer, rule, ...         |
 *            +--------------+---------------+   | counters, room for a NAT rewrite  |
 *                                               +-----------------------------------+
 *
 * A tag only says where to look. A flow is written under its sequence number (odd
 * while somebody writes; taken by CAS), and whoever compares the key checks that
 * the number stood still: there is no false match. A full bucket loses its least
 * recently used flow. There is no time limit.
 *
 * Two workers that note the same flow at the same time may leave it twice for a
 * moment; the second gives way.
 */
#ifndef DATAPLANE_TABLE_FLOW_H
#define DATAPLANE_TABLE_FLOW_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_WAYS 8

/* Flow tables of their own inside the one table. */
enum flow_space { FLOW_SPACE_NORMAL, FLOW_SPACE_JAILED, FLOW_SPACE_SHIELDS };

/* As seen from the peer: its address first. Unused bytes are zero. */
struct flow_key {
	uint8_t peer_addr[16]; /* network order; IPv4 in the first four bytes */
	uint8_t local_addr[16];
	uint16_t peer_port; /* host order */
	uint16_t local_port;
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t proto;
	uint8_t space; /* enum flow_space */
	uint8_t zero;
};

static_assert(sizeof(struct flow_key) == 40, "flow_key is hashed and compared in words");

#define FLOW_KEY_WORDS (sizeof(struct flow_key) / 8)

struct flow {
	_Atomic uint32_t seq; /* odd: being written; 0: never used */
	_Atomic uint32_t peer;
	_Atomic uint64_t key[FLOW_KEY_WORDS];
	_Atomic uint16_t rule; /* of the filter, + 1 */
	_Atomic uint16_t flags;
	_Atomic uint32_t export_generation; /* of the flow export that last took it */
	_Atomic uint64_t created_ns __attribute__((aligned(64)));
	_Atomic uint32_t packets_in, packets_out;
	_Atomic uint64_t bytes_in, bytes_out;
	uint8_t nat_addr[16]; /* rewrite: of nat_kind, under seq */
	uint16_t nat_port;
	uint8_t nat_kind; /* 0 = none */
	uint8_t spare[13];
};

static_assert(sizeof(struct flow) == 128, "a flow is two cache lines");

struct flow_bucket {
	_Atomic uint32_t tag[FLOW_WAYS];  /* 0 = free */
	_Atomic uint32_t used[FLOW_WAYS]; /* about milliseconds, wraps */
} __attribute__((aligned(64)));

struct flow_table {
	uint64_t seed[FLOW_KEY_WORDS + 1]; /* nobody can aim at a bucket */
	uint32_t bucket_mask;
	struct flow_bucket *bucket;
	struct flow *flow;
};

/*
 * Makes a key out of a packet's addresses. is_out: src is ours, dst the peer's;
 * else the other way round. family AF_INET takes 4 bytes of each.
 */
void flow_key_make(struct flow_key *k, bool is_out, int family, uint8_t proto, const uint8_t *src,
		   uint16_t sport, const uint8_t *dst, uint16_t dport, enum flow_space space);

uint64_t flow_hash(const struct flow_table *t, const struct flow_key *k);

static inline void flow_prefetch(const struct flow_table *t, uint64_t hash)
{
	__builtin_prefetch(&t->bucket[(uint32_t)hash & t->bucket_mask]);
}

/*
 * An outgoing packet: finds the flow or makes it, and refreshes it. Returns its
 * number + 1; 0 if the bucket was fought over (the next packet tries again).
 */
uint32_t flow_note_out(struct flow_table *t, const struct flow_key *k, uint64_t hash, uint32_t peer,
		       uint64_t now_ns);
/* An incoming packet: the flow's number + 1, refreshed, or 0. */
uint32_t flow_lookup_in(struct flow_table *t, const struct flow_key *k, uint64_t hash,
			uint64_t now_ns);

/* ref as returned above. May have become another flow since: good for counting only. */
static inline struct flow *flow_at(const struct flow_table *t, uint32_t ref)
{
	return &t->flow[ref - 1];
}

static inline void flow_count(const struct flow_table *t, uint32_t ref, bool is_out,
			      uint32_t packets, uint64_t bytes)
{
	struct flow *f = flow_at(t, ref);

	atomic_fetch_add_explicit(is_out ? &f->packets_out : &f->packets_in, packets,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(is_out ? &f->bytes_out : &f->bytes_in, bytes,
				  memory_order_relaxed);
}

#endif
