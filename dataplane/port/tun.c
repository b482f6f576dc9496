/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/tun.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/port/arena.h"
#include "dataplane/port/tun_arena.h"
#include "lib/base/bug.h"
#include "tun_steer.skel.h"

#define TUN_DEVICE	"/dev/net/tun"
#define TUN_QUEUE_FLAGS (IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)
#define TUN_TXQUEUELEN	1000
/* After kill -9 the kernel takes some milliseconds to remove the old device. */
#define TUN_BUSY_TRIES	  100
#define TUN_BUSY_SLEEP_US 20000

bool tun_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= IF_NAMESIZE || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (size_t i = 0; i < len; i++) {
		/* '%' would be a template to the kernel. */
		if (!isalnum((unsigned char)name[i]) && !strchr("_-.", name[i]))
			return false;
	}
	return true;
}

static int open_queue_once(struct tun *t, bool is_first)
{
	struct ifreq ifr = {0};
	int fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, t->name, sizeof(ifr.ifr_name));
	/* Without EXCL the first queue would join a device that another process has. */
	ifr.ifr_flags = (short)(TUN_QUEUE_FLAGS | (is_first ? IFF_TUN_EXCL : 0));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

static int open_queue(struct tun *t, bool is_first)
{
	int fd = open_queue_once(t, is_first);

	for (int i = 0; is_first && fd == -EBUSY && i < TUN_BUSY_TRIES; i++) {
		usleep(TUN_BUSY_SLEEP_US);
		fd = open_queue_once(t, is_first);
	}
	return fd;
}

static void probe_offloads(struct tun *t)
{
	static const unsigned wanted[] = {
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
		TUN_F_CSUM,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (!ioctl(t->queue[0].fd, TUNSETOFFLOAD, (unsigned long)wanted[i])) {
			t->offloads = wanted[i];
			break;
		}
	}
	t->has_tso = (t->offloads & (TUN_F_TSO4 | TUN_F_TSO6)) == (TUN_F_TSO4 | TUN_F_TSO6);
	t->has_uso = (t->offloads & (TUN_F_USO4 | TUN_F_USO6)) == (TUN_F_USO4 | TUN_F_USO6);
}

/* Without it the device chooses, which is correct, but leaves workers idle. */
static bool attach_steering(struct tun *t)
{
	struct tun_steer *skel = NULL;
	int fd, rc;

	if (t->queue_count == 1)
		return false;
	skel = tun_steer__open_and_load();
	if (!skel)
		return false;
	fd = bpf_program__fd(skel->progs.choose_queue);
	rc = ioctl(t->queue[0].fd, TUNSETSTEERINGEBPF, &fd);
	tun_steer__destroy(skel); /* the device holds its program */
	return rc == 0;
}

static int configure_link(struct tun *t, unsigned mtu)
{
	struct ifreq ifr = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = 0;

	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, t->name, sizeof(ifr.ifr_name));
	ifr.ifr_mtu = (int)mtu;
	if (ioctl(fd, SIOCSIFMTU, &ifr) < 0)
		rc = -errno;
	ifr.ifr_qlen = TUN_TXQUEUELEN;
	if (!rc && ioctl(fd, SIOCSIFTXQLEN, &ifr) < 0)
		rc = -errno;
	close(fd);
	t->ifindex = if_nametoindex(t->name);
	return !rc && !t->ifindex ? -ENODEV : rc;
}

static int arena_new(struct tun_queue *q)
{
	q->arena = arena_map(2 * (size_t)TUN_ARENA_HALF_BYTES);
	return q->arena ? 0 : -ENOMEM;
}

static int queues_new(struct tun *t, unsigned count)
{
	t->queue = aligned_alloc(64, count * sizeof(*t->queue));
	if (!t->queue)
		return -ENOMEM;
	memset(t->queue, 0, count * sizeof(*t->queue));
	for (unsigned i = 0; i < count; i++)
		t->queue[i].fd = -1;
	t->queue_count = count;
	for (unsigned i = 0; i < count; i++) {
		int rc = arena_new(&t->queue[i]);

		if (rc)
			return rc;
	}
	return 0;
}

static void explain_queue(const struct tun *t, int rc, char *err)
{
	const char *why = strerror(-rc);

	if (rc == -EBUSY)
		why = "an interface of this name exists already";
	else if (rc == -EPERM)
		why = "not permitted (needs CAP_NET_ADMIN)";
	else if (rc == -ENOENT || rc == -ENXIO)
		why = TUN_DEVICE " is missing: the kernel or container has no TUN";
	snprintf(err, PORT_ERROR_TEXT, "tun=%s: %s", t->name, why);
}

int tun_open(struct tun *t, const char *name, unsigned queues, unsigned mtu, char *err)
{
	int rc;

	*t = (struct tun){0};
	if (!tun_name_is_valid(name)) {
		snprintf(err, PORT_ERROR_TEXT,
			 "tun=%s: not an interface name (1 to 15 letters, digits, '_', '-', '.')",
			 name);
		return -EINVAL;
	}
	if (mtu < TUN_MTU_MIN || mtu > TUN_MTU_MAX) {
		snprintf(err, PORT_ERROR_TEXT, "mtu=%u: not within %u..%u", mtu, TUN_MTU_MIN,
			 TUN_MTU_MAX);
		return -ERANGE;
	}
	BUG_ON(!queues || queues > PORT_WORKERS_MAX);
	memcpy(t->name, name, strlen(name));
	rc = queues_new(t, queues);
	if (rc) {
		snprintf(err, PORT_ERROR_TEXT, "tun=%s: no memory for its queues", name);
		goto fail;
	}
	for (unsigned i = 0; i < queues; i++) {
		rc = open_queue(t, i == 0);
		if (rc < 0) {
			explain_queue(t, rc, err);
			goto fail;
		}
		t->queue[i].fd = rc;
	}
	probe_offloads(t);
	t->is_steered = attach_steering(t);
	rc = configure_link(t, mtu);
	if (rc) {
		snprintf(err, PORT_ERROR_TEXT, "tun=%s: mtu %u and queue length: %s", name, mtu,
			 strerror(-rc));
		goto fail;
	}
	return 0;
fail:
	tun_close(t);
	return rc;
}

void tun_close(struct tun *t)
{
	for (unsigned i = 0; i < t->queue_count; i++) {
		if (t->queue[i].fd >= 0)
			close(t->queue[i].fd);
		if (t->queue[i].arena)
			munmap(t->queue[i].arena, 2 * TUN_ARENA_HALF_BYTES);
	}
	free(t->queue);
	t->queue = NULL;
	t->queue_count = 0;
}

uint32_t tun_features(const struct tun *t)
{
	return (t->has_tso ? DPAPI_FEATURE_TUN_TSO : 0) | (t->has_uso ? DPAPI_FEATURE_TUN_USO : 0);
}

void tun_show(const struct tun *t, struct json_out *js)
{
	json_out_object(js, "tun_device");
	json_out_string(js, "name", t->name);
	json_out_u64(js, "ifindex", t->ifindex);
	json_out_u64(js, "queues", t->queue_count);
	json_out_string(js, "steering", t->is_steered ? "by flow" : "by the device");
	json_out_bool(js, "csum", t->offloads & TUN_F_CSUM);
	json_out_bool(js, "tso", t->has_tso);
	json_out_bool(js, "tso_ecn", t->offloads & TUN_F_TSO_ECN);
	json_out_bool(js, "uso", t->has_uso);
	json_out_end(js);
}
