/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lab/impair.h"

#include "lib/base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define DEFAULT_QUEUE (256 * 1024)
#define DEFAULT_LIMIT 100000
#define DEFAULT_HOLD  (5 * NS_PER_MS)

void impair_init(struct impair *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->rng = seed;
	w->opt.queue = DEFAULT_QUEUE;
	w->opt.limit = DEFAULT_LIMIT;
	w->opt.hold_ns = DEFAULT_HOLD;
}

void impair_fini(struct impair *w)
{
	for (size_t i = 0; i < w->held; i++)
		free(w->heap[i]);
	free(w->heap);
	memset(w, 0, sizeof(*w));
}

/* splitmix64: one addition and a finaliser, every seed is a good one. */
static uint64_t next_random(struct impair *w)
{
	uint64_t z = (w->rng += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static bool happens(struct impair *w, double probability)
{
	/* Drawn also at probability 0, so that one option does not shift another's fate. */
	return (double)(next_random(w) >> 11) * 0x1.0p-53 < probability;
}

struct unit {
	const char *name;
	double factor;
};

/* The first unit of each list is meant when none is given. */
static const struct unit time_units[] = {{"ms", 1e6}, {"us", 1e3}, {"s", 1e9}, {"ns", 1}, {0}};
static const struct unit share_units[] = {{"", 1}, {"%", 0.01}, {0}};
static const struct unit rate_units[] = {
	{"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {0}};
static const struct unit byte_units[] = {{"b", 1}, {"k", 1024}, {"m", 1048576}, {0}};
static const struct unit plain_units[] = {{"", 1}, {0}};

static int parse_number(const char *text, const struct unit *units, double *out)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || !(v >= 0) || v > 1e15)
		return -EINVAL;
	if (!*end) {
		*out = v * units->factor;
		return 0;
	}
	for (; units->name; units++) {
		if (!strcmp(end, units->name)) {
			*out = v * units->factor;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_one(struct impair_options *o, const char *key, const char *value)
{
	const struct {
		const char *key;
		const struct unit *units;
		double *share;
		uint64_t *whole;
	} table[] = {
		{"loss", share_units, &o->loss, NULL},
		{"dup", share_units, &o->dup, NULL},
		{"reorder", share_units, &o->reorder, NULL},
		{"delay", time_units, NULL, &o->delay_ns},
		{"jitter", time_units, NULL, &o->jitter_ns},
		{"hold", time_units, NULL, &o->hold_ns},
		{"rate", rate_units, NULL, &o->rate_bps},
		{"queue", byte_units, NULL, &o->queue},
		{"limit", plain_units, NULL, &o->limit},
	};
	double v;

	if (!strcmp(key, "cut")) {
		if (parse_number(value, plain_units, &v) || (v != 0 && v != 1))
			return -EINVAL;
		o->cut = v != 0;
		return 0;
	}
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(key, table[i].key))
			continue;
		if (parse_number(value, table[i].units, &v))
			return -EINVAL;
		if (table[i].whole) {
			*table[i].whole = (uint64_t)v;
			return 0;
		}
		if (v > 1)
			return -EINVAL;
		*table[i].share = v;
		return 0;
	}
	return -ENOENT;
}

int impair_set(struct impair_options *opt, const char *text, char *err, size_t err_size)
{
	struct impair_options o = *opt;
	char copy[512];
	char *rest = copy, *item;

	if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy)) {
		snprintf(err, err_size, "too long");
		return -EINVAL;
	}
	while ((item = strsep(&rest, ","))) {
		char *value = strchr(item, '=');
		int rc;

		if (!*item)
			continue;
		if (!value) {
			snprintf(err, err_size, "'%s' has no '='", item);
			return -EINVAL;
		}
		*value++ = '\0';
		rc = set_one(&o, item, value);
		if (rc) {
			snprintf(err, err_size,
				 rc == -ENOENT ? "no option '%s'" : "bad value of '%s'", item);
			return -EINVAL;
		}
	}
	*opt = o;
	return 0;
}

static bool before(const struct impair_frame *a, const struct impair_frame *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static int heap_add(struct impair *w, struct impair_frame *f)
{
	size_t i = w->held;

	if (i == w->room) {
		size_t room = w->room ? w->room * 2 : 256;
		struct impair_frame **heap = realloc(w->heap, room * sizeof(*heap));

		if (!heap)
			return -ENOMEM;
		w->heap = heap;
		w->room = room;
	}
	w->held++;
	while (i && before(f, w->heap[(i - 1) / 2])) {
		w->heap[i] = w->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->heap[i] = f;
	if (w->held > w->count.held_max)
		w->count.held_max = w->held;
	return 0;
}

/* When a frame that arrives now has left the rate stage, or IMPAIR_NEVER: no room. */
static uint64_t through_rate(struct impair *w, uint32_t wire_len, uint64_t now_ns)
{
	double ns_per_byte;
	uint64_t start;

	if (!w->opt.rate_bps)
		return now_ns;
	ns_per_byte = 8e9 / (double)w->opt.rate_bps;
	start = w->line_free_ns > now_ns ? w->line_free_ns : now_ns;
	if ((double)(start - now_ns) > (double)w->opt.queue * ns_per_byte)
		return IMPAIR_NEVER;
	w->line_free_ns = start + (uint64_t)(wire_len * ns_per_byte);
	return w->line_free_ns;
}

static uint64_t through_delay(struct impair *w, uint64_t t)
{
	uint64_t jitter = 0;
	uint64_t due;

	if (w->opt.jitter_ns)
		jitter = next_random(w) % (2 * w->opt.jitter_ns + 1);
	due = t + w->opt.delay_ns + jitter;
	due = due > t + w->opt.jitter_ns ? due - w->opt.jitter_ns : t;
	if (happens(w, w->opt.reorder)) {
		w->count.reordered++;
		return due + w->opt.hold_ns;
	}
	if (due < w->last_due_ns && w->last_due_ns - due <= 2 * w->opt.jitter_ns)
		due = w->last_due_ns;
	w->last_due_ns = due;
	return due;
}

static int hold_copy(struct impair *w, const void *data, uint32_t len, uint32_t wire_len,
		     uint64_t now_ns)
{
	struct impair_frame *f;
	uint64_t t;
	int rc;

	if (w->held >= w->opt.limit) {
		w->count.limit_drops++;
		return 0;
	}
	t = through_rate(w, wire_len, now_ns);
	if (t == IMPAIR_NEVER) {
		w->count.queue_drops++;
		return 0;
	}
	f = malloc(sizeof(*f) + len);
	if (!f)
		return -ENOMEM;
	f->due_ns = through_delay(w, t);
	f->order = w->order++;
	f->len = len;
	memcpy(f->data, data, len);
	rc = heap_add(w, f);
	if (rc)
		free(f);
	return rc;
}

int impair_push(struct impair *w, const void *data, uint32_t len, uint32_t wire_len,
		uint64_t now_ns)
{
	bool lost, twice;
	int rc;

	w->count.in++;
	w->count.in_bytes += wire_len;
	lost = happens(w, w->opt.loss);
	twice = happens(w, w->opt.dup);
	if (w->opt.cut) {
		w->count.cut++;
		return 0;
	}
	if (lost) {
		w->count.lost++;
		return 0;
	}
	rc = hold_copy(w, data, len, wire_len, now_ns);
	if (!rc && twice) {
		w->count.duplicated++;
		rc = hold_copy(w, data, len, wire_len, now_ns);
	}
	return rc;
}

uint64_t impair_next_ns(const struct impair *w)
{
	return w->held ? w->heap[0]->due_ns : IMPAIR_NEVER;
}

struct impair_frame *impair_pop(struct impair *w, uint64_t now_ns)
{
	struct impair_frame *top, *last;
	size_t i = 0;

	if (!w->held || w->heap[0]->due_ns > now_ns)
		return NULL;
	top = w->heap[0];
	last = w->heap[--w->held];
	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= w->held)
			break;
		if (c + 1 < w->held && before(w->heap[c + 1], w->heap[c]))
			c++;
		if (!before(w->heap[c], last))
			break;
		w->heap[i] = w->heap[c];
		i = c;
	}
	if (w->held)
		w->heap[i] = last;
	return top;
}
