/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of an xdp port:
 *
 *   xdp:wan=IF[+IF...],lan=IF[+IF...],listen=PORT,tun=NAME
 *       [,queues=N][,mtu=BYTES][,mode=auto|native|generic]
 *
 * queues: at most so many of each interface (default: all it has). mtu: of the
 * TUN device.
 */
#ifndef DATAPLANE_PORT_XDP_SPEC_H
#define DATAPLANE_PORT_XDP_SPEC_H

#include "dataplane/port/port.h"
#include "dataplane/port/xdp_steer.h"

struct xdp_spec {
	char *err;
	char tun[IF_NAMESIZE];
	bool has_listen;
	uint16_t listen_port;
	unsigned queues_max; /* 0 = all */
	unsigned mtu;
	enum xdp_mode mode;
	unsigned netdev_count;
	struct port_netdev netdev[PORT_NETDEVS_MAX]; /* name and role */
};

/* 0, or a negative errno with a sentence in err. */
int xdp_spec_parse(const char *text, struct xdp_spec *s, char *err);
/* Data room of mbufs that take frames of its mtu= whole, as far as AF_XDP can; 0: any. */
uint32_t xdp_spec_mbuf_bytes(const char *text);

#endif
