/* SPDX-License-Identifier: MIT */
/*
 * Namespaces by unshare(2), links and addresses by ip(8).
 */
#include "support/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
own_namespace(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

const char *
netns_make(int *namespaces, int count)
{
	static char why[128];

	if (system("ip -V >/dev/null 2>&1") != 0)
		return "needs ip(8) of iproute2";
	for (int i = 0; i < count; i++) {
		if (unshare(CLONE_NEWNET) < 0) {
			snprintf(why, sizeof(why),
				"needs root, to make network namespaces: %s",
				strerror(errno));
			return why;
		}
		namespaces[i] = own_namespace();
	}
	return NULL;
}

void
netns_enter(int namespace)
{
	assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
}

int
netns_visit(int namespace)
{
	int before = own_namespace();

	netns_enter(namespace);
	return before;
}

void
netns_leave(int before)
{
	netns_enter(before);
	close(before);
}

static void __attribute__((format(printf, 3, 0)))
command_line(char *command, size_t size, const char *fmt, va_list ap)
{
	int n = snprintf(command, size, "ip ");

	vsnprintf(command + n, size - (size_t)n, fmt, ap);
}

void
netns_ip(int namespace, const char *fmt, va_list ap)
{
	int before = netns_visit(namespace);
	char command[512];

	command_line(command, sizeof(command), fmt, ap);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
	netns_leave(before);
}

void
netns_ip_output(
	int namespace, char *output, size_t size, const char *fmt, va_list ap)
{
	int before = netns_visit(namespace);
	char command[512];
	FILE *pipe;

	command_line(command, sizeof(command), fmt, ap);
	pipe = popen(command, "re");
	assert_non_null(pipe);
	output[fread(output, 1, size - 1, pipe)] = '\0';
	assert_int_equal(pclose(pipe), 0);
	netns_leave(before);
}
