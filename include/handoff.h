/* SPDX-License-Identifier: MIT */
/*
 * libhandoff: hands live connections from one server process to another.
 * This header includes all others; each can be included alone.
 *
 * All functions return >= 0 or a negative errno unless they say otherwise.
 * None exits, prints, installs a signal handler or keeps thread-local state.
 */
#ifndef HANDOFF_H
#define HANDOFF_H

#include <handoff/client.h>
#include <handoff/common.h>
#include <handoff/control.h>
#include <handoff/daemon.h>
#include <handoff/fdpass.h>
#include <handoff/fifo.h>
#include <handoff/lease.h>
#include <handoff/notice.h>
#include <handoff/outcome.h>
#include <handoff/peer.h>
#include <handoff/server.h>
#include <handoff/service.h>
#include <handoff/session.h>
#include <handoff/transport.h>
#include <handoff/wrap.h>

#endif
