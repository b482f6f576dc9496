/* SPDX-License-Identifier: Apache-2.0 */
/* See mirror.h. */
#include "dataplane/netlink/mirror.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "dataplane/api/server.h"
#include "dataplane/table/fib_build.h"
#include "dataplane/table/neigh_build.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define RCVBUF_BYTES  (4 << 20)
#define KEEP_ALIVE_NS (10 * NS_PER_SEC) /* how often a used neighbour is looked at */
#define IN_USE_NS     (30 * NS_PER_SEC)
#define START_TRIES   50 /* dumps that changes at boot disturb */
#define NEIGHBOUR_USABLE                                                                           \
	(NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)

static_assert(NEIGH_PORTS >= PORTS_MAX && NEIGH_NETDEVS >= PORT_NETDEVS_MAX, "every netdev");

struct mirror {
	struct loop_handler handler;
	struct dataplane *dp;
	int epoll_fd;
	struct mnl_socket *events;  /* subscribed, non-blocking */
	struct mnl_socket *request; /* dumps, one at a time; NULL: open it again */
	uint32_t generation;
	/* The generation that found an interface's address, IPv4 and IPv6. */
	uint32_t source_generation[NEIGH_PORTS][NEIGH_NETDEVS][2];
	bool is_dirty;	     /* read routes again at the next tick */
	bool is_neigh_dirty; /* and neighbours */
	bool is_tun_gone;
	uint64_t kept_alive_ns;
	char buf[65536];
};

/* One of our interfaces: its port and place in the port. */
struct device {
	struct port *port;
	unsigned index;
};

static bool find_device(struct mirror *m, unsigned ifindex, struct device *out)
{
	for (unsigned i = 0; i < m->dp->port_count; i++) {
		struct port *p = &m->dp->ports[i];

		for (unsigned k = 0; k < p->netdev_count; k++) {
			if (p->netdev[k].ifindex == ifindex) {
				*out = (struct device){p, k};
				return true;
			}
		}
	}
	return false;
}

static bool is_our_tun(const struct mirror *m, unsigned ifindex)
{
	for (unsigned i = 0; i < m->dp->port_count; i++) {
		if (m->dp->ports[i].tun_ifindex == ifindex)
			return true;
	}
	return false;
}

/* Attributes by type, those beyond max left out. */
struct attrs {
	const struct nlattr *at[RTA_MAX + 1];
};

static int put_attr(const struct nlattr *a, void *arg)
{
	struct attrs *t = arg;

	if (mnl_attr_get_type(a) <= RTA_MAX)
		t->at[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

static void copy_addr(uint8_t out[16], const struct nlattr *a)
{
	uint16_t n = a ? mnl_attr_get_payload_len(a) : 0;

	memset(out, 0, 16);
	if (n == 4 || n == 16)
		memcpy(out, mnl_attr_get_payload(a), n);
}

/* A route as both tables see it. */
struct route {
	uint8_t dst[16], gateway[16];
	unsigned family, len, oif;
	bool has_gateway;
	bool is_own;	/* an address of this host */
	bool is_no_way; /* unreachable, blackhole, prohibit */
};

/* Does destination and next hop say all that there is to it? */
static bool is_plain(const struct rtmsg *rm, const struct attrs *t)
{
	return !rm->rtm_tos && !rm->rtm_src_len && !t->at[RTA_ENCAP] && !t->at[RTA_VIA];
}

static bool parse_route(const struct mirror *m, const struct nlmsghdr *nlh, struct route *r)
{
	const struct rtmsg *rm = mnl_nlmsg_get_payload(nlh);
	struct attrs t = {{NULL}};
	uint32_t table;

	mnl_attr_parse(nlh, sizeof(*rm), put_attr, &t);
	table = t.at[RTA_TABLE] ? mnl_attr_get_u32(t.at[RTA_TABLE]) : rm->rtm_table;
	if ((rm->rtm_family != AF_INET && rm->rtm_family != AF_INET6) ||
	    (rm->rtm_flags & RTM_F_CLONED))
		return false;
	r->is_own = rm->rtm_type == RTN_LOCAL && table == RT_TABLE_LOCAL;
	r->is_no_way = rm->rtm_type == RTN_UNREACHABLE || rm->rtm_type == RTN_BLACKHOLE ||
		       rm->rtm_type == RTN_PROHIBIT;
	if (!r->is_own &&
	    ((rm->rtm_type != RTN_UNICAST && !r->is_no_way) || table != RT_TABLE_MAIN))
		return false;
	r->family = rm->rtm_family;
	r->len = rm->rtm_dst_len;
	copy_addr(r->dst, t.at[RTA_DST]);
	copy_addr(r->gateway, t.at[RTA_GATEWAY]);
	r->has_gateway = t.at[RTA_GATEWAY] != NULL;
	/* Several next hops (RTA_MULTIPATH): the kernel balances, oif stays 0. */
	r->oif = t.at[RTA_OIF] ? mnl_attr_get_u32(t.at[RTA_OIF]) : 0;
	/* What only the kernel can do, it does; no way out of a device (IPv6: lo) is one. */
	if (!is_our_tun(m, r->oif) && (r->is_no_way || !is_plain(rm, &t)))
		r->oif = 0;
	return true;
}

/*
 * The FIB id for packets that leave on our interface d. A gateway that was seen
 * once keeps its number for good: there are few, and both FIBs may name it.
 */
static uint32_t out_id(struct mirror *m, const struct route *r, const struct device *d)
{
	int nh;

	if (!r->has_gateway)
		return FIB_LOCAL_CONNECTED(d->port->index, d->index);
	nh = neigh_hold(m->dp->neigh, d->port->index, (uint8_t)d->index, (int)r->family,
			r->gateway);
	return nh > 0 ? FIB_LOCAL_NEXTHOP(nh) : FIB_LOCAL_KERNEL;
}

/* Own addresses and other routes: not for the mesh. */
static void steer_kernel(struct mirror *m, const uint8_t *addr, int family, unsigned len,
			 enum port_steer kind, bool remove)
{
	for (unsigned i = 0; i < m->dp->port_count; i++) {
		struct port *p = &m->dp->ports[i];

		if (p->ops->steer_prefix)
			p->ops->steer_prefix(p, addr, family, (uint8_t)len, 0, kind, remove);
	}
}

/* The mesh has these by itself. */
static bool is_into_tun(const struct mirror *m, const struct route *r)
{
	return !r->is_own && is_our_tun(m, r->oif);
}

static void add_route(struct mirror *m, const struct route *r)
{
	uint32_t local = FIB_LOCAL_KERNEL, outer = FIB_LOCAL_KERNEL;
	int family = (int)r->family;
	struct device d;

	if (is_into_tun(m, r))
		return;
	if (!r->is_own && find_device(m, r->oif, &d)) {
		const struct port_netdev *dev = &d.port->netdev[d.index];
		uint32_t id = out_id(m, r, &d);

		/* Clear packets never leave by a default route: that is the kernel's, with its NAT.
		 */
		local = dev->is_lan ? id : FIB_LOCAL_KERNEL;
		outer = dev->is_wan ? id : FIB_LOCAL_KERNEL;
	}
	if (r->len > 0 || r->is_own)
		fib_set(m->dp->local, r->dst, family, r->len, local, m->generation);
	/* The fail-closed routes of causewayd are no obstacle to outer packets. */
	if (!r->is_no_way)
		fib_set(m->dp->outer, r->dst, family, r->len, outer, m->generation);
	/* A hole in a wider mesh prefix; where both are the same, the mesh's stays. */
	if (r->is_own || (r->len > 0 && !fib_get(m->dp->mesh, r->dst, family, r->len)))
		steer_kernel(m, r->dst, family, r->len,
			     r->is_own ? PORT_STEER_OWN : PORT_STEER_HOLE, false);
}

/*
 * Of several routes to one prefix the kernel lists the best first; our own
 * addresses come before all others.
 */
static void on_dumped_route(struct mirror *m, const struct route *r)
{
	if (r->is_own ||
	    (!fib_is_named(m->dp->outer, r->dst, (int)r->family, r->len, m->generation) &&
	     !fib_is_named(m->dp->local, r->dst, (int)r->family, r->len, m->generation)))
		add_route(m, r);
}

/* A new prefix is taken at once. Beside others the metrics decide: read all again. */
static void on_new_route(struct mirror *m, const struct route *r)
{
	if (is_into_tun(m, r))
		return;
	if (fib_get(m->dp->outer, r->dst, (int)r->family, r->len) ||
	    fib_get(m->dp->local, r->dst, (int)r->family, r->len))
		m->is_dirty = true;
	else
		add_route(m, r);
}

static int unsteer_old(const struct fib_route *fr, void *arg)
{
	struct mirror *m = arg;

	if (fr->generation == m->generation)
		return 0;
	steer_kernel(m, fr->addr, fr->family, fr->len, PORT_STEER_OWN, true);
	if (!fib_get(m->dp->mesh, fr->addr, fr->family, fr->len))
		steer_kernel(m, fr->addr, fr->family, fr->len, PORT_STEER_HOLE, true);
	return 0;
}

static void on_neighbour(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct ndmsg *nd = mnl_nlmsg_get_payload(nlh);
	struct attrs t = {{NULL}};
	const uint8_t *mac = NULL;
	uint8_t ip[16];
	struct device d;

	if ((nd->ndm_family != AF_INET && nd->ndm_family != AF_INET6) ||
	    !find_device(m, (unsigned)nd->ndm_ifindex, &d))
		return;
	mnl_attr_parse(nlh, sizeof(*nd), put_attr, &t);
	if (!t.at[NDA_DST])
		return;
	copy_addr(ip, t.at[NDA_DST]);
	if (nlh->nlmsg_type == RTM_DELNEIGH) {
		neigh_del(m->dp->neigh, d.port->index, (uint8_t)d.index, nd->ndm_family, ip);
		return;
	}
	if (t.at[NDA_LLADDR] && mnl_attr_get_payload_len(t.at[NDA_LLADDR]) == 6 &&
	    (nd->ndm_state & NEIGHBOUR_USABLE))
		mac = mnl_attr_get_payload(t.at[NDA_LLADDR]);
	neigh_set(m->dp->neigh, d.port->index, (uint8_t)d.index, nd->ndm_family, ip, mac);
}

static void on_link(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct attrs t = {{NULL}};
	struct port_netdev *dev;
	struct device d;

	/* A bridge tells of its ports, too: that is another matter. */
	if (ifi->ifi_family != AF_UNSPEC)
		return;
	/* With an interface IPv4 routes go without a word. */
	if (nlh->nlmsg_type == RTM_DELLINK || (ifi->ifi_change & IFF_UP))
		m->is_dirty = true;
	if (nlh->nlmsg_type == RTM_DELLINK) {
		m->is_tun_gone |= is_our_tun(m, (unsigned)ifi->ifi_index);
		return;
	}
	if (!find_device(m, (unsigned)ifi->ifi_index, &d))
		return;
	dev = &d.port->netdev[d.index];
	mnl_attr_parse(nlh, sizeof(*ifi), put_attr, &t);
	if (t.at[IFLA_MTU]) {
		uint32_t mtu = mnl_attr_get_u32(t.at[IFLA_MTU]);

		__atomic_store_n(&dev->mtu, (uint16_t)(mtu > UINT16_MAX ? UINT16_MAX : mtu),
				 __ATOMIC_RELAXED);
	}
	if (t.at[IFLA_ADDRESS] && mnl_attr_get_payload_len(t.at[IFLA_ADDRESS]) == 6 &&
	    memcmp(dev->mac, mnl_attr_get_payload(t.at[IFLA_ADDRESS]), 6) != 0) {
		memcpy(dev->mac, mnl_attr_get_payload(t.at[IFLA_ADDRESS]), 6);
		if (d.port->ops->mac_changed)
			d.port->ops->mac_changed(d.port, d.index);
	}
	m->is_dirty = true;
}

/* First global address of each family: what outer packets on the interface come from. */
static void on_dumped_address(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct attrs t = {{NULL}};
	uint32_t *found_in;
	uint8_t ip[16];
	struct device d;

	if (!find_device(m, ifa->ifa_index, &d) || ifa->ifa_scope >= RT_SCOPE_LINK ||
	    (ifa->ifa_flags & (IFA_F_SECONDARY | IFA_F_TENTATIVE | IFA_F_DEPRECATED)))
		return;
	found_in = &m->source_generation[d.port->index][d.index][ifa->ifa_family == AF_INET6];
	if (*found_in == m->generation)
		return;
	*found_in = m->generation;
	mnl_attr_parse(nlh, sizeof(*ifa), put_attr, &t);
	copy_addr(ip, t.at[IFA_LOCAL] ? t.at[IFA_LOCAL] : t.at[IFA_ADDRESS]);
	neigh_source_set(m->dp->neigh, d.port->index, (uint8_t)d.index, ifa->ifa_family,
			 d.port->netdev[d.index].mac, ip);
}

/*
 * The kernel sends outer packets until the dump tells which address comes next: a
 * peer that saw one more from the old address would go on answering there.
 */
static void on_address_gone(struct mirror *m, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct device d;

	m->is_dirty = true;
	if (find_device(m, ifa->ifa_index, &d))
		neigh_source_set(m->dp->neigh, d.port->index, (uint8_t)d.index, ifa->ifa_family,
				 d.port->netdev[d.index].mac, NULL);
}

/* Without an address an interface still delivers, by its MAC, but sends no outer packets. */
static void set_sources_without_address(struct mirror *m)
{
	for (unsigned i = 0; i < m->dp->port_count; i++) {
		struct port *p = &m->dp->ports[i];

		for (unsigned k = 0; k < p->netdev_count; k++) {
			for (unsigned v6 = 0; v6 < 2; v6++) {
				if (m->source_generation[i][k][v6] != m->generation)
					neigh_source_set(m->dp->neigh, p->index, (uint8_t)k,
							 v6 ? AF_INET6 : AF_INET, p->netdev[k].mac,
							 NULL);
			}
		}
	}
}

static int on_message(const struct nlmsghdr *nlh, void *arg)
{
	struct mirror *m = arg;
	bool is_dump = nlh->nlmsg_flags & NLM_F_MULTI;
	struct route r;

	switch (nlh->nlmsg_type) {
	case RTM_NEWROUTE:
		if (!parse_route(m, nlh, &r))
			break;
		if (is_dump)
			on_dumped_route(m, &r);
		else
			on_new_route(m, &r);
		break;
	case RTM_DELROUTE:
		/* A route of worse metric may take its place: read all again. */
		m->is_dirty |= parse_route(m, nlh, &r) && !is_into_tun(m, &r);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		on_neighbour(m, nlh);
		break;
	case RTM_NEWLINK:
	case RTM_DELLINK:
		on_link(m, nlh);
		break;
	case RTM_DELADDR:
		on_address_gone(m, nlh);
		break;
	case RTM_NEWADDR:
		/* Which one comes first, the dump tells. */
		if (is_dump)
			on_dumped_address(m, nlh);
		else
			m->is_dirty = true;
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static struct mnl_socket *socket_open(unsigned groups, int flags, int *error)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);
	int size = RCVBUF_BYTES;

	if (!s || mnl_socket_bind(s, groups, MNL_SOCKET_AUTOPID) < 0) {
		*error = -errno;
		if (s)
			mnl_socket_close(s);
		return NULL;
	}
	setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return s;
}

static int ask(struct mirror *m, uint16_t type, uint8_t family)
{
	char req[MNL_NLMSG_HDRLEN + 64];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(req);
	struct rtmsg *rm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rm));
	ssize_t n;
	int ret = MNL_CB_OK;

	memset(rm, 0, sizeof(*rm));
	rm->rtm_family = family; /* first byte in the headers of all four families */
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = (unsigned)m->generation;
	if (mnl_socket_sendto(m->request, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (ret > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(m->request, m->buf, sizeof(m->buf));
		if (n < 0)
			return -errno;
		ret = mnl_cb_run(m->buf, (size_t)n, 0, 0, on_message, m);
	}
	return ret < 0 ? -errno : 0;
}

/* -EINTR: something changed while the kernel told it, and it may be told in part. */
static int dump(struct mirror *m, uint16_t type, uint8_t family)
{
	int ret = 0;

	if (!m->request)
		m->request = socket_open(0, 0, &ret);
	if (!m->request)
		return ret;
	ret = ask(m, type, family);
	if (ret < 0) {
		/* The rest of this answer would be taken for the next one's. */
		mnl_socket_close(m->request);
		m->request = NULL;
	}
	return ret;
}

/* Events were lost: what is not told of now is gone. */
static int read_neighbours(struct mirror *m)
{
	int ret;

	neigh_forget(m->dp->neigh);
	ret = dump(m, RTM_GETNEIGH, AF_UNSPEC);
	if (ret == 0)
		m->is_neigh_dirty = false;
	return ret;
}

/* Everything but neighbours, and what is no more is swept. */
static int read_all(struct mirror *m)
{
	int ret;

	m->generation++;
	if ((ret = dump(m, RTM_GETLINK, AF_UNSPEC)) < 0 ||
	    (ret = dump(m, RTM_GETADDR, AF_UNSPEC)) < 0 ||
	    (ret = dump(m, RTM_GETROUTE, AF_INET)) < 0 ||
	    (ret = dump(m, RTM_GETROUTE, AF_INET6)) < 0)
		return ret;
	set_sources_without_address(m);
	fib_walk(m->dp->local, unsteer_old, m);
	fib_sweep(m->dp->local, m->generation);
	fib_sweep(m->dp->outer, m->generation);
	m->is_dirty = false;
	return 0;
}

static void on_events(struct loop_handler *h, uint32_t epoll_events)
{
	struct mirror *m = (struct mirror *)h;
	ssize_t n;

	for (;;) {
		n = mnl_socket_recvfrom(m->events, m->buf, sizeof(m->buf));
		if (n < 0 && errno == ENOBUFS) {
			m->is_dirty = true;
			m->is_neigh_dirty = true;
			continue;
		}
		if (n <= 0)
			return;
		mnl_cb_run(m->buf, (size_t)n, 0, 0, on_message, m);
	}
}

/* Tells the kernel that a neighbour is used: it probes as it would for its own traffic. */
static int keep_alive(uint16_t id, const struct nexthop *n, void *arg)
{
	struct mirror *m = arg;
	char req[MNL_NLMSG_HDRLEN + 128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(req);
	struct ndmsg *nd = mnl_nlmsg_put_extra_header(nlh, sizeof(*nd));
	uint64_t used = atomic_load_explicit(&n->used_ns, memory_order_relaxed);

	if (!used || clock_now_ns() - used > IN_USE_NS)
		return 0;
	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
	memset(nd, 0, sizeof(*nd));
	nd->ndm_family = n->family;
	nd->ndm_ifindex = (int)m->dp->ports[n->port].netdev[n->netdev].ifindex;
	nd->ndm_flags = NTF_USE;
	mnl_attr_put(nlh, NDA_DST, n->family == AF_INET ? 4 : 16, n->ip);
	/* No answer is asked for: what becomes of it comes as an event. */
	if (mnl_socket_sendto(m->events, nlh, nlh->nlmsg_len) < 0)
		log_warn("mirror.neighbour", "id=%u error=\"%s\"", id, strerror(errno));
	return 0;
}

void mirror_tick(struct mirror *m, uint64_t now_ns)
{
	int ret;

	/* Interrupted: it is still to be done at the next tick. */
	if (m->is_dirty && (ret = read_all(m)) < 0 && ret != -EINTR)
		log_warn("mirror.read", "error=\"%s\"", strerror(-ret));
	if (m->is_neigh_dirty && (ret = read_neighbours(m)) < 0 && ret != -EINTR)
		log_warn("mirror.read", "table=neighbours error=\"%s\"", strerror(-ret));
	if (now_ns - m->kept_alive_ns > KEEP_ALIVE_NS) {
		m->kept_alive_ns = now_ns;
		neigh_walk(m->dp->neigh, keep_alive, m);
	}
}

struct mirror *mirror_new(struct dataplane *dp, int epoll_fd, int *error)
{
	struct mirror *m = calloc(1, sizeof(*m));
	struct epoll_event ev = {.events = EPOLLIN};

	*error = -ENOMEM;
	if (!m)
		return NULL;
	m->handler.on_ready = on_events;
	m->dp = dp;
	m->epoll_fd = epoll_fd;
	m->events = socket_open(RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR |
					RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
				SOCK_NONBLOCK, error);
	if (!m->events)
		goto fail;
	*error = -EINTR;
	for (unsigned i = 0; *error == -EINTR && i < START_TRIES; i++) {
		*error = read_all(m);
		if (*error == 0)
			*error = read_neighbours(m);
	}
	if (*error < 0)
		goto fail;
	ev.data.ptr = &m->handler;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, mnl_socket_get_fd(m->events), &ev);
	return m;
fail:
	mirror_free(m);
	return NULL;
}

bool mirror_is_tun_gone(const struct mirror *m)
{
	return m->is_tun_gone;
}

void mirror_free(struct mirror *m)
{
	if (!m)
		return;
	if (m->events)
		mnl_socket_close(m->events);
	if (m->request)
		mnl_socket_close(m->request);
	free(m);
}
