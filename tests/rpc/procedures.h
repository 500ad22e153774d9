/* SPDX-License-Identifier: MIT */
/* The service behind counter.x: sums in the shared region and in the state. */
#ifndef TESTS_RPC_PROCEDURES_H
#define TESTS_RPC_PROCEDURES_H

#include <handoff/rpc.h>

#include <counter.h>

/* Options of it; `once`: a file whose removal makes DIE kill, or NULL. */
void counter_options(struct handoff_rpc_opts *opts, const char *once);

#endif
