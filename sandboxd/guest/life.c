/* The life of a child, from its run's beginning to its last process's end. */
#define _GNU_SOURCE
#include "guest.h"
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

void set_deadline(uint64_t milliseconds)
{
	guest.deadline_us = now_us() + milliseconds * 1000;
}

uint32_t oom_kills(void)
{
	char text[512];
	const char *found;
	/* Where no cgroup is to be seen the daemon asks the engine. */
	ssize_t count = pread(guest.oom_fd, text, sizeof(text) - 1, 0);

	text[count < 0 ? 0 : count] = '\0';
	found = strstr(text, "oom_kill ");
	return found ? (uint32_t)strtoul(found + strlen("oom_kill "), NULL, 10) : 0;
}

/* --- run --- */

bool under_way(void)
{
	return guest.state == RUNNING ||
	       (guest.kept && (guest.state == STARTING || guest.state == WAITING));
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
	if (!guest.kept && (guest.state == STARTING || guest.state == WAITING))
		child_failed("the interpreter", report->value);
	if (!under_way())
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

/* The init is ours and has nothing else to do: its next report is waited for. */
static int next_report(struct report *report, const char *what)
{
	struct pollfd answer = {guest.child.control, POLLIN, 0};
	int got = poll(&answer, 1, TEARDOWN_MS) == 1 ? child_report(&guest.child, report) : 0;

	if (got == 0)
		fatal("%s: no answer", what);
	if (got == 1 && report->kind == REPORT_FAILED)
		fatal("%s: %s", report->step, strerror(report->value));
	return got;
}

bool await_done(const char *what)
{
	struct report report;

	while (next_report(&report, what) == 1) {
		if (report.kind == REPORT_DONE)
			return true;
		if (report.kind != REPORT_ENDED)
			fatal("%s: another answer", what);
		ended(&report);
		if (!guest.kept)
			return false; /* that was its init's last word */
	}
	return false;
}

bool must_obey(const struct order *order, const char *what)
{
	if (child_order(&guest.child, order) < 0)
		fatal("%s: %s", what, strerror(errno));
	return await_done(what);
}

void resize(uint64_t bytes)
{
	const struct order order = {.kind = ORDER_RESIZE, .bytes = bytes};

	/* Without namespaces the container's tmpfs has the size that it has. */
	if (guest.namespaces && !must_obey(&order, "resize"))
		fatal("resize: the init is gone");
}

static void keep(void)
{
	const struct order order = {.kind = ORDER_KEEP};

	if (!must_obey(&order, "keep"))
		fatal("keep: the init is gone");
	guest.kept = true;
}

void begin_run(const struct go *go)
{
	if (!guest.kept)
		close_fd(&guest.put); /* into a kept box it may come at any time */
	if (go->flags & GO_KEEP && !guest.kept)
		keep();
	guest.go = *go;
	guest.verdict = (struct verdict){0};
	guest.state = RUNNING;
	if (guest.namespaces)
		machine_follow_limits();
	guest.started_us = now_us();
	guest.gather_us = 0;
	set_deadline(guest.go.timeout_ms);
	close_fd(&guest.child.code);
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

/* After an order failed: whether its init is no more, which SIGCHLD will tell. */
static bool has_gone(void)
{
	return errno == EPIPE || errno == EBADF || errno == ECONNRESET;
}

void kill_child(enum cause cause)
{
	const struct order order = {.kind = ORDER_KILL};

	if (guest.verdict.cause != CAUSE_EXITED)
		return; /* it is being killed */
	guest.verdict.cause = (uint8_t)cause;
	set_deadline(TEARDOWN_MS);
	if (!guest.kept)
		kill_processes();
	else if (child_order(&guest.child, &order) < 0 && !has_gone())
		fatal("kill what is kept: %s", strerror(errno));
}

/* The signal is sent when this returns: no stdin that follows is read before it. */
void interrupt_child(int number)
{
	const struct order order = {.kind = ORDER_INTERRUPT, .signal = number};

	/* It may be on its way out, or its init gone: SIGCHLD tells the rest. */
	if (guest.verdict.cause == CAUSE_EXITED && child_order(&guest.child, &order) == 0)
		await_done("interrupt");
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

/* Where the init was killed it does not hear this, nor need it. */
static void program_ended(int status)
{
	const struct order order = {.kind = ORDER_END, .status = status};

	if (child_order(&guest.child, &order) < 0 && !has_gone())
		fatal("end the child: %s", strerror(errno));
}

/* A fork of the template's has ended; its init sees to the rest. */
void hear_template(void)
{
	struct template_report report;
	int got = template_hear(&guest.template, &report);

	if (got < 0)
		close_fd(&guest.template.socket); /* SIGCHLD tells the rest */
	if (got <= 0)
		return;
	if (!guest.kept && (guest.state == STARTING || guest.state == WAITING))
		child_failed("a fork of the template", report.status);
	add_usage(report.cpu_us, report.rss_bytes);
	program_ended(report.status);
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
	if (guest.template.busy)
		program_ended(status); /* nobody else is left to tell */
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

	/* Of stdin and of streams nothing is told after the end. */
	close_fd(&guest.child.in);
	reset_feed(&guest.stdin);
	streams_close();
	verdict->oom_kills = oom_kills() - guest.oom_before;
	send_event(EVT_EXIT, verdict, sizeof(*verdict));
	if (guest.kept || guest.go.flags & GO_HOLD) {
		guest.state = HELD;
		return;
	}
	guest.state = LEAVING;
	set_deadline(TEARDOWN_MS);
}

/* Without namespaces the init's end is the last time that all processes are killed: a
 * helper that was asked for at the verdict must not be among them. In a kept box nothing
 * of one interpreter is told after its end, when the next may have begun. */
static bool has_drained(void)
{
	if (guest.child.out[0] >= 0 || guest.child.out[1] >= 0 || guest.template.busy)
		return false;
	if (guest.kept)
		return guest.child.note < 0;
	return guest.namespaces || guest.child.init < 0;
}

/* What follows from where things stand, in the order of a life. */
void follow_up(void)
{
	if (guest.stdin.credit > 0 && outbox_room(&guest.outbox) > 0) {
		send_along(EVT_CREDIT, &guest.stdin.credit, sizeof(guest.stdin.credit));
		guest.stdin.credit = 0;
	}
	/* Before anything is read from them: without room for this there is none for output. */
	if (!guest.streams.told && outbox_room(&guest.outbox) > 0) {
		send_along(EVT_STREAMS, &guest.streams.number, sizeof(guest.streams.number));
		guest.streams.told = true;
	}
	if (guest.input.credit > 0 && outbox_room(&guest.outbox) > 0) {
		struct input_credit taken = {guest.streams.number, guest.input.credit};

		send_along(EVT_INPUT_CREDIT, &taken, sizeof(taken));
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
	if (guest.state == DRAINING && has_drained())
		send_verdict();
	if (guest.state == LEAVING && guest.child.init < 0) {
		child_close(&guest.child);
		start_child();
	}
}

void deadline_passed(void)
{
	if (under_way() && guest.verdict.cause == CAUSE_EXITED)
		kill_child(CAUSE_TIMEOUT);
	else if (guest.state == WAITING)
		fatal("no daemon has answered within %d ms", WELCOME_MS);
	else
		fatal("a child did not %s in time", guest.state == STARTING ? "start" : "end");
}
