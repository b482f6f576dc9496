/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/path/netcheck.h"

#include <string.h>

#include "lib/base/bug.h"

#define ENOUGH_REGIONS 3

/* region_count: it is not asked. */
static size_t index_of(const struct netcheck_report *r, uint16_t region)
{
	size_t i = 0;

	while (i < r->region_count && r->region[i].region != region)
		i++;
	return i;
}

/* Of a region that has a set, so is asked. */
static struct netcheck_latency *latency_of(struct netcheck_report *r, uint16_t region)
{
	size_t i = index_of(r, region);

	BUG_ON(i == r->region_count);
	return &r->region[i];
}

static void tell(const struct netcheck *n, enum netcheck_action_type type, uint16_t region)
{
	struct netcheck_action a = {.type = type, .region = region};

	n->env->act(n->env->ctx, &a);
}

static void finish(struct netcheck *n, uint64_t now_ns)
{
	n->report.ended_ns = now_ns;
	n->state = NETCHECK_IDLE;
	tell(n, NETCHECK_DONE, 0);
}

static void end_stun(struct netcheck *n, uint64_t now_ns)
{
	if (n->report.udp || !n->report.region_count) {
		finish(n, now_ns);
		return;
	}
	n->state = NETCHECK_BY_HTTPS;
	n->end_ns = n->report.begun_ns + NETCHECK_ALL_NS;
	for (size_t i = 0; i < n->report.region_count; i++)
		tell(n, NETCHECK_HTTPS, n->report.region[i].region);
}

void netcheck_start(struct netcheck *n, const struct netcheck_env *env,
		    const struct netcheck_ask *ask, uint64_t now_ns)
{
	struct netcheck_set set[NETCHECK_SETS_MAX];
	size_t count;

	BUG_ON(ask->count > HOME_REGIONS_MAX);
	count = netcheck_plan(ask, set); /* first: ask->last may be our own report */
	memset(n, 0, sizeof(*n));
	n->env = env;
	n->state = NETCHECK_STUN;
	n->is_full = !ask->last;
	n->end_ns = now_ns + NETCHECK_STUN_NS;
	n->report.begun_ns = now_ns;
	n->report.region_count = ask->count;
	for (size_t i = 0; i < ask->count; i++)
		n->report.region[i].region = ask->region[i].id;
	n->set_count = count;
	memcpy(n->set, set, count * sizeof(set[0]));
}

/* Would an answer of this set tell anything new? */
static bool is_useless(struct netcheck *n, const struct netcheck_set *s)
{
	const struct netcheck_report *r = &n->report;

	if (!latency_of(&n->report, s->region)->any_ns)
		return false;
	return s->is_v6 ? r->ipv6 : r->mapping_varies_by_dest_ip != NETCHECK_UNKNOWN;
}

static void send_probe(struct netcheck *n, const struct netcheck_set *s, struct netcheck_probe *p,
		       uint64_t now_ns)
{
	struct netcheck_action a = {
		.type = NETCHECK_SEND, .region = s->region, .node = p->node, .is_v6 = s->is_v6};

	n->env->random(n->env->ctx, p->tx_id, sizeof(p->tx_id));
	p->sent_ns = now_ns;
	stun_request(a.request, p->tx_id);
	n->env->act(n->env->ctx, &a);
}

uint64_t netcheck_next_ns(const struct netcheck *n)
{
	uint64_t next_ns = n->end_ns;

	if (n->state == NETCHECK_IDLE)
		return NETCHECK_NEVER;
	for (size_t i = 0; i < n->set_count && n->state == NETCHECK_STUN; i++) {
		const struct netcheck_set *s = &n->set[i];

		for (unsigned k = 0; k < s->count && !s->is_over; k++) {
			uint64_t at_ns = n->report.begun_ns + s->probe[k].at_ns;

			if (!s->probe[k].sent_ns && at_ns < next_ns)
				next_ns = at_ns;
		}
	}
	return next_ns;
}

void netcheck_on_timer(struct netcheck *n, uint64_t now_ns)
{
	bool is_over = true;

	if (n->state == NETCHECK_BY_HTTPS && now_ns >= n->end_ns)
		finish(n, now_ns);
	if (n->state != NETCHECK_STUN)
		return;
	for (size_t i = 0; i < n->set_count; i++) {
		struct netcheck_set *s = &n->set[i];

		for (unsigned k = 0; k < s->count && !s->is_over; k++) {
			struct netcheck_probe *p = &s->probe[k];

			if (p->sent_ns || n->report.begun_ns + p->at_ns > now_ns)
				continue;
			if (is_useless(n, s))
				s->is_over = true;
			else
				send_probe(n, s, p, now_ns);
		}
		is_over &= s->is_over;
	}
	if (is_over || now_ns >= n->end_ns)
		end_stun(n, now_ns);
}

static void count_mapped(struct netcheck_report *r, const struct endpoint *mapped)
{
	for (size_t i = 0; i < r->mapped_count; i++) {
		if (endpoint_equal(&r->mapped[i].at, mapped)) {
			r->mapped[i].count++;
			return;
		}
	}
	if (r->mapped_count < NETCHECK_MAPPED_MAX)
		r->mapped[r->mapped_count++] = (struct netcheck_mapped){*mapped, 1};
}

static void lower(uint64_t *ns, uint64_t to_ns)
{
	if (!*ns || to_ns < *ns)
		*ns = to_ns;
}

static void take_answer(struct netcheck_report *r, const struct netcheck_set *s,
			const struct endpoint *mapped, uint64_t latency_ns)
{
	struct netcheck_latency *l = latency_of(r, s->region);

	r->udp = true;
	lower(&l->any_ns, latency_ns);
	lower(s->is_v6 ? &l->v6_ns : &l->v4_ns, latency_ns);
	count_mapped(r, mapped);
	if (s->is_v6) {
		r->ipv6 = true;
		if (!r->global_v6.port)
			r->global_v6 = *mapped;
		return;
	}
	r->ipv4 = true;
	if (!r->global_v4.port)
		r->global_v4 = *mapped;
	else if (!endpoint_equal(&r->global_v4, mapped))
		r->mapping_varies_by_dest_ip = NETCHECK_YES;
	else if (r->mapping_varies_by_dest_ip == NETCHECK_UNKNOWN)
		r->mapping_varies_by_dest_ip = NETCHECK_NO;
}

/* With three regions known the others get as long as the slowest took; in a full report twice. */
static void end_early(struct netcheck *n, uint64_t now_ns)
{
	uint64_t slowest_ns = 0, end_ns;
	size_t known = 0;

	for (size_t i = 0; i < n->report.region_count; i++) {
		uint64_t ns = n->report.region[i].any_ns;

		known += ns > 0;
		slowest_ns = ns > slowest_ns ? ns : slowest_ns;
	}
	end_ns = now_ns + slowest_ns * (n->is_full ? 2 : 1);
	if (known == ENOUGH_REGIONS && end_ns < n->end_ns)
		n->end_ns = end_ns;
}

int netcheck_on_stun(struct netcheck *n, const uint8_t *data, size_t len, uint64_t now_ns)
{
	uint8_t tx_id[STUN_TX_ID_BYTES];
	struct endpoint mapped;
	int rc = stun_response_parse(data, len, tx_id, &mapped);

	if (rc)
		return rc;
	for (size_t i = 0; i < n->set_count && n->state == NETCHECK_STUN; i++) {
		struct netcheck_set *s = &n->set[i];

		for (unsigned k = 0; k < s->count && !s->is_over; k++) {
			struct netcheck_probe *p = &s->probe[k];

			if (!p->sent_ns || p->is_lost ||
			    memcmp(p->tx_id, tx_id, sizeof(tx_id)) != 0)
				continue;
			if (mapped.addr.family != (s->is_v6 ? AF_INET6 : AF_INET) || !mapped.port)
				return STUN_BAD_ATTRIBUTES;
			s->is_over = true;
			/* Not 0, which says that there was none. */
			take_answer(&n->report, s, &mapped, now_ns - p->sent_ns + 1);
			end_early(n, now_ns);
			netcheck_on_timer(n, now_ns);
			return STUN_OK;
		}
	}
	return STUN_NOT_RESPONSE;
}

void netcheck_on_unsent(struct netcheck *n, uint16_t region, uint8_t node, bool is_v6)
{
	for (size_t i = 0; i < n->set_count; i++) {
		struct netcheck_set *s = &n->set[i];
		unsigned lost = 0;

		if (s->region != region || s->is_v6 != is_v6)
			continue;
		for (unsigned k = 0; k < s->count; k++) {
			struct netcheck_probe *p = &s->probe[k];

			if (p->node == node) {
				p->is_lost = true;
				p->sent_ns = n->report.begun_ns + p->at_ns;
			}
			lost += p->is_lost;
		}
		s->is_over |= lost == s->count;
	}
}

void netcheck_on_https(struct netcheck *n, uint16_t region, uint8_t family, uint64_t latency_ns,
		       uint64_t now_ns)
{
	struct netcheck_report *r = &n->report;
	size_t which = index_of(r, region);

	if (n->state != NETCHECK_BY_HTTPS || which == r->region_count)
		return;
	n->is_timed[which] = true;
	if (family)
		lower(&r->region[which].any_ns, latency_ns + 1);
	r->ipv4 |= family == AF_INET;
	r->ipv6 |= family == AF_INET6;
	for (size_t i = 0; i < r->region_count; i++) {
		if (!n->is_timed[i])
			return;
	}
	finish(n, now_ns);
}

const char *netcheck_nat_type(const struct netcheck_report *r, const struct ip_addr *interfaces,
			      size_t count)
{
	if (!r->udp)
		return "udp blocked";
	for (size_t i = 0; i < count; i++) {
		if (r->ipv4 && addr_equal(&interfaces[i], &r->global_v4.addr))
			return "none";
	}
	switch (r->mapping_varies_by_dest_ip) {
	case NETCHECK_YES:
		return "varies by destination";
	case NETCHECK_NO:
		return "endpoint-independent";
	case NETCHECK_UNKNOWN:
		break;
	}
	return "unknown";
}

void netcheck_home_report(const struct netcheck_report *r, struct home_report *out)
{
	out->begun_ns = r->begun_ns;
	out->ended_ns = r->ended_ns;
	out->count = 0;
	for (size_t i = 0; i < r->region_count; i++) {
		if (r->region[i].any_ns)
			out->at[out->count++] =
				(struct home_latency){r->region[i].region, r->region[i].any_ns};
	}
}
