/* SPDX-License-Identifier: MIT */
/*
 * The two transports and their calls, which are made in the thread of the
 * handle and never block: they only look at what the helper has left.
 */
#include "nats/internal.h"

#include <handoff/nats.h>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

static int
open_end(void **out, const char *rest,
	const struct handoff_transport_side *side, bool tls,
	struct handoff__error *error)
{
	struct handoff__nats_address address;
	struct handoff__nats_end *end;
	int err = handoff__nats_address_parse(&address, rest, tls, error);

	if (err < 0)
		return err;
	err = handoff__nats_end_new(&end, &address, side->publishes, error);
	if (err < 0) {
		handoff__nats_address_free(&address);
		return err;
	}
	err = handoff__nats_start(end);
	if (err < 0) {
		handoff__fail(error, err, "nats: cannot start its thread: %s",
			err == -ENOTSUP ? "this process was forked from one "
					  "that uses NATS, see handoff_nats(3)"
					: strerror(-err));
		handoff__nats_end_stop(end);
		return err;
	}
	*out = end;
	return 0;
}

static int
open_plain(void **end, const char *rest,
	const struct handoff_transport_side *side, char *errbuf,
	size_t errbuf_size)
{
	struct handoff__error error = {.text = ""};
	int err = open_end(end, rest, side, false, &error);

	if (err < 0)
		handoff__error_copy(&error, errbuf, errbuf_size);
	return err;
}

static int
open_tls(void **end, const char *rest,
	const struct handoff_transport_side *side, char *errbuf,
	size_t errbuf_size)
{
	struct handoff__error error = {.text = ""};
	int err = open_end(end, rest, side, true, &error);

	if (err < 0)
		handoff__error_copy(&error, errbuf, errbuf_size);
	return err;
}

static int
end_fd(void *end)
{
	return ((struct handoff__nats_end *)end)->event;
}

static int
end_receive(void *end, void *data, size_t *len)
{
	return handoff__nats_end_take(end, data, len);
}

static int
end_publish(void *end, const void *data, size_t len)
{
	handoff__nats_end_publish(end, data, len);
	return 0;
}

static void
end_close(void *end)
{
	handoff__nats_end_stop(end);
}

/* Nothing is left out when `max` is 0: one message is for all, and the helper
 * goes on until it is kept. */
static int
end_step(void *end, unsigned max, struct handoff_transport_told *told)
{
	if (max == 0 || handoff__nats_end_told(end, told))
		return 0;
	return -EAGAIN;
}

static int
end_retained(void *end, void *data, size_t *len)
{
	return handoff__nats_end_retained(end, data, len);
}

static int
end_keep(void *end)
{
	return handoff__nats_end_keep(end);
}

/* What there is to do is done by others. */
static int
end_tend(void *arg)
{
	struct handoff__nats_end *end = arg;
	eventfd_t count;

	if (end->publishes)
		eventfd_read(end->event, &count);
	return 0;
}

static const char *
end_state(void *end)
{
	return handoff__nats_end_state(end);
}

#define CALLS                                                                  \
	.size = sizeof(struct handoff_transport), .fd = end_fd,                \
	.receive = end_receive, .publish = end_publish, .close = end_close,    \
	.step = end_step, .retained = end_retained, .keep = end_keep,          \
	.tend = end_tend, .state = end_state

static const struct handoff_transport plain = {
	.prefix = "nats:",
	.form = "nats://HOST:PORT[,...]/SERVICE",
	.open = open_plain,
	CALLS,
};

static const struct handoff_transport tls = {
	.prefix = "nats+tls:",
	.form = "nats+tls://HOST:PORT[,...]/SERVICE",
	.open = open_tls,
	CALLS,
};

int
handoff_nats_register(void)
{
	int err = handoff_transport_add(&plain, NULL, 0);

	if (err == 0 || err == -EEXIST)
		err = handoff_transport_add(&tls, NULL, 0);
	return err == -EEXIST ? 0 : err;
}
