/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/tailcfg/time_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_SEC 1000000000ll
#define GO_ZERO	   (-62135596800ll) /* 0001-01-01 */

/* Exactly n digits; -1 else. Moves *p behind them. */
static int digits(const char **p, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		value = value * 10 + (**p - '0');
	}
	return value;
}

/* ".5" -> 500000000; digits behind the ninth are dropped. -1 = none at all. */
static int64_t fraction(const char **p)
{
	int64_t ns = 0, scale = NS_PER_SEC / 10;

	if (**p < '0' || **p > '9')
		return -1;
	for (; **p >= '0' && **p <= '9'; (*p)++) {
		ns += (**p - '0') * scale;
		scale /= 10;
	}
	return ns;
}

/* "Z", "+02:00": seconds east of UTC. False: neither. */
static bool offset(const char **p, int *out)
{
	int sign = **p == '-' ? -1 : 1, hours, minutes;

	if (**p == 'Z') {
		(*p)++;
		*out = 0;
		return true;
	}
	if (**p != '+' && **p != '-')
		return false;
	(*p)++;
	hours = digits(p, 2);
	if (hours < 0 || hours > 23 || *(*p)++ != ':')
		return false;
	minutes = digits(p, 2);
	if (minutes < 0 || minutes > 59)
		return false;
	*out = sign * (hours * 3600 + minutes * 60);
	return true;
}

/* "2026-11-24T20:43:29" -> seconds since 1970. False: no such form or no such day. */
static bool date_and_time(const char **p, int64_t *out)
{
	int year = digits(p, 4);
	int month = year >= 0 && *(*p)++ == '-' ? digits(p, 2) : -1;
	int day = month > 0 && *(*p)++ == '-' ? digits(p, 2) : -1;
	int hour = day > 0 && *(*p)++ == 'T' ? digits(p, 2) : -1;
	int minute = hour >= 0 && *(*p)++ == ':' ? digits(p, 2) : -1;
	int second = minute >= 0 && *(*p)++ == ':' ? digits(p, 2) : -1;
	struct tm tm = {.tm_year = year - 1900,
			.tm_mon = month - 1,
			.tm_mday = day,
			.tm_hour = hour,
			.tm_min = minute,
			.tm_sec = second};

	if (second < 0)
		return false;
	*out = timegm(&tm);
	/* timegm moves what is out of range on to the next month, day, hour, minute. */
	return tm.tm_mon == month - 1 && tm.tm_mday == day && tm.tm_hour == hour &&
	       tm.tm_min == minute && tm.tm_sec == second;
}

int time_text_parse(const char *text, int64_t *out_ns)
{
	const char *p = text;
	int64_t seconds, ns = 0;
	int east;

	if (!date_and_time(&p, &seconds))
		return -EINVAL;
	if (*p == '.') {
		p++;
		ns = fraction(&p);
		if (ns < 0)
			return -EINVAL;
	}
	if (!offset(&p, &east) || *p)
		return -EINVAL;
	seconds -= east;
	if (seconds == GO_ZERO && ns == 0)
		*out_ns = 0;
	else if (seconds >= INT64_MAX / NS_PER_SEC)
		*out_ns = INT64_MAX;
	else if (seconds <= INT64_MIN / NS_PER_SEC)
		*out_ns = INT64_MIN;
	else
		*out_ns = seconds * NS_PER_SEC + ns;
	return 0;
}

const char *time_text_print(int64_t ns, char *buf)
{
	time_t seconds = ns / NS_PER_SEC - (ns % NS_PER_SEC < 0);
	unsigned part = (unsigned)(ns - (int64_t)seconds * NS_PER_SEC);
	char text[32], digit[16] = "";
	struct tm tm;

	if (ns == 0) {
		snprintf(buf, TIME_TEXT_MAX, "0001-01-01T00:00:00Z");
		return buf;
	}
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	if (part) {
		size_t n = (size_t)snprintf(digit, sizeof(digit), ".%09u", part);

		while (n > 1 && digit[n - 1] == '0')
			digit[--n] = 0;
	}
	snprintf(buf, TIME_TEXT_MAX, "%s%sZ", text, digit);
	return buf;
}
