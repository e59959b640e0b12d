/* A template: an interpreter that was started once, has imported what it should,
 * and is forked for each run. It has no program's byte ever, and no descriptor
 * of a program's outlives the fork in it. */
#ifndef SANDBOXD_TEMPLATE_H
#define SANDBOXD_TEMPLATE_H

#include "child.h"
#include "enter.h"

struct template {
	pid_t pid;
	int socket;
	int words; /* what it writes to its stderr */
	bool busy; /* it waits for its last fork to end */
	bool namespaces; /* it has what joining a child's takes */
};

/* Starts the template; returns 0, or -1 with errno set. */
int template_start(struct template *template, const struct options *options,
		   const struct sock_fprog *filter, bool namespaces);

/* Has it fork a program into the child's namespaces, with the child's ends,
 * which are closed here. Returns 0, or -1 with errno set. */
int template_fork(struct template *template, struct child *child,
		  const struct options *options, bool namespaces);

/* What it tells of the end of the last one; 1: read, 0: not yet, -1: it is gone. */
int template_hear(struct template *template, struct template_report *report);

#endif
