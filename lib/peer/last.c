/* SPDX-License-Identifier: MIT */
/*
 * Formats the last handoff or failover for people and for programs. Both peers
 * report the same one, each from its own point of view.
 */
#include "peer/last.h"

#include "peer/core.h"
#include "peer/report.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define MINUTE_S INT64_C(60)
#define HOUR_S   INT64_C(3600)

/* The cause, as a phrase or as one word. */
static const char *
cause_of(const struct handoff__last *last, bool word)
{
	if (last->death)
		return "failover";
	switch (last->report.cause) {
	case HANDOFF__MAINTENANCE:
		return "maintenance";
	case HANDOFF__HOME:
		return "ready";
	case HANDOFF__HOME_SILENT:
		return word ? "ready-silent" : "ready --silent";
	case HANDOFF__REST:
		return word ? "rest" : "what was left to move";
	}
	return "unknown";
}

static void
add_age(struct handoff__buf *buf, int64_t ms)
{
	int64_t s = ms > 0 ? ms / 1000 : 0; /* a clock may have been set back */

	if (s < 2 * MINUTE_S)
		handoff__buf_add(buf, "%d s", (int)s);
	else if (s < 2 * HOUR_S)
		handoff__buf_add(buf, "%d min", (int)(s / MINUTE_S));
	else
		handoff__buf_add(buf, "%lld h", (long long)(s / HOUR_S));
}

static void
add_when(struct handoff__buf *buf, int64_t at_ms)
{
	time_t at = (time_t)(at_ms / 1000);
	struct timespec now;
	char text[32];
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&at, &tm);
	strftime(text, sizeof(text), "%F %T", &tm);
	handoff__buf_add(buf, "%s (", text);
	add_age(buf,
		(int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - at_ms);
	handoff__buf_add(buf, " ago)");
}

/* With a carrier: the service itself, whose connections go one by one. */
static bool
with_carrier(const struct handoff__pair *pair)
{
	return pair->config.carrier ||
	       (pair->other.carrier &&
		       strcmp(pair->last.other, pair->other.name) == 0);
}

static void
add_who(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	const struct handoff__last *last = &pair->last;

	if (last->death)
		handoff__buf_add(buf,
			"%s (pid %u) is gone, %s (pid %d) took over ",
			last->other, last->other_pid, pair->name,
			(int)getpid());
	else if (last->way == HANDOFF__WAY_OUT)
		handoff__buf_add(buf, "%s (pid %d) gave %s (pid %u) ",
			pair->name, (int)getpid(), last->other,
			last->other_pid);
	else
		handoff__buf_add(buf, "%s (pid %u) gave %s (pid %d) ",
			last->other, last->other_pid, pair->name,
			(int)getpid());
}

static void
add_carried_text(const struct handoff__report *r, struct handoff__buf *buf)
{
	unsigned long long unread = r->unread, unsent = r->unsent;

	handoff__buf_add(buf,
		"|   carried: %llu byte%s, %llu of unread input, %llu of "
		"unsent output\n",
		unread + unsent, handoff__plural(unread + unsent), unread,
		unsent);
}

/* unknown values are null */
static void
add_carried_json(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	const struct handoff__report *r = &pair->last.report;

	if (pair->config.streamless)
		handoff__buf_add(
			buf, "\"unread_bytes\":null,\"unsent_bytes\":null,");
	else
		handoff__buf_add(buf,
			"\"unread_bytes\":%llu,\"unsent_bytes\":%llu,",
			(unsigned long long)r->unread,
			(unsigned long long)r->unsent);
}

void
handoff__last_text(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	const struct handoff__last *last = &pair->last;
	const struct handoff__report *r = &last->report;

	if (r->id == 0)
		return;
	handoff__buf_add(buf, "last %lld\n| last handoff: %llu, %s, ",
		(long long)last->at_ms, (unsigned long long)r->id,
		with_carrier(pair) && !last->death
			? "between the server and its ferry"
			: cause_of(last, false));
	add_when(buf, last->at_ms);
	handoff__buf_add(buf, "\n|   ");
	add_who(pair, buf);
	if (with_carrier(pair) && !last->death)
		handoff__buf_add(buf, "the service with ");
	handoff__buf_add(buf, "%u connection%s, %u listener%s in %u.%03u ms\n",
		r->moved, handoff__plural(r->moved), r->listeners,
		handoff__plural(r->listeners), r->took_us / 1000,
		r->took_us % 1000);
	if (r->reason != HANDOFF__OK)
		handoff__buf_add(buf,
			"|   broken off: the other peer went away, or did "
			"not take the rest\n");
	if (!pair->config.streamless)
		add_carried_text(r, buf);
	if (last->death) {
		handoff__buf_add(buf, "|   closed: %u\n", r->left);
	} else {
		handoff__buf_add(buf, "|   left behind: %u\n", r->left);
		handoff__left_text(pair, r, "|     left behind", buf);
	}
}

void
handoff__last_json(const struct handoff__pair *pair, struct handoff__buf *buf)
{
	const struct handoff__last *last = &pair->last;
	const struct handoff__report *r = &last->report;

	if (r->id == 0) {
		handoff__buf_add(buf, "null");
		return;
	}
	handoff__buf_add(buf,
		"{\"id\":%llu,\"at_ms\":%lld,\"direction\":\"%s\","
		"\"cause\":\"%s\",\"complete\":%s,\"with\":\"%s\","
		"\"with_pid\":%u,\"connections\":%u,\"listeners\":%u,"
		"\"took_us\":%u,",
		(unsigned long long)r->id, (long long)last->at_ms,
		last->way == HANDOFF__WAY_OUT ? "gave" : "took",
		cause_of(last, true),
		r->reason == HANDOFF__OK ? "true" : "false", last->other,
		last->other_pid, r->moved, r->listeners, r->took_us);
	add_carried_json(pair, buf);
	handoff__buf_add(buf, "\"closed\":%u,\"left\":%u,\"left_behind\":[",
		last->death ? r->left : 0, last->death ? 0 : r->left);
	handoff__left_json(pair, r, buf);
	handoff__buf_add(buf, "]}");
}
