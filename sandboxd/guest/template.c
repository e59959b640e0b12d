#define _GNU_SOURCE
#include "template.h"

#include "pass.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	CANNOT_START = 127,
};

/* What joining a child's namespaces takes, and where the host refuses these after all
 * emptying the bounding set, and no more, in the guest's own user namespace; an exec by
 * anyone but its root would lose it otherwise. */
static int keep_capabilities(void)
{
	static const unsigned int kept[] = {CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_SETPCAP};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		data[0].permitted |= 1U << kept[i];
	data[0].effective = data[0].inheritable = data[0].permitted;
	if (syscall(SYS_capset, &header, data) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept[i], 0, 0) < 0)
			return -1;
	return 0;
}

static _Noreturn void become_template(const struct options *options, int socket, int words,
				      int filter, bool namespaces)
{
	sigset_t none;

	if ((!namespaces || keep_capabilities() == 0) && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && sigemptyset(&none) == 0 &&
	    sigprocmask(SIG_SETMASK, &none, NULL) == 0 && signal(SIGPIPE, SIG_DFL) != SIG_ERR &&
	    dup2(words, STDERR_FILENO) >= 0 && dup2(socket, TEMPLATE_FD) >= 0 &&
	    dup2(filter, FILTER_FD) >= 0) {
		/* 0 and 1 are frames; this process has no business with them. */
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
		    syscall(SYS_close_range, FIRST_FREE_FD, LAST_FD, 0) == 0)
			execvp(options->argv[0], options->argv);
	}
	dprintf(STDERR_FILENO, "cannot start: %s: %s\n", options->argv[0], strerror(errno));
	_exit(CANNOT_START);
}

static int filter_file(const struct sock_fprog *filter)
{
	size_t bytes = filter->len * sizeof(*filter->filter);
	int fd = memfd_create("filter", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, filter->filter, bytes) != (ssize_t)bytes)
		close_fd(&fd);
	return fd;
}

int template_start(struct template *template, const struct options *options,
		   const struct sock_fprog *filter, bool namespaces)
{
	int sockets[2] = {-1, -1};
	int words[2] = {-1, -1};
	int file = filter_file(filter);

	*template = (struct template){-1, -1, -1, false, namespaces};
	if (file >= 0 && pipe2(words, O_CLOEXEC) == 0 &&
	    fcntl(words[0], F_SETFL, O_NONBLOCK) == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0) {
		template->pid = fork();
		if (template->pid == 0)
			become_template(options, sockets[1], words[1], file, namespaces);
	}
	template->socket = sockets[0];
	template->words = words[0];
	close_fd(&sockets[1]);
	close_fd(&words[1]);
	close_fd(&file);
	return template->pid < 0 ? -1 : 0;
}

int template_fork(struct template *template, struct child *child,
		  const struct options *options, bool namespaces)
{
	int fds[PASS_MOST];
	size_t count = 0;
	char wishes[2] = {options->share_net, options->prove};

	if (namespaces) {
		fds[count] = (int)syscall(SYS_pidfd_open, child->init, 0);
		if (fds[count++] < 0)
			return -1;
	}
	memcpy(fds + count, &child->ends, sizeof(child->ends));
	count += ENDS;
	template->busy = pass_send(template->socket, wishes, sizeof(wishes), fds, count, 0) == 0;
	if (namespaces)
		close_fd(&fds[0]);
	close_ends(&child->ends);
	return template->busy ? 0 : -1;
}

int template_hear(struct template *template, struct template_report *report)
{
	ssize_t count = recv(template->socket, report, sizeof(*report), MSG_DONTWAIT);

	if (count < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (count != sizeof(*report))
		return -1;
	template->busy = false;
	return 1;
}
