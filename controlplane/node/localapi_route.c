/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoint a request is for, and whether who asks may. */
#include <string.h>
#include <unistd.h>

#include "controlplane/node/localapi_endpoints.h"
#include "lib/base/bug.h"

/* What a wrong method is answered with: each as stock has it. */
static const struct refusal {
	int code;
	const char *text;
} want_get = {400, "want GET"}, want_post = {400, "want POST"},
  only_post = {405, "only POST allowed"};

static const struct endpoint_row {
	const char *method, *path; /* behind the prefix, or from the root if it begins with '/' */
	const char *denied;	   /* what others than writers are told; NULL: all may ask */
	const struct refusal *refusal;
	void (*serve)(struct api_conn *c, const struct http_request *req);
} endpoints[] = {
	{"GET", "status", NULL, &want_get, api_get_status},
	{"GET", "metrics", "metric access denied", &want_get, api_get_metrics},
	{"GET", "/metrics", NULL, &want_get, api_get_metrics},
	{"POST", "reload", "access denied", &want_post, api_post_reload},
	{"POST", "reload-config", "access denied", &only_post, api_post_reload_config},
	{"POST", "down", "access denied", &want_post, api_post_down},
	{"POST", "up", "access denied", &want_post, api_post_up},
};

bool api_may_write(const struct api_conn *c)
{
	return c->cred.uid == 0 || c->cred.uid == geteuid();
}

/* A browser that was lured to a local address names its origin, or our name wrongly. */
static bool is_local_request(const struct http_request *req)
{
	return !req->has_origin &&
	       (!req->host[0] || strcmp(req->host, "local-tailscaled.sock") == 0);
}

static bool is_path_of(const struct endpoint_row *e, const char *path)
{
	if (e->path[0] == '/')
		return strcmp(path, e->path) == 0;
	return strncmp(path, LOCALAPI_PREFIX, strlen(LOCALAPI_PREFIX)) == 0 &&
	       strcmp(path + strlen(LOCALAPI_PREFIX), e->path) == 0;
}

void localapi_route(struct api_conn *c, const struct http_request *req)
{
	const struct endpoint_row *found = NULL, *known = NULL;

	if (!is_local_request(req)) {
		api_text(c, 403, "invalid localapi request");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(endpoints) && !found; i++) {
		if (!is_path_of(&endpoints[i], req->path))
			continue;
		known = &endpoints[i];
		if (strcmp(endpoints[i].method, req->method) == 0)
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
