/* The files that a child is shown instead of those of /proc and /sys (machine.h), in a
 * folder with "proc", "sys", "hosts", and, to cover others with, "nothing" and "empty". */
#ifndef SANDBOXD_SHOWN_H
#define SANDBOXD_SHOWN_H

#include <stdbool.h>
#include <stdint.h>

#define UUID "/sys/kernel/random/uuid"

struct limits {
	long cpus;
	uint64_t memory_kib;
};

/* Each returns 0, or -1 with errno set. */
int shown_make_folders(int folder);
int shown_write(int folder, const struct limits *limits);
/* Written over the file's content, which is never gone: a program may be reading. */
int shown_write_time(int file);

/* What stands in the place of an entry of /proc, as a path below the folder. */
const char *shown_for(const char *name, bool folder);

#endif
