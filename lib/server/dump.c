/* SPDX-License-Identifier: MIT */
/*
 * Dumps, from request to reply: takes the picture, forks the child that writes
 * it (dumper.c), watches it and reports the result. The server pauses only for
 * the picture and the fork.
 */
#include "server/dump.h"

#include "operator/reply.h"
#include "server/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define DUMP_US 50000000 /* less than a request waits for its reply */
#define KILL_MS 1000

static void __attribute__((format(printf, 3, 4)))
refuse_dump(struct handoff_server *server, struct handoff__request *request,
	const char *fmt, ...)
{
	char why[HANDOFF_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	handoff__log(&server->log, HANDOFF_LOG_WARNING, "dump: %s", why);
	handoff__reply_error(request, why);
}

static void
confirm(const struct handoff__dump *dump)
{
	struct handoff__buf buf = {0};

	handoff__status_header(&dump->server->pair, &buf);
	handoff__buf_add(&buf,
		"dumped %u entr%s, %llu bytes, pause %lld.%03lld ms\n",
		dump->count, dump->count == 1 ? "y" : "ies",
		(unsigned long long)dump->end->bytes,
		(long long)dump->pause_us / 1000,
		(long long)dump->pause_us % 1000);
	handoff__reply(dump->request, &buf);
}

static void
dump_free(struct handoff__dump *dump)
{
	struct handoff__loop *loop = &dump->server->loop;
	int pidfd = dump->watch.fd;

	handoff__timer_disarm(loop, &dump->timer);
	handoff__watch_del(loop, &dump->watch);
	if (pidfd >= 0)
		close(pidfd);
	if (dump->end != MAP_FAILED)
		munmap(dump->end, sizeof(*dump->end));
	dump->server->dump = NULL;
	free(dump);
}

/* The child has ended. */
static void
finish_dump(struct handoff__dump *dump)
{
	const struct handoff__dump_end *end = dump->end;
	siginfo_t info = {.si_pid = 0};

	/* finds no child if the program reaps all its children */
	while (waitid(P_PIDFD, (id_t)dump->watch.fd, &info, WEXITED | WNOHANG) <
			0 &&
		errno == EINTR)
		;
	if (end->whole)
		confirm(dump);
	else if (end->err)
		refuse_dump(dump->server, dump->request,
			"cannot write the dump: %s", strerror(end->err));
	else
		refuse_dump(dump->server, dump->request,
			"the process that wrote the dump was killed: %s",
			dump->why ? dump->why : "by a signal");
	dump_free(dump);
}

static void
on_end(struct handoff__watch *watch, uint32_t events)
{
	(void)events;
	finish_dump(watch->arg);
}

/* Kills the child; its end is handled like any other. */
static void
end_child(struct handoff__dump *dump, const char *why)
{
	dump->why = why;
	pidfd_send_signal(dump->watch.fd, SIGKILL, NULL, 0);
}

static void
on_late(struct handoff__timer *timer)
{
	end_child(timer->arg, "it took longer than 50 s; does its reader "
			      "stand still?");
}

static void
on_gone(void *arg)
{
	end_child(arg, "the client has gone");
}

static struct handoff__dump *
dump_new(struct handoff_server *server, struct handoff__request *request)
{
	struct handoff__dump *dump = calloc(1, sizeof(*dump));

	if (!dump)
		return NULL;
	dump->server = server;
	dump->request = request;
	dump->watch.fd = -1;
	dump->watch.fn = on_end;
	dump->timer.fn = on_late;
	dump->watch.arg = dump->timer.arg = dump;
	dump->end = mmap(NULL, sizeof(*dump->end), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	server->dump = dump;
	return dump;
}

/* Collects everything that the child needs, as of now. */
static int
prepare_dump(struct handoff__dump *dump, struct handoff__dumper *dumper, int fd)
{
	struct handoff_server *server = dump->server;
	struct handoff__pair *pair = &server->pair;

	if (dump->end == MAP_FAILED)
		return -ENOMEM;
	*dumper = (struct handoff__dumper){
		.service = server->opts.service,
		.generation = handoff__pair_generation(pair),
		.name = pair->name,
		.fd = fd,
		.parent = (int)getpid(),
		.end = dump->end,
	};
	dumper->owners[HANDOFF__ELSEWHERE] = "elsewhere";
	dumper->owners[pair->place] = pair->name;
	if (pair->other.name[0])
		dumper->owners[handoff__pair_other_place(pair)] =
			pair->other.name;
	clock_gettime(CLOCK_REALTIME, &dumper->time);
	return handoff__picture_take(&dumper->picture, &pair->roster);
}

/* Blocks until the other end of the pipe is closed. */
static void
wait_at(const int gate[2])
{
	char none;

	close(gate[1]);
	while (read(gate[0], &none, 1) < 0 && errno == EINTR)
		;
}

/* Forks a child that waits at the gate until it is watched: otherwise it might
 * have ended by then, and if it is reaped elsewhere its process ID may be
 * another process's. Does not return in the child. */
static pid_t
fork_dumper(const struct handoff__dumper *dumper, int gate[2])
{
	pid_t pid;
	int err;

	if (pipe2(gate, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		wait_at(gate);
		handoff__dumper_run(dumper);
	}
	err = errno;
	close(gate[0]);
	if (pid > 0)
		return pid;
	close(gate[1]);
	return -err;
}

/* Forks the child and watches it. */
static int
launch_dumper(struct handoff__dump *dump, const struct handoff__dumper *dumper)
{
	int gate[2], pidfd, err;
	pid_t pid = fork_dumper(dumper, gate);

	if (pid < 0)
		return (int)pid;
	pidfd = pidfd_open(pid, 0);
	err = pidfd < 0 ? -errno
			: handoff__watch_add(&dump->server->loop, &dump->watch,
				  pidfd, EPOLLIN);
	if (err < 0) {
		if (pidfd >= 0)
			close(pidfd);
		kill(pid, SIGKILL);
		handoff__child_reap(dump->server, pid);
	}
	close(gate[1]);
	return err < 0 ? err : 0;
}

static int
dump_start(struct handoff__dump *dump, int fd)
{
	int64_t start_us = handoff__now_us();
	struct handoff__dumper dumper;
	int err = prepare_dump(dump, &dumper, fd);

	if (err < 0)
		return err;
	err = launch_dumper(dump, &dumper);
	dump->count = dumper.picture.count;
	handoff__picture_free(&dumper.picture);
	if (err < 0)
		return err;
	handoff__timer_arm(&dump->server->loop, &dump->timer, DUMP_US);
	handoff__control_on_gone(dump->request, on_gone, dump);
	dump->pause_us = handoff__now_us() - start_us;
	return 0;
}

void
handoff__dump_request(
	struct handoff_server *server, struct handoff__request *request)
{
	struct handoff__dump *dump;
	int fd, err = -ENOMEM;

	if (server->dump) {
		refuse_dump(server, request,
			"a dump is under way: wait for its end");
		return;
	}
	fd = handoff__control_take(request);
	if (fd < 0) {
		refuse_dump(server, request,
			"a dump needs a descriptor to write to, and none was "
			"sent");
		return;
	}
	dump = dump_new(server, request);
	if (dump)
		err = dump_start(dump, fd);
	close(fd);
	if (err >= 0)
		return;
	refuse_dump(server, request, "cannot start a dump: %s", strerror(-err));
	if (dump)
		dump_free(dump);
}

void
handoff__dump_close(struct handoff_server *server)
{
	struct handoff__dump *dump = server->dump;
	struct pollfd p;

	if (!dump)
		return;
	end_child(dump, "this server is ending");
	p = (struct pollfd){.fd = dump->watch.fd, .events = POLLIN};
	poll(&p, 1, KILL_MS);
	finish_dump(dump);
}
