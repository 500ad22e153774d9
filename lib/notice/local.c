/* SPDX-License-Identifier: MIT */
/*
 * The two sides of a transport of one host: the retained notice, the way
 * through the folder of subscribers, and staying registered. Does not know what
 * a mailbox is.
 *
 * Nothing of a service directory is held open by a publisher, since it may be
 * removed and created anew. It iterates over the folder itself: an entry that
 * is added meanwhile may be missed (readdir(3)), but that subscriber reads the
 * retained notice.
 */
#include "notice/local.h"

#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct end {
	struct handoff__mailbox *box; /* of a subscriber; otherwise NULL */
	/* of a publisher: */
	const struct handoff__mailbox_ops *ops;
	char *path; /* the service directory, absolute */
	uint32_t user;
	struct handoff__round round;
	DIR *list;     /* of subscribers still to send to; NULL when done */
	bool checking; /* in the second pass */
	unsigned char message[HANDOFF__NOTICE_SIZE];
	size_t len;
};

/* -ENOENT, and anything else of that name, is no error: there is none. */
static int
read_retained(const struct handoff__dir *dir, void *data, size_t *len)
{
	ssize_t n = handoff__dir_read(dir, HANDOFF__NOTICE_FILE, data, *len);

	if (n >= 0)
		*len = (size_t)n;
	else if (n != -ENOENT && n != -EISDIR && n != -ELOOP)
		return (int)n;
	return n > 0;
}

/* Puts the retained notice into the subscriber's own mailbox, so that one
 * descriptor signals everything. Reading it after registering leaves no gap: a
 * publisher replaces the retained notice before it lists the subscribers. A
 * duplicate is dropped by its order. */
static int
fetch_retained(struct handoff__mailbox *box, const struct handoff__dir *dir)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];
	size_t len = sizeof(data);
	int rc = read_retained(dir, data, &len);

	if (rc > 0)
		box->ops->put(box, data, len);
	return rc < 0 ? rc : 0;
}

static int
open_mailbox(struct handoff__mailbox *box, const struct handoff__dir *dir,
	struct handoff__error *error)
{
	const char *folder = box->ops->folder;
	int err = handoff__registry_folder(&box->folder, dir, folder, true);

	if (err < 0)
		return handoff__fail(error, err,
			"subscriber: cannot open %s/%s: %s", dir->path, folder,
			strerror(-err));
	/* keeps systemd-tmpfiles away, see lib/peer/upkeep.c */
	handoff__dir_share(&box->folder);
	err = box->ops->open(box, error);
	if (err < 0) {
		handoff__dir_close(&box->folder);
		return err;
	}
	err = fetch_retained(box, dir);
	if (err == 0)
		return 0;
	box->ops->close(box, true);
	handoff__dir_close(&box->folder);
	return handoff__fail(error, err,
		"subscriber: cannot read the retained notice in %s: %s",
		dir->path, strerror(-err));
}

static int
open_subscriber(struct end *end, const char *path, struct handoff__error *error)
{
	struct handoff__mailbox *box = calloc(1, end->ops->size);
	struct handoff__dir dir;
	int err;

	if (!box)
		return handoff__fail(
			error, -ENOMEM, "subscriber: out of memory");
	box->ops = end->ops;
	box->path = end->path;
	box->pid = getpid();
	box->folder.fd = -1;
	err = handoff__dir_open(&dir, path, false, 0, error);
	if (err == 0) {
		err = open_mailbox(box, &dir, error);
		handoff__dir_close(&dir);
	}
	if (err < 0)
		free(box);
	else
		end->box = box;
	return err;
}

static int
open_publisher(struct end *end, const char *path, struct handoff__error *error)
{
	struct handoff__dir dir;
	int err = handoff__dir_open(&dir, path, true, end->user, error);

	if (err == 0)
		handoff__dir_close(&dir);
	return err;
}

int
handoff__local_open(void **out, const char *path,
	const struct handoff_transport_side *side,
	const struct handoff__mailbox_ops *ops, char *errbuf,
	size_t errbuf_size)
{
	struct end *end = calloc(1, sizeof(*end));
	struct handoff__error error;
	int err = end ? 0 : -ENOMEM;

	if (end) {
		end->ops = ops;
		end->user = side->user;
		end->round.folder.fd = end->round.sock = -1;
	}
	if (err == 0 && path[0])
		err = handoff__path_absolute(&end->path, path);
	if (err < 0)
		handoff__fail(&error, err,
			"notices: cannot make '%.120s' absolute: %s", path,
			strerror(-err));
	else
		err = side->publishes ? open_publisher(end, path, &error)
				      : open_subscriber(end, path, &error);
	if (err < 0) {
		handoff__error_copy(&error, errbuf, errbuf_size);
		if (end)
			free(end->path);
		free(end);
		return err;
	}
	*out = end;
	return 0;
}

static void
end_round(struct end *end)
{
	if (end->list)
		closedir(end->list);
	end->list = NULL;
	end->round.folder.fd = -1; /* the list's */
	end->round.at = 0;
	end->checking = false;
	if (end->round.sock >= 0)
		close(end->round.sock);
	end->round.sock = -1;
}

void
handoff__local_close(void *arg)
{
	struct end *end = arg;

	if (end->box) {
		end->ops->close(end->box, end->box->pid == getpid());
		handoff__dir_close(&end->box->folder);
	}
	end_round(end);
	free(end->round.known);
	free(end->box);
	free(end->path);
	free(end);
}

int
handoff__local_fd(void *arg)
{
	const struct end *end = arg;

	return end->box ? end->ops->fd(end->box) : -1;
}

/* What did not fit is not newer than the retained notice, which was replaced
 * before anything was sent. Through the mailbox, so that it is readable. */
static void
fetch_missed(struct end *end)
{
	struct handoff__error ignored;
	struct handoff__dir dir;

	if (handoff__dir_open(&dir, end->path, false, 0, &ignored) < 0)
		return; /* without a directory nothing is retained */
	if (fetch_retained(end->box, &dir) == 0)
		end->box->missed = false;
	handoff__dir_close(&dir);
}

int
handoff__local_receive(void *arg, void *data, size_t *len)
{
	struct end *end = arg;
	int rc = end->ops->receive(end->box, data, len);

	if (end->box->missed)
		fetch_missed(end);
	return rc;
}

/* If the directory was cleaned, no publisher would find this subscriber.
 * Without a directory there is nothing to register in. */
int
handoff__local_tend(void *arg)
{
	struct end *end = arg;
	struct handoff__mailbox *box = end->box;
	struct handoff__dir dir, folder;
	struct handoff__error ignored;
	int rc;

	if (!box || box->pid != getpid() ||
		handoff__dir_open(&dir, end->path, false, 0, &ignored) < 0)
		return 0;
	rc = handoff__registry_folder(&folder, &dir, end->ops->folder, true);
	if (rc == 0)
		rc = end->ops->renew(box, &folder);
	if (rc > 0) {
		handoff__dir_close(&box->folder);
		box->folder = folder;
		handoff__dir_share(&folder);
		box->missed = true;
	} else {
		handoff__dir_close(&folder);
	}
	if (box->missed && fetch_retained(box, &dir) == 0)
		box->missed = false;
	handoff__dir_close(&dir);
	return rc;
}

static int
open_dir(struct end *end, bool create, struct handoff__dir *dir)
{
	struct handoff__error ignored;

	return handoff__dir_open(dir, end->path, create, end->user, &ignored);
}

static bool
is_newer(const void *data, size_t len, const struct end *end)
{
	struct handoff_notice there, ours;

	return handoff__notice_decode(&there, data, len) == 0 &&
	       handoff__notice_decode(&ours, end->message, end->len) == 0 &&
	       handoff__notice_newer(&there, &ours);
}

/* The owner, and its other transports in this directory, may have retained it
 * already; and the owner of another service directory a newer one. 1 if it was
 * written. */
static int
retain(const struct end *end, const struct handoff__dir *dir)
{
	unsigned char data[HANDOFF__NOTICE_SIZE];
	size_t len = sizeof(data);
	int err = read_retained(dir, data, &len);

	if (err > 0 && len == end->len && memcmp(data, end->message, len) == 0)
		return 0;
	if (err > 0 && is_newer(data, len, end))
		return 0;
	err = handoff__dir_write(
		dir, HANDOFF__NOTICE_FILE, end->message, end->len);
	return err < 0 ? err : 1;
}

/* -ENOENT is no error: there has never been a subscriber. */
static int
open_list(struct end *end, const struct handoff__dir *dir)
{
	struct handoff__dir *folder = &end->round.folder;
	int err =
		handoff__registry_folder(folder, dir, end->ops->folder, false);

	if (err < 0)
		return err == -ENOENT ? 0 : err;
	end->list = fdopendir(folder->fd);
	if (end->list)
		return 0;
	err = -errno;
	handoff__dir_close(folder);
	return err;
}

int
handoff__local_publish(void *arg, const void *data, size_t len)
{
	struct end *end = arg;
	struct handoff__dir dir;
	int listed, retained;

	end_round(end);
	memcpy(end->message, data, len);
	end->len = len;
	retained = open_dir(end, true, &dir);
	if (retained < 0)
		return retained;
	retained = retain(end, &dir);
	listed = open_list(end, &dir);
	handoff__dir_close(&dir);
	return retained < 0 ? retained : listed;
}

/* It was counted as reached in the first pass. */
static void
check(struct end *end, const char *file, struct handoff_transport_told *told)
{
	if (end->ops->check(&end->round, file) != HANDOFF__SENT_PRUNED)
		return;
	told->pruned++;
	if (file[0] != '.' && told->reached > 0)
		told->reached--;
}

static void
send_to(struct end *end, const char *file, struct handoff_transport_told *told)
{
	switch (end->ops->send(&end->round, file, end->message, end->len)) {
	case HANDOFF__SENT_REACHED:
		told->reached++;
		break;
	case HANDOFF__SENT_FULL:
		told->full++;
		break;
	case HANDOFF__SENT_PRUNED:
		told->pruned++;
		break;
	case HANDOFF__SENT_FAILED:
		told->failed++;
		break;
	case HANDOFF__SENT_SKIPPED:
		break;
	}
}

int
handoff__local_step(
	void *arg, unsigned max, struct handoff_transport_told *told)
{
	struct end *end = arg;

	if (max == 0)
		end_round(end);
	for (unsigned i = 0; end->list && i < max; i++) {
		struct dirent *entry = readdir(end->list);

		if (entry && end->checking) {
			check(end, entry->d_name, told);
		} else if (entry) {
			send_to(end, entry->d_name, told);
		} else if (end->ops->check && !end->checking) {
			rewinddir(end->list);
			end->round.at = 0;
			end->checking = true;
		} else {
			end_round(end);
		}
	}
	return end->list != NULL;
}

int
handoff__local_retained(void *arg, void *data, size_t *len)
{
	struct end *end = arg;
	struct handoff__dir dir;
	int rc = open_dir(end, false, &dir);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	rc = read_retained(&dir, data, len);
	handoff__dir_close(&dir);
	return rc;
}

int
handoff__local_keep(void *arg)
{
	struct end *end = arg;
	struct handoff__dir dir;
	int rc;

	if (end->len == 0)
		return 0;
	rc = open_dir(end, true, &dir);
	if (rc < 0)
		return rc;
	rc = retain(end, &dir);
	handoff__dir_close(&dir);
	return rc;
}

void
handoff__local_prune(const struct handoff__mailbox *box)
{
	struct handoff__round round = {.folder = box->folder, .sock = -1};
	int fd =
		openat(box->folder.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!list) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(list)))
		box->ops->check(&round, entry->d_name);
	closedir(list);
}
