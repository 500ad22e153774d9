/* SPDX-License-Identifier: MIT */
/*
 * Free records for entries of another host. A carrier that does not own the
 * board asks for them with ROOM; the owner adds segments, sends them, and
 * answers. Allocates nothing, and enters nothing.
 */
#include "peer/room.h"

#include "peer/core.h"
#include "peer/mirror.h"

#include <errno.h>

#define COUNT_MOST 4096u /* records that one ROOM may ask for */

/* Adds segments until there are as many. */
static int
grow(struct handoff__pair *pair, const struct handoff__geometry *geo,
	uint32_t count)
{
	int err;

	while (handoff__arena_count_fit(&pair->arena, geo, count) < count) {
		err = handoff__arena_grow(&pair->arena, geo);
		if (err < 0)
			return err;
		handoff__core_share(pair);
		pair->grown = pair->noted = true;
	}
	return 0;
}

int
handoff__pair_room(struct handoff__pair *pair,
	const struct handoff__geometry *geo, uint32_t count)
{
	struct handoff__msg msg = {.type = HANDOFF__ROOM,
		.room = {.count = count,
			.state_size = geo->state_size,
			.state_version = geo->state_version,
			.input_size = geo->rx_size,
			.output_size = geo->tx_size,
			.pass_size = geo->pass_size}};

	if (handoff__arena_count_fit(&pair->arena, geo, count) >= count)
		return 0;
	if (pair->serving)
		return grow(pair, geo, count);
	if (pair->partner != HANDOFF__PARTNER_READY)
		return -ENOTCONN;
	handoff__link_send(&pair->link, &msg, -1);
	return 1;
}

static enum handoff__reason
make_room(struct handoff__pair *pair, const struct handoff__room *room)
{
	struct handoff__geometry geo;
	int err;

	if (!pair->serving)
		return HANDOFF__NOT_OWNER;
	err = room->count <= COUNT_MOST
		      ? handoff__geometry_make(&geo, room->state_size,
				room->input_size, room->output_size)
		      : -EINVAL;
	if (err >= 0)
		err = handoff__geometry_extend(&geo, room->pass_size, 0, 0);
	if (err >= 0 && pair->config.service->state_grows)
		handoff__geometry_fold(&geo);
	geo.state_version = room->state_version;
	if (err < 0)
		return HANDOFF__GARBAGE;
	return grow(pair, &geo, room->count) < 0 ? HANDOFF__NO_MEMORY
						 : HANDOFF__OK;
}

/* What came over the link, as an errno for the layer above. */
static int
error_of(uint32_t reason)
{
	switch (reason) {
	case HANDOFF__OK:
		return 0;
	case HANDOFF__NOT_OWNER:
		return -EPERM;
	case HANDOFF__NO_MEMORY:
		return -ENOMEM;
	default:
		return -EINVAL;
	}
}

void
handoff__room_on_message(
	struct handoff__pair *pair, const struct handoff__msg *msg)
{
	struct handoff__msg answer = {.type = HANDOFF__ROOM, .room = msg->room};

	if (pair->config.carrier) {
		if (pair->ops->room)
			pair->ops->room(pair, error_of(msg->reason));
		return;
	}
	answer.reason = pair->other.carrier ? make_room(pair, &msg->room)
					    : HANDOFF__GARBAGE;
	/* before the answer, so that the records are there with it */
	handoff__mirror_segments(pair);
	handoff__link_send(&pair->link, &answer, -1);
}
