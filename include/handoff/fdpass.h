/* SPDX-License-Identifier: MIT */
/*
 * Passes batches of descriptors with a payload over a Unix socket of type
 * SOCK_SEQPACKET or SOCK_DGRAM (unix(7), SCM_RIGHTS). Usable on its own: it
 * needs nothing else of the library and keeps no state.
 */
#ifndef HANDOFF_FDPASS_H
#define HANDOFF_FDPASS_H

#include <handoff/common.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The kernel's limit for one message (SCM_MAX_FD). */
#define HANDOFF_FDPASS_MAX 253

/* maximum payload of one message in bytes */
#define HANDOFF_FDPASS_PAYLOAD_MAX 32768

/*
 * Sends `nfds` (0 to 253) descriptors and `len` (0 to 32768) bytes of payload
 * as one message. Never blocks, raises no SIGPIPE. The caller keeps the
 * descriptors and may close them at once.
 *
 * Returns 1 when sent; 0 when the socket or the limit on descriptors in flight
 * (EAGAIN, ENOBUFS, ETOOMANYREFS) accepts no more now: nothing was sent, try
 * again when the socket is writable; -EMSGSIZE when this socket's buffer can
 * never hold so much at once: nothing was sent, halve the batch; -EINVAL for
 * bad arguments; -EPROTOTYPE for a SOCK_STREAM socket, which has no message
 * boundaries; otherwise the errno of sendmsg(2), e.g. -EPIPE.
 */
HANDOFF_API int handoff_fdpass_send(
	int sock, const int *fds, size_t nfds, const void *payload, size_t len);

/*
 * Receives one message. On input `*nfds` and `*len` are the sizes of `fds` and
 * `payload`, on success the counts received. The caller owns the received
 * descriptors; they are close-on-exec. Never blocks.
 *
 * Returns 1 for a message, 0 when there is none now. On errors everything that
 * came with the message was closed, `*nfds` and `*len` are unchanged, and the
 * message is gone: -EMFILE when the descriptor table had no room for all
 * (MSG_CTRUNC or fewer than announced), -EBADMSG when it does not start with
 * this library's header or its counts do not match what came, -ENOBUFS when
 * `fds` or `payload` is too small, -ECONNRESET at the end of the connection,
 * -EINVAL, -EPROTOTYPE, or the errno of recvmsg(2).
 */
HANDOFF_API int handoff_fdpass_recv(
	int sock, int *fds, size_t *nfds, void *payload, size_t *len);

#ifdef __cplusplus
}
#endif

#endif
