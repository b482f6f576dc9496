/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xdp_forward IN OUT DST_MAC: the bare AF_XDP forwarder that the xdp port is compared
 * with: receive on one interface, swap the IP addresses, new MAC addresses, transmit
 * on the other. No look-ups, no crypto, no checks. Sleeps when there is nothing, as a
 * port must. Runs until SIGTERM.
 */
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "perf/xsk.h"

#define ETHER_BYTES 14
#define FRAMES	    (4 * XSK_RING)
#define SPINS	    200 /* empty looks before it sleeps */

static volatile sig_atomic_t is_ended;

static void on_end(int sig)
{
	is_ended = sig;
}

static int mac_of(const char *ifname, uint8_t mac[6])
{
	struct ifreq r = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", ifname);
	rc = ioctl(fd, SIOCGIFHWADDR, &r);
	close(fd);
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	return rc;
}

static void turn_around(uint8_t *frame, const uint8_t dst[6], const uint8_t src[6])
{
	uint8_t addr[4];

	memcpy(frame, dst, 6);
	memcpy(frame + 6, src, 6);
	memcpy(addr, frame + ETHER_BYTES + 12, 4);
	memcpy(frame + ETHER_BYTES + 12, frame + ETHER_BYTES + 16, 4);
	memcpy(frame + ETHER_BYTES + 16, addr, 4);
}

int main(int argc, char **argv)
{
	static struct xsk_area area;
	static struct xsk_end in, out;
	uint8_t dst[6], src[6];
	unsigned empty = 0;

	if (argc != 4 || sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", dst, dst + 1, dst + 2,
				dst + 3, dst + 4, dst + 5) != 6) {
		fprintf(stderr, "usage: xdp_forward IN OUT DST_MAC\n");
		return 2;
	}
	if (mac_of(argv[2], src)) {
		fprintf(stderr, "xdp_forward: %s: no such interface\n", argv[2]);
		return 1;
	}
	signal(SIGTERM, on_end);
	signal(SIGINT, on_end);
	xsk_area_open(&area, FRAMES);
	xsk_end_open(&in, &area, argv[1], true);
	xsk_end_open(&out, &area, argv[2], false);
	puts("ready");
	fflush(stdout);
	while (!is_ended) {
		struct xdp_desc d[XSK_BATCH];
		unsigned n = xsk_rx(&in, d, XSK_BATCH);

		if (!n) {
			struct pollfd pfd = {.fd = in.fd, .events = POLLIN};

			if (++empty > SPINS)
				poll(&pfd, 1, 100);
			continue;
		}
		empty = 0;
		for (unsigned i = 0; i < n; i++)
			__builtin_prefetch(xsk_data(&area, d[i].addr));
		for (unsigned i = 0; i < n; i++) {
			turn_around(xsk_data(&area, d[i].addr), dst, src);
			if (!xsk_tx(&out, d[i].addr, d[i].len))
				xsk_frame_free(&area, d[i].addr);
		}
		xsk_tx_end(&out);
	}
	xsk_end_close(&in);
	xsk_end_close(&out);
	return 0;
}
