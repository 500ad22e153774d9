/* SPDX-License-Identifier: MIT */
/*
 * One batch on its way to this host: carries out what receiving.c says, and
 * decides its word in the table. What is done with its connections is
 * unloading.c's.
 */
#include "ferry/inbound.h"

#include "ferry/bequest.h"
#include "ferry/carrier.h"
#include "ferry/landing.h"
#include "ferry/letters.h"
#include "ferry/salvage.h"
#include "ferry/unloading.h"
#include "record/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREPARE_US 8000000 /* the server may take to confirm its copies */

static void act(struct handoff__freight *load, uint32_t actions);

static struct handoff__batches *
table_of(const struct handoff__ferry *ferry)
{
	return handoff__batches_of(&ferry->pair.arena);
}

static void
prepare_ready(struct handoff__freight *load)
{
	if (!handoff__unloading_prepare(load) || !load->end_came)
		return;
	load->end_came = false;
	act(load, handoff__receiving_end(&load->r));
}

static int
open_batch(struct handoff__freight *load, uint32_t count)
{
	struct handoff__ferry *ferry = load->ferry;
	struct handoff__batches *table = table_of(ferry);
	struct handoff__batch batch = {
		.id = load->r.id, .count = count, .peer = ferry->other.arena};
	int err = table ? handoff__batch_open(table, HANDOFF__BATCH_IN, &batch)
			: -ENOTSUP;

	if (err < 0)
		return err;
	if (ferry->loads[batch.slot]) {
		handoff__batch_abort(table, batch.slot, batch.id);
		handoff__batch_free(table, batch.slot, batch.id);
		return -ENOSPC;
	}
	load->slot = batch.slot;
	load->opened = true;
	ferry->loads[batch.slot] = load;
	ferry->nloads++;
	return 0;
}

static uint32_t
do_decide(struct handoff__freight *load, bool commit)
{
	struct handoff__batches *table = table_of(load->ferry);
	enum handoff__batch_state word = HANDOFF__BATCH_ABORTED;

	if (table && load->opened)
		word = commit ? handoff__batch_commit(
					table, load->slot, load->r.id)
			      : handoff__batch_abort(
					table, load->slot, load->r.id);
	return handoff__receiving_word(&load->r, word);
}

static void
do_free(struct handoff__freight *load)
{
	struct handoff__batches *table = table_of(load->ferry);

	if (load->opened)
		handoff__keep_drop(&load->ferry->pair.arena, load->slot);
	if (table && load->opened)
		handoff__batch_free(table, load->slot, load->r.id);
	load->opened = false;
	if (load->guarded)
		handoff__gate_forget(load->ferry->gate, load->slot);
	load->guarded = false;
}

static void
send_plain(struct handoff__freight *load, enum handoff__letter_type type)
{
	handoff__letters_plain(load->ferry, type, load->r.id);
	handoff__channel_flush(load->ferry->channel);
}

static void
send_early(struct handoff__freight *load, uint32_t actions)
{
	if (actions & HANDOFF__RECEIVING_SEND_PREPARED)
		handoff__unloading_report(load);
	if (actions & HANDOFF__RECEIVING_SEND_QUERY)
		send_plain(load, HANDOFF__LETTER_QUERY);
}

static void
act(struct handoff__freight *load, uint32_t actions)
{
	load->ferry->due = true;
	if (load->resumed && actions != 0)
		handoff__unloading_collect(load);
	while (actions != 0) {
		uint32_t next = 0;

		if (actions & HANDOFF__RECEIVING_GUARD)
			handoff__unloading_guard(load);
		if (actions & HANDOFF__RECEIVING_DROP)
			handoff__unloading_drop(load);
		send_early(load, actions);
		if (actions &
			(HANDOFF__RECEIVING_COMMIT | HANDOFF__RECEIVING_ABORT))
			next = do_decide(
				load, actions & HANDOFF__RECEIVING_COMMIT);
		if (actions & HANDOFF__RECEIVING_ABANDON)
			handoff__unloading_abandon(load);
		if (actions & HANDOFF__RECEIVING_FINISH)
			handoff__unloading_finish(load);
		if (actions & HANDOFF__RECEIVING_OFFER)
			handoff__unloading_offer(load);
		if (actions & HANDOFF__RECEIVING_SEND_SERVING)
			send_plain(load, HANDOFF__LETTER_SERVING);
		if (actions & HANDOFF__RECEIVING_FREE)
			do_free(load);
		if (actions & HANDOFF__RECEIVING_SEND_ABORT)
			handoff__letters_text(load->ferry,
				HANDOFF__LETTER_ABORT, load->r.id, load->why);
		if (actions & HANDOFF__RECEIVING_SEND_LOST)
			send_plain(load, HANDOFF__LETTER_LOST);
		if (actions & HANDOFF__RECEIVING_GUARD && load->guard_empty)
			next |= handoff__receiving_guarded(&load->r);
		else if (actions & HANDOFF__RECEIVING_GUARD &&
			 load->guard_failed)
			next |= handoff__receiving_give_up(&load->r);
		actions = next;
	}
}

static void
give_up(struct handoff__freight *load, const char *why)
{
	handoff__copy(load->why, sizeof(load->why), why);
	act(load, handoff__receiving_give_up(&load->r));
}

static void
on_timer(struct handoff__timer *timer)
{
	give_up(timer->arg, "the server has not confirmed its copies in time");
}

static void
on_batch(struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	struct handoff__freight *load =
		handoff__freight_make(ferry, letter->count, false, on_timer);
	int err = -ENOMEM;

	if (load) {
		handoff__receiving_init(&load->r, true);
		handoff__receiving_begin(
			&load->r, letter->batch, letter->count);
		err = handoff__carrier_has_server(ferry)
			      ? open_batch(load, letter->count)
			      : -ENOTCONN;
	}
	if (err < 0) {
		handoff__letters_text(ferry, HANDOFF__LETTER_ABORT,
			letter->batch,
			err == -ENOTCONN ? "no server is there to serve it"
					 : strerror(-err));
		free(load);
		return;
	}
	ferry->report.batches++;
	handoff__timer_arm(&ferry->loop, &load->timer, PREPARE_US);
}

static void
take_entry(struct handoff__freight *load, const struct handoff__letter *letter)
{
	uint32_t actions = handoff__receiving_entry(&load->r);
	struct handoff__item *item = &load->items[load->count];
	size_t len = (size_t)letter->parcel_len + letter->image_len;

	if (!(actions & HANDOFF__RECEIVING_PREPARE)) {
		act(load, actions);
		return;
	}
	item->index = letter->index;
	item->restore.fd = -1;
	item->parcel_len = letter->parcel_len;
	item->image_len = letter->image_len;
	item->body = malloc(len + 1);
	if (!item->body) {
		give_up(load, "no memory");
		return;
	}
	memcpy(item->body, letter->parcel, letter->parcel_len);
	memcpy(item->body + letter->parcel_len, letter->image,
		letter->image_len);
	load->count++;
	prepare_ready(load);
}

void
handoff__inbound_on_room(struct handoff__ferry *ferry, int err)
{
	ferry->taker.room = false;
	if (err < 0)
		handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
			"no room for connections: %s", strerror(-err));
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		struct handoff__freight *load = ferry->loads[i];

		if (!load || load->out)
			continue;
		if (load->r.state == HANDOFF__RECEIVING_COLLECTING)
			prepare_ready(load);
	}
}

static void
answer_unknown(
	struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	if (letter->type == HANDOFF__LETTER_BATCH)
		on_batch(ferry, letter);
	else if (letter->type == HANDOFF__LETTER_COMMIT &&
		 !handoff__bequest_early(ferry, letter->batch, false))
		handoff__letters_plain(
			ferry, HANDOFF__LETTER_LOST, letter->batch);
}

/* What an earlier ferry has left, without the server that has it: this ferry
 * asks again. */
static bool
lacks_entries(const struct handoff__freight *load)
{
	return load->resumed && !handoff__carrier_has_server(load->ferry);
}

void
handoff__inbound_commit(struct handoff__ferry *ferry, uint64_t batch)
{
	struct handoff__freight *load =
		handoff__freight_find(ferry, false, batch);

	if (load)
		act(load, handoff__receiving_commit(&load->r));
	else
		handoff__letters_plain(ferry, HANDOFF__LETTER_LOST, batch);
}

void
handoff__inbound_on_letter(
	struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	struct handoff__freight *load =
		handoff__freight_find(ferry, false, letter->batch);
	struct handoff__receiving *r = load ? &load->r : NULL;

	if (!load) {
		answer_unknown(ferry, letter);
		return;
	}
	if (!handoff__freight_is_ready(load))
		return;
	switch ((enum handoff__letter_type)letter->type) {
	case HANDOFF__LETTER_ENTRY:
		take_entry(load, letter);
		return;
	case HANDOFF__LETTER_END:
		load->end_came = true;
		prepare_ready(load);
		return;
	case HANDOFF__LETTER_WITHDRAW:
		handoff__unloading_withdraw(load, letter);
		act(load, handoff__receiving_withdrawn(r, letter->round));
		return;
	case HANDOFF__LETTER_COMMIT:
		if (!lacks_entries(load))
			act(load, handoff__receiving_commit(r));
		return;
	case HANDOFF__LETTER_ABORT:
		act(load, handoff__receiving_abort(r));
		return;
	case HANDOFF__LETTER_VERDICT:
		if (!lacks_entries(load))
			act(load, letter->committed
					  ? handoff__receiving_commit(r)
					  : handoff__receiving_abort(r));
		return;
	case HANDOFF__LETTER_FORGET:
		act(load, handoff__receiving_forget(r));
		return;
	default:
		return;
	}
}

void
handoff__inbound_proceed(struct handoff__freight *load)
{
	uint32_t refused;

	if (load->r.state == HANDOFF__RECEIVING_PREPARING) {
		if (!handoff__carrier_has_server(load->ferry))
			give_up(load, "its server has gone");
		else if (!load->r.held &&
			 handoff__unloading_answered(load, &refused))
			act(load, handoff__receiving_held(&load->r, refused));
	}
	if (load->r.state == HANDOFF__RECEIVING_COMMITTED &&
		handoff__unloading_served(load) &&
		(!load->resumed || handoff__salvage_done(load)))
		act(load, handoff__receiving_served(&load->r));
	if (load->r.state != HANDOFF__RECEIVING_COLLECTING &&
		load->r.state != HANDOFF__RECEIVING_PREPARING)
		handoff__timer_disarm(&load->ferry->loop, &load->timer);
}

void
handoff__inbound_on_held(struct handoff__freight *load, int err)
{
	if (err < 0)
		give_up(load, "its gate has refused it");
	else
		act(load, handoff__receiving_guarded(&load->r));
}

void
handoff__inbound_on_link(struct handoff__freight *load, bool up)
{
	if (up && !handoff__freight_is_ready(load))
		return;
	act(load, handoff__receiving_link(&load->r, up));
}

void
handoff__inbound_on_closing(
	struct handoff__freight *load, struct handoff__roster_entry *e)
{
	struct handoff__item *item = &load->items[handoff__cargo(e)->index];

	if (item->entry == e)
		handoff__landing_part(item);
}

void
handoff__inbound_give_up(struct handoff__freight *load)
{
	give_up(load, "it was broken off");
}

void
handoff__inbound_settle(struct handoff__freight *load, bool here)
{
	act(load, here ? handoff__receiving_commit(&load->r)
		       : handoff__receiving_abort(&load->r));
}

bool
handoff__inbound_over(const struct handoff__freight *load)
{
	return handoff__receiving_over(&load->r);
}

void
handoff__inbound_ask(struct handoff__freight *load)
{
	if (!load->r.up)
		return;
	if (handoff__receiving_in_doubt(&load->r))
		send_plain(load, HANDOFF__LETTER_QUERY);
	else if (load->r.state == HANDOFF__RECEIVING_SERVING)
		send_plain(load, HANDOFF__LETTER_SERVING);
}

void
handoff__inbound_found(
	struct handoff__freight *load, const struct handoff__gate_found *found)
{
	if (found->images >= 0 && !load->images.data)
		handoff__images_map(&load->images, found->images);
}

void
handoff__inbound_free(struct handoff__freight *load)
{
	struct handoff__ferry *ferry = load->ferry;

	handoff__timer_disarm(&ferry->loop, &load->timer);
	for (uint32_t i = 0; i < load->count; i++) {
		if (load->items[i].entry &&
			load->items[i].entry->id == load->items[i].id)
			handoff__landing_part(&load->items[i]);
		if (load->items[i].body)
			explicit_bzero(load->items[i].body,
				(size_t)load->items[i].parcel_len +
					load->items[i].image_len);
		free(load->items[i].body);
	}
	handoff__images_unmap(&load->images);
	ferry->loads[load->slot] = NULL;
	ferry->nloads--;
	free(load);
}

int
handoff__inbound_resume(
	struct handoff__ferry *ferry, const struct handoff__batch *batch)
{
	struct handoff__freight *load =
		handoff__freight_make(ferry, batch->count, false, on_timer);
	int fd;

	if (!load)
		return -ENOMEM;
	load->slot = batch->slot;
	load->opened = load->resumed = true;
	load->resumed_us = handoff__now_us();
	fd = handoff__keep_get(&ferry->pair.arena, batch->slot, batch->id);
	if (fd >= 0) {
		handoff__images_map(&load->images, fd);
		close(fd);
	}
	ferry->loads[batch->slot] = load;
	ferry->nloads++;
	act(load, handoff__receiving_resume(&load->r, batch->id, batch->count,
			  handoff__batch_state(batch->word)));
	return 0;
}
