/* SPDX-License-Identifier: MIT */
/*
 * Reads and sets the options that a connection takes along. Left out on
 * purpose: what is of the host and not of the connection (SO_INCOMING_CPU,
 * SO_BUSY_POLL), what concerns listeners only, and TCP_WINDOW_CLAMP, which the
 * kernel moves itself.
 */
#include "migrate/options.h"

#include "migrate/mode.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/time.h>

/* Headers of older C libraries lack some of these (Linux 4.x and later). */
#ifndef SO_MAX_PACING_RATE
#define SO_MAX_PACING_RATE 47
#endif
#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef IP_MINTTL
#define IP_MINTTL 21
#endif
#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73
#endif
#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

/* as large as a queue of an image and what its segments take beside it */
#define BUFFER_MAX (1 << 29)
/* The default of a new socket differs from host to host. */
#define NO_DEFAULT  INT64_MAX
#define SEGMENT     16384
#define TIMEOUT_MAX (UINT64_C(1) << 45) /* a year */
/* the two bits of ECN in a traffic class, which the kernel keeps for itself */
#define ECN_BITS 3

struct row {
	int level, name;
	int32_t least, most;
	int64_t usual; /* the default of every new socket */
	enum handoff__option_stage stage;
	const char *text;
};

#define ROW(level, name, least, most, usual, stage)                            \
	{                                                                      \
		level, name, least, most, usual, HANDOFF__##stage, #name       \
	}
#define SWITCH(level, name, stage)                                             \
	{                                                                      \
		level, name, 0, 1, 0, HANDOFF__##stage, #name                  \
	}

static const struct row rows[HANDOFF__OPTS] = {
	[HANDOFF__OPT_REUSEPORT] =
		SWITCH(SOL_SOCKET, SO_REUSEPORT, BEFORE_BIND),
	[HANDOFF__OPT_MARK] =
		ROW(SOL_SOCKET, SO_MARK, INT_MIN, INT_MAX, 0, BEFORE_BIND),
	[HANDOFF__OPT_DONTROUTE] =
		SWITCH(SOL_SOCKET, SO_DONTROUTE, BEFORE_BIND),
	[HANDOFF__OPT_IP_FREEBIND] =
		SWITCH(IPPROTO_IP, IP_FREEBIND, BEFORE_BIND),
	[HANDOFF__OPT_IP_TRANSPARENT] =
		SWITCH(IPPROTO_IP, IP_TRANSPARENT, BEFORE_BIND),
	[HANDOFF__OPT_V6ONLY] =
		ROW(IPPROTO_IPV6, IPV6_V6ONLY, 0, 1, NO_DEFAULT, BEFORE_BIND),
	[HANDOFF__OPT_V6_FREEBIND] =
		SWITCH(IPPROTO_IPV6, IPV6_FREEBIND, BEFORE_BIND),
	[HANDOFF__OPT_V6_TRANSPARENT] =
		SWITCH(IPPROTO_IPV6, IPV6_TRANSPARENT, BEFORE_BIND),
	[HANDOFF__OPT_OOBINLINE] = SWITCH(SOL_SOCKET, SO_OOBINLINE, PREPARED),
	[HANDOFF__OPT_LINGER] =
		ROW(SOL_SOCKET, SO_LINGER, -1, INT_MAX, -1, PREPARED),
	[HANDOFF__OPT_RCVLOWAT] =
		ROW(SOL_SOCKET, SO_RCVLOWAT, 1, INT_MAX, 1, PREPARED),
	[HANDOFF__OPT_ZEROCOPY] = SWITCH(SOL_SOCKET, SO_ZEROCOPY, PREPARED),
	[HANDOFF__OPT_PEEK_OFF] =
		ROW(SOL_SOCKET, SO_PEEK_OFF, -1, INT_MAX, -1, PREPARED),
	[HANDOFF__OPT_NODELAY] = SWITCH(IPPROTO_TCP, TCP_NODELAY, PREPARED),
	[HANDOFF__OPT_CORK] = SWITCH(IPPROTO_TCP, TCP_CORK, PREPARED),
	[HANDOFF__OPT_KEEPIDLE] =
		ROW(IPPROTO_TCP, TCP_KEEPIDLE, 1, 32767, NO_DEFAULT, PREPARED),
	[HANDOFF__OPT_KEEPINTVL] =
		ROW(IPPROTO_TCP, TCP_KEEPINTVL, 1, 32767, NO_DEFAULT, PREPARED),
	[HANDOFF__OPT_KEEPCNT] =
		ROW(IPPROTO_TCP, TCP_KEEPCNT, 1, 127, NO_DEFAULT, PREPARED),
	[HANDOFF__OPT_LINGER2] =
		ROW(IPPROTO_TCP, TCP_LINGER2, -1, 120, NO_DEFAULT, PREPARED),
	[HANDOFF__OPT_USER_TIMEOUT] =
		ROW(IPPROTO_TCP, TCP_USER_TIMEOUT, 0, INT_MAX, 0, PREPARED),
	[HANDOFF__OPT_NOTSENT_LOWAT] = ROW(
		IPPROTO_TCP, TCP_NOTSENT_LOWAT, INT_MIN, INT_MAX, 0, PREPARED),
	[HANDOFF__OPT_THIN_LINEAR] =
		SWITCH(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, PREPARED),
	[HANDOFF__OPT_INQ] = SWITCH(IPPROTO_TCP, TCP_INQ, PREPARED),
	[HANDOFF__OPT_TOS] = ROW(IPPROTO_IP, IP_TOS, 0, 255, 0, PREPARED),
	[HANDOFF__OPT_TTL] =
		ROW(IPPROTO_IP, IP_TTL, 1, 255, NO_DEFAULT, PREPARED),
	[HANDOFF__OPT_MTU_DISCOVER] =
		ROW(IPPROTO_IP, IP_MTU_DISCOVER, 0, 5, NO_DEFAULT, PREPARED),
	[HANDOFF__OPT_RECVERR] = SWITCH(IPPROTO_IP, IP_RECVERR, PREPARED),
	[HANDOFF__OPT_MINTTL] = ROW(IPPROTO_IP, IP_MINTTL, 0, 255, 0, PREPARED),
	[HANDOFF__OPT_TCLASS] =
		ROW(IPPROTO_IPV6, IPV6_TCLASS, 0, 255, 0, PREPARED),
	[HANDOFF__OPT_HOPS] = ROW(
		IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1, 255, NO_DEFAULT, PREPARED),
	[HANDOFF__OPT_V6_MTU_DISCOVER] = ROW(
		IPPROTO_IPV6, IPV6_MTU_DISCOVER, 0, 5, NO_DEFAULT, PREPARED),
	[HANDOFF__OPT_V6_RECVERR] =
		SWITCH(IPPROTO_IPV6, IPV6_RECVERR, PREPARED),
	[HANDOFF__OPT_MINHOPS] =
		ROW(IPPROTO_IPV6, IPV6_MINHOPCOUNT, 0, 255, 0, PREPARED),
	/* after IP_TOS, which changes it */
	[HANDOFF__OPT_PRIORITY] = ROW(SOL_SOCKET, SO_PRIORITY, INT_MIN, INT_MAX,
		NO_DEFAULT, PREPARED),
	[HANDOFF__OPT_NONBLOCK] = {-1, O_NONBLOCK, 0, 1, 0, HANDOFF__BY_HAND,
		"O_NONBLOCK"},
	[HANDOFF__OPT_SNDBUF] =
		ROW(SOL_SOCKET, SO_SNDBUF, 1, BUFFER_MAX, NO_DEFAULT, BY_HAND),
	[HANDOFF__OPT_RCVBUF] =
		ROW(SOL_SOCKET, SO_RCVBUF, 1, BUFFER_MAX, NO_DEFAULT, BY_HAND),
	[HANDOFF__OPT_BUF_LOCK] =
		ROW(SOL_SOCKET, SO_BUF_LOCK, 0, 3, NO_DEFAULT, BY_HAND),
	/* Keepalive would send probes from a prepared socket; the end of repair
	 * mode clears SO_REUSEADDR. */
	[HANDOFF__OPT_KEEPALIVE] = SWITCH(SOL_SOCKET, SO_KEEPALIVE, SERVING),
	[HANDOFF__OPT_REUSEADDR] = SWITCH(SOL_SOCKET, SO_REUSEADDR, SERVING),
};

static int
failed(struct handoff__error *error, int err, const char *verb,
	const char *option)
{
	return handoff__fail(error, err, "connection: %s %s: %s%s", verb,
		option, strerror(-err),
		err == -EPERM ? ": it needs CAP_NET_ADMIN" : "");
}

static int
get_linger(int fd, int *value)
{
	struct linger linger = {0};
	socklen_t len = sizeof(linger);

	if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) < 0)
		return -errno;
	*value = linger.l_onoff ? linger.l_linger : -1;
	return 0;
}

static int
set_linger(int fd, int value)
{
	struct linger linger = {
		.l_onoff = value >= 0,
		.l_linger = value >= 0 ? value : 0,
	};

	return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) <
			       0
		       ? -errno
		       : 0;
}

static int
get_value(int fd, const struct row *row, int *value)
{
	int err;

	if (row->name == SO_LINGER && row->level == SOL_SOCKET)
		return get_linger(fd, value);
	if (row->level == -1) {
		int flags = fcntl(fd, F_GETFL);

		*value = (flags & row->name) != 0;
		return flags < 0 ? -errno : 0;
	}
	err = handoff__migrate_get(fd, row->level, row->name, value);
	if (err == 0 && (row == &rows[HANDOFF__OPT_TOS] ||
				row == &rows[HANDOFF__OPT_TCLASS]))
		*value &= ~ECN_BITS;
	return err;
}

static bool
is_lacking(int err)
{
	return err == -ENOPROTOOPT || err == -EOPNOTSUPP;
}

/* A value may be beyond what can be set, if it is a host's default. */
static int32_t
clamp(const struct row *row, int value)
{
	if (value < row->least)
		return row->least;
	return value > row->most ? row->most : value;
}

static int
read_values(int fd, int family, bool mapped, struct handoff__image_options *o,
	struct handoff__error *error)
{
	for (int i = 0; i < HANDOFF__OPTS; i++) {
		const struct row *row = &rows[i];
		int value = 0, err;

		if (row->level == IPPROTO_IPV6 && family == AF_INET)
			continue;
		if (row->level == IPPROTO_IP && family == AF_INET6 && !mapped)
			continue;
		err = get_value(fd, row, &value);
		if (is_lacking(err))
			continue;
		if (err < 0)
			return failed(error, err, "reading", row->text);
		o->value[i] = clamp(row, value);
		o->has |= UINT64_C(1) << i;
	}
	return 0;
}

static int
get_timeout(int fd, int name, uint64_t *us)
{
	struct timeval tv = {0};
	socklen_t len = sizeof(tv);

	if (getsockopt(fd, SOL_SOCKET, name, &tv, &len) < 0)
		return -errno;
	*us = (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec;
	if (*us > TIMEOUT_MAX)
		*us = TIMEOUT_MAX;
	return 0;
}

static int
set_timeout(int fd, int name, uint64_t us)
{
	struct timeval tv = {
		.tv_sec = (time_t)(us / 1000000),
		.tv_usec = (suseconds_t)(us % 1000000),
	};

	if (us == 0)
		return 0;
	return setsockopt(fd, SOL_SOCKET, name, &tv, sizeof(tv)) < 0 ? -errno
								     : 0;
}

static int
get_text(int fd, int level, int name, char text[16])
{
	socklen_t len = 16;

	memset(text, 0, 16);
	if (getsockopt(fd, level, name, text, &len) < 0)
		return -errno;
	text[15] = '\0';
	/* what follows the end may be old memory of the kernel's */
	memset(text + strlen(text), 0, 16 - strlen(text));
	return 0;
}

static int
set_text(int fd, int level, int name, const char *text)
{
	if (text[0] == '\0')
		return 0;
	return setsockopt(fd, level, name, text, (socklen_t)strlen(text)) < 0
		       ? -errno
		       : 0;
}

/* 64 bits, in a 32-bit process 32. */
static int
get_pacing(int fd, uint64_t *rate)
{
	uint64_t wide = 0;
	uint32_t narrow;
	socklen_t len = sizeof(wide);

	if (getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &wide, &len) < 0)
		return -errno;
	if (len == sizeof(narrow)) {
		memcpy(&narrow, &wide, sizeof(narrow));
		wide = narrow == UINT32_MAX ? UINT64_MAX : narrow;
	}
	*rate = wide;
	return 0;
}

static int
set_pacing(int fd, uint64_t rate)
{
	uint32_t narrow = (uint32_t)rate;

	if (rate == UINT64_MAX)
		return 0;
	if (rate < UINT32_MAX)
		return setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &narrow,
			       sizeof(narrow)) < 0
			       ? -errno
			       : 0;
	return setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate,
		       sizeof(rate)) < 0
		       ? -errno
		       : 0;
}

int
handoff__options_read(int fd, int family, bool mapped,
	struct handoff__image_options *options, struct handoff__error *error)
{
	struct handoff__image_options o = {0};
	int err = read_values(fd, family, mapped, &o, error);

	if (err < 0)
		return err;
	err = get_timeout(fd, SO_RCVTIMEO, &o.rcv_timeout_us);
	if (err == 0)
		err = get_timeout(fd, SO_SNDTIMEO, &o.snd_timeout_us);
	if (err < 0)
		return failed(error, err, "reading", "its timeouts");
	err = get_pacing(fd, &o.pacing);
	if (err < 0)
		return failed(error, err, "reading", "SO_MAX_PACING_RATE");
	err = get_text(fd, IPPROTO_TCP, TCP_CONGESTION, o.congestion);
	if (err < 0)
		return failed(error, err, "reading", "TCP_CONGESTION");
	err = get_text(fd, SOL_SOCKET, SO_BINDTODEVICE, o.device);
	if (err < 0)
		return failed(error, err, "reading", "SO_BINDTODEVICE");
	*options = o;
	return 0;
}

const struct handoff__image_options *
handoff__options_usual(struct handoff__usual *usual, int family, int fd)
{
	bool *known;
	struct handoff__image_options *options;

	if (!usual)
		return NULL;
	known = family == AF_INET ? &usual->knows_four : &usual->knows_six;
	options = family == AF_INET ? &usual->four : &usual->six;
	if (!*known)
		*known = handoff__options_read(
				 fd, family, false, options, NULL) == 0;
	return *known ? options : NULL;
}

static int
set_value(int fd, const struct row *row, int value)
{
	if (row->name == SO_LINGER && row->level == SOL_SOCKET)
		return set_linger(fd, value);
	return handoff__migrate_set(fd, row->level, row->name, value);
}

/* IP_TOS changes the priority. */
static bool
has_class(const struct handoff__image_options *o)
{
	return o->value[HANDOFF__OPT_TOS] != 0 ||
	       o->value[HANDOFF__OPT_TCLASS] != 0;
}

static bool
is_usual(const struct handoff__image_options *usual,
	const struct handoff__image_options *o, int i)
{
	if (o->value[i] == rows[i].usual)
		return true;
	return usual && handoff__image_has(usual, i) &&
	       usual->value[i] == o->value[i] &&
	       !(i == HANDOFF__OPT_PRIORITY && has_class(o));
}

static int
set_values(int fd, enum handoff__option_stage stage,
	const struct handoff__image_options *o,
	const struct handoff__image_options *usual,
	struct handoff__error *error)
{
	for (int i = 0; i < HANDOFF__OPTS; i++) {
		int err;

		if (rows[i].stage != stage || !handoff__image_has(o, i) ||
			is_usual(usual, o, i))
			continue;
		err = set_value(fd, &rows[i], o->value[i]);
		if (err < 0)
			return failed(error, err, "setting", rows[i].text);
	}
	return 0;
}

static int
set_before_bind(int fd, const struct handoff__image_options *o,
	struct handoff__error *error)
{
	int err = set_text(fd, SOL_SOCKET, SO_BINDTODEVICE, o->device);

	if (err < 0)
		return handoff__fail(error, err,
			"connection: binding to the device '%s': %s", o->device,
			strerror(-err));
	err = set_text(fd, IPPROTO_TCP, TCP_CONGESTION, o->congestion);
	if (err < 0)
		return handoff__fail(error, err,
			"connection: the congestion control '%s' is not there, "
			"or not allowed: %s",
			o->congestion, strerror(-err));
	err = set_pacing(fd, o->pacing);
	if (err < 0)
		return failed(error, err, "setting", "SO_MAX_PACING_RATE");
	err = set_timeout(fd, SO_RCVTIMEO, o->rcv_timeout_us);
	if (err == 0)
		err = set_timeout(fd, SO_SNDTIMEO, o->snd_timeout_us);
	return err < 0 ? failed(error, err, "setting", "its timeouts") : 0;
}

int
handoff__options_set(int fd, enum handoff__option_stage stage,
	const struct handoff__image_options *options,
	const struct handoff__image_options *usual,
	struct handoff__error *error)
{
	int err = 0;

	if (stage == HANDOFF__BEFORE_BIND)
		err = set_before_bind(fd, options, error);
	return err < 0 ? err : set_values(fd, stage, options, usual, error);
}

/* The buffer is to report `want`: the kernel doubles what it is told. Beyond
 * the limit of the host only with CAP_NET_ADMIN, and as much as it lets. */
static int
grow(int fd, int name, int forced, uint64_t want)
{
	int value = want / 2 < INT_MAX / 2 ? (int)(want / 2) : INT_MAX / 2;
	int err = handoff__migrate_set(fd, SOL_SOCKET, forced, value);

	return err == -EPERM ? handoff__migrate_set(fd, SOL_SOCKET, name, value)
			     : err;
}

/* Segments take up to twice the room of their bytes. */
static uint64_t
need_of(uint32_t bytes)
{
	return bytes > 0 ? UINT64_C(2) * bytes + SEGMENT : 0;
}

static bool
holds(const struct handoff__image_options *usual,
	const struct handoff__image_options *o, int option, uint32_t bytes)
{
	return handoff__image_has(usual, option) &&
	       usual->value[option] >= o->value[option] &&
	       (uint64_t)usual->value[option] >= need_of(bytes);
}

bool
handoff__options_fit(const struct handoff__image_options *usual,
	const struct handoff__image_options *options, uint32_t in, uint32_t out)
{
	const int lock = HANDOFF__OPT_BUF_LOCK;

	return usual && handoff__image_has(usual, lock) &&
	       usual->value[lock] == options->value[lock] &&
	       holds(usual, options, HANDOFF__OPT_SNDBUF, out) &&
	       holds(usual, options, HANDOFF__OPT_RCVBUF, in);
}

static int
grow_to_hold(int fd, int name, int forced, int32_t was, uint32_t bytes)
{
	uint64_t need = need_of(bytes);
	uint64_t want = need > (uint64_t)was ? need : (uint64_t)was;
	int now, err = handoff__migrate_get(fd, SOL_SOCKET, name, &now);

	if (err < 0 || (uint64_t)now >= want)
		return err;
	err = grow(fd, name, forced, want);
	if (err == 0)
		err = handoff__migrate_get(fd, SOL_SOCKET, name, &now);
	return err == 0 && (uint64_t)now < need ? -ENOBUFS : err;
}

int
handoff__options_buffers(int fd, const struct handoff__image_options *options,
	uint32_t in, uint32_t out, struct handoff__error *error)
{
	const int32_t *was = options->value;
	int err, lock = was[HANDOFF__OPT_BUF_LOCK];

	err = grow_to_hold(
		fd, SO_SNDBUF, SO_SNDBUFFORCE, was[HANDOFF__OPT_SNDBUF], out);
	if (err == 0)
		err = grow_to_hold(fd, SO_RCVBUF, SO_RCVBUFFORCE,
			was[HANDOFF__OPT_RCVBUF], in);
	if (err == -ENOBUFS)
		return handoff__fail(error, err,
			"connection: this host's buffers cannot hold its %u "
			"bytes of input and %u of output: raise "
			"net.core.rmem_max and wmem_max",
			in, out);
	if (err < 0)
		return failed(error, err, "setting", "its buffers");
	/* a size that was set is not adapted to the connection any more */
	err = handoff__migrate_set(fd, SOL_SOCKET, SO_BUF_LOCK, lock);
	return err < 0 ? failed(error, err, "setting", "SO_BUF_LOCK") : 0;
}

void
handoff__options_shrink(int fd, const struct handoff__image_options *options)
{
	const int32_t *was = options->value;

	if (grow(fd, SO_SNDBUF, SO_SNDBUFFORCE,
		    (uint64_t)was[HANDOFF__OPT_SNDBUF]) == 0)
		handoff__migrate_set(fd, SOL_SOCKET, SO_BUF_LOCK,
			was[HANDOFF__OPT_BUF_LOCK]);
}

static bool
is_text(const char text[16])
{
	size_t len = strnlen(text, 16);

	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] == 0x7f || text[i] == '/')
			return false;
	}
	return len < 16;
}

const char *
handoff__options_bad(const struct handoff__image_options *options)
{
	const uint64_t known = (UINT64_C(1) << HANDOFF__OPTS) - 1;

	if (options->has & ~known)
		return "set of options";
	for (int i = 0; i < HANDOFF__OPTS; i++) {
		int32_t value = options->value[i];

		if (handoff__image_has(options, i)
				? value < rows[i].least || value > rows[i].most
				: value != 0)
			return rows[i].text;
	}
	if (options->rcv_timeout_us > TIMEOUT_MAX)
		return "SO_RCVTIMEO";
	if (options->snd_timeout_us > TIMEOUT_MAX)
		return "SO_SNDTIMEO";
	if (!is_text(options->congestion))
		return "TCP_CONGESTION";
	return is_text(options->device) ? NULL : "SO_BINDTODEVICE";
}
