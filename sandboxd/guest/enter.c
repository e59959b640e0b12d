#define _GNU_SOURCE
#include "enter.h"

#include "syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum {
	PASSED = 6, /* pidfd, in, out, err, message, note */
	MASK = 022,
	STATUS_BYTES = 4096,
};

/* Every step is named, tried, and ends it all when it fails. */
#define MUST(what, expression)                   \
	do {                                     \
		long result_ = (expression);     \
		if (result_ < 0) {               \
			entrance->step = (what); \
			return result_;          \
		}                                \
	} while (0)

/* When memory runs out, a program goes before its guest and its template. */
static long offer_to_oom(struct entrance *entrance)
{
	static const char most[] = "1000";
	long fd = CALL4(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);

	MUST("open oom_score_adj", fd);
	MUST("write oom_score_adj", CALL3(SYS_write, fd, most, sizeof(most) - 1));
	MUST("close oom_score_adj", CALL1(SYS_close, fd));
	return 0;
}

static long join_namespaces(struct entrance *entrance)
{
	/* The pid namespace was chosen before the fork. */
	const long net = entrance->share_net ? 0 : CLONE_NEWNET;
	const long rest = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | net |
			  CLONE_NEWCGROUP;

	if (entrance->pidfd >= 0)
		MUST("join namespaces", CALL2(SYS_setns, entrance->pidfd, rest));
	return 0;
}

/* No source is overwritten: the guest keeps all the low numbers taken. */
static long take_descriptors(struct entrance *entrance)
{
	const int ends[] = {entrance->in, entrance->out, entrance->err, entrance->message,
			    entrance->note};

	for (int fd = 0; fd < FIRST_FREE_FD; fd++)
		MUST("take descriptors", CALL3(SYS_dup3, ends[fd], fd, 0));
	MUST("close descriptors", CALL3(SYS_close_range, FIRST_FREE_FD, LAST_FD, 0));
	return 0;
}

static long drop_bounding(long cap)
{
	long dropped = CALL2(SYS_prctl, PR_CAPBSET_DROP, cap);
	long held;

	if (dropped != -EPERM)
		return dropped;
	held = CALL2(SYS_prctl, PR_CAPBSET_READ, cap); /* the engine may have dropped it before */
	return held > 0 ? dropped : held;
}

static long drop_privileges(struct entrance *entrance)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
	struct sock_fprog filter = {.len = entrance->filter_length,
				    .filter = (struct sock_filter *)entrance->filter};
	long dropped, cleared;

	/* Past the last capability of this kernel the answer is EINVAL. */
	for (long cap = 0; (dropped = drop_bounding(cap)) != -EINVAL; cap++)
		MUST("empty the bounding set", dropped);
	cleared = CALL5(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	/* Where there is no such set, as in gVisor, nothing can be in it. */
	if (cleared != -EINVAL)
		MUST("clear ambient capabilities", cleared);
	MUST("drop capabilities", CALL2(SYS_capset, &header, none));
	MUST("no_new_privs", CALL5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST("install the filter",
	     CALL3(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
	return 0;
}

/* The last word before the program: what the kernel says of this very process. */
static long prove(struct entrance *entrance)
{
	char status[STATUS_BYTES];
	long fd = CALL4(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
	long count;

	MUST("open its status", fd);
	count = CALL3(SYS_read, fd, status, sizeof(status));
	MUST("read its status", count);
	MUST("close its status", CALL1(SYS_close, fd));
	MUST("prove itself", CALL3(SYS_write, NOTE_FD, status, count));
	return 0;
}

long enter(struct entrance *entrance)
{
	long result = offer_to_oom(entrance);

	if (result == 0)
		result = join_namespaces(entrance);
	if (result < 0)
		return result;
	MUST("setsid", CALL0(SYS_setsid));
	CALL1(SYS_umask, MASK);
	MUST("chdir " WORK_FOLDER, CALL1(SYS_chdir, WORK_FOLDER));
	result = take_descriptors(entrance);
	if (result == 0)
		result = drop_privileges(entrance);
	return result == 0 && entrance->prove ? prove(entrance) : result;
}

void set_filter(struct entrance *entrance, const struct sock_filter *filter, unsigned long bytes)
{
	entrance->filter = filter;
	entrance->filter_length = (unsigned short)(bytes / sizeof(*filter));
}

static long receive_descriptors(struct entrance *entrance)
{
	char wishes[2] = {0, 0};
	struct iovec data = {wishes, sizeof(wishes)};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(PASSED * sizeof(int))];
	} ancillary;
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = &ancillary,
				 .msg_controllen = sizeof(ancillary)};
	int *to[PASSED] = {&entrance->pidfd, &entrance->in,	 &entrance->out,
			   &entrance->err,   &entrance->message, &entrance->note};
	long count;

	do
		count = CALL3(SYS_recvmsg, TEMPLATE_FD, &message, MSG_CMSG_CLOEXEC);
	while (count == -EINTR);
	MUST("hear the guest", count);
	if (count == 0) {
		entrance->step = "hear the guest, which is gone";
		return -EPIPE;
	}
	entrance->share_net = wishes[0];
	entrance->prove = wishes[1];
	const int *from = (const int *)CMSG_DATA(&ancillary.header);
	int passed = (int)((ancillary.header.cmsg_len - CMSG_LEN(0)) / sizeof(int));

	/* Where there are no namespaces, there is no pidfd, and that comes first. */
	entrance->pidfd = -1;
	for (int i = 0; i < passed; i++)
		*to[i + PASSED - passed] = from[i];
	return 0;
}

long template_next(struct entrance *entrance)
{
	long result = receive_descriptors(entrance);

	if (result == 0 && entrance->pidfd >= 0)
		MUST("enter the pid namespace",
		     CALL2(SYS_setns, entrance->pidfd, CLONE_NEWPID));
	return result;
}

long template_wait(struct entrance *entrance, int child)
{
	const int held[PASSED] = {entrance->pidfd, entrance->in,      entrance->out,
				  entrance->err,   entrance->message, entrance->note};
	struct template_report report = {0, 0, 0};
	struct rusage usage;
	long result;

	/* While a copy is open here the program's pipes do not end. */
	for (int i = 0; i < PASSED; i++)
		if (held[i] >= 0)
			MUST("close descriptors", CALL1(SYS_close, held[i]));
	do
		result = CALL4(SYS_wait4, child, &report.status, 0, &usage);
	while (result == -EINTR);
	MUST("wait for the program", result);
	report.cpu_us =
		(unsigned long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
		(unsigned long)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
	report.rss_bytes = (unsigned long)usage.ru_maxrss * 1024;
	MUST("report to the guest", CALL3(SYS_write, TEMPLATE_FD, &report, sizeof(report)));
	return 0;
}
