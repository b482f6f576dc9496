/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `xdp` port: AF_XDP sockets on interfaces that are shared with the kernel,
 * which keeps addresses, routes, neighbours, and every packet that is not plain
 * data. TUN and UDP sockets stand beside it for what the kernel hands us and
 * what we leave to it.
 *
 * Sources of a worker: its TUN queue, its IPv4 and IPv6 socket, its queues of the
 * interfaces, the sockets of its lanes. Arguments: xdp_spec.h; sending: xdp_tx.c; what an operator
 * sees: xdp_show.c. A frame is one mbuf, which limits the MTU of the interfaces
 * (and of peers); multi-buffer frames are probed for, but not used.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_mempool.h>

#include "dataplane/port/xdp_netdev.h"
#include "dataplane/port/xdp_port.h"
#include "dataplane/port/xdp_spec.h"
#include "dataplane/worker.h"
#include "ebpf/steer_shared.h"
#include "lib/base/log.h"
#include "lib/wire/ether.h"

enum source { SOURCE_TUN, SOURCE_UDP_V4, SOURCE_UDP_V6 };

/* Of the pool's buffers this part may lie in each ring of a queue. */
#define POOL_SHARE 4

static unsigned first_queue_source(const struct xdp_port *x)
{
	return x->udp.fd[UDP_V6][0] >= 0 ? SOURCE_UDP_V6 + 1 : SOURCE_UDP_V6;
}

static int probe_netdevs(struct port *p, const struct xdp_port *x, const struct xdp_spec *spec,
			 struct xdp_netdev_queues *queues, char *err)
{
	uint32_t mtu_max = x->area.frame_bytes - ETHER_HEADER_BYTES;

	for (unsigned i = 0; i < spec->netdev_count; i++) {
		struct port_netdev *d = &p->netdev[i];
		int rc;

		*d = spec->netdev[i];
		rc = xdp_netdev_probe(d, &queues[i], err);
		if (rc)
			return rc;
		if (d->mtu > mtu_max) {
			snprintf(err, PORT_ERROR_TEXT, "%s: MTU %u; an xdp port takes up to %u",
				 d->name, d->mtu, mtu_max);
			return -EMSGSIZE;
		}
		if (queues[i].rx > STEER_QUEUES_MAX)
			queues[i].rx = STEER_QUEUES_MAX;
		if (spec->queues_max && queues[i].rx > spec->queues_max)
			queues[i].rx = spec->queues_max;
	}
	p->netdev_count = spec->netdev_count;
	return 0;
}

static uint32_t ring_size(const struct rte_mempool *pool, unsigned queues)
{
	uint32_t want = pool->size / (POOL_SHARE * queues), size = XDP_QUEUE_RING_MAX;

	while (size > want && size > XDP_QUEUE_RING_MIN)
		size /= 2;
	return size;
}

static const char *explain_queue(int rc)
{
	if (rc == -EBUSY)
		return ": in use by another program";
	if (rc == -ENOBUFS)
		return " (needs CAP_IPC_LOCK or a larger memlock limit)";
	return "";
}

static int open_queue(struct port *p, struct xdp_port *x, unsigned netdev, unsigned queue,
		      uint32_t size, char *err)
{
	const struct port_netdev *d = &p->netdev[netdev];
	struct xdp_queue *q = &x->queue[x->queue_count];
	/* Frames may cross pages: a device can follow only within a hugepage. */
	bool is_copy = !rte_eal_has_hugepages();
	int rc = xdp_queue_open(q, &x->area, d->name, (uint16_t)queue, size, is_copy);

	if (rc) {
		snprintf(err, PORT_ERROR_TEXT, "%s: AF_XDP socket on queue %u: %s%s", d->name,
			 queue, strerror(-rc), explain_queue(rc));
		return rc;
	}
	x->queue_count++;
	q->netdev = (uint8_t)netdev;
	q->worker = (uint8_t)((netdev + queue) % x->worker_count);
	rc = xdp_steer_add_socket(&x->steer, netdev, queue, q->fd);
	if (rc)
		snprintf(err, PORT_ERROR_TEXT, "%s: queue %u into the program's map: %s", d->name,
			 queue, strerror(-rc));
	return rc;
}

static int open_queues(struct port *p, struct xdp_port *x, const struct xdp_netdev_queues *queues,
		       char *err)
{
	unsigned total = 0;
	uint32_t size;

	for (unsigned i = 0; i < p->netdev_count; i++)
		total += queues[i].rx;
	if (total > x->worker_count * XDP_PORT_RX_MAX) {
		snprintf(err, PORT_ERROR_TEXT,
			 "%u queues; %u workers take %u (queues= limits them)", total,
			 x->worker_count, x->worker_count * XDP_PORT_RX_MAX);
		return -E2BIG;
	}
	x->queue = aligned_alloc(64, total * sizeof(*x->queue));
	if (!x->queue)
		return -ENOMEM;
	size = ring_size(x->area.pool, total);
	for (unsigned i = 0; i < p->netdev_count; i++) {
		for (unsigned q = 0; q < queues[i].rx; q++) {
			int rc = open_queue(p, x, i, q, size, err);

			if (rc)
				return rc;
			x->queue[x->queue_count - 1].has_tx = q < queues[i].tx;
		}
	}
	return 0;
}

/* A worker's queue to send to an interface: its own, else one of the others'. */
static struct xdp_queue *choose_tx(struct xdp_port *x, unsigned worker, unsigned netdev)
{
	struct xdp_queue *of_netdev[STEER_QUEUES_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < x->queue_count; i++) {
		struct xdp_queue *q = &x->queue[i];

		/* Number 0 always sends: there is one. */
		if (q->netdev != netdev || !q->has_tx)
			continue;
		if (q->worker == worker)
			return q;
		of_netdev[n++] = q;
	}
	return of_netdev[worker % n];
}

static int assign_queues(struct port *p, struct xdp_port *x, char *err)
{
	for (unsigned i = 0; i < x->queue_count; i++) {
		struct xdp_worker *xw = &x->worker[x->queue[i].worker];

		if (xw->rx_count == XDP_PORT_RX_MAX) {
			snprintf(err, PORT_ERROR_TEXT, "more than %u queues for worker %u",
				 XDP_PORT_RX_MAX, x->queue[i].worker);
			return -E2BIG;
		}
		xw->rx[xw->rx_count++] = &x->queue[i];
	}
	for (unsigned d = 0; d < p->netdev_count; d++) {
		for (unsigned w = 0; w < x->worker_count; w++) {
			struct xdp_queue *q = choose_tx(x, w, d);

			x->worker[w].tx[d] = q;
			for (unsigned other = 0; other < w; other++)
				q->is_tx_shared |= x->worker[other].tx[d] == q;
		}
	}
	return 0;
}

static int attach(struct port *p, struct xdp_port *x, enum xdp_mode mode, char *err)
{
	for (unsigned i = 0; i < p->netdev_count; i++) {
		int rc = xdp_steer_attach(&x->steer, i, &p->netdev[i], mode, err);

		if (rc)
			return rc;
	}
	return 0;
}

static void set_public_fields(struct port *p, struct xdp_port *x)
{
	bool is_native = true, is_zero_copy = true;

	for (unsigned i = 0; i < p->netdev_count; i++)
		is_native &= x->steer.is_native[i];
	for (unsigned i = 0; i < x->queue_count; i++)
		is_zero_copy &= x->queue[i].is_zero_copy;
	memcpy(p->tun_name, x->tun.name, sizeof(p->tun_name));
	p->tun_ifindex = x->tun.ifindex;
	p->listen_port = x->udp.listen_port;
	p->lanes = (uint16_t)x->udp.lane_count;
	p->mtu_max = (uint16_t)(x->area.frame_bytes - ETHER_HEADER_BYTES - PACKET_TAILROOM);
	p->features = tun_features(&x->tun) | udp_features(&x->udp) |
		      (is_native ? DPAPI_FEATURE_XDP_DRV : 0) |
		      (is_zero_copy ? DPAPI_FEATURE_XDP_ZC : 0) |
		      (x->has_multi_buffer ? DPAPI_FEATURE_XDP_FRAGS : 0);
	p->control_fd_v4 = x->udp.control_fd[UDP_V4];
	p->control_fd_v6 = x->udp.control_fd[UDP_V6];
}

static struct xdp_port *port_new(unsigned workers)
{
	struct xdp_port *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->worker_count = workers;
	x->worker = aligned_alloc(64, workers * sizeof(*x->worker));
	if (!x->worker) {
		free(x);
		return NULL;
	}
	memset(x->worker, 0, workers * sizeof(*x->worker));
	return x;
}

static void port_free(struct xdp_port *x)
{
	for (unsigned i = 0; i < x->queue_count; i++)
		xdp_queue_close(&x->queue[i]);
	free(x->queue);
	free(x->worker);
	free(x);
}

static int open_frames(struct port *p, struct xdp_port *x, const struct xdp_spec *spec, char *err)
{
	struct xdp_netdev_queues queues[PORT_NETDEVS_MAX];
	int rc = probe_netdevs(p, x, spec, queues, err);

	if (rc)
		return rc;
	rc = xdp_steer_open(&x->steer, x->udp.listen_port, x->udp.lane_first, x->udp.lane_count,
			    err);
	if (rc)
		return rc;
	rc = open_queues(p, x, queues, err);
	if (!rc)
		rc = assign_queues(p, x, err);
	if (!rc)
		rc = attach(p, x, spec->mode, err);
	if (rc)
		xdp_steer_close(&x->steer);
	return rc;
}

static int xdp_open(struct port *p, const char *text, const struct port_env *env, char *err)
{
	struct xdp_spec spec;
	struct xdp_port *x;
	int rc = xdp_spec_parse(text, &spec, err);

	if (rc)
		return rc;
	snprintf(err, PORT_ERROR_TEXT, "xdp port: no memory");
	x = port_new(env->workers);
	if (!x)
		return -ENOMEM;
	rc = xdp_area_init(&x->area, env->pool);
	if (rc) {
		snprintf(err, PORT_ERROR_TEXT,
			 "xdp port: the packet pool's memory is in pieces, or its buffers are "
			 "not 2048 to 4096 bytes");
		goto free_port;
	}
	rc = tun_open(&x->tun, spec.tun, env->workers, spec.mtu, err);
	if (rc)
		goto free_port;
	rc = udp_open(&x->udp, spec.listen_port, env->workers, err);
	if (rc)
		goto close_tun;
	udp_open_lanes(&x->udp, env->lanes);
	for (unsigned i = 0; i < env->workers; i++)
		x->worker[i].outer = (struct frame_outer){
			.listen_port = x->udp.listen_port,
			.lane_first = x->udp.lane_first,
			.lane_count = (uint16_t)x->udp.lane_count,
		};
	x->has_multi_buffer = xdp_queue_has_multi_buffer();
	rc = open_frames(p, x, &spec, err);
	if (rc)
		goto close_udp;
	set_public_fields(p, x);
	p->priv = x;
	return 0;
close_udp:
	udp_close(&x->udp);
close_tun:
	tun_close(&x->tun);
free_port:
	port_free(x);
	return rc;
}

static void xdp_close(struct port *p)
{
	struct xdp_port *x = p->priv;

	/* Programs first: then nothing arrives any more while the queues are emptied. */
	xdp_steer_close(&x->steer);
	udp_close(&x->udp);
	tun_close(&x->tun);
	port_free(x);
	p->priv = NULL;
	p->control_fd_v4 = -1;
	p->control_fd_v6 = -1;
}

static unsigned xdp_sources(struct port *p, unsigned worker, struct port_source *out)
{
	struct xdp_port *x = p->priv;
	struct xdp_worker *xw = &x->worker[worker];
	unsigned n = first_queue_source(x);

	out[SOURCE_TUN] = (struct port_source){.fd = x->tun.queue[worker].fd};
	out[SOURCE_UDP_V4] =
		(struct port_source){.fd = x->udp.fd[UDP_V4][worker], .is_outside = true};
	if (n > SOURCE_UDP_V6)
		out[SOURCE_UDP_V6] =
			(struct port_source){.fd = x->udp.fd[UDP_V6][worker], .is_outside = true};
	for (unsigned i = 0; i < xw->rx_count; i++) {
		out[n++] = (struct port_source){
			.fd = xw->rx[i]->fd,
			.is_outside = p->netdev[xw->rx[i]->netdev].is_wan,
			.is_polled = true,
		};
	}
	return n + udp_lane_sources(&x->udp, worker, out + n);
}

static unsigned rx_queue(struct port *p, struct worker *w, unsigned i, struct batch *b)
{
	struct xdp_port *x = p->priv;
	struct xdp_worker *xw = &x->worker[w->id];
	bool is_outside = p->netdev[xw->rx[i]->netdev].is_wan;
	struct frame frame[BATCH_MAX];
	unsigned n = xdp_queue_rx(xw->rx[i], frame, BATCH_MAX - b->n);

	for (unsigned k = 0; k < n; k++) {
		struct dpapi_addr *remote = &xw->remote[i][b->n];
		struct packet *pkt = batch_add(b);
		enum drop_reason reason = is_outside ? frame_outside(pkt, &frame[k], remote)
						     : frame_inside(pkt, &frame[k]);

		if (reason)
			packet_drop(pkt, reason);
		else if (is_outside)
			frame_set_lane(pkt, &xw->outer);
	}
	if (is_outside)
		w->stats.rx_outside += n;
	else
		w->stats.rx_inside += n;
	return n;
}

static unsigned xdp_rx(struct port *p, struct worker *w, unsigned source, struct batch *b)
{
	struct xdp_port *x = p->priv;
	unsigned first = first_queue_source(x);

	b->port_in = p->index;
	if (source >= first + x->worker[w->id].rx_count)
		return udp_rx_lane(&x->udp, source - first - x->worker[w->id].rx_count, w, b);
	if (source >= first)
		return rx_queue(p, w, source - first, b);
	if (source == SOURCE_TUN)
		return tun_rx(&x->tun, w, b);
	return udp_rx(&x->udp, source == SOURCE_UDP_V4 ? UDP_V4 : UDP_V6, w, b);
}

static int xdp_prefix(struct port *p, const uint8_t *addr, int family, uint8_t prefix_len,
		      uint16_t mtu, enum port_steer kind, bool remove)
{
	struct xdp_port *x = p->priv;

	return xdp_steer_prefix(&x->steer, addr, family, prefix_len,
				mtu < p->mtu_max ? mtu : p->mtu_max, kind, remove);
}

static void xdp_mac_changed(struct port *p, unsigned n)
{
	struct xdp_port *x = p->priv;
	int rc = xdp_steer_set_iface(&x->steer, n, &p->netdev[n]);

	/* Its frames then go through the kernel. */
	if (rc)
		log_warn("xdp.mac", "interface=%s error=\"%s\"", p->netdev[n].name, strerror(-rc));
}

const struct port_ops port_xdp_ops = {
	.kind = "xdp",
	.id = DPAPI_PORT_XDP,
	.open = xdp_open,
	.close = xdp_close,
	.mbuf_bytes = xdp_spec_mbuf_bytes,
	.sources = xdp_sources,
	.rx = xdp_rx,
	.tx = xdp_port_tx,
	.steer_prefix = xdp_prefix,
	.mac_changed = xdp_mac_changed,
	.show = xdp_port_show,
};
