/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/ways_peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>

#include "controlplane/node/dp_path.h"
#include "controlplane/node/link_plan.h"
#include "controlplane/node/packets.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

static struct dpapi_path path_by_derp(const struct node_peer *p, uint16_t region)
{
	struct dpapi_path path = {.local_port = p->path.local_port};

	if (!region)
		return path;
	path.kind = DPAPI_PATH_CHANNEL;
	path.vni = p->id;
	path.remote.port = region;
	return path;
}

/* With both ways in use packets come to us, and leave by both. */
static void use(struct peer_ways *pw, const struct endpoint *direct, uint16_t region)
{
	struct node_peer *p = pw->peer;
	struct dpapi_path path =
		region ? path_by_derp(p, region) : dp_path_direct(direct, p->path.local_port);

	if (dp_path_equal(&p->path, &path))
		return;
	peer_set_path(p, &path);
	p->node->ways->env.changed(p->node->ways->env.ctx);
}

static void send_disco(struct peer_ways *pw, const struct path_action *a)
{
	struct node *n = pw->peer->node;
	struct dpapi_path to = dp_path_direct(&a->to, pw->peer->path.local_port);
	int rc;

	if (!a->to.addr.family) {
		n->ways->env.derp_send(n->ways->env.ctx, a->region, &pw->node->key, a->bytes,
				       a->len);
		return;
	}
	rc = packets_send(n->packets, &to, a->bytes, a->len);
	if (rc == -EHOSTUNREACH || rc == -ENETUNREACH)
		pw->unreachable = a->to;
}

/* The first answer is the one that the user sees. */
static void tell_pong(struct peer_ways *pw, const struct path_action *a)
{
	struct mesh_pong pong = {0};
	struct ways_ping *ping;

	if (a)
		pong = (struct mesh_pong){
			.latency_ns = a->latency_ns, .from = a->to, .region = a->region};

	/* One at a time: who is told may cancel another. */
	while ((ping = pw->pings)) {
		pw->pings = ping->next;
		ping->cb(ping->arg, a ? &pong : NULL);
		free(ping);
	}
}

static void act(void *ctx, const struct path_action *a)
{
	struct peer_ways *pw = ctx;
	struct ways *w = pw->peer->node->ways;

	switch (a->type) {
	case PATH_SEND:
		send_disco(pw, a);
		break;
	case PATH_USE:
		if (!pw->is_adopted)
			use(pw, &a->to, a->region);
		break;
	case PATH_NEED_ENDPOINTS:
		w->env.need_endpoints(w->env.ctx);
		break;
	case PATH_PONG:
		tell_pong(pw, a);
		break;
	}
}

/*
 * Which source would the kernel take for a packet of our sockets? One of the mesh's
 * addresses means that it leaves by the TUN.
 */
static bool is_outside(void *ctx, const struct endpoint *to)
{
	const struct peer_ways *pw = ctx;
	const struct node_config *cfg = pw->peer->node->config;
	const unsigned mark = LINK_FWMARK;
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(to, &ss);
	struct endpoint source = {0};
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return true;
	setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	if (!connect(fd, (struct sockaddr *)&ss, len)) {
		len = sizeof(ss);
		if (!getsockname(fd, (struct sockaddr *)&ss, &len))
			endpoint_from_sockaddr((const struct sockaddr *)&ss, len, &source);
	}
	close(fd);
	for (uint32_t i = 0; i < cfg->address_count; i++)
		if (addr_equal(&cfg->addresses[i].addr, &source.addr))
			return false;
	return true;
}

void peer_ways_settle(struct peer_ways *pw)
{
	struct endpoint gone = pw->unreachable;

	if (gone.addr.family) {
		pw->unreachable = (struct endpoint){0};
		path_peer_on_unreachable(pw->engine, &gone, clock_now_ns());
	}
	peer_schedule(pw->peer);
}

static void tell_node(struct peer_ways *pw)
{
	const struct netmap_node *n = pw->node;

	if (path_peer_set(pw->engine, &n->disco, (uint16_t)n->home_derp, n->endpoints,
			  n->endpoint_count, clock_now_ns()))
		log_warn("peer.disco", "peer=%s error=\"the disco key cannot be one\"",
			 pw->peer->cfg->name);
}

struct path_peer *peer_ways_wake(struct peer_ways *pw)
{
	if (pw->engine)
		return pw->engine;
	pw->engine = malloc(sizeof(*pw->engine));
	if (!pw->engine)
		return NULL;
	pw->env = (struct path_env){
		.ctx = pw, .random = node_random.fill, .act = act, .is_outside = is_outside};
	path_peer_init(pw->engine, &pw->env, &pw->peer->node->ways->self);
	tell_node(pw);
	return pw->engine;
}

int peer_ways_set(struct node_peer *p, struct netmap_node *node)
{
	struct ways *w = p->node->ways;
	struct peer_ways *pw = p->ways;
	bool is_new = !pw;

	if (is_new) {
		pw = calloc(1, sizeof(*pw));
		if (!pw)
			return -ENOMEM;
		pw->peer = p;
		p->ways = pw;
	} else {
		ways_remove(w, pw);
		netmap_node_put(pw->node);
	}
	pw->node = netmap_node_get(node);
	ways_insert(w, pw);
	if (pw->engine) {
		tell_node(pw);
		peer_ways_settle(pw);
	} else if (!pw->is_adopted) {
		use(pw, &(struct endpoint){0}, (uint16_t)node->home_derp);
	}
	return 0;
}

void peer_ways_free(struct node_peer *p)
{
	struct peer_ways *pw = p->ways;

	if (!pw)
		return;
	tell_pong(pw, NULL);
	ways_remove(p->node->ways, pw);
	if (pw->engine)
		path_peer_fini(pw->engine);
	free(pw->engine);
	netmap_node_put(pw->node);
	free(pw);
	p->ways = NULL;
}

void peer_ways_adopt(struct node_peer *p, const struct dpapi_path *path)
{
	struct endpoint at = dp_path_endpoint(path);
	struct peer_ways *pw = p->ways;

	if (path->kind != DPAPI_PATH_UDP)
		return;
	/* Making the engine would tell of DERP first. */
	pw->is_adopted = true;
	if (peer_ways_wake(pw))
		path_peer_adopt(pw->engine, &at, clock_now_ns());
	pw->is_adopted = false;
	if (pw->engine)
		peer_ways_settle(pw);
}

void peer_ways_on_activity(struct node_peer *p)
{
	if (!p->ways || !peer_ways_wake(p->ways))
		return;
	p->node->ways->active_ns = clock_now_ns();
	path_peer_on_activity(p->ways->engine, clock_now_ns());
	peer_ways_settle(p->ways);
}

void peer_ways_on_silence(struct node_peer *p)
{
	if (!p->ways || !p->ways->engine)
		return;
	path_peer_on_silence(p->ways->engine, clock_now_ns());
	peer_ways_settle(p->ways);
}

void peer_ways_on_heard(struct node_peer *p, const struct dpapi_path *from)
{
	if (from->kind == DPAPI_PATH_CHANNEL && peer_ways_wake(p->ways))
		path_peer_on_derp(p->ways->engine, from->remote.port, clock_now_ns());
	peer_ways_on_activity(p);
}

int peer_ways_send(struct node_peer *p, const void *data, size_t len)
{
	struct peer_ways *pw = p->ways;
	struct ways *w = p->node->ways;
	const struct path_peer *e = pw->engine;
	uint16_t region = p->path.kind == DPAPI_PATH_CHANNEL ? p->path.remote.port : 0;
	int rc = -EDESTADDRREQ;

	if (region)
		rc = w->env.derp_send(w->env.ctx, region, &pw->node->key, data, len);
	if (p->path.kind == DPAPI_PATH_UDP) {
		rc = packets_send(p->node->packets, &p->path, data, len);
	} else if (e && e->use_to.addr.family) {
		struct dpapi_path direct = dp_path_direct(&e->use_to, p->path.local_port);

		if (!packets_send(p->node->packets, &direct, data, len))
			rc = 0;
	}
	return rc;
}

uint64_t peer_ways_deadline(const struct node_peer *p)
{
	const struct peer_ways *pw = p->ways;
	uint64_t at_ns = pw && pw->engine ? path_peer_next_ns(pw->engine) : DEADLINE_NEVER;

	for (const struct ways_ping *ping = pw ? pw->pings : NULL; ping; ping = ping->next)
		if (ping->until_ns < at_ns)
			at_ns = ping->until_ns;
	return at_ns;
}

static void expire_pings(struct peer_ways *pw, uint64_t now_ns)
{
	struct ways_ping **at = &pw->pings;

	while (*at) {
		struct ways_ping *ping = *at;

		if (ping->until_ns > now_ns) {
			at = &ping->next;
			continue;
		}
		*at = ping->next;
		ping->cb(ping->arg, NULL);
		free(ping);
		at = &pw->pings; /* who is told may cancel others */
	}
}

void peer_ways_tick(struct node_peer *p)
{
	struct peer_ways *pw = p->ways;
	uint64_t now_ns = clock_now_ns();

	if (!pw)
		return;
	expire_pings(pw, now_ns);
	if (!pw->engine || path_peer_next_ns(pw->engine) > now_ns)
		return;
	path_peer_on_timer(pw->engine, now_ns);
	peer_ways_settle(pw);
}

const struct path_peer *peer_ways_engine(const struct node_peer *p)
{
	return p->ways ? p->ways->engine : NULL;
}
