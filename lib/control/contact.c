/* SPDX-License-Identifier: MIT */
/*
 * The client end of a control socket. A request is one line; the answer is a
 * line that begins with "ok" or "error", a body, and the end of the connection.
 * Every wait has a deadline and every answer a maximum length; nothing in the
 * directory is changed.
 */
#include "control/contact.h"

#include "base/fdpass.h"
#include "base/loop.h"
#include "base/process.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MS   20
#define NAME_TRIES 10
#define ANSWER_MAX (16u << 20)

static int
is_live_peer(const struct handoff__dir *dir, int place)
{
	char name[16];

	snprintf(name, sizeof(name), "peer.%d", place);
	return handoff__dir_locked(dir, name);
}

/* Reads the lock file. A peer that has just taken its lock has not written it
 * yet, and one that is about to release it has emptied it. */
static ssize_t
read_name(const struct handoff__dir *dir, int place, char *text, size_t size)
{
	char file[16];
	ssize_t n;

	snprintf(file, sizeof(file), "peer.%d", place);
	for (int i = 0; i < NAME_TRIES; i++) {
		n = handoff__dir_read(dir, file, text, size);
		if (n != 0 || is_live_peer(dir, place) != 1)
			break;
		poll(NULL, 0, RETRY_MS);
	}
	return n;
}

/* The lock file names its holder: "NAME PID\n". */
int
handoff__contact_find(struct handoff__contact *contact,
	const struct handoff__dir *dir, int place)
{
	char text[64], name[HANDOFF_NAME_MAX];
	int live = is_live_peer(dir, place);
	ssize_t n;
	long pid;

	if (live <= 0)
		return live;
	memset(contact, 0, sizeof(*contact));
	contact->place = place;
	handoff__copy(contact->name, sizeof(contact->name), "?");
	n = read_name(dir, place, text, sizeof(text) - 1);
	if (n <= 0)
		return n == 0 ? is_live_peer(dir, place) : 1;
	text[n] = '\0';
	if (sscanf(text, "%31s %ld", name, &pid) == 2 &&
		handoff__name_ok(name) && pid > 0) {
		memcpy(contact->name, name, sizeof(name));
		contact->pid = pid;
	}
	return 1;
}

const char *
handoff__contacts_service(const struct handoff__contact *contacts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (contacts[i].role[0] &&
			strcmp(contacts[i].service, "-") != 0)
			return contacts[i].service;
	}
	return NULL;
}

const char *
handoff__contact_value(const struct handoff__contact *contact, const char *key,
	const char *from, size_t *len)
{
	size_t key_len = strlen(key);
	const char *line = from ? strchr(from, '\n') : contact->body;

	for (line = from && line ? line + 1 : line; line && *line;) {
		const char *end = strchrnul(line, '\n');

		if (strncmp(line, key, key_len) == 0 && line[key_len] == ' ') {
			*len = (size_t)(end - line) - key_len - 1;
			return line + key_len + 1;
		}
		line = *end ? end + 1 : NULL;
	}
	return NULL;
}

bool
handoff__contact_is_ferry(const struct handoff__contact *contact)
{
	const char *model = NULL;
	size_t len = 0;

	if (contact->role[0])
		model = handoff__contact_value(contact, "model", NULL, &len);
	return model && len == strlen("ferry") &&
	       strncmp(model, "ferry", len) == 0;
}

const char *
handoff__contact_idle(const struct handoff__contact *contact)
{
	const char *lease = NULL;
	size_t len = 0;

	if (strcmp(contact->role, "owner") == 0)
		lease = handoff__contact_value(contact, "lease", NULL, &len);
	if (!lease)
		return NULL;
	if (strncmp(lease, "CANDIDATE ", 10) == 0 ||
		strncmp(lease, "LOST ", 5) == 0)
		return "candidate";
	return len > 7 && strncmp(lease + len - 7, " frozen", 7) == 0 ? "frozen"
								      : NULL;
}

void
handoff__contact_free(struct handoff__contact *contact)
{
	free(contact->answer);
	contact->answer = contact->body = NULL;
}

/* Only the directory's owner can have created the socket, but another process
 * may be serving it. */
static int
check_socket_owner(const struct handoff__dir *dir, int sock)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct stat st;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ||
		fstat(dir->fd, &st) < 0)
		return -errno;
	return cred.uid == st.st_uid || cred.uid == 0 ? 0 : -EPERM;
}

/* Holds the process that the kernel names: the process ID in the answer may
 * belong to another process in this PID namespace. */
static void
hold_process(const struct handoff__contact *contact, int sock)
{
	char why[128];
	pid_t pid;

	if (!contact->pidfd)
		return;
	if (*contact->pidfd >= 0)
		close(*contact->pidfd);
	*contact->pidfd = handoff__process_of(sock, -1, &pid, why, sizeof(why));
	if (*contact->pidfd >= 0 && pid == getpid()) {
		close(*contact->pidfd); /* this process does not wait for its
					 * own end */
		*contact->pidfd = -1;
	}
}

/* A peer that has its lock and no socket yet is about to open it; one that has
 * lost its lock is gone. */
static int
connect_peer(const struct handoff__contact *contact,
	const struct handoff__dir *dir, int64_t deadline_us)
{
	char name[16];
	int live, err, fd;

	snprintf(name, sizeof(name), "control.%d", contact->place);
	for (;;) {
		fd = handoff__dir_connect(dir, name, SOCK_STREAM);
		if (fd >= 0)
			break;
		if (fd != -ENOENT && fd != -ECONNREFUSED && fd != -EAGAIN)
			return fd;
		live = is_live_peer(dir, contact->place);
		if (live <= 0)
			return live < 0 ? live : -ESRCH;
		if (handoff__now_us() >= deadline_us)
			return -ETIMEDOUT;
		poll(NULL, 0, RETRY_MS);
	}
	err = check_socket_owner(dir, fd);
	if (err < 0) {
		close(fd);
		return err;
	}
	hold_process(contact, fd);
	return fd;
}

static int
wait_for_socket(const struct handoff__contact *contact, int fd, short events,
	int64_t deadline_us)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left_us = deadline_us - handoff__now_us();
		int n, ms = (int)(left_us / 1000) + 1;

		if (left_us <= 0)
			return -ETIMEDOUT;
		if (contact->idle && ms > HANDOFF__IDLE_MS)
			ms = HANDOFF__IDLE_MS;
		n = poll(&p, 1, ms);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && contact->idle)
			contact->idle(contact->idle_arg);
	}
}

static int
send_request(const struct handoff__contact *contact, int sock,
	const char *request, int fd, int64_t deadline_us)
{
	size_t len = strlen(request);
	ssize_t n;
	int err;

	while (len > 0) {
		n = handoff__fdpass_send_text(sock, request, len, fd);
		if (n >= 0) {
			request += n;
			len -= (size_t)n;
			fd = -1;
			continue;
		}
		/* A peer that has closed may have sent the reason before. */
		if (n == -EPIPE || n == -ECONNRESET)
			return 0;
		if (n != -EAGAIN)
			return (int)n;
		err = wait_for_socket(contact, sock, POLLOUT, deadline_us);
		if (err < 0)
			return err;
	}
	return 0;
}

/* Adds the result of one recv: 1 to continue, 0 at the end. */
static int
add_chunk(struct handoff__buf *buf, const char *chunk, ssize_t n)
{
	/* A peer that closes with the request unread resets the connection;
	 * data that it had sent before still arrives (unix(7)). */
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return buf->len > 0 ? 0 : -ECONNRESET;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : -errno;
	if (memchr(chunk, '\0', (size_t)n))
		return -EPROTO;
	if (buf->len + (size_t)n > ANSWER_MAX)
		return -EMSGSIZE;
	handoff__buf_add(buf, "%.*s", (int)n, chunk);
	return buf->failed ? -ENOMEM : 1;
}

static int
read_answer(const struct handoff__contact *contact, int fd,
	struct handoff__buf *buf, int64_t deadline_us)
{
	char chunk[4096];
	int err;

	do {
		err = wait_for_socket(contact, fd, POLLIN, deadline_us);
		if (err < 0)
			return err;
		err = add_chunk(buf, chunk, recv(fd, chunk, sizeof(chunk), 0));
	} while (err > 0);
	return err;
}

/* "ok SERVICE NAME ROLE PID" */
static bool
parse_ok(struct handoff__contact *contact, const char *line)
{
	struct handoff__contact c = *contact;
	int end = -1;

	if (sscanf(line, "ok %31s %31s %15s %ld%n", c.service, c.name, c.role,
		    &c.pid, &end) != 4 ||
		end != (int)strlen(line) || !handoff__name_ok(c.service) ||
		!handoff__name_ok(c.name) || !handoff__name_ok(c.role))
		return false;
	*contact = c;
	return true;
}

static int
parse_answer(struct handoff__contact *contact)
{
	char *end = strchr(contact->answer, '\n');

	if (!end)
		return -EPROTO;
	*end = '\0';
	if (strncmp(contact->answer, "error ", 6) == 0) {
		contact->body = contact->answer + 6;
		return -ECANCELED;
	}
	contact->body = end + 1;
	return parse_ok(contact, contact->answer) ? 0 : -EPROTO;
}

int
handoff__contact_ask(struct handoff__contact *contact,
	const struct handoff__dir *dir, const char *request, int fd,
	int64_t deadline_us)
{
	struct handoff__buf buf = {.data = NULL};
	int sock = connect_peer(contact, dir, deadline_us);
	int err;

	if (sock < 0)
		return sock;
	err = send_request(contact, sock, request, fd, deadline_us);
	if (err == 0)
		err = read_answer(contact, sock, &buf, deadline_us);
	close(sock);
	if (err < 0) {
		free(buf.data);
		return err;
	}
	handoff__contact_free(contact);
	contact->answer = buf.data;
	return parse_answer(contact);
}
