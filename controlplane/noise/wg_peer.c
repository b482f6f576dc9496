/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/noise/wg_peer.h"

#include "lib/base/bug.h"
#include "lib/base/clock.h"

#include <errno.h>
#include <sodium.h>

#define REKEY_TIMEOUT_NS     (WG_REKEY_TIMEOUT_S * NS_PER_SEC)
#define REKEY_AFTER_NS	     (WG_REKEY_AFTER_TIME_S * NS_PER_SEC)
#define REJECT_AFTER_NS	     (WG_REJECT_AFTER_TIME_S * NS_PER_SEC)
#define KEEPALIVE_TIMEOUT_NS (WG_KEEPALIVE_TIMEOUT_S * NS_PER_SEC)
/* Silent after data: one keepalive and one retry interval without a sign of life. */
#define NEW_HANDSHAKE_NS (KEEPALIVE_TIMEOUT_NS + REKEY_TIMEOUT_NS)
/* Before the session is refused there must be time to renew it: 165 s. */
#define REKEY_RX_NS	    (REJECT_AFTER_NS - NEW_HANDSHAKE_NS)
#define ZERO_KEYS_NS	    (3 * REJECT_AFTER_NS)
#define JITTER_MAX_MS	    333
#define INITIATION_SPACE_NS (20 * NS_PER_MS)

static struct wg_peer_action *push(struct wg_peer_actions *out, enum wg_peer_action_type type)
{
	struct wg_peer_action *action;

	BUG_ON(out->count >= WG_PEER_ACTIONS_MAX);
	action = &out->action[out->count++];
	action->type = type;
	return action;
}

static uint64_t jitter_ns(const struct wg_peer *peer)
{
	uint32_t r;

	peer->random->fill(peer->random->ctx, &r, sizeof(r));
	return r % (JITTER_MAX_MS + 1) * NS_PER_MS;
}

static void delete_dropped(struct wg_peer *peer, const struct wg_sessions_dropped *dropped,
			   struct wg_peer_actions *out)
{
	for (uint32_t i = 0; i < dropped->count; i++) {
		peer->indices->free(peer->indices->ctx, dropped->local_index[i]);
		push(out, WG_ACT_DELETE_SESSION)->local_index = dropped->local_index[i];
	}
	if (peer->sessions.next.state != WG_SESSION_INSTALLING)
		peer->has_response = false;
}

/* Authenticated traffic, either way: the persistent keepalive starts its wait again. */
static void note_traffic(struct wg_peer *peer, uint64_t at_ns)
{
	if (at_ns <= peer->last_traffic_ns)
		return;
	peer->last_traffic_ns = at_ns;
	if (peer->persistent_at_ns && at_ns + peer->persistent_interval_ns > peer->persistent_at_ns)
		peer->persistent_at_ns = at_ns + peer->persistent_interval_ns;
}

static void note_sent(struct wg_peer *peer, uint64_t now_ns)
{
	note_traffic(peer, now_ns);
	peer->keepalive_at_ns = 0;
	peer->has_more_to_answer = false;
}

static void note_received(struct wg_peer *peer, uint64_t now_ns)
{
	note_traffic(peer, now_ns);
	peer->new_handshake_at_ns = 0;
}

bool wg_peer_is_usable(const struct wg_peer *peer, uint64_t now_ns)
{
	const struct wg_session *s = &peer->sessions.current;

	return (s->state == WG_SESSION_CONFIRMED || s->state == WG_SESSION_INSTALLING) &&
	       now_ns < s->born_ns + REJECT_AFTER_NS;
}

/* Forgets our initiation, sent or deferred. */
static void initiator_stop(struct wg_peer *peer)
{
	if (peer->initiator == WG_INITIATOR_SENT)
		peer->indices->free(peer->indices->ctx, peer->handshake.local_index);
	sodium_memzero(&peer->handshake, sizeof(peer->handshake));
	peer->initiator = WG_INITIATOR_IDLE;
	peer->retry_at_ns = 0;
	peer->attempts = 0;
}

/*
 * Sends one, or arranges for the first moment at which the spacing allows it. A
 * handshake that is SENT stays answerable in the second case.
 */
static int send_initiation(struct wg_peer *peer, const struct wg_time *now,
			   struct wg_peer_actions *out)
{
	struct wg_msg_initiation msg;
	struct wg_handshake hs;
	uint8_t ephemeral[WG_KEY_BYTES];
	uint64_t allowed_ns = peer->last_handshake_sent_ns + REKEY_TIMEOUT_NS;
	uint32_t index;
	int err;

	if (peer->last_handshake_sent_ns && now->now_ns < allowed_ns) {
		if (peer->initiator == WG_INITIATOR_IDLE)
			peer->initiator = WG_INITIATOR_DEFERRED;
		if (!peer->retry_at_ns || peer->retry_at_ns <= now->now_ns)
			peer->retry_at_ns = allowed_ns;
		return 0;
	}
	index = peer->indices->alloc(peer->indices->ctx, peer->id);
	if (!index) {
		peer->retry_at_ns = now->now_ns + REKEY_TIMEOUT_NS;
		if (peer->initiator == WG_INITIATOR_IDLE)
			peer->initiator = WG_INITIATOR_DEFERRED;
		return -ENOSPC;
	}
	wg_tai64n_next(peer->remote.last_sent, now->wall_ns);
	peer->random->fill(peer->random->ctx, ephemeral, sizeof(ephemeral));
	err = wg_initiation_create(&hs, peer->self, &peer->remote, ephemeral,
				   peer->remote.last_sent, index, &msg);
	sodium_memzero(ephemeral, sizeof(ephemeral));
	/* wg_peer_init() refused low-order keys, and only those fail */
	BUG_ON(err != 0);

	if (peer->initiator == WG_INITIATOR_SENT)
		peer->indices->free(peer->indices->ctx, peer->handshake.local_index);
	peer->handshake = hs;
	sodium_memzero(&hs, sizeof(hs));
	peer->initiator = WG_INITIATOR_SENT;
	peer->last_handshake_sent_ns = now->now_ns;
	peer->retry_at_ns = now->now_ns + REKEY_TIMEOUT_NS + jitter_ns(peer);
	wg_cookie_macs(&peer->jar, &peer->remote, &msg, sizeof(msg), now->now_ns);
	note_sent(peer, now->now_ns);
	push(out, WG_ACT_SEND_INITIATION)->initiation = msg;
	return 0;
}

/* A reason to handshake that is not a retry: the count of attempts begins anew. */
static int begin_handshake(struct wg_peer *peer, const struct wg_time *now,
			   struct wg_peer_actions *out)
{
	peer->attempts = 0;
	return send_initiation(peer, now, out);
}

static void give_up(struct wg_peer *peer, uint64_t now_ns, struct wg_peer_actions *out)
{
	initiator_stop(peer);
	peer->keepalive_at_ns = 0;
	peer->has_more_to_answer = false;
	if (!peer->zero_keys_at_ns)
		peer->zero_keys_at_ns = now_ns + ZERO_KEYS_NS;
	push(out, WG_ACT_DROP_STAGED);
}

static void on_retry(struct wg_peer *peer, const struct wg_time *now, struct wg_peer_actions *out)
{
	uint32_t before;

	switch (peer->initiator) {
	case WG_INITIATOR_IDLE:
		peer->retry_at_ns = 0;
		return;
	case WG_INITIATOR_DEFERRED:
		send_initiation(peer, now, out);
		return;
	case WG_INITIATOR_SENT:
		if (peer->attempts + 1 >= WG_MAX_HANDSHAKES) {
			give_up(peer, now->now_ns, out);
			return;
		}
		before = out->count;
		send_initiation(peer, now, out);
		if (out->count != before)
			peer->attempts++;
		return;
	}
}

/* Derives the keys of hs, puts the session in its place, and has it installed. */
static void install(struct wg_peer *peer, struct wg_handshake *hs, bool is_initiator,
		    uint64_t now_ns, struct wg_peer_actions *out)
{
	struct wg_sessions_dropped dropped = {0};
	struct wg_session fresh = {
		.local_index = hs->local_index,
		.remote_index = hs->remote_index,
		.born_ns = now_ns,
		.is_initiator = is_initiator,
	};
	struct wg_peer_install *install = &push(out, WG_ACT_INSTALL_SESSION)->install;
	const struct wg_session *s =
		wg_sessions_add(&peer->sessions, fresh, peer->is_winner, &dropped);

	*install = (struct wg_peer_install){
		.local_index = s->local_index,
		.remote_index = s->remote_index,
		.is_initiator = is_initiator,
		.is_confirmed = is_initiator,
		.born_ns = s->born_ns,
		.expire_ns = s->born_ns + REJECT_AFTER_NS,
		.rekey_tx_ns = is_initiator ? s->born_ns + REKEY_AFTER_NS : 0,
		.rekey_rx_ns = is_initiator ? s->born_ns + REKEY_RX_NS : 0,
	};
	wg_handshake_keys(hs, is_initiator, &install->keys);
	delete_dropped(peer, &dropped, out);
	peer->zero_keys_at_ns = now_ns + ZERO_KEYS_NS;
	peer->rekey_rx_asked = false;
}

static int on_initiation(struct wg_peer *peer, const struct wg_initiation_in *in,
			 const struct wg_time *now, struct wg_peer_actions *out)
{
	struct wg_handshake hs;
	struct wg_msg_response msg;
	uint8_t ephemeral[WG_KEY_BYTES];
	uint32_t index;
	int err;

	if (peer->last_initiation_accepted_ns &&
	    now->now_ns - peer->last_initiation_accepted_ns < INITIATION_SPACE_NS)
		return -EBUSY;
	index = peer->indices->alloc(peer->indices->ctx, peer->id);
	if (!index)
		return -ENOSPC;
	err = wg_initiation_finish(&hs, &peer->remote, in);
	if (!err) {
		peer->random->fill(peer->random->ctx, ephemeral, sizeof(ephemeral));
		err = wg_response_create(&hs, &peer->remote, ephemeral, index, &msg);
		sodium_memzero(ephemeral, sizeof(ephemeral));
	}
	if (err) {
		sodium_memzero(&hs, sizeof(hs));
		peer->indices->free(peer->indices->ctx, index);
		return err;
	}
	peer->last_initiation_accepted_ns = now->now_ns;
	note_received(peer, now->now_ns);
	install(peer, &hs, false, now->now_ns, out);
	peer->response = msg;
	peer->has_response = true;
	return 0;
}

static int on_response(struct wg_peer *peer, const struct wg_msg_response *msg,
		       const struct wg_time *now, struct wg_peer_actions *out)
{
	struct wg_handshake hs;
	int err;

	if (peer->initiator != WG_INITIATOR_SENT ||
	    le32_get(&msg->receiver) != peer->handshake.local_index)
		return -ENOENT;
	err = wg_response_consume(&peer->handshake, peer->self, &peer->remote, msg);
	if (err)
		return err;
	hs = peer->handshake;
	peer->initiator = WG_INITIATOR_IDLE; /* the index goes on as the session's */
	initiator_stop(peer);
	note_received(peer, now->now_ns);
	peer->last_complete_ns = now->now_ns;
	install(peer, &hs, true, now->now_ns, out);
	return 0;
}

static int on_installed(struct wg_peer *peer, uint32_t local_index, const struct wg_time *now,
			struct wg_peer_actions *out)
{
	struct wg_session *s = wg_sessions_find(&peer->sessions, local_index);

	if (!s || s->state != WG_SESSION_INSTALLING)
		return -ENOENT; /* displaced meanwhile */
	note_sent(peer, now->now_ns);
	if (s->is_initiator) {
		s->state = WG_SESSION_CONFIRMED;
		/* what was staged goes first; this one confirms the key in any case */
		push(out, WG_ACT_SEND_KEEPALIVE);
		return 0;
	}
	s->state = WG_SESSION_UNCONFIRMED;
	BUG_ON(!peer->has_response);
	wg_cookie_macs(&peer->jar, &peer->remote, &peer->response, sizeof(peer->response),
		       now->now_ns);
	push(out, WG_ACT_SEND_RESPONSE)->response = peer->response;
	peer->has_response = false;
	peer->last_handshake_sent_ns = now->now_ns;
	return 0;
}

static int on_confirmed(struct wg_peer *peer, uint32_t local_index, const struct wg_time *now,
			struct wg_peer_actions *out)
{
	struct wg_sessions_dropped dropped = {0};
	struct wg_session *s = wg_sessions_find(&peer->sessions, local_index);

	if (!s)
		return -ENOENT;
	if (s != &peer->sessions.next)
		return 0;
	wg_sessions_confirm(&peer->sessions, &dropped);
	delete_dropped(peer, &dropped, out);
	/* There is a fresh session: ours, if it is still on its way, is not needed. */
	initiator_stop(peer);
	note_received(peer, now->now_ns);
	peer->last_complete_ns = now->now_ns;
	return 0;
}

static void on_tx_unanswered(struct wg_peer *peer, uint64_t since_ns)
{
	if (!since_ns) {
		peer->new_handshake_at_ns = 0;
		return;
	}
	note_traffic(peer, since_ns);
	if (!peer->new_handshake_at_ns)
		peer->new_handshake_at_ns = since_ns + NEW_HANDSHAKE_NS + jitter_ns(peer);
}

static void on_rx_unanswered(struct wg_peer *peer, uint64_t since_ns)
{
	if (!since_ns) {
		peer->keepalive_at_ns = 0;
		peer->has_more_to_answer = false;
		return;
	}
	note_traffic(peer, since_ns);
	if (peer->keepalive_at_ns)
		peer->has_more_to_answer = true;
	else
		peer->keepalive_at_ns = since_ns + KEEPALIVE_TIMEOUT_NS;
}

static int on_rekey(struct wg_peer *peer, enum wg_peer_event_type type, uint32_t local_index,
		    const struct wg_time *now, struct wg_peer_actions *out)
{
	const struct wg_session *current = &peer->sessions.current;
	const struct wg_session *s = wg_sessions_find(&peer->sessions, local_index);

	if (!s)
		return -ENOENT;
	/* Late word of a session that has a successor already. */
	if (s != current && current->state != WG_SESSION_NONE &&
	    now->now_ns < current->born_ns + REKEY_AFTER_NS)
		return 0;
	if (type == WG_EV_REKEY_RX) {
		if (peer->rekey_rx_asked)
			return 0;
		peer->rekey_rx_asked = true;
	}
	return begin_handshake(peer, now, out);
}

static int on_session_gone(struct wg_peer *peer, uint32_t local_index, const struct wg_time *now,
			   struct wg_peer_actions *out)
{
	struct wg_session *s = wg_sessions_find(&peer->sessions, local_index);
	bool is_missed;

	if (!s)
		return -ENOENT;
	/* The peer goes on using it until it notices; a new one need not wait for that. */
	is_missed = s == &peer->sessions.current && now->now_ns < s->born_ns + REJECT_AFTER_NS;
	peer->indices->free(peer->indices->ctx, local_index);
	if (s == &peer->sessions.next)
		peer->has_response = false;
	*s = (struct wg_session){0};
	return is_missed ? begin_handshake(peer, now, out) : 0;
}

/* Nothing is to be deleted there: the dataplane that had the sessions is no more. */
static void forget_sessions(struct wg_peer *peer)
{
	struct wg_sessions_dropped dropped = {0};

	wg_sessions_clear(&peer->sessions, &dropped);
	for (uint32_t i = 0; i < dropped.count; i++)
		peer->indices->free(peer->indices->ctx, dropped.local_index[i]);
	peer->has_response = false;
}

static int on_dataplane_restarted(struct wg_peer *peer, const struct wg_time *now,
				  struct wg_peer_actions *out)
{
	bool was_in_use = peer->sessions.previous.state != WG_SESSION_NONE ||
			  peer->sessions.current.state != WG_SESSION_NONE ||
			  peer->sessions.next.state != WG_SESSION_NONE ||
			  peer->initiator != WG_INITIATOR_IDLE;

	forget_sessions(peer);
	peer->last_handshake_sent_ns = 0; /* the waiver of the spacing, used once */
	peer->new_handshake_at_ns = 0;
	peer->keepalive_at_ns = 0;
	peer->has_more_to_answer = false;
	if (peer->persistent_interval_ns)
		was_in_use = true;
	/* At once: the peer goes on sending on a session that nobody can open. */
	return was_in_use ? begin_handshake(peer, now, out) : 0;
}

static int on_adopted(struct wg_peer *peer, const struct wg_peer_adopted *adopted, uint32_t count,
		      const struct wg_time *now, struct wg_peer_actions *out)
{
	struct wg_sessions_dropped dropped = {0};
	const struct wg_session *current = &peer->sessions.current;

	if (count > WG_PEER_ADOPT_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		struct wg_session s = {
			.state = adopted[i].is_confirmed ? WG_SESSION_CONFIRMED
							 : WG_SESSION_UNCONFIRMED,
			.local_index = adopted[i].local_index,
			.remote_index = adopted[i].remote_index,
			.born_ns = adopted[i].born_ns,
			.is_initiator = adopted[i].is_initiator,
		};

		if (wg_sessions_find(&peer->sessions, s.local_index))
			continue;
		wg_sessions_adopt(&peer->sessions, s, &dropped);
		if (s.born_ns + ZERO_KEYS_NS > peer->zero_keys_at_ns)
			peer->zero_keys_at_ns = s.born_ns + ZERO_KEYS_NS;
		delete_dropped(peer, &dropped, out);
		dropped.count = 0;
	}
	wg_sessions_expire(&peer->sessions, now->now_ns, &dropped);
	delete_dropped(peer, &dropped, out);
	/* The dataplane asks once a session, and may have asked while we were not there. */
	if (current->state == WG_SESSION_CONFIRMED && current->is_initiator &&
	    now->now_ns >= current->born_ns + REKEY_AFTER_NS)
		return begin_handshake(peer, now, out);
	return 0;
}

/* Authenticated packets come from elsewhere: what we sent to the old place may be lost. */
static void on_roamed(struct wg_peer *peer)
{
	uint64_t allowed_ns = peer->last_handshake_sent_ns + REKEY_TIMEOUT_NS;

	peer->attempts = 0;
	if (peer->initiator == WG_INITIATOR_SENT && allowed_ns < peer->retry_at_ns)
		peer->retry_at_ns = allowed_ns;
}

static void on_persistent_keepalive(struct wg_peer *peer, uint64_t interval_ns, uint64_t now_ns)
{
	if (peer->persistent_interval_ns == interval_ns)
		return;
	peer->persistent_interval_ns = interval_ns;
	peer->persistent_at_ns = interval_ns ? now_ns : 0; /* at once: it makes the session */
}

/* A keepalive needs a session; without one a handshake is what keeps alive. */
static void send_keepalive(struct wg_peer *peer, const struct wg_time *now,
			   struct wg_peer_actions *out)
{
	if (!wg_peer_is_usable(peer, now->now_ns)) {
		begin_handshake(peer, now, out);
		return;
	}
	push(out, WG_ACT_SEND_KEEPALIVE);
	note_sent(peer, now->now_ns);
}

static void zero_keys(struct wg_peer *peer, struct wg_peer_actions *out)
{
	struct wg_sessions_dropped dropped = {0};

	peer->zero_keys_at_ns = 0;
	wg_sessions_clear(&peer->sessions, &dropped);
	delete_dropped(peer, &dropped, out);
	/* A handshake under way is seconds old; giving it up sets this timer again. */
	if (peer->initiator != WG_INITIATOR_IDLE)
		return;
	sodium_memzero(&peer->response, sizeof(peer->response));
	sodium_memzero(&peer->jar, sizeof(peer->jar));
	push(out, WG_ACT_DROP_STAGED);
	push(out, WG_ACT_ZERO_KEYS);
}

static bool is_due(uint64_t at_ns, uint64_t now_ns)
{
	return at_ns && now_ns >= at_ns;
}

static void on_tick(struct wg_peer *peer, const struct wg_time *now, struct wg_peer_actions *out)
{
	struct wg_sessions_dropped dropped = {0};
	uint64_t now_ns = now->now_ns;

	wg_sessions_expire(&peer->sessions, now_ns, &dropped);
	delete_dropped(peer, &dropped, out);
	if (is_due(peer->zero_keys_at_ns, now_ns))
		zero_keys(peer, out);
	if (is_due(peer->retry_at_ns, now_ns))
		on_retry(peer, now, out);
	if (is_due(peer->new_handshake_at_ns, now_ns)) {
		peer->new_handshake_at_ns = 0;
		begin_handshake(peer, now, out);
	}
	if (is_due(peer->keepalive_at_ns, now_ns)) {
		bool again = peer->has_more_to_answer;

		peer->keepalive_at_ns = 0;
		send_keepalive(peer, now, out);
		if (again)
			peer->keepalive_at_ns = now_ns + KEEPALIVE_TIMEOUT_NS;
	}
	if (is_due(peer->persistent_at_ns, now_ns)) {
		peer->persistent_at_ns = now_ns + peer->persistent_interval_ns;
		send_keepalive(peer, now, out);
	}
}

int wg_peer_init(struct wg_peer *peer, const struct wg_peer_config *config)
{
	memset(peer, 0, sizeof(*peer));
	peer->id = config->id;
	peer->self = config->self;
	peer->random = config->random;
	peer->indices = config->indices;
	peer->is_winner = memcmp(config->self->public_key, config->public_key, WG_KEY_BYTES) < 0;
	if (wg_remote_init(&peer->remote, config->self, config->public_key,
			   config->preshared_key) != 0)
		return -EKEYREJECTED;
	memcpy(peer->remote.last_accepted, config->last_accepted, WG_TIMESTAMP_BYTES);
	memcpy(peer->remote.last_sent, config->last_sent, WG_TIMESTAMP_BYTES);
	return 0;
}

void wg_peer_fini(struct wg_peer *peer)
{
	forget_sessions(peer);
	initiator_stop(peer);
	sodium_memzero(peer, sizeof(*peer));
}

int wg_peer_handle(struct wg_peer *peer, const struct wg_peer_event *event,
		   const struct wg_time *now, struct wg_peer_actions *out)
{
	out->count = 0;
	switch (event->type) {
	case WG_EV_INITIATION:
		return on_initiation(peer, event->initiation, now, out);
	case WG_EV_RESPONSE:
		return on_response(peer, event->response, now, out);
	case WG_EV_COOKIE:
		return wg_cookie_consume(&peer->jar, &peer->remote, event->cookie, now->now_ns);
	case WG_EV_INSTALLED:
		return on_installed(peer, event->local_index, now, out);
	case WG_EV_NEED_HANDSHAKE:
		/* Crossed with an install; what was lost is told by SESSION_GONE first. */
		if (wg_peer_is_usable(peer, now->now_ns))
			return 0;
		return begin_handshake(peer, now, out);
	case WG_EV_CONFIRMED:
		return on_confirmed(peer, event->local_index, now, out);
	case WG_EV_TX_UNANSWERED:
		on_tx_unanswered(peer, event->since_ns);
		return 0;
	case WG_EV_RX_UNANSWERED:
		on_rx_unanswered(peer, event->since_ns);
		return 0;
	case WG_EV_REKEY_TX:
	case WG_EV_REKEY_RX:
		return on_rekey(peer, event->type, event->local_index, now, out);
	case WG_EV_SESSION_GONE:
		return on_session_gone(peer, event->local_index, now, out);
	case WG_EV_TRAFFIC:
		note_traffic(peer, event->since_ns);
		return 0;
	case WG_EV_ROAMED:
		on_roamed(peer);
		return 0;
	case WG_EV_DATAPLANE_RESTARTED:
		return on_dataplane_restarted(peer, now, out);
	case WG_EV_ADOPTED:
		return on_adopted(peer, event->adopted.sessions, event->adopted.count, now, out);
	case WG_EV_RENEW:
		return begin_handshake(peer, now, out);
	case WG_EV_PERSISTENT_KEEPALIVE:
		on_persistent_keepalive(peer, event->interval_ns, now->now_ns);
		return 0;
	case WG_EV_TICK:
		on_tick(peer, now, out);
		return 0;
	}
	return -EINVAL;
}

uint64_t wg_peer_next_deadline(const struct wg_peer *peer)
{
	const uint64_t timers[] = {
		peer->retry_at_ns,	peer->new_handshake_at_ns, peer->keepalive_at_ns,
		peer->persistent_at_ns, peer->zero_keys_at_ns,
	};
	uint64_t first = wg_sessions_expiry(&peer->sessions);

	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		if (timers[i] && timers[i] < first)
			first = timers[i];
	}
	return first;
}

void wg_peer_actions_wipe(struct wg_peer_actions *actions)
{
	sodium_memzero(actions->action, actions->count * sizeof(actions->action[0]));
	actions->count = 0;
}
