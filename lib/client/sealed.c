/* SPDX-License-Identifier: MIT */
/*
 * Seals messages in pieces, of which each is read by the server whole or not at
 * all. A message counts as passed to the kernel, or acknowledged, as far as the
 * pieces do that it is in.
 */
#include "client/sealed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Cipher text that may wait for the kernel, so that it is not idle. */
#define AHEAD 32768

/* More than a layer adds to a piece, and what it says by itself. */
#define SLACK (HANDOFF_CLIENT_LAYER_MAX + 8192)

#define FIRST_PIECES 32

/* A quarter of the window may wait for its acknowledgement for ever, and with
 * it the piece at its end. */
void
handoff__sealed_init(
	struct handoff__sealed *sealed, struct handoff__outbox *plain)
{
	memset(sealed, 0, sizeof(*sealed));
	plain->largest = plain->max / 2;
	sealed->chunk = plain->max / 8 + 1;
	if (sealed->chunk > HANDOFF_CLIENT_LAYER_MAX)
		sealed->chunk = HANDOFF_CLIENT_LAYER_MAX;
	handoff__outbox_init(&sealed->cipher, plain->max + AHEAD + SLACK);
}

void
handoff__sealed_fini(struct handoff__sealed *sealed)
{
	handoff__sealed_close(sealed);
	free(sealed->pieces);
	sealed->pieces = NULL;
	sealed->cap = 0;
}

bool
handoff__sealed_begin(struct handoff__sealed *sealed,
	const struct handoff_client_layer *layer, const char *endpoint)
{
	return handoff__layered_begin(&sealed->layered, layer, endpoint);
}

void
handoff__sealed_close(struct handoff__sealed *sealed)
{
	handoff__layered_free(&sealed->layered);
	handoff__outbox_fini(&sealed->cipher);
	sealed->head = sealed->count = sealed->passed = 0;
	sealed->end = sealed->written = sealed->acked = sealed->received = 0;
	sealed->ending = sealed->held = sealed->starved = false;
}

static struct handoff__piece *
piece_at(const struct handoff__sealed *sealed, size_t i)
{
	return &sealed->pieces[(sealed->head + i) % sealed->cap];
}

static bool
reserve_piece(struct handoff__sealed *sealed)
{
	size_t cap = sealed->cap ? 2 * sealed->cap : FIRST_PIECES;
	struct handoff__piece *pieces;

	if (sealed->count < sealed->cap)
		return true;
	pieces = calloc(cap, sizeof(*pieces));
	if (!pieces)
		return false;
	for (size_t i = 0; i < sealed->count; i++)
		pieces[i] = *piece_at(sealed, i);
	free(sealed->pieces);
	sealed->pieces = pieces;
	sealed->cap = cap;
	sealed->head = 0;
	return true;
}

static uint64_t
sealed_plain(const struct handoff__sealed *sealed)
{
	return sealed->count > 0 ? piece_at(sealed, sealed->count - 1)->plain
				 : sealed->acked;
}

/* Moves what the layer has for the server; the last part of it is what all of
 * the plain text needs to be read. True if nothing is left. */
static bool
collect(struct handoff__sealed *sealed)
{
	const struct handoff_client_layer *calls = sealed->layered.calls;
	const void *data;
	size_t len;

	while ((len = calls->output(sealed->layered.end, &data)) > 0) {
		size_t room = handoff__outbox_room(&sealed->cipher);
		size_t n = len < room ? len : room;
		uint64_t plain =
			n == len ? sealed->written : sealed_plain(sealed);

		if (n == 0)
			return false;
		sealed->starved =
			!reserve_piece(sealed) ||
			handoff__outbox_add(&sealed->cipher, data, n) < 0;
		if (sealed->starved)
			return false;
		calls->sent(sealed->layered.end, n);
		sealed->end += n;
		*piece_at(sealed, sealed->count++) =
			(struct handoff__piece){sealed->end, plain};
	}
	return true;
}

/* How much of the outbox behind what the kernel has is sealed. */
static size_t
sealed_ahead(const struct handoff__sealed *sealed,
	const struct handoff__outbox *plain)
{
	return (size_t)(sealed->written - sealed->acked) -
	       (plain->sent - plain->acked);
}

bool
handoff__sealed_fill(struct handoff__sealed *sealed,
	const struct handoff__outbox *plain, bool end)
{
	const struct handoff_client_layer *calls = sealed->layered.calls;
	struct iovec iov[2];

	while (collect(sealed) && handoff__layered_is_open(&sealed->layered) &&
		!sealed->ending) {
		size_t n;

		if (handoff__outbox_unsent(&sealed->cipher) >= AHEAD ||
			handoff__outbox_room(&sealed->cipher) < SLACK)
			return false;
		if (handoff__outbox_peek_behind(plain,
			    sealed_ahead(sealed, plain), sealed->chunk,
			    iov) > 0) {
			n = iov[0].iov_len;
			calls->write(sealed->layered.end, iov[0].iov_base, n);
			sealed->written += n;
		} else if (end) {
			calls->end(sealed->layered.end);
			sealed->ending = true;
		} else
			return false;
	}
	return sealed->ending && collect(sealed);
}

/* Pieces that the kernel has are followed, back as well as forth. */
static uint64_t
passed_plain(struct handoff__sealed *sealed, uint64_t sent)
{
	while (sealed->passed < sealed->count &&
		piece_at(sealed, sealed->passed)->cipher <= sent)
		sealed->passed++;
	while (sealed->passed > 0 &&
		piece_at(sealed, sealed->passed - 1)->cipher > sent)
		sealed->passed--;
	return sealed->passed > 0 ? piece_at(sealed, sealed->passed - 1)->plain
				  : sealed->acked;
}

static void
drop_acked(struct handoff__sealed *sealed, struct handoff__outbox *plain,
	uint64_t acked)
{
	uint64_t before = sealed->acked;

	while (sealed->count > 0 && piece_at(sealed, 0)->cipher <= acked) {
		assert(sealed->passed > 0);
		sealed->acked = piece_at(sealed, 0)->plain;
		sealed->head = (sealed->head + 1) % sealed->cap;
		sealed->count--;
		sealed->passed--;
	}
	if (sealed->acked > before)
		handoff__outbox_acked(plain, (size_t)(sealed->acked - before));
}

void
handoff__sealed_follow(struct handoff__sealed *sealed,
	struct handoff__outbox *plain, uint64_t acked)
{
	uint64_t sent = acked + (sealed->cipher.sent - sealed->cipher.acked);
	uint64_t now = passed_plain(sealed, sent);
	uint64_t before = sealed->acked + (plain->sent - plain->acked);

	if (now > before)
		handoff__outbox_passed(plain, (size_t)(now - before));
	else if (now < before)
		handoff__outbox_seek(plain, (size_t)(now - sealed->acked));
	drop_acked(sealed, plain, acked);
}

void
handoff__sealed_fate(struct handoff__sealed *sealed,
	struct handoff__outbox *plain, uint64_t certain, bool told,
	struct handoff__fate *fate)
{
	uint64_t taken = sealed->acked, left;

	for (size_t i = 0; i < sealed->count; i++)
		if (piece_at(sealed, i)->cipher <= certain)
			taken = piece_at(sealed, i)->plain;
	left = sealed->acked + handoff__outbox_forget(plain, told);
	fate->certain = taken;
	fate->doubtful = left > taken ? left - taken : 0;
	fate->received = sealed->received;
	fate->lost = !handoff__layered_is_closed(&sealed->layered);
}
