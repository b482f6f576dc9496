/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/link_health.h"

#include "controlplane/node/dp_sync.h"
#include "controlplane/node/link.h"

/* A port that forwards between tunnel and LAN by itself. */
static bool has_own_forwarding(const struct node *n)
{
	uint32_t count;
	const struct dpapi_port *ports = dp_sync_ports(n, &count);

	for (uint32_t i = 0; i < count; i++)
		if (ports[i].kind != DPAPI_PORT_KERNEL)
			return true;
	return false;
}

const char *link_health(const struct node *n)
{
	const struct node_config *cfg = n->config;

	if (!n->link)
		return NULL;
	if (link_problem(n->link))
		return link_problem(n->link);
	if (cfg->masquerade_count && !cfg->leaves_netfilter && !n->stopped && has_own_forwarding(n))
		return "What this port forwards itself keeps its source: translation towards "
		       "subnets needs the kernel port, or hosts there with a route back.";
	return NULL;
}
