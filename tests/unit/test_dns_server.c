/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the DNS server answers names of the mesh over UDP and TCP, asks the right
 * resolvers for others and believes only what belongs to the question, retries, goes
 * to TCP for what was cut, and keeps its limits. Client and resolvers are sockets of
 * this process, on loopback.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/dns/dns_server.h"
#include "controlplane/dns/resolv_conf.h"
#include "lib/base/clock.h"
#include "lib/base/fileio.h"
#include "lib/wire/dns.h"

struct bench {
	uv_loop_t loop;
	struct dns_server *server;
	struct endpoint at;
	int client;	  /* UDP, connected to the server */
	int resolvers[2]; /* UDP */
	int tcp[2];	  /* the same ports */
	struct endpoint resolver_at[2];
};

static void sockaddr_of(const struct endpoint *e, struct sockaddr_storage *ss, socklen_t *len)
{
	*len = endpoint_to_sockaddr(e, ss);
}

static int bound(int type, struct endpoint *at)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	sockaddr_of(at, &ss, &len);
	if (bind(fd, (struct sockaddr *)&ss, len)) {
		close(fd);
		return -1;
	}
	len = sizeof(ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, len, at), 0);
	return fd;
}

/* A port that is free for both transports. */
static void bound_pair(int *udp, int *tcp, struct endpoint *at)
{
	for (;;) {
		*at = (struct endpoint){.addr = {.family = AF_INET, .bytes = {127, 0, 0, 1}}};
		*udp = bound(SOCK_DGRAM, at);
		*tcp = bound(SOCK_STREAM, at);
		if (*tcp >= 0)
			return;
		close(*udp);
	}
}

static void set_map(struct bench *b, const char *first, const char *second)
{
	char text[1024], one[ENDPOINT_STR_MAX], two[ENDPOINT_STR_MAX];
	struct json_in in = {0};
	struct netmap *m = NULL;
	json_t *message;

	endpoint_print(&b->resolver_at[0], one);
	endpoint_print(&b->resolver_at[1], two);
	snprintf(text, sizeof(text),
		 "{\"Node\":{\"ID\":1,\"Name\":\"gate.tail.example.\",\"Addresses\":"
		 "[\"100.64.0.1/32\"]},\"DNSConfig\":{\"Proxied\":true,\"Routes\":{"
		 "\"corp.example\":[{\"Addr\":\"%s\"}%s%s%s],"
		 "\"doh.example\":[{\"Addr\":\"https://x/\"}]}}}",
		 first ? first : one, second ? ",{\"Addr\":\"" : "",
		 second ? (second[0] ? second : two) : "", second ? "\"}" : "");
	message = json_in_parse(&in, text, strlen(text));
	if (!message || netmap_apply(NULL, message, 1, &m, &in))
		fail_msg("%s: %s", text, in.error);
	json_decref(message);
	assert_int_equal(dns_server_set_map(b->server, m, true, 1), 0);
	netmap_free(m);
}

static int start(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct dns_server_options o = {.listen_count = 1, .resolv_conf = "/nonexistent"};
	struct sockaddr_storage ss;
	socklen_t len;
	int udp, tcp;

	assert_int_equal(uv_loop_init(&b->loop), 0);
	for (unsigned i = 0; i < 2; i++) {
		bound_pair(&b->resolvers[i], &b->tcp[i], &b->resolver_at[i]);
		assert_int_equal(listen(b->tcp[i], 8), 0);
	}
	bound_pair(&udp, &tcp, &b->at);
	close(udp);
	close(tcp);
	o.loop = &b->loop;
	o.listen[0] = b->at;
	assert_int_equal(dns_server_open(&o, &b->server), 0);
	assert_null(dns_server_problem(b->server));
	set_map(b, NULL, NULL);
	b->client = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	sockaddr_of(&b->at, &ss, &len);
	assert_int_equal(connect(b->client, (struct sockaddr *)&ss, len), 0);
	*state = b;
	return 0;
}

static int stop(void **state)
{
	struct bench *b = *state;

	dns_server_close(b->server);
	assert_int_equal(uv_run(&b->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	for (unsigned i = 0; i < 2; i++) {
		close(b->resolvers[i]);
		close(b->tcp[i]);
	}
	close(b->client);
	free(b);
	return 0;
}

/* Runs the loop until fd can be read; false: not within ms. */
static bool comes(struct bench *b, int fd, unsigned ms)
{
	uint64_t end = clock_now_ns() + ms * NS_PER_MS;
	struct pollfd p = {.fd = fd, .events = POLLIN};

	do {
		uv_run(&b->loop, UV_RUN_NOWAIT);
		if (poll(&p, 1, 1) > 0)
			return true;
	} while (clock_now_ns() < end);
	return false;
}

static size_t query(uint8_t *out, uint16_t id, const char *name, uint16_t type)
{
	size_t at = DNS_HEADER_BYTES;

	memset(out, 0, DNS_HEADER_BYTES);
	dns_set_id(out, id);
	out[2] = 1;
	out[5] = 1;
	while (*name) {
		size_t len = strcspn(name, ".");

		out[at++] = (uint8_t)len;
		memcpy(out + at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	out[at++] = 0;
	out[at++] = (uint8_t)(type >> 8);
	out[at++] = (uint8_t)type;
	out[at++] = 0;
	out[at++] = 1;
	return at;
}

static void ask(struct bench *b, uint16_t id, const char *name, uint16_t type)
{
	uint8_t msg[512];
	size_t len = query(msg, id, name, type);

	assert_int_equal(send(b->client, msg, len, 0), (ssize_t)len);
}

/* What a resolver got; the caller answers to *from. */
static size_t resolver_gets(struct bench *b, unsigned i, uint8_t *msg, struct sockaddr_in *from)
{
	socklen_t len = sizeof(*from);
	ssize_t n;

	assert_true(comes(b, b->resolvers[i], 1000));
	n = recvfrom(b->resolvers[i], msg, 512, 0, (struct sockaddr *)from, &len);
	assert_true(n > 0);
	return (size_t)n;
}

/* The query as a reply with one address behind it. Room for 16 bytes more. */
static size_t as_reply(uint8_t *msg, size_t len, enum dns_rcode rcode)
{
	static const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 9, 9};

	msg[2] |= 0x80;
	msg[3] = (uint8_t)(0x80 | rcode);
	if (rcode != DNS_OK)
		return len;
	msg[7] = 1;
	memcpy(msg + len, record, sizeof(record));
	return len + sizeof(record);
}

static void resolver_answers(struct bench *b, unsigned i, const uint8_t *msg, size_t len,
			     const struct sockaddr_in *to)
{
	assert_int_equal(
		sendto(b->resolvers[i], msg, len, 0, (const struct sockaddr *)to, sizeof(*to)),
		(ssize_t)len);
}

static size_t client_gets(struct bench *b, uint8_t *msg, size_t room, unsigned ms)
{
	ssize_t n;

	if (!comes(b, b->client, ms))
		fail_msg("no answer within %u ms", ms);
	n = recv(b->client, msg, room, 0);
	assert_true(n >= DNS_HEADER_BYTES);
	return (size_t)n;
}

static int rcode_for(struct bench *b, const char *name, uint16_t type)
{
	uint8_t msg[4096];

	ask(b, 7, name, type);
	client_gets(b, msg, sizeof(msg), 1000);
	assert_int_equal(msg[0] << 8 | msg[1], 7);
	return dns_reply_rcode(msg);
}

static void names_of_the_mesh_are_answered(void **state)
{
	struct bench *b = *state;
	uint8_t msg[512];
	size_t len;

	ask(b, 0xbeef, "Gate.tail.example", DNS_TYPE_A);
	len = client_gets(b, msg, sizeof(msg), 1000);
	assert_int_equal(msg[0] << 8 | msg[1], 0xbeef);
	assert_int_equal(msg[7], 1);
	assert_memory_equal(msg + len - 4, "\x64\x40\x00\x01", 4);
	assert_int_equal(rcode_for(b, "none.tail.example", DNS_TYPE_A), DNS_NXDOMAIN);
	assert_int_equal(rcode_for(b, "gate.tail.example", DNS_TYPE_AAAA), DNS_OK);
	assert_int_equal(rcode_for(b, "gate.tail.example", DNS_TYPE_SOA), DNS_NOTIMP);
	assert_int_equal(rcode_for(b, "corp.example", DNS_TYPE_AXFR), DNS_REFUSED);
	assert_int_equal(dns_server_counters(b->server)->answered, 4);
}

static void what_is_no_query_is_not_answered(void **state)
{
	struct bench *b = *state;
	uint8_t msg[512];
	size_t len = query(msg, 1, "gate.tail.example", DNS_TYPE_A);

	msg[2] |= 0x80;
	send(b->client, msg, len, 0);
	send(b->client, msg, 3, 0);
	assert_false(comes(b, b->client, 50));
	/* The next is a query, though a bad one. */
	msg[2] = 1;
	send(b->client, msg, len - 1, 0);
	client_gets(b, msg, sizeof(msg), 1000);
	assert_int_equal(dns_reply_rcode(msg), DNS_FORMERR);
	assert_int_equal(dns_server_counters(b->server)->bad_queries, 3);
}

static void other_names_are_asked_of_their_resolver(void **state)
{
	struct bench *b = *state;
	uint8_t msg[512], answer[512];
	struct sockaddr_in from, other;
	size_t len, got;

	ask(b, 0x1111, "web.corp.example", DNS_TYPE_A);
	len = resolver_gets(b, 0, msg, &from);
	len = as_reply(msg, len, DNS_OK);
	resolver_answers(b, 0, msg, len, &from);
	got = client_gets(b, answer, sizeof(answer), 1000);
	assert_int_equal(got, len);
	/* The client's id, all else as the resolver said it. */
	assert_int_equal(answer[0] << 8 | answer[1], 0x1111);
	assert_memory_equal(answer + 2, msg + 2, len - 2);
	/* Another question comes by another port. */
	ask(b, 0x1112, "web.corp.example", DNS_TYPE_A);
	resolver_gets(b, 0, msg, &other);
	assert_int_not_equal(from.sin_port, other.sin_port);
}

static void only_its_answer_is_believed(void **state)
{
	struct bench *b = *state;
	uint8_t msg[512], bad[512];
	struct sockaddr_in from;
	size_t len;

	ask(b, 5, "web.corp.example", DNS_TYPE_A);
	len = as_reply(msg, resolver_gets(b, 0, msg, &from), DNS_OK);
	memcpy(bad, msg, len);
	bad[1] ^= 1; /* another id */
	resolver_answers(b, 0, bad, len, &from);
	memcpy(bad, msg, len);
	bad[14] ^= 1; /* another name */
	resolver_answers(b, 0, bad, len, &from);
	/* The right answer, but of somebody else. */
	resolver_answers(b, 1, msg, len, &from);
	assert_false(comes(b, b->client, 50));
	resolver_answers(b, 0, msg, len, &from);
	client_gets(b, bad, sizeof(bad), 1000);
	assert_int_equal(dns_server_counters(b->server)->bad_replies, 2);
}

static void a_lost_question_is_asked_again(void **state)
{
	struct bench *b = *state;
	uint8_t msg[512];
	struct sockaddr_in from;
	uint64_t begin = clock_now_ns();
	size_t len;

	ask(b, 5, "web.corp.example", DNS_TYPE_A);
	resolver_gets(b, 0, msg, &from);
	assert_true(comes(b, b->resolvers[0], 3000));
	assert_in_range((clock_now_ns() - begin) / NS_PER_MS, 1900, 3000);
	len = as_reply(msg, resolver_gets(b, 0, msg, &from), DNS_OK);
	resolver_answers(b, 0, msg, len, &from);
	client_gets(b, msg, sizeof(msg), 1000);
	assert_int_equal(dns_reply_rcode(msg), DNS_OK);
}

static void silence_ends_after_five_seconds(void **state)
{
	struct bench *b = *state;
	uint64_t begin = clock_now_ns();
	uint8_t msg[512];

	ask(b, 5, "web.corp.example", DNS_TYPE_A);
	client_gets(b, msg, sizeof(msg), 7000);
	assert_int_equal(dns_reply_rcode(msg), DNS_SERVFAIL);
	assert_in_range((clock_now_ns() - begin) / NS_PER_MS, 4900, 6500);
	assert_int_equal(dns_server_counters(b->server)->forward_failed, 1);
}

/* Two resolvers: the one that fails does not keep the other's answer away. */
static void a_failure_waits_for_the_others(void **state)
{
	struct bench *b = *state;
	uint8_t one[512], two[512], msg[512];
	struct sockaddr_in from_one, from_two;
	size_t len_one, len_two;

	set_map(b, NULL, "");
	ask(b, 5, "web.corp.example", DNS_TYPE_A);
	len_one = as_reply(one, resolver_gets(b, 0, one, &from_one), DNS_SERVFAIL);
	len_two = as_reply(two, resolver_gets(b, 1, two, &from_two), DNS_OK);
	resolver_answers(b, 0, one, len_one, &from_one);
	assert_false(comes(b, b->client, 50));
	resolver_answers(b, 1, two, len_two, &from_two);
	client_gets(b, msg, sizeof(msg), 1000);
	assert_int_equal(dns_reply_rcode(msg), DNS_OK);
	/* Both fail: it is known at once. */
	ask(b, 6, "web.corp.example", DNS_TYPE_A);
	len_one = as_reply(one, resolver_gets(b, 0, one, &from_one), DNS_REFUSED);
	len_two = as_reply(two, resolver_gets(b, 1, two, &from_two), DNS_SERVFAIL);
	resolver_answers(b, 0, one, len_one, &from_one);
	resolver_answers(b, 1, two, len_two, &from_two);
	client_gets(b, msg, sizeof(msg), 1000);
	assert_int_equal(dns_reply_rcode(msg), DNS_REFUSED);
}

static void nobody_there_is_known_at_once(void **state)
{
	struct bench *b = *state;

	close(b->resolvers[0]);
	b->resolvers[0] = -1;
	assert_int_equal(rcode_for(b, "web.corp.example", DNS_TYPE_A), DNS_SERVFAIL);
	/* Nor is there anybody for names without a route, or only one by URL. */
	assert_int_equal(rcode_for(b, "www.example", DNS_TYPE_A), DNS_SERVFAIL);
	assert_null(dns_server_problem(b->server));
	assert_int_equal(rcode_for(b, "x.doh.example", DNS_TYPE_A), DNS_SERVFAIL);
	assert_non_null(dns_server_problem(b->server));
	assert_int_equal(dns_server_counters(b->server)->forward_failed, 3);
}

static void must_read(struct bench *b, int fd, uint8_t *out, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n;

		assert_true(comes(b, fd, 1000));
		n = recv(fd, out + at, len - at, 0);
		assert_true(n > 0);
		at += (size_t)n;
	}
}

static size_t tcp_gets(struct bench *b, int fd, uint8_t *msg)
{
	uint8_t head[2];

	must_read(b, fd, head, sizeof(head));
	must_read(b, fd, msg, (size_t)head[0] << 8 | head[1]);
	return (size_t)head[0] << 8 | head[1];
}

static void tcp_sends(int fd, const uint8_t *msg, size_t len)
{
	uint8_t head[2] = {(uint8_t)(len >> 8), (uint8_t)len};

	assert_int_equal(send(fd, head, 2, MSG_NOSIGNAL), 2);
	assert_int_equal(send(fd, msg, len, MSG_NOSIGNAL), (ssize_t)len);
}

static int tcp_client(struct bench *b)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sockaddr_of(&b->at, &ss, &len);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	return fd;
}

/* A cut answer is asked for by TCP, and cut again for a client over UDP. */
static void what_was_cut_comes_by_tcp(void **state)
{
	struct bench *b = *state;
	uint8_t msg[2048], answer[2048];
	struct sockaddr_in from;
	size_t len;
	int fd;

	ask(b, 0x77, "web.corp.example", DNS_TYPE_A);
	len = as_reply(msg, resolver_gets(b, 0, msg, &from), DNS_OK);
	msg[2] |= 2;
	resolver_answers(b, 0, msg, len, &from);
	assert_true(comes(b, b->tcp[0], 1000));
	fd = accept(b->tcp[0], NULL, NULL);
	len = as_reply(msg, tcp_gets(b, fd, msg), DNS_OK);
	memset(msg + len, 0, 1000 - len);
	tcp_sends(fd, msg, 1000);
	len = client_gets(b, answer, sizeof(answer), 1000);
	assert_true(dns_reply_is_cut(answer));
	assert_true(len < 512);
	assert_int_equal(answer[0] << 8 | answer[1], 0x77);
	close(fd);
}

/* The same for a client over TCP, which gets all of it. */
static void tcp_clients_get_all(void **state)
{
	struct bench *b = *state;
	uint8_t msg[2048], answer[2048];
	struct sockaddr_in from;
	size_t len;
	int client = tcp_client(b), fd;

	len = query(msg, 0x4242, "web.corp.example", DNS_TYPE_A);
	tcp_sends(client, msg, len);
	/* A second one on the same connection is answered before the first. */
	len = query(msg, 0x4343, "gate.tail.example", DNS_TYPE_A);
	tcp_sends(client, msg, len);
	tcp_gets(b, client, answer);
	assert_int_equal(answer[0] << 8 | answer[1], 0x4343);
	len = as_reply(msg, resolver_gets(b, 0, msg, &from), DNS_OK);
	msg[2] |= 2;
	resolver_answers(b, 0, msg, len, &from);
	assert_true(comes(b, b->tcp[0], 1000));
	fd = accept(b->tcp[0], NULL, NULL);
	len = as_reply(msg, tcp_gets(b, fd, msg), DNS_OK);
	memset(msg + len, 0, 1000 - len);
	tcp_sends(fd, msg, 1000);
	assert_int_equal(tcp_gets(b, client, answer), 1000);
	assert_int_equal(answer[0] << 8 | answer[1], 0x4242);
	assert_int_equal(dns_server_counters(b->server)->tcp_queries, 2);
	close(fd);
	close(client);
}

/* The connection of a resolver that says TC and has no TCP. */
static void a_cut_answer_is_better_than_none(void **state)
{
	struct bench *b = *state;
	uint8_t msg[512];
	struct sockaddr_in from;
	size_t len;

	close(b->tcp[0]);
	b->tcp[0] = -1;
	ask(b, 5, "web.corp.example", DNS_TYPE_A);
	len = as_reply(msg, resolver_gets(b, 0, msg, &from), DNS_OK);
	msg[2] |= 2;
	resolver_answers(b, 0, msg, len, &from);
	client_gets(b, msg, sizeof(msg), 1000);
	assert_int_equal(dns_reply_rcode(msg), DNS_OK);
	assert_true(dns_reply_is_cut(msg));
}

/* Clients that go while resolvers have their question, and a server that closes then. */
static void a_client_may_leave(void **state)
{
	struct bench *b = *state;
	uint8_t msg[512];
	struct sockaddr_in from;
	size_t len = query(msg, 1, "web.corp.example", DNS_TYPE_A);
	int client = tcp_client(b);

	tcp_sends(client, msg, len);
	len = as_reply(msg, resolver_gets(b, 0, msg, &from), DNS_OK);
	close(client);
	assert_false(comes(b, b->client, 50));
	resolver_answers(b, 0, msg, len, &from);
	client = tcp_client(b);
	len = query(msg, 1, "web.corp.example", DNS_TYPE_A);
	tcp_sends(client, msg, len);
	ask(b, 1, "web.corp.example", DNS_TYPE_A);
	resolver_gets(b, 0, msg, &from);
	resolver_gets(b, 0, msg, &from);
	close(client);
	/* stop() closes the server with both under way. */
}

static void no_more_than_256_are_under_way(void **state)
{
	struct bench *b = *state;
	uint8_t msg[512];

	for (unsigned i = 0; i < 256; i++) {
		ask(b, (uint16_t)i, "web.corp.example", DNS_TYPE_A);
		uv_run(&b->loop, UV_RUN_NOWAIT);
	}
	assert_false(comes(b, b->client, 20));
	ask(b, 300, "web.corp.example", DNS_TYPE_A);
	client_gets(b, msg, sizeof(msg), 1000);
	assert_int_equal(msg[0] << 8 | msg[1], 300);
	assert_int_equal(dns_reply_rcode(msg), DNS_SERVFAIL);
	assert_int_equal(dns_server_counters(b->server)->too_many, 1);
	/* The mesh's names do not wait for resolvers. */
	assert_int_equal(rcode_for(b, "gate.tail.example", DNS_TYPE_A), DNS_OK);
}

static void connections_are_bounded(void **state)
{
	struct bench *b = *state;
	uint8_t byte;
	int fds[9];

	for (unsigned i = 0; i < 9; i++) {
		fds[i] = tcp_client(b);
		uv_run(&b->loop, UV_RUN_NOWAIT);
	}
	assert_true(comes(b, fds[8], 1000));
	assert_int_equal(recv(fds[8], &byte, 1, 0), 0);
	assert_int_equal(dns_server_counters(b->server)->too_many, 1);
	for (unsigned i = 0; i < 9; i++)
		close(fds[i]);
}

/*
 * In a network namespace of its own: asks the service address as a neighbour behind an
 * interface does. Exit code: 1 if UDP was answered, 2 if TCP was, both added.
 */
static int neighbour(int ready, int go)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
	const struct timeval patience = {.tv_usec = 500000};
	int got = 0, byte = 0, types[] = {SOCK_DGRAM, SOCK_STREAM};
	uint8_t msg[512], framed[514], in[512];
	size_t len = query(msg, 9, "gate.tail.example", DNS_TYPE_A);

	inet_pton(AF_INET, "100.100.100.100", &to.sin_addr);
	framed[0] = 0;
	framed[1] = (uint8_t)len;
	memcpy(framed + 2, msg, len);
	if (unshare(CLONE_NEWNET) || write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1 ||
	    system("ip addr add 192.0.2.7/24 dev t1 && ip link set t1 up && "
		   "ip route add 100.100.100.100 via 192.0.2.1"))
		return 9;
	for (int i = 0; i < 2; i++) {
		int fd = socket(AF_INET, types[i] | SOCK_CLOEXEC, 0);

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
		    send(fd, i ? framed : msg, i ? len + 2 : len, MSG_NOSIGNAL) > 0 &&
		    recv(fd, in, sizeof(in), 0) > 0)
			got += i + 1;
		close(fd);
	}
	return got;
}

/* What a neighbour gets. Interface t0 is made for it, and goes with its namespace. */
static int neighbour_gets(struct bench *b, struct dns_server *s, bool is_tunnel)
{
	int ready[2], go[2], status;
	char command[256], byte = 0;
	pid_t pid;

	assert_int_equal(pipe(ready) | pipe(go), 0);
	pid = fork();
	if (pid == 0)
		_exit(neighbour(ready[1], go[0]));
	assert_int_equal(read(ready[0], &byte, 1), 1);
	snprintf(
		command, sizeof(command),
		"ip link add t0 type veth peer name t1 netns %d && ip addr add 192.0.2.1/24 dev t0 "
		"&& ip addr add 100.100.100.100/32 dev t0 && ip link set t0 up",
		(int)pid);
	assert_int_equal(system(command), 0);
	dns_server_set_tunnel(s, is_tunnel ? if_nametoindex("t0") : 0);
	/* This host is answered in any case, though the address is the interface's. */
	assert_int_equal(rcode_for(b, "gate.tail.example", DNS_TYPE_A), DNS_OK);
	assert_int_equal(write(go[1], &byte, 1), 1);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		uv_run(&b->loop, UV_RUN_NOWAIT);
		poll(NULL, 0, 1);
	}
	assert_int_equal(system("ip link del t0 2>/dev/null; true"), 0);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
	return WEXITSTATUS(status);
}

/* The last test: it leaves the network namespace. Without root there is nothing to be seen. */
static void the_tunnel_is_not_answered(void **state)
{
	struct bench *b = *state;
	struct dns_server_options o = {.loop = &b->loop};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
	struct dns_server *first = b->server;

	if (unshare(CLONE_NEWNET) || system("ip link set lo up")) {
		skip();
		return;
	}
	assert_int_equal(dns_server_open(&o, &b->server), 0);
	assert_null(dns_server_problem(b->server));
	set_map(b, NULL, NULL);
	close(b->client);
	b->client = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, "100.100.100.100", &to.sin_addr);
	assert_int_equal(system("ip addr add 100.100.100.100/32 dev lo"), 0);
	assert_int_equal(connect(b->client, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(system("ip addr del 100.100.100.100/32 dev lo"), 0);
	assert_int_equal(neighbour_gets(b, b->server, false), 3);
	assert_int_equal(dns_server_counters(b->server)->from_tunnel, 0);
	assert_int_equal(neighbour_gets(b, b->server, true), 0);
	assert_int_equal(dns_server_counters(b->server)->from_tunnel, 2);
	dns_server_close(first);
}

static void an_address_in_use_is_a_problem(void **state)
{
	struct bench *b = *state;
	struct dns_server_options o = {.loop = &b->loop, .listen_count = 1};
	struct dns_server *second;

	o.listen[0] = b->at;
	assert_int_equal(dns_server_open(&o, &second), 0);
	assert_non_null(strstr(dns_server_problem(second), "Address already in use"));
	dns_server_close(second);
}

/* Of another resolver that holds the port, and goes: tried again after 5 s. */
static void a_socket_is_tried_again(void **state)
{
	struct bench *b = *state;
	struct dns_server_options o = {.loop = &b->loop, .listen_count = 1};
	struct endpoint at;
	struct dns_server *second;
	uint64_t end = clock_now_ns() + 7 * NS_PER_SEC;
	int udp, tcp;

	bound_pair(&udp, &tcp, &at);
	o.listen[0] = at;
	assert_int_equal(dns_server_open(&o, &second), 0);
	assert_non_null(dns_server_problem(second));
	close(udp);
	close(tcp);
	while (dns_server_problem(second) && clock_now_ns() < end)
		uv_run(&b->loop, UV_RUN_ONCE);
	assert_null(dns_server_problem(second));
	dns_server_close(second);
}

/* An address that no interface has can be bound already. */
static void the_address_need_not_be_there(void **state)
{
	struct bench *b = *state;
	struct dns_server_options o = {.loop = &b->loop, .listen_count = 1};
	struct dns_server *second;

	o.listen[0] = (struct endpoint){.addr = {.family = AF_INET, .bytes = {192, 0, 2, 1}},
					.port = b->at.port};
	assert_int_equal(dns_server_open(&o, &second), 0);
	assert_null(dns_server_problem(second));
	dns_server_close(second);
}

static void resolv_conf_is_read(void **state)
{
	struct resolv_conf r = {.path = "test_dns_server.resolv"};
	char text[ENDPOINT_STR_MAX];
	static const char file[] = "# nameserver 1.1.1.1\nsearch a b\nnameserver\t10.0.0.1 \n"
				   "nameserver 100.100.100.100\nnameserver fe80::1%eth0\r\n"
				   "nameservers 1.1.1.1\nnameserver\nnameserver fd00::1\r\n"
				   "options x\nnameserver 10.0.0.2\nnameserver 10.0.0.3";

	resolv_conf_parse(&r, file);
	assert_int_equal(r.count, 3);
	assert_string_equal(endpoint_print(&r.at[0], text), "10.0.0.1:53");
	assert_string_equal(endpoint_print(&r.at[1], text), "[fd00::1]:53");
	assert_string_equal(endpoint_print(&r.at[2], text), "10.0.0.2:53");
	assert_int_equal(file_write_atomic(r.path, "nameserver 10.0.0.9", 19, 0600), 0);
	resolv_conf_refresh(&r);
	assert_int_equal(r.count, 1);
	assert_int_equal(file_write_atomic(r.path, "", 0, 0600), 0);
	resolv_conf_refresh(&r);
	assert_int_equal(r.count, 0);
	unlink(r.path);
	resolv_conf_refresh(&r);
	assert_int_equal(r.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_of_the_mesh_are_answered, start, stop),
		cmocka_unit_test_setup_teardown(what_is_no_query_is_not_answered, start, stop),
		cmocka_unit_test_setup_teardown(other_names_are_asked_of_their_resolver, start,
						stop),
		cmocka_unit_test_setup_teardown(only_its_answer_is_believed, start, stop),
		cmocka_unit_test_setup_teardown(a_lost_question_is_asked_again, start, stop),
		cmocka_unit_test_setup_teardown(silence_ends_after_five_seconds, start, stop),
		cmocka_unit_test_setup_teardown(a_failure_waits_for_the_others, start, stop),
		cmocka_unit_test_setup_teardown(nobody_there_is_known_at_once, start, stop),
		cmocka_unit_test_setup_teardown(what_was_cut_comes_by_tcp, start, stop),
		cmocka_unit_test_setup_teardown(tcp_clients_get_all, start, stop),
		cmocka_unit_test_setup_teardown(a_cut_answer_is_better_than_none, start, stop),
		cmocka_unit_test_setup_teardown(a_client_may_leave, start, stop),
		cmocka_unit_test_setup_teardown(no_more_than_256_are_under_way, start, stop),
		cmocka_unit_test_setup_teardown(connections_are_bounded, start, stop),
		cmocka_unit_test_setup_teardown(an_address_in_use_is_a_problem, start, stop),
		cmocka_unit_test_setup_teardown(a_socket_is_tried_again, start, stop),
		cmocka_unit_test_setup_teardown(the_address_need_not_be_there, start, stop),
		cmocka_unit_test(resolv_conf_is_read),
		cmocka_unit_test_setup_teardown(the_tunnel_is_not_answered, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
