/* SPDX-License-Identifier: MIT */
/*
 * Any client can make a handshake fail, as often as it likes: so
 * there are so many lines in a time, and each says how many were left out
 * before it. The log is called without the lock.
 */
#include "tls/complaints.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define LINES   10
#define TIME_US 10000000

void
handoff__tls_complaints_init(
	struct handoff__tls_complaints *c, handoff_log_fn *log, void *arg)
{
	*c = (struct handoff__tls_complaints){.log = {.fn = log, .arg = arg}};
	pthread_mutex_init(&c->lock, NULL);
}

void
handoff__tls_complaints_free(struct handoff__tls_complaints *c)
{
	pthread_mutex_destroy(&c->lock);
}

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Whether there is a line for this one, and how many there were none for. */
static bool
may_log(struct handoff__tls_complaints *c, uint64_t *left_out)
{
	int64_t now = now_us();
	bool may;

	pthread_mutex_lock(&c->lock);
	if (c->since_us == 0 || now - c->since_us >= TIME_US) {
		c->since_us = now;
		c->lines = 0;
	}
	may = c->lines < LINES;
	*left_out = c->left_out;
	if (may) {
		c->lines++;
		c->left_out = 0;
	} else {
		c->left_out++;
	}
	pthread_mutex_unlock(&c->lock);
	return may;
}

void
handoff__tls_complain(struct handoff__tls_complaints *c,
	const struct handoff_conn *conn, const char *fmt, ...)
{
	char why[HANDOFF_TEXT_MAX], address[HANDOFF_ADDRESS_MAX], more[64] = "";
	uint64_t left_out;
	va_list ap;

	if (!c->log.fn || !may_log(c, &left_out))
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (handoff_conn_peer(conn, address, sizeof(address)) < 0)
		handoff__copy(address, sizeof(address), "?");
	if (left_out > 0)
		snprintf(more, sizeof(more),
			" (and %llu more since the last such line)",
			(unsigned long long)left_out);
	handoff__log(&c->log, HANDOFF_LOG_INFO, "connection %llu of %s: %s%s",
		(unsigned long long)handoff_conn_id(conn), address, why, more);
}
