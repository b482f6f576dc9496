/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/xdp_netdev.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int ask(int fd, const struct port_netdev *d, unsigned long request, struct ifreq *r)
{
	memcpy(r->ifr_name, d->name, sizeof(r->ifr_name));
	return ioctl(fd, request, r) ? -errno : 0;
}

/* Drivers without channels (and old veth) have one queue. */
static struct xdp_netdev_queues count_queues(int fd, const struct port_netdev *d)
{
	struct ethtool_channels c = {.cmd = ETHTOOL_GCHANNELS};
	struct xdp_netdev_queues q = {1, 1};
	struct ifreq r = {.ifr_data = (void *)&c};

	if (ask(fd, d, SIOCETHTOOL, &r))
		return q;
	if (c.combined_count + c.rx_count)
		q.rx = c.combined_count + c.rx_count;
	if (c.combined_count + c.tx_count)
		q.tx = c.combined_count + c.tx_count;
	return q;
}

int xdp_netdev_probe(struct port_netdev *d, struct xdp_netdev_queues *queues, char *err)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = {0};
	int rc = 0;

	if (fd < 0) {
		rc = -errno;
		goto fail;
	}
	rc = ask(fd, d, SIOCGIFINDEX, &r);
	if (rc)
		goto fail;
	d->ifindex = (unsigned)r.ifr_ifindex;
	rc = ask(fd, d, SIOCGIFHWADDR, &r);
	if (rc)
		goto fail;
	if (r.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
		snprintf(err, PORT_ERROR_TEXT, "%s: not an Ethernet interface", d->name);
		close(fd);
		return -EINVAL;
	}
	memcpy(d->mac, r.ifr_hwaddr.sa_data, sizeof(d->mac));
	rc = ask(fd, d, SIOCGIFMTU, &r);
	if (rc)
		goto fail;
	d->mtu = (uint16_t)(r.ifr_mtu > UINT16_MAX ? UINT16_MAX : r.ifr_mtu);
	*queues = count_queues(fd, d);
	close(fd);
	return 0;
fail:
	snprintf(err, PORT_ERROR_TEXT, "%s: %s", d->name, strerror(-rc));
	if (fd >= 0)
		close(fd);
	return rc;
}
