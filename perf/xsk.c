/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/xsk.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define SNDBUF_BYTES (8 << 20)
#define BUSY_TRIES   600 /* of 5 ms: a queue just closed is busy for a while */

static _Noreturn void give_up(const char *what, int rc)
{
	fprintf(stderr, "AF_XDP: %s: %s\n", what, strerror(rc < 0 ? -rc : errno));
	exit(1);
}

void xsk_area_open(struct xsk_area *a, uint32_t frames)
{
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	*a = (struct xsk_area){.frames = frames};
	a->base = mmap(NULL, (size_t)frames * XSK_FRAME_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	a->free = calloc(frames, sizeof(*a->free));
	if (a->base == MAP_FAILED || !a->free)
		give_up("frames", 0);
	for (uint32_t i = frames; i > 0; i--)
		a->free[a->free_count++] = (uint64_t)(i - 1) * XSK_FRAME_BYTES;
}

static void open_socket(struct xsk_end *e, struct xsk_area *a, const char *ifname)
{
	struct xsk_socket_config config = {
		.rx_size = XSK_RING,
		.tx_size = XSK_RING,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_USE_NEED_WAKEUP | XDP_COPY,
	};
	const struct timespec pause = {.tv_nsec = 5000000};
	int rc, bytes = SNDBUF_BYTES;

	for (int i = 0; i < BUSY_TRIES; i++) {
		rc = xsk_socket__create_shared(&e->socket, ifname, 0, a->umem, &e->rx, &e->tx,
					       &e->fill, &e->completion, &config);
		if (rc != -EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	if (rc)
		give_up(ifname, rc);
	e->fd = xsk_socket__fd(e->socket);
	setsockopt(e->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
}

/* return bpf_redirect_map(&map, 0, XDP_PASS) */
static void attach(struct xsk_end *e, const char *ifname)
{
	const uint32_t key = 0;
	struct bpf_insn program[] = {
		{.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int rc;

	e->map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "bare", 4, 4, 1, NULL);
	if (e->map_fd < 0)
		give_up("map", e->map_fd);
	program[0].imm = e->map_fd;
	e->program_fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "bare", "GPL", program,
				      sizeof(program) / sizeof(program[0]), NULL);
	if (e->program_fd < 0)
		give_up("program", e->program_fd);
	rc = bpf_map_update_elem(e->map_fd, &key, &e->fd, BPF_ANY);
	if (!rc)
		rc = bpf_xdp_attach(e->ifindex, e->program_fd, XDP_FLAGS_DRV_MODE, NULL);
	if (rc)
		give_up(ifname, rc);
}

static void fill(struct xsk_end *e)
{
	struct xsk_area *a = e->area;
	uint32_t at = 0, n = xsk_prod_nb_free(&e->fill, XSK_BATCH);

	n = n < a->free_count ? n : a->free_count;
	if (n < XSK_BATCH || xsk_ring_prod__reserve(&e->fill, n, &at) != n)
		return;
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&e->fill, at + i) = xsk_frame(a);
	xsk_ring_prod__submit(&e->fill, n);
}

void xsk_end_open(struct xsk_end *e, struct xsk_area *a, const char *ifname, bool is_rx)
{
	struct xsk_umem_config config = {
		.fill_size = XSK_RING,
		.comp_size = XSK_RING,
		.frame_size = XSK_FRAME_BYTES,
	};

	*e = (struct xsk_end){.area = a, .ifindex = (int)if_nametoindex(ifname)};
	if (!e->ifindex)
		give_up(ifname, -ENODEV);
	if (!a->umem) {
		int rc = xsk_umem__create(&a->umem, a->base, (uint64_t)a->frames * XSK_FRAME_BYTES,
					  &a->fill, &a->completion, &config);

		if (rc)
			give_up("umem", rc);
	}
	open_socket(e, a, ifname);
	if (!is_rx)
		return;
	fill(e);
	attach(e, ifname);
}

void xsk_end_close(struct xsk_end *e)
{
	if (e->program_fd)
		bpf_xdp_detach(e->ifindex, XDP_FLAGS_DRV_MODE, NULL);
	xsk_socket__delete(e->socket);
}

unsigned xsk_rx(struct xsk_end *e, struct xdp_desc *out, unsigned max)
{
	uint32_t at = 0;
	unsigned n = xsk_ring_cons__peek(&e->rx, max, &at);

	for (unsigned i = 0; i < n; i++)
		out[i] = *xsk_ring_cons__rx_desc(&e->rx, at + i);
	if (n)
		xsk_ring_cons__release(&e->rx, n);
	fill(e);
	if (!n && xsk_ring_prod__needs_wakeup(&e->fill))
		recvfrom(e->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	return n;
}

bool xsk_tx(struct xsk_end *e, uint64_t addr, uint32_t len)
{
	struct xdp_desc *d;
	uint32_t at = 0;

	if (xsk_ring_prod__reserve(&e->tx, 1, &at) != 1)
		return false;
	d = xsk_ring_prod__tx_desc(&e->tx, at);
	*d = (struct xdp_desc){.addr = addr, .len = len};
	e->tx_pending++;
	return true;
}

static void take_back(struct xsk_end *e)
{
	uint32_t at = 0, n = xsk_ring_cons__peek(&e->completion, XSK_RING, &at);

	for (uint32_t i = 0; i < n; i++)
		xsk_frame_free(e->area, *xsk_ring_cons__comp_addr(&e->completion, at + i));
	if (n)
		xsk_ring_cons__release(&e->completion, n);
}

void xsk_tx_end(struct xsk_end *e)
{
	if (e->tx_pending) {
		xsk_ring_prod__submit(&e->tx, e->tx_pending);
		e->tx_pending = 0;
		/* Copy mode sends 32 a call and says EAGAIN while there are more. */
		while (sendto(e->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno == EAGAIN)
			take_back(e);
	}
	take_back(e);
}
