/* SPDX-License-Identifier: MIT */
/*
 * What a peer tells a monitor, in the text format of Prometheus, 0.0.4. All
 * of a family is in one place, its HELP and TYPE before it.
 */
#ifndef HANDOFF_PEER_METRICS_H
#define HANDOFF_PEER_METRICS_H

#include "base/text.h"

struct handoff__pair;

/* Begins a family; `name` is without the "handoff_" that all have. */
void handoff__metrics_family(struct handoff__buf *buf, const char *name,
	const char *type, const char *help);

/* A sample of it; `labels` besides those that all have, e.g. `kind="x"`, or
 * "". */
void handoff__metrics_sample(const struct handoff__pair *pair,
	struct handoff__buf *buf, const char *name, const char *labels,
	uint64_t value);

/* All that the peer has counted. */
void handoff__metrics(struct handoff__pair *pair, struct handoff__buf *buf);

#endif
