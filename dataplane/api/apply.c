/* SPDX-License-Identifier: Apache-2.0 */
/* See apply.h. */
#include "dataplane/api/apply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>

#include "dataplane/api/control_counter.h"
#include "dataplane/table/fib_build.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/rule_build.h"
#include "dataplane/table/session_build.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/dpapi/dpapi_msg.h"

#define MTU_MIN 576
/* A worker takes its commands every few batches: a full ring is empty again at once. */
#define COMMAND_TRIES	 1000
#define COMMAND_PAUSE_US 100

union message {
	struct dpapi_hdr hdr;
	struct dpapi_peer_set peer_set;
	struct dpapi_peer_del peer_del;
	struct dpapi_peer_ref peer_ref;
	struct dpapi_route route;
	struct dpapi_local local;
	struct dpapi_session_set session_set;
	struct dpapi_session_del session_del;
	struct dpapi_lane_set lane_set;
	struct dpapi_endpoint_set endpoint_set;
	struct dpapi_rules rules;
	struct dpapi_barrier barrier;
	struct dpapi_counter counter;
};

static int refuse(char *text, int error, const char *why)
{
	snprintf(text, DPAPI_ERROR_TEXT, "%s", why);
	return error;
}

static bool is_address_family(uint16_t family)
{
	return family == AF_INET || family == AF_INET6;
}

/* A prefix of the port's programs as of the tables: mtu 0 = it is removed. */
static void steer(struct dataplane *dp, const struct dpapi_route *r, uint16_t mtu, bool remove)
{
	for (unsigned i = 0; i < dp->port_count; i++) {
		struct port *p = &dp->ports[i];

		if (p->ops->steer_prefix)
			p->ops->steer_prefix(p, r->addr, r->family, r->prefix_len, mtu,
					     PORT_STEER_MESH, remove);
	}
}

struct resteer {
	struct dataplane *dp;
	uint32_t peer_id;
	uint16_t mtu;
	bool remove;
};

static int resteer_route(const struct fib_route *fr, void *arg)
{
	struct resteer *rs = arg;
	struct dpapi_route r = {.family = (uint16_t)fr->family, .prefix_len = (uint8_t)fr->len};

	if (fr->id != rs->peer_id)
		return 0;
	memcpy(r.addr, fr->addr, sizeof(r.addr));
	steer(rs->dp, &r, rs->mtu, rs->remove);
	return 0;
}

/* All prefixes of a peer again: its MTU changed, or it goes. */
static void resteer_peer(struct dataplane *dp, uint32_t peer_id, uint16_t mtu, bool remove)
{
	struct resteer rs = {dp, peer_id, mtu, remove};

	/* A sweep takes the routes first: do not look through all for each peer. */
	if (fib_count_id(dp->mesh, peer_id) == 0)
		return;
	for (unsigned i = 0; i < dp->port_count; i++) {
		if (dp->ports[i].ops->steer_prefix) {
			fib_walk(dp->mesh, resteer_route, &rs);
			return;
		}
	}
}

static int on_peer_set(struct dataplane *dp, const struct dpapi_peer_set *m, char *text)
{
	const struct peer *old = peer_get(dp->peers, m->id);
	bool is_new_mtu = old && atomic_load_explicit(&old->mtu, memory_order_relaxed) != m->mtu;
	int ret;

	if (m->mtu < MTU_MIN || m->mtu > dp->mtu_max) {
		snprintf(text, DPAPI_ERROR_TEXT,
			 "peer %u: MTU %u is outside what the ports carry (%u to %u)", m->id,
			 m->mtu, MTU_MIN, dp->mtu_max);
		return -EMSGSIZE;
	}
	ret = peer_set(dp->peers, m);
	if (ret < 0) {
		snprintf(text, DPAPI_ERROR_TEXT, "peer %u: %s", m->id,
			 ret == -EEXIST	  ? "id or public key belongs to another peer"
			 : ret == -EINVAL ? "id out of range"
					  : strerror(-ret));
		return ret;
	}
	if (is_new_mtu)
		resteer_peer(dp, m->id, m->mtu, false);
	return 0;
}

static void forget_peer(struct dataplane *dp, uint32_t id)
{
	resteer_peer(dp, id, 0, true);
	fib_del_id(dp->mesh, id);
}

static void tell_workers(struct dataplane *dp, enum worker_command_type type, uint32_t peer_id)
{
	struct worker_command c = {.type = type, .peer_id = peer_id};

	for (unsigned i = 0; i < dp->worker_count; i++) {
		unsigned tries = 0;

		while (worker_command(dp->workers[i], &c) == -ENOBUFS && ++tries < COMMAND_TRIES)
			usleep(COMMAND_PAUSE_US);
		if (tries == COMMAND_TRIES)
			log_error("worker.command", "worker=%u command=%u error=\"it takes none\"",
				  i, (unsigned)type);
	}
}

/*
 * What waits for a peer that is gone must not wait for the next one with its id.
 * After peer_del: from then on nothing is staged for it.
 */
static int on_peer_del(struct dataplane *dp, const struct dpapi_peer_del *m, char *text)
{
	int ret;

	if (!peer_get(dp->peers, m->id))
		return refuse(text, -ENOENT, "no such peer");
	forget_peer(dp, m->id);
	ret = peer_del(dp->peers, m->id);
	tell_workers(dp, WORKER_CMD_DROP_STAGED, m->id);
	return ret;
}

static int on_route_set(struct dataplane *dp, const struct dpapi_route *m, char *text)
{
	const struct peer *peer = peer_get(dp->peers, m->peer_id);
	int ret;

	if (!is_address_family(m->family))
		return refuse(text, -EAFNOSUPPORT, "route: address family is not IPv4 or IPv6");
	if (!peer)
		return refuse(text, -ENOENT, "route: no such peer");
	ret = fib_set(dp->mesh, m->addr, m->family, m->prefix_len, m->peer_id, m->hdr.generation);
	if (ret < 0)
		return refuse(text, ret,
			      ret == -EINVAL ? "route: prefix length or host bits"
					     : strerror(-ret));
	steer(dp, m, atomic_load_explicit(&peer->mtu, memory_order_relaxed), false);
	return 0;
}

static int on_route_del(struct dataplane *dp, const struct dpapi_route *m, char *text)
{
	int ret;

	if (!is_address_family(m->family))
		return refuse(text, -EAFNOSUPPORT, "route: address family is not IPv4 or IPv6");
	if (fib_get(dp->mesh, m->addr, m->family, m->prefix_len) != m->peer_id)
		return refuse(text, -ENOENT, "route: the prefix is not this peer's");
	ret = fib_del(dp->mesh, m->addr, m->family, m->prefix_len);
	if (ret < 0)
		return refuse(text, ret, strerror(-ret));
	steer(dp, m, 0, true);
	return 0;
}

static int on_session_set(struct dataplane *dp, const struct dpapi_session_set *m, char *text)
{
	int ret = peer_session_install(dp->peers, m);

	if (ret < 0) {
		snprintf(text, DPAPI_ERROR_TEXT, "session %08x: %s", m->local_index,
			 ret == -EEXIST	  ? "its slot is taken"
			 : ret == -ENOENT ? "no such peer"
			 : ret == -ENOSPC ? "the peer has too many sessions"
			 : ret == -EINVAL ? "index 0, or a lane that is too high or not confirmed"
					  : strerror(-ret));
		return ret;
	}
	if (m->flags & DPAPI_SESSION_CONFIRMED)
		tell_workers(dp, WORKER_CMD_FLUSH, m->peer_id);
	return 0;
}

static int on_lane_set(struct dataplane *dp, const struct dpapi_lane_set *m, char *text)
{
	int ret;

	if (m->path.local_port >= dp->port_count ||
	    m->path.lane > dp->ports[m->path.local_port].lanes)
		return refuse(text, -EINVAL, "lane: no such port");
	if (m->path.kind != DPAPI_PATH_UDP || !is_address_family(m->path.remote.family))
		return refuse(text, -EINVAL, "lane: path");
	ret = peer_lane_set(dp->peers, m, clock_now_ns());
	return ret < 0 ? refuse(text, ret, ret == -ENOENT ? "lane: no such session" : "lane") : 0;
}

static int on_endpoint_set(struct dataplane *dp, const struct dpapi_endpoint_set *m, char *text)
{
	int ret;

	if (m->path.local_port >= dp->port_count)
		return refuse(text, -EINVAL, "endpoint: no such port");
	if (m->path.kind == DPAPI_PATH_RELAY)
		return refuse(text, -EOPNOTSUPP, "endpoint: relay paths are not supported");
	if (m->path.kind == DPAPI_PATH_UDP && !is_address_family(m->path.remote.family))
		return refuse(text, -EAFNOSUPPORT, "endpoint: address family");
	ret = peer_path_set(dp->peers, m->peer_id, &m->path);
	return ret < 0 ? refuse(text, ret, ret == -ENOENT ? "endpoint: no such peer" : "endpoint")
		       : 0;
}

static int on_rules(struct dataplane *dp, const struct dpapi_rules *m, const uint8_t *body,
		    size_t body_len, char *text)
{
	bool published = false;
	int ret;

	if (m->piece_bytes != body_len)
		return refuse(text, -EBADMSG, "rules: piece length");
	ret = rule_piece(dp->rules, m, body, &published);
	return ret < 0 ? refuse(text, ret, "rules: counts, ranges or order of the pieces") : 0;
}

static int on_local(struct dataplane *dp, const struct dpapi_local *m, char *text)
{
	int ret = rule_local(dp->rules, m);

	return ret < 0 ? refuse(text, ret, "local prefix") : 0;
}

#define SWEPT_MAX 64

struct sweep {
	struct dataplane *dp;
	uint32_t generation;
	uint32_t swept[SWEPT_MAX]; /* the first of them */
	size_t swept_count;
};

static void sweep_one(struct peer *p, void *arg)
{
	struct sweep *sw = arg;

	forget_peer(sw->dp, p->id);
	if (sw->swept_count < SWEPT_MAX)
		sw->swept[sw->swept_count] = p->id;
	sw->swept_count++;
}

/* See on_peer_del. For very many one command stands for all. */
static void drop_staged_of_swept(const struct sweep *sw)
{
	if (sw->swept_count > SWEPT_MAX) {
		tell_workers(sw->dp, WORKER_CMD_DROP_STAGED, PEER_NONE);
		return;
	}
	for (size_t i = 0; i < sw->swept_count; i++)
		tell_workers(sw->dp, WORKER_CMD_DROP_STAGED, sw->swept[i]);
}

/* Steering forgets the prefixes that are about to be swept from the table. */
static int unsteer_old(const struct fib_route *fr, void *arg)
{
	struct sweep *sw = arg;
	struct dpapi_route r = {.family = (uint16_t)fr->family, .prefix_len = (uint8_t)fr->len};

	if (fr->generation == sw->generation)
		return 0;
	memcpy(r.addr, fr->addr, sizeof(r.addr));
	steer(sw->dp, &r, 0, true);
	return 0;
}

static int on_barrier(struct dataplane *dp, const struct dpapi_barrier *m)
{
	dp->controller_generation = m->hdr.generation;
	if (m->flags & DPAPI_BARRIER_SWEEP) {
		struct sweep sw = {.dp = dp, .generation = m->hdr.generation};

		fib_walk(dp->mesh, unsteer_old, &sw);
		fib_sweep(dp->mesh, m->hdr.generation);
		peer_sweep(dp->peers, m->hdr.generation, sweep_one, &sw);
		drop_staged_of_swept(&sw);
		rule_local_sweep(dp->rules, m->hdr.generation);
	}
	return 0;
}

static int on_peer_ref(struct dataplane *dp, const struct dpapi_peer_ref *m, char *text)
{
	struct worker_command c = {.type = WORKER_CMD_KEEPALIVE, .peer_id = m->id};
	int ret;

	if (!peer_get(dp->peers, m->id))
		return refuse(text, -ENOENT, "no such peer");
	if (m->hdr.type == DPAPI_DROP_STAGED) {
		tell_workers(dp, WORKER_CMD_DROP_STAGED, m->id);
		return 0;
	}
	ret = worker_command(dp->workers[m->id % dp->worker_count], &c);
	return ret < 0 ? refuse(text, ret, "the worker has too much to do") : 0;
}

static int on_counter(const struct dpapi_counter *m, char *text)
{
	int ret = control_counter_set(m);

	return ret < 0 ? refuse(text, ret,
				ret == -ENOSPC ? "counter: too many" : "counter: without a name")
		       : 0;
}

static int dispatch(struct dataplane *dp, const union message *m, const uint8_t *body,
		    size_t body_len, char *text)
{
	switch ((enum dpapi_type)m->hdr.type) {
	case DPAPI_PEER_SET:
		return on_peer_set(dp, &m->peer_set, text);
	case DPAPI_PEER_DEL:
		return on_peer_del(dp, &m->peer_del, text);
	case DPAPI_ROUTE_SET:
		return on_route_set(dp, &m->route, text);
	case DPAPI_ROUTE_DEL:
		return on_route_del(dp, &m->route, text);
	case DPAPI_SESSION_SET:
		return on_session_set(dp, &m->session_set, text);
	case DPAPI_SESSION_DEL:
		return peer_session_remove(dp->peers, m->session_del.local_index) < 0
			       ? refuse(text, -ENOENT, "no such session")
			       : 0;
	case DPAPI_LANE_SET:
		return on_lane_set(dp, &m->lane_set, text);
	case DPAPI_ENDPOINT_SET:
		return on_endpoint_set(dp, &m->endpoint_set, text);
	case DPAPI_RULES:
		return on_rules(dp, &m->rules, body, body_len, text);
	case DPAPI_LOCAL_SET:
		return on_local(dp, &m->local, text);
	case DPAPI_SEND_KEEPALIVE:
	case DPAPI_DROP_STAGED:
		return on_peer_ref(dp, &m->peer_ref, text);
	case DPAPI_BARRIER:
		return on_barrier(dp, &m->barrier);
	case DPAPI_COUNTER:
		return on_counter(&m->counter, text);
	default:
		return refuse(text, -EOPNOTSUPP, "not a message that a controller sends");
	}
}

int apply_message(struct dataplane *dp, const void *data, size_t len, char *text)
{
	union message m;
	size_t body = 0;
	int ret = dpapi_msg_decode(data, len, &m, sizeof(m), &body, text, DPAPI_ERROR_TEXT);

	if (ret == 0)
		ret = dispatch(dp, &m, (const uint8_t *)data + body, len - body, text);
	/* It may have held session keys. */
	sodium_memzero(&m, sizeof(m));
	return ret;
}
