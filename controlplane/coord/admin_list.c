/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "controlplane/coord/admin.h"
#include "controlplane/coord/map_node.h"
#include "controlplane/tailcfg/key_text.h"
#include "controlplane/tailcfg/time_text.h"
#include "lib/base/clock.h"

static void put_time(struct json_out *j, const char *name, int64_t ns)
{
	char text[TIME_TEXT_MAX];

	json_out_string(j, name, ns ? time_text_print(ns, text) : NULL);
}

static void put_user_name(struct json_out *j, const struct coord *c, int64_t id)
{
	const struct store_user *u = picture_user(&c->picture, id);

	json_out_string(j, "user", u ? u->name : "");
}

static void user_row(struct json_out *j, const struct coord *c, const void *row)
{
	const struct store_user *u = row;

	(void)c;
	json_out_i64(j, "id", u->id);
	json_out_string(j, "name", u->name);
	put_time(j, "created", u->created_ns);
}

/* The key itself is nowhere: only its hash is kept. */
static void key_row(struct json_out *j, const struct coord *c, const void *row)
{
	const struct store_key *k = row;

	json_out_i64(j, "id", k->id);
	put_user_name(j, c, k->user_id);
	json_out_bool(j, "reusable", k->uses_max == 0);
	json_out_bool(j, "ephemeral", k->is_ephemeral);
	json_out_i64(j, "uses", k->uses);
	json_out_raw(j, "tags", k->tags);
	put_time(j, "created", k->created_ns);
	put_time(j, "expires", k->expiry_ns);
}

static void node_row(struct json_out *j, const struct coord *c, const void *row)
{
	const struct picture_node *n = row;
	char text[KEY_TEXT_MAX > ADDR_STR_MAX ? KEY_TEXT_MAX : ADDR_STR_MAX];
	struct ip_addr v4, v6;

	store_node_addresses(n->row->address, &v4, &v6);
	json_out_i64(j, "id", n->row->id);
	json_out_string(j, "name", n->row->name);
	put_user_name(j, c, n->row->user_id);
	json_out_array(j, "addresses");
	json_out_string(j, NULL, addr_print(&v4, text));
	json_out_string(j, NULL, addr_print(&v6, text));
	json_out_end(j);
	json_out_bool(j, "online", maps_is_online(c->maps, n->row->id));
	json_out_bool(j, "expired", picture_node_is_expired(n, (int64_t)clock_wall_ns()));
	json_out_bool(j, "ephemeral", n->row->is_ephemeral);
	json_out_raw(j, "tags", n->row->tags);
	json_out_i64(j, "home_derp", n->row->home);
	json_out_raw(j, "endpoints", n->row->endpoints);
	json_out_string(j, "node_key", key_text_print(&n->row->node_key, KEY_TEXT_NODE, text));
	json_out_i64(j, "version", n->row->version);
	put_time(j, "created", n->row->created_ns);
	put_time(j, "expires", n->row->expiry_ns);
	put_time(j, "last_seen", n->row->seen_ns);
}

static void route_row(struct json_out *j, const struct coord *c, const void *row)
{
	const struct store_route *r = row;
	const struct picture_node *n = picture_node(&c->picture, r->node_id);
	char text[PREFIX_STR_MAX];

	json_out_i64(j, "id", r->id);
	json_out_string(j, "node", n ? n->row->name : "");
	json_out_string(j, "prefix", prefix_print(&r->prefix, text));
	json_out_bool(j, "advertised", r->is_advertised);
	json_out_bool(j, "approved", r->is_approved);
	json_out_bool(j, "primary", r->is_primary);
}

static void login_row(struct json_out *j, const struct coord *c, const void *row)
{
	const struct store_login *l = row;
	char text[KEY_TEXT_MAX];

	(void)c;
	json_out_i64(j, "id", l->id);
	json_out_string(j, "token", l->token);
	json_out_string(j, "machine_key", key_text_print(&l->machine, KEY_TEXT_MACHINE, text));
	put_time(j, "created", l->created_ns);
}

static char *finished(struct json_out *j, size_t *len)
{
	*len = j->len;
	if (!j->error)
		return j->text;
	json_out_fini(j);
	return NULL;
}

static char *list_of(const struct coord *c, const struct picture_rows *rows,
		     void (*put)(struct json_out *j, const struct coord *c, const void *row),
		     size_t *len)
{
	struct json_out j;

	json_out_init(&j);
	json_out_array(&j, NULL);
	for (size_t i = 0; i < rows->room; i++) {
		if (!rows->at[i])
			continue;
		json_out_object(&j, NULL);
		put(&j, c, rows->at[i]);
		json_out_end(&j);
	}
	json_out_end(&j);
	return finished(&j, len);
}

/* What nodes are told, and what was set for it: version 0, nothing was. */
static char *doc_of(const struct store_doc *doc, const char *told, size_t *len)
{
	struct json_out j;

	json_out_init(&j);
	json_out_object(&j, NULL);
	json_out_i64(&j, "version", doc ? doc->id : 0);
	put_time(&j, "set", doc ? doc->created_ns : 0);
	json_out_string(&j, "text", doc ? doc->text : NULL);
	json_out_raw(&j, "told", told ? told : "null");
	json_out_end(&j);
	return finished(&j, len);
}

char *admin_list(const struct coord *c, const char *name, size_t *len)
{
	const struct picture *p = &c->picture;

	if (strcmp(name, "users") == 0)
		return list_of(c, &p->users, user_row, len);
	if (strcmp(name, "keys") == 0)
		return list_of(c, &p->keys, key_row, len);
	if (strcmp(name, "nodes") == 0)
		return list_of(c, &p->nodes, node_row, len);
	if (strcmp(name, "routes") == 0)
		return list_of(c, &p->routes, route_row, len);
	if (strcmp(name, "logins") == 0)
		return list_of(c, &p->logins, login_row, len);
	if (strcmp(name, "derp") == 0)
		return doc_of(p->derp, p->derp ? p->derp->text : c->cfg.derp_map, len);
	if (strcmp(name, "policy") == 0)
		return doc_of(p->policy, NULL, len);
	if (strcmp(name, "dns") == 0)
		return doc_of(p->dns, picture_dns_config(p), len);
	return NULL;
}
