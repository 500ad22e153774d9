/* SPDX-License-Identifier: MIT */
/*
 * Network namespaces of the test, which are its hosts, and ip(8) in them. They
 * have no names: the process holds them by descriptors, and they go with it.
 */
#ifndef TESTS_NETNS_H
#define TESTS_NETNS_H

#include "support/support.h"

/* Makes them, and leaves the process in the last one. Returns NULL, or what is
 * missing here for it. */
const char *netns_make(int *namespaces, int count);

/* This thread works there from now on; its sockets stay where they are. */
void netns_enter(int namespace);

/* The same for a while: returns what `netns_leave` takes. */
int netns_visit(int namespace);
void netns_leave(int before);

/* Runs ip(8) there, which must succeed. */
void netns_ip(int namespace, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

/* The same, and gives what it prints, or the beginning of that. */
void netns_ip_output(int namespace, char *output, size_t size, const char *fmt,
	va_list ap) __attribute__((format(printf, 4, 0)));

#endif
