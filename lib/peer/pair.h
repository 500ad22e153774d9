/* SPDX-License-Identifier: MIT */
/*
 * The pair of peers of a service directory, as seen by one of them: its place,
 * the arena, the roster and the link to the other peer. Peers are equal; each
 * entry has one owner, whose place (1 or 2) is in the owner word of its record.
 * This layer moves ownership and maintains the standby's copies; it serves no
 * connections.
 *
 * The layers above include this header; status.h, metrics.h, report.h, idle.h
 * and doubt.h for texts about a peer; roster.h and tally.h where they need only
 * those. They call functions named handoff__pair_*, handoff__entry_*,
 * handoff__status_*, handoff__metrics*, handoff__report_* and
 * handoff__roster_*, and handoff__reason_text. Any other function of this
 * folder, such as handoff__mirror_pump, is for its own files only.
 *
 * This folder has no public header: the public peer of handoff/peer.h,
 * handoff_peer_*, is implemented in lib/embed on top of it.
 *
 * A file calls only files listed below it.
 *
 *   pair       the handle: opened, started, retired, closed
 *   dispatch   routes messages, and acts on what was noted
 *
 * How two peers meet and stay together:
 *
 *   join       takes a place, and the handshake
 *   upkeep     keeps this peer's files in the service directory
 *   rejoin     redials a broken link
 *   candidates processes that dial this peer
 *   adopt      adopts a link, new or renewed
 *   hello      decides whether the two can be peers
 *   places     locks
 *
 * Operations that need several state machines:
 *
 *   home       maintenance as an operator sees it
 *   moves      begins a give or a take
 *   beat       the work at each beat
 *   elsewhere  entries of a carrier that leave the host, or come to it
 *   receive    new ones, from the parcels of another host
 *   room       records for those that come
 *   reconcile  recovers from lost messages
 *   entry      entries that begin and end here
 *
 * Reports on a peer:
 *
 *   metrics    its counters, for a monitor
 *   status     its current state
 *   last       the last handoff or failover
 *   doubt      what a dead carrier has left undecided
 *   idle       whether the owner serves, by the lease
 *
 * The state machines, which do not know each other:
 *
 *   mirror     the standby's copies: the side that sends them
 *   copies     the side that keeps them
 *   give       moving ownership: the steps of the giver
 *   quiet      entries that follow one by one
 *   take       the taker
 *   survive    takes over from a dead peer
 *   loading    whether the peers are ready to serve
 *   pulse      whether the other peer is alive and keeps up
 *   loan       lends epoll sets, so that a process ends faster
 *   death      detects the other process's end
 *
 * What the state machines stand on:
 *
 *   offer      owner words: offered, revoked
 *   guard      keeps the lease of this host
 *   stand      lets everything stand still when that ends
 *   convert    converts records of an older program or library
 *   repair     records whose process died
 *   unfinished sockets that a ferry has left incomplete
 *   blame      inputs that kill
 *   fence      kills a hanging peer
 *   tally      counts what the peer has done
 *   report     the report of one give
 *   away       the maintenance state on the board
 *   companions entries that move together
 *   partner    what is known of the other peer
 *   carrier    what a carrier knows of its service
 *   barrier    counts what a give waits for
 *   core       the structure, a free record, notes
 *
 * What knows no peer:
 *
 *   link       the socket between the two, with descriptors
 *   message    what a message on it means, and the words for reasons
 *   roster     the table of entries
 *
 * Findings of an iteration of the loop (a message cannot be sent, a give has
 * all its answers, a beat is due, a process has ended) are only noted.
 * handoff__pair_proceed acts on them after the iteration, so that no call from
 * above tears down what it works on, and no call from below re-enters the
 * layers above.
 */
#ifndef HANDOFF_PEER_PAIR_H
#define HANDOFF_PEER_PAIR_H

#include "peer/away.h"
#include "peer/blame.h"
#include "peer/carrier.h"
#include "peer/companions.h"
#include "peer/core.h"
#include "peer/dispatch.h"
#include "peer/elsewhere.h"
#include "peer/entry.h"
#include "peer/guard.h"
#include "peer/home.h"
#include "peer/loading.h"
#include "peer/moves.h"
#include "peer/partner.h"
#include "peer/quiet.h"
#include "peer/receive.h"
#include "peer/repair.h"
#include "peer/room.h"
#include "peer/unfinished.h"

/* Opens the peer: directory, place, link, handshake. `loop`, `log` and `ops`
 * must outlive it. Blocks up to 10 s; a carrier hardly waits: -EBUSY if there
 * is no place or another peer starts, -EAGAIN if one stops. The directory stays
 * locked against other starting peers until handoff__pair_started. */
int handoff__pair_open(struct handoff__pair *pair,
	const struct handoff__pair_config *config, struct handoff__loop *loop,
	const struct handoff__log *log, const struct handoff__pair_ops *ops,
	void *arg);

/* Closes everything. `quiet`: nothing in this process touches its entries any
 * more; it sends BYE, and the other peer takes them over at once. */
void handoff__pair_close(struct handoff__pair *pair, bool quiet);

/* Makes this peer the owner of a service that has none, and creates the
 * arena. */
int handoff__pair_own(struct handoff__pair *pair, uint64_t generation);

/* Lets other peers start, and sends READY to the other peer, if there is
 * one. */
void handoff__pair_started(struct handoff__pair *pair);

/* This peer is about to stop: the other peer gives it nothing more, and files
 * removed from the service directory are not recreated. */
void handoff__pair_leave(struct handoff__pair *pair);

/* The orderly end before the handle is closed: nothing is taken over any more.
 * Entries that are still owned pass to the other peer when the handle is closed
 * (BYE) or the process ends. */
void handoff__pair_retire(struct handoff__pair *pair);

/* Notifies the other peer of new posts. */
void handoff__pair_say(struct handoff__pair *pair);

/* Before a fork: no descriptor is being closed by a thread, of which the child
 * would keep a copy. */
void handoff__pair_forking(struct handoff__pair *pair);

/* In a child of this process: closes all descriptors of the peer except those
 * of `keep` and `other`, which may be NULL. The other peer must not mistake the
 * child for this process. */
void handoff__pair_forked(struct handoff__pair *pair,
	const struct handoff__roster_entry *keep,
	const struct handoff__roster_entry *other);

/* In a child of this process: closes all descriptors of the peer and frees its
 * memory, without effect on the parent or the other peer. */
void handoff__pair_abandon(struct handoff__pair *pair);

#endif
