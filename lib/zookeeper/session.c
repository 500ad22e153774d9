/* SPDX-License-Identifier: MIT */
/*
 * Drives the single-threaded client: its socket, which changes whenever it
 * connects again, and its deadlines are behind one epoll descriptor. Nothing
 * here blocks. Knows nothing of what is asked.
 *
 * The epoll set holds a duplicate of the client's socket: that a child of this
 * process has inherited the socket must not keep a closed one in the set, and
 * the client closes its own when it likes.
 */
#include "zookeeper/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define RENEW_MS     1000 /* there was no memory for a client */
#define PATIENCE_MIN 300  /* ms */
#define PATIENCE_MAX 5000
#define RETRY_MS     50 /* the client could not even make a socket */

enum { ON_SOCKET, ON_TIMER };

int64_t
handoff__zk_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A session ends also while the host sleeps. */
static int64_t
boottime_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
log_nothing(const char *text)
{
	(void)text;
}

/* How long a server may take: the session must survive another attempt. */
static int64_t
patience(const struct handoff__zk_session *s)
{
	int64_t ms = s->timeout_ms / 6;

	return ms < PATIENCE_MIN   ? PATIENCE_MIN
	       : ms > PATIENCE_MAX ? PATIENCE_MAX
				   : ms;
}

static void
watch(zhandle_t *zh, int type, int state, const char *path, void *arg)
{
	struct handoff__zk_session *s = arg;

	(void)path;
	if (type != ZOO_SESSION_EVENT || s->closing)
		return;
	if (state == ZOO_CONNECTED_STATE) {
		s->connected = true;
		s->id = *zoo_client_id(zh);
		s->life_ms = zoo_recv_timeout(zh);
		s->asked = 0;
		s->since_ms = 0;
		s->changed(s->owner, HANDOFF__ZK_CONNECTED);
		return;
	}
	s->moved = true;
	if (s->connected) {
		s->connected = false;
		s->contact_ms = boottime_ms();
		s->changed(s->owner, HANDOFF__ZK_SUSPENDED);
	}
	if (state == ZOO_EXPIRED_SESSION_STATE ||
		state == ZOO_AUTH_FAILED_STATE) {
		s->lost = true;
		s->id = (clientid_t){0};
		s->changed(s->owner, HANDOFF__ZK_EXPIRED);
	}
}

/* With the session `id`, or a new one. */
static int
make_handle(struct handoff__zk_session *s)
{
	const clientid_t *id = s->id.client_id != 0 ? &s->id : NULL;
	int len = (int)strlen(s->auth);

	s->lost = s->connected = false;
	s->moved = true;
	s->since_ms = s->asked = 0;
	s->contact_ms = boottime_ms();
	s->zh = zookeeper_init2(s->hosts, watch, (int)s->timeout_ms, id, s,
		ZOO_NO_LOG_CLIENTENV, log_nothing);
	if (!s->zh)
		return errno == 0 ? -ENOMEM : -errno;
	/* the addresses are numbers; the client would parse them at each call
	 */
	zoo_set_servers_resolution_delay(s->zh, -1);
	if (len > 0 &&
		zoo_add_auth(s->zh, "digest", s->auth, len, NULL, NULL) != ZOK)
		return -ENOMEM;
	return 0;
}

/* One that fires earlier is left alone: it is armed again then. */
static void
set_timer(struct handoff__zk_session *s, int64_t now, int64_t ms)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = ms / 1000,
			.tv_nsec = ms % 1000 * 1000000},
	};

	if (s->armed_ms > 0 && s->armed_ms <= now + ms)
		return;
	if (ms <= 0)
		when.it_value.tv_nsec = 1;
	if (timerfd_settime(s->timer, 0, &when, NULL) == 0)
		s->armed_ms = now + ms;
}

static void
forget_socket(struct handoff__zk_session *s)
{
	if (s->sock < 0)
		return;
	epoll_ctl(s->epfd, EPOLL_CTL_DEL, s->sock, NULL);
	close(s->sock);
	s->sock = -1;
	s->interest = 0;
}

/* The socket that the client has now, if it is not the one of before. */
static void
take_socket(struct handoff__zk_session *s, int fd)
{
	struct epoll_event event = {.data.u32 = ON_SOCKET};
	struct stat st;

	if (s->connected && !s->moved && s->sock >= 0 && fd == s->client)
		return;
	s->moved = false;
	if (fd < 0 || fstat(fd, &st) < 0) {
		forget_socket(s);
		return;
	}
	s->client = fd;
	if (s->sock >= 0 && s->inode == st.st_ino)
		return;
	forget_socket(s);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	s->sock = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (s->sock < 0)
		return;
	s->inode = st.st_ino;
	if (epoll_ctl(s->epfd, EPOLL_CTL_ADD, s->sock, &event) < 0) {
		close(s->sock);
		s->sock = -1;
	}
}

static void
want(struct handoff__zk_session *s, int interest)
{
	struct epoll_event event = {.data.u32 = ON_SOCKET};

	if (s->sock < 0 || interest == s->interest)
		return;
	event.events = (interest & ZOOKEEPER_READ ? (uint32_t)EPOLLIN : 0) |
		       (interest & ZOOKEEPER_WRITE ? (uint32_t)EPOLLOUT : 0);
	if (epoll_ctl(s->epfd, EPOLL_CTL_MOD, s->sock, &event) == 0)
		s->interest = interest;
}

/* Asks the client what it waits for; it connects if it has no connection.
 * Returns in how many milliseconds it has to be called. */
static int64_t
ask_interest(struct handoff__zk_session *s, int64_t now)
{
	struct timeval tv = {0};
	int fd = -1, interest = 0, rc;
	int64_t ms;

	if (s->sock < 0 && now < s->not_before_ms)
		return s->not_before_ms - now;
	rc = zookeeper_interest(s->zh, &fd, &interest, &tv);
	ms = (int64_t)tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000;
	if (rc != ZOK)
		fd = -1;
	take_socket(s, fd);
	want(s, interest);
	if (s->sock < 0) {
		ms = rc == ZOK && ms > 0 ? ms : RETRY_MS;
		s->not_before_ms = now + ms;
		s->since_ms = 0;
	} else if (!s->connected && s->since_ms == 0) {
		s->since_ms = now;
	}
	return ms;
}

/* It fires in time for the patience with a request that is yet to be made: so
 * making one does not set it. */
void
handoff__zk_arm(struct handoff__zk_session *s)
{
	int64_t now = handoff__zk_now_ms();
	int64_t ms, most = patience(s);

	if (s->pid != getpid())
		return;
	ms = !s->zh ? RENEW_MS : s->lost ? 0 : ask_interest(s, now);
	if (s->since_ms > 0)
		most += s->since_ms - now;
	set_timer(s, now, s->woken || s->lost ? 0 : ms < most ? ms : most);
}

/* A connection that does not answer ends here; the client finds that out when
 * it reads, and tries the next server. */
static void
lose_patience(struct handoff__zk_session *s)
{
	if (s->sock < 0 || s->since_ms == 0 ||
		handoff__zk_now_ms() < s->since_ms + patience(s))
		return;
	s->since_ms = 0;
	shutdown(s->sock, SHUT_RDWR);
	zookeeper_process(s->zh, ZOOKEEPER_READ | ZOOKEEPER_WRITE);
}

/* What the set says of the socket, for the client. */
static int
look(struct handoff__zk_session *s)
{
	struct epoll_event events[2];
	int n = epoll_wait(s->epfd, events, 2, 0);
	int found = 0;
	uint64_t count;

	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 == ON_TIMER) {
			if (read(s->timer, &count, sizeof(count)) > 0)
				s->armed_ms = 0;
			continue;
		}
		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			found |= ZOOKEEPER_READ;
		if (events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
			found |= ZOOKEEPER_WRITE;
	}
	return found & (s->interest ? s->interest | ZOOKEEPER_READ : 0);
}

static void
renew(struct handoff__zk_session *s)
{
	forget_socket(s);
	s->closing = true;
	zookeeper_close(s->zh);
	s->closing = false;
	s->zh = NULL;
	if (make_handle(s) < 0 && s->zh) {
		zookeeper_close(s->zh);
		s->zh = NULL;
	}
}

/* Whether the session must have ended, by half as much again as it may be
 * silent, or that long has passed with a new handle. */
static bool
is_overdue(const struct handoff__zk_session *s)
{
	return !s->connected &&
	       boottime_ms() >= s->contact_ms + s->life_ms + s->life_ms / 2;
}

void
handoff__zk_pump(struct handoff__zk_session *s)
{
	int found;

	if (s->pid != getpid())
		return;
	found = look(s);
	if (s->zh && !s->lost && found != 0)
		zookeeper_process(s->zh, found);
	if (s->zh && !s->lost)
		lose_patience(s);
	if (!s->zh || s->lost || is_overdue(s))
		renew(s);
}

int
handoff__zk_asked(struct handoff__zk_session *s, int rc)
{
	if (rc == ZMARSHALLINGERROR || rc == ZSYSTEMERROR)
		return -ENOMEM;
	if (rc != ZOK)
		return -ENOTCONN;
	if (s->asked++ == 0)
		s->since_ms = handoff__zk_now_ms();
	return 0;
}

void
handoff__zk_answered(struct handoff__zk_session *s)
{
	if (s->asked > 0)
		s->asked--;
	if (s->connected)
		s->since_ms = s->asked > 0 ? handoff__zk_now_ms() : 0;
}

const char *
handoff__zk_server(const struct handoff__zk_session *s)
{
	const char *server = s->zh ? zoo_get_current_server(s->zh) : NULL;

	return server ? server : s->hosts;
}

static int
open_set(struct handoff__zk_session *s)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = ON_TIMER};

	s->epfd = epoll_create1(EPOLL_CLOEXEC);
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->epfd < 0 || s->timer < 0 ||
		epoll_ctl(s->epfd, EPOLL_CTL_ADD, s->timer, &event) < 0)
		return -errno;
	return 0;
}

int
handoff__zk_open(struct handoff__zk_session *s, const clientid_t *saved,
	struct handoff__error *error)
{
	int err;

	s->pid = getpid();
	s->sock = -1;
	s->id = saved ? *saved : (clientid_t){0};
	s->life_ms = s->timeout_ms;
	err = open_set(s);
	if (err == 0)
		err = make_handle(s);
	if (err == 0) {
		handoff__zk_arm(s);
		return 0;
	}
	handoff__zk_close(s, false);
	return handoff__fail(error, err,
		"zookeeper: cannot make a client of %.100s: %s", s->hosts,
		strerror(-err));
}

/* The client would end the session, and wait for that. With another file in
 * place of its socket it finds its connection broken. */
static void
break_connection(struct handoff__zk_session *s)
{
	if (zoo_state(s->zh) != ZOO_CONNECTED_STATE || s->sock < 0)
		return;
	dup3(s->timer, s->client, O_CLOEXEC);
	zookeeper_process(s->zh, ZOOKEEPER_READ);
}

void
handoff__zk_close(struct handoff__zk_session *s, bool end)
{
	bool mine = s->pid == getpid();

	s->closing = true;
	/* The client waits until the server has closed, or for an answer: it
	 * reads the end of the stream at once. */
	if (end && mine && s->sock >= 0)
		shutdown(s->sock, SHUT_RD);
	else if (s->zh)
		break_connection(s);
	if (s->zh)
		zookeeper_close(s->zh);
	s->zh = NULL;
	/* a child shares the set: it must leave the parent's socket in it */
	if (s->sock >= 0)
		close(s->sock);
	if (s->timer >= 0)
		close(s->timer);
	if (s->epfd >= 0)
		close(s->epfd);
	s->sock = s->timer = s->epfd = -1;
}
