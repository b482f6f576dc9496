/* SPDX-License-Identifier: Apache-2.0 */
#include "perf/derp_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES  65536
#define PLAIN_BYTES (READ_BYTES + DERP_CLIENT_MAX)
#define FIRST_ROOM  4096
#define TIMEOUT_S   10

static const char upgrade[] =
	"GET /derp HTTP/1.1\r\nHost: load\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n";
static const char client_info[] = "{\"version\":2,\"CanAckPings\":true}";

/* --- TLS over buffers, so that many records are one write and one read --- */

static int bio_read(BIO *b, char *buf, int room)
{
	struct derp_conn *c = BIO_get_data(b);
	size_t n = c->in_len < (size_t)room ? c->in_len : (size_t)room;

	BIO_clear_retry_flags(b);
	if (!n) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(buf, c->in, n);
	c->in += n;
	c->in_len -= n;
	return (int)n;
}

static void out_append(struct derp_conn *c, const void *data, size_t len)
{
	if (c->out_len + len > c->out_room) {
		size_t room = c->out_room ? c->out_room : FIRST_ROOM;

		while (room < c->out_len + len)
			room *= 2;
		c->out = realloc(c->out, room);
		if (!c->out)
			abort();
		c->out_room = room;
	}
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
}

static int bio_write(BIO *b, const char *buf, int len)
{
	BIO_clear_retry_flags(b);
	out_append(BIO_get_data(b), buf, (size_t)len);
	return len;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *m;

	if (m)
		return m;
	m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buffers");
	BIO_meth_set_read(m, bio_read);
	BIO_meth_set_write(m, bio_write);
	BIO_meth_set_ctrl(m, bio_ctrl);
	return m;
}

SSL_CTX *derp_conn_tls(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

/* --- bytes --- */

/* What is read, behind what was kept of a frame: of this call only. */
static uint8_t plain[PLAIN_BYTES];

int derp_conn_flush(struct derp_conn *c)
{
	while (c->out_at < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		c->out_at += (size_t)n;
	}
	c->out_at = c->out_len = 0;
	return 0;
}

void derp_conn_put(struct derp_conn *c, const void *frame, size_t len)
{
	if (!c->ssl)
		out_append(c, frame, len);
	else if (SSL_write(c->ssl, frame, (int)len) != (int)len)
		abort(); /* the buffer behind it takes everything */
}

/* Hands on whole frames; bytes taken. */
static size_t take(struct derp_conn *c, const uint8_t *data, size_t len, derp_conn_frame_fn *fn,
		   void *arg)
{
	size_t at = 0;

	while (len - at >= DERP_HEADER_BYTES) {
		struct derp_header h = derp_header_get(data + at);

		if (len - at - DERP_HEADER_BYTES < h.len)
			break;
		fn(arg, c, h.type, data + at + DERP_HEADER_BYTES, h.len);
		at += DERP_HEADER_BYTES + h.len;
	}
	return at;
}

/* Opens what is in c->in behind the have first bytes of plain; bytes, or a negative errno. */
static ssize_t open_records(struct derp_conn *c, size_t have)
{
	size_t got = 0;

	while (have + got < PLAIN_BYTES) {
		int m = SSL_read(c->ssl, plain + have + got, (int)(PLAIN_BYTES - have - got));

		if (m <= 0)
			return SSL_get_error(c->ssl, m) == SSL_ERROR_WANT_READ ? (ssize_t)got
									       : -EPROTO;
		got += (size_t)m;
	}
	return -EMSGSIZE;
}

/* Bytes behind the have first ones of plain, -EAGAIN, or another negative errno. */
static ssize_t fill(struct derp_conn *c, size_t have)
{
	static uint8_t cipher[READ_BYTES];
	ssize_t n = recv(c->fd, c->ssl ? cipher : plain + have, READ_BYTES, 0);

	if (n <= 0)
		return n ? -errno : -ECONNRESET;
	if (!c->ssl)
		return n;
	c->in = cipher;
	c->in_len = (size_t)n;
	return open_records(c, have);
}

static int keep(struct derp_conn *c, const uint8_t *data, size_t len)
{
	if (len) {
		c->rest = realloc(c->rest, len);
		if (!c->rest)
			return -ENOMEM;
		memcpy(c->rest, data, len);
	}
	c->rest_len = len;
	return 0;
}

int derp_conn_read(struct derp_conn *c, derp_conn_frame_fn *fn, void *arg)
{
	size_t have = c->rest_len, used;
	ssize_t n;

	if (have)
		memcpy(plain, c->rest, have);
	n = fill(c, have);
	if (n <= 0)
		return n == -EAGAIN ? 0 : (int)n;
	have += (size_t)n;
	used = take(c, plain, have, fn, arg);
	return keep(c, plain + used, have - used);
}

/* --- the way in, blocking --- */

static int handshake(struct derp_conn *c, SSL_CTX *tls)
{
	BIO *bio = BIO_new(bio_method());
	uint8_t buf[FIRST_ROOM];

	c->ssl = SSL_new(tls);
	if (!c->ssl || !bio)
		return -ENOMEM;
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(c->ssl, bio, bio);
	SSL_set_connect_state(c->ssl);
	for (;;) {
		int done = SSL_do_handshake(c->ssl), rc = derp_conn_flush(c);
		ssize_t n;

		/* Go's servers have sent session tickets by now. */
		if (rc || done == 1)
			return rc ? rc : open_records(c, 0) ? -EPROTO : 0;
		if (SSL_get_error(c->ssl, done) != SSL_ERROR_WANT_READ)
			return -EPROTO;
		n = recv(c->fd, buf, sizeof(buf), 0);
		if (n <= 0)
			return n ? -errno : -ECONNRESET;
		c->in = buf;
		c->in_len = (size_t)n;
	}
}

struct join {
	uint8_t server_key[DERP_KEY_BYTES];
	bool has_key, is_up;
};

static void on_join_frame(void *arg, struct derp_conn *c, uint8_t type, const uint8_t *body,
			  size_t len)
{
	struct join *j = arg;

	if (type == DERP_SERVER_KEY && !derp_server_key_get(body, len, j->server_key))
		j->has_key = true;
	else if (type == DERP_SERVER_INFO)
		j->is_up = true;
}

/* Upgrades, and gives on what came behind the answer. */
static int http(struct derp_conn *c, struct join *j)
{
	size_t have = 0, used;
	uint8_t *end = NULL;

	derp_conn_put(c, upgrade, sizeof(upgrade) - 1);
	while (!end) {
		int rc = derp_conn_flush(c);
		ssize_t n = rc ? rc : fill(c, have);

		if (n < 0)
			return (int)n;
		have += (size_t)n;
		end = memmem(plain, have, "\r\n\r\n", 4);
		if (!end && have > FIRST_ROOM)
			return -EMSGSIZE;
	}
	if (have < sizeof("HTTP/1.1 101") || memcmp(plain, "HTTP/1.1 101", 12) != 0)
		return -EPROTO;
	end += 4;
	have -= (size_t)(end - plain);
	used = take(c, end, have, on_join_frame, j);
	return keep(c, end + used, have - used);
}

static int say_who(struct derp_conn *c, const uint8_t server_key[DERP_KEY_BYTES])
{
	size_t body = DERP_KEY_BYTES + DERP_NONCE_BYTES + DERP_TAG_BYTES + sizeof(client_info) - 1;
	uint8_t frame[256], private[DERP_KEY_BYTES],
		*nonce = frame + DERP_HEADER_BYTES + DERP_KEY_BYTES;

	derp_header_put(frame, DERP_CLIENT_INFO, (uint32_t)body);
	crypto_box_keypair(c->key, private);
	memcpy(frame + DERP_HEADER_BYTES, c->key, DERP_KEY_BYTES);
	randombytes_buf(nonce, DERP_NONCE_BYTES);
	if (crypto_box_easy(nonce + DERP_NONCE_BYTES, (const uint8_t *)client_info,
			    sizeof(client_info) - 1, nonce, server_key, private))
		return -EPROTO;
	derp_conn_put(c, frame, DERP_HEADER_BYTES + body);
	return derp_conn_flush(c);
}

static int dial(const struct endpoint *to)
{
	struct timeval timeout = {.tv_sec = TIMEOUT_S};
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(to, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	/* Linux's default, whatever this machine prefers. */
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
	if (connect(fd, (struct sockaddr *)&ss, len)) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

int derp_conn_open(struct derp_conn *c, const struct endpoint *to, SSL_CTX *tls)
{
	struct join j = {0};
	int rc = dial(to);

	*c = (struct derp_conn){.fd = rc};
	if (rc < 0)
		return rc;
	rc = tls ? handshake(c, tls) : 0;
	if (!rc)
		rc = http(c, &j);
	while (!rc && !j.has_key)
		rc = derp_conn_read(c, on_join_frame, &j);
	if (!rc)
		rc = say_who(c, j.server_key);
	while (!rc && !j.is_up)
		rc = derp_conn_read(c, on_join_frame, &j);
	if (!rc && fcntl(c->fd, F_SETFL, O_NONBLOCK))
		rc = -errno;
	if (rc)
		derp_conn_close(c);
	return rc;
}

void derp_conn_close(struct derp_conn *c)
{
	SSL_free(c->ssl);
	if (c->fd >= 0)
		close(c->fd);
	free(c->rest);
	free(c->out);
	*c = (struct derp_conn){.fd = -1};
}
