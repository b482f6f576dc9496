/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/exception.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_mbuf.h>

#include "dataplane/port/port.h"

#define TUN_DEVICE "/dev/net/tun"
/* After kill -9 the kernel takes some milliseconds to let go of the old device. */
#define BUSY_TRIES    100
#define BUSY_SLEEP_US 20000

static int attach_once(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, name, strlen(name));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

static int attach(const char *name)
{
	int fd = attach_once(name);

	for (int i = 0; fd == -EBUSY && i < BUSY_TRIES; i++) {
		usleep(BUSY_SLEEP_US);
		fd = attach_once(name);
	}
	return fd;
}

static int set_mac(int s, struct ifreq *ifr, const uint8_t mac[6])
{
	ifr->ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr->ifr_hwaddr.sa_data, mac, 6);
	return ioctl(s, SIOCSIFHWADDR, ifr) < 0 ? -errno : 0;
}

static int set_up(int s, struct ifreq *ifr)
{
	if (ioctl(s, SIOCGIFFLAGS, ifr) < 0)
		return -errno;
	ifr->ifr_flags |= IFF_UP;
	return ioctl(s, SIOCSIFFLAGS, ifr) < 0 ? -errno : 0;
}

static int configure(struct exception *e, const uint8_t mac[6], unsigned mtu, const char **what)
{
	struct ifreq ifr = {0};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	*what = "socket";
	if (s < 0)
		return -errno;
	memcpy(ifr.ifr_name, e->name, sizeof(ifr.ifr_name));
	*what = "MAC address";
	rc = set_mac(s, &ifr, mac);
	if (!rc) {
		*what = "MTU";
		ifr.ifr_mtu = (int)mtu;
		rc = ioctl(s, SIOCSIFMTU, &ifr) < 0 ? -errno : 0;
	}
	if (!rc) {
		*what = "link up";
		rc = set_up(s, &ifr);
	}
	close(s);
	e->ifindex = if_nametoindex(e->name);
	return !rc && !e->ifindex ? -ENODEV : rc;
}

static const char *explain(int rc)
{
	switch (rc) {
	case -EBUSY:
		return "in use by another program";
	case -EINVAL:
		return "an interface of this name exists, and is no single-queue TAP";
	case -EPERM:
		return "not permitted (needs CAP_NET_ADMIN)";
	case -ENOENT:
	case -ENXIO:
		return TUN_DEVICE " is missing: the kernel or container has no TUN";
	default:
		return strerror(-rc);
	}
}

int exception_open(struct exception *e, const char *name, const uint8_t mac[6], unsigned mtu,
		   char *err)
{
	const char *what;
	int rc;

	*e = (struct exception){.fd = -1};
	memcpy(e->name, name, strlen(name));
	rc = attach(name);
	if (rc < 0) {
		snprintf(err, PORT_ERROR_TEXT, "tap=%s: %s", name, explain(rc));
		return rc;
	}
	e->fd = rc;
	rc = configure(e, mac, mtu, &what);
	if (rc) {
		snprintf(err, PORT_ERROR_TEXT, "tap=%s: %s: %s", name, what, strerror(-rc));
		exception_close(e);
	}
	return rc;
}

void exception_close(struct exception *e)
{
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
}

bool exception_write(const struct exception *e, const void *frame, uint32_t len)
{
	return write(e->fd, frame, len) == (ssize_t)len;
}

unsigned exception_read(const struct exception *e, struct rte_mempool *pool, struct rte_mbuf **out,
			unsigned max)
{
	unsigned n = 0;

	while (n < max) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		ssize_t len;

		if (!m)
			break;
		len = read(e->fd, rte_pktmbuf_mtod(m, void *), rte_pktmbuf_tailroom(m));
		if (len <= 0) {
			rte_pktmbuf_free(m);
			break;
		}
		m->data_len = (uint16_t)len;
		m->pkt_len = (uint32_t)len;
		out[n++] = m;
	}
	return n;
}
