/* SPDX-License-Identifier: MIT */
/*
 * The sentences that answer whether a peer may be stopped: all that there are,
 * in one list, which the program prints from and a test of docs/operating.md
 * reads. Words in braces are filled in; the grade is that of `status --check`,
 * which adds the last three to another one.
 */
#ifndef HANDOFF_CONTROL_SENTENCES_H
#define HANDOFF_CONTROL_SENTENCES_H

/* clang-format off */
#define HANDOFF__SENTENCES(X)                                                  \
	X(SILENT, CRITICAL,                                                    \
	  "whether anything is served is not known: {peer} does not answer")   \
	X(SILENT_BOTH, CRITICAL,                                               \
	  "whether anything is served is not known: neither {peer} nor "       \
	  "{other} answers")                                                   \
	X(SILENT_OWNER, CRITICAL,                                              \
	  "whether anything is served is not known: {other} does not answer, " \
	  "and {peer} stands by")                                              \
	X(SILENT_STANDBY, WARNING,                                             \
	  "{peer} must not be stopped: {other} does not answer")               \
	X(UNOWNED, CRITICAL,                                                   \
	  "nothing is served: {peer} stands by, and no peer owns the "         \
	  "service: start a server that listens")                              \
	X(UNOWNED_BOTH, CRITICAL,                                              \
	  "nothing is served at this moment: neither {peer} nor {other} owns " \
	  "the service; ask again")                                            \
	X(IN_DOUBT, CRITICAL,                                                  \
	  "{peer} must not be stopped: {connections} in doubt wait until the " \
	  "other host answers")                                                \
	X(LEFT_IN_DOUBT, CRITICAL,                                             \
	  "{peer} must not be stopped: it has the only descriptors of "        \
	  "{connections} in doubt: start the ferry again")                     \
	X(HELD, CRITICAL,                                                      \
	  "{peer} must not be stopped: it is a ferry and holds {connections} " \
	  "that nobody serves: start a server")                                \
	X(FERRY_ALONE, CRITICAL,                                               \
	  "nothing is served: {peer} is a ferry and has the service, and no "  \
	  "server is ready: start one")                                        \
	X(ELSEWHERE, OK,                                                       \
	  "nothing is served here: the service is on {host}")                  \
	X(NO_LEASE, OK,                                                        \
	  "{peer} may be stopped: this host does not have the lease of the "   \
	  "service, and serves nothing")                                       \
	X(FROZEN, CRITICAL,                                                    \
	  "{peer} must not be stopped: everything stands still until its "     \
	  "lease is confirmed")                                                \
	X(HOSTED, CRITICAL,                                                    \
	  "nothing is served here: the service is on another host, and its "   \
	  "ferry has ended: start the ferry again")                            \
	X(ALONE_IDLE, WARNING,                                                 \
	  "{peer} may be stopped: it serves no connection; but no other peer " \
	  "is there, and nothing listens afterwards")                          \
	X(ALONE_AWAY, WARNING,                                                 \
	  "{peer} must not be stopped: it serves {connections} alone, in "     \
	  "place of {home}: start {home} again")                               \
	X(ALONE, WARNING,                                                      \
	  "{peer} must not be stopped: it serves {connections} alone: start "  \
	  "a standby first")                                   \
	X(HUNG, WARNING,                                                       \
	  "{peer} must not be stopped: {other} hangs")                         \
	X(APART, WARNING,                                                      \
	  "{peer} must not be stopped: the link to {other} is broken, and is " \
	  "made again")                                                        \
	X(UNJOINED, WARNING,                                                   \
	  "{peer} must not be stopped yet: {other} has not joined")            \
	X(LOADING, WARNING,                                                    \
	  "{peer} must not be stopped yet: {other} is not ready to serve: "    \
	  "{why}")                                                             \
	X(SPLIT, WARNING,                                                      \
	  "{other} should not be stopped yet: it still serves {rest}, and "    \
	  "{peer} {connections}")                                              \
	X(UNCOVERED, WARNING,                                                  \
	  "{peer} must not be stopped yet: {other} has no copy of {entries}")  \
	X(LAGGING, WARNING,                                                    \
	  "{peer} must not be stopped yet: {other} falls behind with its "     \
	  "copies")                                                            \
	X(FERRY, OK,                                                           \
	  "{peer} must not be stopped: {other} is a ferry, which has copies "  \
	  "of {connections} and serves nothing: move the service first, by "   \
	  "maintenance --to")                                                  \
	X(AWAY, OK,                                                            \
	  "{other} may be stopped: {peer} serves {all} and nothing is "        \
	  "uncovered")                                                         \
	X(COVERED, OK,                                                         \
	  "{other} may be stopped: {peer} serves {all} and nothing is "        \
	  "uncovered; so may {peer}, which hands over to {other} first")       \
	X(GONE, WARNING,                                                       \
	  "maintenance under way: {host} serves in place of this host")        \
	X(SUSPECTED, WARNING,                                                  \
	  "{peer} suspects {suspects} of having killed a process")             \
	X(UNLINKED, WARNING,                                                   \
	  "{peer} has no link to the ferry of the other host")
/* clang-format on */

#endif
