/* SPDX-License-Identifier: MIT */
/*
 * The listener and its backlog, and the dialler and its delay. Touches no byte
 * of a connection.
 */
#include "ferry/connector.h"

#include "base/high.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* The more clients wait here that are no ferry, the longer one that is. */
#define BACKLOG 16

/* How long nothing is accepted after accept4 has failed. */
#define REST_US 100000

static void
on_dialled(struct handoff__dial *dial, int fd, const char *text)
{
	struct handoff__connector *c = dial->arg;
	char sentence[HANDOFF_TEXT_MAX];

	if (fd >= 0) {
		c->socket(c->arg, handoff__high_raise(fd), true);
		return;
	}
	snprintf(sentence, sizeof(sentence), "cannot connect to %.80s: %.150s",
		c->text, text);
	handoff__connector_again(c, 0);
	c->trouble(c->arg, sentence);
}

static void
on_redial(struct handoff__timer *timer)
{
	struct handoff__connector *c = timer->arg;

	handoff__dial_start(&c->dial, &c->to);
}

static void
on_rest(struct handoff__timer *timer)
{
	struct handoff__connector *c = timer->arg;

	handoff__watch_set(c->loop, &c->watch, EPOLLIN);
}

/* One in each turn, so that others are served between. */
static void
on_listener(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__connector *c = watch->arg;
	char sentence[HANDOFF_TEXT_MAX];
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0) {
		c->socket(c->arg, handoff__high_raise(fd), false);
		return;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	snprintf(sentence, sizeof(sentence), "cannot accept on %.80s: %s",
		c->bound, strerror(errno));
	handoff__watch_set(c->loop, watch, 0);
	handoff__timer_arm(c->loop, &c->rest, REST_US);
	c->trouble(c->arg, sentence);
}

void
handoff__connector_init(
	struct handoff__connector *c, struct handoff__loop *loop)
{
	memset(c, 0, sizeof(*c));
	c->loop = loop;
	c->listener = -1;
	c->watch =
		(struct handoff__watch){.fd = -1, .fn = on_listener, .arg = c};
	c->rest = (struct handoff__timer){.fn = on_rest, .arg = c};
	c->redial = (struct handoff__timer){.fn = on_redial, .arg = c};
	handoff__dial_init(&c->dial);
}

void
handoff__connector_fini(struct handoff__connector *c)
{
	handoff__dial_cancel(&c->dial);
	handoff__timer_disarm(c->loop, &c->redial);
	handoff__timer_disarm(c->loop, &c->rest);
	handoff__watch_del(c->loop, &c->watch);
	if (c->listener >= 0)
		close(c->listener);
	c->listener = -1;
}

static int
refuse_address(const char *text, struct handoff__error *error)
{
	return handoff__fail(error, -EINVAL,
		"address of the ferry '%.80s': want HOST:PORT or [IPV6]:PORT",
		text);
}

int
handoff__connector_listen(struct handoff__connector *c, const char *text,
	struct handoff__error *error)
{
	char numeric[HANDOFF_ADDRESS_MAX];
	struct handoff__addr addr;
	int err = handoff__addr_parse(&addr, text, error);

	if (err < 0)
		return err;
	if (addr.local)
		return refuse_address(text, error);
	err = handoff__addr_resolve(text, numeric, error);
	if (err < 0)
		return err;
	c->listener = handoff__high_raise(
		handoff__addr_listen(numeric, c->bound, error));
	if (c->listener < 0)
		return c->listener;
	(void)listen(c->listener, BACKLOG); /* shortens it */
	err = handoff__watch_add(c->loop, &c->watch, c->listener, EPOLLIN);
	if (err < 0)
		return handoff__fail(error, err, "cannot watch %.80s: %s",
			c->bound, strerror(-err));
	return 0;
}

int
handoff__connector_dial(struct handoff__connector *c, const char *text,
	struct handoff__error *error)
{
	int err = handoff__addr_parse(&c->to, text, error);

	if (err < 0)
		return err;
	if (c->to.local || c->to.host[0] == '\0' ||
		strtoul(c->to.port, NULL, 10) == 0)
		return refuse_address(text, error);
	handoff__copy(c->text, sizeof(c->text), text);
	c->dial.loop = c->loop;
	c->dial.done = on_dialled;
	c->dial.arg = c;
	c->dial.timeout_ms = c->timeout_ms;
	c->dial.user_timeout_ms = c->user_timeout_ms;
	handoff__timer_arm(c->loop, &c->redial, 0);
	return 0;
}

void
handoff__connector_again(struct handoff__connector *c, uint32_t ms)
{
	uint32_t twice = c->delay_ms * 2;

	if (ms == 0)
		ms = c->delay_ms;
	c->delay_ms = twice < c->max_ms ? twice : c->max_ms;
	handoff__timer_arm(c->loop, &c->redial, (int64_t)ms * 1000);
}

void
handoff__connector_reset(struct handoff__connector *c)
{
	c->delay_ms = c->first_ms;
}
