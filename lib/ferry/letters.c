/* SPDX-License-Identifier: MIT */
/*
 * Sends messages to the other ferry, and composes and judges HELLO. What a
 * message means is for those that handle it.
 */
#include "ferry/letters.h"

#include "ferry/carrier.h"
#include "peer/carrier.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool
handoff__letters_send(
	struct handoff__ferry *ferry, const struct handoff__letter *letter)
{
	struct handoff__letter_body body;
	struct handoff__error error;
	int err;

	if (!ferry->channel || !handoff__channel_peer(ferry->channel))
		return false;
	err = handoff__letter_encode(letter, &body, &error);
	if (err == 0)
		err = handoff__channel_send(
			ferry->channel, letter->type, body.pieces, body.count);
	else
		handoff__log(&ferry->log, HANDOFF_LOG_ERROR, "%s: %s",
			handoff__letter_name(letter->type), error.text);
	/* what was not sent would be missed there: both begin anew */
	if (err < 0 && err != -ENOTCONN)
		handoff__channel_drop(
			ferry->channel, "link: a message could not be sent");
	return err == 0;
}

void
handoff__letters_plain(struct handoff__ferry *ferry,
	enum handoff__letter_type type, uint64_t batch)
{
	struct handoff__letter letter = {.type = type, .batch = batch};

	handoff__letters_send(ferry, &letter);
}

void
handoff__letters_text(struct handoff__ferry *ferry,
	enum handoff__letter_type type, uint64_t batch, const char *text)
{
	struct handoff__letter letter = {.type = type, .batch = batch};

	handoff__copy(letter.text, sizeof(letter.text), text);
	handoff__letters_send(ferry, &letter);
}

/* "xxxxxxxx-xxxx-..." to 16 bytes. */
static void
read_boot(unsigned char boot[16])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64] = "", digits[3] = "";
	size_t n = 0, got = 0;
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

	if (fd >= 0)
		close(fd);
	for (ssize_t i = 0; i < len && got < 16; i++) {
		const char *at = strchr("0123456789abcdef", text[i]);

		if (!at || text[i] == '\0')
			continue;
		digits[n++] = text[i];
		if (n < 2)
			continue;
		boot[got++] = (unsigned char)strtoul(digits, NULL, 16);
		n = 0;
	}
}

static uint32_t
flags_of(struct handoff__ferry *ferry)
{
	struct handoff__identity identity;
	uint32_t flags = 0;

	if (handoff__carrier_has_server(ferry))
		flags |= HANDOFF__LETTER_HAS_SERVER;
	if (ferry->site == HANDOFF__FERRY_HERE || ferry->present != 0)
		flags |= HANDOFF__LETTER_AT_HOME;
	if (ferry->guest)
		flags |= HANDOFF__LETTER_GUEST;
	if (handoff__pair_identity(&ferry->pair, &identity))
		flags |= HANDOFF__LETTER_KNOWS;
	return flags;
}

/* What the server here is now, which may be newer than what the records were
 * made for; what is known of the service while there is none. False if that is
 * nothing. */
static bool
identify(const struct handoff__ferry *ferry, struct handoff__identity *identity,
	uint32_t *converts)
{
	const struct handoff__pair *pair = &ferry->pair;
	bool known = handoff__pair_identity(pair, identity);

	*converts = 0;
	if (!known || !handoff__carrier_has_server(ferry))
		return known;
	identity->state_size = pair->other.state_size;
	identity->state_version = pair->other.state_version;
	identity->shared_size = pair->other.shared_size;
	identity->shared_version = pair->other.shared_version;
	identity->config_hash = pair->other.config_hash;
	*converts = pair->other.converts;
	return true;
}

static void
add_service(struct handoff__ferry *ferry, struct handoff__letter_hello *h)
{
	const struct handoff__pair *pair = &ferry->pair;
	struct handoff__identity identity = {.service = ""};

	identify(ferry, &identity, &h->converts);
	handoff__copy(h->service, sizeof(h->service), identity.service);
	h->arena = handoff__core_arena_id(pair);
	h->config_hash = identity.config_hash;
	h->state_size = identity.state_size;
	h->state_version = identity.state_version;
	h->layout = HANDOFF__LAYOUT;
	h->rx_size = identity.input_size;
	h->tx_size = identity.output_size;
	h->pass_size = identity.pass_size;
	h->shared_size = identity.shared_size;
	h->shared_version = identity.shared_version;
}

void
handoff__letters_hello(struct handoff__ferry *ferry, bool always)
{
	struct handoff__letter letter = {.type = HANDOFF__LETTER_HELLO};
	struct handoff__letter_hello *h = &letter.hello;

	h->version_min = h->version_max = HANDOFF__LETTER_VERSION;
	h->flags = flags_of(ferry);
	h->astray = ferry->astray;
	handoff__copy(h->name, sizeof(h->name), ferry->options.name);
	if (gethostname(h->host, sizeof(h->host)) < 0 || h->host[0] == '\0')
		handoff__copy(h->host, sizeof(h->host), ferry->options.name);
	h->host[sizeof(h->host) - 1] = '\0';
	add_service(ferry, h);
	if (!always && h->flags == ferry->told_flags &&
		h->astray == ferry->told_astray &&
		h->state_version == ferry->told_version &&
		h->state_size == ferry->told_size &&
		h->converts == ferry->told_converts)
		return;
	ferry->told_flags = h->flags;
	ferry->told_astray = h->astray;
	ferry->told_version = h->state_version;
	ferry->told_size = h->state_size;
	ferry->told_converts = h->converts;
	read_boot(h->boot);
	memcpy(h->mac, ferry->device.mac, sizeof(h->mac));
	for (uint32_t i = 0; i < ferry->nprefixes; i++) {
		h->addresses[i].family = ferry->prefixes[i].family;
		h->addresses[i].prefix = ferry->prefixes[i].length;
		memcpy(h->addresses[i].ip, ferry->prefixes[i].ip, 16);
	}
	h->naddresses = ferry->nprefixes;
	handoff__letters_send(ferry, &letter);
}

static bool
same_addresses(const struct handoff__ferry *ferry,
	const struct handoff__letter_hello *h)
{
	for (uint32_t i = 0; i < ferry->nprefixes; i++) {
		const struct handoff__prefix *own = &ferry->prefixes[i];
		bool found = false;

		for (uint32_t j = 0; j < h->naddresses; j++)
			found |= own->family == h->addresses[j].family &&
				 memcmp(own->ip, h->addresses[j].ip, 16) == 0;
		if (!found)
			return false;
	}
	return ferry->nprefixes == h->naddresses;
}

int
handoff__letters_judge(
	struct handoff__ferry *ferry, const struct handoff__letter_hello *h)
{
	struct handoff__error *error = &ferry->error;
	struct handoff__identity own;
	uint32_t converts;

	if (h->version_min > HANDOFF__LETTER_VERSION ||
		h->version_max < HANDOFF__LETTER_VERSION)
		return handoff__fail(error, -EPROTO,
			"ferry %s speaks protocol %u to %u, this one %u: use "
			"the same release on both hosts",
			h->name, h->version_min, h->version_max,
			HANDOFF__LETTER_VERSION);
	if (!same_addresses(ferry, h))
		return handoff__fail(error, -EPROTO,
			"ferry %s has other addresses than --address here: "
			"give both the same",
			h->name);
	if (!(h->flags & HANDOFF__LETTER_KNOWS) ||
		!identify(ferry, &own, &converts))
		return 0;
	if (strcmp(own.service, h->service) != 0)
		return handoff__fail(error, -EPROTO,
			"service %s there, %s here", h->service, own.service);
	if (own.shared_size != h->shared_size ||
		own.shared_version != h->shared_version)
		return handoff__fail(error, -EPROTO,
			"service %s: a shared region of %u bytes and version "
			"%u there, of %u and %u here: run the same program on "
			"both hosts",
			own.service, h->shared_size, h->shared_version,
			own.shared_size, own.shared_version);
	return 0;
}

int
handoff__letters_fits(struct handoff__ferry *ferry)
{
	const struct handoff__letter_hello *h = &ferry->other;
	struct handoff__identity own;
	uint32_t converts;

	if (!(h->flags & HANDOFF__LETTER_KNOWS) ||
		!identify(ferry, &own, &converts))
		return 0;
	if (own.state_version == h->state_version
			? own.state_size == h->state_size
			: own.state_version < h->state_version &&
				  h->converts > 0 &&
				  h->converts - 1 <= own.state_version)
		return 0;
	return handoff__fail(&ferry->error, -EPERM,
		"service %s: state of version %u and %u bytes here, and the "
		"program of %.60s has %u and %u and does not convert this one: "
		"run the same program there, or a newer one that does",
		own.service, own.state_version, own.state_size,
		ferry->other_host, h->state_version, h->state_size);
}
