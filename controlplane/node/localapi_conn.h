/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to the LocalAPI and the answers that go out on it; what the endpoints
 * (localapi_*.c) are written against. One request of a connection is worked on at a
 * time: an endpoint answers it once, at once or later, or lets it stream until the
 * other end goes. The loop's thread only.
 *
 *   bytes -> http_parse -> localapi_route -> endpoint -> api_text, api_json, api_respond
 *                                                    \-> api_stream_begin, _send ...
 */
#ifndef CONTROLPLANE_NODE_LOCALAPI_CONN_H
#define CONTROLPLANE_NODE_LOCALAPI_CONN_H

#include <jansson.h>

#include "controlplane/net/http.h"
#include "controlplane/node/localapi.h"

/* A reader of a stream who has left so much unread is dropped. */
#define API_STREAM_BEHIND_MAX ((size_t)8 << 20)

struct api_conn {
	uv_pipe_t pipe;
	struct localapi *api;
	struct node *node;
	struct mesh *mesh;
	struct icmp_ping *icmp;
	struct api_conn *next;
	struct ucred cred;
	bool busy;   /* a request is being answered */
	bool closed; /* freed once not busy and the handle is closed */
	bool handle_closed;
	bool keep_alive;
	bool is_streaming;
	bool with_peers; /* of a status that waits for counters */
	unsigned writes; /* pieces of a stream under way */
	/* Told once, if the other end goes before the answer: the endpoint forgets c then. */
	void (*on_gone)(void *arg);
	void *gone_arg;
	char *buf;
	size_t len, room;
};

/* Each takes its body (malloc'd), and ends the request. body NULL: none. */
void api_respond(struct api_conn *c, int code, const char *type, char *body, size_t len);
/* text and a newline, as Go's http.Error writes it. */
void api_text(struct api_conn *c, int code, const char *text);
/* Takes the reference; NULL is a 500. Indented by tabs, or compact, and a newline. */
void api_json(struct api_conn *c, int code, json_t *json, bool is_indented);
/* {"Error": text}: how prefs say what is wrong. */
void api_json_error(struct api_conn *c, int code, const char *text);
/* 204, or 500 with errno's text. */
void api_done(struct api_conn *c, int rc);

/* The answer comes later: gone is called if it is not wanted any more. */
void api_hold(struct api_conn *c, void (*gone)(void *arg), void *arg);
/* Before the answer to a request that was held. */
void api_release(struct api_conn *c);

/* 200 without an end; api_hold first. */
void api_stream_begin(struct api_conn *c, const char *type);
/* Takes the text (malloc'd; NULL: no memory, which ends the stream). */
void api_stream_send(struct api_conn *c, char *text, size_t len);

/* Root, the daemon's own user, and who Prefs.OperatorUser names. */
bool api_may_write(const struct api_conn *c);
/* The body as JSON, the caller's; NULL: answered with 400. */
json_t *api_body(struct api_conn *c, const struct http_request *req);

/* localapi_route.c: answers, sooner or later. */
void localapi_route(struct api_conn *c, const struct http_request *req);

#endif
