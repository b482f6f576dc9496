/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port: how packets come and go. Three kinds behind one interface: `kernel`
 * (TUN and UDP sockets), `xdp` (AF_XDP on kernel interfaces), `dpdk`. A gateway
 * may have several.
 *
 * Whatever its kind, a port has an *inside* (packets in the clear) and an
 * *outside* (WireGuard messages). Every port owns a TUN device, through which
 * the kernel gives and takes packets of the host and whatever the dataplane
 * does not forward itself, and UDP sockets in a reuseport group.
 *
 * Threads: open, close, show and the fields marked so belong to the control
 * thread; rx, tx and source functions are called by workers, each with its own
 * worker id, on state of that worker alone (port->worker[id]).
 *
 * Receive: a port has up to PORT_SOURCES_MAX sources a worker (a TUN queue, a
 * UDP socket, an AF_XDP socket). Each has a descriptor to sleep on and is
 * inside or outside. port_ops.rx takes up to BATCH_MAX packets of one source:
 *   inside   data at the IP header, kind PACKET_INNER, headroom/tailroom set,
 *            super-packets split (leader, seg_size), checksums complete
 *   outside  data at the UDP payload, kind PACKET_DATA (classify decides),
 *            remote, outer_tos and vni_lane (lane of the UDP port that it came
 *            to) set; GRO datagrams split, each
 *            segment a packet that leads itself
 * Bytes stay valid until the next rx call of that worker on that source.
 *
 * Send: port_ops.tx goes over the whole batch and takes the packets with
 * port_out == its index and drop == 0, by packet.out:
 *   PACKET_OUT_TUN  runs of TCP (and UDP, where the kernel has USO) segments are
 *                   coalesced, inner checksum verified first
 *   PACKET_OUT_UDP  data..len to *remote with outer_tos, from the listen port or
 *                   the lane port of packet_lane(); equal neighbours leave
 *                   as one UDP_SEGMENT send
 *   PACKET_OUT_LAN  Ethernet to nexthop
 * A packet that cannot be sent gets its DROP_TX_* reason. A buffer that was
 * taken over has mbuf set to NULL.
 */
#ifndef DATAPLANE_PORT_PORT_H
#define DATAPLANE_PORT_PORT_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/packet.h"
#include "lib/base/json_out.h"

#define PORTS_MAX	 8
#define PORT_WORKERS_MAX 32
#define PORT_SOURCES_MAX 48 /* a worker and port */
#define PORT_NETDEVS_MAX 16
#define PORT_ERROR_TEXT	 256
#define PORT_FWMARK	 0x80000u /* of our own outer packets: never into the tunnel */

struct rte_mempool;
struct worker;
struct port;

/* What a port may use of the process; read-only for ports. */
struct port_env {
	unsigned workers;
	unsigned lanes;		  /* lane ports wanted; fewer if they are not free */
	struct rte_mempool *pool; /* mbufs, PACKET_HEADROOM set by the port on use */
	uint16_t mbuf_data_bytes; /* data room of the pool's mbufs, headroom included */
};

struct port_source {
	int fd;		 /* to sleep on, level-triggered, EPOLLIN; -1: none, it is polled */
	bool is_outside; /* else inside */
	bool is_polled;	 /* rings in memory: worth spinning on for a while */
	bool is_always;	 /* and for ever: the worker never sleeps */
};

/* An interface whose frames the dataplane sends and receives itself (xdp, dpdk). */
struct port_netdev {
	char name[IF_NAMESIZE];
	unsigned ifindex;
	uint8_t mac[6];
	uint16_t mtu; /* L3; kept by netlink/mirror.c */
	bool is_wan;  /* an interface may be both */
	bool is_lan;
};

#define PORT_COUNTERS_MAX 64

struct port_counter {
	const char *name;
	const char *help;
	uint64_t value;
	bool is_fault;
};

/* What a prefix is to a steering program. */
enum port_steer {
	PORT_STEER_OWN,	 /* an address of this host, or a network of them */
	PORT_STEER_MESH, /* to be taken off the LANs */
	PORT_STEER_HOLE, /* the kernel's, inside of a mesh prefix */
};

struct port_ops {
	const char *kind;
	enum dpapi_port_kind id;
	/*
	 * spec is what follows "kind:" in --port. Fills the public fields below.
	 * 0, or a negative errno with a sentence in err (PORT_ERROR_TEXT bytes)
	 * that names the argument or device.
	 */
	int (*open)(struct port *p, const char *spec, const struct port_env *env, char *err);
	void (*close)(struct port *p);
	/* Data room that its mbufs must have at least, known before anything is open; NULL: any. */
	uint32_t (*mbuf_bytes)(const char *spec);
	/* Fills out[PORT_SOURCES_MAX] for this worker; returns how many. */
	unsigned (*sources)(struct port *p, unsigned worker, struct port_source *out);
	/* At most BATCH_MAX - b->n packets; sets b->port_in. 0 = nothing there. */
	unsigned (*rx)(struct port *p, struct worker *w, unsigned source, struct batch *b);
	void (*tx)(struct port *p, struct worker *w, struct batch *b);
	/* Mesh prefixes and own addresses for steering programs; NULL if not needed. */
	int (*steer_prefix)(struct port *p, const uint8_t *addr, int family, uint8_t prefix_len,
			    uint16_t mtu, enum port_steer kind, bool remove);
	/* netdev[n] has another MAC address; NULL if that is nothing to the port. */
	void (*mac_changed)(struct port *p, unsigned n);
	/* Counters of its own (verdicts of a steering program); NULL if there are none. */
	unsigned (*counters)(struct port *p, struct port_counter *out);
	/* One object with what the port is and what was probed: into an open JSON object. */
	void (*show)(struct port *p, struct json_out *js);
};

struct port {
	const struct port_ops *ops;
	uint8_t index;
	char tun_name[IF_NAMESIZE];
	unsigned tun_ifindex;
	uint16_t listen_port;
	uint16_t lanes;	   /* lane ports (docs/protocol/lanes.md) */
	uint16_t mtu_max;  /* largest inner packet it carries */
	uint32_t features; /* DPAPI_FEATURE_* */
	int control_fd_v4; /* causewayd's members of the reuseport group, -1 = none */
	int control_fd_v6;
	unsigned netdev_count;
	struct port_netdev netdev[PORT_NETDEVS_MAX];
	void *priv; /* of the kind */
};

extern const struct port_ops port_kernel_ops;
extern const struct port_ops port_xdp_ops;
extern const struct port_ops port_dpdk_ops;

/* "kernel:tun=cw0,listen=41641" -> opened port. Control thread. */
int port_open(struct port *p, uint8_t index, const char *spec, const struct port_env *env,
	      char *err);
void port_close(struct port *p);
/* Data room that a port of this spec needs of its mbufs; 0: the usual will do. */
uint32_t port_mbuf_bytes(const char *spec);

/*
 * Splits "k=v,k=v" for the kinds: calls set(ctx, key, value) for each pair, stops
 * at the first negative return. err gets a sentence for pairs without '='.
 */
int port_spec_parse(const char *spec, int (*set)(void *ctx, const char *key, const char *value),
		    void *ctx, char *err);

#endif
