/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs: one line an event, logfmt, to stderr, never a key.
 *
 *   log_info("peer.handshake", "peer=%s endpoint=%s", name, ep);
 *   ts=2026-01-02T03:04:05.678Z level=info prog=causewayd event=peer.handshake peer=a endpoint=…
 *
 * Each call site is limited to 10 lines a second (burst 20); what was held back
 * is said in the next line as suppressed=N. Any thread. Not on a packet's way.
 * Control characters in the formatted text are escaped; a value with spaces is
 * quoted by the caller's format. Lines end at 1 KiB.
 */
#ifndef LIB_BASE_LOG_H
#define LIB_BASE_LOG_H

#include <stdatomic.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_site {
	_Atomic uint64_t window_ns;
	_Atomic uint32_t suppressed;
};

/* Name shown as prog=; the string must live as long as the process. */
void log_init(const char *prog, enum log_level min_level);
/* "debug", "info", "warn", "error"; returns 0, or -EINVAL for another word. */
int log_level_parse(const char *word, enum log_level *level);
void log_line(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#define log_at_(level, event, ...)                                                                 \
	do {                                                                                       \
		static struct log_site log_site_;                                                  \
		log_line(&log_site_, level, event, __VA_ARGS__);                                   \
	} while (0)

#define log_debug(event, ...) log_at_(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  log_at_(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  log_at_(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_at_(LOG_ERROR, event, __VA_ARGS__)

#endif
