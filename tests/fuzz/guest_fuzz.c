/* The guest's own decisions (guest.c, commands.c, exchange.c, start.c, life.c, pump.c, streams.c,
 * frame.c) under any daemon, any program, and any order in which the kernel says what has
 * happened.
 *
 * There is no kernel: the calls that matter are answered here, out of the script. What
 * the guest writes is read as the daemon would read it, and must be what frame.h says:
 * whole frames; one READY, then at most one EXIT for it, and for each AGAIN in its box, and
 * nothing of a program after that; no more output than its limit, no more credit than stdin that came. */
#include "script.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static ssize_t fake_read(int fd, void *bytes, size_t length);
static int fake_poll(struct pollfd *fds, nfds_t count, int timeout);
static int fake_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		      const sigset_t *mask);
static int fake_kill(pid_t pid, int number);
static pid_t fake_wait4(pid_t pid, int *status, int options, struct rusage *usage);
static int fake_clock(clockid_t clock, struct timespec *now);
static int fake_ioctl(int fd, unsigned long request, int *held);
static _Noreturn void fake_exit(int code);
static _Noreturn void fake_abort(void);

#define read fake_read
#define poll fake_poll
#define ppoll fake_ppoll
#define kill fake_kill
#define wait4 fake_wait4
#define waitpid(pid, status, options) (0)
#define clock_gettime fake_clock
#define ioctl fake_ioctl
#define fcntl(...) (0)
#define open(path, ...) ((void)(path), -1)
#define exit fake_exit
#define abort fake_abort
#define main guest_main

#include "frame.c"
#include "guest.c"
#include "commands.c"
#include "exchange.c"
#include "start.c"
#include "life.c"
#include "pump.c"
#include "streams.c"

#undef abort

enum { OF_CONTROL = 100, OF_IN, OF_OUT, OF_ERR, OF_MESSAGE, OF_NOTE, OF_CODE, OF_WORK, OF_PUT,
       OF_HELPER, OF_TEMPLATE, OF_HELD, OF_FIFO_IN, OF_FIFO };
enum { INIT = 77, HELPER_PID, TEMPLATE_PID };
enum { STEPS_MOST = 400 };

/* The processes, as the kernel has them. */
static struct {
	bool init, prepared, ordered, ended, told, kept;
	bool helper;
	size_t held[2]; /* what the program's pipes hold for certain */
	bool noted;	/* the last that was read was a note */
	int fifos;
	int program; /* a wait status */
	uint64_t now_us;
} world;

/* The daemon: what it has to say still, and what it has heard. */
static struct {
	uint8_t says[2 * (FRAME_HEADER + SCRIPT_MOST)];
	size_t length;
	uint8_t heard[FRAME_HEADER + FRAME_PAYLOAD_MAX];
	size_t used;
	bool greeted, waits, running, keeps, impolite, silent;
	uint64_t limit, out[2], stdin_sent, credit, noted, input_sent, input_credit;
	uint32_t streams;
	uint8_t flags;
	unsigned int asked; /* FILE_ENDs that may come still */
} peer;

static jmp_buf end;

static _Noreturn void fake_exit(int code)
{
	(void)code;
	longjmp(end, 1);
}

/* A frame that does not fit is a bug, unless the daemon went on without listening. */
static _Noreturn void fake_abort(void)
{
	check(peer.impolite);
	fake_exit(1);
}

/* --- the daemon's ears --- */

static void say(uint8_t type, const void *payload, size_t length);

static void hear(uint8_t type, const uint8_t *payload, size_t length)
{
	uint32_t credit;
	struct input_credit taken;

	switch (type) {
	case EVT_HELLO:
		check(!peer.greeted);
		peer.greeted = true;
		if (!peer.silent)
			say(CMD_WELCOME, "", 0);
		break;
	case EVT_READY:
		check(peer.greeted && !peer.waits && !peer.running);
		peer.waits = true;
		peer.noted = 0;
		break;
	case EVT_STDOUT:
	case EVT_STDERR:
		check(peer.running && length > 0);
		peer.out[type == EVT_STDERR] += length;
		check(peer.out[type == EVT_STDERR] <= peer.limit);
		break;
	case EVT_CREDIT:
		check(length == sizeof(credit));
		memcpy(&credit, payload, sizeof(credit));
		peer.credit += credit;
		check(credit > 0 && peer.credit <= peer.stdin_sent);
		break;
	case EVT_STREAMS:
		check(peer.running && length == sizeof(credit));
		memcpy(&credit, payload, sizeof(credit));
		check(credit > 0 && credit <= peer.streams);
		break;
	case EVT_INPUT_CREDIT:
		check(peer.running && length == sizeof(taken));
		memcpy(&taken, payload, sizeof(taken));
		check(taken.bytes > 0 && taken.streams <= peer.streams);
		if (taken.streams == peer.streams)
			peer.input_credit += taken.bytes;
		check(peer.input_credit <= peer.input_sent);
		break;
	case EVT_EXIT:
		check(peer.running && length == sizeof(struct verdict));
		peer.running = false;
		break;
	case EVT_NOTE:
		check(length > 0);
		peer.noted += length;
		check(peer.noted < 2 * NOTE_LIMIT || peer.flags & GO_NOTES);
		break;
	case EVT_FILE:
		check(peer.asked > 0);
		break;
	case EVT_FILE_END:
		check(length == sizeof(int32_t) && peer.asked > 0);
		peer.asked--;
		break;
	case EVT_PUT_FAILED:
		check(length > sizeof(int32_t));
		break;
	case EVT_FATAL:
		break;
	default:
		check(!"a frame that does not exist");
	}
}

static void hear_bytes(const uint8_t *bytes, size_t length)
{
	uint32_t size;

	while (length > 0) {
		size_t count = sizeof(peer.heard) - peer.used;

		count = count < length ? count : length;
		memcpy(peer.heard + peer.used, bytes, count);
		peer.used += count;
		bytes += count;
		length -= count;
		while (peer.used >= FRAME_HEADER) {
			memcpy(&size, peer.heard, sizeof(size));
			check(size <= FRAME_PAYLOAD_MAX);
			if (peer.used - FRAME_HEADER < size)
				break;
			if (!peer.impolite)
				hear(peer.heard[4], peer.heard + FRAME_HEADER, size);
			peer.used -= FRAME_HEADER + size;
			memmove(peer.heard, peer.heard + FRAME_HEADER + size, peer.used);
		}
	}
}

/* --- the daemon's mouth --- */

static void say(uint8_t type, const void *payload, size_t length)
{
	uint32_t wire = (uint32_t)length;

	memcpy(peer.says + peer.length, &wire, sizeof(wire));
	peer.says[peer.length + 4] = type;
	memcpy(peer.says + peer.length + FRAME_HEADER, payload, length);
	peer.length += FRAME_HEADER + length;
}

static void say_go(struct script *script)
{
	struct go go;

	go.timeout_ms = script_byte(script) * 10u;
	go.output_limit = script_byte(script);
	go.flags = script_byte(script) & (GO_STDIN | GO_HOLD | GO_NOTES | GO_KEEP);
	peer.waits = false;
	peer.running = true;
	/* Another interpreter may end before it hears of its own. */
	if (!peer.keeps || peer.limit < go.output_limit)
		peer.limit = go.output_limit;
	peer.keeps |= (go.flags & GO_KEEP) != 0;
	peer.flags = go.flags;
	peer.noted = 0;
	peer.out[0] = peer.out[1] = peer.stdin_sent = peer.credit = 0;
	peer.input_sent = peer.input_credit = peer.streams = 0;
	say(CMD_GO, &go, sizeof(go));
}

/* What a daemon may say where things stand as it knows them, or anything at all. */
static void think_of_something(struct script *script)
{
	static const uint8_t before[] = {CMD_CODE, CMD_MESSAGE, CMD_SIZE, CMD_PUT, CMD_DATA, CMD_GO,
					 CMD_GO, CMD_GO};
	static const uint8_t during[] = {CMD_STDIN, CMD_STDIN_EOF, CMD_STREAMS, CMD_INPUT,
					 CMD_INPUT_EOF, CMD_KILL, CMD_INTERRUPT, CMD_LIST, CMD_READ};
	static const uint8_t after[] = {CMD_LIST, CMD_READ, CMD_RELEASE, CMD_RELEASE};
	static const uint8_t kept[] = {CMD_PUT, CMD_DATA, CMD_PUT_END, CMD_LIST, CMD_READ,
				       CMD_AGAIN, CMD_AGAIN, CMD_AGAIN};
	static const uint8_t interrupts[] = {SIGINT, SIGTERM, SIGHUP};
	static uint8_t payload[SCRIPT_MOST];
	uint8_t choice = script_byte(script), type;
	size_t length, head;

	if (peer.length > sizeof(peer.says) / 2)
		return;
	if (choice >= 250) {
		peer.impolite = true;
		peer.length += script_take(script, peer.says + peer.length, script_length(script));
		return;
	}
	if (choice >= 246) {
		peer.impolite = true; /* it does not mind the window */
		say(CMD_STDIN, payload, FRAME_PAYLOAD_MAX);
		return;
	}
	type = peer.waits ? before[choice % sizeof(before)]
	       : peer.running && !(peer.keeps && choice & 1)
		       ? during[choice % sizeof(during)]
	       : peer.keeps ? kept[choice % sizeof(kept)]
			    : after[choice % sizeof(after)];
	if (type == CMD_AGAIN && peer.running)
		return;
	if (type == CMD_AGAIN)
		say(type, payload, 0);
	if (type == CMD_AGAIN && choice & 8)
		say(CMD_MESSAGE, payload, 1);
	if (type == CMD_GO || type == CMD_AGAIN) {
		say_go(script);
		return;
	}
	length = type == CMD_SIZE ? sizeof(uint64_t) : script_length(script);
	length = length < FRAME_PAYLOAD_MAX ? length : FRAME_PAYLOAD_MAX;
	if (type != CMD_CODE && type != CMD_MESSAGE && type != CMD_SIZE && type != CMD_PUT &&
	    type != CMD_DATA && type != CMD_STDIN && type != CMD_READ && type != CMD_STREAMS &&
	    type != CMD_INPUT)
		length = 0;
	peer.asked += type == CMD_LIST || type == CMD_READ || type == CMD_PUT_END;
	if (type == CMD_STDIN) {
		/* Never past the window. */
		if (peer.stdin_sent + length > peer.credit + STDIN_WINDOW)
			length = peer.credit + STDIN_WINDOW - peer.stdin_sent;
		peer.stdin_sent += length;
	}
	if (type == CMD_INPUT) {
		if (peer.input_sent + length > peer.input_credit + STDIN_WINDOW)
			length = peer.input_credit + STDIN_WINDOW - peer.input_sent;
		peer.input_sent += length;
	}
	if (type == CMD_STREAMS) {
		peer.streams++;
		peer.input_sent = peer.input_credit = 0;
	}
	memset(payload, 'a' + choice % 26, length);
	/* A path stands behind what is said of its file. */
	head = type == CMD_PUT ? sizeof(struct put) : type == CMD_READ ? sizeof(struct range) : 0;
	length += length + head <= FRAME_PAYLOAD_MAX ? head : 0;
	memset(payload, 0, head < length ? head : length);
	if (type == CMD_INTERRUPT)
		payload[length++] = interrupts[choice % sizeof(interrupts)];
	say(type, payload, length);
}

/* --- the kernel --- */

static ssize_t later_or(ssize_t count)
{
	if (count >= 0)
		return count;
	errno = EAGAIN;
	return -1;
}

static ssize_t read_daemon(void *bytes, size_t length)
{
	size_t count;

	if (peer.length == 0)
		think_of_something(&the_script);
	if (script_left(&the_script) == 0)
		return 0; /* it has gone */
	count = script_length(&the_script);
	count = count < length ? count : length;
	count = count < peer.length ? count : peer.length;
	if (count == 0)
		return later_or(-1);
	memcpy(bytes, peer.says, count);
	peer.length -= count;
	memmove(peer.says, peer.says + count, peer.length);
	return (ssize_t)count;
}

/* Where the run under way prints to, and not one before it. */
static bool prints(int fd)
{
	return fd >= 0 && (fd == guest.child.out[0] || fd == guest.child.out[1]);
}

static ssize_t fake_read(int fd, void *bytes, size_t length)
{
	size_t count;

	check(length > 0);
	if (fd == STDIN_FILENO)
		return read_daemon(bytes, length);
	if (fd != OF_OUT && fd != OF_ERR && fd != OF_NOTE && fd != OF_HELPER && fd < OF_FIFO)
		return later_or(-1);
	if (fd == OF_NOTE && guest.state == STARTING) {
		memset(bytes, '\n', 1);
		return 1;
	}
	if (prints(fd) && guest.state == WAITING)
		return later_or(-1); /* there is no program yet */
	/* A note is read only when what was written before it has been. */
	check(fd != OF_NOTE || guest.state != RUNNING || !(world.held[0] || world.held[1]));
	world.noted = fd == OF_NOTE;
	count = script_length(&the_script);
	count = count < length ? count : length;
	if (prints(fd)) {
		size_t *held = &world.held[fd == guest.child.out[1]];

		count = *held > 0 && count == 0 ? 1 : count;
		*held -= count < *held ? count : *held;
	}
	memset(bytes, 'x', count);
	return (ssize_t)count; /* none: it has closed its end */
}

static int fake_ioctl(int fd, unsigned long request, int *held)
{
	size_t *holds = &world.held[fd == guest.child.out[1]];
	size_t more = script_length(&the_script);

	check(request == FIONREAD && prints(fd));
	if (world.noted) /* else it only asks whether to read on at once */
		*holds = more > *holds ? more : *holds;
	*held = (int)(more > *holds ? more : *holds);
	return 0;
}

static ssize_t fake_write(int fd, const void *bytes, size_t length)
{
	uint8_t mood = script_byte(&the_script);
	size_t count = length;

	check(fd >= 0);
	if (fd == STDOUT_FILENO || fd == OF_IN || fd == OF_FIFO_IN) {
		if (mood == 255 && fd != STDOUT_FILENO) {
			errno = EPIPE;
			return -1;
		}
		if (mood >= 128)
			return later_or(-1);
		if (mood > 0)
			count = mood < length ? mood : length;
	} else if (mood == 255) {
		errno = ENOSPC;
		return -1;
	}
	if (fd == STDOUT_FILENO)
		hear_bytes(bytes, count);
	return (ssize_t)count;
}

static int fake_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	unsigned int happens = script_byte(&the_script) | script_byte(&the_script) << 8;

	if (count == 1)
		return 1; /* the init's answer */
	world.now_us += timeout < 0 ? 0 : script_byte(&the_script) * 1000u;
	if (script_left(&the_script) == 0)
		fake_exit(0);
	for (nfds_t i = 0; i < count; i++)
		fds[i].revents = fds[i].fd >= 0 && happens >> i % 16 & 1 ? fds[i].events : 0;
	return 1;
}

static int fake_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
		      const sigset_t *mask)
{
	(void)mask;
	return fake_poll(fds, count, timeout ? 0 : -1);
}

static int fake_clock(clockid_t clock, struct timespec *now)
{
	(void)clock;
	now->tv_sec = (time_t)(world.now_us / 1000000);
	now->tv_nsec = (long)(world.now_us % 1000000) * 1000;
	return 0;
}

static int fake_kill(pid_t pid, int number)
{
	check(number == SIGKILL);
	if (pid == INIT && world.init)
		world.ended = world.told = true; /* it reports nothing any more */
	return 0;
}

static pid_t fake_wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	(void)pid;
	(void)options;
	memset(usage, 0, sizeof(*usage));
	*status = 0;
	if (world.helper && guest.helper.pid == HELPER_PID) {
		world.helper = false;
		*status = (script_byte(&the_script) & 31) << 8;
		return HELPER_PID;
	}
	/* It has nothing more to do, or was killed: by the guest, or for want of memory. */
	if (world.init && ((world.told && !world.kept) ||
			   (under_way() && script_byte(&the_script) > 250))) {
		world.init = false;
		return INIT;
	}
	return 0;
}

/* --- the parts of the guest that are nothing but kernel --- */

void close_fd(int *fd)
{
	*fd = -1;
}

int filter_compile(struct sock_fprog *filter)
{
	(void)filter;
	return 0;
}

size_t facts_of_container(char *text, size_t room)
{
	(void)text;
	check(room > 0);
	return 0;
}

int machine_prepare(bool share_net)
{
	(void)share_net;
	return 0;
}

void machine_withdraw(void)
{
}

void machine_follow_limits(void)
{
}

void machine_tell_time(void)
{
}

int child_start(struct child *child, const struct options *options,
		const struct sock_fprog *filter, bool namespaces)
{
	(void)options;
	(void)filter;
	(void)namespaces;
	check(!world.init);
	world.init = true;
	world.prepared = world.ordered = world.ended = world.told = world.kept = false;
	world.held[0] = world.held[1] = 0;
	*child = (struct child){.init = INIT, .control = OF_CONTROL, .in = OF_IN,
				.out = {OF_OUT, OF_ERR}, .message = OF_MESSAGE, .note = OF_NOTE,
				.code = -1, .work = -1};
	return 0;
}

int child_report(struct child *child, struct report *report)
{
	*report = (struct report){.kind = REPORT_PREPARED};
	if (!world.init || child->control < 0)
		return -1;
	/* What is waited for; unless the program's end is told first. */
	if (world.ordered && (!world.ended || (world.told && world.kept))) {
		world.ordered = false;
		report->kind = script_byte(&the_script) == 255 ? REPORT_FAILED : REPORT_DONE;
		return 1;
	}
	if (!world.prepared) {
		world.prepared = true;
		child->code = OF_CODE;
		child->work = OF_WORK;
		return 1;
	}
	if (world.told)
		return world.kept ? 0 : -1;
	if (!world.ended && (!under_way() || script_byte(&the_script) < 128))
		return 0;
	world.ended = world.told = true;
	report->kind = REPORT_ENDED;
	report->value = script_byte(&the_script) << 8 | (script_byte(&the_script) & 9);
	return 1;
}

int child_order(const struct child *child, const struct order *order)
{
	if (child->control < 0 || !world.init || (world.told && !world.kept)) {
		errno = EPIPE;
		return -1;
	}
	world.kept |= order->kind == ORDER_KEEP;
	if (order->kind == ORDER_END || order->kind == ORDER_KILL)
		world.ended = true;
	else
		world.ordered = true;
	return 0;
}

int child_again(struct child *child, const struct options *options)
{
	(void)options;
	check(world.init && world.kept && world.told && !world.ordered);
	world.ended = world.told = false;
	world.ordered = true;
	world.held[0] = world.held[1] = 0;
	child->in = OF_IN;
	child->out[0] = OF_OUT;
	child->out[1] = OF_ERR;
	child->message = OF_MESSAGE;
	child->note = OF_NOTE;
	return 0;
}

void child_close(struct child *child)
{
	child->control = child->in = child->out[0] = child->out[1] = -1;
	child->message = child->note = child->code = child->work = -1;
}

int template_start(struct template *template, const struct options *options,
		   const struct sock_fprog *filter, bool namespaces)
{
	(void)options;
	(void)filter;
	(void)namespaces;
	*template = (struct template){.pid = TEMPLATE_PID, .socket = OF_TEMPLATE, .words = -1};
	return 0;
}

int template_fork(struct template *template, struct child *child, const struct options *options,
		  bool namespaces)
{
	(void)child;
	(void)options;
	(void)namespaces;
	check(!template->busy);
	template->busy = true;
	return 0;
}

int template_hear(struct template *template, struct template_report *report)
{
	memset(report, 0, sizeof(*report));
	if (!template->busy || (!under_way() && guest.state != DRAINING))
		return 0;
	report->status = script_byte(&the_script) << 8;
	template->busy = false;
	return 1;
}

int files_create(int work, const char *path, const struct put *put)
{
	(void)put;
	check(work == OF_WORK && *path);
	errno = EACCES;
	return script_byte(&the_script) < 200 ? OF_PUT : -1;
}

/* A number of its own for each that is read, as long as it is open. */
int files_fifo(int work, const char *name, int flags, int *held)
{
	check(work == OF_WORK && *name);
	*held = -1;
	if (script_byte(&the_script) > 250)
		return -1;
	*held = OF_HELD;
	if (flags == O_WRONLY)
		return OF_FIFO_IN;
	world.held[0] = world.held[1] = 0;
	return OF_FIFO + world.fifos++;
}

void files_remove(int work, const char *name)
{
	check(work == OF_WORK && *name);
}

static int help(struct helper *helper)
{
	check(!world.helper && helper->pid < 0);
	*helper = (struct helper){.pid = HELPER_PID, .pipe = OF_HELPER};
	world.helper = true;
	return 0;
}

int files_list(struct helper *helper, int work, const char *leave_out)
{
	check(work == OF_WORK && *leave_out);
	return help(helper);
}

int files_read(struct helper *helper, int work, const char *path, const struct range *range)
{
	(void)range;
	check(work == OF_WORK && *path);
	return help(helper);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *argv[] = {"interpreter", NULL};
	uint8_t setting;

	script_begin(data, size);
	memset(&guest, 0, sizeof(guest));
	memset(&world, 0, sizeof(world));
	memset(&peer, 0, sizeof(peer));
	world.now_us = 1;
	guest.options.code_name = "main.x";
	guest.options.tmp_bytes = 1;
	guest.options.argv = argv;
	setting = script_byte(&the_script);
	guest.options.template = setting & 1;
	peer.silent = setting & 2;
	guest.namespaces = true;
	guest.oom_fd = -1;
	guest.put = guest.helper.pid = guest.helper.pipe = -1;
	guest.template.pid = guest.template.socket = -1;
	if (setjmp(end) == 0) {
		if (guest.options.template)
			template_start(&guest.template, &guest.options, &guest.filter, true);
		start_child();
		for (int step = 0; step < STEPS_MOST; step++)
			wait_and_serve(99);
	}
	return 0;
}
