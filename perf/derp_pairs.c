/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/derp_pairs.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/base/clock.h"

#define LOST_NS	    (200 * NS_PER_MS)
#define DRAIN_NS    (300 * NS_PER_MS)
#define EVENTS	    64
#define CATCH_UP    (64 * BURST)
#define TURN_FRAMES (4 * BURST) /* sent by an open loop before receivers are looked at again */
#define FILL	    0x5a
#define RECV_HEADER DERP_KEY_BYTES

/* --- frames --- */

static void put_frame(struct load *l, struct pair *p)
{
	uint8_t *body = l->frame + DERP_HEADER_BYTES;

	memcpy(body, p->receiver.key, DERP_KEY_BYTES);
	memcpy(body + DERP_KEY_BYTES, &l->now_ns, sizeof(l->now_ns));
	memcpy(body + DERP_KEY_BYTES + 8, &p->sent, sizeof(p->sent));
	derp_conn_put(&p->sender, l->frame, DERP_HEADER_BYTES + DERP_KEY_BYTES + l->size);
	p->sent++;
	p->on_way++;
}

static void flush(struct pair *p)
{
	int rc = derp_conn_flush(&p->sender);

	if (rc && rc != -EAGAIN)
		give_up("a sender's connection", rc);
	p->is_blocked = rc == -EAGAIN;
}

/* Sends n frames as the shape has it; what a full socket refuses is counted. */
static void send_frames(struct load *l, struct pair *p, unsigned n)
{
	l->did_something = true;
	while (n) {
		unsigned some = l->is_single ? 1 : n < BURST ? n : BURST;

		if (p->is_blocked) {
			l->refused += n;
			return;
		}
		for (unsigned i = 0; i < some; i++)
			put_frame(l, p);
		flush(p);
		n -= some;
	}
}

static void on_frame(void *arg, struct derp_conn *c, uint8_t type, const uint8_t *body, size_t len)
{
	struct pair *p = arg;
	struct load *l = p->load;
	uint64_t sent_ns, which;

	if (type != DERP_RECV_PACKET || c != &p->receiver)
		return;
	if (len != RECV_HEADER + l->size)
		give_up("a frame of another length came", 0);
	memcpy(&sent_ns, body + RECV_HEADER, sizeof(sent_ns));
	memcpy(&which, body + RECV_HEADER + 8, sizeof(which));
	p->received++;
	l->received++;
	p->last_ns = l->now_ns;
	if (which >= p->first_counted && p->on_way)
		p->on_way--;
	if (l->now_ns < l->from_ns || l->now_ns >= l->until_ns)
		return;
	l->in_window++;
	histogram_add(&l->ages, l->now_ns - sent_ns, l->now_ns);
}

/* --- loops --- */

static void on_event(struct load *l, const struct epoll_event *ev)
{
	struct pair *p = &l->pair[ev->data.u64 >> 1];
	struct derp_conn *c = ev->data.u64 & 1 ? &p->receiver : &p->sender;

	if (ev->events & EPOLLOUT && p->is_blocked)
		flush(p);
	if (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		int rc = derp_conn_read(c, on_frame, p);

		if (rc)
			give_up(c == &p->receiver ? "a receiver's connection"
						  : "a sender's connection",
				rc);
	}
}

static void refill(struct load *l)
{
	for (unsigned i = 0; i < l->pairs; i++) {
		struct pair *p = &l->pair[i];

		if (p->on_way && l->now_ns - p->last_ns > LOST_NS) {
			p->on_way = 0;
			p->first_counted = p->sent;
		}
		if (p->is_blocked || (!l->is_single && p->on_way))
			continue;
		if (p->on_way < l->window) {
			if (!p->on_way)
				p->last_ns = l->now_ns;
			send_frames(l, p, l->window - p->on_way);
		}
	}
}

static uint64_t total_sent(const struct load *l)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < l->pairs; i++)
		sum += l->pair[i].sent;
	return sum;
}

/* Sends what is due since start_ns; issued so far are *issued. */
static void pace(struct load *l, uint64_t start_ns, uint64_t *issued)
{
	uint64_t due = (uint64_t)((double)(l->now_ns - start_ns) * l->rate / 1e9);
	unsigned least = l->is_single ? 1 : BURST;
	uint64_t most = total_sent(l) + TURN_FRAMES;

	/* What this core could not offer is not offered later in a flood. */
	if (due - *issued > CATCH_UP)
		*issued = due - CATCH_UP;
	while (due - *issued >= least && total_sent(l) < most) {
		send_frames(l, &l->pair[l->next], least);
		l->next = (l->next + 1) % l->pairs;
		*issued += least;
	}
}

static uint64_t server_cpu_ns(int pid)
{
	char path[320];
	uint64_t sum = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		give_up("the server is gone", 0);
	while ((e = readdir(d))) {
		uint64_t ns = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (f && fscanf(f, "%" SCNu64, &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	closedir(d);
	return sum;
}

static void turn(struct load *l, bool sends, uint64_t start_ns, uint64_t *issued)
{
	struct epoll_event ev[EVENTS];
	int n = epoll_wait(l->epoll_fd, ev, EVENTS, 0);

	l->now_ns = clock_now_ns();
	l->did_something = n > 0;
	for (int i = 0; i < n; i++)
		on_event(l, &ev[i]);
	if (!sends)
		return;
	if (l->rate > 0)
		pace(l, start_ns, issued);
	else
		refill(l);
}

struct result derp_pairs_run(struct load *l)
{
	uint64_t start = clock_now_ns(), issued = 0, cpu, before, t, sent = 0, refused = 0;
	struct result r = {0};
	bool measures = false;

	l->now_ns = start;
	l->from_ns = start + (uint64_t)(l->warm * 1e9);
	l->until_ns = l->from_ns + (uint64_t)(l->seconds * 1e9);
	cpu = before = 0;
	for (t = start; t < l->until_ns;) {
		turn(l, true, start, &issued);
		before = t;
		t = clock_now_ns();
		if (!measures && t >= l->from_ns) {
			measures = true;
			l->from_ns = t;
			cpu = server_cpu_ns(l->server);
			sent = total_sent(l);
			refused = l->refused;
		} else if (measures && l->did_something) {
			r.busy_ns += t - before;
		}
	}
	r.window_ns = l->now_ns - l->from_ns;
	r.cpu_ns = server_cpu_ns(l->server) - cpu;
	r.offered = total_sent(l) - sent + l->refused - refused;
	r.sent = total_sent(l);
	while (clock_now_ns() - t < DRAIN_NS)
		turn(l, false, start, &issued);
	return r;
}

/* --- set-up --- */

static void watch(struct load *l, unsigned i, bool is_receiver)
{
	struct pair *p = &l->pair[i];
	struct epoll_event ev = {.events = is_receiver ? EPOLLIN : EPOLLIN | EPOLLOUT | EPOLLET,
				 .data.u64 = (uint64_t)i << 1 | is_receiver};

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, is_receiver ? p->receiver.fd : p->sender.fd, &ev))
		give_up("epoll", -errno);
}

void derp_pairs_connect(struct load *l)
{
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->pair = calloc(l->pairs, sizeof(*l->pair));
	if (!l->pair)
		give_up("pairs", -ENOMEM);
	memset(l->frame, FILL, sizeof(l->frame));
	derp_header_put(l->frame, DERP_SEND_PACKET, DERP_KEY_BYTES + l->size);
	for (unsigned i = 0; i < l->pairs; i++) {
		struct pair *p = &l->pair[i];
		int rc = derp_conn_open(&p->sender, &l->to, l->tls);

		if (!rc)
			rc = derp_conn_open(&p->receiver, &l->to, l->tls);
		if (rc)
			give_up("joining", rc);
		p->load = l;
		watch(l, i, false);
		watch(l, i, true);
	}
}
