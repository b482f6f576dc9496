/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a relay answers over HTTP: the upgrade to DERP, the probes of clients that measure
 * the way here, and its own figures, for which only this host may ask.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controlplane/derp/client.h"
#include "controlplane/net/http.h"
#include "lib/base/clock.h"

#define METRICS_BYTES 8192

static void put(struct client *c, const char *text, size_t len)
{
	uint8_t *p = client_control(c, len);

	if (p)
		memcpy(p, text, len);
}

/* headers: "" or lines with their ends; body "": none. */
static void answer(struct client *c, const char *status, const char *headers, const char *body,
		   bool head_only)
{
	char head[512];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n",
			 status, headers, strlen(body));

	c->state = CLIENT_LAST;
	put(c, head, (size_t)n);
	if (body[0] && !head_only)
		put(c, body, strlen(body));
}

static void upgrade(struct client *c, const struct http_request *req)
{
	char hex[KEY_HEX_MAX], head[256];
	int n;

	if (strcasecmp(req->upgrade, "derp") != 0) {
		answer(c, "426 Upgrade Required", "Content-Type: text/plain\r\nUpgrade: DERP\r\n",
		       "DERP requires connection upgrade\n", false);
		return;
	}
	c->state = CLIENT_INFO;
	/* A client that knows our key already takes the first byte for a frame's. */
	if (req->derp_fast_start)
		return;
	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n"
		     "Derp-Version: %d\r\nDerp-Public-Key: %s\r\n\r\n",
		     DERP_VERSION, key_print_hex(&c->worker->relay->identity.public_key, hex));
	put(c, head, (size_t)n);
}

static bool challenge_ok(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_:";

	return s[0] && strspn(s, allowed) == strlen(s);
}

static void no_content(struct client *c, const struct http_request *req)
{
	char headers[256];

	snprintf(headers, sizeof(headers),
		 "%s%s%sCache-Control: no-cache, no-store, must-revalidate, no-transform, "
		 "max-age=0\r\n",
		 challenge_ok(req->challenge) ? "X-Tailscale-Response: response " : "",
		 challenge_ok(req->challenge) ? req->challenge : "",
		 challenge_ok(req->challenge) ? "\r\n" : "");
	answer(c, "204 No Content", headers, "", false);
}

static bool is_loopback(const struct ip_addr *a)
{
	static const uint8_t six[16] = {[15] = 1};

	return a->family == AF_INET ? a->bytes[0] == 127 : memcmp(a->bytes, six, 16) == 0;
}

static void metrics(struct client *c, bool head_only)
{
	const struct relay *r = c->worker->relay;
	char text[METRICS_BYTES];
	int n = snprintf(text, sizeof(text),
			 "# HELP causeway_derp_clients connections now\n"
			 "# TYPE causeway_derp_clients gauge\ncauseway_derp_clients %u\n"
			 "# HELP causeway_derp_uptime_seconds since the start\n"
			 "# TYPE causeway_derp_uptime_seconds gauge\n"
			 "causeway_derp_uptime_seconds %llu\n",
			 (unsigned)atomic_load(&r->clients),
			 (unsigned long long)((clock_now_ns() - r->started_ns) / NS_PER_SEC));

#define X(name, help)                                                                              \
	n += snprintf(text + n, sizeof(text) - (size_t)n,                                          \
		      "# HELP causeway_derp_" #name "_total " help "\n# TYPE causeway_derp_" #name \
		      "_total counter\ncauseway_derp_" #name "_total %llu\n",                      \
		      (unsigned long long)relay_counter(r, offsetof(struct counters, name)));
	RELAY_COUNTERS(X)
#undef X
	answer(c, "200 OK", "Content-Type: text/plain; version=0.0.4\r\n", text, head_only);
}

static const char *status_of(long parsed)
{
	switch (parsed) {
	case -EMSGSIZE:
		return "413 Content Too Large";
	case -ENOBUFS:
		return "431 Request Header Fields Too Large";
	case -ENOTSUP:
		return "501 Not Implemented";
	default:
		return "400 Bad Request";
	}
}

void http_answer(struct client *c, const struct http_request *req, long parsed)
{
	bool is_head = strcmp(req->method, "HEAD") == 0;
	bool is_read = is_head || strcmp(req->method, "GET") == 0;

	if (parsed < 0) {
		COUNT(c->worker, bad_input, 1);
		answer(c, status_of(parsed), "", "", false);
	} else if (strcmp(req->path, "/derp") == 0) {
		upgrade(c, req);
	} else if (strcmp(req->path, "/derp/probe") == 0 ||
		   strcmp(req->path, "/derp/latency-check") == 0) {
		answer(c, is_read ? "200 OK" : "405 Method Not Allowed",
		       "Access-Control-Allow-Origin: *\r\n", "", is_head);
	} else if (strcmp(req->path, "/generate_204") == 0) {
		no_content(c, req);
	} else if (strcmp(req->path, "/health") == 0 && is_read) {
		answer(c, "200 OK", "Content-Type: text/plain\r\n", "ok\n", is_head);
	} else if (strcmp(req->path, "/metrics") == 0 && is_read && is_loopback(&c->from.addr)) {
		metrics(c, is_head);
	} else if (strcmp(req->path, "/") == 0 && is_read) {
		answer(c, "200 OK", "Content-Type: text/plain\r\n", "A DERP relay.\n", is_head);
	} else {
		answer(c, "404 Not Found", "Content-Type: text/plain\r\n", "not found\n", is_head);
	}
}
