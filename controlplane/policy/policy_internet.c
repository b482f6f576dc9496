/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/policy/policy_internet.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/bug.h"

const char *const policy_internet_text[] = {
	"0.0.0.0-9.255.255.255",
	"11.0.0.0-100.63.255.255",
	"100.128.0.0-169.253.255.255",
	"169.255.0.0-172.15.255.255",
	"172.32.0.0-192.167.255.255",
	"192.169.0.0-255.255.255.255",
	"2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	NULL,
};

/* 100.64/10 without 100.115.92.0/23, which ChromeOS uses for itself. */
const char *const policy_tailnet_text[] = {
	"100.115.94.0-100.127.255.255",
	"100.64.0.0-100.115.91.255",
	"fd7a:115c:a1e0::/48",
	NULL,
};

static void add(const char *text, struct ip_set *out)
{
	const char *dash = strchr(text, '-');
	struct ip_range r = {0};
	struct ip_addr first, last;
	struct prefix p;
	char buf[ADDR_STR_MAX];

	if (!dash) {
		BUG_ON(prefix_parse(text, false, &p));
		ip_set_add_prefix(out, &p);
		return;
	}
	snprintf(buf, sizeof(buf), "%.*s", (int)(dash - text), text);
	BUG_ON(addr_parse(buf, &first) || addr_parse(dash + 1, &last));
	r.family = first.family;
	memcpy(r.first, first.bytes, sizeof(r.first));
	memcpy(r.last, last.bytes, sizeof(r.last));
	ip_set_add(out, &r);
}

void policy_internet(struct ip_set *out)
{
	for (const char *const *t = policy_internet_text; *t; t++)
		add(*t, out);
}

void policy_tailnet(struct ip_set *out)
{
	for (const char *const *t = policy_tailnet_text; *t; t++)
		add(*t, out);
}
