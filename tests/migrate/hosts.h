/* SPDX-License-Identifier: MIT */
/*
 * Three hosts as network namespaces of the test: A and B have the same address
 * of a service, the client C sends to one of them or into a hole. They and
 * what is in them go with the process. And connections between them, and how
 * these move.
 */
#ifndef TESTS_MIGRATE_HOSTS_H
#define TESTS_MIGRATE_HOSTS_H

#include "support/support.h"

#include "migrate/migrate.h"

enum host { HOST_A, HOST_B, HOST_C, HOSTS };

/* Where the client's packets to the service go. */
enum route { TO_A, TO_B, TO_HOLE };

/* IPv4, IPv6, IPv4 on a socket that listens on both. */
enum kind { FOUR, SIX, MAPPED, KINDS };

/* Makes the hosts once, or skips the test with the reason. All begins with the
 * route to A, and in the namespace of A. */
void hosts_need(void);

void host_enter(enum host host);
void host_route(enum route route);

/* Runs ip(8) there. */
void host_ip(enum host host, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Links A and B, once: A's device `ab`, and B's, whose address of the link
 * layer this returns. */
const unsigned char *hosts_link(void);

/* Waits until all its addresses can be used: the kernel adds IPv6 addresses a
 * little later than ip(8) says. */
void host_settle(enum host host);

/* Writes a file below /proc/sys/net there. */
void host_set(enum host host, const char *name, const char *value);

/* A counter of TCP of that host, by its name in /proc/net/snmp. */
long host_counter(enum host host, const char *name);

/* No host has sent a reset since hosts_need. */
void hosts_assert_no_resets(void);

struct pair {
	enum kind kind;
	int client, served; /* both non-blocking */
	/* positions of both streams, which the helpers below check */
	uint64_t to_served, from_client; /* sent by the client, got of it */
	uint64_t to_client, from_served;
};

/* A connection of C to a service of A. */
void pair_open(struct pair *p, enum kind kind);
void pair_close(struct pair *p);

/* Sends so much of either stream, and receives exactly so much of it. */
void pair_ask(struct pair *p, size_t len);
void pair_take_asked(struct pair *p, size_t len);
void pair_answer(struct pair *p, size_t len);
void pair_take_answer(struct pair *p, size_t len);

/* Byte number `at` of the answers. */
unsigned char pair_answer_byte(uint64_t at);

/* As much as the other side's and the own buffers take; how much that was. */
size_t pair_answer_full(struct pair *p);

/* Everything that was sent arrives, and `len` bytes each way after it. */
void pair_assert_works(struct pair *p, size_t len);

/* Waits until the served socket has this much unread, or unacknowledged
 * output. */
void pair_await_unread(const struct pair *p, int len);
void pair_await_unacked(const struct pair *p, int len);

/* The peer's FIN shows on that socket. */
void await_end(int fd);

/* Drops what comes to that socket, or lets it pass again. */
void socket_deaf(int fd);
void socket_hears(int fd);

/* The state of TCP by the kernel's number, and an int option. */
int socket_state(int fd);
int socket_option(int fd, int level, int name);

/* Freezes the served socket while nothing reaches it. */
void pair_freeze(struct pair *p, struct handoff__image *image);

/* It goes on where it was, which is A. */
void pair_unfreeze(struct pair *p, struct handoff__image *image);

/* Ends it on the first host, and prepares it from the image's wire format on
 * the other. */
void pair_carry(struct pair *p, const struct handoff__image *image,
	enum host to, struct handoff__restore *restore);

/* Lets it serve there, with the packets; sends what did not fit. */
void pair_land(struct pair *p, const struct handoff__image *image, enum host to,
	struct handoff__restore *restore);

/* Sends output that did not fit; the client may have to make room for it. */
void pair_send_rest(struct pair *p, const unsigned char *rest, size_t len);

/* All of these. */
void pair_move(struct pair *p, enum host to);

#endif
