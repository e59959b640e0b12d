#define _GNU_SOURCE
#include "child.h"
#include "enter.h"
#include "init.h"
#include "machine.h"
#include "pass.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of the 3072 that the kernel has by default for all of the machine's containers. */
#define TERMINALS "64"

enum {
	INNER_ID = 1000, /* the program's uid and gid as it sees them */
};

void send_report(int control, const struct report *report, const int *fds, size_t count)
{
	/* The guest is this process's only reader; without it there is no run. */
	if (pass_send(control, report, sizeof(*report), fds, count, 0) < 0)
		_exit(1);
}

_Noreturn void fail(int control, const char *step)
{
	struct report report = {.kind = REPORT_FAILED, .value = errno};

	snprintf(report.step, sizeof(report.step), "%s", step);
	send_report(control, &report, NULL, 0);
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

void must_mount(int control, const char *source, const char *target, const char *type,
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

void make_folder(int control, const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 || chmod(path, mode) < 0)
		fail(control, path);
}

static const unsigned long safe = MS_NOSUID | MS_NODEV;

/* A path below the root that the program will have. */
struct path {
	char text[128];
};

static struct path below(const char *root, const char *path)
{
	struct path joined;

	snprintf(joined.text, sizeof(joined.text), "%s%s", root, path);
	return joined;
}

static void mount_below(int control, const char *root, const char *source, const char *target,
			const char *type, unsigned long flags, const char *data)
{
	must_mount(control, source, below(root, target).text, type, flags, data);
}

/* One tmpfs, so that one size bounds everything the program can write. */
static void mount_all(int control, const struct options *options)
{
	const char *root = options->writable_root ? ROOT_FOLDER : "";
	char sizes[96];

	snprintf(sizes, sizeof(sizes), "size=%llu,nr_inodes=%llu,mode=0755",
		 (unsigned long long)options->tmp_bytes, (unsigned long long)options->tmp_inodes);
	must_mount(control, "tmpfs", "/tmp", "tmpfs", safe, sizes);
	make_folder(control, "/tmp/work", 0755);
	make_folder(control, "/tmp/shm", 01777);
	make_folder(control, "/tmp/tmp", 01777);
	if (options->writable_root)
		make_writable_root(control);
	mount_below(control, root, "/tmp/shm", "/dev/shm", NULL, MS_BIND, NULL);
	/* Each of these shows the new namespaces, and hides the container's. */
	mount_below(control, root, "mqueue", "/dev/mqueue", "mqueue", safe | MS_NOEXEC, NULL);
	mount_below(control, root, "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		    "newinstance,ptmxmode=0666,mode=0620,max=" TERMINALS);
	mount_below(control, root, "proc", "/proc", "proc", safe | MS_NOEXEC, NULL);
	machine_show(control, root);
	/* Last, since they hide where the others come from. */
	mount_below(control, root, "/tmp/work", WORK_FOLDER, NULL, MS_BIND, NULL);
	mount_below(control, root, "/tmp/tmp", "/tmp", NULL, MS_BIND, NULL);
	if (options->writable_root)
		change_root(control);
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
	if (!TEARDOWN && unlink(path) < 0 && errno != ENOENT)
		fail(control, "remove the last code file");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		fail(control, "create the code file");
	/* Ruby passes over a file in which it finds nothing when it opens it. */
	if (pwrite(fd, "\n", 1, 0) != 1)
		fail(control, "begin the code file");
	if (namespaces) {
		must_mount(control, path, path, NULL, MS_BIND, NULL);
		must_mount(control, NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | safe,
			   NULL);
	}
	return fd;
}

_Noreturn void be_init(int control, const struct options *options,
		       const struct sock_fprog *filter, const struct ends *ends,
		       bool namespaces)
{
	struct report prepared = {.kind = REPORT_PREPARED};
	struct life life = {.options = options, .filter = filter, .namespaces = namespaces};
	int passed[2];

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		fail(control, "set the parent death signal");
	/* An undumpable process's files in /proc belong to root. The guest seals
	 * this one again before there is a program. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		fail(control, "dumpable");
	if (namespaces) {
		map_user(control, options->uid, options->gid);
		mount_all(control, options);
		if (!options->share_net)
			raise_loopback(control);
	} else if (options->writable_root) {
		errno = EPERM;
		fail(control, "a writable root, which needs namespaces");
	} else if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 && errno != EINVAL) {
		/* Where there is no such thing, as in gVisor, the guest gets the orphans. */
		fail(control, "become subreaper");
	}
	passed[0] = make_code_file(control, options, namespaces);
	passed[1] = open(WORK_FOLDER, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (passed[1] < 0)
		fail(control, "open the work folder");
	/* First, so that the guest has it before the program can say that it waits. */
	send_report(control, &prepared, passed, 2);
	if (!options->template)
		start_program(control, &life, ends, false);
	/* Nothing but control stays open, or the program's pipes never end. */
	if (dup2(control, 0) < 0 || syscall(SYS_close_range, 1, LAST_FD, 0) < 0)
		fail(control, "close descriptors");
	serve(0, &life);
}
