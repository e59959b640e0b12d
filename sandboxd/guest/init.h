/* What the parts of an init share. */
#ifndef SANDBOXD_INIT_H
#define SANDBOXD_INIT_H

#include "child.h"

#include <sys/types.h>

#define ROOT_FOLDER "/tmp/root"

/* What an init knows of its program. */
struct life {
	const struct options *options;
	const struct sock_fprog *filter;
	bool namespaces;
	bool kept;     /* it outlives the program */
	pid_t program; /* 0: none, or not known yet */
	uint64_t cpu_us; /* of all that were reaped */
	uint64_t rss_bytes;
};

/* Reports which step failed, with errno, and ends the init. */
_Noreturn void fail(int control, const char *step);
void must_mount(int control, const char *source, const char *target, const char *type,
		unsigned long flags, const char *data);
void make_folder(int control, const char *path, mode_t mode);
void send_report(int control, const struct report *report, const int *fds, size_t count);

/* serve.c: what an init does once its namespaces are made. A program that `stops` does so
 * with all privileges given up, before the interpreter is executed. */
void start_program(int control, struct life *life, const struct ends *ends, bool stops);
_Noreturn void serve(int control, struct life *life);

/* root.c: a root that the program can write to, on the tmpfs at /tmp. */
void make_writable_root(int control);
/* Makes it the root of this process and all that follow. */
void change_root(int control);

#endif
