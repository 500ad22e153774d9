/* SPDX-License-Identifier: MIT */
/*
 * The kernel features that a service needs to survive the death of its owner. A
 * container runtime, an emulated or old kernel, or a system call filter may
 * lack some of them: it is better to report that at the start than to discover
 * it at the first crash.
 */
#ifndef HANDOFF_BASE_KERNEL_H
#define HANDOFF_BASE_KERNEL_H

#include <stdint.h>

enum handoff__lack {
	HANDOFF__LACKS_COUNTERS, /* TCP_INFO with bytes_acked and bytes_received
				  */
	HANDOFF__LACKS_PIDFD,    /* a pollable pidfd */
	HANDOFF__LACKS_MEMFD,    /* a sealable memfd */
	HANDOFF__LACKS_RIGHTS,   /* SCM_RIGHTS */
	HANDOFF__LACKS,          /* number of features */
};

/* Probes each feature on descriptors of its own: about a dozen system calls, no
 * network traffic. Returns a bit (1 << lack) for each missing feature; a
 * feature that could not be probed for lack of descriptors or memory counts as
 * present. */
uint32_t handoff__kernel_lacks(void);

/* The feature in one word, and a sentence that says what its absence costs. */
const char *handoff__lack_word(enum handoff__lack lack);
const char *handoff__lack_text(enum handoff__lack lack);

#endif
