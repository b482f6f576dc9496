/* SPDX-License-Identifier: Apache-2.0 */
/* See session.h and session_build.h. Control thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/table/retire.h"
#include "dataplane/table/session_build.h"
#include "dataplane/table/slab.h"

static struct slab sessions = SLAB_INIT(struct session);

static struct session_slots *slots_new(uint32_t n)
{
	struct session_slots *s = calloc(1, sizeof(*s) + n * sizeof(s->slot[0]));

	if (s)
		s->mask = n - 1;
	return s;
}

struct session_table *session_table_new(uint32_t slots)
{
	struct session_table *t;
	struct session_slots *s;

	if (slots == 0 || slots > SESSION_SLOTS_MAX || (slots & (slots - 1)))
		return NULL;
	t = calloc(1, sizeof(*t));
	s = slots_new(slots);
	if (!t || !s) {
		free(t);
		free(s);
		return NULL;
	}
	atomic_init(&t->slots, s);
	return t;
}

void session_table_free(struct session_table *t)
{
	if (!t)
		return;
	free(atomic_load(&t->slots));
	free(t);
}

uint32_t session_table_slots(const struct session_table *t)
{
	return atomic_load_explicit(&t->slots, memory_order_relaxed)->mask + 1;
}

int session_table_grow(struct session_table *t)
{
	struct session_slots *old = atomic_load_explicit(&t->slots, memory_order_relaxed);
	uint32_t n = (old->mask + 1) * 2;
	struct session_slots *s;

	if (n > SESSION_SLOTS_MAX)
		return -ENOSPC;
	s = slots_new(n);
	if (!s)
		return -ENOMEM;
	for (uint32_t i = 0; i <= old->mask; i++) {
		struct session *one = atomic_load_explicit(&old->slot[i], memory_order_relaxed);

		if (one)
			atomic_init(&s->slot[one->local_index & s->mask], one);
	}
	atomic_store_explicit(&t->slots, s, memory_order_release);
	retire(old, free);
	return 0;
}

struct session *session_new(const struct dpapi_session_set *msg, struct peer *peer)
{
	struct session *s = slab_alloc(&sessions);

	if (!s)
		return NULL;
	s->local_index = msg->local_index;
	s->remote_index = msg->remote_index;
	s->peer = peer;
	atomic_init(&s->flags, msg->flags & (SESSION_INITIATOR | SESSION_CONFIRMED));
	s->lane = msg->lane;
	s->is_confirm_told = msg->flags & SESSION_CONFIRMED;
	s->born_ns = msg->born_ns;
	s->expire_ns = msg->expire_ns;
	s->rekey_tx_ns = msg->rekey_tx_ns;
	s->rekey_rx_ns = msg->rekey_rx_ns;
	memcpy(s->send_key, msg->send_key, sizeof(s->send_key));
	memcpy(s->recv_key, msg->recv_key, sizeof(s->recv_key));
	return s;
}

void session_destroy(void *session)
{
	if (!session)
		return;
	replay_fini(&((struct session *)session)->replay);
	explicit_bzero(session, sizeof(struct session));
	slab_free(&sessions, session);
}

bool session_is_same(const struct session *s, const struct dpapi_session_set *msg)
{
	return s->local_index == msg->local_index && s->remote_index == msg->remote_index &&
	       s->born_ns == msg->born_ns && s->expire_ns == msg->expire_ns &&
	       s->rekey_tx_ns == msg->rekey_tx_ns && s->rekey_rx_ns == msg->rekey_rx_ns &&
	       s->lane == msg->lane && memcmp(s->send_key, msg->send_key, 32) == 0 &&
	       memcmp(s->recv_key, msg->recv_key, 32) == 0;
}

int session_table_set(struct session_table *t, struct session *s)
{
	struct session_slots *slots = atomic_load_explicit(&t->slots, memory_order_relaxed);

	/* Half full: most random indices still find their slot free. Growing may fail: no matter.
	 */
	if (t->count >= (slots->mask + 1) / 2 && session_table_grow(t) == 0)
		slots = atomic_load_explicit(&t->slots, memory_order_relaxed);
	if (atomic_load_explicit(&slots->slot[s->local_index & slots->mask], memory_order_relaxed))
		return -EEXIST;
	atomic_store_explicit(&slots->slot[s->local_index & slots->mask], s, memory_order_release);
	t->count++;
	return 0;
}

int session_table_del(struct session_table *t, struct session *s)
{
	struct session_slots *slots = atomic_load_explicit(&t->slots, memory_order_relaxed);
	_Atomic(struct session *) *slot = &slots->slot[s->local_index & slots->mask];

	if (atomic_load_explicit(slot, memory_order_relaxed) != s)
		return -ENOENT;
	atomic_store_explicit(slot, NULL, memory_order_release);
	t->count--;
	return 0;
}

void session_walk(struct session_table *t, void (*fn)(struct session *s, void *arg), void *arg)
{
	struct session_slots *slots = atomic_load_explicit(&t->slots, memory_order_relaxed);

	for (uint32_t i = 0; i <= slots->mask; i++) {
		struct session *s = atomic_load_explicit(&slots->slot[i], memory_order_relaxed);

		if (s)
			fn(s, arg);
	}
}
