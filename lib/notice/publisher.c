/* SPDX-License-Identifier: MIT */
/*
 * The publisher: keeps the retained notice and sends to each subscriber. It
 * does not decide what to publish and never blocks on a subscriber.
 *
 * It iterates over the directory itself: an entry that is added meanwhile may
 * be missed (readdir(3)), but that subscriber reads the retained notice.
 */
#include "notice/publisher.h"

#include "notice/mq.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void
handoff__publisher_open(
	struct handoff__publisher *pub, const struct handoff__dir *dir)
{
	memset(pub, 0, sizeof(*pub));
	pub->dir = dir;
}

void
handoff__publisher_close(struct handoff__publisher *pub)
{
	if (pub->list)
		closedir(pub->list);
	pub->list = NULL;
}

/* -ENOENT is no error: there has never been a subscriber. */
static int
open_list(struct handoff__publisher *pub)
{
	int fd = handoff__mq_subscribers(pub->dir, false);
	int err = fd;

	pub->complete = fd >= 0 || fd == -ENOENT;
	if (fd < 0)
		return pub->complete ? 0 : err;
	pub->list = fdopendir(fd);
	if (pub->list)
		return 0;
	err = -errno;
	pub->complete = false;
	close(fd);
	return err;
}

static int
retain(struct handoff__publisher *pub)
{
	int err = handoff__dir_write(
		pub->dir, HANDOFF__NOTICE_FILE, pub->message, pub->len);

	pub->kept = err >= 0;
	return err;
}

/* Retains the notice, unless that is done, and starts over with the list of
 * subscribers. */
static int
publish(struct handoff__publisher *pub)
{
	int retained = pub->kept ? 0 : retain(pub);
	int listed = open_list(pub);

	pub->reached = pub->pruned = pub->failed = 0;
	return retained < 0 ? retained : listed;
}

int
handoff__publisher_begin(
	struct handoff__publisher *pub, const struct handoff_notice *notice)
{
	unsigned char message[HANDOFF__NOTICE_SIZE];
	int len = handoff__notice_encode(notice, message, sizeof(message));

	if (len < 0)
		return len;
	handoff__publisher_close(pub);
	memcpy(pub->message, message, (size_t)len);
	pub->len = (size_t)len;
	pub->kept = false;
	return publish(pub);
}

bool
handoff__publisher_done(const struct handoff__publisher *pub)
{
	return pub->kept && pub->complete;
}

int
handoff__publisher_retry(struct handoff__publisher *pub)
{
	handoff__publisher_close(pub);
	return publish(pub);
}

int
handoff__publisher_keep(struct handoff__publisher *pub)
{
	struct handoff__inode inode;
	int err = handoff__dir_note(pub->dir, HANDOFF__NOTICE_FILE, &inode);

	if (pub->len == 0 || (err == 0 && pub->kept))
		return 0;
	err = retain(pub);
	return err < 0 ? err : 1;
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
send_to(struct handoff__publisher *pub, const char *file)
{
	switch (handoff__mq_send(
		dirfd(pub->list), file, pub->message, pub->len)) {
	case HANDOFF__MQ_REACHED:
		pub->reached++;
		break;
	case HANDOFF__MQ_PRUNED:
		pub->pruned++;
		break;
	case HANDOFF__MQ_FAILED:
		pub->failed++;
		pub->complete = false;
		break;
	case HANDOFF__MQ_SKIPPED:
		break;
	}
}

int
handoff__publisher_step(struct handoff__publisher *pub, unsigned max)
{
	for (unsigned i = 0; pub->list && i < max; i++) {
		struct dirent *entry = readdir(pub->list);

		if (entry)
			send_to(pub, entry->d_name);
		else
			handoff__publisher_close(pub);
	}
	return pub->list != NULL;
}

int
handoff__publisher_retained(
	const struct handoff__publisher *pub, struct handoff_notice *notice)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];
	ssize_t n = handoff__dir_read(
		pub->dir, HANDOFF__NOTICE_FILE, data, sizeof(data));
	int err;

	if (n < 0)
		return n == -ENOENT ? 0 : (int)n;
	err = handoff__notice_decode(notice, data, (size_t)n);
	return err < 0 ? err : 1;
}
