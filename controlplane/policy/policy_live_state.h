/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What policy_live keeps. Nodes stand in slots, which are used again; sets of nodes are
 * bits of slots, sets of grants are bits of their index. `view` is what the filter
 * is made from: its grants borrow sets and texts of classes and sources. Inside this
 * folder only.
 */
#ifndef CONTROLPLANE_POLICY_POLICY_LIVE_STATE_H
#define CONTROLPLANE_POLICY_POLICY_LIVE_STATE_H

#include <stdlib.h>

#include "controlplane/policy/policy_live.h"
#include "controlplane/policy/policy_resolved.h"
#include "lib/base/bug.h"

#define LIVE_NONE UINT32_MAX

/* All selectors that mean the same. */
struct live_class {
	const struct selector *selector;
	bool is_identity;  /* of nodes, not of addresses */
	uint64_t *members; /* of an identity */
	struct ip_set set; /* closed; not while is_stale */
	bool is_stale;
};

/* All lists of sources that mean the same: a part of filters. */
struct live_source {
	uint32_t *classes; /* ascending */
	uint32_t class_count;
	uint64_t *nodes; /* that are sources, or have one behind them */
	uint32_t *grants;
	uint32_t grant_count;
	uint32_t *entries; /* of view.entries */
	uint32_t entry_count;
	bool is_all, is_any; /* among others */
	uint64_t stamp;	     /* of its last change */
	/* Not while is_stale: */
	struct ip_set set;
	char **texts, *json;
	uint32_t text_count;
	bool is_stale;
};

struct live_grant {
	uint32_t source;
	uint32_t *classes; /* by destination; LIVE_NONE: *, self, the internet */
	bool has_effect, has_self, has_companion;
};

struct live_node {
	int64_t id;		   /* 0: an empty slot */
	uint64_t *row;		   /* nodes that it sees */
	uint64_t *src, *dst;	   /* grants */
	uint64_t stamp, own_stamp; /* of its filter; of all parts of it */
	uint64_t attributes;	   /* a digest */
	bool has_no_ipv4;
	bool is_wide; /* routes that hold addresses of the tailnet */
};

struct policy_live {
	policy_live_fn *on_change;
	void *arg;
	struct policy *policy; /* NULL: none */
	struct policy *rules;  /* implied, where the policy has none */
	struct policy_view view;
	struct policy_world world;
	struct policy_user *users;
	int64_t *user_ids; /* 0: an empty place */
	struct policy_node *shown;
	struct live_node *nodes;
	uint32_t node_room;
	uint32_t *slots; /* by id; 0: none, else slot + 1 */
	size_t slot_room;
	struct live_class *classes;
	uint32_t class_count;
	struct live_source *sources;
	uint32_t source_count;
	struct live_grant *grants; /* beside view.grants */
	uint32_t grant_words;
	uint64_t stamp, generation;
	bool is_stale, has_self, has_via;
	bool filters_changed;
	uint32_t wide_count;
};

static inline uint64_t *live_bits(uint32_t words)
{
	uint64_t *bits = calloc((size_t)words + 1, sizeof(*bits));

	BUG_ON(!bits);
	return bits;
}

/* Whether it was otherwise. */
static inline bool bit_put(uint64_t *bits, uint32_t i, bool is_set)
{
	uint64_t bit = 1ull << (i % 64), was = bits[i / 64] & bit;

	bits[i / 64] = is_set ? bits[i / 64] | bit : bits[i / 64] & ~bit;
	return !was == is_set;
}

/* The first bit from *i on, of `words` words; false: none. */
static inline bool bit_next(const uint64_t *bits, uint32_t words, uint32_t *i)
{
	for (uint32_t w = *i / 64; w < words; w++) {
		uint64_t word = bits[w];

		if (w == *i / 64)
			word &= ~0ull << (*i % 64);
		if (word) {
			*i = w * 64 + (uint32_t)__builtin_ctzll(word);
			return true;
		}
	}
	return false;
}

/* ---- policy_live_node.c: slots, and what is kept of a node ---- */

/* LIVE_NONE: not there. */
uint32_t live_slot(const struct policy_live *l, int64_t id);
/* One for a node that is not there. */
uint32_t live_slot_new(struct policy_live *l, int64_t id);
/* Index of a user; -1: none. */
int32_t live_user_index(const struct policy_live *l, int64_t user);
/* A copy of its own (live_shown_free, which leaves an empty one). */
struct policy_node live_shown_of(const struct policy_live *l, const struct policy_live_node *n);
void live_shown_free(struct policy_node *n);
void *live_copy(const void *from, size_t bytes);
bool live_same_prefixes(const struct prefix *a, uint32_t na, const struct prefix *b, uint32_t nb);
bool live_same_identity(const struct policy_node *a, const struct policy_node *b);
bool live_same_addresses(const struct policy_node *a, const struct policy_node *b);
bool live_same_routes(const struct policy_node *a, const struct policy_node *b);

/* ---- policy_live_rules.c: classes, sources and grants of a policy ---- */

void live_rules_make(struct policy_live *l);
void live_rules_free(struct policy_live *l);
/* Addresses and texts are as the members are. */
void live_settle(struct policy_live *l);
const struct ip_set *live_class_set(struct policy_live *l, struct live_class *c);
/* Its addresses are others: who is told of them. */
void live_class_touched(struct policy_live *l, uint32_t class_index);
/* Some node's routes are others: "*" means others. */
void live_routes_touched(struct policy_live *l);

/* ---- policy_live_edges.c: what the node is in, and whom it sees ---- */

/* Its places among the grants; then its row and those of who comes and goes there. */
void live_place(struct policy_live *l, uint32_t slot);
void live_row(struct policy_live *l, uint32_t slot);

#endif
