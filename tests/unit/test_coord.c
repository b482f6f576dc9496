/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows the coordinator from the side of nodes, over its transport: who is let in and
 * who is not, by key and by hand, with new keys, after expiry and logout; that a map
 * stream begins whole and then says only what changed, the same bytes to all who need
 * the same; and that nothing stays of an ephemeral node.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/coord/coord.h"
#include "controlplane/tailcfg/key_text.h"
#include "controlplane/tailcfg/map_frame.h"
#include "controlplane/tailcfg/time_text.h"
#include "controlplane/ts2021/ts2021_client.h"
#include "lib/base/clock.h"

#define DEVICES	   4
#define MESSAGES   64
#define PATIENCE_S 10

struct device {
	struct rig *rig;
	struct ts2021_client *client;
	struct key machine, node, old;
	/* The last answer. */
	unsigned status;
	char *body;
	size_t len;
	bool is_ended;
	/* The stream. */
	struct map_frame_reader *reader;
	json_t *messages[MESSAGES];
	size_t sizes[MESSAGES];
	unsigned count;
	bool has_stream, stream_ended;
	unsigned stream_status;
	int stream_id;
};

struct rig {
	uv_loop_t loop;
	uv_timer_t patience;
	char dir[64], path[96];
	struct coord coord;
	uint16_t port;
	bool is_ready;
	unsigned waiting;
	int result;
	struct device dev[DEVICES];
};

static void fill(void *ctx, void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

static const struct wg_random source = {.fill = fill};

static void on_ready(void *arg)
{
	struct rig *r = arg;
	struct endpoint at;

	assert_int_equal(addr_parse("127.0.0.1", &at.addr), 0);
	at.port = 0;
	assert_int_equal(ts2021_server_listen(r->coord.server, &at, NULL, &r->port), 0);
	r->is_ready = true;
}

static void on_failed(void *arg, int err)
{
	fail_msg("store: %s", strerror(-err));
}

static void on_patience(uv_timer_t *t)
{
	(void)t;
}

/* Turns the loop until the condition holds. */
#define UNTIL(cond)                                                                                \
	do {                                                                                       \
		uint64_t until_ = clock_now_ns() + PATIENCE_S * NS_PER_SEC;                        \
		while (!(cond)) {                                                                  \
			assert_true(clock_now_ns() < until_);                                      \
			uv_run(&r->loop, UV_RUN_ONCE);                                             \
		}                                                                                  \
	} while (0)

static void rig_start(struct rig *r)
{
	struct coord_config cfg = {
		.policy = "{}", /* everybody may reach everybody */
		.loop = &r->loop,
		.database = r->path,
		.url = "http://127.0.0.1",
		.domain = "mesh.test",
		.key_life_ns = 3600ll * 1000000000,
		.on_ready = on_ready,
		.on_failed = on_failed,
		.arg = r,
	};

	memset(cfg.server_key.bytes, 5, KEY_BYTES);
	r->is_ready = false;
	assert_int_equal(coord_open(&r->coord, &cfg), 0);
	UNTIL(r->is_ready);
}

static void device_init(struct rig *r, unsigned i)
{
	struct device *d = &r->dev[i];
	struct ts2021_client_config cfg = {.loop = &r->loop, .version = 142, .random = &source};
	char url[64];

	d->rig = r;
	randombytes_buf(cfg.machine_private.bytes, KEY_BYTES);
	crypto_scalarmult_base(d->machine.bytes, cfg.machine_private.bytes);
	randombytes_buf(d->node.bytes, KEY_BYTES);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", r->port);
	assert_int_equal(ts2021_url_parse(url, &cfg.url), 0);
	assert_int_equal(ts2021_client_new(&cfg, &d->client), 0);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	snprintf(r->dir, sizeof(r->dir), "/tmp/coord.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/coord.db", r->dir);
	uv_loop_init(&r->loop);
	uv_timer_init(&r->loop, &r->patience);
	uv_timer_start(&r->patience, on_patience, 100, 100);
	rig_start(r);
	for (unsigned i = 0; i < DEVICES; i++)
		device_init(r, i);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	struct rig *r = *state;
	char path[128];

	for (unsigned i = 0; i < DEVICES; i++) {
		struct device *d = &r->dev[i];

		ts2021_client_free(d->client);
		map_frame_reader_free(d->reader);
		free(d->body);
		for (unsigned k = 0; k < d->count; k++)
			json_decref(d->messages[k]);
	}
	coord_close(&r->coord);
	uv_close((uv_handle_t *)&r->patience, NULL);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	coord_fini(&r->coord);
	assert_int_equal(uv_loop_close(&r->loop), 0);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", r->path, ends[i]);
		unlink(path);
	}
	rmdir(r->dir);
	free(r);
	return 0;
}

/* ---- the administrator ---- */

static void on_done(void *arg, struct store_op *op)
{
	struct rig *r = arg;

	r->waiting--;
	r->result = op->result;
}

static struct store_op *op_new(struct rig *r, enum store_op_kind kind)
{
	struct store_op *op = store_op_new(kind, (int64_t)clock_wall_ns(), "test");

	assert_non_null(op);
	op->done = on_done;
	op->arg = r;
	return op;
}

static int do_op(struct rig *r, struct store_op *op)
{
	r->waiting++;
	store_submit(r->coord.store, op);
	UNTIL(!r->waiting);
	return r->result;
}

/* Users ann and bob; keys "ann" (reusable), "once", "ephemeral", "tagged". */
static void people(struct rig *r)
{
	static const char *const users[] = {"ann", "bob"};
	static const char *const keys[] = {"ann", "once", "ephemeral", "tagged"};

	for (unsigned i = 0; i < 2; i++) {
		struct store_op *op = op_new(r, STORE_USER_CREATE);

		op->name = strdup(users[i]);
		assert_int_equal(do_op(r, op), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		struct store_op *op = op_new(r, STORE_KEY_CREATE);

		op->id = 1;
		crypto_hash_sha256(op->hash, (const uint8_t *)keys[i], strlen(keys[i]));
		op->is_reusable = i != 1;
		op->is_ephemeral = i == 2;
		op->tags = i == 3 ? strdup("[\"tag:gw\"]") : NULL;
		assert_int_equal(do_op(r, op), 0);
	}
}

/* ---- requests of a device ---- */

static void on_head(void *arg, unsigned status, unsigned retry_after_s)
{
	((struct device *)arg)->status = status;
}

static void on_body(void *arg, const uint8_t *data, size_t len)
{
	struct device *d = arg;

	d->body = realloc(d->body, d->len + len + 1);
	assert_non_null(d->body);
	memcpy(d->body + d->len, data, len);
	d->len += len;
	d->body[d->len] = 0;
}

static void on_end(void *arg, const char *why)
{
	struct device *d = arg;

	if (why)
		d->status = 0;
	d->is_ended = true;
}

static const struct ts2021_events plain = {on_head, on_body, on_end};

static void post(struct device *d, const char *path, const char *body)
{
	free(d->body);
	d->body = NULL;
	d->len = 0;
	d->is_ended = false;
	d->status = 0;
	assert_true(ts2021_post(d->client, path, body, strlen(body), 0, &plain, d) > 0);
}

/* more: further members, each with a comma in front. */
static void post_register(struct device *d, const char *host, const char *more)
{
	char node[KEY_TEXT_MAX], old[KEY_TEXT_MAX], body[2048];

	snprintf(body, sizeof(body),
		 "{\"Version\":142,\"NodeKey\":\"%s\",\"OldNodeKey\":\"%s\","
		 "\"Hostinfo\":{\"Hostname\":\"%s\",\"OS\":\"linux\",\"BackendLogID\":\"secret\","
		 "\"RoutableIPs\":[\"10.%u.0.0/16\"]}%s}",
		 key_text_print(&d->node, KEY_TEXT_NODE, node),
		 key_text_print(&d->old, KEY_TEXT_NODE, old), host, (unsigned)(d - d->rig->dev),
		 more);
	post(d, "/machine/register", body);
}

/* The answer's member, or NULL. Borrowed until the next call. */
static const char *answer(struct device *d, const char *name)
{
	static json_t *last;
	const json_t *v;

	json_decref(last);
	last = d->body ? json_loads(d->body, 0, NULL) : NULL;
	v = json_object_get(last, name);
	return json_is_string(v)  ? json_string_value(v)
	       : json_is_true(v)  ? "true"
	       : json_is_false(v) ? "false"
				  : NULL;
}

static const char *join(struct rig *r, unsigned i, const char *host, const char *key)
{
	char more[128];

	snprintf(more, sizeof(more), ",\"Auth\":{\"AuthKey\":\"%s\"}", key);
	post_register(&r->dev[i], host, more);
	UNTIL(r->dev[i].is_ended);
	assert_int_equal(r->dev[i].status, 200);
	return answer(&r->dev[i], "Error");
}

static int on_message(void *arg, const char *text, size_t len)
{
	struct device *d = arg;

	assert_in_range(d->count, 0, MESSAGES - 1);
	d->sizes[d->count] = len;
	d->messages[d->count] = json_loadb(text, len, 0, NULL);
	assert_non_null(d->messages[d->count]);
	d->count++;
	return 0;
}

static void on_stream_head(void *arg, unsigned status, unsigned retry_after_s)
{
	((struct device *)arg)->stream_status = status;
}

static void on_stream_body(void *arg, const uint8_t *data, size_t len)
{
	struct device *d = arg;
	char err[MAP_FRAME_ERROR_MAX];

	if (d->stream_status == 200)
		assert_int_equal(map_frame_feed(d->reader, data, len, on_message, d, err), 0);
}

static void on_stream_end(void *arg, const char *why)
{
	((struct device *)arg)->stream_ended = true;
}

static const struct ts2021_events stream_events = {on_stream_head, on_stream_body, on_stream_end};

static void watch(struct rig *r, unsigned i)
{
	struct device *d = &r->dev[i];
	char node[KEY_TEXT_MAX], body[512];

	map_frame_reader_free(d->reader);
	d->reader = map_frame_reader_new(true, 1 << 20);
	d->stream_ended = false;
	d->stream_status = 0;
	snprintf(body, sizeof(body),
		 "{\"Version\":142,\"NodeKey\":\"%s\",\"Stream\":true,\"Compress\":\"zstd\","
		 "\"KeepAlive\":true}",
		 key_text_print(&d->node, KEY_TEXT_NODE, node));
	d->stream_id =
		ts2021_post(d->client, "/machine/map", body, strlen(body), 0, &stream_events, d);
	assert_true(d->stream_id > 0);
}

static void lite(struct rig *r, unsigned i, const char *host, const char *endpoint, unsigned home)
{
	struct device *d = &r->dev[i];
	char node[KEY_TEXT_MAX], body[1024];

	snprintf(body, sizeof(body),
		 "{\"Version\":142,\"NodeKey\":\"%s\",\"OmitPeers\":true,\"Endpoints\":[\"%s\"],"
		 "\"Hostinfo\":{\"Hostname\":\"%s\",\"OS\":\"linux\",\"BackendLogID\":\"secret\","
		 "\"RoutableIPs\":[\"10.%u.0.0/16\"],\"NetInfo\":{\"PreferredDERP\":%u}}}",
		 key_text_print(&d->node, KEY_TEXT_NODE, node), endpoint, host, i, home);
	post(d, "/machine/map", body);
	UNTIL(d->is_ended);
	assert_int_equal(d->status, 200);
	assert_int_equal(d->len, 0);
}

/* The newest message that has this member, or NULL. */
static json_t *newest(struct device *d, const char *member)
{
	for (unsigned k = d->count; k; k--)
		if (json_object_get(d->messages[k - 1], member))
			return json_object_get(d->messages[k - 1], member);
	return NULL;
}

static const char *text_of(json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

/* ---- cases ---- */

static void keys_let_in_and_wrong_ones_do_not(void **state)
{
	struct rig *r = *state;

	people(r);
	assert_string_equal(join(r, 0, "Web Server.lan", "nonsense"),
			    "invalid key: unknown auth key");
	assert_string_equal(join(r, 0, "Web Server.lan", "once"), "");
	assert_string_equal(r->coord.picture.nodes.at[1] ? "in" : "out", "in");
	assert_string_equal(picture_node(&r->coord.picture, 1)->row->name, "web-server");
	/* Said again by the same node it is no second use; by another it is. */
	assert_string_equal(join(r, 0, "web", "once"), "");
	assert_string_equal(join(r, 1, "web", "once"), "invalid key: it was used before");
	/* Another machine that shows this node's key gets nothing. */
	r->dev[2].node = r->dev[0].node;
	assert_string_equal(join(r, 2, "thief", "ann"), "the node key belongs to another machine");
	post(&r->dev[3], "/machine/register", "{\"Version\":142,\"NodeKey\":7}");
	UNTIL(r->dev[3].is_ended);
	assert_int_equal(r->dev[3].status, 400);
}

static void a_login_by_hand_is_held_until_somebody_admits_it(void **state)
{
	struct rig *r = *state;
	struct device *d = &r->dev[0];
	char url[256], more[512];
	struct store_op *op;

	people(r);
	post_register(d, "laptop", "");
	UNTIL(d->is_ended);
	snprintf(url, sizeof(url), "%s", answer(d, "AuthURL"));
	assert_memory_equal(url, "http://127.0.0.1/register/", 26);
	snprintf(more, sizeof(more), ",\"Followup\":\"%s\"", url);
	post_register(d, "laptop", more);
	for (unsigned i = 0; i < 5; i++)
		uv_run(&r->loop, UV_RUN_ONCE);
	assert_false(d->is_ended);
	op = op_new(r, STORE_NODE_REGISTER);
	op->name = strdup(url + 26);
	op->user = strdup("bob");
	assert_int_equal(do_op(r, op), 0);
	UNTIL(d->is_ended);
	assert_string_equal(answer(d, "AuthURL"), "");
	assert_string_equal(answer(d, "MachineAuthorized"), "true");
	assert_int_equal(picture_node(&r->coord.picture, 1)->row->user_id, 2);
}

static void a_new_key_keeps_the_node_and_an_expired_one_is_told(void **state)
{
	struct rig *r = *state;
	struct device *d = &r->dev[0];

	people(r);
	assert_string_equal(join(r, 0, "web", "ann"), "");
	d->old = d->node;
	randombytes_buf(d->node.bytes, KEY_BYTES);
	assert_string_equal(join(r, 0, "web", "ann"), "");
	assert_int_equal(r->coord.picture.node_count, 1);
	assert_memory_equal(picture_node(&r->coord.picture, 1)->row->node_key.bytes, d->node.bytes,
			    KEY_BYTES);
	/* Restart: the same key without anything. */
	post_register(d, "web", "");
	UNTIL(d->is_ended);
	assert_string_equal(answer(d, "MachineAuthorized"), "true");
	/* Logout. */
	post_register(d, "web", ",\"Expiry\":\"1970-01-01T00:02:03Z\"");
	UNTIL(d->is_ended);
	assert_int_equal(d->status, 200);
	assert_string_equal(answer(d, "Error"), "");
	post_register(d, "web", "");
	UNTIL(d->is_ended);
	assert_string_equal(answer(d, "NodeKeyExpired"), "true");
}

static void a_stream_begins_whole_and_goes_on_with_what_changed(void **state)
{
	struct rig *r = *state;
	struct device *a = &r->dev[0], *b = &r->dev[1];
	json_t *peer, *patch, *node;
	unsigned before;

	people(r);
	assert_string_equal(join(r, 0, "a", "ann"), "");
	assert_string_equal(join(r, 1, "b", "tagged"), "");
	watch(r, 0);
	UNTIL(a->count == 1);
	node = json_object_get(a->messages[0], "Node");
	assert_string_equal(text_of(node, "Name"), "a.mesh.test.");
	assert_true(json_is_true(json_object_get(node, "MachineAuthorized")));
	peer = json_array_get(json_object_get(a->messages[0], "Peers"), 0);
	assert_string_equal(text_of(peer, "Name"), "b.mesh.test.");
	assert_string_equal(json_string_value(json_array_get(json_object_get(peer, "Tags"), 0)),
			    "tag:gw");
	assert_true(json_is_false(json_object_get(peer, "Online")));
	/* A peer's Hostinfo is cut down to what peers need. */
	assert_null(json_object_get(json_object_get(peer, "Hostinfo"), "BackendLogID"));
	assert_string_equal(text_of(json_object_get(peer, "Hostinfo"), "OS"), "linux");
	assert_non_null(json_object_get(a->messages[0], "PacketFilters"));

	watch(r, 1);
	UNTIL(newest(a, "OnlineChange"));
	assert_true(json_is_true(json_object_get(newest(a, "OnlineChange"), "2")));
	lite(r, 1, "b", "192.0.2.1:41641", 3);
	UNTIL((patch = newest(a, "PeersChangedPatch")));
	patch = json_array_get(patch, 0);
	assert_int_equal(json_integer_value(json_object_get(patch, "NodeID")), 2);
	assert_int_equal(json_integer_value(json_object_get(patch, "DERPRegion")), 3);
	/* NetInfo is nobody else's: no whole node went out, and the message is small. */
	assert_null(newest(a, "PeersChanged"));
	assert_in_range(a->sizes[a->count - 1], 1, 160);
	/* What says nothing new costs nobody a message. */
	before = a->count;
	lite(r, 1, "b", "192.0.2.1:41641", 3);
	lite(r, 0, "a", "192.0.2.9:1", 1);
	UNTIL(newest(b, "PeersChangedPatch"));
	assert_int_equal(a->count, before);
	/* A stranger is told whole, one that goes by its number. */
	assert_string_equal(join(r, 2, "c", "ann"), "");
	UNTIL((peer = newest(a, "PeersChanged")));
	assert_string_equal(text_of(json_array_get(peer, 0), "Name"), "c.mesh.test.");
	{
		struct store_op *op = op_new(r, STORE_NODE_DELETE);

		op->id = 3;
		assert_int_equal(do_op(r, op), 0);
	}
	UNTIL(newest(a, "PeersRemoved") && newest(b, "PeersRemoved"));
}

/* Until nothing has been sent for longer than a window lasts. */
static void settle(struct rig *r)
{
	uint64_t since = clock_now_ns();
	struct maps_counts last, now;

	maps_counts(r->coord.maps, &last);
	while (clock_now_ns() - since < 300 * NS_PER_MS) {
		uv_run(&r->loop, UV_RUN_ONCE);
		maps_counts(r->coord.maps, &now);
		if (now.messages != last.messages)
			since = clock_now_ns();
		last = now;
	}
}

static void watchers_that_need_the_same_share_its_bytes(void **state)
{
	struct maps_counts before, after;
	struct rig *r = *state;

	people(r);
	for (unsigned i = 0; i < DEVICES; i++) {
		char host[8];

		snprintf(host, sizeof(host), "n%u", i);
		assert_string_equal(join(r, i, host, "ann"), "");
		watch(r, i);
		UNTIL(r->dev[i].count);
	}
	settle(r);
	maps_counts(r->coord.maps, &before);
	lite(r, 0, "n0", "192.0.2.1:41641", 3);
	for (unsigned i = 1; i < DEVICES; i++)
		UNTIL(newest(&r->dev[i], "PeersChangedPatch"));
	maps_counts(r->coord.maps, &after);
	assert_int_equal(after.messages - before.messages, DEVICES - 1);
	assert_int_equal(after.encoded - before.encoded, 1);
}

static void routes_reach_peers_when_they_are_approved(void **state)
{
	struct rig *r = *state;
	struct device *a = &r->dev[0];
	struct store_op *op;
	json_t *peer;

	people(r);
	assert_string_equal(join(r, 0, "a", "ann"), "");
	assert_string_equal(join(r, 1, "b", "ann"), "");
	watch(r, 0);
	UNTIL(a->count == 1);
	peer = json_array_get(json_object_get(a->messages[0], "Peers"), 0);
	assert_int_equal(json_array_size(json_object_get(peer, "AllowedIPs")), 2);
	op = op_new(r, STORE_ROUTE_APPROVE);
	op->id = 2;
	op->text = strdup("10.1.0.0/16");
	op->is_approved = true;
	assert_int_equal(do_op(r, op), 0);
	UNTIL((peer = newest(a, "PeersChanged")));
	peer = json_array_get(peer, 0);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(peer, "AllowedIPs"), 2)),
		"10.1.0.0/16");
	assert_int_equal(json_array_size(json_object_get(peer, "PrimaryRoutes")), 1);
}

/* Only what is set later is told as a change, and to all with the same bytes. */
static void dns_reaches_who_watches(void **state)
{
	struct rig *r = *state;
	struct maps_counts before, after;
	struct store_op *op;
	const json_t *dns;

	people(r);
	for (unsigned i = 0; i < 2; i++) {
		assert_string_equal(join(r, i, i ? "b" : "a", "ann"), "");
		watch(r, i);
		UNTIL(r->dev[i].count);
	}
	dns = json_object_get(r->dev[0].messages[0], "DNSConfig");
	assert_int_equal(json_object_size(json_object_get(dns, "Routes")), 1);
	assert_true(json_is_true(json_object_get(dns, "Proxied")));
	settle(r);
	maps_counts(r->coord.maps, &before);
	op = op_new(r, STORE_DOC_SET);
	op->id = STORE_DOC_DNS;
	op->text =
		strdup("{\"extra_records\": [{\"name\": \"db.test\", \"value\": \"10.0.0.7\"}],}");
	assert_int_equal(do_op(r, op), 0);
	for (unsigned i = 0; i < 2; i++) {
		UNTIL((dns = json_object_get(newest(&r->dev[i], "DNSConfig"), "ExtraRecords")));
		assert_string_equal(
			json_string_value(json_object_get(json_array_get(dns, 0), "Name")),
			"db.test");
		assert_null(newest(&r->dev[i], "DERPMap"));
	}
	maps_counts(r->coord.maps, &after);
	assert_int_equal(after.encoded - before.encoded, 1);
	/* One that cannot be read, as by another version: what was told before stays. */
	op = op_new(r, STORE_DOC_SET);
	op->id = STORE_DOC_DNS;
	op->text = strdup("{\"later\": 1}");
	assert_int_equal(do_op(r, op), 0);
	assert_non_null(strstr(picture_dns_config(&r->coord.picture), "db.test"));
}

static void set_policy(struct rig *r, const char *text)
{
	struct store_op *op = op_new(r, STORE_DOC_SET);

	op->id = STORE_DOC_POLICY;
	op->text = strdup(text);
	assert_int_equal(do_op(r, op), 0);
}

static size_t peers_of(const json_t *map)
{
	return json_array_size(json_object_get(map, "Peers"));
}

/* Of three nodes, two of ann's and one that is tagged. */
static void the_policy_decides_who_sees_whom(void **state)
{
	static const char head[] = "{\"tagOwners\": {\"tag:gw\": [\"ann@\"], \"tag:db\": []},";
	struct rig *r = *state;
	struct store_op *op;
	char text[512];

	people(r);
	set_policy(r, "{\"grants\": []}");
	for (unsigned i = 0; i < 3; i++) {
		assert_string_equal(join(r, i, i == 2 ? "gw" : "a", i == 2 ? "tagged" : "ann"), "");
		watch(r, i);
		UNTIL(r->dev[i].count);
		assert_int_equal(peers_of(r->dev[i].messages[0]), 0);
		/* A filter that lets nothing pass is a filter. */
		assert_int_equal(
			json_object_size(json_object_get(r->dev[i].messages[0], "PacketFilters")),
			2);
	}
	snprintf(text, sizeof(text),
		 "%s\"grants\": [{\"src\": [\"ann@\"], \"dst\": [\"tag:gw\"], \"ip\": [\"22\"]}]}",
		 head);
	set_policy(r, text);
	/* ann's nodes see the tagged one and not each other; it alone has a rule. */
	for (unsigned i = 0; i < 3; i++)
		UNTIL(json_array_size(newest(&r->dev[i], "PeersChanged")) == (i == 2 ? 2 : 1));
	UNTIL(json_array_size(json_object_get(newest(&r->dev[2], "PacketFilters"), "s0")) == 1);
	assert_null(json_object_get(newest(&r->dev[0], "PacketFilters"), "s0"));
	/* Its tag goes, and with it the two edges; the part of its filter goes by name. */
	op = op_new(r, STORE_NODE_TAG);
	op->id = 3;
	op->tags = strdup("[\"tag:db\"]");
	assert_int_equal(do_op(r, op), 0);
	for (unsigned i = 0; i < 3; i++)
		UNTIL(json_array_size(newest(&r->dev[i], "PeersRemoved")) == (i == 2 ? 2 : 1));
	UNTIL(json_is_null(json_object_get(newest(&r->dev[2], "PacketFilters"), "s0")));
	/* One that cannot be read, as by another version: the one before stays. */
	set_policy(r, "{\"grants\": [{}]}");
	assert_false(visibility_sees(r->coord.visibility, 1, 3));
	assert_true(policy_live_has_tag(visibility_policy(r->coord.visibility), "tag:db"));
}

static bool is_approved(struct rig *r, int64_t node)
{
	const struct picture_node *n = picture_node(&r->coord.picture, node);

	return n && n->route_count == 1 && n->routes[0]->is_approved;
}

static void a_route_is_approved_by_the_policy_once(void **state)
{
	struct rig *r = *state;
	struct store_op *op;

	people(r);
	set_policy(r, "{\"autoApprovers\": {\"routes\": {\"10.0.0.0/8\": [\"tag:gw\"]}},"
		      "\"tagOwners\": {\"tag:gw\": []}}");
	/* Its route is 10.1.0.0/16. */
	assert_string_equal(join(r, 1, "gw", "tagged"), "");
	UNTIL(is_approved(r, 1));
	op = op_new(r, STORE_ROUTE_APPROVE);
	op->id = 1;
	op->text = strdup("10.1.0.0/16");
	assert_int_equal(do_op(r, op), 0);
	assert_false(is_approved(r, 1));
	/* Who took it away meant it; a policy that says the same does not bring it back. */
	set_policy(r, "{\"autoApprovers\": {\"routes\": {\"10.1.0.0/16\": [\"tag:gw\"]}},"
		      "\"tagOwners\": {\"tag:gw\": []}}");
	settle(r);
	assert_false(is_approved(r, 1));
}

static void an_ephemeral_node_goes_when_it_leaves(void **state)
{
	struct rig *r = *state;

	people(r);
	assert_string_equal(join(r, 0, "a", "ann"), "");
	assert_string_equal(join(r, 1, "b", "ephemeral"), "");
	watch(r, 0);
	watch(r, 1);
	UNTIL(r->dev[0].count && r->dev[1].count);
	ts2021_cancel_all(r->dev[1].client);
	UNTIL(!picture_node(&r->coord.picture, 2));
	UNTIL(newest(&r->dev[0], "PeersRemoved"));
}

/* The store may be ready only when the end has begun: nobody is told. */
static void a_start_that_is_broken_off_ends(void **state)
{
	struct rig *r = *state;
	struct coord_config cfg = r->coord.cfg;
	static struct coord other;

	r->is_ready = false;
	assert_int_equal(coord_open(&other, &cfg), 0);
	coord_close(&other);
	settle(r);
	coord_fini(&other);
	assert_false(r->is_ready);
}

static void strangers_get_no_map(void **state)
{
	struct rig *r = *state;

	people(r);
	assert_string_equal(join(r, 0, "a", "ann"), "");
	watch(r, 1);
	UNTIL(r->dev[1].stream_ended);
	assert_int_equal(r->dev[1].stream_status, 404);
	/* A stolen node key proves nothing without its machine's. */
	r->dev[1].node = r->dev[0].node;
	watch(r, 1);
	UNTIL(r->dev[1].stream_ended);
	assert_int_equal(r->dev[1].stream_status, 404);
	/* A second stream of a node ends the first. */
	watch(r, 0);
	UNTIL(r->dev[0].count == 1);
	watch(r, 0);
	UNTIL(r->dev[0].count == 2 && r->dev[0].stream_ended);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(keys_let_in_and_wrong_ones_do_not),
		CASE(a_login_by_hand_is_held_until_somebody_admits_it),
		CASE(a_new_key_keeps_the_node_and_an_expired_one_is_told),
		CASE(a_stream_begins_whole_and_goes_on_with_what_changed),
		CASE(watchers_that_need_the_same_share_its_bytes),
		CASE(routes_reach_peers_when_they_are_approved),
		CASE(dns_reaches_who_watches),
		CASE(the_policy_decides_who_sees_whom),
		CASE(a_route_is_approved_by_the_policy_once),
		CASE(an_ephemeral_node_goes_when_it_leaves),
		CASE(a_start_that_is_broken_off_ends),
		CASE(strangers_get_no_map),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
