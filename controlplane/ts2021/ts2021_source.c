/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ts2021/ts2021_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 64

int ts2021_sources_init(struct ts2021_sources *t, uint64_t seed)
{
	*t = (struct ts2021_sources){.room = FIRST_ROOM, .seed = seed | 1};
	t->table = calloc(t->room, sizeof(*t->table));
	return t->table ? 0 : -ENOMEM;
}

void ts2021_sources_fini(struct ts2021_sources *t)
{
	free(t->table);
}

static struct ip_addr net_of(const struct ip_addr *a)
{
	struct ip_addr net = *a;

	if (net.family == AF_INET6)
		memset(net.bytes + 8, 0, 8);
	return net;
}

static struct ts2021_source **chain(const struct ts2021_sources *t, const struct ip_addr *net)
{
	uint64_t h;

	memcpy(&h, net->bytes, sizeof(h));
	h = (h ^ t->seed) * 0x9e3779b97f4a7c15ull;
	h = (h ^ (h >> 29)) * t->seed;
	return &t->table[(h >> 32) & (t->room - 1)];
}

static void grow(struct ts2021_sources *t)
{
	struct ts2021_sources wide = *t;

	wide.room = 2 * t->room;
	wide.table = calloc(wide.room, sizeof(*wide.table));
	/* The old one only gets slower. */
	if (!wide.table)
		return;
	for (size_t i = 0; i < t->room; i++) {
		struct ts2021_source *s, *next;

		for (s = t->table[i]; s; s = next) {
			struct ts2021_source **at = chain(&wide, &s->net);

			next = s->next;
			s->next = *at;
			*at = s;
		}
	}
	free(t->table);
	*t = wide;
}

struct ts2021_source *ts2021_source_get(struct ts2021_sources *t, const struct ip_addr *a)
{
	struct ip_addr net = net_of(a);
	struct ts2021_source **at, *s;

	for (s = *chain(t, &net); s; s = s->next) {
		if (addr_equal(&s->net, &net)) {
			s->refs++;
			return s;
		}
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	if (++t->count > t->room)
		grow(t);
	s->net = net;
	s->refs = 1;
	TAILQ_INIT(&s->pending);
	at = chain(t, &net);
	s->next = *at;
	*at = s;
	return s;
}

void ts2021_source_put(struct ts2021_sources *t, struct ts2021_source *s)
{
	struct ts2021_source **at;

	if (!s || --s->refs)
		return;
	at = chain(t, &s->net);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	t->count--;
	free(s);
}
