/* SPDX-License-Identifier: MIT */
/* The connections of a batch on its way to the other host. Those that return
 * actions return those of the machine, see sending.h. */
#ifndef HANDOFF_FERRY_SHIPPING_H
#define HANDOFF_FERRY_SHIPPING_H

#include "ferry/freight.h"

/* The item's entry is in no batch any more. */
void handoff__shipping_part(struct handoff__item *item);

uint32_t handoff__shipping_freeze(struct handoff__freight *load);

/* BATCH, and as many entries as the link takes; the rest by _more. */
void handoff__shipping_ship(struct handoff__freight *load);
void handoff__shipping_more(struct handoff__freight *load);

/* Those that are named go back; and the other ferry is told. */
void handoff__shipping_return(struct handoff__freight *load);
void handoff__shipping_withdraw(struct handoff__freight *load);

/* Whether all are what their images say. */
uint32_t handoff__shipping_check(struct handoff__freight *load);

/* All go back. */
void handoff__shipping_thaw(struct handoff__freight *load);

/* They are the other host's: they end here. */
void handoff__shipping_end(struct handoff__freight *load);

#endif
