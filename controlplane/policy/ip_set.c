/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/policy/ip_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned bytes_of(uint8_t family)
{
	return family == AF_INET6 ? 16 : 4;
}

static int compare(const struct ip_range *a, uint8_t family, const uint8_t *first)
{
	if (a->family != family)
		return a->family < family ? -1 : 1;
	return memcmp(a->first, first, 16);
}

static int by_first(const void *a, const void *b)
{
	const struct ip_range *y = b;

	return compare(a, y->family, y->first);
}

/* The next address; false: there is none. */
static bool increment(uint8_t *a, uint8_t family)
{
	for (unsigned i = bytes_of(family); i-- > 0;)
		if (++a[i])
			return true;
	return false;
}

static void decrement(uint8_t *a, uint8_t family)
{
	for (unsigned i = bytes_of(family); i-- > 0;)
		if (a[i]--)
			return;
}

struct ip_range ip_range_of(const struct prefix *p)
{
	struct ip_range r = {.family = p->addr.family};
	unsigned bits = 8 * bytes_of(r.family);

	memcpy(r.first, p->addr.bytes, sizeof(r.first));
	memcpy(r.last, p->addr.bytes, sizeof(r.last));
	for (unsigned b = p->len; b < bits; b++)
		r.last[b / 8] |= (uint8_t)(0x80u >> (b % 8));
	return r;
}

void ip_set_add(struct ip_set *s, const struct ip_range *r)
{
	if (s->count == s->room) {
		uint32_t room = s->room ? 2 * s->room : 8;
		struct ip_range *p = realloc(s->ranges, room * sizeof(*p));

		if (!p) {
			s->no_memory = true;
			return;
		}
		s->ranges = p;
		s->room = room;
	}
	s->ranges[s->count++] = *r;
}

void ip_set_add_prefix(struct ip_set *s, const struct prefix *p)
{
	struct ip_range r = ip_range_of(p);

	ip_set_add(s, &r);
}

void ip_set_add_addr(struct ip_set *s, const struct ip_addr *a)
{
	struct prefix p = {.addr = *a, .len = a->family == AF_INET6 ? 128 : 32};

	if (a->family)
		ip_set_add_prefix(s, &p);
}

void ip_set_add_all(struct ip_set *s, const struct ip_set *from)
{
	s->no_memory |= from->no_memory;
	for (uint32_t i = 0; i < from->count; i++)
		ip_set_add(s, &from->ranges[i]);
}

void ip_set_close(struct ip_set *s)
{
	uint32_t kept = 0;

	if (s->count)
		qsort(s->ranges, s->count, sizeof(*s->ranges), by_first);
	for (uint32_t i = 0; i < s->count; i++) {
		struct ip_range *r = &s->ranges[i], *last = kept ? &s->ranges[kept - 1] : NULL;
		uint8_t behind[16];
		bool joins = false;

		if (last && last->family == r->family) {
			memcpy(behind, last->last, sizeof(behind));
			joins = !increment(behind, r->family) || memcmp(r->first, behind, 16) <= 0;
		}
		if (!joins)
			s->ranges[kept++] = *r;
		else if (memcmp(r->last, last->last, 16) > 0)
			memcpy(last->last, r->last, 16);
	}
	s->count = kept;
}

static void cut(struct ip_set *out, struct ip_range r, const struct ip_set *what)
{
	for (uint32_t i = 0; i < what->count; i++) {
		const struct ip_range *w = &what->ranges[i];
		struct ip_range left = r;

		if (w->family != r.family || memcmp(w->last, r.first, 16) < 0 ||
		    memcmp(w->first, r.last, 16) > 0)
			continue;
		if (memcmp(w->first, r.first, 16) > 0) {
			memcpy(left.last, w->first, 16);
			decrement(left.last, r.family);
			ip_set_add(out, &left);
		}
		memcpy(r.first, w->last, 16);
		if (!increment(r.first, r.family) || memcmp(r.first, r.last, 16) > 0)
			return;
	}
	ip_set_add(out, &r);
}

void ip_set_remove(struct ip_set *s, const struct ip_set *what)
{
	struct ip_set out = {.no_memory = s->no_memory};

	for (uint32_t i = 0; i < s->count; i++)
		cut(&out, s->ranges[i], what);
	ip_set_fini(s);
	*s = out;
	ip_set_close(s);
}

void ip_set_fini(struct ip_set *s)
{
	free(s->ranges);
	*s = (struct ip_set){0};
}

/* The last range that begins at or before the address, or NULL. */
static const struct ip_range *at_or_before(const struct ip_set *s, uint8_t family,
					   const uint8_t *addr)
{
	uint32_t low = 0, high = s->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (compare(&s->ranges[middle], family, addr) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low && s->ranges[low - 1].family == family ? &s->ranges[low - 1] : NULL;
}

bool ip_set_has(const struct ip_set *s, const struct ip_addr *a)
{
	const struct ip_range *r = at_or_before(s, a->family, a->bytes);

	return r && memcmp(a->bytes, r->last, 16) <= 0;
}

bool ip_set_meets(const struct ip_set *s, const struct prefix *p)
{
	struct ip_range want = ip_range_of(p);
	const struct ip_range *r = at_or_before(s, want.family, want.last);

	return r && memcmp(r->last, want.first, 16) >= 0;
}

bool ip_set_is_empty(const struct ip_set *s)
{
	return s->count == 0;
}

bool ip_range_next_prefix(struct ip_range *r, struct prefix *out)
{
	unsigned bits = 8 * bytes_of(r->family), len = bits;

	if (!r->family)
		return false;
	*out = (struct prefix){.addr.family = r->family};
	memcpy(out->addr.bytes, r->first, 16);
	/* One bit shorter as long as it begins here and ends in the range. */
	while (len > 0 && !(r->first[(len - 1) / 8] & (0x80u >> ((len - 1) % 8)))) {
		struct ip_range wider;

		out->len = (uint8_t)(len - 1);
		wider = ip_range_of(out);
		if (memcmp(wider.last, r->last, 16) > 0)
			break;
		len--;
	}
	out->len = (uint8_t)len;
	memcpy(r->first, ip_range_of(out).last, 16);
	if (memcmp(r->first, r->last, 16) >= 0 || !increment(r->first, r->family))
		r->family = 0;
	return true;
}

const char *ip_range_print(const struct ip_range *r, char *buf)
{
	struct ip_range rest = *r;
	struct ip_addr first = {.family = r->family}, last = {.family = r->family};
	char a[ADDR_STR_MAX], b[ADDR_STR_MAX];
	struct prefix p;

	memcpy(first.bytes, r->first, 16);
	memcpy(last.bytes, r->last, 16);
	ip_range_next_prefix(&rest, &p);
	if (memcmp(r->first, r->last, 16) == 0)
		snprintf(buf, IP_RANGE_STR_MAX, "%s", addr_print(&first, a));
	else if (!rest.family)
		snprintf(buf, IP_RANGE_STR_MAX, "%s/%u", addr_print(&first, a), p.len);
	else
		snprintf(buf, IP_RANGE_STR_MAX, "%s-%s", addr_print(&first, a),
			 addr_print(&last, b));
	return buf;
}
