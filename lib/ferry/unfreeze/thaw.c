/* SPDX-License-Identifier: MIT */
/*
 * Thawing. The words are the arena's, which the service writes too: they decide
 * about its own connections only. A socket that serves again is this process's
 * no more: its copy is closed.
 */
#include "ferry/unfreeze/thaw.h"

#include "ferry/images.h"
#include "migrate/migrate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void
handoff__thaw_init(struct handoff__thaw *thaw, struct handoff__flows *flows,
	void (*say)(void *, const char *), void *arg)
{
	*thaw = (struct handoff__thaw){
		.flows = flows,
		.say = say,
		.arg = arg,
	};
	TAILQ_INIT(&thaw->rests);
}

void
handoff__thaw_fini(struct handoff__thaw *thaw)
{
	handoff__finish_end(&thaw->rests);
	if (thaw->map.batches)
		handoff__batches_unmap(&thaw->map);
	thaw->map = (struct handoff__batches_map){.batches = NULL};
}

int
handoff__thaw_arena(struct handoff__thaw *thaw, int fd, uint64_t offset)
{
	struct handoff__batches_map map = {.batches = NULL};
	int err = handoff__batches_map(&map, fd, offset);

	if (err < 0)
		return err;
	if (thaw->map.batches)
		handoff__batches_unmap(&thaw->map);
	thaw->map = map;
	return 0;
}

static void
say(struct handoff__thaw *thaw, uint32_t slot, const char *what, uint32_t done,
	uint32_t failed, const struct handoff__error *error)
{
	char text[HANDOFF_TEXT_MAX + 128];

	if (failed > 0)
		snprintf(text, sizeof(text),
			"batch in slot %u: %s: %u done, %u failed: %s", slot,
			what, done, failed, error->text);
	else
		snprintf(text, sizeof(text), "batch in slot %u: %s: %u", slot,
			what, done);
	thaw->say(thaw->arg, text);
}

/* The image gives back options; without one the socket goes on as well. */
static int
unfreeze(struct handoff__flow_entry *e, const struct handoff__images *images,
	uint32_t index, struct handoff__error *error)
{
	struct handoff__image image;
	bool known = images->data &&
		     handoff__images_read(images, index, &image, NULL) == 0;

	return handoff__migrate_unfreeze(e->fd, known ? &image : NULL, error);
}

static void
close_entry(struct handoff__flow_entry *e)
{
	close(e->fd);
	e->fd = -1;
}

/* A socket that was closed by its owner in the meantime is no failure. */
static uint32_t
unfreeze_all(
	struct handoff__thaw *thaw, struct handoff__flow_slot *s, uint32_t slot)
{
	struct handoff__images images = {.data = NULL};
	struct handoff__error error = {""};
	uint32_t done = 0, failed = 0;

	if (s->images >= 0)
		handoff__images_map(&images, s->images);
	for (uint32_t i = 0; i < s->count; i++) {
		struct handoff__flow_entry *e = s->entries[i];

		if (e->fd < 0)
			continue;
		if (unfreeze(e, &images, i, &error) == -EPERM) {
			failed++;
			continue;
		}
		close_entry(e);
		done++;
	}
	handoff__images_unmap(&images);
	thaw->flows->counts.thawed += done;
	say(thaw, slot, "it stays here, its sockets are unfrozen", done, failed,
		&error);
	return failed;
}

/* As long as one is frozen all are held. */
static bool
stays(struct handoff__thaw *thaw, struct handoff__flow_slot *s, uint32_t slot)
{
	if (unfreeze_all(thaw, s, slot) > 0)
		return true;
	handoff__flows_pass(thaw->flows, slot);
	return false;
}

static bool
thaw_out(
	struct handoff__thaw *thaw, struct handoff__flow_slot *s, uint32_t slot)
{
	enum handoff__batch_state state = HANDOFF__BATCH_FREE;

	if (s->verdict == HANDOFF__GATE_FLIP)
		return false;
	if (thaw->map.batches)
		state = handoff__batch_abort(thaw->map.batches, slot, s->id);
	if (state != HANDOFF__BATCH_COMMITTED)
		return stays(thaw, s, slot);
	handoff__flows_flip(thaw->flows, slot);
	say(thaw, slot, "it is the other host's, its packets are sent there",
		s->count, 0, NULL);
	return false;
}

static int
finish(struct handoff__thaw *thaw, struct handoff__flow_entry *e,
	const struct handoff__images *images, uint32_t index,
	struct handoff__error *error)
{
	struct handoff__image image;
	int err = handoff__images_read(images, index, &image, error);

	return err < 0 ? err
		       : handoff__finish(&thaw->rests, e->fd, &image, error);
}

static uint32_t
finish_all(struct handoff__thaw *thaw, struct handoff__flow_slot *s,
	uint32_t slot, const struct handoff__images *images)
{
	struct handoff__error error = {""};
	uint32_t done = 0, failed = 0, again = 0;

	for (uint32_t i = 0; i < s->count; i++) {
		struct handoff__flow_entry *e = s->entries[i];
		int err;

		if (e->fd < 0)
			continue;
		err = finish(thaw, e, images, i, &error);
		if (handoff__finish_again(err)) {
			again++;
			continue;
		}
		done += err == 0;
		failed += err < 0;
		close_entry(e);
	}
	thaw->flows->counts.finished += done;
	thaw->flows->counts.stuck += failed;
	say(thaw, slot, "it is this host's, its sockets are finished", done,
		failed + again, &error);
	return again;
}

static bool
finish_slot(
	struct handoff__thaw *thaw, struct handoff__flow_slot *s, uint32_t slot)
{
	struct handoff__images images = {.data = NULL};
	uint32_t again;
	int err = s->images < 0 ? -ENOENT
				: handoff__images_map(&images, s->images);

	if (err == -ENOMEM)
		return true;
	if (err < 0) {
		say(thaw, slot, "it is this host's, but its images are missing",
			s->count, 0, NULL);
		thaw->flows->counts.stuck += s->count;
		handoff__flows_forget(thaw->flows, slot);
		return false;
	}
	again = finish_all(thaw, s, slot, &images);
	handoff__images_unmap(&images);
	if (again == 0)
		handoff__flows_forget(thaw->flows, slot);
	return again > 0;
}

static enum handoff__batch_state
state_in(const struct handoff__thaw *thaw, uint32_t slot, uint64_t id)
{
	struct handoff__batch batch;

	if (!thaw->map.batches)
		return HANDOFF__BATCH_OPEN;
	if (!handoff__batch_read(thaw->map.batches, slot, &batch) ||
		batch.id != id ||
		handoff__batch_way(batch.word) != HANDOFF__BATCH_IN)
		return HANDOFF__BATCH_FREE;
	return handoff__batch_state(batch.word);
}

bool
handoff__thaw_open(const struct handoff__thaw *thaw, uint32_t slot)
{
	return state_in(thaw, slot, thaw->flows->slots[slot].id) ==
	       HANDOFF__BATCH_OPEN;
}

static bool
thaw_in(struct handoff__thaw *thaw, struct handoff__flow_slot *s, uint32_t slot)
{
	switch (state_in(thaw, slot, s->id)) {
	case HANDOFF__BATCH_COMMITTED:
		return finish_slot(thaw, s, slot);
	case HANDOFF__BATCH_OPEN:
		if (!thaw->repeated)
			say(thaw, slot, "it is in doubt, its sockets are kept",
				s->count, 0, NULL);
		return false;
	default:
		handoff__flows_forget(thaw->flows, slot);
		return false;
	}
}

bool
handoff__thaw_rests(struct handoff__thaw *thaw)
{
	return handoff__finish_rests(&thaw->rests);
}

bool
handoff__thaw_all(struct handoff__thaw *thaw, bool repeated)
{
	bool again = false;

	thaw->repeated = repeated;
	for (uint32_t i = 0; i < HANDOFF__GATE_ROWS; i++) {
		struct handoff__flow_slot *s =
			handoff__flows_slot(thaw->flows, i);

		if (s && s->direction == HANDOFF__GATE_OUT)
			again |= thaw_out(thaw, s, i);
		else if (s)
			again |= thaw_in(thaw, s, i);
	}
	if (thaw->flows->unknown == HANDOFF__GATE_HOLD)
		handoff__flows_default(thaw->flows, HANDOFF__GATE_PASS);
	return again;
}
