/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoint a request is for, and whether who asks may. */
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/node/localapi_endpoints.h"
#include "controlplane/node/mesh.h"
#include "lib/base/bug.h"

/* What a wrong method is answered with: each as stock has it. */
static const struct refusal {
	int code;
	const char *text;
} want_get = {400, "want GET"}, want_post = {400, "want POST"},
  unsupported = {405, "unsupported method"}, only_post = {405, "only POST allowed"};

static const struct endpoint_row {
	const char *method; /* NULL: the endpoint looks itself */
	const char *path;   /* behind the prefix; "/x": from the root; "x/": all below */
	const char *denied; /* what others than writers are told; NULL: all may ask */
	const struct refusal *refusal;
	void (*serve)(struct api_conn *c, const struct http_request *req);
	bool is_of_mesh;
} endpoints[] = {
	{"GET", "status", NULL, &want_get, api_get_status, false},
	{"GET", "metrics", "metric access denied", &want_get, api_get_metrics, false},
	{"GET", "/metrics", NULL, &want_get, api_get_metrics, false},
	{"GET", "usermetrics", NULL, &want_get, api_get_user_metrics, true},
	{"POST", "reload", "access denied", &want_post, api_post_reload, false},
	{"POST", "reload-config", "access denied", &only_post, api_post_reload_config, false},
	{"POST", "down", "access denied", &want_post, api_post_down, false},
	{"POST", "up", "access denied", &want_post, api_post_up, false},
	{"GET", "prefs", NULL, &unsupported, api_get_prefs, true},
	{"PATCH", "prefs", "prefs write access denied", &unsupported, api_patch_prefs, true},
	{"POST", "check-prefs", "checkprefs access denied", &unsupported, api_post_check_prefs,
	 true},
	{"POST", "start", "access denied", &want_post, api_post_start, true},
	{"POST", "login-interactive", "login access denied", &want_post, api_post_login, true},
	{"POST", "logout", "logout access denied", &want_post, api_post_logout, true},
	{NULL, "profiles/", "profiles access denied", NULL, api_profiles, true},
	{"GET", "watch-ipn-bus", NULL, &want_get, api_get_bus, true},
	{"POST", "ping", NULL, &want_post, api_post_ping, true},
	{"GET", "whois", NULL, &want_get, api_get_whois, true},
	{"GET", "derpmap", NULL, &want_get, api_get_derp_map, true},
	{"GET", "path", NULL, &want_get, api_get_path, true},
	{"GET", "netcheck", "access denied", &want_get, api_get_netcheck, true},
	{"POST", "debug", "debug access denied", &want_post, api_post_debug, true},
	{"GET", "check-ip-forwarding", NULL, &want_get, api_get_ip_forwarding, true},
	{"GET", "check-udp-gro-forwarding", NULL, &want_get, api_get_no_warning, true},
	{"GET", "serve-config", NULL, &want_get, api_get_null, true},
	{"GET", "services", NULL, &want_get, api_get_empty, true},
	{"GET", "suggest-exit-node", NULL, &want_get, api_get_no_exit_node, true},
	{"GET", "tka/status", NULL, &want_get, api_get_lock_status, true},
};

/* The name of the user at the other end is the one that the settings name. */
static bool is_operator(const struct api_conn *c)
{
	const char *name =
		c->mesh ? json_string_value(json_object_get(mesh_prefs(c->mesh), "OperatorUser"))
			: NULL;
	struct passwd entry, *found = NULL;
	char buf[4096];

	return name && name[0] && !getpwuid_r(c->cred.uid, &entry, buf, sizeof(buf), &found) &&
	       found && strcmp(found->pw_name, name) == 0;
}

bool api_may_write(const struct api_conn *c)
{
	return c->cred.uid == 0 || c->cred.uid == geteuid() || is_operator(c);
}

/* A browser that was lured to a local address names its origin, or our name wrongly. */
static bool is_local_request(const struct http_request *req)
{
	return !req->has_origin &&
	       (!req->host[0] || strcmp(req->host, "local-tailscaled.sock") == 0);
}

static bool is_path_of(const struct endpoint_row *e, const char *path)
{
	size_t len = strlen(e->path);

	if (e->path[0] == '/')
		return strcmp(path, e->path) == 0;
	if (strncmp(path, LOCALAPI_PREFIX, strlen(LOCALAPI_PREFIX)) != 0)
		return false;
	path += strlen(LOCALAPI_PREFIX);
	return e->path[len - 1] == '/' ? strncmp(path, e->path, len) == 0
				       : strcmp(path, e->path) == 0;
}

void localapi_route(struct api_conn *c, const struct http_request *req)
{
	const struct endpoint_row *found = NULL, *known = NULL;

	if (!is_local_request(req)) {
		api_text(c, 403, "invalid localapi request");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(endpoints) && !found; i++) {
		if (!is_path_of(&endpoints[i], req->path) || (endpoints[i].is_of_mesh && !c->mesh))
			continue;
		known = &endpoints[i];
		if (!known->method || strcmp(known->method, req->method) == 0)
			found = known;
	}
	if (!known)
		api_text(c, 404, "404 page not found");
	else if (known->denied && !api_may_write(c))
		api_text(c, 403, (found ? found : known)->denied);
	else if (!found)
		api_text(c, known->refusal->code, known->refusal->text);
	else
		found->serve(c, req);
}
