/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves a client: its queues, sealed into records, and what its socket did not take. */
#include "controlplane/derp/client.h"

#define CONTROL_MAX	 16384
#define CONTROL_MESH_MAX (8u << 20)

void client_mark_busy(struct client *c)
{
	c->busy_ns = c->worker->now_ns;
	record_keep(&c->record, true);
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
			client_mark_busy(c);
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
