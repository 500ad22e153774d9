/* SPDX-License-Identifier: MIT */
/*
 * Three hosts as network namespaces of the test, on one bridge, with neighbours
 * that ask each other: A has 10.77.0.1 and fd77::1, B .2 and ::2, C .3 and ::3,
 * each on its device e0. They go with the process.
 */
#ifndef TESTS_FERRY_LAN_H
#define TESTS_FERRY_LAN_H

#include "support/support.h"

#include "ferry/address.h"

#include <stdbool.h>

enum lan { LAN_A, LAN_B, LAN_C, LAN_BRIDGE, LANS };

/* Makes the hosts once, or skips the test with the reason. The test begins in
 * A; no host has more addresses than those above. */
void lan_need(void);

/* This process works there from now on; its sockets stay where they are. */
void lan_enter(enum lan host);

/* Runs ip(8) there. */
void lan_ip(enum lan host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Whether what ip(8) prints there has the words. */
bool lan_shows(enum lan host, const char *words, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The device e0 of the host that this process is in. */
struct handoff__device lan_device(void);

struct handoff__prefix lan_prefix(const char *text);

#endif
