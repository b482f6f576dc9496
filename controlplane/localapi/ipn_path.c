/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/localapi/ipn_path.h"

/* Seconds since; null: never. */
static json_t *age(uint64_t then_ns, uint64_t now_ns)
{
	if (!then_ns)
		return json_null();
	return json_real(then_ns < now_ns ? (double)(now_ns - then_ns) / 1e9 : 0);
}

static json_t *sources(uint8_t bits)
{
	json_t *list = json_array();

	if (bits & PATH_FROM_NETMAP)
		json_array_append_new(list, json_string("coordinator"));
	if (bits & PATH_FROM_CALL)
		json_array_append_new(list, json_string("call-me-maybe"));
	if (bits & PATH_FROM_PING)
		json_array_append_new(list, json_string("ping"));
	return list;
}

static json_t *candidate(const struct path_explanation *e, uint64_t now_ns)
{
	const struct path_candidate *c = &e->candidate;
	char at[ENDPOINT_STR_MAX];

	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:s}", "Endpoint",
			 endpoint_print(&c->at, at), "From", sources(c->sources), "PingedAgo",
			 age(c->pinged_ns, now_ns), "AnsweredAgo", age(c->ponged_ns, now_ns),
			 "HeardAgo", age(c->heard_ns, now_ns), "LatencySeconds",
			 c->ponged_ns ? json_real((double)c->latency_ns / 1e9) : json_null(),
			 "Points", (int)e->points, "BestPoints", (int)e->best_points, "Verdict",
			 path_verdict_text(e->verdict));
}

static json_t *counters(const struct path_counters *c)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "PingsSent",
			 (json_int_t)c->pings_sent, "PongsSent", (json_int_t)c->pongs_sent,
			 "CallsSent", (json_int_t)c->calls_sent, "PongsReceived",
			 (json_int_t)c->pongs_received, "PingsReceived",
			 (json_int_t)c->pings_received, "Forged", (json_int_t)c->forged,
			 "PongsUnknown", (json_int_t)c->pongs_unknown, "PingsLimited",
			 (json_int_t)c->pings_limited, "CallsRefused", (json_int_t)c->calls_refused,
			 "EndpointsRefused", (json_int_t)c->endpoints_refused);
}

json_t *ipn_path(const struct path_peer *p, const char *name,
		 const char *(*code)(const void *arg, uint16_t region), const void *arg,
		 uint64_t now_ns)
{
	uint16_t region = p->use_region ? p->use_region : p->home_region;
	struct path_explanation e;
	json_t *list = json_array();
	char at[ENDPOINT_STR_MAX] = "";

	if (p->use_told && p->use_to.addr.family)
		endpoint_print(&p->use_to, at);
	for (size_t i = 0; path_peer_explain(p, i, now_ns, &e); i++)
		json_array_append_new(list, candidate(&e, now_ns));
	return json_pack("{s:s, s:b, s:s, s:i, s:s, s:f, s:o, s:o, s:o}", "Peer", name,
			 "SpeaksDisco", p->has_box, "Direct", at, "DERPRegionID", (int)region,
			 "DERPRegionCode", code(arg, region), "TrustedForSeconds",
			 p->trust_until_ns > now_ns ? (double)(p->trust_until_ns - now_ns) / 1e9
						    : 0.0,
			 "ActiveAgo", age(p->active_ns, now_ns), "Candidates", list, "Counters",
			 counters(&p->counters));
}
