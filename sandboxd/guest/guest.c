/* The guest: the first process of every container, the same in every image.
 *
 * It speaks frames (frame.h) with the daemon over stdin and stdout, keeps one
 * child (child.h) waiting, gives it a program when the daemon says so, sends
 * on what the program prints, and replaces it. One loop, which never blocks:
 * a kill or a timeout works while nobody reads the output. Whatever should
 * not happen ends the process, and with it the container.
 *
 * When the daemon goes away stdin ends, and so does all of this. An engine that ends
 * while it starts a container forgets it, and holds its stdin open for ever: a guest
 * that nobody welcomes ends by itself. */
#define _GNU_SOURCE
#include "guest.h"

#include "filter.h"
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

struct guest guest;

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void add_event(enum event type, const void *payload, size_t length)
{
	if (!outbox_add(&guest.outbox, type, payload, length))
		abort();
}

void send_event(enum event type, const void *payload, size_t length)
{
	guest.whole_us = 0;
	add_event(type, payload, length);
}

void send_along(enum event type, const void *payload, size_t length)
{
	if (guest.outbox.used == 0)
		guest.whole_us = now_us() + GATHER_US;
	add_event(type, payload, length);
}

_Noreturn void fatal(const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	outbox_add(&guest.outbox, EVT_FATAL, text, strlen(text));
	/* The last words may wait for their reader; then this process is gone. */
	if (fcntl(STDOUT_FILENO, F_SETFL, 0) == 0)
		outbox_flush(&guest.outbox, STDOUT_FILENO);
	exit(EXIT_FAILURE);
}

/* --- the loop --- */

/* Many small writes are read at once, so that a program that prints a line at a time is
 * not interrupted for each. Whoever waits for the end of a run does not wait for that. */
static bool gathers(void)
{
	return guest.state == RUNNING && guest.note_used == 0 && now_us() < guest.gather_us;
}

/* Each piece that is sent on wakes all who pass it on. */
static bool holds_back(void)
{
	return guest.outbox.used > 0 && guest.outbox.used < FRAME_PAYLOAD_MAX / 2 &&
	       now_us() < guest.whole_us;
}

static uint64_t sooner(uint64_t one, uint64_t other)
{
	return one == 0 || (other > 0 && other < one) ? other : one;
}

/* Until something must be done though nothing happens; NULL: that is not known. */
static struct timespec *time_left(struct timespec *left, bool gathering, bool holding)
{
	uint64_t now = now_us();
	uint64_t until = guest.deadline_us;
	uint64_t us;

	if (gathering)
		until = sooner(until, guest.gather_us);
	if (holding)
		until = sooner(until, guest.whole_us);
	if (until == 0)
		return NULL;
	us = now < until ? until - now : 0;
	*left = (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
	return left;
}

enum { DAEMON, DAEMON_OUT, SIGNALS, CONTROL, TEMPLATE, OUT, ERR, NOTE, HELPER, IN, INPUT, POLLED };

static void wait_and_serve(int signals)
{
	bool room = outbox_room(&guest.outbox) > 0;
	bool feeds = guest.stdin.used > 0 || guest.stdin.ends;
	bool inputs = guest.input.used > 0 || guest.input.ends;
	size_t late = guest.streams.late_used;
	bool gathering = gathers();
	bool holding = holds_back();
	bool prints = room && guest.state != STARTING && !gathering;
	struct timespec left;
	struct pollfd fds[POLLED + LATE_PIPES] = {
		[DAEMON] = {STDIN_FILENO, POLLIN, 0},
		[DAEMON_OUT] = {guest.outbox.used && !holding ? STDOUT_FILENO : -1, POLLOUT, 0},
		[SIGNALS] = {signals, POLLIN, 0},
		[CONTROL] = {guest.child.control, POLLIN, 0},
		[TEMPLATE] = {guest.template.socket, POLLIN, 0},
		[OUT] = {prints ? guest.child.out[0] : -1, POLLIN, 0},
		[ERR] = {prints ? guest.child.out[1] : -1, POLLIN, 0},
		[NOTE] = {room && guest.note_used == 0 ? guest.child.note : -1, POLLIN, 0},
		[HELPER] = {room ? guest.helper.pipe : -1, POLLIN, 0},
		[IN] = {feeds ? guest.child.in : -1, POLLOUT, 0},
		[INPUT] = {inputs ? guest.streams.in : -1, POLLOUT, 0},
	};

	for (size_t i = 0; i < late; i++)
		fds[POLLED + i] = (struct pollfd){guest.streams.late[i], POLLIN, 0};

	if (ppoll(fds, POLLED + late, time_left(&left, gathering, holding), NULL) < 0 && errno != EINTR)
		fatal("poll: %s", strerror(errno));
	if (fds[DAEMON_OUT].revents && outbox_flush(&guest.outbox, STDOUT_FILENO) < 0)
		exit(EXIT_FAILURE); /* nobody to talk to */
	/* From the last on, since one that ends makes room; and first, before there are more. */
	for (size_t i = late; i-- > 0;)
		if (fds[POLLED + i].revents)
			pump_late(i);
	if (fds[DAEMON].revents)
		hear_daemon();
	if (fds[NOTE].revents)
		take_note();
	if (fds[OUT].revents)
		pump_output(0);
	if (fds[ERR].revents)
		pump_output(1);
	if (fds[HELPER].revents)
		pump_file();
	if (fds[IN].revents)
		pump_feed(&guest.stdin, &guest.child.in);
	if (fds[INPUT].revents)
		pump_feed(&guest.input, &guest.streams.in);
	if (fds[TEMPLATE].revents)
		hear_template();
	if (fds[CONTROL].revents)
		hear_init();
	if (fds[SIGNALS].revents)
		reap(signals);
	if (guest.deadline_us && now_us() >= guest.deadline_us)
		deadline_passed();
	follow_up();
}

/* --- the beginning --- */

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
		{"share-net", no_argument, NULL, 'n'},
		{"writable-root", no_argument, NULL, 'w'},
		{"template", no_argument, NULL, 'f'},
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
		case 'n':
			guest.options.share_net = true;
			break;
		case 'w':
			guest.options.writable_root = true;
			break;
		case 'f':
			guest.options.template = true;
			break;
		default:
			fatal("unknown option");
		}
	}
	if (!guest.options.code_name || !guest.options.tmp_bytes || optind >= argc)
		fatal("usage: guest --code-name NAME --tmp-bytes N --tmp-inodes N [--share-net] "
		      "[--writable-root] [--template] -- INTERPRETER ...");
	guest.options.argv = argv + optind;
}

/* The low descriptors stay taken: a child moves its ends there. */
static void reserve_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd < FIRST_FREE_FD);
	if (fd < 0)
		fatal("open /dev/null: %s", strerror(errno));
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

	guest.put = guest.helper.pid = guest.helper.pipe = -1;
	reserve_descriptors();
	parse_options(argc, argv);
	if (fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK) < 0)
		fatal("non-blocking: %s", strerror(errno));
	if (filter_compile(&guest.filter) < 0)
		fatal("compile the filter: %s", strerror(errno));
	signals = open_signals();
	guest.oom_fd = open_either("/sys/fs/cgroup/memory.events",
				   "/sys/fs/cgroup/memory/memory.oom_control");
	start_first_child();
	for (;;)
		wait_and_serve(signals);
}
