/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of contents of the dataplane: the ways of a packet, one function
 * each, in the order of their stages.
 *
 *    outside -> inside   rx classify open filter route mtu tx
 *    inside -> outside   rx route filter mtu seal tx
 *    peer -> peer        rx classify open filter route filter mtu seal tx
 *
 * A stage is one call for the whole batch, in a file of its own under stage/; it
 * never calls another stage. Cycles and packets are counted around each call.
 */
#include "dataplane/pipeline.h"

#include <rte_cycles.h>

#include "dataplane/channel.h"
#include "dataplane/dataplane.h"
#include "dataplane/stage/stage.h"

static inline uint64_t account(struct worker *w, enum worker_stage stage, unsigned n,
			       uint64_t since)
{
	uint64_t now = rte_rdtsc();

	w->stats.stage_cycles[stage] += now - since;
	w->stats.stage_packets[stage] += n;
	w->stats.stage_batches[stage]++;
	return now;
}

/* Each port takes its packets; then causewayd's, then the end of all. */
static void tx(struct worker *w, struct batch *b, uint64_t t)
{
	uint32_t ports = 0;
	bool has_channel = false;
	unsigned n = b->n;

	for (unsigned i = 0; i < b->n; i++) {
		const struct packet *p = &b->pkts[i];

		if (p->drop != DROP_NONE || p->out == PACKET_OUT_NONE)
			continue;
		if (p->out == PACKET_OUT_CHANNEL)
			has_channel = true;
		else
			ports |= 1u << p->port_out;
	}
	while (ports) {
		struct port *port = &w->dp->ports[__builtin_ctz(ports)];

		port->ops->tx(port, w, b);
		ports &= ports - 1;
	}
	if (has_channel)
		channel_tx(w, b);
	packet_finish(w, b);
	account(w, STAGE_TX, n, t);
}

void pipeline_outside(struct worker *w, struct batch *b)
{
	unsigned n = b->n, forwarded;
	uint64_t t = rte_rdtsc();

	classify_burst(w, b);
	t = account(w, STAGE_CLASSIFY, n, t);
	open_burst(w, b);
	t = account(w, STAGE_OPEN, n, t);
	filter_in_burst(w, b);
	t = account(w, STAGE_FILTER, n, t);
	forwarded = route_outside_burst(w, b);
	t = account(w, STAGE_ROUTE, n, t);
	if (forwarded) {
		filter_out_burst(w, b);
		t = account(w, STAGE_FILTER, forwarded, t);
	}
	mtu_burst(w, b);
	t = account(w, STAGE_MTU, n, t);
	if (forwarded) {
		seal_burst(w, b);
		t = account(w, STAGE_SEAL, forwarded, t);
	}
	tx(w, b, t);
}

void pipeline_inside(struct worker *w, struct batch *b)
{
	unsigned n = b->n;
	uint64_t t = rte_rdtsc();

	route_inside_burst(w, b);
	t = account(w, STAGE_ROUTE, n, t);
	filter_out_burst(w, b);
	t = account(w, STAGE_FILTER, n, t);
	mtu_burst(w, b);
	t = account(w, STAGE_MTU, n, t);
	seal_burst(w, b);
	t = account(w, STAGE_SEAL, n, t);
	tx(w, b, t);
}

void pipeline_seal(struct worker *w, struct batch *b)
{
	unsigned n = b->n;
	uint64_t t = rte_rdtsc();

	seal_burst(w, b);
	t = account(w, STAGE_SEAL, n, t);
	tx(w, b, t);
}

void pipeline_lane(struct worker *w, struct batch *b)
{
	unsigned n = b->n;
	uint64_t t = rte_rdtsc();

	lane_burst(w, b);
	t = account(w, STAGE_SEAL, n, t);
	tx(w, b, t);
}
