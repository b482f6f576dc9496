/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/localapi_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/node/localapi_serve.h"
#include "controlplane/tailcfg/json_in.h"

#define HEAD_MAX 512

struct response {
	uv_write_t req;
	struct api_conn *conn;
	char head[HEAD_MAX];
	char *body;
};

static const char *reason(int code)
{
	switch (code) {
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 204:
		return "No Content";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 413:
		return "Content Too Large";
	case 431:
		return "Request Header Fields Too Large";
	case 501:
		return "Not Implemented";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

static void on_written(uv_write_t *req, int status)
{
	struct response *r = (struct response *)req;
	struct api_conn *c = r->conn;

	free(r->body);
	free(r);
	localapi_conn_answered(c, status == 0 && c->keep_alive);
}

static int head_of(const struct api_conn *c, int code, const char *type, char out[HEAD_MAX])
{
	return snprintf(out, HEAD_MAX,
			"HTTP/1.1 %d %s\r\n"
			"Content-Type: %s\r\n"
			"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
			"X-Frame-Options: DENY\r\n"
			"X-Content-Type-Options: nosniff\r\n"
			"Connection: %s\r\n",
			code, reason(code), type, c->keep_alive ? "keep-alive" : "close");
}

void api_respond(struct api_conn *c, int code, const char *type, char *body, size_t len)
{
	struct response *r = calloc(1, sizeof(*r));
	uv_buf_t bufs[2];
	int n;

	if (!r || c->closed) {
		free(r);
		free(body);
		localapi_conn_answered(c, false);
		return;
	}
	r->conn = c;
	r->body = body;
	n = head_of(c, code, type, r->head);
	/* RFC 9110 8.6: a 204 has no Content-Length. */
	n += snprintf(r->head + n, sizeof(r->head) - (size_t)n,
		      code == 204 ? "\r\n" : "Content-Length: %zu\r\n\r\n", len);
	bufs[0] = uv_buf_init(r->head, (unsigned)n);
	bufs[1] = uv_buf_init(body, (unsigned)len);
	if (uv_write(&r->req, (uv_stream_t *)&c->pipe, bufs, body ? 2 : 1, on_written)) {
		free(r->body);
		free(r);
		localapi_conn_answered(c, false);
	}
}

void api_text(struct api_conn *c, int code, const char *text)
{
	size_t len = strlen(text);
	char *body = malloc(len + 2);

	if (body)
		snprintf(body, len + 2, "%s\n", text);
	api_respond(c, code, "text/plain; charset=utf-8", body, body ? len + 1 : 0);
}

void api_json(struct api_conn *c, int code, json_t *json, bool is_indented)
{
	char *text = json ? json_dumps(json, JSON_ENCODE_ANY |
						     (is_indented ? JSON_INDENT(1) : JSON_COMPACT))
			  : NULL;
	size_t len = text ? strlen(text) : 0;
	char *body = text ? realloc(text, len + 2) : NULL;

	json_decref(json);
	if (!body) {
		free(text);
		api_text(c, 500, "out of memory");
		return;
	}
	memcpy(body + len, "\n", 2);
	api_respond(c, code, "application/json", body, len + 1);
}

void api_json_error(struct api_conn *c, int code, const char *text)
{
	api_json(c, code, json_pack("{s:s}", "Error", text), false);
}

void api_done(struct api_conn *c, int rc)
{
	if (rc)
		api_text(c, 500, strerror(-rc));
	else
		api_respond(c, 204, "text/plain", NULL, 0);
}

void api_hold(struct api_conn *c, void (*gone)(void *arg), void *arg)
{
	c->on_gone = gone;
	c->gone_arg = arg;
}

void api_release(struct api_conn *c)
{
	c->on_gone = NULL;
}

static void on_piece_written(uv_write_t *req, int status)
{
	struct response *r = (struct response *)req;
	struct api_conn *c = r->conn;

	free(r->body);
	free(r);
	c->writes--;
	if (status < 0)
		localapi_conn_close(c);
	localapi_conn_free(c);
}

/* Takes the body; head is what goes before it. */
static void send_piece(struct api_conn *c, const char *head, char *body, size_t len,
		       const char *tail)
{
	struct response *r = calloc(1, sizeof(*r));
	uv_buf_t bufs[3] = {uv_buf_init(NULL, 0), uv_buf_init(body, (unsigned)len),
			    uv_buf_init((char *)tail, (unsigned)strlen(tail))};

	if (r && !c->closed) {
		r->conn = c;
		r->body = body;
		bufs[0] = uv_buf_init(r->head,
				      (unsigned)snprintf(r->head, sizeof(r->head), "%s", head));
		if (uv_write(&r->req, (uv_stream_t *)&c->pipe, bufs, 3, on_piece_written) == 0) {
			c->writes++;
			return;
		}
	}
	free(r);
	free(body);
	localapi_conn_close(c);
}

void api_stream_begin(struct api_conn *c, const char *type)
{
	char head[HEAD_MAX];
	int n;

	c->is_streaming = true;
	c->keep_alive = false;
	n = head_of(c, 200, type, head);
	snprintf(head + n, sizeof(head) - (size_t)n, "Transfer-Encoding: chunked\r\n\r\n");
	send_piece(c, head, NULL, 0, "");
}

void api_stream_send(struct api_conn *c, char *text, size_t len)
{
	char head[24];

	if (!text || c->closed ||
	    uv_stream_get_write_queue_size((uv_stream_t *)&c->pipe) > API_STREAM_BEHIND_MAX) {
		free(text);
		localapi_conn_close(c);
		return;
	}
	snprintf(head, sizeof(head), "%zx\r\n", len);
	send_piece(c, head, text, len, "\r\n");
}

json_t *api_body(struct api_conn *c, const struct http_request *req)
{
	struct json_in in = {0};
	json_t *body = json_in_parse(&in, (const char *)req->body, req->body_len);

	if (!body)
		api_text(c, 400, in.error);
	return body;
}
