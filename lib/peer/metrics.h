/* SPDX-License-Identifier: MIT */
/*
 * A peer's metrics in the text format of Prometheus, 0.0.4. Each family is
 * contiguous, with HELP and TYPE first.
 */
#ifndef HANDOFF_PEER_METRICS_H
#define HANDOFF_PEER_METRICS_H

#include "base/text.h"

struct handoff__pair;

/* Begins a family; `name` excludes the common prefix "handoff_". */
void handoff__metrics_family(struct handoff__buf *buf, const char *name,
	const char *type, const char *help);

/* Adds a sample; `labels` are added to the common ones, e.g. `kind="x"`, or
 * "". */
void handoff__metrics_sample(const struct handoff__pair *pair,
	struct handoff__buf *buf, const char *name, const char *labels,
	uint64_t value);

/* The same for a time, which is printed in seconds. */
void handoff__metrics_seconds(const struct handoff__pair *pair,
	struct handoff__buf *buf, const char *name, const char *labels,
	uint64_t us);

/* Adds all metrics of the peer. */
void handoff__metrics(struct handoff__pair *pair, struct handoff__buf *buf);

#endif
