/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/path/path_peer.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

static uint16_t region_of(const struct path_peer *p)
{
	return p->home_region ? p->home_region : p->heard_region;
}

static bool is_trusted(const struct path_peer *p, uint64_t now_ns)
{
	return p->best.at.addr.family && now_ns <= p->trust_until_ns;
}

static bool is_active(const struct path_peer *p, uint64_t now_ns)
{
	return p->active_ns && now_ns - p->active_ns <= PATH_ACTIVE_NS;
}

/* Tells where packets go, if that changed. */
static void update_use(struct path_peer *p, uint64_t now_ns)
{
	uint16_t region = is_trusted(p, now_ns) ? 0 : region_of(p);
	struct path_action a = {.type = PATH_USE, .to = p->best.at, .region = region};

	if (p->use_told && p->use_region == region && endpoint_equal(&p->use_to, &p->best.at))
		return;
	p->use_told = true;
	p->use_region = region;
	p->use_to = p->best.at;
	p->env->act(p->env->ctx, &a);
}

/* to: NULL for DERP through region. */
static void send_msg(struct path_peer *p, const struct disco_msg *m, const struct endpoint *to,
		     uint16_t region)
{
	uint8_t nonce[DISCO_NONCE_BYTES], sealed[DISCO_BOX_BYTES_MAX];
	struct path_action a = {.type = PATH_SEND, .bytes = sealed};

	p->env->random(p->env->ctx, nonce, sizeof(nonce));
	a.len = disco_box_seal(&p->box, m, nonce, sealed);
	if (to)
		a.to = *to;
	else
		a.region = region;
	p->env->act(p->env->ctx, &a);
}

static struct path_ping *free_ping(struct path_peer *p)
{
	struct path_ping *oldest = &p->pings[0];

	for (size_t i = 0; i < PATH_PINGS_MAX; i++) {
		if (!p->pings[i].sent_ns)
			return &p->pings[i];
		if (p->pings[i].sent_ns < oldest->sent_ns)
			oldest = &p->pings[i];
	}
	return oldest;
}

static bool is_outside(const struct path_peer *p, const struct endpoint *e)
{
	return !p->env->is_outside || p->env->is_outside(p->env->ctx, e);
}

/* to: NULL for DERP, by the peer's region. */
static void send_ping(struct path_peer *p, const struct endpoint *to, uint64_t now_ns)
{
	struct path_ping *ping = free_ping(p);
	struct path_candidate *k = to ? path_candidate_find(&p->candidates, to) : NULL;
	struct disco_msg m = {.type = DISCO_PING, .ping.has_node_key = true};

	if (k)
		k->pinged_ns = now_ns;
	if (to && !is_outside(p, to))
		return; /* a route into the tunnel came after the address */
	p->env->random(p->env->ctx, ping->tx_id, sizeof(ping->tx_id));
	ping->to = to ? *to : (struct endpoint){0};
	ping->sent_ns = now_ns;
	memcpy(m.ping.tx_id, ping->tx_id, sizeof(ping->tx_id));
	memcpy(m.ping.node_key, p->self->node.bytes, KEY_BYTES);
	p->counters.pings_sent++;
	send_msg(p, &m, to, to ? 0 : region_of(p));
}

static void send_call(struct path_peer *p, uint64_t now_ns)
{
	const struct path_self *s = p->self;
	struct disco_msg m = {.type = DISCO_CALL_ME_MAYBE};

	if (!region_of(p))
		return;
	if (!s->endpoints_ns || now_ns - s->endpoints_ns > PATH_FRESH_NS) {
		struct path_action a = {.type = PATH_NEED_ENDPOINTS};

		p->call_waits = true;
		p->env->act(p->env->ctx, &a);
		return;
	}
	p->call_waits = false;
	m.call.endpoints = s->endpoints;
	m.call.count = s->endpoint_count < DISCO_BOX_ENDPOINTS_MAX ? s->endpoint_count
								   : DISCO_BOX_ENDPOINTS_MAX;
	p->counters.calls_sent++;
	send_msg(p, &m, NULL, region_of(p));
}

/* Pings every candidate that was not pinged for min_ns; returns how many. */
static size_t ping_all(struct path_peer *p, uint64_t min_ns, uint64_t now_ns)
{
	size_t sent = 0;

	path_candidate_sweep(&p->candidates, now_ns);
	for (size_t i = 0; i < p->candidates.count; i++) {
		const struct path_candidate *k = &p->candidates.at[i];

		if (k->pinged_ns && now_ns - k->pinged_ns < min_ns)
			continue;
		send_ping(p, &k->at, now_ns);
		sent++;
	}
	return sent;
}

/*
 * The call goes after the pings, so that our NAT is open when the answer comes. A peer of which no
 * address is known is called as well: it can tell us some. And so is one whose own call made us
 * ping just now: it may know no address of ours.
 */
static void discover(struct path_peer *p, uint64_t min_ns, uint64_t now_ns)
{
	bool due = !p->full_ns || now_ns - p->full_ns >= min_ns;

	if (!p->has_box)
		return;
	if (!ping_all(p, min_ns, now_ns) && !due)
		return;
	p->full_ns = now_ns;
	send_call(p, now_ns);
}

void path_peer_init(struct path_peer *p, const struct path_env *env, const struct path_self *self)
{
	*p = (struct path_peer){.env = env, .self = self};
}

void path_peer_fini(struct path_peer *p)
{
	sodium_memzero(p, sizeof(*p));
}

static bool is_allowed(struct path_peer *p, const struct endpoint *e)
{
	bool is_good = path_addr_is_allowed(e) && is_outside(p, e);

	for (size_t i = 0; is_good && i < p->self->endpoint_count; i++)
		is_good = !endpoint_equal(e, &p->self->endpoints[i]);
	p->counters.endpoints_refused += !is_good;
	return is_good;
}

static void forget_pings(struct path_peer *p)
{
	memset(p->pings, 0, sizeof(p->pings));
}

static int set_key(struct path_peer *p, const struct key *disco)
{
	if (p->has_box && key_equal(&p->box.peer, disco))
		return 0;
	forget_pings(p);
	p->trust_until_ns = 0;
	p->full_ns = 0;
	for (size_t i = 0; i < p->candidates.count; i++)
		p->candidates.at[i].pinged_ns = 0;
	disco_box_fini(&p->box);
	p->has_box = false;
	if (key_is_zero(disco))
		return 0;
	p->has_box = !disco_box_init(&p->box, &p->self->disco_private, &p->self->disco, disco);
	return p->has_box ? 0 : -EINVAL;
}

int path_peer_set(struct path_peer *p, const struct key *disco, uint16_t region,
		  const struct endpoint *endpoints, size_t count, uint64_t now_ns)
{
	int rc = set_key(p, disco);

	p->home_region = region;
	path_candidate_forget_source(&p->candidates, PATH_FROM_NETMAP);
	for (size_t i = 0; i < count; i++) {
		if (is_allowed(p, &endpoints[i]))
			path_candidate_add(&p->candidates, &endpoints[i], PATH_FROM_NETMAP);
	}
	path_candidate_sweep(&p->candidates, now_ns);
	if (!p->has_box)
		p->best = (struct path_addr){0};
	update_use(p, now_ns);
	return rc;
}

void path_peer_on_activity(struct path_peer *p, uint64_t now_ns)
{
	p->active_ns = now_ns;
	if (!p->has_box) {
		update_use(p, now_ns);
		return;
	}
	if (!p->heartbeat_ns)
		p->heartbeat_ns = now_ns + PATH_HEARTBEAT_NS;
	if (!is_trusted(p, now_ns))
		discover(p, PATH_PING_AGAIN_NS, now_ns);
	update_use(p, now_ns);
}

/*
 * The peer is heard of in a way that says it may have lost ours, while we believe in the best. Its
 * trust shrinks to the time that an answer takes; if one comes it is whole again.
 */
static void doubt(struct path_peer *p, uint64_t now_ns)
{
	uint64_t until_ns = now_ns + p->best.latency_ns * 3 / 2 + PATH_DOUBT_NS;

	if (is_trusted(p, now_ns) && p->trust_until_ns > until_ns)
		p->trust_until_ns = until_ns;
}

/*
 * Every candidate, and the best in any case: that it answered a moment ago says nothing of now. The
 * caller sees to it that this happens at most every PATH_FORCED_NS.
 */
static void ping_forced(struct path_peer *p, uint64_t now_ns)
{
	const struct path_candidate *best = path_candidate_find(&p->candidates, &p->best.at);

	ping_all(p, PATH_FORCED_NS, now_ns);
	if (best && best->pinged_ns != now_ns)
		send_ping(p, &p->best.at, now_ns);
}

/* A leaky bucket over all pings of the peer. */
static bool may_answer(struct path_peer *p, uint64_t now_ns)
{
	const uint64_t cost_ns = NS_PER_SEC / PATH_ANSWER_RATE;

	if (p->answer_ns < now_ns)
		p->answer_ns = now_ns;
	if (p->answer_ns + cost_ns > now_ns + PATH_ANSWER_BURST * cost_ns)
		return false;
	p->answer_ns += cost_ns;
	return true;
}

static void on_ping(struct path_peer *p, const struct disco_msg *m, const struct endpoint *from,
		    uint16_t region, uint64_t now_ns)
{
	struct disco_msg pong = {.type = DISCO_PONG};
	struct path_candidate *k = NULL;

	p->counters.pings_received++;
	if (from && !is_allowed(p, from))
		return;
	if (from) {
		k = path_candidate_add(&p->candidates, from, PATH_FROM_PING);
		if (k && k->heard_ns && !memcmp(k->heard_tx, m->ping.tx_id, DISCO_TX_ID_BYTES)) {
			p->counters.pings_limited++;
			return;
		}
	}
	if (!may_answer(p, now_ns)) {
		p->counters.pings_limited++;
		return;
	}
	memcpy(pong.pong.tx_id, m->ping.tx_id, DISCO_TX_ID_BYTES);
	if (from)
		pong.pong.src = *from;
	else
		pong.pong.src = (struct endpoint){{AF_INET, {127, 3, 3, 40}}, region};
	p->counters.pongs_sent++;
	send_msg(p, &pong, from, region);
	if (!k)
		return;
	if (!k->heard_ns && is_active(p, now_ns) && is_trusted(p, now_ns) &&
	    !endpoint_equal(from, &p->best.at)) {
		/* From a new place: the peer roams, or its NAT forgot the old one. */
		doubt(p, now_ns);
		send_ping(p, &p->best.at, now_ns);
		send_ping(p, from, now_ns);
	}
	memcpy(k->heard_tx, m->ping.tx_id, DISCO_TX_ID_BYTES);
	k->heard_ns = now_ns;
	/*
	 * The peer's NAT is open towards us this moment: do not leave it to the next round. A ping
	 * of ours from before, however short, met a closed one.
	 */
	if (is_active(p, now_ns) && !is_trusted(p, now_ns) &&
	    (!k->backed_ns || now_ns - k->backed_ns >= PATH_BACK_NS)) {
		k->backed_ns = now_ns;
		send_ping(p, from, now_ns);
	}
}

/* A pong may come back another way than its ping went; what it says is of the ping's. */
static void on_pong(struct path_peer *p, const struct disco_msg *m, bool is_by_derp,
		    uint16_t region, uint64_t now_ns)
{
	struct path_action told = {.type = PATH_PONG};
	struct path_ping *ping = NULL;
	struct path_candidate *k;
	struct path_addr this;

	for (size_t i = 0; i < PATH_PINGS_MAX && !ping; i++) {
		if (p->pings[i].sent_ns &&
		    !memcmp(p->pings[i].tx_id, m->pong.tx_id, DISCO_TX_ID_BYTES))
			ping = &p->pings[i];
	}
	/* By DERP it says nothing of a direct way. */
	if (!ping || is_by_derp != !ping->to.addr.family) {
		p->counters.pongs_unknown++;
		return;
	}
	p->counters.pongs_received++;
	told.to = ping->to;
	told.region = region;
	told.latency_ns = now_ns - ping->sent_ns;
	p->env->act(p->env->ctx, &told);
	this = (struct path_addr){
		.at = ping->to, .latency_ns = told.latency_ns, .wire_mtu = PATH_ADDR_WIRE_MTU};
	ping->sent_ns = 0;
	if (is_by_derp)
		return;
	k = path_candidate_find(&p->candidates, &this.at);
	if (!k)
		return;
	k->ponged_ns = now_ns;
	k->latency_ns = this.latency_ns;
	if (!is_trusted(p, now_ns) || path_addr_is_better(&this, &p->best))
		p->best = this;
	if (endpoint_equal(&p->best.at, &this.at)) {
		p->best.latency_ns = this.latency_ns;
		p->trust_until_ns = now_ns + PATH_TRUST_NS;
	}
}

static void on_call(struct path_peer *p, const struct disco_msg *m, const struct endpoint *from,
		    uint64_t now_ns)
{
	if (from) {
		p->counters.calls_refused++;
		return;
	}
	path_candidate_forget_source(&p->candidates, PATH_FROM_CALL);
	for (size_t i = 0; i < m->call.count; i++) {
		struct endpoint e = disco_addr_at(&m->call, i);

		if (is_allowed(p, &e))
			path_candidate_add(&p->candidates, &e, PATH_FROM_CALL);
	}
	/* Each address once in this time: a flood of calls makes no flood of pings. */
	if (p->called_ns && now_ns - p->called_ns < PATH_FORCED_NS) {
		ping_all(p, PATH_FORCED_NS, now_ns);
		return;
	}
	p->called_ns = now_ns;
	ping_forced(p, now_ns);
	doubt(p, now_ns);
}

int path_peer_on_disco(struct path_peer *p, const uint8_t *data, size_t len,
		       const struct endpoint *from, uint16_t region, uint64_t now_ns)
{
	uint8_t plain[DISCO_BOX_OPEN_MAX];
	struct disco_msg m;
	int rc = p->has_box ? disco_box_open(&p->box, data, len, plain, &m) : -ENOENT;

	if (!from && !region)
		return -EINVAL;
	if (rc) {
		p->counters.forged += rc != -ENOENT && rc != -ENOTSUP;
		return rc;
	}
	if (!from)
		p->heard_region = region;
	if (m.type == DISCO_PING)
		on_ping(p, &m, from, region, now_ns);
	else if (m.type == DISCO_PONG)
		on_pong(p, &m, !from, from ? 0 : region, now_ns);
	else if (m.type == DISCO_CALL_ME_MAYBE)
		on_call(p, &m, from, now_ns);
	update_use(p, now_ns);
	return 0;
}

void path_peer_on_derp(struct path_peer *p, uint16_t region, uint64_t now_ns)
{
	p->heard_region = region;
	update_use(p, now_ns);
}

void path_peer_on_silence(struct path_peer *p, uint64_t now_ns)
{
	if (p->forced_ns && now_ns - p->forced_ns < PATH_FORCED_NS)
		return;
	p->forced_ns = now_ns;
	/* Traffic in one direction only looks the same: the way may answer first. */
	doubt(p, now_ns);
	update_use(p, now_ns);
	if (!p->has_box)
		return;
	ping_forced(p, now_ns);
	p->full_ns = now_ns;
	/* What STUN said before need not hold: a NAT that lost our mapping looks just like this. */
	if (region_of(p)) {
		struct path_action a = {.type = PATH_NEED_ENDPOINTS};

		p->call_waits = true;
		p->env->act(p->env->ctx, &a);
	}
}

void path_peer_on_endpoints(struct path_peer *p, uint64_t now_ns)
{
	if (p->call_waits && p->has_box)
		send_call(p, now_ns);
}

void path_peer_on_link_change(struct path_peer *p, uint64_t now_ns)
{
	p->best = (struct path_addr){0};
	p->trust_until_ns = 0;
	p->full_ns = 0;
	forget_pings(p);
	for (size_t i = 0; i < p->candidates.count; i++) {
		struct path_candidate *k = &p->candidates.at[i];

		k->pinged_ns = k->ponged_ns = k->latency_ns = 0;
	}
	update_use(p, now_ns);
	if (is_active(p, now_ns))
		discover(p, PATH_PING_AGAIN_NS, now_ns);
}

void path_peer_on_unreachable(struct path_peer *p, const struct endpoint *to, uint64_t now_ns)
{
	struct path_candidate *k = path_candidate_find(&p->candidates, to);

	if (k)
		k->ponged_ns = k->latency_ns = 0;
	if (endpoint_equal(&p->best.at, to)) {
		p->best = (struct path_addr){0};
		p->trust_until_ns = 0;
	}
	update_use(p, now_ns);
}

int path_peer_ping(struct path_peer *p, uint64_t now_ns)
{
	if (!p->has_box)
		return -ENOENT;
	if (region_of(p))
		send_ping(p, NULL, now_ns);
	if (is_trusted(p, now_ns)) {
		send_ping(p, &p->best.at, now_ns);
	} else if (ping_all(p, 0, now_ns) || !p->candidates.count) {
		p->full_ns = now_ns;
		send_call(p, now_ns);
	}
	return 0;
}

void path_peer_adopt(struct path_peer *p, const struct endpoint *at, uint64_t now_ns)
{
	if (!p->has_box || !is_allowed(p, at) ||
	    !path_candidate_add(&p->candidates, at, PATH_FROM_PING))
		return;
	path_candidate_find(&p->candidates, at)->heard_ns = now_ns;
	p->best = (struct path_addr){.at = *at, .wire_mtu = PATH_ADDR_WIRE_MTU};
	p->trust_until_ns = now_ns + PATH_TRUST_NS;
	p->active_ns = now_ns;
	p->heartbeat_ns = now_ns + PATH_HEARTBEAT_NS;
	send_ping(p, at, now_ns);
	update_use(p, now_ns);
}

uint64_t path_peer_next_ns(const struct path_peer *p)
{
	uint64_t next_ns = p->heartbeat_ns ? p->heartbeat_ns : PATH_NEVER;

	/* The first moment without trust: DERP comes in beside. */
	if (p->best.at.addr.family && !p->use_region && region_of(p) &&
	    p->trust_until_ns + 1 < next_ns)
		next_ns = p->trust_until_ns + 1;
	for (size_t i = 0; i < PATH_PINGS_MAX; i++) {
		const struct path_ping *ping = &p->pings[i];

		if (ping->sent_ns && ping->sent_ns + PATH_PING_LOST_NS < next_ns)
			next_ns = ping->sent_ns + PATH_PING_LOST_NS;
	}
	return next_ns;
}

static void heartbeat(struct path_peer *p, uint64_t now_ns)
{
	p->heartbeat_ns = is_active(p, now_ns) ? now_ns + PATH_HEARTBEAT_NS : 0;
	if (!p->heartbeat_ns || !p->has_box)
		return;
	if (p->best.at.addr.family)
		send_ping(p, &p->best.at, now_ns);
	if (!is_trusted(p, now_ns) || !p->full_ns ||
	    (p->best.latency_ns > PATH_GOOD_ENOUGH_NS && now_ns - p->full_ns >= PATH_UPGRADE_NS))
		discover(p, PATH_PING_AGAIN_NS, now_ns);
}

void path_peer_on_timer(struct path_peer *p, uint64_t now_ns)
{
	for (size_t i = 0; i < PATH_PINGS_MAX; i++) {
		struct path_ping *ping = &p->pings[i];

		if (!ping->sent_ns || now_ns - ping->sent_ns < PATH_PING_LOST_NS)
			continue;
		ping->sent_ns = 0;
		if (endpoint_equal(&p->best.at, &ping->to) && !is_trusted(p, now_ns))
			p->best = (struct path_addr){0};
	}
	if (p->heartbeat_ns && now_ns >= p->heartbeat_ns)
		heartbeat(p, now_ns);
	update_use(p, now_ns);
}
