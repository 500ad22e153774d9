/* SPDX-License-Identifier: MIT */
/*
 * The messages between two ferries: pure codecs. A message is the type and the
 * body of one frame of the channel; the body is the fields below in order,
 * little-endian. What a ferry has not written itself is hostile: each length is
 * read once, every field is within its bounds, and text is one line that can be
 * printed. What a parcel and an image hold is checked by their own decoders.
 */
#ifndef HANDOFF_FERRY_MESSAGE_H
#define HANDOFF_FERRY_MESSAGE_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define HANDOFF__LETTER_VERSION 1u

/* Limits of what one message may hold. */
#define HANDOFF__LETTER_ENTRIES    65535u /* of a batch */
#define HANDOFF__LETTER_NAMED      256u   /* entries named in one */
#define HANDOFF__LETTER_WHY        96     /* of a reason, with its end */
#define HANDOFF__LETTER_TEXT       HANDOFF_TEXT_MAX /* of a sentence */
#define HANDOFF__LETTER_HOST       256              /* of a host's name */
#define HANDOFF__LETTER_ADDRESSES  16u              /* of a service */
#define HANDOFF__LETTER_LISTENERS  64u              /* in one BEGIN */
#define HANDOFF__LETTER_WHYS       24u              /* rows of a REPORT */
#define HANDOFF__LETTER_ENTRY_MAX  (16u << 20)      /* of both */
#define HANDOFF__LETTER_REGION_MAX (1u << 20)       /* of the region in one */
#define HANDOFF__LETTER_BODY_MAX   (17u << 20)      /* of any body */

/* Append only: numbers are never used again. An unknown type is a protocol of
 * another version: check the versions in the other ferry's HELLO before sending
 * a new one. */
enum handoff__letter_type {
	HANDOFF__LETTER_HELLO = 1, /* first on each link, from both sides */
	/* A move, from the ferry that sends connections. */
	HANDOFF__LETTER_BEGIN = 2,   /* what is to come */
	HANDOFF__LETTER_BEGUN = 3,   /* go on */
	HANDOFF__LETTER_REFUSED = 4, /* answers BEGIN or FETCH: why not */
	HANDOFF__LETTER_FETCH = 5,   /* asks the other ferry to begin */
	HANDOFF__LETTER_REPORT = 6,  /* how far the move has come, or its end */
	HANDOFF__LETTER_REGION = 7,  /* bytes of the shared region */
	HANDOFF__LETTER_ADDRESS = 8, /* the addresses are yours */
	HANDOFF__LETTER_ADDRESSED = 9, /* this host answers for them, and is
					* announced */
	/* One batch, see sending.h and receiving.h. */
	HANDOFF__LETTER_BATCH = 16, /* its entries follow */
	HANDOFF__LETTER_ENTRY = 17,
	HANDOFF__LETTER_END = 18,      /* that were all */
	HANDOFF__LETTER_PREPARED = 19, /* can be committed, but for those */
	HANDOFF__LETTER_WITHDRAW = 20, /* these stay here */
	HANDOFF__LETTER_COMMIT = 21,
	HANDOFF__LETTER_SERVING = 22,
	HANDOFF__LETTER_FORGET = 23, /* the sender knows that */
	HANDOFF__LETTER_ABORT = 24,  /* from either side */
	HANDOFF__LETTER_QUERY = 25,
	HANDOFF__LETTER_VERDICT = 26,
	HANDOFF__LETTER_LOST = 27, /* answers COMMIT: never heard of it */
	HANDOFF__LETTER_BYE = 32,  /* the sender leaves */
};

/* Bits of HELLO.flags. */
#define HANDOFF__LETTER_HAS_SERVER 0x1u /* one is joined that can serve */
#define HANDOFF__LETTER_AT_HOME    0x2u /* the addresses are on its device */
#define HANDOFF__LETTER_KNOWS      0x4u /* the fields of the service count */
#define HANDOFF__LETTER_STRICT     0x8u /* its configuration must be the same */
#define HANDOFF__LETTER_HOOKED     0x10u /* it steers by a hook */
#define HANDOFF__LETTER_GUEST      0x20u /* the receiver's host is the home */

struct handoff__letter_address {
	uint8_t family; /* 4 or 6 */
	uint8_t prefix;
	uint8_t ip[16]; /* IPv4: the first four, the others 0 */
};

struct handoff__letter_hello {
	uint32_t version_min, version_max;
	uint32_t flags;
	char service[HANDOFF_NAME_MAX]; /* "": not known yet */
	char name[HANDOFF_NAME_MAX];    /* of the ferry */
	char host[HANDOFF__LETTER_HOST];
	unsigned char boot[16]; /* kernel.random.boot_id */
	uint64_t arena;         /* its board's id, 0: none */
	uint64_t config_hash;
	uint32_t state_size, state_version, converts;
	uint32_t layout; /* of the records that it creates */
	uint32_t rx_size, tx_size, pass_size;
	uint32_t shared_size, shared_version; /* of the region; 0: none */
	unsigned char mac[6];                 /* of its device */
	uint32_t naddresses;
	struct handoff__letter_address addresses[HANDOFF__LETTER_ADDRESSES];
	/* Connections to these addresses that are served on this host, while
	 * the addresses are not on it. */
	uint32_t astray;
};

#define HANDOFF__LETTER_V6ONLY    0x1u
#define HANDOFF__LETTER_REUSEPORT 0x2u

struct handoff__letter_listener {
	uint8_t family; /* 4 or 6 */
	uint8_t flags;
	uint16_t port; /* in host order */
	uint32_t backlog;
	uint8_t ip[16];                  /* all 0: any */
	char label[HANDOFF_ADDRESS_MAX]; /* of its record: its address as the
					  * service knows it */
};

#define HANDOFF__LETTER_WHOLE 0x1u /* one batch, or nothing */
#define HANDOFF__LETTER_DRY   0x2u /* only says whether it could be */
#define HANDOFF__LETTER_REST                                                   \
	0x4u /* connections only: the receiver has the                         \
	      * addresses */

struct handoff__letter_begin {
	uint32_t connections; /* about so many */
	uint32_t region;      /* bytes of REGION to come, 0: none */
	uint32_t nlisteners;
	struct handoff__letter_listener listeners[HANDOFF__LETTER_LISTENERS];
};

struct handoff__letter_why {
	char word[48];
	uint32_t count;
};

struct handoff__letter_report {
	uint32_t step; /* the sender's; 0: it has ended */
	uint32_t ok, partial;
	uint32_t total, moved, left, doubt, listeners, batches, again;
	uint32_t took_us, hold_us;
	uint32_t nwhys;
	struct handoff__letter_why whys[HANDOFF__LETTER_WHYS];
};

/* An entry of a batch, and why it was refused. */
struct handoff__letter_named {
	uint32_t index;
	char why[HANDOFF__LETTER_WHY]; /* PREPARED only, "" in WITHDRAW */
};

struct handoff__letter {
	uint32_t type;  /* the frame's */
	uint32_t flags; /* BEGIN, FETCH */
	uint64_t batch; /* all from BATCH to LOST; not 0 */
	/* BATCH: entries, not 0; ENTRY: its index; BEGUN, REGION: 0 */
	uint32_t count, index;
	uint32_t round;  /* PREPARED, WITHDRAW */
	bool committed;  /* VERDICT */
	uint64_t offset; /* REGION */
	/* ENTRY, REGION: within the body, which must stay. */
	const unsigned char *parcel, *image, *bytes;
	uint32_t parcel_len, image_len, len;
	/* REFUSED, REPORT, ABORT, BYE: a sentence, may be "" but in REFUSED. */
	char text[HANDOFF__LETTER_TEXT];
	uint32_t nnamed; /* PREPARED, WITHDRAW (not 0): each index once, in
			  * ascending order */
	union {
		struct handoff__letter_hello hello;
		struct handoff__letter_begin begin;
		struct handoff__letter_report report;
		struct handoff__letter_named named[HANDOFF__LETTER_NAMED];
	};
};

/* Enough for every body but the bytes of parcel, image and region. */
#define HANDOFF__LETTER_FIXED 32768u

/* A body in pieces: `fixed` first, then what the letter points to. */
struct handoff__letter_body {
	unsigned char fixed[HANDOFF__LETTER_FIXED];
	struct iovec pieces[3];
	unsigned count;
	size_t len; /* of all pieces */
};

/* Writes the body, text with "?" for what cannot be printed; its pieces point
 * into `body` and to the letter's bytes. -EBADMSG with a sentence if a field is
 * out of its bounds: then the caller is wrong, or what it carries is too large.
 */
int handoff__letter_encode(const struct handoff__letter *letter,
	struct handoff__letter_body *body, struct handoff__error *error);

/* Reads a body of exactly `len` bytes, which needs no alignment. -EPROTO for an
 * unknown type, -EBADMSG for what is no message of that type; both with a
 * sentence. `letter` is then undefined. */
int handoff__letter_decode(struct handoff__letter *letter, uint32_t type,
	const void *body, size_t len, struct handoff__error *error);

/* "PREPARED", for logs. */
const char *handoff__letter_name(uint32_t type);

#endif
