/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/coord/coord.h"
#include "controlplane/coord/node_report.h"
#include "controlplane/tailcfg/json_in.h"
#include "controlplane/tailcfg/key_text.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

/* The oldest capability version whose forms we write: docs/protocol/control.md. */
#define VERSION_MIN 106

/* What a request became; its user pointer. */
struct exchange {
	struct coord *coord;
	struct ts2021_request *request; /* NULL: it is over */
	struct register_call *call;
	struct maps_watcher *watcher;
	bool is_in_store; /* an operation, or a caller further up, holds it */
	bool is_writing;
	bool wants_map, is_zstd; /* a full map after the report */
	int64_t node_id;
};

static void exchange_release(struct exchange *x)
{
	if (!x->request && !x->is_in_store && !x->is_writing && !x->watcher)
		free(x);
}

/* The last word; on_gone may come from inside and must not find us. */
static void finish(struct exchange *x, unsigned status, const char *type, const char *body,
		   size_t len)
{
	struct ts2021_request *r = x->request;

	x->request = NULL;
	if (r) {
		ts2021_request_set_user(r, NULL);
		ts2021_respond(r, status, type, body, len);
	}
}

static void refuse(struct exchange *x, unsigned status, const char *text)
{
	finish(x, status, "text/plain; charset=utf-8", text, strlen(text));
}

/* ---- streams ---- */

static int sink_write(void *to, struct ts2021_bytes *b)
{
	struct exchange *x = to;
	int rc;

	if (!x->request)
		return -ENOTCONN;
	x->is_writing = true;
	rc = ts2021_write(x->request, b);
	x->is_writing = false;
	return !rc && !x->request ? -ENOTCONN : rc;
}

static size_t sink_queued(void *to)
{
	struct exchange *x = to;

	return x->request ? ts2021_queued(x->request) : 0;
}

static void sink_end(void *to)
{
	struct exchange *x = to;
	struct ts2021_request *r = x->request;

	x->watcher = NULL;
	x->request = NULL;
	if (r) {
		ts2021_request_set_user(r, NULL);
		ts2021_end(r);
	}
	exchange_release(x);
}

const struct maps_sink coord_sink = {sink_write, sink_queued, sink_end};

static void begin_stream(struct exchange *x, struct picture_node *n)
{
	struct maps_watcher *w;

	ts2021_begin(x->request, 200, "application/json");
	/* Held while the first map is written: its failure ends the exchange only here. */
	x->is_in_store = true;
	w = maps_watch(x->coord->maps, n, x->is_zstd, x);
	x->is_in_store = false;
	x->watcher = w;
	if (!w && x->request) {
		struct ts2021_request *r = x->request;

		x->request = NULL;
		ts2021_request_set_user(r, NULL);
		ts2021_abort(r);
	}
}

static void answer_full(struct exchange *x)
{
	struct picture_node *n = picture_node(&x->coord->picture, x->node_id);
	struct ts2021_bytes *b = n ? maps_full(x->coord->maps, n, x->is_zstd) : NULL;

	if (b)
		finish(x, 200, NULL, (const char *)b->data, b->len);
	else
		refuse(x, n ? 500 : 404, n ? "out of memory" : "unknown node key");
	ts2021_bytes_put(b);
}

/* ---- reports ---- */

static void on_reported(void *arg, struct store_op *op)
{
	struct exchange *x = arg;

	x->is_in_store = false;
	if (!x->request)
		; /* nobody waits any more, and at the end of the program there are no maps */
	else if (op->result == -ENOENT)
		refuse(x, 404, "unknown node key");
	else if (op->result)
		refuse(x, 503, "the store cannot write");
	else if (x->wants_map)
		answer_full(x);
	else
		finish(x, 200, NULL, NULL, 0);
	exchange_release(x);
}

static bool says_nothing_new(const struct picture_node *n, const struct node_report *r)
{
	const struct store_node *row = n->row;

	return strcmp(row->hostinfo, r->hostinfo) == 0 &&
	       strcmp(row->endpoints, r->endpoints) == 0 && key_equal(&row->disco, &r->disco) &&
	       row->home == (int32_t)r->home && row->version == (int32_t)r->version;
}

static void report(struct exchange *x, const struct picture_node *n, struct node_report *r)
{
	struct store_op *op;

	if (says_nothing_new(n, r)) {
		if (x->wants_map)
			answer_full(x);
		else
			finish(x, 200, NULL, NULL, 0);
		return;
	}
	op = store_op_new(STORE_NODE_UPDATE, (int64_t)clock_wall_ns(), "node");
	if (!op) {
		refuse(x, 500, "out of memory");
		return;
	}
	op->id = n->row->id;
	op->node_key = r->node_key;
	op->disco = r->disco;
	op->home = (int32_t)r->home;
	op->version = (int32_t)r->version;
	op->hostinfo = r->hostinfo;
	op->endpoints = r->endpoints;
	op->routes = r->routes;
	r->hostinfo = r->endpoints = r->routes = NULL;
	op->done = on_reported;
	op->arg = x;
	x->is_in_store = true;
	store_submit(x->coord->store, op);
}

/* ---- requests ---- */

static void map_request(struct exchange *x, const json_t *root, struct json_in *in)
{
	const struct ts2021_request_info *info = ts2021_request_info(x->request);
	bool is_stream = false, omits_peers = false, is_read_only = false;
	const char *compress = "";
	struct picture_node *n;
	struct node_report r;

	json_in_bool(in, root, "Stream", &is_stream);
	json_in_bool(in, root, "OmitPeers", &omits_peers);
	json_in_bool(in, root, "ReadOnly", &is_read_only);
	json_in_string(in, root, "Compress", &compress);
	if (node_report_read(in, root, &r)) {
		refuse(x, 400, in->error);
		node_report_fini(&r);
		return;
	}
	n = picture_node_by_key(&x->coord->picture, &r.node_key);
	x->is_zstd = strcmp(compress, "zstd") == 0;
	x->wants_map = !omits_peers;
	if (!n || !key_equal(&n->row->machine, &info->machine)) {
		refuse(x, 404, "unknown node key");
	} else if (r.version < VERSION_MIN) {
		refuse(x, 400, "this client is too old");
	} else {
		x->node_id = n->row->id;
		/* A stream's own report may be old: the one without Stream counts. */
		if (is_stream)
			begin_stream(x, n);
		else if (is_read_only)
			answer_full(x);
		else
			report(x, n, &r);
	}
	node_report_fini(&r);
}

static void on_register_answer(void *arg, unsigned status, const char *body, size_t len)
{
	struct exchange *x = arg;

	x->call = NULL;
	finish(x, status, status == 200 ? NULL : "text/plain; charset=utf-8", body, len);
	exchange_release(x);
}

static void on_register(struct exchange *x)
{
	const struct ts2021_request_info *info = ts2021_request_info(x->request);
	struct register_call *call;

	x->is_in_store = true;
	call = registrar_request(x->coord->registrar, &info->machine, (const char *)info->body,
				 info->body_len, on_register_answer, x);
	x->is_in_store = false;
	x->call = call;
}

static void on_map(struct exchange *x)
{
	const struct ts2021_request_info *info = ts2021_request_info(x->request);
	struct json_in in = {0};
	json_t *root = json_in_parse(&in, (const char *)info->body, info->body_len);

	if (root)
		map_request(x, root, &in);
	else
		refuse(x, 400, in.error);
	json_decref(root);
}

static void on_request(void *arg, struct ts2021_request *r)
{
	const struct ts2021_request_info *info = ts2021_request_info(r);
	struct exchange *x = calloc(1, sizeof(*x));

	if (!x) {
		ts2021_abort(r);
		return;
	}
	x->coord = arg;
	x->request = r;
	ts2021_request_set_user(r, x);
	if (strcmp(info->path, "/machine/register") == 0)
		on_register(x);
	else if (strcmp(info->path, "/machine/map") == 0)
		on_map(x);
	else if (strcmp(info->path, "/machine/update-health") == 0)
		finish(x, 204, NULL, NULL, 0);
	else
		refuse(x, 404, "404 page not found");
	exchange_release(x);
}

static void on_gone(void *arg, struct ts2021_request *r)
{
	struct exchange *x = ts2021_request_user(r);

	(void)arg;
	if (!x)
		return;
	x->request = NULL;
	if (x->call)
		registrar_cancel(x->call);
	x->call = NULL;
	/* In the midst of a write, its caller ends the watcher. */
	if (x->watcher && !x->is_writing) {
		maps_unwatch(x->watcher);
		x->watcher = NULL;
	}
	exchange_release(x);
}

static void on_drained(void *arg, struct ts2021_request *r)
{
	struct exchange *x = ts2021_request_user(r);

	(void)arg;
	if (x && x->watcher)
		maps_drained(x->watcher);
}

/* Whether a client of a relay is a node of ours, whose key has not expired. */
static bool verify(const struct coord *c, const uint8_t *body, size_t len,
		   struct ts2021_http_answer *out)
{
	struct json_in in = {0};
	json_t *root = json_in_parse(&in, (const char *)body, len);
	const struct picture_node *n = NULL;
	struct key key;
	int size;

	out->status = 400;
	if (json_in_key(&in, root, "NodePublic", KEY_TEXT_NODE, &key)) {
		out->status = 200;
		n = picture_node_by_key(&c->picture, &key);
	}
	json_decref(root);
	size = asprintf(&out->body, "{\"Allow\":%s}\n",
			n && !picture_node_is_expired(n, (int64_t)clock_wall_ns()) ? "true"
										   : "false");
	out->type = "application/json";
	out->len = size < 0 ? 0 : (size_t)size;
	return size >= 0;
}

/* The page of a login: it says who may admit it, and how. */
static bool on_http(void *arg, const char *method, const char *path, const char *query,
		    const uint8_t *body, size_t body_len, struct ts2021_http_answer *out)
{
	const struct coord *c = arg;
	const struct store_login *l;
	int n = -1;

	(void)query;
	if (strcmp(method, "POST") == 0 && strcmp(path, "/verify") == 0)
		return verify(c, body, body_len, out);
	if (strcmp(method, "GET") != 0)
		return false;
	*out = (struct ts2021_http_answer){.status = 200, .type = "text/plain; charset=utf-8"};
	if (strcmp(path, "/health") == 0) {
		out->status = c->is_ready ? 200 : 503;
		n = asprintf(&out->body, "{\"status\":\"%s\"}\n", c->is_ready ? "ok" : "starting");
		out->type = "application/json";
	} else if (strncmp(path, "/register/", 10) == 0 &&
		   (l = picture_login(&c->picture, path + 10))) {
		n = asprintf(&out->body,
			     "A device asks to join. An administrator admits it with\n\n"
			     "    causeway coord nodes register --user NAME %s\n",
			     l->token);
	} else {
		return false;
	}
	if (n < 0)
		return false;
	out->len = (size_t)n;
	return true;
}

const struct ts2021_handler coord_handler = {on_request, on_gone, on_drained, on_http};
