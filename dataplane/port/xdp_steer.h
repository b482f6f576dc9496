/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XDP programs of a port (ebpf/steer.bpf.c) and their maps. Attached by
 * links that close with the process, however it ends: nothing stays behind on
 * the interfaces. Control thread.
 */
#ifndef DATAPLANE_PORT_XDP_STEER_H
#define DATAPLANE_PORT_XDP_STEER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"
#include "lib/base/json_out.h"

struct steer;

enum xdp_mode {
	XDP_STEER_AUTO, /* native, or generic where the driver cannot */
	XDP_STEER_NATIVE,
	XDP_STEER_GENERIC,
};

struct xdp_steer {
	struct steer *skel;
	int link_fd[PORT_NETDEVS_MAX]; /* -1 = not attached */
	bool is_native[PORT_NETDEVS_MAX];
};

/* Loads the programs for one UDP port. 0, or a negative errno with err. */
int xdp_steer_open(struct xdp_steer *s, uint16_t listen_port, uint16_t lane_first,
		   unsigned lane_count, char *err);
void xdp_steer_close(struct xdp_steer *s);

/* The socket of a queue of netdev number n of the port. */
int xdp_steer_add_socket(struct xdp_steer *s, unsigned n, unsigned queue, int fd);
/* Which frames on netdev number n of the port are for us: those to its MAC address. */
int xdp_steer_set_iface(struct xdp_steer *s, unsigned n, const struct port_netdev *d);
/* From here on frames come in: sockets are added before. 0, or a negative errno with err. */
int xdp_steer_attach(struct xdp_steer *s, unsigned n, const struct port_netdev *d,
		     enum xdp_mode mode, char *err);

/* See port_ops.steer_prefix. */
int xdp_steer_prefix(struct xdp_steer *s, const uint8_t *addr, int family, uint8_t prefix_len,
		     uint16_t mtu, enum port_steer kind, bool remove);
/* Adds "verdicts": {...} to an open object. */
void xdp_steer_show(const struct xdp_steer *s, struct json_out *js);

#endif
