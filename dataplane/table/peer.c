/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See peer.h and peer_build.h.
 *
 * Taking a session away races with a worker inside peer_promote, which may make
 * it `tx` just after the control thread looked. So: SESSION_GONE first, then `tx`
 * is moved off it; after one grace period nobody is inside any more, `tx` is
 * looked at once again, and after another one the session is freed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/table/lane_build.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/retire.h"
#include "dataplane/table/session_build.h"
#include "dataplane/table/slab.h"

#define IDS_FIRST     64u
#define BUCKETS_FIRST 64u

static struct slab peer_slab = SLAB_INIT(struct peer);
static struct slab path_slab = SLAB_INIT(struct peer_path);

struct peer_build {
	struct session_table *sessions;
	size_t count;
	struct peer **bucket; /* by public key */
	uint32_t bucket_mask;
};

/* ---- workers ---- */

static void make_tx(struct peer *p, struct session *s)
{
	struct session *old = atomic_load_explicit(&p->tx, memory_order_acquire);

	while (!old || old->born_ns <= s->born_ns) {
		if (atomic_compare_exchange_weak_explicit(&p->tx, &old, s, memory_order_acq_rel,
							  memory_order_acquire))
			return;
	}
}

bool peer_promote(struct peer *p, struct session *s)
{
	uint32_t flags = atomic_load_explicit(&s->flags, memory_order_acquire);

	do {
		if (flags & (SESSION_CONFIRMED | SESSION_GONE))
			return false;
	} while (
		!atomic_compare_exchange_weak_explicit(&s->flags, &flags, flags | SESSION_CONFIRMED,
						       memory_order_acq_rel, memory_order_acquire));
	make_tx(p, s);
	return true;
}

#define GET(field)    atomic_load_explicit(&(field), memory_order_relaxed)
#define PUT(field, v) atomic_store_explicit(&(field), v, memory_order_relaxed)

static void count(_Atomic uint64_t *v, uint64_t n, bool is_shared)
{
	if (is_shared)
		atomic_fetch_add_explicit(v, n, memory_order_relaxed);
	else
		PUT(*v, GET(*v) + n);
}

void peer_note_rx(struct peer *p, uint64_t now_ns, uint64_t n_data, uint64_t bytes, bool is_shared)
{
	PUT(p->last_rx_ns, now_ns);
	if (GET(p->tx_unanswered_ns))
		PUT(p->tx_unanswered_ns, 0);
	if (!n_data)
		return;
	count(&p->rx_packets, n_data, is_shared);
	count(&p->rx_bytes, bytes, is_shared);
	if (!GET(p->rx_unanswered_ns))
		PUT(p->rx_unanswered_ns, now_ns);
}

void peer_note_tx(struct peer *p, uint64_t now_ns, uint64_t n_data, uint64_t bytes, bool is_shared)
{
	PUT(p->last_tx_ns, now_ns);
	if (GET(p->rx_unanswered_ns))
		PUT(p->rx_unanswered_ns, 0);
	if (!n_data)
		return;
	count(&p->tx_packets, n_data, is_shared);
	count(&p->tx_bytes, bytes, is_shared);
	if (!GET(p->tx_unanswered_ns))
		PUT(p->tx_unanswered_ns, now_ns);
}

/* ---- control thread ---- */

struct peer_table *peer_table_new(struct session_table *sessions)
{
	struct peer_table *t = calloc(1, sizeof(*t));
	struct peer_build *b = calloc(1, sizeof(*b));
	struct peer_ids *ids = calloc(1, sizeof(*ids) + IDS_FIRST * sizeof(ids->peer[0]));
	struct peer **bucket = calloc(BUCKETS_FIRST, sizeof(*bucket));

	if (!t || !b || !ids || !bucket) {
		free(t);
		free(b);
		free(ids);
		free(bucket);
		return NULL;
	}
	ids->size = IDS_FIRST;
	b->sessions = sessions;
	b->bucket = bucket;
	b->bucket_mask = BUCKETS_FIRST - 1;
	t->build = b;
	atomic_init(&t->ids, ids);
	return t;
}

void peer_table_free(struct peer_table *t)
{
	struct peer_ids *ids;

	if (!t)
		return;
	ids = atomic_load(&t->ids);
	for (uint32_t id = 1; id < ids->size; id++)
		peer_del(t, id);
	free(ids);
	free(t->build->bucket);
	free(t->build);
	free(t);
}

static uint32_t key_hash(const uint8_t key[DPAPI_KEY_BYTES])
{
	uint32_t h;

	/* Public keys are random already. */
	memcpy(&h, key, sizeof(h));
	return h;
}

struct peer *peer_by_key(const struct peer_table *t, const uint8_t key[DPAPI_KEY_BYTES])
{
	struct peer *p = t->build->bucket[key_hash(key) & t->build->bucket_mask];

	while (p && memcmp(p->public_key, key, DPAPI_KEY_BYTES) != 0)
		p = p->hash_next;
	return p;
}

static void hash_add(struct peer_build *b, struct peer *p)
{
	struct peer **at = &b->bucket[key_hash(p->public_key) & b->bucket_mask];

	p->hash_next = *at;
	*at = p;
}

static void hash_del(struct peer_build *b, struct peer *p)
{
	struct peer **at = &b->bucket[key_hash(p->public_key) & b->bucket_mask];

	while (*at != p)
		at = &(*at)->hash_next;
	*at = p->hash_next;
}

static void hash_grow(struct peer_build *b)
{
	uint32_t n = (b->bucket_mask + 1) * 2;
	struct peer **old = b->bucket, **bucket = calloc(n, sizeof(*bucket));
	uint32_t old_mask = b->bucket_mask;

	if (!bucket)
		return; /* chains get longer, nothing more */
	b->bucket = bucket;
	b->bucket_mask = n - 1;
	for (uint32_t i = 0; i <= old_mask; i++) {
		while (old[i]) {
			struct peer *p = old[i];

			old[i] = p->hash_next;
			hash_add(b, p);
		}
	}
	free(old);
}

static int ids_reserve(struct peer_table *t, uint32_t id)
{
	struct peer_ids *old = atomic_load_explicit(&t->ids, memory_order_relaxed), *ids;
	uint32_t size = old->size;

	if (id < size)
		return 0;
	while (size <= id)
		size *= 2;
	ids = calloc(1, sizeof(*ids) + size * sizeof(ids->peer[0]));
	if (!ids)
		return -ENOMEM;
	ids->size = size;
	for (uint32_t i = 0; i < old->size; i++)
		atomic_init(&ids->peer[i], GET(old->peer[i]));
	atomic_store_explicit(&t->ids, ids, memory_order_release);
	retire(old, free);
	return 0;
}

static int peer_new(struct peer_table *t, const struct dpapi_peer_set *msg, struct peer **out)
{
	struct peer *p;

	if (ids_reserve(t, msg->id) < 0)
		return -ENOMEM;
	p = slab_alloc(&peer_slab);
	if (!p)
		return -ENOMEM;
	p->id = msg->id;
	memcpy(p->public_key, msg->public_key, sizeof(p->public_key));
	*out = p;
	return 0;
}

int peer_set(struct peer_table *t, const struct dpapi_peer_set *msg)
{
	struct peer *p, *same_key;
	bool is_new;

	if (msg->id == 0 || msg->id > PEER_ID_MAX)
		return -EINVAL;
	p = peer_get(t, msg->id);
	same_key = peer_by_key(t, msg->public_key);
	if (p != same_key)
		return -EEXIST;
	is_new = !p;
	if (is_new && peer_new(t, msg, &p) < 0)
		return -ENOMEM;
	p->generation = msg->hdr.generation;
	PUT(p->mtu, msg->mtu);
	PUT(p->flags, msg->flags);
	if (is_new) {
		struct peer_ids *ids = atomic_load_explicit(&t->ids, memory_order_relaxed);

		hash_add(t->build, p);
		if (++t->build->count > t->build->bucket_mask)
			hash_grow(t->build);
		atomic_store_explicit(&ids->peer[p->id], p, memory_order_release);
	}
	return 0;
}

static void path_free(void *path)
{
	slab_free(&path_slab, path);
}

int peer_path_set(struct peer_table *t, uint32_t id, const struct dpapi_path *path)
{
	struct peer *p = peer_get(t, id);
	struct peer_path *old, *new = NULL;

	if (!p)
		return -ENOENT;
	if (path->kind > DPAPI_PATH_CHANNEL)
		return -EINVAL;
	old = atomic_load_explicit(&p->path, memory_order_relaxed);
	if (path->kind == DPAPI_PATH_NONE ? !old : old && !memcmp(&old->path, path, sizeof(*path)))
		return 0;
	if (path->kind != DPAPI_PATH_NONE) {
		new = slab_alloc(&path_slab);
		if (!new)
			return -ENOMEM;
		new->path = *path;
	}
	PUT(p->remote4, 0);
	atomic_store_explicit(&p->path, new, memory_order_release);
	if (new && path->kind == DPAPI_PATH_UDP && path->remote.family == AF_INET)
		PUT(p->remote4, peer_remote4(&path->remote));
	retire(old, path_free);
	return 0;
}

/* The newest confirmed session that is left, or NULL. */
static struct session *best_tx(const struct peer *p)
{
	struct session *best = NULL;

	for (unsigned i = 0; i < p->session_count; i++) {
		struct session *s = p->sessions[i];

		if ((GET(s->flags) & (SESSION_CONFIRMED | SESSION_GONE)) == SESSION_CONFIRMED &&
		    (!best || s->born_ns >= best->born_ns))
			best = s;
	}
	return best;
}

/* Moves `tx` off a session that goes; a worker may have made a newer one tx meanwhile. */
static void leave_tx(struct peer *p, struct session *s)
{
	struct session *old = s;

	atomic_compare_exchange_strong_explicit(&p->tx, &old, best_tx(p), memory_order_acq_rel,
						memory_order_relaxed);
}

/* First grace period over: no worker promotes it any more. */
static void session_second(void *arg)
{
	struct session *s = arg;

	/* The peer outlives its sessions: peer_del retires it behind them, twice as well. */
	leave_tx(s->peer, s);
	retire(s, session_destroy);
}

static void session_drop(struct peer_table *t, struct peer *p, unsigned i)
{
	struct session *s = p->sessions[i];

	memmove(&p->sessions[i], &p->sessions[i + 1],
		(p->session_count - i - 1) * sizeof(p->sessions[0]));
	p->session_count--;
	atomic_fetch_or_explicit(&s->flags, SESSION_GONE, memory_order_acq_rel);
	session_table_del(t->build->sessions, s);
	leave_tx(p, s);
	retire(s, session_second);
}

/* A lane's session is never tx: it is in use where lane_remove takes it out. */
static void lane_drop(struct peer_table *t, struct peer_lanes *l, unsigned i)
{
	struct session *s = l->sessions[i];

	session_table_del(t->build->sessions, s);
	lane_remove(l, i);
	retire(s, session_destroy);
}

static void peer_destroy(void *peer)
{
	struct peer *p = peer;
	struct peer_lanes *lanes = atomic_load(&p->lanes);

	if (lanes)
		lane_free(lanes);
	path_free(atomic_load(&p->path));
	slab_free(&peer_slab, p);
}

static void peer_second(void *peer)
{
	retire(peer, peer_destroy);
}

int peer_del(struct peer_table *t, uint32_t id)
{
	struct peer_ids *ids = atomic_load_explicit(&t->ids, memory_order_relaxed);
	struct peer *p = peer_get(t, id);

	if (!p)
		return -ENOENT;
	atomic_store_explicit(&ids->peer[id], NULL, memory_order_release);
	hash_del(t->build, p);
	t->build->count--;
	while (p->session_count)
		session_drop(t, p, p->session_count - 1);
	while (peer_lanes_get(p) && peer_lanes_get(p)->session_count)
		lane_drop(t, peer_lanes_get(p), peer_lanes_get(p)->session_count - 1);
	retire(p, peer_second);
	return 0;
}

/* Room for one more session of a lane. */
static int lanes_reserve(struct peer *p)
{
	struct peer_lanes *l = peer_lanes_get(p);

	if (!l) {
		l = lane_new();
		if (!l)
			return -ENOMEM;
		atomic_store_explicit(&p->lanes, l, memory_order_release);
	}
	return l->session_count == LANE_SESSIONS_MAX ? -ENOSPC : 0;
}

int peer_session_install(struct peer_table *t, const struct dpapi_session_set *msg)
{
	struct peer *p = peer_get(t, msg->peer_id);
	struct session *s;
	int ret;

	if (!p)
		return -ENOENT;
	if (msg->local_index == 0)
		return -EINVAL;
	s = session_find(t->build->sessions, msg->local_index);
	if (s && s->peer == p && session_is_same(s, msg))
		return 0;
	/* One that waits for its first packet would become tx by it. */
	if (msg->lane > LANE_MAX || (msg->lane && !(msg->flags & SESSION_CONFIRMED)))
		return -EINVAL;
	ret = msg->lane ? lanes_reserve(p) : p->session_count == PEER_SESSIONS_MAX ? -ENOSPC : 0;
	if (ret < 0)
		return ret;
	s = session_new(msg, p);
	if (!s)
		return -ENOMEM;
	ret = session_table_set(t->build->sessions, s);
	if (ret < 0) {
		session_destroy(s);
		return ret;
	}
	if (msg->lane)
		return lane_add(peer_lanes_get(p), s);
	p->sessions[p->session_count++] = s;
	if (msg->flags & SESSION_CONFIRMED)
		make_tx(p, s);
	return 0;
}

int peer_session_remove(struct peer_table *t, uint32_t local_index)
{
	struct session *s = session_find(t->build->sessions, local_index);

	if (!s)
		return -ENOENT;
	if (s->lane) {
		struct peer_lanes *l = peer_lanes_get(s->peer);

		lane_drop(t, l, (unsigned)lane_find(l, s));
		return 0;
	}
	for (unsigned i = 0; i < s->peer->session_count; i++) {
		if (s->peer->sessions[i] == s) {
			session_drop(t, s->peer, i);
			return 0;
		}
	}
	return -ENOENT;
}

int peer_lane_set(struct peer_table *t, const struct dpapi_lane_set *msg, uint64_t now_ns)
{
	struct session *s = session_find(t->build->sessions, msg->local_index);

	if (!s || s->peer->id != msg->peer_id || s->lane == 0)
		return -ENOENT;
	return lane_set(peer_lanes_get(s->peer), s, msg, now_ns);
}

static size_t lanes_expire(struct peer_table *t, struct peer_lanes *l, uint64_t now_ns,
			   void (*fn)(const struct session *s, void *arg), void *arg)
{
	size_t n = 0;

	for (unsigned i = l->session_count; i-- > 0;) {
		if (l->sessions[i]->expire_ns > now_ns)
			continue;
		fn(l->sessions[i], arg);
		lane_drop(t, l, i);
		n++;
	}
	return n;
}

size_t peer_sessions_expire(struct peer_table *t, struct peer *p, uint64_t now_ns,
			    void (*fn)(const struct session *s, void *arg), void *arg)
{
	size_t n = 0;

	for (unsigned i = p->session_count; i-- > 0;) {
		if (p->sessions[i]->expire_ns > now_ns)
			continue;
		fn(p->sessions[i], arg);
		session_drop(t, p, i);
		n++;
	}
	if (peer_lanes_get(p))
		n += lanes_expire(t, peer_lanes_get(p), now_ns, fn, arg);
	return n;
}

uint32_t peer_id_end(const struct peer_table *t)
{
	return atomic_load_explicit(&t->ids, memory_order_relaxed)->size;
}

size_t peer_count(const struct peer_table *t)
{
	return t->build->count;
}

int peer_walk(struct peer_table *t, int (*fn)(struct peer *p, void *arg), void *arg)
{
	const struct peer_ids *ids = atomic_load_explicit(&t->ids, memory_order_relaxed);

	for (uint32_t id = 1; id < ids->size; id++) {
		struct peer *p = GET(ids->peer[id]);
		int ret = p ? fn(p, arg) : 0;

		if (ret)
			return ret;
	}
	return 0;
}

struct sweep {
	struct peer_table *t;
	uint32_t generation;
	size_t n;
	void (*fn)(struct peer *p, void *arg);
	void *arg;
};

static int sweep_peer(struct peer *p, void *arg)
{
	struct sweep *s = arg;

	if (p->generation == s->generation)
		return 0;
	s->fn(p, s->arg);
	peer_del(s->t, p->id);
	s->n++;
	return 0;
}

size_t peer_sweep(struct peer_table *t, uint32_t generation, void (*fn)(struct peer *p, void *arg),
		  void *arg)
{
	struct sweep s = {.t = t, .generation = generation, .fn = fn, .arg = arg};

	peer_walk(t, sweep_peer, &s);
	return s.n;
}
