/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/noise/wg_lanes.h"

#include <errno.h>
#include <sodium.h>

#include "lib/base/bug.h"
#include "lib/base/clock.h"

#define ANNOUNCE_MAX	  8
#define ANNOUNCE_UNHEARD  3 /* to a peer that may not know lanes */
#define ANNOUNCE_FIRST_NS (1 * NS_PER_SEC)
#define ANNOUNCE_LATER_NS (3 * NS_PER_SEC)
#define SECRET_NS	  (30 * NS_PER_SEC)

#define QUICK_PINGS   5
#define QUICK_PING_NS (200 * NS_PER_MS)
#define PING_NS	      NS_PER_SEC
#define USABLE_NS     (3 * NS_PER_SEC)
/* A pair that the peer pings is good for an answer that long: some pings may be lost. */
#define HEARD_NS  (5 * NS_PER_SEC)
#define ACTIVE_NS (5 * NS_PER_SEC)
#define WANT_NS	  (5 * NS_PER_SEC)
/* Lanes that work take all data: lane 0's own place in a NAT's table is kept so. */
#define LANE_0_NS (10 * NS_PER_SEC)
/* Who is not the opener begins only then; the opener turns to the other's pair then. */
#define OTHER_OPENS_NS (2 * NS_PER_SEC)
/* Lanes of a session go on that long behind the next session. */
#define OVERLAP_NS   (10 * NS_PER_SEC)
#define PONGS_SECOND 64

static const struct wg_lane_pair home = {.port = 0, .is_home = true};

static struct wg_lanes_session *find_base(struct wg_lanes *l, uint32_t base_index)
{
	for (unsigned i = 0; base_index && i < WG_LANES_SESSIONS; i++)
		if (l->sessions[i].base_index == base_index)
			return &l->sessions[i];
	return NULL;
}

static struct wg_lane *find_lane(struct wg_lanes *l, uint32_t local_index,
				 struct wg_lanes_session **of)
{
	for (unsigned i = 0; local_index && i < WG_LANES_SESSIONS; i++) {
		struct wg_lanes_session *s = &l->sessions[i];

		for (unsigned n = 0; s->base_index && n < s->count; n++) {
			if (s->lane[n].local_index != local_index)
				continue;
			*of = s;
			return &s->lane[n];
		}
	}
	return NULL;
}

static uint8_t number_of(const struct wg_lanes_session *s, const struct wg_lane *lane)
{
	return (uint8_t)(lane - s->lane + 1);
}

/* Another session with lanes that was born later. */
static const struct wg_lanes_session *newer_than(const struct wg_lanes *l,
						 const struct wg_lanes_session *s)
{
	for (unsigned i = 0; i < WG_LANES_SESSIONS; i++) {
		const struct wg_lanes_session *t = &l->sessions[i];

		if (t->base_index && t != s && t->is_usable && t->born_ns > s->born_ns)
			return t;
	}
	return NULL;
}

static bool is_active(const struct wg_lanes *l, uint64_t now_ns)
{
	return now_ns < l->tx_until_ns || now_ns < l->rx_until_ns;
}

static void forget_secret(struct wg_lanes_session *s)
{
	sodium_memzero(s->secret, sizeof(s->secret));
	s->secret_until_ns = 0;
}

static void drop_session(struct wg_lanes *l, struct wg_lanes_session *s, bool remove)
{
	for (unsigned n = 0; n < s->count; n++) {
		struct wg_lane *lane = &s->lane[n];

		if (lane->state == WG_LANE_NONE)
			continue;
		if (remove && lane->state != WG_LANE_CHOSEN)
			l->ops->remove(l->owner, lane->local_index);
		l->ops->index_free(l->owner, lane->local_index);
	}
	sodium_memzero(s, sizeof(*s));
}

/* ---- announcements ---- */

/* The dataplane has the lanes: the peer may send in them. */
static bool is_installed(const struct wg_lanes_session *s)
{
	for (unsigned n = 0; n < s->count; n++)
		if (s->lane[n].state == WG_LANE_INSTALLING)
			return false;
	return s->has_theirs;
}

static void announce(struct wg_lanes *l, struct wg_lanes_session *s)
{
	struct lane_msg m = {.type = LANE_MSG_ANNOUNCE, .lanes = l->offer, .count = s->count};
	uint8_t out[LANE_MSG_BYTES];
	size_t len;

	if (!s->is_usable || s->announced >= ANNOUNCE_MAX)
		return;
	s->announced++;
	if (is_installed(s))
		m.flags = LANE_ANNOUNCE_HAVE_YOURS;
	for (unsigned n = 0; n < s->count; n++)
		m.index[n] = s->lane[n].local_index;
	len = lane_msg_encode(out, &m);
	l->ops->send(l->owner, s->base_index, &home, out, len);
}

static void announce_again(struct wg_lanes *l, struct wg_lanes_session *s, uint64_t now_ns)
{
	s->announce_at_ns = 0;
	if (s->has_theirs && s->they_have_ours)
		return;
	if (!s->peer_offer && s->announced >= ANNOUNCE_UNHEARD)
		return;
	announce(l, s);
	if (s->announced < ANNOUNCE_MAX)
		s->announce_at_ns = now_ns + ANNOUNCE_LATER_NS;
}

static void choose_indices(struct wg_lanes *l, struct wg_lanes_session *s, uint8_t lanes)
{
	for (unsigned n = 0; n < lanes; n++) {
		struct wg_lane *lane = &s->lane[n];

		lane->local_index = l->ops->index_alloc(l->owner, (uint8_t)(n + 1));
		/* None left: so many lanes then; the other side takes the smaller number. */
		if (!lane->local_index)
			return;
		lane->state = WG_LANE_CHOSEN;
		s->count++;
	}
}

static void make_lanes(struct wg_lanes *l, struct wg_lanes_session *s, const struct lane_msg *m,
		       uint64_t now_ns)
{
	for (unsigned n = 0; n < s->count && n < m->count; n++) {
		struct wg_lane *lane = &s->lane[n];
		struct wg_lane_install in = {
			.lane = number_of(s, lane),
			.local_index = lane->local_index,
			.remote_index = m->index[n],
			.is_initiator = s->is_initiator,
			.born_ns = s->born_ns,
			.expire_ns = s->expire_ns,
			.rekey_tx_ns = s->rekey_tx_ns,
			.rekey_rx_ns = s->rekey_rx_ns,
		};

		lane->remote_index = m->index[n];
		lane->state = WG_LANE_INSTALLING;
		wg_lane_keys(s->secret, s->is_initiator, in.lane, &in.keys);
		l->ops->install(l->owner, &in);
		sodium_memzero(&in, sizeof(in));
	}
	s->has_theirs = true;
	s->made_ns = now_ns;
	forget_secret(s);
}

static void begin_all(struct wg_lanes *l, struct wg_lanes_session *s, uint64_t now_ns);

static void on_announce(struct wg_lanes *l, struct wg_lanes_session *s, const struct lane_msg *m,
			uint64_t now_ns)
{
	bool is_news = false, had_ours = s->they_have_ours;

	if (m->lanes && !s->peer_offer) {
		s->peer_offer = m->lanes;
		choose_indices(l, s, m->lanes < l->offer ? m->lanes : l->offer);
		is_news = true;
	}
	/* The first ones count: keys are derived once. */
	if (m->count && s->count && !s->has_theirs && s->secret_until_ns) {
		make_lanes(l, s, m, now_ns);
	}
	if (m->flags & LANE_ANNOUNCE_HAVE_YOURS)
		s->they_have_ours = true;
	if (s->they_have_ours && !had_ours)
		begin_all(l, s, now_ns);
	/* With lanes under way the answer waits until they are there. */
	if (s->count && s->has_theirs == is_installed(s) &&
	    (is_news || !(m->flags & LANE_ANNOUNCE_HAVE_YOURS)))
		announce(l, s);
}

/* ---- probes ---- */

/*
 * The pair on which we would send. The opener's is from its lane port to the
 * peer's listen port, ours is that one's reverse; whoever gets no answer so turns
 * to what the other has opened.
 */
static bool choose_pair(const struct wg_lanes_session *s, const struct wg_lane *lane,
			uint64_t now_ns, struct wg_lane_pair *out)
{
	bool is_heard = lane->heard_ns && now_ns < lane->heard_ns + HEARD_NS;
	bool is_late = now_ns >= lane->probing_ns + OTHER_OPENS_NS &&
		       now_ns >= lane->own_answered_ns + OTHER_OPENS_NS;
	uint8_t n = number_of(s, lane);

	if (s->is_initiator ? is_heard && is_late && lane->heard.port == 0 : is_heard) {
		*out = lane->heard;
		return true;
	}
	*out = (struct wg_lane_pair){.port = n, .is_home = true};
	return s->is_initiator || is_late;
}

static void send_ping(struct wg_lanes *l, struct wg_lanes_session *s, struct wg_lane *lane,
		      const struct wg_lane_pair *pair, uint64_t now_ns)
{
	struct wg_lane_token *t = &lane->tokens[lane->next_token];
	struct lane_msg m = {.type = LANE_MSG_PING, .lane = number_of(s, lane)};
	uint8_t out[LANE_MSG_BYTES];
	size_t len;

	lane->next_token = (uint8_t)((lane->next_token + 1) % WG_LANES_TOKENS);
	l->random->fill(l->random->ctx, &t->token, sizeof(t->token));
	t->sent_ns = now_ns;
	t->pair = *pair;
	m.token = t->token;
	if (now_ns < l->tx_until_ns)
		m.flags = LANE_PING_HAS_DATA;
	len = lane_msg_encode(out, &m);
	l->ops->send(l->owner, lane->local_index, pair, out, len);
}

static void probe(struct wg_lanes *l, struct wg_lanes_session *s, struct wg_lane *lane,
		  uint64_t now_ns)
{
	const struct wg_lanes_session *newer = newer_than(l, s);
	unsigned n = number_of(s, lane) - 1u;
	struct wg_lane_pair pair;

	lane->ping_at_ns = 0;
	if (newer && (now_ns < newer->lane[n].until_ns || now_ns >= newer->born_ns + OVERLAP_NS))
		return;
	if (!lane->quick && !is_active(l, now_ns))
		return;
	if (!choose_pair(s, lane, now_ns, &pair)) {
		lane->ping_at_ns = now_ns + QUICK_PING_NS;
		return;
	}
	send_ping(l, s, lane, &pair, now_ns);
	lane->ping_at_ns = now_ns + (lane->quick ? QUICK_PING_NS : PING_NS);
	if (lane->quick)
		lane->quick--;
}

static void begin_probing(struct wg_lanes *l, struct wg_lanes_session *s, struct wg_lane *lane,
			  uint64_t now_ns)
{
	lane->probing_ns = now_ns;
	lane->quick = QUICK_PINGS;
	probe(l, s, lane, now_ns);
}

/* At once, unless that was done just now: a peer with many addresses draws no more pings. */
static void probe_new_pair(struct wg_lanes *l, struct wg_lanes_session *s, struct wg_lane *lane,
			   uint64_t now_ns)
{
	uint64_t at_ns = lane->probing_ns + QUICK_PING_NS;

	if (now_ns >= at_ns) {
		begin_probing(l, s, lane, now_ns);
		return;
	}
	lane->quick = QUICK_PINGS;
	if (!lane->ping_at_ns || lane->ping_at_ns > at_ns)
		lane->ping_at_ns = at_ns;
}

/* What the peer can open: it has our indices. */
static void begin_all(struct wg_lanes *l, struct wg_lanes_session *s, uint64_t now_ns)
{
	for (unsigned n = 0; s->they_have_ours && n < s->count; n++)
		if (s->lane[n].state == WG_LANE_READY && !s->lane[n].ping_at_ns)
			begin_probing(l, s, &s->lane[n], now_ns);
}

/* Data flows: lanes that rest are probed again. */
static void wake(struct wg_lanes *l, uint64_t now_ns)
{
	for (unsigned i = 0; i < WG_LANES_SESSIONS; i++) {
		struct wg_lanes_session *s = &l->sessions[i];

		if (!s->base_index || newer_than(l, s))
			continue;
		begin_all(l, s, now_ns);
	}
}

static bool may_pong(struct wg_lanes *l, uint64_t now_ns)
{
	if (now_ns >= l->pongs_since_ns + NS_PER_SEC) {
		l->pongs_since_ns = now_ns;
		l->pongs = 0;
	}
	return ++l->pongs <= PONGS_SECOND;
}

static bool is_same_pair(const struct wg_lane_pair *a, const struct wg_lane_pair *b)
{
	return a->port == b->port && endpoint_equal(&a->remote, &b->remote);
}

static void on_ping(struct wg_lanes *l, struct wg_lanes_session *s, struct wg_lane *lane,
		    const struct lane_msg *m, const struct wg_lane_pair *from, uint64_t now_ns)
{
	struct lane_msg answer = {.type = LANE_MSG_PONG, .lane = m->lane, .token = m->token};
	bool is_new = !lane->heard_ns || now_ns >= lane->heard_ns + HEARD_NS ||
		      !is_same_pair(&lane->heard, from);
	uint8_t out[LANE_MSG_BYTES];
	size_t len = lane_msg_encode(out, &answer);

	if (!may_pong(l, now_ns))
		return;
	s->they_have_ours = true;
	lane->heard_ns = now_ns;
	lane->heard = *from;
	l->ops->send(l->owner, lane->local_index, from, out, len);
	/* The way back to who opened is known now, or another one than before. */
	if (is_new && !s->is_initiator && lane->state == WG_LANE_READY)
		probe_new_pair(l, s, lane, now_ns);
	if (m->flags & LANE_PING_HAS_DATA) {
		l->rx_until_ns = now_ns + ACTIVE_NS;
		wake(l, now_ns);
	}
}

static void on_pong(struct wg_lanes *l, struct wg_lanes_session *s, struct wg_lane *lane,
		    const struct lane_msg *m, const struct wg_lane_pair *from, uint64_t now_ns)
{
	const struct wg_lanes_session *newer = newer_than(l, s);
	unsigned n = number_of(s, lane) - 1u;

	for (unsigned i = 0; i < WG_LANES_TOKENS; i++) {
		struct wg_lane_token *t = &lane->tokens[i];

		if (!t->sent_ns || t->token != m->token || t->pair.port != from->port)
			continue;
		if (t->pair.is_home)
			lane->own_answered_ns = now_ns;
		lane->quick = 0;
		lane->ping_at_ns = is_active(l, now_ns) ? t->sent_ns + PING_NS : 0;
		if (lane->ping_at_ns && lane->ping_at_ns <= now_ns)
			lane->ping_at_ns = now_ns + PING_NS;
		if (now_ns < t->sent_ns + USABLE_NS && t->sent_ns + USABLE_NS > lane->until_ns &&
		    !(newer && now_ns < newer->lane[n].until_ns)) {
			lane->until_ns = t->sent_ns + USABLE_NS;
			l->ops->use(l->owner, m->lane, lane->local_index, &t->pair, lane->until_ns);
		}
		t->sent_ns = 0; /* once */
		return;
	}
}

/* We have data, and who should open the lanes rests; or lane 0 does. */
static void want(struct wg_lanes *l, uint64_t now_ns)
{
	struct lane_msg m = {.type = LANE_MSG_WANT};
	uint8_t out[LANE_MSG_BYTES];
	size_t len = lane_msg_encode(out, &m);

	if (l->want_sent_ns && now_ns < l->want_sent_ns + WANT_NS)
		return;
	for (unsigned i = 0; i < WG_LANES_SESSIONS; i++) {
		struct wg_lanes_session *s = &l->sessions[i];
		bool is_heard = false;

		if (!s->base_index || !s->is_usable || !s->has_theirs ||
		    now_ns < s->made_ns + OTHER_OPENS_NS || newer_than(l, s))
			continue;
		for (unsigned n = 0; n < s->count; n++)
			is_heard |= s->lane[n].heard_ns && now_ns < s->lane[n].heard_ns + HEARD_NS;
		if ((is_heard || s->is_initiator) && now_ns < l->want_sent_ns + LANE_0_NS)
			continue;
		l->want_sent_ns = now_ns;
		l->ops->send(l->owner, s->base_index, &home, out, len);
	}
}

/* ---- from outside ---- */

void wg_lanes_init(struct wg_lanes *l, const struct wg_random *random,
		   const struct wg_lanes_ops *ops, void *owner, uint8_t offer)
{
	BUG_ON(offer == 0 || offer > LANE_MAX);
	*l = (struct wg_lanes){.random = random, .ops = ops, .owner = owner, .offer = offer};
}

void wg_lanes_reset(struct wg_lanes *l)
{
	for (unsigned i = 0; i < WG_LANES_SESSIONS; i++)
		if (l->sessions[i].base_index)
			drop_session(l, &l->sessions[i], false);
}

void wg_lanes_fini(struct wg_lanes *l)
{
	wg_lanes_reset(l);
	sodium_memzero(l, sizeof(*l));
}

/* A free place; the oldest one's if there is none. */
static struct wg_lanes_session *place_for(struct wg_lanes *l)
{
	struct wg_lanes_session *oldest = &l->sessions[0];

	for (unsigned i = 0; i < WG_LANES_SESSIONS; i++) {
		struct wg_lanes_session *s = &l->sessions[i];

		if (!s->base_index)
			return s;
		if (s->born_ns < oldest->born_ns)
			oldest = s;
	}
	drop_session(l, oldest, true);
	return oldest;
}

void wg_lanes_derived(struct wg_lanes *l, const struct wg_peer_install *base, uint64_t now_ns)
{
	struct wg_lanes_session *s = place_for(l);

	*s = (struct wg_lanes_session){
		.base_index = base->local_index,
		.is_initiator = base->is_initiator,
		.born_ns = base->born_ns,
		.expire_ns = base->expire_ns,
		.rekey_tx_ns = base->rekey_tx_ns,
		.rekey_rx_ns = base->rekey_rx_ns,
		.secret_until_ns = now_ns + SECRET_NS,
	};
	memcpy(s->secret, base->keys.lane_secret, sizeof(s->secret));
}

static const struct wg_session *find_session(const struct wg_sessions *sessions, uint32_t index)
{
	const struct wg_session *all[] = {&sessions->current, &sessions->next, &sessions->previous};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->state != WG_SESSION_NONE && all[i]->local_index == index)
			return all[i];
	return NULL;
}

void wg_lanes_sync(struct wg_lanes *l, const struct wg_sessions *sessions, uint64_t now_ns)
{
	for (unsigned i = 0; i < WG_LANES_SESSIONS; i++) {
		struct wg_lanes_session *s = &l->sessions[i];
		const struct wg_session *base;

		if (!s->base_index)
			continue;
		base = find_session(sessions, s->base_index);
		if (!base) {
			drop_session(l, s, true);
			continue;
		}
		if (s->is_usable || base->state != WG_SESSION_CONFIRMED)
			continue;
		s->is_usable = true;
		if (s->has_theirs && s->they_have_ours)
			continue; /* adopted */
		announce(l, s);
		s->announce_at_ns = now_ns + ANNOUNCE_FIRST_NS;
	}
}

int wg_lanes_adopt(struct wg_lanes *l, const struct wg_session *base, uint8_t lane,
		   uint32_t local_index, uint32_t remote_index, uint64_t now_ns)
{
	struct wg_lanes_session *s = find_base(l, base->local_index);

	if (lane == 0 || lane > LANE_MAX)
		return -ENOENT;
	if (!s) {
		s = place_for(l);
		*s = (struct wg_lanes_session){
			.base_index = base->local_index,
			.is_initiator = base->is_initiator,
			.born_ns = base->born_ns,
			.peer_offer = LANE_MAX,
			.has_theirs = true,
			.they_have_ours = true,
			.made_ns = now_ns,
		};
	}
	if (s->lane[lane - 1].state != WG_LANE_NONE)
		return -ENOENT;
	s->lane[lane - 1] = (struct wg_lane){
		.state = WG_LANE_READY, .local_index = local_index, .remote_index = remote_index};
	if (lane > s->count)
		s->count = lane;
	begin_probing(l, s, &s->lane[lane - 1], now_ns);
	return 0;
}

void wg_lanes_installed(struct wg_lanes *l, uint32_t local_index, bool ok, uint64_t now_ns)
{
	struct wg_lanes_session *s;
	struct wg_lane *lane = find_lane(l, local_index, &s);

	if (!lane || lane->state != WG_LANE_INSTALLING)
		return;
	if (!ok) {
		/* It stays closed until the next handshake. */
		l->ops->index_free(l->owner, local_index);
		*lane = (struct wg_lane){0};
		return;
	}
	lane->state = WG_LANE_READY;
	if (is_installed(s))
		announce(l, s);
	begin_all(l, s, now_ns);
}

int wg_lanes_message(struct wg_lanes *l, uint32_t local_index, const struct wg_lane_pair *from,
		     const uint8_t *data, size_t len, uint64_t now_ns)
{
	struct wg_lanes_session *s = find_base(l, local_index);
	struct wg_lane *lane = s ? NULL : find_lane(l, local_index, &s);
	struct lane_msg m;

	if (lane_msg_decode(data, len, &m))
		return -EBADMSG;
	switch ((enum lane_msg_type)m.type) {
	case LANE_MSG_ANNOUNCE:
	case LANE_MSG_WANT:
		if (!s || lane)
			return -ENOENT;
		if (m.type == LANE_MSG_ANNOUNCE) {
			on_announce(l, s, &m, now_ns);
		} else if (s->has_theirs) {
			l->rx_until_ns = now_ns + ACTIVE_NS;
			wake(l, now_ns);
		}
		return 0;
	case LANE_MSG_PING:
	case LANE_MSG_PONG:
		if (!lane || m.lane != number_of(s, lane))
			return -ENOENT;
		if (m.type == LANE_MSG_PING)
			on_ping(l, s, lane, &m, from, now_ns);
		else
			on_pong(l, s, lane, &m, from, now_ns);
		return 0;
	}
	return -EBADMSG;
}

void wg_lanes_traffic(struct wg_lanes *l, uint64_t now_ns)
{
	l->tx_until_ns = now_ns + ACTIVE_NS;
	wake(l, now_ns);
	want(l, now_ns);
}

void wg_lanes_tick(struct wg_lanes *l, uint64_t now_ns)
{
	for (unsigned i = 0; i < WG_LANES_SESSIONS; i++) {
		struct wg_lanes_session *s = &l->sessions[i];

		if (!s->base_index)
			continue;
		if (s->secret_until_ns && now_ns >= s->secret_until_ns)
			forget_secret(s);
		if (s->announce_at_ns && now_ns >= s->announce_at_ns)
			announce_again(l, s, now_ns);
		for (unsigned n = 0; n < s->count; n++)
			if (s->lane[n].ping_at_ns && now_ns >= s->lane[n].ping_at_ns)
				probe(l, s, &s->lane[n], now_ns);
	}
}

uint64_t wg_lanes_next_deadline(const struct wg_lanes *l)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < WG_LANES_SESSIONS; i++) {
		const struct wg_lanes_session *s = &l->sessions[i];

		if (!s->base_index)
			continue;
		if (s->secret_until_ns && s->secret_until_ns < first)
			first = s->secret_until_ns;
		if (s->announce_at_ns && s->announce_at_ns < first)
			first = s->announce_at_ns;
		for (unsigned n = 0; n < s->count; n++)
			if (s->lane[n].ping_at_ns && s->lane[n].ping_at_ns < first)
				first = s->lane[n].ping_at_ns;
	}
	return first;
}

uint32_t wg_lanes_base_of(const struct wg_lanes *l, uint32_t local_index)
{
	struct wg_lanes_session *s = NULL;

	return find_lane((struct wg_lanes *)(uintptr_t)l, local_index, &s) ? s->base_index : 0;
}

bool wg_lanes_is_open(const struct wg_lanes *l)
{
	for (unsigned i = 0; i < WG_LANES_SESSIONS; i++)
		if (l->sessions[i].base_index && l->sessions[i].has_theirs)
			return true;
	return false;
}
