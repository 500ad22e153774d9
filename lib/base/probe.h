/* SPDX-License-Identifier: MIT */
/*
 * Static probes for tracers (bpftrace, perf, SystemTap, gdb): a nop each and
 * a note in the object file, where sys/sdt.h was there when it was configured;
 * nothing at all otherwise. What they tell is in handoff_observe(7).
 */
#ifndef HANDOFF_BASE_PROBE_H
#define HANDOFF_BASE_PROBE_H

#ifdef HANDOFF_PROBES
#include <sys/sdt.h>

/* Macros of that header leave out the variable part of others, which is no
 * C17, and clang tells those who use them. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif

#define HANDOFF__PROBE2(name, a, b)    DTRACE_PROBE2(handoff, name, a, b)
#define HANDOFF__PROBE3(name, a, b, c) DTRACE_PROBE3(handoff, name, a, b, c)
#define HANDOFF__PROBE4(name, a, b, c, d)                                      \
	DTRACE_PROBE4(handoff, name, a, b, c, d)
#else
#define HANDOFF__PROBE2(name, a, b)       ((void)0)
#define HANDOFF__PROBE3(name, a, b, c)    ((void)0)
#define HANDOFF__PROBE4(name, a, b, c, d) ((void)0)
#endif

#endif
