/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that recorded map messages become the picture that a stock node makes of
 * them, that what stock refuses is refused with nothing changed, that one changed
 * peer among thousands is one change, and that a picture survives the disk.
 * Usage: test_netmap exchanges.json edge.json frames.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "controlplane/netmap/netmap_cache.h"
#include "controlplane/netmap/netmap_diff.h"
#include "controlplane/netmap/netmap_filter.h"
#include "controlplane/tailcfg/key_text.h"
#include "controlplane/tailcfg/map_frame.h"
#include "controlplane/tailcfg/time_text.h"
#include "tests/unit/vector_json.h"

static json_t *exchanges, *edges, *frames;

static const json_t *recorded(const char *name)
{
	return json_object_get(vector_named(exchanges, name), "json");
}

static int try_json(struct netmap **m, const json_t *message, struct json_in *in)
{
	struct netmap *made;
	int rc = netmap_apply(*m, message, 1, &made, in);

	if (rc)
		return rc;
	netmap_free(*m);
	*m = made;
	return 0;
}

static int try_text(struct netmap **m, const char *text, struct json_in *in)
{
	json_t *message = json_in_parse(in, text, strlen(text));
	int rc = message ? try_json(m, message, in) : -EBADMSG;

	json_decref(message);
	return rc;
}

static void must(struct netmap **m, const char *text)
{
	struct json_in in;

	if (try_text(m, text, &in))
		fail_msg("%s: %s", text, in.error);
}

static void must_recorded(struct netmap **m, const char *name)
{
	struct json_in in;

	if (try_json(m, recorded(name), &in))
		fail_msg("%s: %s", name, in.error);
}

/* The small server's first map, and two peers. */
static struct netmap *start(void)
{
	struct netmap *m = NULL;

	must_recorded(&m, "first full map of the small server, no peers");
	must(&m,
	     "{\"PeersChanged\":[{\"ID\":21,\"Name\":\"p21.\",\"Addresses\":[\"100.64.1.21/32\"],"
	     "\"Hostinfo\":{}},{\"ID\":20,\"Name\":\"p20.\",\"Addresses\":[\"100.64.1.20/32\"],"
	     "\"HomeDERP\":1,\"Online\":true,\"Hostinfo\":{}}]}");
	assert_int_equal(m->peer_count, 2);
	assert_int_equal(m->peers[0]->id, 20);
	return m;
}

static void recorded_messages_add_up(void **state)
{
	struct netmap *m = start();
	struct rule_list rules;
	uint32_t skipped;
	char text[TIME_TEXT_MAX];

	assert_int_equal(m->self->id, 1);
	assert_true(m->self->is_authorized);
	assert_int_equal(m->self->address_count, 2);
	assert_string_equal(m->self->name, "n1.tail.example.net.");
	assert_string_equal(json_string_value(netmap_value(m, "Domain")), "example.net");
	assert_non_null(netmap_user(m, 1));
	assert_null(netmap_user(m, 2));

	must_recorded(&m, "delta: patch Online, LastSeen");
	assert_int_equal(netmap_peer(m, 20)->online, JSON_NO);
	assert_string_equal(time_text_print(netmap_peer(m, 20)->last_seen_ns, text),
			    "2026-11-24T21:00:00Z");
	must_recorded(&m, "delta: patch DERPRegion, Endpoints");
	assert_int_equal(netmap_peer(m, 20)->home_derp, 7);
	assert_int_equal(netmap_peer(m, 20)->endpoint_count, 1);
	assert_int_equal(netmap_peer(m, 20)->endpoints[0].port, 1);
	must_recorded(&m, "delta: peer added and patched in one message");
	assert_int_equal(m->peer_count, 3);
	assert_int_equal(netmap_peer(m, 22)->online, JSON_NO);
	must_recorded(&m, "delta: peer removed");
	assert_null(netmap_peer(m, 20));
	must_recorded(&m, "delta: removed and added again in one message");
	assert_string_equal(netmap_peer(m, 21)->name, "again21.tail.example.net.");
	must_recorded(&m, "delta: online change");
	assert_int_equal(netmap_peer(m, 22)->online, JSON_YES);
	must_recorded(&m, "delta: whole peer replaced, with a subnet route");
	assert_int_equal(netmap_peer(m, 20)->allowed_count, 2);
	assert_int_equal(netmap_peer(m, 20)->primary_count, 1);

	must_recorded(&m,
		      "delta: filter chunk base removed, empty chunk x set: everything blocked");
	assert_int_equal(netmap_filter_make(m, &rules, &skipped), 0);
	assert_int_equal(rules.mode, DPAPI_FILTER_RULES);
	assert_int_equal(rules.rule_count, 0);
	rule_list_fini(&rules);
	must_recorded(&m, "delta that rebuilds the whole map");
	assert_int_equal(netmap_filter_make(m, &rules, &skipped), 0);
	assert_int_equal(rules.rule_count, 1);
	assert_int_equal(rules.rules[0].src_count, 2);
	rule_list_fini(&rules);
	assert_int_equal(m->peer_count, 3);
	assert_true(netmap_is_keepalive(recorded("keepalive")));
	netmap_free(m);

	m = NULL;
	must_recorded(&m, "full map of testcontrol, peer with an approved subnet route");
	assert_int_equal(m->peer_count, 1);
	assert_int_equal(m->peers[0]->allowed_count, 3);
	netmap_free(m);
}

/* The same fragments that were given to a stock node; see the file for what it did. */
static void edges_are_taken_as_stock_does(void **state)
{
	const json_t *one;
	size_t i, tried = 0;

	json_array_foreach(edges, i, one)
	{
		const char *where = vector_text(one, "where"),
			   *outcome = vector_text(one, "outcome");
		const char *json = vector_text(one, "json");
		bool refused = strncmp(outcome, "poll ends", 9) == 0;
		struct netmap *m = start();
		char text[512];
		struct json_in in;
		int rc;

		if (strcmp(where, "MapResponse first") == 0) {
			netmap_free(m);
			m = NULL;
			snprintf(text, sizeof(text), "%s", json);
		} else if (strcmp(where, "MapResponse") == 0 && !strstr(json, "...")) {
			snprintf(text, sizeof(text), "%s", json);
		} else if (strncmp(where, "Node.", 5) == 0 && !strchr(where, '{') &&
			   (strchr("\"{[0123456789", json[0]) && !strstr(json, "...") &&
			    !strstr(json, " on ") && !strstr(json, " hex ") &&
			    !strchr(json, ','))) {
			snprintf(text, sizeof(text), "{\"PeersChanged\":[{\"ID\":20,\"%s\":%s}]}",
				 where + 5, json);
		} else {
			netmap_free(m);
			continue;
		}
		rc = try_text(&m, text, &in);
		if (rc != (refused ? -EBADMSG : 0))
			fail_msg("%s: %d %s, stock: %s", text, rc, in.error, outcome);
		assert_true(!rc || in.error[0]);
		if (rc && m)
			assert_string_equal(netmap_peer(m, 20)->name, "p20.");
		netmap_free(m);
		tried++;
	}
	assert_in_range(tried, 18, 100);
}

static void a_message_is_taken_whole_or_not(void **state)
{
	static const char *const bad[] = {
		"{\"PeersRemoved\":[20],\"PeersChanged\":[{\"ID\":\"x\"}]}",
		"{\"PeersRemoved\":[20],\"Domain\":7}",
		"{\"OnlineChange\":{\"20\":1}}",
		"{\"PeersChanged\":[{\"ID\":20,\"DiscoKey\":\"\"}]}",
		"{\"PeersChanged\":[{\"ID\":20,\"CapMap\":{\"a\":\"x\"}}]}",
		"{\"PacketFilters\":{\"a\":7}}",
		"{\"DERPMap\":{\"Regions\":{\"1\":7}}}",
		"{\"Node\":7}",
		"{\"PeersRemoved\":[20]} x",
		"{\"PeersRemoved\":[20]",
		"[]",
	};
	struct netmap *m = start();
	struct json_in in;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(try_text(&m, bad[i], &in), -EBADMSG);
		assert_int_not_equal(in.error[0], 0);
		assert_int_equal(m->peer_count, 2);
		assert_string_equal(netmap_peer(m, 20)->name, "p20.");
	}
	assert_int_equal(
		try_text(&m, "{\"PeersChanged\":[{\"ID\":3},{\"ID\":20,\"HomeDERP\":1.5}]}", &in),
		-EBADMSG);
	assert_string_equal(in.error, "PeersChanged[1].HomeDERP: expected an integer in range");
	netmap_free(m);
}

static void ids_that_nobody_knows_hurt_nothing(void **state)
{
	struct netmap *m = start();

	must(&m,
	     "{\"OnlineChange\":{\"20\":false,\"99\":true,\"x\":true},\"PeersRemoved\":[98],"
	     "\"PeersChangedPatch\":[{\"NodeID\":97,\"Online\":true},{\"NodeID\":21,\"Cap\":9}]}");
	assert_int_equal(netmap_peer(m, 20)->online, JSON_NO);
	assert_int_equal(netmap_peer(m, 21)->cap, 9);
	must(&m, "{\"PeerSeenChange\":{\"21\":true,\"96\":true}}");
	assert_int_equal(netmap_peer(m, 21)->last_seen_ns, 1);
	must(&m, "{\"PeerSeenChange\":{\"21\":false}}");
	assert_int_equal(netmap_peer(m, 21)->last_seen_ns, 0);
	netmap_free(m);
}

static void stale_patch_is_dropped(void **state)
{
	struct netmap *m = start();
	char patch[256], hex[KEY_HEX_MAX];
	struct key k = {.bytes = {7}};

	must(&m, "{\"PeersChangedPatch\":[{\"NodeID\":20,\"LastSeen\":\"2026-01-02T00:00:00Z\"}]}");
	snprintf(patch, sizeof(patch),
		 "{\"PeersChangedPatch\":[{\"NodeID\":20,\"DiscoKey\":\"discokey:%s\",\"Online\":"
		 "false,"
		 "\"LastSeen\":\"2026-01-01T00:00:00Z\"}]}",
		 key_print_hex(&k, hex));
	must(&m, patch);
	assert_true(key_is_zero(&netmap_peer(m, 20)->disco));
	assert_int_equal(netmap_peer(m, 20)->online, JSON_YES);
	memcpy(strstr(patch, "2026-01-01"), "2026-01-03", 10);
	must(&m, patch);
	assert_true(key_equal(&netmap_peer(m, 20)->disco, &k));
	assert_int_equal(netmap_peer(m, 20)->online, JSON_NO);
	netmap_free(m);
}

static void allowed_ips(void **state)
{
	struct netmap *m = start();

	must(&m, "{\"PeersChanged\":["
		 "{\"ID\":1,\"Addresses\":[\"100.64.9.1/32\"]},"
		 "{\"ID\":2,\"Addresses\":[\"100.64.9.2/32\"],\"AllowedIPs\":[]},"
		 "{\"ID\":3,\"Addresses\":[\"100.64.9.3/32\"],\"AllowedIPs\":null},"
		 "{\"ID\":4,\"Addresses\":[\"100.64.9.4/32\"],\"AllowedIPs\":[\"10.1.2.3/8\"]},"
		 "{\"ID\":5,\"Addresses\":[\"100.64.9.5/32\"],\"AllowedIPs\":[\"10.0.0.0/8\"],"
		 "\"UnsignedPeerAPIOnly\":true},"
		 "{\"ID\":6,\"DERP\":\"127.3.3.40:17\"}]}");
	assert_int_equal(netmap_peer(m, 1)->allowed_count, 1);
	assert_int_equal(netmap_peer(m, 2)->allowed_count, 0);
	assert_int_equal(netmap_peer(m, 3)->allowed_count, 1);
	assert_int_equal(netmap_peer(m, 4)->allowed[0].len, 8);
	assert_int_equal(netmap_peer(m, 4)->allowed[0].addr.bytes[1], 0);
	assert_true(prefix_equal(netmap_peer(m, 5)->allowed, netmap_peer(m, 5)->addresses));
	assert_int_equal(netmap_peer(m, 6)->home_derp, 17);
	netmap_free(m);
}

static void derp_and_health_are_merged(void **state)
{
	struct netmap *m = start();

	must(&m, "{\"DERPMap\":{\"HomeParams\":{\"RegionScore\":{\"1\":0.5}}}}");
	assert_int_equal(json_object_size(json_object_get(m->derp, "Regions")), 1);
	must(&m, "{\"DERPMap\":{\"Regions\":{\"1\":null,\"2\":{\"RegionID\":2}}}}");
	assert_null(json_object_get(json_object_get(m->derp, "Regions"), "1"));
	assert_non_null(json_object_get(json_object_get(m->derp, "Regions"), "2"));
	assert_non_null(json_object_get(m->derp, "HomeParams"));
	must(&m, "{\"DisplayMessages\":{\"a\":{\"Title\":\"A\"},\"b\":{\"Title\":\"B\"}}}");
	must(&m, "{\"DisplayMessages\":{\"a\":null,\"c\":{\"Title\":\"C\"}}}");
	assert_int_equal(json_object_size(netmap_value(m, "DisplayMessages")), 2);
	must(&m, "{\"DisplayMessages\":{\"*\":null,\"d\":{\"Title\":\"D\"}}}");
	assert_int_equal(json_object_size(netmap_value(m, "DisplayMessages")), 1);
	netmap_free(m);
}

static void filter_rules(void **state)
{
	struct netmap *m = NULL;
	struct rule_list r;
	uint32_t skipped;

	must(&m,
	     "{\"Node\":{\"ID\":1,\"Addresses\":[\"100.64.0.1/32\"]},\"Peers\":["
	     "{\"ID\":2,\"Addresses\":[\"100.64.0.2/32\",\"fd7a::2/128\"],\"CapMap\":{\"t\":null}},"
	     "{\"ID\":3,\"Addresses\":[\"100.64.0.3/32\"]}]}");
	assert_int_equal(netmap_filter_make(m, &r, &skipped), 0);
	assert_int_equal(r.mode, DPAPI_FILTER_NONE);
	rule_list_fini(&r);
	/* Chunks go by name: "a" before "b". */
	must(&m,
	     "{\"PacketFilters\":{"
	     "\"b\":[{\"SrcIPs\":[\"cap:t\"],\"DstPorts\":[{\"IP\":\"100.64.0.1\",\"Ports\":"
	     "{\"First\":22,\"Last\":23}}],\"IPProto\":[6]}],"
	     "\"a\":[{\"SrcIPs\":[\"10.0.0.1-10.0.0.9\",\"nonsense\",\"10.0.0.1/8\"],\"DstPorts\":"
	     "[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":65535}},"
	     "{\"IP\":\"1.1.1.1\",\"Ports\":{\"First\":9,\"Last\":1}}]},"
	     "{\"SrcIPs\":[\"*\"],\"CapGrant\":[{\"Dsts\":[\"100.64.0.1/32\"],\"CapMap\":{}}]},"
	     "{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":0,\"Last\":"
	     "65535}}],"
	     "\"IPProto\":[999]}]}}");
	assert_int_equal(netmap_filter_make(m, &r, &skipped), 0);
	assert_int_equal(r.rule_count, 2);
	assert_int_equal(skipped, 4);
	assert_int_equal(r.rules[0].src_count, 1);
	assert_int_equal(r.rules[0].dst_count, 2);
	assert_int_equal(r.rules[0].protos[0], 0);
	assert_int_equal(r.ranges[r.rules[0].src_first].last[3], 9);
	assert_int_equal(r.rules[1].src_count, 2);
	assert_int_equal(r.rules[1].protos[0], 6);
	assert_int_equal(r.ranges[r.rules[1].dst_first].port_first, 22);
	assert_int_equal(r.ranges[r.rules[1].dst_first].port_last, 23);
	rule_list_fini(&r);
	must(&m, "{\"PacketFilters\":{\"c\":[],\"*\":null}}");
	assert_int_equal(json_object_size(m->filters), 1);
	must(&m,
	     "{\"PacketFilter\":[{\"SrcIPs\":[\"*\"],\"SrcBits\":[8],\"DstPorts\":[{\"IP\":\"*\","
	     "\"Ports\":{\"First\":0,\"Last\":65535}}]}]}");
	assert_int_equal(netmap_filter_make(m, &r, &skipped), 0);
	assert_int_equal(r.rule_count, 0);
	assert_int_equal(r.mode, DPAPI_FILTER_RULES);
	rule_list_fini(&r);
	netmap_free(m);
}

#define MANY 5000

static void one_change_among_thousands(void **state)
{
	static const char patch[] = "{\"PeersChangedPatch\":[{\"NodeID\":3000,\"DERPRegion\":4}],"
				    "\"PeersRemoved\":[20,4000]}";
	json_t *message = json_object(), *peers = json_array();
	struct netmap *old = start(), *m, *next;
	struct netmap_diff d;
	struct json_in in;
	char text[64];

	for (int i = 0; i < MANY; i++) {
		json_t *peer = json_pack("{s:i, s:o}", "ID", 100 + i, "Addresses", json_array());

		snprintf(text, sizeof(text), "100.70.%d.%d/32", i / 256, i % 256);
		json_array_append_new(json_object_get(peer, "Addresses"), json_string(text));
		json_array_append_new(peers, peer);
	}
	json_object_set_new(message, "PeersChanged", peers);
	assert_int_equal(netmap_apply(old, message, 0, &m, &in), 0);
	json_decref(message);
	assert_int_equal(netmap_diff_make(old, m, &d), 0);
	assert_int_equal(d.count, MANY);
	assert_int_equal(d.self, 0);
	netmap_diff_fini(&d);
	netmap_free(old);

	message = json_in_parse(&in, patch, strlen(patch));
	assert_non_null(message);
	assert_int_equal(netmap_apply(m, message, 0, &next, &in), 0);
	json_decref(message);
	assert_int_equal(netmap_diff_make(m, next, &d), 0);
	assert_int_equal(d.count, 3);
	assert_int_equal(d.changes[0].kind, NETMAP_PEER_REMOVED);
	assert_int_equal(d.changes[0].old_peer->id, 20);
	assert_int_equal(d.changes[2].kind, NETMAP_PEER_CHANGED);
	assert_int_equal(d.changes[2].what, NETMAP_DIFF_HOME);
	assert_false(d.derp_changed);
	netmap_diff_fini(&d);
	netmap_free(m);
	assert_int_equal(netmap_diff_make(NULL, next, &d), 0);
	assert_int_equal(d.count, next->peer_count);
	netmap_diff_fini(&d);
	netmap_free(next);
}

static void the_cache(void **state)
{
	char path[] = "/tmp/netmap-cache-XXXXXX";
	int fd = mkstemp(path);
	struct netmap *m = start(), *back = NULL;
	struct netmap_diff d;
	struct json_in in;
	struct key other = {.bytes = {1}};
	struct stat st;

	assert_true(fd >= 0);
	close(fd);
	chmod(path, 0644);
	must_recorded(&m, "delta: whole peer replaced, with a subnet route");
	must(&m, "{\"Health\":[\"x\"],\"PacketFilters\":{\"k\":[]}}");
	assert_int_equal(netmap_cache_write(path, m), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	if (netmap_cache_read(path, &m->self->key, &back, &in))
		fail_msg("%s", in.error);
	assert_int_equal(netmap_diff_make(m, back, &d), 0);
	assert_int_equal(d.count, 0);
	assert_int_equal(d.self, 0);
	assert_false(d.filter_changed || d.derp_changed || d.dns_changed);
	assert_non_null(netmap_user(back, 1));
	assert_int_equal(json_array_size(netmap_value(back, "Health")), 1);
	netmap_diff_fini(&d);
	netmap_free(back);
	assert_int_equal(netmap_cache_read(path, &other, &back, &in), -EKEYREJECTED);
	assert_int_equal(truncate(path, st.st_size / 2), 0);
	assert_int_equal(netmap_cache_read(path, &m->self->key, &back, &in), -EBADMSG);
	assert_int_not_equal(in.error[0], 0);
	unlink(path);
	assert_int_equal(netmap_cache_read(path, &m->self->key, &back, &in), -ENOENT);
	netmap_free(m);
}

struct taken {
	char text[512];
	size_t len, count;
};

static int take(void *arg, const char *text, size_t len)
{
	struct taken *t = arg;

	assert_true(len < sizeof(t->text));
	memcpy(t->text, text, len);
	t->len = len;
	t->count++;
	return 0;
}

static void recorded_frames(void **state)
{
	const json_t *one;
	size_t i;

	json_array_foreach(frames, i, one)
	{
		size_t len;
		uint8_t *wire = vector_bytes(one, "wire", &len);
		const char *json = vector_text(one, "json");

		for (size_t cut = 0; cut <= len; cut++) {
			struct map_frame_reader *r = map_frame_reader_new(true, MAP_FRAME_TEXT_MAX);
			struct taken t = {0};
			char err[MAP_FRAME_ERROR_MAX];
			int rc = map_frame_feed(r, wire, cut, take, &t, err);

			if (!rc)
				rc = map_frame_feed(r, wire + cut, len - cut, take, &t, err);
			assert_int_equal(rc, json ? 0 : -EBADMSG);
			assert_int_equal(t.count, json ? 1 : 0);
			if (json) {
				assert_int_equal(t.len, strlen(json));
				assert_memory_equal(t.text, json, t.len);
			}
			map_frame_reader_free(r);
		}
		free(wire);
	}
}

static void frames_there_and_back(void **state)
{
	static const char text[] = "{\"PeersRemoved\":[20]}";

	for (int zstd = 0; zstd < 2; zstd++) {
		struct map_frame_reader *r = map_frame_reader_new(zstd, 100);
		struct map_frame_writer *w = zstd ? map_frame_writer_new() : NULL;
		struct taken t = {0};
		char err[MAP_FRAME_ERROR_MAX];
		uint8_t *frame;
		size_t len;

		for (int n = 1; n <= 3; n++) {
			assert_int_equal(map_frame_make(w, text, strlen(text), &frame, &len), 0);
			assert_int_equal(map_frame_feed(r, frame, len, take, &t, err), 0);
			assert_int_equal(t.count, n);
			assert_memory_equal(t.text, text, strlen(text));
			free(frame);
		}
		map_frame_writer_free(w);
		map_frame_reader_free(r);
	}
}

static void a_bomb_is_refused(void **state)
{
	size_t room = 64u << 20, len;
	char *zeros = calloc(1, room), err[MAP_FRAME_ERROR_MAX];
	struct map_frame_reader *r = map_frame_reader_new(true, 1u << 20);
	struct map_frame_writer *w = map_frame_writer_new();
	struct taken t = {0};
	uint8_t *frame, wide[] = {0xff, 0xff, 0xff, 0xff};

	assert_int_equal(map_frame_make(w, zeros, room, &frame, &len), 0);
	map_frame_writer_free(w);
	assert_true(len < 100000);
	assert_int_equal(map_frame_feed(r, frame, len, take, &t, err), -EFBIG);
	assert_int_equal(t.count, 0);
	map_frame_reader_free(r);
	r = map_frame_reader_new(true, 1u << 20);
	assert_int_equal(map_frame_feed(r, wide, sizeof(wide), take, &t, err), -EFBIG);
	map_frame_reader_free(r);
	/* A frame that is cut, and one with bytes behind it. */
	frame[0]--;
	r = map_frame_reader_new(true, 100u << 20);
	assert_int_equal(map_frame_feed(r, frame, len - 1, take, &t, err), -EBADMSG);
	map_frame_reader_free(r);
	free(frame);
	free(zeros);
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
		const char *back;
	} good[] = {
		{"1970-01-01T00:00:01Z", 1000000000, NULL},
		{"2026-11-24T20:43:29.023178873Z", 1795553009023178873, NULL},
		{"2030-01-01T00:00:00+02:00", 1893448800000000000, "2029-12-31T22:00:00Z"},
		{"2024-02-29T12:00:00.5-00:30", 1709209800500000000, "2024-02-29T12:30:00.5Z"},
		{"0001-01-01T00:00:00Z", 0, NULL},
		{"1969-12-31T23:59:59.9Z", -100000000, NULL},
		{"9999-12-31T23:59:59Z", INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
	};
	static const char *const bad[] = {
		"",
		"2026-11-24",
		"2026-13-24T20:43:29Z",
		"2026-02-29T00:00:00Z",
		"2026-11-24T20:43:29",
		"2026-11-24T24:43:29Z",
		"2026-11-24T20:43:29.Z",
		"2026-11-24T20:43:29Zx",
		"2026-11-24 20:43:29Z",
		"2026-11-24T20:43:29+2:00",
		"2026-11-24T20:43:60Z",
		"x026-11-24T20:43:29Z",
		"2026-11-24T20:43:29+24:00",
	};
	char buf[TIME_TEXT_MAX];
	int64_t ns;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(time_text_parse(good[i].text, &ns), 0);
		assert_int_equal(ns, good[i].ns);
		assert_string_equal(time_text_print(ns, buf),
				    good[i].back ? good[i].back : good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(time_text_parse(bad[i], &ns), -EINVAL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_messages_add_up),
		cmocka_unit_test(edges_are_taken_as_stock_does),
		cmocka_unit_test(a_message_is_taken_whole_or_not),
		cmocka_unit_test(ids_that_nobody_knows_hurt_nothing),
		cmocka_unit_test(stale_patch_is_dropped),
		cmocka_unit_test(allowed_ips),
		cmocka_unit_test(derp_and_health_are_merged),
		cmocka_unit_test(filter_rules),
		cmocka_unit_test(one_change_among_thousands),
		cmocka_unit_test(the_cache),
		cmocka_unit_test(recorded_frames),
		cmocka_unit_test(frames_there_and_back),
		cmocka_unit_test(a_bomb_is_refused),
		cmocka_unit_test(times),
	};

	if (argc != 4)
		return 2;
	exchanges = vector_load(argv[1]);
	edges = vector_load(argv[2]);
	frames = vector_load(argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
