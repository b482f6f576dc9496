/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/dpapi/rule_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room doubles at each power of two, so that there is no capacity to keep. */
static void *room_for_one(void *array, uint32_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	return realloc(array, (count ? 2 * (size_t)count : 1) * size);
}

int rule_list_add_range(struct rule_list *l, const struct dpapi_range *r)
{
	void *p;

	if (l->range_count >= RULE_LIST_RANGES_MAX)
		return -EFBIG;
	p = room_for_one(l->ranges, l->range_count, sizeof(*l->ranges));
	if (!p)
		return -ENOMEM;
	l->ranges = p;
	l->ranges[l->range_count++] = *r;
	return 0;
}

int rule_list_add_rule(struct rule_list *l, const struct dpapi_rule *r)
{
	void *p;

	if (l->rule_count >= RULE_LIST_RULES_MAX)
		return -EFBIG;
	p = room_for_one(l->rules, l->rule_count, sizeof(*l->rules));
	if (!p)
		return -ENOMEM;
	l->rules = p;
	l->rules[l->rule_count++] = *r;
	return 0;
}

void rule_range_of_prefix(const struct prefix *p, struct dpapi_range *out)
{
	unsigned bits = p->addr.family == AF_INET6 ? 128 : 32;

	*out = (struct dpapi_range){.family = p->addr.family};
	memcpy(out->first, p->addr.bytes, sizeof(out->first));
	memcpy(out->last, p->addr.bytes, sizeof(out->last));
	for (unsigned b = p->len; b < bits; b++)
		out->last[b / 8] |= (uint8_t)(0x80u >> (b % 8));
}

static bool parse_first_last(const char *text, const char *dash, struct dpapi_range *out)
{
	char first[ADDR_STR_MAX];
	struct ip_addr a, b;

	if ((size_t)(dash - text) >= sizeof(first))
		return false;
	snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
	if (addr_parse(first, &a) || addr_parse(dash + 1, &b) || a.family != b.family ||
	    memcmp(a.bytes, b.bytes, sizeof(a.bytes)) > 0)
		return false;
	*out = (struct dpapi_range){.family = a.family};
	memcpy(out->first, a.bytes, sizeof(a.bytes));
	memcpy(out->last, b.bytes, sizeof(b.bytes));
	return true;
}

unsigned rule_addresses_parse(const char *text, struct dpapi_range out[2])
{
	const char *dash = strchr(text, '-');
	struct prefix p;

	if (strcmp(text, "*") == 0) {
		rule_range_of_prefix(&(struct prefix){.addr.family = AF_INET}, &out[0]);
		rule_range_of_prefix(&(struct prefix){.addr.family = AF_INET6}, &out[1]);
		return 2;
	}
	if (dash)
		return parse_first_last(text, dash, &out[0]) ? 1 : 0;
	if (prefix_parse(text, false, &p))
		return 0;
	rule_range_of_prefix(&p, &out[0]);
	return 1;
}

void rule_list_fini(struct rule_list *l)
{
	free(l->rules);
	free(l->ranges);
	*l = (struct rule_list){0};
}
