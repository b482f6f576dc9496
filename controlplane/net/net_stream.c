/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/net/net_stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/net/net_tls.h"
#include "lib/base/log.h"

#define READ_BYTES  65536
#define WHY_MAX	    160
#define KEEPALIVE_S 30
#define GENTLE_MS   5000
#define HANDLES	    2 /* tcp and timer */

enum state { RESOLVING, CONNECTING, HANDSHAKING, OPEN, CLOSING };

struct net_stream {
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_getaddrinfo_t resolve;
	uv_connect_t connect;
	uv_shutdown_t shutdown;
	uv_loop_t *loop;
	enum state state;
	bool is_resolving, is_tcp_there; /* handles that must be closed or waited for */
	bool is_paused, is_told;
	const struct net_stream_events *ev;
	void *arg;
	char host[NET_HOST_MAX];
	unsigned cut_s, unsent_max;
	struct addrinfo *addresses, *address; /* the one that is tried */
	int last_error;
	SSL *ssl;
	BIO *from_net, *to_net; /* the ssl's */
	unsigned writes;	/* under way */
	unsigned handles;	/* to be closed before it can be freed */
};

struct write {
	uv_write_t req;
	struct net_stream *s;
	char data[];
};

static uint32_t socket_mark;

static void connect_next(struct net_stream *s);

static void free_if_idle(struct net_stream *s)
{
	if (s->handles || s->is_resolving || s->writes)
		return;
	if (s->addresses)
		uv_freeaddrinfo(s->addresses);
	SSL_free(s->ssl);
	free(s);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct net_stream *s = h->data;

	s->handles--;
	free_if_idle(s);
}

/* Everything that can call back is ended; the rest happens in on_handle_closed. */
static void end(struct net_stream *s)
{
	s->state = CLOSING;
	s->is_told = true;
	if (s->is_resolving)
		uv_cancel((uv_req_t *)&s->resolve);
	if (!uv_is_closing((uv_handle_t *)&s->timer))
		uv_close((uv_handle_t *)&s->timer, on_handle_closed);
	if (s->is_tcp_there && !uv_is_closing((uv_handle_t *)&s->tcp))
		uv_close((uv_handle_t *)&s->tcp, on_handle_closed);
}

static void fail(struct net_stream *s, int err, const char *why)
{
	const struct net_stream_events *ev = s->ev;
	void *arg = s->arg;
	bool is_told = s->is_told;
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s", why);
	end(s);
	if (!is_told)
		ev->on_close(arg, err, text);
}

static void on_written(uv_write_t *req, int status)
{
	struct write *w = (struct write *)req;
	struct net_stream *s = w->s;

	free(w);
	s->writes--;
	if (s->state == CLOSING) {
		free_if_idle(s);
		return;
	}
	if (status < 0) {
		fail(s, status, uv_strerror(status));
		return;
	}
	if (!s->writes && s->state == OPEN && !s->is_told && s->ev->on_drain)
		s->ev->on_drain(s->arg);
}

static int send_raw(struct net_stream *s, const void *data, size_t len)
{
	struct write *w = malloc(sizeof(*w) + len);
	uv_buf_t buf;
	int rc;

	if (!w)
		return -ENOMEM;
	w->s = s;
	memcpy(w->data, data, len);
	buf = uv_buf_init(w->data, (unsigned)len);
	rc = uv_write(&w->req, (uv_stream_t *)&s->tcp, &buf, 1, on_written);
	if (rc) {
		free(w);
		return rc;
	}
	s->writes++;
	return 0;
}

/* What OpenSSL has for the other side. */
static int flush(struct net_stream *s)
{
	char *data;
	long n = BIO_get_mem_data(s->to_net, &data);
	int rc = n > 0 ? send_raw(s, data, (size_t)n) : 0;

	(void)BIO_reset(s->to_net);
	return rc;
}

static void opened(struct net_stream *s)
{
	s->state = OPEN;
	uv_timer_stop(&s->timer);
	s->ev->on_open(s->arg);
}

static void tls_failed(struct net_stream *s)
{
	long verify = SSL_get_verify_result(s->ssl);
	char why[WHY_MAX], reason[96];

	net_tls_error(reason, sizeof(reason));
	if (verify != X509_V_OK)
		snprintf(why, sizeof(why), "TLS: certificate of %.60s: %s", s->host,
			 X509_verify_cert_error_string(verify));
	else
		snprintf(why, sizeof(why), "TLS: %s", reason);
	flush(s); /* the alert */
	fail(s, -EPROTO, why);
}

/* False: the stream is gone, or waits for bytes. */
static bool handshake(struct net_stream *s)
{
	int rc = SSL_do_handshake(s->ssl), error = SSL_get_error(s->ssl, rc);

	if (rc != 1 && error != SSL_ERROR_WANT_READ) {
		tls_failed(s);
		return false;
	}
	flush(s);
	if (rc != 1)
		return false;
	opened(s);
	return true;
}

/*
 * on_data may close the stream: the memory stays until the loop has closed its
 * handles, so that the state can be asked.
 */
static void decrypt(struct net_stream *s, uint8_t *room, size_t size)
{
	while (s->state == OPEN && !s->is_told) {
		int n = SSL_read(s->ssl, room, (int)size), error = SSL_get_error(s->ssl, n);

		if (n > 0) {
			s->ev->on_data(s->arg, room, (size_t)n);
			continue;
		}
		if (error == SSL_ERROR_ZERO_RETURN)
			fail(s, 0, "closed by the other side");
		else if (error != SSL_ERROR_WANT_READ)
			tls_failed(s);
		else
			flush(s); /* what a key update answers */
		return;
	}
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct net_stream *s = stream->data;

	if (s->state == CLOSING || n == 0)
		return;
	if (n < 0) {
		if (n == UV_EOF && s->state == HANDSHAKING)
			fail(s, -ECONNRESET, "closed during the TLS handshake");
		else
			fail(s, n == UV_EOF ? 0 : (int)n,
			     n == UV_EOF ? "closed by the other side" : uv_strerror((int)n));
		return;
	}
	if (!s->ssl) {
		s->ev->on_data(s->arg, (uint8_t *)buf->base, (size_t)n);
		return;
	}
	if (BIO_write(s->from_net, buf->base, (int)n) != n) {
		fail(s, -ENOMEM, "no memory");
		return;
	}
	if (s->state == HANDSHAKING && !handshake(s))
		return;
	decrypt(s, (uint8_t *)buf->base, READ_BYTES);
}

/* One buffer a thread: nothing that came is kept beyond the call. */
static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
	static __thread char room[READ_BYTES];

	*buf = uv_buf_init(room, sizeof(room));
}

/*
 * Whether data waits for an acknowledgement (TCP_USER_TIMEOUT) or nothing is said at
 * all (keepalive probes: the kernel's, they cost no wake-up here), a cut link is
 * noticed after cut_s.
 */
static void set_options(struct net_stream *s)
{
	unsigned ms = s->cut_s * 1000;
	/* Probes after six tenths of the time, then until it is over: not more often than needed.
	 */
	int idle = (int)(s->cut_s * 6 / 10), interval = (int)(s->cut_s * 2 / 10), count = 3;
	uv_os_fd_t fd;

	uv_tcp_nodelay(&s->tcp, 1);
	uv_tcp_keepalive(&s->tcp, 1, idle ? (unsigned)idle : KEEPALIVE_S);
	if (uv_fileno((uv_handle_t *)&s->tcp, &fd))
		return;
	if (s->unsent_max)
		setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &s->unsent_max,
			   sizeof(s->unsent_max));
	if (!interval)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void connected(struct net_stream *s)
{
	int rc;

	set_options(s);
	rc = uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
	if (rc) {
		fail(s, rc, uv_strerror(rc));
		return;
	}
	if (!s->ssl) {
		opened(s);
		return;
	}
	s->state = HANDSHAKING;
	handshake(s);
}

static void on_connected(uv_connect_t *req, int status)
{
	struct net_stream *s = req->data;

	if (s->state == CLOSING)
		return;
	if (status == 0) {
		connected(s);
		return;
	}
	s->last_error = status;
	s->address = s->address->ai_next;
	connect_next(s);
}

static void on_tcp_closed(uv_handle_t *h)
{
	struct net_stream *s = h->data;

	s->handles--;
	s->is_tcp_there = false;
	if (s->state == CLOSING)
		free_if_idle(s);
	else
		connect_next(s);
}

void net_stream_set_mark(uint32_t mark)
{
	socket_mark = mark;
}

/* A new socket of the address's family, marked. Without the right to, it goes unmarked. */
static int new_socket(struct net_stream *s)
{
	int rc = uv_tcp_init_ex(s->loop, &s->tcp, (unsigned)s->address->ai_family), fd;

	if (!rc && socket_mark && uv_fileno((uv_handle_t *)&s->tcp, &fd) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_MARK, &socket_mark, sizeof(socket_mark)))
		log_debug("net.mark", "error=\"%s\"", strerror(errno));
	return rc;
}

/* A socket that failed to connect is of no use for the next address. */
static void connect_next(struct net_stream *s)
{
	char why[WHY_MAX];
	int rc;

	if (s->is_tcp_there) {
		uv_close((uv_handle_t *)&s->tcp, on_tcp_closed);
		return;
	}
	if (!s->address) {
		snprintf(why, sizeof(why), "cannot connect to %.80s: %s", s->host,
			 uv_strerror(s->last_error));
		fail(s, s->last_error, why);
		return;
	}
	rc = new_socket(s);
	if (rc) {
		s->last_error = rc;
		s->address = s->address->ai_next;
		connect_next(s);
		return;
	}
	s->tcp.data = s;
	s->is_tcp_there = true;
	s->handles++;
	s->connect.data = s;
	s->state = CONNECTING;
	rc = uv_tcp_connect(&s->connect, &s->tcp, s->address->ai_addr, on_connected);
	if (rc) {
		s->last_error = rc;
		s->address = s->address->ai_next;
		connect_next(s);
	}
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct net_stream *s = req->data;
	char why[WHY_MAX];

	s->is_resolving = false;
	s->addresses = s->address = found;
	if (s->state == CLOSING) {
		free_if_idle(s);
		return;
	}
	if (status < 0) {
		snprintf(why, sizeof(why), "cannot resolve %.80s: %s", s->host,
			 uv_strerror(status));
		fail(s, status, why);
		return;
	}
	s->last_error = UV_EADDRNOTAVAIL;
	connect_next(s);
}

static void on_timeout(uv_timer_t *t)
{
	struct net_stream *s = t->data;

	fail(s, -ETIMEDOUT,
	     s->state == HANDSHAKING ? "TLS handshake timed out" : "connecting timed out");
}

static struct net_stream *create(uv_loop_t *loop, const struct net_stream_events *ev, void *arg,
				 uint64_t timeout_ms)
{
	struct net_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->loop = loop;
	s->ev = ev;
	s->arg = arg;
	uv_timer_init(loop, &s->timer);
	s->timer.data = s;
	s->handles = 1;
	uv_timer_start(&s->timer, on_timeout, timeout_ms, 0);
	return s;
}

/* Memory BIOs between OpenSSL and the loop. ssl NULL: there was no memory for it. */
static int add_tls(struct net_stream *s, SSL *ssl, bool is_client)
{
	s->ssl = ssl;
	s->from_net = s->ssl ? BIO_new(BIO_s_mem()) : NULL;
	s->to_net = s->from_net ? BIO_new(BIO_s_mem()) : NULL;
	if (!s->to_net) {
		BIO_free(s->from_net);
		return -ENOMEM;
	}
	SSL_set_bio(s->ssl, s->from_net, s->to_net);
	if (is_client)
		SSL_set_connect_state(s->ssl);
	else
		SSL_set_accept_state(s->ssl);
	return 0;
}

/* The name that the certificate must have, and that the server is told. */
static void name_the_server(struct net_stream *s, bool is_unverified)
{
	struct ip_addr a;

	if (is_unverified)
		SSL_set_verify(s->ssl, SSL_VERIFY_NONE, NULL);
	if (addr_parse(s->host, &a) == 0) {
		X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), s->host);
		return;
	}
	SSL_set_tlsext_host_name(s->ssl, s->host);
	SSL_set1_host(s->ssl, s->host);
}

int net_stream_dial(uv_loop_t *loop, const struct net_dial *d, const struct net_stream_events *ev,
		    void *arg, struct net_stream **out)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG, .ai_family = d->family};
	struct net_stream *s = create(loop, ev, arg, d->timeout_ms);
	struct ip_addr literal;
	char port[8];
	int rc;

	if (!s)
		return -ENOMEM;
	snprintf(s->host, sizeof(s->host), "%s", d->host);
	s->cut_s = d->cut_s;
	s->unsent_max = d->unsent_max;
	/* AI_ADDRCONFIG knows no loopback. */
	if (addr_parse(d->host, &literal) == 0)
		hints.ai_flags = AI_NUMERICHOST;
	if (strcmp(d->host, "localhost") == 0)
		hints.ai_flags = 0;
	rc = d->tls ? add_tls(s, SSL_new(d->tls), true) : 0;
	if (!rc && d->tls)
		name_the_server(s, d->is_unverified);
	if (!rc) {
		snprintf(port, sizeof(port), "%u", d->port);
		s->resolve.data = s;
		rc = uv_getaddrinfo(loop, &s->resolve, on_resolved, s->host, port, &hints);
		s->is_resolving = rc == 0;
	}
	if (rc) {
		end(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

int net_stream_accept(uv_stream_t *listener, SSL_CTX *tls, uint64_t timeout_ms, unsigned cut_s,
		      const struct net_stream_events *ev, void *arg, struct net_stream **out)
{
	struct net_stream *s = create(listener->loop, ev, arg, timeout_ms);
	int rc;

	if (!s)
		return -ENOMEM;
	s->cut_s = cut_s;
	uv_tcp_init(s->loop, &s->tcp);
	s->tcp.data = s;
	s->is_tcp_there = true;
	s->handles++;
	rc = uv_accept(listener, (uv_stream_t *)&s->tcp);
	if (!rc && tls)
		rc = add_tls(s, SSL_new(tls), false);
	if (rc) {
		end(s);
		return rc;
	}
	*out = s;
	connected(s);
	return 0;
}

int net_stream_start_tls(struct net_stream *s, SSL *ssl, uint64_t timeout_ms)
{
	int rc = s->state == OPEN && !s->ssl && !s->is_told ? 0 : -ENOTCONN;

	if (rc) {
		SSL_free(ssl);
		return rc;
	}
	rc = add_tls(s, ssl, true);
	if (rc)
		return rc;
	s->state = HANDSHAKING;
	uv_timer_start(&s->timer, on_timeout, timeout_ms, 0);
	handshake(s);
	return 0;
}

SSL *net_stream_tls(const struct net_stream *s)
{
	return s->ssl;
}

void net_stream_set_events(struct net_stream *s, const struct net_stream_events *ev, void *arg)
{
	s->ev = ev;
	s->arg = arg;
}

int net_stream_write(struct net_stream *s, const void *data, size_t len)
{
	if (s->state != OPEN)
		return -ENOTCONN;
	if (!len)
		return 0;
	if (!s->ssl)
		return send_raw(s, data, len);
	if (SSL_write(s->ssl, data, (int)len) != (int)len) {
		ERR_clear_error();
		return -ENOMEM;
	}
	return flush(s);
}

size_t net_stream_queued(const struct net_stream *s)
{
	return s->is_tcp_there ? uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp) : 0;
}

void net_stream_pause(struct net_stream *s, bool pause)
{
	if (s->is_paused == pause || s->state != OPEN)
		return;
	s->is_paused = pause;
	if (pause)
		uv_read_stop((uv_stream_t *)&s->tcp);
	else
		uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
}

void net_stream_remote(const struct net_stream *s, struct endpoint *out)
{
	struct sockaddr_storage ss;
	int len = sizeof(ss);

	*out = (struct endpoint){0};
	if (s->is_tcp_there && uv_tcp_getpeername(&s->tcp, (struct sockaddr *)&ss, &len) == 0)
		endpoint_from_sockaddr((struct sockaddr *)&ss, (socklen_t)len, out);
}

static void on_gentle_end(uv_shutdown_t *req, int status)
{
	struct net_stream *s = req->data;

	if (s->state != CLOSING)
		end(s);
}

static void on_gentle_timeout(uv_timer_t *t)
{
	end(t->data);
}

void net_stream_close(struct net_stream *s, bool is_gentle)
{
	if (!s || s->state == CLOSING)
		return;
	s->is_told = true;
	if (!is_gentle || s->state != OPEN) {
		end(s);
		return;
	}
	if (s->ssl) {
		SSL_shutdown(s->ssl);
		ERR_clear_error();
		flush(s);
	}
	uv_read_stop((uv_stream_t *)&s->tcp);
	s->shutdown.data = s;
	uv_timer_start(&s->timer, on_gentle_timeout, GENTLE_MS, 0);
	if (uv_shutdown(&s->shutdown, (uv_stream_t *)&s->tcp, on_gentle_end))
		end(s);
}
