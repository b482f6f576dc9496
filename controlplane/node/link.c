/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "controlplane/net/net_stream.h"
#include "controlplane/node/link_plan.h"
#include "controlplane/node/netlink.h"
#include "controlplane/node/nft_table.h"
#include "lib/base/log.h"

struct link {
	struct netlink *nl;
	struct nft_table *nft;
	bool leaves_netfilter;
	bool has_table;		   /* of this process's making */
	bool forwards4, forwards6; /* the kernel has to, for peers */
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
	err = nft_table_open(&l->nft);
	if (!err)
		err = netlink_open(&l->nl);
	if (err) {
		nft_table_close(l->nft);
		free(l);
		return err;
	}
	/* Rules keep marked packets out of the tunnel (link_plan.h). */
	net_stream_set_mark(LINK_FWMARK);
	*out = l;
	return 0;
}

void link_close(struct link *l)
{
	if (!l)
		return;
	/* An orderly end leaves nothing in the host's netfilter. */
	if (l->has_table)
		nft_table_remove(l->nft);
	nft_table_close(l->nft);
	netlink_close(l->nl);
	free(l);
}

/* As the kernel has it now. */
static bool is_forwarding(const char *path)
{
	char value = '1';
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && read(fd, &value, 1) != 1)
		value = '1';
	if (fd >= 0)
		close(fd);
	return value != '0';
}

static const char *forwarding_problem(const struct link *l)
{
	bool off4 = l->forwards4 && !is_forwarding("/proc/sys/net/ipv4/ip_forward");
	bool off6 = l->forwards6 && !is_forwarding("/proc/sys/net/ipv6/conf/all/forwarding");

	if (off4 && off6)
		return "IP forwarding is disabled, subnet routing/exit nodes will not work "
		       "(sysctl net.ipv4.ip_forward and net.ipv6.conf.all.forwarding).";
	if (off4)
		return "IPv4 forwarding is disabled, subnet routing/exit nodes may not work "
		       "(sysctl net.ipv4.ip_forward).";
	if (off6)
		return "IPv6 forwarding is disabled, subnet routing/exit nodes may not work "
		       "(sysctl net.ipv6.conf.all.forwarding).";
	return NULL;
}

const char *link_problem(const struct link *l)
{
	if (l->problem[0])
		return l->problem;
	return nft_table_problem(l->nft) ? nft_table_problem(l->nft) : forwarding_problem(l);
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

static void set_rules(struct link *l, uint8_t family, const struct link_plan *plan)
{
	struct netlink_rule rules[LINK_RULES];
	bool is_any_wanted = false;

	link_plan_rules(family, rules);
	for (unsigned i = 0; i < LINK_RULES; i++) {
		bool is_wanted = link_plan_needs(plan, &rules[i]);
		int err = is_wanted ? netlink_rule_add(l->nl, &rules[i])
				    : netlink_rule_del(l->nl, &rules[i]);

		is_any_wanted |= is_wanted;
		/* Without IPv6 nothing can leave by it; what a peer has of it is told by its route.
		 */
		if (err && is_wanted && !is_no_ipv6(family, err))
			problem(l, family, err, "policy rule %u", rules[i].priority);
	}
	/* Lets reverse-path filtering see the mark of the outer packets. */
	if (is_any_wanted && family == AF_INET)
		sysctl_write("ipv4", "all", "src_valid_mark", "1");
}

static void set_tun(struct link *l, const struct node_config *cfg, const char *tun,
		    uint32_t ifindex, uint32_t mtu)
{
	int err;

	set_sysctls(tun);
	err = netlink_link_up(l->nl, ifindex, mtu, LINK_GROUP);
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

/* An exit node closes a family that this host does not have: it is closed enough. */
static bool is_closing(const struct netlink_route *r, int err)
{
	return !r->dst.len && !r->ifindex && is_no_ipv6(r->dst.addr.family, err);
}

/*
 * The table stays while the TUN is away: flows that come back with it find it. Where
 * nftables is not ours to use, what was made before that was said goes.
 */
static void set_translation(struct link *l, const struct node_config *cfg, const char *tun)
{
	bool is_wanted_now = cfg->masquerade_count && !cfg->leaves_netfilter;

	if (!is_wanted_now) {
		if (!cfg->leaves_netfilter || l->has_table)
			nft_table_remove(l->nft);
		l->has_table = false;
	} else if (tun[0]) {
		nft_table_apply(l->nft, &(struct nft_wanted){.tun = tun,
							     .routes = cfg->masquerade,
							     .route_count = cfg->masquerade_count});
		l->has_table = true;
	}
	l->leaves_netfilter = cfg->leaves_netfilter;
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
			if (err && !is_closing(r, err))
				problem(l, r->dst.addr.family, err, "route %s",
					prefix_print(&r->dst, text));
		}
	}
	set_rules(l, AF_INET, &plan);
	set_rules(l, AF_INET6, &plan);
	set_translation(l, cfg, tun);
	l->forwards4 = cfg->forwards4;
	l->forwards6 = cfg->forwards6;
	remove_routes(l, &plan, ifindex != 0);
	link_plan_fini(&plan);
}

void link_down(struct link *l, uint32_t ifindex)
{
	const struct link_plan none = {0};

	l->problem[0] = 0;
	set_rules(l, AF_INET, &none);
	set_rules(l, AF_INET6, &none);
	if (!l->leaves_netfilter)
		nft_table_remove(l->nft);
	l->has_table = false;
	l->forwards4 = l->forwards6 = false;
	remove_routes(l, NULL, false);
	if (ifindex)
		remove_addrs(l, NULL, ifindex);
}
