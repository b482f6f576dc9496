/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/mesh_interfaces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include "controlplane/node/netlink_talk.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define QUIET_MS  100
#define LATEST_MS 1000

/*
 * Root servers of the DNS: addresses of the internet for which nobody has a route of its own.
 * Nothing is sent there, the kernel is asked which way it would take.
 */
static const struct ip_addr far_v4 = {AF_INET, {198, 41, 0, 4}};
static const struct ip_addr far_v6 = {
	AF_INET6, {0x20, 0x01, 0x05, 0x03, 0xba, 0x3e, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0x30}};

struct mesh_interfaces {
	struct mesh_interfaces_events ev;
	void *arg;
	struct netlink *nl;	 /* requests */
	struct mnl_socket *news; /* the kernel's, unasked */
	uint32_t mark;
	struct mesh_interfaces_state state;
	uint64_t told_ns; /* first of the news that were not looked at; 0: none */
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles; /* open */
	bool is_closed;
};

/* One reading: the interfaces that count, and their addresses. */
struct reading {
	struct mesh_interfaces *m;
	struct {
		uint32_t ifindex;
		bool is_loopback;
	} * link;
	size_t links;
	struct mesh_interfaces_addr *addr;
	size_t addrs;
};

/* Grows *array by one; NULL: no memory. */
static void *grow(void *array, size_t count, size_t size)
{
	return count & (count - 1) ? array : realloc(array, (count ? 2 * count : 1) * size);
}

/* Other overlays: to speak through one of them would be each carrying the other. */
static bool is_overlay(const char *name)
{
	return strncmp(name, "zt", 2) == 0 || strcmp(name, "wt0") == 0;
}

static int on_link(const struct nlmsghdr *nlh, void *data)
{
	struct reading *r = data;
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct mesh_interfaces_events *ev = &r->m->ev;
	const char *name = "";
	const struct nlattr *a;
	void *p;

	mnl_attr_for_each(a, nlh, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_IFNAME &&
		    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
			name = mnl_attr_get_str(a);
	}
	if (!(ifi->ifi_flags & IFF_UP) || is_overlay(name) ||
	    (ev->is_own && ev->is_own(r->m->arg, (uint32_t)ifi->ifi_index, name)))
		return MNL_CB_OK;
	p = grow(r->link, r->links, sizeof(*r->link));
	if (!p) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	r->link = p;
	r->link[r->links].ifindex = (uint32_t)ifi->ifi_index;
	r->link[r->links++].is_loopback = ifi->ifi_flags & IFF_LOOPBACK;
	return MNL_CB_OK;
}

static void copy_addr(const struct nlattr *a, uint8_t family, struct ip_addr *out)
{
	size_t len = mnl_attr_get_payload_len(a);

	if (len != (family == AF_INET6 ? 16u : 4u))
		return;
	*out = (struct ip_addr){.family = family};
	memcpy(out->bytes, mnl_attr_get_payload(a), len);
}

static int on_addr(const struct nlmsghdr *nlh, void *data)
{
	struct reading *r = data;
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct mesh_interfaces_addr found = {.ifindex = ifa->ifa_index,
					     .prefix_len = ifa->ifa_prefixlen};
	struct ip_addr local = {0};
	uint32_t flags = ifa->ifa_flags;
	const struct nlattr *a;
	size_t i = 0;
	void *p;

	while (i < r->links && r->link[i].ifindex != ifa->ifa_index)
		i++;
	if (i == r->links)
		return MNL_CB_OK;
	found.is_loopback = r->link[i].is_loopback;
	mnl_attr_for_each(a, nlh, sizeof(*ifa))
	{
		if (mnl_attr_get_type(a) == IFA_ADDRESS)
			copy_addr(a, ifa->ifa_family, &found.addr);
		else if (mnl_attr_get_type(a) == IFA_LOCAL)
			copy_addr(a, ifa->ifa_family, &local);
		else if (mnl_attr_get_type(a) == IFA_FLAGS &&
			 mnl_attr_get_payload_len(a) == sizeof(flags))
			flags = mnl_attr_get_u32(a);
	}
	/* With a peer on the link IFA_ADDRESS is the peer's. */
	if (local.family)
		found.addr = local;
	if (!found.addr.family || flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED))
		return MNL_CB_OK;
	p = grow(r->addr, r->addrs, sizeof(*r->addr));
	if (!p) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	r->addr = p;
	r->addr[r->addrs++] = found;
	return MNL_CB_OK;
}

static int on_way(const struct nlmsghdr *nlh, void *data)
{
	struct mesh_interfaces_way *way = data;
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *a;

	if (rtm->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	mnl_attr_for_each(a, nlh, sizeof(*rtm))
	{
		switch (mnl_attr_get_type(a)) {
		case RTA_OIF:
			if (mnl_attr_get_payload_len(a) == sizeof(uint32_t))
				way->ifindex = mnl_attr_get_u32(a);
			break;
		case RTA_GATEWAY:
			copy_addr(a, rtm->rtm_family, &way->gateway);
			break;
		case RTA_PREFSRC:
			copy_addr(a, rtm->rtm_family, &way->source);
			break;
		default:
			break;
		}
	}
	return MNL_CB_OK;
}

/* No way is no error. */
static void find_way(struct mesh_interfaces *m, const struct ip_addr *to,
		     struct mesh_interfaces_way *out)
{
	size_t len = to->family == AF_INET6 ? 16 : 4;
	struct nlmsghdr *nlh = netlink_begin(m->nl, RTM_GETROUTE, 0);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

	rtm->rtm_family = to->family;
	rtm->rtm_dst_len = (uint8_t)(8 * len);
	mnl_attr_put(nlh, RTA_DST, len, to->bytes);
	if (m->mark)
		mnl_attr_put_u32(nlh, RTA_MARK, m->mark);
	if (netlink_talk(m->nl, nlh, on_way, out))
		*out = (struct mesh_interfaces_way){0};
}

static int read_once(struct mesh_interfaces *m, struct mesh_interfaces_state *out)
{
	struct reading r = {.m = m};
	int rc = netlink_list(m->nl, RTM_GETLINK, AF_UNSPEC, on_link, &r);

	if (!rc)
		rc = netlink_list(m->nl, RTM_GETADDR, AF_UNSPEC, on_addr, &r);
	if (!rc) {
		*out = (struct mesh_interfaces_state){0};
		mesh_interfaces_choose(r.addr, r.addrs, out);
		find_way(m, &far_v4, &out->default_v4);
		find_way(m, &far_v6, &out->default_v6);
	}
	free(r.link);
	free(r.addr);
	return rc;
}

static int read_state(struct mesh_interfaces *m, struct mesh_interfaces_state *out)
{
	int rc = read_once(m, out);

	for (int n = 0; rc == -EINTR && n < NETLINK_LIST_TRIES; n++)
		rc = read_once(m, out);
	return rc;
}

static bool is_same_way(const struct mesh_interfaces_way *a, const struct mesh_interfaces_way *b)
{
	return a->ifindex == b->ifindex && addr_equal(&a->gateway, &b->gateway) &&
	       addr_equal(&a->source, &b->source);
}

static bool is_same(const struct mesh_interfaces_state *a, const struct mesh_interfaces_state *b)
{
	return a->count == b->count && memcmp(a->at, b->at, a->count * sizeof(a->at[0])) == 0 &&
	       a->has_v4 == b->has_v4 && a->has_v6 == b->has_v6 &&
	       is_same_way(&a->default_v4, &b->default_v4) &&
	       is_same_way(&a->default_v6, &b->default_v6);
}

static void look(struct mesh_interfaces *m)
{
	struct mesh_interfaces_state old = m->state, now;
	int rc = read_state(m, &now);

	m->told_ns = 0;
	if (rc) {
		log_warn("mesh.interfaces", "cannot read them: %s", strerror(-rc));
		return;
	}
	if (is_same(&old, &now))
		return;
	m->state = now;
	m->ev.on_change(m->arg, &old, &m->state);
}

static void on_timer(uv_timer_t *t)
{
	look(t->data);
}

static void look_soon(struct mesh_interfaces *m)
{
	uint64_t now_ns = clock_now_ns(), waited_ms, ms = QUIET_MS;

	if (!m->told_ns)
		m->told_ns = now_ns;
	waited_ms = (now_ns - m->told_ns) / NS_PER_MS;
	if (waited_ms + ms > LATEST_MS)
		ms = waited_ms < LATEST_MS ? LATEST_MS - waited_ms : 0;
	uv_timer_start(&m->timer, on_timer, ms, 0);
}

/* What was told does not matter: all is read again. Nor does what was lost (ENOBUFS). */
static void on_news(uv_poll_t *p, int status, int events)
{
	struct mesh_interfaces *m = p->data;
	uint8_t buf[8192];
	ssize_t n;

	(void)status;
	(void)events;
	do
		n = mnl_socket_recvfrom(m->news, buf, sizeof(buf));
	while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS || errno == ENOSPC)));
	look_soon(m);
}

static int listen_to_news(struct mesh_interfaces *m)
{
	unsigned groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
			  RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;

	m->news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!m->news || mnl_socket_bind(m->news, groups, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	return 0;
}

static void free_all(struct mesh_interfaces *m)
{
	netlink_close(m->nl);
	if (m->news)
		mnl_socket_close(m->news);
	free(m);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct mesh_interfaces *m = h->data;

	if (--m->handles == 0)
		free_all(m);
}

int mesh_interfaces_open(uv_loop_t *loop, uint32_t mark, const struct mesh_interfaces_events *ev,
			 void *arg, struct mesh_interfaces **out)
{
	struct mesh_interfaces *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return -ENOMEM;
	m->ev = *ev;
	m->arg = arg;
	m->mark = mark;
	rc = netlink_open(&m->nl);
	/* First listen, then read: what changes between is told. */
	if (!rc)
		rc = listen_to_news(m);
	if (!rc)
		rc = read_state(m, &m->state);
	if (!rc)
		rc = uv_poll_init(loop, &m->poll, mnl_socket_get_fd(m->news));
	if (rc) {
		free_all(m);
		return rc;
	}
	uv_timer_init(loop, &m->timer);
	m->poll.data = m->timer.data = m;
	m->handles = 2;
	uv_poll_start(&m->poll, UV_READABLE, on_news);
	*out = m;
	return 0;
}

void mesh_interfaces_close(struct mesh_interfaces *m)
{
	if (!m || m->is_closed)
		return;
	m->is_closed = true;
	uv_close((uv_handle_t *)&m->poll, on_handle_closed);
	uv_close((uv_handle_t *)&m->timer, on_handle_closed);
}

const struct mesh_interfaces_state *mesh_interfaces_state(const struct mesh_interfaces *m)
{
	return &m->state;
}

void mesh_interfaces_look(struct mesh_interfaces *m)
{
	look_soon(m);
}
