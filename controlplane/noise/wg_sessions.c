/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/noise/wg_sessions.h"

#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/wire/wg.h"

#define REJECT_AFTER_NS (WG_REJECT_AFTER_TIME_S * NS_PER_SEC)
/* Two handshakes that crossed derive their keys within one retry interval. */
#define CROSSED_NS (WG_REKEY_TIMEOUT_S * NS_PER_SEC)

static void drop(struct wg_session *session, struct wg_sessions_dropped *dropped)
{
	if (session->state == WG_SESSION_NONE)
		return;
	BUG_ON(dropped->count >= ARRAY_SIZE(dropped->local_index));
	dropped->local_index[dropped->count++] = session->local_index;
	*session = (struct wg_session){0};
}

/* to is dropped, from takes its place. */
static void move(struct wg_session *to, struct wg_session *from,
		 struct wg_sessions_dropped *dropped)
{
	if (from->state == WG_SESSION_NONE)
		return; /* a newer session behind nothing does not cost us the older one */
	drop(to, dropped);
	*to = *from;
	*from = (struct wg_session){0};
}

const struct wg_session *wg_sessions_add(struct wg_sessions *s, struct wg_session fresh,
					 bool is_winner, struct wg_sessions_dropped *dropped)
{
	fresh.state = WG_SESSION_INSTALLING;
	if (!fresh.is_initiator) {
		drop(&s->next, dropped);
		s->next = fresh;
		return &s->next;
	}
	if (s->next.state != WG_SESSION_NONE && !is_winner && fresh.born_ns >= s->next.born_ns &&
	    fresh.born_ns - s->next.born_ns < CROSSED_NS)
		fresh.born_ns = s->next.born_ns - 1;
	move(&s->previous, &s->current, dropped);
	s->current = fresh;
	return &s->current;
}

struct wg_session *wg_sessions_find(struct wg_sessions *s, uint32_t local_index)
{
	struct wg_session *all[] = {&s->current, &s->next, &s->previous};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i]->state != WG_SESSION_NONE && all[i]->local_index == local_index)
			return all[i];
	}
	return NULL;
}

void wg_sessions_confirm(struct wg_sessions *s, struct wg_sessions_dropped *dropped)
{
	s->next.state = WG_SESSION_CONFIRMED;
	if (s->current.state != WG_SESSION_NONE && s->next.born_ns <= s->current.born_ns) {
		move(&s->previous, &s->next, dropped);
		return;
	}
	move(&s->previous, &s->current, dropped);
	move(&s->current, &s->next, dropped);
}

void wg_sessions_adopt(struct wg_sessions *s, struct wg_session session,
		       struct wg_sessions_dropped *dropped)
{
	if (session.state != WG_SESSION_CONFIRMED) {
		if (s->next.state == WG_SESSION_NONE || session.born_ns > s->next.born_ns) {
			drop(&s->next, dropped);
			s->next = session;
		} else {
			drop(&session, dropped);
		}
	} else if (s->current.state == WG_SESSION_NONE || session.born_ns > s->current.born_ns) {
		move(&s->previous, &s->current, dropped);
		s->current = session;
	} else if (s->previous.state == WG_SESSION_NONE || session.born_ns > s->previous.born_ns) {
		drop(&s->previous, dropped);
		s->previous = session;
	} else {
		drop(&session, dropped);
	}
}

static void expire(struct wg_session *session, uint64_t now_ns, struct wg_sessions_dropped *dropped)
{
	if (session->state != WG_SESSION_NONE && now_ns >= session->born_ns + REJECT_AFTER_NS)
		drop(session, dropped);
}

void wg_sessions_expire(struct wg_sessions *s, uint64_t now_ns, struct wg_sessions_dropped *dropped)
{
	expire(&s->previous, now_ns, dropped);
	expire(&s->current, now_ns, dropped);
	expire(&s->next, now_ns, dropped);
}

uint64_t wg_sessions_expiry(const struct wg_sessions *s)
{
	const struct wg_session *all[] = {&s->current, &s->next, &s->previous};
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		uint64_t at = all[i]->born_ns + REJECT_AFTER_NS;

		if (all[i]->state != WG_SESSION_NONE && at < first)
			first = at;
	}
	return first;
}

void wg_sessions_clear(struct wg_sessions *s, struct wg_sessions_dropped *dropped)
{
	drop(&s->previous, dropped);
	drop(&s->current, dropped);
	drop(&s->next, dropped);
}
