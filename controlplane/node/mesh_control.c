/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/mesh_control.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/control/control_keys.h"
#include "controlplane/netmap/netmap_cache.h"
#include "controlplane/tailcfg/map_frame.h"
#include "controlplane/ts2021/ts2021_client.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define ANSWER_MAX    (1u << 20)
#define UPDATE_MS     30000
#define CACHE_WAIT_MS 2000 /* changes that come together are written together */
#define SECRETS_FILE  "mesh.keys"
#define CACHE_FILE    "netmap.json"
#define NO_CACHE      "disable-cache-network-maps"

/* An answer that is collected until it ends. */
struct answer {
	int id; /* of the request; 0: none is under way */
	unsigned status, retry_after_s;
	char *data;
	size_t len;
};

struct mesh_control {
	struct mesh_control_config cfg;
	const struct mesh_control_events *ev;
	void *arg;
	char secrets_path[PATH_MAX], cache_path[PATH_MAX];
	struct control_secrets secrets;
	struct control control;
	struct ts2021_client *client;
	struct answer login, update;
	int stream; /* id of the request; 0: none */
	unsigned stream_status;
	struct map_frame_reader *frames;
	bool is_feeding; /* messages are told from inside of frames: it must stay */
	struct netmap *map;
	int64_t clock_ahead_ns; /* the coordinator's clock before ours */
	char why[CONTROL_TEXT_MAX], url[CONTROL_URL_MAX];
	uv_timer_t timer, cache_timer;
	bool is_closed;
	unsigned handles;
};

static void carry_out(struct mesh_control *m);

static uint64_t now_ns(void)
{
	return clock_now_ns();
}

int64_t mesh_control_now_ns(const struct mesh_control *m)
{
	return (int64_t)clock_wall_ns() + m->clock_ahead_ns;
}

/* ---- answers ---- */

static void answer_clear(struct answer *a)
{
	free(a->data);
	*a = (struct answer){0};
}

static void answer_add(struct answer *a, const uint8_t *data, size_t len)
{
	char *p = len <= ANSWER_MAX - a->len ? realloc(a->data, a->len + len + 1) : NULL;

	if (!p)
		return; /* cut: it will not read */
	a->data = p;
	memcpy(p + a->len, data, len);
	a->len += len;
}

static void on_login_head(void *arg, unsigned status, unsigned retry_after_s)
{
	struct mesh_control *m = arg;

	m->login.status = status;
	m->login.retry_after_s = retry_after_s;
}

static void on_login_body(void *arg, const uint8_t *data, size_t len)
{
	answer_add(&((struct mesh_control *)arg)->login, data, len);
}

static void on_login_end(void *arg, const char *why)
{
	struct mesh_control *m = arg;
	struct answer a = m->login;

	m->login = (struct answer){0};
	if (why)
		control_on_register_lost(&m->control, why, now_ns());
	else
		control_on_registered(&m->control, a.status, a.data ? a.data : "", a.len,
				      a.retry_after_s, now_ns());
	answer_clear(&a);
	carry_out(m);
}

static const struct ts2021_events login_events = {
	.on_head = on_login_head, .on_body = on_login_body, .on_end = on_login_end};

static void on_update_head(void *arg, unsigned status, unsigned retry_after_s)
{
	((struct mesh_control *)arg)->update.status = status;
}

static void on_update_end(void *arg, const char *why)
{
	struct mesh_control *m = arg;
	unsigned status = why ? 0 : m->update.status;

	answer_clear(&m->update);
	control_on_updated(&m->control, status, now_ns());
	carry_out(m);
}

static const struct ts2021_events update_events = {.on_head = on_update_head,
						   .on_end = on_update_end};

/* ---- the stream ---- */

static void drop_frames(struct mesh_control *m)
{
	m->stream = 0;
	if (m->is_feeding)
		return;
	map_frame_reader_free(m->frames);
	m->frames = NULL;
}

static void end_stream(struct mesh_control *m, const char *why)
{
	if (why)
		log_warn("control.stream", "end=\"%s\"", why);
	drop_frames(m);
	control_on_stream_ended(&m->control, now_ns());
}

static void note_clock(struct mesh_control *m, const json_t *message)
{
	struct json_in in = {0};
	int64_t at;

	if (json_in_time(&in, message, "ControlTime", &at) && at)
		m->clock_ahead_ns = at - (int64_t)clock_wall_ns();
}

/*
 * Stock nodes wait for the coordinator to grant it. A gateway that is not up again
 * after a power cut because its coordinator was in the same room helps nobody.
 */
static bool may_cache(const struct netmap *map)
{
	return !netmap_node_has_cap(map->self, NO_CACHE);
}

static void on_cache_timer(uv_timer_t *t)
{
	struct mesh_control *m = t->data;
	int rc;

	if (!m->map)
		return;
	if (!may_cache(m->map)) {
		remove(m->cache_path);
		return;
	}
	rc = netmap_cache_write(m->cache_path, m->map);
	if (rc)
		log_error("control.cache", "file=%s error=\"%s\"", m->cache_path, strerror(-rc));
}

static void show(struct mesh_control *m, struct netmap *map)
{
	struct netmap *old = m->map;

	m->map = map;
	m->ev->on_map(m->arg, old, map);
	netmap_free(old);
}

static int on_message(void *arg, const char *text, size_t len)
{
	struct mesh_control *m = arg;
	struct json_in in;
	struct netmap *map;
	json_t *message = json_in_parse(&in, text, len), *ping;
	int rc = message ? 0 : -EBADMSG;

	if (!rc)
		note_clock(m, message);
	if (!rc && (ping = json_in_get(message, "PingRequest")) && m->ev->on_ping)
		m->ev->on_ping(m->arg, ping);
	if (!rc && !netmap_is_keepalive(message))
		rc = netmap_apply(m->map, message, mesh_control_now_ns(m), &map, &in);
	else if (!rc)
		map = NULL;
	if (rc) {
		log_error("control.map", "error=\"%s\"", in.error);
		json_decref(message);
		return rc;
	}
	control_on_stream_alive(&m->control, map && json_in_get(message, "Node"), now_ns());
	json_decref(message);
	if (!map)
		return 0;
	show(m, map);
	if (m->is_closed)
		return -ECANCELED;
	uv_timer_start(&m->cache_timer, on_cache_timer, CACHE_WAIT_MS, 0);
	/* By our own clock, as stock nodes do; peers' keys go by the coordinator's. */
	if (netmap_node_has_expired(m->map->self, (int64_t)clock_wall_ns()))
		control_on_key_expired(&m->control);
	return 0;
}

static void on_stream_head(void *arg, unsigned status, unsigned retry_after_s)
{
	struct mesh_control *m = arg;

	m->stream_status = status;
	control_on_stream_alive(&m->control, false, now_ns());
}

static void on_stream_body(void *arg, const uint8_t *data, size_t len)
{
	struct mesh_control *m = arg;
	char err[MAP_FRAME_ERROR_MAX] = "a message does not read";
	int rc;

	if (m->stream_status != 200)
		return;
	m->is_feeding = true;
	rc = map_frame_feed(m->frames, data, len, on_message, m, err);
	m->is_feeding = false;
	if (!m->stream) {
		drop_frames(m); /* cancelled from inside */
	} else if (rc) {
		ts2021_cancel(m->client, m->stream);
		end_stream(m, err);
	}
	carry_out(m);
}

static void on_stream_end(void *arg, const char *why)
{
	struct mesh_control *m = arg;
	char text[64];

	if (m->stream_status && m->stream_status != 200) {
		snprintf(text, sizeof(text), "initial fetch failed %u", m->stream_status);
		why = text;
	}
	end_stream(m, why);
	carry_out(m);
}

static const struct ts2021_events stream_events = {
	.on_head = on_stream_head, .on_body = on_stream_body, .on_end = on_stream_end};

/* ---- what the engine wants ---- */

static int post(struct mesh_control *m, const char *path, const char *body, uint64_t timeout_ms,
		const struct ts2021_events *ev)
{
	return ts2021_post(m->client, path, body, strlen(body), timeout_ms, ev, m);
}

static void open_stream(struct mesh_control *m, const char *body)
{
	if (m->stream)
		ts2021_cancel(m->client, m->stream);
	drop_frames(m);
	m->frames = map_frame_reader_new(true, MAP_FRAME_TEXT_MAX);
	m->stream_status = 0;
	m->stream = m->frames ? post(m, "/machine/map", body, 0, &stream_events) : -ENOMEM;
	if (m->stream < 0)
		end_stream(m, "no memory");
}

static void cancel(struct mesh_control *m)
{
	ts2021_cancel_all(m->client);
	answer_clear(&m->login);
	answer_clear(&m->update);
	drop_frames(m);
}

static void save(struct mesh_control *m)
{
	int rc;

	m->secrets.node_private = m->control.keys.node_private;
	rc = control_secrets_write(m->secrets_path, &m->secrets);
	if (rc)
		log_error("control.keys", "file=%s error=\"%s\"", m->secrets_path, strerror(-rc));
}

void mesh_control_forget(struct mesh_control *m)
{
	uv_timer_stop(&m->cache_timer);
	remove(m->cache_path);
	netmap_free(m->map);
	m->map = NULL;
}

static void logged_out(struct mesh_control *m)
{
	mesh_control_forget(m);
	m->url[0] = 0;
	m->ev->on_login(m->arg, false, "");
}

static void act(struct mesh_control *m, const struct control_action *a)
{
	switch (a->type) {
	case CONTROL_SEND_REGISTER:
		m->login.id = post(m, "/machine/register", a->body, 0, &login_events);
		if (m->login.id < 0)
			control_on_register_lost(&m->control, "no memory", now_ns());
		break;
	case CONTROL_SEND_UPDATE:
		m->update.id = post(m, "/machine/map", a->body, UPDATE_MS, &update_events);
		if (m->update.id < 0)
			control_on_updated(&m->control, 0, now_ns());
		break;
	case CONTROL_OPEN_STREAM:
		open_stream(m, a->body);
		break;
	case CONTROL_CANCEL:
		cancel(m);
		break;
	case CONTROL_SAVE:
		save(m);
		break;
	case CONTROL_TELL_URL:
		snprintf(m->url, sizeof(m->url), "%s", a->text);
		m->ev->on_url(m->arg, m->url);
		break;
	case CONTROL_TELL_ERROR:
		snprintf(m->why, sizeof(m->why), "%s", a->text);
		log_warn("control.login", "error=\"%s\"", m->why);
		m->ev->on_login(m->arg, m->control.is_logged_in, m->why);
		break;
	case CONTROL_TELL_LOGGED_IN:
		m->why[0] = m->url[0] = 0;
		m->ev->on_login(m->arg, true, "");
		break;
	case CONTROL_TELL_LOGGED_OUT:
		logged_out(m);
		break;
	}
}

static void on_timer(uv_timer_t *t)
{
	struct mesh_control *m = t->data;

	control_on_time(&m->control, now_ns());
	carry_out(m);
}

/* All actions, then the timer at the engine's next deadline. */
static void carry_out(struct mesh_control *m)
{
	struct control_action a;
	uint64_t at, now;

	if (m->is_feeding)
		return; /* on_stream_body calls again */
	while (!m->is_closed && control_next(&m->control, &a)) {
		act(m, &a);
		free(a.body);
	}
	if (m->is_closed)
		return;
	at = control_deadline(&m->control);
	now = now_ns();
	if (at == CONTROL_NEVER)
		uv_timer_stop(&m->timer);
	else
		uv_timer_start(&m->timer, on_timer,
			       at > now ? (at - now + NS_PER_MS - 1) / NS_PER_MS : 0, 0);
}

/* ---- open and close ---- */

static void on_handle_closed(uv_handle_t *h)
{
	struct mesh_control *m = h->data;

	if (--m->handles)
		return;
	SSL_CTX_free(m->cfg.tls);
	free(m);
}

static void load_cache(struct mesh_control *m)
{
	struct json_in in;
	struct netmap *map;
	int rc;

	if (key_is_zero(&m->control.keys.node_public))
		return;
	rc = netmap_cache_read(m->cache_path, &m->control.keys.node_public, &map, &in);
	if (rc == -ENOENT)
		return;
	if (rc) {
		log_warn("control.cache", "file=%s error=\"%s\"", m->cache_path, in.error);
		return;
	}
	log_info("control.cache", "file=%s peers=%u", m->cache_path, map->peer_count);
	show(m, map);
}

int mesh_control_open(const struct mesh_control_config *cfg, const struct mesh_control_events *ev,
		      void *arg, struct mesh_control **out, char err[MESH_ERROR_MAX])
{
	struct ts2021_client_config client = {.loop = cfg->loop,
					      .tls = cfg->tls,
					      .version = CONTROL_VERSION,
					      .random = cfg->random};
	struct mesh_control *m;
	struct control_keys keys;
	struct json_in in;
	int rc;

	if (ts2021_url_parse(cfg->url, &client.url)) {
		snprintf(err, MESH_ERROR_MAX, "\"%.256s\" is no URL of a login server", cfg->url);
		return -EINVAL;
	}
	m = calloc(1, sizeof(*m));
	if (!m) {
		snprintf(err, MESH_ERROR_MAX, "no memory");
		return -ENOMEM;
	}
	m->cfg = *cfg;
	m->ev = ev;
	m->arg = arg;
	snprintf(m->secrets_path, sizeof(m->secrets_path), "%s/" SECRETS_FILE, cfg->state_dir);
	snprintf(m->cache_path, sizeof(m->cache_path), "%s/" CACHE_FILE, cfg->state_dir);
	rc = control_secrets_open(m->secrets_path, cfg->random, &m->secrets, &in);
	if (rc) {
		snprintf(err, MESH_ERROR_MAX, "%.250s: %s", m->secrets_path, in.error);
		free(m);
		return rc;
	}
	client.machine_private = m->secrets.machine_private;
	rc = ts2021_client_new(&client, &m->client);
	key_wipe(&client.machine_private);
	if (rc) {
		snprintf(err, MESH_ERROR_MAX, "no memory");
		free(m);
		return rc;
	}
	if (m->cfg.tls)
		SSL_CTX_up_ref(m->cfg.tls);
	control_secrets_keys(&m->secrets, &keys);
	control_init(&m->control, &keys, cfg->disco, cfg->random);
	control_set_hostinfo(&m->control, cfg->hostinfo, now_ns());
	uv_timer_init(cfg->loop, &m->timer);
	uv_timer_init(cfg->loop, &m->cache_timer);
	m->timer.data = m->cache_timer.data = m;
	m->handles = 2;
	*out = m;
	load_cache(m);
	return 0;
}

void mesh_control_close(struct mesh_control *m)
{
	if (!m || m->is_closed)
		return;
	/* What has not been written yet. */
	if (uv_is_active((uv_handle_t *)&m->cache_timer))
		on_cache_timer(&m->cache_timer);
	m->is_closed = true;
	cancel(m);
	ts2021_client_free(m->client);
	control_fini(&m->control);
	control_secrets_wipe(&m->secrets);
	netmap_free(m->map);
	m->map = NULL;
	uv_close((uv_handle_t *)&m->timer, on_handle_closed);
	uv_close((uv_handle_t *)&m->cache_timer, on_handle_closed);
}

void mesh_control_start(struct mesh_control *m)
{
	control_start(&m->control, now_ns());
	carry_out(m);
}

int mesh_control_log_in(struct mesh_control *m, const char *auth_key, bool force)
{
	int rc = control_log_in(&m->control, auth_key, force, now_ns());

	carry_out(m);
	return rc;
}

void mesh_control_log_out(struct mesh_control *m)
{
	control_log_out(&m->control, now_ns());
	carry_out(m);
}

void mesh_control_pause(struct mesh_control *m, bool pause)
{
	if (pause)
		control_pause(&m->control);
	else
		control_resume(&m->control, now_ns());
	carry_out(m);
}

void mesh_control_set_hostinfo(struct mesh_control *m, json_t *hostinfo)
{
	control_set_hostinfo(&m->control, hostinfo, now_ns());
	carry_out(m);
}

void mesh_control_set_endpoints(struct mesh_control *m, const struct control_endpoint *e,
				uint32_t n)
{
	control_set_endpoints(&m->control, e, n, now_ns());
	carry_out(m);
}

bool mesh_control_is_logged_in(const struct mesh_control *m)
{
	return m->control.is_logged_in;
}

bool mesh_control_is_logging_in(const struct mesh_control *m)
{
	return m->control.login != CONTROL_LOGIN_IDLE;
}

bool mesh_control_was_refused(const struct mesh_control *m)
{
	return m->control.was_refused;
}

bool mesh_control_has_key(const struct mesh_control *m)
{
	return !key_is_zero(&m->control.keys.node_private);
}

const char *mesh_control_auth_url(const struct mesh_control *m)
{
	return m->url;
}

const struct netmap *mesh_control_map(const struct mesh_control *m)
{
	return m->map;
}

const struct key *mesh_control_node_key(const struct mesh_control *m)
{
	return &m->control.keys.node_private;
}
