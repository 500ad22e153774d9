/* SPDX-License-Identifier: MIT */
/* Repair mode of a TCP socket, the queue it works on, and int options. */
#ifndef HANDOFF_MIGRATE_MODE_H
#define HANDOFF_MIGRATE_MODE_H

#include "base/text.h"

#include <stdint.h>

/* Each returns 0 or a negative errno. */
int handoff__migrate_get(int fd, int level, int name, int *value);
int handoff__migrate_set(int fd, int level, int name, int value);

/* 1 if the socket is in repair mode, 0 if not, or a negative errno. */
int handoff__migrate_mode(int fd);

/* Switches repair mode on, or off without a packet. -EPERM without
 * CAP_NET_ADMIN; with a sentence. */
int handoff__migrate_mode_on(int fd, struct handoff__error *error);
int handoff__migrate_mode_off(int fd, struct handoff__error *error);

/* Switches it off with a window probe, which the peer answers. */
int handoff__migrate_mode_off_probing(int fd, struct handoff__error *error);

/* Selects TCP_NO_QUEUE, TCP_RECV_QUEUE or TCP_SEND_QUEUE. */
int handoff__migrate_queue(int fd, int queue);

/* The sequence number behind the last byte of the selected queue. */
int handoff__migrate_get_seq(int fd, uint32_t *seq);
int handoff__migrate_set_seq(int fd, uint32_t seq);

#endif
