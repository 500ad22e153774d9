/* SPDX-License-Identifier: MIT */
/*
 * Order of a transaction: the lock; the intent, while the log is empty; for
 * each range its old bytes, its entry, then `ranges` (release); then the
 * service's stores; the flip of the record; `ranges` = 0; the release of the
 * lock. The fences keep the compiler to this order; a survivor looks only after
 * the kernel has reported the death, which orders all stores of the dead
 * process before that. Does not know which processes live.
 */
#include "record/region.h"

#include "record/record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static_assert(sizeof(struct handoff__region) <= HANDOFF__SHARED_HEAD,
	"it fits in front of the undo log");

static struct handoff__region *
region_of(const struct handoff__segment *commons)
{
	return (void *)(commons->base + commons->geo.shared);
}

static unsigned char *
undo_of(const struct handoff__segment *commons)
{
	return commons->base + commons->geo.shared + HANDOFF__SHARED_HEAD;
}

static unsigned char *
bytes_of(const struct handoff__segment *commons)
{
	return undo_of(commons) + HANDOFF__UNDO_SIZE;
}

/* Never beyond what is mapped, whatever the other peer has written. */
static size_t
size_of(const struct handoff__segment *commons)
{
	uint64_t stamp = atomic_load_explicit(
		&region_of(commons)->stamp, memory_order_relaxed);
	uint32_t size = (uint32_t)stamp;

	return size < commons->geo.shared_size ? size
					       : commons->geo.shared_size;
}

uint64_t
handoff__region_stamp(const struct handoff__arena *arena)
{
	const struct handoff__segment *commons = handoff__arena_commons(arena);

	return commons && commons->geo.shared_size > 0
		       ? atomic_load(&region_of(commons)->stamp)
		       : 0;
}

int
handoff__region_claim(const struct handoff__arena *arena, uint64_t stamp)
{
	const struct handoff__segment *commons = handoff__arena_commons(arena);
	uint64_t found = 0;

	if (stamp == 0 || !commons)
		return 0;
	if (commons->geo.shared_size < (uint32_t)stamp)
		return -EPROTO;
	atomic_compare_exchange_strong(
		&region_of(commons)->stamp, &found, stamp);
	return found == 0 || found == stamp ? 0 : -EPROTO;
}

/* Whether somebody has waited in full for this hold of the lock. */
static bool
is_overdue(const struct handoff__region *r, uint32_t holds)
{
	uint32_t overdue =
		atomic_load_explicit(&r->overdue, memory_order_relaxed);

	return overdue != 0 && overdue == holds;
}

uint32_t
handoff__region_holder(const struct handoff__segment *commons, bool *overdue)
{
	const struct handoff__region *r = region_of(commons);
	uint32_t holds = handoff__lock_holds(&r->lock);
	uint32_t holder = handoff__lock_holder(&r->lock);

	*overdue = holder != 0 && is_overdue(r, holds);
	return holder;
}

static int
take_lock(struct handoff__region *r, uint32_t self)
{
	uint32_t holds = handoff__lock_holds(&r->lock);
	int err;

	if (is_overdue(r, holds)) {
		err = handoff__lock_take(&r->lock, self, 0);
		if (err != -ETIMEDOUT ||
			is_overdue(r, handoff__lock_holds(&r->lock)))
			return err;
	}
	holds = handoff__lock_holds(&r->lock);
	err = handoff__lock_take(&r->lock, self, HANDOFF_SHARED_WAIT_MS);
	if (err == -ETIMEDOUT && handoff__lock_holds(&r->lock) == holds)
		atomic_store_explicit(&r->overdue, holds, memory_order_relaxed);
	return err;
}

int
handoff__region_enter(const struct handoff__segment *commons)
{
	struct handoff__region *r = region_of(commons);
	int err = take_lock(r, commons->self);

	if (err == 0)
		r->id = 0;
	return err;
}

int
handoff__region_at(const struct handoff__segment *commons, size_t offset,
	size_t len, void **at)
{
	size_t size = size_of(commons);

	if (len == 0 || len > size || offset > size - len)
		return -EINVAL;
	*at = bytes_of(commons) + offset;
	return 0;
}

/* The ranges in the log, of which a damaged one may say anything. */
static uint32_t
ranges_of(const struct handoff__region *r)
{
	uint32_t n = atomic_load_explicit(&r->ranges, memory_order_acquire);

	return n < HANDOFF_SHARED_RANGES ? n : HANDOFF_SHARED_RANGES;
}

static bool
contains(const struct handoff__range *a, size_t offset, size_t len)
{
	return offset >= a->offset &&
	       offset + len <= (uint64_t)a->offset + a->len;
}

/* Where the next range goes in the log; -1 if these bytes are saved already. */
static int64_t
log_end(const struct handoff__region *r, size_t offset, size_t len)
{
	uint32_t n = ranges_of(r);
	int64_t end = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (contains(&r->range[i], offset, len))
			return -1;
		end += r->range[i].len;
	}
	return end;
}

int
handoff__region_save(const struct handoff__segment *commons, size_t offset,
	size_t len, void **at)
{
	struct handoff__region *r = region_of(commons);
	uint32_t n = ranges_of(r);
	void *bytes;
	int64_t end;
	int err = handoff__region_at(commons, offset, len, &bytes);

	if (err < 0)
		return err;
	if (len > HANDOFF__UNDO_SIZE)
		return -EMSGSIZE;
	end = log_end(r, offset, len);
	if (end >= 0) {
		if (n == HANDOFF_SHARED_RANGES ||
			len > HANDOFF__UNDO_SIZE - (size_t)end)
			return -ENOSPC;
		memcpy(undo_of(commons) + end, bytes, len);
		r->range[n] = (struct handoff__range){
			.offset = (uint32_t)offset, .len = (uint32_t)len};
		atomic_store_explicit(&r->ranges, n + 1, memory_order_release);
		handoff__overwriting_follows();
	}
	*at = bytes;
	return 0;
}

static void
forget_log(struct handoff__region *r)
{
	atomic_store_explicit(&r->ranges, 0, memory_order_release);
}

/* Restores one range; false if it is damaged. */
static bool
restore(const struct handoff__segment *commons, struct handoff__range range,
	size_t from)
{
	void *bytes;

	if (from > HANDOFF__UNDO_SIZE ||
		range.len > HANDOFF__UNDO_SIZE - from ||
		handoff__region_at(commons, range.offset, range.len, &bytes) <
			0)
		return false;
	memcpy(bytes, undo_of(commons) + from, range.len);
	return true;
}

/* The last range first: where two overlap, the one that was saved first has the
 * older bytes. May be repeated. */
static void
restore_all(const struct handoff__segment *commons)
{
	const struct handoff__region *r = region_of(commons);
	uint32_t n = ranges_of(r);
	size_t end = 0;

	for (uint32_t i = 0; i < n; i++)
		end += r->range[i].len;
	while (n > 0) {
		struct handoff__range range = r->range[--n];

		end -= range.len;
		if (!restore(commons, range, end))
			return;
	}
}

void
handoff__region_keep(const struct handoff__segment *commons)
{
	struct handoff__region *r = region_of(commons);

	forget_log(r);
	handoff__lock_release(&r->lock);
}

void
handoff__region_undo(const struct handoff__segment *commons)
{
	restore_all(commons);
	handoff__region_keep(commons);
}

/* Whether the record of the transaction has flipped. */
static bool
has_committed(
	const struct handoff__arena *arena, const struct handoff__region *r)
{
	const struct handoff__record *rec =
		handoff__arena_record(arena, r->segment, r->slot);

	return r->id != 0 && rec && handoff__record_id(rec) == r->id &&
	       (int32_t)(handoff__record_sequence(rec) - r->sequence) >= 0;
}

size_t
handoff__region_size(const struct handoff__segment *commons)
{
	return commons && commons->geo.shared_size > 0 ? size_of(commons) : 0;
}

int
handoff__region_export(const struct handoff__segment *commons, size_t offset,
	void *bytes, size_t len)
{
	void *at;
	int err = handoff__region_at(commons, offset, len, &at);

	if (err == 0)
		memcpy(bytes, at, len);
	return err;
}

/* Returns the pages of the whole region, whatever its stamp says; with the lock
 * held. */
static void
clear_all(const struct handoff__segment *commons)
{
	size_t size = commons->geo.shared_size;
	unsigned char *bytes = bytes_of(commons);

	if (fallocate(commons->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		    bytes - commons->base, (off_t)size) < 0)
		memset(bytes, 0, size);
}

int
handoff__region_import_begin(const struct handoff__segment *commons)
{
	int err = handoff__region_size(commons) > 0
			  ? handoff__region_enter(commons)
			  : -EINVAL;

	if (err < 0)
		return err;
	atomic_store(&region_of(commons)->importing, 1);
	clear_all(commons);
	return 0;
}

int
handoff__region_import(const struct handoff__segment *commons, size_t offset,
	const void *bytes, size_t len)
{
	void *at;
	int err = handoff__region_at(commons, offset, len, &at);

	if (err == 0)
		memcpy(at, bytes, len);
	return err;
}

void
handoff__region_import_end(const struct handoff__segment *commons, bool keep)
{
	if (!keep)
		clear_all(commons);
	/* after the bytes: a survivor finds it whole, or clears it */
	atomic_store(&region_of(commons)->importing, 0);
	handoff__region_keep(commons);
}

int
handoff__region_clear(const struct handoff__segment *commons)
{
	int err = handoff__region_import_begin(commons);

	if (err == 0)
		handoff__region_import_end(commons, true);
	return err;
}

enum handoff__settled
handoff__region_settle(
	const struct handoff__arena *arena, uint32_t place, uint32_t agent)
{
	const struct handoff__segment *commons = handoff__arena_commons(arena);
	enum handoff__settled how = HANDOFF__SETTLED_CLEAN;
	struct handoff__region *r;

	if (!commons || commons->geo.shared_size == 0)
		return HANDOFF__SETTLED_FREE;
	r = region_of(commons);
	if (!handoff__lock_held_by(&r->lock, place, agent))
		return HANDOFF__SETTLED_FREE;
	if (atomic_load(&r->importing)) {
		clear_all(commons);
		atomic_store(&r->importing, 0);
		forget_log(r);
		handoff__lock_release_for(&r->lock, place, agent);
		return HANDOFF__SETTLED_CLEARED;
	}
	if (ranges_of(r) > 0)
		how = has_committed(arena, r) ? HANDOFF__SETTLED_KEPT
					      : HANDOFF__SETTLED_UNDONE;
	if (how == HANDOFF__SETTLED_UNDONE)
		restore_all(commons);
	forget_log(r);
	handoff__lock_release_for(&r->lock, place, agent);
	return how;
}

/* Takes the lock for the rest of this transaction. */
static int
enter_for(struct handoff_conn *conn)
{
	const struct handoff__view *view = &conn->view;
	const struct handoff__segment *commons = view->seg->commons;
	struct handoff__region *r;
	int err;

	if (conn->next->flags & HANDOFF__SHARED)
		return 0;
	if (!commons || size_of(commons) == 0)
		return -EINVAL;
	err = handoff__region_enter(commons);
	if (err == -ETIMEDOUT)
		conn->next->flags |= HANDOFF__SHARED_LATE;
	if (err < 0)
		return err;
	r = region_of(commons);
	r->segment = view->seg->index;
	r->slot = handoff__segment_slot(view->seg, view->rec);
	r->sequence = conn->next->sequence;
	r->id = handoff__record_id(view->rec);
	conn->next->flags |= HANDOFF__SHARED;
	return 0;
}

int
handoff_conn_shared(
	struct handoff_conn *conn, size_t offset, size_t len, void **at)
{
	int err = at ? enter_for(conn) : -EINVAL;

	return err < 0 ? err
		       : handoff__region_save(
				 conn->view.seg->commons, offset, len, at);
}

int
handoff_conn_shared_read(
	struct handoff_conn *conn, size_t offset, size_t len, const void **at)
{
	void *bytes;
	int err = at ? enter_for(conn) : -EINVAL;

	if (err >= 0)
		err = handoff__region_at(
			conn->view.seg->commons, offset, len, &bytes);
	if (err >= 0)
		*at = bytes;
	return err;
}
