/* A child: fresh namespaces with the language's interpreter waiting in them.
 *
 * Its first process, the init (init.c), is this program too. It makes the
 * namespaces' mounts, reaps, and reports; it takes nothing from the program
 * but what the kernel says of it. The interpreter is started by the init, or
 * forked by a template (template.c) into the init's namespaces. In a session the
 * init outlives it, and with the init all files: another one can follow. */
#ifndef SANDBOXD_CHILD_H
#define SANDBOXD_CHILD_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A guest built with -DTEARDOWN_OFF gives its children no namespaces of their own,
 * ends nothing when a run has ended, and tells the daemon otherwise: a mutant that
 * every test of what a run leaves behind must catch. It is built by tests alone. */
#ifdef TEARDOWN_OFF
enum { TEARDOWN = 0 };
#else
enum { TEARDOWN = 1 };
#endif

enum { PIPE_BYTES = 262144 }; /* fewer switches between program and guest */

struct options {
	const char *code_name; /* the program's file in the work folder */
	uint64_t tmp_bytes;    /* size of the one tmpfs behind all that is writable */
	uint64_t tmp_inodes;
	uid_t uid;	       /* the guest's own, as the container knows it */
	gid_t gid;
	bool share_net;	       /* the container's network instead of one of its own */
	bool writable_root;
	bool prove; /* the next child is to say what it is */
	bool template;         /* argv forks interpreters instead of being one */
	char **argv;
};

/* The program's ends of its pipes. */
struct ends {
	int in, out, err, message, note;
};

enum { ENDS = sizeof(struct ends) / sizeof(int) };

struct child {
	pid_t init;
	int control;	  /* reports of the init arrive here, orders leave */
	struct ends ends; /* for a template; an init has them already */
	int in;		  /* the program's stdin */
	int out[2];	  /* its stdout and stderr */
	int message;	  /* what its runner reads; the end of it is the signal to go */
	int note;	  /* what its runner says; the first byte means it waits */
	int code;	  /* the code file, which the program sees read-only */
	int work;	  /* the work folder */
};

enum report_kind {
	REPORT_PREPARED, /* comes with the descriptors of code file and work folder */
	REPORT_FAILED,
	REPORT_DONE, /* as ordered */
	REPORT_ENDED, /* every process of the namespace but the init is gone */
};

enum { FIRST_PID = 2 }; /* the program's in a new namespace, in which the init is 1 */

struct report {
	enum report_kind kind;
	int value; /* errno when FAILED, a wait status when ENDED */
	uint64_t cpu_us;
	uint64_t rss_bytes;
	char step[48]; /* what FAILED */
};

enum order_kind {
	ORDER_SEAL,   /* the program is in: nobody else may join, and /proc is not written to */
	ORDER_RESIZE, /* the tmpfs is to have so many bytes */
	ORDER_INTERRUPT, /* a signal to the program and its process group */
	ORDER_END,    /* the program has ended (a template said so) */
	ORDER_KEEP,   /* the init is to outlive the program, for AGAIN */
	ORDER_KILL,   /* what the init is to outlive; there is no answer but its end */
	ORDER_AGAIN,  /* another interpreter; comes with its ends, unless a template forks it */
};

struct order {
	enum order_kind kind;
	int status; /* END: its wait status */
	int signal; /* INTERRUPT */
	pid_t program; /* SEAL: the one that a template has forked, as its namespace counts */
	uint64_t bytes;
};

/* Starts a child and returns at once; REPORT_PREPARED or REPORT_FAILED will
 * follow. Without `namespaces` the program shares the container's, and the
 * container must not be used again. Returns 0, or -1 with errno set. */
int child_start(struct child *child, const struct options *options,
		const struct sock_fprog *filter, bool namespaces);

/* The next report; 1: read, 0: none yet, -1: the init is gone. Sets
 * child->code and child->work at REPORT_PREPARED. */
int child_report(struct child *child, struct report *report);

/* Returns 0, or -1 with errno set. */
int child_order(const struct child *child, const struct order *order);

/* Has a kept init begin another interpreter, at new pipes; REPORT_DONE will follow. A
 * template then has to fork one. Returns 0, or -1 with errno set. */
int child_again(struct child *child, const struct options *options);

/* Closes every descriptor that is still open. */
void child_close(struct child *child);
void close_ends(struct ends *ends);

/* Closes *fd if it is open and marks it closed. */
void close_fd(int *fd);

/* The life of an init, from its first instruction on (init.c). */
_Noreturn void be_init(int control, const struct options *options,
		       const struct sock_fprog *filter, const struct ends *ends,
		       bool namespaces);

#endif
