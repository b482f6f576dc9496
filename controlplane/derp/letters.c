/* SPDX-License-Identifier: Apache-2.0 */
/* What workers write each other, and what the admission writes to them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/derp/client.h"
#include "lib/base/log.h"

#define LETTER_BYTES	65536
#define LETTERS_WAITING 64 /* more than these: packets for that worker are dropped */

static struct letter *letter_with_room(struct outbox *o, size_t len)
{
	struct letter *l = o->open;
	size_t room = len > LETTER_BYTES ? len : LETTER_BYTES;

	if (l && l->room - l->len >= len)
		return l;
	if (l) {
		if (o->last)
			o->last->next = l;
		else
			o->first = l;
		o->last = l;
		o->waiting++;
	}
	o->open = malloc(sizeof(*l) + room);
	if (o->open)
		*o->open = (struct letter){.room = room};
	return o->open;
}

bool worker_post(struct worker *w, unsigned to, const struct message *m, const void *data)
{
	struct outbox *o = &w->outboxes[to];
	size_t len = (sizeof(*m) + m->len + 7) & ~7ul;
	struct letter *l;

	if (m->type == MESSAGE_PACKET && o->waiting > LETTERS_WAITING)
		return false;
	l = letter_with_room(o, len);
	if (!l)
		return false;
	memcpy(l->data + l->len, m, sizeof(*m));
	if (m->len)
		memcpy(l->data + l->len + sizeof(*m), data, m->len);
	l->len += len;
	return true;
}

void worker_tell(struct worker *w, const struct message *m, const void *data)
{
	for (unsigned i = 0; i < w->relay->worker_count; i++)
		if (i != w->index && !worker_post(w, i, m, data))
			log_error("relay.memory", "worker=%u", w->index);
}

/* Posts what was written in this turn; true if something still waits. */
bool letters_post(struct worker *w)
{
	bool waits = false;

	for (unsigned i = 0; i < w->relay->worker_count; i++) {
		struct outbox *o = &w->outboxes[i];
		struct worker *to = &w->relay->workers[i];
		uint64_t one = 1;
		bool posted = false;

		if (o->open) {
			struct letter *l = o->open;

			o->open = NULL;
			if (o->last)
				o->last->next = l;
			else
				o->first = l;
			o->last = l;
			o->waiting++;
		}
		while (o->first) {
			struct letter *next = o->first->next;

			if (!mailbox_put(&to->mailboxes[w->index], o->first))
				break;
			o->first = next;
			o->waiting--;
			posted = true;
		}
		if (!o->first)
			o->last = NULL;
		else
			waits = true;
		if (posted && write(to->event_fd, &one, sizeof(one)) < 0)
			log_error("relay.wake", "error=\"%s\"", strerror(errno));
	}
	return waits;
}

void letters_read(struct worker *w)
{
	struct letter *l;

	for (unsigned i = 0; i < w->relay->worker_count; i++)
		while ((l = mailbox_take(&w->mailboxes[i]))) {
			for (size_t at = 0; at < l->len;) {
				struct message m;

				memcpy(&m, l->data + at, sizeof(m));
				frames_on_message(w, &m, l->data + at + sizeof(m));
				at += (sizeof(m) + m.len + 7) & ~7ul;
			}
			free(l);
		}
}

/* --- answers of the admission --- */

void relay_on_answer(void *arg, uint64_t id, bool is_allowed)
{
	struct relay *r = arg;
	struct worker *w = &r->workers[id >> 56];
	struct admission_answer *a = malloc(sizeof(*a));
	uint64_t one = 1;

	/* Without one the client's time runs out. */
	if (!a)
		return;
	*a = (struct admission_answer){
		.next = atomic_load(&w->answers), .id = id, .is_allowed = is_allowed};
	while (!atomic_compare_exchange_weak(&w->answers, &a->next, a))
		;
	if (write(w->event_fd, &one, sizeof(one)) < 0)
		log_error("relay.wake", "error=\"%s\"", strerror(errno));
}

struct client *worker_client(const struct worker *w, uint64_t id)
{
	uint32_t slot = (uint32_t)id & SLOT_MASK;
	struct client *c = slot < w->slot_count ? w->slots[slot] : NULL;

	/* The slot may be another client's by now. */
	return c && c->id == id ? c : NULL;
}

void answers_read(struct worker *w)
{
	struct admission_answer *next, *a = atomic_load_explicit(&w->answers, memory_order_relaxed);

	for (a = a ? atomic_exchange(&w->answers, NULL) : NULL; a; a = next) {
		struct client *c = worker_client(w, a->id);

		next = a->next;
		if (c)
			client_on_answer(c, a->is_allowed);
		free(a);
	}
}
