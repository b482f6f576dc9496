/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/status_mesh.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/cli/mesh_peer.h"
#include "lib/base/clock.h"

#define COLUMNS	   5
#define CELL_BYTES 256

struct row {
	char cell[COLUMNS][CELL_BYTES];
};

struct rows {
	struct row *row;
	size_t count, room;
};

static struct row *add(struct rows *r)
{
	if (r->count == r->room) {
		size_t room = r->room ? 2 * r->room : 64;
		struct row *p = realloc(r->row, room * sizeof(*p));

		if (!p)
			return NULL;
		r->row = p;
		r->room = room;
	}
	memset(&r->row[r->count], 0, sizeof(*r->row));
	return &r->row[r->count++];
}

/* A name that another node chose is no command to the terminal. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

static void put_name(char *out, const json_t *node, const char *suffix)
{
	mesh_short_name(node, suffix, out, CELL_BYTES);
	if (!out[0])
		snprintf(out, CELL_BYTES, "(\"%s\")", mesh_text(node, "HostName"));
}

static void put_owner(char *out, const json_t *node, const json_t *users)
{
	json_int_t id = json_integer_value(json_object_get(node, "UserID"));
	const char *login;
	char key[24];

	snprintf(key, sizeof(key), "%lld", (long long)id);
	login = mesh_text(json_object_get(users, key), "LoginName");
	if (!id || json_array_size(json_object_get(node, "Tags")))
		snprintf(out, CELL_BYTES, "%s", id ? "tagged-devices" : "-");
	else if (!login[0])
		snprintf(out, CELL_BYTES, "%s", key);
	else
		snprintf(out, CELL_BYTES, "%.*s",
			 (int)(strcspn(login, "@") + (strchr(login, '@') != NULL)), login);
}

static const char *exit_word(const json_t *node)
{
	if (json_is_true(json_object_get(node, "ExitNode")))
		return "exit node";
	return json_is_true(json_object_get(node, "ExitNodeOption")) ? "offers exit node" : "";
}

static void put_age(char *out, size_t len, const char *time_text)
{
	struct tm tm = {0};
	long minutes;

	if (strncmp(time_text, "0001-", 5) == 0 || !strptime(time_text, "%Y-%m-%dT%H:%M:%S", &tm))
		return;
	minutes = ((long)(clock_wall_ns() / NS_PER_SEC) - (long)timegm(&tm)) / 60;
	if (minutes < 1)
		minutes = 1;
	if (minutes < 60)
		snprintf(out, len, ", last seen %ldm ago", minutes);
	else if (minutes < 1440)
		snprintf(out, len, ", last seen %ldh ago", minutes / 60);
	else
		snprintf(out, len, ", last seen %ldd ago", minutes / 1440);
}

static void put_way(char *out, size_t len, const json_t *node)
{
	const char *direct = mesh_text(node, "CurAddr"), *relay = mesh_text(node, "Relay");

	if (direct[0])
		snprintf(out, len, "direct %s", direct);
	else
		snprintf(out, len, "relay \"%s\"", relay);
}

static void put_state(char *out, const json_t *node)
{
	json_int_t rx = json_integer_value(json_object_get(node, "RxBytes"));
	json_int_t tx = json_integer_value(json_object_get(node, "TxBytes"));
	bool online = json_is_true(json_object_get(node, "Online"));
	bool active = json_is_true(json_object_get(node, "Active"));
	const char *exits = exit_word(node);
	char way[96] = "", age[64] = "", bytes[64] = "";

	put_way(way, sizeof(way), node);
	if (!online)
		put_age(age, sizeof(age), mesh_text(node, "LastSeen"));
	if (rx || tx)
		snprintf(bytes, sizeof(bytes), ", tx %lld rx %lld", (long long)tx, (long long)rx);
	if (active)
		snprintf(out, CELL_BYTES, "active; %s%s%s%s%s%s", exits, exits[0] ? "; " : "", way,
			 online ? "" : "; offline", age, bytes);
	else if (exits[0])
		snprintf(out, CELL_BYTES, "idle; %s%s%s%s", exits, online ? "" : "; offline", age,
			 bytes);
	else if (rx || tx)
		snprintf(out, CELL_BYTES, "idle%s%s%s", online ? "" : "; offline", age, bytes);
	else
		snprintf(out, CELL_BYTES, "%s%s", online ? "-" : "offline", age);
}

static int add_node(struct rows *r, const json_t *node, const json_t *status)
{
	struct row *row = add(r);

	if (!row)
		return -ENOMEM;
	snprintf(row->cell[0], CELL_BYTES, "%s", mesh_address(node));
	put_name(row->cell[1], node, mesh_text(status, "MagicDNSSuffix"));
	put_owner(row->cell[2], node, json_object_get(status, "User"));
	snprintf(row->cell[3], CELL_BYTES, "%s", mesh_text(node, "OS"));
	put_state(row->cell[4], node);
	for (unsigned i = 0; i < COLUMNS; i++)
		clean(row->cell[i]);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const json_t *const *x = a, *const *y = b;
	int order = strcmp(mesh_text(*x, "DNSName"), mesh_text(*y, "DNSName"));

	if (!order)
		order = strcmp(mesh_text(*x, "HostName"), mesh_text(*y, "HostName"));
	return order ? order : strcmp(mesh_address(*x), mesh_address(*y));
}

static int add_peers(struct rows *r, const json_t *status, const struct status_options *o)
{
	json_t *peers = json_object_get(status, "Peer"), *peer;
	size_t n = 0, count = json_object_size(peers);
	const json_t **sorted = calloc(count + 1, sizeof(*sorted));
	const char *key;
	int rc = sorted ? 0 : -ENOMEM;

	if (sorted)
		json_object_foreach(peers, key, peer) sorted[n++] = peer;
	if (sorted)
		qsort(sorted, n, sizeof(*sorted), by_name);
	for (size_t i = 0; !rc && i < n; i++) {
		if (json_is_true(json_object_get(sorted[i], "ShareeNode")) ||
		    (o->active_alone && !json_is_true(json_object_get(sorted[i], "Active"))))
			continue;
		rc = add_node(r, sorted[i], status);
	}
	free(sorted);
	return rc;
}

static int add_header(struct rows *r)
{
	static const char *const titles[] = {"IP", "Hostname", "Owner", "OS", "Status"};
	struct row *row = add(r), *dashes = row ? add(r) : NULL;

	if (!dashes)
		return -ENOMEM;
	/* The second may have moved the first. */
	row = &r->row[r->count - 2];
	for (unsigned i = 0; i < COLUMNS; i++) {
		snprintf(row->cell[i], CELL_BYTES, "%s", titles[i]);
		memset(dashes->cell[i], '-', strlen(titles[i]));
	}
	return 0;
}

static void print(const struct rows *r)
{
	int width[COLUMNS] = {0};

	for (size_t i = 0; i < r->count; i++)
		for (unsigned k = 0; k < COLUMNS; k++)
			if ((int)strlen(r->row[i].cell[k]) > width[k])
				width[k] = (int)strlen(r->row[i].cell[k]);
	/* The last column is padded too, as stock does it. */
	for (size_t i = 0; i < r->count; i++) {
		for (unsigned k = 0; k < COLUMNS; k++)
			printf("%-*s  ", width[k], r->row[i].cell[k]);
		printf("\n");
	}
}

int status_mesh_print(const json_t *status, const struct status_options *o)
{
	struct rows r = {0};
	int rc = o->header ? add_header(&r) : 0;

	if (!rc && o->self)
		rc = add_node(&r, json_object_get(status, "Self"), status);
	if (!rc && o->peers)
		rc = add_peers(&r, status, o);
	if (!rc)
		print(&r);
	free(r.row);
	return rc;
}
