/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's turn: take what its sources have, move it, and sleep when there is
 * nothing.
 *
 *    +-> ready sources: rx -> pipeline  --- anything? ---+
 *    |                                                   | no
 *    |    spin on polled sources (rings in memory)  <----+
 *    |    for WORKER_SPIN_NS, or nap once (gather.h), then sleep in poll, for long or,
 *    |    where a source has no descriptor, a little longer each time
 *    +---- commands of the control thread, staging, quiescent state
 *
 * A source is "ready" after poll or epoll_wait named it and until an rx came back with
 * less than a batch: so under load there is no system call that only asks.
 */
#include "dataplane/worker.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring_elem.h>

#include "dataplane/channel.h"
#include "dataplane/dataplane.h"
#include "dataplane/pipeline.h"
#include "dataplane/staging.h"
#include "dataplane/table/peer.h"
#include "lib/base/clock.h"

/* A polled source is asked this long after its last packet before the worker sleeps. */
#define WORKER_SPIN_NS	    (20 * NS_PER_US)
#define WORKER_SLEEP_NS	    (500 * NS_PER_MS)
#define WORKER_EPOLL_EVENTS 32

/*
 * Where a source has no descriptor it is looked at after a nap that grows with the
 * silence: a packet waits for a quarter of the pause before it, and never longer than
 * the longest nap.
 */
#define WORKER_NAP_SHARE  4
#define WORKER_NAP_MIN_NS (20 * NS_PER_US)
#define WORKER_NAP_MAX_NS (500 * NS_PER_US)

/* Of the packet channel at a time: a flood there does not keep out the rest. */
#define CHANNEL_PACKETS_MAX 64

void worker_post(struct worker *w, const struct worker_event *e)
{
	uint64_t one = 1;

	if (rte_ring_enqueue_elem(w->events, (void *)(uintptr_t)e, sizeof(*e)) < 0)
		return;
	/* An eventfd that cannot take one more is readable already. */
	if (write(w->dp->event_fd, &one, sizeof(one)) < 0)
		return;
}

int worker_command(struct worker *w, const struct worker_command *c)
{
	uint64_t one = 1;
	int ret = rte_ring_enqueue_elem(w->commands, (void *)(uintptr_t)c, sizeof(*c));

	if (write(w->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return -errno;
	return ret;
}

static void move(struct worker *w, struct batch *b, bool is_outside)
{
	b->now_ns = clock_now_ns();
	w->scratch_used = 0;
	if (is_outside)
		pipeline_outside(w, b);
	else
		pipeline_inside(w, b);
}

static void flush_peer(struct worker *w, uint32_t peer_id)
{
	const struct peer *peer = peer_get(w->dp->peers, peer_id);

	/*
	 * Bounded: what finds no session goes back into the staging. An expired one
	 * stays where it is until the control thread takes it away.
	 */
	for (unsigned left = STAGING_PER_PEER; peer && left > 0;) {
		const struct session *s = peer_tx_session(peer);
		unsigned n;

		w->flush.n = 0;
		w->flush.now_ns = clock_now_ns();
		w->scratch_used = 0;
		if (!s || w->flush.now_ns >= s->expire_ns)
			break;
		n = staging_take(w->staging, peer_id, &w->flush);
		if (n == 0)
			break;
		pipeline_seal(w, &w->flush);
		staging_release(w->staging);
		left -= n < left ? n : left;
	}
}

static void flush_all(struct worker *w)
{
	uint32_t peers[STAGING_PEERS_MAX];
	unsigned n = staging_peers(w->staging, peers, STAGING_PEERS_MAX);

	w->is_flush_wanted = false;

	for (unsigned i = 0; i < n; i++)
		flush_peer(w, peers[i]);
}

static unsigned log2_bucket(uint64_t cycles)
{
	unsigned i = 63u - (unsigned)__builtin_clzll(cycles | 1);

	return i < WORKER_HISTOGRAM ? i : WORKER_HISTOGRAM - 1;
}

/* One rx of one source and all that follows from it. Returns packets taken. */
static unsigned take(struct worker *w, struct worker_source *s)
{
	enum worker_stage stage = s->is_outside ? STAGE_RX_OUTSIDE : STAGE_RX_INSIDE;
	uint64_t t = rte_rdtsc();
	unsigned n;

	w->batch.n = 0;
	n = s->port->ops->rx(s->port, w, s->index, &w->batch);
	if (n == 0)
		return 0;
	w->stats.stage_cycles[stage] += rte_rdtsc() - t;
	w->stats.stage_packets[stage] += n;
	w->stats.stage_batches[stage]++;
	if (w->batch.n == 0) { /* all were of no concern to the stages */
		w->batch.now_ns = clock_now_ns();
		return n;
	}
	move(w, &w->batch, s->is_outside);
	w->stats.batch_cycles_log2[log2_bucket(rte_rdtsc() - t)]++;
	if (w->is_flush_wanted)
		flush_all(w);
	return n;
}

/* An empty packet: headers and tag are all it has. */
static void send_keepalive(struct worker *w, uint32_t peer_id)
{
	struct packet *p;

	w->flush.n = 0;
	w->flush.now_ns = clock_now_ns();
	w->scratch_used = 0;
	p = batch_add(&w->flush);
	p->data = w->scratch + PACKET_HEADROOM;
	w->scratch_used = PACKET_HEADROOM + PACKET_TAILROOM;
	p->headroom = PACKET_HEADROOM;
	p->tailroom = PACKET_TAILROOM;
	p->kind = PACKET_KEEPALIVE;
	p->peer_out = peer_id;
	pipeline_seal(w, &w->flush);
}

static void drop_staged(struct worker *w, uint32_t peer_id)
{
	uint32_t peers[STAGING_PEERS_MAX] = {peer_id};
	unsigned n = 1;

	if (peer_id == PEER_NONE)
		n = staging_peers(w->staging, peers, STAGING_PEERS_MAX);
	for (unsigned i = 0; i < n; i++)
		w->stats.drop[DROP_SEAL_STAGED_TIMEOUT] += staging_drop(w->staging, peers[i]);
}

/* False: stop. */
static bool run_commands(struct worker *w)
{
	struct worker_command c;
	uint64_t count;

	while (read(w->wake_fd, &count, sizeof(count)) > 0)
		;
	while (rte_ring_dequeue_elem(w->commands, &c, sizeof(c)) == 0) {
		switch ((enum worker_command_type)c.type) {
		case WORKER_CMD_KEEPALIVE:
			send_keepalive(w, c.peer_id);
			break;
		case WORKER_CMD_FLUSH:
			flush_all(w);
			break;
		case WORKER_CMD_DROP_STAGED:
			drop_staged(w, c.peer_id);
			break;
		case WORKER_CMD_STOP:
			return false;
		}
	}
	return true;
}

static void take_channel(struct worker *w)
{
	bool is_outside = false;

	for (unsigned i = 0; i < CHANNEL_PACKETS_MAX; i++) {
		w->batch.n = 0;
		if (channel_rx(w, &w->batch, &is_outside) == 0)
			return;
		w->batch.now_ns = clock_now_ns();
		w->scratch_used = 0;
		if (is_outside)
			pipeline_outside(w, &w->batch);
		else if (w->batch.pkts[0].kind == PACKET_LANE)
			pipeline_lane(w, &w->batch);
		else
			pipeline_seal(w, &w->batch);
	}
}

/* Marks the polled sources that have something, or may have. */
static void sleep_some(struct worker *w, uint64_t timeout_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(timeout_ns / NS_PER_SEC),
			      .tv_nsec = (long)(timeout_ns % NS_PER_SEC)};
	int n;

	w->stats.sleeps++;
	rte_rcu_qsbr_thread_offline(w->dp->qsbr, w->id);
	n = ppoll(w->sleep_fds, w->sleep_count, &ts, NULL);
	rte_rcu_qsbr_thread_online(w->dp->qsbr, w->id);
	/* A ring that ran dry while there were no buffers wakes nobody: look at it. */
	for (unsigned i = 1; i < w->sleep_count; i++)
		if (n <= 0 || w->sleep_fds[i].revents || w->sleep_fds[i].fd < 0)
			w->sources[w->sleep_source[i]].is_ready = true;
}

/* Waits for descriptors and marks sources ready. False: stop. */
static bool wait_events(struct worker *w, uint64_t timeout_ns)
{
	struct epoll_event ev[WORKER_EPOLL_EVENTS];
	int n;

	if (timeout_ns) {
		sleep_some(w, timeout_ns);
	} else {
		/* A look at a ring is cheaper than to ask the kernel about it. */
		for (unsigned i = 1; i < w->sleep_count; i++)
			w->sources[w->sleep_source[i]].is_ready = true;
	}
	n = epoll_wait(w->epoll_fd, ev, WORKER_EPOLL_EVENTS, 0);
	for (int i = 0; i < n; i++) {
		if (ev[i].data.u32 == WORKER_EPOLL_WAKE) {
			if (!run_commands(w))
				return false;
		} else if (ev[i].data.u32 == WORKER_EPOLL_CHANNEL) {
			take_channel(w);
			/* Closed by causewayd: the control thread takes it away soon. */
			if (ev[i].events & EPOLLHUP)
				epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, (int)(ev[i].data.u64 >> 32),
					  NULL);
		} else {
			w->sources[ev[i].data.u32].is_ready = true;
		}
	}
	return true;
}

static unsigned take_ready(struct worker *w, bool is_spinning)
{
	unsigned total = 0;

	for (unsigned i = 0; i < w->source_count; i++) {
		struct worker_source *s = &w->sources[i];
		unsigned n;

		if (!s->is_ready && !(is_spinning && s->is_polled))
			continue;
		n = take(w, s);
		total += n;
		if (n == 0)
			s->is_ready = false;
		else if (s->is_polled)
			s->is_ready = true;
	}
	return total;
}

/* Packets are many and come one by one: a few more, and they are worth a batch. */
static void nap(struct worker *w)
{
	const struct timespec ts = {.tv_nsec = GATHER_NAP_NS};

	w->stats.naps++;
	rte_rcu_qsbr_thread_offline(w->dp->qsbr, w->id);
	nanosleep(&ts, NULL);
	rte_rcu_qsbr_thread_online(w->dp->qsbr, w->id);
}

static bool is_spinning(const struct worker *w, bool has_polled, uint64_t silent_ns)
{
	return w->is_always || (has_polled && silent_ns < WORKER_SPIN_NS);
}

static uint64_t sleep_ns(const struct worker *w, uint64_t silent_ns)
{
	uint64_t nap_ns = silent_ns / WORKER_NAP_SHARE;

	if (!w->has_fdless)
		return WORKER_SLEEP_NS;
	if (nap_ns < WORKER_NAP_MIN_NS)
		return WORKER_NAP_MIN_NS;
	return nap_ns < WORKER_NAP_MAX_NS ? nap_ns : WORKER_NAP_MAX_NS;
}

int worker_main(void *arg)
{
	struct worker *w = arg;
	uint64_t last_packet_ns = 0, last_round_ns = clock_now_ns();
	bool has_polled = false, has_napped = false;

	/* The default slack of 50 us is more than a nap. */
	prctl(PR_SET_TIMERSLACK, 1000ul);

	for (unsigned i = 0; i < w->source_count; i++)
		has_polled |= w->sources[i].is_polled;
	rte_rcu_qsbr_thread_register(w->dp->qsbr, w->id);
	rte_rcu_qsbr_thread_online(w->dp->qsbr, w->id);
	for (;;) {
		bool spins = is_spinning(w, has_polled, last_round_ns - last_packet_ns);
		uint64_t t = rte_rdtsc(), timeout_ns, silent_ns;
		bool any_ready = false;
		unsigned n;

		w->stats.rounds++;
		n = take_ready(w, spins);
		if (n) {
			/* batch.now_ns is the last batch's: no clock is read just to ask. */
			last_packet_ns = w->batch.now_ns;
			gather_note(&w->gather, last_packet_ns, n);
			has_napped = false;
			w->stats.busy_cycles += rte_rdtsc() - t;
			t = rte_rdtsc();
		}
		rte_rcu_qsbr_quiescent(w->dp->qsbr, w->id);
		for (unsigned i = 0; i < w->source_count; i++)
			any_ready |= w->sources[i].is_ready;
		last_round_ns = any_ready ? last_packet_ns : clock_now_ns();
		silent_ns = last_round_ns - last_packet_ns;
		spins = is_spinning(w, has_polled && !w->gather.is_on, silent_ns);
		/* Under load commands and sleeping sources get their look every fourth round. */
		if (any_ready && (w->stats.rounds & 3))
			continue;
		if (spins && (w->stats.rounds & 63))
			continue;
		timeout_ns = any_ready || spins ? 0 : sleep_ns(w, silent_ns);
		if (timeout_ns && w->gather.is_on && !has_napped) {
			nap(w);
			has_napped = true;
			timeout_ns = 0;
		}
		if (!wait_events(w, timeout_ns))
			break;
		if (staging_count(w->staging))
			w->stats.drop[DROP_SEAL_STAGED_TIMEOUT] +=
				staging_expire(w->staging, clock_now_ns());
		w->stats.idle_cycles += rte_rdtsc() - t;
	}
	rte_rcu_qsbr_thread_offline(w->dp->qsbr, w->id);
	rte_rcu_qsbr_thread_unregister(w->dp->qsbr, w->id);
	return 0;
}
