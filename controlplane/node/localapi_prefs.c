/* SPDX-License-Identifier: Apache-2.0 */
/* The LocalAPI's settings and login: what the user asks of the node. */
#include <errno.h>
#include <string.h>

#include "controlplane/localapi/ipn_prefs.h"
#include "controlplane/node/localapi_endpoints.h"
#include "controlplane/node/mesh.h"

void api_get_prefs(struct api_conn *c, const struct http_request *req)
{
	(void)req;
	api_json(c, 200, ipn_prefs_shown(mesh_prefs(c->mesh), mesh_map(c->mesh)), true);
}

/*
 * A static node has no settings but that it is up or down. 1: this was about that, and
 * is done; 0: it was not; or a negative errno.
 */
static int follow_static(struct api_conn *c, const json_t *masked)
{
	int rc;

	if (mesh_is_active(c->mesh) || !json_is_true(json_object_get(masked, "WantRunningSet")))
		return 0;
	rc = json_is_true(json_object_get(masked, "WantRunning")) ? node_start(c->node)
								  : node_stop(c->node);
	return rc ? rc : 1;
}

void api_patch_prefs(struct api_conn *c, const struct http_request *req)
{
	struct json_in in = {0};
	json_t *body = api_body(c, req), *masked;
	int rc;

	if (!body)
		return;
	masked = ipn_prefs_resolve_exit_node(body, mesh_map(c->mesh));
	rc = follow_static(c, masked);
	if (!rc)
		rc = mesh_edit_prefs(c->mesh, masked, &in);
	if (rc < 0)
		api_json_error(c, rc == -EINVAL ? 400 : 500,
			       json_in_failed(&in) ? in.error : strerror(-rc));
	else
		api_get_prefs(c, req);
	json_decref(masked);
	json_decref(body);
}

void api_post_check_prefs(struct api_conn *c, const struct http_request *req)
{
	struct json_in in = {0};
	json_t *body = json_in_parse(&in, (const char *)req->body, req->body_len), *whole;
	const char *problem;

	if (!body) {
		api_text(c, 400, "invalid JSON body");
		return;
	}
	whole = prefs_replace(mesh_prefs(c->mesh), body, &in);
	problem = whole ? prefs_problem(whole) : in.error;
	if (problem)
		api_json_error(c, 200, problem);
	else
		api_json(c, 200, json_object(), false);
	json_decref(whole);
	json_decref(body);
}

/* What a login said, as stock does: a text. */
static void done(struct api_conn *c, int rc, const struct json_in *in)
{
	if (rc && json_in_failed(in))
		api_text(c, rc == -EINVAL ? 400 : 500, in->error);
	else
		api_done(c, rc);
}

/* Options.UpdatePrefs is whole, so ExitNodeIP in it is resolved as in an edit. */
static void resolve_exit_node(json_t *options, const struct netmap *m)
{
	json_t *prefs = json_in_get(options, "UpdatePrefs");

	if (json_is_object(prefs))
		json_object_set_new(options, "UpdatePrefs", ipn_prefs_resolve_exit_node(prefs, m));
}

void api_post_start(struct api_conn *c, const struct http_request *req)
{
	struct json_in in = {0};
	json_t *options = api_body(c, req);

	if (!options)
		return;
	resolve_exit_node(options, mesh_map(c->mesh));
	done(c, mesh_start(c->mesh, options, &in), &in);
	json_decref(options);
}

void api_post_login(struct api_conn *c, const struct http_request *req)
{
	struct json_in in = {0};

	(void)req;
	done(c, mesh_log_in(c->mesh, &in), &in);
}

void api_post_logout(struct api_conn *c, const struct http_request *req)
{
	(void)req;
	api_done(c, mesh_log_out(c->mesh));
}
