/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `kernel` port: a TUN device as the inside, UDP sockets as the outside, both
 * with the kernel's segmentation offloads. Runs on any Linux with TUN and BPF.
 *
 *   kernel:tun=NAME,listen=PORT[,mtu=BYTES]
 *
 * All the work is in tun.h and udp.h; here they are put together. Sources of a
 * worker: its TUN queue, its IPv4 and its IPv6 socket, those of its lanes.
 */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/port/port.h"
#include "dataplane/port/tun.h"
#include "dataplane/port/udp.h"

enum source { SOURCE_TUN, SOURCE_UDP_V4, SOURCE_UDP_V6, SOURCE_COUNT };

struct kernel_port {
	struct tun tun;
	struct udp_group udp;
};

struct kernel_spec {
	char *err;
	char tun[IF_NAMESIZE];
	bool has_listen;
	uint16_t listen;
	unsigned mtu;
};

static int parse_number(const char *text, unsigned min, unsigned max, unsigned *out)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] < '0' || text[0] > '9' || v < min || v > max)
		return -EINVAL;
	*out = (unsigned)v;
	return 0;
}

static int refuse(struct kernel_spec *s, const char *key, const char *value, const char *why)
{
	snprintf(s->err, PORT_ERROR_TEXT, "%.32s=%.64s: %s", key, value, why);
	return -EINVAL;
}

static int set_argument(void *ctx, const char *key, const char *value)
{
	struct kernel_spec *s = ctx;
	unsigned number;

	if (!strcmp(key, "tun")) {
		if (!tun_name_is_valid(value))
			return refuse(s, key, value,
				      "not an interface name (1 to 15 letters, digits, '_-.')");
		snprintf(s->tun, sizeof(s->tun), "%s", value);
	} else if (!strcmp(key, "listen")) {
		/* 0 = any free port: for tests and for several gateways on a host. */
		if (parse_number(value, 0, UINT16_MAX, &number))
			return refuse(s, key, value, "not a UDP port (0 to 65535)");
		s->listen = (uint16_t)number;
		s->has_listen = true;
	} else if (!strcmp(key, "mtu")) {
		if (parse_number(value, TUN_MTU_MIN, TUN_MTU_MAX, &s->mtu))
			return refuse(s, key, value, "not an MTU (576 to 9216)");
	} else {
		return refuse(s, key, value, "unknown; a kernel port has tun, listen, mtu");
	}
	return 0;
}

static int parse_spec(const char *text, struct kernel_spec *s, char *err)
{
	int rc;

	*s = (struct kernel_spec){.err = err, .mtu = TUN_MTU_DEFAULT};
	rc = port_spec_parse(text, set_argument, s, err);
	if (rc)
		return rc;
	if (!s->tun[0] || !s->has_listen) {
		snprintf(err, PORT_ERROR_TEXT, "kernel port: %s= is missing",
			 s->tun[0] ? "listen" : "tun");
		return -EINVAL;
	}
	return 0;
}

static int kernel_open(struct port *p, const char *text, const struct port_env *env, char *err)
{
	struct kernel_spec spec;
	struct kernel_port *k;
	int rc = parse_spec(text, &spec, err);

	if (rc)
		return rc;
	k = calloc(1, sizeof(*k));
	if (!k) {
		snprintf(err, PORT_ERROR_TEXT, "kernel port: no memory");
		return -ENOMEM;
	}
	rc = tun_open(&k->tun, spec.tun, env->workers, spec.mtu, err);
	if (rc)
		goto free_port;
	rc = udp_open(&k->udp, spec.listen, env->workers, err);
	if (rc)
		goto close_tun;
	udp_open_lanes(&k->udp, env->lanes);
	memcpy(p->tun_name, k->tun.name, sizeof(p->tun_name));
	p->tun_ifindex = k->tun.ifindex;
	p->listen_port = k->udp.listen_port;
	p->lanes = (uint16_t)k->udp.lane_count;
	p->mtu_max = TUN_MTU_MAX;
	p->features = tun_features(&k->tun) | udp_features(&k->udp);
	p->control_fd_v4 = k->udp.control_fd[UDP_V4];
	p->control_fd_v6 = k->udp.control_fd[UDP_V6];
	p->priv = k;
	return 0;
close_tun:
	tun_close(&k->tun);
free_port:
	free(k);
	return rc;
}

static void kernel_close(struct port *p)
{
	struct kernel_port *k = p->priv;

	udp_close(&k->udp);
	tun_close(&k->tun);
	free(k);
	p->priv = NULL;
	p->control_fd_v4 = -1;
	p->control_fd_v6 = -1;
}

static unsigned first_lane(const struct kernel_port *k)
{
	return k->udp.control_fd[UDP_V6] >= 0 ? SOURCE_COUNT : SOURCE_UDP_V6;
}

static unsigned kernel_sources(struct port *p, unsigned worker, struct port_source *out)
{
	struct kernel_port *k = p->priv;

	out[SOURCE_TUN] = (struct port_source){.fd = k->tun.queue[worker].fd};
	out[SOURCE_UDP_V4] =
		(struct port_source){.fd = k->udp.fd[UDP_V4][worker], .is_outside = true};
	if (k->udp.fd[UDP_V6][worker] >= 0)
		out[SOURCE_UDP_V6] =
			(struct port_source){.fd = k->udp.fd[UDP_V6][worker], .is_outside = true};
	return first_lane(k) + udp_lane_sources(&k->udp, worker, out + first_lane(k));
}

static unsigned kernel_rx(struct port *p, struct worker *w, unsigned source, struct batch *b)
{
	struct kernel_port *k = p->priv;

	b->port_in = p->index;
	if (source == SOURCE_TUN)
		return tun_rx(&k->tun, w, b);
	if (source >= first_lane(k))
		return udp_rx_lane(&k->udp, source - first_lane(k), w, b);
	return udp_rx(&k->udp, source == SOURCE_UDP_V4 ? UDP_V4 : UDP_V6, w, b);
}

static void kernel_tx(struct port *p, struct worker *w, struct batch *b)
{
	struct kernel_port *k = p->priv;

	udp_tx(&k->udp, w, b, p->index);
	tun_tx(&k->tun, w, b, p->index);
	/* This port has no interface of its own. */
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *pkt = &b->pkts[i];

		if (!pkt->drop && pkt->port_out == p->index && pkt->out == PACKET_OUT_LAN)
			packet_drop(pkt, DROP_TX_NO_PORT);
	}
}

static void kernel_show(struct port *p, struct json_out *js)
{
	struct kernel_port *k = p->priv;

	tun_show(&k->tun, js);
	udp_show(&k->udp, js);
}

const struct port_ops port_kernel_ops = {
	.kind = "kernel",
	.id = DPAPI_PORT_KERNEL,
	.open = kernel_open,
	.close = kernel_close,
	.sources = kernel_sources,
	.rx = kernel_rx,
	.tx = kernel_tx,
	.show = kernel_show,
};
