/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ts2021/ts2021_url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/addr.h"

#define HTTP_PORT  80
#define HTTPS_PORT 443

static bool is_private(const char *host)
{
	static const char *const ranges[] = {"10.0.0.0/8",  "172.16.0.0/12",  "192.168.0.0/16",
					     "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10",
					     "fc00::/7",    "fe80::/10",      "::1/128"};
	struct ip_addr a;
	struct prefix p;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (addr_parse(host, &a))
		return false;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (prefix_parse(ranges[i], true, &p) == 0 && prefix_contains(&p, &a))
			return true;
	return false;
}

/* Digits only, all of them. */
static bool parse_port(const char *text, size_t len, uint16_t *out)
{
	unsigned value = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	*out = (uint16_t)value;
	return value > 0 && value <= 65535;
}

static bool is_host(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!(strchr("-._:", text[i]) || (text[i] >= '0' && text[i] <= '9') ||
		      ((text[i] | 32) >= 'a' && (text[i] | 32) <= 'z')))
			return false;
	return len > 0 && len < TS2021_HOST_MAX;
}

int ts2021_url_parse(const char *text, struct ts2021_url *out)
{
	struct ts2021_url u = {0};
	const char *host, *end, *port;
	bool has_port = false;
	size_t len;

	if (strncasecmp(text, "https://", 8) == 0)
		u.is_https = true;
	else if (strncasecmp(text, "http://", 7) != 0)
		return -EINVAL;
	host = strchr(text, ':') + 3;
	end = host + strcspn(host, "/?#");
	if (*host == '[') {
		const char *close = memchr(host, ']', (size_t)(end - host));

		if (!close || (close + 1 < end && close[1] != ':'))
			return -EINVAL;
		len = (size_t)(close - ++host);
		port = close + 1;
	} else {
		port = memchr(host, ':', (size_t)(end - host));
		port = port ? port : end;
		len = (size_t)(port - host);
	}
	if (!is_host(host, len))
		return -EINVAL;
	snprintf(u.host, sizeof(u.host), "%.*s", (int)len, host);
	u.port = u.is_https ? HTTPS_PORT : HTTP_PORT;
	/* "h:" is the scheme's port. */
	if (port < end && port + 1 < end) {
		has_port = parse_port(port + 1, (size_t)(end - port - 1), &u.port);
		if (!has_port)
			return -EINVAL;
	}
	snprintf(u.authority, sizeof(u.authority), strchr(u.host, ':') ? "[%s]" : "%s", u.host);
	if (has_port) {
		size_t n = strlen(u.authority);

		snprintf(u.authority + n, sizeof(u.authority) - n, ":%u", u.port);
	}
	u.plain_port = u.is_https ? HTTP_PORT : u.port;
	u.tls_port = u.is_https ? u.port : HTTPS_PORT;
	/* Nobody has a certificate for an address like that. */
	if (!u.is_https && is_private(u.host))
		u.tls_port = 0;
	*out = u;
	return 0;
}
