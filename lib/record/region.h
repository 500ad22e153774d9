/* SPDX-License-Identifier: MIT */
/*
 * The shared region: bytes of the whole service, in the commons, under one
 * lock, with an undo log. A transaction saves what it is about to overwrite,
 * and names the record whose commit decides: so one store, the flip of that
 * record, commits both. A survivor finds the lock in the name of the dead
 * process, and restores the old bytes unless that record has flipped.
 */
#ifndef HANDOFF_RECORD_REGION_H
#define HANDOFF_RECORD_REGION_H

#include "record/arena.h"

#include <handoff/service.h>

struct handoff_conn;

/* Old bytes that are in the undo log, one range after the other. */
struct handoff__range {
	uint32_t offset, len;
};

/* In shared memory, in front of the undo log and the region. Everything but the
 * first four belongs to the holder of the lock. */
struct handoff__region {
	_Atomic uint64_t stamp; /* size of the region, and its version in the
				 * upper 32 bits; 0: not used yet */
	struct handoff__lock lock;
	_Atomic uint32_t overdue;   /* this one of the lock's `holds` has
				     * outlasted a full wait */
	_Atomic uint32_t ranges;    /* in the log; the store of 0 commits what
				     * has no record */
	uint32_t segment, slot;     /* the record whose commit decides, */
	uint64_t id;                /* its id, 0: none, */
	uint32_t sequence;          /* and its sequence after the commit */
	_Atomic uint32_t importing; /* 1: it is being filled from another host,
				     * and makes no sense yet */
	struct handoff__range range[HANDOFF_SHARED_RANGES];
};

/* How a dead process has left the region. */
enum handoff__settled {
	HANDOFF__SETTLED_FREE = 0, /* it did not hold the lock */
	HANDOFF__SETTLED_CLEAN,    /* held, nothing was changed */
	HANDOFF__SETTLED_KEPT,     /* its transaction had committed */
	HANDOFF__SETTLED_UNDONE,   /* it had not */
	HANDOFF__SETTLED_CLEARED,  /* it was filling it from another host: all
				    * bytes are 0 */
};

static inline uint64_t
handoff__region_stamp_of(uint32_t size, uint32_t version)
{
	return size > 0 ? size | (uint64_t)version << 32 : 0;
}

/* The stamp of the arena's region; 0: there is none, or nobody uses it. */
uint64_t handoff__region_stamp(const struct handoff__arena *arena);

/* Stamps the region, unless `stamp` is 0 or there are no commons. -EPROTO if it
 * has another stamp. */
int handoff__region_claim(const struct handoff__arena *arena, uint64_t stamp);

/* The name of the process that holds the region, see lock.h; 0: none.
 * `*overdue`: for so long that somebody has waited in vain. */
uint32_t handoff__region_holder(
	const struct handoff__segment *commons, bool *overdue);

/* Takes the lock, for a transaction without a record; after
 * HANDOFF_SHARED_WAIT_MS -ETIMEDOUT, at once if somebody has waited that long
 * for the same holder. -EDEADLK if this thread holds it. */
int handoff__region_enter(const struct handoff__segment *commons);

/* With the lock held: stores the address of a range in `*at`; save: after
 * saving its bytes in the log. -EINVAL, -EMSGSIZE, -ENOSPC as of
 * handoff_conn_shared. */
int handoff__region_at(const struct handoff__segment *commons, size_t offset,
	size_t len, void **at);
int handoff__region_save(const struct handoff__segment *commons, size_t offset,
	size_t len, void **at);

/* Ends the transaction: forgets the log, or restores what is in it; then
 * releases the lock. */
void handoff__region_keep(const struct handoff__segment *commons);
void handoff__region_undo(const struct handoff__segment *commons);

/* The process is dead, for certain (`agent`: HANDOFF__LOCK_ANY, for all of the
 * place): ends the transaction that it had begun. Before its record is
 * repaired, freed, converted or served. */
enum handoff__settled handoff__region_settle(
	const struct handoff__arena *arena, uint32_t place, uint32_t agent);

/* The bytes of the region that can be copied to another host; 0: nobody uses
 * it. */
size_t handoff__region_size(const struct handoff__segment *commons);

/* Copies a part of the region, for another host. With the lock held: what comes
 * between `enter` and `keep` is of one moment. -EINVAL: it is not all within
 * the region. */
int handoff__region_export(const struct handoff__segment *commons,
	size_t offset, void *bytes, size_t len);

/*
 * Fills the region with that of another host, of the same stamp, while this one
 * serves no connection that could use it: that is for the caller to know. Takes
 * the lock, as region_enter, and clears all bytes; then come parts, in any
 * order, and what does not come stays 0; the end releases the lock, and with
 * `keep` false clears them again. Should the process die meanwhile, its
 * survivor finds and clears that, too (region_settle).
 */
int handoff__region_import_begin(const struct handoff__segment *commons);
int handoff__region_import(const struct handoff__segment *commons,
	size_t offset, const void *bytes, size_t len);
void handoff__region_import_end(
	const struct handoff__segment *commons, bool keep);

/* Clears a region that was filled for nothing: the move was given up. As
 * region_enter. */
int handoff__region_clear(const struct handoff__segment *commons);

#endif
