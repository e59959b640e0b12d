#define _GNU_SOURCE
#include "child.h"

#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	INNER_ID = 1000,     /* the program's uid and gid as it sees them */
	MESSAGE_FD = 3,	     /* in the interpreter */
	NOTE_FD = 4,
	PIPE_BYTES = 262144, /* fewer switches between program and guest */
	MESSAGE_BYTES = 1048576, /* arguments and environment must fit */
};

static const unsigned long fresh = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC |
				   CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd); /* nothing is written through these unseen: an error says nothing */
	*fd = -1;
}

/* --- in the init --- */

static void send_report(int control, const struct report *report, int fd)
{
	struct iovec data = {(void *)report, sizeof(*report)};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} ancillary = {0};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &ancillary;
		message.msg_controllen = sizeof(ancillary);
		ancillary.header.cmsg_level = SOL_SOCKET;
		ancillary.header.cmsg_type = SCM_RIGHTS;
		ancillary.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&ancillary.header), &fd, sizeof(fd));
	}
	/* The guest is this process's only reader; without it there is no run. */
	if (sendmsg(control, &message, MSG_NOSIGNAL) < 0)
		_exit(1);
}

static _Noreturn void fail(int control, const char *step)
{
	struct report report = {.kind = REPORT_FAILED, .value = errno};

	snprintf(report.step, sizeof(report.step), "%s", step);
	send_report(control, &report, -1);
	_exit(1);
}

static void write_file(int control, const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail(control, path);
	close_fd(&fd);
}

static void map_user(int control, uid_t uid, gid_t gid)
{
	char line[64];

	write_file(control, "/proc/self/setgroups", "deny");
	snprintf(line, sizeof(line), "%d %u 1", INNER_ID, uid);
	write_file(control, "/proc/self/uid_map", line);
	snprintf(line, sizeof(line), "%d %u 1", INNER_ID, gid);
	write_file(control, "/proc/self/gid_map", line);
}

static void must_mount(int control, const char *source, const char *target, const char *type,
		       unsigned long flags, const char *data)
{
	char step[48];

	if (mount(source, target, type, flags, data) == 0)
		return;
	int saved = errno;
	snprintf(step, sizeof(step), "mount %s", target);
	errno = saved;
	fail(control, step);
}

static void make_folder(int control, const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 || chmod(path, mode) < 0)
		fail(control, path);
}

/* One tmpfs, so that one size bounds everything the program can write. */
static void mount_all(int control, const struct options *options)
{
	const unsigned long safe = MS_NOSUID | MS_NODEV;
	char sizes[96];

	snprintf(sizes, sizeof(sizes), "size=%llu,nr_inodes=%llu,mode=0755",
		 (unsigned long long)options->tmp_bytes, (unsigned long long)options->tmp_inodes);
	must_mount(control, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	must_mount(control, "tmpfs", "/tmp", "tmpfs", safe, sizes);
	make_folder(control, "/tmp/work", 0755);
	make_folder(control, "/tmp/shm", 01777);
	make_folder(control, "/tmp/tmp", 01777);
	must_mount(control, "/tmp/work", WORK_FOLDER, NULL, MS_BIND, NULL);
	must_mount(control, "/tmp/shm", "/dev/shm", NULL, MS_BIND, NULL);
	must_mount(control, "/tmp/tmp", "/tmp", NULL, MS_BIND, NULL);
	/* Each of these shows the new namespaces, and hides the container's. */
	must_mount(control, "mqueue", "/dev/mqueue", "mqueue", safe | MS_NOEXEC, NULL);
	must_mount(control, "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=0620");
	must_mount(control, "proc", "/proc", "proc", safe | MS_NOEXEC, "subset=pid");
	must_mount(control, "none", "/sys", "tmpfs", safe | MS_NOEXEC | MS_RDONLY, "size=0,nr_inodes=1");
}

static void raise_loopback(int control)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		fail(control, "raise loopback");
	close_fd(&fd);
}

/* The code file is open for the guest, and mounted over itself read-only for
 * the program: neither written nor replaced by it. */
static int make_code_file(int control, const struct options *options, bool namespaces)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), WORK_FOLDER "/%s", options->code_name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		fail(control, "create the code file");
	if (namespaces) {
		must_mount(control, path, path, NULL, MS_BIND, NULL);
		must_mount(control, NULL, path, NULL,
			   MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL);
	}
	return fd;
}

static void drop_privileges(int control, const struct sock_fprog *filter)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	/* Past the last capability of this kernel the answer is EINVAL. */
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) > 0 &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			fail(control, "empty the bounding set");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		fail(control, "clear ambient capabilities");
	if (syscall(SYS_capset, &header, none) < 0)
		fail(control, "drop capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail(control, "no_new_privs");
	if (filter_install(filter) < 0)
		fail(control, "install the filter");
}

struct program_ends {
	int in, out, err, message, note;
};

static _Noreturn void become_program(int control, const struct options *options,
				     const struct sock_fprog *filter,
				     const struct program_ends *ends)
{
	sigset_t none;

	if (sigemptyset(&none) < 0 || signal(SIGPIPE, SIG_DFL) == SIG_ERR ||
	    sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		fail(control, "reset signals");
	if (setsid() < 0)
		fail(control, "setsid");
	/* The guest keeps 0 to 4 taken, so no source is overwritten here. */
	if (dup2(ends->in, 0) < 0 || dup2(ends->out, 1) < 0 || dup2(ends->err, 2) < 0 ||
	    dup2(ends->message, MESSAGE_FD) < 0 || dup2(ends->note, NOTE_FD) < 0)
		fail(control, "dup2");
	umask(022);
	if (chdir(WORK_FOLDER) < 0)
		fail(control, "chdir " WORK_FOLDER);
	/* control goes with the exec (close-on-exec): until then errors get out */
	drop_privileges(control, filter);
	for (int fd = NOTE_FD + 1; fd < control; fd++)
		close(fd);
	if (syscall(SYS_close_range, control + 1, ~0U, 0) < 0)
		fail(control, "close descriptors");
	execvp(options->argv[0], options->argv);
	fail(control, "start the interpreter");
}

/* Everything in the namespace dies before its end is told: nobody is left to
 * hold a pipe open or to write one more byte. */
static _Noreturn void serve_as_init(int control, pid_t program)
{
	struct report report = {.kind = REPORT_ENDED};
	struct rusage usage;
	int status;
	pid_t pid;

	do {
		pid = waitpid(-1, &status, 0);
		if (pid < 0 && errno != EINTR)
			fail(control, "wait for the program");
	} while (pid != program);
	report.value = status;
	if (kill(-1, SIGKILL) < 0 && errno != ESRCH)
		fail(control, "kill what is left");
	do
		pid = waitpid(-1, NULL, 0);
	while (pid > 0 || errno == EINTR);
	if (getrusage(RUSAGE_CHILDREN, &usage) < 0)
		fail(control, "getrusage");
	report.cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
			(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	report.rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
	send_report(control, &report, -1);
	_exit(0);
}

static _Noreturn void be_init(int control, const struct options *options,
			      const struct sock_fprog *filter, const struct program_ends *ends,
			      bool namespaces, uid_t uid, gid_t gid)
{
	struct report prepared = {.kind = REPORT_PREPARED};
	int code;
	pid_t program;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		fail(control, "set the parent death signal");
	/* An undumpable process's files in /proc belong to root. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		fail(control, "dumpable");
	if (namespaces)
		map_user(control, uid, gid);
	else if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		fail(control, "become subreaper");
	/* When memory runs out, the program goes first and the guest last. */
	write_file(control, "/proc/self/oom_score_adj", "1000");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		fail(control, "undumpable");
	if (namespaces) {
		mount_all(control, options);
		raise_loopback(control);
	}
	code = make_code_file(control, options, namespaces);
	program = fork();
	if (program < 0)
		fail(control, "fork");
	if (program == 0)
		become_program(control, options, filter, ends);
	send_report(control, &prepared, code);
	/* Nothing but control stays open, or the program's pipes never end. */
	if (dup2(control, 0) < 0 || syscall(SYS_close_range, 1, ~0U, 0) < 0)
		fail(control, "close descriptors");
	serve_as_init(0, program);
}

/* --- in the guest --- */

static int open_pipes(struct child *child, struct program_ends *ends)
{
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
	const int *guests[] = {&child->in, &child->out[0], &child->out[1], &child->message,
			       &child->note};

	for (size_t i = 0; i < sizeof(pipes) / sizeof(pipes[0]); i++) {
		int fds[2];

		if (pipe2(fds, O_CLOEXEC) < 0)
			return -1;
		*pipes[i].read_end = fds[0];
		*pipes[i].write_end = fds[1];
		/* A smaller pipe than wished is slower, and no less right. */
		if (pipes[i].bytes && fcntl(fds[0], F_SETPIPE_SZ, pipes[i].bytes) < 0 && errno != EPERM)
			return -1;
	}
	for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++)
		if (fcntl(*guests[i], F_SETFL, O_NONBLOCK) < 0)
			return -1;
	return 0;
}

int child_start(struct child *child, const struct options *options,
		const struct sock_fprog *filter, bool namespaces)
{
	struct program_ends ends = {-1, -1, -1, -1, -1};
	int sockets[2] = {-1, -1};
	uid_t uid = getuid();
	gid_t gid = getgid();
	int saved;

	*child = (struct child){-1, -1, -1, {-1, -1}, -1, -1, -1};
	if (open_pipes(child, &ends) == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0) {
		child->init = (pid_t)syscall(SYS_clone, SIGCHLD | (namespaces ? fresh : 0), NULL,
					     NULL, NULL, 0);
		if (child->init == 0)
			be_init(sockets[1], options, filter, &ends, namespaces, uid, gid);
	}
	saved = errno;
	child->control = sockets[0];
	close_fd(&sockets[1]);
	close_fd(&ends.in);
	close_fd(&ends.out);
	close_fd(&ends.err);
	close_fd(&ends.message);
	close_fd(&ends.note);
	if (child->init < 0)
		child_close(child);
	errno = saved;
	return child->init < 0 ? -1 : 0;
}

int child_report(struct child *child, struct report *report)
{
	struct iovec data = {report, sizeof(*report)};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} ancillary = {0};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = &ancillary,
				 .msg_controllen = sizeof(ancillary)};
	ssize_t count = recvmsg(child->control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	if (count < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (count != sizeof(*report))
		return -1;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(&child->code, CMSG_DATA(header), sizeof(child->code));
	return 1;
}

void child_close(struct child *child)
{
	close_fd(&child->control);
	close_fd(&child->in);
	close_fd(&child->out[0]);
	close_fd(&child->out[1]);
	close_fd(&child->message);
	close_fd(&child->note);
	close_fd(&child->code);
}
