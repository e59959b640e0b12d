/* An init whose namespaces are made: it starts the interpreter, obeys the guest, reaps, and
 * tells of the end. */
#define _GNU_SOURCE
#include "child.h"
#include "enter.h"
#include "init.h"
#include "pass.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT_START = 127 };

static const unsigned long safe = MS_NOSUID | MS_NODEV;

/* An interpreter finds them as any program does. One that is forked keeps what it has
 * set for itself. */
static int reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < SIGRTMIN; number++)
		if (signal(number, SIG_DFL) == SIG_ERR && errno != EINVAL)
			return -1;
	return sigemptyset(&none) == 0 ? sigprocmask(SIG_SETMASK, &none, NULL) : -1;
}

static _Noreturn void become_program(const struct options *options,
				     const struct sock_fprog *filter, const struct ends *ends,
				     bool stops)
{
	struct entrance entrance = {.step = "reset signals",
				    .pidfd = -1,
				    .in = ends->in,
				    .out = ends->out,
				    .err = ends->err,
				    .message = ends->message,
				    .note = ends->note,
				    .prove = options->prove,
				    .filter_length = filter->len,
				    .filter = filter->filter};
	long result = reset_signals() < 0 ? -errno : enter(&entrance);

	if (result == 0) {
		if (stops)
			raise(SIGSTOP);
		execvp(options->argv[0], options->argv);
		entrance.step = options->argv[0];
		result = -errno;
	}
	/* By now this is the program's stderr, which the guest reads. */
	dprintf(STDERR_FILENO, "cannot start: %s: %s\n", entrance.step, strerror((int)-result));
	_exit(CANNOT_START);
}

void start_program(int control, struct life *life, const struct ends *ends, bool stops)
{
	life->program = fork();
	if (life->program < 0)
		fail(control, "fork");
	if (life->program == 0)
		become_program(life->options, life->filter, ends, stops);
}

/* waitpid(2) for anybody, which adds up what they have used. */
static pid_t reap_one(struct life *life, int *status, int flags)
{
	struct rusage usage;
	pid_t pid = wait4(-1, status, flags, &usage);

	if (pid > 0) {
		uint64_t rss_bytes = (uint64_t)usage.ru_maxrss * 1024;

		life->cpu_us += (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
				(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
		if (rss_bytes > life->rss_bytes)
			life->rss_bytes = rss_bytes;
	}
	return pid;
}

static void kill_all(int control)
{
	if (kill(-1, SIGKILL) < 0 && errno != ESRCH)
		fail(control, "kill what is left");
}

/* The kernel would free it too, but some time after its namespace is gone: until then the
 * next program would be killed for the memory. */
static void free_shared_memory(int control)
{
	struct shmid_ds told;
	int last = shmctl(0, SHM_INFO, &told);

	for (int i = 0; i <= last; i++) {
		int id = shmctl(i, SHM_STAT, &told); /* of most of them there is none */

		if (id >= 0 && shmctl(id, IPC_RMID, NULL) < 0)
			fail(control, "free shared memory");
	}
}

/* What outlives processes without being a file takes memory that nobody could give back. */
static void renew_ipc(int control)
{
	if (unshare(CLONE_NEWIPC) < 0 || umount2("/dev/mqueue", MNT_DETACH) < 0)
		fail(control, "renew the ipc namespace");
	must_mount(control, "mqueue", "/dev/mqueue", "mqueue", safe | MS_NOEXEC, NULL);
}

/* Everything in the namespace dies before its end is told: nobody is left to
 * hold a pipe open or to write one more byte. */
static void finish(int control, struct life *life, int status)
{
	struct report report = {.kind = REPORT_ENDED, .value = status};
	pid_t pid;

	if (TEARDOWN) {
		kill_all(control);
		do
			pid = reap_one(life, NULL, 0);
		while (pid > 0 || errno == EINTR);
	}
	if (TEARDOWN && life->namespaces)
		free_shared_memory(control);
	if (life->kept && life->namespaces)
		renew_ipc(control);
	report.cpu_us = life->cpu_us;
	report.rss_bytes = life->rss_bytes;
	send_report(control, &report, NULL, 0);
	if (!life->kept)
		_exit(0);
	life->program = 0;
	life->cpu_us = life->rss_bytes = 0;
}

/* As a terminal does for Ctrl-C: to the process group that the program leads. */
static void interrupt(int control, const struct life *life, int number)
{
	if (life->program > 0 && kill(-life->program, number) < 0 && errno != ESRCH)
		fail(control, "interrupt the program");
}

/* Before there is a program. It writes to no file in /proc from here on: it was offered
 * to the kernel for when memory runs out, and could take that back there. */
static void seal(int control, bool namespaces, bool sealed)
{
	if (prctl(PR_SET_DUMPABLE, !sealed, 0, 0, 0) < 0)
		fail(control, sealed ? "undumpable" : "dumpable");
	if (namespaces)
		must_mount(control, NULL, "/proc", NULL,
			   MS_REMOUNT | MS_BIND | (sealed ? MS_RDONLY : 0) | safe | MS_NOEXEC,
			   NULL);
}

/* The low descriptors are where the program's ends go: none may lie in another's place. */
static void move_up(int control, struct ends *ends)
{
	int *fds = (int *)ends;

	for (int i = 0; i < ENDS; i++) {
		int moved = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_FREE_FD);

		if (moved < 0)
			fail(control, "move descriptors");
		close_fd(&fds[i]);
		fds[i] = moved;
	}
}

static void begin_again(int control, struct life *life, struct ends *ends)
{
	int status;

	/* Whatever the last program made of what was its own. */
	if (life->namespaces && chmod(WORK_FOLDER, 0755) < 0)
		fail(control, "open the work folder");
	seal(control, life->namespaces, false); /* until the interpreter is in */
	if (life->options->template)
		return;
	move_up(control, ends);
	start_program(control, life, ends, true);
	close_ends(ends);
	/* It may be a file that the last program has written: sealed before it is executed. */
	if (waitpid(life->program, &status, WUNTRACED) < 0)
		fail(control, "wait for the interpreter");
	seal(control, life->namespaces, true);
	if (!WIFSTOPPED(status))
		finish(control, life, status);
	else if (kill(life->program, SIGCONT) < 0)
		fail(control, "let the interpreter go on");
}

static void obey(int control, struct life *life)
{
	struct report done = {.kind = REPORT_DONE};
	struct order order;
	struct ends ends = {-1, -1, -1, -1, -1};
	char size[32];
	ssize_t count = pass_receive(control, &order, sizeof(order), (int *)&ends, ENDS, 0);

	if (count == 0)
		_exit(1); /* the guest has gone, and so does all of this */
	if (count < 0)
		fail(control, "hear the guest");
	switch (order.kind) {
	case ORDER_SEAL:
		seal(control, life->namespaces, true);
		if (life->options->template)
			life->program = order.program;
		send_report(control, &done, NULL, 0);
		break;
	case ORDER_RESIZE:
		snprintf(size, sizeof(size), "size=%llu", (unsigned long long)order.bytes);
		must_mount(control, NULL, "/tmp", NULL, MS_REMOUNT | safe, size);
		send_report(control, &done, NULL, 0);
		break;
	case ORDER_INTERRUPT:
		interrupt(control, life, order.signal);
		send_report(control, &done, NULL, 0);
		break;
	case ORDER_END:
		finish(control, life, order.status);
		break;
	case ORDER_KEEP:
		life->kept = true;
		send_report(control, &done, NULL, 0);
		break;
	case ORDER_KILL:
		kill_all(control);
		break;
	case ORDER_AGAIN:
		begin_again(control, life, &ends);
		send_report(control, &done, NULL, 0);
		break;
	}
}

static void reap(int control, int signals, struct life *life)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	if (read(signals, &info, sizeof(info)) < 0)
		fail(control, "read a signal");
	while ((pid = reap_one(life, &status, WNOHANG)) > 0)
		if (pid == life->program)
			finish(control, life, status);
}

static int open_signals(int control)
{
	sigset_t set;
	int fd;

	if (sigemptyset(&set) < 0 || sigaddset(&set, SIGCHLD) < 0)
		fail(control, "signal set");
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		fail(control, "signalfd");
	return fd;
}

_Noreturn void serve(int control, struct life *life)
{
	const int signals = open_signals(control);
	struct pollfd fds[] = {{control, POLLIN, 0}, {signals, POLLIN, 0}};

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			fail(control, "poll");
		if (fds[0].revents)
			obey(control, life);
		if (fds[1].revents)
			reap(control, signals, life);
	}
}
