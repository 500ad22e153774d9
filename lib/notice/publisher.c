/* SPDX-License-Identifier: MIT */
/*
 * The publisher: keeps the retained notice and sends by each transport. It does
 * not decide what to publish and never blocks on a subscriber; it waits only
 * where it is given a time for that.
 */
#include "notice/publisher.h"

#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
open_outlet(struct handoff__publisher *pub, const char *address, uint32_t user,
	struct handoff__error *error)
{
	struct handoff__outlet *outlet = &pub->outlets[pub->noutlets];
	const struct handoff_transport_side side = {
		.size = sizeof(side), .publishes = true, .user = user};
	const char *rest;
	int err;

	memset(outlet, 0, sizeof(*outlet));
	outlet->transport =
		handoff__transport_find("notices", address, &rest, error);
	if (!outlet->transport)
		return -EINVAL;
	outlet->address = strdup(address);
	if (!outlet->address)
		return handoff__fail(error, -ENOMEM, "notices: out of memory");
	err = outlet->transport->open(&outlet->end, rest, &side,
		error ? error->text : NULL, error ? sizeof(error->text) : 0);
	if (err < 0) {
		free(outlet->address);
		return err;
	}
	outlet->complete = true; /* there is no notice yet */
	pub->noutlets++;
	return 0;
}

int
handoff__publisher_open(struct handoff__publisher *pub,
	const struct handoff__dir *dir, const char *const *addresses,
	size_t naddresses, uint32_t user, struct handoff__error *error)
{
	char usual[sizeof("mq:") + sizeof(dir->path)];
	int err = 0;

	memset(pub, 0, sizeof(*pub));
	pub->dir = dir;
	snprintf(usual, sizeof(usual), "mq:%s", dir->path);
	if (naddresses == 0)
		err = open_outlet(pub, usual, user, error);
	else if (naddresses > HANDOFF__NOTICES_MAX || !addresses)
		err = handoff__fail(error, -EINVAL,
			"notices: %zu addresses: at most %d", naddresses,
			HANDOFF__NOTICES_MAX);
	for (size_t i = 0; i < naddresses && err >= 0; i++)
		err = open_outlet(pub, addresses[i], user, error);
	if (err < 0)
		handoff__publisher_close(pub);
	return err;
}

void
handoff__publisher_close(struct handoff__publisher *pub)
{
	for (size_t i = 0; i < pub->noutlets; i++) {
		pub->outlets[i].transport->close(pub->outlets[i].end);
		free(pub->outlets[i].address);
	}
	pub->noutlets = 0;
}

static int
retain(struct handoff__publisher *pub)
{
	int err = handoff__dir_write(
		pub->dir, HANDOFF__NOTICE_FILE, pub->message, pub->len);

	pub->kept = err >= 0;
	return err;
}

static void
add_up(struct handoff__publisher *pub)
{
	struct handoff_transport_told sum = {0};

	for (size_t i = 0; i < pub->noutlets; i++) {
		const struct handoff_transport_told *told =
			&pub->outlets[i].told;

		sum.reached += told->reached;
		sum.full += told->full;
		sum.pruned += told->pruned;
		sum.failed += told->failed;
		sum.refused += told->refused;
	}
	pub->told = sum;
}

static int
publish_by(struct handoff__publisher *pub, struct handoff__outlet *outlet)
{
	const struct handoff_transport *by = outlet->transport;
	int err = by->publish(outlet->end, pub->message, pub->len);

	memset(&outlet->told, 0, sizeof(outlet->told));
	outlet->err = err < 0 ? err : 0;
	outlet->complete = err >= 0;
	/* what could not be retained is sent all the same */
	outlet->stepping = by->step != NULL;
	outlet->blocked = false;
	if (!by->step && err >= 0)
		outlet->told.reached = 1;
	return err;
}

/* Retains the notice, unless that is done, and starts over with the
 * subscribers of the transports that are not done. */
static int
publish(struct handoff__publisher *pub)
{
	int err = pub->kept ? 0 : retain(pub);

	for (size_t i = 0; i < pub->noutlets; i++) {
		struct handoff__outlet *outlet = &pub->outlets[i];
		int rc = outlet->complete ? 0 : publish_by(pub, outlet);

		if (rc < 0 && err >= 0)
			err = rc;
	}
	add_up(pub);
	return err < 0 ? err : 0;
}

int
handoff__publisher_begin(
	struct handoff__publisher *pub, const struct handoff_notice *notice)
{
	unsigned char message[HANDOFF__NOTICE_SIZE];
	int len = handoff__notice_encode(notice, message, sizeof(message));

	if (len < 0)
		return len;
	memcpy(pub->message, message, (size_t)len);
	pub->len = (size_t)len;
	pub->kept = false;
	for (size_t i = 0; i < pub->noutlets; i++) {
		pub->outlets[i].complete = false;
		pub->outlets[i].generation = notice->generation;
		pub->outlets[i].seq = notice->seq;
	}
	return publish(pub);
}

void
handoff__publisher_skip(struct handoff__publisher *pub)
{
	for (size_t i = 0; i < pub->noutlets; i++) {
		struct handoff__outlet *outlet = &pub->outlets[i];

		if (outlet->stepping)
			outlet->transport->step(outlet->end, 0, &outlet->told);
		outlet->stepping = false;
	}
}

bool
handoff__publisher_done(const struct handoff__publisher *pub)
{
	for (size_t i = 0; i < pub->noutlets; i++) {
		if (!pub->outlets[i].complete || pub->outlets[i].stepping)
			return false;
	}
	return pub->kept;
}

bool
handoff__publisher_missed(const struct handoff__publisher *pub)
{
	for (size_t i = 0; i < pub->noutlets; i++) {
		if (!pub->outlets[i].complete && !pub->outlets[i].stepping)
			return true;
	}
	return !pub->kept;
}

int
handoff__publisher_retry(struct handoff__publisher *pub)
{
	return publish(pub);
}

int
handoff__publisher_keep(struct handoff__publisher *pub)
{
	struct handoff__inode inode;
	int err = handoff__dir_note(pub->dir, HANDOFF__NOTICE_FILE, &inode);
	int written = 0;

	if (pub->len == 0)
		return 0;
	if (err < 0 || !pub->kept) {
		err = retain(pub);
		written = err >= 0;
	}
	for (size_t i = 0; i < pub->noutlets; i++) {
		struct handoff__outlet *outlet = &pub->outlets[i];
		int rc = outlet->transport->keep
				 ? outlet->transport->keep(outlet->end)
				 : 0;

		if (rc < 0 && err >= 0)
			err = rc;
		written = written || rc > 0;
	}
	return err < 0 ? err : written;
}

int
handoff__publisher_probe(const struct handoff__publisher *pub)
{
	static const char name[] = ".probe";
	char data[HANDOFF__NOTICE_SIZE] = {0};
	int err = handoff__dir_write(pub->dir, name, data, sizeof(data));

	unlinkat(pub->dir->fd, name, 0);
	return err;
}

static void
step_by(struct handoff__outlet *outlet, unsigned max)
{
	int rc = outlet->transport->step(outlet->end, max, &outlet->told);

	outlet->blocked = rc == -EAGAIN;
	outlet->stepping = rc > 0 || outlet->blocked;
	if (outlet->blocked)
		return;
	if (rc < 0)
		outlet->err = rc;
	if (rc < 0 || outlet->told.failed > 0)
		outlet->complete = false;
}

/* The next that can go on. */
static struct handoff__outlet *
next_stepping(struct handoff__publisher *pub, bool *blocked)
{
	for (size_t i = 0; i < pub->noutlets; i++) {
		struct handoff__outlet *outlet = &pub->outlets[i];

		if (outlet->stepping && !outlet->blocked)
			return outlet;
		*blocked = *blocked || outlet->stepping;
	}
	return NULL;
}

int
handoff__publisher_step(struct handoff__publisher *pub, unsigned max)
{
	bool blocked = false;
	struct handoff__outlet *outlet = next_stepping(pub, &blocked);

	if (outlet) {
		step_by(outlet, max);
		add_up(pub);
		blocked = false;
		if (next_stepping(pub, &blocked))
			return 1;
	}
	return blocked ? -EAGAIN : 0;
}

void
handoff__publisher_tend(struct handoff__publisher *pub)
{
	for (size_t i = 0; i < pub->noutlets; i++) {
		struct handoff__outlet *outlet = &pub->outlets[i];

		if (outlet->transport->tend)
			outlet->transport->tend(outlet->end);
		outlet->blocked = false;
	}
}

/* Until a descriptor is readable; those without one are asked every 10 ms. */
static void
await(const struct handoff__publisher *pub, int64_t left_us)
{
	struct pollfd fds[HANDOFF__NOTICES_MAX];
	int ms = (int)((left_us + 999) / 1000);

	for (size_t i = 0; i < pub->noutlets; i++) {
		const struct handoff__outlet *outlet = &pub->outlets[i];

		fds[i].fd = outlet->transport->fd(outlet->end);
		fds[i].events = POLLIN;
		if (fds[i].fd < 0 && ms > 10)
			ms = 10;
	}
	poll(fds, (nfds_t)pub->noutlets, ms);
}

void
handoff__publisher_finish(struct handoff__publisher *pub, int timeout_ms)
{
	int64_t left_us,
		until_us = handoff__now_us() + timeout_ms * INT64_C(1000);
	int rc;

	while ((rc = handoff__publisher_step(pub, UINT_MAX)) != 0) {
		left_us = until_us - handoff__now_us();
		if (left_us <= 0)
			break;
		if (rc < 0) {
			await(pub, left_us);
			handoff__publisher_tend(pub);
		}
	}
	for (size_t i = 0; i < pub->noutlets; i++) {
		if (pub->outlets[i].stepping)
			pub->outlets[i].complete = false;
	}
	handoff__publisher_skip(pub);
}

static int
decode_retained(
	const void *data, size_t len, struct handoff_notice *notice, bool *any)
{
	struct handoff_notice found;
	int err = handoff__notice_decode(&found, data, len);

	if (err < 0)
		return err;
	if (!*any || handoff__notice_newer(&found, notice))
		*notice = found;
	*any = true;
	return 0;
}

/* -EAGAIN: one of them does not know yet. */
static int
retained_elsewhere(const struct handoff__publisher *pub,
	struct handoff_notice *notice, bool *any)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];
	bool unknown = false;

	for (size_t i = 0; i < pub->noutlets; i++) {
		const struct handoff__outlet *outlet = &pub->outlets[i];
		size_t len = sizeof(data);
		int rc;

		if (!outlet->transport->retained)
			continue;
		rc = outlet->transport->retained(outlet->end, data, &len);
		/* anything else that is there counts as none */
		if (rc > 0)
			decode_retained(data, len, notice, any);
		else if (rc == -EAGAIN)
			unknown = true;
		else if (rc < 0)
			return rc;
	}
	return unknown ? -EAGAIN : 0;
}

int
handoff__publisher_retained(struct handoff__publisher *pub, int timeout_ms,
	struct handoff_notice *notice)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];
	ssize_t n = handoff__dir_read(
		pub->dir, HANDOFF__NOTICE_FILE, data, sizeof(data));
	int64_t left_us,
		until_us = handoff__now_us() + timeout_ms * INT64_C(1000);
	bool any = false;
	int err = n < 0 && n != -ENOENT ? (int)n : 0;

	if (n >= 0)
		err = decode_retained(data, (size_t)n, notice, &any);
	if (err < 0)
		return err;
	while ((err = retained_elsewhere(pub, notice, &any)) == -EAGAIN &&
		(left_us = until_us - handoff__now_us()) > 0) {
		await(pub, left_us);
		handoff__publisher_tend(pub);
	}
	return err < 0 && err != -EAGAIN ? err : any;
}
