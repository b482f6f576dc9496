/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/client.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "controlplane/derp/hello.h"
#include "controlplane/net/http.h"
#include "lib/base/clock.h"

#define SET_UP_NS	   (10 * NS_PER_SEC) /* each of: TLS and request; ClientInfo */
#define FRAME_NS	   (30 * NS_PER_SEC) /* for the rest of a frame that has begun */
#define BLOCKED_NS	   (15 * NS_PER_SEC) /* without a byte written */
#define QUIET_NS	   (2 * NS_PER_SEC)
#define KEEPALIVE_NS	   (60 * NS_PER_SEC)
#define KEEPALIVE_JITTER_S 5
#define CONTROL_MAX	   16384
#define CONTROL_MESH_MAX   (8u << 20)

/* A number for the client in the worker's table. 0, or -ENOMEM. */
static int take_slot(struct worker *w, struct client *c)
{
	if (w->free_count) {
		c->slot = w->free_slots[--w->free_count];
	} else {
		if (w->slot_count == w->slot_room) {
			uint32_t room = w->slot_room ? w->slot_room * 2 : 64;
			struct client **slots = realloc(w->slots, room * sizeof(struct client *));
			uint32_t *unused;

			if (!slots)
				return -ENOMEM;
			w->slots = slots;
			unused = realloc(w->free_slots, room * sizeof(*unused));
			if (!unused)
				return -ENOMEM;
			w->free_slots = unused;
			w->slot_room = room;
		}
		c->slot = w->slot_count++;
	}
	w->slots[c->slot] = c;
	c->id = (uint64_t)w->index << 56 | (uint64_t)++w->serial << SLOT_BITS | c->slot;
	return 0;
}

void client_accept(struct worker *w, int fd, const struct endpoint *from)
{
	struct client *c = calloc(1, sizeof(*c));
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				 .data.ptr = c};
	uint32_t count;
	int rc;

	if (!c) {
		close(fd);
		return;
	}
	pthread_mutex_lock(&w->relay->tls_lock);
	rc = record_open(&c->record, fd, w->relay->tls, w->io);
	pthread_mutex_unlock(&w->relay->tls_lock);
	if (rc || take_slot(w, c)) {
		if (!rc)
			record_close(&c->record);
		free(c);
		return;
	}
	c->worker = w;
	c->from = *from;
	c->state = w->relay->tls ? CLIENT_TLS : CLIENT_HTTP;
	c->deadline_ns = w->now_ns + SET_UP_NS;
	count = atomic_fetch_add(&w->relay->clients, 1) + 1;
	/* Two workers may overwrite each other's: it says when trimming pays, no more. */
	if (count > atomic_load_explicit(&w->relay->most_clients, memory_order_relaxed))
		atomic_store_explicit(&w->relay->most_clients, count, memory_order_relaxed);
	COUNT(w, accepted, 1);
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		client_close(c);
}

void client_close(struct client *c)
{
	struct worker *w = c->worker;

	if (c->is_dead)
		return;
	c->is_dead = true;
	if (c->entry)
		frames_leave(c);
	queue_clear(&c->control, &w->pool);
	queue_clear(&c->disco, &w->pool);
	queue_clear(&c->data, &w->pool);
	record_close(&c->record);
	free(c->carry);
	c->carry = NULL;
	w->slots[c->slot] = NULL;
	w->free_slots[w->free_count++] = c->slot;
	c->next_dead = w->dead;
	w->dead = c;
	atomic_fetch_sub(&w->relay->clients, 1);
}

void client_mark_dirty(struct client *c)
{
	if (c->is_dirty || c->is_dead)
		return;
	c->is_dirty = true;
	c->next_dirty = c->worker->dirty;
	c->worker->dirty = c;
}

static void mark_ready(struct client *c)
{
	if (c->is_ready)
		return;
	c->is_ready = true;
	c->next_ready = c->worker->ready;
	c->worker->ready = c;
}

uint8_t *client_control(struct client *c, size_t len)
{
	uint64_t none = 0;

	if (c->is_dead)
		return NULL;
	if (c->control.bytes + len > (c->is_mesh ? CONTROL_MESH_MAX : CONTROL_MAX)) {
		/* A mesh peer that misses one would think wrong of who is here. */
		if (c->is_mesh)
			client_close(c);
		return NULL;
	}
	client_mark_dirty(c);
	return queue_add(&c->control, &c->worker->pool, len, c->worker->now_ns, SIZE_MAX, &none);
}

static int send_server_key(struct client *c)
{
	size_t body = DERP_MAGIC_BYTES + DERP_KEY_BYTES;
	uint8_t *p = client_control(c, DERP_HEADER_BYTES + body);

	if (!p)
		return -ENOMEM;
	derp_header_put(p, DERP_SERVER_KEY, (uint32_t)body);
	derp_server_key_put(p + DERP_HEADER_BYTES, c->worker->relay->identity.public_key.bytes);
	c->deadline_ns = c->worker->now_ns + SET_UP_NS;
	/* At once: even a client whose ClientInfo is refused has seen who refuses. */
	client_write(c);
	return 0;
}

static long take_request(struct client *c, uint8_t *data, size_t len)
{
	struct http_request req;
	long n = http_parse(data, len, &req);

	if (n == 0)
		return 0;
	http_answer(c, &req, n);
	if (c->state == CLIENT_INFO && send_server_key(c))
		return -EPROTO;
	/* Behind an answer that closes nothing is read any more. */
	return c->state == CLIENT_LAST ? (long)len : n;
}

static void set_keepalive(struct client *c)
{
	c->keepalive_ns = c->worker->now_ns + KEEPALIVE_NS +
			  randombytes_uniform(KEEPALIVE_JITTER_S * 1000) * NS_PER_MS;
}

static int welcome(struct client *c, const struct hello *h)
{
	uint8_t answer[HELLO_SERVER_INFO_MAX], *p;
	size_t n = hello_answer(&c->worker->relay->identity, h->key, answer);
	uint8_t flags = (h->is_mesh ? DERP_PRESENT_MESH_PEER : 0) |
			(h->is_prober ? DERP_PRESENT_PROBER : 0);

	p = n ? client_control(c, n) : NULL;
	if (!p)
		return -EPROTO;
	memcpy(p, answer, n);
	c->is_mesh = h->is_mesh;
	c->state = CLIENT_UP;
	c->deadline_ns = 0;
	c->tokens = (int64_t)c->worker->relay->limits.client_burst;
	c->tokens_ns = c->worker->now_ns;
	set_keepalive(c);
	COUNT(c->worker, joined, 1);
	return frames_join(c, h->key, flags ? flags : DERP_PRESENT_REGULAR);
}

static long take_info(struct client *c, const uint8_t *data, size_t len)
{
	const struct relay *r = c->worker->relay;
	struct derp_header h;
	struct hello hello;

	if (len < DERP_HEADER_BYTES)
		return 0;
	h = derp_header_get(data);
	if (h.type != DERP_CLIENT_INFO || h.len > HELLO_CLIENT_INFO_MAX)
		return -EPROTO;
	if (len < DERP_HEADER_BYTES + h.len)
		return h.len < DERP_KEY_BYTES + DERP_NONCE_BYTES ? -EPROTO : 0;
	if (hello_open(&r->identity, r->mesh_key, data + DERP_HEADER_BYTES, h.len, &hello) ||
	    welcome(c, &hello))
		return -EPROTO;
	return DERP_HEADER_BYTES + (long)h.len;
}

/* Bytes taken, or -EPROTO. */
static long take(struct client *c, uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len && !c->is_dead) {
		uint8_t state = c->state;
		long n = -EPROTO;

		switch ((enum client_state)state) {
		case CLIENT_TLS:
			break;
		case CLIENT_HTTP:
			n = take_request(c, data + at, len - at);
			break;
		case CLIENT_INFO:
			n = take_info(c, data + at, len - at);
			break;
		case CLIENT_UP:
			n = frames_take(c, data + at, len - at);
			break;
		case CLIENT_LAST:
			return (long)len;
		}
		if (n < 0)
			return n;
		at += (size_t)n;
		if (state == c->state && (n == 0 || state == CLIENT_UP))
			break;
	}
	return (long)at;
}

/* Keeps what has not come whole; a frame that has begun must end. */
static int keep(struct client *c, const uint8_t *data, size_t len, bool is_rest_of_same)
{
	free(c->carry);
	c->carry = NULL;
	c->carry_len = 0;
	if (c->state == CLIENT_UP && (!len || !is_rest_of_same || !c->deadline_ns))
		c->deadline_ns = len ? c->worker->now_ns + FRAME_NS : 0;
	if (!len)
		return 0;
	c->carry = malloc(len);
	if (!c->carry)
		return -ENOMEM;
	memcpy(c->carry, data, len);
	c->carry_len = (uint32_t)len;
	return 0;
}

/* Stops reading while the client has sent more than it may; TCP tells it. */
static void charge(struct client *c, size_t bytes)
{
	const struct relay_limits *l = &c->worker->relay->limits;
	uint64_t now = c->worker->now_ns;

	if (!l->client_rate || c->state != CLIENT_UP || c->is_mesh)
		return;
	c->tokens += (int64_t)((double)(now - c->tokens_ns) * (double)l->client_rate / 1e9);
	c->tokens_ns = now;
	if (c->tokens > (int64_t)l->client_burst)
		c->tokens = (int64_t)l->client_burst;
	c->tokens -= (int64_t)bytes;
	if (c->tokens < 0)
		c->resume_ns =
			now + (uint64_t)(-c->tokens) * NS_PER_SEC / l->client_rate + NS_PER_MS;
}

static int accept_tls(struct client *c)
{
	int rc = record_accept(&c->record);

	if (!rc)
		c->state = CLIENT_HTTP;
	return rc;
}

/* An edge tells of new bytes alone: what stays in the socket is not told again. */
static void read_on(struct client *c)
{
	if (!c->record.is_drained)
		mark_ready(c);
}

static void mark_busy(struct client *c)
{
	c->busy_ns = c->worker->now_ns;
	record_keep(&c->record, true);
}

static void refuse(struct client *c)
{
	COUNT(c->worker, bad_input, 1);
	client_close(c);
}

void client_read(struct client *c)
{
	uint8_t *buf = c->worker->scratch;
	size_t have = c->carry_len;
	ssize_t n;
	long used;

	if (c->is_dead)
		return;
	if (c->resume_ns > c->worker->now_ns) {
		mark_ready(c);
		return;
	}
	n = c->state == CLIENT_TLS ? accept_tls(c) : 0;
	if (n == 0) {
		if (have)
			memcpy(buf, c->carry, have);
		n = record_read(&c->record, buf + have);
		if (n == 0 || (n < 0 && n != -EAGAIN)) {
			client_close(c);
			return;
		}
	}
	if (n == -EAGAIN) {
		read_on(c);
		return;
	}
	if (n < 0) {
		refuse(c);
		return;
	}
	if (c->state == CLIENT_UP)
		mark_busy(c);
	have += (size_t)n;
	used = take(c, buf, have);
	if (c->is_dead)
		return;
	if (used < 0 || have - (size_t)used > FRAME_BYTES_MAX) {
		refuse(c);
		return;
	}
	if (keep(c, buf + used, have - (size_t)used, used == 0)) {
		client_close(c);
		return;
	}
	charge(c, (size_t)n);
	read_on(c);
}

/* The queue that is written next: control, then the two in turn. */
static struct queue *next_queue(struct client *c)
{
	if (c->control.bytes)
		return &c->control;
	c->turn_disco = !c->turn_disco;
	if (c->disco.bytes && (c->turn_disco || !c->data.bytes))
		return &c->disco;
	return c->data.bytes ? &c->data : NULL;
}

/* Seals as much as one send shall carry. Chunks sealed, or a negative errno. */
static int seal(struct client *c)
{
	struct queue *q;
	int sealed = 0;

	while (record_takes(&c->record) && (q = next_queue(c))) {
		const struct queue_chunk *chunk = q->first;
		int rc = record_write(&c->record, chunk->data + chunk->at, chunk->len - chunk->at);

		if (rc)
			return rc;
		if (q != &c->control)
			mark_busy(c);
		queue_pop(q, &c->worker->pool);
		sealed++;
	}
	return sealed;
}

void client_write(struct client *c)
{
	struct worker *w = c->worker;
	ssize_t left;
	int sealed;

	if (c->is_dead)
		return;
	if (c->blocked_bytes) {
		uint64_t max_age = w->relay->limits.queue_age_ns;

		COUNT(w, drop_age,
		      queue_expire(&c->disco, &w->pool, w->now_ns, max_age) +
			      queue_expire(&c->data, &w->pool, w->now_ns, max_age));
	}
	left = record_flush(&c->record);
	while (left == 0 && (sealed = seal(c)) != 0)
		left = sealed < 0 ? sealed : record_flush(&c->record);
	if (left < 0 || (left == 0 && c->state == CLIENT_LAST)) {
		client_close(c);
		return;
	}
	if (left && (!c->blocked_bytes || (size_t)left < c->blocked_bytes))
		c->blocked_ns = w->now_ns;
	c->blocked_bytes = (size_t)left;
}

void client_sweep(struct client *c)
{
	uint64_t now = c->worker->now_ns;
	uint8_t *p;

	if ((c->deadline_ns && now > c->deadline_ns) ||
	    (c->blocked_bytes && now - c->blocked_ns > BLOCKED_NS)) {
		COUNT(c->worker, timed_out, 1);
		client_close(c);
		return;
	}
	if (c->blocked_bytes)
		client_mark_dirty(c); /* what is too old goes */
	if (now - c->busy_ns > QUIET_NS)
		record_keep(&c->record, false);
	if (c->state != CLIENT_UP || now < c->keepalive_ns)
		return;
	p = client_control(c, DERP_HEADER_BYTES);
	if (p)
		derp_header_put(p, DERP_KEEP_ALIVE, 0);
	set_keepalive(c);
}
