/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_live_state.h"

static void *grown(void *list, uint32_t count, size_t size)
{
	/* By powers of two: when the count is one, there is no room left. */
	if (count & (count - 1))
		return list;
	list = realloc(list, (count ? 2 * (size_t)count : 1) * size);
	BUG_ON(!list);
	return list;
}

/* ---- classes ---- */

static bool is_same(const struct selector *a, const struct selector *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case SELECT_PREFIX:
		return prefix_equal(&a->prefix, &b->prefix);
	case SELECT_ALL:
		return true;
	case SELECT_DOMAIN:
	case SELECT_LOGIN:
	case SELECT_TAG:
		return strcmp(a->text, b->text) == 0;
	case SELECT_GROUP:
	case SELECT_IPSET:
		return a->index == b->index;
	case SELECT_AUTO:
		return a->autogroup == b->autogroup && a->role == b->role;
	}
	return false;
}

static bool is_identity(const struct selector *s)
{
	return s->kind != SELECT_PREFIX && s->kind != SELECT_IPSET && s->kind != SELECT_ALL &&
	       !selector_is_auto(s, AUTO_DANGER_ALL);
}

static uint32_t class_of(struct policy_live *l, const struct selector *s)
{
	uint32_t i = 0;

	while (i < l->class_count && !is_same(l->classes[i].selector, s))
		i++;
	if (i < l->class_count)
		return i;
	l->classes = grown(l->classes, l->class_count, sizeof(*l->classes));
	l->classes[l->class_count++] = (struct live_class){
		.selector = s,
		.is_identity = is_identity(s),
		.members = live_bits(l->view.words),
		.is_stale = true,
	};
	return i;
}

const struct ip_set *live_class_set(struct policy_live *l, struct live_class *c)
{
	uint32_t i = 0;

	if (!c->is_stale)
		return &c->set;
	c->is_stale = false;
	ip_set_fini(&c->set);
	c->set = (struct ip_set){0};
	if (!c->is_identity && c->selector->kind != SELECT_ALL && c->selector->kind != SELECT_AUTO)
		selector_addresses(l->view.policy, &l->world, c->selector, &c->set);
	for (; bit_next(c->members, l->view.words, &i); i++) {
		ip_set_add_addr(&c->set, &l->shown[i].v4);
		ip_set_add_addr(&c->set, &l->shown[i].v6);
	}
	ip_set_close(&c->set);
	BUG_ON(c->set.no_memory);
	return &c->set;
}

/* ---- sources ---- */

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t source_of(struct policy_live *l, const struct selectors *list)
{
	uint32_t *classes = calloc(list->count + 1, sizeof(*classes)), count = 0, i;
	struct live_source *s;

	BUG_ON(!classes);
	for (i = 0; i < list->count; i++)
		classes[i] = class_of(l, &list->list[i]);
	qsort(classes, list->count, sizeof(*classes), by_number);
	for (i = 0; i < list->count; i++)
		if (!count || classes[count - 1] != classes[i])
			classes[count++] = classes[i];
	for (i = 0; i < l->source_count; i++) {
		s = &l->sources[i];
		if (s->class_count == count &&
		    memcmp(s->classes, classes, count * sizeof(*classes)) == 0) {
			free(classes);
			return i;
		}
	}
	l->sources = grown(l->sources, l->source_count, sizeof(*l->sources));
	s = &l->sources[l->source_count++];
	*s = (struct live_source){.classes = classes,
				  .class_count = count,
				  .nodes = live_bits(l->view.words),
				  .is_stale = true};
	for (uint32_t k = 0; k < count; k++) {
		s->is_all |= l->classes[classes[k]].selector->kind == SELECT_ALL;
		s->is_any |= selector_is_auto(l->classes[classes[k]].selector, AUTO_DANGER_ALL);
	}
	return i;
}

static char *json_of(char *const *texts, uint32_t count)
{
	struct json_out j;

	json_out_init(&j);
	json_out_array(&j, NULL);
	for (uint32_t i = 0; i < count; i++)
		json_out_string(&j, NULL, texts[i]);
	json_out_end(&j);
	BUG_ON(j.error);
	return j.text;
}

static void source_texts_free(struct live_source *s)
{
	ip_set_fini(&s->set);
	s->set = (struct ip_set){0};
	texts_fini(s->texts, s->text_count);
	s->texts = NULL;
	s->text_count = 0;
	free(s->json);
	s->json = NULL;
}

static void source_settle(struct policy_live *l, struct live_source *s)
{
	bool ok;

	source_texts_free(s);
	s->is_stale = false;
	for (uint32_t i = 0; i < s->class_count; i++)
		ip_set_add_all(&s->set, live_class_set(l, &l->classes[s->classes[i]]));
	ip_set_close(&s->set);
	if (s->is_any)
		ok = texts_add(&s->texts, &s->text_count, "*");
	else
		ok = texts_of_set(&s->set, &s->texts, &s->text_count) &&
		     (!s->is_all || texts_of_everybody(&l->world, &s->texts, &s->text_count));
	texts_close(s->texts, &s->text_count);
	if (s->is_all)
		set_of_everybody(&l->world, &s->set);
	ip_set_close(&s->set);
	BUG_ON(!ok || s->set.no_memory);
	s->json = json_of(s->texts, s->text_count);
}

void live_settle(struct policy_live *l)
{
	if (!l->is_stale)
		return;
	l->is_stale = false;
	for (uint32_t i = 0; i < l->source_count; i++) {
		struct live_source *s = &l->sources[i];

		if (!s->is_stale)
			continue;
		source_settle(l, s);
		for (uint32_t k = 0; k < s->grant_count; k++) {
			struct resolved_grant *g = &l->view.grants[s->grants[k]];

			g->src = s->set;
			g->src_texts = s->texts;
			g->src_text_count = s->text_count;
			g->src_json = s->json;
		}
	}
	for (uint32_t i = 0; i < l->view.grant_count; i++)
		for (uint32_t k = 0; k < l->view.grants[i].dst_count; k++)
			if (l->grants[i].classes[k] != LIVE_NONE)
				l->view.grants[i].dst[k].set =
					*live_class_set(l, &l->classes[l->grants[i].classes[k]]);
}

/* ---- what a change of addresses touches ---- */

static void mark(struct policy_live *l, const uint64_t *slots)
{
	for (uint32_t i = 0; bit_next(slots, l->view.words, &i); i++)
		l->nodes[i].stamp = l->stamp;
	l->filters_changed = true;
}

static void source_touched(struct policy_live *l, struct live_source *s)
{
	s->is_stale = l->is_stale = true;
	if (s->stamp == l->stamp)
		return;
	s->stamp = l->stamp;
	for (uint32_t i = 0; i < s->grant_count; i++) {
		const struct resolved_grant *g = &l->view.grants[s->grants[i]];

		for (uint32_t k = 0; k < g->dst_count; k++)
			mark(l, g->dst[k].nodes);
		if (l->grants[s->grants[i]].has_companion)
			mark(l, s->nodes);
	}
}

static bool has(const uint32_t *list, uint32_t count, uint32_t what)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i] == what)
			return true;
	return false;
}

void live_class_touched(struct policy_live *l, uint32_t index)
{
	l->classes[index].is_stale = l->is_stale = true;
	for (uint32_t i = 0; i < l->source_count; i++)
		if (has(l->sources[i].classes, l->sources[i].class_count, index))
			source_touched(l, &l->sources[i]);
	/* Companions name the destinations to the sources. */
	for (uint32_t i = 0; i < l->view.grant_count; i++)
		if (l->grants[i].has_companion &&
		    has(l->grants[i].classes, l->view.grants[i].dst_count, index))
			source_touched(l, &l->sources[l->grants[i].source]);
}

static bool has_all(const struct resolved_grant *g)
{
	for (uint32_t k = 0; k < g->dst_count; k++)
		if (g->dst[k].selector->kind == SELECT_ALL)
			return true;
	return false;
}

void live_routes_touched(struct policy_live *l)
{
	for (uint32_t i = 0; i < l->source_count; i++)
		if (l->sources[i].is_all)
			source_touched(l, &l->sources[i]);
	for (uint32_t i = 0; i < l->view.grant_count; i++)
		if (l->grants[i].has_companion && has_all(&l->view.grants[i]))
			source_touched(l, &l->sources[l->grants[i].source]);
}

/* ---- grants ---- */

static void grant_make(struct policy_live *l, const struct grant *g, uint32_t index)
{
	struct resolved_grant *r = &l->view.grants[index];
	struct live_grant *lg = &l->grants[index];
	struct live_source *s;

	lg->source = source_of(l, &g->src);
	lg->has_effect = grant_has_effect(g);
	lg->has_companion = g->has_drive || g->has_relay;
	lg->classes = calloc(g->dst.count + 1, sizeof(*lg->classes));
	r->dst = calloc(g->dst.count + 1, sizeof(*r->dst));
	BUG_ON(!lg->classes || !r->dst);
	for (uint32_t k = 0; k < g->dst.count; k++) {
		const struct selector *d = &g->dst.list[k];
		bool has_set = d->kind != SELECT_ALL && !selector_is_auto(d, AUTO_SELF) &&
			       !selector_is_auto(d, AUTO_INTERNET);

		lg->classes[k] = has_set ? class_of(l, d) : LIVE_NONE;
		lg->has_self |= selector_is_auto(d, AUTO_SELF);
		r->dst[k].selector = d;
		r->dst[k].nodes = live_bits(l->view.words);
	}
	s = &l->sources[lg->source];
	s->grants = grown(s->grants, s->grant_count, sizeof(*s->grants));
	s->grants[s->grant_count++] = index;
	r->grant = g;
	r->dst_count = g->dst.count;
	r->is_src_any = s->is_any;
	l->has_self |= lg->has_self;
	l->has_via |= g->via.count > 0;
}

/* Now that classes and sources no longer move. */
static void grants_link(struct policy_live *l)
{
	for (uint32_t i = 0; i < l->view.grant_count; i++) {
		struct resolved_grant *r = &l->view.grants[i];

		r->source = &l->sources[l->grants[i].source];
		r->src_nodes = l->sources[l->grants[i].source].nodes;
		for (uint32_t k = 0; k < r->dst_count; k++) {
			uint32_t c = l->grants[i].classes[k];

			if (c != LIVE_NONE && l->classes[c].is_identity)
				r->dst[k].members = l->classes[c].members;
		}
	}
	policy_make_entries(&l->view);
	BUG_ON(l->view.no_memory);
	for (uint32_t i = 0; i < l->view.entry_count; i++) {
		const struct resolved_grant *g = l->view.entries[i].parts[0].grant;
		struct live_source *s = &l->sources[l->grants[g - l->view.grants].source];

		s->entries = grown(s->entries, s->entry_count, sizeof(*s->entries));
		s->entries[s->entry_count++] = i;
	}
}

static struct policy *rules_of(const char *text)
{
	struct policy_report report;
	struct policy *p = NULL;
	int rc = policy_parse(text, strlen(text), &p, &report);

	policy_report_fini(&report);
	BUG_ON(rc);
	return p;
}

void live_rules_make(struct policy_live *l)
{
	const struct policy *p = l->policy;

	if (!p || !p->has_rules) {
		l->rules = rules_of(p ? POLICY_EVERYTHING : POLICY_NOTHING);
		p = l->rules;
	}
	l->view.policy = p;
	l->view.world = &l->world;
	l->view.grants = calloc(p->grant_count + 1, sizeof(*l->view.grants));
	l->grants = calloc(p->grant_count + 1, sizeof(*l->grants));
	BUG_ON(!l->view.grants || !l->grants);
	l->view.grant_count = p->grant_count;
	l->grant_words = (p->grant_count + 63) / 64;
	for (uint32_t i = 0; i < p->grant_count; i++)
		grant_make(l, &p->grants[i], i);
	grants_link(l);
	l->is_stale = true;
}

void live_rules_free(struct policy_live *l)
{
	for (uint32_t i = 0; i < l->view.grant_count; i++) {
		for (uint32_t k = 0; k < l->view.grants[i].dst_count; k++)
			free(l->view.grants[i].dst[k].nodes);
		free(l->view.grants[i].dst);
		free(l->grants[i].classes);
	}
	for (uint32_t i = 0; i < l->source_count; i++) {
		struct live_source *s = &l->sources[i];

		source_texts_free(s);
		free(s->classes);
		free(s->nodes);
		free(s->grants);
		free(s->entries);
	}
	for (uint32_t i = 0; i < l->class_count; i++) {
		free(l->classes[i].members);
		ip_set_fini(&l->classes[i].set);
	}
	for (uint32_t i = 0; i < l->view.entry_count; i++)
		free(l->view.entries[i].parts);
	free(l->view.entries);
	free(l->view.grants);
	free(l->grants);
	free(l->sources);
	free(l->classes);
	policy_free(l->rules);
	l->view = (struct policy_view){.words = l->view.words};
	l->grants = NULL;
	l->sources = NULL;
	l->classes = NULL;
	l->rules = NULL;
	l->source_count = l->class_count = 0;
	l->has_self = l->has_via = false;
}
