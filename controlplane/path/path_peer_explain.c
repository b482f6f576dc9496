/* SPDX-License-Identifier: Apache-2.0 */
/* Why each candidate is, or is not, the way to the peer: for `causeway debug path`. */
#include "controlplane/path/path_peer.h"

const char *path_verdict_text(enum path_verdict v)
{
	static const char *const text[] = {
#define X(name, what) [PATH_VERDICT_##name] = what,
		PATH_VERDICTS(X)
#undef X
	};

	return text[v];
}

static enum path_verdict judge(const struct path_peer *p, const struct path_candidate *k,
			       const struct path_addr *as_addr, uint64_t now_ns)
{
	if (endpoint_equal(&k->at, &p->best.at))
		return now_ns <= p->trust_until_ns ? PATH_VERDICT_CHOSEN : PATH_VERDICT_DOUBTED;
	if (!k->pinged_ns)
		return PATH_VERDICT_NEVER_PINGED;
	if (k->ponged_ns < k->pinged_ns) {
		if (now_ns - k->pinged_ns < PATH_PING_LOST_NS)
			return PATH_VERDICT_WAITING;
		return k->ponged_ns ? PATH_VERDICT_STALE : PATH_VERDICT_NO_ANSWER;
	}
	return path_addr_is_better(as_addr, &p->best) ? PATH_VERDICT_NEXT
						      : PATH_VERDICT_FEWER_POINTS;
}

bool path_peer_explain(const struct path_peer *p, size_t i, uint64_t now_ns,
		       struct path_explanation *out)
{
	const struct path_candidate *k = &p->candidates.at[i];
	struct path_addr a;

	if (i >= p->candidates.count)
		return false;
	a = (struct path_addr){
		.at = k->at, .latency_ns = k->latency_ns, .wire_mtu = PATH_ADDR_WIRE_MTU};
	*out = (struct path_explanation){.candidate = *k, .verdict = judge(p, k, &a, now_ns)};
	if (k->ponged_ns) {
		out->points = path_addr_points(&a, &p->best);
		out->best_points = path_addr_points(&p->best, &a);
	}
	return true;
}
