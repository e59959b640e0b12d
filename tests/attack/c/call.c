/* Makes system calls and says how each ended, a line each: "ok", the name of an
 * errno, or the signal that ended the process that made it.
 *
 *   call CALL [-- CALL]...        CALL: [int80|x32] NUMBER [ARGUMENT]...
 *
 * An argument is a number, or a pointer: "s:TEXT" to that text, "z:COUNT" to so
 * many zeros. Each call is made by a process of its own: what it does to its
 * caller ends with that. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS = 6, X32 = 0x40000000 };

static long argument(const char *text)
{
	if (!strncmp(text, "s:", 2))
		return (long)(text + 2);
	if (!strncmp(text, "z:", 2))
		return (long)calloc(1, strtoul(text + 2, NULL, 0));
	return (long)strtoull(text, NULL, 0);
}

static int by_int80(long number, const long *a)
{
	long result = -ENOSYS;

#ifdef __x86_64__
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
			 : "memory", "r8", "r9", "r10", "r11");
#endif
	return (int)result;
}

static void make(int count, char **words)
{
	int old = !strcmp(words[0], "int80"), other = !strcmp(words[0], "x32");
	int at = old || other;
	long a[ARGUMENTS] = {0}, number, result;

	if (count <= at)
		exit(2);
	number = strtol(words[at], NULL, 0) | (other ? X32 : 0);
	for (int i = 0; i < ARGUMENTS && at + 1 + i < count; i++)
		a[i] = argument(words[at + 1 + i]);
	if (old) {
		result = by_int80(number, a);
		errno = (int)-result;
	} else {
		result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
	if (result == 0 && number == SYS_clone)
		_exit(0); /* the child that there should not be */
	puts(result >= 0 || (!old && result != -1) ? "ok" : strerrorname_np(errno));
}

int main(int argc, char **argv)
{
	for (int first = 1, last; first < argc; first = last + 1) {
		int status;

		for (last = first; last < argc && strcmp(argv[last], "--"); last++)
			;
		if (fork() == 0) {
			make(last - first, argv + first);
			return 0;
		}
		if (wait(&status) < 0)
			return 1;
		if (WIFSIGNALED(status))
			printf("SIG%s\n", sigabbrev_np(WTERMSIG(status)));
		fflush(stdout);
	}
	return 0;
}
