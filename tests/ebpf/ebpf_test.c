/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the eBPF programs load on this kernel and give each crafted packet
 * the verdict, and the count, that it should have. Runs in a network namespace
 * of its own; needs root (77 = skipped).
 */
#include "tests/ebpf/ebpf_test.h"

#include <errno.h>
#include <linux/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SKIPPED 77

static unsigned passed, failed;

bool check(bool ok, const char *fmt, ...)
{
	va_list ap;

	if (ok) {
		passed++;
		return true;
	}
	failed++;
	printf("FAIL: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	return false;
}

static int loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = ioctl(fd, SIOCSIFFLAGS, &ifr) ? -errno : 0;
	close(fd);
	return err;
}

int main(void)
{
	struct utsname u;

	if (geteuid() != 0) {
		printf("skipped: needs root\n");
		return SKIPPED;
	}
	if (unshare(CLONE_NEWNET) || loopback_up()) {
		printf("cannot make a network namespace: %s\n", strerror(errno));
		return 1;
	}
	steer_test();
	reuseport_test();
	uname(&u);
	printf("ebpf on %s: %u checks passed, %u failed\n", u.release, passed, failed);
	return failed ? 1 : 0;
}
