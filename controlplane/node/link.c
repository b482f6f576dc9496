/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "controlplane/node/link_plan.h"
#include "controlplane/node/netlink.h"
#include "lib/base/log.h"

struct link {
	struct netlink *nl;
	char problem[LINK_PROBLEM_MAX];
};

/* Routes or addresses found in the kernel that are not wanted: collected, then removed. */
struct surplus {
	const struct link_plan *plan;
	bool has_tun; /* the plan knows the TUN */
	const struct node_config *cfg;
	struct netlink_route *routes;
	struct config_address *addrs;
	size_t count, room;
	int err;
};

int link_open(struct link **out)
{
	struct link *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	err = netlink_open(&l->nl);
	if (err) {
		free(l);
		return err;
	}
	*out = l;
	return 0;
}

void link_close(struct link *l)
{
	if (!l)
		return;
	netlink_close(l->nl);
	free(l);
}

const char *link_problem(const struct link *l)
{
	return l->problem[0] ? l->problem : NULL;
}

/* A host without IPv6 refuses its addresses and routes with one of these. */
static bool is_no_ipv6(uint8_t family, int err)
{
	return family == AF_INET6 && (err == -EACCES || err == -EPERM || err == -EOPNOTSUPP ||
				      err == -EAFNOSUPPORT || err == -ENODEV);
}

__attribute__((format(printf, 4, 5))) static void problem(struct link *l, uint8_t family, int err,
							  const char *fmt, ...)
{
	char what[LINK_PROBLEM_MAX / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	log_warn("link.refused", "what=\"%s\" error=\"%s\"", what, strerror(-err));
	if (l->problem[0])
		return;
	snprintf(l->problem, sizeof(l->problem), "The kernel refused %s: %s%s.", what,
		 strerror(-err), is_no_ipv6(family, err) ? " (is IPv6 disabled here?)" : "");
}

static void sysctl_write(const char *family, const char *tun, const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, tun, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		log_debug("link.sysctl", "path=%s error=\"%s\"", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * send_redirects: a hub forwards from the TUN to the TUN, which looks like a
 * detour to the kernel. rp_filter loose: the way back may be another interface.
 * No link-local address: the router solicitations of one would go to no peer.
 */
static void set_sysctls(const char *tun)
{
	sysctl_write("ipv4", tun, "send_redirects", "0");
	sysctl_write("ipv4", tun, "rp_filter", "2");
	sysctl_write("ipv6", tun, "addr_gen_mode", "1");
	sysctl_write("ipv6", tun, "accept_ra", "0");
	sysctl_write("ipv6", tun, "disable_ipv6", "0");
}

static bool grow(void **array, size_t item, struct surplus *s)
{
	size_t room = s->room ? 2 * s->room : 64;
	void *p;

	if (s->count < s->room)
		return true;
	p = realloc(*array, room * item);
	if (!p) {
		s->err = -ENOMEM;
		return false;
	}
	*array = p;
	s->room = room;
	return true;
}

/*
 * While causewayd does not know the dataplane, as after its own restart, a route
 * to the TUN may be carrying traffic: it stays as long as its prefix is wanted.
 */
static bool is_wanted(const struct surplus *s, const struct netlink_route *r)
{
	struct netlink_route closed = *r;

	if (!s->plan || link_plan_has(s->plan, r))
		return s->plan;
	closed.metric = LINK_METRIC_UNREACHABLE;
	closed.ifindex = 0;
	return !s->has_tun && r->ifindex && link_plan_has(s->plan, &closed);
}

static void collect_route(const struct netlink_route *r, void *arg)
{
	struct surplus *s = arg;

	if (is_wanted(s, r))
		return;
	if (grow((void **)&s->routes, sizeof(*r), s))
		s->routes[s->count++] = *r;
}

static void remove_routes(struct link *l, const struct link_plan *plan, bool has_tun)
{
	struct surplus s = {.plan = plan, .has_tun = has_tun};
	int err = netlink_routes_ours(l->nl, collect_route, &s);

	if (err || s.err)
		problem(l, AF_UNSPEC, err ? err : s.err, "a listing of routes");
	for (size_t i = 0; i < s.count; i++)
		netlink_route_del(l->nl, &s.routes[i]);
	free(s.routes);
}

static void collect_addr(const struct ip_addr *addr, uint8_t prefix_len, void *arg)
{
	struct surplus *s = arg;

	for (uint32_t i = 0; s->cfg && i < s->cfg->address_count; i++)
		if (s->cfg->addresses[i].prefix_len == prefix_len &&
		    addr_equal(&s->cfg->addresses[i].addr, addr))
			return;
	if (grow((void **)&s->addrs, sizeof(*s->addrs), s))
		s->addrs[s->count++] =
			(struct config_address){.addr = *addr, .prefix_len = prefix_len};
}

static void remove_addrs(struct link *l, const struct node_config *cfg, uint32_t ifindex)
{
	struct surplus s = {.cfg = cfg};

	netlink_addrs(l->nl, ifindex, collect_addr, &s);
	for (size_t i = 0; i < s.count; i++)
		netlink_addr_del(l->nl, ifindex, &s.addrs[i].addr, s.addrs[i].prefix_len);
	free(s.addrs);
}

static void set_rules(struct link *l, uint8_t family, bool wanted)
{
	struct netlink_rule rules[2];

	link_plan_rules(family, rules);
	for (unsigned i = 0; i < 2; i++) {
		int err = wanted ? netlink_rule_add(l->nl, &rules[i])
				 : netlink_rule_del(l->nl, &rules[i]);

		if (err && wanted)
			problem(l, family, err, "policy rule %u", rules[i].priority);
	}
	/* Lets reverse-path filtering see the mark of the outer packets. */
	if (wanted && family == AF_INET)
		sysctl_write("ipv4", "all", "src_valid_mark", "1");
}

static void set_tun(struct link *l, const struct node_config *cfg, const char *tun,
		    uint32_t ifindex, uint32_t mtu)
{
	int err;

	set_sysctls(tun);
	err = netlink_link_up(l->nl, ifindex, mtu);
	if (err)
		problem(l, AF_UNSPEC, err, "%s up with MTU %u", tun, mtu);
	remove_addrs(l, cfg, ifindex);
	for (uint32_t i = 0; i < cfg->address_count; i++) {
		const struct config_address *a = &cfg->addresses[i];
		char text[ADDR_STR_MAX];

		err = netlink_addr_add(l->nl, ifindex, &a->addr, a->prefix_len, a->is_service);
		if (err)
			problem(l, a->addr.family, err, "address %s/%u", addr_print(&a->addr, text),
				a->prefix_len);
	}
}

void link_apply(struct link *l, const struct node_config *cfg, const char *tun, uint32_t ifindex,
		uint32_t mtu_max)
{
	struct link_plan plan;
	int err;

	l->problem[0] = 0;
	err = link_plan_make(cfg, ifindex, mtu_max, &plan);
	if (err) {
		problem(l, AF_UNSPEC, err, "nothing yet");
		return;
	}
	/*
	 * All unreachable routes first: when the TUN comes up, and may vanish again,
	 * no prefix can fall through to the host's default route.
	 */
	for (int pass = 0; pass < 2; pass++) {
		if (pass == 1 && ifindex)
			set_tun(l, cfg, tun, ifindex, plan.tun_mtu);
		for (uint32_t i = 0; i < plan.route_count; i++) {
			const struct netlink_route *r = &plan.routes[i];
			char text[PREFIX_STR_MAX];

			if ((r->ifindex != 0) != (pass == 1))
				continue;
			err = netlink_route_set(l->nl, r);
			if (err)
				problem(l, r->dst.addr.family, err, "route %s",
					prefix_print(&r->dst, text));
		}
	}
	set_rules(l, AF_INET, plan.default_v4);
	set_rules(l, AF_INET6, plan.default_v6);
	remove_routes(l, &plan, ifindex != 0);
	link_plan_fini(&plan);
}

void link_down(struct link *l, uint32_t ifindex)
{
	l->problem[0] = 0;
	set_rules(l, AF_INET, false);
	set_rules(l, AF_INET6, false);
	remove_routes(l, NULL, false);
	if (ifindex)
		remove_addrs(l, NULL, ifindex);
}
