/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/timestamps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "lib/base/bug.h"
#include "lib/base/log.h"

#define SUM_BYTES 16

struct half {
	uint8_t key[WG_KEY_BYTES];
	uint8_t tai[WG_TIMESTAMP_BYTES];
	uint32_t seq;
	uint8_t sum[SUM_BYTES];
};

static_assert(sizeof(struct half) == 64, "record on disk");

struct entry {
	uint8_t key[WG_KEY_BYTES];
	uint8_t tai[WG_TIMESTAMP_BYTES];
	uint32_t seq;
	uint8_t newest; /* the half that holds it */
	bool used;	/* false: both halves of this place are unreadable */
};

struct timestamps {
	int fd;
	bool dirty;
	uint32_t count; /* pairs in the file */
	uint32_t room;
	struct entry *entries;
	uint32_t *buckets; /* entry + 1, linear probing, twice as many as room */
};

static void half_sum(const struct half *h, uint8_t sum[SUM_BYTES])
{
	crypto_generichash(sum, SUM_BYTES, (const uint8_t *)h, offsetof(struct half, sum), NULL, 0);
}

static bool half_is_good(const struct half *h)
{
	uint8_t sum[SUM_BYTES];

	half_sum(h, sum);
	return memcmp(sum, h->sum, SUM_BYTES) == 0;
}

/* Keys are the operator's own configuration, never an attacker's choice of bucket. */
static uint32_t bucket_of(const struct timestamps *ts, const uint8_t *key)
{
	uint64_t x;

	memcpy(&x, key, sizeof(x));
	return (uint32_t)((x * 0x9e3779b97f4a7c15ull) >> 32) & (2 * ts->room - 1);
}

static uint32_t *find(const struct timestamps *ts, const uint8_t *key)
{
	uint32_t b = bucket_of(ts, key);

	while (ts->buckets[b]) {
		if (memcmp(ts->entries[ts->buckets[b] - 1].key, key, WG_KEY_BYTES) == 0)
			break;
		b = (b + 1) & (2 * ts->room - 1);
	}
	return &ts->buckets[b];
}

/* Room for one entry more; the buckets move, so look up afterwards. */
static int grow(struct timestamps *ts)
{
	uint32_t room = ts->room ? 2 * ts->room : 64;
	struct entry *entries;
	uint32_t *buckets;

	if (ts->count < ts->room)
		return 0;
	if (room > 2 * TIMESTAMPS_MAX)
		return -EFBIG;
	entries = realloc(ts->entries, room * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	ts->entries = entries;
	buckets = calloc(2 * (size_t)room, sizeof(*buckets));
	if (!buckets)
		return -ENOMEM;
	free(ts->buckets);
	ts->buckets = buckets;
	ts->room = room;
	for (uint32_t i = 0; i < ts->count; i++)
		if (entries[i].used)
			*find(ts, entries[i].key) = i + 1;
	return 0;
}

static void load_pair(struct timestamps *ts, const struct half pair[2])
{
	struct entry *e = &ts->entries[ts->count];
	bool good[2] = {half_is_good(&pair[0]), half_is_good(&pair[1])};
	const struct half *h;

	*e = (struct entry){0};
	ts->count++;
	if (!good[0] && !good[1])
		return;
	/* Sequence numbers of the two differ by one; the difference survives a wrap. */
	if (good[0] && good[1])
		e->newest = (int32_t)(pair[1].seq - pair[0].seq) > 0;
	else
		e->newest = good[1];
	h = &pair[e->newest];
	memcpy(e->key, h->key, sizeof(e->key));
	memcpy(e->tai, h->tai, sizeof(e->tai));
	e->seq = h->seq;
	e->used = true;
	*find(ts, e->key) = ts->count;
}

static int load(struct timestamps *ts)
{
	struct half pair[2];
	struct stat st;
	uint32_t lost = 0;

	if (fstat(ts->fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size > (uint64_t)TIMESTAMPS_MAX * sizeof(pair))
		return -EFBIG;
	for (;;) {
		off_t at = (off_t)ts->count * (off_t)sizeof(pair);
		ssize_t n;
		int err;

		memset(pair, 0, sizeof(pair));
		n = pread(ts->fd, pair, sizeof(pair), at);
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		err = grow(ts);
		if (err)
			return err;
		load_pair(ts, pair);
		lost += !ts->entries[ts->count - 1].used;
	}
	if (lost)
		log_warn("timestamps.unreadable", "records=%u", lost);
	return 0;
}

int timestamps_open(const char *state_dir, struct timestamps **out)
{
	struct timestamps *ts = calloc(1, sizeof(*ts));
	char path[PATH_MAX];
	int err;

	if (!ts)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/" TIMESTAMPS_FILE, state_dir);
	ts->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (ts->fd < 0) {
		err = -errno;
		free(ts);
		return err;
	}
	err = grow(ts);
	if (!err)
		err = load(ts);
	if (err) {
		timestamps_close(ts);
		return err;
	}
	*out = ts;
	return 0;
}

void timestamps_close(struct timestamps *ts)
{
	if (!ts)
		return;
	close(ts->fd);
	free(ts->entries);
	free(ts->buckets);
	free(ts);
}

bool timestamps_get(const struct timestamps *ts, const uint8_t key[WG_KEY_BYTES],
		    uint8_t tai[WG_TIMESTAMP_BYTES])
{
	uint32_t at = *find(ts, key);

	memset(tai, 0, WG_TIMESTAMP_BYTES);
	if (!at)
		return false;
	memcpy(tai, ts->entries[at - 1].tai, WG_TIMESTAMP_BYTES);
	return true;
}

static int write_half(struct timestamps *ts, uint32_t entry, unsigned which, const struct half *h)
{
	off_t at = (off_t)entry * 2 * (off_t)sizeof(*h) + (off_t)(which * sizeof(*h));
	ssize_t n = pwrite(ts->fd, h, sizeof(*h), at);

	if (n < 0)
		return -errno;
	return n == (ssize_t)sizeof(*h) ? 0 : -ENOSPC;
}

int timestamps_put(struct timestamps *ts, const uint8_t key[WG_KEY_BYTES],
		   const uint8_t tai[WG_TIMESTAMP_BYTES])
{
	struct half h = {0};
	struct entry *e;
	uint32_t *at;
	unsigned which;
	int err;

	err = grow(ts);
	if (err)
		return err;
	at = find(ts, key);
	if (!*at) {
		if (ts->count >= TIMESTAMPS_MAX)
			return -EFBIG;
		e = &ts->entries[ts->count];
		*e = (struct entry){.used = true, .newest = 1};
		memcpy(e->key, key, sizeof(e->key));
		ts->count++;
		*at = ts->count;
	}
	e = &ts->entries[*at - 1];
	which = !e->newest;
	memcpy(h.key, key, sizeof(h.key));
	memcpy(h.tai, tai, sizeof(h.tai));
	h.seq = e->seq + 1;
	half_sum(&h, h.sum);
	err = write_half(ts, *at - 1, which, &h);
	if (err)
		return err;
	e->newest = (uint8_t)which;
	e->seq = h.seq;
	memcpy(e->tai, tai, sizeof(e->tai));
	ts->dirty = true;
	return 0;
}

int timestamps_fd(const struct timestamps *ts)
{
	return ts->fd;
}

bool timestamps_take_dirty(struct timestamps *ts)
{
	bool dirty = ts->dirty;

	ts->dirty = false;
	return dirty;
}
