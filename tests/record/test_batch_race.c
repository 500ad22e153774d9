/* SPDX-License-Identifier: MIT */
/*
 * Several processes and one table of batches: exactly one of all commits and
 * aborts decides, whichever instruction the others are at, and a reader never
 * sees half of a batch.
 */
#include "record/batches.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* Two that decide, and one that reads all the time. */
struct race {
	struct handoff__batches *batches;
	uint64_t id;
	enum handoff__batch_state abort;
	pthread_barrier_t barrier;
	_Atomic bool over;
	unsigned seen;
	bool torn;
};

static void *
run_aborts(void *arg)
{
	struct race *r = arg;

	for (;;) {
		pthread_barrier_wait(&r->barrier);
		if (atomic_load(&r->over))
			return NULL;
		r->abort = handoff__batch_abort(r->batches, 0, r->id);
		pthread_barrier_wait(&r->barrier);
	}
}

static void *
run_reads(void *arg)
{
	struct race *r = arg;
	struct handoff__batch b;

	while (!atomic_load(&r->over)) {
		if (!handoff__batch_read(r->batches, 0, &b))
			continue;
		r->seen++;
		r->torn |= !is_whole(&b);
	}
	return NULL;
}

static void
one_of_all_decides_and_no_reader_sees_half(void **state)
{
	struct race r = {.id = 0};
	unsigned commits = 0, rounds = 3000;
	pthread_t aborts, reads;
	struct table t;

	(void)state;
	open_table(&t);
	r.batches = t.batches;
	assert_int_equal(pthread_barrier_init(&r.barrier, NULL, 2), 0);
	assert_int_equal(pthread_create(&aborts, NULL, run_aborts, &r), 0);
	assert_int_equal(pthread_create(&reads, NULL, run_reads, &r), 0);
	for (r.id = 1; r.id <= rounds; r.id++) {
		enum handoff__batch_state commit;

		assert_int_equal(open_batch(t.batches, OUT, r.id), 0);
		pthread_barrier_wait(&r.barrier);
		commit = handoff__batch_commit(t.batches, 0, r.id);
		pthread_barrier_wait(&r.barrier);
		assert_int_equal(commit, r.abort);
		assert_batch(t.batches, 0, r.id, OUT, commit);
		commits += commit == HANDOFF__BATCH_COMMITTED;
		assert_true(handoff__batch_free(t.batches, 0, r.id));
	}
	atomic_store(&r.over, true);
	pthread_barrier_wait(&r.barrier);
	assert_int_equal(pthread_join(aborts, NULL), 0);
	assert_int_equal(pthread_join(reads, NULL), 0);
	assert_false(r.torn);
	assert_true(commits > 0);
	pthread_barrier_destroy(&r.barrier);
	close_table(&t);
}

/* A child of a sanitizer has too many instructions to be stopped at each. */
static void
not_in_a_sanitizer(void)
{
#ifdef __SANITIZE_ADDRESS__
	print_message("SKIP: AddressSanitizer adds too many instructions\n");
	skip();
#endif
}

/* A child that is stopped after `steps` instructions of `run`, or has ended:
 * then its status is in `*status`, and the answer false. */
static bool
stop_after(struct table *t, int (*run)(struct table *t), unsigned steps,
	pid_t *pid, int *status)
{
	*pid = fork();
	assert_true(*pid >= 0);
	if (*pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(99);
		raise(SIGSTOP);
		_exit(run(t));
	}
	for (;; steps--) {
		assert_int_equal(waitpid(*pid, status, 0), *pid);
		if (!WIFSTOPPED(*status) || steps == 0)
			break;
		assert_int_equal(
			ptrace(PTRACE_SINGLESTEP, *pid, NULL, NULL), 0);
	}
	if (WIFEXITED(*status) && WEXITSTATUS(*status) == 99)
		skip();
	return WIFSTOPPED(*status);
}

static int
go_on(pid_t pid)
{
	int status;

	assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
commit_it(struct table *t)
{
	return (int)handoff__batch_commit(t->batches, 0, 5);
}

/* The helper process aborts at any instruction of the commit: both learn the
 * same. */
static void
abort_at_any_instruction_of_a_commit(void **state)
{
	unsigned steps = 0, aborted = 0, committed = 0;
	bool more = true;

	(void)state;
	support_not_in_valgrind();
	support_not_emulated("it has no ptrace(2)");
	not_in_a_sanitizer();
	for (; more; steps++) {
		enum handoff__batch_state is;
		struct table t;
		int status, child;
		pid_t pid;

		open_table(&t);
		open_batch(t.batches, OUT, 5);
		more = stop_after(&t, commit_it, steps, &pid, &status);
		is = handoff__batch_abort(t.batches, 0, 5);
		child = more ? go_on(pid) : WEXITSTATUS(status);
		assert_int_equal(child, is);
		assert_batch(t.batches, 0, 5, OUT, is);
		aborted += is == HANDOFF__BATCH_ABORTED;
		committed += is == HANDOFF__BATCH_COMMITTED;
		close_table(&t);
	}
	assert_true(aborted > 10 && committed > 2);
}

static int
open_it(struct table *t)
{
	struct handoff__batch b = batch_of(5);

	return handoff__batch_open(t->batches, IN, &b);
}

/* What a death at this moment leaves, in a copy: a whole batch or none, and
 * what was taken is found. */
struct looks {
	unsigned none, whole, recovered;
};

static void
look_after_death(const struct table *t, struct looks *looks)
{
	struct handoff__batches copy;
	struct handoff__batch b;
	uint32_t lost;

	memcpy(&copy, t->batches, sizeof(copy));
	if (handoff__batch_read(&copy, 0, &b)) {
		assert_batch(&copy, 0, 5, IN, HANDOFF__BATCH_OPEN);
		looks->whole++;
	} else {
		looks->none++;
	}
	lost = handoff__batches_recover(&copy);
	assert_true(lost == 0 || !handoff__batch_read(&copy, 0, &b));
	looks->recovered += lost;
	/* either way it can be opened again, or is open */
	b = batch_of(5);
	assert_int_equal(handoff__batch_open(&copy, IN, &b),
		handoff__batch_read(t->batches, 0, &b) ? -EEXIST : 0);
	assert_batch(&copy, 0, 5, IN, HANDOFF__BATCH_OPEN);
}

static void
death_at_any_instruction_of_opening(void **state)
{
	struct looks looks = {.none = 0};
	struct table t;
	int status;
	pid_t pid;

	(void)state;
	support_not_in_valgrind();
	support_not_emulated("it has no ptrace(2)");
	not_in_a_sanitizer();
	open_table(&t);
	/* another batch was there before */
	open_batch(t.batches, OUT, 8);
	handoff__batch_abort(t.batches, 0, 8);
	assert_true(handoff__batch_free(t.batches, 0, 8));
	if (stop_after(&t, open_it, 0, &pid, &status)) {
		do {
			look_after_death(&t, &looks);
			assert_int_equal(
				ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
			assert_int_equal(waitpid(pid, &status, 0), pid);
		} while (WIFSTOPPED(status));
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_true(looks.none > 10 && looks.whole > 2 && looks.recovered > 5);
	close_table(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		handoff_test(one_of_all_decides_and_no_reader_sees_half),
		handoff_test(abort_at_any_instruction_of_a_commit),
		handoff_test(death_at_any_instruction_of_opening),
	};

	return cmocka_run_group_tests_name("batch race", tests, NULL, NULL);
}
