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

void dpdk_port_show(struct port *p, struct json_out *js)
{
	struct dpdk_port *x = p->priv;

	json_out_string(js, "poll", x->is_polled_always ? "always" : "auto");
	json_out_array(js, "interfaces");
	for (unsigned i = 0; i < x->dev_count; i++)
		show_dev(p, x, i, js);
	json_out_end(js);
	tun_show(&x->tun, js);
	udp_show(&x->udp, js);
}
