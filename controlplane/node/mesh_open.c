/* SPDX-License-Identifier: Apache-2.0 */
/* How a mesh comes up from its files, and goes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "controlplane/dns/dns_server.h"
#include "controlplane/net/net_tls.h"
#include "controlplane/node/mesh_parts.h"
#include "lib/base/clock.h"
#include "lib/base/fileio.h"
#include "lib/base/log.h"

#define PREFS_FILE "prefs.json"
#define DISCO_FILE "disco.key"
#define PREFS_MAX  (1u << 20)

static int read_prefs(struct mesh *m, char err[MESH_ERROR_MAX])
{
	struct json_in in = {0};
	char *text = NULL;
	size_t len;
	int rc = file_read_all(m->prefs_path, PREFS_MAX, &text, &len);

	if (rc == -ENOENT) {
		m->prefs = prefs_new();
		rc = m->prefs ? 0 : -ENOMEM;
	} else if (!rc) {
		json_t *given = json_in_parse(&in, text, len), *base = prefs_new();

		m->prefs = given && base ? prefs_replace(base, given, &in) : NULL;
		json_decref(given);
		json_decref(base);
		rc = m->prefs ? 0 : -EBADMSG;
	}
	free(text);
	if (!rc && !prefs_view(m->prefs, &m->view, &in))
		rc = -EBADMSG;
	if (rc)
		snprintf(err, MESH_ERROR_MAX, "%.200s: %.250s", m->prefs_path,
			 in.error[0] ? in.error : strerror(-rc));
	return rc;
}

/*
 * Stock nodes make another one at each start. Ours stays, so that a gateway that was
 * restarted is known to its peers while the coordinator is away.
 */
static int read_disco(struct mesh *m, char err[MESH_ERROR_MAX])
{
	char path[PATH_MAX];
	int rc;

	snprintf(path, sizeof(path), "%s/" DISCO_FILE, m->node->opt.state_dir);
	rc = key_read_file(path, &m->disco);
	if (rc == -ENOENT) {
		randombytes_buf(m->disco.bytes, KEY_BYTES);
		rc = key_write_file(path, &m->disco);
	}
	if (rc)
		snprintf(err, MESH_ERROR_MAX, "%.200s: %s", path, strerror(-rc));
	return rc;
}

static void on_expiry(uv_timer_t *t)
{
	struct mesh *m = t->data;

	m->is_dns_old = true;
	mesh_apply(m);
	mesh_update_state(m, MESH_DID_NETMAP);
}

void mesh_expire_at(struct mesh *m, int64_t at_ns)
{
	int64_t wait_ns = at_ns - mesh_now_ns(m);

	if (at_ns == INT64_MAX)
		uv_timer_stop(&m->expiry);
	else
		uv_timer_start(&m->expiry, on_expiry,
			       wait_ns > 0 ? (uint64_t)(wait_ns / (int64_t)NS_PER_MS) + 1 : 1, 0);
}

/* A node that was up goes on, by its cache first and its coordinator when that answers. */
static void resume(struct mesh *m)
{
	struct json_in in = {0};

	if (!m->view.control_url[0])
		return;
	if (mesh_open_control(m, &in)) {
		log_error("mesh.open", "error=\"%s\"", in.error);
		snprintf(m->error, sizeof(m->error), "%s", in.error);
		return;
	}
	if (m->is_from_cache)
		log_info("mesh.cache", "peers=%u", mesh_map(m)->peer_count);
	mesh_follow_prefs(m);
	if (!m->view.logged_out && mesh_control_has_key(m->control))
		mesh_control_start(m->control);
}

int mesh_open(struct node *n, struct mesh **out, char err[MESH_ERROR_MAX])
{
	struct mesh *m = calloc(1, sizeof(*m));
	int rc;

	snprintf(err, MESH_ERROR_MAX, "no memory");
	if (!m)
		return -ENOMEM;
	m->node = n;
	m->is_static = n->config->peer_count > 0;
	snprintf(m->prefs_path, sizeof(m->prefs_path), "%s/" PREFS_FILE, n->opt.state_dir);
	uv_timer_init(n->loop, &m->expiry);
	uv_timer_init(n->loop, &m->look);
	m->expiry.data = m->look.data = m;
	m->handles = 2;
	rc = read_prefs(m, err);
	if (!rc && !m->is_static) {
		rc = read_disco(m, err);
		m->tls = rc ? NULL : net_tls_client(NULL, err);
		if (!rc && !m->tls)
			rc = -EIO;
		if (!rc)
			rc = mesh_relays_open(m);
		if (!rc)
			rc = dns_server_open(&(struct dns_server_options){.loop = n->loop},
					     &m->dns);
	}
	if (rc) {
		mesh_close(m);
		return rc;
	}
	*out = m;
	if (!m->is_static)
		resume(m);
	m->state = mesh_find_state(m);
	return 0;
}

static void on_closed(uv_handle_t *h)
{
	struct mesh *m = h->data;

	if (--m->handles == 0)
		free(m);
}

void mesh_close(struct mesh *m)
{
	if (!m)
		return;
	mesh_close_control(m);
	mesh_relays_close(m);
	dns_server_close(m->dns);
	SSL_CTX_free(m->tls);
	prefs_view_fini(&m->view);
	json_decref(m->prefs);
	json_decref(m->net_info);
	key_wipe(&m->disco);
	uv_close((uv_handle_t *)&m->expiry, on_closed);
	uv_close((uv_handle_t *)&m->look, on_closed);
}
