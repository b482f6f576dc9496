/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `dpdk` port: ethdevs of its own (NICs on VFIO, vhost-user, memif, rings, files),
 * with a TAP for each, through which the kernel has its addresses, routes, neighbours
 * and every packet that is not plain data. TUN and UDP sockets stand beside them as on
 * the other kinds of port.
 *
 * Sources of a worker: its TUN queue, its IPv4 and IPv6 socket, then its queues and
 * TAPs. Arguments: dpdk_spec.h; devices: dpdk_dev.h; what is whose: dpdk_rx.c; sending:
 * dpdk_tx.c.
 *
 * Queues have no descriptor to sleep on: an idle worker looks at them now and then
 * (worker.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include "dataplane/port/dpdk_port.h"
#include "dataplane/worker.h"
#include "lib/base/log.h"
#include "lib/wire/ether.h"

enum source { SOURCE_TUN, SOURCE_UDP_V4, SOURCE_UDP_V6 };

static unsigned first_own_source(const struct dpdk_port *x)
{
	return x->udp.fd[UDP_V6][0] >= 0 ? SOURCE_UDP_V6 + 1 : SOURCE_UDP_V6;
}

static void set_mac(struct dpdk_port *x, unsigned n, const uint8_t *mac)
{
	uint64_t v = 0;

	memcpy(&v, mac, ETHER_ADDR_BYTES);
	atomic_store_explicit(&x->mac[n], v, memory_order_relaxed);
}

static int open_device(struct port *p, struct dpdk_port *x, const struct dpdk_spec *spec, char *err)
{
	unsigned n = x->dev_count;
	const struct dpdk_spec_device *s = &spec->device[n];
	struct port_netdev *d = &p->netdev[n];
	unsigned queues = x->worker_count;
	int rc;

	if (spec->queues_max && queues > spec->queues_max)
		queues = spec->queues_max;
	rc = dpdk_dev_open(&x->dev[n], s, queues, spec->rings, spec->device_mtu, x->pool, err);
	if (rc)
		return rc;
	rc = exception_open(&x->tap[n], s->tap, x->dev[n].mac, spec->device_mtu, err);
	if (rc) {
		dpdk_dev_close(&x->dev[n]);
		return rc;
	}
	*d = (struct port_netdev){
		.ifindex = x->tap[n].ifindex,
		.mtu = spec->device_mtu,
		.is_wan = s->is_wan,
		.is_lan = !s->is_wan,
	};
	memcpy(d->name, x->tap[n].name, sizeof(d->name));
	memcpy(d->mac, x->dev[n].mac, sizeof(d->mac));
	set_mac(x, n, d->mac);
	for (unsigned w = 0; dpdk_dev_has_tx_udp_checksum(&x->dev[n]) && w < x->worker_count; w++)
		x->worker[w].outer.sum_netdevs |= 1u << n;
	x->dev_count = p->netdev_count = n + 1;
	return 0;
}

static void close_devices(struct dpdk_port *x)
{
	for (unsigned i = 0; i < x->handover_count; i++)
		handover_close(&x->handover[i]);
	free(x->handover);
	x->handover = NULL;
	x->handover_count = 0;
	for (unsigned i = 0; i < x->dev_count; i++) {
		exception_close(&x->tap[i]);
		dpdk_dev_close(&x->dev[i]);
	}
}

static int add_source(struct dpdk_port *x, unsigned worker, struct dpdk_source s, char *err)
{
	struct dpdk_worker *w = &x->worker[worker];

	if (w->source_count == DPDK_PORT_QUEUES_MAX) {
		snprintf(err, PORT_ERROR_TEXT, "more than %u queues and TAPs for worker %u",
			 DPDK_PORT_QUEUES_MAX, worker);
		return -E2BIG;
	}
	w->source[w->source_count++] = s;
	return 0;
}

/* Does this worker have a transmit queue of its own, and which? -1: no. */
static int own_tx_queue(const struct dpdk_port *x, unsigned d, unsigned worker)
{
	const struct dpdk_dev *dev = &x->dev[d];
	unsigned q = (worker + x->worker_count - d % x->worker_count) % x->worker_count;

	if (dpdk_dev_has_shared_tx(dev))
		return (int)(q % dev->tx_queues);
	return q < dev->tx_queues ? (int)q : -1;
}

/* The handover to the worker that owns queue q of device d; made when the first asks. */
static struct handover *handover_to(struct dpdk_port *x, unsigned d, unsigned q, char *err)
{
	unsigned owner = (d + q) % x->worker_count;
	struct handover *h = &x->handover[d * x->worker_count + owner];
	char name[32];
	int rc;

	if (h->ring)
		return h;
	snprintf(name, sizeof(name), "%s.%u.%u", x->tun.name, d, owner);
	rc = handover_open(h, name);
	if (!rc)
		rc = add_source(x, owner,
				(struct dpdk_source){.kind = DPDK_SOURCE_HANDOVER,
						     .netdev = (uint8_t)d,
						     .queue = (uint16_t)q},
				err);
	else
		snprintf(err, PORT_ERROR_TEXT, "%s: ring between workers: %s", x->dev[d].name,
			 strerror(-rc));
	return rc ? NULL : h;
}

static int assign_tx(struct dpdk_port *x, unsigned d, char *err)
{
	for (unsigned w = 0; w < x->worker_count; w++) {
		struct dpdk_tx *tx = &x->worker[w].tx[d];
		int own = own_tx_queue(x, d, w);

		tx->queue = (uint16_t)(own >= 0 ? own : (int)(w % x->dev[d].tx_queues));
		if (own < 0) {
			tx->handover = handover_to(x, d, tx->queue, err);
			if (!tx->handover)
				return -ENOMEM;
		}
	}
	return 0;
}

/* Queues are dealt out from another worker for each device: to whom the first goes has its TAP. */
static int assign(struct dpdk_port *x, char *err)
{
	x->handover_count = x->dev_count * x->worker_count;
	x->handover = aligned_alloc(64, x->handover_count * sizeof(*x->handover));
	if (!x->handover)
		return -ENOMEM;
	memset(x->handover, 0, x->handover_count * sizeof(*x->handover));
	for (unsigned d = 0; d < x->dev_count; d++) {
		const struct dpdk_dev *dev = &x->dev[d];
		int rc = 0;

		for (unsigned q = 0; !rc && q < dev->rx_queues; q++)
			rc = add_source(x, (d + q) % x->worker_count,
					(struct dpdk_source){.kind = DPDK_SOURCE_QUEUE,
							     .netdev = (uint8_t)d,
							     .queue = (uint16_t)q},
					err);
		if (!rc)
			rc = add_source(
				x, d % x->worker_count,
				(struct dpdk_source){.kind = DPDK_SOURCE_TAP, .netdev = (uint8_t)d},
				err);
		if (!rc)
			rc = assign_tx(x, d, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int open_devices(struct port *p, struct dpdk_port *x, const struct dpdk_spec *spec,
			char *err)
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < spec->device_count; i++)
		rc = open_device(p, x, spec, err);
	if (!rc)
		rc = assign(x, err);
	if (rc)
		close_devices(x);
	return rc;
}

static void set_public_fields(struct port *p, struct dpdk_port *x)
{
	memcpy(p->tun_name, x->tun.name, sizeof(p->tun_name));
	p->tun_ifindex = x->tun.ifindex;
	p->listen_port = x->udp.listen_port;
	p->lanes = (uint16_t)x->udp.lane_count;
	p->mtu_max = (uint16_t)(rte_pktmbuf_data_room_size(x->pool) - RTE_PKTMBUF_HEADROOM -
				ETHER_HEADER_BYTES - PACKET_TAILROOM);
	p->features = tun_features(&x->tun) | udp_features(&x->udp);
	p->control_fd_v4 = x->udp.control_fd[UDP_V4];
	p->control_fd_v6 = x->udp.control_fd[UDP_V6];
}

static void port_free(struct dpdk_port *x)
{
	flood_free(x->flood);
	free(x->worker);
	free(x);
}

static struct dpdk_port *port_new(const struct port_env *env, const struct dpdk_spec *spec)
{
	struct dpdk_port *x = aligned_alloc(64, (sizeof(*x) + 63) & ~(size_t)63);

	if (!x)
		return NULL;
	memset(x, 0, sizeof(*x));
	x->pool = env->pool;
	x->is_polled_always = spec->is_polled_always;
	x->accepts_any = spec->accepts_any;
	x->worker_count = env->workers;
	x->worker = aligned_alloc(64, env->workers * sizeof(*x->worker));
	x->flood = flood_new();
	if (!x->worker || !x->flood) {
		port_free(x);
		return NULL;
	}
	memset(x->worker, 0, env->workers * sizeof(*x->worker));
	return x;
}

static int dpdk_open(struct port *p, const char *text, const struct port_env *env, char *err)
{
	struct dpdk_spec spec;
	struct dpdk_port *x;
	int rc = dpdk_spec_parse(text, &spec, err);

	if (rc)
		return rc;
	x = port_new(env, &spec);
	if (!x) {
		snprintf(err, PORT_ERROR_TEXT, "dpdk port: no memory");
		return -ENOMEM;
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
	rc = open_devices(p, x, &spec, err);
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

static void dpdk_close(struct port *p)
{
	struct dpdk_port *x = p->priv;

	close_devices(x);
	udp_close(&x->udp);
	tun_close(&x->tun);
	port_free(x);
	p->priv = NULL;
	p->control_fd_v4 = -1;
	p->control_fd_v6 = -1;
}

static struct port_source own_source(const struct port *p, const struct dpdk_port *x,
				     unsigned worker, const struct dpdk_source *s)
{
	if (s->kind == DPDK_SOURCE_TAP)
		return (struct port_source){.fd = x->tap[s->netdev].fd};
	if (s->kind == DPDK_SOURCE_HANDOVER)
		return (struct port_source){
			.fd = x->handover[s->netdev * x->worker_count + worker].fd};
	return (struct port_source){
		.fd = -1,
		.is_outside = p->netdev[s->netdev].is_wan,
		.is_polled = true,
		.is_always = x->is_polled_always,
	};
}

static unsigned dpdk_sources(struct port *p, unsigned worker, struct port_source *out)
{
	struct dpdk_port *x = p->priv;
	const struct dpdk_worker *dw = &x->worker[worker];
	unsigned n = first_own_source(x);

	out[SOURCE_TUN] = (struct port_source){.fd = x->tun.queue[worker].fd};
	out[SOURCE_UDP_V4] =
		(struct port_source){.fd = x->udp.fd[UDP_V4][worker], .is_outside = true};
	if (n > SOURCE_UDP_V6)
		out[SOURCE_UDP_V6] =
			(struct port_source){.fd = x->udp.fd[UDP_V6][worker], .is_outside = true};
	for (unsigned i = 0; i < dw->source_count; i++)
		out[n++] = own_source(p, x, worker, &dw->source[i]);
	return n + udp_lane_sources(&x->udp, worker, out + n);
}

static unsigned dpdk_rx(struct port *p, struct worker *w, unsigned source, struct batch *b)
{
	struct dpdk_port *x = p->priv;
	unsigned first = first_own_source(x);

	b->port_in = p->index;
	if (source >= first + x->worker[w->id].source_count)
		return udp_rx_lane(&x->udp, source - first - x->worker[w->id].source_count, w, b);
	if (source >= first)
		return dpdk_port_rx(p, w, source - first, b);
	if (source == SOURCE_TUN)
		return tun_rx(&x->tun, w, b);
	return udp_rx(&x->udp, source == SOURCE_UDP_V4 ? UDP_V4 : UDP_V6, w, b);
}

/* The device may keep the old one: then it is ours to look at every frame's. */
static void dpdk_mac_changed(struct port *p, unsigned n)
{
	struct dpdk_port *x = p->priv;
	struct rte_ether_addr mac;
	int rc;

	memcpy(mac.addr_bytes, p->netdev[n].mac, sizeof(mac.addr_bytes));
	memcpy(x->dev[n].mac, mac.addr_bytes, sizeof(x->dev[n].mac));
	rc = rte_eth_dev_default_mac_addr_set(x->dev[n].ethdev, &mac);
	if (rc)
		rc = rte_eth_promiscuous_enable(x->dev[n].ethdev);
	if (rc)
		log_info("dpdk.mac", "device=%s error=\"%s\"", x->dev[n].name, strerror(-rc));
	set_mac(x, n, p->netdev[n].mac);
}

const struct port_ops port_dpdk_ops = {
	.kind = "dpdk",
	.id = DPAPI_PORT_DPDK,
	.open = dpdk_open,
	.close = dpdk_close,
	.mbuf_bytes = dpdk_spec_mbuf_bytes,
	.sources = dpdk_sources,
	.rx = dpdk_rx,
	.tx = dpdk_port_tx,
	.mac_changed = dpdk_mac_changed,
	.counters = dpdk_port_counters,
	.show = dpdk_port_show,
};
