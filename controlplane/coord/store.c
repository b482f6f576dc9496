/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "controlplane/coord/store_backend.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"

/* One transaction; more only makes the first of them wait. */
#define BATCH_MAX 512
/* How soon another process's commit is seen. Looking costs some 10 us. */
#define LOOK_NS (100 * NS_PER_MS)

struct item {
	struct item *next;
	struct store_op *op; /* else a change */
	struct store_change change;
};

struct list {
	struct item *first, **last;
};

struct store {
	uv_async_t wake;
	uv_thread_t thread;
	struct store_backend *backend;
	struct store_events ev;
	void *arg;

	uv_mutex_t lock; /* guards what follows */
	uv_cond_t cond;
	struct store_op *queue, **queue_last;
	struct list out; /* to the loop */
	struct store_counts counts;
	bool is_ready, is_closing, is_ended;
	int failed;

	/* The store thread's. */
	struct list batch_out;
	uint64_t number;

	/* The loop's. */
	bool told_ready, told_failed;
};

struct store_op *store_op_new(enum store_op_kind kind, int64_t now_ns, const char *actor)
{
	struct store_op *op = calloc(1, sizeof(*op));

	if (!op)
		return NULL;
	op->kind = kind;
	op->now_ns = now_ns;
	op->actor = strdup(actor);
	if (!op->actor) {
		free(op);
		return NULL;
	}
	return op;
}

void store_op_free(struct store_op *op)
{
	if (!op)
		return;
	free(op->actor);
	free(op->name);
	free(op->user);
	free(op->host);
	free(op->text);
	free(op->tags);
	free(op->owners);
	free(op->hostinfo);
	free(op->endpoints);
	free(op->routes);
	sodium_memzero(op->hash, sizeof(op->hash));
	free(op);
}

static void list_init(struct list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_add(struct list *l, struct item *i)
{
	i->next = NULL;
	*l->last = i;
	l->last = &i->next;
}

static struct item *item_new(void)
{
	struct item *i = calloc(1, sizeof(*i));

	/* A lost change would leave the picture wrong for ever. */
	BUG_ON(!i);
	return i;
}

/* ---- store thread ---- */

static void on_emit(void *arg, const struct store_change *c)
{
	struct store *s = arg;
	struct item *i = item_new();

	i->change = *c;
	list_add(&s->batch_out, i);
}

/* Everything of batch_out goes to the loop at once, changes before results. */
static void hand_over(struct store *s, struct store_op *done, uint64_t commits)
{
	uint64_t changes = 0, ops = 0;

	for (struct item *i = s->batch_out.first; i; i = i->next)
		changes++;
	while (done) {
		struct item *i = item_new();

		i->op = done;
		done = done->next;
		list_add(&s->batch_out, i);
		ops++;
	}
	uv_mutex_lock(&s->lock);
	if (s->batch_out.first) {
		*s->out.last = s->batch_out.first;
		s->out.last = s->batch_out.last;
	}
	s->counts.ops += ops;
	s->counts.commits += commits;
	s->counts.changes += changes;
	uv_mutex_unlock(&s->lock);
	list_init(&s->batch_out);
	uv_async_send(&s->wake);
}

static void fail(struct store *s, int err)
{
	uv_mutex_lock(&s->lock);
	s->failed = err;
	uv_mutex_unlock(&s->lock);
	uv_async_send(&s->wake);
}

static void end_all(struct store_op *ops, int err)
{
	for (; ops; ops = ops->next)
		ops->result = err;
}

/* Those that are done outside of a transaction, else the transaction. */
static uint64_t run_batch(struct store *s, struct store_op *ops)
{
	const struct store_backend_ops *b = s->backend->ops;
	int rc;

	if (ops->kind == STORE_BACKUP) {
		b->run(s->backend, ops);
		return 0;
	}
	rc = b->begin(s->backend);
	if (rc) {
		end_all(ops, rc);
		return 0;
	}
	for (struct store_op *op = ops; op; op = op->next)
		b->run(s->backend, op);
	rc = b->commit(s->backend);
	if (rc)
		end_all(ops, rc);
	return !rc;
}

/* The next operations that share a transaction. The lock is held. */
static struct store_op *take_batch(struct store *s)
{
	struct store_op *first = s->queue, *op = first;

	if (!op)
		return NULL;
	for (unsigned n = 1; n < BATCH_MAX && op->next && op->kind != STORE_BACKUP &&
			     op->next->kind != STORE_BACKUP;
	     n++)
		op = op->next;
	s->queue = op->next;
	if (!s->queue)
		s->queue_last = &s->queue;
	op->next = NULL;
	return first;
}

static int look(struct store *s, bool is_first)
{
	return s->backend->ops->changes(s->backend, &s->number, is_first, on_emit, s);
}

static void work(struct store *s)
{
	for (;;) {
		struct store_op *ops;
		uint64_t commits = 0;
		bool end;
		int rc = 0;

		uv_mutex_lock(&s->lock);
		if (!s->queue && !s->is_closing)
			uv_cond_timedwait(&s->cond, &s->lock, LOOK_NS);
		ops = take_batch(s);
		end = !ops && s->is_closing;
		uv_mutex_unlock(&s->lock);
		if (end)
			return;
		if (ops)
			commits = run_batch(s, ops);
		if (commits || s->backend->ops->has_news(s->backend))
			rc = look(s, false);
		if (ops || s->batch_out.first)
			hand_over(s, ops, commits);
		if (rc) {
			fail(s, rc);
			return;
		}
	}
}

static void store_thread(void *arg)
{
	struct store *s = arg;
	int rc = s->backend->ops->open(s->backend);

	if (!rc)
		rc = look(s, true);
	if (rc) {
		fail(s, rc);
	} else {
		hand_over(s, NULL, 0);
		uv_mutex_lock(&s->lock);
		s->is_ready = true;
		uv_mutex_unlock(&s->lock);
		uv_async_send(&s->wake);
		work(s);
	}
	uv_mutex_lock(&s->lock);
	s->is_ended = true;
	uv_mutex_unlock(&s->lock);
	uv_async_send(&s->wake);
}

/* ---- the loop's thread ---- */

static void finish_op(struct store_op *op)
{
	if (op->done)
		op->done(op->arg, op);
	store_op_free(op);
}

static void deliver(struct store *s, struct item *i)
{
	while (i) {
		struct item *next = i->next;

		if (i->op)
			finish_op(i->op);
		else
			s->ev.on_change(s->arg, &i->change);
		free(i);
		i = next;
	}
}

static void on_closed(uv_handle_t *h)
{
	struct store *s = h->data;

	s->backend->ops->free(s->backend);
	uv_cond_destroy(&s->cond);
	uv_mutex_destroy(&s->lock);
	free(s);
}

/* Operations that no thread will do any more. */
static void refuse_rest(struct store *s, int err)
{
	struct store_op *op;

	uv_mutex_lock(&s->lock);
	op = s->queue;
	s->queue = NULL;
	s->queue_last = &s->queue;
	uv_mutex_unlock(&s->lock);
	while (op) {
		struct store_op *next = op->next;

		op->result = err;
		finish_op(op);
		op = next;
	}
}

static void on_wake(uv_async_t *wake)
{
	struct store *s = wake->data;
	struct item *first;
	bool is_ready, is_ended, is_closing;
	int failed;

	uv_mutex_lock(&s->lock);
	first = s->out.first;
	list_init(&s->out);
	is_ready = s->is_ready;
	is_ended = s->is_ended;
	failed = s->failed;
	uv_mutex_unlock(&s->lock);

	deliver(s, first);
	if (is_ready && !s->told_ready) {
		s->told_ready = true;
		s->ev.on_ready(s->arg);
	}
	if (failed) {
		refuse_rest(s, failed);
		if (!s->told_failed) {
			s->told_failed = true;
			s->ev.on_failed(s->arg, failed);
		}
	}
	uv_mutex_lock(&s->lock);
	is_closing = s->is_closing;
	uv_mutex_unlock(&s->lock);
	if (is_ended && is_closing && !uv_is_closing((uv_handle_t *)wake)) {
		uv_thread_join(&s->thread);
		refuse_rest(s, -ECANCELED);
		uv_close((uv_handle_t *)wake, on_closed);
	}
}

int store_open(uv_loop_t *loop, struct store_backend *backend, const struct store_events *ev,
	       void *arg, struct store **out)
{
	struct store *s = calloc(1, sizeof(*s));
	int rc;

	if (!s) {
		backend->ops->free(backend);
		return -ENOMEM;
	}
	s->backend = backend;
	s->ev = *ev;
	s->arg = arg;
	s->queue_last = &s->queue;
	list_init(&s->out);
	list_init(&s->batch_out);
	uv_mutex_init(&s->lock);
	uv_cond_init(&s->cond);
	rc = uv_async_init(loop, &s->wake, on_wake);
	if (rc) {
		s->wake.data = s;
		on_closed((uv_handle_t *)&s->wake);
		return rc;
	}
	s->wake.data = s;
	rc = uv_thread_create(&s->thread, store_thread, s);
	if (rc) {
		uv_close((uv_handle_t *)&s->wake, on_closed);
		return rc;
	}
	*out = s;
	return 0;
}

void store_submit(struct store *s, struct store_op *op)
{
	bool is_over;

	op->next = NULL;
	uv_mutex_lock(&s->lock);
	*s->queue_last = op;
	s->queue_last = &op->next;
	is_over = s->is_ended;
	uv_cond_signal(&s->cond);
	uv_mutex_unlock(&s->lock);
	/* Never from inside this call. */
	if (is_over)
		uv_async_send(&s->wake);
}

void store_counts(const struct store *s, struct store_counts *out)
{
	struct store *m = (struct store *)s;

	uv_mutex_lock(&m->lock);
	*out = s->counts;
	uv_mutex_unlock(&m->lock);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	uv_mutex_lock(&s->lock);
	s->is_closing = true;
	uv_cond_signal(&s->cond);
	uv_mutex_unlock(&s->lock);
	uv_async_send(&s->wake);
}
