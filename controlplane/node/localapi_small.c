/* SPDX-License-Identifier: Apache-2.0 */
/* What the stock command line asks of every daemon, and of which a gateway has little to say. */
#include <stdlib.h>

#include "controlplane/localapi/ipn_status.h"
#include "controlplane/node/localapi_endpoints.h"
#include "controlplane/node/mesh.h"
#include "controlplane/tailcfg/key_text.h"
#include "lib/base/fileio.h"

static void warning(struct api_conn *c, const char *text)
{
	api_json(c, 200, json_pack("{s:s}", "Warning", text), false);
}

static bool is_forwarding(const char *path)
{
	char *text;
	size_t len;
	bool yes;

	/* A kernel without the family has nothing to forward. */
	if (file_read_all(path, 16, &text, &len))
		return true;
	yes = text[0] != '0';
	free(text);
	return yes;
}

void api_get_ip_forwarding(struct api_conn *c, const struct http_request *req)
{
	bool v4 = is_forwarding("/proc/sys/net/ipv4/ip_forward");
	bool v6 = is_forwarding("/proc/sys/net/ipv6/conf/all/forwarding");

	(void)req;
	if (!v4)
		warning(c, "IPv4 forwarding is off (net.ipv4.ip_forward): subnet routes and exit "
			   "nodes do not work");
	else if (!v6)
		warning(c, "IPv6 forwarding is off (net.ipv6.conf.all.forwarding): IPv6 subnet "
			   "routes and exit nodes do not work");
	else
		warning(c, "");
}

void api_get_no_warning(struct api_conn *c, const struct http_request *req)
{
	(void)req;
	warning(c, "");
}

void api_get_null(struct api_conn *c, const struct http_request *req)
{
	(void)req;
	api_json(c, 200, json_null(), false);
}

void api_get_empty(struct api_conn *c, const struct http_request *req)
{
	(void)req;
	api_json(c, 200, json_object(), false);
}

void api_get_no_exit_node(struct api_conn *c, const struct http_request *req)
{
	(void)req;
	api_json(c, 200, json_pack("{s:s, s:s}", "ID", "", "Name", ""), false);
}

void api_get_lock_status(struct api_conn *c, const struct http_request *req)
{
	static const struct key none;
	const struct netmap *m = mesh_map(c->mesh);
	char lock[KEY_TEXT_MAX], node[KEY_TEXT_MAX];

	(void)req;
	api_json(c, 200,
		 json_pack("{s:b, s:n, s:s, s:s?, s:b, s:n, s:n, s:n, s:n, s:i}", "Enabled", 0,
			   "Head", "PublicKey", key_text_print(&none, "nlpub:", lock), "NodeKey",
			   m ? key_text_print(&m->self->key, KEY_TEXT_NODE, node) : NULL,
			   "NodeKeySigned", 0, "NodeKeySignature", "TrustedKeys", "VisiblePeers",
			   "FilteredPeers", "StateID", 0),
		 true);
}
