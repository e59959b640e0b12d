/* A child: fresh namespaces with the language's interpreter waiting in them.
 *
 * Its first process, the init, is this program; it makes the namespaces'
 * mounts, starts the interpreter, reaps, and reports. It takes nothing from
 * the program but what the kernel says of it. */
#ifndef SANDBOXD_CHILD_H
#define SANDBOXD_CHILD_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WORK_FOLDER "/sandbox"

struct options {
	const char *code_name; /* the program's file in the work folder */
	uint64_t tmp_bytes;    /* size of the one tmpfs behind all that is writable */
	uint64_t tmp_inodes;
	char **argv; /* the interpreter, which waits for GO */
};

struct child {
	pid_t init;
	int control; /* reports of the init arrive here */
	int in;	     /* the program's stdin */
	int out[2];  /* its stdout and stderr */
	int message; /* what the runner reads; its end is the signal to go */
	int note;    /* what the runner says; the first byte means it waits */
	int code;    /* the code file, which the program sees read-only */
};

enum report_kind {
	REPORT_PREPARED, /* comes with the descriptor of the code file */
	REPORT_FAILED,
	REPORT_ENDED, /* every process of the namespace but the init is gone */
};

struct report {
	enum report_kind kind;
	int value; /* errno when FAILED, a wait status when ENDED */
	uint64_t cpu_us;
	uint64_t rss_bytes;
	char step[48]; /* what FAILED */
};

/* Starts a child and returns at once; REPORT_PREPARED or REPORT_FAILED will
 * follow. Without `namespaces` the program shares the container's, and the
 * container must not be used again. Returns 0, or -1 with errno set. */
int child_start(struct child *child, const struct options *options,
		const struct sock_fprog *filter, bool namespaces);

/* The next report; 1: read, 0: none yet, -1: the init is gone. Sets
 * child->code at REPORT_PREPARED. */
int child_report(struct child *child, struct report *report);

/* Closes every descriptor that is still open. */
void child_close(struct child *child);

/* Closes *fd if it is open and marks it closed. */
void close_fd(int *fd);

#endif
