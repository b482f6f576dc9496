/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and sending dpapi messages: the length rule of dpapi.h in one place.
 */
#ifndef LIB_DPAPI_DPAPI_MSG_H
#define LIB_DPAPI_DPAPI_MSG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/dpapi/dpapi.h"

#define DPAPI_FDS_MAX 64

/* "PEER_SET", or "UNKNOWN". */
const char *dpapi_type_name(uint16_t type);
/* sizeof the struct of this type in this program, 0 = unknown type. */
size_t dpapi_type_size(uint16_t type);
/*
 * Does a body follow the struct (RULES, SHOW_REPLY)? It is the end of the message,
 * as many bytes as the struct's last length field says (piece_bytes, text_bytes);
 * the length rule is for what stands before it.
 */
int dpapi_type_has_body(uint16_t type);

/*
 * Copies a received packet into out (out_size >= the type's size), zero-filled
 * if it is shorter. For types with a body only the struct is copied and the body
 * is data + *body_off up to len.
 * 0; -EBADMSG (shorter than a header or its body, or hdr.len != len), -ENOTSUP (unknown
 * type), -E2BIG (surplus that is not zero). errbuf (may be NULL) gets a sentence
 * with the message's name.
 */
int dpapi_msg_decode(const void *data, size_t len, void *out, size_t out_size, size_t *body_off,
		     char *errbuf, size_t errbuf_len);

/*
 * Sends one message on a non-blocking SOCK_SEQPACKET socket. msg begins with a
 * struct dpapi_hdr whose type is set; len is put into it here. fds may be NULL.
 * 0, or a negative errno (-EAGAIN: the queue is full, nothing was sent).
 */
int dpapi_msg_send(int fd, void *msg, size_t len, const int *fds, unsigned nfds);

/*
 * Receives one message into buf (DPAPI_MSG_MAX bytes). Received descriptors are
 * close-on-exec and go to fds (up to *nfds; surplus ones are closed).
 * Bytes received, 0 = closed by the other end, or a negative errno.
 */
ssize_t dpapi_msg_recv(int fd, void *buf, size_t buf_len, int *fds, unsigned *nfds);

#endif
