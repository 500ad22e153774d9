/* SPDX-License-Identifier: MIT */
/*
 * The pair of peers of a service directory, as one of them sees it: its place,
 * the arena, the roster and the link to the other peer. Peers are equal; each
 * entry has one owner, whose place (1 or 2) stands in the owner word of its
 * record. This layer moves ownership and keeps the standby's copies; it serves
 * nothing.
 *
 * The layers above include this header, status.h and metrics.h, and call what
 * is named handoff__pair_* or handoff__entry_*, besides what the roster has and
 * what is told. Any other function that is named after its file, such as
 * handoff__mirror_pump, is for the files of this layer only.
 *
 * A file calls others further down only.
 *
 *   pair       the handle: opened, started, retired, closed
 *   dispatch   what the link brings, and what follows from it
 *
 * How two peers meet and stay together:
 *
 *   join       a place, the handshake
 *   upkeep     what was made in the service directory stays there
 *   rejoin     a link that broke is dialled again
 *   candidates those that dial this peer
 *   adopt      what a link brings with it, new or renewed
 *   hello      can the two be peers?
 *   places     locks
 *
 * What puts several machines to work:
 *
 *   home       maintenance as people mean it, and what brings service home
 *   moves      what begins a give or a take
 *   beat       what is seen to at each beat
 *   reconcile  what got lost on the way
 *   entry      entries that begin and end here
 *
 * What is told about a peer:
 *
 *   status     at the moment
 *   metrics    the same for a monitor
 *   last       about the last time that connections changed hands
 *
 * The machines, which do not know each other:
 *
 *   mirror     the standby's copies: the side that sends them
 *   copies     and the side that keeps them
 *   give       moving ownership: the steps of the side that gives
 *   quiet      what follows one by one
 *   take       the side that takes
 *   survive    what a dead peer leaves
 *   pulse      whether the other is alive and keeps up
 *   loan       what makes a death quick
 *   death      and what makes it certain
 *
 * What machines stand on:
 *
 *   offer      owner words: offered, revoked
 *   convert    states that an older program left
 *   repair     records whose process died
 *   blame      inputs that kill
 *   fence      a peer that hangs is killed
 *   tally      what the peer has done, counted
 *   report     what is told about one give
 *   away       what the board says of a maintenance
 *   partner    what is known of the other peer
 *   barrier    what a give waits for, counted
 *   core       the structure, a free record, notes
 *
 * The carriers, which know no peer: link, message, roster.
 *
 * What is found in an iteration of the loop, a message that can't be sent, a
 * give that has all its answers, a beat that is due, the end of a process, is
 * only noted there. It is acted upon by handoff__pair_proceed, so that no call
 * from above tears down what it works on, and none from below comes up.
 */
#ifndef HANDOFF_PEER_PAIR_H
#define HANDOFF_PEER_PAIR_H

#include "peer/away.h"
#include "peer/blame.h"
#include "peer/core.h"
#include "peer/dispatch.h"
#include "peer/entry.h"
#include "peer/home.h"
#include "peer/moves.h"
#include "peer/partner.h"
#include "peer/quiet.h"
#include "peer/repair.h"

/* Opens: directory, place, link, handshake. `loop`, `log` and `ops` must
 * outlive the peer. Blocks up to 10 s. The directory stays locked for others
 * that start until handoff__pair_started. */
int handoff__pair_open(struct handoff__pair *pair,
	const struct handoff__pair_config *config, struct handoff__loop *loop,
	const struct handoff__log *log, const struct handoff__pair_ops *ops,
	void *arg);

/* Closes everything. `quiet`: nothing in this process touches what it owned any
 * more; it says BYE, and the other peer takes that at once. */
void handoff__pair_close(struct handoff__pair *pair, bool quiet);

/* This peer becomes the owner of a service that has none: makes the arena. */
int handoff__pair_own(struct handoff__pair *pair, uint64_t generation);

/* Others may start now, and the other peer, if any, is told READY. */
void handoff__pair_started(struct handoff__pair *pair);

/* This peer is about to stop: the other gives it nothing any more, and what is
 * removed from the service directory stays removed. */
void handoff__pair_leave(struct handoff__pair *pair);

/* The orderly end, before the handle is closed: nothing is taken any more. What
 * is still owned passes to the other peer when the handle is closed (BYE) or
 * the process is gone. */
void handoff__pair_retire(struct handoff__pair *pair);

/* Tells the other peer that there is something new in the bulletin. */
void handoff__pair_say(struct handoff__pair *pair);

/* In a child of this process: closes all descriptors of the peer but that of
 * `keep`. The other peer must not take the child for this process. */
void handoff__pair_forked(
	struct handoff__pair *pair, const struct handoff__roster_entry *keep);

#endif
