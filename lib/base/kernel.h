/* SPDX-License-Identifier: MIT */
/*
 * What the kernel must have so that a service survives the death of its
 * owner. A container's, an emulated or an old kernel may lack some of it, and
 * a system call filter may keep it away: better known at the start than found
 * at the first crash.
 */
#ifndef HANDOFF_BASE_KERNEL_H
#define HANDOFF_BASE_KERNEL_H

#include <stdint.h>

enum handoff__lack {
	HANDOFF__LACKS_COUNTERS, /* TCP_INFO with bytes acked and received */
	HANDOFF__LACKS_PIDFD,    /* that can be waited for */
	HANDOFF__LACKS_MEMFD,    /* that can be sealed */
	HANDOFF__LACKS_RIGHTS,   /* SCM_RIGHTS */
	HANDOFF__LACKS,          /* how many there are */
};

/* Tries each, on descriptors of its own: some dozen system calls, nothing on
 * any network. A bit (1 << lack) for each that is missing; what could not be
 * tried for want of descriptors or memory is not. */
uint32_t handoff__kernel_lacks(void);

/* In one word, and as a sentence of what is not promised for lack of it. */
const char *handoff__lack_word(enum handoff__lack lack);
const char *handoff__lack_text(enum handoff__lack lack);

#endif
