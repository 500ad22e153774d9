/* SPDX-License-Identifier: MIT */
/*
 * Tells the hook which flows of a batch wait, come back, or have moved. Decides
 * nothing.
 */
#include "ferry/steer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
handoff__steer_open(struct handoff__ferry *ferry)
{
	if (!ferry->options.hook)
		return 0;
	return handoff__hook_open(&ferry->hook, &ferry->loop,
		ferry->options.hook, 0, &ferry->error);
}

void
handoff__steer_close(struct handoff__ferry *ferry)
{
	handoff__hook_close(&ferry->hook);
}

static void
note_failure(struct handoff__ferry *ferry, const char *why)
{
	handoff__copy(ferry->hook_text, sizeof(ferry->hook_text), why);
	handoff__log(&ferry->log, HANDOFF_LOG_ERROR, "%s", why);
}

static void
on_done(void *arg, int err, const char *why)
{
	struct handoff__ferry *ferry = arg;

	if (err < 0)
		note_failure(ferry, why);
	else
		ferry->hook_text[0] = '\0';
}

static void
run(struct handoff__ferry *ferry, enum handoff__hook_verb verb,
	const struct handoff__flow *flows, uint32_t count)
{
	char why[HANDOFF_TEXT_MAX];
	int err = handoff__hook_run(
		&ferry->hook, verb, flows, count, on_done, ferry);

	if (err == 0)
		return;
	snprintf(why, sizeof(why), "hook %.200s: it cannot be run: %s",
		ferry->options.hook,
		err == -ENOBUFS ? "too many runs of it wait" : strerror(-err));
	note_failure(ferry, why);
}

void
handoff__steer_some(struct handoff__freight *load, enum handoff__hook_verb verb,
	const uint32_t *indices, uint32_t count)
{
	struct handoff__flow *flows;
	uint32_t n = 0;

	if (!load->ferry->options.hook || count == 0)
		return;
	flows = calloc(count, sizeof(*flows));
	if (!flows) {
		note_failure(load->ferry, "hook: no memory for flows");
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct handoff__item *item = &load->items[indices[i]];

		if (!item->absent)
			flows[n++] = item->flow;
	}
	if (n > 0)
		run(load->ferry, verb, flows, n);
	free(flows);
}

void
handoff__steer_batch(
	struct handoff__freight *load, enum handoff__hook_verb verb)
{
	uint32_t *indices, n = 0;

	if (!load->ferry->options.hook || load->count == 0)
		return;
	indices = calloc(load->count, sizeof(*indices));
	if (!indices) {
		note_failure(load->ferry, "hook: no memory for flows");
		return;
	}
	for (uint32_t i = 0; i < load->count; i++) {
		if (load->items[i].entry)
			indices[n++] = i;
	}
	handoff__steer_some(load, verb, indices, n);
	free(indices);
}

void
handoff__steer_final(struct handoff__ferry *ferry)
{
	if (ferry->options.hook)
		run(ferry, HANDOFF__HOOK_FINAL, NULL, 0);
}
