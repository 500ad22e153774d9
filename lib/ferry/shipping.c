/* SPDX-License-Identifier: MIT */
/*
 * The connections of a batch on its way to the other host: frozen, described,
 * sent, checked; brought back, or ended. Which of these when is sending.c's,
 * and how entries come is outbound.c's.
 */
#include "ferry/shipping.h"

#include "base/progress.h"
#include "ferry/carrier.h"
#include "ferry/letters.h"
#include "ferry/steer.h"
#include "peer/elsewhere.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_US    2000000 /* how long the other host may prepare */
#define SHIP_MOST    32      /* entries that leave together */
#define RELEASE_MOST 64
#define AGAIN_US     100000 /* then an entry that came back is tried again */

/* The item's entry is in no batch any more. */
void
handoff__shipping_part(struct handoff__item *item)
{
	struct handoff__cargo *cargo;

	if (!item->entry)
		return;
	cargo = handoff__cargo(item->entry);
	cargo->load = cargo->index = -1;
	item->entry = NULL;
	if (item->frozen)
		handoff__image_free(&item->image);
	item->frozen = false;
}

/* It stays: for ever if `word` says why, otherwise it is tried again. */
static void
put_back(struct handoff__freight *load, struct handoff__item *item,
	const char *word)
{
	struct handoff__ferry *ferry = load->ferry;
	struct handoff__roster_entry *e = item->entry;
	struct handoff__cargo *cargo = handoff__cargo(e);
	struct handoff__error error;
	uint32_t slot;

	if (item->frozen &&
		handoff__migrate_unfreeze(e->fd, &item->image, &error) < 0)
		handoff__log(&ferry->log, HANDOFF_LOG_ERROR,
			"connection %llu: cannot be unfrozen: %s",
			(unsigned long long)e->id, error.text);
	if (handoff__entry_elsewhere(e, &slot))
		handoff__pair_return(&ferry->pair, e);
	cargo->tries++;
	cargo->again_us = handoff__now_us() + AGAIN_US;
	cargo->why = word;
	ferry->due = ferry->returns = true;
	handoff__shipping_part(item);
}

/* Tells the gate that these stay, as far as it has them. */
static void
release(struct handoff__freight *load, const uint32_t *indices, uint32_t count)
{
	uint32_t guards[RELEASE_MOST], n = 0;

	for (uint32_t i = 0; load->guarded && i < count; i++) {
		if (load->items[indices[i]].guard != UINT32_MAX)
			guards[n++] = load->items[indices[i]].guard;
		if (n == 0 || (n < RELEASE_MOST && i + 1 < count))
			continue;
		handoff__gate_release(load->ferry->gate, load->slot, guards, n);
		n = 0;
	}
	if (load->guarded)
		handoff__steer_some(load, HANDOFF__HOOK_PASS, indices, count);
}

/* Why a connection does not go now, in a few words, or NULL; `*forever`: nor
 * later. */
static const char *
objection(struct handoff__item *item, bool *forever)
{
	enum handoff__unparcelled why =
		handoff__parcel_refuse(&item->entry->view, NULL);

	*forever = why != HANDOFF__PARCEL_FINE && why != HANDOFF__PARCEL_TURN &&
		   why != HANDOFF__PARCEL_INBOX && why != HANDOFF__PARCEL_OLDER;
	/* nobody takes them while there is no connection */
	if (why == HANDOFF__PARCEL_POSTS)
		*forever = item->absent;
	return why == HANDOFF__PARCEL_FINE ? NULL : handoff__parcel_word(why);
}

/* Bytes that go with it in one message. */
static size_t
weight(const struct handoff__item *item)
{
	const struct handoff__geometry *geo = &item->entry->view.seg->geo;
	size_t image = item->absent ? HANDOFF__PARCEL_POSTS_MOST
				    : handoff__image_size(&item->image);

	return image + 4096u + geo->state_size + (size_t)geo->rx_size * 2 +
	       geo->tx_size + geo->pass_size;
}

/* Whether it is what it was when the batch began: the socket of a session may
 * have ended since. */
static bool
has_changed(const struct handoff__item *item)
{
	const struct handoff__view *view = &item->entry->view;

	return item->absent != (!handoff__older(view->seg) &&
				       handoff__record_absent(view->rec) != 0);
}

/* True if it is frozen and in the batch. */
static bool
freeze_one(struct handoff__freight *load, struct handoff__item *item)
{
	struct handoff__ferry *ferry = load->ferry;
	struct handoff__roster_entry *e = item->entry;
	struct handoff__error error;
	bool forever = false;
	const char *why = objection(item, &forever);
	int err = 0;

	if (why || has_changed(item) ||
		!handoff__pair_send_away(&ferry->pair, e, load->slot)) {
		put_back(load, item, forever ? why : NULL);
		return false;
	}
	if (!item->absent) {
		err = handoff__migrate_freeze(e->fd, &item->image, &error);
		item->frozen = err == 0;
	}
	if (err == 0 && weight(item) <= HANDOFF__LETTER_ENTRY_MAX)
		return true;
	if (err == 0)
		why = "buffers too large";
	else if (err == -EOPNOTSUPP)
		why = handoff__unmovable_word(
			handoff__migrate_refuse(e->fd, &error));
	else if (err != -EAGAIN)
		handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
			"connection %llu: %s", (unsigned long long)e->id,
			error.text);
	put_back(load, item, why);
	return false;
}

uint32_t
handoff__shipping_freeze(struct handoff__freight *load)
{
	uint32_t *back = calloc(load->count, sizeof(*back));
	uint32_t frozen = 0, n = 0;

	for (uint32_t i = 0; i < load->count; i++) {
		struct handoff__item *item = &load->items[i];

		if (item->entry && freeze_one(load, item))
			frozen++;
		else if (back)
			back[n++] = i;
	}
	release(load, back, n);
	free(back);
	if (load->whole && frozen < load->count)
		frozen = 0;
	return handoff__sending_frozen(&load->s, frozen);
}

/* The record, with the positions that the kernel has counted. */
static int
describe(struct handoff__item *item, struct handoff__parcel *parcel,
	struct handoff__error *error)
{
	struct handoff__roster_entry *e = item->entry;
	struct handoff__progress progress;
	bool counted;
	int err = handoff__parcel_take(
		parcel, &e->view, handoff__boot_ms(), error);

	if (err < 0)
		return err;
	if (parcel->absent != item->absent)
		err = handoff__fail(
			error, -EBADMSG, "its record has changed in the batch");
	if (item->absent || err < 0) {
		item->posts_end = parcel->posts_end;
		if (err < 0)
			handoff__parcel_free(parcel);
		return err;
	}
	/* A record with positions says what the kernel would; without either it
	 * is taken as it is. */
	if (parcel->consumed > 0 || parcel->produced > 0) {
		progress.read =
			parcel->consumed + parcel->in_len - parcel->old_rx_base;
		progress.written = parcel->produced - parcel->out_len -
				   parcel->old_tx_base;
		counted = true;
	} else {
		counted = handoff__progress(e->fd, &progress) == 0;
	}
	if (counted)
		err = handoff__parcel_counted(parcel, progress.read,
			progress.written, item->image.out_len, error);
	if (err < 0)
		handoff__parcel_free(parcel);
	return err;
}

static int
send_entry(struct handoff__freight *load, uint32_t index)
{
	struct handoff__item *item = &load->items[index];
	struct handoff__letter *letter = &load->ferry->entry;
	struct handoff__parcel parcel;
	struct handoff__error error = {.text = "no memory"};
	size_t image = item->absent ? 0 : handoff__image_size(&item->image);
	size_t size;
	unsigned char *bytes;
	int err = describe(item, &parcel, &error);

	if (err < 0)
		goto failed;
	size = handoff__parcel_size(&parcel);
	bytes = malloc(size + image);
	err = bytes ? handoff__parcel_encode(&parcel, bytes, size, &error)
		    : -ENOMEM;
	if (err == 0 && !item->absent)
		err = handoff__image_encode(
			&item->image, bytes + size, image, &error);
	letter->type = HANDOFF__LETTER_ENTRY;
	letter->batch = load->s.id;
	letter->index = index;
	letter->parcel = bytes;
	letter->parcel_len = (uint32_t)size;
	letter->image = bytes ? bytes + size : NULL;
	letter->image_len = (uint32_t)image;
	if (err == 0 && !handoff__letters_send(load->ferry, letter))
		err = -ENOTCONN;
	handoff__parcel_free(&parcel);
	if (bytes)
		explicit_bzero(bytes, size + image);
	free(bytes);
failed:
	if (err < 0 && err != -ENOTCONN)
		handoff__log(&load->ferry->log, HANDOFF_LOG_ERROR,
			"connection %llu: cannot be described: %s",
			(unsigned long long)item->id, error.text);
	return err;
}

/* As many entries as the link takes; END after the last. */
void
handoff__shipping_more(struct handoff__freight *load)
{
	struct handoff__channel *channel = load->ferry->channel;

	while (load->next < load->count && !handoff__channel_full(channel)) {
		uint32_t i = load->next++;

		/* the other host prepares while this one goes on */
		if (i % SHIP_MOST == SHIP_MOST - 1)
			handoff__channel_flush(channel);
		if (load->items[i].entry && send_entry(load, i) < 0) {
			/* without END nothing of it is prepared there */
			handoff__timer_arm(&load->ferry->loop, &load->timer, 0);
			return;
		}
	}
	if (load->next < load->count || load->end_sent)
		return;
	load->end_sent = true;
	handoff__letters_plain(load->ferry, HANDOFF__LETTER_END, load->s.id);
	handoff__channel_flush(channel);
}

void
handoff__shipping_ship(struct handoff__freight *load)
{
	struct handoff__letter letter = {.type = HANDOFF__LETTER_BATCH,
		.batch = load->s.id,
		.count = load->s.count};

	load->next = 0;
	handoff__letters_send(load->ferry, &letter);
	handoff__timer_arm(&load->ferry->loop, &load->timer, ANSWER_US);
	handoff__shipping_more(load);
}

/* Those that an input has named go back. */
void
handoff__shipping_return(struct handoff__freight *load)
{
	uint32_t *back = calloc(load->count, sizeof(*back));
	uint32_t n = 0;

	for (uint32_t i = 0; i < load->count; i++) {
		struct handoff__item *item = &load->items[i];

		if (!item->entry || !item->named)
			continue;
		put_back(load, item, item->word);
		load->ferry->report.again++;
		if (back)
			back[n++] = i;
	}
	release(load, back, n);
	free(back);
}

/* The entries that went back since the other ferry was told. */
void
handoff__shipping_withdraw(struct handoff__freight *load)
{
	struct handoff__letter *letter = calloc(1, sizeof(*letter));
	uint32_t n = 0;

	if (!letter)
		return;
	letter->type = HANDOFF__LETTER_WITHDRAW;
	letter->batch = load->s.id;
	letter->round = load->s.round;
	for (uint32_t i = 0; i < load->count; i++) {
		if (!load->items[i].named || load->items[i].refused)
			continue;
		load->items[i].named = false;
		letter->named[n++].index = i;
	}
	letter->nnamed = n;
	handoff__letters_send(load->ferry, letter);
	free(letter);
}

static bool
is_stale(const struct handoff__item *item)
{
	struct handoff__error error;

	if (has_changed(item) || handoff__parcel_refuse(&item->entry->view,
					 NULL) != HANDOFF__PARCEL_FINE)
		return true;
	if (item->absent)
		return handoff__parcel_outdated(
			&item->entry->view, item->posts_end);
	return handoff__migrate_unchanged(
		       item->entry->fd, &item->image, &error) < 0;
}

uint32_t
handoff__shipping_check(struct handoff__freight *load)
{
	uint32_t stale = 0;

	for (uint32_t i = 0; i < load->count; i++) {
		struct handoff__item *item = &load->items[i];

		if (!item->entry)
			continue;
		item->named = stale < HANDOFF__LETTER_NAMED && is_stale(item);
		item->word = NULL;
		stale += item->named;
	}
	return load->whole && stale > 0
		       ? handoff__sending_give_up(&load->s)
		       : handoff__sending_checked(&load->s, stale);
}

void
handoff__shipping_thaw(struct handoff__freight *load)
{
	if (load->wanted > 0)
		handoff__pair_take_no_more(&load->ferry->pair);
	load->wanted = 0;
	if (load->guarded)
		handoff__steer_batch(load, HANDOFF__HOOK_PASS);
	for (uint32_t i = 0; i < load->count; i++) {
		struct handoff__item *item = &load->items[i];

		if (!item->entry)
			continue;
		if (item->entry->mine)
			put_back(load, item, NULL);
		else
			handoff__shipping_part(item);
	}
	if (load->guarded)
		handoff__gate_pass(load->ferry->gate, load->slot);
	load->guarded = false;
}

/* The other host's now. */
void
handoff__shipping_end(struct handoff__freight *load)
{
	struct handoff__ferry *ferry = load->ferry;
	struct handoff__error error;
	const int on = 1;

	for (uint32_t i = 0; i < load->count; i++) {
		struct handoff__roster_entry *e = load->items[i].entry;

		if (!e)
			continue;
		/* that of a session that had ended has sent its FIN */
		if (!load->items[i].absent &&
			handoff__migrate_end(e->fd, &error) < 0)
			handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
				"connection %llu: %s",
				(unsigned long long)e->id, error.text);
		/* until all copies are closed its port is bound: a listener
		 * can have it all the same */
		setsockopt(e->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		handoff__shipping_part(&load->items[i]);
		handoff__pair_end(&ferry->pair, e);
		ferry->report.moved++;
		ferry->sent++;
	}
}
