/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/netmap/netmap_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fileio.h"

#define CACHE_BYTES_MAX (256u << 20)

static json_t *peer_list(const struct netmap *m)
{
	json_t *list = json_array();

	for (uint32_t i = 0; list && i < m->peer_count; i++)
		if (json_array_append(list, m->peers[i]->raw)) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *user_list(const struct netmap *m)
{
	json_t *list = json_array(), *profile;
	const char *id;

	json_object_foreach(m->users, id, profile) if (json_array_append(list, profile))
	{
		json_decref(list);
		return NULL;
	}
	return list;
}

json_t *netmap_to_message(const struct netmap *m)
{
	json_t *message = json_copy(m->values), *peers = peer_list(m), *users = user_list(m);
	bool bad = !message || !peers || !users || json_object_set(message, "Node", m->self->raw) ||
		   json_object_set(message, "Peers", peers) ||
		   json_object_set(message, "UserProfiles", users) ||
		   (m->filters && json_object_set(message, "PacketFilters", m->filters)) ||
		   (m->derp && json_object_set(message, "DERPMap", m->derp));

	json_decref(peers);
	json_decref(users);
	if (!bad)
		return message;
	json_decref(message);
	return NULL;
}

int netmap_cache_write(const char *path, const struct netmap *m)
{
	json_t *message = netmap_to_message(m);
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
	int rc = text ? file_write_atomic(path, text, strlen(text), 0600) : -ENOMEM;

	free(text);
	json_decref(message);
	return rc;
}

int netmap_cache_read(const char *path, const struct key *node_key, struct netmap **out,
		      struct json_in *in)
{
	struct netmap *m;
	json_t *message;
	char *text;
	size_t len;
	int rc = file_read_all(path, CACHE_BYTES_MAX, &text, &len);

	in->error[0] = 0;
	if (rc) {
		snprintf(in->error, sizeof(in->error), "%s", strerror(-rc));
		return rc;
	}
	message = json_in_parse(in, text, len);
	free(text);
	if (!message)
		return -EBADMSG;
	rc = netmap_apply(NULL, message, 0, &m, in);
	json_decref(message);
	if (rc)
		return rc;
	if (!key_equal(&m->self->key, node_key)) {
		netmap_free(m);
		snprintf(in->error, sizeof(in->error), "it is of another node key");
		return -EKEYREJECTED;
	}
	*out = m;
	return 0;
}
