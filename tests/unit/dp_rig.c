/* SPDX-License-Identifier: Apache-2.0 */
/* See dp_rig.h. */
#include "tests/unit/dp_rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_rcu_qsbr.h>
#include <rte_ring_elem.h>
#include <sodium.h>

#include "dataplane/api/apply.h"
#include "dataplane/staging.h"
#include "dataplane/table/fib_build.h"
#include "dataplane/table/flow_build.h"
#include "dataplane/table/neigh_build.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/retire.h"
#include "dataplane/table/rule_build.h"
#include "dataplane/table/session_build.h"
#include "lib/base/addr.h"
#include "lib/base/bug.h"
#include "lib/wire/wg.h"

#define RING_SIZE 4096

static struct dp_rig *rig_of(struct port *p)
{
	return p->priv;
}

/* ---- the fake port ---- */

static unsigned fake_sources(struct port *p, unsigned worker, struct port_source *out)
{
	out[0] = (struct port_source){.fd = rig_of(p)->port[worker].fed_fd};
	return 1;
}

static void memory_free(struct rig_port *rp)
{
	for (unsigned i = 0; i < rp->memory_count; i++)
		free(rp->memory[i]);
	rp->memory_count = 0;
}

static unsigned fake_rx(struct port *p, struct worker *w, unsigned source, struct batch *b)
{
	struct rig_port *rp = &rig_of(p)->port[w->id];
	uint64_t count;

	memory_free(rp);
	b->port_in = p->index;
	while (rp->fed_next < rp->fed_count && b->n < BATCH_MAX) {
		struct rig_fed *f = &rp->fed[rp->fed_next++];

		dp_rig_add_inside(rig_of(p), b, f->bytes, f->len);
		free(f->bytes);
	}
	if (rp->fed_next == rp->fed_count && read(rp->fed_fd, &count, sizeof(count)) < 0)
		return b->n;
	return b->n;
}

static void keep(struct rig_port *rp, const struct packet *p)
{
	struct rig_sent *s = &rp->sent[rp->sent_count];

	BUG_ON(rp->sent_count == RIG_SENT_MAX);
	rp->sent_count++;
	s->meta = *p;
	s->bytes = malloc(p->len ? p->len : 1);
	memcpy(s->bytes, p->data, p->len);
	if (p->remote && p->out == PACKET_OUT_UDP)
		s->remote = *p->remote;
}

static void fake_tx(struct port *p, struct worker *w, struct batch *b)
{
	struct rig_port *rp = &rig_of(p)->port[w->id];

	for (unsigned i = 0; i < b->n; i++) {
		struct packet *pk = &b->pkts[i];

		if (pk->drop != DROP_NONE || pk->port_out != p->index)
			continue;
		if (pk->out != PACKET_OUT_TUN && pk->out != PACKET_OUT_UDP &&
		    pk->out != PACKET_OUT_LAN)
			continue;
		if (rp->is_counting_only)
			rp->sent_count++;
		else
			keep(rp, pk);
		if (pk->out == PACKET_OUT_UDP)
			w->stats.tx_outside++;
		else
			w->stats.tx_inside++;
	}
}

static int fake_steer(struct port *p, const uint8_t *addr, int family, uint8_t len, uint16_t mtu,
		      enum port_steer kind, bool remove)
{
	struct dp_rig *r = rig_of(p);
	unsigned bytes = family == AF_INET ? 4 : 16;
	unsigned i;

	for (i = 0; i < r->steer_count; i++) {
		if (r->steer[i].family == family && r->steer[i].len == len &&
		    memcmp(r->steer[i].addr, addr, bytes) == 0)
			break;
	}
	if (remove) {
		if (i < r->steer_count)
			r->steer[i] = r->steer[--r->steer_count];
		return 0;
	}
	BUG_ON(i == RIG_STEER_MAX);
	r->steer[i] = (struct rig_steer){.family = family, .len = len, .mtu = mtu};
	memcpy(r->steer[i].addr, addr, bytes);
	if (i == r->steer_count)
		r->steer_count++;
	return 0;
}

static void fake_show(struct port *p, struct json_out *js)
{
	json_out_object(js, "fake");
	json_out_end(js);
}

static const struct port_ops fake_ops = {
	.kind = "fake",
	.id = DPAPI_PORT_KERNEL,
	.sources = fake_sources,
	.rx = fake_rx,
	.tx = fake_tx,
	.steer_prefix = fake_steer,
	.show = fake_show,
};

/* ---- birth and death ---- */

static struct rte_ring *ring_new(unsigned elem_bytes)
{
	ssize_t bytes = rte_ring_get_memsize_elem(elem_bytes, RING_SIZE);
	struct rte_ring *ring = aligned_alloc(128, ((size_t)bytes + 127) & ~(size_t)127);

	BUG_ON(!ring || rte_ring_init(ring, "rig", RING_SIZE, RING_F_SP_ENQ | RING_F_SC_DEQ) < 0);
	return ring;
}

static struct worker *worker_new(struct dp_rig *r, unsigned id)
{
	struct worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);

	BUG_ON(!w);
	memset(w, 0, sizeof(*w));
	w->dp = &r->dp;
	w->id = id;
	w->engine = aead_engines[0];
	for (unsigned i = 0; !w->engine->is_supported(); i++)
		w->engine = aead_engines[i];
	w->aead = w->engine->ctx_new();
	w->staging = staging_new(r->dp.mtu_max);
	w->scratch = mmap(NULL, WORKER_SCRATCH_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->commands = ring_new(sizeof(struct worker_command));
	w->events = ring_new(sizeof(struct worker_event));
	BUG_ON(!w->aead || !w->staging || w->scratch == MAP_FAILED || w->epoll_fd < 0 ||
	       w->wake_fd < 0);
	return w;
}

/* As main.c does it: the wake-up, and the sources of the one port. */
static void worker_listen(struct worker *w)
{
	struct epoll_event wake = {.events = EPOLLIN, .data.u32 = 0xffffffffu};
	struct port_source list[PORT_SOURCES_MAX];
	unsigned n = fake_sources(&w->dp->ports[0], w->id, list);

	w->sleep_fds[0] = (struct pollfd){.fd = w->epoll_fd, .events = POLLIN};
	w->sleep_count = 1;
	BUG_ON(epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &wake) < 0);
	for (unsigned i = 0; i < n; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};

		w->sources[w->source_count++] = (struct worker_source){
			.port = &w->dp->ports[0], .index = i, .is_outside = list[i].is_outside};
		BUG_ON(epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, list[i].fd, &ev) < 0);
	}
}

static uint32_t session_slots = 65536;
static bool is_mesh_large;

void dp_rig_tables(bool is_large)
{
	session_slots = is_large ? 65536 : SESSION_SLOTS_DEFAULT;
	is_mesh_large = is_large;
}

static void tables_new(struct dataplane *dp)
{
	size_t size = rte_rcu_qsbr_get_memsize(dp->worker_count);

	dp->qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, (size + 63) & ~(size_t)63);
	BUG_ON(!dp->qsbr || rte_rcu_qsbr_init(dp->qsbr, dp->worker_count) != 0);
	retire_init(dp->qsbr);
	dp->mesh = fib_new();
	dp->local = fib_new();
	dp->outer = fib_new();
	dp->sessions = session_table_new(session_slots);
	dp->peers = peer_table_new(dp->sessions);
	dp->flows = flow_table_new(65536);
	dp->rules = rule_table_new();
	dp->neigh = neigh_table_new(64);
	BUG_ON(!dp->mesh || !dp->local || !dp->outer || !dp->sessions || !dp->peers || !dp->flows ||
	       !dp->rules || !dp->neigh);
	atomic_store(&dp->mesh->is_large, is_mesh_large);
}

struct dp_rig *dp_rig_new(unsigned workers)
{
	struct dp_rig *r = aligned_alloc(64, (sizeof(*r) + 63) & ~(size_t)63);
	struct dataplane *dp;

	BUG_ON(!r || sodium_init() < 0 || workers > RIG_WORKERS_MAX);
	memset(r, 0, sizeof(*r));
	dp = &r->dp;
	r->now_ns = RIG_NOW_NS;
	r->remote = dp_rig_addr("198.51.100.7:51820");
	dp->instance = 1;
	dp->channel_fd = -1;
	dp->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	dp->mtu_max = RIG_MTU_MAX;
	dp->worker_count = workers;
	dp->port_count = 1;
	dp->ports[0] = (struct port){
		.ops = &fake_ops,
		.tun_name = "fake0",
		.listen_port = 41641,
		.mtu_max = RIG_MTU_MAX,
		.control_fd_v4 = -1,
		.control_fd_v6 = -1,
		.netdev_count = 2,
		.netdev = {{.name = "lan0", .mtu = 1500, .is_lan = true},
			   {.name = "lan1", .mtu = 1500, .is_lan = true}},
		.priv = r,
	};
	tables_new(dp);
	for (unsigned i = 0; i < workers; i++) {
		r->port[i].fed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		dp->workers[i] = worker_new(r, i);
		worker_listen(dp->workers[i]);
	}
	dp_rig_filter(r, DPAPI_FILTER_ALLOW_ALL);
	return r;
}

static void worker_free(struct worker *w)
{
	w->engine->ctx_free(w->aead);
	staging_free(w->staging);
	munmap(w->scratch, WORKER_SCRATCH_BYTES);
	close(w->epoll_fd);
	close(w->wake_fd);
	free(w->commands);
	free(w->events);
	free(w);
}

void dp_rig_free(struct dp_rig *r)
{
	struct dataplane *dp = &r->dp;

	dp_rig_sent_clear(r);
	for (unsigned i = 0; i < dp->worker_count; i++) {
		memory_free(&r->port[i]);
		while (r->port[i].fed_next < r->port[i].fed_count)
			free(r->port[i].fed[r->port[i].fed_next++].bytes);
		close(r->port[i].fed_fd);
		worker_free(dp->workers[i]);
	}
	peer_table_free(dp->peers);
	retire_drain();
	session_table_free(dp->sessions);
	fib_free(dp->mesh);
	fib_free(dp->local);
	fib_free(dp->outer);
	flow_table_free(dp->flows);
	rule_table_free(dp->rules);
	neigh_table_free(dp->neigh);
	retire_fini();
	free(dp->qsbr);
	close(dp->event_fd);
	free(r);
}

/* ---- tables ---- */

int dp_rig_apply(struct dp_rig *r, void *msg, size_t len)
{
	((struct dpapi_hdr *)msg)->len = (uint32_t)len;
	r->text[0] = 0;
	return apply_message(&r->dp, msg, len, r->text);
}

static void must(struct dp_rig *r, void *msg, size_t len)
{
	int ret = dp_rig_apply(r, msg, len);

	if (ret < 0)
		fprintf(stderr, "refused with %d: %s\n", ret, r->text);
	BUG_ON(ret < 0);
}

void dp_rig_peer(struct dp_rig *r, uint32_t id, uint16_t mtu, uint32_t flags)
{
	struct dpapi_peer_set m = {
		.hdr.type = DPAPI_PEER_SET, .id = id, .mtu = mtu, .flags = flags};

	memset(m.public_key, (int)(id & 0xff), sizeof(m.public_key));
	memcpy(m.public_key, &id, sizeof(id));
	must(r, &m, sizeof(m));
}

struct dpapi_addr dp_rig_addr(const char *endpoint)
{
	struct dpapi_addr a = {0};
	struct endpoint e;

	BUG_ON(endpoint_parse(endpoint, &e) < 0);
	memcpy(a.bytes, e.addr.bytes, sizeof(a.bytes));
	a.family = e.addr.family;
	a.port = e.port;
	return a;
}

void dp_rig_path(struct dp_rig *r, uint32_t id, const char *endpoint)
{
	struct dpapi_endpoint_set m = {.hdr.type = DPAPI_ENDPOINT_SET, .peer_id = id};

	m.path.kind = endpoint ? DPAPI_PATH_UDP : DPAPI_PATH_NONE;
	if (endpoint)
		m.path.remote = dp_rig_addr(endpoint);
	must(r, &m, sizeof(m));
}

static struct prefix parse(const char *text)
{
	struct prefix p;

	BUG_ON(prefix_parse(text, false, &p) < 0);
	return p;
}

void dp_rig_route(struct dp_rig *r, const char *prefix, uint32_t id)
{
	struct prefix p = parse(prefix);
	struct dpapi_route m = {.hdr.type = DPAPI_ROUTE_SET,
				.family = p.addr.family,
				.prefix_len = p.len,
				.peer_id = id};

	memcpy(m.addr, p.addr.bytes, sizeof(m.addr));
	must(r, &m, sizeof(m));
}

void dp_rig_kernel_route(struct dp_rig *r, const char *prefix, uint32_t fib_id)
{
	struct prefix p = parse(prefix);

	BUG_ON(fib_set(r->dp.local, p.addr.bytes, p.addr.family, p.len, fib_id, 0) < 0);
}

void dp_rig_local(struct dp_rig *r, const char *prefix)
{
	struct prefix p = parse(prefix);
	struct dpapi_local m = {
		.hdr.type = DPAPI_LOCAL_SET, .family = p.addr.family, .prefix_len = p.len};

	memcpy(m.addr, p.addr.bytes, sizeof(m.addr));
	must(r, &m, sizeof(m));
}

void dp_rig_filter(struct dp_rig *r, enum dpapi_filter_mode mode)
{
	struct dpapi_rules m = {.hdr.type = DPAPI_RULES, .mode = mode};

	must(r, &m, sizeof(m));
}

struct dpapi_session_set dp_rig_session_msg(const struct dp_rig *r, uint32_t peer, uint32_t index,
					    uint32_t flags)
{
	struct dpapi_session_set m = {
		.hdr.type = DPAPI_SESSION_SET,
		.peer_id = peer,
		.local_index = index,
		.remote_index = index ^ 0xa5a5a5a5u,
		.flags = flags,
		.born_ns = r->now_ns,
		.expire_ns = r->now_ns + WG_REJECT_AFTER_TIME_S * RIG_SECOND,
		.rekey_tx_ns = r->now_ns + WG_REKEY_AFTER_TIME_S * RIG_SECOND,
		.rekey_rx_ns = r->now_ns + 165 * RIG_SECOND,
	};

	memset(m.send_key, 's', sizeof(m.send_key));
	memset(m.recv_key, 'r', sizeof(m.recv_key));
	memcpy(m.send_key, &index, sizeof(index));
	memcpy(m.recv_key, &index, sizeof(index));
	return m;
}

struct dpapi_session_set dp_rig_session(struct dp_rig *r, uint32_t peer, uint32_t index,
					uint32_t flags)
{
	struct dpapi_session_set m = dp_rig_session_msg(r, peer, index, flags);

	must(r, &m, sizeof(m));
	return m;
}

struct dpapi_session_set dp_rig_ready_peer(struct dp_rig *r, uint32_t id, uint16_t mtu,
					   const char *prefix)
{
	char endpoint[ENDPOINT_STR_MAX];

	snprintf(endpoint, sizeof(endpoint), "192.0.2.%u:51820", id);
	dp_rig_peer(r, id, mtu, 0);
	dp_rig_path(r, id, endpoint);
	dp_rig_route(r, prefix, id);
	return dp_rig_session(r, id, 0x1000 + id, DPAPI_SESSION_CONFIRMED);
}

/* ---- packets ---- */

struct batch *dp_rig_batch(struct dp_rig *r, unsigned worker)
{
	struct worker *w = r->dp.workers[worker];

	memory_free(&r->port[worker]);
	w->batch.n = 0;
	w->batch.port_in = 0;
	w->batch.now_ns = r->now_ns;
	w->scratch_used = 0;
	return &w->batch;
}

static struct rig_port *port_of(struct dp_rig *r, const struct batch *b)
{
	for (unsigned i = 0; i < r->dp.worker_count; i++) {
		if (b == &r->dp.workers[i]->batch)
			return &r->port[i];
	}
	bug_stop(__FILE__, __LINE__, "a batch of no worker");
}

struct packet *dp_rig_add(struct dp_rig *r, struct batch *b, const void *data, size_t len,
			  unsigned headroom, unsigned tailroom)
{
	struct rig_port *rp = port_of(r, b);
	uint8_t *memory = malloc(headroom + len + tailroom + 1);
	struct packet *p = batch_add(b);

	BUG_ON(!memory || rp->memory_count == ARRAY_SIZE(rp->memory));
	rp->memory[rp->memory_count++] = memory;
	/* What lies around the packet is no zero: padding must be written. */
	memset(memory, 0xee, headroom + len + tailroom);
	memcpy(memory + headroom, data, len);
	p->data = memory + headroom;
	p->len = (uint16_t)len;
	p->headroom = (uint8_t)headroom;
	p->tailroom = (uint8_t)tailroom;
	return p;
}

struct packet *dp_rig_add_inside(struct dp_rig *r, struct batch *b, const void *data, size_t len)
{
	struct packet *p = dp_rig_add(r, b, data, len, PACKET_HEADROOM, PACKET_TAILROOM);

	p->kind = PACKET_INNER;
	return p;
}

struct packet *dp_rig_add_outside(struct dp_rig *r, struct batch *b, const void *data, size_t len)
{
	struct packet *p = dp_rig_add(r, b, data, len, 0, 0);

	p->kind = PACKET_DATA;
	p->flags = PACKET_FROM_OUTSIDE;
	p->remote = &r->remote;
	return p;
}

static void nonce_of(uint64_t counter, uint8_t nonce[12])
{
	memset(nonce, 0, 4);
	for (unsigned i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

size_t dp_rig_seal(const struct dpapi_session_set *s, uint64_t counter, const void *plain,
		   size_t len, uint8_t *out)
{
	struct wg_msg_data *h = (struct wg_msg_data *)out;
	uint8_t nonce[12];

	le32_put(&h->type, WG_MSG_DATA);
	le32_put(&h->receiver, s->local_index);
	le64_put(&h->counter, counter);
	nonce_of(counter, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(h->ciphertext, NULL, plain, len, NULL, 0, NULL,
						  nonce, s->recv_key);
	return WG_DATA_MIN_BYTES + len;
}

int dp_rig_open(const struct dpapi_session_set *s, const uint8_t *message, size_t len,
		uint64_t *counter, uint8_t *out)
{
	const struct wg_msg_data *h = (const struct wg_msg_data *)message;
	uint8_t nonce[12];

	if (len < WG_DATA_MIN_BYTES || le32_get(&h->type) != WG_MSG_DATA ||
	    le32_get(&h->receiver) != s->remote_index)
		return -1;
	*counter = le64_get(&h->counter);
	nonce_of(*counter, nonce);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, h->ciphertext,
						      len - WG_DATA_HEADER_BYTES, NULL, 0, nonce,
						      s->send_key) != 0)
		return -1;
	return (int)(len - WG_DATA_MIN_BYTES);
}

void dp_rig_feed(struct dp_rig *r, unsigned worker, const void *data, size_t len)
{
	struct rig_port *rp = &r->port[worker];
	struct rig_fed *f = &rp->fed[rp->fed_count];
	uint64_t one = 1;

	BUG_ON(rp->fed_count == RIG_FED_MAX);
	rp->fed_count++;
	*f = (struct rig_fed){.bytes = malloc(len), .len = (uint16_t)len};
	memcpy(f->bytes, data, len);
	BUG_ON(write(rp->fed_fd, &one, sizeof(one)) < 0);
}

/* ---- what came of it ---- */

void dp_rig_sent_clear(struct dp_rig *r)
{
	for (unsigned k = 0; k < r->dp.worker_count; k++) {
		struct rig_port *rp = &r->port[k];

		for (unsigned i = 0; i < rp->sent_count && !rp->is_counting_only; i++)
			free(rp->sent[i].bytes);
		rp->sent_count = 0;
	}
}

void dp_rig_drain(struct dp_rig *r)
{
	r->event_count = 0;
	for (unsigned i = 0; i < r->dp.worker_count; i++) {
		while (r->event_count < RIG_EVENTS_MAX &&
		       rte_ring_dequeue_elem(r->dp.workers[i]->events, &r->events[r->event_count],
					     sizeof(r->events[0])) == 0)
			r->event_count++;
	}
}

unsigned dp_rig_events(const struct dp_rig *r, uint32_t type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->event_count; i++)
		n += r->events[i].type == type;
	return n;
}

uint64_t dp_rig_dropped(const struct dp_rig *r, enum drop_reason reason)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->dp.worker_count; i++)
		n += r->dp.workers[i]->stats.drop[reason];
	return n;
}
