/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS of the mesh, as an administrator writes it (HuJSON), and as nodes are told of
 * it (DNSConfig of a map). Pure: text in, text out.
 *
 *   {
 *     "magic_dns": true,                            // nodes by name; true without it
 *     "resolvers": ["192.0.2.53", "[2001:db8::53]:53", "https://dns.example/dns-query"],
 *     "fallback_resolvers": [],                     // where a node has none of its own
 *     "routes": {"corp.example": ["10.0.0.53"]},    // who answers for names below it
 *     "domains": ["corp.example"],                  // searched, after the mesh's own
 *     "extra_records": [{"name": "db.corp.example", "type": "A", "value": "10.0.0.7"}],
 *   }
 *
 * A route without resolvers is answered by the node itself, from extra_records. `type`
 * is "A" or "AAAA" and may be left out.
 */
#ifndef CONTROLPLANE_COORD_DNS_DOC_H
#define CONTROLPLANE_COORD_DNS_DOC_H

#include <stddef.h>

#include "lib/base/hujson.h"

#define DNS_DOC_MAX (48u << 10) /* bytes of text */

/* Whether text is a DNS name of labels of letters, digits, '-' and '_', without a dot behind. */
bool dns_doc_is_name(const char *text);
/*
 * domain: of the nodes' names. *out: DNSConfig as JSON, malloc'd. 0, or -EINVAL with
 * err saying what and where, or -ENOMEM. Any thread.
 */
int dns_doc_compile(const struct hujson_value *root, const char *domain, char **out,
		    struct hujson_error *err);
/* The same of a text. */
int dns_doc_read(const char *text, size_t len, const char *domain, char **out,
		 struct hujson_error *err);

#endif
