/* SPDX-License-Identifier: MIT */
/*
 * Confinement by seccomp(2) and capabilities(7). What is not allowed fails, and
 * does not kill: a process that guards frozen connections must not die of a
 * call that its libc makes.
 */
#include "ferry/unfreeze/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__s390x__)
#define ARCH AUDIT_ARCH_S390X
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARCH AUDIT_ARCH_PPC64LE
#elif defined(__powerpc64__)
#define ARCH AUDIT_ARCH_PPC64
#elif defined(__i386__)
#define ARCH AUDIT_ARCH_I386
#elif defined(__arm__)
#define ARCH AUDIT_ARCH_ARM
#endif

/* The lower half of an argument. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOW(n) (offsetof(struct seccomp_data, args) + sizeof(uint64_t) * (n))
#else
#define LOW(n)                                                                 \
	(offsetof(struct seccomp_data, args) + sizeof(uint64_t) * (n) + 4)
#endif

#define LOAD(at)      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define RESULT(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define DENY          RESULT(SECCOMP_RET_ERRNO | EPERM)
#define ALLOW(call)                                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 1),                \
		RESULT(SECCOMP_RET_ALLOW)

/* The call, if its argument `n` is one of two values. */
#define ALLOW_IF(call, n, one, other)                                          \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 5), LOAD(LOW(n)),  \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (one), 1, 0),              \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (other), 0, 1),            \
		RESULT(SECCOMP_RET_ALLOW), DENY

/* The call, if its argument 2 has no PROT_EXEC. */
#define ALLOW_DATA(call)                                                       \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 4), LOAD(LOW(2)),  \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1), DENY,   \
		RESULT(SECCOMP_RET_ALLOW)

#ifdef ARCH
static const struct sock_filter program[] = {
	LOAD(offsetof(struct seccomp_data, arch)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
	DENY,
	LOAD(offsetof(struct seccomp_data, nr)),
#ifdef __x86_64__
	/* x32 */
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
	DENY,
#endif
	/* what comes often first */
	ALLOW(recvmsg),
#ifdef __NR_recvmmsg
	ALLOW(recvmmsg),
#endif
#ifdef __NR_recvmmsg_time64
	ALLOW(recvmmsg_time64),
#endif
	ALLOW(sendto),
	ALLOW(recvfrom),
	ALLOW(sendmsg),
#ifdef __NR_epoll_wait
	ALLOW(epoll_wait),
#endif
	ALLOW(epoll_pwait),
#ifdef __NR_clock_gettime
	ALLOW(clock_gettime),
#endif
#ifdef __NR_clock_gettime64
	ALLOW(clock_gettime64),
#endif
	ALLOW(setsockopt),
	ALLOW(getsockopt),
	ALLOW(close),
	ALLOW(getsockname),
	ALLOW(getpeername),
	ALLOW(shutdown),
	ALLOW(accept4),
/* whether a ferry may connect: handoff__dir_allows */
#ifdef __NR_geteuid32
	ALLOW(geteuid32),
#else
	ALLOW(geteuid),
#endif
	ALLOW(epoll_ctl),
#ifdef __NR_timerfd_settime
	ALLOW(timerfd_settime),
#endif
#ifdef __NR_timerfd_settime64
	ALLOW(timerfd_settime64),
#endif
	ALLOW(read),
	ALLOW(write),
	ALLOW(writev),
#ifdef __NR_poll
	ALLOW(poll),
#endif
#ifdef __NR_ppoll
	ALLOW(ppoll),
#endif
#ifdef __NR_ppoll_time64
	ALLOW(ppoll_time64),
#endif
#ifdef __NR_fcntl
	ALLOW(fcntl),
#endif
#ifdef __NR_fcntl64
	ALLOW(fcntl64),
#endif
	ALLOW(lseek),
#ifdef __NR__llseek
	ALLOW(_llseek),
#endif
/* fstat(3) may be any of these */
#ifdef __NR_fstat
	ALLOW(fstat),
#endif
#ifdef __NR_fstat64
	ALLOW(fstat64),
#endif
#ifdef __NR_newfstatat
	ALLOW_IF(newfstatat, 3, AT_EMPTY_PATH, AT_EMPTY_PATH),
#endif
#ifdef __NR_fstatat64
	ALLOW_IF(fstatat64, 3, AT_EMPTY_PATH, AT_EMPTY_PATH),
#endif
	ALLOW_IF(statx, 2, AT_EMPTY_PATH, AT_EMPTY_PATH | AT_NO_AUTOMOUNT),
	ALLOW_IF(ioctl, 1, SIOCINQ, SIOCOUTQ),
	/* memory */
	ALLOW(brk),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(madvise),
#if defined(__s390x__)
	ALLOW(mmap), /* its arguments are in memory */
#elif defined(__NR_mmap)
	ALLOW_DATA(mmap),
#endif
#ifdef __NR_mmap2
	ALLOW_DATA(mmap2),
#endif
	ALLOW_DATA(mprotect),
#ifdef __NR_futex
	ALLOW(futex),
#endif
	ALLOW(getrandom),
	/* signals of its own, and its end */
	ALLOW(rt_sigreturn),
	ALLOW(rt_sigprocmask),
	ALLOW(sigaltstack),
	ALLOW(getpid),
	ALLOW(gettid),
	ALLOW(restart_syscall),
	ALLOW(exit),
	ALLOW(exit_group),
	DENY,
};
#endif

int
handoff__confine_calls(struct handoff__error *error)
{
#ifdef ARCH
	const struct sock_fprog filter = {
		.len = sizeof(program) / sizeof(*program),
		.filter = (struct sock_filter *)(uintptr_t)program,
	};

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		return handoff__fail(error, -errno,
			"confinement: installing a filter of system calls: %s",
			strerror(errno));
	return 0;
#else
	return handoff__fail(error, -EOPNOTSUPP,
		"confinement: no filter of system calls for this processor");
#endif
}

static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The bounding set needs a capability of its own; no_new_privs and the filter
 * make it meaningless. */
static int
keep_one_capability(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {
		{.effective = 1u << CAP_NET_ADMIN,
			.permitted = 1u << CAP_NET_ADMIN},
	};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int
handoff__confine_process(struct handoff__error *error)
{
	const struct rlimit none = {0, 0};
	int err;

	raise_descriptors();
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return handoff__fail(error, -errno,
			"confinement: no_new_privs: %s", strerror(errno));
	err = keep_one_capability();
	if (err < 0)
		return handoff__fail(error, err,
			"confinement: keeping CAP_NET_ADMIN alone: %s%s",
			strerror(-err),
			err == -EPERM ? ": this process does not have it" : "");
	return 0;
}
