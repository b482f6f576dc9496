/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See rule.h and rule_build.h. A set keeps the body as it came (for show), and
 * for each rule and family the sources sorted and merged, so that one binary
 * search answers, and the destinations sorted by their first address.
 */
#include "dataplane/table/rule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/table/fib_build.h"
#include "dataplane/table/retire.h"
#include "dataplane/table/rule_build.h"
#include "lib/base/bug.h"
#include "lib/wire/ip.h"

struct list {
	uint32_t first, count; /* into rule_set.src or .dst */
};

struct compiled {
	struct list src[2], dst[2]; /* IPv4, IPv6 */
	uint64_t protos[4];	    /* a bit a protocol */
};

struct rule_set {
	enum dpapi_filter_mode mode;
	uint32_t rule_count, range_count;
	struct compiled *rules;
	struct dpapi_range *src, *dst;
	uint8_t *body;
};

struct rule_build {
	uint8_t *body; /* of the set under way */
	uint32_t total, got, rule_count, range_count, mode;
};

static unsigned family_index(int family)
{
	return family == AF_INET ? 0 : 1;
}

static size_t addr_len(int family)
{
	return family == AF_INET ? 4 : 16;
}

/* ---- workers ---- */

enum dpapi_filter_mode rule_mode(const struct rule_set *set)
{
	return set->mode;
}

static bool has_proto(const struct compiled *c, uint8_t proto)
{
	return c->protos[proto / 64] >> (proto % 64) & 1;
}

/* Merged and sorted: the last range that begins at or before addr is the one. */
static bool has_src(const struct rule_set *s, const struct list *l, const uint8_t *addr, size_t n)
{
	uint32_t low = 0, high = l->count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (memcmp(s->src[l->first + mid].first, addr, n) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low && memcmp(addr, s->src[l->first + low - 1].last, n) <= 0;
}

struct dst_question {
	const uint8_t *addr;
	size_t addr_len;
	uint16_t port_first, port_last; /* the range must hold all of these */
};

static bool has_dst(const struct rule_set *s, const struct list *l, const struct dst_question *q)
{
	for (uint32_t i = l->first; i < l->first + l->count; i++) {
		const struct dpapi_range *r = &s->dst[i];

		if (memcmp(r->first, q->addr, q->addr_len) > 0)
			return false; /* sorted: the rest begins later still */
		if (memcmp(q->addr, r->last, q->addr_len) <= 0 && r->port_first <= q->port_first &&
		    q->port_last <= r->port_last)
			return true;
	}
	return false;
}

/* proto < 0: not looked at. */
static uint16_t match(const struct rule_set *s, int family, const uint8_t *src, int proto,
		      const struct dst_question *q, bool any_port)
{
	unsigned f = family_index(family);

	for (uint32_t i = 0; i < s->rule_count; i++) {
		const struct compiled *c = &s->rules[i];
		struct dst_question one = *q;

		if (proto >= 0 && !has_proto(c, (uint8_t)proto))
			continue;
		if (!has_src(s, &c->src[f], src, q->addr_len))
			continue;
		if (any_port) {
			/* Any range of ports does: ask for its own. */
			for (uint32_t k = c->dst[f].first; k < c->dst[f].first + c->dst[f].count;
			     k++) {
				const struct dpapi_range *r = &s->dst[k];

				if (memcmp(r->first, one.addr, one.addr_len) <= 0 &&
				    memcmp(one.addr, r->last, one.addr_len) <= 0)
					return (uint16_t)(i + 1);
			}
			continue;
		}
		if (has_dst(s, &c->dst[f], &one))
			return (uint16_t)(i + 1);
	}
	return 0;
}

uint16_t rule_match_l4(const struct rule_set *set, int family, const uint8_t *src,
		       const uint8_t *dst, uint8_t proto, uint16_t dport)
{
	struct dst_question q = {dst, addr_len(family), dport, dport};

	return match(set, family, src, proto, &q, false);
}

uint16_t rule_match_addr(const struct rule_set *set, int family, const uint8_t *src,
			 const uint8_t *dst)
{
	struct dst_question q = {dst, addr_len(family), 0, 0};

	return match(set, family, src, -1, &q, true);
}

uint16_t rule_match_proto(const struct rule_set *set, int family, const uint8_t *src,
			  const uint8_t *dst, uint8_t proto)
{
	struct dst_question q = {dst, addr_len(family), 0, UINT16_MAX};

	return match(set, family, src, proto, &q, false);
}

/* ---- control thread ---- */

static void set_free(void *set)
{
	struct rule_set *s = set;

	if (!s)
		return;
	free(s->rules);
	free(s->src);
	free(s->dst);
	free(s->body);
	free(s);
}

static const struct dpapi_rule *body_rules(const struct rule_set *s)
{
	return (const struct dpapi_rule *)s->body;
}

static const struct dpapi_range *body_ranges(const struct rule_set *s)
{
	return (const struct dpapi_range *)(s->body + s->rule_count * sizeof(struct dpapi_rule));
}

static bool is_good_range(const struct dpapi_range *r)
{
	return (r->family == AF_INET || r->family == AF_INET6) &&
	       memcmp(r->first, r->last, addr_len(r->family)) <= 0 && r->port_first <= r->port_last;
}

static bool is_inside(uint32_t first, uint32_t count, uint32_t of)
{
	return first <= of && count <= of - first;
}

static bool is_good_body(const struct rule_set *s)
{
	for (uint32_t i = 0; i < s->range_count; i++) {
		if (!is_good_range(&body_ranges(s)[i]))
			return false;
	}
	for (uint32_t i = 0; i < s->rule_count; i++) {
		const struct dpapi_rule *r = &body_rules(s)[i];

		if (!is_inside(r->src_first, r->src_count, s->range_count) ||
		    !is_inside(r->dst_first, r->dst_count, s->range_count))
			return false;
	}
	return true;
}

static int by_first(const void *a, const void *b)
{
	const struct dpapi_range *x = a, *y = b;

	return memcmp(x->first, y->first, sizeof(x->first));
}

/* The ranges of one family, sorted, to out. Returns how many. */
static uint32_t collect(const struct dpapi_range *from, uint32_t n, int family,
			struct dpapi_range *out)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (from[i].family == family)
			out[k++] = from[i];
	}
	qsort(out, k, sizeof(*out), by_first);
	return k;
}

/* Overlapping and repeated sources become one, so that one comparison decides. */
static uint32_t merge(struct dpapi_range *r, uint32_t n)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (k && memcmp(r[i].first, r[k - 1].last, sizeof(r[i].first)) <= 0) {
			if (memcmp(r[i].last, r[k - 1].last, sizeof(r[i].last)) > 0)
				memcpy(r[k - 1].last, r[i].last, sizeof(r[i].last));
		} else {
			r[k++] = r[i];
		}
	}
	return k;
}

static void compile_protos(struct compiled *c, const struct dpapi_rule *r)
{
	static const uint8_t usual[] = {IP_PROTO_TCP, IP_PROTO_UDP, IP_PROTO_ICMP, IP_PROTO_ICMPV6};
	const uint8_t *p = r->protos[0] ? r->protos : usual;
	size_t n = r->protos[0] ? sizeof(r->protos) : sizeof(usual);

	for (size_t i = 0; i < n && p[i]; i++)
		c->protos[p[i] / 64] |= 1ull << (p[i] % 64);
}

static void compile(struct rule_set *s)
{
	static const int families[2] = {AF_INET, AF_INET6};
	const struct dpapi_range *ranges = body_ranges(s);
	uint32_t src = 0, dst = 0;

	for (uint32_t i = 0; i < s->rule_count; i++) {
		const struct dpapi_rule *r = &body_rules(s)[i];
		struct compiled *c = &s->rules[i];

		compile_protos(c, r);
		for (unsigned f = 0; f < 2; f++) {
			uint32_t n = collect(ranges + r->src_first, r->src_count, families[f],
					     s->src + src);

			n = merge(s->src + src, n);
			c->src[f] = (struct list){src, n};
			src += n;
			n = collect(ranges + r->dst_first, r->dst_count, families[f], s->dst + dst);
			c->dst[f] = (struct list){dst, n};
			dst += n;
		}
	}
}

static void publish(struct rule_table *t, struct rule_set *s)
{
	struct rule_set *old = atomic_exchange_explicit(&t->set, s, memory_order_acq_rel);

	retire(old, set_free);
}

/* How many ranges the rules name; a body may name one range many times. */
static bool count_named(const struct rule_set *s, size_t *src, size_t *dst)
{
	*src = *dst = 0;
	for (uint32_t i = 0; i < s->rule_count; i++) {
		*src += body_rules(s)[i].src_count;
		*dst += body_rules(s)[i].dst_count;
	}
	return (*src + *dst) * sizeof(struct dpapi_range) <= RULE_BYTES_MAX * 2ull;
}

int rule_set_body(struct rule_table *t, enum dpapi_filter_mode mode, uint32_t rule_count,
		  uint32_t range_count, const void *body, size_t bytes)
{
	struct rule_set *s;
	size_t src, dst;
	int ret = -ENOMEM;

	if (mode > DPAPI_FILTER_RULES ||
	    bytes != rule_count * sizeof(struct dpapi_rule) +
			     (uint64_t)range_count * sizeof(struct dpapi_range))
		return -EINVAL;
	if (rule_count > RULE_MAX || bytes > RULE_BYTES_MAX)
		return -E2BIG;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->mode = mode;
	s->rule_count = rule_count;
	s->range_count = range_count;
	s->body = malloc(bytes + 1);
	if (!s->body)
		goto fail;
	if (bytes)
		memcpy(s->body, body, bytes);
	ret = -EINVAL;
	if (!is_good_body(s))
		goto fail;
	ret = -E2BIG;
	if (!count_named(s, &src, &dst))
		goto fail;
	ret = -ENOMEM;
	s->rules = calloc(rule_count + 1u, sizeof(*s->rules));
	s->src = calloc(src + 1, sizeof(*s->src));
	s->dst = calloc(dst + 1, sizeof(*s->dst));
	if (!s->rules || !s->src || !s->dst)
		goto fail;
	compile(s);
	publish(t, s);
	return 0;
fail:
	set_free(s);
	return ret;
}

struct rule_table *rule_table_new(void)
{
	struct rule_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->build = calloc(1, sizeof(*t->build));
	t->local = fib_new();
	if (!t->build || !t->local || rule_set_body(t, DPAPI_FILTER_NONE, 0, 0, NULL, 0) < 0) {
		rule_table_free(t);
		return NULL;
	}
	return t;
}

void rule_table_free(struct rule_table *t)
{
	if (!t)
		return;
	set_free(atomic_load(&t->set));
	fib_free(t->local);
	if (t->build)
		free(t->build->body);
	free(t->build);
	free(t);
}

static void forget(struct rule_build *b)
{
	free(b->body);
	*b = (struct rule_build){NULL};
}

static int begin(struct rule_build *b, const struct dpapi_rules *msg)
{
	forget(b);
	if (msg->total_bytes > RULE_BYTES_MAX)
		return -E2BIG;
	b->body = malloc(msg->total_bytes + 1u);
	if (!b->body)
		return -ENOMEM;
	b->total = msg->total_bytes;
	b->rule_count = msg->rule_count;
	b->range_count = msg->range_count;
	b->mode = msg->mode;
	return 0;
}

int rule_piece(struct rule_table *t, const struct dpapi_rules *msg, const void *piece,
	       bool *published)
{
	struct rule_build *b = t->build;
	int ret = msg->offset == 0 ? begin(b, msg) : 0;

	*published = false;
	if (ret == 0 && (!b->body || msg->offset != b->got || msg->total_bytes != b->total ||
			 msg->rule_count != b->rule_count || msg->range_count != b->range_count ||
			 msg->mode != b->mode || msg->piece_bytes > b->total - b->got))
		ret = -EINVAL;
	if (ret < 0) {
		forget(b);
		return ret;
	}
	if (msg->piece_bytes)
		memcpy(b->body + b->got, piece, msg->piece_bytes);
	b->got += msg->piece_bytes;
	if (b->got < b->total)
		return 0;
	ret = rule_set_body(t, (enum dpapi_filter_mode)b->mode, b->rule_count, b->range_count,
			    b->body, b->total);
	forget(b);
	*published = ret == 0;
	return ret;
}

int rule_local(struct rule_table *t, const struct dpapi_local *msg)
{
	if (msg->remove)
		return fib_del(t->local, msg->addr, msg->family, msg->prefix_len);
	return fib_set(t->local, msg->addr, msg->family, msg->prefix_len, 1, msg->hdr.generation);
}

size_t rule_local_sweep(struct rule_table *t, uint32_t generation)
{
	return fib_sweep(t->local, generation);
}

uint32_t rule_count(const struct rule_set *set)
{
	return set->rule_count;
}

int rule_walk(const struct rule_set *set,
	      int (*fn)(uint32_t number, const struct dpapi_rule *r,
			const struct dpapi_range *ranges, void *arg),
	      void *arg)
{
	for (uint32_t i = 0; i < set->rule_count; i++) {
		int ret = fn(i + 1, &body_rules(set)[i], body_ranges(set), arg);

		if (ret)
			return ret;
	}
	return 0;
}
