/* SPDX-License-Identifier: MIT */
/*
 * mptcp: preloaded into a server, makes its TCP sockets Multipath TCP sockets,
 * so that clients may use that. Not linked with the library.
 */
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

int
socket(int family, int type, int protocol)
{
	static int (*real)(int, int, int);
	int kind = type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (!real) {
		void *found = dlsym(RTLD_NEXT, "socket");

		memcpy(&real, &found, sizeof(real));
	}
	if ((family == AF_INET || family == AF_INET6) && kind == SOCK_STREAM)
		protocol = IPPROTO_MPTCP;
	return real(family, type, protocol);
}
