/* SPDX-License-Identifier: MIT */
/*
 * The child works on the records of its parent, which are in shared memory.
 */
#include "server/stepping.h"
#include "support/steps.h"

#include "base/addr.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void
use_tcp(struct fixture *f)
{
	char bound[HANDOFF_ADDRESS_MAX];
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	int listener = handoff__addr_listen("127.0.0.1:0", bound, NULL);
	int small = 4096;

	close(f->fd);
	close(f->client);
	assert_true(listener >= 0);
	assert_int_equal(
		getsockname(listener, (struct sockaddr *)&in, &len), 0);
	f->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(f->client, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(f->client, (struct sockaddr *)&in, len), 0);
	assert_true(support_poll(listener, POLLIN));
	f->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(f->fd >= 0);
	shrink(f);
	close(listener);
}

static void __attribute__((noreturn)) child_main(struct fixture *f)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(2);
	raise(SIGSTOP);
	handoff__conn_turn_at(
		turn_desk, &f->view, f->fd, &f->service, EPOLLIN, &f->result);
	_exit(0);
}

unsigned
die_after(struct fixture *f, unsigned most)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		child_main(f);
	return steps_die(pid, most);
}
