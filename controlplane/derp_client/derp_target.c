/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HTTPS_PORT 443
#define HTTP_PORT  80
/* What host names, addresses and pins are made of: no white space, no line's end. */
#define HOST_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:"

static bool is_host(const char *text, size_t room)
{
	size_t len = strlen(text);

	return len < room && strspn(text, HOST_CHARS) == len;
}

int derp_target_init(struct derp_target *t, const struct derp_map_node *node, bool is_plain)
{
	if (!*node->host_name || !is_host(node->host_name, sizeof(t->host)) ||
	    !is_host(node->cert_name, sizeof(t->cert)))
		return -EINVAL;
	*t = (struct derp_target){.ipv4 = node->ipv4,
				  .ipv6 = node->ipv6,
				  .port = node->derp_port,
				  .is_insecure = node->is_insecure,
				  .is_plain = is_plain};
	if (is_plain && t->port == HTTPS_PORT)
		t->port = DERP_PLAIN_PORT;
	/* It stands in a header. */
	snprintf(t->name, sizeof(t->name), "%.*s", (int)strspn(node->name, HOST_CHARS), node->name);
	snprintf(t->host, sizeof(t->host), "%s", node->host_name);
	snprintf(t->cert, sizeof(t->cert), "%s", node->cert_name);
	return 0;
}

static bool same_addr(const struct derp_map_addr *a, const struct derp_map_addr *b)
{
	return a->use == b->use && (a->use != DERP_MAP_GIVEN || addr_equal(&a->addr, &b->addr));
}

bool derp_target_equal(const struct derp_target *a, const struct derp_target *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->host, b->host) == 0 &&
	       strcmp(a->cert, b->cert) == 0 && same_addr(&a->ipv4, &b->ipv4) &&
	       same_addr(&a->ipv6, &b->ipv6) && a->port == b->port &&
	       a->is_insecure == b->is_insecure && a->is_plain == b->is_plain;
}

const char *derp_target_print(const struct derp_target *t, bool is_short,
			      char out[DERP_TARGET_TEXT_MAX])
{
	bool is_v6 = strchr(t->host, ':');
	int n = snprintf(out, DERP_TARGET_TEXT_MAX, is_v6 ? "[%s]" : "%s", t->host);

	if (!is_short || t->port != (t->is_plain ? HTTP_PORT : HTTPS_PORT))
		snprintf(out + n, DERP_TARGET_TEXT_MAX - (size_t)n, ":%u", t->port);
	return out;
}
