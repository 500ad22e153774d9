/* SPDX-License-Identifier: MIT */
/* Confines the process to what it has open. */
#ifndef HANDOFF_FERRY_UNFREEZE_CONFINE_H
#define HANDOFF_FERRY_UNFREEZE_CONFINE_H

#include "base/text.h"

/* Raises the limit of descriptors as far as it goes, allows no core dump, no
 * new privileges and of the capabilities only CAP_NET_ADMIN. */
int handoff__confine_process(struct handoff__error *error);

/* From here on only calls that work on descriptors which the process has, or
 * receives, and on its own memory; others fail with EPERM. No open, no socket,
 * no connect, no bind, no exec, no clone, no kill. */
int handoff__confine_calls(struct handoff__error *error);

#endif
