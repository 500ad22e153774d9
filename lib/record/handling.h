/* SPDX-License-Identifier: MIT */
/*
 * The mark that brackets a handler, and the deaths under it. A byte of the
 * record has both: its highest bit is set while the service's code has the
 * connection, the others count the processes that died there since a handler
 * last returned. Who owns the record writes it, a survivor once the owner is
 * dead.
 *
 * Relaxed stores are enough. Within the dead process they precede and follow
 * the call of the handler: it is in another translation unit, so the compiler
 * keeps them there, and a signal ends a process between two instructions of
 * the program's order. The survivor looks after it has seen that death by the
 * kernel (pidfd, end of file), which orders all that the dead one wrote before.
 */
#ifndef HANDOFF_RECORD_HANDLING_H
#define HANDOFF_RECORD_HANDLING_H

#include "record/record.h"

#define HANDOFF__HANDLING    0x80u
#define HANDOFF__DEATHS_MASK 0x7fu
#define HANDOFF__DEATHS_MOST 2u /* nobody runs the handler after so many */

static inline uint8_t
handoff__handling(const struct handoff__record *rec)
{
	return atomic_load_explicit(&rec->handling, memory_order_relaxed);
}

static inline void
handoff__handling_set(struct handoff__record *rec, uint32_t value)
{
	atomic_store_explicit(
		&rec->handling, (uint8_t)value, memory_order_relaxed);
}

static inline void
handoff__handler_enter(struct handoff__record *rec)
{
	handoff__handling_set(rec, handoff__handling(rec) | HANDOFF__HANDLING);
}

/* It has returned: whatever died before, this input is not to blame. */
static inline void
handoff__handler_leave(struct handoff__record *rec)
{
	handoff__handling_set(rec, 0);
}

/* How many processes died in the handler on the input that is there. */
static inline uint32_t
handoff__handler_deaths(const struct handoff__record *rec)
{
	return handoff__handling(rec) & HANDOFF__DEATHS_MASK;
}

/* The process that had the record is dead. True if it died in the handler:
 * that is counted, and the mark is gone, by one store, so that a survivor that
 * dies here leaves it counted or not, but never twice. */
static inline bool
handoff__handler_died(struct handoff__record *rec)
{
	uint32_t deaths = handoff__handler_deaths(rec);

	if (!(handoff__handling(rec) & HANDOFF__HANDLING))
		return false;
	handoff__handling_set(rec, deaths + (deaths < HANDOFF__DEATHS_MASK));
	return true;
}

/* The same where this process has ended the other one itself: that is no fault
 * of the handler. */
static inline void
handoff__handler_absolve(struct handoff__record *rec)
{
	handoff__handling_set(rec, handoff__handler_deaths(rec));
}

#endif
