/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_proxy.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/addr.h"

#define USER_MAX 320 /* user, colon, password, decoded */
#define PORT_MAX 65535

/* The first that is set and not empty. */
static const char *get(char *(*env)(const char *), const char *upper, const char *lower)
{
	const char *v = env(upper);

	if (!v || !*v)
		v = env(lower);
	return v && *v ? v : NULL;
}

static bool is_loopback(const struct ip_addr *a)
{
	static const uint8_t v6[16] = {[15] = 1};

	return a->family == AF_INET ? a->bytes[0] == 127 : memcmp(a->bytes, v6, sizeof(v6)) == 0;
}

/* "host:port", "[v6]:port", "v6", "host"; port "" if there is none. False: too long, or malformed.
 */
static bool split(const char *text, size_t len, char host[DERP_PROXY_HOST_MAX], char port[6])
{
	const char *colon = memchr(text, ':', len), *end = text + len;
	size_t host_len = len;

	port[0] = 0;
	if (len && text[0] == '[') {
		const char *close = memchr(text, ']', len);

		if (!close || (close + 1 < end && close[1] != ':'))
			return false;
		colon = close + 1 < end ? close + 1 : NULL;
		text++;
		host_len = (size_t)(close - text);
	} else if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
		colon = NULL; /* an IPv6 address */
	} else if (colon) {
		host_len = (size_t)(colon - text);
	}
	if (host_len >= DERP_PROXY_HOST_MAX || (colon && end - colon - 1 > 5))
		return false;
	snprintf(host, DERP_PROXY_HOST_MAX, "%.*s", (int)host_len, text);
	if (colon)
		snprintf(port, 6, "%.*s", (int)(end - colon - 1), colon + 1);
	return true;
}

/* Is `host` below or, with may_be_equal, the same as `name`? */
static bool is_within(const char *host, const char *name, bool may_be_equal)
{
	size_t h = strlen(host), n = strlen(name);

	if (h == n)
		return may_be_equal && strcasecmp(host, name) == 0;
	return h > n && host[h - n - 1] == '.' && strcasecmp(host + h - n, name) == 0;
}

/* One entry of NO_PROXY: "*", an address, a prefix, a name, ".name" or "*.name", with ":port". */
static bool entry_matches(const char *entry, size_t len, const char *host,
			  const struct ip_addr *literal, uint16_t port)
{
	char name[DERP_PROXY_HOST_MAX], name_port[6], text[DERP_PROXY_HOST_MAX];
	struct prefix net;
	bool may_be_equal = true;
	struct ip_addr a;
	const char *at = name;

	if (!len || len >= sizeof(text))
		return false;
	if (len == 1 && *entry == '*')
		return true;
	snprintf(text, sizeof(text), "%.*s", (int)len, entry);
	if (strchr(text, '/') && prefix_parse(text, true, &net) == 0)
		return literal->family && prefix_contains(&net, literal);
	if (!split(entry, len, name, name_port) || !*name)
		return false;
	if (*name_port && strtoul(name_port, NULL, 10) != port)
		return false;
	if (addr_parse(name, &a) == 0)
		return addr_equal(&a, literal);
	if (at[0] == '*' && at[1] == '.')
		at++;
	if (*at == '.') {
		may_be_equal = false;
		at++;
	}
	return *at && is_within(host, at, may_be_equal);
}

/* Goes to this host without a proxy, whatever is set. */
static bool is_direct(const char *no_proxy, const char *host, uint16_t port)
{
	struct ip_addr literal = {0};

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (addr_parse(host, &literal) == 0 && is_loopback(&literal))
		return true;
	while (no_proxy && *no_proxy) {
		size_t len = strcspn(no_proxy, ","), from = strspn(no_proxy, " \t"), to = len;

		while (to > from && (no_proxy[to - 1] == ' ' || no_proxy[to - 1] == '\t'))
			to--;
		if (from < to && entry_matches(no_proxy + from, to - from, host, &literal, port))
			return true;
		no_proxy += len + (no_proxy[len] == ',');
	}
	return false;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c ? strchr(digits, c | 0x20) : NULL;

	/* '\x10'..'\x19' would be taken for digits. */
	return p && c >= '0' ? (int)(p - digits) : -1;
}

/* Undoes %-encoding; false: it is none, or too long. */
static bool decode(const char *in, size_t len, char *out, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int high, low;

		if (n + 1 >= room)
			return false;
		if (in[i] != '%') {
			out[n++] = in[i];
			continue;
		}
		high = i + 2 < len ? hex_digit(in[i + 1]) : -1;
		low = high >= 0 ? hex_digit(in[i + 2]) : -1;
		if (low < 0)
			return false;
		out[n++] = (char)(high * 16 + low);
		i += 2;
	}
	out[n] = 0;
	return true;
}

/* "user:password" in front of '@'. Without a password nothing is sent, as the reference does. */
static bool read_user(const char *text, size_t len, struct derp_proxy *out)
{
	const char *colon = memchr(text, ':', len);
	char plain[USER_MAX];
	size_t n, user;
	bool ok;

	if (!colon || colon == text)
		return true;
	user = (size_t)(colon - text);
	ok = decode(text, user, plain, sizeof(plain));
	n = ok ? strlen(plain) : 0;
	if (ok) {
		plain[n++] = ':';
		ok = decode(colon + 1, len - user - 1, plain + n, sizeof(plain) - n);
	}
	if (ok) {
		n += strlen(plain + n);
		memcpy(out->auth, "Basic ", 6);
		sodium_bin2base64(out->auth + 6, sizeof(out->auth) - 6, (uint8_t *)plain, n,
				  sodium_base64_VARIANT_ORIGINAL);
	}
	sodium_memzero(plain, sizeof(plain));
	return ok;
}

static int refuse(char why[DERP_PROXY_WHY_MAX], const char *variable, const char *what)
{
	snprintf(why, DERP_PROXY_WHY_MAX, "%s: %s", variable, what);
	return -EINVAL;
}

/* "http://user:password@host:port", where all but the host may be missing. */
static int read_url(const char *variable, const char *url, struct derp_proxy *out,
		    char why[DERP_PROXY_WHY_MAX])
{
	const char *scheme_end = strstr(url, "://"), *at;
	char port[6], *end;
	size_t len;

	*out = (struct derp_proxy){.port = 80};
	if (scheme_end && strncasecmp(url, "http:", 5) != 0)
		return refuse(why, variable, "only an http:// proxy can be used");
	if (scheme_end)
		url = scheme_end + 3;
	len = strcspn(url, "/?#");
	at = memrchr(url, '@', len);
	if (at) {
		if (!read_user(url, (size_t)(at - url), out))
			return refuse(why, variable, "user or password do not read");
		len -= (size_t)(at - url) + 1;
		url = at + 1;
	}
	if (!split(url, len, out->host, port) || !out->host[0])
		return refuse(why, variable, "there is no host in it");
	if (*port) {
		unsigned long n = strtoul(port, &end, 10);

		if (*end || !n || n > PORT_MAX)
			return refuse(why, variable, "its port is no number from 1 to 65535");
		out->port = (uint16_t)n;
	}
	return 1;
}

int derp_proxy_find(char *(*env)(const char *name), const char *host, uint16_t port,
		    struct derp_proxy *out, char why[DERP_PROXY_WHY_MAX])
{
	const char *variable = "HTTPS_PROXY", *url;

	if (!env || is_direct(get(env, "NO_PROXY", "no_proxy"), host, port))
		return 0;
	url = get(env, variable, "https_proxy");
	if (!url) {
		variable = "ALL_PROXY";
		url = get(env, variable, "all_proxy");
		/* Often a SOCKS proxy's, for other programs. */
		if (url && strstr(url, "://") && strncasecmp(url, "http:", 5) != 0)
			url = NULL;
	}
	return url ? read_url(variable, url, out, why) : 0;
}
