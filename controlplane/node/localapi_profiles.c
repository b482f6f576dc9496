/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profiles: stock nodes keep several logins and switch between them. A gateway keeps
 * one, which is there while it is logged in.
 */
#include <string.h>

#include "controlplane/localapi/ipn_prefs.h"
#include "controlplane/node/localapi_endpoints.h"
#include "controlplane/node/mesh.h"

static void list(struct api_conn *c)
{
	json_t *all = json_array();

	if (mesh_map(c->mesh))
		json_array_append_new(all, ipn_profile(mesh_prefs(c->mesh), mesh_map(c->mesh)));
	api_json(c, 200, all, true);
}

/* Another profile would take this one's place. */
static void make(struct api_conn *c)
{
	if (mesh_map(c->mesh))
		api_text(c, 400,
			 "this node keeps one login: log out first, or use up --force-reauth");
	else
		api_respond(c, 201, "text/plain", NULL, 0);
}

static void of_one(struct api_conn *c, const char *method, const char *id)
{
	bool is_ours = mesh_map(c->mesh) && strcmp(id, IPN_PROFILE_ID) == 0;

	if (strcmp(method, "GET") == 0 && (is_ours || strcmp(id, "current") == 0))
		api_json(c, 200, ipn_profile(mesh_prefs(c->mesh), mesh_map(c->mesh)), true);
	else if (strcmp(method, "GET") == 0)
		api_text(c, 404, "Profile not found");
	else if (!is_ours)
		api_text(c, 500, "profile not found");
	else if (strcmp(method, "POST") == 0)
		api_done(c, 0);
	else
		api_done(c, mesh_log_out(c->mesh));
}

void api_profiles(struct api_conn *c, const struct http_request *req)
{
	const char *id = req->path + strlen(LOCALAPI_PREFIX "profiles/");

	if (id[0])
		of_one(c, req->method, id);
	else if (strcmp(req->method, "GET") == 0)
		list(c);
	else if (strcmp(req->method, "PUT") == 0)
		make(c);
	else
		api_text(c, 405, "use GET or PUT");
}
