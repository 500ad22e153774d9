/* SPDX-License-Identifier: MIT */
/*
 * Converts records of an older program or library. If an entry's state has an
 * older version or its record an older layout, the entry moves to a new record,
 * made by this program, with the same state or the one that the service
 * converts it to. The old record stays intact until the new one is complete;
 * freeing the old one is the commit. If the process dies before that, its
 * survivor finds the old record.
 */
#include "peer/convert.h"

#include "peer/core.h"
#include "record/older.h"
#include "record/pass.h"
#include "record/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint32_t
version_of(
	const struct handoff__pair *pair, const struct handoff__roster_entry *e)
{
	return pair->arena.segments[e->segment]->geo.state_version;
}

/* Copies everything but the state. -EMSGSIZE if the new buffers are too
 * small. */
static int
carry(const struct handoff__view *to, const struct handoff__view *from)
{
	size_t most = (size_t)from->seg->geo.rx_size + from->seg->geo.tx_size;
	unsigned char *bytes = malloc(most);
	struct handoff__snapshot snap;
	int err = 0;

	if (!bytes)
		return -ENOMEM;
	if (!handoff__snapshot_take(&snap, from, NULL, bytes, most) ||
		snap.unstable)
		err = -EBADMSG;
	else if (snap.in > to->seg->geo.rx_size ||
		 snap.out > to->seg->geo.tx_size)
		err = -EMSGSIZE;
	else
		handoff__record_fill(to, from->rec, &snap, bytes);
	if (err == 0 && !handoff__older(from->seg)) {
		handoff__record_carry_extra(to->rec, from->rec);
		err = handoff__pass_carry(to, from);
	}
	explicit_bzero(bytes, most);
	free(bytes);
	return err;
}

/* The bytes of the old state in use, in a layout whose commits do not say. */
static size_t
used(const struct handoff__pair *pair, const struct handoff__view *from,
	const struct handoff__commit *c, const void *state)
{
	size_t len = c->state_len;

	if (handoff__older(from->seg) && pair->config.state_used && len > 0)
		len = pair->config.state_used(state, len);
	return len;
}

/* Copies a state of our version, which therefore fits the new record. */
static void
copy_state(struct handoff__pair *pair, const struct handoff__view *from,
	const struct handoff__commit *c, const struct handoff__view *to)
{
	const void *old = handoff__older_state_of(from, c);
	size_t len = used(pair, from, c, old);

	handoff__record_use_state(to, len);
	if (len > 0)
		memcpy(handoff__record_state(to, 0), old, len);
}

/* How much of a state that grows is in use after `convert` has returned `rc`.
 */
static int
set_used(const struct handoff__view *to, int rc)
{
	uint32_t size = to->seg->geo.state_size;

	if (rc > 0 && (uint32_t)rc > size)
		return -EMSGSIZE;
	to->rec->commit[0].state_len = rc > 0 ? (uint32_t)rc : size;
	handoff__state_touch(to, to->rec->commit[0].state_len);
	return rc;
}

/* Converts the state of a connection; other entries of a server have none. The
 * entry gets another descriptor, in `*fd`, if that is its state. */
static int
convert_state(struct handoff__pair *pair, const struct handoff__roster_entry *e,
	const struct handoff__view *to, int *fd)
{
	const struct handoff_service *service = pair->config.service;
	const struct handoff__view *from = &e->view;
	uint32_t which = handoff__record_sequence(from->rec) & 1;
	struct handoff__commit c;
	int err;

	if (e->kind != HANDOFF__CONNECTION && !pair->config.streamless)
		return 0;
	handoff__older_commit(from, which, &c);
	if (version_of(pair, e) == service->state_version) {
		copy_state(pair, from, &c, to);
		return 0;
	}
	if (e->kind == HANDOFF__DATA)
		return pair->config.convert_data
			       ? pair->config.convert_data(version_of(pair, e),
					 from, e->fd, to, fd, service->arg)
			       : -EPROTO;
	/* before the service's open there is no state */
	if (service->open && !(c.flags & HANDOFF__OPENED)) {
		if (!service->state_grows)
			handoff__record_use_state(to, to->seg->geo.state_size);
		return 0;
	}
	/* a plain service holds no input for another one */
	if (!service->inner)
		to->rec->commit[0].flags &= ~(uint32_t)HANDOFF__HOLDS_INPUT;
	/* a free record is zero, and a long state that grows takes no memory
	 * for what convert does not write */
	if (!service->state_grows)
		handoff__record_use_state(to, to->seg->geo.state_size);
	err = service->convert(version_of(pair, e),
		handoff__older_state_of(from, &c), c.state_len,
		handoff__record_state(to, 0), service->arg);
	if (service->state_grows)
		err = set_used(to, err);
	if (err >= 0 && pair->config.state_used)
		to->rec->commit[0].state_len =
			(uint32_t)pair->config.state_used(
				handoff__record_state(to, 0),
				to->seg->geo.state_size);
	return err;
}

/* What an operator has said through an older library, and the client has not
 * got. */
static void
take_lines(struct handoff__pair *pair, const struct handoff__roster_entry *e,
	const struct handoff__view *to)
{
	struct handoff__commit c;

	if (!handoff__older(e->view.seg) || e->kind != HANDOFF__CONNECTION ||
		pair->config.streamless)
		return;
	handoff__older_commit(
		&e->view, handoff__record_sequence(e->view.rec) & 1, &c);
	if (!(c.flags & HANDOFF__CLOSING))
		handoff__record_take_bulletin(to, e->id, c.line_pos);
}

/* Allocates and fills a record for the entry; it is not in the roster yet. */
static int
make_record(struct handoff__pair *pair, const struct handoff__roster_entry *e,
	uint32_t *segment, uint32_t *slot, int *fd)
{
	struct handoff__view to;
	int err = handoff__core_alloc(pair, segment, slot);

	if (err < 0)
		return err;
	handoff__view_make(&to, pair->arena.segments[*segment], *slot);
	err = carry(&to, &e->view);
	if (err >= 0)
		err = convert_state(pair, e, &to, fd);
	if (err < 0) {
		handoff__arena_clear(&pair->arena, *segment, *slot);
		handoff__owner_set(&to.rec->owner, 0);
		handoff__arena_vacate(&pair->arena, *segment, *slot);
		return err;
	}
	take_lines(pair, e, &to);
	handoff__record_set_id(to.rec, e->id);
	if (e->kind != HANDOFF__CONNECTION || pair->config.streamless)
		return 0;
	handoff__posts_move(&pair->arena, e->id, *segment, *slot);
	if (handoff__record_number(to.rec) != e->id)
		handoff__posts_move(&pair->arena,
			handoff__record_number(to.rec), *segment, *slot);
	return 0;
}

/* Frees the old record, whose descriptor has moved; the other peer drops its
 * copy. */
static void
retire_record(struct handoff__pair *pair, struct handoff__roster_entry *old)
{
	handoff__arena_clear(&pair->arena, old->segment, old->slot);
	handoff__owner_set(&old->view.rec->owner, 0);
	if (pair->link.fd >= 0)
		handoff__roster_queue(old, &pair->roster.to_drop);
	else
		handoff__roster_vacate(&pair->roster, old);
}

static void
close_unconverted(
	struct handoff__pair *pair, struct handoff__roster_entry *e, int err)
{
	handoff__log(pair->log, HANDOFF_LOG_ERROR,
		"connection %llu: closed: its state of version %u, in a record "
		"of layout %u, cannot be converted: %s",
		(unsigned long long)e->id, version_of(pair, e),
		e->view.seg->geo.layout, strerror(-err));
	handoff__tally_ended(pair, e);
	if (e->kind == HANDOFF__CONNECTION)
		pair->tally.ends[HANDOFF__END_STATE]++;
	shutdown(e->fd, SHUT_RDWR);
	pair->ops->closing(pair, e);
	handoff__roster_close(&pair->roster, e);
	retire_record(pair, e);
}

struct handoff__roster_entry *
handoff__convert_entry(
	struct handoff__pair *pair, struct handoff__roster_entry *e)
{
	struct handoff__roster_entry *new;
	uint32_t segment, slot;
	bool same = version_of(pair, e) == pair->config.service->state_version;
	int err, fd, other = -1;

	if (pair->config.carrier || (same && !handoff__older(e->view.seg)))
		return e;
	err = same || pair->config.service->convert
		      ? make_record(pair, e, &segment, &slot, &other)
		      : -EPROTO;
	if (err < 0) {
		close_unconverted(pair, e, err);
		return NULL;
	}
	pair->ops->closing(pair, e);
	fd = handoff__roster_take(&pair->roster, e);
	if (other >= 0) {
		close(fd);
		fd = other;
	}
	new = handoff__roster_at(&pair->roster, segment, slot);
	handoff__roster_enter(&pair->roster, new, segment, slot, fd, false);
	retire_record(pair, e);
	err = pair->ops->entered(pair, new);
	if (err < 0) {
		close_unconverted(pair, new, err);
		return NULL;
	}
	return new;
}
