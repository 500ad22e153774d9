/* SPDX-License-Identifier: MIT */
/*
 * Static probes for tracers (bpftrace, perf, SystemTap, gdb): each is a nop and
 * a note in the object file if sys/sdt.h was found at configure time, and
 * compiles to nothing otherwise. handoff_observe(7) documents them.
 */
#ifndef HANDOFF_BASE_PROBE_H
#define HANDOFF_BASE_PROBE_H

#ifdef HANDOFF_PROBES
#include <sys/sdt.h>

/* The header's macros omit variadic arguments, which is not C17; clang warns at
 * each use. */
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
