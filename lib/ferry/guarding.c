/* SPDX-License-Identifier: MIT */
/*
 * The gate of this ferry: opened, told where the words of the batches are, and
 * what it says passed on. Takes up the batches that an earlier ferry has left.
 */
#include "ferry/guarding.h"

#include "ferry/bequest.h"
#include "ferry/course.h"
#include "ferry/drain.h"
#include "ferry/inbound.h"
#include "ferry/mover.h"
#include "ferry/outbound.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Batches that the gate still has, and whose words are free: what was flipped
 * stays so. */
static void
forget_strays(struct handoff__ferry *ferry)
{
	for (uint32_t i = 0; i < HANDOFF__GATE_SLOTS; i++) {
		if (!(ferry->strays >> i & 1))
			continue;
		if (handoff__gate_settle(ferry->gate, i) < 0)
			handoff__gate_pass(ferry->gate, i);
	}
	ferry->strays = 0;
}

/* Now these can be decided. */
static void
link_resumed(struct handoff__ferry *ferry)
{
	for (uint32_t i = 0; ferry->greeted && i < HANDOFF__BATCHES; i++) {
		struct handoff__freight *load = ferry->loads[i];

		if (!load || !load->resumed)
			continue;
		if (load->out)
			handoff__outbound_on_link(load, true);
		else
			handoff__inbound_on_link(load, true);
	}
}

/* A batch of an earlier ferry that is the other host's, and of which the helper
 * knows nothing. */
static bool
has_unguarded(const struct handoff__ferry *ferry)
{
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		const struct handoff__freight *load = ferry->loads[i];

		if (load && load->out && load->resumed && !load->guarded &&
			load->s.state == HANDOFF__SENDING_COMMITTED)
			return true;
	}
	return false;
}

/* The helper of an earlier ferry has died too, and with it what it knew of the
 * connections that have moved. */
static void
begin_to_seek(struct handoff__ferry *ferry)
{
	handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
		"gate: nobody knows any more which connections have moved: "
		"packets of those that this host does not have are for the "
		"other one");
	handoff__gate_seek(ferry->gate, true);
	handoff__gate_rule(ferry->gate, true);
}

/* Where the addresses are not here, nor does a connection begin here. */
static void
keep_seeking(struct handoff__ferry *ferry)
{
	struct handoff__gate *gate = ferry->gate;
	bool here = ferry->site == HANDOFF__FERRY_HERE;
	enum handoff__gate_verdict unknown =
		here ? HANDOFF__GATE_PASS : HANDOFF__GATE_FLIP;

	if (!gate || !handoff__gate_is_ready(gate) ||
		!handoff__gate_is_seeking(gate) || handoff__course_runs(ferry))
		return;
	ferry->mover.ruled = true;
	if (handoff__gate_unknown(gate) != unknown)
		handoff__gate_default(gate, unknown);
	if (ferry->site == HANDOFF__FERRY_THERE && !ferry->mover.draining)
		handoff__drain_begin(ferry);
}

/* What was asked before the words were read. A link that has broken meanwhile
 * asks again. */
static void
answer_early(struct handoff__ferry *ferry)
{
	uint32_t n = ferry->nearly;

	ferry->nearly = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct handoff__early *e = &ferry->early[i];
		struct handoff__freight *load =
			handoff__freight_find(ferry, true, e->batch);

		if (!e->query)
			handoff__inbound_commit(ferry, e->batch);
		else if (!load)
			handoff__outbound_verdict(ferry, e->batch);
	}
}

static void
on_gate_ready(void *arg, const char *how, bool leftover)
{
	struct handoff__ferry *ferry = arg;

	snprintf(ferry->gate_text, sizeof(ferry->gate_text), "%s", how);
	handoff__log(&ferry->log, HANDOFF_LOG_DEBUG, "gate: ready, %s", how);
	if (ferry->greeted)
		handoff__gate_target(
			ferry->gate, ferry->device.ifindex, ferry->other.mac);
	if (leftover || has_unguarded(ferry))
		begin_to_seek(ferry);
	keep_seeking(ferry);
	forget_strays(ferry);
	link_resumed(ferry);
	answer_early(ferry);
	/* asked while there was none */
	if (ferry->gate_answered != ferry->gate_asked)
		handoff__gate_count(ferry->gate);
	ferry->due = true;
}

static void
on_gate_table(void *arg, int segment_fd, uint64_t offset)
{
	handoff__bequest_read(arg, segment_fd, offset);
}

static void
on_gate_found(void *arg, struct handoff__gate_found *found)
{
	struct handoff__ferry *ferry = arg;
	struct handoff__freight *load = found->slot < HANDOFF__BATCHES
						? ferry->loads[found->slot]
						: NULL;

	if (found->verdict == HANDOFF__GATE_FLIP)
		ferry->mover.ruled = true;
	if (found->slot >= HANDOFF__GATE_SLOTS)
		return;
	if (!load || (load->out ? load->s.id : load->r.id) != found->id) {
		ferry->strays |= UINT64_C(1) << found->slot;
		return;
	}
	load->guarded = true;
	if (!load->out)
		handoff__inbound_found(load, found);
}

static void
on_gate_held(void *arg, uint32_t slot, int err, const char *text)
{
	struct handoff__ferry *ferry = arg;
	struct handoff__freight *load =
		slot < HANDOFF__BATCHES ? ferry->loads[slot] : NULL;

	if (err < 0)
		handoff__log(&ferry->log, HANDOFF_LOG_ERROR,
			"gate: cannot hold: %s", text ? text : strerror(-err));
	if (load && load->out)
		handoff__outbound_on_held(load, err);
	else if (load)
		handoff__inbound_on_held(load, err);
	ferry->due = true;
}

static void
on_gate_ruled(void *arg, bool on, int err, const char *text)
{
	handoff__mover_on_ruled(arg, on, err, text);
}

static void
on_gate_counted(void *arg, const struct handoff__gate_counts *counts)
{
	struct handoff__ferry *ferry = arg;

	ferry->gate_counts = *counts;
	ferry->gate_answered++;
	ferry->due = true;
}

/* Packets that were held may have passed: nothing that was frozen is sure. */
static void
on_gate_lost(void *arg, const char *text)
{
	struct handoff__ferry *ferry = arg;

	snprintf(ferry->gate_text, sizeof(ferry->gate_text), "%s", text);
	handoff__log(&ferry->log, HANDOFF_LOG_ERROR, "gate: %s", text);
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		if (ferry->loads[i] && ferry->loads[i]->out)
			handoff__outbound_give_up(ferry->loads[i]);
	}
	ferry->gate_answered = ferry->gate_asked;
	ferry->due = true;
}

static void
on_gate_failed(void *arg, int err, const char *text)
{
	struct handoff__ferry *ferry = arg;

	(void)err;
	if (strcmp(ferry->gate_text, text) != 0)
		handoff__log(&ferry->log, HANDOFF_LOG_ERROR, "gate: %s", text);
	snprintf(ferry->gate_text, sizeof(ferry->gate_text), "%s", text);
}

static const struct handoff__gate_ops gate_ops = {
	.ready = on_gate_ready,
	.table = on_gate_table,
	.found = on_gate_found,
	.held = on_gate_held,
	.ruled = on_gate_ruled,
	.counted = on_gate_counted,
	.lost = on_gate_lost,
	.failed = on_gate_failed,
};

/* Batches that a ferry before this one has opened, before the gate says what
 * it still has of them. */
static void
resume_batches(struct handoff__ferry *ferry)
{
	struct handoff__batches *table =
		handoff__batches_of(&ferry->pair.arena);
	struct handoff__batch batch = {.slot = 0};

	if (!table)
		return;
	handoff__batches_recover(table);
	for (; handoff__batch_next(table, &batch); batch.slot++) {
		if (ferry->loads[batch.slot])
			continue;
		if (handoff__batch_way(batch.word) == HANDOFF__BATCH_OUT)
			handoff__outbound_resume(ferry, &batch);
		else
			handoff__inbound_resume(ferry, &batch);
	}
}

static void
open_gate(struct handoff__ferry *ferry)
{
	struct handoff__gate_address addresses[HANDOFF__PREFIXES];
	struct handoff__gate_opts opts = {.loop = &ferry->loop,
		.dir = &ferry->dir,
		.addresses = addresses,
		.naddresses = ferry->nprefixes,
		.log_fd = STDERR_FILENO,
		.ops = &gate_ops,
		.arg = ferry};
	struct stat st = {.st_ino = 0};
	char name[HANDOFF_NAME_MAX];

	for (uint32_t i = 0; i < ferry->nprefixes; i++) {
		addresses[i].family = ferry->prefixes[i].family;
		memcpy(addresses[i].ip, ferry->prefixes[i].ip, 16);
	}
	/* a host may have ferries of several services of one name, and each
	 * finds the rules that the one before it has left */
	fstat(ferry->dir.fd, &st);
	snprintf(name, sizeof(name), "%.14s-%016llx", ferry->options.name,
		(unsigned long long)st.st_ino ^ (unsigned long long)st.st_dev
							<< 40);
	opts.name = name;
	if (handoff__gate_open(&ferry->gate, &opts, &ferry->error) < 0)
		on_gate_failed(ferry, -EINVAL, ferry->error.text);
}

/* The helper decides by the batches' words, so it has to know where they
 * are. */
void
handoff__guarding_keep(struct handoff__ferry *ferry)
{
	const struct handoff__segment *commons =
		handoff__arena_commons(&ferry->pair.arena);
	uint64_t id = handoff__core_arena_id(&ferry->pair);

	if (!commons || id == 0) {
		/* then nobody else has words of batches */
		if (!ferry->gate && ferry->joined &&
			ferry->pair.partner == HANDOFF__PARTNER_NONE)
			open_gate(ferry);
		keep_seeking(ferry);
		return;
	}
	if (id != ferry->table_arena) {
		ferry->table_arena = id;
		resume_batches(ferry);
	}
	if (!ferry->gate)
		open_gate(ferry);
	keep_seeking(ferry);
	if (!ferry->gate || id == ferry->gate_arena)
		return;
	ferry->gate_arena = id;
	handoff__gate_arena(ferry->gate, commons->fd, commons->geo.batches);
}
