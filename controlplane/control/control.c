/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/control/control.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS      1000000ull
#define BACKOFF_MAX_NS (30000 * NS_PER_MS)
#define RETRY_MAX_S    3600u

static void push(struct control *c, enum control_action_type type, char *body, const char *text)
{
	unsigned at = (c->action_first + c->action_count) % CONTROL_ACTIONS_MAX;

	if (c->action_count == CONTROL_ACTIONS_MAX) {
		free(body);
		c->is_out_of_memory = true;
		return;
	}
	c->actions[at] = (struct control_action){.type = type, .body = body, .text = text};
	c->action_count++;
}

static void push_body(struct control *c, enum control_action_type type, char *body)
{
	if (body)
		push(c, type, body, NULL);
	else
		c->is_out_of_memory = true;
}

bool control_next(struct control *c, struct control_action *out)
{
	if (!c->action_count)
		return false;
	*out = c->actions[c->action_first];
	c->action_first = (c->action_first + 1) % CONTROL_ACTIONS_MAX;
	c->action_count--;
	return true;
}

static uint32_t random_u32(const struct control *c)
{
	uint32_t r;

	c->random->fill(c->random->ctx, &r, sizeof(r));
	return r;
}

/* n^2 * 10 ms, at most 30 s, times 0.5 to 1.5. */
static uint64_t backoff_ns(const struct control *c, unsigned failures)
{
	uint64_t n = failures < 100 ? failures : 100;
	uint64_t ns = n * n * 10 * NS_PER_MS;

	if (ns > BACKOFF_MAX_NS)
		ns = BACKOFF_MAX_NS;
	return ns / 2 + (uint64_t)((double)ns * (random_u32(c) / 4294967296.0));
}

static void new_key(const struct control *c, struct key *private_key, struct key *public_key)
{
	c->random->fill(c->random->ctx, private_key->bytes, KEY_BYTES);
	private_key->bytes[0] &= 248;
	private_key->bytes[31] = (uint8_t)((private_key->bytes[31] & 127) | 64);
	crypto_scalarmult_base(public_key->bytes, private_key->bytes);
}

/* ---- what is sent ---- */

static void send_register(struct control *c)
{
	bool is_new = !key_equal(&c->try_public, &c->keys.node_public);
	struct control_register r = {
		.node_key = &c->try_public,
		.old_node_key = is_new ? &c->keys.node_public : NULL,
		.lock_key = c->keys.lock_public,
		.auth_key = c->auth_key,
		.followup = c->followup[0] ? c->followup : NULL,
		.hostinfo = c->hostinfo,
		.is_ephemeral = c->is_ephemeral,
		.is_logout = c->is_logging_out,
	};

	c->login = c->followup[0] ? CONTROL_LOGIN_FOLLOWING : CONTROL_LOGIN_REGISTERING;
	if (!c->is_paused)
		push_body(c, CONTROL_SEND_REGISTER, control_register_body(&r));
}

static char *map_body(const struct control *c, bool is_stream)
{
	return control_map_body(&(struct control_map){
		.node_key = &c->keys.node_public,
		.disco_key = &c->disco_public,
		.hostinfo = c->hostinfo,
		.endpoints = c->endpoints,
		.endpoint_count = c->endpoint_count,
		.is_stream = is_stream,
	});
}

static void open_stream(struct control *c, uint64_t now_ns)
{
	c->stream_at_ns = CONTROL_NEVER;
	c->is_stream_open = true;
	c->watchdog_at_ns = now_ns + CONTROL_WATCHDOG_NS;
	push_body(c, CONTROL_OPEN_STREAM, map_body(c, true));
}

/* What changes while an update is under way goes with the next. */
static void send_update(struct control *c)
{
	c->update_at_ns = CONTROL_NEVER;
	c->is_dirty = false;
	c->is_update_under_way = true;
	push_body(c, CONTROL_SEND_UPDATE, map_body(c, false));
}

static void note_change(struct control *c, uint64_t now_ns)
{
	c->is_dirty = true;
	if (c->is_logged_in && !c->is_paused && !c->is_update_under_way &&
	    c->update_at_ns == CONTROL_NEVER)
		c->update_at_ns = now_ns;
	control_on_time(c, now_ns);
}

static void stop_maps(struct control *c)
{
	c->is_stream_open = c->is_update_under_way = false;
	c->stream_at_ns = c->watchdog_at_ns = c->update_at_ns = CONTROL_NEVER;
}

/* The update first, as stock nodes do: the stream tells the coordinator nothing. */
static void restart_maps(struct control *c, uint64_t now_ns)
{
	stop_maps(c);
	c->stream_failures = c->update_failures = 0;
	send_update(c);
	open_stream(c, now_ns);
}

/* ---- events from outside ---- */

void control_init(struct control *c, const struct control_keys *keys, const struct key *disco,
		  const struct wg_random *random)
{
	*c = (struct control){.random = random, .keys = *keys, .disco_public = *disco};
	c->login_at_ns = CONTROL_NEVER;
	stop_maps(c);
}

void control_fini(struct control *c)
{
	struct control_action a;

	while (control_next(c, &a))
		free(a.body);
	if (c->auth_key)
		sodium_memzero(c->auth_key, strlen(c->auth_key));
	free(c->auth_key);
	json_decref(c->hostinfo);
	sodium_memzero(c, sizeof(*c));
}

void control_set_hostinfo(struct control *c, json_t *hostinfo, uint64_t now_ns)
{
	bool is_same = json_equal(c->hostinfo, hostinfo);

	json_incref(hostinfo);
	json_decref(c->hostinfo);
	c->hostinfo = hostinfo;
	if (!is_same)
		note_change(c, now_ns);
}

void control_set_endpoints(struct control *c, const struct control_endpoint *e, uint32_t n,
			   uint64_t now_ns)
{
	bool is_same;

	if (n > CONTROL_ENDPOINTS_MAX)
		n = CONTROL_ENDPOINTS_MAX;
	is_same = n == c->endpoint_count;
	for (uint32_t i = 0; i < n && is_same; i++)
		is_same = e[i].type == c->endpoints[i].type &&
			  endpoint_equal(&e[i].endpoint, &c->endpoints[i].endpoint);
	if (is_same)
		return;
	memcpy(c->endpoints, e, n * sizeof(*e));
	c->endpoint_count = n;
	note_change(c, now_ns);
}

void control_start(struct control *c, uint64_t now_ns)
{
	if (key_is_zero(&c->keys.node_private))
		return;
	c->try_private = c->keys.node_private;
	c->try_public = c->keys.node_public;
	c->is_try_fresh = false;
	send_register(c);
}

int control_log_in(struct control *c, const char *auth_key, bool force, uint64_t now_ns)
{
	char *copy = auth_key ? strdup(auth_key) : NULL;

	if (auth_key && !copy)
		return -ENOMEM;
	if (c->auth_key)
		sodium_memzero(c->auth_key, strlen(c->auth_key));
	free(c->auth_key);
	c->auth_key = copy;
	c->is_logging_out = false;
	c->followup[0] = 0;
	c->login_failures = 0;
	c->login_at_ns = CONTROL_NEVER;
	if (c->login == CONTROL_LOGIN_REGISTERING || c->login == CONTROL_LOGIN_FOLLOWING) {
		push(c, CONTROL_CANCEL, NULL, NULL);
		if (c->is_logged_in && !c->is_paused)
			restart_maps(c, now_ns);
	}
	if (force || c->is_key_expired || key_is_zero(&c->keys.node_private)) {
		new_key(c, &c->try_private, &c->try_public);
		c->is_try_fresh = true;
	} else {
		c->try_private = c->keys.node_private;
		c->try_public = c->keys.node_public;
		c->is_try_fresh = false;
	}
	send_register(c);
	return 0;
}

static void forget(struct control *c)
{
	sodium_memzero(&c->keys.node_private, sizeof(c->keys.node_private));
	sodium_memzero(&c->keys.node_public, sizeof(c->keys.node_public));
	sodium_memzero(&c->try_private, sizeof(c->try_private));
	c->is_logged_in = c->is_logging_out = c->is_key_expired = false;
	c->login = CONTROL_LOGIN_IDLE;
	c->login_at_ns = CONTROL_NEVER;
	stop_maps(c);
	push(c, CONTROL_CANCEL, NULL, NULL);
	push(c, CONTROL_SAVE, NULL, NULL);
	push(c, CONTROL_TELL_LOGGED_OUT, NULL, NULL);
}

void control_log_out(struct control *c, uint64_t now_ns)
{
	if (key_is_zero(&c->keys.node_private)) {
		forget(c);
		return;
	}
	c->is_logging_out = true;
	c->followup[0] = 0;
	c->try_private = c->keys.node_private;
	c->try_public = c->keys.node_public;
	c->login_at_ns = CONTROL_NEVER;
	send_register(c);
}

void control_pause(struct control *c)
{
	if (c->is_paused)
		return;
	c->is_paused = true;
	stop_maps(c);
	push(c, CONTROL_CANCEL, NULL, NULL);
}

void control_resume(struct control *c, uint64_t now_ns)
{
	if (!c->is_paused)
		return;
	c->is_paused = false;
	if (c->login != CONTROL_LOGIN_IDLE) {
		c->login_at_ns = CONTROL_NEVER;
		send_register(c);
	}
	if (c->is_logged_in)
		restart_maps(c, now_ns);
}

/* ---- answers ---- */

/* A key that never admitted this node: the user has to say what now. */
static bool is_key_refused(const struct control *c)
{
	return c->was_refused && c->auth_key && key_is_zero(&c->keys.node_private);
}

/* Tries the same again after the back-off; but not a logout, nor a key that was refused. */
static void login_failed(struct control *c, uint64_t wait_ns, uint64_t now_ns)
{
	if (c->is_logging_out || is_key_refused(c)) {
		c->is_logging_out = false;
		c->login = CONTROL_LOGIN_IDLE;
	} else {
		c->login = CONTROL_LOGIN_WAITING;
		c->login_at_ns = now_ns + (wait_ns ? wait_ns : backoff_ns(c, c->login_failures));
	}
	push(c, CONTROL_TELL_ERROR, NULL, c->text);
}

static void accepted(struct control *c, uint64_t now_ns)
{
	c->keys.node_private = c->try_private;
	c->keys.node_public = c->try_public;
	c->login = CONTROL_LOGIN_IDLE;
	c->login_failures = 0;
	c->is_key_expired = false;
	c->followup[0] = 0;
	push(c, CONTROL_SAVE, NULL, NULL);
	if (c->is_logged_in)
		push(c, CONTROL_CANCEL, NULL, NULL);
	c->is_logged_in = true;
	push(c, CONTROL_TELL_LOGGED_IN, NULL, NULL);
	restart_maps(c, now_ns);
}

/* The coordinator wants another key for this node. */
static void rotate(struct control *c, uint64_t now_ns)
{
	if (c->is_try_fresh) {
		c->login_failures++;
		snprintf(c->text, sizeof(c->text),
			 "the coordinator says that a key made just now has expired");
		login_failed(c, 0, now_ns);
		return;
	}
	new_key(c, &c->try_private, &c->try_public);
	c->is_try_fresh = true;
	c->is_key_expired = true;
	send_register(c);
}

/* The user has to go to a URL; the same one again is no news, and no answer either. */
static void follow(struct control *c, const char *url, uint64_t now_ns)
{
	if (strcmp(url, c->followup) == 0) {
		c->login_failures++;
		snprintf(c->text, sizeof(c->text), "the login has not been completed");
		login_failed(c, 0, now_ns);
		return;
	}
	snprintf(c->followup, sizeof(c->followup), "%s", url);
	push(c, CONTROL_TELL_URL, NULL, c->followup);
	send_register(c);
}

static void refused(struct control *c, unsigned status, const char *body, size_t len,
		    unsigned retry_after_s, uint64_t now_ns)
{
	uint64_t wait_ns = 0;

	c->login_failures++;
	snprintf(c->text, sizeof(c->text), "register request: http %u: %.*s", status,
		 (int)(len < 200 ? len : 200), body);
	if (status == 429) {
		wait_ns = retry_after_s * 1000 * NS_PER_MS;
		if (!retry_after_s || retry_after_s > RETRY_MAX_S)
			wait_ns = (5000 + random_u32(c) % 5000) * NS_PER_MS;
	}
	login_failed(c, wait_ns, now_ns);
}

void control_on_registered(struct control *c, unsigned status, const char *body, size_t len,
			   unsigned retry_after_s, uint64_t now_ns)
{
	struct control_registered r;
	struct json_in in;

	if (c->login != CONTROL_LOGIN_REGISTERING && c->login != CONTROL_LOGIN_FOLLOWING)
		return;
	c->was_refused = false;
	if (status != 200) {
		refused(c, status, body, len, retry_after_s, now_ns);
		return;
	}
	if (c->is_logging_out) {
		forget(c);
		return;
	}
	if (!control_registered_parse(body, len, &r, &in)) {
		c->login_failures++;
		snprintf(c->text, sizeof(c->text), "register request: %.200s", in.error);
		login_failed(c, 0, now_ns);
	} else if (r.error[0] || r.wants_signature) {
		c->login_failures++;
		c->was_refused = true;
		snprintf(c->text, sizeof(c->text), "%s",
			 r.error[0] ? r.error
				    : "the coordinator wants a signature of Tailnet Lock, which "
				      "this node does not make");
		login_failed(c, 0, now_ns);
	} else if (r.is_key_expired) {
		rotate(c, now_ns);
	} else if (r.auth_url[0]) {
		follow(c, r.auth_url, now_ns);
	} else {
		accepted(c, now_ns);
	}
}

void control_on_register_lost(struct control *c, const char *why, uint64_t now_ns)
{
	if (c->login != CONTROL_LOGIN_REGISTERING && c->login != CONTROL_LOGIN_FOLLOWING)
		return;
	c->login_failures++;
	c->was_refused = false;
	snprintf(c->text, sizeof(c->text), "register request: %.200s", why);
	login_failed(c, 0, now_ns);
}

void control_on_stream_alive(struct control *c, bool is_full, uint64_t now_ns)
{
	if (!c->is_stream_open)
		return;
	c->watchdog_at_ns = now_ns + CONTROL_WATCHDOG_NS;
	if (is_full)
		c->stream_failures = 0;
}

void control_on_stream_ended(struct control *c, uint64_t now_ns)
{
	if (!c->is_stream_open)
		return;
	c->is_stream_open = false;
	c->watchdog_at_ns = CONTROL_NEVER;
	c->stream_failures++;
	c->stream_at_ns = now_ns + backoff_ns(c, c->stream_failures);
}

void control_on_updated(struct control *c, unsigned status, uint64_t now_ns)
{
	if (!c->is_update_under_way)
		return;
	c->is_update_under_way = false;
	if (status == 200) {
		c->update_failures = 0;
		c->update_at_ns = c->is_dirty ? now_ns : CONTROL_NEVER;
	} else {
		c->is_dirty = true;
		c->update_failures++;
		c->update_at_ns = now_ns + backoff_ns(c, c->update_failures);
	}
	control_on_time(c, now_ns);
}

void control_on_key_expired(struct control *c)
{
	if (c->is_key_expired)
		return;
	c->is_key_expired = true;
	snprintf(c->text, sizeof(c->text), "the node key has expired");
	push(c, CONTROL_TELL_ERROR, NULL, c->text);
}

void control_on_time(struct control *c, uint64_t now_ns)
{
	if (c->is_paused)
		return;
	if (c->login == CONTROL_LOGIN_WAITING && now_ns >= c->login_at_ns) {
		c->login_at_ns = CONTROL_NEVER;
		send_register(c);
	}
	if (!c->is_logged_in)
		return;
	if (now_ns >= c->watchdog_at_ns) {
		/* No other way to end it: the connection may be dead, and the rest of it with it.
		 */
		push(c, CONTROL_CANCEL, NULL, NULL);
		c->is_dirty |= c->is_update_under_way;
		c->is_update_under_way = false;
		control_on_stream_ended(c, now_ns);
		if (c->is_dirty)
			c->update_at_ns = now_ns;
		if (c->login == CONTROL_LOGIN_REGISTERING || c->login == CONTROL_LOGIN_FOLLOWING)
			send_register(c);
	}
	if (now_ns >= c->stream_at_ns)
		open_stream(c, now_ns);
	if (now_ns >= c->update_at_ns)
		send_update(c);
}

uint64_t control_deadline(const struct control *c)
{
	uint64_t at = CONTROL_NEVER;

	if (c->is_paused)
		return at;
	if (c->login == CONTROL_LOGIN_WAITING)
		at = c->login_at_ns;
	if (c->stream_at_ns < at)
		at = c->stream_at_ns;
	if (c->watchdog_at_ns < at)
		at = c->watchdog_at_ns;
	if (c->update_at_ns < at)
		at = c->update_at_ns;
	return at;
}
