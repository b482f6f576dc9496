/* SPDX-License-Identifier: Apache-2.0 */
/* A policy and a world looked at together. Inside this folder only. */
#ifndef CONTROLPLANE_POLICY_POLICY_RESOLVED_H
#define CONTROLPLANE_POLICY_POLICY_RESOLVED_H

#include "controlplane/policy/policy_file.h"

/* One selector of a grant's dst. */
struct resolved_dst {
	const struct selector *selector;
	struct ip_set set; /* closed; not of "*", self, internet */
	uint64_t *nodes;   /* bit: counts as reaching the node; not of self */
	/* bit: of a selector that names nodes, which it names; NULL: read it from the set. */
	const uint64_t *members;
};

struct resolved_grant {
	const struct grant *grant;
	struct ip_set src; /* closed; of "*" with all routes */
	bool is_src_any;   /* autogroup:danger-all */
	char **src_texts;  /* as FilterRules write them, sorted, each once */
	uint32_t src_text_count;
	const char *src_json; /* the same as JSON; NULL: not at hand */
	const void *source;   /* equal: the same sources; NULL: compare the texts */
	uint64_t *src_nodes;  /* bit: the node, or what is behind it, is a source */
	struct resolved_dst *dst;
	uint32_t dst_count;
};

enum entry_kind {
	ENTRY_NETWORK,
	ENTRY_SELF, /* autogroup:self of a grant's ports */
	ENTRY_APP,
	ENTRY_APP_SELF,
};

/* One protocol of one grant. */
struct entry_part {
	const struct resolved_grant *grant;
	const struct ports *ports;
};

/* A rule for the whole tailnet, of which each node gets what concerns it. */
struct entry {
	enum entry_kind kind;
	struct entry_part *parts; /* of APP one, without ports */
	uint32_t part_count;
	int proto;
};

struct policy_view {
	const struct policy *policy;
	const struct policy_world *world;
	struct policy *implied; /* without rules: everything */
	uint32_t words;		/* of a bit set of nodes */
	struct resolved_grant *grants;
	uint32_t grant_count;
	struct entry *entries;
	uint32_t entry_count;
	bool no_memory;
};

static inline bool bit_get(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static inline bool selector_is_auto(const struct selector *s, enum autogroup a)
{
	return s->kind == SELECT_AUTO && s->autogroup == a;
}

bool node_has_tag_of(const struct policy_node *n, const struct selectors *tags);
/* The set meets an address of the node. */
bool set_meets_node(const struct ip_set *s, const struct policy_node *n);
bool set_meets_routes(const struct ip_set *s, const struct policy_node *n);
/* Untagged, and of one user. */
bool nodes_are_of_one_user(const struct policy_node *a, const struct policy_node *b);

/* Texts of a closed set, and those given, sorted and each once. False: no memory. */
bool texts_of_set(const struct ip_set *s, char ***texts, uint32_t *count);
bool texts_add(char ***texts, uint32_t *count, const char *text);
void texts_close(char **texts, uint32_t *count);
void texts_fini(char **texts, uint32_t count);
/* What "*" means as a source: the tailnet, and every route that is served. */
bool texts_of_everybody(const struct policy_world *w, char ***texts, uint32_t *count);
void set_of_everybody(const struct policy_world *w, struct ip_set *out);

/* The tailnet's rules in order (policy_entries.c). */
void policy_make_entries(struct policy_view *v);
/* Of them those listed, for one node; under key as policy_filter. */
void policy_filter_part(const struct policy_view *v, const uint32_t *entries, uint32_t count,
			uint32_t node, struct json_out *out, const char *key);

/* Where no rules stand: everybody to everything. And where no policy is: nothing. */
#define POLICY_EVERYTHING "{\"grants\":[{\"src\":[\"*\"],\"dst\":[\"*\"],\"ip\":[\"*\"]}]}"
#define POLICY_NOTHING	  "{\"grants\":[]}"

static inline bool grant_has_effect(const struct grant *g)
{
	return g->port_count || (g->app && !g->via.count);
}

#endif
