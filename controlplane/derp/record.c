/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/record.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- OpenSSL's side: it reads io.in and writes io.out --- */

static int bio_read(BIO *b, char *buf, int room)
{
	struct record_io *io = ((struct record *)BIO_get_data(b))->io;
	size_t n = io->in_len - io->in_at;

	BIO_clear_retry_flags(b);
	if (!n) {
		BIO_set_retry_read(b);
		return -1;
	}
	if (n > (size_t)room)
		n = (size_t)room;
	memcpy(buf, io->in + io->in_at, n);
	io->in_at += n;
	return (int)n;
}

static int bio_write(BIO *b, const char *buf, int len)
{
	struct record_io *io = ((struct record *)BIO_get_data(b))->io;

	BIO_clear_retry_flags(b);
	if ((size_t)len > RECORD_OUT_BYTES - io->out_len)
		return -1;
	memcpy(io->out + io->out_len, buf, (size_t)len);
	io->out_len += (size_t)len;
	return len;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

/* Once for the process; it stays. */
static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "record_io");
	if (!method)
		return;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
}

int record_open(struct record *r, int fd, SSL_CTX *ctx, struct record_io *io)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	*r = (struct record){.fd = fd, .io = io};
	if (!ctx)
		return 0;
	pthread_once(&once, make_method);
	bio = method ? BIO_new(method) : NULL;
	r->ssl = bio ? SSL_new(ctx) : NULL;
	if (!r->ssl) {
		BIO_free(bio);
		record_close(r);
		return -ENOMEM;
	}
	BIO_set_data(bio, r);
	BIO_set_init(bio, 1);
	SSL_set_bio(r->ssl, bio, bio);
	/* It takes 16 KiB at a time out of io.in, not a header and then a body. */
	SSL_set_read_ahead(r->ssl, 1);
	SSL_set_accept_state(r->ssl);
	return 0;
}

void record_close(struct record *r)
{
	r->io->in_at = r->io->in_len = r->io->out_len = 0;
	if (r->ssl) {
		/* A close notice if it fits; the answer is not waited for. */
		if (SSL_is_init_finished(r->ssl)) {
			SSL_shutdown(r->ssl);
			record_flush(r);
		}
		r->io->out_len = 0;
		SSL_free(r->ssl);
		ERR_clear_error();
	}
	if (r->fd >= 0)
		close(r->fd);
	free(r->rest);
	*r = (struct record){.fd = -1, .io = r->io};
}

static int errno_of(struct record *r, int rc)
{
	int why = SSL_get_error(r->ssl, rc);

	if (why == SSL_ERROR_WANT_READ)
		return -EAGAIN;
	ERR_clear_error();
	return why == SSL_ERROR_ZERO_RETURN ? 0 : -EPROTO;
}

/* --- the socket's side --- */

/* Bytes, -EAGAIN, 0 at the end of the stream, or a negative errno. */
static ssize_t receive(struct record *r, void *buf)
{
	ssize_t n = recv(r->fd, buf, RECORD_IN_BYTES, 0);

	/* No event will tell of an end that stands behind what was just taken. */
	r->is_drained = n <= 0 || (n < RECORD_IN_BYTES && !r->sees_end);
	return n >= 0 ? n : -errno;
}

/* io.in is empty before and holds what came behind it. */
static ssize_t fill(struct record *r)
{
	ssize_t n = receive(r, r->io->in);

	r->io->in_at = 0;
	r->io->in_len = n > 0 ? (size_t)n : 0;
	return n;
}

/* Bytes of data that did not go, or a negative errno. */
static ssize_t send_some(struct record *r, const uint8_t *data, size_t len)
{
	ssize_t n = len ? send(r->fd, data, len, MSG_NOSIGNAL) : 0;

	if (n < 0 && errno != EAGAIN)
		return -errno;
	return (ssize_t)len - (n > 0 ? n : 0);
}

/* Keeps the last left bytes of what was to be sent for later. */
static int keep_rest(struct record *r, const uint8_t *end, size_t left)
{
	size_t have = r->rest_len - r->rest_at;
	uint8_t *fresh = malloc(have + left);

	if (!fresh)
		return -ENOMEM;
	if (have)
		memcpy(fresh, r->rest + r->rest_at, have);
	memcpy(fresh + have, end - left, left);
	free(r->rest);
	r->rest = fresh;
	r->rest_at = 0;
	r->rest_len = have + left;
	return 0;
}

ssize_t record_flush(struct record *r)
{
	struct record_io *io = r->io;
	ssize_t left = 0;

	if (r->rest) {
		left = send_some(r, r->rest + r->rest_at, r->rest_len - r->rest_at);
		if (left < 0)
			return left;
		r->rest_at = r->rest_len - (size_t)left;
		if (!left) {
			free(r->rest);
			r->rest = NULL;
			r->rest_at = r->rest_len = 0;
		}
	}
	if (io->out_len) {
		uint8_t *end = io->out + io->out_len;
		ssize_t more = left ? (ssize_t)io->out_len : send_some(r, io->out, io->out_len);

		io->out_len = 0;
		if (more < 0 || (more && keep_rest(r, end, (size_t)more)))
			return more < 0 ? more : -ENOMEM;
		left += more;
	}
	return left;
}

/* --- a client's side --- */

int record_accept(struct record *r)
{
	ssize_t n;
	int rc;

	if (!r->ssl)
		return 0;
	n = fill(r);
	if (n <= 0)
		return n ? (int)n : -EPROTO;
	rc = SSL_do_handshake(r->ssl);
	r->is_fresh = rc == 1;
	rc = rc == 1 ? 0 : errno_of(r, rc) == -EAGAIN ? -EAGAIN : -EPROTO;
	/* An alert says why it failed. */
	if (record_flush(r) < 0)
		return -EPROTO;
	return rc;
}

ssize_t record_read(struct record *r, void *buf)
{
	struct record_io *io = r->io;
	size_t got = 0;
	ssize_t n;

	if (!r->ssl)
		return receive(r, buf);
	if (r->has_ended)
		return r->end;
	n = r->is_fresh ? 1 : fill(r);
	r->is_fresh = false;
	while (n > 0 && got < RECORD_READ_MAX) {
		n = SSL_read(r->ssl, (uint8_t *)buf + got, (int)(RECORD_READ_MAX - got));
		if (n > 0)
			got += (size_t)n;
		else
			n = errno_of(r, (int)n);
	}
	io->in_at = io->in_len = 0;
	/* A key update is answered. */
	if (io->out_len && record_flush(r) < 0)
		return -EPIPE;
	if (got && n != -EAGAIN && n <= 0) {
		r->has_ended = true;
		r->end = (int)n;
		r->is_drained = false;
	}
	return got ? (ssize_t)got : n;
}

bool record_takes(const struct record *r)
{
	return !r->rest && r->io->out_len < RECORD_GATHER_MAX;
}

int record_write(struct record *r, const void *buf, size_t len)
{
	struct record_io *io = r->io;

	if (r->ssl)
		return SSL_write(r->ssl, buf, (int)len) == (int)len ? 0 : -EPIPE;
	memcpy(io->out + io->out_len, buf, len);
	io->out_len += len;
	return 0;
}

void record_keep(struct record *r, bool is_busy)
{
	if (r->keeps == is_busy || !r->ssl)
		return;
	r->keeps = is_busy;
	if (is_busy) {
		SSL_clear_mode(r->ssl, SSL_MODE_RELEASE_BUFFERS);
	} else {
		SSL_set_mode(r->ssl, SSL_MODE_RELEASE_BUFFERS);
		SSL_free_buffers(r->ssl);
	}
}
