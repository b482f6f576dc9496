/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows what passes the packet channel between worker and causewayd in either
 * direction, and that what is not understood there is dropped and counted; and
 * which command lines causeway-dp takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/channel.h"
#include "dataplane/options.h"
#include "dataplane/pipeline.h"
#include "lib/base/bug.h"
#include "tests/unit/dp_packets.h"
#include "tests/unit/dp_rig.h"

static struct dp_rig *rig;
static struct worker *w;
static int theirs;

static struct {
	struct dpapi_chan_hdr h;
	uint8_t bytes[66000];
} message;

static int setup(void **state)
{
	rig = dp_rig_new(1);
	w = rig->dp.workers[0];
	return channel_open(&rig->dp.channel_fd, &theirs);
}

static int teardown(void **state)
{
	close(rig->dp.channel_fd);
	close(theirs);
	dp_rig_free(rig);
	return 0;
}

/* One message from causewayd; how many packets come of it. */
static unsigned take(size_t len, bool *is_outside)
{
	assert_int_equal(send(theirs, &message, len, MSG_DONTWAIT), len);
	return channel_rx(w, dp_rig_batch(rig, 0), is_outside);
}

static void test_up(void **state)
{
	static const uint8_t handshake[148] = {1}, unknown[7] = {9, 9};
	struct batch *b = dp_rig_batch(rig, 0);
	struct packet *p;

	p = dp_rig_add_outside(rig, b, handshake, sizeof(handshake));
	p->outer_tos = 3;
	dp_rig_add_outside(rig, b, unknown, sizeof(unknown));
	pipeline_outside(w, b);
	assert_int_equal(recv(theirs, &message, sizeof(message), MSG_DONTWAIT),
			 sizeof(message.h) + sizeof(handshake));
	assert_int_equal(message.h.kind, DPAPI_CHAN_RAW);
	assert_int_equal(message.h.len, sizeof(handshake));
	assert_int_equal(message.h.outer_tos, 3);
	assert_int_equal(message.h.path.kind, DPAPI_PATH_UDP);
	assert_memory_equal(&message.h.path.remote, &rig->remote, sizeof(rig->remote));
	assert_memory_equal(message.bytes, handshake, sizeof(handshake));
	assert_int_equal(recv(theirs, &message, sizeof(message), MSG_DONTWAIT),
			 sizeof(message.h) + sizeof(unknown));
	assert_int_equal(w->stats.raw_to_control, 2);
}

/* Nobody reads: the rest is dropped and counted, and nothing blocks. */
static void test_full(void **state)
{
	static uint8_t bytes[1400] = {1};
	uint64_t sent = 0, got = 0;

	for (unsigned k = 0; k < 200; k++) {
		struct batch *b = dp_rig_batch(rig, 0);

		for (unsigned i = 0; i < BATCH_MAX; i++, sent++)
			dp_rig_add_outside(rig, b, bytes, sizeof(bytes));
		pipeline_outside(w, b);
	}
	assert_true(dp_rig_dropped(rig, DROP_CHANNEL_FULL) > 0);
	while (recv(theirs, &message, sizeof(message), MSG_DONTWAIT) > 0)
		got++;
	assert_int_equal(got + dp_rig_dropped(rig, DROP_CHANNEL_FULL), sent);
	assert_int_equal(w->stats.raw_to_control, got);
}

static void test_down(void **state)
{
	struct dpapi_session_set s = dp_rig_ready_peer(rig, 1, 1420, "10.1.0.0/16");
	bool is_outside = false;
	uint8_t inner[256];
	size_t len = pk_udp(inner, "10.1.0.1", 1, "10.9.0.1", 2, 40);

	/* A sealed packet out of a glued datagram. */
	message.h = (struct dpapi_chan_hdr){
		.kind = DPAPI_CHAN_SEALED, .outer_tos = 1, .path = {.remote = rig->remote}};
	message.h.len = (uint32_t)dp_rig_seal(&s, 0, inner, len, message.bytes);
	assert_int_equal(take(sizeof(message.h) + message.h.len, &is_outside), 1);
	assert_true(is_outside);
	assert_int_equal(w->batch.pkts[0].outer_tos, 1);
	pipeline_outside(w, &w->batch);
	assert_int_equal(rig->port[0].sent_count, 1);
	assert_int_equal(rig->port[0].sent[0].meta.out, PACKET_OUT_TUN);
	assert_memory_equal(rig->port[0].sent[0].bytes, inner, len);
	/* A packet for a peer. */
	message.h = (struct dpapi_chan_hdr){
		.kind = DPAPI_CHAN_INNER_OUT, .peer_id = 1, .len = (uint32_t)len};
	memcpy(message.bytes, inner, len);
	assert_int_equal(take(sizeof(message.h) + len, &is_outside), 1);
	assert_false(is_outside);
	pipeline_seal(w, &w->batch);
	assert_int_equal(rig->port[0].sent_count, 2);
	assert_int_equal(rig->port[0].sent[1].meta.out, PACKET_OUT_UDP);
	assert_int_equal(w->stats.raw_from_control, 2);
	assert_int_equal(dp_rig_dropped(rig, DROP_CHANNEL_BAD), 0);
	assert_int_equal(channel_rx(w, dp_rig_batch(rig, 0), &is_outside), 0);
}

static void test_bad_messages(void **state)
{
	static const struct {
		struct dpapi_chan_hdr h;
		size_t len;
	} rows[] = {
		{{.kind = DPAPI_CHAN_SEALED}, 10},		 /* no header */
		{{.kind = DPAPI_CHAN_SEALED, .len = 5}, 40 + 4}, /* shorter */
		{{.kind = DPAPI_CHAN_SEALED, .len = 5}, 40 + 6}, /* longer */
		{{.kind = 0, .len = 5}, 40 + 5},
		{{.kind = DPAPI_CHAN_INNER_IN, .len = 5}, 40 + 5},  /* goes up only */
		{{.kind = DPAPI_CHAN_INNER_OUT, .len = 5}, 40 + 5}, /* to nobody */
		{{.kind = DPAPI_CHAN_INNER_OUT, .peer_id = 1, .len = RIG_MTU_MAX + 1},
		 40 + RIG_MTU_MAX + 1}, /* above the MTU */
		{{.kind = DPAPI_CHAN_SEALED, .len = 5, .path = {.local_port = 1}}, 40 + 5},
		{{.kind = DPAPI_CHAN_SEALED, .len = 65536}, 40 + 65536}, /* too long */
		{{.kind = DPAPI_CHAN_SEALED, .len = UINT32_MAX}, 40 + 5},
	};
	bool is_outside;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		message.h = rows[i].h;
		assert_int_equal(take(rows[i].len, &is_outside), 0);
		assert_int_equal(dp_rig_dropped(rig, DROP_CHANNEL_BAD), i + 1);
	}
	assert_int_equal(w->stats.raw_from_control, 0);
}

/* ---- options ---- */

/* "a b c" as a command line; what is printed goes nowhere. */
static int parse(const char *line, struct options *o)
{
	static char copy[512];
	char *argv[32] = {(char *)"causeway-dp"}, *save = NULL;
	int argc = 1, ret, null = open("/dev/null", O_WRONLY), out = dup(1), err = dup(2);

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *t = strtok_r(copy, " ", &save); t; t = strtok_r(NULL, " ", &save))
		argv[argc++] = t;
	fflush(stdout);
	dup2(null, 1);
	dup2(null, 2);
	optind = 0; /* glibc: from the beginning */
	ret = options_parse(argc, argv, o);
	fflush(stdout);
	dup2(out, 1);
	dup2(err, 2);
	close(null);
	close(out);
	close(err);
	return ret;
}

static void test_options(void **state)
{
	static const struct {
		const char *line;
		int ret;
	} rows[] = {
		{"--port kernel:tun=cw0,listen=1", 0},
		{"", -EINVAL},
		{"--help", 1},
		{"--version", 1},
		{"--port a --workers 0", -EINVAL},
		{"--port a --workers 32", 0},
		{"--port a --workers 33", -EINVAL},
		{"--port a --workers -1", -EINVAL},
		{"--port a --workers 2x", -EINVAL},
		{"--port a --workers 99999999999999999999", -EINVAL},
		{"--port a --cpus 0", -EINVAL}, /* one for the control thread as well */
		{"--port a --cpus 0,1", 0},
		{"--port a --cpus 0,1,2 --workers 2", 0},
		{"--port a --cpus 0,,1", -EINVAL},
		{"--port a --cpus 0,x", -EINVAL},
		{"--port a --cpus 0,1024", -EINVAL},
		{"--port a --memory 31", -EINVAL},
		{"--port a --flows 1023", -EINVAL},
		{"--port a --log-level loud", -EINVAL},
		{"--port a --nonsense", -EINVAL},
		{"--port a b", -EINVAL},
		{"--port 1 --port 2 --port 3 --port 4 --port 5 --port 6 --port 7 --port 8", 0},
		{"--port 1 --port 2 --port 3 --port 4 --port 5 --port 6 --port 7 --port 8 --port 9",
		 -EINVAL},
	};
	struct options o;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		if (parse(rows[i].line, &o) != rows[i].ret)
			fail_msg("\"%s\"", rows[i].line);
	}
	assert_int_equal(parse("--port kernel:tun=x --workers 2 --no-huge --memory 64 --flows 2048 "
			       "--cpus 3,1,2 --engine sodium --socket /s --log-level warn",
			       &o),
			 0);
	assert_int_equal(o.workers, 2);
	assert_true(o.no_huge);
	assert_int_equal(o.memory_mb, 64);
	assert_int_equal(o.flows, 2048);
	assert_int_equal(o.cpu_count, 3);
	assert_int_equal(o.cpu_list[0], 3);
	assert_string_equal(o.engine, "sodium");
	assert_string_equal(o.socket, "/s");
	assert_string_equal(o.ports[0], "kernel:tun=x");
	assert_int_equal(o.log_level, LOG_WARN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_up),
		TEST(test_full),
		TEST(test_down),
		TEST(test_bad_messages),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
