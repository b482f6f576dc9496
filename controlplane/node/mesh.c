/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/mesh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "controlplane/control/hostinfo.h"
#include "controlplane/dns/dns_server.h"
#include "controlplane/net/net_tls.h"
#include "controlplane/netmap/netmap_diff.h"
#include "controlplane/node/mesh_parts.h"
#include "controlplane/node/ways.h"
#include "lib/base/clock.h"
#include "lib/base/fileio.h"
#include "lib/base/log.h"

/* ---- who listens ---- */

void mesh_listen(struct mesh *m, struct mesh_listener *l)
{
	struct mesh_listener **at = &m->listeners;

	while (*at)
		at = &(*at)->next;
	*at = l;
	l->next = NULL;
}

void mesh_unlisten(struct mesh *m, struct mesh_listener *l)
{
	struct mesh_listener **at = &m->listeners;

	while (*at && *at != l)
		at = &(*at)->next;
	if (*at)
		*at = l->next;
}

void mesh_tell(struct mesh *m, uint32_t what)
{
	struct mesh_listener *next;

	for (struct mesh_listener *l = m->listeners; what && l; l = next) {
		next = l->next;
		l->on_change(l, what);
	}
}

/* ---- state ---- */

const char *mesh_state_name(enum mesh_state s)
{
	static const char *const names[] = {"NoState",		"InUseOtherUser", "NeedsLogin",
					    "NeedsMachineAuth", "Stopped",	  "Starting",
					    "Running"};

	return names[s];
}

enum mesh_state mesh_find_state(const struct mesh *m)
{
	const struct netmap *map = mesh_map(m);

	if (m->is_static)
		return m->node->stopped ? MESH_STOPPED : MESH_RUNNING;
	if (!m->control || m->view.logged_out || !mesh_control_has_key(m->control))
		return MESH_NEEDS_LOGIN;
	if (!m->view.want_running)
		return MESH_STOPPED;
	if (m->is_expired)
		return MESH_NEEDS_LOGIN;
	if (!map)
		return m->url[0] ? MESH_NEEDS_LOGIN : MESH_STARTING;
	return map->self->is_authorized ? MESH_RUNNING : MESH_NEEDS_MACHINE_AUTH;
}

enum mesh_state mesh_state(const struct mesh *m)
{
	return m->state;
}

void mesh_update_state(struct mesh *m, uint32_t what)
{
	enum mesh_state now = mesh_find_state(m);

	if (now != m->state) {
		log_info("mesh.state", "from=%s to=%s", mesh_state_name(m->state),
			 mesh_state_name(now));
		m->state = now;
		what |= MESH_DID_STATE;
	}
	mesh_tell(m, what);
}

/* ---- settings ---- */

const json_t *mesh_prefs(const struct mesh *m)
{
	return m->prefs;
}

static int save_prefs(const struct mesh *m, const json_t *prefs, struct json_in *in)
{
	char *text = json_dumps(prefs, JSON_INDENT(1));
	int rc = text ? file_write_atomic(m->prefs_path, text, strlen(text), 0600) : -ENOMEM;

	free(text);
	if (rc)
		snprintf(in->error, sizeof(in->error), "%.180s: %s", m->prefs_path, strerror(-rc));
	return rc;
}

/* Takes prefs over, on disk first. prefs NULL: in->error says why there are none. */
static int set_prefs(struct mesh *m, json_t *prefs, struct json_in *in)
{
	struct prefs_view view;
	int rc;

	if (!prefs)
		return -EINVAL;
	if (!prefs_view(prefs, &view, in)) {
		json_decref(prefs);
		return -EINVAL;
	}
	rc = json_equal(prefs, m->prefs) ? 0 : save_prefs(m, prefs, in);
	if (rc) {
		prefs_view_fini(&view);
		json_decref(prefs);
		return rc;
	}
	m->is_dns_old = true;
	prefs_view_fini(&m->view);
	json_decref(m->prefs);
	m->prefs = prefs;
	m->view = view;
	return 0;
}

static int set_flags(struct mesh *m, bool want_running, bool logged_out)
{
	json_t *prefs = json_deep_copy(m->prefs);
	struct json_in in = {0};

	if (!prefs)
		return -ENOMEM;
	json_object_set_new(prefs, "WantRunning", json_boolean(want_running));
	json_object_set_new(prefs, "LoggedOut", json_boolean(logged_out));
	if (set_prefs(m, prefs, &in)) {
		log_error("mesh.prefs", "error=\"%s\"", in.error);
		return -EIO;
	}
	return 0;
}

json_t *mesh_hostinfo(const struct mesh *m)
{
	json_t *plain = hostinfo_new(&m->view), *full;

	full = plain ? hostinfo_with_netinfo(plain, m->net_info) : NULL;
	json_decref(plain);
	return full;
}

static void tell_hostinfo(struct mesh *m)
{
	json_t *hostinfo = m->control ? mesh_hostinfo(m) : NULL;

	if (hostinfo)
		mesh_control_set_hostinfo(m->control, hostinfo);
	json_decref(hostinfo);
}

/* The mesh as the settings want it now. */
void mesh_follow_prefs(struct mesh *m)
{
	bool up = m->view.want_running && !m->view.logged_out;
	int rc = up ? node_start(m->node) : node_stop(m->node);

	if (rc)
		log_error("mesh.run", "want=%d error=\"%s\"", up, strerror(-rc));
	if (m->control)
		mesh_control_pause(m->control, !m->view.want_running && !m->view.logged_out);
	tell_hostinfo(m);
	mesh_apply(m);
}

static bool is_static_refused(const struct mesh *m, struct json_in *in)
{
	if (m->is_static)
		snprintf(in->error, sizeof(in->error),
			 "%.180s names peers: a node is static or of a coordinator, not both",
			 m->node->config->source);
	return m->is_static;
}

int mesh_edit_prefs(struct mesh *m, const json_t *masked, struct json_in *in)
{
	int rc;

	if (is_static_refused(m, in))
		return -EINVAL;
	rc = set_prefs(m, prefs_edit(m->prefs, masked, in), in);
	if (rc)
		return rc;
	mesh_follow_prefs(m);
	mesh_update_state(m, MESH_DID_PREFS);
	return 0;
}

/* ---- the coordinator ---- */

static void on_map(void *arg, const struct netmap *old, const struct netmap *now)
{
	struct mesh *m = arg;

	struct netmap_diff diff;

	m->is_from_cache = m->is_opening;
	if (netmap_diff_make(old, now, &diff) || diff.dns_changed)
		m->is_dns_old = true;
	netmap_diff_fini(&diff);
	if (m->is_opening)
		return; /* mesh_open goes on with it */
	mesh_apply(m);
	mesh_update_state(m, MESH_DID_NETMAP);
}

static void on_url(void *arg, const char *url)
{
	struct mesh *m = arg;

	snprintf(m->url, sizeof(m->url), "%s", url);
	log_info("mesh.login", "url=%s", url);
	mesh_update_state(m, MESH_DID_URL);
}

static void forget_auth_key(struct mesh *m)
{
	if (m->auth_key)
		sodium_memzero(m->auth_key, strlen(m->auth_key));
	free(m->auth_key);
	m->auth_key = NULL;
}

static void on_login(void *arg, bool in, const char *why)
{
	struct mesh *m = arg;
	bool is_new = in && !m->is_connected;
	uint32_t what = 0;

	m->is_connected = in;
	snprintf(m->error, sizeof(m->error), "%s", why);
	/*
	 * What is tried again may still succeed: who waits for the login goes on waiting. But
	 * not if the coordinator itself said no.
	 */
	if (why[0] &&
	    (!mesh_control_is_logging_in(m->control) || mesh_control_was_refused(m->control)))
		what |= MESH_DID_ERROR;
	if (what & MESH_DID_ERROR)
		m->is_auth_key_refused = m->auth_key != NULL;
	if (in || (what & MESH_DID_ERROR))
		forget_auth_key(m);
	if (in && m->view.logged_out && set_flags(m, m->view.want_running, false) == 0)
		what |= MESH_DID_PREFS;
	if (is_new) {
		what |= MESH_DID_LOGIN;
		if (m->url[0])
			what |= MESH_DID_URL;
		m->url[0] = 0;
		mesh_follow_prefs(m);
	}
	if (!in && !why[0]) /* logged out */
		mesh_apply(m);
	mesh_update_state(m, what);
}

static const struct mesh_control_events control_events = {
	.on_map = on_map, .on_url = on_url, .on_login = on_login};

void mesh_close_control(struct mesh *m)
{
	mesh_control_close(m->control);
	m->control = NULL;
	free(m->control_url);
	m->control_url = NULL;
	m->is_connected = m->is_from_cache = m->is_expired = false;
	m->url[0] = m->error[0] = 0;
	forget_auth_key(m);
}

/* The one that the settings name; keys and picture of another one are not its. */
int mesh_open_control(struct mesh *m, struct json_in *in)
{
	struct mesh_control_config cfg = {.loop = m->node->loop,
					  .url = m->view.control_url,
					  .state_dir = m->node->opt.state_dir,
					  .tls = m->tls,
					  .disco = ways_disco(m->node->ways),
					  .random = &node_random};
	char err[MESH_ERROR_MAX];
	int rc;

	if (m->control && strcmp(m->control_url, cfg.url) == 0)
		return 0;
	if (!cfg.url[0]) {
		snprintf(in->error, sizeof(in->error),
			 "no login server is set: --login-server URL");
		return -EINVAL;
	}
	if (m->control)
		mesh_control_forget(m->control);
	mesh_close_control(m);
	m->control_url = strdup(cfg.url);
	cfg.hostinfo = mesh_hostinfo(m);
	m->is_opening = true;
	rc = m->control_url && cfg.hostinfo
		     ? mesh_control_open(&cfg, &control_events, m, &m->control, err)
		     : -ENOMEM;
	m->is_opening = false;
	json_decref(cfg.hostinfo);
	if (!rc)
		mesh_relays_tell_endpoints(m);
	if (rc)
		snprintf(in->error, sizeof(in->error), "%.250s", rc == -ENOMEM ? "no memory" : err);
	return rc;
}

int mesh_start(struct mesh *m, const json_t *options, struct json_in *in)
{
	json_t *update = json_in_object(in, options, "UpdatePrefs");
	const char *auth_key = "";
	int rc;

	json_in_string(in, options, "AuthKey", &auth_key);
	if (json_in_failed(in) || is_static_refused(m, in))
		return -EINVAL;
	rc = update ? set_prefs(m, prefs_replace(m->prefs, update, in), in) : 0;
	if (!rc)
		rc = mesh_open_control(m, in);
	if (rc)
		return rc;
	m->is_auth_key_refused = false;
	if (auth_key[0]) {
		forget_auth_key(m);
		m->had_key = mesh_control_has_key(m->control);
		m->auth_key = strdup(auth_key);
		/* A good login stays, unless mesh_log_in follows: it wants another key. */
		if (!m->had_key || !m->is_connected || m->is_expired)
			mesh_control_log_in(m->control, auth_key, false);
	} else if (!m->view.logged_out && mesh_control_has_key(m->control) && !m->is_connected) {
		mesh_control_start(m->control);
	}
	mesh_follow_prefs(m);
	/* Also where it stays as it is: who began a login waits to hear that the node runs. */
	mesh_update_state(m, MESH_DID_PREFS | MESH_DID_STATE);
	return 0;
}

int mesh_log_in(struct mesh *m, struct json_in *in)
{
	int rc = is_static_refused(m, in) ? -EINVAL : mesh_open_control(m, in);

	if (rc)
		return rc;
	if (m->url[0]) {
		mesh_tell(m, MESH_DID_URL);
		return 0;
	}
	/* It belongs to the start before it, whose key may have been refused by now. */
	if (!m->is_auth_key_refused && (!m->auth_key || m->had_key))
		rc = mesh_control_log_in(m->control, m->auth_key, true);
	mesh_update_state(m, 0);
	return rc;
}

int mesh_log_out(struct mesh *m)
{
	int rc = set_flags(m, false, true);

	if (rc)
		return rc;
	if (m->control) {
		mesh_control_pause(m->control, false);
		mesh_control_log_out(m->control);
	}
	m->is_connected = false;
	mesh_follow_prefs(m);
	mesh_update_state(m, MESH_DID_PREFS);
	return 0;
}
