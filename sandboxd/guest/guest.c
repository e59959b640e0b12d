/* The guest: the first process of every container, the same in every image.
 *
 * It speaks frames (frame.h) with the daemon over stdin and stdout, keeps one
 * child (child.h) waiting, gives it a program when the daemon says so, sends
 * on what the program prints, and replaces it. One loop, which never blocks:
 * a kill or a timeout works while nobody reads the output. Whatever should
 * not happen ends the process, and with it the container.
 *
 * When the daemon goes away stdin ends, and so does all of this. */
#define _GNU_SOURCE
#include "child.h"
#include "filter.h"
#include "frame.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	CHUNK = 65536,	      /* the most one output frame carries */
	ROOM_FOR_CONTROL = 4096, /* output stops early enough for all other frames */
	STDIN_WINDOW = 262144, /* what the daemon may send ahead of CREDIT */
	NOTE_LIMIT = 65536,    /* bytes a run; more is thrown away */
	OUTPUT_FLOOD = 64,     /* times the output limit, then the run is ended */
	TEARDOWN_MS = 10000,   /* a namespace that outlives its kill by this is given up */
	REASON_BYTES = 128,
};

enum state {
	STARTING,  /* a child is being made; nobody may use it yet */
	WAITING,   /* it waits; the daemon fills in code and message */
	RUNNING,   /* from GO until its end is known */
	DRAINING,  /* all its processes are gone, what they wrote is not sent yet */
	LEAVING,   /* its verdict is sent, its namespaces are being taken down */
};

static struct {
	enum state state;
	bool namespaces;
	bool greeted;
	char reason[REASON_BYTES]; /* why there are no namespaces */
	const char *oom_path;
	struct options options;
	struct sock_fprog filter;
	struct child child;
	struct go go;
	struct verdict verdict;
	uint64_t started_us;
	uint64_t deadline_us; /* 0: none */
	uint64_t noted;
	uint32_t credit;      /* stdin taken and not told yet */
	bool stdin_ends;
	size_t stdin_used;
	uint8_t stdin_bytes[STDIN_WINDOW];
	size_t outbox_used;
	uint8_t outbox[FRAME_HEADER + CHUNK + ROOM_FOR_CONTROL];
	struct frame_reader inbox;
} guest;

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- frames out --- */

static size_t outbox_room(void)
{
	return sizeof(guest.outbox) - guest.outbox_used;
}

static void flush_outbox(void)
{
	ssize_t count = write(STDOUT_FILENO, guest.outbox, guest.outbox_used);

	if (count < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return;
		exit(EXIT_FAILURE); /* nobody to talk to */
	}
	guest.outbox_used -= (size_t)count;
	memmove(guest.outbox, guest.outbox + count, guest.outbox_used);
}

/* Frames other than output are few and small: ROOM_FOR_CONTROL holds them all. */
static void send_frame(enum event type, const void *payload, size_t length)
{
	uint8_t *at = guest.outbox + guest.outbox_used;

	if (outbox_room() < FRAME_HEADER + length)
		abort();
	frame_header(at, type, (uint32_t)length);
	memcpy(at + FRAME_HEADER, payload, length);
	guest.outbox_used += FRAME_HEADER + length;
}

static _Noreturn void __attribute__((format(printf, 1, 2))) fatal(const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (outbox_room() >= FRAME_HEADER + strlen(text))
		send_frame(EVT_FATAL, text, strlen(text));
	/* The last words may wait for the reader; then this process is gone. */
	if (fcntl(STDOUT_FILENO, F_SETFL, 0) == 0)
		flush_outbox();
	exit(EXIT_FAILURE);
}

/* --- the child's life --- */

static void start_child(void)
{
	guest.state = STARTING;
	guest.noted = 0;
	guest.credit = 0;
	guest.stdin_used = 0;
	guest.stdin_ends = false;
	guest.deadline_us = now_us() + (uint64_t)TEARDOWN_MS * 1000;
	if (child_start(&guest.child, &guest.options, &guest.filter, guest.namespaces) == 0)
		return;
	if (guest.greeted || !guest.namespaces)
		fatal("start a child: %s", strerror(errno));
	snprintf(guest.reason, sizeof(guest.reason), "clone: %s", strerror(errno));
	guest.namespaces = false;
	start_child();
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

/* An init's death is the death of all in its pid namespace. Without one there is
 * nothing in the container but this process, which is exempt, and the run's. */
static void kill_processes(void)
{
	if (kill(guest.namespaces ? guest.child.init : -1, SIGKILL) < 0 && errno != ESRCH)
		fatal("kill the child: %s", strerror(errno));
}

static void kill_child(enum cause cause)
{
	if (guest.verdict.cause == CAUSE_EXITED)
		guest.verdict.cause = (uint8_t)cause;
	guest.deadline_us = now_us() + (uint64_t)TEARDOWN_MS * 1000;
	kill_processes();
}

static void send_verdict(void)
{
	struct verdict *verdict = &guest.verdict;

	verdict->oom_kills = oom_kills() - verdict->oom_kills;
	send_frame(EVT_EXIT, verdict, sizeof(*verdict));
	guest.state = LEAVING;
	guest.deadline_us = now_us() + (uint64_t)TEARDOWN_MS * 1000;
	child_close(&guest.child);
}

/* How long this lasts is up to whoever reads the output. */
static void start_draining(void)
{
	guest.verdict.ran_us = now_us() - guest.started_us;
	guest.deadline_us = 0;
	guest.state = DRAINING;
}

static _Noreturn void child_failed(const struct report *report)
{
	char words[512];
	ssize_t count = read(guest.child.out[1], words, sizeof(words) - 1);

	words[count < 0 ? 0 : count] = '\0';
	if (report->kind == REPORT_FAILED)
		fatal("%s: %s", report->step, strerror(report->value));
	fatal("the interpreter ended before it was ready (wait status %d): %s", report->value, words);
}

static void greet(void)
{
	char text[256];

	snprintf(text, sizeof(text), "version=%d\nnamespaces=%d\nreason=%s\n", FRAME_VERSION,
		 guest.namespaces, guest.reason);
	guest.greeted = true;
	send_frame(EVT_HELLO, text, strlen(text));
}

static void hear_init(void)
{
	struct report report;
	int got = child_report(&guest.child, &report);

	if (got <= 0) {
		if (got < 0)
			close_fd(&guest.child.control); /* SIGCHLD tells the rest */
		return;
	}
	switch (report.kind) {
	case REPORT_PREPARED:
		if (!guest.greeted)
			greet();
		break;
	case REPORT_FAILED:
		if (guest.greeted || !guest.namespaces)
			child_failed(&report);
		/* This host refuses what a child needs. One run in a container
		 * is as safe; the daemon is told to destroy it afterwards. */
		snprintf(guest.reason, sizeof(guest.reason), "%s: %s", report.step,
			 strerror(report.value));
		if (waitpid(guest.child.init, NULL, 0) < 0)
			fatal("wait: %s", strerror(errno));
		child_close(&guest.child);
		guest.namespaces = false;
		start_child();
		break;
	case REPORT_ENDED:
		if (guest.state == STARTING || guest.state == WAITING)
			child_failed(&report);
		if (guest.state != RUNNING)
			break;
		guest.verdict.cpu_us = report.cpu_us;
		guest.verdict.rss_bytes = report.rss_bytes;
		if (WIFSIGNALED(report.value)) {
			guest.verdict.exit_code = -1;
			guest.verdict.signal = WTERMSIG(report.value);
		} else {
			guest.verdict.exit_code = WEXITSTATUS(report.value);
		}
		start_draining();
		break;
	}
}

/* The init has been reaped: nothing of its namespaces is left. */
static void child_is_gone(void)
{
	hear_init(); /* its last report may be unread still */
	if (!guest.namespaces)
		kill_processes();
	guest.child.init = -1;
	if (guest.state == STARTING || guest.state == WAITING)
		fatal("the child ended before its run");
	if (guest.state == RUNNING) {
		/* Killed by us, or by the kernel for want of memory. */
		if (guest.verdict.cause == CAUSE_EXITED)
			guest.verdict.cause = CAUSE_LOST;
		guest.verdict.exit_code = -1;
		guest.verdict.signal = SIGKILL;
		start_draining();
	}
}

static void reap(int signals)
{
	struct signalfd_siginfo info;
	struct rusage usage;
	pid_t pid;
	int status;

	while (read(signals, &info, sizeof(info)) > 0)
		;
	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		if (pid != guest.child.init)
			continue; /* an orphan, where there are no namespaces */
		if (guest.state == RUNNING) {
			guest.verdict.cpu_us =
				(uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
				(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
			guest.verdict.rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
		}
		child_is_gone();
	}
	if (pid < 0 && errno != ECHILD)
		fatal("wait: %s", strerror(errno));
}

/* --- output --- */

/* Past its limit a stream is read and thrown away, so that the program neither
 * blocks nor floods the engine. */
static void pump_output(int stream)
{
	uint8_t scratch[CHUNK];
	uint8_t *at = guest.outbox + guest.outbox_used;
	uint64_t written = guest.verdict.written[stream];
	uint64_t left = written < guest.go.output_limit ? guest.go.output_limit - written : 0;
	size_t want = outbox_room() - FRAME_HEADER - ROOM_FOR_CONTROL;
	ssize_t count;

	if (left == 0)
		count = read(guest.child.out[stream], scratch, sizeof(scratch));
	else
		count = read(guest.child.out[stream], at + FRAME_HEADER,
			     want < CHUNK ? want : CHUNK);
	if (count < 0) {
		if (errno != EAGAIN && errno != EINTR)
			fatal("read output: %s", strerror(errno));
		return;
	}
	if (count == 0) {
		close_fd(&guest.child.out[stream]);
		return;
	}
	written += (uint64_t)count;
	guest.verdict.written[stream] = written;
	if (left > 0) {
		uint32_t sent = (uint64_t)count < left ? (uint32_t)count : (uint32_t)left;

		frame_header(at, stream == 0 ? EVT_STDOUT : EVT_STDERR, sent);
		guest.outbox_used += FRAME_HEADER + sent;
	}
	if (guest.state == RUNNING && written / OUTPUT_FLOOD > guest.go.output_limit &&
	    guest.verdict.cause == CAUSE_EXITED)
		kill_child(CAUSE_OUTPUT);
}

static void pump_note(void)
{
	uint8_t bytes[1024];
	ssize_t count = read(guest.child.note, bytes, sizeof(bytes));

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0) {
		close_fd(&guest.child.note);
	} else if (guest.state == STARTING) {
		guest.state = WAITING;
		guest.deadline_us = 0;
		send_frame(EVT_READY, NULL, 0);
	} else if (guest.noted < NOTE_LIMIT) {
		guest.noted += (uint64_t)count;
		send_frame(EVT_NOTE, bytes, (size_t)count);
	}
}

static void pump_stdin(void)
{
	ssize_t count = (ssize_t)guest.stdin_used;

	if (count > 0)
		count = write(guest.child.in, guest.stdin_bytes, guest.stdin_used);
	if (count < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return;
		/* The program closed its stdin: the rest has no reader. */
		close_fd(&guest.child.in);
		count = (ssize_t)guest.stdin_used;
	}
	guest.credit += (uint32_t)count;
	guest.stdin_used -= (size_t)count;
	memmove(guest.stdin_bytes, guest.stdin_bytes + count, guest.stdin_used);
	if (guest.stdin_used == 0 && guest.stdin_ends)
		close_fd(&guest.child.in);
}

/* --- frames in --- */

static void write_all(int fd, const struct frame *frame, const char *what)
{
	ssize_t count = write(fd, frame->payload, frame->length);

	if (count != (ssize_t)frame->length)
		fatal("write %s: %s", what, count < 0 ? strerror(errno) : "no room");
}

static void begin_run(const struct frame *frame)
{
	if (guest.state != WAITING || frame->length != sizeof(guest.go))
		fatal("GO out of place");
	memcpy(&guest.go, frame->payload, sizeof(guest.go));
	guest.verdict = (struct verdict){.oom_kills = oom_kills()};
	guest.state = RUNNING;
	guest.started_us = now_us();
	guest.deadline_us = guest.started_us + (uint64_t)guest.go.timeout_ms * 1000;
	close_fd(&guest.child.code);
	if (!(guest.go.flags & GO_STDIN))
		close_fd(&guest.child.in);
	close_fd(&guest.child.message); /* this the runner waits for */
}

static void take_stdin(const struct frame *frame)
{
	if (guest.state != RUNNING)
		return; /* the run ended while it was under way */
	if (guest.child.in < 0) {
		guest.credit += frame->length;
		return;
	}
	if (frame->length > sizeof(guest.stdin_bytes) - guest.stdin_used)
		fatal("stdin past the window");
	memcpy(guest.stdin_bytes + guest.stdin_used, frame->payload, frame->length);
	guest.stdin_used += frame->length;
}

static void obey(const struct frame *frame)
{
	switch (frame->type) {
	case CMD_CODE:
		if (guest.state != WAITING)
			fatal("CODE out of place");
		write_all(guest.child.code, frame, "the code");
		break;
	case CMD_MESSAGE:
		if (guest.state != WAITING)
			fatal("MESSAGE out of place");
		write_all(guest.child.message, frame, "the message");
		break;
	case CMD_GO:
		begin_run(frame);
		break;
	case CMD_STDIN:
		take_stdin(frame);
		break;
	case CMD_STDIN_EOF:
		if (guest.state == RUNNING)
			guest.stdin_ends = true;
		break;
	case CMD_KILL:
		if (guest.state == RUNNING)
			kill_child(CAUSE_KILLED);
		break;
	default:
		fatal("unknown frame 0x%02x", frame->type);
	}
}

static void hear_daemon(void)
{
	struct frame frame;
	size_t room, offset = 0;
	uint8_t *space = frame_space(&guest.inbox, &room);
	ssize_t count = read(STDIN_FILENO, space, room);
	int got;

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0)
		exit(EXIT_SUCCESS); /* the daemon has gone */
	frame_filled(&guest.inbox, (size_t)count);
	while ((got = frame_next(&guest.inbox, &offset, &frame)) > 0)
		obey(&frame);
	if (got < 0)
		fatal("a frame over %d bytes", FRAME_PAYLOAD_MAX);
	frame_consume(&guest.inbox, offset);
}

/* --- the loop --- */

static void deadline_passed(void)
{
	if (guest.state == RUNNING && guest.verdict.cause == CAUSE_EXITED)
		kill_child(CAUSE_TIMEOUT);
	else
		fatal("a child did not %s in time", guest.state == STARTING ? "start" : "end");
}

static int milliseconds_left(void)
{
	uint64_t now;

	if (guest.deadline_us == 0)
		return -1;
	now = now_us();
	if (now >= guest.deadline_us)
		return 0;
	return (int)((guest.deadline_us - now + 999) / 1000);
}

static void step(void)
{
	/* Things that follow from what has happened, in the order of a life. */
	if (guest.state == DRAINING && guest.child.out[0] < 0 && guest.child.out[1] < 0)
		send_verdict();
	if (guest.state == LEAVING && guest.child.init < 0)
		start_child();
	if (guest.credit > 0 && outbox_room() >= ROOM_FOR_CONTROL) {
		uint32_t credit = guest.credit;

		guest.credit = 0;
		send_frame(EVT_CREDIT, &credit, sizeof(credit));
	}
}

enum { DAEMON, DAEMON_OUT, SIGNALS, CONTROL, OUT, ERR, NOTE, IN, POLLED };

static void wait_and_serve(int signals)
{
	bool room = outbox_room() > FRAME_HEADER + ROOM_FOR_CONTROL;
	bool feeds = guest.stdin_used > 0 || guest.stdin_ends;
	struct pollfd fds[POLLED] = {
		[DAEMON] = {STDIN_FILENO, POLLIN, 0},
		[DAEMON_OUT] = {guest.outbox_used ? STDOUT_FILENO : -1, POLLOUT, 0},
		[SIGNALS] = {signals, POLLIN, 0},
		[CONTROL] = {guest.child.control, POLLIN, 0},
		[OUT] = {room && guest.state != STARTING ? guest.child.out[0] : -1, POLLIN, 0},
		[ERR] = {room && guest.state != STARTING ? guest.child.out[1] : -1, POLLIN, 0},
		[NOTE] = {room ? guest.child.note : -1, POLLIN, 0},
		[IN] = {feeds ? guest.child.in : -1, POLLOUT, 0},
	};

	if (poll(fds, POLLED, milliseconds_left()) < 0 && errno != EINTR)
		fatal("poll: %s", strerror(errno));
	if (fds[DAEMON_OUT].revents)
		flush_outbox();
	if (fds[DAEMON].revents)
		hear_daemon();
	if (fds[NOTE].revents)
		pump_note();
	if (fds[OUT].revents && outbox_room() > FRAME_HEADER + ROOM_FOR_CONTROL)
		pump_output(0);
	if (fds[ERR].revents && outbox_room() > FRAME_HEADER + ROOM_FOR_CONTROL)
		pump_output(1);
	if (fds[IN].revents)
		pump_stdin();
	if (fds[CONTROL].revents)
		hear_init();
	if (fds[SIGNALS].revents)
		reap(signals);
	if (guest.deadline_us && now_us() >= guest.deadline_us)
		deadline_passed();
}

static uint64_t parse_number(const char *text, const char *what)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end)
		fatal("%s: not a number: %s", what, text);
	return value;
}

static void parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{"code-name", required_argument, NULL, 'c'},
		{"tmp-bytes", required_argument, NULL, 't'},
		{"tmp-inodes", required_argument, NULL, 'i'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			guest.options.code_name = optarg;
			break;
		case 't':
			guest.options.tmp_bytes = parse_number(optarg, "--tmp-bytes");
			break;
		case 'i':
			guest.options.tmp_inodes = parse_number(optarg, "--tmp-inodes");
			break;
		default:
			fatal("unknown option");
		}
	}
	if (!guest.options.code_name || !guest.options.tmp_bytes || optind >= argc)
		fatal("usage: guest --code-name NAME --tmp-bytes N --tmp-inodes N -- INTERPRETER ...");
	guest.options.argv = argv + optind;
}

/* Descriptors 0 to 4 stay taken, so that a child can move its ends there. */
static void reserve_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd < 4);
	if (fd < 0)
		fatal("open /dev/null: %s", strerror(errno));
	if (fd > 4)
		close_fd(&fd);
}

static int open_signals(void)
{
	sigset_t set;
	int fd;

	if (sigemptyset(&set) < 0 || sigaddset(&set, SIGCHLD) < 0 ||
	    sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		fatal("signals: %s", strerror(errno));
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		fatal("signalfd: %s", strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	int signals;

	reserve_descriptors();
	parse_options(argc, argv);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		fatal("undumpable: %s", strerror(errno));
	if (fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK) < 0)
		fatal("non-blocking: %s", strerror(errno));
	if (filter_compile(&guest.filter) < 0)
		fatal("compile the filter: %s", strerror(errno));
	signals = open_signals();
	guest.oom_path = access("/sys/fs/cgroup/memory.events", R_OK) == 0
				 ? "/sys/fs/cgroup/memory.events"
				 : "/sys/fs/cgroup/memory/memory.oom_control";
	guest.namespaces = true;
	start_child();
	for (;;) {
		step();
		wait_and_serve(signals);
	}
}
