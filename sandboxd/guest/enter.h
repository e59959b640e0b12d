/* How a process becomes the program: its last steps before any code of the
 * user's, the same whether the interpreter is started or forked. */
#ifndef SANDBOXD_ENTER_H
#define SANDBOXD_ENTER_H

#include <linux/filter.h>

#define WORK_FOLDER "/sandbox"

enum {
	MESSAGE_FD = 3, /* what the program's runner reads to its end, then goes */
	NOTE_FD = 4,	/* where it says that it waits, and what it has to say */
	FIRST_FREE_FD = 5,
	LAST_FD = 0x7fffffff, /* to gVisor a larger one is negative */
	/* In a template, which forks instead of starting: */
	TEMPLATE_FD = 3, /* socket: orders from the guest, reports to it */
	FILTER_FD = 4,	 /* file: the filter's instructions */
};

struct entrance {
	const char *step; /* what failed */
	int pidfd; /* of the init whose namespaces to join; -1: none, or in them already */
	char share_net; /* of those, not the network's: it is the container's */
	char prove;	/* say in the end, in the kernel's words, what this process is */
	int in, out, err, message, note;
	unsigned short filter_length;
	const struct sock_filter *filter;
};

/* What a template tells of the child that it forked. */
struct template_report {
	int status; /* as of wait4 */
	unsigned long cpu_us;
	unsigned long rss_bytes;
};

/* Takes up descriptors, joins namespaces, and gives up every privilege, for
 * good. Returns 0, or a negative errno with entrance->step set. */
long enter(struct entrance *entrance);

/* For templates, which load this as a shared object that needs no C library. */

/* Names the instructions of the filter, which must stay where they are. */
void set_filter(struct entrance *entrance, const struct sock_filter *filter, unsigned long bytes);
/* Waits until a child is wanted; the next fork will be in its pid namespace. */
long template_next(struct entrance *entrance);
/* Waits for that child, and reports its end to the guest. */
long template_wait(struct entrance *entrance, int child);

#endif
