/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "controlplane/coord/map_message.h"
#include "controlplane/tailcfg/map_frame.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

/* At most some eleven messages a second and watcher, however much changes. */
#define WINDOW_MS 90
/* Keep-alives: clients give up after 120 s. */
#define KEEPALIVE_MS	    50000
#define KEEPALIVE_JITTER_MS 8000
/*
 * A stream that ends and comes back within this was never away. Routes move after it,
 * which should be within 5 s.
 */
#define GRACE_MS 4000
/* After a start the nodes need time to find us again; stock software takes 11 s. */
#define START_GRACE_MS 60000
#define TICK_MS	       500
/* A watcher further behind than this gets a full map. */
#define EVENTS_MAX 65536
/* Lists of one flush that are remembered; more than this many differ seldom. */
#define SHARED_MAX 64

/* Of a peer that is shown with routes, or otherwise not as most are, how that was. */
struct told_variant {
	int64_t id;
	uint64_t variant;
};

struct maps_watcher {
	struct maps *maps;
	struct maps_watcher *next, **prev;
	int64_t node_id;
	struct key node_key;
	void *to;
	uint64_t place; /* number of the first event not sent */
	uint64_t *known;
	size_t known_words;
	struct told_variant *variants; /* by id */
	size_t variant_count;
	struct policy_told filter;
	uint64_t keepalive_at_ms;
	bool is_zstd;
};

struct presence {
	struct maps_watcher *watcher;
	uint64_t offline_at_ms; /* 0: not on its way out */
	bool is_online;
};

struct shared {
	struct map_item *items;
	size_t count;
	bool is_zstd;
	struct ts2021_bytes *bytes;
};

struct maps {
	struct maps_config cfg;
	uv_timer_t flush, tick;
	unsigned handles;
	struct maps_watcher *watchers;
	struct map_item *events; /* a vector; the first is number `first` */
	uint64_t first;
	size_t event_count, event_room;
	struct presence *presence; /* by node id */
	size_t presence_room;
	uint64_t flushed_at_ms, started_ms;
	struct shared shared[SHARED_MAX];
	unsigned shared_count;
	struct maps_counts counts;
	bool is_closing;
};

static uint64_t now_ms(const struct maps *m)
{
	return uv_now(m->cfg.loop);
}

static const char *derp_map(const struct maps *m)
{
	return m->cfg.picture->derp ? m->cfg.picture->derp->text : m->cfg.derp_map;
}

static struct presence *presence(struct maps *m, int64_t id)
{
	if ((uint64_t)id >= m->presence_room) {
		size_t room = ((size_t)id + 1) * 2;
		struct presence *p = realloc(m->presence, room * sizeof(*p));

		if (!p)
			return NULL;
		memset(p + m->presence_room, 0, (room - m->presence_room) * sizeof(*p));
		m->presence = p;
		m->presence_room = room;
	}
	return &m->presence[id];
}

bool maps_is_online(const struct maps *m, int64_t node_id)
{
	return (uint64_t)node_id < m->presence_room && m->presence[node_id].is_online;
}

bool maps_is_absent(const struct maps *m, int64_t node_id)
{
	return !m->started_ms && !maps_is_online(m, node_id);
}

/* ---- what a watcher knows ---- */

static bool knows(const struct maps_watcher *w, int64_t id)
{
	size_t word = (size_t)id / 64;

	return word < w->known_words && (w->known[word] >> (id % 64) & 1);
}

static void set_known(struct maps_watcher *w, int64_t id, bool is_known)
{
	size_t word = (size_t)id / 64;

	if (word >= w->known_words) {
		size_t words = word + 8;
		uint64_t *known = realloc(w->known, words * sizeof(*known));

		BUG_ON(!known);
		memset(known + w->known_words, 0, (words - w->known_words) * sizeof(*known));
		w->known = known;
		w->known_words = words;
	}
	if (is_known)
		w->known[word] |= 1ull << (id % 64);
	else
		w->known[word] &= ~(1ull << (id % 64));
}

/* Its place among the variants, where it is or would be. */
static size_t variant_place(const struct maps_watcher *w, int64_t id)
{
	size_t low = 0, high = w->variant_count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (w->variants[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Whether it was another. */
static bool set_variant(struct maps_watcher *w, int64_t id, uint64_t variant)
{
	size_t at = variant_place(w, id);
	bool is_there = at < w->variant_count && w->variants[at].id == id;
	struct told_variant *v;

	if (is_there ? w->variants[at].variant == variant : !variant)
		return false;
	if (is_there && variant) {
		w->variants[at].variant = variant;
		return true;
	}
	if (is_there) {
		w->variant_count--;
		memmove(&w->variants[at], &w->variants[at + 1],
			(w->variant_count - at) * sizeof(*v));
		return true;
	}
	v = realloc(w->variants, (w->variant_count + 1) * sizeof(*v));
	BUG_ON(!v);
	memmove(&v[at + 1], &v[at], (w->variant_count - at) * sizeof(*v));
	v[at] = (struct told_variant){id, variant};
	w->variants = v;
	w->variant_count++;
	return true;
}

static void know_all(struct maps_watcher *w)
{
	const struct picture *p = w->maps->cfg.picture;
	struct visibility *vis = w->maps->cfg.visibility;

	if (w->known_words)
		memset(w->known, 0, w->known_words * sizeof(*w->known));
	w->variant_count = 0;
	for (size_t i = 0; i < p->nodes.room; i++) {
		if (!p->nodes.at[i] || !visibility_sees(vis, w->node_id, (int64_t)i))
			continue;
		set_known(w, (int64_t)i, true);
		set_variant(w, (int64_t)i, visibility_variant(vis, w->node_id, (int64_t)i));
	}
	w->place = w->maps->first + w->maps->event_count;
}

/* ---- bytes ---- */

static struct ts2021_bytes *frame_of(struct maps *m, bool is_zstd, const struct json_out *j)
{
	struct ts2021_bytes *bytes;
	uint8_t *frame;
	size_t len;

	if (j->error || map_frame_make(is_zstd, j->text, j->len, &frame, &len))
		return NULL;
	bytes = ts2021_bytes_new(frame, len);
	free(frame);
	m->counts.encoded++;
	return bytes;
}

static struct map_view view_of(const struct maps *m, const struct picture_node *self,
			       struct policy_told *told)
{
	return (struct map_view){m, m->cfg.picture, m->cfg.visibility, self, derp_map(m), told};
}

static struct ts2021_bytes *full_of(struct maps *m, const struct picture_node *n, bool is_zstd,
				    struct policy_told *told)
{
	struct map_view view = view_of(m, n, told);
	struct ts2021_bytes *bytes;
	struct json_out j;

	policy_told_fini(told);
	json_out_init(&j);
	map_message_full(&j, &view, (int64_t)clock_wall_ns());
	bytes = frame_of(m, is_zstd, &j);
	json_out_fini(&j);
	return bytes;
}

struct ts2021_bytes *maps_full(struct maps *m, const struct picture_node *n, bool is_zstd)
{
	struct policy_told told = {0};
	struct ts2021_bytes *bytes = full_of(m, n, is_zstd, &told);

	policy_told_fini(&told);
	return bytes;
}

static void renew_keepalive(struct maps_watcher *w)
{
	w->keepalive_at_ms =
		now_ms(w->maps) + KEEPALIVE_MS + randombytes_uniform(KEEPALIVE_JITTER_MS);
}

static int send_bytes(struct maps_watcher *w, struct ts2021_bytes *b)
{
	w->maps->counts.messages++;
	w->maps->counts.bytes += b->len;
	renew_keepalive(w);
	return w->maps->cfg.sink->write(w->to, b);
}

static int send_full(struct maps_watcher *w, const struct picture_node *n)
{
	struct ts2021_bytes *b = full_of(w->maps, n, w->is_zstd, &w->filter);
	int rc;

	if (!b)
		return -ENOMEM;
	know_all(w);
	rc = send_bytes(w, b);
	ts2021_bytes_put(b);
	return rc;
}

/* ---- a watcher's end ---- */

static void watcher_free(struct maps_watcher *w)
{
	if (w->next)
		w->next->prev = w->prev;
	*w->prev = w->next;
	w->maps->counts.watchers--;
	free(w->known);
	free(w->variants);
	policy_told_fini(&w->filter);
	free(w);
}

/* From our side. */
static void watcher_end(struct maps_watcher *w)
{
	struct presence *p = presence(w->maps, w->node_id);

	if (p && p->watcher == w) {
		p->watcher = NULL;
		p->offline_at_ms = now_ms(w->maps) + GRACE_MS;
	}
	w->maps->cfg.sink->end(w->to);
	watcher_free(w);
}

void maps_unwatch(struct maps_watcher *w)
{
	struct presence *p = presence(w->maps, w->node_id);

	if (p && p->watcher == w) {
		p->watcher = NULL;
		p->offline_at_ms = now_ms(w->maps) + GRACE_MS;
	}
	watcher_free(w);
}

/* ---- what changed, joined and sent ---- */

static int by_id(const void *a, const void *b)
{
	const struct map_item *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* Events from `place` on, one an id. malloc'd; NULL with *count 0: no memory. */
static struct map_item *joined(const struct maps *m, uint64_t place, size_t *count)
{
	size_t skip = (size_t)(place - m->first), n = m->event_count - skip, out = 0;
	struct map_item *items = malloc((n + 1) * sizeof(*items));

	*count = 0;
	if (!items)
		return NULL;
	memcpy(items, m->events + skip, n * sizeof(*items));
	qsort(items, n, sizeof(*items), by_id);
	for (size_t i = 0; i < n; i++) {
		if (out && items[out - 1].id == items[i].id)
			items[out - 1].what |= items[i].what;
		else
			items[out++] = items[i];
	}
	*count = out;
	return items;
}

static struct map_item forget(struct maps_watcher *w, int64_t id)
{
	bool is_known = knows(w, id);

	if (is_known)
		set_known(w, id, false);
	set_variant(w, id, 0);
	return (struct map_item){.id = id, .what = is_known ? MAP_ITEM_REMOVE : 0};
}

/* What the event means to this watcher; what 0: nothing. */
static struct map_item meaning(struct maps_watcher *w, const struct map_item *e)
{
	const uint64_t own = PICTURE_WHOLE | PICTURE_SELF | PICTURE_ROUTES;
	const uint64_t patch = PICTURE_ENDPOINTS | PICTURE_HOME | PICTURE_DISCO | PICTURE_ONLINE;
	const struct picture_node *n = picture_node(w->maps->cfg.picture, e->id);
	struct visibility *vis = w->maps->cfg.visibility;
	struct map_item to = {.id = e->id};
	uint64_t what = e->what;

	if (!e->id) {
		/* Each learns other names. */
		to.variant = e->what & PICTURE_USERS ? (uint64_t)w->node_id : 0;
		to.what = e->what;
		return to;
	}
	if (e->id == w->node_id) {
		to.what = n && (e->what & own) ? MAP_ITEM_SELF : 0;
		to.variant = (uint64_t)w->node_id;
		return to;
	}
	if (!n || !visibility_sees(vis, w->node_id, e->id))
		return forget(w, e->id);
	if (!knows(w, e->id))
		what = PICTURE_WHOLE;
	if (!(what & (PICTURE_WHOLE | PICTURE_ROUTES | PICTURE_EDGES))) {
		to.what = what & patch;
		return to;
	}
	to.variant = visibility_variant(vis, w->node_id, e->id);
	if (set_variant(w, e->id, to.variant) || (what & PICTURE_WHOLE)) {
		set_known(w, e->id, true);
		to.what = PICTURE_WHOLE;
	} else {
		to.what = what & patch;
		to.variant = 0;
	}
	return to;
}

/* Its own edges are others: each node there is, and those that went. */
static size_t meanings_of_all(struct maps_watcher *w, const struct map_item *events, size_t count,
			      struct map_item *items)
{
	const struct picture_rows *nodes = &w->maps->cfg.picture->nodes;
	size_t n = 0, at = 0;

	for (int64_t id = 0; (size_t)id < nodes->room; id++) {
		struct map_item e = {.id = id, .what = id ? PICTURE_EDGES : 0};

		if (at < count && events[at].id == id)
			e.what |= events[at++].what;
		else if (!id || (!nodes->at[id] && !knows(w, id)))
			continue;
		items[n] = meaning(w, &e);
		n += items[n].what != 0;
	}
	return n;
}

static bool has_own_edges(const struct maps_watcher *w, const struct map_item *events, size_t count)
{
	const struct map_item own = {.id = w->node_id};
	const struct map_item *e = bsearch(&own, events, count, sizeof(own), by_id);

	return e && (e->what & PICTURE_EDGES);
}

static void shared_clear(struct maps *m)
{
	for (unsigned i = 0; i < m->shared_count; i++) {
		free(m->shared[i].items);
		ts2021_bytes_put(m->shared[i].bytes);
	}
	m->shared_count = 0;
}

static struct ts2021_bytes *delta_of(struct maps_watcher *w, const struct map_item *items,
				     size_t count, struct policy_told *told)
{
	struct maps *m = w->maps;
	struct map_view view = view_of(m, picture_node(m->cfg.picture, w->node_id), told);
	struct ts2021_bytes *bytes;
	struct json_out j;

	json_out_init(&j);
	map_message_delta(&j, &view, items, count);
	bytes = frame_of(m, w->is_zstd, &j);
	json_out_fini(&j);
	return bytes;
}

/* The message of this list: another watcher's, or made. A reference. Takes items. */
static struct ts2021_bytes *message_of(struct maps_watcher *w, struct map_item *items, size_t count)
{
	struct maps *m = w->maps;
	struct ts2021_bytes *bytes;

	for (unsigned i = 0; i < m->shared_count; i++) {
		const struct shared *s = &m->shared[i];

		if (s->is_zstd == w->is_zstd && s->count == count &&
		    memcmp(s->items, items, count * sizeof(*items)) == 0) {
			free(items);
			return ts2021_bytes_get(s->bytes);
		}
	}
	bytes = delta_of(w, items, count, NULL);
	if (!bytes || m->shared_count == SHARED_MAX) {
		free(items);
		return bytes;
	}
	m->shared[m->shared_count++] =
		(struct shared){items, count, w->is_zstd, ts2021_bytes_get(bytes)};
	return bytes;
}

static bool has_new_filter(const struct maps_watcher *w)
{
	return policy_live_filter_is_new(visibility_policy(w->maps->cfg.visibility), w->node_id,
					 &w->filter);
}

/* False: the watcher is over. */
static bool flush_watcher(struct maps_watcher *w, const struct map_item *events, size_t count)
{
	struct maps *m = w->maps;
	bool is_all = has_own_edges(w, events, count);
	size_t room = is_all ? m->cfg.picture->nodes.room : count, n = 0;
	struct map_item *items = calloc(room + 1, sizeof(*items));
	struct ts2021_bytes *bytes;
	int rc = -ENOMEM;

	if (!items)
		return false;
	if (is_all)
		n = meanings_of_all(w, events, count, items);
	for (size_t i = 0; !is_all && i < count; i++) {
		items[n] = meaning(w, &events[i]);
		n += items[n].what != 0;
	}
	w->place = m->first + m->event_count;
	if (has_new_filter(w)) {
		/* Filters are each node's own. */
		bytes = delta_of(w, items, n, &w->filter);
		free(items);
	} else if (n) {
		bytes = message_of(w, items, n);
	} else {
		free(items);
		return true;
	}
	if (bytes) {
		rc = send_bytes(w, bytes);
		ts2021_bytes_put(bytes);
	}
	return !rc;
}

static bool is_over(const struct maps_watcher *w)
{
	const struct picture_node *n = picture_node(w->maps->cfg.picture, w->node_id);

	return !n || !key_equal(&n->row->node_key, &w->node_key);
}

/* Events that everybody has had are forgotten; who is too far behind begins anew. */
static void trim(struct maps *m)
{
	uint64_t least = m->first + m->event_count;
	size_t drop;

	for (struct maps_watcher *w = m->watchers; w; w = w->next)
		if (w->place < least && m->event_count <= EVENTS_MAX)
			least = w->place;
	drop = (size_t)(least - m->first);
	memmove(m->events, m->events + drop, (m->event_count - drop) * sizeof(*m->events));
	m->event_count -= drop;
	m->first += drop;
}

static void on_flush(uv_timer_t *t)
{
	struct maps *m = t->data;
	struct maps_watcher *w, *next;
	struct map_item *items = NULL;
	uint64_t place = UINT64_MAX;
	size_t count = 0;

	m->flushed_at_ms = now_ms(m);
	for (w = m->watchers; w; w = next) {
		bool ok = true;

		next = w->next;
		if (is_over(w)) {
			watcher_end(w);
			continue;
		}
		if (m->cfg.sink->queued(w->to) ||
		    (w->place == m->first + m->event_count && !has_new_filter(w)))
			continue;
		if (w->place < m->first) {
			ok = send_full(w, picture_node(m->cfg.picture, w->node_id)) == 0;
		} else {
			/* Most stand at the same place. */
			if (w->place != place) {
				free(items);
				place = w->place;
				items = joined(m, place, &count);
			}
			ok = items && flush_watcher(w, items, count);
		}
		if (!ok)
			watcher_end(w);
	}
	free(items);
	shared_clear(m);
	trim(m);
}

/* At once when nothing went within the window, but with all that this turn of the loop brings. */
static void schedule(struct maps *m)
{
	uint64_t now = now_ms(m), due = m->flushed_at_ms + WINDOW_MS;

	if (!m->is_closing && !uv_is_active((uv_handle_t *)&m->flush))
		uv_timer_start(&m->flush, on_flush, due > now ? due - now : 0, 0);
}

static void add_event(struct maps *m, int64_t id, unsigned what)
{
	if (!m->watchers)
		return;
	if (m->event_count == m->event_room) {
		size_t room = m->event_room ? 2 * m->event_room : 256;
		struct map_item *events = realloc(m->events, room * sizeof(*events));

		BUG_ON(!events);
		m->events = events;
		m->event_room = room;
	}
	m->events[m->event_count++] = (struct map_item){.id = id, .what = what};
	schedule(m);
}

void maps_changed(struct maps *m, int64_t node_id, unsigned what)
{
	/* An address or name may come back with another node, a presence may not. */
	if (node_id && !picture_node(m->cfg.picture, node_id) &&
	    (uint64_t)node_id < m->presence_room) {
		m->presence[node_id].is_online = false;
		m->presence[node_id].offline_at_ms = 0;
	}
	add_event(m, node_id, what);
}

void maps_filters_changed(struct maps *m)
{
	if (m->watchers)
		schedule(m);
}

void maps_drained(struct maps_watcher *w)
{
	if (w->place != w->maps->first + w->maps->event_count || has_new_filter(w))
		schedule(w->maps);
}

/* ---- presence, keep-alives ---- */

static void set_online(struct maps *m, int64_t id, bool is_online)
{
	if (m->presence[id].is_online != is_online)
		add_event(m, id, PICTURE_ONLINE);
	m->presence[id].is_online = is_online;
	m->presence[id].offline_at_ms = 0;
	m->cfg.on_presence(m->cfg.arg, id, is_online, true);
}

/* Ephemeral nodes of an earlier run that do not come back must go. */
static void start_grace_ended(struct maps *m)
{
	const struct picture *p = m->cfg.picture;

	m->started_ms = 0;
	for (size_t i = 0; i < p->nodes.room; i++) {
		if (p->nodes.at[i] && !maps_is_online(m, (int64_t)i))
			m->cfg.on_presence(m->cfg.arg, (int64_t)i, false, false);
	}
}

static void send_keepalive(struct maps_watcher *w)
{
	/* Not the shortest spelling: a client that has seen that one mistakes others for it. */
	static const char text[] = "{\"KeepAlive\":true}\n";
	struct ts2021_bytes *bytes;
	uint8_t *frame;
	size_t len;

	renew_keepalive(w);
	if (w->maps->cfg.sink->queued(w->to) ||
	    map_frame_make(w->is_zstd, text, sizeof(text) - 1, &frame, &len))
		return;
	bytes = ts2021_bytes_new(frame, len);
	free(frame);
	if (bytes && send_bytes(w, bytes))
		watcher_end(w);
	ts2021_bytes_put(bytes);
}

static void on_tick(uv_timer_t *t)
{
	struct maps *m = t->data;
	struct maps_watcher *w, *next;
	uint64_t now = now_ms(m);

	for (w = m->watchers; w; w = next) {
		next = w->next;
		if (w->keepalive_at_ms <= now)
			send_keepalive(w);
	}
	for (size_t i = 0; i < m->presence_room; i++)
		if (m->presence[i].offline_at_ms && m->presence[i].offline_at_ms <= now)
			set_online(m, (int64_t)i, false);
	if (m->started_ms && now - m->started_ms >= START_GRACE_MS)
		start_grace_ended(m);
}

struct maps_watcher *maps_watch(struct maps *m, struct picture_node *n, bool is_zstd, void *to)
{
	struct maps_watcher *w = calloc(1, sizeof(*w));
	struct presence *p = presence(m, n->row->id);

	if (!w || !p) {
		free(w);
		return NULL;
	}
	w->maps = m;
	w->node_id = n->row->id;
	w->node_key = n->row->node_key;
	w->to = to;
	w->is_zstd = is_zstd;
	w->next = m->watchers;
	w->prev = &m->watchers;
	if (w->next)
		w->next->prev = &w->next;
	m->watchers = w;
	m->counts.watchers++;
	if (p->watcher) {
		struct maps_watcher *old = p->watcher;

		p->watcher = w;
		watcher_end(old);
	}
	p->watcher = w;
	p->offline_at_ms = 0;
	if (send_full(w, n)) {
		p->watcher = NULL;
		p->offline_at_ms = p->is_online ? now_ms(m) + GRACE_MS : 0;
		watcher_free(w);
		return NULL;
	}
	if (!p->is_online)
		set_online(m, w->node_id, true);
	return w;
}

void maps_counts(const struct maps *m, struct maps_counts *out)
{
	*out = m->counts;
}

int maps_open(const struct maps_config *cfg, struct maps **out)
{
	struct maps *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->cfg = *cfg;
	uv_timer_init(cfg->loop, &m->flush);
	uv_timer_init(cfg->loop, &m->tick);
	m->flush.data = m->tick.data = m;
	m->handles = 2;
	m->started_ms = now_ms(m) + 1;
	uv_timer_start(&m->tick, on_tick, TICK_MS, TICK_MS);
	*out = m;
	return 0;
}

static void on_handle_closed(uv_handle_t *h)
{
	struct maps *m = h->data;

	if (--m->handles)
		return;
	free(m->events);
	free(m->presence);
	free(m);
}

void maps_close(struct maps *m)
{
	if (!m)
		return;
	m->is_closing = true;
	while (m->watchers)
		watcher_end(m->watchers);
	uv_close((uv_handle_t *)&m->flush, on_handle_closed);
	uv_close((uv_handle_t *)&m->tick, on_handle_closed);
}
