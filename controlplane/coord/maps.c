/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "controlplane/coord/map_meaning.h"
#include "controlplane/coord/map_message.h"
#include "controlplane/coord/map_shared.h"
#include "controlplane/coord/presence.h"
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
#define GRACE_MS 3500
/* After a start the nodes need time to find us again; stock software takes 11 s. */
#define START_GRACE_MS 60000
#define TICK_MS	       500
/* A watcher further behind than this gets a full map. */
#define EVENTS_MAX 65536

struct maps_watcher {
	struct maps *maps;
	struct maps_watcher *next, **prev;
	int64_t node_id;
	struct key node_key;
	void *to;
	uint64_t place; /* number of the first event not sent */
	struct map_known known;
	struct policy_told filter;
	uint64_t keepalive_at_ms;
	bool is_zstd;
};

struct maps {
	struct maps_config cfg;
	uv_timer_t flush, tick;
	unsigned handles;
	struct maps_watcher *watchers;
	struct map_events events;
	struct presence presence;
	uint64_t flushed_at_ms, started_ms;
	struct map_shared shared;
	struct map_frame_writer *zstd;
	struct ts2021_bytes *keepalive[2]; /* plain, zstd */
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

bool maps_is_online(const struct maps *m, int64_t node_id)
{
	return presence_is_online(&m->presence, node_id);
}

bool maps_is_absent(const struct maps *m, int64_t node_id)
{
	return !m->started_ms && !maps_is_online(m, node_id);
}

static void know_all(struct maps_watcher *w)
{
	const struct picture *p = w->maps->cfg.picture;
	struct visibility *vis = w->maps->cfg.visibility;

	map_known_clear(&w->known);
	for (size_t i = 0; i < p->nodes.room; i++) {
		if (!p->nodes.at[i] || !visibility_sees(vis, w->node_id, (int64_t)i))
			continue;
		map_known_set(&w->known, (int64_t)i, true);
		map_known_set_variant(&w->known, (int64_t)i,
				      visibility_variant(vis, w->node_id, (int64_t)i));
	}
	w->place = map_events_end(&w->maps->events);
}

/* ---- bytes ---- */

static struct ts2021_bytes *frame_of_text(struct maps *m, bool is_zstd, const char *text,
					  size_t text_len)
{
	struct ts2021_bytes *bytes;
	uint8_t *frame;
	size_t len;

	if (map_frame_make(is_zstd ? m->zstd : NULL, text, text_len, &frame, &len))
		return NULL;
	bytes = ts2021_bytes_new(frame, len);
	free(frame);
	return bytes;
}

static struct ts2021_bytes *frame_of(struct maps *m, bool is_zstd, const struct json_out *j)
{
	struct ts2021_bytes *bytes = NULL;

	if (!j->error)
		bytes = frame_of_text(m, is_zstd, j->text, j->len);
	m->counts.encoded += bytes != NULL;
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
	map_known_fini(&w->known);
	policy_told_fini(&w->filter);
	free(w);
}

/* The node has its grace to come back. */
static void stream_ended(struct maps_watcher *w)
{
	struct presence_node *p = presence_of(&w->maps->presence, w->node_id);

	if (!p || p->stream != w)
		return;
	p->stream = NULL;
	p->offline_at_ms = now_ms(w->maps) + GRACE_MS;
}

/* From our side. */
static void watcher_end(struct maps_watcher *w)
{
	stream_ended(w);
	w->maps->cfg.sink->end(w->to);
	watcher_free(w);
}

void maps_unwatch(struct maps_watcher *w)
{
	stream_ended(w);
	watcher_free(w);
}

/* ---- what changed, joined and sent ---- */

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
	struct map_shared *shared = &w->maps->shared;
	struct ts2021_bytes *bytes = map_shared_find(shared, w->is_zstd, items, count);

	if (bytes) {
		free(items);
		return bytes;
	}
	bytes = delta_of(w, items, count, NULL);
	if (bytes)
		map_shared_keep(shared, w->is_zstd, items, count, bytes);
	else
		free(items);
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
	struct map_reader reader = {m->cfg.picture, m->cfg.visibility, w->node_id, &w->known};
	struct map_item *items;
	size_t n = map_meaning(&reader, events, count, &items);
	struct ts2021_bytes *bytes;
	int rc = -ENOMEM;

	if (!items)
		return false;
	w->place = map_events_end(&m->events);
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
	uint64_t least = map_events_end(&m->events);

	for (struct maps_watcher *w = m->watchers; w; w = w->next)
		if (w->place < least && m->events.count <= EVENTS_MAX)
			least = w->place;
	map_events_forget(&m->events, least);
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
		    (w->place == map_events_end(&m->events) && !has_new_filter(w)))
			continue;
		if (w->place < m->events.first) {
			ok = send_full(w, picture_node(m->cfg.picture, w->node_id)) == 0;
		} else {
			/* Most stand at the same place. */
			if (w->place != place) {
				free(items);
				place = w->place;
				items = map_events_joined(&m->events, place, &count);
			}
			ok = items && flush_watcher(w, items, count);
		}
		if (!ok)
			watcher_end(w);
	}
	free(items);
	map_shared_clear(&m->shared);
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
	map_events_add(&m->events, id, what);
	schedule(m);
}

void maps_changed(struct maps *m, int64_t node_id, unsigned what)
{
	/* An address or name may come back with another node, a presence may not. */
	if (node_id && !picture_node(m->cfg.picture, node_id))
		presence_forget(&m->presence, node_id);
	add_event(m, node_id, what);
}

void maps_filters_changed(struct maps *m)
{
	if (m->watchers)
		schedule(m);
}

void maps_drained(struct maps_watcher *w)
{
	if (w->place != map_events_end(&w->maps->events) || has_new_filter(w))
		schedule(w->maps);
}

/* ---- presence, keep-alives ---- */

static void set_online(struct maps *m, int64_t id, bool is_online)
{
	struct presence_node *p = presence_of(&m->presence, id);

	if (p->is_online != is_online)
		add_event(m, id, PICTURE_ONLINE);
	p->is_online = is_online;
	p->offline_at_ms = 0;
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
	struct maps *m = w->maps;

	renew_keepalive(w);
	if (!m->cfg.sink->queued(w->to) && send_bytes(w, m->keepalive[w->is_zstd]))
		watcher_end(w);
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
	for (int64_t id = 0; (id = presence_overdue(&m->presence, id, now)) >= 0; id++)
		set_online(m, id, false);
	if (m->started_ms && now - m->started_ms >= START_GRACE_MS)
		start_grace_ended(m);
}

struct maps_watcher *maps_watch(struct maps *m, struct picture_node *n, bool is_zstd, void *to)
{
	struct maps_watcher *w = calloc(1, sizeof(*w));
	struct presence_node *p = presence_of(&m->presence, n->row->id);

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
	if (p->stream) {
		struct maps_watcher *old = p->stream;

		p->stream = w;
		watcher_end(old);
	}
	p->stream = w;
	p->offline_at_ms = 0;
	if (send_full(w, n)) {
		p->stream = NULL;
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

static void maps_free(struct maps *m)
{
	map_events_fini(&m->events);
	presence_fini(&m->presence);
	map_frame_writer_free(m->zstd);
	ts2021_bytes_put(m->keepalive[0]);
	ts2021_bytes_put(m->keepalive[1]);
	free(m);
}

int maps_open(const struct maps_config *cfg, struct maps **out)
{
	/* Not the shortest spelling: a client that has seen that one mistakes others for it. */
	static const char keepalive[] = "{\"KeepAlive\":true}\n";
	struct maps *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->cfg = *cfg;
	m->zstd = map_frame_writer_new();
	for (int i = 0; i < 2 && m->zstd; i++)
		m->keepalive[i] = frame_of_text(m, i, keepalive, sizeof(keepalive) - 1);
	if (!m->keepalive[0] || !m->keepalive[1]) {
		maps_free(m);
		return -ENOMEM;
	}
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

	if (--m->handles == 0)
		maps_free(m);
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
