/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is put together in a buffer on the stack and leaves in one write, so
 * lines of several threads or processes on one descriptor do not mix. What the
 * caller formats may hold names that came from a network: control characters
 * are written as \n, \t or \xNN, so a value cannot begin a line of its own.
 *
 * The limit a call site has is a bucket told by one time (GCRA): window_ns is
 * when the bucket would be empty again, each line moves it by one interval, and
 * a line is held back if that would be more than the burst ahead of now.
 */
#include "lib/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"

#define LOG_LINE_MAX	1024
#define LOG_INTERVAL_NS (NS_PER_SEC / 10)
#define LOG_BURST	20

static const char *log_prog = "causeway";
static _Atomic int log_min_level = LOG_INFO;

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
};

void log_init(const char *prog, enum log_level min_level)
{
	log_prog = prog;
	log_min_level = (int)min_level;
}

int log_level_parse(const char *word, enum log_level *level)
{
	for (int i = LOG_DEBUG; i <= LOG_ERROR; i++) {
		if (strcmp(word, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

static bool site_admits(struct log_site *site, uint64_t now_ns)
{
	uint64_t full_ns = atomic_load(&site->window_ns);

	for (;;) {
		uint64_t from_ns = full_ns > now_ns ? full_ns : now_ns;

		if (from_ns - now_ns > (LOG_BURST - 1) * LOG_INTERVAL_NS) {
			atomic_fetch_add(&site->suppressed, 1);
			return false;
		}
		if (atomic_compare_exchange_weak(&site->window_ns, &full_ns,
						 from_ns + LOG_INTERVAL_NS))
			return true;
	}
}

/* Appends text to line[*len], at most up to cap, control characters escaped. */
static void append_escaped(char *line, size_t cap, size_t *len, const char *text)
{
	static const char hex[] = "0123456789abcdef";

	for (; *text != '\0' && *len + 4 <= cap; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c != 0x7f) {
			line[(*len)++] = (char)c;
			continue;
		}
		line[(*len)++] = '\\';
		if (c == '\n' || c == '\t') {
			line[(*len)++] = c == '\n' ? 'n' : 't';
			continue;
		}
		line[(*len)++] = 'x';
		line[(*len)++] = hex[c >> 4];
		line[(*len)++] = hex[c & 15];
	}
}

static size_t put_head(char *line, size_t cap, enum log_level level, const char *event)
{
	uint64_t wall_ns = clock_wall_ns();
	time_t seconds = (time_t)(wall_ns / NS_PER_SEC);
	char day_time[32];
	struct tm tm;
	int n;

	gmtime_r(&seconds, &tm);
	strftime(day_time, sizeof(day_time), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line, cap, "ts=%s.%03uZ level=%s prog=%s event=%s", day_time,
		     (unsigned)(wall_ns % NS_PER_SEC / NS_PER_MS), level_names[level], log_prog,
		     event);
	if (n < 0)
		return 0;
	return (size_t)n < cap ? (size_t)n : cap - 1;
}

void log_line(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
{
	char text[LOG_LINE_MAX];
	/* Room for what append_escaped leaves out of account: suppressed=N and the newline. */
	char line[LOG_LINE_MAX + 64];
	uint32_t suppressed;
	size_t len;
	va_list ap;

	if ((int)level < log_min_level || !site_admits(site, clock_now_ns()))
		return;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);

	len = put_head(line, LOG_LINE_MAX / 2, level, event);
	if (text[0] != '\0')
		line[len++] = ' ';
	append_escaped(line, LOG_LINE_MAX, &len, text);
	suppressed = atomic_exchange(&site->suppressed, 0);
	if (suppressed > 0)
		len += (size_t)snprintf(line + len, sizeof(line) - len, " suppressed=%u",
					suppressed);
	line[len++] = '\n';
	/* There is nowhere to report that stderr is gone. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}
