#define _GNU_SOURCE
#include "filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <unistd.h>

/* The container's own profile is an allow list, and what it allows the guest
 * for making namespaces is taken from the program here. The two add up: a
 * system call newer than either is refused by the first. Everything else on
 * this list stands twice, so that one wrong profile opens nothing. */
static const char *const denied[] = {
	/* mounts, by the old calls and the new */
	"mount", "umount", "umount2", "pivot_root", "chroot", "open_tree",
	"move_mount", "fsopen", "fsconfig", "fsmount", "fspick",
	"mount_setattr", "statmount", "listmount",
	/* namespaces; clone is handled below, by its flags */
	"unshare", "setns",
	/* other processes' memory and descriptors */
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
	"pidfd_getfd", "kcmp",
	/* large kernel surfaces with a history */
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup",
	"io_uring_enter", "io_uring_register", "fanotify_init",
	"fanotify_mark", "vmsplice",
	/* keys are counted and found by user, across namespaces */
	"keyctl", "add_key", "request_key",
	/* files by handle walk past a mount namespace (CVE-2014-3519's kind) */
	"open_by_handle_at", "name_to_handle_at", "lookup_dcookie",
	/* the machine itself */
	"init_module", "finit_module", "delete_module", "create_module",
	"kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct",
	"quotactl", "quotactl_fd", "syslog", "settimeofday", "clock_settime",
	"clock_adjtime", "adjtimex", "stime", "sethostname", "setdomainname",
	"vhangup", "nfsservctl", "uselib", "ustat", "sysfs", "_sysctl",
	"iopl", "ioperm", "modify_ldt",
	/* memory policy moves pages for the whole cgroup */
	"mbind", "set_mempolicy", "migrate_pages", "move_pages",
};

static const unsigned long namespace_flags[] = {
	CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNS,     CLONE_NEWIPC,
	CLONE_NEWUTS,  CLONE_NEWNET, CLONE_NEWCGROUP,
};

static int deny_names(scmp_filter_ctx ctx)
{
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
		int call = seccomp_syscall_resolve_name(denied[i]);

		if (call == __NR_SCMP_ERROR)
			continue; /* newer than this libseccomp; the container's profile lacks it */
		int rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), call, 0);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int deny_arguments(scmp_filter_ctx ctx)
{
	int rc;

	/* clone3 hides its flags behind a pointer; ENOSYS makes every C
	 * library fall back to clone, whose flags can be seen. */
	rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	for (size_t i = 0; rc == 0 && i < sizeof(namespace_flags) / sizeof(namespace_flags[0]); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				      SCMP_A0(SCMP_CMP_MASKED_EQ, namespace_flags[i], namespace_flags[i]));
	/* Input pushed into a terminal would be typed into whoever reads it. */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCSTI));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, TIOCLINUX));
	/* Limits of its own, which it names 0. The init has the same user, which is all
	 * that the kernel asks for. */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 2,
				      SCMP_A0(SCMP_CMP_NE, 0), SCMP_A2(SCMP_CMP_NE, 0));
	return rc;
}

static int deny_sockets(scmp_filter_ctx ctx)
{
	/* Allowed families are unix, inet, inet6 and netlink's route: all
	 * others by the gaps between them, since a rule can only say no. */
	int rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
				  SCMP_A0(SCMP_CMP_EQ, AF_UNSPEC));
	for (unsigned int family = AF_INET + 1; rc == 0 && family < AF_NETLINK; family++)
		if (family != AF_INET6)
			rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
					      SCMP_A0(SCMP_CMP_EQ, family));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
				      SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 2,
				      SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
				      SCMP_A2(SCMP_CMP_NE, NETLINK_ROUTE));
	/* A pair can be of one family alone; others would get as far as their own code. */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socketpair), 1,
				      SCMP_A0(SCMP_CMP_NE, AF_UNIX));
	return rc;
}

static int export_program(scmp_filter_ctx ctx, struct sock_fprog *filter)
{
	struct stat size;
	int fd = memfd_create("filter", MFD_CLOEXEC);
	int rc = -1;

	if (fd < 0)
		return -1;
	errno = -seccomp_export_bpf(ctx, fd);
	if (errno == 0 && fstat(fd, &size) == 0) {
		filter->len = (unsigned short)((size_t)size.st_size / sizeof(struct sock_filter));
		filter->filter = malloc((size_t)size.st_size);
		if (filter->filter && pread(fd, filter->filter, (size_t)size.st_size, 0) == size.st_size)
			rc = 0;
	}
	if (close(fd) < 0)
		rc = -1;
	return rc;
}

int filter_compile(struct sock_fprog *filter)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc;

	if (!ctx) {
		errno = ENOMEM;
		return -1;
	}
	/* A binary tree instead of a list: a few comparisons a call, not eighty. */
	rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0) /* 32-bit and x32 calls have other numbers: none of them */
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (rc == 0)
		rc = deny_names(ctx);
	if (rc == 0)
		rc = deny_arguments(ctx);
	if (rc == 0)
		rc = deny_sockets(ctx);
	if (rc == 0)
		rc = export_program(ctx, filter);
	else
		errno = -rc;
	seccomp_release(ctx);
	return rc == 0 ? 0 : -1;
}

int filter_install(const struct sock_fprog *filter)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter, 0, 0);
}
