/* SPDX-License-Identifier: MIT */
/* The connections of a service at one moment, and what went through them since
 * the moment before. */
#ifndef HANDOFFCTL_SAMPLE_H
#define HANDOFFCTL_SAMPLE_H

#include "peers.h"

#define GIVES_MAX 8

/* A connection. */
struct flow {
	long long id, since_ms, received, sent;
	double in, out; /* bytes in a second */
	bool session;   /* which may be without a connection */
	char peer[HANDOFF_NAME_MAX];
	char client[80], label[80];
};

/* A handoff or a failover. */
struct give {
	long long id, at_ms, connections, took_us;
	bool complete;
	char cause[24];
	char from[HANDOFF_NAME_MAX], to[HANDOFF_NAME_MAX];
};

struct sample {
	long long at_ms; /* CLOCK_MONOTONIC */
	bool partly;     /* a peer has not answered */
	char service[HANDOFF_NAME_MAX];
	struct peers peers;
	struct flow *flows; /* by their ids; after sample_rate the busiest
			     * first */
	size_t count;
	long long omitted; /* connections that are not listed */
	double in, out;    /* of all that are listed */
	struct give last;  /* id 0: none yet */
};

/* What has been seen of handoffs, the latest first. */
struct gives {
	struct give list[GIVES_MAX];
	size_t count;
	struct give longest;
};

/* Queries the peers. 0, or a negative errno and the reason in `why`, which has
 * HANDOFF_TEXT_MAX bytes; without a peer that is -ENOENT. */
int sample_take(struct sample *sample, const char *dir, char *why);

/* The same of the texts of a status and of the connections; false: memory is
 * out. */
bool sample_parse(
	struct sample *sample, const char *status, const char *connections);

/* Fills in the rates since `before`, which has the order of ids, and changes
 * the order of `sample`. A connection that has come since counts from its
 * beginning, unless it may have been among those that were not listed. */
void sample_rate(struct sample *sample, const struct sample *before);

/* Copies the flows in the order of ids, for the next time. */
bool sample_copy(struct sample *copy, const struct sample *sample);

void sample_free(struct sample *sample);

/* Adds the sample's last handoff if that is a new one. */
void gives_add(struct gives *gives, const struct sample *sample);

#endif
