/* SPDX-License-Identifier: MIT */
/*
 * Shared by the two parts of the program holders: its connections, whose life
 * is in holders_conn.c, and the figures.
 */
#ifndef BENCH_HOLDERS_H
#define BENCH_HOLDERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define CHUNK   256
#define BEAT_US 10000

struct conn {
	int fd;         /* -1: between two attempts to connect */
	int next, old;  /* while it comes home, else -1 */
	bool connected; /* fd is, and */
	bool next_connected;
	bool lost;   /* it broke, and no answer has come since */
	bool coming; /* home */
	uint32_t key;
	uint64_t sent, echoed; /* bytes of this connection */
	int64_t asked_us;      /* since when an answer is due; 0: none is */
	int64_t due_us;        /* the next beat, or the next attempt */
};

struct figures {
	int64_t start_us, longest_us, back_us, home_us, notice_us;
	unsigned answers, broken, back, home;
};

struct holders {
	struct conn *conns;
	unsigned nconns, nactive;
	unsigned nlost;      /* connections that are */
	unsigned ncoming;    /* home */
	unsigned to_go_home; /* the next one; nconns: none */
	bool beating;
	int epfd;
	int64_t now;
	struct sockaddr_in address;
	struct figures figures;
};

extern struct holders all;

void __attribute__((noreturn)) die(const char *what, const char *why);

int new_socket(const struct conn *c, int flags);
/* Watches one of the sockets of a connection. */
void watch(const struct conn *c, int fd, int op, uint32_t events);
/* Begins to connect what broke, or again. */
void redial(struct conn *c);
void ask(struct conn *c);
void go_home(struct conn *c);
/* What epoll told of the connection's socket `fd`. */
void on_socket(struct conn *c, int fd);

#endif
