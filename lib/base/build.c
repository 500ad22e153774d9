/* SPDX-License-Identifier: MIT */
/*
 * The build ID of the main program, from the note that the linker has loaded
 * with it: two builds of one version differ in it. Reads memory of this process
 * alone, since the file may have been replaced meanwhile.
 */
#include "base/build.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Notes are padded to four bytes (elf(5)). */
static size_t
padded(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

static void
put_hex(char id[HANDOFF__BUILD_MAX], const unsigned char *bytes, size_t len)
{
	if (len > (HANDOFF__BUILD_MAX - 1) / 2)
		len = (HANDOFF__BUILD_MAX - 1) / 2;
	for (size_t i = 0; i < len; i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

/* Looks through one segment of notes. */
static void
read_notes(char id[HANDOFF__BUILD_MAX], const unsigned char *at, size_t left)
{
	ElfW(Nhdr) note;

	while (left >= sizeof(note)) {
		size_t name, whole;

		memcpy(&note, at, sizeof(note));
		name = padded(note.n_namesz);
		whole = sizeof(note) + name + padded(note.n_descsz);
		if (whole > left)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			memcmp(at + sizeof(note), "GNU", 4) == 0) {
			put_hex(id, at + sizeof(note) + name, note.n_descsz);
			return;
		}
		at += whole;
		left -= whole;
	}
}

/* The main program comes first (dl_iterate_phdr(3)). */
static int
read_first(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		char *id = arg;

		if (header->p_type == PT_NOTE && !id[0])
			read_notes(id,
				(const unsigned char
						*)(uintptr_t)(info->dlpi_addr +
							      header->p_vaddr),
				header->p_memsz);
	}
	return 1;
}

void
handoff__build_id(char id[HANDOFF__BUILD_MAX])
{
	id[0] = '\0';
	dl_iterate_phdr(read_first, id);
}
