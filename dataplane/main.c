/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-dp: start-up, top to bottom, and the control thread's loop.
 *
 *   options, AEAD known answers, EAL, tables, ports, workers, dpapi socket,
 *   netlink mirror; then one epoll loop for messages, events and netlink until
 *   SIGTERM; then everything in reverse.
 *
 * The control thread is the only writer of all tables. It never touches a packet.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring_elem.h>

#include <sodium.h>

#include "dataplane/api/event.h"
#include "dataplane/api/server.h"
#include "dataplane/dataplane.h"
#include "dataplane/eal.h"
#include "dataplane/netlink/mirror.h"
#include "dataplane/options.h"
#include "dataplane/staging.h"
#include "dataplane/table/fib_build.h"
#include "dataplane/table/flow_build.h"
#include "dataplane/table/neigh_build.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/retire.h"
#include "dataplane/table/rule_build.h"
#include "dataplane/table/session_build.h"
#include "lib/base/clock.h"
#include "lib/base/harden.h"
#include "lib/base/log.h"

/* causewayd fills no more than it was told of at the hello: four for each of 100,000 peers. */
#define SESSION_SLOTS_START (1u << 19)
#define COMMAND_RING	    4096 /* power of two */
#define EVENT_RING	    4096

struct loop {
	struct dataplane dp;
	struct server *server;
	struct mirror *mirror;
	int epoll_fd, timer_fd, signal_fd;
	bool is_stopping;
	bool has_failed;
};

/* Handlers of the loop's own descriptors: each knows the loop. */
struct loop_fd {
	struct loop_handler handler;
	struct loop *loop;
};

static int add_fd(struct loop *l, int fd, struct loop_fd *h,
		  void (*on_ready)(struct loop_handler *, uint32_t))
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &h->handler};

	if (fd < 0)
		return -errno;
	h->handler.on_ready = on_ready;
	h->loop = l;
	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static void on_signal(struct loop_handler *h, uint32_t events)
{
	((struct loop_fd *)h)->loop->is_stopping = true;
}

static void on_event(struct loop_handler *h, uint32_t events)
{
	struct loop *l = ((struct loop_fd *)h)->loop;
	uint64_t count;

	if (read(l->dp.event_fd, &count, sizeof(count)) > 0)
		event_drain(l->server);
}

static void on_timer(struct loop_handler *h, uint32_t events)
{
	struct loop *l = ((struct loop_fd *)h)->loop;
	uint64_t count;

	if (read(l->timer_fd, &count, sizeof(count)) < 0)
		return;
	event_sweep(l->server, clock_now_ns());
	mirror_tick(l->mirror, clock_now_ns());
	retire_poll();
	if (mirror_is_tun_gone(l->mirror)) {
		log_error("dp.stop", "error=\"the TUN device was removed\"");
		l->has_failed = true;
		l->is_stopping = true;
	}
}

static int tables_new(struct dataplane *dp, const struct options *o)
{
	size_t size = rte_rcu_qsbr_get_memsize(dp->worker_count);

	dp->qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, (size + 63) & ~(size_t)63);
	if (!dp->qsbr || rte_rcu_qsbr_init(dp->qsbr, dp->worker_count) != 0)
		return -ENOMEM;
	retire_init(dp->qsbr);
	dp->mesh = fib_new();
	dp->local = fib_new();
	dp->outer = fib_new();
	dp->sessions = session_table_new(SESSION_SLOTS_START);
	dp->peers = peer_table_new(dp->sessions);
	dp->flows = flow_table_new(o->flows * dp->worker_count);
	dp->rules = rule_table_new();
	dp->neigh = neigh_table_new(NEIGH_CAPACITY_DEFAULT);
	if (!dp->mesh || !dp->local || !dp->outer || !dp->sessions || !dp->peers || !dp->flows ||
	    !dp->rules || !dp->neigh)
		return -ENOMEM;
	return 0;
}

static int ports_open(struct dataplane *dp, const struct options *o, struct port_env *env)
{
	char err[PORT_ERROR_TEXT];
	int ret;

	dp->mtu_max = UINT16_MAX;
	for (unsigned i = 0; i < o->port_count; i++) {
		env->pool = eal_pool(port_mbuf_bytes(o->ports[i]));
		if (!env->pool)
			return -ENOMEM;
		env->mbuf_data_bytes = rte_pktmbuf_data_room_size(env->pool);
		ret = port_open(&dp->ports[i], (uint8_t)i, o->ports[i], env, err);
		if (ret < 0) {
			log_error("port.open", "port=%u spec=%s error=\"%s\"", i, o->ports[i], err);
			return ret;
		}
		dp->port_count++;
		if (dp->ports[i].mtu_max < dp->mtu_max)
			dp->mtu_max = dp->ports[i].mtu_max;
		log_info("port.open", "port=%u kind=%s tun=%s listen=%u", i, dp->ports[i].ops->kind,
			 dp->ports[i].tun_name, dp->ports[i].listen_port);
	}
	return 0;
}

static int worker_add_source(struct worker *w, struct port *port, unsigned index,
			     const struct port_source *s)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = w->source_count};

	w->has_fdless |= s->fd < 0;
	w->is_always |= s->is_always;
	if (s->is_polled) {
		w->sleep_fds[w->sleep_count] = (struct pollfd){.fd = s->fd, .events = POLLIN};
		w->sleep_source[w->sleep_count++] = w->source_count;
	} else if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, s->fd, &ev) < 0) {
		return -errno;
	}
	w->sources[w->source_count++] = (struct worker_source){
		.port = port,
		.index = index,
		.is_outside = s->is_outside,
		.is_polled = s->is_polled,
	};
	return 0;
}

static int worker_add_sources(struct worker *w)
{
	w->sleep_fds[0] = (struct pollfd){.fd = w->epoll_fd, .events = POLLIN};
	w->sleep_count = 1;
	for (unsigned i = 0; i < w->dp->port_count; i++) {
		struct port_source list[PORT_SOURCES_MAX];
		unsigned n = w->dp->ports[i].ops->sources(&w->dp->ports[i], w->id, list);

		for (unsigned k = 0; k < n; k++) {
			int ret = worker_add_source(w, &w->dp->ports[i], k, &list[k]);

			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

static struct worker *worker_new(struct dataplane *dp, unsigned id,
				 const struct aead_engine *engine)
{
	struct worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);
	struct epoll_event ev = {.events = EPOLLIN, .data.u32 = WORKER_EPOLL_WAKE};
	char name[32];

	if (!w)
		return NULL;
	memset(w, 0, sizeof(*w));
	w->dp = dp;
	w->id = id;
	w->lcore = id + 1;
	w->engine = engine;
	w->aead = engine->ctx_new();
	w->staging = staging_new(dp->mtu_max);
	/* Touched only as far as a batch really seals elsewhere than in place. */
	w->scratch = mmap(NULL, WORKER_SCRATCH_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	snprintf(name, sizeof(name), "commands%u", id);
	w->commands = rte_ring_create_elem(name, sizeof(struct worker_command), COMMAND_RING,
					   SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	snprintf(name, sizeof(name), "events%u", id);
	w->events = rte_ring_create_elem(name, sizeof(struct worker_event), EVENT_RING,
					 SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (!w->aead || !w->staging || w->scratch == MAP_FAILED || w->epoll_fd < 0 ||
	    w->wake_fd < 0 || !w->commands || !w->events ||
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev) < 0 || worker_add_sources(w) < 0)
		return NULL; /* the process ends */
	return w;
}

static int workers_new(struct dataplane *dp, const struct aead_engine *engine)
{
	for (unsigned i = 0; i < dp->worker_count; i++) {
		dp->workers[i] = worker_new(dp, i, engine);
		if (!dp->workers[i]) {
			log_error("worker.start", "worker=%u error=\"%s\"", i, strerror(errno));
			return -ENOMEM;
		}
	}
	return 0;
}

static void workers_stop(struct dataplane *dp)
{
	struct worker_command stop = {.type = WORKER_CMD_STOP};

	for (unsigned i = 0; i < dp->worker_count; i++)
		worker_command(dp->workers[i], &stop);
	rte_eal_mp_wait_lcore();
}

static int signal_fd_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	/* Before EAL makes threads, so that they inherit it. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int timer_fd_open(void)
{
	struct itimerspec every = {.it_interval.tv_nsec = EVENT_SWEEP_NS,
				   .it_value.tv_nsec = EVENT_SWEEP_NS};
	int fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0)
		timerfd_settime(fd, 0, &every, NULL);
	return fd;
}

static void loop_run(struct loop *l)
{
	while (!l->is_stopping) {
		struct epoll_event ev;
		struct loop_handler *h;

		/*
		 * One a turn: a handler may free what the next event points to. And not
		 * more are asked for: the kernel puts what it named at the end of its
		 * list, so that one that is always ready does not keep out the others.
		 */
		if (epoll_wait(l->epoll_fd, &ev, 1, -1) < 1)
			continue;
		h = ev.data.ptr;
		h->on_ready(h, ev.events);
	}
}

static int run(struct loop *l, const struct options *o, const struct aead_engine *engine)
{
	struct dataplane *dp = &l->dp;
	struct port_env env = {.workers = o->workers, .lanes = o->lanes};
	struct loop_fd on_signal_fd, on_event_fd, on_timer_fd;
	int ret, error = 0;

	dp->worker_count = o->workers;
	dp->channel_fd = -1;
	dp->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	dp->started_ns = clock_now_ns();
	randombytes_buf(&dp->instance, sizeof(dp->instance));
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ret = eal_start(o, dp);
	if (ret < 0)
		return ret;
	if ((ret = tables_new(dp, o)) < 0 || (ret = ports_open(dp, o, &env)) < 0 ||
	    (ret = workers_new(dp, engine)) < 0)
		return ret;
	l->server = server_new(dp, o->socket, l->epoll_fd, &error);
	if (!l->server) {
		log_error("api.listen", "socket=%s error=\"%s\"", o->socket, strerror(-error));
		return error;
	}
	l->mirror = mirror_new(dp, l->epoll_fd, &error);
	if (!l->mirror) {
		log_error("mirror.start", "error=\"%s\"", strerror(-error));
		return error;
	}
	l->timer_fd = timer_fd_open();
	if ((ret = add_fd(l, l->signal_fd, &on_signal_fd, on_signal)) < 0 ||
	    (ret = add_fd(l, dp->event_fd, &on_event_fd, on_event)) < 0 ||
	    (ret = add_fd(l, l->timer_fd, &on_timer_fd, on_timer)) < 0)
		return ret;
	for (unsigned i = 0; i < dp->worker_count; i++)
		rte_eal_remote_launch(worker_main, dp->workers[i], dp->workers[i]->lcore);
	log_info("dp.ready", "workers=%u engine=%s ports=%u socket=%s", dp->worker_count,
		 engine->name, dp->port_count, o->socket);
	sd_notify(0, "READY=1");
	loop_run(l);
	sd_notify(0, "STOPPING=1");
	workers_stop(dp);
	return l->has_failed ? -ENODEV : 0;
}

static void fini(struct loop *l)
{
	mirror_free(l->mirror);
	server_free(l->server);
	for (unsigned i = 0; i < l->dp.port_count; i++)
		port_close(&l->dp.ports[i]);
}

int main(int argc, char **argv)
{
	static struct loop loop;
	const struct aead_engine *engine;
	const char *why = NULL;
	struct options o;
	int ret = options_parse(argc, argv, &o);

	if (ret)
		return ret < 0 ? 2 : 0;
	log_init("causeway-dp", o.log_level);
	harden_no_dumps();
	if (sodium_init() < 0) {
		log_error("dp.start", "error=\"libsodium does not start\"");
		return 1;
	}
	engine = aead_select(o.engine, &why);
	if (!engine) {
		log_error("aead.select", "engine=%s error=\"%s\"", o.engine ? o.engine : "auto",
			  why);
		return 1;
	}
	loop.signal_fd = signal_fd_open();
	ret = run(&loop, &o, engine);
	fini(&loop);
	return ret < 0 ? 1 : 0;
}
