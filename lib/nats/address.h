/* SPDX-License-Identifier: MIT */
/* Addresses of the component, and the files with secrets that they name. */
#ifndef HANDOFF_NATS_ADDRESS_H
#define HANDOFF_NATS_ADDRESS_H

#include "base/text.h"

#define HANDOFF__NATS_SERVERS_MAX 8
#define HANDOFF__NATS_STREAM_MAX  32
#define HANDOFF__NATS_SECRET_MAX  512
#define HANDOFF__NATS_SUBJECT_MAX 80

/* The stream of all services, and what its subjects begin with. */
#define HANDOFF__NATS_STATE "handoff.state."
#define HANDOFF__NATS_LIVE  "handoff.live."

struct handoff__nats_address {
	bool tls;
	char *text;        /* where the pieces lie */
	const char *hosts; /* "h1:4222,h2:4222", for people */
	char *servers[HANDOFF__NATS_SERVERS_MAX]; /* "nats://h1:4222" */
	size_t nservers;
	char service[HANDOFF_NAME_MAX];
	/* files, absolute paths; NULL: none */
	char *login, *creds, *ca, *cert, *key;
	char stream[HANDOFF__NATS_STREAM_MAX];
	unsigned replicas; /* of a stream that is created */
	/* subjects */
	char state[HANDOFF__NATS_SUBJECT_MAX], live[HANDOFF__NATS_SUBJECT_MAX];
};

/* A user and a password, or a token and NULL, in `text`. */
struct handoff__nats_login {
	char text[HANDOFF__NATS_SECRET_MAX];
	const char *user, *password;
};

/* Parses what follows the colon: "//h1:4222[,h2]/SERVICE[?NAME=VALUE...]".
 * -EINVAL, -ENOMEM or an error of open(2) with a sentence: a file that is named
 * cannot be read, or a secret can be read by others. */
int handoff__nats_address_parse(struct handoff__nats_address *address,
	const char *rest, bool tls, struct handoff__error *error);

/* Also of one that is all zero. */
void handoff__nats_address_free(struct handoff__nats_address *address);

/* Reads the file `login`, at each connect, since it may have changed. */
int handoff__nats_login_read(struct handoff__nats_login *login,
	const char *path, struct handoff__error *error);

#endif
