/* SPDX-License-Identifier: MIT */
/*
 * The child that writes a dump, one JSON object per line. It first closes all
 * of the server's descriptors that it inherited, so that the standby notices
 * the server's death at once and its locks are released; and it does not
 * outlive the server. Threads of the server may have held any lock at the fork:
 * nothing here takes one except malloc(3), which fork(2) keeps usable.
 */
#include "server/dump.h"

#include "base/addr.h"
#include "base/loop.h"
#include "session/session.h"
#include "session/state.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_FD 3            /* after the standard ones */
#define CHUNK    (256u << 10) /* bytes written at once */
#define TEXT_MAX 4096         /* of a state as text */

struct addresses {
	char client[HANDOFF_ADDRESS_MAX], local[HANDOFF_ADDRESS_MAX];
};

struct writer {
	const struct handoff__dumper *dumper;
	struct addresses *addresses; /* of each shot */
	struct handoff__buf buf;
	uint64_t bytes;
};

static noreturn void
leave_dumper(const struct writer *w, int err)
{
	w->dumper->end->bytes = w->bytes;
	w->dumper->end->err = err;
	w->dumper->end->whole = err == 0;
	_exit(err != 0);
}

/* Ends with its parent, however the parent ends. */
static void
settle_dumper(const struct handoff__dumper *dumper)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != dumper->parent)
		_exit(1);
	prctl(PR_SET_NAME, "handoff-dump");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

/* close_range(2) needs Linux 5.9, and not every libc has it. */
static void
close_from_to(int first, int last)
{
	if (first > last || syscall(SYS_close_range, (unsigned)first,
				    (unsigned)last, 0) == 0)
		return;
	if (last >= sysconf(_SC_OPEN_MAX))
		last = (int)sysconf(_SC_OPEN_MAX) - 1;
	for (int fd = first; fd <= last; fd++)
		close(fd);
}

static int
by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all descriptors except these and the standard ones. */
static void
keep_only(int *fds, size_t n)
{
	int first = FIRST_FD;

	qsort(fds, n, sizeof(*fds), by_number);
	for (size_t i = 0; i < n; i++) {
		close_from_to(first, fds[i] - 1);
		if (fds[i] >= first)
			first = fds[i] + 1;
	}
	close_from_to(first, INT32_MAX);
}

/* Keeps the connections for a moment, and the output descriptor. */
static void
keep_connections(const struct writer *w)
{
	const struct handoff__picture *picture = &w->dumper->picture;
	int *fds = malloc((picture->count + 1) * sizeof(*fds));
	size_t n = 0;

	if (!fds)
		leave_dumper(w, ENOMEM);
	for (uint32_t i = 0; i < picture->count; i++) {
		const struct handoff__shot *shot = &picture->shots[i];

		if (shot->snap.kind == HANDOFF__CONNECTION && shot->fd >= 0)
			fds[n++] = shot->fd;
	}
	fds[n++] = w->dumper->fd;
	keep_only(fds, n);
	free(fds);
}

static void
ask_address(int fd, int (*fn)(int, struct sockaddr *, socklen_t *),
	char text[HANDOFF_ADDRESS_MAX])
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (fn(fd, (struct sockaddr *)&ss, &len) == 0)
		handoff__addr_format(
			(struct sockaddr *)&ss, len, text, HANDOFF_ADDRESS_MAX);
}

/* Queries the addresses; afterwards only the output is open. */
static void
ask_addresses(struct writer *w)
{
	const struct handoff__picture *picture = &w->dumper->picture;
	int fd = w->dumper->fd;

	w->addresses = calloc(picture->count + 1, sizeof(*w->addresses));
	if (!w->addresses)
		leave_dumper(w, ENOMEM);
	for (uint32_t i = 0; i < picture->count; i++) {
		const struct handoff__shot *shot = &picture->shots[i];
		struct addresses *a = &w->addresses[i];

		if (shot->snap.kind != HANDOFF__CONNECTION || shot->fd < 0)
			continue;
		ask_address(shot->fd, getpeername, a->client);
		ask_address(shot->fd, getsockname, a->local);
	}
	keep_only(&fd, 1);
}

/* Writes the buffered text. */
static void
flush_dump(struct writer *w)
{
	struct pollfd p = {.fd = w->dumper->fd, .events = POLLOUT};
	size_t done = 0;

	if (w->buf.failed)
		leave_dumper(w, ENOMEM);
	while (done < w->buf.len) {
		ssize_t n = write(p.fd, w->buf.data + done, w->buf.len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			poll(&p, 1, -1);
		else if (errno != EINTR)
			leave_dumper(w, errno);
	}
	w->bytes += done;
	w->buf.len = 0;
}

static void
add_string(struct handoff__buf *buf, const char *key, const char *text)
{
	handoff__buf_add(buf, ",\"%s\":", key);
	if (text && text[0])
		handoff__buf_json(buf, text);
	else
		handoff__buf_add(buf, "null");
}

static void
add_header(struct writer *w)
{
	const struct handoff__dumper *d = w->dumper;
	struct handoff__buf *buf = &w->buf;
	char date[32] = "";
	struct tm tm;

	if (gmtime_r(&d->time.tv_sec, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	handoff__buf_add(buf, "{\"service\":");
	handoff__buf_json(buf, d->service->name);
	add_string(buf, "peer", d->name);
	handoff__buf_add(buf,
		",\"generation\":%" PRIu64 ",\"time\":\"%s.%03ldZ\","
		"\"entries\":%" PRIu32 "}\n",
		d->generation, date, d->time.tv_nsec / 1000000,
		d->picture.count);
}

/* A buffer: the number of bytes in it, and the first of them. */
static void
add_buffer(struct handoff__buf *buf, const char *key, uint64_t begin,
	uint64_t end, const unsigned char *bytes, size_t len)
{
	handoff__buf_add(buf, ",\"%s\":{\"bytes\":%" PRIu64 ",\"hex\":\"", key,
		end > begin ? end - begin : 0);
	handoff__buf_hex(buf, bytes, len);
	handoff__buf_add(buf, "\"}");
}

static void
add_flags(struct handoff__buf *buf, uint32_t flags)
{
	static const struct {
		uint32_t flag;
		const char *name;
	} names[] = {
		{HANDOFF__OPENED, "opened"},
		{HANDOFF__EOF, "eof"},
		{HANDOFF__EOF_DONE, "eof-handled"},
		{HANDOFF__CLOSING, "closing"},
		{HANDOFF__PAIRED, "paired"},
		{HANDOFF__CONNECT, "connecting"},
		{HANDOFF__PASS_END, "pass-ended"},
		{HANDOFF__SHUT, "shut"},
		{HANDOFF__GONE, "gone"},
		{HANDOFF__SESSION, "session"},
		{HANDOFF__RESUMING, "resuming"},
	};
	const char *comma = "";

	handoff__buf_add(buf, ",\"flags\":[");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(flags & names[i].flag))
			continue;
		handoff__buf_add(buf, "%s\"%s\"", comma, names[i].name);
		comma = ",";
	}
	handoff__buf_add(buf, "]");
}

static const char *
activity_name(uint32_t activity)
{
	static const char *const names[] = {"at rest", "in a turn", "pending"};

	return activity < 3 ? names[activity] : "?";
}

/* Whether its bytes are not to be shown: all of a secret service, and those
 * that may be a token, of a session's client, or one that may be about to ask
 * for a session. */
static bool
is_secret(
	const struct handoff_service *service, const struct handoff__shot *shot)
{
	struct handoff__session_limits limits;
	const struct handoff__session_head *head;

	if (service->secret ||
		(shot->snap.flags & (HANDOFF__SESSION | HANDOFF__RESUMING)))
		return true;
	if (!handoff__session_limits(service, &limits) ||
		shot->state_version != service->state_version)
		return false;
	head = handoff__session_head(shot->state, shot->snap.state_len, NULL);
	return !head || head->mode != HANDOFF__SESSION_PLAIN;
}

/* As text, if the service can print states of this version. */
static void
dump_state(struct handoff__buf *buf, const struct handoff_service *service,
	const struct handoff__shot *shot)
{
	bool ours = shot->state_version == service->state_version;
	char text[TEXT_MAX] = "";

	if (ours && service->print &&
		service->print(shot->state, text, sizeof(text), service->arg) >=
			0) {
		text[sizeof(text) - 1] = '\0';
		handoff__buf_add(buf, ",\"state\":");
		handoff__buf_json(buf, text);
		return;
	}
	if (!ours)
		handoff__buf_add(buf, ",\"state_version\":%" PRIu32,
			shot->state_version);
	if (is_secret(service, shot))
		return;
	handoff__buf_add(buf, ",\"state_hex\":\"");
	handoff__buf_hex(buf, shot->state, shot->state_size);
	handoff__buf_add(buf, "\"");
}

static void
add_connection(struct writer *w, const struct handoff__shot *shot,
	const struct addresses *addresses)
{
	const struct handoff__snapshot *s = &shot->snap;
	struct handoff__buf *buf = &w->buf;
	bool secret = is_secret(w->dumper->service, shot);

	add_string(buf, "client", addresses->client);
	add_string(buf, "local", addresses->local);
	handoff__buf_add(buf,
		",\"received\":%" PRIu64 ",\"consumed\":%" PRIu64
		",\"produced\":%" PRIu64 ",\"sent\":%" PRIu64,
		s->received, s->consumed, s->produced, s->sent);
	add_buffer(buf, "in", s->consumed, s->received, shot->bytes,
		secret ? 0 : s->in);
	add_buffer(buf, "out", s->sent, s->produced, shot->bytes + s->in,
		secret ? 0 : s->out);
	if (s->session != 0)
		handoff__buf_add(buf, ",\"session\":%" PRIu64, s->session);
	if (s->absent_ms != 0)
		handoff__buf_add(buf, ",\"absent_ms\":%" PRId64,
			(int64_t)handoff__boot_ms() - s->absent_ms);
	add_flags(buf, s->flags);
	add_string(buf, "activity", activity_name(s->activity));
	handoff__buf_add(buf, ",\"handling\":%s,\"handler_deaths\":%u",
		s->handling ? "true" : "false", s->deaths);
	if (shot->state)
		dump_state(buf, w->dumper->service, shot);
}

/* The name of an entry that is not a connection: see
 * handoff__record_set_name. */
static void
add_name(struct handoff__buf *buf, const struct handoff__shot *shot)
{
	char name[HANDOFF_ADDRESS_MAX] = "";

	if (shot->snap.in > 0 && shot->snap.in <= sizeof(name)) {
		memcpy(name, shot->bytes, shot->snap.in);
		name[shot->snap.in - 1] = '\0';
	}
	add_string(buf, "name", name);
}

static void
dump_entry(struct writer *w, const struct handoff__shot *shot,
	const struct addresses *addresses)
{
	static const char *const kinds[] = {
		"?", "connection", "listener", "extra"};
	const struct handoff__snapshot *s = &shot->snap;
	struct handoff__buf *buf = &w->buf;

	handoff__buf_add(buf, "{\"id\":%" PRIu64 ",\"kind\":\"%s\"",
		s->id & ~(UINT64_C(1) << 63),
		kinds[s->kind <= HANDOFF__EXTRA ? s->kind : 0]);
	add_string(buf, "owner", w->dumper->owners[s->owner & HANDOFF__PLACE]);
	if (s->kind == HANDOFF__CONNECTION)
		add_connection(w, shot, addresses);
	else
		add_name(buf, shot);
	handoff__buf_add(buf, s->unstable ? ",\"unstable\":true}\n" : "}\n");
}

void
handoff__dumper_run(const struct handoff__dumper *dumper)
{
	const struct handoff__picture *picture = &dumper->picture;
	struct writer w = {.dumper = dumper};

	settle_dumper(dumper);
	keep_connections(&w);
	ask_addresses(&w);
	add_header(&w);
	for (uint32_t i = 0; i < picture->count; i++) {
		dump_entry(&w, &picture->shots[i], &w.addresses[i]);
		if (w.buf.len >= CHUNK)
			flush_dump(&w);
	}
	flush_dump(&w);
	leave_dumper(&w, 0);
}
