/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/netlink_talk.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

struct netlink {
	struct mnl_socket *sock;
	uint32_t seq;
	uint32_t portid;
	_Alignas(8) uint8_t buf[16384];
};

int netlink_open(struct netlink **out)
{
	struct netlink *nl = calloc(1, sizeof(*nl));
	int one = 1;

	if (!nl)
		return -ENOMEM;
	nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->sock || mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;

		netlink_close(nl);
		return err;
	}
	/* Dumps honour the filters in the request; older kernels ignore it. */
	mnl_socket_setsockopt(nl->sock, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	nl->portid = mnl_socket_get_portid(nl->sock);
	nl->seq = (uint32_t)time(NULL);
	*out = nl;
	return 0;
}

void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	if (nl->sock)
		mnl_socket_close(nl->sock);
	free(nl);
}

/* What an answer that ended in an error left behind would be taken for the next one's. */
static void drain(struct netlink *nl)
{
	int fd = mnl_socket_get_fd(nl->sock);

	while (recv(fd, nl->buf, sizeof(nl->buf), MSG_DONTWAIT) >= 0 || errno == EINTR ||
	       errno == ENOBUFS)
		;
}

struct nlmsghdr *netlink_begin(struct netlink *nl, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh;

	drain(nl);
	nlh = mnl_nlmsg_put_header(nl->buf);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	nlh->nlmsg_seq = ++nl->seq;
	return nlh;
}

static bool has_end(const void *buf, ssize_t bytes)
{
	const struct nlmsghdr *nlh = buf;
	int left = (int)bytes;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		if (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR)
			return true;
	}
	return false;
}

/*
 * The answer to the last request. -EINTR: a listing that changed under way. It is
 * read to its end all the same, or its rest would answer the next request.
 */
static int receive(struct netlink *nl, mnl_cb_t cb, void *arg)
{
	bool is_disturbed = false;

	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl->sock, nl->buf, sizeof(nl->buf));
		int rc;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		rc = mnl_cb_run(nl->buf, (size_t)n, nl->seq, nl->portid, cb, arg);
		if (rc < 0 && errno != EINTR)
			return -errno;
		is_disturbed |= rc < 0;
		if (rc == MNL_CB_STOP || (rc < 0 && has_end(nl->buf, n)))
			return is_disturbed ? -EINTR : 0;
	}
}

int netlink_talk(struct netlink *nl, struct nlmsghdr *nlh, mnl_cb_t cb, void *arg)
{
	if (mnl_socket_sendto(nl->sock, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	return receive(nl, cb, arg);
}

static int talk(struct netlink *nl, struct nlmsghdr *nlh)
{
	return netlink_talk(nl, nlh, NULL, NULL);
}

/* The header of every listing begins with the family. */
int netlink_list(struct netlink *nl, uint16_t type, uint8_t family, mnl_cb_t cb, void *arg)
{
	struct nlmsghdr *nlh = netlink_begin(nl, type, NLM_F_DUMP);
	size_t len = type == RTM_GETROUTE  ? sizeof(struct rtmsg)
		     : type == RTM_GETADDR ? sizeof(struct ifaddrmsg)
					   : sizeof(struct ifinfomsg);

	*(uint8_t *)mnl_nlmsg_put_extra_header(nlh, len) = family;
	return netlink_talk(nl, nlh, cb, arg);
}

static int unless(int err, int harmless)
{
	return err == harmless ? 0 : err;
}

static size_t addr_bytes(uint8_t family)
{
	return family == AF_INET6 ? 16 : 4;
}

int netlink_link_up(struct netlink *nl, uint32_t ifindex, uint32_t mtu, uint32_t group)
{
	struct nlmsghdr *nlh = netlink_begin(nl, RTM_NEWLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)ifindex;
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	mnl_attr_put_u32(nlh, IFLA_GROUP, group);
	return talk(nl, nlh);
}

static struct nlmsghdr *addr_request(struct netlink *nl, uint16_t type, uint16_t flags,
				     uint32_t ifindex, const struct ip_addr *addr,
				     uint8_t prefix_len)
{
	struct nlmsghdr *nlh = netlink_begin(nl, type, flags);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));

	ifa->ifa_family = addr->family;
	ifa->ifa_prefixlen = prefix_len;
	ifa->ifa_flags = addr->family == AF_INET6 ? IFA_F_NODAD : 0;
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	ifa->ifa_index = ifindex;
	mnl_attr_put(nlh, IFA_LOCAL, addr_bytes(addr->family), addr->bytes);
	mnl_attr_put(nlh, IFA_ADDRESS, addr_bytes(addr->family), addr->bytes);
	return nlh;
}

int netlink_addr_add(struct netlink *nl, uint32_t ifindex, const struct ip_addr *addr,
		     uint8_t prefix_len, bool is_service)
{
	struct nlmsghdr *nlh =
		addr_request(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifindex, addr, prefix_len);
	struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct ifa_cacheinfo deprecated = {.ifa_prefered = 0, .ifa_valid = UINT32_MAX};

	if (is_service && addr->family == AF_INET)
		ifa->ifa_scope = RT_SCOPE_HOST;
	else if (is_service)
		mnl_attr_put(nlh, IFA_CACHEINFO, sizeof(deprecated), &deprecated);
	return unless(talk(nl, nlh), -EEXIST);
}

int netlink_addr_del(struct netlink *nl, uint32_t ifindex, const struct ip_addr *addr,
		     uint8_t prefix_len)
{
	return unless(talk(nl, addr_request(nl, RTM_DELADDR, 0, ifindex, addr, prefix_len)),
		      -EADDRNOTAVAIL);
}

static struct nlmsghdr *route_request(struct netlink *nl, uint16_t type, uint16_t flags,
				      const struct netlink_route *r)
{
	struct nlmsghdr *nlh = netlink_begin(nl, type, flags);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));

	rtm->rtm_family = r->dst.addr.family;
	rtm->rtm_dst_len = r->dst.len;
	rtm->rtm_table = r->table < 256 ? (uint8_t)r->table : RT_TABLE_UNSPEC;
	rtm->rtm_protocol = NETLINK_PROTOCOL;
	rtm->rtm_type = r->ifindex ? RTN_UNICAST : RTN_UNREACHABLE;
	rtm->rtm_scope = RT_SCOPE_UNIVERSE;
	if (r->ifindex && r->dst.addr.family == AF_INET)
		rtm->rtm_scope = RT_SCOPE_LINK;
	mnl_attr_put(nlh, RTA_DST, addr_bytes(r->dst.addr.family), r->dst.addr.bytes);
	mnl_attr_put_u32(nlh, RTA_TABLE, r->table);
	mnl_attr_put_u32(nlh, RTA_PRIORITY, r->metric);
	if (r->ifindex)
		mnl_attr_put_u32(nlh, RTA_OIF, r->ifindex);
	if (r->mtu) {
		struct nlattr *nest = mnl_attr_nest_start(nlh, RTA_METRICS);

		mnl_attr_put_u32(nlh, RTAX_MTU, r->mtu);
		mnl_attr_nest_end(nlh, nest);
	}
	return nlh;
}

int netlink_route_set(struct netlink *nl, const struct netlink_route *route)
{
	return talk(nl, route_request(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route));
}

int netlink_route_del(struct netlink *nl, const struct netlink_route *route)
{
	return unless(talk(nl, route_request(nl, RTM_DELROUTE, 0, route)), -ESRCH);
}

static struct nlmsghdr *rule_request(struct netlink *nl, uint16_t type, uint16_t flags,
				     const struct netlink_rule *r)
{
	struct nlmsghdr *nlh = netlink_begin(nl, type, flags);
	struct fib_rule_hdr *frh = mnl_nlmsg_put_extra_header(nlh, sizeof(*frh));

	frh->family = r->family;
	frh->action = r->is_unreachable ? FR_ACT_UNREACHABLE : FR_ACT_TO_TBL;
	frh->table = r->table < 256 ? (uint8_t)r->table : RT_TABLE_UNSPEC;
	frh->flags = r->invert ? FIB_RULE_INVERT : 0;
	mnl_attr_put_u32(nlh, FRA_PRIORITY, r->priority);
	if (!r->is_unreachable)
		mnl_attr_put_u32(nlh, FRA_TABLE, r->table);
	mnl_attr_put_u8(nlh, FRA_PROTOCOL, NETLINK_PROTOCOL);
	if (r->fwmask) {
		mnl_attr_put_u32(nlh, FRA_FWMARK, r->fwmark);
		mnl_attr_put_u32(nlh, FRA_FWMASK, r->fwmask);
	}
	if (r->from_host)
		mnl_attr_put_strz(nlh, FRA_IIFNAME, "lo");
	if (r->suppress_all)
		mnl_attr_put_u32(nlh, FRA_SUPPRESS_PREFIXLEN, 0);
	if (r->suppress_group)
		mnl_attr_put_u32(nlh, FRA_SUPPRESS_IFGROUP, r->suppress_group);
	return nlh;
}

int netlink_rule_add(struct netlink *nl, const struct netlink_rule *rule)
{
	return unless(talk(nl, rule_request(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule)),
		      -EEXIST);
}

int netlink_rule_del(struct netlink *nl, const struct netlink_rule *rule)
{
	return unless(talk(nl, rule_request(nl, RTM_DELRULE, 0, rule)), -ENOENT);
}

struct route_dump {
	void (*cb)(const struct netlink_route *, void *);
	void *arg;
};

static int on_route(const struct nlmsghdr *nlh, void *data)
{
	const struct route_dump *d = data;
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct netlink_route r = {.table = rtm->rtm_table};
	const struct nlattr *a;

	if (rtm->rtm_protocol != NETLINK_PROTOCOL)
		return MNL_CB_OK;
	if (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)
		return MNL_CB_OK;
	r.dst.addr.family = rtm->rtm_family;
	r.dst.len = rtm->rtm_dst_len;
	mnl_attr_for_each(a, nlh, sizeof(*rtm))
	{
		switch (mnl_attr_get_type(a)) {
		case RTA_DST:
			if (mnl_attr_get_payload_len(a) <= sizeof(r.dst.addr.bytes))
				memcpy(r.dst.addr.bytes, mnl_attr_get_payload(a),
				       mnl_attr_get_payload_len(a));
			break;
		case RTA_TABLE:
			r.table = mnl_attr_get_u32(a);
			break;
		case RTA_PRIORITY:
			r.metric = mnl_attr_get_u32(a);
			break;
		case RTA_OIF:
			/* An IPv6 unreachable route hangs on lo. */
			if (rtm->rtm_type == RTN_UNICAST)
				r.ifindex = mnl_attr_get_u32(a);
			break;
		default:
			break;
		}
	}
	d->cb(&r, d->arg);
	return MNL_CB_OK;
}

int netlink_routes_ours(struct netlink *nl, void (*cb)(const struct netlink_route *, void *),
			void *arg)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct route_dump d = {.cb = cb, .arg = arg};
	int err = 0;

	for (unsigned i = 0; i < sizeof(families) && !err; i++) {
		err = netlink_list(nl, RTM_GETROUTE, families[i], on_route, &d);
		/* A host with a routing daemon changes all the time. */
		for (int n = 0; err == -EINTR && n < NETLINK_LIST_TRIES; n++)
			err = netlink_list(nl, RTM_GETROUTE, families[i], on_route, &d);
	}
	return err;
}

struct addr_dump {
	uint32_t ifindex;
	void (*cb)(const struct ip_addr *, uint8_t, void *);
	void *arg;
};

static int on_addr(const struct nlmsghdr *nlh, void *data)
{
	const struct addr_dump *d = data;
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct ip_addr addr = {.family = ifa->ifa_family};
	const struct nlattr *a;
	bool local = false;

	if (ifa->ifa_index != d->ifindex)
		return MNL_CB_OK;
	mnl_attr_for_each(a, nlh, sizeof(*ifa))
	{
		uint16_t type = mnl_attr_get_type(a);

		/* IFA_LOCAL is the address itself where both are there. */
		if (type != IFA_LOCAL && (type != IFA_ADDRESS || local))
			continue;
		if (mnl_attr_get_payload_len(a) > sizeof(addr.bytes))
			continue;
		local = type == IFA_LOCAL;
		memcpy(addr.bytes, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
	}
	d->cb(&addr, ifa->ifa_prefixlen, d->arg);
	return MNL_CB_OK;
}

int netlink_addrs(struct netlink *nl, uint32_t ifindex,
		  void (*cb)(const struct ip_addr *, uint8_t prefix_len, void *), void *arg)
{
	struct addr_dump d = {.ifindex = ifindex, .cb = cb, .arg = arg};
	struct nlmsghdr *nlh = netlink_begin(nl, RTM_GETADDR, NLM_F_DUMP);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));

	ifa->ifa_family = AF_UNSPEC;
	ifa->ifa_index = ifindex;
	return netlink_talk(nl, nlh, on_addr, &d);
}
