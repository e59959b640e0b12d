/* How a child comes to wait for its run: a new one, or another interpreter in a kept box. */
#define _GNU_SOURCE
#include "facts.h"
#include "guest.h"
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_once(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t count = fd < 0 ? -1 : write(fd, text, strlen(text));

	close_fd(&fd);
	return count == (ssize_t)strlen(text) ? 0 : -1;
}

/* A user namespace of the guest's own, above all the children's: a template
 * needs a say in theirs to put a fork into one. And a mount namespace, for what all
 * children are shown. Nothing outside changes. */
static int own_namespace(void)
{
	char line[64];

	/* gVisor's kernel knows none that an exec keeps, and a template needs these. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_SYS_ADMIN, 0, 0) < 0)
		return -1;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return -1;
	if (write_once("/proc/self/setgroups", "deny") < 0)
		return -1;
	snprintf(line, sizeof(line), "%u %u 1", guest.options.uid, guest.options.uid);
	if (write_once("/proc/self/uid_map", line) < 0)
		return -1;
	snprintf(line, sizeof(line), "%u %u 1", guest.options.gid, guest.options.gid);
	return write_once("/proc/self/gid_map", line);
}

void start_first_child(void)
{
	guest.options.uid = getuid();
	guest.options.gid = getgid();
	guest.options.prove = true;
	guest.namespaces = TEARDOWN && own_namespace() == 0 &&
			   machine_prepare(guest.options.share_net) == 0;
	if (!guest.namespaces)
		snprintf(guest.reason, sizeof(guest.reason), "a user namespace and mounts in it: %s",
			 strerror(errno));
	guest.template.pid = guest.template.socket = -1;
	/* Not before: an undumpable process's files in /proc belong to root. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		fatal("undumpable: %s", strerror(errno));
	if (guest.options.template &&
	    template_start(&guest.template, &guest.options, &guest.filter, guest.namespaces) < 0)
		fatal("start the template: %s", strerror(errno));
	start_child();
}

static void start_anew(void)
{
	guest.state = STARTING;
	guest.noted = 0;
	guest.note_used = 0;
	guest.proof_used = 0;
	streams_init();
	set_deadline(TEARDOWN_MS);
}

void start_child(void)
{
	start_anew();
	guest.put_error = 0;
	guest.put_ended = false;
	if (child_start(&guest.child, &guest.options, &guest.filter, guest.namespaces) < 0)
		fatal("start a child: %s", strerror(errno));
}

/* This host refuses what a child needs. One run in a container is as safe; the
 * daemon is told to destroy it afterwards. */
void do_without_namespaces(const struct report *report)
{
	snprintf(guest.reason, sizeof(guest.reason), "%s: %s", report->step,
		 strerror(report->value));
	if (waitpid(guest.child.init, NULL, 0) < 0)
		fatal("wait: %s", strerror(errno));
	child_close(&guest.child);
	machine_withdraw();
	guest.namespaces = false;
	start_child();
}

_Noreturn void child_failed(const char *what, int status)
{
	char words[512];
	int from = guest.options.template ? guest.template.words : guest.child.out[1];
	ssize_t count = read(from, words, sizeof(words) - 1);

	words[count < 0 ? 0 : count] = '\0';
	fatal("%s ended before it was ready (wait status %d): %s", what, status, words);
}

static void greet(void)
{
	char text[1024];
	int wrote = snprintf(text, sizeof(text) / 2, "version=%d\nnamespaces=%d\nreason=%s\n",
			     FRAME_VERSION, guest.namespaces || !TEARDOWN, guest.reason);
	size_t used = wrote > 0 ? (size_t)wrote : 0;

	used += facts_of_container(text + used, sizeof(text) - used);
	guest.greeted = true;
	send_event(EVT_HELLO, text, used);
}

static void fork_template(void)
{
	if (guest.options.template &&
	    template_fork(&guest.template, &guest.child, &guest.options, guest.namespaces) < 0)
		child_failed("the template", errno);
}

void prepared(void)
{
	if (!guest.greeted)
		greet();
	fork_template();
}

/* Its number in its namespace: the kernel's word in its proof. Without one it is new there. */
static pid_t number_of_program(const uint8_t *proof, size_t length)
{
	static const char key[] = "\nPid:\t";
	const char *found = memmem(proof, length, key, strlen(key));

	return found ? (pid_t)strtoul(found + strlen(key), NULL, 10) : FIRST_PID;
}

void runner_waits(const uint8_t *proof, size_t length)
{
	const struct order seal = {.kind = ORDER_SEAL,
				   .program = number_of_program(proof, length)};

	if (guest.child.work < 0)
		hear_init(); /* its first report was sent before, and may be unread still */
	if (!must_obey(&seal, "seal"))
		child_failed("the interpreter", 0);
	if (guest.state != STARTING)
		return; /* it has ended in its kept box */
	guest.state = WAITING;
	guest.oom_before = oom_kills(); /* now, when nobody waits for it */
	guest.deadline_us = 0;
	if (!guest.welcome)
		set_deadline(WELCOME_MS);
	guest.options.prove = false; /* once a container is enough */
	if (!guest.kept)
		send_event(EVT_READY, proof, length);
	else if (guest.go_waits)
		begin_run(&guest.go);
}

/* Where there are no namespaces the last program's end was the template's as well. */
static void renew_template(void)
{
	while (waitpid(guest.template.pid, NULL, 0) < 0 && errno == EINTR)
		;
	close_fd(&guest.template.socket);
	close_fd(&guest.template.words);
	if (template_start(&guest.template, &guest.options, &guest.filter,
			   guest.template.namespaces) < 0)
		fatal("start the template again: %s", strerror(errno));
}

void start_again(void)
{
	if (!guest.kept || guest.child.init < 0)
		fatal("AGAIN where no box is kept");
	start_anew();
	guest.go_waits = false;
	guest.verdict = (struct verdict){0};
	guest.oom_before = oom_kills();
	guest.started_us = now_us();
	guest.options.prove = true; /* which tells its number, too */
	if (guest.options.template && !guest.namespaces && TEARDOWN)
		renew_template();
	if (child_again(&guest.child, &guest.options) < 0 || !await_done("begin again"))
		fatal("begin again: %s", strerror(errno));
	fork_template();
}
