/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/xdp_steer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "dataplane/port/flood.h"
#include "ebpf/steer_shared.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "steer.skel.h"

#define CPUS_MAX 1024

/* A process just ended may still be letting go of the interface. */
#define ATTACH_RETRY_NS (3 * NS_PER_SEC)
#define ATTACH_PAUSE_NS (10 * NS_PER_MS)

static int set_limits(struct steer *skel)
{
	struct steer_limits l = {
		.source_interval_ns = NS_PER_SEC / FLOOD_SOURCE_RATE_PPS,
		.total_interval_ns = NS_PER_SEC / FLOOD_TOTAL_RATE_PPS,
		.source_burst = FLOOD_SOURCE_BURST,
		.total_burst = FLOOD_TOTAL_BURST,
	};
	uint32_t zero = 0;

	return bpf_map_update_elem(bpf_map__fd(skel->maps.limits), &zero, &l, BPF_ANY) ? -errno : 0;
}

int xdp_steer_open(struct xdp_steer *s, uint16_t listen_port, uint16_t lane_first,
		   unsigned lane_count, char *err)
{
	int rc;

	for (unsigned i = 0; i < PORT_NETDEVS_MAX; i++)
		s->link_fd[i] = -1;
	s->skel = steer__open();
	if (!s->skel) {
		rc = -errno;
		goto fail;
	}
	s->skel->rodata->listen_ports[0] = htons(listen_port);
	s->skel->rodata->lane_first = lane_first;
	s->skel->rodata->lane_count = (uint16_t)lane_count;
	rc = steer__load(s->skel);
	if (!rc)
		rc = set_limits(s->skel);
	if (!rc)
		return 0;
fail:
	snprintf(err, PORT_ERROR_TEXT, "XDP programs: %s%s", strerror(-rc),
		 rc == -EPERM || rc == -EACCES ? " (needs CAP_BPF and CAP_NET_ADMIN)" : "");
	xdp_steer_close(s);
	return rc;
}

void xdp_steer_close(struct xdp_steer *s)
{
	for (unsigned i = 0; i < PORT_NETDEVS_MAX; i++) {
		if (s->link_fd[i] >= 0)
			close(s->link_fd[i]);
		s->link_fd[i] = -1;
	}
	if (s->skel)
		steer__destroy(s->skel);
	s->skel = NULL;
}

int xdp_steer_add_socket(struct xdp_steer *s, unsigned n, unsigned queue, int fd)
{
	uint32_t key = n * STEER_QUEUES_MAX + queue;

	static_assert(PORT_NETDEVS_MAX <= STEER_IFACES_MAX, "the programs' map has room");
	BUG_ON(n >= STEER_IFACES_MAX || queue >= STEER_QUEUES_MAX);
	return bpf_map_update_elem(bpf_map__fd(s->skel->maps.xsks_map), &key, &fd, BPF_ANY) ? -errno
											    : 0;
}

int xdp_steer_set_iface(struct xdp_steer *s, unsigned n, const struct port_netdev *d)
{
	struct steer_iface value = {.xsk_base = n * STEER_QUEUES_MAX};
	uint32_t key = d->ifindex;

	memcpy(value.mac, d->mac, sizeof(value.mac));
	return bpf_map_update_elem(bpf_map__fd(s->skel->maps.ifaces), &key, &value, BPF_ANY)
		       ? -errno
		       : 0;
}

static int attach_mode(int prog, unsigned ifindex, uint32_t flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	struct timespec pause = {.tv_nsec = ATTACH_PAUSE_NS};
	uint64_t until_ns = clock_now_ns() + ATTACH_RETRY_NS;
	int fd;

	do {
		fd = bpf_link_create(prog, (int)ifindex, BPF_XDP, &opts);
		if (fd >= 0)
			return fd;
		if (errno != EBUSY)
			return -errno;
		nanosleep(&pause, NULL);
	} while (clock_now_ns() < until_ns);
	return -EBUSY;
}

int xdp_steer_attach(struct xdp_steer *s, unsigned n, const struct port_netdev *d,
		     enum xdp_mode mode, char *err)
{
	struct bpf_program *p = d->is_wan ? s->skel->progs.steer_wan : s->skel->progs.steer_lan;
	int prog = bpf_program__fd(p);
	int rc = xdp_steer_set_iface(s, n, d);

	if (!rc && mode != XDP_STEER_GENERIC)
		rc = attach_mode(prog, d->ifindex, XDP_FLAGS_DRV_MODE);
	s->is_native[n] = mode != XDP_STEER_GENERIC && rc >= 0;
	if (mode == XDP_STEER_GENERIC || (mode == XDP_STEER_AUTO && rc < 0 && rc != -EBUSY))
		rc = attach_mode(prog, d->ifindex, XDP_FLAGS_SKB_MODE);
	if (rc < 0) {
		snprintf(err, PORT_ERROR_TEXT, "%s: attaching the XDP program: %s%s", d->name,
			 strerror(-rc), rc == -EBUSY ? ": another one is attached" : "");
		return rc;
	}
	s->link_fd[n] = rc;
	return 0;
}

static int change(int fd, const void *key, const void *value, bool remove)
{
	int rc = remove ? bpf_map_delete_elem(fd, key)
			: bpf_map_update_elem(fd, key, value, BPF_ANY);

	return rc && !(remove && errno == ENOENT) ? -errno : 0;
}

/*
 * A hole may be taken away that was never made, where a mesh prefix of the same
 * length stands: that one stays. (A shorter one that is found does no harm, the
 * deletion wants the exact key.)
 */
static int change_prefix(int fd, const void *key, const struct steer_prefix *value, bool remove)
{
	struct steer_prefix found;

	if (remove && !bpf_map_lookup_elem(fd, key, &found) && found.flags != value->flags)
		return 0;
	return change(fd, key, value, remove);
}

int xdp_steer_prefix(struct xdp_steer *s, const uint8_t *addr, int family, uint8_t prefix_len,
		     uint16_t mtu, enum port_steer kind, bool remove)
{
	struct steer_prefix value = {.flags = kind == PORT_STEER_MESH ? 0 : STEER_PREFIX_KERNEL,
				     .mtu_bytes = mtu};
	struct steer_key4 k4 = {.prefix_len = prefix_len};
	struct steer_key6 k6 = {.prefix_len = prefix_len};
	struct steer_addr local = {.addr = {[10] = 0xff, [11] = 0xff}};
	uint32_t one = 1;

	if (prefix_len > (family == AF_INET ? 32 : 128))
		return -EINVAL;
	/* A host route is no address of ours: what passes through to it is not for us. */
	if (kind == PORT_STEER_OWN && prefix_len == (family == AF_INET ? 32 : 128)) {
		memcpy(family == AF_INET ? local.addr + 12 : local.addr, addr,
		       family == AF_INET ? 4 : 16);
		return change(bpf_map__fd(s->skel->maps.locals), &local, &one, remove);
	}
	if (family == AF_INET) {
		memcpy(k4.addr, addr, 4);
		return change_prefix(bpf_map__fd(s->skel->maps.mesh4), &k4, &value, remove);
	}
	memcpy(k6.addr, addr, 16);
	return change_prefix(bpf_map__fd(s->skel->maps.mesh6), &k6, &value, remove);
}

void xdp_steer_show(const struct xdp_steer *s, struct json_out *js)
{
	static const char *const names[] = {
#define X(name, action, sentence) #name,
		STEER_VERDICTS(X)
#undef X
	};
	static uint64_t count[CPUS_MAX]; /* control thread only */
	int cpus = libbpf_num_possible_cpus();

	json_out_object(js, "verdicts");
	for (uint32_t v = 0; v < ARRAY_SIZE(names); v++) {
		uint64_t sum = 0;

		if (cpus < 1 || cpus > CPUS_MAX ||
		    bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.counters), &v, count))
			break;
		for (int i = 0; i < cpus; i++)
			sum += count[i];
		json_out_u64(js, names[v], sum);
	}
	json_out_end(js);
}
