/* SPDX-License-Identifier: Apache-2.0 */
/* See show_stats.h. */
#include "dataplane/api/show_stats.h"

#include <rte_cycles.h>

#include "dataplane/api/control_counter.h"

static const char *const stage_names[STAGE_COUNT] = {
	[STAGE_RX_OUTSIDE] = "rx-outside",
	[STAGE_RX_INSIDE] = "rx-inside",
	[STAGE_CLASSIFY] = "classify",
	[STAGE_OPEN] = "open",
	[STAGE_FILTER] = "filter",
	[STAGE_ROUTE] = "route",
	[STAGE_MTU] = "mtu",
	[STAGE_SEAL] = "seal",
	[STAGE_TX] = "tx",
};

/* A counter of one worker, read while it runs. */
static uint64_t peek(const uint64_t *v)
{
	return __atomic_load_n(v, __ATOMIC_RELAXED);
}

static uint64_t sum(const struct dataplane *dp, size_t offset)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < dp->worker_count; i++)
		total += peek((const uint64_t *)((const char *)&dp->workers[i]->stats + offset));
	return total;
}

/* Of each size class which engine takes it, and the ticks that decided. */
static void sizes(const struct worker *w, struct json_out *js)
{
	struct aead_choice list[AEAD_CHOICES_MAX];
	unsigned n = w->engine->choices ? w->engine->choices(w->aead, list) : 0;

	json_out_array(js, "sizes");
	for (unsigned i = 0; i < n; i++) {
		const struct aead_choice *c = &list[i];

		json_out_object(js, NULL);
		json_out_u64(js, "up_to", c->up_to);
		json_out_string(js, "many", c->engines[c->many]);
		json_out_object(js, "many_ticks");
		for (unsigned e = 0; e < AEAD_CHOICE_OF; e++)
			json_out_u64(js, c->engines[e], c->many_ticks[e]);
		json_out_end(js);
		json_out_string(js, "alone", c->engines[c->alone]);
		json_out_object(js, "alone_ticks");
		for (unsigned e = 0; e < AEAD_CHOICE_OF; e++)
			json_out_u64(js, c->engines[e], c->alone_ticks[e]);
		json_out_end(js);
		json_out_end(js);
	}
	json_out_end(js);
}

void show_stats_workers(struct dataplane *dp, struct json_out *js)
{
	for (unsigned i = 0; i < dp->worker_count; i++) {
		const struct worker_stats *s = &dp->workers[i]->stats;
		uint64_t busy = peek(&s->busy_cycles), idle = peek(&s->idle_cycles);

		json_out_object(js, NULL);
		json_out_u64(js, "worker", i);
		json_out_string(js, "engine", dp->workers[i]->engine->name);
		json_out_bool(js, "pinned", dp->is_pinned);
		json_out_u64(js, "sources", dp->workers[i]->source_count);
		json_out_u64(js, "busy_cycles", busy);
		json_out_u64(js, "idle_cycles", idle);
		json_out_double(js, "busy_percent",
				busy + idle ? 100.0 * (double)busy / (double)(busy + idle) : 0);
		json_out_u64(js, "rounds", peek(&s->rounds));
		json_out_u64(js, "sleeps", peek(&s->sleeps));
		json_out_u64(js, "naps", peek(&s->naps));
		json_out_u64(js, "rx_outside", peek(&s->rx_outside));
		json_out_u64(js, "rx_inside", peek(&s->rx_inside));
		json_out_u64(js, "tx_outside", peek(&s->tx_outside));
		json_out_u64(js, "tx_inside", peek(&s->tx_inside));
		sizes(dp->workers[i], js);
		json_out_end(js);
	}
}

static void row(struct json_out *js, const char *name, uint64_t value, bool is_fault,
		const char *help)
{
	json_out_object(js, NULL);
	json_out_string(js, "name", name);
	json_out_u64(js, "value", value);
	json_out_bool(js, "fault", is_fault);
	json_out_string(js, "help", help);
	json_out_end(js);
}

#define TRAFFIC(X)                                                                                 \
	X(rx_outside, "datagrams received from peers")                                             \
	X(tx_outside, "datagrams sent to peers")                                                   \
	X(rx_inside, "packets taken from the kernel or a LAN")                                     \
	X(tx_inside, "packets given to the kernel or a LAN")                                       \
	X(rx_udp_calls, "receive calls on UDP sockets")                                            \
	X(tx_udp_calls, "send calls on UDP sockets")                                               \
	X(rx_tun_calls, "reads from TUN devices")                                                  \
	X(tx_tun_calls, "writes to TUN devices")                                                   \
	X(keepalives_sent, "empty packets sent")                                                   \
	X(keepalives_received, "empty packets received")                                           \
	X(raw_to_control, "datagrams handed to causewayd")                                         \
	X(raw_from_control, "packets taken from causewayd")                                        \
	X(ecn_ce_marked, "congestion marks carried from outer to inner header")                    \
	X(mss_clamped, "TCP connections whose MSS was lowered to the peer's MTU")

void show_stats_counters(struct dataplane *dp, struct json_out *js)
{
	for (unsigned r = DROP_NONE + 1; r < DROP_REASON_COUNT; r++)
		row(js, drop_name(r), sum(dp, offsetof(struct worker_stats, drop[r])),
		    drop_is_fault(r), drop_help(r));
#define X(field, help) row(js, #field, sum(dp, offsetof(struct worker_stats, field)), false, help);
	TRAFFIC(X)
#undef X
	for (unsigned i = 0; i < control_counter_count(); i++) {
		const struct dpapi_counter *c = control_counter_get(i);

		row(js, c->name, c->value, c->is_fault, c->help);
	}
	for (unsigned i = 0; i < dp->port_count; i++) {
		struct port *p = &dp->ports[i];
		struct port_counter list[PORT_COUNTERS_MAX];
		unsigned n = p->ops->counters ? p->ops->counters(p, list) : 0;

		for (unsigned k = 0; k < n; k++)
			row(js, list[k].name, list[k].value, list[k].is_fault, list[k].help);
	}
}

static double per(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

/* Upper bound in us of the histogram's bucket where this share of all batches is reached. */
static double percentile_us(const uint64_t *hist, uint64_t total, double share)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < WORKER_HISTOGRAM; i++) {
		seen += hist[i];
		if (total && (double)seen >= share * (double)total)
			return (double)(2ull << i) * 1e6 / (double)rte_get_tsc_hz();
	}
	return 0;
}

static void batch_row(struct dataplane *dp, struct json_out *js)
{
	uint64_t hist[WORKER_HISTOGRAM], total = 0;

	for (unsigned i = 0; i < WORKER_HISTOGRAM; i++) {
		hist[i] = sum(dp, offsetof(struct worker_stats, batch_cycles_log2[i]));
		total += hist[i];
	}
	json_out_object(js, NULL);
	json_out_string(js, "stage", "whole batch");
	json_out_u64(js, "batches", total);
	json_out_double(js, "p50_us", percentile_us(hist, total, 0.5));
	json_out_double(js, "p99_us", percentile_us(hist, total, 0.99));
	json_out_double(js, "p999_us", percentile_us(hist, total, 0.999));
	json_out_end(js);
}

void show_stats_latency(struct dataplane *dp, struct json_out *js)
{
	for (unsigned i = 0; i < STAGE_COUNT; i++) {
		uint64_t cycles = sum(dp, offsetof(struct worker_stats, stage_cycles[i]));
		uint64_t packets = sum(dp, offsetof(struct worker_stats, stage_packets[i]));
		uint64_t batches = sum(dp, offsetof(struct worker_stats, stage_batches[i]));

		json_out_object(js, NULL);
		json_out_string(js, "stage", stage_names[i]);
		json_out_u64(js, "batches", batches);
		json_out_u64(js, "packets", packets);
		json_out_double(js, "packets_a_batch", per(packets, batches));
		json_out_double(js, "cycles_a_packet", per(cycles, packets));
		json_out_double(js, "cycles_a_batch", per(cycles, batches));
		json_out_end(js);
	}
	batch_row(dp, js);
}
