/* SPDX-License-Identifier: MIT */
/*
 * The last time that anything has changed hands, told for people and for
 * programs. Both peers tell of the same one, each as it has seen it.
 */
#include "peer/peer.h"

#include "peer/status.h"

#include <time.h>
#include <unistd.h>

#define LEFT_MOST 20 /* entries named one by one */

static bool
is_connection(const struct handoff__ref *ref)
{
	return ref->id < UINT64_C(1) << 63;
}

static unsigned long long
number_of(const struct handoff__ref *ref)
{
	return ref->id & ~(UINT64_C(1) << 63);
}

/* The kind and name of what is not a connection; false if it is no more. */
static bool
other_of(const struct handoff__peer *peer, const struct handoff__ref *ref,
	const char **kind, char name[HANDOFF_ADDRESS_MAX])
{
	const struct handoff__record *rec =
		handoff__arena_record(&peer->arena, ref->segment, ref->slot);
	struct handoff__view view;

	if (!rec || handoff__record_id(rec) != ref->id)
		return false;
	handoff__view_make(
		&view, peer->arena.segments[ref->segment], ref->slot);
	*kind = rec->kind == HANDOFF__LISTENER ? "listener"
					       : "extra descriptor";
	return handoff__record_name(&view, name) == 0;
}

/* "connection 12", "listener 127.0.0.1:7000" */
static void
add_entry(const struct handoff__peer *peer, const struct handoff__ref *ref,
	struct handoff__buf *buf)
{
	char name[HANDOFF_ADDRESS_MAX];
	const char *kind;

	if (is_connection(ref))
		handoff__buf_add(buf, "connection %llu", number_of(ref));
	else if (other_of(peer, ref, &kind, name))
		handoff__buf_add(buf, "%s %s", kind, name);
	else
		handoff__buf_add(buf, "descriptor %llu", number_of(ref));
}

void
handoff__left_text(const struct handoff__peer *peer,
	const struct handoff__report *report, const char *indent,
	struct handoff__buf *buf)
{
	uint32_t named = report->nrefs < LEFT_MOST ? report->nrefs : LEFT_MOST;

	for (uint32_t i = 0; i < named; i++) {
		const struct handoff__ref *ref = &report->refs[i];

		handoff__buf_add(buf, "%s: ", indent);
		add_entry(peer, ref, buf);
		handoff__buf_add(buf, ": %s\n",
			handoff__reason_text((enum handoff__reason)ref->arg));
	}
	if (report->left > named)
		handoff__buf_add(
			buf, "%s: and %u more\n", indent, report->left - named);
}

/* What has led to it; for people, and in one word. */
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
	int64_t s = ms > 0 ? ms / 1000 : 0; /* clocks are set */

	if (s < 120)
		handoff__buf_add(buf, "%d s", (int)s);
	else if (s < 7200)
		handoff__buf_add(buf, "%d min", (int)(s / 60));
	else
		handoff__buf_add(buf, "%lld h", (long long)(s / 3600));
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

static void
add_who(const struct handoff__peer *peer, struct handoff__buf *buf)
{
	const struct handoff__last *last = &peer->last;

	if (last->death)
		handoff__buf_add(buf,
			"%s (pid %u) is gone, %s (pid %d) took over ",
			last->other, last->other_pid, peer->name,
			(int)getpid());
	else if (last->way == HANDOFF__WAY_OUT)
		handoff__buf_add(buf, "%s (pid %d) gave %s (pid %u) ",
			peer->name, (int)getpid(), last->other,
			last->other_pid);
	else
		handoff__buf_add(buf, "%s (pid %u) gave %s (pid %d) ",
			last->other, last->other_pid, peer->name,
			(int)getpid());
}

void
handoff__last_text(const struct handoff__peer *peer, struct handoff__buf *buf)
{
	const struct handoff__last *last = &peer->last;
	const struct handoff__report *r = &last->report;

	if (r->id == 0)
		return;
	handoff__buf_add(buf, "last %lld\n| last handoff: %llu, %s, ",
		(long long)last->at_ms, (unsigned long long)r->id,
		cause_of(last, false));
	add_when(buf, last->at_ms);
	handoff__buf_add(buf, "\n|   ");
	add_who(peer, buf);
	handoff__buf_add(buf, "%u connection%s, %u listener%s in %u.%03u ms\n",
		r->moved, r->moved == 1 ? "" : "s", r->listeners,
		r->listeners == 1 ? "" : "s", r->took_us / 1000,
		r->took_us % 1000);
	if (r->reason != HANDOFF__OK)
		handoff__buf_add(buf,
			"|   broken off: the other peer went away, or did "
			"not take the rest\n");
	handoff__buf_add(buf,
		"|   carried: %llu bytes, %llu of unread input, "
		"%llu of unsent output\n",
		(unsigned long long)r->unread + r->unsent,
		(unsigned long long)r->unread, (unsigned long long)r->unsent);
	if (last->death) {
		handoff__buf_add(buf, "|   closed: %u\n", r->left);
	} else {
		handoff__buf_add(buf, "|   left behind: %u\n", r->left);
		handoff__left_text(peer, r, "|     left behind", buf);
	}
}

static void
add_left_json(const struct handoff__peer *peer,
	const struct handoff__report *report, struct handoff__buf *buf)
{
	char name[HANDOFF_ADDRESS_MAX];
	const char *kind;

	for (uint32_t i = 0; i < report->nrefs; i++) {
		const struct handoff__ref *ref = &report->refs[i];

		handoff__buf_add(buf, "%s{\"%s\":%llu", i > 0 ? "," : "",
			is_connection(ref) ? "connection" : "descriptor",
			number_of(ref));
		if (!is_connection(ref) && other_of(peer, ref, &kind, name)) {
			handoff__buf_add(buf, ",\"name\":");
			handoff__buf_json(buf, name);
		}
		handoff__buf_add(buf, ",\"reason\":\"%s\"}",
			handoff__reason_text((enum handoff__reason)ref->arg));
	}
}

void
handoff__last_json(const struct handoff__peer *peer, struct handoff__buf *buf)
{
	const struct handoff__last *last = &peer->last;
	const struct handoff__report *r = &last->report;

	if (r->id == 0) {
		handoff__buf_add(buf, "null");
		return;
	}
	handoff__buf_add(buf,
		"{\"id\":%llu,\"at_ms\":%lld,\"direction\":\"%s\","
		"\"cause\":\"%s\",\"complete\":%s,\"with\":\"%s\","
		"\"with_pid\":%u,\"connections\":%u,\"listeners\":%u,"
		"\"took_us\":%u,\"unread_bytes\":%llu,\"unsent_bytes\":%llu,"
		"\"closed\":%u,\"left\":%u,\"left_behind\":[",
		(unsigned long long)r->id, (long long)last->at_ms,
		last->way == HANDOFF__WAY_OUT ? "gave" : "took",
		cause_of(last, true),
		r->reason == HANDOFF__OK ? "true" : "false", last->other,
		last->other_pid, r->moved, r->listeners, r->took_us,
		(unsigned long long)r->unread, (unsigned long long)r->unsent,
		last->death ? r->left : 0, last->death ? 0 : r->left);
	add_left_json(peer, r, buf);
	handoff__buf_add(buf, "]}");
}
