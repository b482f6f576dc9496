/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-net header in front of every packet on a TUN queue, and what kernels
 * newer than the build machine's headers add to it.
 */
#ifndef DATAPLANE_PORT_TUN_VNET_H
#define DATAPLANE_PORT_TUN_VNET_H

#include <assert.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#define TUN_VNET_BYTES 10

static_assert(sizeof(struct virtio_net_hdr) == TUN_VNET_BYTES, "virtio_net_hdr");

/* UDP segmentation: since Linux 6.2. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#endif
#ifndef TUN_F_USO6
#define TUN_F_USO6 0x40
#endif

#endif
