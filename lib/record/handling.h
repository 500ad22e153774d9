/* SPDX-License-Identifier: MIT */
/*
 * The mark around a handler, and the number of deaths in it, in one byte of the
 * record: its highest bit is set while the service's code has the connection,
 * the others count the processes that died there since a handler last returned.
 * The owner writes it, and a survivor once the owner is dead.
 *
 * Relaxed stores are enough. Within the dead process they are ordered around
 * the call of the handler: it is in another translation unit, so the compiler
 * cannot move them across it, and a signal ends a process between two
 * instructions in program order. The survivor looks only after the kernel has
 * reported the death (pidfd, end of file), which orders all stores of the dead
 * process before that.
 */
#ifndef HANDOFF_RECORD_HANDLING_H
#define HANDOFF_RECORD_HANDLING_H

#include "record/record.h"

#define HANDOFF__HANDLING    0x80u
#define HANDOFF__DEATHS_MASK 0x7fu
/* the handler is not run again after this many */
#define HANDOFF__DEATHS_MOST 2u

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

/* It has returned: earlier deaths were not caused by this input. */
static inline void
handoff__handler_leave(struct handoff__record *rec)
{
	handoff__handling_set(rec, 0);
}

/* The number of processes that died in the handler on the present input. */
static inline uint32_t
handoff__handler_deaths(const struct handoff__record *rec)
{
	return handoff__handling(rec) & HANDOFF__DEATHS_MASK;
}

/* The process that served the record is dead. True if it died in the handler:
 * that is counted, and the mark cleared, by one store, so that a survivor that
 * dies here leaves the death counted or not, but never counts it twice. */
static inline bool
handoff__handler_died(struct handoff__record *rec)
{
	uint32_t deaths = handoff__handler_deaths(rec);

	if (!(handoff__handling(rec) & HANDOFF__HANDLING))
		return false;
	handoff__handling_set(rec, deaths + (deaths < HANDOFF__DEATHS_MASK));
	return true;
}

/* The same for a process that was killed on purpose: the handler is not to
 * blame. */
static inline void
handoff__handler_absolve(struct handoff__record *rec)
{
	handoff__handling_set(rec, handoff__handler_deaths(rec));
}

#endif
