/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "controlplane/net/http.h"
#include "lib/base/clock.h"

#define FRAME_NS   (30 * NS_PER_SEC) /* for the rest of a frame that has begun */
#define BLOCKED_NS (15 * NS_PER_SEC) /* without a byte written */
#define QUIET_NS   (2 * NS_PER_SEC)

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
	free(c->asked);
	c->carry = NULL;
	c->asked = NULL;
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

static long take_request(struct client *c, uint8_t *data, size_t len)
{
	struct http_request req;
	long n = http_parse(data, len, &req);

	if (n == 0)
		return 0;
	http_answer(c, &req, n);
	if (c->state == CLIENT_INFO && client_send_server_key(c))
		return -EPROTO;
	/* Behind an answer that closes nothing is read any more. */
	return c->state == CLIENT_LAST ? (long)len : n;
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
			n = client_take_info(c, data + at, len - at);
			break;
		case CLIENT_UP:
			n = frames_take(c, data + at, len - at);
			break;
		case CLIENT_ASKED:
			return (long)at;
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

static void refuse(struct client *c)
{
	COUNT(c->worker, bad_input, 1);
	client_close(c);
}

/* have bytes stand in scratch, fresh of them new. */
static void digest(struct client *c, size_t have, size_t fresh)
{
	uint8_t *buf = c->worker->scratch;
	long used;

	if (c->state == CLIENT_UP) {
		client_mark_busy(c);
		c->worker->reads++;
	}
	used = take(c, buf, have);
	if (c->is_dead)
		return;
	if (used < 0 || (c->state != CLIENT_ASKED && have - (size_t)used > FRAME_BYTES_MAX)) {
		refuse(c);
		return;
	}
	if (keep(c, buf + used, have - (size_t)used, used == 0)) {
		client_close(c);
		return;
	}
	charge(c, fresh);
	read_on(c);
}

void client_go_on(struct client *c)
{
	size_t have = c->carry_len;

	if (have)
		memcpy(c->worker->scratch, c->carry, have);
	digest(c, have, 0);
	/* What came meanwhile was told when nobody read. */
	if (!c->is_dead)
		mark_ready(c);
}

void client_read(struct client *c)
{
	uint8_t *buf = c->worker->scratch;
	size_t have = c->carry_len;
	ssize_t n;

	if (c->is_dead || c->state == CLIENT_ASKED)
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
	if (n == -EAGAIN)
		read_on(c);
	else if (n < 0)
		refuse(c);
	else
		digest(c, have + (size_t)n, (size_t)n);
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
	client_set_keepalive(c);
}
