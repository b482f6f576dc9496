/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the frames of a client do: packets find their receiver's queue, here or with
 * another worker; who comes and goes is told to all workers and to mesh peers that watch.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/derp/client.h"
#include "lib/base/clock.h"
#include "lib/wire/disco.h"

#define DISCO_LEAST	  62 /* magic, key, nonce, tag: what looks like disco at all */
#define DISCO_QUEUE_BYTES 65536
#define GONE_BURST	  3 /* then one a second */

static bool is_disco(const uint8_t *packet, size_t len)
{
	return len >= DISCO_LEAST && memcmp(packet, disco_magic, DISCO_MAGIC_BYTES) == 0;
}

static void send_gone(struct client *to, const uint8_t *key, enum derp_gone_reason reason)
{
	uint8_t *p = client_control(to, DERP_HEADER_BYTES + DERP_KEY_BYTES + 1);

	if (!p)
		return;
	derp_header_put(p, DERP_PEER_GONE, DERP_KEY_BYTES + 1);
	memcpy(p + DERP_HEADER_BYTES, key, DERP_KEY_BYTES);
	p[DERP_HEADER_BYTES + DERP_KEY_BYTES] = (uint8_t)reason;
}

static void send_present(struct client *to, const struct entry *e, const struct where *w)
{
	struct derp_present present = {.where = w->from, .flags = w->flags};
	uint8_t body[DERP_PRESENT_BYTES_MAX], *p;
	size_t n;

	memcpy(present.key, e->key, DERP_KEY_BYTES);
	n = derp_present_put(body, &present);
	p = client_control(to, DERP_HEADER_BYTES + n);
	if (!p)
		return;
	derp_header_put(p, DERP_PEER_PRESENT, (uint32_t)n);
	memcpy(p + DERP_HEADER_BYTES, body, n);
}

/* --- who got packets of whom --- */

static struct flow **flow_bucket(const struct worker *w, const struct entry *e,
				 const struct client *c)
{
	uint64_t h = ((uintptr_t)e >> 5) * 0x9e3779b97f4a7c15ull ^ ((uintptr_t)c >> 5);

	h *= 0x9e3779b97f4a7c15ull;
	return &w->flows[(h >> 40) % FLOW_BUCKETS];
}

static void flow_free(struct worker *w, struct flow *f)
{
	struct flow **at = flow_bucket(w, f->source, f->to);

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	*f->source_prev = f->source_next;
	if (f->source_next)
		f->source_next->source_prev = f->source_prev;
	*f->to_prev = f->to_next;
	if (f->to_next)
		f->to_next->to_prev = f->to_prev;
	free(f);
}

static void note_flow(struct worker *w, const uint8_t *key, struct client *to)
{
	struct entry *e;
	struct flow **bucket, *f;

	if (memcmp(to->last_from, key, DERP_KEY_BYTES) == 0)
		return;
	memcpy(to->last_from, key, DERP_KEY_BYTES);
	e = directory_find(&w->directory, key);
	if (!e || e == to->entry)
		return;
	bucket = flow_bucket(w, e, to);
	for (f = *bucket; f; f = f->next)
		if (f->source == e && f->to == to)
			return;
	f = malloc(sizeof(*f));
	if (!f)
		return;
	*f = (struct flow){
		.next = *bucket,
		.source = e,
		.to = to,
		.source_next = e->flows,
		.source_prev = &e->flows,
		.to_next = to->flows,
		.to_prev = &to->flows,
	};
	if (f->source_next)
		f->source_next->source_prev = &f->source_next;
	if (f->to_next)
		f->to_next->to_prev = &f->to_next;
	*bucket = e->flows = to->flows = f;
}

/* The last connection of this key is gone. */
static void on_gone(struct worker *w, struct entry *e)
{
	while (e->flows) {
		struct client *to = e->flows->to;

		/* It may come again and go again: then it must be noted again. */
		memset(to->last_from, 0, DERP_KEY_BYTES);
		flow_free(w, e->flows);
		if (!to->is_watcher)
			send_gone(to, e->key, DERP_GONE_DISCONNECTED);
	}
	for (uint32_t i = w->watchers ? w->slot_count : 0; i > 0; i--) {
		struct client *c = w->slots[i - 1];

		if (c && c->is_watcher)
			send_gone(c, e->key, DERP_GONE_DISCONNECTED);
	}
	directory_free_entry(&w->directory, e);
}

static void on_join(struct worker *w, const struct entry *e, const struct where *where)
{
	for (uint32_t i = w->watchers ? w->slot_count : 0; i > 0; i--) {
		struct client *c = w->slots[i - 1];

		if (c && c->is_watcher)
			send_present(c, e, where);
	}
}

/* --- coming and going --- */

int frames_join(struct client *c, const uint8_t key[DERP_KEY_BYTES], uint8_t flags)
{
	struct worker *w = c->worker;
	struct where where = {
		.id = c->id,
		.turn = atomic_fetch_add(&w->relay->turn, 1) + 1,
		.client = c,
		.from = c->from,
		.flags = flags,
	};
	struct message m = {.type = MESSAGE_JOIN, .len = sizeof(where), .id = c->id};

	memcpy(m.key, key, DERP_KEY_BYTES);
	c->entry = directory_join(&w->directory, key, &where);
	if (!c->entry)
		return -ENOMEM;
	c->gone_tokens = GONE_BURST;
	on_join(w, c->entry, &where);
	where.client = NULL;
	worker_tell(w, &m, &where);
	return 0;
}

void frames_leave(struct client *c)
{
	struct worker *w = c->worker;
	struct message m = {.type = MESSAGE_LEAVE, .id = c->id};
	struct entry *e;

	memcpy(m.key, c->entry->key, DERP_KEY_BYTES);
	while (c->flows)
		flow_free(w, c->flows);
	if (c->is_watcher)
		w->watchers--;
	c->is_watcher = false;
	c->entry = NULL;
	e = directory_leave(&w->directory, m.key, c->id);
	if (e)
		on_gone(w, e);
	worker_tell(w, &m, NULL);
}

/* Of several connections with one key, the last that sent anything is the active one. */
static void activate(struct client *c)
{
	struct entry *e = c->entry;
	struct message m = {.type = MESSAGE_ACTIVATE, .id = c->id};

	if (e->count == 1 || e->where[e->active].id == c->id)
		return;
	m.turn = atomic_fetch_add(&c->worker->relay->turn, 1) + 1;
	memcpy(m.key, e->key, DERP_KEY_BYTES);
	directory_activate(&c->worker->directory, m.key, c->id, m.turn);
	worker_tell(c->worker, &m, NULL);
}

/* --- packets --- */

static void deliver(struct worker *w, struct client *to, const uint8_t *source,
		    const uint8_t *packet, size_t len)
{
	size_t n = DERP_HEADER_BYTES + DERP_KEY_BYTES + len;
	bool disco = is_disco(packet, len);
	uint64_t dropped = 0;
	uint8_t *p = queue_add(disco ? &to->disco : &to->data, &w->pool, n, w->now_ns,
			       disco ? DISCO_QUEUE_BYTES : w->relay->limits.queue_bytes, &dropped);

	if (dropped)
		COUNT(w, drop_queue, dropped);
	if (!p) {
		COUNT(w, drop_memory, 1);
		return;
	}
	derp_header_put(p, DERP_RECV_PACKET, (uint32_t)(DERP_KEY_BYTES + len));
	memcpy(p + DERP_HEADER_BYTES, source, DERP_KEY_BYTES);
	memcpy(p + DERP_HEADER_BYTES + DERP_KEY_BYTES, packet, len);
	note_flow(w, source, to);
	client_mark_dirty(to);
	COUNT(w, sent, 1);
}

static void nobody(struct client *c, const uint8_t *key, const uint8_t *packet, size_t len)
{
	uint64_t now = c->worker->now_ns, back;

	COUNT(c->worker, drop_unknown, 1);
	if (!is_disco(packet, len))
		return;
	back = c->gone_ns ? (now - c->gone_ns) / NS_PER_SEC : 0;
	if (back || !c->gone_ns) {
		c->gone_tokens =
			(uint8_t)(c->gone_tokens + back > GONE_BURST ? GONE_BURST
								     : c->gone_tokens + back);
		c->gone_ns = c->gone_ns ? c->gone_ns + back * NS_PER_SEC : now;
	}
	if (!c->gone_tokens)
		return;
	c->gone_tokens--;
	send_gone(c, key, DERP_GONE_NOT_HERE);
}

static struct entry *find(struct client *c, const uint8_t *key)
{
	struct directory *d = &c->worker->directory;
	struct entry *e = c->last_to;

	if (e && c->last_epoch == d->epoch && memcmp(e->key, key, DERP_KEY_BYTES) == 0)
		return e;
	e = directory_find(d, key);
	c->last_to = e;
	c->last_epoch = d->epoch;
	return e;
}

static void on_packet(struct client *c, const uint8_t *source, const uint8_t *to,
		      const uint8_t *packet, size_t len)
{
	struct worker *w = c->worker;
	struct entry *e = find(c, to);
	const struct where *where;

	COUNT(w, received, 1);
	COUNT(w, received_bytes, len);
	if (!e) {
		nobody(c, to, packet, len);
		return;
	}
	where = &e->where[e->active];
	if (where->client) {
		deliver(w, where->client, source, packet, len);
	} else {
		struct message m = {.type = MESSAGE_PACKET, .len = (uint32_t)len, .id = where->id};

		memcpy(m.key, source, DERP_KEY_BYTES);
		if (worker_post(w, (unsigned)(where->id >> 56), &m, packet))
			COUNT(w, handed_over, 1);
		else
			COUNT(w, drop_mailbox, 1);
	}
}

static void on_watch(struct client *c)
{
	struct directory *d = &c->worker->directory;

	/* A connection of the relay to itself learns nothing from itself. */
	if (c->is_watcher ||
	    memcmp(c->entry->key, c->worker->relay->identity.public_key.bytes, DERP_KEY_BYTES) == 0)
		return;
	c->is_watcher = true;
	c->worker->watchers++;
	for (size_t i = 0; i <= d->mask; i++)
		for (const struct entry *e = d->buckets[i]; e; e = e->next) {
			send_present(c, e, &e->where[e->active]);
			/* Too much waits for it: it is closed, and perhaps its entry gone. */
			if (c->is_dead)
				return;
		}
}

/* Closes this worker's connections of a key. */
static void close_key(struct worker *w, const uint8_t *key)
{
	struct entry *e = directory_find(&w->directory, key);

	for (uint32_t i = e ? e->count : 0; i > 0; i--) {
		struct client *victim = e->where[i - 1].client;
		/* With its last connection the entry goes. */
		bool is_last = e->count == 1;

		if (victim)
			client_close(victim);
		if (is_last)
			return;
	}
}

static void on_close_peer(struct client *c, const uint8_t *key)
{
	struct message m = {.type = MESSAGE_CLOSE};

	memcpy(m.key, key, DERP_KEY_BYTES);
	worker_tell(c->worker, &m, NULL);
	close_key(c->worker, m.key);
}

static void on_ping(struct client *c, const uint8_t *body)
{
	uint8_t *p = client_control(c, DERP_HEADER_BYTES + DERP_PING_BYTES);

	if (!p)
		return;
	derp_header_put(p, DERP_PONG, DERP_PING_BYTES);
	memcpy(p + DERP_HEADER_BYTES, body, DERP_PING_BYTES);
}

static void on_frame(struct client *c, const struct derp_header *h, const uint8_t *body)
{
	switch ((enum derp_type)h->type) {
	case DERP_SEND_PACKET:
		on_packet(c, c->entry->key, body, body + DERP_KEY_BYTES, h->len - DERP_KEY_BYTES);
		break;
	case DERP_FORWARD_PACKET:
		on_packet(c, body, body + DERP_KEY_BYTES, body + 2 * DERP_KEY_BYTES,
			  h->len - 2 * DERP_KEY_BYTES);
		break;
	case DERP_PING:
		on_ping(c, body);
		break;
	case DERP_WATCH_CONNS:
		on_watch(c);
		break;
	case DERP_CLOSE_PEER:
		on_close_peer(c, body);
		break;
	default:
		/* NotePreferred is statistics; the rest was judged before. */
		break;
	}
}

long frames_take(struct client *c, const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (len - at >= DERP_HEADER_BYTES) {
		struct derp_header h = derp_header_get(data + at);
		enum derp_verdict verdict = derp_server_verdict(&h, c->is_mesh);

		if (verdict == DERP_CLOSE)
			return -EPROTO;
		if (len - at - DERP_HEADER_BYTES < h.len)
			break;
		activate(c);
		if (verdict == DERP_TAKE)
			on_frame(c, &h, data + at + DERP_HEADER_BYTES);
		at += DERP_HEADER_BYTES + h.len;
		/* ClosePeer may have meant this very client. */
		if (c->is_dead)
			break;
	}
	return (long)at;
}

/* --- what other workers say --- */

static void on_remote_packet(struct worker *w, const struct message *m, const uint8_t *data)
{
	struct client *to = worker_client(w, m->id);

	if (to)
		deliver(w, to, m->key, data, m->len);
	else
		COUNT(w, drop_gone, 1);
}

void frames_on_message(struct worker *w, const struct message *m, const uint8_t *data)
{
	struct where where;
	struct entry *e;

	switch ((enum message_type)m->type) {
	case MESSAGE_JOIN:
		memcpy(&where, data, sizeof(where));
		e = directory_join(&w->directory, m->key, &where);
		if (e)
			on_join(w, e, &where);
		break;
	case MESSAGE_LEAVE:
		e = directory_leave(&w->directory, m->key, m->id);
		if (e)
			on_gone(w, e);
		break;
	case MESSAGE_ACTIVATE:
		directory_activate(&w->directory, m->key, m->id, m->turn);
		break;
	case MESSAGE_PACKET:
		on_remote_packet(w, m, data);
		break;
	case MESSAGE_CLOSE:
		close_key(w, m->key);
		break;
	}
}
