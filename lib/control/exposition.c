/* SPDX-License-Identifier: MIT */
/*
 * An exposition is a sequence of metric families, each from its "# HELP" to the
 * next. Families keep the order of the first text that has them; peers of
 * different versions may have different ones.
 */
#include "control/exposition.h"

#include <string.h>

#define HELP "# HELP "

struct family {
	const char *name, *samples;
	size_t name_len, len; /* `len` counts from `samples` to the end */
	const char *head;
};

static const char *
next_metric_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

/* Finds the family that starts at or after `text`; false if there is none. */
static bool
find_family(const char *text, struct family *f)
{
	const char *end;

	while (*text && strncmp(text, HELP, strlen(HELP)) != 0)
		text = next_metric_line(text);
	if (!*text)
		return false;
	f->head = text;
	f->name = text + strlen(HELP);
	f->name_len = strcspn(f->name, " \n");
	f->samples = next_metric_line(text);
	while (*f->samples == '#' &&
		strncmp(f->samples, HELP, strlen(HELP)) != 0)
		f->samples = next_metric_line(f->samples);
	end = f->samples;
	while (*end && strncmp(end, HELP, strlen(HELP)) != 0)
		end = next_metric_line(end);
	f->len = (size_t)(end - f->samples);
	return true;
}

static bool
has_family(const struct handoff__contact *peer, const struct family *wanted,
	struct family *found)
{
	const char *at = peer->role[0] ? peer->body : "";

	while (find_family(at, found)) {
		if (found->name_len == wanted->name_len &&
			memcmp(found->name, wanted->name, wanted->name_len) ==
				0)
			return true;
		at = found->samples + found->len;
	}
	return false;
}

static void
add_samples(const struct family *f, struct handoff__buf *buf)
{
	handoff__buf_put(buf, f->samples, f->len);
	if (f->len > 0 && f->samples[f->len - 1] != '\n')
		handoff__buf_add(buf, "\n");
}

/* Adds the family of the peer `first`, and the samples of the peers after
 * it. */
static void
add_family(const struct handoff__contact *peers, size_t npeers, size_t first,
	const struct family *f, struct handoff__buf *buf)
{
	struct family other;

	for (size_t i = 0; i < first; i++) {
		if (has_family(&peers[i], f, &other))
			return;
	}
	handoff__buf_put(buf, f->head, (size_t)(f->samples - f->head));
	add_samples(f, buf);
	for (size_t i = first + 1; i < npeers; i++) {
		if (has_family(&peers[i], f, &other))
			add_samples(&other, buf);
	}
}

/* a metric that a peer cannot report itself */
static void
add_up(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf)
{
	const char *service = handoff__contacts_service(peers, npeers);

	handoff__buf_add(buf, HELP "handoff_up Whether the peer has answered.\n"
				   "# TYPE handoff_up gauge\n");
	for (size_t i = 0; i < npeers; i++)
		handoff__buf_add(buf,
			"handoff_up{service=\"%s\",peer=\"%s\",place=\"%d\"} "
			"%d\n",
			service ? service : "", peers[i].name, peers[i].place,
			peers[i].role[0] != '\0');
}

void
handoff__exposition(const struct handoff__contact *peers, size_t npeers,
	struct handoff__buf *buf)
{
	add_up(peers, npeers, buf);
	for (size_t i = 0; i < npeers; i++) {
		const char *at = peers[i].role[0] ? peers[i].body : "";
		struct family f;

		while (find_family(at, &f)) {
			add_family(peers, npeers, i, &f, buf);
			at = f.samples + f.len;
		}
	}
}
