/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/node_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/tailcfg/key_text.h"

#define ROUTES_MAX    1024
#define ENDPOINTS_MAX 64
#define TAGS_MAX      64

/* Letters, digits and single '-' inside; what else stands there becomes one '-'. */
static void label_of(const char *hostname, char out[NODE_REPORT_HOST_MAX])
{
	size_t n = 0;

	/* Of a name with domains the first label. */
	for (; *hostname && *hostname != '.' && n < NODE_REPORT_HOST_MAX - 1; hostname++) {
		char c = *hostname;

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			out[n++] = c;
		else if (n && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n && out[n - 1] == '-')
		n--;
	out[n] = 0;
	if (!n)
		memcpy(out, "node", sizeof("node"));
}

static char *list_text(json_t *list)
{
	char *text = list ? json_dumps(list, JSON_COMPACT) : NULL;

	json_decref(list);
	return text;
}

static char *read_routes(struct json_in *in, const json_t *hostinfo)
{
	struct prefix *prefixes = NULL;
	json_t *list = json_array();
	uint32_t count = 0;

	json_in_prefixes(in, hostinfo, "RoutableIPs", &prefixes, &count);
	if (count > ROUTES_MAX)
		json_in_fail(in, "RoutableIPs", "fewer prefixes");
	for (uint32_t i = 0; i < count && i < ROUTES_MAX; i++) {
		char text[PREFIX_STR_MAX];

		json_array_append_new(list, json_string(prefix_print(&prefixes[i], text)));
	}
	free(prefixes);
	return list_text(list);
}

static char *read_tags(struct json_in *in, const json_t *hostinfo)
{
	json_t *tags = json_in_list(in, hostinfo, "RequestTags"), *list = json_array(), *tag;
	size_t i;

	json_array_foreach(tags, i, tag)
	{
		if (i == TAGS_MAX || !json_is_string(tag) ||
		    strncmp(json_string_value(tag), "tag:", 4) != 0)
			json_in_fail(in, "RequestTags", "a list of tags");
		else
			json_array_append(list, tag);
	}
	return list_text(list);
}

/* As they are sent on: those that somebody can send to. */
static char *read_endpoints(struct json_in *in, const json_t *request)
{
	struct endpoint *endpoints = NULL;
	json_t *list = json_array();
	uint32_t count = 0;

	json_in_endpoints(in, request, "Endpoints", &endpoints, &count);
	for (uint32_t i = 0; i < count && i < ENDPOINTS_MAX; i++) {
		char text[ENDPOINT_STR_MAX];

		if (endpoints[i].addr.family)
			json_array_append_new(list,
					      json_string(endpoint_print(&endpoints[i], text)));
	}
	free(endpoints);
	return list_text(list);
}

static void read_hostinfo(struct json_in *in, const json_t *request, struct node_report *out)
{
	const json_t *hostinfo = json_in_object(in, request, "Hostinfo"), *net;
	const char *hostname = "";

	json_in_string(in, hostinfo, "Hostname", &hostname);
	label_of(hostname, out->host);
	out->routes = read_routes(in, hostinfo);
	out->tags = read_tags(in, hostinfo);
	net = json_in_object(in, hostinfo, "NetInfo");
	json_in_i64(in, net, "PreferredDERP", 0, INT32_MAX, &out->home);
	out->hostinfo = hostinfo ? json_dumps(hostinfo, JSON_COMPACT) : strdup("{}");
}

int node_report_read(struct json_in *in, const json_t *request, struct node_report *out)
{
	*out = (struct node_report){0};
	json_in_i64(in, request, "Version", 0, INT32_MAX, &out->version);
	json_in_key(in, request, "NodeKey", KEY_TEXT_NODE, &out->node_key);
	json_in_key(in, request, "DiscoKey", KEY_TEXT_DISCO, &out->disco);
	json_in_key(in, request, "NLKey", "nlpub:", &out->network_lock);
	read_hostinfo(in, request, out);
	out->endpoints = read_endpoints(in, request);
	if (key_is_zero(&out->node_key))
		json_in_fail(in, "NodeKey", "a key");
	if (!out->hostinfo || !out->routes || !out->tags || !out->endpoints)
		json_in_fail(in, "request", "less");
	return json_in_failed(in) ? -EINVAL : 0;
}

void node_report_fini(struct node_report *r)
{
	free(r->hostinfo);
	free(r->routes);
	free(r->tags);
	free(r->endpoints);
}
