/* SPDX-License-Identifier: MIT */
/*
 * Which connection is the link to the other ferry, and when it is alive. Keeps
 * the connections that are not the link yet, or no longer, apart from it: they
 * have a deadline, and an owner never hears of them but by `trouble`. It does
 * not touch bytes: that is frames.c.
 */
#include "ferry/channel.h"

#include "base/addr.h"
#include "base/wire.h"
#include "ferry/connector.h"
#include "ferry/frames.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define GREETING HANDOFF__CHANNEL_OWN
#define BEAT     (HANDOFF__CHANNEL_OWN + 1)
#define REFUSED  (HANDOFF__CHANNEL_OWN + 2)

#define MAGIC        0x52524648u /* "HFRR" */
#define VERSION      1u
#define GREETING_LEN 16

/* The other side's sentences are told at most so often. */
#define TROUBLE_US 1000000

struct connection {
	struct handoff__frames frames;
	struct handoff__channel *channel;
	struct handoff__timer timer; /* deadline, or the link's next beat */
	struct handoff__channel_peer peer;
	bool dialled;
	TAILQ_ENTRY(connection) node; /* of those that are not the link */
};

TAILQ_HEAD(connections, connection);

struct handoff__channel {
	struct handoff__channel_opts opts;
	struct handoff__channel_ops ops;
	struct handoff__connector connector;
	struct connections others;
	uint32_t others_count;
	struct connection *link;
	int64_t up_us;
	int64_t trouble_us;
	bool was_full;
	char errmsg[HANDOFF_TEXT_MAX];
	/* why the last link broke as soon as it was up; "" if it lasted */
	char soon[HANDOFF_TEXT_MAX];
};

/* Tells a sentence unless it is the same again. Clients that are not a ferry
 * can cause them, so no more than one a second. */
__attribute__((format(printf, 2, 3))) static void
trouble(struct handoff__channel *ch, const char *fmt, ...)
{
	int64_t now = handoff__now_us();
	char text[HANDOFF_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (strcmp(text, ch->errmsg) == 0 ||
		(ch->opts.listen && now - ch->trouble_us < TROUBLE_US))
		return;
	ch->trouble_us = now;
	handoff__copy(ch->errmsg, sizeof(ch->errmsg), text);
	handoff__log(&ch->opts.log, HANDOFF_LOG_WARNING, "link: %s", text);
	if (ch->ops.trouble)
		ch->ops.trouble(text, ch->opts.arg);
}

/* For sentences about clients of a listener: each has another port. */
static const char *
host_of(const struct connection *c, char host[HANDOFF_ADDRESS_MAX])
{
	char *colon;

	handoff__copy(host, HANDOFF_ADDRESS_MAX, c->peer.address);
	colon = strrchr(host, ':');
	if (!c->dialled && colon)
		*colon = '\0';
	return host;
}

static void
set_aside(struct connection *c, int64_t deadline_us)
{
	struct handoff__channel *ch = c->channel;

	TAILQ_INSERT_TAIL(&ch->others, c, node);
	ch->others_count++;
	handoff__timer_arm(ch->opts.loop, &c->timer, deadline_us);
}

static void
take_out(struct connection *c)
{
	TAILQ_REMOVE(&c->channel->others, c, node);
	c->channel->others_count--;
}

/* Closes a connection that is not the link. */
static void
discard(struct connection *c)
{
	take_out(c);
	handoff__timer_disarm(c->channel->opts.loop, &c->timer);
	handoff__frames_close(&c->frames);
}

/* The end of a connection that is not the link, with what the session says to
 * the other side; it may have been reading slowly. */
static void
discard_politely(struct connection *c)
{
	if (c->frames.ending || c->frames.failed)
		discard(c);
	else
		handoff__frames_end(&c->frames);
}

static int
put_sentence(struct connection *c, const char *sentence)
{
	struct iovec piece = {
		.iov_base = (void *)(uintptr_t)sentence,
		.iov_len = strlen(sentence),
	};

	return handoff__frames_put(
		&c->frames, REFUSED, &piece, 1, piece.iov_len);
}

/* The link is no more; its connection is closed by the caller. `why` is the
 * sentence without the address, which has another port each time. One that
 * breaks at once, and again for the same reason, is not news. */
static void
go_down(struct handoff__channel *ch, const char *sentence, const char *why,
	uint32_t redial_ms)
{
	bool lasted = handoff__now_us() - ch->up_us >=
		      (int64_t)ch->opts.redial_max_ms * 1000;

	ch->link = NULL;
	ch->was_full = false;
	handoff__copy(ch->errmsg, sizeof(ch->errmsg), sentence);
	handoff__log(&ch->opts.log,
		!lasted && strcmp(why, ch->soon) == 0 ? HANDOFF_LOG_DEBUG
						      : HANDOFF_LOG_WARNING,
		"link: %s", sentence);
	handoff__copy(ch->soon, sizeof(ch->soon), lasted ? "" : why);
	if (lasted)
		handoff__connector_reset(&ch->connector);
	if (ch->opts.to)
		handoff__connector_again(&ch->connector, redial_ms);
	if (ch->ops.down)
		ch->ops.down(ch->errmsg, ch->opts.arg);
}

/* The link broke: `why` is about "it", the other side. */
static void
lose(struct connection *c, const char *why, uint32_t redial_ms)
{
	struct handoff__channel *ch = c->channel;
	char text[HANDOFF_TEXT_MAX];

	snprintf(text, sizeof(text), "%.47s: %.200s", c->peer.address, why);
	handoff__timer_disarm(ch->opts.loop, &c->timer);
	handoff__frames_close(&c->frames);
	go_down(ch, text, why, redial_ms);
}

static void
on_broken(struct handoff__frames *f, const char *why)
{
	struct connection *c = f->arg;
	struct handoff__channel *ch = c->channel;
	char host[HANDOFF_ADDRESS_MAX];
	bool first = !f->ending;

	if (c == ch->link) {
		lose(c, why, 0);
		return;
	}
	discard_politely(c);
	if (!first)
		return;
	if (c->dialled)
		handoff__connector_again(&ch->connector, 0);
	trouble(ch, "%.47s: %s", host_of(c, host), why);
}

static void
on_gone(struct handoff__frames *f)
{
	free(f->arg);
}

static void
plan_beat(struct connection *c)
{
	const struct handoff__channel_opts *o = &c->channel->opts;
	int64_t beat = c->frames.put_us + (int64_t)o->beat_ms * 1000;
	int64_t silent = c->frames.came_us + (int64_t)o->silent_ms * 1000;
	int64_t next = beat < silent ? beat : silent;

	handoff__timer_arm(o->loop, &c->timer, next - handoff__now_us());
}

/* A loop that was busy for long has not read yet what has come. */
static bool
is_silent(struct connection *c)
{
	int64_t limit = (int64_t)c->channel->opts.silent_ms * 1000;

	return handoff__now_us() - c->frames.came_us >= limit;
}

static void
on_link_timer(struct connection *c)
{
	struct handoff__channel *ch = c->channel;
	char text[96];

	if (is_silent(c) &&
		(!handoff__frames_read(&c->frames) || ch->link != c))
		return;
	if (is_silent(c)) {
		snprintf(text, sizeof(text), "nothing came for %u ms",
			ch->opts.silent_ms);
		lose(c, text, 0);
		return;
	}
	if (handoff__now_us() - c->frames.put_us >=
		(int64_t)ch->opts.beat_ms * 1000) {
		handoff__frames_put(&c->frames, BEAT, NULL, 0, 0);
		handoff__frames_flush(&c->frames);
	}
	plan_beat(c);
}

static void
on_timer(struct handoff__timer *timer)
{
	struct connection *c = timer->arg;
	struct handoff__channel *ch = c->channel;
	char host[HANDOFF_ADDRESS_MAX];
	bool ending = c->frames.ending, dialled = c->dialled;

	if (c == ch->link) {
		on_link_timer(c);
		return;
	}
	host_of(c, host);
	discard(c);
	if (ending)
		return;
	if (dialled)
		handoff__connector_again(&ch->connector, 0);
	trouble(ch, "%.47s: no session within %u ms", host,
		ch->opts.handshake_ms);
}

static void
put_greeting(struct connection *c)
{
	unsigned char body[GREETING_LEN];
	struct handoff__wire w = {.data = body, .size = sizeof(body)};
	struct iovec piece = {.iov_base = body, .iov_len = sizeof(body)};

	handoff__put_u32(&w, MAGIC);
	handoff__put_u32(&w, VERSION);
	handoff__put_u64(&w, c->channel->opts.instance);
	handoff__frames_put(&c->frames, GREETING, &piece, 1, sizeof(body));
}

static void
on_secured(struct handoff__frames *f)
{
	struct connection *c = f->arg;

	handoff__copy(c->peer.fingerprint, sizeof(c->peer.fingerprint),
		handoff__tls_peer(f->session));
	if (c->dialled)
		put_greeting(c);
}

/* Tells the other side why, and gives its connection time to read it. */
static void
refuse(struct connection *c, const char *sentence)
{
	char host[HANDOFF_ADDRESS_MAX];

	put_sentence(c, sentence);
	handoff__frames_end(&c->frames);
	if (c->dialled)
		handoff__connector_again(
			&c->channel->connector, c->channel->opts.redial_max_ms);
	trouble(c->channel, "%.47s: refused: %s", host_of(c, host), sentence);
}

static void
go_up(struct connection *c)
{
	struct handoff__channel *ch = c->channel;

	take_out(c);
	ch->link = c;
	ch->up_us = handoff__now_us();
	ch->errmsg[0] = '\0';
	plan_beat(c);
	handoff__log(&ch->opts.log,
		ch->soon[0] ? HANDOFF_LOG_DEBUG : HANDOFF_LOG_INFO,
		"link: up, %s", c->peer.address);
	if (ch->ops.up)
		ch->ops.up(&c->peer, ch->opts.arg);
}

static bool
read_greeting(struct connection *c, const void *body, uint32_t len)
{
	struct handoff__wire w = {
		.data = (unsigned char *)(uintptr_t)body,
		.size = len,
	};
	uint32_t magic = handoff__get_u32(&w), version = handoff__get_u32(&w);

	/* a later version may say more */
	c->peer.instance = handoff__get_u64(&w);
	return !w.bad && magic == MAGIC && version >= VERSION;
}

static void
on_greeting(struct connection *c, const void *body, uint32_t len)
{
	struct handoff__channel *ch = c->channel;
	struct connection *before = ch->link;

	if (!read_greeting(c, body, len)) {
		refuse(c, "its greeting is not that of a ferry");
		return;
	}
	if (before && before->peer.instance != c->peer.instance) {
		refuse(c, "another ferry is connected and alive");
		return;
	}
	if (before)
		lose(before, "the same ferry has dialled again", 0);
	if (!c->dialled)
		put_greeting(c);
	go_up(c);
}

/* The sentence of the other side, for a terminal and a log. */
static void
copy_sentence(char text[HANDOFF_TEXT_MAX], const void *body, uint32_t len)
{
	const char *from = body;
	uint32_t i;

	for (i = 0; i < len && i < HANDOFF_TEXT_MAX - 64; i++) {
		text[i] = from[i];
		if (from[i] < ' ' || from[i] > '~')
			text[i] = '?';
	}
	text[i] = '\0';
}

static void
on_refused(struct connection *c, const void *body, uint32_t len)
{
	struct handoff__channel *ch = c->channel;
	char text[HANDOFF_TEXT_MAX], why[HANDOFF_TEXT_MAX + 32];

	copy_sentence(text, body, len);
	if (c == ch->link) {
		snprintf(why, sizeof(why), "it has ended the link: %s", text);
		lose(c, why, ch->opts.redial_max_ms);
		return;
	}
	discard(c);
	if (c->dialled)
		handoff__connector_again(
			&ch->connector, ch->opts.redial_max_ms);
	trouble(ch, "%.47s: it refuses the link: %s", c->peer.address, text);
}

static void
on_frame(struct handoff__frames *f, uint32_t type, const void *body,
	uint32_t len)
{
	struct connection *c = f->arg;
	struct handoff__channel *ch = c->channel;

	if (type == REFUSED)
		on_refused(c, body, len);
	else if (c != ch->link && type == GREETING)
		on_greeting(c, body, len);
	else if (c != ch->link)
		refuse(c, "the first frame is no greeting");
	else if (type < HANDOFF__CHANNEL_OWN && ch->ops.frame)
		ch->ops.frame(type, body, len, ch->opts.arg);
}

static void
on_sent(struct handoff__frames *f)
{
	struct connection *c = f->arg;
	struct handoff__channel *ch = c->channel;

	if (c != ch->link || !ch->was_full ||
		handoff__frames_queued(f) > ch->opts.queue_limit / 2)
		return;
	ch->was_full = false;
	if (ch->ops.drained)
		ch->ops.drained(ch->opts.arg);
}

static const struct handoff__frames_ops frames_ops = {
	.ready = on_secured,
	.frame = on_frame,
	.sent = on_sent,
	.broken = on_broken,
	.gone = on_gone,
};

static void
name_ends(struct connection *c, int fd)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);

	if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0)
		handoff__addr_format((struct sockaddr *)&sa, len,
			c->peer.address, sizeof(c->peer.address));
	len = sizeof(c->peer.local);
	if (getsockname(fd, (struct sockaddr *)&c->peer.local, &len) < 0)
		return;
	handoff__addr_unmap((struct sockaddr *)&c->peer.local, &len);
	handoff__addr_format((struct sockaddr *)&c->peer.local, len,
		c->peer.own, sizeof(c->peer.own));
}

static void
set_socket_options(const struct handoff__channel *ch, int fd)
{
	unsigned timeout = ch->opts.silent_ms;
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(
		fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

/* Takes the socket. */
static int
begin_connection(struct handoff__channel *ch, int fd, bool dialled,
	struct handoff__error *error)
{
	struct connection *c = calloc(1, sizeof(*c));
	int err;

	if (!c) {
		close(fd);
		return handoff__fail(error, -ENOMEM, "out of memory");
	}
	set_socket_options(ch, fd);
	c->channel = ch;
	c->dialled = dialled;
	c->timer = (struct handoff__timer){.fn = on_timer, .arg = c};
	c->frames.loop = ch->opts.loop;
	c->frames.ops = &frames_ops;
	c->frames.arg = c;
	c->frames.frame_max = ch->opts.frame_max;
	name_ends(c, fd);
	err = handoff__frames_open(
		&c->frames, fd, ch->opts.tls, dialled, error);
	if (err < 0) {
		free(c);
		return err;
	}
	set_aside(c, (int64_t)ch->opts.handshake_ms * 1000);
	return 0;
}

static void
on_socket(void *arg, int fd, bool dialled)
{
	struct handoff__channel *ch = arg;
	struct handoff__error error;

	if (!dialled && ch->others_count >= ch->opts.handshakes)
		discard(TAILQ_FIRST(&ch->others));
	if (begin_connection(ch, fd, dialled, &error) == 0)
		return;
	if (dialled)
		handoff__connector_again(&ch->connector, 0);
	trouble(ch, "%.250s", error.text);
}

static void
on_no_socket(void *arg, const char *sentence)
{
	trouble(arg, "%.250s", sentence);
}

static void
set_connector(struct handoff__channel *ch)
{
	struct handoff__connector *c = &ch->connector;

	handoff__connector_init(c, ch->opts.loop);
	c->socket = on_socket;
	c->trouble = on_no_socket;
	c->arg = ch;
	c->first_ms = ch->opts.redial_first_ms;
	c->max_ms = ch->opts.redial_max_ms;
	c->timeout_ms = ch->opts.handshake_ms;
	c->user_timeout_ms = ch->opts.silent_ms;
	handoff__connector_reset(c);
}

static int
check_opts(const struct handoff__channel_opts *o, struct handoff__error *error)
{
	if (!o->listen == !o->to)
		return handoff__fail(error, -EINVAL,
			"link: want an address to listen on or one to dial");
	if (o->silent_ms / 2 < o->beat_ms)
		return handoff__fail(error, -EINVAL,
			"link: it counts as dead after %u ms, which must be at "
			"least twice the %u ms between beats",
			o->silent_ms, o->beat_ms);
	return 0;
}

static void
set_defaults(struct handoff__channel_opts *o)
{
	o->beat_ms = handoff__opt_or(o->beat_ms, 1000);
	o->silent_ms = handoff__opt_or(o->silent_ms, 3000);
	o->handshake_ms = handoff__opt_or(o->handshake_ms, 5000);
	o->handshakes = handoff__opt_or(o->handshakes, 8);
	o->redial_first_ms = handoff__opt_or(o->redial_first_ms, 150);
	o->redial_max_ms = handoff__opt_or(o->redial_max_ms, 2000);
	o->frame_max = handoff__opt_or(o->frame_max, HANDOFF__FRAME_MAX);
	if (o->queue_limit == 0)
		o->queue_limit = (size_t)4 << 20;
	while (o->instance == 0) {
		if (getrandom(&o->instance, sizeof(o->instance), 0) < 0)
			o->instance = (uint64_t)handoff__now_us();
	}
}

int
handoff__channel_open(struct handoff__channel **out,
	const struct handoff__channel_opts *opts, struct handoff__error *error)
{
	struct handoff__channel *ch = calloc(1, sizeof(*ch));
	int err;

	if (!ch)
		return handoff__fail(error, -ENOMEM, "link: out of memory");
	ch->opts = *opts;
	ch->ops = *opts->ops;
	set_defaults(&ch->opts);
	ch->trouble_us = handoff__now_us() - TROUBLE_US;
	TAILQ_INIT(&ch->others);
	set_connector(ch);
	err = check_opts(&ch->opts, error);
	if (err == 0)
		err = opts->listen ? handoff__connector_listen(&ch->connector,
					     opts->listen, error)
				   : handoff__connector_dial(
					     &ch->connector, opts->to, error);
	if (err < 0) {
		handoff__channel_free(ch);
		return err;
	}
	*out = ch;
	return 0;
}

void
handoff__channel_free(struct handoff__channel *ch)
{
	if (!ch)
		return;
	handoff__connector_fini(&ch->connector);
	while (!TAILQ_EMPTY(&ch->others))
		discard(TAILQ_FIRST(&ch->others));
	if (ch->link) {
		handoff__timer_disarm(ch->opts.loop, &ch->link->timer);
		handoff__frames_end(&ch->link->frames);
		handoff__frames_close(&ch->link->frames);
	}
	free(ch);
}

const struct handoff__channel_peer *
handoff__channel_peer(const struct handoff__channel *ch)
{
	return ch->link ? &ch->link->peer : NULL;
}

const char *
handoff__channel_errmsg(const struct handoff__channel *ch)
{
	if (ch->errmsg[0] || ch->link)
		return ch->errmsg;
	return ch->opts.listen ? "none was made yet: start the ferry of the "
				 "other host, which dials this one"
			       : "none was made yet: the ferry of the other "
				 "host is dialled";
}

const char *
handoff__channel_bound(const struct handoff__channel *ch)
{
	return ch->connector.bound;
}

int
handoff__channel_send(struct handoff__channel *ch, uint32_t type,
	const struct iovec *pieces, unsigned count)
{
	size_t len = 0, most;

	if (!ch->link)
		return -ENOTCONN;
	for (unsigned i = 0; i < count; i++) {
		if (pieces[i].iov_len > ch->opts.frame_max - len)
			return -EMSGSIZE;
		len += pieces[i].iov_len;
	}
	most = ch->opts.queue_limit + (size_t)2 * ch->opts.frame_max;
	if (handoff__frames_queued(&ch->link->frames) + len > most)
		return -ENOBUFS;
	return handoff__frames_put(&ch->link->frames, type, pieces, count, len);
}

void
handoff__channel_flush(struct handoff__channel *ch)
{
	if (ch->link)
		handoff__frames_flush(&ch->link->frames);
}

size_t
handoff__channel_queued(const struct handoff__channel *ch)
{
	return ch->link ? handoff__frames_queued(&ch->link->frames) : 0;
}

bool
handoff__channel_full(struct handoff__channel *ch)
{
	if (handoff__channel_queued(ch) < ch->opts.queue_limit)
		return false;
	ch->was_full = true;
	return true;
}

void
handoff__channel_drop(struct handoff__channel *ch, const char *sentence)
{
	struct connection *c = ch->link;
	char text[HANDOFF_TEXT_MAX];

	if (!c)
		return;
	snprintf(
		text, sizeof(text), "%.47s: %.200s", c->peer.address, sentence);
	put_sentence(c, sentence);
	handoff__frames_end(&c->frames);
	set_aside(c, (int64_t)ch->opts.handshake_ms * 1000);
	go_down(ch, text, sentence, ch->opts.redial_max_ms);
}
