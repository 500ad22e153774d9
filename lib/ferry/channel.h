/* SPDX-License-Identifier: MIT */
/*
 * The connection to the other ferry: listens or dials, dials again, makes sure
 * by TLS which ferry that is, sends beats, and carries frames both ways in
 * order. It never blocks (a host name to dial is resolved by a thread, anew
 * each time; one to listen on once, in _open) and raises no SIGPIPE. It does
 * not know what is in a frame.
 *
 * On the wire, inside TLS: u32 length of the body, u32 type, body; little
 * endian. The types from HANDOFF__CHANNEL_OWN up are the channel's: GREETING is
 * the first frame of each side {u32 magic, u32 version, u64 instance}, BEAT is
 * sent after `beat_ms` without a frame, REFUSED {sentence} comes instead of a
 * GREETING. The link is up when the GREETING of the other side came: so a
 * dialler is never up with a listener that refuses its certificate.
 *
 * There is one link at a time. The dialler has one connection at a time. A
 * listener that has a link and gets a second connection of a pinned peer
 *   - takes it if it is the same instance (a dialler dials again only when it
 *     has given up the connection before): down, then up;
 *   - refuses it otherwise, unless the first is dead: nothing came for
 *     silent_ms, which ends the first by itself. A restarted ferry is let in
 *     at once if its predecessor's connection was closed by its kernel, and
 *     after silent_ms if its host died. The refused one dials again.
 * Clients without a pinned certificate cost little: at most `handshakes` at a
 * time, each at most handshake_ms; one more ends the oldest of them.
 */
#ifndef HANDOFF_FERRY_CHANNEL_H
#define HANDOFF_FERRY_CHANNEL_H

#include "base/loop.h"
#include "base/text.h"
#include "ferry/tls.h"

#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* types of the owner's frames are below this */
#define HANDOFF__CHANNEL_OWN 0xffffff00u

/* The default of frame_max: queues of 16 MiB and 1 MiB for the rest. */
#define HANDOFF__FRAME_MAX (17u << 20)

struct handoff__channel;

/* The other ferry; valid while the link is up. */
struct handoff__channel_peer {
	uint64_t instance; /* its process */
	char fingerprint[HANDOFF__FINGERPRINT];
	char address[HANDOFF_ADDRESS_MAX]; /* its address and port */
	char own[HANDOFF_ADDRESS_MAX];     /* those of this side */
	/* The same as `own`. The owner refuses the link (_drop) if this is an
	 * address of the service, which would move away under the link: see
	 * handoff__prefix_holds. */
	struct sockaddr_storage local;
};

/* Each may send, drop and ask, but not free the channel. Absent ones are not
 * called. */
struct handoff__channel_ops {
	void (*up)(const struct handoff__channel_peer *peer, void *arg);
	/* It was up. What was not sent yet is gone, and what came in full was
	 * given out before. */
	void (*down)(const char *sentence, void *arg);
	/* `body` is valid during the call and has no alignment. */
	void (*frame)(uint32_t type, const void *body, uint32_t len, void *arg);
	/* The queue had been full and has half of its room again. */
	void (*drained)(void *arg);
	/* It could not be brought up: another sentence than the last one.
	 * Logged as well. */
	void (*trouble)(const char *sentence, void *arg);
};

struct handoff__channel_opts {
	struct handoff__loop *loop;     /* outlives the channel */
	const struct handoff__tls *tls; /* outlives the channel */
	const char *listen, *to;        /* one of them (base/addr.h) */
	uint64_t instance;              /* 0: a random one */
	/* 0 means the default */
	uint32_t beat_ms;         /* 1000 */
	uint32_t silent_ms;       /* 3000, at least twice beat_ms */
	uint32_t handshake_ms;    /* 5000: connect, handshake and GREETING */
	uint32_t handshakes;      /* 8 */
	uint32_t redial_first_ms; /* 150, then twice as long each time, */
	uint32_t redial_max_ms;   /* 2000 */
	uint32_t frame_max;       /* bytes of a body; HANDOFF__FRAME_MAX */
	size_t queue_limit;       /* bytes; 4 MiB */
	struct handoff__log log;
	const struct handoff__channel_ops *ops;
	void *arg;
};

/* Listens, or dials from the next turn of the loop on; no callback is called
 * from it. -errno with a sentence. */
int handoff__channel_open(struct handoff__channel **out,
	const struct handoff__channel_opts *opts, struct handoff__error *error);

/* Sends what the socket takes at once, ends the session and closes. `down` is
 * not called. NULL is fine. */
void handoff__channel_free(struct handoff__channel *channel);

/* The peer, or NULL if the link is down. */
const struct handoff__channel_peer *handoff__channel_peer(
	const struct handoff__channel *channel);

/* The last sentence of down or trouble; if there was none, what is waited for;
 * "" while the link is up. */
const char *handoff__channel_errmsg(const struct handoff__channel *channel);

/* Where it listens, with the port that the kernel chose; "" for a dialler. */
const char *handoff__channel_bound(const struct handoff__channel *channel);

/* Queues one frame whose body is the pieces in a row (copied). The frames of
 * one turn of the loop leave together in full records. 0; -ENOTCONN if the link
 * is down; -EMSGSIZE beyond frame_max; -ENOMEM; -ENOBUFS if the queue would
 * have more than queue_limit + 2 * frame_max. It takes frames beyond
 * queue_limit, so that short ones need no second way: an owner that sends much
 * asks _full first. */
int handoff__channel_send(struct handoff__channel *channel, uint32_t type,
	const struct iovec *pieces, unsigned count);

/* Sends now what the socket takes, instead of after this turn: for a frame that
 * the other side waits for while this one computes on. */
void handoff__channel_flush(struct handoff__channel *channel);

/* Whether the queue has queue_limit bytes or more: stop; `drained` is called
 * only after an answer of true. */
bool handoff__channel_full(struct handoff__channel *channel);

/* Bytes that are queued and not yet in the kernel's hands. */
size_t handoff__channel_queued(const struct handoff__channel *channel);

/* Ends the link for a reason of the owner, tells it to the other side if that
 * is possible, and calls `down` with the sentence before it returns. A dialler
 * dials again after redial_max_ms. Nothing if the link is down. */
void handoff__channel_drop(
	struct handoff__channel *channel, const char *sentence);

#endif
