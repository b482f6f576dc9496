/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/dpdk_dev.h"

#include <errno.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mempool.h>

#include "dataplane/port/dpdk_log.h"
#include "lib/base/bug.h"
#include "lib/base/log.h"

/*
 * Never asked for: checksums of what is inside (the kernel or the far host looks at
 * them), and with them the half-finished ones of virtual machines; frames in several
 * pieces.
 */
#define RX_WANTED (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM)
/* Fast free: all our buffers are of one pool and have one owner. */
#define TX_WANTED                                                                                  \
	(RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_MT_LOCKFREE |                           \
	 RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE)
#define RSS_WANTED (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP)

static int fail(char *err, const struct dpdk_dev *d, const char *what, int rc)
{
	const char *said = dpdk_log_first();

	/* Drivers explain in words; what they return is mostly -1. */
	snprintf(err, PORT_ERROR_TEXT, "%s: %s: %s", d->name, what, *said ? said : strerror(-rc));
	return rc;
}

static int plug(struct dpdk_dev *d, const struct dpdk_spec_device *spec, char *err)
{
	int rc;

	/* NICs are probed by EAL at its start; a device that is there is somebody's. */
	if (rte_eth_dev_get_port_by_name(d->name, &d->ethdev) == 0)
		return spec->is_pci ? 0 : fail(err, d, "another port has it", -EBUSY);
	if (spec->is_pci) {
		snprintf(err, PORT_ERROR_TEXT,
			 "%s: no such NIC for DPDK: is it bound to vfio-pci (dpdk-devbind.py), and "
			 "is there a driver for it?",
			 d->name);
		return -ENODEV;
	}
	rc = rte_eal_hotplug_add("vdev", d->name, spec->args);
	if (rc)
		return fail(err, d, "cannot be made", rc < 0 ? rc : -ENODEV);
	d->is_plugged = true;
	rc = rte_eth_dev_get_port_by_name(d->name, &d->ethdev);
	return rc ? fail(err, d, "is no network device", -ENODEV) : 0;
}

static uint16_t least(unsigned a, unsigned b)
{
	return (uint16_t)(a < b ? a : b);
}

static void choose(struct dpdk_dev *d, const struct rte_eth_dev_info *info, unsigned queues_max)
{
	d->rx_queues = least(queues_max, info->max_rx_queues);
	d->tx_queues = least(queues_max, info->max_tx_queues);
	d->rx_offloads = info->rx_offload_capa & RX_WANTED;
	d->tx_offloads = info->tx_offload_capa & TX_WANTED;
	d->rss = d->rx_queues > 1 ? info->flow_type_rss_offloads & RSS_WANTED : 0;
}

/*
 * Drivers of memory rings and sockets name an MTU that they do not care for; a NIC
 * means it.
 */
static int configure(struct dpdk_dev *d, const struct rte_eth_dev_info *info, bool is_pci,
		     char *err)
{
	struct rte_eth_conf conf = {
		.rxmode = {.mtu = d->mtu, .offloads = d->rx_offloads},
		.txmode = {.offloads = d->tx_offloads},
	};
	int rc;

	if (d->rss) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = d->rss;
	}
	rc = rte_eth_dev_configure(d->ethdev, d->rx_queues, d->tx_queues, &conf);
	if (rc == -EINVAL && !is_pci) {
		conf.rxmode.mtu = 0;
		rc = rte_eth_dev_configure(d->ethdev, d->rx_queues, d->tx_queues, &conf);
		d->is_mtu_nominal = rc == 0;
		if (!rc)
			dpdk_log_clear();
	}
	if (rc == -EINVAL && is_pci && (info->max_mtu < d->mtu)) {
		snprintf(err, PORT_ERROR_TEXT, "%s: MTU %u; the device takes up to %u", d->name,
			 d->mtu, info->max_mtu);
		return rc;
	}
	return rc ? fail(err, d, "configure", rc) : 0;
}

static int set_queues(struct dpdk_dev *d, const struct rte_eth_dev_info *info, unsigned rings,
		      struct rte_mempool *pool, char *err)
{
	struct rte_eth_rxconf rx = info->default_rxconf;
	struct rte_eth_txconf tx = info->default_txconf;
	int socket = rte_eth_dev_socket_id(d->ethdev);
	int rc;

	rx.offloads = d->rx_offloads;
	tx.offloads = d->tx_offloads;
	d->rx_rings = d->tx_rings = (uint16_t)rings;
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(d->ethdev, &d->rx_rings, &d->tx_rings);
	for (uint16_t q = 0; !rc && q < d->rx_queues; q++)
		rc = rte_eth_rx_queue_setup(d->ethdev, q, d->rx_rings, (unsigned)socket, &rx, pool);
	for (uint16_t q = 0; !rc && q < d->tx_queues; q++)
		rc = rte_eth_tx_queue_setup(d->ethdev, q, d->tx_rings, (unsigned)socket, &tx);
	return rc ? fail(err, d, "queues", rc) : 0;
}

/* Rings in memory have none of their own. */
static int set_mac(struct dpdk_dev *d, char *err)
{
	struct rte_ether_addr mac;
	int rc = rte_eth_macaddr_get(d->ethdev, &mac);

	if (rc)
		return fail(err, d, "MAC address", rc);
	if (!rte_is_valid_assigned_ether_addr(&mac)) {
		rte_eth_random_addr(mac.addr_bytes);
		rte_eth_dev_default_mac_addr_set(d->ethdev, &mac);
	}
	memcpy(d->mac, mac.addr_bytes, sizeof(d->mac));
	return 0;
}

/* IPv6 finds its neighbours by multicast. */
static void receive_multicast(const struct dpdk_dev *d)
{
	if (rte_eth_allmulticast_enable(d->ethdev))
		rte_eth_promiscuous_enable(d->ethdev);
}

int dpdk_dev_open(struct dpdk_dev *d, const struct dpdk_spec_device *spec, unsigned queues_max,
		  unsigned rings, uint16_t mtu, struct rte_mempool *pool, char *err)
{
	struct rte_eth_dev_info info;
	int rc;

	dpdk_log_clear();
	*d = (struct dpdk_dev){.mtu = mtu};
	memcpy(d->name, spec->name, sizeof(d->name));
	rc = plug(d, spec, err);
	if (rc)
		return rc;
	rc = rte_eth_dev_info_get(d->ethdev, &info);
	if (rc) {
		rc = fail(err, d, "device information", rc);
		goto fail;
	}
	snprintf(d->driver, sizeof(d->driver), "%s", info.driver_name);
	choose(d, &info, queues_max);
	if ((rc = configure(d, &info, spec->is_pci, err)) ||
	    (rc = set_queues(d, &info, rings, pool, err)) || (rc = set_mac(d, err)))
		goto fail;
	rc = rte_eth_dev_start(d->ethdev);
	if (rc) {
		rc = fail(err, d, "start", rc);
		goto fail;
	}
	d->is_started = true;
	receive_multicast(d);
	return 0;
fail:
	dpdk_dev_close(d);
	return rc;
}

void dpdk_dev_close(struct dpdk_dev *d)
{
	if (d->is_started) {
		rte_eth_dev_stop(d->ethdev);
		rte_eth_dev_close(d->ethdev);
	}
	if (d->is_plugged)
		rte_eal_hotplug_remove("vdev", d->name);
	d->is_started = false;
	d->is_plugged = false;
}

bool dpdk_dev_has_shared_tx(const struct dpdk_dev *d)
{
	return d->tx_offloads & RTE_ETH_TX_OFFLOAD_MT_LOCKFREE;
}

bool dpdk_dev_has_rx_ip_checksum(const struct dpdk_dev *d)
{
	return d->rx_offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
}

bool dpdk_dev_has_tx_udp_checksum(const struct dpdk_dev *d)
{
	return d->tx_offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
}

static void show_hardware_counts(const struct dpdk_dev *d, struct json_out *js)
{
	struct rte_eth_stats s;

	if (rte_eth_stats_get(d->ethdev, &s))
		return;
	json_out_u64(js, "rx_packets", s.ipackets);
	json_out_u64(js, "rx_missed", s.imissed);
	json_out_u64(js, "rx_errors", s.ierrors);
	json_out_u64(js, "rx_no_buffer", s.rx_nombuf);
	json_out_u64(js, "tx_packets", s.opackets);
	json_out_u64(js, "tx_errors", s.oerrors);
}

void dpdk_dev_show(const struct dpdk_dev *d, struct json_out *js)
{
	struct rte_eth_link link = {0};
	char mac[RTE_ETHER_ADDR_FMT_SIZE];

	rte_ether_format_addr(mac, sizeof(mac), (const struct rte_ether_addr *)d->mac);
	rte_eth_link_get_nowait(d->ethdev, &link);
	json_out_string(js, "device", d->name);
	json_out_string(js, "driver", d->driver);
	json_out_string(js, "mac", mac);
	json_out_u64(js, "mtu", d->mtu);
	json_out_bool(js, "mtu_nominal", d->is_mtu_nominal);
	json_out_bool(js, "link", link.link_status);
	json_out_u64(js, "rx_queues", d->rx_queues);
	json_out_u64(js, "tx_queues", d->tx_queues);
	json_out_u64(js, "rx_rings", d->rx_rings);
	json_out_u64(js, "tx_rings", d->tx_rings);
	json_out_bool(js, "rx_ip_checksum", dpdk_dev_has_rx_ip_checksum(d));
	json_out_bool(js, "tx_udp_checksum", dpdk_dev_has_tx_udp_checksum(d));
	json_out_bool(js, "tx_lockfree", dpdk_dev_has_shared_tx(d));
	json_out_bool(js, "tx_fast_free", d->tx_offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
	json_out_bool(js, "rss", d->rss != 0);
	show_hardware_counts(d, js);
}
