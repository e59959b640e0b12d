/* The life of a child, from its start to its last process's end. */
#define _GNU_SOURCE
#include "facts.h"
#include "guest.h"
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static void set_deadline(uint64_t milliseconds)
{
	guest.deadline_us = now_us() + milliseconds * 1000;
}

static uint32_t oom_kills(void)
{
	char text[512];
	const char *found;
	ssize_t count;
	int fd = open(guest.oom_path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0; /* no cgroup to be seen: the daemon asks the engine */
	count = read(fd, text, sizeof(text) - 1);
	close_fd(&fd);
	text[count < 0 ? 0 : count] = '\0';
	found = strstr(text, "oom_kill ");
	return found ? (uint32_t)strtoul(found + strlen("oom_kill "), NULL, 10) : 0;
}

/* --- start --- */

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

void start_child(void)
{
	guest.state = STARTING;
	guest.noted = 0;
	guest.note_used = 0;
	guest.put_error = 0;
	guest.put_ended = false;
	guest.proof_used = 0;
	guest.stdin.credit = 0;
	guest.stdin.used = 0;
	guest.stdin.ends = false;
	streams_init();
	set_deadline(TEARDOWN_MS);
	if (child_start(&guest.child, &guest.options, &guest.filter, guest.namespaces) < 0)
		fatal("start a child: %s", strerror(errno));
}

/* This host refuses what a child needs. One run in a container is as safe; the
 * daemon is told to destroy it afterwards. */
static void do_without_namespaces(const struct report *report)
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

static _Noreturn void child_failed(const char *what, int status)
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

static void prepared(void)
{
	if (!guest.greeted)
		greet();
	if (guest.options.template &&
	    template_fork(&guest.template, &guest.child, &guest.options, guest.namespaces) < 0)
		child_failed("the template", errno);
}

/* The init is ours and has nothing else to do: its next report is waited for. */
static int obeyed(struct report *report, const char *what)
{
	struct pollfd answer = {guest.child.control, POLLIN, 0};
	int got = poll(&answer, 1, TEARDOWN_MS) == 1 ? child_report(&guest.child, report) : 0;

	if (got == 0)
		fatal("%s: no answer", what);
	if (got == 1 && report->kind == REPORT_FAILED)
		fatal("%s: %s", report->step, strerror(report->value));
	return got;
}

void runner_waits(const uint8_t *proof, size_t length)
{
	const struct order seal = {.kind = ORDER_SEAL};
	struct report report;

	if (guest.child.code < 0)
		hear_init(); /* its first report was sent before, and may be unread still */
	if (child_order(&guest.child, &seal) < 0)
		fatal("seal the child: %s", strerror(errno));
	if (obeyed(&report, "seal") != 1 || report.kind != REPORT_DONE)
		child_failed("the interpreter", 0);
	guest.state = WAITING;
	guest.deadline_us = 0;
	if (!guest.welcome)
		set_deadline(WELCOME_MS);
	guest.options.prove = false; /* once a container is enough */
	send_event(EVT_READY, proof, length);
}

/* --- run --- */

void resize(uint64_t bytes)
{
	const struct order order = {.kind = ORDER_RESIZE, .bytes = bytes};
	struct report report;

	if (!guest.namespaces)
		return; /* the container's tmpfs has the size that it has */
	if (child_order(&guest.child, &order) < 0)
		fatal("resize: %s", strerror(errno));
	if (obeyed(&report, "resize") != 1)
		fatal("resize: the init is gone");
}

void begin_run(const struct go *go)
{
	guest.go = *go;
	guest.verdict = (struct verdict){.oom_kills = oom_kills()};
	guest.state = RUNNING;
	if (guest.namespaces)
		machine_follow_limits();
	guest.started_us = now_us();
	guest.gather_us = 0;
	set_deadline(guest.go.timeout_ms);
	close_fd(&guest.child.code);
	close_fd(&guest.put);
	if (!(guest.go.flags & GO_STDIN))
		close_fd(&guest.child.in);
	close_fd(&guest.child.message); /* this the runner waits for */
	if (guest.namespaces)
		machine_tell_time();
}

/* An init's death is the death of all in its pid namespace. Without one there is
 * nothing in the container but this process, which is exempt, and the run's. */
static void kill_processes(void)
{
	if (kill(guest.namespaces ? guest.child.init : -1, SIGKILL) < 0 && errno != ESRCH)
		fatal("kill the child: %s", strerror(errno));
}

void kill_child(enum cause cause)
{
	if (guest.verdict.cause != CAUSE_EXITED)
		return; /* it is being killed */
	guest.verdict.cause = (uint8_t)cause;
	set_deadline(TEARDOWN_MS);
	kill_processes();
}

/* How long draining lasts is up to whoever reads the output. */
static void start_draining(void)
{
	guest.verdict.ran_us = now_us() - guest.started_us;
	guest.deadline_us = 0;
	guest.state = DRAINING;
	streams_opened();
}

static void add_usage(uint64_t cpu_us, uint64_t rss_bytes)
{
	guest.verdict.cpu_us += cpu_us;
	if (rss_bytes > guest.verdict.rss_bytes)
		guest.verdict.rss_bytes = rss_bytes;
}

static void ended(const struct report *report)
{
	if (guest.state == STARTING || guest.state == WAITING)
		child_failed("the interpreter", report->value);
	if (guest.state != RUNNING)
		return;
	add_usage(report->cpu_us, report->rss_bytes);
	if (WIFSIGNALED(report->value)) {
		guest.verdict.exit_code = -1;
		guest.verdict.signal = WTERMSIG(report->value);
	} else {
		guest.verdict.exit_code = WEXITSTATUS(report->value);
	}
	start_draining();
}

/* The signal is sent when this returns: no stdin that follows is read before it. */
void interrupt_child(void)
{
	const struct order order = {.kind = ORDER_INTERRUPT};
	struct report report;

	if (guest.verdict.cause != CAUSE_EXITED || child_order(&guest.child, &order) < 0)
		return; /* it is being killed, or its init has gone: SIGCHLD tells the rest */
	if (obeyed(&report, "interrupt") == 1 && report.kind == REPORT_ENDED)
		ended(&report);
}

void hear_init(void)
{
	struct report report;
	int got = child_report(&guest.child, &report);

	if (got < 0)
		close_fd(&guest.child.control); /* SIGCHLD tells the rest */
	if (got <= 0)
		return;
	switch (report.kind) {
	case REPORT_PREPARED:
		prepared();
		break;
	case REPORT_FAILED:
		if (guest.greeted || !guest.namespaces || guest.options.writable_root)
			fatal("%s: %s", report.step, strerror(report.value));
		do_without_namespaces(&report);
		break;
	case REPORT_DONE:
		fatal("an answer that nobody waits for");
	case REPORT_ENDED:
		ended(&report);
		break;
	}
}

/* A fork of the template's has ended; its init sees to the rest. */
void hear_template(void)
{
	struct template_report report;
	struct order end = {.kind = ORDER_END};
	int got = template_hear(&guest.template, &report);

	if (got < 0)
		close_fd(&guest.template.socket); /* SIGCHLD tells the rest */
	if (got <= 0)
		return;
	if (guest.state == STARTING || guest.state == WAITING)
		child_failed("a fork of the template", report.status);
	add_usage(report.cpu_us, report.rss_bytes);
	end.status = report.status;
	/* Where the init was killed it does not hear this, nor need it. */
	if (child_order(&guest.child, &end) < 0 && errno != EPIPE && errno != EBADF &&
	    errno != ECONNRESET)
		fatal("end the child: %s", strerror(errno));
}

/* The init has been reaped: nothing of its namespaces is left. */
static void child_is_gone(const struct rusage *usage)
{
	hear_init(); /* its last report may be unread still */
	if (!guest.namespaces && TEARDOWN)
		kill_processes();
	guest.child.init = -1;
	if (guest.state == STARTING || guest.state == WAITING)
		fatal("the child ended before its run");
	if (guest.state != RUNNING)
		return;
	/* Killed by us, or by the kernel for want of memory. */
	if (guest.verdict.cause == CAUSE_EXITED)
		guest.verdict.cause = CAUSE_LOST;
	guest.verdict.exit_code = -1;
	guest.verdict.signal = SIGKILL;
	add_usage((uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
			  (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec),
		  (uint64_t)usage->ru_maxrss * 1024);
	start_draining();
}

/* What it sent may be unread still; see follow_up. */
static void helper_is_gone(int status)
{
	guest.helper.reaped = true;
	guest.helper.status = status;
}

/* Without namespaces it is killed with the run; the container ends as well. */
static void template_is_gone(int status)
{
	if (guest.namespaces || guest.state == STARTING)
		child_failed("the template", status);
	guest.template.busy = false;
	close_fd(&guest.template.socket);
}

void reap(int signals)
{
	struct signalfd_siginfo info;
	struct rusage usage;
	pid_t pid;
	int status;

	while (read(signals, &info, sizeof(info)) > 0)
		;
	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		if (pid == guest.child.init)
			child_is_gone(&usage);
		else if (pid == guest.helper.pid)
			helper_is_gone(status);
		else if (pid == guest.template.pid)
			template_is_gone(status);
		/* Others are orphans, where there are no namespaces. */
	}
	if (pid < 0 && errno != ECHILD)
		fatal("wait: %s", strerror(errno));
}

/* --- end --- */

static void send_verdict(void)
{
	struct verdict *verdict = &guest.verdict;

	verdict->oom_kills = oom_kills() - verdict->oom_kills;
	send_event(EVT_EXIT, verdict, sizeof(*verdict));
	if (guest.go.flags & GO_HOLD) {
		guest.state = HELD;
		return;
	}
	guest.state = LEAVING;
	set_deadline(TEARDOWN_MS);
}

/* What follows from where things stand, in the order of a life. Without namespaces
 * the init's end is the last time that all processes are killed: a helper that was
 * asked for at the verdict must not be among them. */
void follow_up(void)
{
	if (guest.stdin.credit > 0 && outbox_room(&guest.outbox) > 0) {
		send_event(EVT_CREDIT, &guest.stdin.credit, sizeof(guest.stdin.credit));
		guest.stdin.credit = 0;
	}
	/* Before anything is read from them: without room for this there is none for output. */
	if (!guest.streams.told && outbox_room(&guest.outbox) > 0) {
		send_event(EVT_STREAMS, &guest.streams.number, sizeof(guest.streams.number));
		guest.streams.told = true;
	}
	if (guest.input.credit > 0 && outbox_room(&guest.outbox) > 0) {
		struct input_credit taken = {guest.streams.number, guest.input.credit};

		send_event(EVT_INPUT_CREDIT, &taken, sizeof(taken));
		guest.input.credit = 0;
	}
	if (guest.helper.reaped && guest.helper.pipe < 0 && outbox_room(&guest.outbox) > 0) {
		int32_t number = WIFEXITED(guest.helper.status) ? WEXITSTATUS(guest.helper.status)
								: EIO;

		guest.helper.reaped = false;
		guest.helper.pid = -1;
		send_event(EVT_FILE_END, &number, sizeof(number));
	}
	if (guest.put_ended && outbox_room(&guest.outbox) > 0) {
		int32_t number = guest.put_error;

		guest.put_ended = false;
		guest.put_error = 0;
		send_event(EVT_FILE_END, &number, sizeof(number));
	}
	pass_note();
	if (guest.state == DRAINING && guest.child.out[0] < 0 && guest.child.out[1] < 0 &&
	    !guest.template.busy && (guest.namespaces || guest.child.init < 0))
		send_verdict();
	if (guest.state == LEAVING && guest.child.init < 0) {
		streams_close();
		child_close(&guest.child);
		start_child();
	}
}

void deadline_passed(void)
{
	if (guest.state == RUNNING && guest.verdict.cause == CAUSE_EXITED)
		kill_child(CAUSE_TIMEOUT);
	else if (guest.state == WAITING)
		fatal("no daemon has answered within %d ms", WELCOME_MS);
	else
		fatal("a child did not %s in time", guest.state == STARTING ? "start" : "end");
}
