/* SPDX-License-Identifier: Apache-2.0 */
/* What the dpdk port tells an operator: devices, what was probed of them, and counts. */
#include "dataplane/port/dpdk_port.h"

static void show_dev(const struct port *p, const struct dpdk_port *x, unsigned n,
		     struct json_out *js)
{
	json_out_object(js, NULL);
	json_out_string(js, "name", p->netdev[n].name);
	json_out_string(js, "role", p->netdev[n].is_wan ? "wan" : "lan");
	dpdk_dev_show(&x->dev[n], js);
	json_out_end(js);
}

static struct dpdk_counts sum_counts(const struct dpdk_port *x)
{
	struct dpdk_counts sum = {0};

	for (unsigned i = 0; i < x->worker_count; i++) {
#define X(name, fault, help)                                                                       \
	sum.name += __atomic_load_n(&x->worker[i].counts.name, __ATOMIC_RELAXED);
		DPDK_COUNTS(X)
#undef X
	}
	return sum;
}

static void show_counts(const struct dpdk_port *x, struct json_out *js)
{
	struct dpdk_counts c = sum_counts(x);

	json_out_object(js, "frames");
#define X(name, fault, help) json_out_u64(js, #name, c.name);
	DPDK_COUNTS(X)
#undef X
	json_out_end(js);
}

unsigned dpdk_port_counters(struct port *p, struct port_counter *out)
{
	struct dpdk_counts c = sum_counts(p->priv);
	unsigned n = 0;

#define X(name, fault, help) out[n++] = (struct port_counter){"dpdk_" #name, help, c.name, fault};
	DPDK_COUNTS(X)
#undef X
	return n;
}

void dpdk_port_show(struct port *p, struct json_out *js)
{
	struct dpdk_port *x = p->priv;

	json_out_string(js, "poll", x->is_polled_always ? "always" : "auto");
	json_out_array(js, "interfaces");
	for (unsigned i = 0; i < x->dev_count; i++)
		show_dev(p, x, i, js);
	json_out_end(js);
	show_counts(x, js);
	tun_show(&x->tun, js);
	udp_show(&x->udp, js);
}
