/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/coord/coord.h"

/* One name with its samples: the first line of them says what it is. */
static void put_head(FILE *f, const char *name, const char *help)
{
	size_t n = strlen(name);
	bool is_counter = n > 6 && strcmp(name + n - 6, "_total") == 0;

	fprintf(f, "# HELP causeway_coord_%s %s\n# TYPE causeway_coord_%s %s\n", name, help, name,
		is_counter ? "counter" : "gauge");
}

static void put(FILE *f, const char *name, const char *help, uint64_t value)
{
	put_head(f, name, help);
	fprintf(f, "causeway_coord_%s %llu\n", name, (unsigned long long)value);
}

static uint64_t rows_of(const struct picture_rows *rows)
{
	uint64_t n = 0;

	for (size_t i = 0; i < rows->room; i++)
		n += rows->at[i] != NULL;
	return n;
}

static void put_picture(FILE *f, const struct coord *c)
{
	const struct picture *p = &c->picture;
	uint64_t online = 0, unserved = 0;

	for (size_t i = 0; i < p->nodes.room; i++)
		online += p->nodes.at[i] && maps_is_online(c->maps, (int64_t)i);
	for (size_t i = 0; i < p->routes.room; i++) {
		const struct store_route *r = p->routes.at[i];

		unserved += r && r->is_primary && !maps_is_online(c->maps, r->node_id);
	}
	put(f, "nodes", "Nodes of the mesh.", p->node_count);
	put(f, "nodes_online", "Nodes that watch their map.", online);
	put(f, "users", "Users.", rows_of(&p->users));
	put(f, "logins_waiting", "Logins that wait for an administrator.", rows_of(&p->logins));
	put(f, "routes_unserved", "Primary routes whose node is not online.", unserved);
}

static void put_maps(FILE *f, const struct coord *c)
{
	struct maps_counts n;

	maps_counts(c->maps, &n);
	put(f, "map_streams", "Map streams now.", n.watchers);
	put(f, "map_messages_total", "Messages sent on map streams.", n.messages);
	put(f, "map_encoded_total", "Messages encoded: the rest were shared.", n.encoded);
	put(f, "map_bytes_total", "Bytes sent on map streams.", n.bytes);
}

static void put_store(FILE *f, const struct coord *c)
{
	struct store_counts n;

	store_counts(c->store, &n);
	put(f, "store_operations_total", "Operations done.", n.ops);
	put(f, "store_commits_total", "Transactions that held them.", n.commits);
	put(f, "store_changes_total", "Changes of rows delivered.", n.changes);
}

static void put_refused(FILE *f, const char *reason, uint64_t value)
{
	fprintf(f, "causeway_coord_refused_total{reason=\"%s\"} %llu\n", reason,
		(unsigned long long)value);
}

static void put_server(FILE *f, const struct coord *c)
{
	struct ts2021_server_counts n;

	ts2021_server_counts(c->server, &n);
	put(f, "connections", "Connections now.", n.connections);
	put(f, "connections_pending", "Those that have not proven a key yet.", n.pending);
	put(f, "connections_total", "Connections accepted.", n.accepted);
	put(f, "requests_total", "Requests of proven machines.", n.requests);
	put_head(f, "refused_total", "Connections ended before they proved a key.");
	put_refused(f, "pending", n.refused_pending);
	put_refused(f, "address", n.refused_address);
	put_refused(f, "connections", n.refused_connections);
	put_refused(f, "memory", n.refused_memory);
	put_refused(f, "http", n.bad_http);
	put_refused(f, "handshake", n.bad_handshake);
	put_refused(f, "timeout", n.timed_out);
}

char *coord_metrics(const struct coord *c, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (!f)
		return NULL;
	put_picture(f, c);
	put_maps(f, c);
	put_store(f, c);
	put_server(f, c);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}
