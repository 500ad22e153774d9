/* SPDX-License-Identifier: MIT */
/*
 * The tail queues of queue(7) for a libc without <sys/queue.h> (musl), limited
 * to what the library uses. On the include path only there.
 */
#ifndef HANDOFF_COMPAT_SYS_QUEUE_H
#define HANDOFF_COMPAT_SYS_QUEUE_H

#include <stddef.h>

#define TAILQ_HEAD(name, type)                                                 \
	struct name {                                                          \
		struct type *first;                                            \
		struct type **last; /* the pointer that ends the queue */      \
	}

#define TAILQ_ENTRY(type)                                                      \
	struct {                                                               \
		struct type *next;                                             \
		struct type **prev; /* the pointer that refers to this element \
				     */                                        \
	}

#define TAILQ_HEAD_INITIALIZER(head)                                           \
	{                                                                      \
		NULL, &(head).first                                            \
	}

#define TAILQ_INIT(head)                                                       \
	do {                                                                   \
		(head)->first = NULL;                                          \
		(head)->last = &(head)->first;                                 \
	} while (0)

#define TAILQ_EMPTY(head)       ((head)->first == NULL)
#define TAILQ_FIRST(head)       ((head)->first)
#define TAILQ_NEXT(elem, field) ((elem)->field.next)

/* A head has the layout of an element's entry: the head's `last`, like an
 * element's `prev`, is the address of the pointer to the element. */
#define TAILQ_LAST(head, name)                                                 \
	(*(((struct name *)(void *)((head)->last))->last))
#define TAILQ_PREV(elem, name, field)                                          \
	(*(((struct name *)(void *)((elem)->field.prev))->last))

#define TAILQ_FOREACH(var, head, field)                                        \
	for ((var) = TAILQ_FIRST(head); (var); (var) = TAILQ_NEXT(var, field))

#define TAILQ_INSERT_TAIL(head, elem, field)                                   \
	do {                                                                   \
		(elem)->field.next = NULL;                                     \
		(elem)->field.prev = (head)->last;                             \
		*(head)->last = (elem);                                        \
		(head)->last = &(elem)->field.next;                            \
	} while (0)

#define TAILQ_INSERT_BEFORE(listelem, elem, field)                             \
	do {                                                                   \
		(elem)->field.prev = (listelem)->field.prev;                   \
		(elem)->field.next = (listelem);                               \
		*(listelem)->field.prev = (elem);                              \
		(listelem)->field.prev = &(elem)->field.next;                  \
	} while (0)

#define TAILQ_REMOVE(head, elem, field)                                        \
	do {                                                                   \
		if ((elem)->field.next)                                        \
			(elem)->field.next->field.prev = (elem)->field.prev;   \
		else                                                           \
			(head)->last = (elem)->field.prev;                     \
		*(elem)->field.prev = (elem)->field.next;                      \
	} while (0)

#define TAILQ_CONCAT(head1, head2, field)                                      \
	do {                                                                   \
		if (!TAILQ_EMPTY(head2)) {                                     \
			*(head1)->last = (head2)->first;                       \
			(head2)->first->field.prev = (head1)->last;            \
			(head1)->last = (head2)->last;                         \
			TAILQ_INIT(head2);                                     \
		}                                                              \
	} while (0)

#endif
