/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay and its workers. A worker is one thread with its own listening sockets
 * (SO_REUSEPORT), its own connections and its own copy of the directory. A turn of it:
 *
 *   wait -> read letters of other workers -> read clients, at most RECORD_IN_BYTES each
 *        -> frames into the receivers' queues, or into letters -> post the letters and
 *        wake their readers -> write all receivers that got something
 *
 * So a receiver costs one write a turn however many frames came, and no client keeps
 * another from being read or written. Nothing of a worker is touched by another thread
 * but its mailboxes and, to read, its counters.
 */
#ifndef CONTROLPLANE_DERP_WORKER_H
#define CONTROLPLANE_DERP_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "controlplane/derp/admission.h"
#include "controlplane/derp/directory.h"
#include "controlplane/derp/identity.h"
#include "controlplane/derp/mailbox.h"
#include "controlplane/derp/pause.h"
#include "controlplane/derp/queue.h"
#include "controlplane/derp/record.h"

#define WORKERS_MAX	64
#define LISTENS_MAX	4
#define FRAME_BYTES_MAX (DERP_HEADER_BYTES + 2 * DERP_KEY_BYTES + DERP_PACKET_MAX)
#define SCRATCH_BYTES	(FRAME_BYTES_MAX + RECORD_READ_MAX)
#define FLOW_BUCKETS	16384
/* Of the number of a connection: worker 8 | serial 32 | slot 24 */
#define SLOT_BITS 24
#define SLOT_MASK ((1u << SLOT_BITS) - 1)

#define RELAY_COUNTERS(X)                                                                          \
	X(accepted, "connections accepted")                                                        \
	X(refused, "connections refused: too many")                                                \
	X(timed_out, "connections cut: too slow")                                                  \
	X(bad_input, "connections cut: not what the protocol allows")                              \
	X(not_admitted, "clients that the coordinator did not admit")                              \
	X(joined, "clients that completed the handshake")                                          \
	X(received, "packets from clients")                                                        \
	X(received_bytes, "bytes of them")                                                         \
	X(sent, "packets queued to clients")                                                       \
	X(handed_over, "packets passed to another worker")                                         \
	X(drop_unknown, "packets dropped: nobody with this key")                                   \
	X(drop_queue, "packets dropped: the receiver's queue was full")                            \
	X(drop_age, "packets dropped: too old")                                                    \
	X(drop_memory, "packets dropped: no memory")                                               \
	X(drop_mailbox, "packets dropped: another worker was too slow")                            \
	X(drop_gone, "packets dropped: the receiver left meanwhile")

struct counters {
#define X(name, help) _Atomic uint64_t name;
	RELAY_COUNTERS(X)
#undef X
};

/* Of one writer; readers see it later. */
#define COUNT(w, name, n)                                                                          \
	atomic_store_explicit(&(w)->counters.name,                                                 \
			      atomic_load_explicit(&(w)->counters.name, memory_order_relaxed) +    \
				      (n),                                                         \
			      memory_order_relaxed)

struct relay_limits {
	unsigned max_clients;
	size_t queue_bytes;	 /* a client, without disco */
	uint64_t queue_age_ns;	 /* older packets are dropped */
	uint64_t client_rate;	 /* bytes a second that a client may send, 0 = any */
	uint64_t client_burst;	 /* bytes */
	unsigned receive_window; /* SO_RCVBUF, bytes, 0 = the kernel's choice */
};

struct relay {
	struct identity identity;
	const struct key *mesh_key; /* NULL: none */
	struct relay_limits limits;
	struct admission *admission; /* NULL: everybody is let in */
	pthread_mutex_t tls_lock;    /* over tls, at accept and reload only */
	SSL_CTX *tls;		     /* NULL: in the clear */
	struct worker *workers;
	unsigned worker_count;
	uint64_t started_ns;
	_Atomic uint64_t turn;	       /* see directory.h */
	_Atomic uint32_t clients;      /* connections, all workers */
	_Atomic uint32_t most_clients; /* since memory was trimmed, about */
	_Atomic bool stop;
};

struct outbox {
	struct letter *open;	     /* this turn's */
	struct letter *first, *last; /* could not be put yet */
	unsigned waiting;
};

struct worker {
	struct relay *relay;
	unsigned index;
	pthread_t thread;
	int epoll_fd, event_fd;
	int listens[LISTENS_MAX];
	unsigned listen_count;
	uint64_t now_ns, next_sweep_ns;
	uint64_t done_ns; /* when the last turn ended */
	struct pause pause;
	uint64_t reads; /* that brought frames, since the start */
	struct directory directory;
	struct queue_pool pool;
	struct flow **flows;   /* FLOW_BUCKETS */
	struct client **slots; /* NULL: free */
	uint32_t *free_slots;
	uint32_t slot_count, slot_room, free_count;
	uint32_t serial;
	struct client *dirty;	   /* have something to write, linked by next_dirty */
	struct client *ready;	   /* may have more to read, linked by next_ready */
	struct client *dead;	   /* freed at the end of the turn */
	unsigned watchers;	   /* mesh peers that watch */
	struct outbox *outboxes;   /* one a worker */
	struct mailbox *mailboxes; /* one a worker: letters to this one */
	/* Of the admission; it adds, the worker takes all. */
	_Atomic(struct admission_answer *) answers;
	struct counters counters;
	struct record_io *io;
	uint8_t *scratch; /* SCRATCH_BYTES */
};

struct admission_answer {
	struct admission_answer *next;
	uint64_t id; /* of the connection */
	bool is_allowed;
};

/* What goes in letters: this, then len bytes. */
enum message_type { MESSAGE_JOIN, MESSAGE_LEAVE, MESSAGE_ACTIVATE, MESSAGE_PACKET, MESSAGE_CLOSE };

struct message {
	uint32_t type;
	uint32_t len;
	uint64_t id; /* of the connection that it is about, or to */
	uint64_t turn;
	uint8_t key[DERP_KEY_BYTES]; /* of the client, or of the packet's source */
};

/* Sets everything up and starts the threads. 0, or a negative errno. */
int relay_start(struct relay *r, const struct endpoint *listens, unsigned listen_count,
		unsigned workers);
/* Tells the clients, ends the threads and the admission, and frees what they had. */
void relay_stop(struct relay *r);
/* The sum over all workers of one counter, by its offset in struct counters. */
uint64_t relay_counter(const struct relay *r, size_t offset);

/* Of struct admission_config; arg is the relay. */
void relay_on_answer(void *arg, uint64_t id, bool is_allowed);
/* NULL: it is gone. */
struct client *worker_client(const struct worker *w, uint64_t id);

/* Adds a message to a letter for one worker; false: a packet that was dropped. */
bool worker_post(struct worker *w, unsigned to, const struct message *m, const void *data);
/* The same to all others. */
void worker_tell(struct worker *w, const struct message *m, const void *data);
/* Posts what was written in this turn; true if something still waits. */
bool letters_post(struct worker *w);
void letters_read(struct worker *w);
void answers_read(struct worker *w);

/* listen.c: a socket, or a negative errno. */
int listen_on(const struct endpoint *e, const struct relay_limits *limits);
/* Takes in who waits. */
void listen_accept(struct worker *w, int listen_fd);

#endif
