/* SPDX-License-Identifier: MIT */
/* The state of a connection of the service counter.c. */
#ifndef ENGINES_COUNTER_H
#define ENGINES_COUNTER_H

#include <stdint.h>

struct counter {
	uint64_t lines; /* that were answered */
};

#endif
