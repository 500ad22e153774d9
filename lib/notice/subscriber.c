/* SPDX-License-Identifier: MIT */
/*
 * The subscriber: checks the address's prefix, of which there is one, "mq:",
 * and delivers only notices that are newer than all before and have not
 * expired.
 */
#include "base/dir.h"
#include "base/loop.h"
#include "base/path.h"
#include "base/text.h"
#include "notice/mq.h"
#include "notice/notice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* bounds one call when a publisher is fast or sends garbage */
#define MESSAGES_PER_CALL 16

/* interval between checks of the registration */
#define LOOK_US 1000000

struct handoff_subscriber {
	struct handoff__mq mq;
	char *dir; /* the service directory, absolute */
	int64_t looked_us;
	bool any; /* `last` holds the newest notice so far */
	struct handoff_notice last;
	struct handoff__error error;
};

/* Puts the retained notice into the subscriber's own queue, so that one
 * descriptor signals everything. Reading it after registering leaves no gap: a
 * publisher replaces the retained notice before it lists the subscribers. A
 * duplicate is dropped by its order. */
static int
fetch_retained(struct handoff__mq *mq, const struct handoff__dir *dir)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];
	struct handoff_notice notice;
	ssize_t n = handoff__dir_read(
		dir, HANDOFF__NOTICE_FILE, data, sizeof(data));

	if (n > 0 && handoff__notice_decode(&notice, data, (size_t)n) == 0)
		handoff__mq_put(mq, data, (size_t)n);
	/* a file that is not a notice counts as none */
	return n < 0 && n != -ENOENT && n != -EISDIR && n != -ELOOP ? (int)n
								    : 0;
}

static int
open_mq(struct handoff_subscriber *sub, const char *path)
{
	struct handoff__dir dir;
	int err = handoff__dir_open(&dir, path, false, 0, &sub->error);

	if (err < 0)
		return err;
	err = handoff__path_absolute(&sub->dir, path);
	if (err < 0)
		handoff__fail(&sub->error, err,
			"subscriber: cannot make '%.120s' absolute: %s", path,
			strerror(-err));
	else
		err = handoff__mq_open(&sub->mq, &dir, &sub->error);
	if (err == 0) {
		err = fetch_retained(&sub->mq, &dir);
		if (err < 0)
			handoff__mq_close(&sub->mq);
	}
	if (err < 0 && !sub->error.text[0])
		handoff__fail(&sub->error, err,
			"subscriber: cannot read the retained notice in "
			"%s: %s",
			path, strerror(-err));
	handoff__dir_close(&dir);
	sub->looked_us = handoff__now_us();
	return err;
}

/* If the directory was cleaned, no publisher would find this subscriber.
 * Without a directory there is nothing to register in. */
static void
stay_registered(struct handoff_subscriber *sub)
{
	int64_t now = handoff__now_us();
	struct handoff__error ignored;
	struct handoff__dir dir;

	if (now - sub->looked_us < LOOK_US)
		return;
	sub->looked_us = now;
	if (handoff__dir_open(&dir, sub->dir, false, 0, &ignored) < 0)
		return;
	if (handoff__mq_renew(&sub->mq, &dir) == 1)
		fetch_retained(&sub->mq, &dir);
	handoff__dir_close(&dir);
}

static int
open_address(struct handoff_subscriber *sub, const char *address)
{
	if (address && strncmp(address, "mq:", 3) == 0)
		return open_mq(sub, address + 3);
	return handoff__fail(&sub->error, -EINVAL,
		"subscriber: address '%.120s': want mq:DIR",
		address ? address : "");
}

int
handoff_subscriber_open(struct handoff_subscriber **out,
	const struct handoff_subscriber_opts *opts)
{
	struct handoff_subscriber_opts o;
	struct handoff_subscriber *sub;
	int err = handoff__opts_copy(&o, sizeof(o), opts,
		offsetof(struct handoff_subscriber_opts, errbuf));

	if (err < 0 || !out)
		return err < 0 ? err : -EINVAL;
	sub = calloc(1, sizeof(*sub));
	if (!sub)
		return handoff__no_memory(
			"subscriber", o.errbuf, o.errbuf_size);
	err = open_address(sub, o.address);
	if (err < 0) {
		handoff__error_copy(&sub->error, o.errbuf, o.errbuf_size);
		free(sub->dir);
		free(sub);
		return err;
	}
	*out = sub;
	return 0;
}

void
handoff_subscriber_free(struct handoff_subscriber *sub)
{
	if (!sub)
		return;
	handoff__mq_close(&sub->mq);
	free(sub->dir);
	free(sub);
}

int
handoff_subscriber_fd(struct handoff_subscriber *sub)
{
	/* on Linux a queue descriptor is pollable (mq_overview(7)) */
	return sub ? (int)sub->mq.queue : -EINVAL;
}

int
handoff_subscriber_wait(struct handoff_subscriber *sub, int timeout_ms)
{
	int64_t left_us,
		until_us = handoff__now_us() + timeout_ms * INT64_C(1000);
	int rc;

	if (!sub)
		return -EINVAL;
	do {
		stay_registered(sub);
		left_us =
			timeout_ms < 0 ? LOOK_US : until_us - handoff__now_us();
		if (left_us > LOOK_US)
			left_us = LOOK_US;
		if (left_us < 0)
			left_us = 0;
		rc = handoff__await(
			(int)sub->mq.queue, (int)((left_us + 999) / 1000));
	} while (rc == 0 && (timeout_ms < 0 || handoff__now_us() < until_us));
	if (rc < 0 && rc != -EINTR)
		return handoff__fail(
			&sub->error, rc, "subscriber: poll: %s", strerror(-rc));
	return 0;
}

/* It becomes the last one, which the caller may still look at. */
static bool
accept_notice(struct handoff_subscriber *sub, const void *data, size_t len)
{
	struct handoff_notice notice;

	if (handoff__notice_decode(&notice, data, len) < 0)
		return false;
	if (sub->any && !handoff__notice_newer(&notice, &sub->last))
		return false;
	if (handoff__notice_expired(&notice, handoff__realtime_ms()))
		return false;
	sub->any = true;
	sub->last = notice;
	return true;
}

int
handoff_subscriber_next(
	struct handoff_subscriber *sub, const struct handoff_notice **notice)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];

	if (!sub || !notice)
		return -EINVAL;
	stay_registered(sub);
	for (int i = 0; i < MESSAGES_PER_CALL; i++) {
		size_t len = sizeof(data);
		int rc = handoff__mq_receive(&sub->mq, data, &len);

		if (rc < 0)
			return handoff__fail(&sub->error, rc,
				"subscriber: mq_receive: %s", strerror(-rc));
		if (rc == 0)
			return 0;
		if (accept_notice(sub, data, len)) {
			*notice = &sub->last;
			return 1;
		}
	}
	return 0;
}

const char *
handoff_subscriber_errmsg(const struct handoff_subscriber *sub)
{
	return sub ? sub->error.text : "";
}
