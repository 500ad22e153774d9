/* SPDX-License-Identifier: MIT */
/*
 * Entries that are data: their descriptor is the memory of their state. It is
 * mapped while the program has the entry. Knows no events.
 */
#include "embed/embed.h"

#include "base/high.h"
#include "record/older.h"

#include <errno.h>
#include <unistd.h>

int
handoff__embed_data_create(size_t capacity)
{
	return handoff__high_raise(handoff__data_create(capacity));
}

int
handoff__embed_data_map(struct handoff_entry *e)
{
	return e->memory.base ? 0 : handoff__data_map(&e->memory, e->entry.fd);
}

void
handoff__embed_data_release(struct handoff_peer *peer)
{
	struct handoff__roster_entry *e = NULL;

	while ((e = handoff__roster_next(&peer->pair.roster, e)))
		handoff__data_unmap(&handoff__public_entry(e)->memory);
}

/* Calls the program, with the old state and memory for the new one. */
static int
convert_bytes(const struct handoff_peer *peer, uint32_t version, uint64_t word,
	const struct handoff__data *old, const struct handoff__data *new,
	size_t *len)
{
	uint64_t old_len = word & ~HANDOFF__DATA_SECOND;
	unsigned which = (word & HANDOFF__DATA_SECOND) != 0;
	int err;

	if (old_len > old->half)
		return -EBADMSG;
	*len = new->half;
	err = peer->convert(version, handoff__data_half(old, which),
		(size_t)old_len, handoff__data_half(new, 0), len,
		peer->convert_arg);
	return err >= 0 && *len > new->half ? -EMSGSIZE : err;
}

int
handoff__embed_data_convert(uint32_t version, const struct handoff__view *from,
	int from_fd, const struct handoff__view *to, int *to_fd, void *arg)
{
	const uint64_t *word = handoff__older_state(
		from, handoff__record_sequence(from->rec) & 1);
	struct handoff__data old = {.base = NULL}, new = {.base = NULL};
	size_t len = 0;
	int err = handoff__data_map(&old, from_fd);
	int fd = err < 0 ? err : handoff__embed_data_create(old.half);

	if (fd >= 0)
		err = handoff__data_map(&new, fd);
	if (fd >= 0 && err >= 0)
		err = convert_bytes(arg, version, *word, &old, &new, &len);
	handoff__data_unmap(&old);
	handoff__data_unmap(&new);
	if (fd < 0)
		return fd;
	if (err < 0) {
		close(fd);
		return err;
	}
	handoff__record_use_state(to, sizeof(*word));
	*(uint64_t *)handoff__record_state(to, 0) = len;
	*to_fd = fd;
	return 0;
}
