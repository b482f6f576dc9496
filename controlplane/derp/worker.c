/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/worker.h"

#include <errno.h>
#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "controlplane/derp/client.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define EVENTS_A_TURN 256
#define SWEEP_NS      NS_PER_SEC
#define WAIT_MS	      1000
#define RETRY_MS      2
#define RECONNECT_MS  1000
#define TRY_FOR_MS    60000
#define TRIM_LEAST    32 /* clients */

/* --- a turn --- */

static bool is_listen(const struct worker *w, const void *ptr, int *fd)
{
	for (unsigned i = 0; i < w->listen_count; i++)
		if (ptr == &w->listens[i]) {
			*fd = w->listens[i];
			return true;
		}
	return false;
}

static void on_event(struct worker *w, const struct epoll_event *ev)
{
	uint64_t count;
	int fd;

	if (is_listen(w, ev->data.ptr, &fd)) {
		listen_accept(w, fd);
	} else if (ev->data.ptr == w) {
		if (read(w->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			log_error("relay.wake", "error=\"%s\"", strerror(errno));
	} else {
		struct client *c = ev->data.ptr;

		if (ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			c->record.sees_end = true;
		if (ev->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			client_read(c);
		if (ev->events & EPOLLOUT)
			client_mark_dirty(c);
	}
}

static void read_ready(struct worker *w)
{
	struct client *list = w->ready;

	w->ready = NULL;
	while (list) {
		struct client *c = list;

		list = c->next_ready;
		c->is_ready = false;
		client_read(c);
	}
}

static void write_dirty(struct worker *w)
{
	while (w->dirty) {
		struct client *c = w->dirty;

		w->dirty = c->next_dirty;
		c->is_dirty = false;
		client_write(c);
	}
}

/* The dead are in no list any more: read_ready and write_dirty have run. */
static void free_dead(struct worker *w)
{
	while (w->dead) {
		struct client *c = w->dead;

		if (c->is_ready)
			return;
		w->dead = c->next_dead;
		free(c);
	}
}

/* After a crowd has left, what the allocator kept for it goes back to the system. */
static void trim(struct worker *w)
{
	uint32_t now = atomic_load(&w->relay->clients);
	uint32_t most = atomic_load_explicit(&w->relay->most_clients, memory_order_relaxed);

	if (most < TRIM_LEAST || now > most / 2)
		return;
	atomic_store_explicit(&w->relay->most_clients, now, memory_order_relaxed);
	malloc_trim(0);
}

static void sweep(struct worker *w)
{
	if (w->now_ns < w->next_sweep_ns)
		return;
	w->next_sweep_ns = w->now_ns + SWEEP_NS;
	for (uint32_t i = 0; i < w->slot_count; i++)
		if (w->slots[i])
			client_sweep(w->slots[i]);
	queue_pool_shrink(&w->pool, w->pool.count / 2);
	if (w->index == 0)
		trim(w);
}

static void say_restarting(struct worker *w)
{
	for (uint32_t i = 0; i < w->slot_count; i++) {
		struct client *c = w->slots[i];
		uint8_t *p = c && c->state == CLIENT_UP ? client_control(c, DERP_HEADER_BYTES + 8)
							: NULL;

		if (!p)
			continue;
		derp_header_put(p, DERP_RESTARTING, 8);
		derp_restarting_put(p + DERP_HEADER_BYTES, RECONNECT_MS, TRY_FOR_MS);
	}
	write_dirty(w);
}

/* 0 while there is work, else how long to sleep. */
static int wait_ms(const struct worker *w, bool letters_wait)
{
	for (const struct client *c = w->ready; c; c = c->next_ready)
		if (c->resume_ns <= w->now_ns)
			return 0;
	return w->ready || letters_wait ? RETRY_MS : WAIT_MS;
}

/* At the end of a turn; reads and frames: what was counted before it. */
static void rest(struct worker *w, uint64_t reads, uint64_t frames)
{
	static const struct timespec pause = {.tv_nsec = PAUSE_NS};
	uint64_t now = clock_now_ns();

	frames = atomic_load_explicit(&w->counters.received, memory_order_relaxed) - frames;
	if (pause_wanted(&w->pause, w->now_ns - w->done_ns, now - w->now_ns, w->reads - reads,
			 frames) &&
	    !w->ready)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	w->done_ns = now;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[EVENTS_A_TURN];
	bool letters_wait = false;

	/* Or a pause lasts half as long again. */
	prctl(PR_SET_TIMERSLACK, 1);
	w->done_ns = clock_now_ns();
	while (!atomic_load_explicit(&w->relay->stop, memory_order_relaxed)) {
		int n = epoll_wait(w->epoll_fd, events, EVENTS_A_TURN, wait_ms(w, letters_wait));
		uint64_t frames = atomic_load_explicit(&w->counters.received, memory_order_relaxed);
		uint64_t reads = w->reads;

		w->now_ns = clock_now_ns();
		letters_read(w);
		answers_read(w);
		read_ready(w);
		for (int i = 0; i < n; i++)
			on_event(w, &events[i]);
		sweep(w);
		/* First the letters: a client that reads ServerInfo is known to all workers. */
		letters_wait = letters_post(w);
		write_dirty(w);
		letters_wait |= letters_post(w);
		free_dead(w);
		rest(w, reads, frames);
	}
	say_restarting(w);
	return NULL;
}

/* --- start and stop --- */

static int watch(struct worker *w, int fd, void *what)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = what};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int worker_init(struct worker *w, const struct endpoint *listens, unsigned count,
		       uint64_t secret)
{
	unsigned workers = w->relay->worker_count;
	int rc = directory_init(&w->directory, secret);

	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->flows = calloc(FLOW_BUCKETS, sizeof(*w->flows));
	w->outboxes = calloc(workers, sizeof(*w->outboxes));
	w->mailboxes = aligned_alloc(64, workers * sizeof(*w->mailboxes));
	w->io = malloc(sizeof(*w->io));
	w->scratch = malloc(SCRATCH_BYTES);
	if (rc || w->epoll_fd < 0 || w->event_fd < 0 || !w->flows || !w->outboxes ||
	    !w->mailboxes || !w->io || !w->scratch)
		return -ENOMEM;
	w->io->in_at = w->io->in_len = w->io->out_len = 0;
	memset(w->mailboxes, 0, workers * sizeof(*w->mailboxes));
	rc = watch(w, w->event_fd, w);
	for (unsigned i = 0; i < count && !rc; i++) {
		int fd = listen_on(&listens[i], &w->relay->limits);

		if (fd < 0)
			return fd;
		w->listens[w->listen_count++] = fd;
		rc = watch(w, fd, &w->listens[i]);
	}
	return rc;
}

static void worker_fini(struct worker *w)
{
	for (uint32_t i = 0; i < w->slot_count; i++)
		if (w->slots[i])
			client_close(w->slots[i]);
	for (struct admission_answer *a = w->answers, *next; a; a = next) {
		next = a->next;
		free(a);
	}
	w->ready = w->dirty = NULL;
	for (struct client *c = w->dead; c; c = w->dead) {
		w->dead = c->next_dead;
		free(c);
	}
	for (unsigned i = 0; i < w->relay->worker_count && w->outboxes; i++) {
		struct outbox *o = &w->outboxes[i];
		struct letter *l;

		free(o->open);
		while ((l = o->first)) {
			o->first = l->next;
			free(l);
		}
		while (w->mailboxes && (l = mailbox_take(&w->mailboxes[i])))
			free(l);
	}
	for (unsigned i = 0; i < w->listen_count; i++)
		close(w->listens[i]);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->event_fd >= 0)
		close(w->event_fd);
	directory_fini(&w->directory);
	queue_pool_shrink(&w->pool, 0);
	free(w->flows);
	free(w->slots);
	free(w->free_slots);
	free(w->outboxes);
	free(w->mailboxes);
	free(w->io);
	free(w->scratch);
}

static void free_workers(struct relay *r)
{
	for (unsigned i = 0; i < r->worker_count; i++)
		worker_fini(&r->workers[i]);
	free(r->workers);
	r->workers = NULL;
	r->worker_count = 0;
}

int relay_start(struct relay *r, const struct endpoint *listens, unsigned listen_count,
		unsigned workers)
{
	uint64_t secret;
	unsigned started = 0;
	int rc = 0;

	randombytes_buf(&secret, sizeof(secret));
	r->started_ns = clock_now_ns();
	r->workers = aligned_alloc(64, (workers * sizeof(*r->workers) + 63) & ~63ul);
	if (!r->workers)
		return -ENOMEM;
	memset(r->workers, 0, workers * sizeof(*r->workers));
	r->worker_count = workers;
	for (unsigned i = 0; i < workers; i++) {
		r->workers[i].relay = r;
		r->workers[i].index = i;
		r->workers[i].epoll_fd = r->workers[i].event_fd = -1;
	}
	for (unsigned i = 0; i < workers && !rc; i++)
		rc = worker_init(&r->workers[i], listens, listen_count, secret);
	while (!rc && started < workers) {
		struct worker *w = &r->workers[started];

		rc = -pthread_create(&w->thread, NULL, worker_main, w);
		started += !rc;
	}
	if (!rc)
		return 0;
	atomic_store(&r->stop, true);
	for (unsigned i = 0; i < started; i++)
		pthread_join(r->workers[i].thread, NULL);
	free_workers(r);
	return rc;
}

void relay_stop(struct relay *r)
{
	uint64_t one = 1;

	atomic_store(&r->stop, true);
	for (unsigned i = 0; i < r->worker_count; i++)
		if (write(r->workers[i].event_fd, &one, sizeof(one)) < 0)
			log_error("relay.wake", "error=\"%s\"", strerror(errno));
	for (unsigned i = 0; i < r->worker_count; i++)
		pthread_join(r->workers[i].thread, NULL);
	/* It answers to workers, and nobody asks any more. */
	admission_stop(r->admission);
	r->admission = NULL;
	free_workers(r);
}

uint64_t relay_counter(const struct relay *r, size_t offset)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < r->worker_count; i++) {
		const char *at = (const char *)&r->workers[i].counters + offset;

		sum += atomic_load_explicit((const _Atomic uint64_t *)at, memory_order_relaxed);
	}
	return sum;
}
