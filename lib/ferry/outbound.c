/* SPDX-License-Identifier: MIT */
/*
 * One batch on its way to the other host: carries out what sending.c says.
 * Entries that go back are left as this ferry's own; ferry.c offers them to the
 * server. Chooses nothing, and knows nothing of the rest of the move.
 */
#include "ferry/outbound.h"

#include "ferry/bequest.h"
#include "ferry/carrier.h"
#include "ferry/letters.h"
#include "ferry/shipping.h"
#include "ferry/steer.h"
#include "peer/elsewhere.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TAKE_US      200000 /* handlers that run longer are not waited for */
#define REFUSED_MOST 2      /* times, then it is not tried any more */
#define AGAIN_US     100000 /* then an entry that came back is tried again */

const char handoff__refused_there[] = "refused by the other host";

static void act(struct handoff__freight *load, uint32_t actions);

static struct handoff__batches *
table_of(const struct handoff__ferry *ferry)
{
	return handoff__batches_of(&ferry->pair.arena);
}

static uint64_t
new_id(void)
{
	uint64_t id = 0;

	while (id == 0)
		if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
			id = (uint64_t)handoff__now_us();
	return id;
}

static void
do_take(struct handoff__freight *load)
{
	struct handoff__roster_entry *list[HANDOFF_FDPASS_MAX];
	struct handoff__pair *pair = &load->ferry->pair;
	uint32_t n = 0;

	load->wanted = 0;
	for (uint32_t i = 0; i < load->count; i++) {
		if (load->items[i].entry->mine)
			continue;
		load->wanted++;
		list[n++] = load->items[i].entry;
		if (n < HANDOFF_FDPASS_MAX && i + 1 < load->count)
			continue;
		handoff__pair_take_list(pair, list, n);
		n = 0;
	}
	if (n > 0)
		handoff__pair_take_list(pair, list, n);
	handoff__timer_arm(&load->ferry->loop, &load->timer, TAKE_US);
}

/* What has not come is not in the batch; the indices of the rest are those that
 * the gate gets. */
static void
drop_missing(struct handoff__freight *load)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < load->count; i++) {
		struct handoff__item *item = &load->items[i];

		if (item->entry && !item->entry->mine) {
			handoff__cargo(item->entry)->again_us =
				handoff__now_us() + AGAIN_US;
			handoff__cargo(item->entry)->tries++;
			handoff__shipping_part(item);
		}
		if (!item->entry)
			continue;
		load->items[n] = *item;
		handoff__cargo(item->entry)->index = (int32_t)n;
		n++;
	}
	load->count = n;
}

/* The packets of these connections; of none, if all are absent sessions. */
static int
hold_flows(struct handoff__freight *load, struct handoff__flow *flows, int *fds)
{
	uint32_t n = 0;
	int err;

	for (uint32_t i = 0; i < load->count; i++) {
		struct handoff__item *item = &load->items[i];

		item->guard = item->absent ? UINT32_MAX : n;
		if (item->absent)
			continue;
		flows[n] = item->flow;
		fds[n++] = item->entry->fd;
	}
	if (n == 0)
		return 0;
	err = handoff__gate_hold(load->ferry->gate, load->slot, load->s.id,
		HANDOFF__GATE_OUT, flows, fds, n);
	load->guarded = err == 0;
	load->held_us = handoff__now_us();
	if (err == 0)
		handoff__steer_batch(load, HANDOFF__HOOK_HOLD);
	return err;
}

static int
hold_all(struct handoff__freight *load)
{
	struct handoff__flow *flows = calloc(load->count, sizeof(*flows));
	int *fds = calloc(load->count, sizeof(*fds));
	int err = flows && fds ? hold_flows(load, flows, fds) : -ENOMEM;

	free(flows);
	free(fds);
	return err;
}

/* All came that will: their packets are held from now on. */
static void
end_take(struct handoff__freight *load)
{
	uint32_t actions, all;
	int err = 0;

	handoff__timer_disarm(&load->ferry->loop, &load->timer);
	if (load->wanted > 0)
		handoff__pair_take_no_more(&load->ferry->pair);
	load->wanted = 0;
	all = load->count;
	drop_missing(load);
	actions = handoff__sending_taken(&load->s, load->count);
	if (load->whole && load->count < all)
		err = -EBUSY;
	else if (load->count > 0)
		err = hold_all(load);
	if (err < 0) {
		handoff__log(&load->ferry->log, HANDOFF_LOG_WARNING,
			"batch: cannot hold %u connection%s: %s", load->count,
			handoff__plural(load->count), strerror(-err));
		actions = handoff__sending_give_up(&load->s);
	} else if (!load->guarded) {
		/* there is no packet to wait for */
		actions |= handoff__sending_held(&load->s);
	}
	act(load, actions);
}

static void
on_timer(struct handoff__timer *timer)
{
	struct handoff__freight *load = timer->arg;

	load->ferry->due = true;
	if (load->s.state == HANDOFF__SENDING_TAKING && !load->s.taken)
		end_take(load);
	else
		act(load, handoff__sending_give_up(&load->s));
}

void
handoff__outbound_drained(struct handoff__freight *load)
{
	if (load->s.state == HANDOFF__SENDING_SHIPPED)
		handoff__shipping_more(load);
}

static uint32_t
do_decide(struct handoff__freight *load, bool commit)
{
	struct handoff__batches *table = table_of(load->ferry);
	enum handoff__batch_state word = HANDOFF__BATCH_ABORTED;

	if (table && load->opened)
		word = commit ? handoff__batch_commit(
					table, load->slot, load->s.id)
			      : handoff__batch_abort(
					table, load->slot, load->s.id);
	return handoff__sending_word(&load->s, word);
}

static void
note_hold(struct handoff__freight *load)
{
	int64_t us = handoff__now_us() - load->held_us;

	if (load->held_us > 0 && us > load->ferry->report.hold_us)
		load->ferry->report.hold_us = (uint32_t)us;
}

static void
do_flip(struct handoff__freight *load)
{
	if (load->guarded) {
		handoff__gate_flip(load->ferry->gate, load->slot);
		handoff__steer_batch(load, HANDOFF__HOOK_FLIP);
		handoff__gate_settle(load->ferry->gate, load->slot);
	}
	load->guarded = false;
	note_hold(load);
}

static void
do_free(struct handoff__freight *load)
{
	struct handoff__batches *table = table_of(load->ferry);

	if (table && load->opened)
		handoff__batch_free(table, load->slot, load->s.id);
	load->opened = false;
}

static void
send_verdict(struct handoff__freight *load)
{
	struct handoff__letter letter = {.type = HANDOFF__LETTER_VERDICT,
		.batch = load->s.id,
		.committed = load->s.state == HANDOFF__SENDING_COMMITTED};

	handoff__letters_send(load->ferry, &letter);
}

static void
send_plain(struct handoff__freight *load, enum handoff__letter_type type)
{
	handoff__letters_plain(load->ferry, type, load->s.id);
	handoff__channel_flush(load->ferry->channel);
}

/* Answers are taken when all actions of one input are done. */
static uint32_t
answers(struct handoff__freight *load, uint32_t actions)
{
	if (actions & HANDOFF__SENDING_FREEZE)
		return handoff__shipping_freeze(load);
	if (actions & HANDOFF__SENDING_CHECK)
		return handoff__shipping_check(load);
	if (actions & (HANDOFF__SENDING_COMMIT | HANDOFF__SENDING_ABORT))
		return do_decide(load, actions & HANDOFF__SENDING_COMMIT);
	return 0;
}

static void
endings(struct handoff__freight *load, uint32_t actions)
{
	if (actions & HANDOFF__SENDING_THAW)
		handoff__shipping_thaw(load);
	if (actions & HANDOFF__SENDING_FLIP)
		do_flip(load);
	if (actions & HANDOFF__SENDING_PASS && load->guarded)
		handoff__gate_pass(load->ferry->gate, load->slot);
	if (actions & HANDOFF__SENDING_END)
		handoff__shipping_end(load);
	if (actions & HANDOFF__SENDING_FREE)
		do_free(load);
}

static void
act(struct handoff__freight *load, uint32_t actions)
{
	load->ferry->due = true;
	while (actions != 0) {
		if (actions & HANDOFF__SENDING_TAKE)
			do_take(load);
		if (actions & HANDOFF__SENDING_RETURN)
			handoff__shipping_return(load);
		if (actions & HANDOFF__SENDING_SHIP)
			handoff__shipping_ship(load);
		if (actions & HANDOFF__SENDING_SEND_WITHDRAW)
			handoff__shipping_withdraw(load);
		endings(load, actions);
		if (actions & HANDOFF__SENDING_SEND_COMMIT)
			send_plain(load, HANDOFF__LETTER_COMMIT);
		if (actions & HANDOFF__SENDING_SEND_ABORT)
			send_plain(load, HANDOFF__LETTER_ABORT);
		if (actions & HANDOFF__SENDING_SEND_VERDICT)
			send_verdict(load);
		if (actions & HANDOFF__SENDING_SEND_FORGET)
			send_plain(load, HANDOFF__LETTER_FORGET);
		actions = answers(load, actions);
	}
	if (load->s.state == HANDOFF__SENDING_COMMITTED ||
		handoff__sending_over(&load->s))
		handoff__timer_disarm(&load->ferry->loop, &load->timer);
}

static int
open_batch(struct handoff__freight *load, uint64_t id)
{
	struct handoff__ferry *ferry = load->ferry;
	struct handoff__batches *table = table_of(ferry);
	struct handoff__batch batch = {
		.id = id, .count = load->count, .peer = ferry->other.arena};
	int err = table ? handoff__batch_open(table, HANDOFF__BATCH_OUT, &batch)
			: -ENOTSUP;

	if (err < 0)
		return err;
	if (ferry->loads[batch.slot]) {
		handoff__batch_abort(table, batch.slot, id);
		handoff__batch_free(table, batch.slot, id);
		return -ENOSPC;
	}
	load->slot = batch.slot;
	load->opened = true;
	ferry->loads[batch.slot] = load;
	ferry->nloads++;
	return 0;
}

int
handoff__outbound_begin(struct handoff__ferry *ferry,
	struct handoff__roster_entry **list, uint32_t count, bool whole)
{
	struct handoff__freight *load =
		handoff__freight_make(ferry, count, true, on_timer);
	uint64_t id = new_id();
	int err;

	if (!load)
		return -ENOMEM;
	load->whole = whole;
	for (uint32_t i = 0; i < count; i++) {
		struct handoff__item *item = &load->items[load->count];

		item->absent = handoff__freight_absent(list[i]);
		if (!item->absent &&
			handoff__flow_of(list[i]->fd, &item->flow) < 0) {
			/* it has ended: the server finds out */
			handoff__cargo(list[i])->again_us =
				handoff__now_us() + AGAIN_US;
			continue;
		}
		item->entry = list[i];
		item->id = list[i]->id;
		load->count++;
	}
	err = load->count > 0 ? open_batch(load, id) : -ENOENT;
	if (err < 0) {
		free(load);
		return err;
	}
	for (uint32_t i = 0; i < load->count; i++) {
		handoff__cargo(load->items[i].entry)->load = (int)load->slot;
		handoff__cargo(load->items[i].entry)->index = (int32_t)i;
	}
	ferry->report.batches++;
	handoff__sending_init(&load->s, ferry->greeted);
	act(load, handoff__sending_begin(&load->s, id, load->count));
	if (load->s.state == HANDOFF__SENDING_TAKING && load->wanted == 0)
		end_take(load);
	return 0;
}

void
handoff__outbound_on_moved(
	struct handoff__freight *load, struct handoff__roster_entry *e)
{
	if (!e->mine || load->wanted == 0 ||
		load->s.state != HANDOFF__SENDING_TAKING)
		return;
	load->wanted--;
	if (load->wanted == 0)
		handoff__timer_arm(&load->ferry->loop, &load->timer, 0);
}

void
handoff__outbound_on_closing(
	struct handoff__freight *load, struct handoff__roster_entry *e)
{
	struct handoff__item *item = &load->items[handoff__cargo(e)->index];

	if (item->entry != e)
		return;
	if (!e->mine && load->wanted > 0 && --load->wanted == 0)
		handoff__timer_arm(&load->ferry->loop, &load->timer, 0);
	handoff__shipping_part(item);
}

void
handoff__outbound_on_held(struct handoff__freight *load, int err)
{
	if (err < 0)
		act(load, handoff__sending_give_up(&load->s));
	else
		act(load, handoff__sending_held(&load->s));
}

void
handoff__outbound_on_link(struct handoff__freight *load, bool up)
{
	if (up && !handoff__freight_is_ready(load))
		return;
	act(load, handoff__sending_link(&load->s, up));
}

void
handoff__outbound_give_up(struct handoff__freight *load)
{
	act(load, handoff__sending_give_up(&load->s));
}

void
handoff__outbound_drop(struct handoff__freight *load)
{
	act(load, handoff__sending_lost(&load->s));
}

/* Marks what the other host has refused; returns how many are still in it. */
static uint32_t
mark_refused(
	struct handoff__freight *load, const struct handoff__letter *letter)
{
	uint32_t refused = 0;

	for (uint32_t i = 0; i < letter->nnamed; i++) {
		const struct handoff__letter_named *named = &letter->named[i];
		struct handoff__item *item;

		if (named->index >= load->count)
			continue;
		item = &load->items[named->index];
		if (!item->entry)
			continue;
		handoff__log(&load->ferry->log, HANDOFF_LOG_INFO,
			"connection %llu: refused by the other host: %s",
			(unsigned long long)item->id, named->why);
		item->named = item->refused = true;
		item->word = handoff__cargo(item->entry)->tries >= REFUSED_MOST
				     ? handoff__refused_there
				     : NULL;
		handoff__copy(load->ferry->refusal,
			sizeof(load->ferry->refusal), named->why);
		refused++;
	}
	return refused;
}

static void
on_prepared(struct handoff__freight *load, const struct handoff__letter *letter)
{
	uint32_t refused = mark_refused(load, letter);

	if (load->whole && refused > 0)
		act(load, handoff__sending_give_up(&load->s));
	else
		act(load, handoff__sending_prepared(
				  &load->s, letter->round, refused));
}

void
handoff__outbound_verdict(struct handoff__ferry *ferry, uint64_t batch)
{
	struct handoff__letter verdict = {.type = HANDOFF__LETTER_VERDICT,
		.batch = batch,
		.committed = handoff__bequest_committed(ferry, batch)};

	handoff__letters_send(ferry, &verdict);
}

/* About a batch that is not in the table any more. */
static void
answer_unknown(
	struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	if (letter->type == HANDOFF__LETTER_QUERY &&
		!handoff__bequest_early(ferry, letter->batch, true)) {
		handoff__outbound_verdict(ferry, letter->batch);
	} else if (letter->type == HANDOFF__LETTER_SERVING) {
		handoff__letters_plain(
			ferry, HANDOFF__LETTER_FORGET, letter->batch);
		handoff__bequest_drop(ferry, letter->batch);
	}
}

void
handoff__outbound_on_letter(
	struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	struct handoff__freight *load =
		handoff__freight_find(ferry, true, letter->batch);
	struct handoff__sending *s = load ? &load->s : NULL;

	if (!load) {
		answer_unknown(ferry, letter);
		return;
	}
	if (!handoff__freight_is_ready(load))
		return;
	switch ((enum handoff__letter_type)letter->type) {
	case HANDOFF__LETTER_PREPARED:
		on_prepared(load, letter);
		return;
	case HANDOFF__LETTER_SERVING:
		act(load, handoff__sending_serving(s));
		return;
	case HANDOFF__LETTER_ABORT:
		handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
			"batch: the other host has given it up: %s",
			letter->text);
		act(load, handoff__sending_give_up(s));
		return;
	case HANDOFF__LETTER_QUERY:
		act(load, handoff__sending_query(s));
		return;
	case HANDOFF__LETTER_LOST:
		handoff__log(&ferry->log, HANDOFF_LOG_ERROR,
			"batch: the other host has lost %u connection%s",
			load->s.count, handoff__plural(load->s.count));
		act(load, handoff__sending_lost(s));
		return;
	default:
		return;
	}
}

int
handoff__outbound_resume(
	struct handoff__ferry *ferry, const struct handoff__batch *batch)
{
	struct handoff__freight *load =
		handoff__freight_make(ferry, 0, true, on_timer);

	if (!load)
		return -ENOMEM;
	load->slot = batch->slot;
	load->opened = load->resumed = true;
	ferry->loads[batch->slot] = load;
	ferry->nloads++;
	act(load, handoff__sending_resume(&load->s, batch->id, batch->count,
			  handoff__batch_state(batch->word)));
	return 0;
}

bool
handoff__outbound_over(const struct handoff__freight *load)
{
	return handoff__sending_over(&load->s);
}

void
handoff__outbound_free(struct handoff__freight *load)
{
	struct handoff__ferry *ferry = load->ferry;

	handoff__timer_disarm(&ferry->loop, &load->timer);
	for (uint32_t i = 0; i < load->count; i++)
		handoff__shipping_part(&load->items[i]);
	ferry->loads[load->slot] = NULL;
	ferry->nloads--;
	free(load);
}

bool
handoff__outbound_leaves(const struct handoff__ferry *ferry)
{
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		const struct handoff__freight *load = ferry->loads[i];

		if (load && load->out &&
			load->s.state == HANDOFF__SENDING_COMMITTED)
			return true;
	}
	return false;
}

uint32_t
handoff__outbound_open(const struct handoff__ferry *ferry)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		const struct handoff__freight *load = ferry->loads[i];

		count += load && load->out && !load->resumed &&
			 !handoff__sending_over(&load->s);
	}
	return count;
}

uint32_t
handoff__outbound_here(const struct handoff__ferry *ferry)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		const struct handoff__freight *load = ferry->loads[i];

		count += load && load->out && !load->resumed &&
			 load->s.state < HANDOFF__SENDING_SHIPPED;
	}
	return count;
}
