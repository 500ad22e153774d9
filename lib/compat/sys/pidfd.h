/* SPDX-License-Identifier: MIT */
/*
 * <sys/pidfd.h> for a libc that has none (glibc before 2.36, musl): wrappers of
 * the system calls. On the include path only there.
 */
#ifndef HANDOFF_COMPAT_SYS_PIDFD_H
#define HANDOFF_COMPAT_SYS_PIDFD_H

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int
pidfd_open(pid_t pid, unsigned flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

static inline int
pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, info, flags);
}

#endif
