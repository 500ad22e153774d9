/* SPDX-License-Identifier: MIT */
/*
 * The bulletin of layout 5: an operator's lines to clients, in segment 0. This
 * library writes none (it has posts), but a connection that comes from an older
 * one may have lines there that it has not read. Writes nothing.
 */
#ifndef HANDOFF_RECORD_BULLETIN_H
#define HANDOFF_RECORD_BULLETIN_H

#include <handoff/common.h>

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* fits into any output buffer */
#define HANDOFF__LINE_MAX (HANDOFF_SAY_MAX + 1u)
/* bytes of lines that are kept */
#define HANDOFF__BULLETIN_SIZE 65536u

/* Positions count bytes from the first line ever written. */
struct handoff__bulletin {
	_Atomic uint32_t writer; /* place of the peer that is writing, 0:
				  * none */
	uint32_t reserved;
	_Atomic uint64_t head;        /* end of the last line */
	_Atomic uint64_t tail;        /* start of the oldest line kept */
	_Atomic uint64_t read_by_all; /* all connections have read up to here */
	unsigned char ring[HANDOFF__BULLETIN_SIZE];
};

/* Reads the next line for connection `id` from `*position` on and advances the
 * position. `text` has HANDOFF__LINE_MAX bytes. Returns the length; 0: no
 * more. */
size_t handoff__bulletin_read(const struct handoff__bulletin *b,
	uint64_t *position, uint64_t id, char *text);

#endif
