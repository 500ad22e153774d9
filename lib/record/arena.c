/* SPDX-License-Identifier: MIT */
/*
 * Segments: a header page, the bulletin (used in segment 0 only), then all
 * records (so that a pass over them touches little memory), then their buffers,
 * then the desks, then the commons, in the first segment of this layout. Pages
 * are allocated when first touched. Knows nothing of
 * sockets or peers.
 */
#include "record/arena.h"

#include "base/high.h"
#include "record/older.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAGIC        0x31474553444e4148u /* "HANDSEG1" */
#define PAGE         HANDOFF__SEGMENT_PAGE
#define HEAD         HANDOFF__SEGMENT_HEAD
#define SEALS        (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define BITS         64u
#define WORDS(slots) (((slots) + BITS - 1) / BITS)

/* The first page of a segment. */
struct header {
	uint64_t magic;
	uint32_t layout;
	uint32_t slots;
	uint32_t state_size;
	uint32_t rx_size;
	uint32_t tx_size;
	uint32_t state_version;
	struct handoff__board board;
	/* zero in layout 5 */
	uint32_t pass_size;
	uint32_t posts_size;
	uint32_t shared_size;
	uint32_t fold_size;
};

static uint64_t
round_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) / to * to;
}

static uint32_t
power_of_two(uint32_t v)
{
	uint32_t p = PAGE;

	while (p < v)
		p *= 2;
	return p;
}

/* The commons: a segment without posts has none. */
static bool
commons_fill(struct handoff__geometry *geo)
{
	geo->groups = geo->batches = geo->tenure = 0;
	geo->posts = geo->shared = 0;
	if (geo->posts_size == 0)
		return geo->shared_size == 0;
	geo->groups = geo->size;
	geo->batches =
		geo->groups + (uint64_t)HANDOFF__GROUPS * HANDOFF__GROUP_SIZE;
	geo->tenure = geo->batches + HANDOFF__BATCHES_SIZE;
	geo->posts = geo->tenure + HANDOFF__TENURE_SIZE;
	geo->shared = geo->posts + HANDOFF__POSTS_HEAD + geo->posts_size;
	geo->size = geo->shared;
	if (geo->shared_size > 0)
		geo->size += HANDOFF__SHARED_HEAD + HANDOFF__UNDO_SIZE +
			     round_up(geo->shared_size, PAGE);
	geo->file = geo->size + HANDOFF__BATCHES * HANDOFF__KEEP_SIZE;
	return geo->posts_size == power_of_two(geo->posts_size) &&
	       geo->posts_size <= HANDOFF__SHARED_MAX &&
	       geo->shared_size <= HANDOFF__SHARED_MAX;
}

/* Fills in the derived sizes; -EINVAL if the basic ones are impossible. */
static int
geometry_fill(struct handoff__geometry *geo)
{
	uint32_t head = handoff__layout_head(geo->layout);

	if (head == 0 || geo->slots == 0 || geo->slots > 65536 ||
		geo->state_size > HANDOFF__STATE_MAX ||
		geo->rx_size > HANDOFF__BUFFER_MAX ||
		geo->tx_size > HANDOFF__BUFFER_MAX ||
		geo->rx_size != power_of_two(geo->rx_size) ||
		geo->tx_size != power_of_two(geo->tx_size) ||
		geo->pass_size > HANDOFF__BUFFER_MAX ||
		(geo->pass_size > 0 &&
			geo->pass_size != power_of_two(geo->pass_size)))
		return -EINVAL;
	if (geo->fold_size > PAGE || geo->fold_size > geo->state_size)
		return -EINVAL;
	geo->half = (uint32_t)round_up(
		geo->state_size, geo->fold_size > 0 ? PAGE : 16);
	geo->stride = (uint32_t)round_up(
		head + (geo->fold_size > 0 ? geo->fold_size : 2 * geo->half),
		64);
	geo->buffers =
		HEAD + round_up((uint64_t)geo->slots * geo->stride, PAGE);
	geo->buffer_stride = 2 * (uint64_t)geo->rx_size + geo->tx_size +
			     geo->pass_size +
			     (geo->pass_size > 0 ? HANDOFF__PASS_HEAD : 0) +
			     (geo->fold_size > 0 ? 2 * geo->half : 0);
	geo->desks = geo->buffers + geo->slots * geo->buffer_stride;
	geo->size = geo->desks + HANDOFF__DESKS * geo->buffer_stride;
	geo->file = geo->size;
	return commons_fill(geo) ? 0 : -EINVAL;
}

int
handoff__geometry_make(struct handoff__geometry *geo, uint32_t state_size,
	uint32_t rx_size, uint32_t tx_size)
{
	if (rx_size > HANDOFF__BUFFER_MAX || tx_size > HANDOFF__BUFFER_MAX)
		return -EINVAL;
	memset(geo, 0, sizeof(*geo));
	geo->layout = HANDOFF__LAYOUT;
	geo->slots = HANDOFF__SLOTS;
	geo->state_size = state_size;
	geo->rx_size = power_of_two(rx_size);
	geo->tx_size = power_of_two(tx_size);
	geo->posts_size = HANDOFF__POSTS_SIZE;
	geo->shared_size = HANDOFF__SHARED_MAX;
	return geometry_fill(geo);
}

int
handoff__geometry_extend(struct handoff__geometry *geo, uint32_t pass_size,
	uint32_t posts_size, uint32_t shared_size)
{
	if (pass_size > HANDOFF__BUFFER_MAX || posts_size > HANDOFF__SHARED_MAX)
		return -EINVAL;
	geo->pass_size = pass_size > 0 ? power_of_two(pass_size) : 0;
	if (posts_size > 0)
		geo->posts_size = power_of_two(posts_size);
	if (shared_size > 0)
		geo->shared_size = shared_size;
	return geometry_fill(geo);
}

void
handoff__geometry_fold(struct handoff__geometry *geo)
{
	if (geo->state_size <= HANDOFF__FOLD_FROM)
		return;
	geo->fold_size = HANDOFF__FOLD_SIZE;
	geometry_fill(geo);
}

void
handoff__arena_init(struct handoff__arena *arena)
{
	memset(arena, 0, sizeof(*arena));
}

void
handoff__arena_name(struct handoff__arena *arena, uint32_t self)
{
	arena->self = arena->posts.self = self;
	for (uint32_t i = 0; i < arena->count; i++)
		arena->segments[i]->self = self;
}

static void
segment_free(struct handoff__segment *seg)
{
	if (!seg)
		return;
	if (seg->base)
		munmap(seg->base, seg->geo.size);
	if (seg->fd >= 0)
		close(seg->fd);
	free(seg->maybe_free);
	free(seg);
}

/* Waits for threads that post at this moment: each is done within its patience.
 * In a forked child there are none, whatever the count says. */
static void
end_posts(struct handoff__posts *posts)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	atomic_store(&posts->ring, NULL);
	for (unsigned i = 0;
		i < 2 * HANDOFF__POST_WAIT_MS && atomic_load(&posts->users) > 0;
		i++)
		nanosleep(&ms, NULL);
}

void
handoff__arena_fini(struct handoff__arena *arena)
{
	end_posts(&arena->posts);
	for (uint32_t i = 0; i < arena->count; i++)
		segment_free(arena->segments[i]);
	memset(arena->segments, 0, sizeof(arena->segments));
	arena->count = arena->version = arena->warm = 0;
}

/* Segments with the same buffer sizes share desks, to keep them few and
 * cached. */
static unsigned char *
desks_for(
	const struct handoff__arena *arena, const struct handoff__segment *seg)
{
	for (uint32_t i = 0; i < arena->count; i++) {
		const struct handoff__segment *other = arena->segments[i];

		if (other->geo.rx_size == seg->geo.rx_size &&
			other->geo.tx_size == seg->geo.tx_size &&
			other->geo.pass_size == seg->geo.pass_size &&
			other->geo.buffer_stride == seg->geo.buffer_stride)
			return other->desks;
	}
	return seg->base + seg->geo.desks;
}

/* Finds the ring of posts in the segment that has the commons. */
static void
find_posts(struct handoff__arena *arena, const struct handoff__segment *seg)
{
	struct handoff__posts *posts = &arena->posts;
	uint32_t fits;

	posts->bytes = seg->base + seg->geo.posts + HANDOFF__POSTS_HEAD;
	posts->size = seg->geo.posts_size;
	fits = handoff__posts_batch(posts) - handoff__post_size(0);
	posts->most = seg->geo.tx_size < fits ? seg->geo.tx_size : fits;
	posts->next_id = &handoff__arena_board(arena)->next_id;
	atomic_store(&posts->ring, (void *)(seg->base + seg->geo.posts));
	/* connections of an older library have no box until they come */
	if (seg->index > 0)
		atomic_store(&atomic_load(&posts->ring)->boxless, 1);
}

/* Tells all segments where the commons are. */
static void
share_commons(struct handoff__arena *arena, struct handoff__segment *seg)
{
	seg->posts = &arena->posts;
	seg->commons = handoff__arena_commons(arena);
	seg->ring = atomic_load(&arena->posts.ring);
	if (seg->commons || seg->geo.posts_size == 0)
		return;
	find_posts(arena, seg);
	for (uint32_t i = 0; i < arena->count; i++) {
		arena->segments[i]->commons = seg;
		arena->segments[i]->ring = atomic_load(&arena->posts.ring);
	}
}

/* Pages are locked as they are used: most of a segment never is. */
static int
lock_pages(void *base, uint64_t len)
{
	return syscall(SYS_mlock2, base, (size_t)len, MLOCK_ONFAULT) == 0
		       ? 0
		       : -errno;
}

static int
fail_lock(struct handoff__error *error, int err, uint64_t len)
{
	struct rlimit most = {.rlim_cur = 0};

	getrlimit(RLIMIT_MEMLOCK, &most);
	return handoff__fail(error, err,
		"lock_memory: cannot lock %llu bytes more of shared memory: "
		"%s: raise RLIMIT_MEMLOCK (ulimit -l), which is %llu bytes, or "
		"give the process CAP_IPC_LOCK",
		(unsigned long long)len, strerror(-err),
		(unsigned long long)most.rlim_cur);
}

/* A trial, since a limit counts what other code has locked too. */
int
handoff__arena_may_lock(uint64_t len, struct handoff__error *error)
{
	void *base = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err = base == MAP_FAILED ? -errno : lock_pages(base, len);

	if (base != MAP_FAILED)
		munmap(base, (size_t)len);
	return err < 0 ? fail_lock(error, err, len) : 0;
}

/* Takes `fd` over. The geometry must be valid. */
static int
segment_map(struct handoff__arena *arena, int fd,
	const struct handoff__geometry *geo)
{
	struct handoff__segment *seg = calloc(1, sizeof(*seg));
	void *base;
	int err;

	if (!seg) {
		close(fd);
		return -ENOMEM;
	}
	seg->fd = handoff__high_raise(fd);
	seg->arena = arena;
	seg->index = arena->count;
	seg->self = arena->self;
	seg->geo = *geo;
	seg->maybe_free = calloc(WORDS(geo->slots), 2 * sizeof(uint64_t));
	base = mmap(NULL, geo->size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE, seg->fd, 0);
	if (!seg->maybe_free || base == MAP_FAILED) {
		err = seg->maybe_free ? -errno : -ENOMEM;
		segment_free(seg);
		return err;
	}
	memset(seg->maybe_free, 0xff, WORDS(geo->slots) * sizeof(uint64_t));
	seg->warm = seg->maybe_free + WORDS(geo->slots);
	seg->base = base;
	/* Keeps clients' data out of core dumps; every supported kernel has
	 * it. */
	madvise(base, geo->size, MADV_DONTDUMP);
	err = arena->lock ? lock_pages(base, geo->size) : 0;
	if (err < 0) {
		segment_free(seg);
		return err;
	}
	seg->desks = desks_for(arena, seg);
	arena->segments[arena->count++] = seg;
	seg->bulletin = (void *)(arena->segments[0]->base + PAGE);
	share_commons(arena, seg);
	return 0;
}

static struct header
header_of(const struct handoff__geometry *geo)
{
	struct header head = {
		.magic = MAGIC,
		.layout = geo->layout,
		.slots = geo->slots,
		.state_size = geo->state_size,
		.rx_size = geo->rx_size,
		.tx_size = geo->tx_size,
		.state_version = geo->state_version,
		.pass_size = geo->pass_size,
		.posts_size = geo->posts_size,
		.shared_size = geo->shared_size,
		.fold_size = geo->fold_size,
	};

	atomic_init(&head.board.next_id, 1);
	return head;
}

/* A process may be limited to files that are shorter: batches then have nowhere
 * to keep anything, which only moves to this host need. */
static uint64_t
file_size(const struct handoff__geometry *geo)
{
	struct rlimit most;

	return getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur < geo->file
		       ? geo->size
		       : geo->file;
}

int
handoff__arena_grow(
	struct handoff__arena *arena, const struct handoff__geometry *wanted)
{
	struct handoff__geometry own = *wanted, *geo = &own;
	struct header head;
	int err, fd;

	if (arena->count == HANDOFF__SEGMENTS_MAX)
		return -ENOSPC;
	if (handoff__arena_commons(arena)) {
		geo->posts_size = geo->shared_size = 0;
		geometry_fill(geo);
	}
	head = header_of(geo);
	fd = memfd_create("handoff-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)file_size(geo)) < 0 ||
		fcntl(fd, F_ADD_SEALS, SEALS) < 0 ||
		pwrite(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head)) {
		err = errno ? -errno : -EIO;
		close(fd);
		return err;
	}
	return segment_map(arena, fd, geo);
}

/* Reads and checks the header before mapping anything: if the segment could
 * shrink, the other peer could kill this one with SIGBUS. */
static int
segment_check(int fd, struct handoff__geometry *geo, uint32_t version,
	uint32_t state_size, struct handoff__error *error)
{
	struct header head;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS)
		return handoff__fail(error, -EBADMSG,
			"segment: it is not sealed against shrinking");
	if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
		head.magic != MAGIC || handoff__layout_head(head.layout) == 0)
		return handoff__fail(error, -EBADMSG,
			"segment: not an arena of a layout that is known, the "
			"last of which is %u",
			HANDOFF__LAYOUT);
	memset(geo, 0, sizeof(*geo));
	geo->layout = head.layout;
	geo->slots = head.slots;
	geo->state_size = head.state_size;
	geo->rx_size = head.rx_size;
	geo->tx_size = head.tx_size;
	geo->state_version = head.state_version;
	if (geo->layout == HANDOFF__LAYOUT) {
		geo->pass_size = head.pass_size;
		geo->posts_size = head.posts_size;
		geo->shared_size = head.shared_size;
		geo->fold_size = head.fold_size;
	}
	if (geometry_fill(geo) < 0 || (geo->state_version == version &&
					      geo->state_size != state_size))
		return handoff__fail(error, -EBADMSG,
			"segment: sizes are invalid or not this service's "
			"(state of %u bytes, here %u)",
			head.state_size, state_size);
	if (fstat(fd, &st) < 0 || ((uint64_t)st.st_size != geo->size &&
					  (uint64_t)st.st_size != geo->file))
		return handoff__fail(error, -EBADMSG,
			"segment: %lld bytes where its header says %llu",
			(long long)st.st_size, (unsigned long long)geo->file);
	return 0;
}

int
handoff__arena_add(struct handoff__arena *arena, uint32_t index, int fd,
	uint32_t state_size, struct handoff__error *error)
{
	struct handoff__geometry geo;
	int err;

	if (index != arena->count || index >= HANDOFF__SEGMENTS_MAX)
		err = handoff__fail(error, -EBADMSG,
			"segment: number %u where %u is next", index,
			arena->count);
	else
		err = segment_check(
			fd, &geo, arena->version, state_size, error);
	if (err < 0) {
		close(fd);
		return err;
	}
	err = segment_map(arena, fd, &geo);
	if (err < 0 && arena->lock)
		fail_lock(error, err, geo.size);
	else if (err < 0)
		handoff__fail(error, err, "segment: cannot map it: %s",
			strerror(-err));
	return err;
}

struct handoff__board *
handoff__arena_board(const struct handoff__arena *arena)
{
	return arena->count > 0
		       ? &((struct header *)(void *)arena->segments[0]->base)
				  ->board
		       : NULL;
}

static bool
record_claim(struct handoff__segment *seg, uint32_t slot, uint32_t owner)
{
	struct handoff__record *rec = handoff__segment_record(seg, slot);

	if (!handoff__owner_swap(&rec->owner, 0, owner))
		return false;
	/* The process that freed it has cleared it. No byte of its states is in
	 * use, so their pages stay untouched. */
	memset((unsigned char *)rec + sizeof(rec->owner), 0,
		sizeof(*rec) - sizeof(rec->owner));
	return true;
}

static bool
fits(const struct handoff__segment *seg, const struct handoff__geometry *geo)
{
	return !handoff__older(seg) && seg->geo.state_size == geo->state_size &&
	       seg->geo.state_version == geo->state_version &&
	       seg->geo.rx_size >= geo->rx_size &&
	       seg->geo.tx_size >= geo->tx_size &&
	       seg->geo.pass_size >= geo->pass_size;
}

/* Returns the first record of the segment that can be allocated, of those with
 * a bit in `among`; or -1. */
static int
claim_first(struct handoff__segment *seg, const uint64_t *among, uint32_t owner,
	handoff__vacant_fn *vacant, void *arg)
{
	for (uint32_t w = 0; w < WORDS(seg->geo.slots); w++) {
		uint64_t left;

		while ((left = seg->maybe_free[w] & among[w]) != 0) {
			uint32_t bit = (uint32_t)__builtin_ctzll(left);
			uint32_t slot = w * BITS + bit;

			seg->maybe_free[w] &= ~(UINT64_C(1) << bit);
			if (slot < seg->geo.slots &&
				vacant(arg, seg->index, slot) &&
				record_claim(seg, slot, owner))
				return (int)slot;
		}
	}
	return -1;
}

/* Those first that have kept their pages. */
static int
segment_alloc(struct handoff__segment *seg, uint32_t owner,
	handoff__vacant_fn *vacant, void *arg)
{
	int slot = seg->arena->warm > 0
			   ? claim_first(seg, seg->warm, owner, vacant, arg)
			   : -1;

	return slot >= 0
		       ? slot
		       : claim_first(seg, seg->maybe_free, owner, vacant, arg);
}

/* The other peer may have freed records without notice: before a segment is
 * added, check them all again. */
static void
retry_all(struct handoff__arena *arena)
{
	for (uint32_t i = 0; i < arena->count; i++) {
		struct handoff__segment *seg = arena->segments[i];

		for (uint32_t s = 0; s < seg->geo.slots; s++) {
			if (handoff__owner_word(
				    &handoff__segment_record(seg, s)->owner) ==
				0)
				handoff__arena_vacate(arena, i, s);
		}
	}
}

/* Any record of our version, or one that fits the geometry. */
static int
alloc_in(struct handoff__arena *arena, const struct handoff__geometry *geo,
	uint32_t owner, handoff__vacant_fn *vacant, void *arg,
	uint32_t *segment, uint32_t *slot)
{
	for (uint32_t i = 0; i < arena->count; i++) {
		struct handoff__segment *seg = arena->segments[i];
		int got = -1;

		if (geo ? fits(seg, geo)
			: seg->geo.state_version == arena->version &&
					!handoff__older(seg))
			got = segment_alloc(seg, owner, vacant, arg);
		if (got >= 0) {
			*segment = i;
			*slot = (uint32_t)got;
			return 0;
		}
	}
	return -ENOSPC;
}

static int
alloc_again(struct handoff__arena *arena, const struct handoff__geometry *geo,
	uint32_t owner, handoff__vacant_fn *vacant, void *arg,
	uint32_t *segment, uint32_t *slot)
{
	int err = alloc_in(arena, geo, owner, vacant, arg, segment, slot);

	if (err == 0)
		return 0;
	retry_all(arena);
	err = alloc_in(arena, geo, owner, vacant, arg, segment, slot);
	if (err < 0)
		retry_all(arena);
	return err;
}

int
handoff__arena_alloc(struct handoff__arena *arena, uint32_t owner,
	handoff__vacant_fn *vacant, void *arg, uint32_t *segment,
	uint32_t *slot)
{
	return alloc_again(arena, NULL, owner, vacant, arg, segment, slot);
}

int
handoff__arena_alloc_fit(struct handoff__arena *arena,
	const struct handoff__geometry *geo, uint32_t owner,
	handoff__vacant_fn *vacant, void *arg, uint32_t *segment,
	uint32_t *slot)
{
	return alloc_again(arena, geo, owner, vacant, arg, segment, slot);
}

uint32_t
handoff__arena_count_fit(const struct handoff__arena *arena,
	const struct handoff__geometry *geo, uint32_t most)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < arena->count; i++) {
		const struct handoff__segment *seg = arena->segments[i];

		for (uint32_t s = 0;
			fits(seg, geo) && s < seg->geo.slots && count < most;
			s++)
			count += handoff__owner_word(
					 &handoff__segment_record(seg, s)
						  ->owner) == 0;
	}
	return count;
}

void
handoff__arena_vacate(
	struct handoff__arena *arena, uint32_t segment, uint32_t slot)
{
	arena->segments[segment]->maybe_free[slot / BITS] |= UINT64_C(1)
							     << (slot % BITS);
}
