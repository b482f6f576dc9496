/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: joins two interfaces of a namespace in user space and impairs what passes, in
 * each direction on its own. For kernels without netem.
 *
 *     wire --a IF --b IF [--ab OPTS] [--ba OPTS] [--both OPTS] [--seed N] [--control PATH]
 *
 * OPTS are those of impair_set(). The control socket takes one command a line and answers
 * each with a line of JSON: "set ab|ba|both OPTS", "stats", "reset". SIGTERM or SIGINT ends
 * the program, which then prints its counters as JSON to stdout.
 *
 * One thread, one poll loop. Frames are read with AF_PACKET sockets under PACKET_VNET_HDR:
 * what offloads glued or left unsummed is passed on with the same header, so it stays valid,
 * but it is judged as one frame and counted in "supers": switch segmentation off on the
 * interfaces that feed the wire (topology.py does) when loss must be by packet.
 */
#include "lib/base/clock.h"
#include "tests/lab/impair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FRAME_MAX   (65536 + 256)
#define BATCH	    32
#define CLIENTS	    4
#define LINE_MAX_   600
#define SOCKET_ROOM (16 << 20)

struct end {
	const char *name;
	int fd;
};

struct client {
	int fd;
	size_t len;
	char line[LINE_MAX_];
};

struct wire {
	struct end end[2];    /* a, b */
	struct impair dir[2]; /* ab (from a to b), ba */
	struct client client[CLIENTS];
	int listen_fd, signal_fd;
	uint64_t seed;
	uint8_t (*buf)[FRAME_MAX];
};

static const char *const dir_name[2] = {"ab", "ba"};

static int end_open(struct end *e)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct packet_mreq promisc = {.mr_type = PACKET_MR_PROMISC};
	int one = 1, room = SOCKET_ROOM;

	ll.sll_ifindex = (int)if_nametoindex(e->name);
	if (!ll.sll_ifindex)
		return -errno;
	promisc.mr_ifindex = ll.sll_ifindex;
	/* Protocol 0 until bound: no frame of another interface slips in. */
	e->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (e->fd < 0)
		return -errno;
	if (setsockopt(e->fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ||
	    setsockopt(e->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(e->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)) ||
	    bind(e->fd, (struct sockaddr *)&ll, sizeof(ll)))
		return -errno;
	/* Best effort: without the privilege the default room stays. */
	(void)setsockopt(e->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	(void)setsockopt(e->fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	return 0;
}

static void take_frames(struct wire *w, int d)
{
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	uint64_t now;
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i].iov_base = w->buf[i];
		iov[i].iov_len = FRAME_MAX;
		memset(&msgs[i], 0, sizeof(msgs[i]));
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(w->end[d].fd, msgs, BATCH, MSG_DONTWAIT, NULL);
	now = clock_now_ns();
	for (int i = 0; i < n; i++) {
		struct virtio_net_hdr *h = (struct virtio_net_hdr *)w->buf[i];
		uint32_t len = msgs[i].msg_len;

		if (len <= sizeof(*h))
			continue;
		/* What the kernel says of a checksum it has verified means nothing to send. */
		h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
		if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE)
			w->dir[d].count.supers++;
		if (impair_push(&w->dir[d], w->buf[i], len, len - sizeof(*h), now))
			w->dir[d].count.limit_drops++;
	}
}

static void send_due(struct wire *w, int d)
{
	struct impair *dir = &w->dir[d];
	struct impair_frame *f;
	uint64_t now = clock_now_ns();

	while ((f = impair_pop(dir, now))) {
		ssize_t n = send(w->end[!d].fd, f->data, f->len, MSG_DONTWAIT);

		if (n < 0) {
			dir->count.send_errors++;
		} else {
			dir->count.out++;
			dir->count.out_bytes += f->len - sizeof(struct virtio_net_hdr);
		}
		free(f);
	}
}

static int print_dir(char *out, size_t size, const char *name, const struct impair *w)
{
	const struct impair_counters *c = &w->count;

	return snprintf(out, size,
			"\"%s\":{\"in\":%lu,\"in_bytes\":%lu,\"out\":%lu,\"out_bytes\":%lu,"
			"\"lost\":%lu,\"cut\":%lu,\"queue_drops\":%lu,\"limit_drops\":%lu,"
			"\"duplicated\":%lu,\"reordered\":%lu,\"supers\":%lu,\"send_errors\":%lu,"
			"\"held\":%zu,\"held_max\":%lu}",
			name, c->in, c->in_bytes, c->out, c->out_bytes, c->lost, c->cut,
			c->queue_drops, c->limit_drops, c->duplicated, c->reordered, c->supers,
			c->send_errors, w->held, c->held_max);
}

static void print_stats(const struct wire *w, char *out, size_t size)
{
	char ab[600], ba[600];

	print_dir(ab, sizeof(ab), dir_name[0], &w->dir[0]);
	print_dir(ba, sizeof(ba), dir_name[1], &w->dir[1]);
	snprintf(out, size, "{\"ok\":true,\"seed\":%lu,%s,%s}\n", w->seed, ab, ba);
}

/* Applies OPTS to the directions that `which` names; both change or none. */
static int set_dirs(struct wire *w, const char *which, const char *opts, char *err, size_t size)
{
	bool both = !strcmp(which, "both"), known = both;
	struct impair_options o[2] = {w->dir[0].opt, w->dir[1].opt};

	for (int d = 0; d < 2; d++) {
		if (!both && strcmp(which, dir_name[d]))
			continue;
		known = true;
		if (impair_set(&o[d], opts, err, size))
			return -EINVAL;
	}
	if (!known) {
		snprintf(err, size, "direction is ab, ba or both");
		return -EINVAL;
	}
	w->dir[0].opt = o[0];
	w->dir[1].opt = o[1];
	return 0;
}

static void command(struct wire *w, char *line, char *out, size_t size)
{
	char *rest = line;
	char *verb = strsep(&rest, " ");
	char err[600] = "unknown command";

	if (!strcmp(verb, "stats")) {
		print_stats(w, out, size);
		return;
	}
	if (!strcmp(verb, "reset")) {
		memset(&w->dir[0].count, 0, sizeof(w->dir[0].count));
		memset(&w->dir[1].count, 0, sizeof(w->dir[1].count));
		snprintf(out, size, "{\"ok\":true}\n");
		return;
	}
	if (!strcmp(verb, "set") && rest) {
		char *which = strsep(&rest, " ");

		if (!set_dirs(w, which, rest ? rest : "", err, sizeof(err))) {
			snprintf(out, size, "{\"ok\":true}\n");
			return;
		}
	}
	for (char *p = err; *p; p++) {
		if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ')
			*p = '?';
	}
	snprintf(out, size, "{\"ok\":false,\"error\":\"%s\"}\n", err);
}

static void client_close(struct client *c)
{
	close(c->fd);
	c->fd = -1;
	c->len = 0;
}

static void on_client(struct wire *w, struct client *c)
{
	ssize_t n = read(c->fd, c->line + c->len, sizeof(c->line) - 1 - c->len);
	char *end;

	if (n <= 0) {
		client_close(c);
		return;
	}
	c->len += (size_t)n;
	c->line[c->len] = '\0';
	while ((end = strchr(c->line, '\n'))) {
		char out[1600];
		size_t used = (size_t)(end - c->line) + 1;

		*end = '\0';
		command(w, c->line, out, sizeof(out));
		if (send(c->fd, out, strlen(out), MSG_NOSIGNAL) < 0) {
			client_close(c);
			return;
		}
		memmove(c->line, c->line + used, c->len - used + 1);
		c->len -= used;
	}
	if (c->len == sizeof(c->line) - 1)
		client_close(c);
}

static void on_listen(struct wire *w)
{
	int fd = accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < CLIENTS; i++) {
		if (w->client[i].fd < 0) {
			w->client[i].fd = fd;
			w->client[i].len = 0;
			return;
		}
	}
	close(fd);
}

/* Whoever sees the name can connect: it appears only when the socket listens. */
static int control_open(struct wire *w, const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	if ((size_t)snprintf(un.sun_path, sizeof(un.sun_path), "%s.new", path) >=
	    sizeof(un.sun_path))
		return -ENAMETOOLONG;
	unlink(un.sun_path);
	w->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->listen_fd < 0)
		return -errno;
	if (bind(w->listen_fd, (struct sockaddr *)&un, sizeof(un)) || listen(w->listen_fd, CLIENTS))
		return -errno;
	if (rename(un.sun_path, path))
		return -errno;
	return 0;
}

static void loop(struct wire *w)
{
	for (;;) {
		struct pollfd p[4 + CLIENTS] = {
			{.fd = w->end[0].fd, .events = POLLIN},
			{.fd = w->end[1].fd, .events = POLLIN},
			{.fd = w->signal_fd, .events = POLLIN},
			{.fd = w->listen_fd, .events = POLLIN},
		};
		uint64_t next = impair_next_ns(&w->dir[0]), now = clock_now_ns();
		struct timespec ts, *wait = NULL;

		if (impair_next_ns(&w->dir[1]) < next)
			next = impair_next_ns(&w->dir[1]);
		if (next != IMPAIR_NEVER) {
			uint64_t ns = next > now ? next - now : 0;

			ts.tv_sec = (time_t)(ns / NS_PER_SEC);
			ts.tv_nsec = (long)(ns % NS_PER_SEC);
			wait = &ts;
		}
		for (int i = 0; i < CLIENTS; i++)
			p[4 + i] = (struct pollfd){.fd = w->client[i].fd, .events = POLLIN};
		if (ppoll(p, 4 + CLIENTS, wait, NULL) < 0 && errno != EINTR)
			return;
		if (p[2].revents)
			return;
		for (int i = 0; i < CLIENTS; i++) {
			if (p[4 + i].revents)
				on_client(w, &w->client[i]);
		}
		if (p[3].revents)
			on_listen(w);
		for (int d = 0; d < 2; d++) {
			if (p[d].revents)
				take_frames(w, d);
			send_due(w, d);
		}
	}
}

static int usage(const char *why)
{
	fprintf(stderr,
		"wire: %s\n"
		"usage: wire --a IF --b IF [--ab OPTS] [--ba OPTS] [--both OPTS] [--seed N]\n"
		"            [--control PATH]\n"
		"OPTS: delay=20ms,jitter=2ms,loss=1%%,dup=1%%,reorder=1%%,hold=5ms,rate=10mbit,\n"
		"      queue=64k,limit=1000,cut=1\n",
		why);
	return 2;
}

static int arguments(struct wire *w, int argc, char **argv, const char **control)
{
	static const struct option longs[] = {
		{"a", 1, 0, 'a'},    {"b", 1, 0, 'b'},	  {"ab", 1, 0, '0'},	  {"ba", 1, 0, '1'},
		{"both", 1, 0, '2'}, {"seed", 1, 0, 's'}, {"control", 1, 0, 'c'}, {0}};
	const char *opts[3] = {NULL, NULL, NULL};
	char err[600];
	int c;

	w->seed = 1;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'a' || c == 'b')
			w->end[c - 'a'].name = optarg;
		else if (c >= '0' && c <= '2')
			opts[c - '0'] = optarg;
		else if (c == 's')
			w->seed = strtoull(optarg, NULL, 0);
		else if (c == 'c')
			*control = optarg;
		else
			return usage("unknown option");
	}
	if (!w->end[0].name || !w->end[1].name || optind != argc)
		return usage("--a and --b are needed");
	for (int d = 0; d < 2; d++)
		impair_init(&w->dir[d], w->seed * 2 + (uint64_t)d);
	if (opts[2] && set_dirs(w, "both", opts[2], err, sizeof(err)))
		return usage(err);
	for (int d = 0; d < 2; d++) {
		if (opts[d] && set_dirs(w, dir_name[d], opts[d], err, sizeof(err)))
			return usage(err);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct wire w;
	const char *control = NULL;
	char out[1600];
	sigset_t sigs;
	int rc;

	rc = arguments(&w, argc, argv, &control);
	if (rc)
		return rc;
	w.listen_fd = -1;
	for (int i = 0; i < CLIENTS; i++)
		w.client[i].fd = -1;
	w.buf = malloc(BATCH * sizeof(*w.buf));
	if (!w.buf)
		return 1;
	sigemptyset(&sigs);
	sigaddset(&sigs, SIGTERM);
	sigaddset(&sigs, SIGINT);
	sigprocmask(SIG_BLOCK, &sigs, NULL);
	w.signal_fd = signalfd(-1, &sigs, SFD_CLOEXEC);
	/* Frames are due to the microsecond; the default slack is 50 of them. */
	prctl(PR_SET_TIMERSLACK, 1ul);
	for (int i = 0; i < 2; i++) {
		rc = end_open(&w.end[i]);
		if (rc) {
			fprintf(stderr, "wire: %s: %s\n", w.end[i].name, strerror(-rc));
			return 1;
		}
	}
	rc = control ? control_open(&w, control) : 0;
	if (rc) {
		fprintf(stderr, "wire: %s: %s\n", control, strerror(-rc));
		return 1;
	}
	loop(&w);
	print_stats(&w, out, sizeof(out));
	fputs(out, stdout);
	if (control)
		unlink(control);
	impair_fini(&w.dir[0]);
	impair_fini(&w.dir[1]);
	free(w.buf);
	return 0;
}
