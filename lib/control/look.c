/* SPDX-License-Identifier: MIT */
/*
 * The lines that show progress. A look takes no longer than a moment: a peer
 * that is busy with the command answers later, or not at all.
 */
#include "control/look.h"

#include "base/loop.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LOOK_MS 500 /* for the status of one peer */

/* Two digits behind the point are enough to see that it grows. */
static void
tell_size(const struct handoff__look *look)
{
	char line[64];
	struct stat st;

	if (fstat(look->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	snprintf(line, sizeof(line), "%llu.%02u MiB written",
		(unsigned long long)st.st_size >> 20,
		(unsigned)((st.st_size & 0xfffff) * 100 >> 20));
	look->fn(look->arg, line);
}

/* What a ferry moves, or what a standby is waited for. */
static bool
tell_status(const struct handoff__look *look, struct handoff__contact *peer)
{
	char line[256];
	const char *text;
	size_t len;

	if (handoff__contact_ask(peer, &look->call->dir, "status\n", -1,
		    handoff__now_us() + LOOK_MS * INT64_C(1000)) < 0)
		return false;
	text = handoff__contact_value(peer, "moving", NULL, &len);
	if (text) {
		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		look->fn(look->arg, line);
		return true;
	}
	text = handoff__contact_value(peer, "loading", NULL, &len);
	if (!text || strcmp(peer->role, "owner") == 0)
		return false;
	snprintf(line, sizeof(line), "waits for %s: %.*s", peer->name, (int)len,
		text);
	look->fn(look->arg, line);
	return true;
}

static void
take_look(void *arg)
{
	struct handoff__look *look = arg;

	if (look->fd >= 0) {
		tell_size(look);
		return;
	}
	for (size_t i = 0; i < look->npeers; i++) {
		if (tell_status(look, &look->peers[i]))
			return;
	}
}

void
handoff__look_begin(struct handoff__look *look, struct handoff__call *call,
	handoff_progress_fn *fn, void *arg, int fd)
{
	*look = (struct handoff__look){
		.call = call, .fn = fn, .arg = arg, .fd = fd};
	if (!fn)
		return;
	look->npeers = call->npeers;
	for (size_t i = 0; i < call->npeers; i++) {
		look->peers[i] = call->peers[i];
		look->peers[i].answer = look->peers[i].body = NULL;
	}
	call->look = take_look;
	call->look_arg = look;
}

void
handoff__look_end(struct handoff__look *look)
{
	look->call->look = NULL;
	for (size_t i = 0; i < look->npeers; i++)
		handoff__contact_free(&look->peers[i]);
	look->npeers = 0;
}
