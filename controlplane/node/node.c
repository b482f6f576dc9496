/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <sodium.h>

#include "controlplane/node/config_diff.h"
#include "controlplane/node/dp_refresh.h"
#include "controlplane/node/dp_sync.h"
#include "controlplane/node/handshake.h"
#include "controlplane/node/link.h"
#include "controlplane/node/packets.h"
#include "controlplane/node/peer.h"
#include "controlplane/node/peer_lanes.h"
#include "controlplane/node/timestamps.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/base/fileio.h"
#include "lib/base/log.h"

#define HOUSEKEEPING_MS 1000
/* Boot time goes on in a suspended machine, the loop's clock does not. */
#define SLEEP_MAX_MS 60000
/* Peers called in one go before the loop looks at anything else. */
#define TICKS_A_TURN 256
#define STOPPED_FILE "stopped"

static void random_fill(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	randombytes_buf(buf, len);
}

const struct wg_random node_random = {.fill = random_fill};

static uint32_t key_bucket(const struct node *n, const uint8_t *key)
{
	uint64_t x;

	memcpy(&x, key, sizeof(x));
	return (uint32_t)((x * 0x9e3779b97f4a7c15ull) >> 32) & n->key_mask;
}

struct node_peer *node_peer_by_id(const struct node *n, uint32_t id)
{
	return id < n->id_room ? n->by_id[id] : NULL;
}

struct node_peer *node_peer_by_key(const struct node *n, const uint8_t key[KEY_BYTES])
{
	if (!n->by_key)
		return NULL;
	for (uint32_t b = key_bucket(n, key); n->by_key[b]; b = (b + 1) & n->key_mask)
		if (memcmp(n->by_key[b]->cfg->public_key.bytes, key, KEY_BYTES) == 0)
			return n->by_key[b];
	return NULL;
}

/* Anew from by_id: peers come and go seldom, and no tombstones have to be thought of. */
static void rebuild_keys(struct node *n)
{
	memset(n->by_key, 0, ((size_t)n->key_mask + 1) * sizeof(*n->by_key));
	for (uint32_t id = 1; id < n->id_room; id++) {
		struct node_peer *p = n->by_id[id];
		uint32_t b;

		if (!p)
			continue;
		b = key_bucket(n, p->cfg->public_key.bytes);
		while (n->by_key[b])
			b = (b + 1) & n->key_mask;
		n->by_key[b] = p;
	}
}

static int reserve_ids(struct node *n, uint32_t id)
{
	uint32_t room = n->id_room ? n->id_room : 64;
	void *p;

	if (id < n->id_room)
		return 0;
	while (room <= id)
		room *= 2;
	p = realloc(n->by_id, room * sizeof(*n->by_id));
	if (!p)
		return -ENOMEM;
	n->by_id = p;
	memset(n->by_id + n->id_room, 0, (room - n->id_room) * sizeof(*n->by_id));
	n->id_room = room;
	return 0;
}

/* All the memory that so many more peers need, so that adding them cannot half fail. */
static int reserve(struct node *n, uint32_t more)
{
	uint32_t want = n->peer_count + more, mask = 127;
	struct node_peer **keys;
	int rc = reserve_ids(n, want + 1);

	if (!rc)
		rc = deadline_reserve(&n->deadlines, want + 1);
	if (rc)
		return rc;
	while (mask < 2 * want)
		mask = 2 * mask + 1;
	if (n->by_key && mask <= n->key_mask)
		return 0;
	keys = calloc((size_t)mask + 1, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	free(n->by_key);
	n->by_key = keys;
	n->key_mask = mask;
	rebuild_keys(n);
	return 0;
}

static uint32_t free_id(struct node *n)
{
	while (n->id_next < n->id_room && n->by_id[n->id_next])
		n->id_next++;
	return n->id_next;
}

int node_peer_renumber(struct node *n, struct node_peer *p, uint32_t id)
{
	int rc = reserve_ids(n, id);

	if (rc)
		return rc;
	BUG_ON(n->by_id[id]);
	n->by_id[p->id] = NULL;
	if (p->id < n->id_next)
		n->id_next = p->id;
	n->by_id[id] = p;
	p->id = id;
	p->engine.id = id;
	if (p->path.kind == DPAPI_PATH_CHANNEL)
		p->path.vni = id;
	return 0;
}

/* rebuild_keys is the caller's, once for all. */
static struct node_peer *add_peer(struct node *n, const struct config_peer *cfg)
{
	uint32_t id = free_id(n);
	int err = reserve_ids(n, id);
	struct node_peer *p = err ? NULL : peer_new(n, cfg, id, &err);

	if (!p) {
		log_error("peer.refused", "peer=%s error=\"%s\"", cfg->name,
			  err == -EKEYREJECTED ? "not a valid public key" : strerror(-err));
		return NULL;
	}
	n->by_id[id] = p;
	n->peer_count++;
	return p;
}

static void remove_peer(struct node *n, struct node_peer *p)
{
	dp_sync_peer_del(n, p->id);
	n->by_id[p->id] = NULL;
	if (p->id < n->id_next)
		n->id_next = p->id;
	n->peer_count--;
	peer_free(p);
}

static void start_keepalive(struct node_peer *p)
{
	struct wg_peer_event ev = {.type = WG_EV_PERSISTENT_KEEPALIVE,
				   .interval_ns = p->cfg->keepalive_s * NS_PER_SEC};

	/* Without a dataplane it would only use up a try. */
	if (dp_sync_is_ready(p->node))
		peer_event(p, &ev);
}

static void add_peers(struct node *n)
{
	for (uint32_t i = 0; i < n->config->peer_count; i++)
		add_peer(n, &n->config->peers[i]);
	rebuild_keys(n);
}

static bool has_prefix(const struct config_peer *p, const struct prefix *prefix)
{
	for (uint32_t i = 0; i < p->allowed_count; i++)
		if (prefix_equal(&p->allowed[i], prefix))
			return true;
	return false;
}

static void change_peer(struct node_peer *p, const struct config_change *c)
{
	struct node *n = p->node;

	p->cfg = c->new_peer;
	if (c->what & CONFIG_DIFF_PSK)
		memcpy(p->engine.remote.preshared_key, p->cfg->preshared_key.bytes, KEY_BYTES);
	if (c->what & (CONFIG_DIFF_MTU | CONFIG_DIFF_JAILED))
		dp_sync_peer_set(p);
	if (c->what & CONFIG_DIFF_ALLOWED) {
		for (uint32_t i = 0; i < c->old_peer->allowed_count; i++)
			if (!has_prefix(c->new_peer, &c->old_peer->allowed[i]))
				dp_sync_route(n, &c->old_peer->allowed[i], p->id, true);
		for (uint32_t i = 0; i < c->new_peer->allowed_count; i++)
			if (!has_prefix(c->old_peer, &c->new_peer->allowed[i]))
				dp_sync_route(n, &c->new_peer->allowed[i], p->id, false);
	}
	if ((c->what & CONFIG_DIFF_ENDPOINT) && p->cfg->endpoint.addr.family) {
		struct dpapi_path path = {
			.kind = DPAPI_PATH_UDP,
			.local_port = p->path.local_port,
			.remote = {.family = p->cfg->endpoint.addr.family,
				   .port = p->cfg->endpoint.port},
		};

		memcpy(path.remote.bytes, p->cfg->endpoint.addr.bytes, sizeof(path.remote.bytes));
		peer_set_path(p, &path);
	}
	if (c->what & CONFIG_DIFF_KEEPALIVE)
		start_keepalive(p);
}

static void set_identity(struct node *n)
{
	uint8_t tai[WG_TIMESTAMP_BYTES];

	sodium_memzero(&n->identity, sizeof(n->identity));
	if (wg_identity_init(&n->identity, n->config->private_key.bytes))
		log_error("key.bad", "file=%s", n->config->source);
	/* A record of each key that we ever had, also if it began no handshake. */
	n->is_new_identity = !timestamps_get(n->timestamps, n->identity.public_key, tai);
	if (n->is_new_identity && timestamps_put(n->timestamps, n->identity.public_key, tai))
		counters_add(&n->counters, CONTROL_DISK);
}

static void apply_peers(struct node *n, const struct config_diff *d)
{
	uint32_t i = 0;

	for (; i < d->count && d->changes[i].kind == CONFIG_PEER_REMOVED; i++) {
		struct node_peer *p = node_peer_by_key(n, d->changes[i].old_peer->public_key.bytes);

		if (p)
			remove_peer(n, p);
	}
	if (d->key_changed)
		set_identity(n);
	/* The look-up by key must not meet peers that are gone. */
	rebuild_keys(n);
	for (; i < d->count; i++) {
		const struct config_change *c = &d->changes[i];
		struct node_peer *p;

		if (c->kind == CONFIG_PEER_ADDED) {
			p = add_peer(n, c->new_peer);
			if (!p)
				continue;
			dp_sync_peer(p);
			start_keepalive(p);
			continue;
		}
		p = node_peer_by_key(n, c->new_peer->public_key.bytes);
		if (p)
			change_peer(p, c);
	}
	rebuild_keys(n);
}

/* Both lists are sorted. What is new comes before what goes: no gap where one holds another. */
static void apply_local(struct node *n, const struct node_config *old)
{
	const struct node_config *cfg = n->config;

	for (uint32_t i = 0; i < cfg->local_count; i++)
		if (!bsearch(&cfg->local[i], old->local, old->local_count, sizeof(*old->local),
			     config_local_cmp))
			dp_sync_local(n, &cfg->local[i], false);
	for (uint32_t i = 0; i < old->local_count; i++)
		if (!bsearch(&old->local[i], cfg->local, cfg->local_count, sizeof(*cfg->local),
			     config_local_cmp))
			dp_sync_local(n, &old->local[i], true);
}

/* Is there anything for the log? A mesh's picture changes often, and mostly elsewhere. */
static bool is_news(const struct config_diff *d)
{
	if (d->key_changed || d->filter_changed || d->local_changed || d->link_changed)
		return true;
	for (uint32_t i = 0; i < d->count; i++)
		if (d->changes[i].kind != CONFIG_PEER_KEPT || d->changes[i].what)
			return true;
	return false;
}

int node_apply(struct node *n, struct node_config *cfg)
{
	struct node_config *old = n->config;
	struct config_diff d;
	bool news;
	int rc = config_diff_make(old, cfg, &d);

	if (!rc)
		rc = reserve(n, cfg->peer_count);
	if (rc) {
		config_diff_fini(&d);
		return rc;
	}
	n->config = cfg;
	news = is_news(&d);
	if (n->stopped) {
		set_identity(n);
	} else {
		dp_sync_begin(n);
		if (d.filter_changed)
			dp_sync_filter(n);
		if (d.local_changed)
			apply_local(n, old);
		apply_peers(n, &d);
		dp_sync_end(n);
		if (d.link_changed)
			node_link(n);
	}
	config_diff_fini(&d);
	config_free(old);
	if (news)
		log_info("config.applied", "source=\"%s\" peers=%u", cfg->source, cfg->peer_count);
	else
		log_debug("config.applied", "source=\"%s\" news=0", cfg->source);
	return 0;
}

int node_reload(struct node *n, char err[CONFIG_ERROR_MAX])
{
	struct node_config *cfg;
	int rc = config_load(n->opt.config_path, n->opt.state_dir, &cfg, err);

	if (!rc) {
		rc = config_check_mtu(cfg, dp_sync_mtu_max(n), err);
		if (!rc) {
			rc = node_apply(n, cfg);
			if (rc)
				snprintf(err, CONFIG_ERROR_MAX, "%s", strerror(-rc));
		}
		if (rc)
			config_free(cfg);
	}
	if (rc)
		config_log_refused(err);
	return rc;
}

static const char *stopped_path(const struct node *n, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" STOPPED_FILE, n->opt.state_dir);
	return path;
}

/* The port whose TUN the routes lead to; NULL: there is none now. */
static const struct dpapi_port *port_with_tun(const struct node *n)
{
	uint32_t count;
	const struct dpapi_port *ports = dp_sync_ports(n, &count);

	for (uint32_t i = 0; i < count && dp_sync_is_ready(n); i++)
		if (ports[i].tun_ifindex)
			return &ports[i];
	return NULL;
}

int node_stop(struct node *n)
{
	char path[PATH_MAX];
	int rc;

	if (n->stopped)
		return 0;
	rc = file_write_atomic(stopped_path(n, path), "", 0, 0600);
	if (rc)
		return rc;
	n->stopped = true;
	dp_sync_begin(n);
	dp_sync_filter(n);
	for (uint32_t id = 1; id < n->id_room; id++)
		if (n->by_id[id])
			remove_peer(n, n->by_id[id]);
	rebuild_keys(n);
	dp_sync_end(n);
	node_link(n);
	log_info("node.stopped", "peers=%u", n->config->peer_count);
	return 0;
}

int node_start(struct node *n)
{
	char path[PATH_MAX];
	int rc = reserve(n, n->config->peer_count);

	if (rc || !n->stopped)
		return rc;
	if (unlink(stopped_path(n, path)) < 0 && errno != ENOENT)
		return -errno;
	n->stopped = false;
	add_peers(n);
	node_link(n);
	dp_sync_begin(n);
	dp_sync_filter(n);
	for (uint32_t id = 1; id < n->id_room; id++)
		if (n->by_id[id])
			dp_sync_peer(n->by_id[id]);
	dp_sync_end(n);
	for (uint32_t id = 1; id < n->id_room; id++)
		if (n->by_id[id])
			start_keepalive(n->by_id[id]);
	log_info("node.started", "peers=%u", n->peer_count);
	return 0;
}

void node_link(struct node *n)
{
	const struct dpapi_port *port;

	if (!n->link)
		return;
	port = port_with_tun(n);
	/* Whatever kept us from it when down was asked for, it is done now. */
	if (n->stopped)
		link_down(n->link, port ? port->tun_ifindex : 0);
	else if (port)
		link_apply(n->link, n->config, port->tun, port->tun_ifindex, port->mtu_max);
	else
		link_apply(n->link, n->config, "", 0, 0);
}

void node_watch_dataplane(struct node *n, node_dataplane_fn *cb, void *arg)
{
	n->dataplane_cb = cb;
	n->dataplane_arg = arg;
}

static void on_timer(uv_timer_t *timer)
{
	struct node *n = timer->data;
	uint64_t now = clock_now_ns();
	struct wg_peer_event tick = {.type = WG_EV_TICK};

	for (int i = 0; i < TICKS_A_TURN; i++) {
		struct deadline *d = deadline_first(&n->deadlines);

		if (!d || d->at_ns > now)
			break;
		peer_event((struct node_peer *)d, &tick);
	}
	node_schedule(n);
}

void node_schedule(struct node *n)
{
	const struct deadline *d = deadline_first(&n->deadlines);
	uint64_t now = clock_now_ns();
	uint64_t ms = 0;

	if (!d) {
		uv_timer_stop(&n->timer);
		return;
	}
	/* Up, never down: a timer that fires early would spin. */
	if (d->at_ns > now)
		ms = (d->at_ns - now + NS_PER_MS - 1) / NS_PER_MS;
	uv_update_time(n->loop);
	uv_timer_start(&n->timer, on_timer, ms < SLEEP_MAX_MS ? ms : SLEEP_MAX_MS, 0);
}

/* An fdatasync in libuv's thread pool; it may outlive the node. */
struct node_flush {
	uv_fs_t req; /* first */
	struct node *node;
	int fd;
};

static void on_flushed(uv_fs_t *req)
{
	struct node_flush *f = (struct node_flush *)req;

	if (f->node) {
		if (req->result < 0)
			counters_add(&f->node->counters, CONTROL_DISK);
		f->node->flush = NULL;
	}
	uv_fs_req_cleanup(req);
	close(f->fd);
	free(f);
}

static void flush_timestamps(struct node *n)
{
	struct node_flush *f = calloc(1, sizeof(*f));

	if (!f)
		return;
	f->node = n;
	f->fd = fcntl(timestamps_fd(n->timestamps), F_DUPFD_CLOEXEC, 0);
	if (f->fd < 0 || uv_fs_fdatasync(n->loop, &f->req, f->fd, on_flushed)) {
		if (f->fd >= 0)
			close(f->fd);
		free(f);
		counters_add(&n->counters, CONTROL_DISK);
		return;
	}
	n->flush = f;
}

static void on_housekeeping(uv_timer_t *timer)
{
	struct node *n = timer->data;

	dp_sync_counters(n);
	if (!n->flush && timestamps_take_dirty(n->timestamps))
		flush_timestamps(n);
}

int node_open(uv_loop_t *loop, const struct node_options *opt, struct node_config *cfg,
	      struct link *link, struct node *n)
{
	char path[PATH_MAX];
	int rc;

	*n = (struct node){.loop = loop, .opt = *opt, .config = cfg, .link = link, .id_next = 1};
	n->stopped = access(stopped_path(n, path), F_OK) == 0;
	uv_timer_init(loop, &n->timer);
	n->timer.data = n;
	uv_timer_init(loop, &n->housekeeping);
	n->housekeeping.data = n;
	rc = timestamps_open(opt->state_dir, &n->timestamps);
	if (!rc) {
		set_identity(n);
		rc = reserve(n, cfg->peer_count);
	}
	if (!rc)
		rc = handshake_open(n, &n->handshake);
	if (!rc)
		rc = packets_open(loop, &n->counters, handshake_push, n->handshake, &n->packets);
	if (!rc)
		packets_on_lane(n->packets, peer_lanes_receive, n);
	if (!rc && !n->stopped)
		add_peers(n);
	if (!rc)
		rc = dp_refresh_open(n, &n->refresh);
	if (!rc)
		rc = dp_sync_open(n, &n->sync);
	if (rc) {
		node_close(n);
		return rc;
	}
	uv_timer_start(&n->housekeeping, on_housekeeping, HOUSEKEEPING_MS, HOUSEKEEPING_MS);
	/* The routes that hold when there is no dataplane, before there is one. */
	node_link(n);
	return 0;
}

void node_close(struct node *n)
{
	dp_refresh_close(n->refresh);
	dp_sync_close(n->sync);
	n->sync = NULL;
	for (uint32_t id = 1; id < n->id_room; id++)
		peer_free(n->by_id[id]);
	packets_close(n->packets);
	handshake_close(n->handshake);
	if (n->flush)
		n->flush->node = NULL;
	timestamps_close(n->timestamps);
	index_table_fini(&n->indices);
	deadline_fini(&n->deadlines);
	free(n->by_id);
	free(n->by_key);
	uv_timer_stop(&n->timer);
	uv_timer_stop(&n->housekeeping);
	uv_close((uv_handle_t *)&n->timer, NULL);
	uv_close((uv_handle_t *)&n->housekeeping, NULL);
	sodium_memzero(&n->identity, sizeof(n->identity));
	config_free(n->config);
	n->config = NULL;
}
