/* SPDX-License-Identifier: Apache-2.0 */
/* Which regions a report asks, how often and when. */
#include "controlplane/path/netcheck.h"

#include <string.h>

#define FULL_TRIES 3
#define FULL_NS	   (100 * NS_PER_MS)
#define UNKNOWN_NS (200 * NS_PER_MS) /* between tries where no latency is known */
#define LATER_NS   (50 * NS_PER_MS)
#define FASTEST	   3

static uint64_t last_ns(const struct netcheck_report *r, uint16_t region)
{
	for (size_t i = 0; i < r->region_count; i++) {
		if (r->region[i].region == region)
			return r->region[i].any_ns;
	}
	return 0;
}

/* How many regions were faster in the last report; those without an answer come last. */
static size_t rank_of(const struct netcheck_ask *ask, size_t which)
{
	uint64_t own_ns = last_ns(ask->last, ask->region[which].id);
	size_t rank = 0;

	for (size_t i = 0; i < ask->count; i++) {
		uint64_t ns = last_ns(ask->last, ask->region[i].id);

		if (ns == own_ns)
			rank += i < which;
		else
			rank += ns && (!own_ns || ns < own_ns);
	}
	return rank;
}

/* 1, or 0: no try falls on a node that has the family. */
static size_t add(struct netcheck_set *out, const struct netcheck_region *region, bool is_v6,
		  unsigned tries, uint64_t step_ns, uint64_t later_ns)
{
	uint32_t nodes = is_v6 ? region->nodes_v6 : region->nodes_v4;

	memset(out, 0, sizeof(*out));
	out->region = region->id;
	out->is_v6 = is_v6;
	for (unsigned n = 0; n < tries; n++) {
		struct netcheck_probe *p = &out->probe[out->count];
		unsigned node = n % region->node_count;

		if (!(nodes >> node & 1))
			continue;
		p->at_ns = n * step_ns + (n > 1 ? n * later_ns : 0);
		p->node = (uint8_t)node;
		out->count++;
	}
	return out->count > 0;
}

static size_t add_again(const struct netcheck_ask *ask, size_t which, struct netcheck_set *out)
{
	const struct netcheck_region *region = &ask->region[which];
	bool is_home = region->id == ask->home;
	bool had_both = ask->last->ipv4 && ask->last->ipv6;
	size_t rank = rank_of(ask, which), count = 0;
	bool is_close = is_home || rank < 2;
	unsigned tries = is_home ? 4 : rank < 2 ? 2 : 1;
	uint64_t step_ns = last_ns(ask->last, region->id);
	bool is_v4 = ask->has_v4, is_v6 = ask->has_v6;

	step_ns = step_ns ? step_ns * 6 / 5 : UNKNOWN_NS;
	if (rank >= FASTEST && !is_home)
		return 0;
	if (!is_close && had_both && is_v4 && is_v6) {
		is_v6 = rank % 2;
		is_v4 = !is_v6;
	} else if (!is_close && !ask->last->ipv6) {
		is_v6 = false;
	}
	if (is_v4)
		count += add(out, region, false, tries, step_ns, LATER_NS);
	if (is_v6)
		count += add(out + count, region, true, ask->last->ipv6 ? tries : 1, step_ns,
			     LATER_NS);
	return count;
}

size_t netcheck_plan(const struct netcheck_ask *ask, struct netcheck_set *out)
{
	size_t count = 0;

	for (size_t i = 0; i < ask->count; i++) {
		if (ask->last) {
			count += add_again(ask, i, out + count);
			continue;
		}
		if (ask->has_v4)
			count += add(out + count, &ask->region[i], false, FULL_TRIES, FULL_NS, 0);
		if (ask->has_v6)
			count += add(out + count, &ask->region[i], true, FULL_TRIES, FULL_NS, 0);
	}
	return count;
}
