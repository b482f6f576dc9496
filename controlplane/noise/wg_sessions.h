/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of one peer as the control side knows them: which is used to send
 * (current), which only to receive (previous), and which waits for the peer's
 * first packet (next). Keys are not here: they went to the dataplane. Owned by
 * struct wg_peer, same thread.
 *
 *               we initiated: response consumed
 *                          |
 *   previous  <--------  current  <--------  next  <---- we responded: initiation
 *   (receive)  displaced  (send)   confirmed  (receive)   consumed; a second one
 *       |                                       |         drops the first
 *    dropped                                 dropped
 *
 * One session:
 *
 *             installed   acknowledged           first packet opened
 *     NONE -------> INSTALLING ----> UNCONFIRMED ----------> CONFIRMED ---> NONE
 *                       |  (responder)                        ^  older than 180 s,
 *                       +-------------------------------------+  displaced, gone
 *                          acknowledged (initiator)
 *
 * Two deliberate differences from a single-slot reading of the protocol, both for
 * handshakes that cross:
 *   - Our next survives our own response's arrival, so that whichever of the two
 *     sessions the peer sends on can be opened.
 *   - When two such sessions exist, both sides must come to send on the same one,
 *     else the two renew themselves side by side for ever. The session begun by
 *     the side with the lower public key wins: the other side, installing its own,
 *     dates it 1 ns before the winner. And a confirmed session becomes the sending
 *     one only if it is the younger; the dataplane applies the same rule.
 */
#ifndef CONTROLPLANE_NOISE_WG_SESSIONS_H
#define CONTROLPLANE_NOISE_WG_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

enum wg_session_state {
	WG_SESSION_NONE,
	WG_SESSION_INSTALLING,
	WG_SESSION_UNCONFIRMED,
	WG_SESSION_CONFIRMED,
};

struct wg_session {
	enum wg_session_state state;
	uint32_t local_index;
	uint32_t remote_index;
	uint64_t born_ns; /* when its keys were derived */
	bool is_initiator;
};

struct wg_sessions {
	struct wg_session previous;
	struct wg_session current;
	struct wg_session next;
};

/* Sessions that an operation displaced; the caller has them deleted. */
struct wg_sessions_dropped {
	uint32_t count;
	uint32_t local_index[4];
};

/* is_winner: our public key is the lower one. Returns the session, in its place. */
const struct wg_session *wg_sessions_add(struct wg_sessions *s, struct wg_session fresh,
					 bool is_winner, struct wg_sessions_dropped *dropped);
/* All by local index; NULL: not known (any more). */
struct wg_session *wg_sessions_find(struct wg_sessions *s, uint32_t local_index);
/* The first packet of next was opened: it changes places. */
void wg_sessions_confirm(struct wg_sessions *s, struct wg_sessions_dropped *dropped);
/* Takes in a session that the dataplane already has; the order does not matter. */
void wg_sessions_adopt(struct wg_sessions *s, struct wg_session session,
		       struct wg_sessions_dropped *dropped);
/* Drops what is older than REJECT_AFTER_TIME. */
void wg_sessions_expire(struct wg_sessions *s, uint64_t now_ns,
			struct wg_sessions_dropped *dropped);
/* When the next one expires; UINT64_MAX: there is none. */
uint64_t wg_sessions_expiry(const struct wg_sessions *s);
void wg_sessions_clear(struct wg_sessions *s, struct wg_sessions_dropped *dropped);

#endif
