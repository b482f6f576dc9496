/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/record.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

int record_open(struct record *r, int fd, SSL_CTX *ctx)
{
	*r = (struct record){.fd = fd};
	if (!ctx)
		return 0;
	r->ssl = SSL_new(ctx);
	if (!r->ssl || SSL_set_fd(r->ssl, fd) != 1) {
		record_close(r);
		return -ENOMEM;
	}
	SSL_set_accept_state(r->ssl);
	return 0;
}

void record_close(struct record *r)
{
	if (r->ssl) {
		/* A close notice if it fits; the answer is not waited for. */
		if (SSL_is_init_finished(r->ssl))
			SSL_shutdown(r->ssl);
		SSL_free(r->ssl);
		ERR_clear_error();
	}
	if (r->fd >= 0)
		close(r->fd);
	*r = (struct record){.fd = -1};
}

static int errno_of(struct record *r, int rc)
{
	int why = SSL_get_error(r->ssl, rc);

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	ERR_clear_error();
	return why == SSL_ERROR_ZERO_RETURN ? 0 : -EPROTO;
}

int record_accept(struct record *r)
{
	int rc;

	if (!r->ssl)
		return 0;
	rc = SSL_do_handshake(r->ssl);
	if (rc == 1)
		return 0;
	rc = errno_of(r, rc);
	return rc ? rc : -EPROTO;
}

ssize_t record_read(struct record *r, void *buf, size_t room)
{
	ssize_t n;

	if (r->ssl) {
		n = SSL_read(r->ssl, buf, (int)room);
		return n > 0 ? n : errno_of(r, (int)n);
	}
	n = recv(r->fd, buf, room, 0);
	return n >= 0 ? n : -errno;
}

ssize_t record_write(struct record *r, const void *buf, size_t len)
{
	ssize_t n;

	if (r->ssl) {
		n = SSL_write(r->ssl, buf, (int)len);
		if (n > 0)
			return n;
		n = errno_of(r, (int)n);
		return n ? n : -EPIPE;
	}
	n = send(r->fd, buf, len, MSG_NOSIGNAL);
	return n >= 0 ? n : -errno;
}
