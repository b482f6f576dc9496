/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of a dpdk port:
 *
 *   dpdk:wan=DEVICE[+DEVICE...],lan=DEVICE[+DEVICE...],listen=PORT,tun=NAME
 *       [,mtu=BYTES][,queues=N][,rings=N][,poll=auto|always][,accept=own|any]
 *
 * DEVICE is what DPDK calls it, and its arguments behind semicolons, since commas
 * part the port's own:
 *
 *   net_memif0;role=server;socket=/run/causeway/wan.sock;tap=wan0
 *   0000:3b:00.0;tap=wan0                                  (a NIC bound to VFIO)
 *
 * tap is ours: the name of the device's TAP; else the port's TUN's with "-wan0",
 * "-lan1" and so on. All others are the driver's. A path with ',', ';' or '+' in it
 * cannot be given.
 *
 * mtu: of the TUN, the largest inner packet; devices then carry 80 bytes more, at
 * least 1,500. queues: at most so many of each device (default: one a worker).
 * rings: descriptors of each queue. poll=always: the worker never sleeps.
 * accept=any: data messages to the listen port are taken whatever address they are
 * sent to.
 */
#ifndef DATAPLANE_PORT_DPDK_SPEC_H
#define DATAPLANE_PORT_DPDK_SPEC_H

#include "dataplane/port/port.h"

#define DPDK_SPEC_NAME_MAX 64
#define DPDK_SPEC_ARGS_MAX 512
#define DPDK_SPEC_RINGS	   512
/* Outer IPv6 and UDP header, WireGuard header and tag. */
#define DPDK_SPEC_OUTER_BYTES 80
#define DPDK_SPEC_MTU_MIN     1500

struct dpdk_spec_device {
	char name[DPDK_SPEC_NAME_MAX];
	char args[DPDK_SPEC_ARGS_MAX]; /* "k=v,k=v" for the driver */
	char tap[IF_NAMESIZE];
	bool is_wan; /* else lan */
	bool is_pci;
};

struct dpdk_spec {
	char *err;
	char tun[IF_NAMESIZE];
	bool has_listen;
	bool is_polled_always;
	bool accepts_any;
	uint16_t listen_port;
	unsigned queues_max; /* 0 = one a worker */
	unsigned rings;
	unsigned mtu;	     /* of the TUN */
	uint16_t device_mtu; /* follows from it */
	unsigned device_count;
	struct dpdk_spec_device device[PORT_NETDEVS_MAX];
};

/* 0, or a negative errno with a sentence in err. */
int dpdk_spec_parse(const char *text, struct dpdk_spec *s, char *err);
/* Data room of mbufs that take its frames whole; 0: it cannot be parsed. */
uint32_t dpdk_spec_mbuf_bytes(const char *text);

#endif
