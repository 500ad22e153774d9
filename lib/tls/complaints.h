/* SPDX-License-Identifier: MIT */
/*
 * Lines in the program's log about handshakes that fail and connections that
 * end with an alert: with the client's address, and not more than a log can
 * bear. It decides nothing, and sees nothing that is secret.
 */
#ifndef HANDOFF_TLS_COMPLAINTS_H
#define HANDOFF_TLS_COMPLAINTS_H

#include "base/text.h"

#include <handoff/service.h>
#include <pthread.h>

struct handoff__tls_complaints {
	struct handoff__log log; /* without a function nothing is done */
	pthread_mutex_t lock;    /* of what follows: workers complain, too */
	int64_t since_us;        /* when the present time began */
	uint32_t lines;          /* in it */
	uint64_t left_out;       /* since the last line */
};

void handoff__tls_complaints_init(
	struct handoff__tls_complaints *c, handoff_log_fn *log, void *arg);
void handoff__tls_complaints_free(struct handoff__tls_complaints *c);

/* Logs "connection NUMBER of ADDRESS: WHY", unless there were too many of them
 * lately: the next line then has their number. From any thread. */
void handoff__tls_complain(struct handoff__tls_complaints *c,
	const struct handoff_conn *conn, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
