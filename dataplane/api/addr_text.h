/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of the tables (bytes and family) as text, by the printers of
 * lib/base/addr.h. Every function returns text, at least ADDR_TEXT_MAX bytes.
 */
#ifndef DATAPLANE_API_ADDR_TEXT_H
#define DATAPLANE_API_ADDR_TEXT_H

#include <string.h>
#include <sys/socket.h>

#include "lib/base/addr.h"
#include "lib/dpapi/dpapi.h"

#define ADDR_TEXT_MAX ENDPOINT_STR_MAX

static inline const char *addr_text_ip(const uint8_t *bytes, int family, char *text)
{
	struct ip_addr a = {.family = (uint8_t)family};

	memcpy(a.bytes, bytes, family == AF_INET ? 4 : 16);
	return addr_print(&a, text);
}

static inline const char *addr_text_prefix(const uint8_t *bytes, int family, unsigned len,
					   char *text)
{
	struct prefix p = {.addr.family = (uint8_t)family, .len = (uint8_t)len};

	memcpy(p.addr.bytes, bytes, family == AF_INET ? 4 : 16);
	return prefix_print(&p, text);
}

/* Family 0 gives an empty text. */
static inline const char *addr_text_endpoint(const struct dpapi_addr *a, char *text)
{
	struct endpoint e = {.addr.family = (uint8_t)a->family, .port = a->port};

	text[0] = 0;
	if (!a->family)
		return text;
	memcpy(e.addr.bytes, a->bytes, a->family == AF_INET ? 4 : 16);
	return endpoint_print(&e, text);
}

#endif
