/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of addresses as FilterRules write them. */
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_internet.h"
#include "controlplane/policy/policy_resolved.h"

bool texts_add(char ***texts, uint32_t *count, const char *text)
{
	char **p = realloc(*texts, (*count + 1) * sizeof(*p));

	if (!p)
		return false;
	*texts = p;
	p[*count] = strdup(text);
	if (!p[*count])
		return false;
	++*count;
	return true;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void texts_close(char **texts, uint32_t *count)
{
	uint32_t kept = 0;

	if (!*count)
		return;
	qsort(texts, *count, sizeof(*texts), by_bytes);
	for (uint32_t i = 0; i < *count; i++) {
		if (kept && strcmp(texts[kept - 1], texts[i]) == 0)
			free(texts[i]);
		else
			texts[kept++] = texts[i];
	}
	*count = kept;
}

void texts_fini(char **texts, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

bool texts_of_set(const struct ip_set *s, char ***texts, uint32_t *count)
{
	char buf[IP_RANGE_STR_MAX];

	for (uint32_t i = 0; i < s->count; i++)
		if (!texts_add(texts, count, ip_range_print(&s->ranges[i], buf)))
			return false;
	return true;
}

bool texts_of_everybody(const struct policy_world *w, char ***texts, uint32_t *count)
{
	char buf[PREFIX_STR_MAX];

	for (const char *const *t = policy_tailnet_text; *t; t++)
		if (!texts_add(texts, count, *t))
			return false;
	for (uint32_t i = 0; i < w->node_count; i++)
		for (uint32_t k = 0; k < w->nodes[i].route_count; k++)
			if (!texts_add(texts, count, prefix_print(&w->nodes[i].routes[k], buf)))
				return false;
	return true;
}

void set_of_everybody(const struct policy_world *w, struct ip_set *out)
{
	policy_tailnet(out);
	for (uint32_t i = 0; i < w->node_count; i++)
		for (uint32_t k = 0; k < w->nodes[i].route_count; k++)
			ip_set_add_prefix(out, &w->nodes[i].routes[k]);
}
