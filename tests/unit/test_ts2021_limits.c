/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows what the server of the control protocol's transport does against who has no
 * key, and against who has one and means ill; that a handler may end anything from
 * inside of any callback; and that one attempt of a client's dial does not spoil the
 * other.
 */
#include "tests/unit/ts2021_world.h"

#include "controlplane/ts2021/ts2021_source.h"

static unsigned calloc_fails; /* so many more */

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	if (calloc_fails && calloc_fails--)
		return NULL;
	return __real_calloc(n, size);
}

static void counts_of(struct world *w, struct ts2021_server_counts *out)
{
	ts2021_server_counts(w->server, out);
}

static void still_serves(struct world *w)
{
	unsigned ends = w->ends, failures = w->failures;

	if (!w->client)
		open_client(w, "http", w->port, NULL);
	post(w, "/echo", "still");
	RUN_UNTIL(w, w->ends == ends + 1);
	assert_int_equal(w->failures, failures);
}

/* ---- before a key is proven ---- */

#define MANY 40

static void wait_until_old(struct world *w)
{
	uint64_t until = uv_hrtime() + 3100000000ull;

	while (uv_hrtime() < until) {
		uv_run(&w->loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
}

/* Those that had their time make room; a crowd that comes at once is let in. */
static void too_many_from_one_source(void **state)
{
	static struct raw many[MANY + 20];
	const struct ts2021_limits limits = {.pending_per_source = MANY};
	struct ts2021_server_counts c;
	struct world w;

	open_limited(&w, NULL, &limits);
	for (unsigned i = 0; i < MANY + 10; i++) {
		raw_start(&w, &many[i], "", 0);
		RUN_UNTIL(&w, (counts_of(&w, &c), c.accepted == i + 1));
	}
	assert_int_equal(c.pending, MANY + 10);
	assert_int_equal(c.refused_address, 0);
	wait_until_old(&w);
	for (unsigned i = MANY + 10; i < MANY + 20; i++) {
		raw_start(&w, &many[i], "", 0);
		RUN_UNTIL(&w, (counts_of(&w, &c), c.accepted == i + 1));
	}
	assert_int_equal(c.pending, MANY);
	assert_int_equal(c.refused_address, 20);
	/* The oldest made room for the newest. */
	for (unsigned i = 0; i < MANY + 20; i++)
		RUN_UNTIL(&w, many[i].is_closed == (i < 20));
	still_serves(&w);
	for (unsigned i = 0; i < MANY + 20; i++)
		uv_close((uv_handle_t *)&many[i].tcp, NULL);
	RUN_UNTIL(&w, (counts_of(&w, &c), c.pending == 0));
	close_world(&w);
}

/* Nor is the moment for ever: so many at once are too many. */
static void a_crowd_too_large(void **state)
{
	static struct raw many[8 * 5 + 3];
	const struct ts2021_limits limits = {.pending_per_source = 5};
	struct ts2021_server_counts c;
	struct world w;

	open_limited(&w, NULL, &limits);
	for (unsigned i = 0; i < 8 * 5 + 3; i++) {
		raw_start(&w, &many[i], "", 0);
		RUN_UNTIL(&w, (counts_of(&w, &c), c.accepted == i + 1));
	}
	assert_int_equal(c.pending, 8 * 5);
	assert_int_equal(c.refused_address, 3);
	RUN_UNTIL(&w, many[0].is_closed);
	for (unsigned i = 0; i < 8 * 5 + 3; i++)
		uv_close((uv_handle_t *)&many[i].tcp, NULL);
	close_world(&w);
}

static void too_many_in_all(void **state)
{
	static struct raw many[MANY + 1];
	const struct ts2021_limits limits = {.pending = MANY};
	struct ts2021_server_counts c;
	struct world w;

	open_limited(&w, NULL, &limits);
	for (unsigned i = 0; i < MANY + 1; i++) {
		raw_start(&w, &many[i], "", 0);
		RUN_UNTIL(&w, (counts_of(&w, &c), c.accepted == i + 1));
	}
	assert_int_equal(c.refused_pending, 1);
	RUN_UNTIL(&w, many[0].is_closed);
	for (unsigned i = 0; i < MANY + 1; i++)
		uv_close((uv_handle_t *)&many[i].tcp, NULL);
	close_world(&w);
}

static void sources(void **state)
{
	struct ts2021_sources t;
	struct ts2021_source *a, *b, *many[500];
	struct ip_addr one, two, other;

	addr_parse("2001:db8:1:2::1", &one);
	addr_parse("2001:db8:1:2:ffff::9", &two);
	addr_parse("2001:db8:1:3::1", &other);
	assert_int_equal(ts2021_sources_init(&t, 7), 0);
	a = ts2021_source_get(&t, &one);
	assert_ptr_equal(a, ts2021_source_get(&t, &two));
	b = ts2021_source_get(&t, &other);
	assert_ptr_not_equal(a, b);
	addr_parse("192.0.2.1", &one);
	addr_parse("192.0.2.2", &two);
	assert_ptr_not_equal(many[0] = ts2021_source_get(&t, &one),
			     many[1] = ts2021_source_get(&t, &two));
	for (unsigned i = 2; i < 500; i++) {
		one.bytes[2] = (uint8_t)(i >> 8);
		one.bytes[3] = (uint8_t)i;
		one.bytes[1] = 9;
		many[i] = ts2021_source_get(&t, &one);
	}
	assert_int_equal(t.count, 502);
	for (unsigned i = 0; i < 500; i++)
		ts2021_source_put(&t, many[i]);
	ts2021_source_put(&t, b);
	ts2021_source_put(&t, a);
	assert_int_equal(t.count, 1);
	ts2021_source_put(&t, a);
	assert_int_equal(t.count, 0);
	ts2021_sources_fini(&t);
}

/* A head that comes a byte at a time is not waited for longer than for any other. */
static void a_slow_head(void **state)
{
	const struct ts2021_limits limits = {.pending_ms = 300};
	struct ts2021_server_counts c;
	uint64_t begun = uv_hrtime();
	struct world w;
	struct raw r;

	open_limited(&w, NULL, &limits);
	raw_start(&w, &r, "G", 1);
	for (unsigned i = 0; i < 200 && !r.is_closed; i++) {
		uv_buf_t byte = uv_buf_init((char *)"x", 1);

		uv_run(&w.loop, UV_RUN_NOWAIT);
		if (i)
			uv_try_write((uv_stream_t *)&r.tcp, &byte, 1);
		usleep(10000);
	}
	assert_true(r.is_closed);
	assert_in_range((uv_hrtime() - begun) / 1000000, 250, 9000);
	counts_of(&w, &c);
	assert_int_equal(c.timed_out, 1);
	assert_int_equal(c.pending, 0);
	uv_close((uv_handle_t *)&r.tcp, NULL);
	still_serves(&w);
	close_world(&w);
}

/* Who asks and asks and never reads is not answered for ever. */
static void answers_that_nobody_reads(void **state)
{
	static const char ask[] = "GET /key HTTP/1.1\r\n\r\n";
	enum { TIMES = 300 };
	struct ts2021_server_counts c = {0};
	struct sockaddr_in to;
	struct world w;
	char many[TIMES * (sizeof(ask) - 1)];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), small = 4096;
	uint64_t until = uv_hrtime() + 20000000000ull;

	for (unsigned i = 0; i < TIMES; i++)
		memcpy(many + i * (sizeof(ask) - 1), ask, sizeof(ask) - 1);
	open_world(&w, NULL);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	uv_ip4_addr("127.0.0.1", w.port, &to);
	connect(fd, (struct sockaddr *)&to, sizeof(to));
	RUN_UNTIL(&w, (counts_of(&w, &c), c.pending == 1));
	while (c.pending && uv_hrtime() < until) {
		if (send(fd, many, sizeof(many), MSG_NOSIGNAL) < 0)
			usleep(200);
		uv_run(&w.loop, UV_RUN_NOWAIT);
		counts_of(&w, &c);
	}
	assert_int_equal(c.pending, 0);
	assert_int_equal(c.timed_out, 0);
	assert_int_equal(c.bad_http, 1);
	close(fd);
	close_world(&w);
}

/* Also when there was no memory for a connection the next one is served. */
static void no_memory_for_a_connection(void **state)
{
	struct ts2021_server_counts c;
	struct raw r[6];
	struct world w;

	open_world(&w, NULL);
	still_serves(&w);
	for (unsigned i = 0; i < 6; i++)
		raw_start(&w, &r[i], "", 0);
	calloc_fails = 3;
	RUN_UNTIL(&w, (counts_of(&w, &c), c.pending + c.refused_memory == 6));
	assert_in_range(c.refused_memory, 1, 3);
	for (unsigned i = 0; i < 6; i++)
		uv_close((uv_handle_t *)&r[i].tcp, NULL);
	ts2021_client_free(w.client);
	w.client = NULL;
	still_serves(&w);
	close_world(&w);
}

/* ---- behind the handshake ---- */

/* A connection by hand, blocking, with the loop in between. */
struct hand {
	struct world *w;
	int fd;
	struct noise_ik_stream noise;
	uint8_t in[1 << 16];
	size_t len;
};

static void hand_send(struct hand *h, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = send(h->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN) {
			return;
		}
		uv_run(&h->w->loop, UV_RUN_NOWAIT);
	}
}

static void hand_seal(struct hand *h, const void *data, size_t len)
{
	uint8_t record[NOISE_IK_RECORD_MAX];
	const uint8_t *p = data;

	while (len) {
		size_t n = len < NOISE_IK_PLAIN_MAX ? len : NOISE_IK_PLAIN_MAX;

		hand_send(h, record, (size_t)noise_ik_seal(&h->noise.tx, p, n, record));
		p += n;
		len -= n;
	}
}

/* What is there; false: the server has closed. */
static bool hand_read(struct hand *h)
{
	ssize_t n;

	uv_run(&h->w->loop, UV_RUN_NOWAIT);
	n = recv(h->fd, h->in + h->len, sizeof(h->in) - h->len, MSG_DONTWAIT);
	if (n > 0)
		h->len += (size_t)n;
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void hand_connect(struct world *w, struct hand *h)
{
	struct sockaddr_in to;

	h->w = w;
	h->len = 0;
	h->fd = socket(AF_INET, SOCK_STREAM, 0);
	uv_ip4_addr("127.0.0.1", w->port, &to);
	assert_int_equal(connect(h->fd, (struct sockaddr *)&to, sizeof(to)), 0);
}

static void hand_upgrade(struct hand *h, const uint8_t initiation[NOISE_IK_INITIATION_BYTES])
{
	char text[200], request[512];

	sodium_bin2base64(text, sizeof(text), initiation, NOISE_IK_INITIATION_BYTES,
			  sodium_base64_VARIANT_ORIGINAL);
	snprintf(request, sizeof(request),
		 "POST /ts2021 HTTP/1.1\r\nUpgrade: tailscale-control-protocol\r\n"
		 "X-Tailscale-Handshake: %s\r\n\r\n",
		 text);
	hand_send(h, request, strlen(request));
}

static void hand_secure(struct world *w, struct hand *h)
{
	uint8_t initiation[NOISE_IK_INITIATION_BYTES], *end = NULL;
	struct noise_ik_client c = {0};

	hand_connect(w, h);
	assert_int_equal(noise_ik_initiate(&c, 142, w->machine_private.bytes,
					   w->server_public.bytes, &source, initiation),
			 0);
	hand_upgrade(h, initiation);
	RUN_UNTIL(w, hand_read(h) && (end = memmem(h->in, h->len, "\r\n\r\n", 4)) &&
			     h->in + h->len >= end + 4 + NOISE_IK_RESPONSE_BYTES);
	assert_int_equal(noise_ik_finish(&c, end + 4, &h->noise), 0);
	end += 4 + NOISE_IK_RESPONSE_BYTES;
	h->len = (size_t)(h->in + h->len - end);
	memmove(h->in, end, h->len);
	noise_ik_client_fini(&c);
}

static void hand_close(struct hand *h)
{
	close(h->fd);
	noise_ik_stream_fini(&h->noise);
}

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
/* POST https://x/echo: two fields of the static table, two literals. */
static const uint8_t post_echo[] = {0x83, 0x87, 0x01, 1, 'x', 0x04, 5, '/', 'e', 'c', 'h', 'o'};

static void hand_frame(struct hand *h, uint8_t type, uint8_t flags, uint32_t stream,
		       const void *data, size_t len)
{
	uint8_t frame[9 + 16384] = {(uint8_t)(len >> 16),
				    (uint8_t)(len >> 8),
				    (uint8_t)len,
				    type,
				    flags,
				    (uint8_t)(stream >> 24),
				    (uint8_t)(stream >> 16),
				    (uint8_t)(stream >> 8),
				    (uint8_t)stream};

	memcpy(frame + 9, data, len);
	hand_seal(h, frame, 9 + len);
}

/* Turns until the server has closed. */
static bool is_cut(struct hand *h, unsigned ms)
{
	uint64_t until = uv_hrtime() + ms * 1000000ull;

	while (uv_hrtime() < until) {
		if (!hand_read(h))
			return true;
		h->len = 0;
		usleep(200);
	}
	return false;
}

/* Whether a frame of this type for this stream comes; *code: its last four bytes. */
static bool comes(struct hand *h, uint8_t type, uint32_t stream, uint32_t *code)
{
	uint64_t until = uv_hrtime() + 15000000000ull;

	while (uv_hrtime() < until && hand_read(h)) {
		uint8_t *plain;
		size_t len;
		int n;

		while ((n = noise_ik_open(&h->noise.rx, h->in, h->len, &plain, &len)) > 0) {
			bool found = false;

			for (size_t at = 0; at + 9 <= len;) {
				size_t body = (size_t)plain[at] << 16 | (size_t)plain[at + 1] << 8 |
					      plain[at + 2];
				uint32_t id = (uint32_t)plain[at + 7] << 8 | plain[at + 8];

				if (plain[at + 3] == type && id == stream && at + 9 + body <= len) {
					found = true;
					*code = plain[at + 8 + body];
				}
				at += 9 + body;
			}
			h->len -= (size_t)n;
			memmove(h->in, h->in + n, h->len);
			if (found)
				return true;
		}
		usleep(200);
	}
	return false;
}

static void garbage_behind_the_handshake(void **state)
{
	uint8_t noise[5000];
	struct ts2021_server_counts c;
	struct world w;
	struct hand h;

	open_world(&w, NULL);
	for (unsigned i = 0; i < 20; i++) {
		randombytes_buf(noise, sizeof(noise));
		hand_secure(&w, &h);
		if (i % 2) /* HTTP/2, and then no more */
			hand_seal(&h, preface, sizeof(preface) - 1);
		if (i % 4 < 2)
			hand_seal(&h, noise, sizeof(noise));
		else
			hand_send(&h, noise, sizeof(noise)); /* no record */
		assert_true(is_cut(&h, 9000));
		hand_close(&h);
	}
	RUN_UNTIL(&w, (counts_of(&w, &c), c.connections == 0));
	still_serves(&w);
	close_world(&w);
}

static void an_initiation_said_again(void **state)
{
	uint8_t initiation[NOISE_IK_INITIATION_BYTES];
	struct noise_ik_client n = {0};
	struct ts2021_server_counts c;
	struct world w;
	struct hand h;

	open_world(&w, NULL);
	assert_int_equal(noise_ik_initiate(&n, 142, w.machine_private.bytes, w.server_public.bytes,
					   &source, initiation),
			 0);
	hand_connect(&w, &h);
	hand_upgrade(&h, initiation);
	RUN_UNTIL(&w, (counts_of(&w, &c), c.connections == 1));
	hand_close(&h);
	/* Who replays it has no keys: whatever it says next does not open. */
	hand_connect(&w, &h);
	hand_upgrade(&h, initiation);
	RUN_UNTIL(&w, (counts_of(&w, &c), c.accepted == 2));
	h.noise = (struct noise_ik_stream){0};
	hand_seal(&h, preface, sizeof(preface) - 1);
	assert_true(is_cut(&h, 9000));
	counts_of(&w, &c);
	assert_int_equal(c.requests, 0);
	hand_close(&h);
	noise_ik_client_fini(&n);
	RUN_UNTIL(&w, (counts_of(&w, &c), c.connections == 0));
	still_serves(&w);
	close_world(&w);
}

static void too_many_connections(void **state)
{
	const struct ts2021_limits limits = {.connections_per_source = 3};
	struct ts2021_server_counts c;
	struct world w;
	struct hand h[3];

	open_limited(&w, NULL, &limits);
	for (unsigned i = 0; i < 3; i++)
		hand_secure(&w, &h[i]);
	open_client(&w, "http", w.port, NULL);
	post(&w, "/echo", "");
	RUN_UNTIL(&w, w.ends == 1);
	assert_int_equal(w.failures, 1);
	assert_non_null(strstr(w.why, "503"));
	counts_of(&w, &c);
	assert_int_equal(c.refused_connections, 1);
	assert_int_equal(c.connections, 3);
	hand_close(&h[1]);
	RUN_UNTIL(&w, (counts_of(&w, &c), c.connections == 2));
	still_serves(&w);
	hand_close(&h[0]);
	hand_close(&h[2]);
	close_world(&w);
}

/* The answer comes in the middle of the body, and then that no more of it is wanted. */
static void a_body_too_large(void **state)
{
	static const uint8_t zeros[16384];
	struct world w;
	struct hand h;
	uint32_t code = 99;

	open_world(&w, NULL);
	hand_secure(&w, &h);
	hand_seal(&h, preface, sizeof(preface) - 1);
	hand_frame(&h, 1, 4, 1, post_echo, sizeof(post_echo));
	for (unsigned i = 0; i < TS2021_BODY_MAX / sizeof(zeros) + 1; i++)
		hand_frame(&h, 0, 0, 1, zeros, sizeof(zeros));
	assert_true(comes(&h, 3, 1, &code)); /* RST_STREAM */
	assert_int_equal(code, 0);
	hand_close(&h);
	close_world(&w);
}

/* Of many bodies that never end only so much is kept. */
static void bodies_that_never_end(void **state)
{
	static const uint8_t zeros[16384];
	struct world w;
	struct hand h;
	uint32_t code = 99;

	open_world(&w, NULL);
	hand_secure(&w, &h);
	hand_seal(&h, preface, sizeof(preface) - 1);
	for (unsigned s = 0; s < 10; s++) {
		hand_frame(&h, 1, 4, 2 * s + 1, post_echo, sizeof(post_echo));
		for (unsigned i = 0; i < 20; i++)
			hand_frame(&h, 0, 0, 2 * s + 1, zeros, sizeof(zeros));
	}
	/* 20 times 16 KiB take room of 512 KiB: the fifth does not fit. */
	assert_true(comes(&h, 3, 9, &code));
	assert_int_equal(code, 0);
	hand_close(&h);
	close_world(&w);
}

static void a_slow_body_and_an_idle_connection(void **state)
{
	const struct ts2021_limits limits = {.body_ms = 200, .idle_ms = 400};
	uint64_t begun = uv_hrtime();
	struct ts2021_server_counts c;
	struct world w;
	struct hand h, idle;
	uint32_t code = 99;

	open_limited(&w, NULL, &limits);
	hand_secure(&w, &h);
	hand_secure(&w, &idle);
	hand_seal(&h, preface, sizeof(preface) - 1);
	hand_frame(&h, 1, 4, 1, post_echo, sizeof(post_echo));
	hand_frame(&h, 0, 0, 1, "{", 1);
	assert_true(comes(&h, 3, 1, &code));
	assert_int_equal(code, 0);
	assert_in_range((uv_hrtime() - begun) / 1000000, 150, 9000);
	assert_true(is_cut(&idle, 9000));
	assert_true(is_cut(&h, 9000));
	counts_of(&w, &c);
	assert_int_equal(c.connections, 0);
	hand_close(&h);
	hand_close(&idle);
	/* One with a request under way is not idle. */
	open_client(&w, "http", w.port, NULL);
	post(&w, "/held", "");
	RUN_UNTIL(&w, w.open);
	usleep(600000);
	for (unsigned i = 0; i < 10; i++)
		uv_run(&w.loop, UV_RUN_NOWAIT);
	assert_non_null(w.open);
	ts2021_respond(w.open, 200, NULL, "late", 4);
	RUN_UNTIL(&w, w.ends == 1);
	assert_int_equal(w.failures, 0);
	close_world(&w);
}

/* ---- a handler that ends others from inside ---- */

static struct ts2021_request *pair[2];
static unsigned pair_gone, pair_drained;
static bool pair_may_end;

static void pair_request(void *arg, struct ts2021_request *r)
{
	pair[!!pair[0]] = r;
	ts2021_begin(r, 200, NULL);
}

static struct ts2021_request *other_of(struct ts2021_request *r)
{
	return r == pair[0] ? pair[1] : pair[0];
}

static void pair_on_drained(void *arg, struct ts2021_request *r)
{
	struct ts2021_request *other = other_of(r);

	pair_drained++;
	if (pair_may_end && other)
		ts2021_abort(other);
	pair_may_end = false;
}

static void pair_on_gone(void *arg, struct ts2021_request *r)
{
	struct ts2021_request *other = other_of(r);
	struct ts2021_bytes *b = ts2021_bytes_new("x", 1);

	pair[r == pair[1]] = NULL;
	pair_gone++;
	/* The connection may be going: nothing leaves, nothing breaks. */
	if (other && pair_gone == 1) {
		ts2021_write(other, b);
		ts2021_end(other);
		ts2021_abort(other);
	}
	ts2021_bytes_put(b);
}

static const struct ts2021_handler pair_handler = {
	.on_request = pair_request, .on_gone = pair_on_gone, .on_drained = pair_on_drained};

static void open_pair(struct world *w)
{
	struct ts2021_server_config cfg = {
		.loop = &w->loop, .random = &source, .handler = &pair_handler};
	struct endpoint at = {.addr = {AF_INET, {127, 0, 0, 1}}};

	memset(w, 0, sizeof(*w));
	pair[0] = pair[1] = NULL;
	pair_gone = pair_drained = 0;
	pair_may_end = false;
	uv_loop_init(&w->loop);
	keys(&cfg.private_key, &w->server_public);
	keys(&w->machine_private, &w->machine_public);
	assert_int_equal(ts2021_server_new(&cfg, &w->server), 0);
	assert_int_equal(ts2021_server_listen(w->server, &at, NULL, &w->port), 0);
	open_client(w, "http", w->port, NULL);
	post(w, "/a", "");
	post(w, "/b", "");
	RUN_UNTIL(w, pair[0] && pair[1]);
}

static void others_end_from_inside(void **state)
{
	struct ts2021_bytes *b;
	struct world w;

	open_pair(&w);
	RUN_UNTIL(&w, w.heads == 2);
	b = ts2021_bytes_new("0123", 4);
	pair_may_end = true;
	ts2021_write(pair[0], b);
	ts2021_write(pair[1], b);
	ts2021_bytes_put(b);
	RUN_UNTIL(&w, pair_gone == 2);
	close_world(&w);
	/* And when the connection goes. */
	open_pair(&w);
	ts2021_cancel_all(w.client);
	RUN_UNTIL(&w, pair_gone == 2);
	close_world(&w);
}

/* ---- the client ---- */

/* A man in the middle of plain HTTP who answers with keys of his own. */
struct liar {
	uv_tcp_t listener, tcp;
	uv_write_t write;
	char room[4096];
	bool is_asked;
};

static void liar_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
	struct liar *l = h->data;

	*buf = uv_buf_init(l->room, sizeof(l->room));
}

static void liar_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	static char answer[] = "HTTP/1.1 101 Switching Protocols\r\n"
			       "Upgrade: tailscale-control-protocol\r\n\r\n"
			       "\x02\0\x30................................................";
	struct liar *l = s->data;
	uv_buf_t out = uv_buf_init(answer, sizeof(answer) - 1);

	if (n > 0 && !l->is_asked)
		uv_write(&l->write, s, &out, 1, NULL);
	l->is_asked = true;
}

static void liar_connection(uv_stream_t *s, int status)
{
	struct liar *l = s->data;

	uv_tcp_init(s->loop, &l->tcp);
	l->tcp.data = l;
	uv_accept(s, (uv_stream_t *)&l->tcp);
	uv_read_start((uv_stream_t *)&l->tcp, liar_alloc, liar_read);
}

static void open_tls(char *dir, SSL_CTX **server, SSL_CTX **client)
{
	char cert[64], key[64], err[NET_TLS_ERROR_MAX];

	assert_non_null(mkdtemp(dir));
	snprintf(cert, sizeof(cert), "%s/cert", dir);
	snprintf(key, sizeof(key), "%s/key", dir);
	certificate(cert, key);
	*server = net_tls_server(cert, key, err);
	*client = net_tls_client(cert, err);
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

static void a_liar_on_plain_http(void **state)
{
	struct ts2021_client_config cfg = {.version = 142, .random = &source};
	char dir[] = "/tmp/ts2021-XXXXXX", url[64];
	struct sockaddr_storage at;
	SSL_CTX *server, *client;
	int len = sizeof(at);
	struct liar l = {0};
	struct world w;

	open_tls(dir, &server, &client);
	open_world(&w, server);
	uv_tcp_init(&w.loop, &l.listener);
	l.listener.data = &l;
	uv_ip4_addr("127.0.0.1", 0, (struct sockaddr_in *)&at);
	uv_tcp_bind(&l.listener, (struct sockaddr *)&at, 0);
	uv_listen((uv_stream_t *)&l.listener, 1, liar_connection);
	uv_tcp_getsockname(&l.listener, (struct sockaddr *)&at, &len);
	snprintf(url, sizeof(url), "https://127.0.0.1:%u", w.tls_port);
	assert_int_equal(ts2021_url_parse(url, &cfg.url), 0);
	cfg.url.plain_port = ntohs(((struct sockaddr_in *)&at)->sin_port);
	cfg.loop = &w.loop;
	cfg.tls = client;
	cfg.machine_private = w.machine_private;
	assert_int_equal(ts2021_client_new(&cfg, &w.client), 0);
	post(&w, "/echo", "in spite of him");
	RUN_UNTIL(&w, w.ends == 1);
	assert_true(l.is_asked);
	if (w.failures)
		fail_msg("%s", w.why);
	assert_string_equal(w.text, "in spite of him");
	uv_close((uv_handle_t *)&l.listener, NULL);
	uv_close((uv_handle_t *)&l.tcp, NULL);
	close_world(&w);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources),
		cmocka_unit_test(too_many_from_one_source),
		cmocka_unit_test(a_crowd_too_large),
		cmocka_unit_test(too_many_in_all),
		cmocka_unit_test(a_slow_head),
		cmocka_unit_test(answers_that_nobody_reads),
		cmocka_unit_test(no_memory_for_a_connection),
		cmocka_unit_test(garbage_behind_the_handshake),
		cmocka_unit_test(an_initiation_said_again),
		cmocka_unit_test(too_many_connections),
		cmocka_unit_test(a_body_too_large),
		cmocka_unit_test(bodies_that_never_end),
		cmocka_unit_test(a_slow_body_and_an_idle_connection),
		cmocka_unit_test(others_end_from_inside),
		cmocka_unit_test(a_liar_on_plain_http),
	};

	if (sodium_init() < 0)
		return 1;
	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
