/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/udp.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "dataplane/port/udp_uapi.h"
#include "dataplane/worker.h"
#include "ebpf/steer_shared.h"
#include "lib/base/bug.h"
#include "reuseport.skel.h"

/* Above what kernels give out by themselves. */
#define LANE_PORT_FIRST 61000u
#define LANE_BLOCKS	256u /* of LANE_MAX ports */

#define BUFFER_BYTES (4 << 20) /* the kernel doubles it for its own overhead */

/* One 0 or 1 option; all of them exist since Linux 5.0. */
struct option {
	int level;
	int name;
	int value;
	const char *text;
};

static const struct option common_options[] = {
	{SOL_SOCKET, SO_MARK, PORT_FWMARK, "SO_MARK (needs CAP_NET_ADMIN)"},
	{IPPROTO_UDP, UDP_GRO, 1, "UDP_GRO"},
};

static const struct option reuseport_option = {SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT"};

static const struct option v4_options[] = {
	{IPPROTO_IP, IP_RECVTOS, 1, "IP_RECVTOS"},
	{IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT, "IP_MTU_DISCOVER"},
};

static const struct option v6_options[] = {
	{IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY"},
	{IPPROTO_IPV6, IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS"},
	{IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT, "IPV6_MTU_DISCOVER"},
};

static int set_options(int fd, const struct option *o, unsigned n, char *err)
{
	for (unsigned i = 0; i < n; i++) {
		if (setsockopt(fd, o[i].level, o[i].name, &o[i].value, sizeof(o[i].value)) < 0) {
			int rc = -errno;

			snprintf(err, PORT_ERROR_TEXT, "UDP socket: %s: %s", o[i].text,
				 strerror(-rc));
			return rc;
		}
	}
	return 0;
}

/* Beyond the sysctl limits if we may; what was granted is shown, not required. */
static int set_buffer(int fd, int force, int plain)
{
	int bytes = BUFFER_BYTES;
	socklen_t len = sizeof(bytes);

	if (setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof(bytes));
	return getsockopt(fd, SOL_SOCKET, plain, &bytes, &len) ? 0 : bytes;
}

static int bind_any(int fd, enum udp_family family, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int rc;

	if (family == UDP_V4)
		rc = bind(fd, (struct sockaddr *)&v4, sizeof(v4));
	else
		rc = bind(fd, (struct sockaddr *)&v6, sizeof(v6));
	return rc ? -errno : 0;
}

static int set_all_options(struct udp_group *g, int fd, enum udp_family family, bool is_member,
			   char *err)
{
	int rc = set_options(fd, common_options, ARRAY_SIZE(common_options), err);

	if (!rc && is_member)
		rc = set_options(fd, &reuseport_option, 1, err);

	if (!rc && family == UDP_V4)
		rc = set_options(fd, v4_options, ARRAY_SIZE(v4_options), err);
	else if (!rc)
		rc = set_options(fd, v6_options, ARRAY_SIZE(v6_options), err);
	g->rcvbuf_bytes = set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	g->sndbuf_bytes = set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	return rc;
}

/* A bound member of the group, or a socket of its own; or a negative errno. */
static int open_socket(struct udp_group *g, enum udp_family family, uint16_t port, bool is_member,
		       char *err)
{
	int fd = socket(family == UDP_V4 ? AF_INET : AF_INET6,
			SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0) {
		rc = -errno;
		snprintf(err, PORT_ERROR_TEXT, "UDP socket: %s", strerror(-rc));
		return rc;
	}
	rc = set_all_options(g, fd, family, is_member, err);
	if (rc)
		goto fail;
	rc = bind_any(fd, family, port);
	if (rc) {
		snprintf(err, PORT_ERROR_TEXT, "listen=%u (%s): %s%s", port,
			 family == UDP_V4 ? "IPv4" : "IPv6", strerror(-rc),
			 rc == -EADDRINUSE ? ": by another program or user" : "");
		goto fail;
	}
	return fd;
fail:
	close(fd);
	return rc;
}

static int learn_port(struct udp_group *g, int fd)
{
	struct sockaddr_in6 name;
	socklen_t len = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
		return -errno;
	g->listen_port = ntohs(name.sin6_port); /* where sin_port lies, too */
	return 0;
}

static int open_family_sockets(struct udp_group *g, enum udp_family family, char *err)
{
	int fd = open_socket(g, family, g->listen_port, true, err);

	if (fd < 0)
		return fd;
	g->control_fd[family] = fd;
	if (!g->listen_port && learn_port(g, fd))
		return -EADDRNOTAVAIL;
	for (unsigned i = 0; i < g->worker_count; i++) {
		fd = open_socket(g, family, g->listen_port, true, err);
		if (fd < 0)
			return fd;
		g->fd[family][i] = fd;
	}
	return 0;
}

static int fill_maps(struct udp_group *g, enum udp_family family)
{
	struct reuseport *s = g->program[family];
	uint64_t fd;

	for (uint32_t i = 0; i < g->worker_count; i++) {
		fd = (uint64_t)g->fd[family][i];
		if (bpf_map_update_elem(bpf_map__fd(s->maps.workers), &i, &fd, BPF_ANY))
			return -errno;
	}
	fd = (uint64_t)g->control_fd[family];
	if (bpf_map_update_elem(bpf_map__fd(s->maps.control), &(uint32_t){0}, &fd, BPF_ANY))
		return -errno;
	s->bss->worker_count = g->worker_count;
	return 0;
}

/*
 * Until this is done the group spreads by hash: what lands on the wrong socket
 * is handed over like any other such datagram.
 */
static int attach_program(struct udp_group *g, enum udp_family family, char *err)
{
	const char *step = "loading it";
	int fd, rc;

	g->program[family] = reuseport__open_and_load();
	if (!g->program[family]) {
		rc = -errno;
		goto fail;
	}
	step = "its socket maps";
	rc = fill_maps(g, family);
	if (rc)
		goto fail;
	step = "SO_ATTACH_REUSEPORT_EBPF";
	fd = bpf_program__fd(g->program[family]->progs.choose_socket);
	if (setsockopt(g->control_fd[family], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &fd,
		       sizeof(fd)) < 0) {
		rc = -errno;
		goto fail;
	}
	return 0;
fail:
	snprintf(err, PORT_ERROR_TEXT, "reuseport BPF program: %s: %s%s", step, strerror(-rc),
		 rc == -EPERM || rc == -EACCES ? " (needs CAP_BPF and CAP_NET_ADMIN)" : "");
	return rc;
}

static int open_family(struct udp_group *g, enum udp_family family, char *err)
{
	int rc = open_family_sockets(g, family, err);

	if (rc)
		return rc;
	for (unsigned i = 0; i < g->worker_count; i++) {
		g->rx[family][i] = udp_rx_new();
		if (!g->rx[family][i]) {
			snprintf(err, PORT_ERROR_TEXT, "UDP sockets: no memory to receive into");
			return -ENOMEM;
		}
	}
	return attach_program(g, family, err);
}

/* Compiled out, switched off by boot parameter, or off on every interface. */
static bool has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && !bind_any(fd, UDP_V6, 0);

	if (fd >= 0)
		close(fd);
	return ok;
}

static void probe_offloads(struct udp_group *g)
{
	int fd = g->control_fd[UDP_V4];
	int value = 0;
	socklen_t len = sizeof(value);

	g->has_gso = !getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &len);
	len = sizeof(value);
	g->has_gro = !getsockopt(fd, IPPROTO_UDP, UDP_GRO, &value, &len) && value;
}

int udp_open(struct udp_group *g, uint16_t listen_port, unsigned workers, char *err)
{
	int rc;

	BUG_ON(!workers || workers > PORT_WORKERS_MAX);
	static_assert(PORT_WORKERS_MAX <= REUSEPORT_WORKERS_MAX, "the program's map has room");
	*g = (struct udp_group){.listen_port = listen_port, .worker_count = workers};
	for (unsigned f = 0; f < UDP_FAMILIES; f++) {
		g->control_fd[f] = -1;
		for (unsigned i = 0; i < PORT_WORKERS_MAX; i++)
			g->fd[f][i] = -1;
		for (unsigned i = 0; i < LANE_MAX; i++)
			g->lane_fd[f][i] = -1;
	}
	for (unsigned i = 0; i < workers; i++) {
		g->tx[i] = udp_tx_new();
		if (!g->tx[i]) {
			snprintf(err, PORT_ERROR_TEXT, "UDP sockets: no memory to send from");
			rc = -ENOMEM;
			goto fail;
		}
	}
	rc = open_family(g, UDP_V4, err);
	if (!rc && has_ipv6())
		rc = open_family(g, UDP_V6, err);
	if (rc)
		goto fail;
	probe_offloads(g);
	return 0;
fail:
	udp_close(g);
	return rc;
}

static void close_lanes(struct udp_group *g)
{
	for (unsigned f = 0; f < UDP_FAMILIES; f++) {
		for (unsigned i = 0; i < LANE_MAX; i++) {
			if (g->lane_fd[f][i] >= 0)
				close(g->lane_fd[f][i]);
			g->lane_fd[f][i] = -1;
			udp_rx_free(g->lane_rx[f][i]);
			g->lane_rx[f][i] = NULL;
		}
	}
	g->lane_count = 0;
}

static bool open_lane(struct udp_group *g, enum udp_family family, unsigned i)
{
	char err[PORT_ERROR_TEXT];

	g->lane_rx[family][i] = udp_rx_new();
	g->lane_fd[family][i] = open_socket(g, family, (uint16_t)(g->lane_first + i), false, err);
	return g->lane_rx[family][i] && g->lane_fd[family][i] >= 0;
}

void udp_open_lanes(struct udp_group *g, unsigned lanes)
{
	bool has_v6 = g->control_fd[UDP_V6] >= 0;

	if (lanes > LANE_MAX)
		lanes = LANE_MAX;
	for (unsigned block = 0; lanes && block < LANE_BLOCKS; block++) {
		bool ok = true;

		g->lane_first = (uint16_t)(LANE_PORT_FIRST +
					   LANE_MAX * ((g->listen_port + block) % LANE_BLOCKS));
		/* The listen port itself may lie there. */
		for (unsigned i = 0; ok && i < lanes; i++)
			ok = open_lane(g, UDP_V4, i) && (!has_v6 || open_lane(g, UDP_V6, i));
		if (ok) {
			g->lane_count = lanes;
			return;
		}
		close_lanes(g);
	}
}

/* Number i of the lanes that this worker receives; 0: it has no more. */
static unsigned lane_of(const struct udp_group *g, unsigned worker, unsigned i)
{
	unsigned lane = 1 + worker + i * g->worker_count;

	return lane <= g->lane_count ? lane : 0;
}

unsigned udp_lane_sources(const struct udp_group *g, unsigned worker, struct port_source *out)
{
	unsigned n = 0, lane;

	for (unsigned i = 0; (lane = lane_of(g, worker, i)); i++) {
		for (unsigned f = 0; f < UDP_FAMILIES; f++) {
			if (g->control_fd[f] < 0)
				continue;
			out[n++] = (struct port_source){.fd = g->lane_fd[f][lane - 1],
							.is_outside = true};
		}
	}
	return n;
}

unsigned udp_rx_lane(struct udp_group *g, unsigned i, struct worker *w, struct batch *b)
{
	bool has_v6 = g->control_fd[UDP_V6] >= 0;
	enum udp_family family = has_v6 && i % 2 ? UDP_V6 : UDP_V4;
	unsigned lane = lane_of(g, w->id, has_v6 ? i / 2 : i);

	return udp_rx_from(g->lane_rx[family][lane - 1], g->lane_fd[family][lane - 1],
			   lane << PACKET_LANE_SHIFT, w, b);
}

void udp_close(struct udp_group *g)
{
	close_lanes(g);
	for (unsigned f = 0; f < UDP_FAMILIES; f++) {
		for (unsigned i = 0; i < g->worker_count; i++) {
			if (g->fd[f][i] >= 0)
				close(g->fd[f][i]);
			g->fd[f][i] = -1;
			udp_rx_free(g->rx[f][i]);
			g->rx[f][i] = NULL;
		}
		if (g->control_fd[f] >= 0)
			close(g->control_fd[f]);
		g->control_fd[f] = -1;
		if (g->program[f])
			reuseport__destroy(g->program[f]);
		g->program[f] = NULL;
	}
	for (unsigned i = 0; i < g->worker_count; i++) {
		udp_tx_free(g->tx[i]);
		g->tx[i] = NULL;
	}
}

uint32_t udp_features(const struct udp_group *g)
{
	return (g->has_gso ? DPAPI_FEATURE_UDP_GSO : 0) | (g->has_gro ? DPAPI_FEATURE_UDP_GRO : 0);
}

/* What the program decided, summed over CPUs. */
static void show_verdicts(const struct reuseport *s, const char *family, struct json_out *js)
{
	static const char *const names[] = {
#define X(name, sentence) #name,
		REUSEPORT_VERDICTS(X)
#undef X
	};
	int cpus = libbpf_num_possible_cpus();
	uint64_t count[256];

	json_out_object(js, family);
	for (uint32_t v = 0; v < ARRAY_SIZE(names); v++) {
		uint64_t sum = 0;

		if (cpus < 1 || cpus > (int)ARRAY_SIZE(count) ||
		    bpf_map_lookup_elem(bpf_map__fd(s->maps.counters), &v, count))
			break;
		for (int i = 0; i < cpus; i++)
			sum += count[i];
		json_out_u64(js, names[v], sum);
	}
	json_out_end(js);
}

void udp_show(const struct udp_group *g, struct json_out *js)
{
	json_out_object(js, "udp");
	json_out_u64(js, "listen", g->listen_port);
	json_out_u64(js, "sockets", g->worker_count);
	json_out_u64(js, "lanes", g->lane_count);
	if (g->lane_count)
		json_out_u64(js, "lane_port", g->lane_first);
	json_out_bool(js, "ipv6", g->control_fd[UDP_V6] >= 0);
	json_out_bool(js, "gso", g->has_gso);
	json_out_bool(js, "gro", g->has_gro);
	json_out_i64(js, "rcvbuf_bytes", g->rcvbuf_bytes);
	json_out_i64(js, "sndbuf_bytes", g->sndbuf_bytes);
	json_out_object(js, "steered");
	if (g->program[UDP_V4])
		show_verdicts(g->program[UDP_V4], "ipv4", js);
	if (g->program[UDP_V6])
		show_verdicts(g->program[UDP_V6], "ipv6", js);
	json_out_end(js);
	json_out_end(js);
}
