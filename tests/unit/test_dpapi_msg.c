/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows the length rule of dpapi on every message type, that the messages
 * recorded from version 1 still decode to the same fields, and that messages and
 * descriptors cross a socket.
 * Usage: test_dpapi_msg v1.hex | test_dpapi_msg --record
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/bug.h"
#include "lib/dpapi/dpapi_msg.h"

static const char *recorded_path;

union message {
	struct dpapi_hdr hdr;
#define X(name, number, type, help) struct type name;
	DPAPI_MESSAGES(X)
#undef X
};

static const struct {
	uint16_t type;
	size_t size;
	const char *name;
} all_types[] = {
#define X(name, number, type, help) {number, sizeof(struct type), #name},
	DPAPI_MESSAGES(X)
#undef X
};

#define A_PATH                                                                                     \
	{                                                                                          \
		.kind = DPAPI_PATH_RELAY, .lane = 2, .local_port = 3, .vni = 0x123456,             \
		.remote = {.bytes = {203, 0, 113, 2}, .family = AF_INET, .port = 41641},           \
	}
#define A_KEY(first)                                                                               \
	{                                                                                          \
		first, 1, 2, 3, [31] = first                                                       \
	}

/*
 * One message of each type, every field named and different from zero, so that a
 * field that moves or changes its width is seen against the recording. Fields
 * that come later stay zero here.
 */
static union message example(uint16_t type)
{
	union message m = {0};

	switch ((enum dpapi_type)type) {
	case DPAPI_HELLO:
		m.HELLO = (struct dpapi_hello){
			.version = 1, .role = DPAPI_ROLE_CONTROLLER, .program = "causewayd"};
		break;
	case DPAPI_PEER_SET:
		m.PEER_SET = (struct dpapi_peer_set){
			.id = 7, .flags = DPAPI_PEER_JAILED, .public_key = A_KEY(9), .mtu = 1420};
		break;
	case DPAPI_PEER_DEL:
		m.PEER_DEL = (struct dpapi_peer_del){.id = 7};
		break;
	case DPAPI_ROUTE_SET:
	case DPAPI_ROUTE_DEL:
		m.ROUTE_SET = (struct dpapi_route){
			.addr = {0xfd, 9}, .family = AF_INET6, .prefix_len = 64, .peer_id = 7};
		break;
	case DPAPI_SESSION_SET:
		m.SESSION_SET = (struct dpapi_session_set){.peer_id = 7,
							   .local_index = 0xa1b2c3d4,
							   .remote_index = 0xd4c3b2a1,
							   .flags = DPAPI_SESSION_INITIATOR,
							   .born_ns = 1000000000001,
							   .expire_ns = 1000000000002,
							   .rekey_tx_ns = 1000000000003,
							   .rekey_rx_ns = 1000000000004,
							   .send_key = A_KEY(0x51),
							   .recv_key = A_KEY(0x52),
							   .lane = 5};
		break;
	case DPAPI_LANE_SET:
		m.LANE_SET = (struct dpapi_lane_set){.peer_id = 7,
						     .local_index = 0xa1b2c3d4,
						     .until_ns = 1000000000005,
						     .path = A_PATH,
						     .lane = 5};
		break;
	case DPAPI_SESSION_DEL:
		m.SESSION_DEL = (struct dpapi_session_del){.local_index = 0xa1b2c3d4};
		break;
	case DPAPI_ENDPOINT_SET:
		m.ENDPOINT_SET = (struct dpapi_endpoint_set){.peer_id = 7, .path = A_PATH};
		break;
	case DPAPI_RULES:
		m.RULES = (struct dpapi_rules){.mode = DPAPI_FILTER_RULES,
					       .rule_count = 1,
					       .range_count = 2,
					       .total_bytes = 128,
					       .offset = 112,
					       .piece_bytes = 16};
		break;
	case DPAPI_SEND_KEEPALIVE:
	case DPAPI_DROP_STAGED:
		m.SEND_KEEPALIVE = (struct dpapi_peer_ref){.id = 7};
		break;
	case DPAPI_BARRIER:
		m.BARRIER = (struct dpapi_barrier){.flags = DPAPI_BARRIER_SWEEP};
		break;
	case DPAPI_SHOW:
		m.SHOW = (struct dpapi_show){.what = "counters", .limit = 100};
		break;
	case DPAPI_LOCAL_SET:
		m.LOCAL_SET = (struct dpapi_local){
			.addr = {10, 1}, .family = AF_INET, .prefix_len = 16, .remove = 1};
		break;
	case DPAPI_COUNTER:
		m.COUNTER = (struct dpapi_counter){.value = 77,
						   .is_fault = 1,
						   .name = "CONTROL_BAD_MAC1",
						   .help = "handshake whose first MAC is wrong"};
		break;
	case DPAPI_HELLO_REPLY:
		m.HELLO_REPLY = (struct dpapi_hello_reply){.version = 1,
							   .pid = 4242,
							   .instance = 0x1122334455667788,
							   .session_slots = 65536,
							   .port_count = 2,
							   .udp_fds = 4,
							   .workers = 3,
							   .controller_generation = 6,
							   .engine = "ipsecmb"};
		break;
	case DPAPI_PORT:
		m.PORT = (struct dpapi_port){.index = 1,
					     .kind = DPAPI_PORT_XDP,
					     .listen_port = 41641,
					     .mtu_max = 3400,
					     .tun_ifindex = 12,
					     .features = DPAPI_FEATURE_XDP_DRV,
					     .tun = "cw0",
					     .udp_fd_v4 = 1,
					     .udp_fd_v6 = 2};
		break;
	case DPAPI_PEER_STATE:
		m.PEER_STATE = (struct dpapi_peer_state){.id = 7,
							 .flags = DPAPI_PEER_JAILED,
							 .public_key = A_KEY(9),
							 .rx_bytes = 101,
							 .tx_bytes = 102,
							 .rx_packets = 103,
							 .tx_packets = 104,
							 .last_rx_ns = 105,
							 .last_tx_ns = 106,
							 .path = A_PATH,
							 .reserved = 107};
		break;
	case DPAPI_SESSION_STATE:
		m.SESSION_STATE = (struct dpapi_session_state){.peer_id = 7,
							       .local_index = 0xa1b2c3d4,
							       .remote_index = 0xd4c3b2a1,
							       .flags = DPAPI_SESSION_CONFIRMED,
							       .born_ns = 201,
							       .expire_ns = 202,
							       .rekey_tx_ns = 203,
							       .rekey_rx_ns = 204,
							       .send_counter = 205,
							       .recv_counter = 206,
							       .lane = 5,
							       .is_current = 1};
		break;
	case DPAPI_DUMP_END:
		m.DUMP_END = (struct dpapi_dump_end){.peers = 3, .sessions = 4};
		break;
	case DPAPI_ACK:
		m.ACK = (struct dpapi_ack){
			.error = -E2BIG, .type = DPAPI_PEER_SET, .text = "PEER_SET is too long"};
		break;
	case DPAPI_SHOW_REPLY:
		m.SHOW_REPLY =
			(struct dpapi_show_reply){.error = -ENOENT, .more = 1, .text_bytes = 16};
		break;
	case DPAPI_EVENT_HANDSHAKE:
	case DPAPI_EVENT_CONFIRMED:
	case DPAPI_EVENT_REKEY:
	case DPAPI_EVENT_SESSION_GONE:
	case DPAPI_EVENT_TRAFFIC:
	case DPAPI_EVENT_LANE_TRAFFIC:
		m.EVENT_REKEY = (struct dpapi_event){
			.peer_id = 7, .local_index = 0xa1b2c3d4, .time_ns = 301};
		break;
	case DPAPI_EVENT_ACTIVITY:
		m.EVENT_ACTIVITY = (struct dpapi_event_activity){
			.peer_id = 7, .tx_unanswered_ns = 302, .rx_unanswered_ns = 303};
		break;
	case DPAPI_EVENT_ROAMED:
		m.EVENT_ROAMED = (struct dpapi_event_roamed){
			.peer_id = 7, .local_index = 0xa1b2c3d4, .time_ns = 304, .path = A_PATH};
		break;
	}
	m.hdr = (struct dpapi_hdr){
		.type = type, .flags = DPAPI_WANT_ACK, .seq = 0x01020304, .generation = 0x05060708};
	return m;
}

static const char a_body[16] = "sixteen letters";

/* The example as bytes, with its body; returns the length. */
static size_t example_bytes(size_t i, uint8_t *out)
{
	union message m = example(all_types[i].type);
	size_t len = all_types[i].size;

	if (dpapi_type_has_body(all_types[i].type))
		len += sizeof(a_body);
	m.hdr.len = (uint32_t)len;
	memcpy(out, &m, all_types[i].size);
	if (len > all_types[i].size)
		memcpy(out + all_types[i].size, a_body, sizeof(a_body));
	return len;
}

static void set_len(uint8_t *bytes, size_t len)
{
	uint32_t value = (uint32_t)len;

	memcpy(bytes + offsetof(struct dpapi_hdr, len), &value, sizeof(value));
}

static int record(void)
{
	uint8_t bytes[2048];

	printf("# One message of each type as version 1 sends it: name, bytes. Never changed;\n"
	       "# a later version adds a file of its own.\n");
	for (size_t i = 0; i < ARRAY_SIZE(all_types); i++) {
		size_t len = example_bytes(i, bytes);

		printf("%s ", all_types[i].name);
		for (size_t at = 0; at < len; at++)
			printf("%02x", bytes[at]);
		printf("\n");
	}
	return 0;
}

static size_t from_hex(const char *hex, uint8_t *out, size_t cap)
{
	size_t n = 0;

	for (; hex[0] != '\0' && hex[0] != '\n' && n < cap; hex += 2) {
		unsigned byte;

		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		out[n++] = (uint8_t)byte;
	}
	return n;
}

static size_t index_of(const char *name, size_t name_len)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_types); i++) {
		if (strlen(all_types[i].name) == name_len &&
		    memcmp(all_types[i].name, name, name_len) == 0)
			return i;
	}
	fail_msg("message %.*s is gone", (int)name_len, name);
	return 0;
}

static void recorded_messages_decode_the_same(void **state)
{
	FILE *f = fopen(recorded_path, "r");
	char line[4096];
	unsigned seen = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		const char *space = strchr(line, ' ');
		union message got, want;
		uint8_t bytes[2048];
		char reason[160] = "";
		size_t body_off = 0;
		size_t i, len;

		if (line[0] == '#')
			continue;
		assert_non_null(space);
		i = index_of(line, (size_t)(space - line));
		len = from_hex(space + 1, bytes, sizeof(bytes));
		memset(&got, 0xee, sizeof(got));
		if (dpapi_msg_decode(bytes, len, &got, sizeof(got), &body_off, reason,
				     sizeof(reason)) < 0)
			fail_msg("%s", reason);
		want = example(all_types[i].type);
		want.hdr.len = (uint32_t)len;
		if (memcmp(&got, &want, all_types[i].size) != 0)
			fail_msg("%s: fields changed", all_types[i].name);
		if (dpapi_type_has_body(all_types[i].type))
			assert_memory_equal(bytes + body_off, a_body, sizeof(a_body));
		seen++;
	}
	fclose(f);
	/* 29 types had version 1: a shortened file must not pass. */
	assert_in_range(seen, 29, ARRAY_SIZE(all_types));
}

/* Bytes before the body, and the body, laid out for a struct of another version. */
static size_t with_struct_len(size_t i, size_t struct_len, uint8_t *out)
{
	uint8_t whole[2048] = {0};
	size_t len = example_bytes(i, whole);
	size_t body = len - all_types[i].size;
	size_t keep = struct_len < all_types[i].size ? struct_len : all_types[i].size;

	memset(out, 0, struct_len + body);
	memcpy(out, whole, keep);
	memcpy(out + struct_len, whole + all_types[i].size, body);
	set_len(out, struct_len + body);
	return struct_len + body;
}

static void shorter_is_zero_filled(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_types); i++) {
		/* Less than the field with the body's length would be a message without body. */
		size_t least = dpapi_type_has_body(all_types[i].type) ? all_types[i].size
								      : sizeof(struct dpapi_hdr);

		for (size_t struct_len = least; struct_len <= all_types[i].size; struct_len++) {
			uint8_t bytes[2048], want[2048] = {0};
			union message got;
			size_t len = with_struct_len(i, struct_len, bytes);
			size_t body_off = 0;

			memcpy(want, bytes, struct_len);
			memset(&got, 0xee, sizeof(got));
			assert_int_equal(
				dpapi_msg_decode(bytes, len, &got, sizeof(got), &body_off, NULL, 0),
				0);
			assert_memory_equal(&got, want, all_types[i].size);
			assert_int_equal(body_off, struct_len);
		}
	}
}

static void longer_must_be_zero(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_types); i++) {
		size_t struct_len = all_types[i].size + 8;
		union message got, want = example(all_types[i].type);
		uint8_t bytes[2048];
		char reason[160] = "";
		size_t len = with_struct_len(i, struct_len, bytes);
		size_t body_off = 0;

		want.hdr.len = (uint32_t)len;
		assert_int_equal(
			dpapi_msg_decode(bytes, len, &got, sizeof(got), &body_off, NULL, 0), 0);
		assert_memory_equal(&got, &want, all_types[i].size);
		assert_int_equal(body_off, struct_len);
		if (dpapi_type_has_body(all_types[i].type))
			assert_memory_equal(bytes + body_off, a_body, sizeof(a_body));

		bytes[struct_len - 1] = 1;
		assert_int_equal(dpapi_msg_decode(bytes, len, &got, sizeof(got), &body_off, reason,
						  sizeof(reason)),
				 -E2BIG);
		assert_ptr_equal(strstr(reason, all_types[i].name), reason);
	}
}

static void nonsense_is_refused(void **state)
{
	struct dpapi_hdr unknown = {.type = 999, .len = sizeof(unknown)};
	struct dpapi_show_reply reply = {.hdr = {.type = DPAPI_SHOW_REPLY, .len = sizeof(reply)},
					 .text_bytes = 0xffffffff};
	struct dpapi_peer_ref ref = {.hdr = {.type = DPAPI_DROP_STAGED, .len = sizeof(ref) + 1}};
	union message got;
	char reason[160];

	assert_int_equal(dpapi_msg_decode(&unknown, 15, &got, sizeof(got), NULL, NULL, 0),
			 -EBADMSG);
	assert_int_equal(dpapi_msg_decode(&unknown, sizeof(unknown), &got, sizeof(got), NULL,
					  reason, sizeof(reason)),
			 -ENOTSUP);
	assert_non_null(strstr(reason, "999"));
	assert_int_equal(dpapi_msg_decode(&ref, sizeof(ref), &got, sizeof(got), NULL, reason,
					  sizeof(reason)),
			 -EBADMSG);
	assert_non_null(strstr(reason, "DROP_STAGED"));
	assert_int_equal(dpapi_msg_decode(&reply, sizeof(reply), &got, sizeof(got), NULL, reason,
					  sizeof(reason)),
			 -EBADMSG);
	assert_non_null(strstr(reason, "SHOW_REPLY"));
	assert_string_equal(dpapi_type_name(999), "UNKNOWN");
	assert_int_equal(dpapi_type_size(999), 0);
}

static void a_pair(int pair[2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
}

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void descriptors_cross_the_socket(void **state)
{
	struct dpapi_peer_ref ref = {.hdr = {.type = DPAPI_DROP_STAGED}, .id = 7};
	uint8_t buf[DPAPI_MSG_MAX];
	int pair[2], extra[3], fds[2];
	unsigned nfds = 2;
	unsigned before;

	a_pair(pair);
	for (int i = 0; i < 3; i++)
		extra[i] = dup(pair[0]);
	assert_int_equal(dpapi_msg_recv(pair[1], buf, sizeof(buf), NULL, NULL), -EAGAIN);
	before = open_descriptors();
	assert_int_equal(dpapi_msg_send(pair[0], &ref, sizeof(ref), extra, 3), 0);
	assert_int_equal(dpapi_msg_recv(pair[1], buf, sizeof(buf), fds, &nfds), sizeof(ref));
	assert_int_equal(nfds, 2);
	assert_int_equal(((struct dpapi_peer_ref *)buf)->hdr.len, sizeof(ref));
	assert_true((fcntl(fds[0], F_GETFD) & FD_CLOEXEC) != 0);
	/* Two of the three are open here, the surplus one was closed. */
	assert_int_equal(open_descriptors(), before + 2);
	close(fds[0]);
	close(fds[1]);

	/* A receiver that wants none gets none, and a cut message is none. */
	assert_int_equal(dpapi_msg_send(pair[0], &ref, sizeof(ref), extra, 1), 0);
	assert_int_equal(dpapi_msg_recv(pair[1], buf, sizeof(ref) - 1, NULL, NULL), -EMSGSIZE);
	assert_int_equal(open_descriptors(), before);
	for (int i = 0; i < 3; i++)
		close(extra[i]);
	close(pair[0]);
	assert_int_equal(dpapi_msg_recv(pair[1], buf, sizeof(buf), NULL, NULL), 0);
	assert_int_equal(dpapi_msg_send(pair[1], &ref, sizeof(ref), NULL, 0), -EPIPE);
	close(pair[1]);
}

static void a_full_queue_is_told(void **state)
{
	struct dpapi_peer_ref ref = {.hdr = {.type = DPAPI_DROP_STAGED}};
	int pair[2];
	int rc = 0;

	a_pair(pair);
	for (int i = 0; i < 100000 && rc == 0; i++)
		rc = dpapi_msg_send(pair[0], &ref, sizeof(ref), NULL, 0);
	assert_int_equal(rc, -EAGAIN);
	close(pair[0]);
	close(pair[1]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_messages_decode_the_same),
		cmocka_unit_test(shorter_is_zero_filled),
		cmocka_unit_test(longer_must_be_zero),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(descriptors_cross_the_socket),
		cmocka_unit_test(a_full_queue_is_told),
	};

	if (argc != 2)
		return 2;
	if (strcmp(argv[1], "--record") == 0)
		return record();
	recorded_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
