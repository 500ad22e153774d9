/* SPDX-License-Identifier: MIT */
/*
 * Runs the operator's steering program, one verb at a time: its input, its
 * words and its end are events of the loop, and a time limit bounds all of
 * them. Does not know what the program does, nor what its failure means for a
 * move.
 */
#include "ferry/hook.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const verbs[] = {
	[HANDOFF__HOOK_HOLD] = "hold",
	[HANDOFF__HOOK_PASS] = "pass",
	[HANDOFF__HOOK_FLIP] = "flip",
	[HANDOFF__HOOK_FINAL] = "final",
};

static void begin_first(struct handoff__timer *timer);

/* The program */

/* What others can write to they could have this process run. */
static int
check_file(const char *path, struct handoff__error *error)
{
	struct stat st;

	if (path[0] != '/')
		return handoff__fail(
			error, -EINVAL, "hook %s: want an absolute path", path);
	if (stat(path, &st) < 0 || access(path, X_OK) < 0)
		return handoff__fail(
			error, -errno, "hook %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return handoff__fail(
			error, -EINVAL, "hook %s: it is not a file", path);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) ||
		(st.st_uid != 0 && st.st_uid != geteuid()))
		return handoff__fail(error, -EPERM,
			"hook %s: others than root and this user may write to "
			"it",
			path);
	return 0;
}

int
handoff__hook_open(struct handoff__hook *hook, struct handoff__loop *loop,
	const char *path, int timeout_ms, struct handoff__error *error)
{
	int err;

	memset(hook, 0, sizeof(*hook));
	hook->child.fd = hook->in.fd = hook->out.fd = -1;
	if (strlen(path) >= sizeof(hook->path))
		return handoff__fail(error, -ENAMETOOLONG,
			"hook: the path is longer than %zu bytes",
			sizeof(hook->path) - 1);
	err = check_file(path, error);
	if (err < 0)
		return err;
	handoff__copy(hook->path, sizeof(hook->path), path);
	hook->timeout_ms = timeout_ms > 0 ? timeout_ms : HANDOFF__HOOK_MS;
	hook->begin.fn = begin_first;
	hook->begin.arg = hook;
	hook->loop = loop;
	return 0;
}

/* The end of a run */

static void
drop_watch(struct handoff__hook *hook, struct handoff__watch *watch)
{
	int fd = watch->fd;

	if (fd < 0)
		return;
	handoff__watch_del(hook->loop, watch);
	watch->fd = -1;
	close(fd);
}

/* The next one begins from the loop, so a callback may add to it. */
static void
end_run(struct handoff__hook *hook, int err, const char *why)
{
	struct handoff__hook_run run = hook->runs[hook->first];

	handoff__timer_disarm(hook->loop, &hook->limit);
	drop_watch(hook, &hook->in);
	drop_watch(hook, &hook->out);
	drop_watch(hook, &hook->child);
	hook->pid = 0;
	hook->first = (hook->first + 1) % HANDOFF__HOOK_RUNS;
	hook->count--;
	if (hook->count > 0)
		handoff__timer_arm(hook->loop, &hook->begin, 0);
	free(run.input.data);
	run.fn(run.arg, err, why);
}

static int __attribute__((format(printf, 3, 4)))
end_failed(struct handoff__hook *hook, int err, const char *fmt, ...)
{
	struct handoff__error error;
	int len = snprintf(error.text, sizeof(error.text),
		"hook %.200s %s: ", hook->path,
		verbs[hook->runs[hook->first].verb]);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error.text + len, sizeof(error.text) - (size_t)len, fmt, ap);
	va_end(ap);
	end_run(hook, err, error.text);
	return err;
}

/* What it says */

/* Up to the end, or what is there; keeps the beginning. */
static bool
read_words(struct handoff__hook *hook)
{
	char scrap[1024];
	ssize_t n;

	for (;;) {
		n = read(hook->out.fd, scrap, sizeof(scrap));
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		for (ssize_t i = 0; i < n; i++) {
			if (hook->nwords < sizeof(hook->words) - 1)
				hook->words[hook->nwords++] = scrap[i];
		}
	}
}

static void
on_words(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__hook *hook = watch->arg;

	(void)events;
	if (!read_words(hook))
		drop_watch(hook, watch);
}

/* One line, for a sentence. */
static const char *
words_line(struct handoff__hook *hook)
{
	hook->words[hook->nwords] = '\0';
	hook->words[strcspn(hook->words, "\r\n")] = '\0';
	for (char *at = hook->words; *at; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	}
	return hook->words[0] ? hook->words : "it gave no reason";
}

/* What it reads */

static void
on_room(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__hook *hook = watch->arg;
	struct handoff__hook_run *run = &hook->runs[hook->first];
	ssize_t n;

	(void)events;
	while (run->pos < run->input.len) {
		n = write(watch->fd, run->input.data + run->pos,
			run->input.len - run->pos);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break; /* it reads no more: its status decides */
		run->pos += (size_t)n;
	}
	drop_watch(hook, watch);
}

/* Its end */

static void
on_limit(struct handoff__timer *timer)
{
	struct handoff__hook *hook = timer->arg;

	hook->late = true;
	kill(-hook->pid, SIGKILL);
}

static void
on_child(struct handoff__watch *watch, uint32_t events)
{
	struct handoff__hook *hook = watch->arg;
	int status = 0;

	(void)events;
	if (waitpid(hook->pid, &status, WNOHANG) != hook->pid)
		return;
	if (hook->out.fd >= 0)
		read_words(hook);
	if (hook->late)
		end_failed(hook, -ETIMEDOUT,
			"did not end within %d ms, and was killed",
			hook->timeout_ms);
	else if (WIFSIGNALED(status))
		end_failed(hook, -ECANCELED, "was killed by signal %d",
			WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		end_failed(hook, -ECANCELED, "ended with status %d: %.300s",
			WEXITSTATUS(status), words_line(hook));
	else
		end_run(hook, 0, "");
}

/* Its beginning */

struct pipes {
	int in[2], out[2]; /* of the program */
};

static void
close_pair(int fds[2])
{
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* The ends that stay here do not block; those of the program do. */
static int
open_pipes(struct pipes *p)
{
	p->in[0] = p->in[1] = p->out[0] = p->out[1] = -1;
	if (pipe2(p->in, O_CLOEXEC) < 0 || pipe2(p->out, O_CLOEXEC) < 0 ||
		fcntl(p->in[1], F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(p->out[0], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/* A process group of its own, so that what it has started ends with it; no
 * signal blocked or ignored. */
static int
set_attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	rc = posix_spawnattr_setsigmask(attr, &none);
	if (rc == 0)
		rc = posix_spawnattr_setsigdefault(attr, &all);
	if (rc == 0)
		rc = posix_spawnattr_setpgroup(attr, 0);
	if (rc == 0)
		rc = posix_spawnattr_setflags(
			attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
				      POSIX_SPAWN_SETPGROUP);
	return rc;
}

/* Only 0, 1 and 2 are open in it. */
static int
set_files(posix_spawn_file_actions_t *files, const struct pipes *p)
{
	int rc = posix_spawn_file_actions_adddup2(files, p->in[0], 0);

	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(
			files, 1, "/dev/null", O_WRONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(files, p->out[1], 2);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(files, 3);
	if (rc == 0)
		rc = posix_spawn_file_actions_addchdir_np(files, "/");
	return rc;
}

static int
spawn(struct handoff__hook *hook, const struct pipes *p)
{
	char *const argv[] = {hook->path,
		(char *)(uintptr_t)verbs[hook->runs[hook->first].verb], NULL};
	char *const envp[] = {NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int rc;

	rc = posix_spawn_file_actions_init(&files);
	if (rc != 0)
		return -rc;
	rc = posix_spawnattr_init(&attr);
	if (rc != 0) {
		posix_spawn_file_actions_destroy(&files);
		return -rc;
	}
	rc = set_attributes(&attr);
	if (rc == 0)
		rc = set_files(&files, p);
	if (rc == 0)
		rc = posix_spawn(
			&hook->pid, hook->path, &files, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -rc;
}

static int
add_watch(struct handoff__hook *hook, struct handoff__watch *watch, int fd,
	uint32_t events, handoff__ready_fn *fn)
{
	int err;

	watch->fn = fn;
	watch->arg = hook;
	err = handoff__watch_add(hook->loop, watch, fd, events);
	if (err < 0) {
		watch->fd = -1;
		close(fd);
	}
	return err;
}

/* The descriptors are the watches' from here on, or closed. */
static int
watch_program(struct handoff__hook *hook, const struct pipes *p)
{
	int pidfd = pidfd_open(hook->pid, 0), err = 0;

	if (pidfd < 0)
		err = -errno;
	else
		err = add_watch(hook, &hook->child, pidfd, EPOLLIN, on_child);
	if (err == 0)
		err = add_watch(hook, &hook->in, p->in[1], EPOLLOUT, on_room);
	else
		close(p->in[1]);
	if (err == 0)
		err = add_watch(hook, &hook->out, p->out[0], EPOLLIN, on_words);
	else
		close(p->out[0]);
	return err;
}

static void
kill_program(struct handoff__hook *hook)
{
	kill(-hook->pid, SIGKILL);
	while (waitpid(hook->pid, NULL, 0) < 0 && errno == EINTR)
		;
	hook->pid = 0;
}

static void
begin_first(struct handoff__timer *timer)
{
	struct handoff__hook *hook = timer->arg;
	struct pipes p;
	int err = open_pipes(&p);

	hook->late = false;
	hook->nwords = 0;
	if (err == 0)
		err = spawn(hook, &p);
	if (err < 0) {
		close_pair(p.in);
		close_pair(p.out);
		end_failed(hook, err, "cannot be started: %s", strerror(-err));
		return;
	}
	close(p.in[0]);
	close(p.out[1]);
	err = watch_program(hook, &p);
	if (err < 0) {
		kill_program(hook);
		end_failed(hook, err, "cannot be watched: %s", strerror(-err));
		return;
	}
	hook->limit.fn = on_limit;
	hook->limit.arg = hook;
	handoff__timer_arm(
		hook->loop, &hook->limit, (int64_t)hook->timeout_ms * 1000);
}

/* Requests */

/* "4 192.0.2.7 7000 198.51.100.9 40112" */
static void
add_flow(struct handoff__buf *buf, const struct handoff__flow *flow)
{
	int family = flow->family == 4 ? AF_INET : AF_INET6;
	char local[INET6_ADDRSTRLEN], peer[INET6_ADDRSTRLEN];

	inet_ntop(family, flow->local, local, sizeof(local));
	inet_ntop(family, flow->peer, peer, sizeof(peer));
	handoff__buf_add(buf, "%u %s %u %s %u\n", flow->family, local,
		flow->local_port, peer, flow->peer_port);
}

int
handoff__hook_run(struct handoff__hook *hook, enum handoff__hook_verb verb,
	const struct handoff__flow *flows, size_t nflows, handoff__hook_fn *fn,
	void *arg)
{
	struct handoff__hook_run run = {.verb = verb, .fn = fn, .arg = arg};

	if (hook->count == HANDOFF__HOOK_RUNS)
		return -ENOBUFS;
	for (size_t i = 0; i < nflows; i++)
		add_flow(&run.input, &flows[i]);
	if (run.input.failed) {
		free(run.input.data);
		return -ENOMEM;
	}
	hook->runs[(hook->first + hook->count) % HANDOFF__HOOK_RUNS] = run;
	hook->count++;
	if (hook->count == 1)
		handoff__timer_arm(hook->loop, &hook->begin, 0);
	return 0;
}

void
handoff__hook_close(struct handoff__hook *hook)
{
	if (!hook->loop)
		return;
	handoff__timer_disarm(hook->loop, &hook->begin);
	handoff__timer_disarm(hook->loop, &hook->limit);
	drop_watch(hook, &hook->in);
	drop_watch(hook, &hook->out);
	drop_watch(hook, &hook->child);
	if (hook->pid > 0)
		kill_program(hook);
	for (; hook->count > 0; hook->count--) {
		free(hook->runs[hook->first].input.data);
		hook->first = (hook->first + 1) % HANDOFF__HOOK_RUNS;
	}
	hook->loop = NULL;
}
