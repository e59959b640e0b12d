/* Puts files.c to what a test says, under the sanitizers.
 *
 * "list FOLDER", "read FOLDER PATH [OFFSET LENGTH]": stdout is what the guest would
 * send, and the exit code the errno. "create FOLDER PATH [MODE [OFFSET]]", the mode in
 * octal: stdin goes into the file. "fifo FOLDER NAME": stdin goes through a fifo that is
 * made there, and is removed again. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The guest's own; files.c needs no more of it than this. */
void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void copy(int from, int to)
{
	char bytes[4096];
	ssize_t count;

	while ((count = read(from, bytes, sizeof(bytes))) > 0)
		if (write(to, bytes, (size_t)count) != count)
			exit(200);
	if (count < 0)
		exit(201);
}

/* As a kernel that is older than openat2. */
static int refuse_openat2(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(rules) / sizeof(rules[0]), .filter = rules};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
		       ? -1
		       : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int through_fifo(int work, const char *name)
{
	int held, end = files_fifo(work, name, O_RDONLY, &held);
	struct stat status;

	if (end < 0)
		return errno;
	if (fstatat(work, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISFIFO(status.st_mode))
		return 206;
	copy(STDIN_FILENO, held);
	close_fd(&held);
	copy(end, STDOUT_FILENO);
	files_remove(work, name);
	return 0;
}

int main(int argc, char **argv)
{
	struct helper helper = {.pid = -1, .pipe = -1};
	struct range range = {.length = UINT64_MAX};
	struct put put = {0};
	int work, file, status;

	if (getenv("WITHOUT_OPENAT2") && refuse_openat2() < 0)
		return 205;
	if (argc < 3 || (work = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 202;
	if (argc >= 4 && strcmp(argv[1], "create") == 0) {
		if (argc > 4) {
			put.flags = PUT_MODE;
			put.mode = (uint16_t)strtoul(argv[4], NULL, 8);
		}
		if (argc > 5) {
			put.flags |= PUT_AT;
			put.offset = strtoull(argv[5], NULL, 10);
		}
		if ((file = files_create(work, argv[3], &put)) < 0)
			return errno;
		copy(STDIN_FILENO, file);
		return 0;
	}
	if (argc > 5) {
		range.offset = strtoull(argv[4], NULL, 10);
		range.length = strtoull(argv[5], NULL, 10);
	}
	if (argc == 4 && strcmp(argv[1], "fifo") == 0)
		return through_fifo(work, argv[3]);
	if (strcmp(argv[1], "list") == 0)
		status = files_list(&helper, work, "main.py");
	else
		status = files_read(&helper, work, argv[3], &range);
	if (status < 0 || fcntl(helper.pipe, F_SETFL, 0) < 0)
		return 203;
	copy(helper.pipe, STDOUT_FILENO);
	if (waitpid(helper.pid, &status, 0) < 0 || !WIFEXITED(status))
		return 204;
	return WEXITSTATUS(status);
}
