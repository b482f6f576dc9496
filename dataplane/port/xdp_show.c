/* SPDX-License-Identifier: Apache-2.0 */
/* What the xdp port tells an operator: modes, queues with the kernel's counts, verdicts. */
#include <sys/socket.h>

#include "dataplane/port/xdp_port.h"
#include "lib/wire/ether.h"

static void show_queue(const struct xdp_queue *q, struct json_out *js)
{
	struct xdp_statistics s = {0};
	socklen_t len = sizeof(s);

	json_out_object(js, NULL);
	json_out_u64(js, "queue", q->queue);
	json_out_u64(js, "worker", q->worker);
	json_out_u64(js, "ring", q->ring_size);
	json_out_bool(js, "zero_copy", q->is_zero_copy);
	json_out_bool(js, "tx_shared", q->is_tx_shared);
	if (!getsockopt(q->fd, SOL_XDP, XDP_STATISTICS, &s, &len)) {
		json_out_u64(js, "rx_dropped", s.rx_dropped);
		json_out_u64(js, "rx_ring_full", s.rx_ring_full);
		json_out_u64(js, "rx_no_buffer", s.rx_fill_ring_empty_descs);
		json_out_u64(js, "rx_invalid", s.rx_invalid_descs);
		json_out_u64(js, "tx_invalid", s.tx_invalid_descs);
	}
	json_out_end(js);
}

static void show_netdev(const struct port *p, const struct xdp_port *x, unsigned n,
			struct json_out *js)
{
	const struct port_netdev *d = &p->netdev[n];

	json_out_object(js, NULL);
	json_out_string(js, "name", d->name);
	json_out_string(js, "role", d->is_wan ? "wan" : "lan");
	json_out_string(js, "mode", x->steer.is_native[n] ? "native" : "generic");
	json_out_u64(js, "mtu", d->mtu);
	json_out_array(js, "queues");
	for (unsigned i = 0; i < x->queue_count; i++)
		if (x->queue[i].netdev == n)
			show_queue(&x->queue[i], js);
	json_out_end(js);
	json_out_end(js);
}

void xdp_port_show(struct port *p, struct json_out *js)
{
	struct xdp_port *x = p->priv;

	json_out_u64(js, "interface_mtu_max", x->area.frame_bytes - ETHER_HEADER_BYTES);
	json_out_string(js, "multi_buffer", x->has_multi_buffer ? "available, not used" : "none");
	json_out_array(js, "interfaces");
	for (unsigned i = 0; i < p->netdev_count; i++)
		show_netdev(p, x, i, js);
	json_out_end(js);
	xdp_steer_show(&x->steer, js);
	tun_show(&x->tun, js);
	udp_show(&x->udp, js);
}
