/* SPDX-License-Identifier: MIT */
/*
 * What is frozen here goes on as it is; what has come from the other host lacks
 * its output, which its image has, whether it is still frozen or not. So a
 * socket without an image is only let go if the images of all batches that have
 * come are here. What they say is as hostile as what comes from the other
 * ferry.
 */
#include "ferry/salvage.h"

#include "ferry/carrier.h"
#include "ferry/landing.h"
#include "migrate/mode.h"
#include "peer/unfinished.h"

#include <errno.h>

#define REST_US 5000    /* from one try to send to the next */
#define WAIT_US 5000000 /* for copies of the server */

void
handoff__salvage_entered(
	struct handoff__ferry *ferry, struct handoff__roster_entry *entry)
{
	struct handoff__cargo *cargo = handoff__cargo(entry);

	/* what is this ferry's has a batch, which says what becomes of it */
	cargo->frozen =
		entry->kind == HANDOFF__CONNECTION && !entry->mine &&
		(handoff__entry_marked(entry)
				? handoff__entry_lacks(entry)
				: handoff__migrate_mode(entry->fd) == 1);
	ferry->salvages |= cargo->frozen;
}

static bool
has_come(const struct handoff__freight *load)
{
	return load && !load->out && load->resumed &&
	       load->r.state == HANDOFF__RECEIVING_COMMITTED;
}

/* The batch that has that connection; NULL: none. `unknown`: one whose images
 * are not here may have it. */
static struct handoff__freight *
batch_of(const struct handoff__ferry *ferry, uint64_t id, uint32_t *index,
	bool *unknown)
{
	*unknown = false;
	for (uint32_t i = 0; i < HANDOFF__BATCHES; i++) {
		struct handoff__freight *load = ferry->loads[i];

		if (!has_come(load))
			continue;
		*unknown |= load->images.data == NULL;
		*index = handoff__images_find(&load->images, id);
		if (*index != UINT32_MAX)
			return load;
	}
	return NULL;
}

static int
finish(struct handoff__ferry *ferry, struct handoff__freight *load, int fd,
	uint32_t index, struct handoff__error *error)
{
	struct handoff__image image;
	const char *why;
	int err = handoff__images_read(&load->images, index, &image, error);

	if (err < 0)
		return err;
	why = handoff__landing_objection(ferry, &image);
	if (why)
		return handoff__fail(error, -EBADMSG, "its image: %s", why);
	return handoff__finish(&ferry->rests, fd, &image, error);
}

/* Of one connection; -EBUSY: it is in a batch that is not decided. */
static int
salvage(struct handoff__ferry *ferry, struct handoff__roster_entry *e,
	struct handoff__error *error)
{
	struct handoff__freight *load;
	uint32_t index;
	bool unknown;

	if (handoff__cargo(e)->load >= 0 ||
		handoff__owner_is_elsewhere(
			handoff__owner_word(&e->view.rec->owner)))
		return -EBUSY;
	if (!handoff__entry_lacks(e))
		return 0;
	load = batch_of(ferry, e->id, &index, &unknown);
	if (load)
		return finish(ferry, load, e->fd, index, error);
	if (unknown || handoff__migrate_mode(e->fd) != 1)
		return handoff__fail(error, -ENOENT, "its image is missing");
	return handoff__migrate_unfreeze(e->fd, NULL, error);
}

static void
send_rests(struct handoff__ferry *ferry)
{
	if (handoff__finish_rests(&ferry->rests))
		handoff__timer_arm(&ferry->loop, &ferry->rest, REST_US);
}

static void
on_rest(struct handoff__timer *timer)
{
	send_rests(timer->arg);
}

void
handoff__salvage_proceed(struct handoff__ferry *ferry)
{
	struct handoff__roster_entry *e = NULL;
	struct handoff__error error = {""};
	uint32_t done = 0;

	if (!ferry->salvages || !ferry->gate ||
		!handoff__gate_is_ready(ferry->gate))
		return;
	ferry->salvages = false;
	while ((e = handoff__roster_next(&ferry->pair.roster, e))) {
		struct handoff__cargo *cargo = handoff__cargo(e);
		int err = cargo->frozen ? salvage(ferry, e, &error) : 0;

		/* at a tick, if not before */
		ferry->salvages |= err == -EBUSY || handoff__finish_again(err);
		if (!cargo->frozen || err == -EBUSY ||
			handoff__finish_again(err))
			continue;
		cargo->frozen = false;
		done += err == 0;
		if (err < 0)
			handoff__log(&ferry->log, HANDOFF_LOG_ERROR,
				"connection %llu: an earlier ferry has left it "
				"frozen, and it stays so: %s",
				(unsigned long long)e->id, error.text);
	}
	if (done > 0)
		handoff__log(&ferry->log, HANDOFF_LOG_WARNING,
			"%u connection%s that an earlier ferry has left frozen "
			"go%s on",
			done, handoff__plural(done), done == 1 ? "es" : "");
	ferry->rest.fn = on_rest;
	ferry->rest.arg = ferry;
	send_rests(ferry);
}

/* Records of the batch that the server has and no copy of which is here. */
static bool
awaits_copies(const struct handoff__freight *load)
{
	struct handoff__pair *pair = &load->ferry->pair;
	struct handoff__arena *arena = &pair->arena;

	for (uint32_t i = 0; i < arena->count; i++) {
		for (uint32_t s = 0; s < arena->segments[i]->geo.slots; s++) {
			const struct handoff__record *rec =
				handoff__arena_record(arena, i, s);
			uint32_t word = handoff__owner_word(&rec->owner);
			uint64_t id = handoff__record_id(rec);

			if (id == 0 || word == 0 ||
				handoff__owner_is_elsewhere(word) ||
				handoff__roster_find(&pair->roster, i, s, id))
				continue;
			if (handoff__images_find(&load->images, id) !=
				UINT32_MAX)
				return true;
		}
	}
	return false;
}

bool
handoff__salvage_done(const struct handoff__freight *load)
{
	struct handoff__roster_entry *e = NULL;

	if (handoff__now_us() - load->resumed_us > WAIT_US ||
		!load->images.data)
		return true;
	while ((e = handoff__roster_next(&load->ferry->pair.roster, e))) {
		if (handoff__cargo(e)->frozen &&
			handoff__images_find(&load->images, e->id) !=
				UINT32_MAX)
			return false;
	}
	return !awaits_copies(load);
}

void
handoff__salvage_close(struct handoff__ferry *ferry)
{
	handoff__timer_disarm(&ferry->loop, &ferry->rest);
	handoff__finish_end(&ferry->rests);
}
