/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the coordinator's store decides names, addresses, keys and routes by
 * itself, tells every change in order also to a second process, and loses nothing it
 * has acknowledged when it is killed. The same cases run over SQLite, and over SQLite
 * that takes 20 ms more for a commit, with a second writer on the same database.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "controlplane/coord/store_sqlite.h"
#include "lib/base/clock.h"

#define SLOW_US	    20000
#define NODES_MAX   512
#define KILL_ROUNDS 20

/* ---- a backend that is far away ---- */

struct slow {
	struct store_backend base;
	struct store_backend *inner;
};

static struct store_backend *inner(struct store_backend *b)
{
	return ((struct slow *)b)->inner;
}

static int slow_open(struct store_backend *b)
{
	return inner(b)->ops->open(inner(b));
}

static int slow_begin(struct store_backend *b)
{
	return inner(b)->ops->begin(inner(b));
}

static void slow_run(struct store_backend *b, struct store_op *op)
{
	inner(b)->ops->run(inner(b), op);
}

static int slow_commit(struct store_backend *b)
{
	usleep(SLOW_US);
	return inner(b)->ops->commit(inner(b));
}

static bool slow_has_news(struct store_backend *b)
{
	return inner(b)->ops->has_news(inner(b));
}

static int slow_changes(struct store_backend *b, uint64_t *number, bool is_first,
			store_emit_fn *emit, void *arg)
{
	return inner(b)->ops->changes(inner(b), number, is_first, emit, arg);
}

static void slow_free(struct store_backend *b)
{
	inner(b)->ops->free(inner(b));
	free(b);
}

static const struct store_backend_ops slow_ops = {
	slow_open, slow_begin, slow_run, slow_commit, slow_has_news, slow_changes, slow_free,
};

static struct store_backend *backend_new(const char *path, bool is_slow)
{
	struct slow *s;

	if (!is_slow)
		return store_sqlite_new(path);
	s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->base.ops = &slow_ops;
	s->inner = store_sqlite_new(path);
	return &s->base;
}

/* ---- two writers on one database ---- */

struct side {
	struct store *store;
	uint64_t last_number, changes;
	bool is_ready;
	int failed;
	struct store_node *nodes[NODES_MAX]; /* by id */
	struct store_route routes[NODES_MAX];
	unsigned users;
	int64_t uses; /* of the key that changed last */
};

struct rig {
	uv_loop_t loop;
	char dir[64], path[96];
	bool is_slow;
	struct side a, b, c; /* c: of the cases that open another */
	unsigned waiting;
	int result; /* of the operation that ended last */
	int64_t id;
	char *text;
	unsigned failures, successes;
};

static void on_change(void *arg, struct store_change *c)
{
	struct side *s = arg;

	if (c->number) {
		assert_true(c->number > s->last_number);
		s->last_number = c->number;
	}
	s->changes++;
	assert_in_range(c->id, 1, NODES_MAX - 1);
	if (c->table == STORE_NODE) {
		store_row_free(STORE_NODE, s->nodes[c->id]);
		s->nodes[c->id] = c->row;
		return;
	}
	if (c->table == STORE_ROUTE)
		s->routes[c->id] = c->row ? *(struct store_route *)c->row : (struct store_route){0};
	if (c->table == STORE_USER)
		s->users += c->row ? 1 : 0;
	if (c->table == STORE_KEY && c->row)
		s->uses = ((struct store_key *)c->row)->uses;
	store_row_free(c->table, c->row);
}

static void on_ready(void *arg)
{
	((struct side *)arg)->is_ready = true;
}

static void on_failed(void *arg, int err)
{
	((struct side *)arg)->failed = err;
}

static const struct store_events events = {on_change, on_ready, on_failed};

static void side_open(struct rig *r, struct side *s)
{
	memset(s, 0, sizeof(*s));
	assert_int_equal(
		store_open(&r->loop, backend_new(r->path, r->is_slow), &events, s, &s->store), 0);
	while (!s->is_ready && !s->failed)
		uv_run(&r->loop, UV_RUN_ONCE);
}

/* All of them, or the loop would not end. */
static void sides_close(struct rig *r)
{
	struct side *sides[] = {&r->a, &r->b, &r->c};

	for (unsigned i = 0; i < 3; i++)
		store_close(sides[i]->store);
	uv_run(&r->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&r->loop), 0);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < NODES_MAX; j++)
			store_row_free(STORE_NODE, sides[i]->nodes[j]);
}

static void remove_files(const struct rig *r)
{
	static const char *const ends[] = {"", "-wal", "-shm", ".copy", ".copy-wal", ".copy-shm"};
	char path[128];

	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", r->path, ends[i]);
		unlink(path);
	}
	rmdir(r->dir);
}

static void rig_files(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->dir, sizeof(r->dir), "/tmp/coord_store.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/coord.db", r->dir);
}

static int setup_kind(void **state, bool is_slow)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	rig_files(r);
	r->is_slow = is_slow;
	uv_loop_init(&r->loop);
	side_open(r, &r->a);
	side_open(r, &r->b);
	*state = r;
	return 0;
}

static int setup_fast(void **state)
{
	return setup_kind(state, false);
}

static int setup_slow(void **state)
{
	return setup_kind(state, true);
}

static int teardown(void **state)
{
	struct rig *r = *state;

	sides_close(r);
	remove_files(r);
	free(r->text);
	free(r);
	return 0;
}

/* ---- operations ---- */

static void on_done(void *arg, struct store_op *op)
{
	struct rig *r = arg;

	r->waiting--;
	r->result = op->result;
	r->id = op->id;
	free(r->text);
	r->text = op->text;
	op->text = NULL;
	if (op->result)
		r->failures++;
	else
		r->successes++;
}

static struct store_op *op_new(struct rig *r, enum store_op_kind kind)
{
	struct store_op *op = store_op_new(kind, 1000, "test");

	assert_non_null(op);
	op->done = on_done;
	op->arg = r;
	return op;
}

static void send_op(struct rig *r, struct side *s, struct store_op *op)
{
	r->waiting++;
	store_submit(s->store, op);
}

static void settle(struct rig *r)
{
	while (r->waiting)
		uv_run(&r->loop, UV_RUN_ONCE);
}

static int do_op(struct rig *r, struct side *s, struct store_op *op)
{
	send_op(r, s, op);
	settle(r);
	return r->result;
}

/* Until the second writer has seen what the first has. */
static void catch_up(struct rig *r)
{
	uint64_t until = clock_now_ns() + 5 * NS_PER_SEC;

	while (r->a.last_number != r->b.last_number) {
		assert_true(clock_now_ns() < until);
		uv_run(&r->loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
}

static int64_t make_user(struct rig *r, const char *name)
{
	struct store_op *op = op_new(r, STORE_USER_CREATE);

	op->name = strdup(name);
	assert_int_equal(do_op(r, &r->a, op), 0);
	return r->id;
}

static int64_t make_key(struct rig *r, int64_t user, uint8_t hash, bool is_reusable)
{
	struct store_op *op = op_new(r, STORE_KEY_CREATE);

	op->id = user;
	memset(op->hash, hash, sizeof(op->hash));
	op->is_reusable = is_reusable;
	op->expiry_ns = 5000;
	assert_int_equal(do_op(r, &r->a, op), 0);
	return r->id;
}

static struct store_op *register_op(struct rig *r, uint8_t hash, unsigned machine, const char *host)
{
	struct store_op *op = op_new(r, STORE_NODE_REGISTER);

	op->has_hash = true;
	memset(op->hash, hash, sizeof(op->hash));
	memcpy(op->machine.bytes, &machine, sizeof(machine));
	op->node_key = op->machine;
	op->node_key.bytes[31] = 1;
	op->host = strdup(host);
	op->hostinfo = strdup("{}");
	op->expiry_ns = 9000;
	return op;
}

/* ---- cases ---- */

static void names_are_one_and_users_with_nodes_stay(void **state)
{
	struct rig *r = *state;
	int64_t user = make_user(r, "ann");
	struct store_op *op = op_new(r, STORE_USER_CREATE);

	op->name = strdup("Ann");
	assert_int_equal(do_op(r, &r->b, op), -EEXIST);
	make_key(r, user, 7, true);
	assert_int_equal(do_op(r, &r->b, register_op(r, 7, 1, "web")), 0);
	op = op_new(r, STORE_USER_DELETE);
	op->id = user;
	assert_int_equal(do_op(r, &r->a, op), -EBUSY);
	op = op_new(r, STORE_USER_DELETE);
	op->id = user + 1;
	assert_int_equal(do_op(r, &r->a, op), -ENOENT);
}

static void a_single_use_key_admits_one_of_many(void **state)
{
	struct rig *r = *state;

	make_key(r, make_user(r, "ann"), 7, false);
	r->failures = r->successes = 0;
	for (unsigned i = 1; i <= 10; i++)
		send_op(r, i & 1 ? &r->a : &r->b, register_op(r, 7, i, "web"));
	settle(r);
	assert_int_equal(r->successes, 1);
	assert_int_equal(r->failures, 9);
	catch_up(r);
	assert_int_equal(r->a.uses, 1);
}

static void a_used_key_shown_again_by_its_node_is_taken(void **state)
{
	struct rig *r = *state;
	struct store_op *op;

	make_key(r, make_user(r, "ann"), 7, false);
	assert_int_equal(do_op(r, &r->a, register_op(r, 7, 1, "web")), 0);
	assert_int_equal(do_op(r, &r->a, register_op(r, 7, 1, "web")), 0);
	/* With another node key too, but not after its end. */
	op = register_op(r, 7, 1, "web");
	op->node_key.bytes[30] = 1;
	assert_int_equal(do_op(r, &r->a, op), 0);
	op = register_op(r, 7, 1, "web");
	op->now_ns = 6000;
	assert_int_equal(do_op(r, &r->a, op), -EKEYEXPIRED);
	op = register_op(r, 7, 1, "web");
	op->node_key.bytes[30] = 1;
	op->now_ns = 6000;
	assert_int_equal(do_op(r, &r->a, op), 0);
	assert_int_equal(r->a.uses, 1);
	assert_int_equal(do_op(r, &r->a, register_op(r, 8, 1, "web")), -ENOKEY);
	op = register_op(r, 7, 2, "web");
	op->now_ns = 6000;
	assert_int_equal(do_op(r, &r->a, op), -EKEYEXPIRED);
	assert_int_equal(r->a.nodes[1]->expiry_ns, 9000);
}

static void a_key_rotates_and_another_machine_cannot_take_it(void **state)
{
	struct rig *r = *state;
	struct store_op *op;

	make_key(r, make_user(r, "ann"), 7, true);
	assert_int_equal(do_op(r, &r->a, register_op(r, 7, 1, "web")), 0);
	op = register_op(r, 7, 1, "other");
	op->node_key.bytes[30] = 1;
	assert_int_equal(do_op(r, &r->a, op), 0);
	assert_int_equal(r->id, 1);
	assert_int_equal(r->a.nodes[1]->node_key.bytes[30], 1);
	assert_string_equal(r->a.nodes[1]->name, "web");
	op = register_op(r, 7, 2, "thief");
	op->node_key = r->a.nodes[1]->node_key;
	assert_int_equal(do_op(r, &r->a, op), -EADDRINUSE);
}

static void two_writers_never_give_one_name_or_address_twice(void **state)
{
	struct rig *r = *state;
	unsigned count = 0;

	make_key(r, make_user(r, "ann"), 7, true);
	for (unsigned i = 1; i <= 100; i++)
		send_op(r, i & 1 ? &r->a : &r->b, register_op(r, 7, i, "web"));
	settle(r);
	assert_int_equal(r->failures, 0);
	catch_up(r);
	for (unsigned i = 1; i < NODES_MAX; i++) {
		const struct store_node *n = r->a.nodes[i];

		if (!n)
			continue;
		count++;
		assert_non_null(r->b.nodes[i]);
		assert_string_equal(n->name, r->b.nodes[i]->name);
		for (unsigned j = i + 1; j < NODES_MAX; j++) {
			if (!r->a.nodes[j])
				continue;
			assert_int_not_equal(n->address, r->a.nodes[j]->address);
			assert_string_not_equal(n->name, r->a.nodes[j]->name);
		}
	}
	assert_int_equal(count, 100);
}

static void one_commit_takes_many_and_a_failure_falls_alone(void **state)
{
	struct rig *r = *state;
	struct store_counts before, after;

	make_user(r, "u3");
	store_counts(r->a.store, &before);
	r->failures = r->successes = 0;
	for (unsigned i = 0; i < 200; i++) {
		struct store_op *op = op_new(r, STORE_USER_CREATE);
		char name[16];

		snprintf(name, sizeof(name), "u%u", i);
		op->name = strdup(name);
		send_op(r, &r->a, op);
	}
	settle(r);
	store_counts(r->a.store, &after);
	assert_int_equal(r->failures, 1);
	assert_int_equal(r->successes, 199);
	assert_true(after.commits - before.commits <= 20);
	/* What was acknowledged had been told before. */
	assert_int_equal(r->a.users, 200);
}

/* Also who has long had nothing to look at sees another's commit at once. */
static void a_commit_after_a_long_quiet_is_seen(void **state)
{
	struct rig *r = *state;
	uint64_t until, begun;

	make_user(r, "before");
	catch_up(r);
	until = clock_now_ns() + 4 * NS_PER_SEC;
	while (clock_now_ns() < until) {
		uv_run(&r->loop, UV_RUN_NOWAIT);
		usleep(10000);
	}
	make_user(r, "after");
	begun = clock_now_ns();
	catch_up(r);
	assert_in_range((clock_now_ns() - begun) / NS_PER_MS, 0, 1000);
}

static void routes_have_one_primary_that_moves(void **state)
{
	struct rig *r = *state;
	struct store_op *op;

	make_key(r, make_user(r, "ann"), 7, true);
	for (unsigned i = 1; i <= 2; i++) {
		op = register_op(r, 7, i, "gw");
		op->routes = strdup("[\"10.0.0.0/8\", \"0.0.0.0/0\"]");
		assert_int_equal(do_op(r, &r->a, op), 0);
	}
	/* Routes 1, 2 are node 1's; 3, 4 node 2's. */
	for (unsigned i = 1; i <= 2; i++) {
		for (unsigned j = 0; j < 2; j++) {
			op = op_new(r, STORE_ROUTE_APPROVE);
			op->id = i;
			op->text = strdup(j ? "0.0.0.0/0" : "10.0.0.0/8");
			op->is_approved = true;
			assert_int_equal(do_op(r, &r->b, op), 0);
		}
	}
	catch_up(r);
	assert_true(r->a.routes[1].is_primary && !r->a.routes[3].is_primary);
	assert_false(r->a.routes[2].is_primary || r->a.routes[4].is_primary);
	op = op_new(r, STORE_ROUTE_PRIMARY);
	op->id = 2;
	op->text = strdup("10.0.0.0/8");
	assert_int_equal(do_op(r, &r->a, op), 0);
	assert_true(!r->a.routes[1].is_primary && r->a.routes[3].is_primary);
	/* The node that has it no longer advertises: the other one gets it. */
	op = op_new(r, STORE_NODE_UPDATE);
	op->id = 2;
	op->node_key = r->a.nodes[2]->node_key;
	op->routes = strdup("[]");
	assert_int_equal(do_op(r, &r->a, op), 0);
	assert_true(r->a.routes[1].is_primary && !r->a.routes[3].is_primary);
	op = op_new(r, STORE_ROUTE_APPROVE);
	op->id = 1;
	op->text = strdup("192.168.0.0/16");
	op->is_approved = true;
	assert_int_equal(do_op(r, &r->a, op), -ENOENT);
	op = op_new(r, STORE_NODE_DELETE);
	op->id = 1;
	assert_int_equal(do_op(r, &r->a, op), 0);
	assert_int_equal(r->a.routes[1].id, 0);
	assert_null(r->a.nodes[1]);
}

static void a_login_is_admitted_by_hand_once(void **state)
{
	struct rig *r = *state;
	struct store_op *op = op_new(r, STORE_LOGIN_CREATE);

	make_user(r, "ann");
	op->name = strdup("token");
	op->machine.bytes[0] = 1;
	op->node_key.bytes[0] = 2;
	op->host = strdup("laptop");
	op->hostinfo = strdup("{\"OS\":\"linux\"}");
	assert_int_equal(do_op(r, &r->a, op), 0);
	for (unsigned i = 0; i < 2; i++) {
		op = op_new(r, STORE_NODE_REGISTER);
		op->name = strdup("token");
		op->user = strdup("ann");
		assert_int_equal(do_op(r, &r->b, op), i ? -ENOENT : 0);
	}
	catch_up(r);
	assert_string_equal(r->a.nodes[1]->name, "laptop");
	assert_string_equal(r->a.nodes[1]->hostinfo, "{\"OS\":\"linux\"}");
	assert_int_equal(r->a.nodes[1]->node_key.bytes[0], 2);
}

static void an_audit_line_says_who_did_what(void **state)
{
	struct rig *r = *state;
	struct store_op *op;

	make_user(r, "ann");
	op = op_new(r, STORE_AUDIT_LIST);
	op->id = 10;
	assert_int_equal(do_op(r, &r->a, op), 0);
	assert_string_equal(r->text, "[{\"id\":1,\"at_ns\":1000,\"actor\":\"test\","
				     "\"action\":\"user.create\",\"subject\":\"id=1 name=ann\"}]");
}

static void a_backup_is_a_database(void **state)
{
	struct rig *r = *state;
	char *original = strdup(r->path);
	struct store_op *op;
	struct stat st;

	make_user(r, "ann");
	for (unsigned i = 0; i < 2; i++) {
		op = op_new(r, STORE_BACKUP);
		assert_true(asprintf(&op->name, "%s.copy", r->path) > 0);
		assert_int_equal(do_op(r, &r->a, op), i ? -EEXIST : 0);
	}
	snprintf(r->path, sizeof(r->path), "%s.copy", original);
	assert_int_equal(stat(r->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	side_open(r, &r->c);
	assert_int_equal(r->c.users, 1);
	snprintf(r->path, sizeof(r->path), "%s", original);
	free(original);
}

/* What a newer program wrote is not touched. */
static void a_newer_schema_is_refused(void **state)
{
	struct rig *r = *state;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(r->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	side_open(r, &r->c);
	assert_int_equal(r->c.failed, -EPROTONOSUPPORT);
	assert_int_equal(do_op(r, &r->c, op_new(r, STORE_AUDIT_LIST)), -EPROTONOSUPPORT);
}

/* Who was away for longer than changes are kept must not go on with a wrong picture. */
static void a_gap_in_the_feed_is_told(void **state)
{
	struct rig *r = *state;
	sqlite3 *db;

	make_user(r, "ann");
	catch_up(r);
	assert_int_equal(sqlite3_open(r->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_exec(db,
				      "BEGIN; INSERT INTO users(name, created) VALUES('x', 1);"
				      "INSERT INTO users(name, created) VALUES('y', 1);"
				      "DELETE FROM changes WHERE number < 3; COMMIT",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	while (!r->a.failed || !r->b.failed)
		uv_run(&r->loop, UV_RUN_ONCE);
	assert_int_equal(r->a.failed, -ESTALE);
	assert_int_equal(r->b.failed, -ESTALE);
}

/* ---- killed ---- */

struct killed {
	struct rig rig;
	int pipe;
};

static void on_registered(void *arg, struct store_op *op)
{
	struct killed *k = arg;
	int32_t id = op->result ? -1 : (int32_t)op->id;

	k->rig.waiting--;
	if (write(k->pipe, &id, sizeof(id)) != sizeof(id))
		_exit(1);
}

/* Registers for ever, telling each id that was acknowledged. */
static void child_main(const struct rig *parent, unsigned round, int fd)
{
	static struct killed k;

	memcpy(k.rig.path, parent->path, sizeof(k.rig.path));
	k.pipe = fd;
	uv_loop_init(&k.rig.loop);
	side_open(&k.rig, &k.rig.a);
	for (unsigned i = 1;; i++) {
		struct store_op *op = register_op(&k.rig, 7, round << 16 | i, "web");

		op->done = on_registered;
		op->arg = &k;
		op->routes = strdup("[\"10.0.0.0/8\"]");
		send_op(&k.rig, &k.rig.a, op);
		while (k.rig.waiting >= 8)
			uv_run(&k.rig.loop, UV_RUN_ONCE);
	}
}

static unsigned kill_one(struct rig *r, unsigned round, bool *seen)
{
	unsigned acked = 0;
	int fds[2];
	int32_t id;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fds[0]);
		child_main(r, round, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	/* Not sooner than one was acknowledged, then at no particular moment. */
	for (unsigned n = 0; read(fds[0], &id, sizeof(id)) == sizeof(id); n++) {
		assert_in_range(id, 1, NODES_MAX - 1);
		seen[id] = true;
		acked++;
		if (n == round % 5)
			kill(pid, SIGKILL);
	}
	close(fds[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return acked;
}

static void nothing_acknowledged_is_lost_by_a_kill(void **state)
{
	static bool seen[NODES_MAX];
	unsigned acked = 0, nodes = 0, routes = 0;
	struct rig *r = calloc(1, sizeof(*r));

	(void)state;
	assert_non_null(r);
	rig_files(r);
	uv_loop_init(&r->loop);
	side_open(r, &r->a);
	make_key(r, make_user(r, "ann"), 7, true);
	/* A loop's descriptors do not go well with a fork. */
	sides_close(r);
	for (unsigned i = 0; i < KILL_ROUNDS; i++)
		acked += kill_one(r, i + 1, seen);
	assert_true(acked >= KILL_ROUNDS);

	memset(&r->loop, 0, sizeof(r->loop));
	uv_loop_init(&r->loop);
	side_open(r, &r->a);
	for (unsigned i = 0; i < NODES_MAX; i++) {
		assert_true(!seen[i] || r->a.nodes[i]);
		nodes += r->a.nodes[i] != NULL;
		routes += r->a.routes[i].id != 0;
	}
	/* A registration is whole or not there: its node, its route, its use of the key. */
	assert_int_equal(nodes, routes);
	assert_int_equal(r->a.uses, nodes);
	sides_close(r);
	remove_files(r);
	free(r->text);
	free(r);
}

#define BOTH(f)                                                                                    \
	cmocka_unit_test_setup_teardown(f, setup_fast, teardown),                                  \
		cmocka_unit_test_setup_teardown(f, setup_slow, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(names_are_one_and_users_with_nodes_stay),
		BOTH(a_single_use_key_admits_one_of_many),
		BOTH(a_used_key_shown_again_by_its_node_is_taken),
		BOTH(a_key_rotates_and_another_machine_cannot_take_it),
		BOTH(two_writers_never_give_one_name_or_address_twice),
		BOTH(one_commit_takes_many_and_a_failure_falls_alone),
		cmocka_unit_test_setup_teardown(a_commit_after_a_long_quiet_is_seen, setup_fast,
						teardown),
		BOTH(routes_have_one_primary_that_moves),
		BOTH(a_login_is_admitted_by_hand_once),
		BOTH(an_audit_line_says_who_did_what),
		BOTH(a_backup_is_a_database),
		BOTH(a_newer_schema_is_refused),
		BOTH(a_gap_in_the_feed_is_told),
		cmocka_unit_test(nothing_acknowledged_is_lost_by_a_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
