#define _GNU_SOURCE
#include "child.h"

#include "pass.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	MESSAGE_BYTES = 1048576, /* arguments and environment must fit */
};

static const unsigned long fresh = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC |
				   CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd); /* what was written through these is sent by other means */
	*fd = -1;
}

static int open_pipes(struct child *child)
{
	struct ends *ends = &child->ends;
	struct {
		int *read_end, *write_end;
		int bytes;
	} pipes[] = {
		{&ends->in, &child->in, PIPE_BYTES},
		{&child->out[0], &ends->out, PIPE_BYTES},
		{&child->out[1], &ends->err, PIPE_BYTES},
		{&ends->message, &child->message, MESSAGE_BYTES},
		{&child->note, &ends->note, 0},
	};
	const int *ours[] = {&child->in, &child->out[0], &child->out[1], &child->message,
			     &child->note};

	for (size_t i = 0; i < sizeof(pipes) / sizeof(pipes[0]); i++) {
		int fds[2];

		if (pipe2(fds, O_CLOEXEC) < 0)
			return -1;
		*pipes[i].read_end = fds[0];
		*pipes[i].write_end = fds[1];
		/* A smaller pipe than wished is slower, and no less right. */
		if (pipes[i].bytes && fcntl(fds[0], F_SETPIPE_SZ, pipes[i].bytes) < 0 &&
		    errno != EPERM)
			return -1;
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (fcntl(*ours[i], F_SETFL, O_NONBLOCK) < 0)
			return -1;
	return 0;
}

void close_ends(struct ends *ends)
{
	close_fd(&ends->in);
	close_fd(&ends->out);
	close_fd(&ends->err);
	close_fd(&ends->message);
	close_fd(&ends->note);
}

static void close_streams(struct child *child)
{
	close_fd(&child->in);
	close_fd(&child->out[0]);
	close_fd(&child->out[1]);
	close_fd(&child->message);
	close_fd(&child->note);
}

int child_start(struct child *child, const struct options *options,
		const struct sock_fprog *filter, bool namespaces)
{
	unsigned long flags = namespaces ? fresh : 0;
	int sockets[2] = {-1, -1};
	int saved;

	if (options->share_net)
		flags &= ~(unsigned long)CLONE_NEWNET;

	*child = (struct child){-1, -1, {-1, -1, -1, -1, -1}, -1, {-1, -1}, -1, -1, -1, -1};
	if (open_pipes(child) == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0) {
		child->init = (pid_t)syscall(SYS_clone, SIGCHLD | flags, NULL, NULL, NULL, 0);
		if (child->init == 0)
			be_init(sockets[1], options, filter, &child->ends, namespaces);
	}
	saved = errno;
	child->control = sockets[0];
	close_fd(&sockets[1]);
	if (!options->template)
		close_ends(&child->ends);
	if (child->init < 0)
		child_close(child);
	errno = saved;
	return child->init < 0 ? -1 : 0;
}

int child_report(struct child *child, struct report *report)
{
	int passed[] = {child->code, child->work};
	ssize_t count = pass_receive(child->control, report, sizeof(*report), passed, 2,
				     MSG_DONTWAIT);

	if (count < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (count == 0)
		return -1;
	child->code = passed[0];
	child->work = passed[1];
	return 1;
}

int child_order(const struct child *child, const struct order *order)
{
	return pass_send(child->control, order, sizeof(*order), NULL, 0, MSG_DONTWAIT);
}

int child_again(struct child *child, const struct options *options)
{
	const struct order order = {.kind = ORDER_AGAIN};
	int result;

	close_streams(child);
	if (open_pipes(child) < 0)
		return -1;
	if (options->template)
		return child_order(child, &order);
	result = pass_send(child->control, &order, sizeof(order), (const int *)&child->ends, ENDS,
			   MSG_DONTWAIT);
	close_ends(&child->ends);
	return result;
}

void child_close(struct child *child)
{
	close_fd(&child->control);
	close_ends(&child->ends);
	close_streams(child);
	close_fd(&child->code);
	close_fd(&child->work);
}
