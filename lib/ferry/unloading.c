/* SPDX-License-Identifier: MIT */
/*
 * The connections of a batch on its way to this host: prepared, guarded,
 * dropped, finished, given to the server. Which of these when is receiving.c's
 * and inbound.c's; a single connection is landing.c's.
 */
#include "ferry/unloading.h"

#include "ferry/carrier.h"
#include "ferry/landing.h"
#include "ferry/letters.h"
#include "peer/carrier.h"
#include "peer/elsewhere.h"
#include "peer/room.h"
#include "record/keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Asks for free records, once for a batch: all are like the first. True if
 * they have to be waited for. */
static bool
waits_for_room(struct handoff__freight *load, struct handoff__item *item)
{
	struct handoff__ferry *ferry = load->ferry;
	struct handoff__parcel parcel;
	struct handoff__geometry geo;
	struct handoff__error error;
	int rc;

	if (load->roomed)
		return ferry->taker.room;
	load->roomed = true;
	if (handoff__parcel_decode(
		    &parcel, item->body, item->parcel_len, &error) < 0 ||
		handoff__parcel_geometry(&parcel, &geo) < 0)
		return false;
	rc = handoff__pair_room(&ferry->pair, &geo, load->r.count);
	ferry->taker.room |= rc == 1;
	if (rc < 0)
		handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
			"no room for %u connections: %s", load->r.count,
			strerror(-rc));
	return ferry->taker.room;
}

bool
handoff__unloading_prepare(struct handoff__freight *load)
{
	while (load->next < load->count) {
		struct handoff__item *item = &load->items[load->next];

		if (waits_for_room(load, item))
			return false;
		load->next++;
		handoff__landing_prepare(load, item);
	}
	return true;
}

/* The images of those that are in the batch: what outlives this process. A
 * batch of absent sessions alone has none, and another ferry is to know that.
 */
static int
keep_images(struct handoff__freight *load, struct handoff__error *error)
{
	const struct handoff__image **images =
		calloc(load->count + 1, sizeof(struct handoff__image *));
	uint64_t *ids = calloc(load->count + 1, sizeof(*ids));
	int fd = -ENOMEM, err;
	uint32_t n = 0;

	for (uint32_t i = 0; images && ids && i < load->count; i++) {
		if (!load->items[i].entry || load->items[i].absent)
			continue;
		images[n] = &load->items[i].image;
		ids[n++] = load->items[i].id;
	}
	if (images && ids)
		fd = handoff__images_make(images, ids, n, error);
	free(images);
	free(ids);
	if (fd < 0)
		return fd;
	err = handoff__keep_put(
		&load->ferry->pair.arena, load->slot, load->r.id, fd);
	if (err < 0) {
		close(fd);
		return handoff__fail(error, err,
			"keeping its images in the arena: %s", strerror(-err));
	}
	if (load->guarded)
		return handoff__gate_images(load->ferry->gate, load->slot, fd);
	close(fd);
	return 0;
}

void
handoff__unloading_guard(struct handoff__freight *load)
{
	struct handoff__ferry *ferry = load->ferry;
	struct handoff__flow *flows = calloc(load->count + 1, sizeof(*flows));
	int *fds = calloc(load->count + 1, sizeof(*fds)), err = -ENOMEM;
	struct handoff__error error = {.text = "no memory"};
	uint32_t n = 0, entries = 0;

	for (uint32_t i = 0; flows && fds && i < load->count; i++) {
		struct handoff__item *item = &load->items[i];

		item->guard = UINT32_MAX;
		entries += item->entry != NULL;
		if (!item->entry || item->absent)
			continue;
		item->guard = n;
		flows[n] = item->flow;
		fds[n++] = item->entry->fd;
	}
	if (flows && fds)
		err = n == 0 ? 0
			     : handoff__gate_hold(ferry->gate, load->slot,
				       load->r.id, HANDOFF__GATE_IN, flows, fds,
				       n);
	load->guarded = err == 0 && n > 0;
	if (err == 0 && entries > 0)
		err = keep_images(load, &error);
	free(flows);
	free(fds);
	load->guard_failed = err < 0;
	load->guard_empty = err == 0 && n == 0;
	if (load->guard_failed)
		handoff__log(&ferry->log, HANDOFF_LOG_ERROR,
			"gate: cannot guard a batch: %s", error.text);
}

void
handoff__unloading_drop(struct handoff__freight *load)
{
	uint32_t *back = calloc(load->count + 1, sizeof(*back)), n = 0;

	for (uint32_t i = 0; i < load->count; i++) {
		struct handoff__item *item = &load->items[i];

		if (!item->named)
			continue;
		item->named = false;
		if (item->entry && back && item->guard != UINT32_MAX)
			back[n++] = item->guard;
		handoff__landing_drop(load, item);
	}
	if (load->guarded && n > 0)
		handoff__gate_release(load->ferry->gate, load->slot, back, n);
	free(back);
}

void
handoff__unloading_withdraw(
	struct handoff__freight *load, const struct handoff__letter *letter)
{
	for (uint32_t i = 0; i < load->count; i++) {
		for (uint32_t j = 0; j < letter->nnamed; j++)
			load->items[i].named |=
				load->items[i].index == letter->named[j].index;
	}
}

void
handoff__unloading_report(struct handoff__freight *load)
{
	struct handoff__letter *letter = calloc(1, sizeof(*letter));
	uint32_t n = 0;

	if (!letter)
		return;
	letter->type = HANDOFF__LETTER_PREPARED;
	letter->batch = load->r.id;
	letter->round = load->r.round;
	for (uint32_t i = 0; i < load->count && load->r.round == 0; i++) {
		const struct handoff__item *item = &load->items[i];

		if (!item->why[0] || n == HANDOFF__LETTER_NAMED)
			continue;
		letter->named[n].index = item->index;
		handoff__copy(letter->named[n].why,
			sizeof(letter->named[n].why), item->why);
		n++;
	}
	letter->nnamed = n;
	handoff__letters_send(load->ferry, letter);
	handoff__channel_flush(load->ferry->channel);
	free(letter);
}

bool
handoff__unloading_answered(struct handoff__freight *load, uint32_t *refused)
{
	*refused = 0;
	for (uint32_t i = 0; i < load->count; i++) {
		struct handoff__item *item = &load->items[i];

		if (!item->entry || item->entry->copy == HANDOFF__COPY_HELD)
			continue;
		if (item->entry->copy != HANDOFF__COPY_REFUSED)
			return false;
		++*refused;
		item->named = true;
		handoff__landing_refuse(item, "the server there: %s",
			handoff__reason_text(
				(enum handoff__reason)item->entry->refusal));
	}
	return true;
}

bool
handoff__unloading_served(const struct handoff__freight *load)
{
	for (uint32_t i = 0; i < load->count; i++) {
		const struct handoff__item *item = &load->items[i];
		const struct handoff__roster_entry *e = item->entry;

		if (e && e->id == item->id && e->fd >= 0 &&
			(e->mine || !handoff__entry_accepted(
					    &load->ferry->pair, e)))
			return false;
	}
	return true;
}

void
handoff__unloading_finish(struct handoff__freight *load)
{
	for (uint32_t i = 0; i < load->count; i++) {
		if (load->items[i].entry)
			handoff__landing_finish(load, &load->items[i]);
	}
}

void
handoff__unloading_offer(struct handoff__freight *load)
{
	struct handoff__ferry *ferry = load->ferry;
	struct handoff__roster_entry **list =
		calloc(load->count + 1, sizeof(struct handoff__roster_entry *));
	uint32_t n = 0, all = 0, offered = 0;

	for (uint32_t i = 0; i < load->count; i++) {
		struct handoff__roster_entry *e = load->items[i].entry;

		if (!e)
			continue;
		handoff__pair_return(&ferry->pair, e);
		handoff__cargo(e)->load = -1;
		all++;
		if (list)
			list[n++] = e;
		ferry->received++;
		ferry->report.moved++;
	}
	if (list && handoff__carrier_has_server(ferry) && !ferry->pair.serving)
		offered = handoff__pair_offer_list(&ferry->pair, list, n);
	/* a give may have left them behind, or not be over yet */
	if (offered < all)
		ferry->returns = true;
	free(list);
}

void
handoff__unloading_abandon(struct handoff__freight *load)
{
	for (uint32_t i = 0; i < load->count; i++)
		handoff__landing_drop(load, &load->items[i]);
	/* records of an earlier ferry that died before it had sent copies */
	if (load->resumed)
		handoff__pair_forget_batch(&load->ferry->pair, load->slot);
	if (load->guarded)
		handoff__gate_forget(load->ferry->gate, load->slot);
	load->guarded = false;
}

/* The image of that connection, which the ferry before has kept. */
static bool
find_image(struct handoff__freight *load, struct handoff__item *item)
{
	struct handoff__error error;
	uint32_t i = handoff__images_find(&load->images, item->id);

	return handoff__images_read(&load->images, i, &item->image, &error) ==
		       0 &&
	       !handoff__landing_objection(load->ferry, &item->image) &&
	       handoff__migrate_resume(&item->restore, item->entry->fd,
		       &item->image, &error) == 0;
}

void
handoff__unloading_collect(struct handoff__freight *load)
{
	struct handoff__roster *roster = &load->ferry->pair.roster;
	struct handoff__roster_entry *e = NULL;
	uint32_t slot;

	while (load->count < load->room &&
		(e = handoff__roster_next(roster, e))) {
		struct handoff__item *item = &load->items[load->count];

		if (!e->mine || handoff__cargo(e)->load >= 0 ||
			!handoff__entry_elsewhere(e, &slot) ||
			slot != load->slot)
			continue;
		item->entry = e;
		item->id = e->id;
		item->guard = UINT32_MAX;
		handoff__cargo(e)->load = (int32_t)load->slot;
		handoff__cargo(e)->index = (int32_t)load->count++;
		item->absent = !handoff__older(e->view.seg) &&
			       handoff__record_absent(e->view.rec) != 0;
		if (item->absent)
			continue;
		if (handoff__flow_of(e->fd, &item->flow) < 0 ||
			!find_image(load, item))
			handoff__log(&load->ferry->log, HANDOFF_LOG_WARNING,
				"connection %llu: of an earlier ferry, and "
				"without an image",
				(unsigned long long)e->id);
	}
}
