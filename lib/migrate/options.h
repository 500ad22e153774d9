/* SPDX-License-Identifier: MIT */
/*
 * The socket options that a connection takes along: a restored socket starts
 * with the defaults of its host, and nothing would report what it lacks.
 */
#ifndef HANDOFF_MIGRATE_OPTIONS_H
#define HANDOFF_MIGRATE_OPTIONS_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

/* Options whose value is an int, in the order in which a restored socket gets
 * them. The rows of options.c say what each of them is. */
enum handoff__image_option {
	HANDOFF__OPT_REUSEPORT,
	HANDOFF__OPT_MARK,
	HANDOFF__OPT_DONTROUTE,
	HANDOFF__OPT_IP_FREEBIND,
	HANDOFF__OPT_IP_TRANSPARENT,
	HANDOFF__OPT_V6ONLY,
	HANDOFF__OPT_V6_FREEBIND,
	HANDOFF__OPT_V6_TRANSPARENT,
	HANDOFF__OPT_OOBINLINE,
	HANDOFF__OPT_LINGER, /* -1 off, or seconds */
	HANDOFF__OPT_RCVLOWAT,
	HANDOFF__OPT_ZEROCOPY,
	HANDOFF__OPT_PEEK_OFF,
	HANDOFF__OPT_NODELAY,
	HANDOFF__OPT_CORK,
	HANDOFF__OPT_KEEPIDLE,
	HANDOFF__OPT_KEEPINTVL,
	HANDOFF__OPT_KEEPCNT,
	HANDOFF__OPT_LINGER2,
	HANDOFF__OPT_USER_TIMEOUT,
	HANDOFF__OPT_NOTSENT_LOWAT,
	HANDOFF__OPT_THIN_LINEAR,
	HANDOFF__OPT_INQ,
	HANDOFF__OPT_TOS,
	HANDOFF__OPT_TTL,
	HANDOFF__OPT_MTU_DISCOVER,
	HANDOFF__OPT_RECVERR,
	HANDOFF__OPT_MINTTL,
	HANDOFF__OPT_TCLASS,
	HANDOFF__OPT_HOPS,
	HANDOFF__OPT_V6_MTU_DISCOVER,
	HANDOFF__OPT_V6_RECVERR,
	HANDOFF__OPT_MINHOPS,
	HANDOFF__OPT_PRIORITY,
	HANDOFF__OPT_NONBLOCK, /* O_NONBLOCK */
	HANDOFF__OPT_SNDBUF,   /* as getsockopt(2) reports it */
	HANDOFF__OPT_RCVBUF,
	HANDOFF__OPT_BUF_LOCK,
	HANDOFF__OPT_KEEPALIVE,
	HANDOFF__OPT_REUSEADDR,
	HANDOFF__OPTS,
};

struct handoff__image_options {
	uint64_t has; /* a bit (1 << option) for each value that is carried */
	int32_t value[HANDOFF__OPTS];
	uint64_t pacing;         /* SO_MAX_PACING_RATE, all ones for none */
	uint64_t rcv_timeout_us; /* SO_RCVTIMEO, 0 for none */
	uint64_t snd_timeout_us;
	char congestion[16];
	char device[16]; /* SO_BINDTODEVICE, empty for none */
};

static inline bool
handoff__image_has(const struct handoff__image_options *o, int option)
{
	return (o->has >> option & 1) != 0;
}

/* What new sockets of this host have, for each family: read from the first that
 * is made, and good for as long as no setting of the host changes, so for a
 * batch. Begins zeroed. */
struct handoff__usual {
	bool knows_four, knows_six;
	struct handoff__image_options four, six;
};

/* That of the family, read from `fd`, to which nothing was done yet, if it is
 * not known; NULL if it cannot be, or without `usual`. */
const struct handoff__image_options *handoff__options_usual(
	struct handoff__usual *usual, int family, int fd);

enum handoff__option_stage {
	HANDOFF__BEFORE_BIND,
	HANDOFF__PREPARED, /* connected, in repair mode */
	HANDOFF__SERVING,  /* repair mode is off */
	HANDOFF__BY_HAND,  /* not by handoff__options_set */
};

/* Reads all options of a socket that is not frozen yet: repair mode replaces
 * SO_REUSEADDR. `mapped`: an IPv4 connection of an IPv6 socket. -errno with a
 * sentence. */
int handoff__options_read(int fd, int family, bool mapped,
	struct handoff__image_options *options, struct handoff__error *error);

/* Sets those of one stage. Those that a new socket has anyway are left alone;
 * `usual` says more of that than is always so, or is NULL. -errno with a
 * sentence that names the option. */
int handoff__options_set(int fd, enum handoff__option_stage stage,
	const struct handoff__image_options *options,
	const struct handoff__image_options *usual,
	struct handoff__error *error);

/* Whether the buffers of a new socket are what handoff__options_buffers would
 * make of them. */
bool handoff__options_fit(const struct handoff__image_options *usual,
	const struct handoff__image_options *options, uint32_t in,
	uint32_t out);

/* Sees to it that the buffers hold so many bytes of either direction, and are
 * no smaller than they were, as far as the host's limits let them: without
 * CAP_NET_ADMIN these are net.core.rmem_max and wmem_max. What locks their
 * sizes is as it was. -ENOBUFS if they would not hold the bytes. */
int handoff__options_buffers(int fd,
	const struct handoff__image_options *options, uint32_t in, uint32_t out,
	struct handoff__error *error);

/* Makes the send buffer as large as it was again, after it has been filled
 * beyond that: what is in it stays. */
void handoff__options_shrink(
	int fd, const struct handoff__image_options *options);

/* The name of the first option whose value is out of its range, or NULL. */
const char *handoff__options_bad(const struct handoff__image_options *options);

#endif
