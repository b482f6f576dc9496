/* SPDX-License-Identifier: Apache-2.0 */
/* What the LocalAPI tells of the node itself, and its start and stop. */
#include <string.h>

#include "controlplane/node/dp_refresh.h"
#include "controlplane/node/localapi_endpoints.h"
#include "controlplane/node/localapi_status.h"
#include "controlplane/node/mesh.h"
#include "controlplane/node/status.h"

static void on_status_ready(void *arg)
{
	struct api_conn *c = arg;
	struct json_out j;

	if (!localapi_is_static(c->mesh)) {
		api_json(c, 200, localapi_status(c->mesh, c->with_peers), true);
		return;
	}
	json_out_init(&j);
	status_json(c->node, c->with_peers, &j);
	if (j.error) {
		json_out_fini(&j);
		api_text(c, 500, "out of memory");
		return;
	}
	/* The text is handed on; the rest of j owns nothing. */
	api_respond(c, 200, "application/json", j.text, j.len);
}

void api_get_status(struct api_conn *c, const struct http_request *req)
{
	char peers[8];

	c->with_peers =
		!http_query_get(req, "peers", peers, sizeof(peers)) || strcmp(peers, "false") != 0;
	dp_refresh_start(c->node->refresh, on_status_ready, c);
}

static void on_metrics_ready(void *arg)
{
	struct api_conn *c = arg;
	size_t len = 0;
	char *text = status_metrics(c->node, &len);

	if (text)
		api_respond(c, 200, "text/plain; version=0.0.4", text, len);
	else
		api_text(c, 500, "out of memory");
}

void api_get_metrics(struct api_conn *c, const struct http_request *req)
{
	(void)req;
	dp_refresh_start(c->node->refresh, on_metrics_ready, c);
}

void api_post_reload(struct api_conn *c, const struct http_request *req)
{
	char err[CONFIG_ERROR_MAX];

	(void)req;
	if (node_reload(c->node, err))
		api_text(c, 400, err);
	else
		api_done(c, 0);
}

void api_post_reload_config(struct api_conn *c, const struct http_request *req)
{
	char err[CONFIG_ERROR_MAX] = "";
	int rc = node_reload(c->node, err);

	(void)req;
	api_json(c, 200, json_pack("{s:b, s:s}", "Reloaded", rc == 0, "Err", rc ? err : ""), false);
}

void api_get_user_metrics(struct api_conn *c, const struct http_request *req)
{
	size_t len = 0;
	char *text = localapi_user_metrics(c->mesh, &len);

	(void)req;
	if (text)
		api_respond(c, 200, "text/plain;version=0.0.4;charset=utf-8", text, len);
	else
		api_text(c, 500, "out of memory");
}

/* A node with a coordinator is up or down by its settings. */
static int want_running(struct api_conn *c, bool yes)
{
	struct json_in in = {0};
	json_t *masked;
	int rc;

	if (!c->mesh || !mesh_is_active(c->mesh))
		return yes ? node_start(c->node) : node_stop(c->node);
	masked = json_pack("{s:b, s:b}", "WantRunning", yes, "WantRunningSet", 1);
	rc = mesh_edit_prefs(c->mesh, masked, &in);
	json_decref(masked);
	return rc;
}

void api_post_down(struct api_conn *c, const struct http_request *req)
{
	(void)req;
	api_done(c, want_running(c, false));
}

void api_post_up(struct api_conn *c, const struct http_request *req)
{
	(void)req;
	api_done(c, want_running(c, true));
}
