/* The daemon's commands on files of the work folder (files.h): laid with PUT and DATA,
 * before a run, and in a kept box at any time; listed and read from its beginning on. */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* Takes a frame's payload apart: a struct of that size, then a path without a NUL. */
static void take_apart(const struct frame *frame, void *head, size_t size, char path[PATH_MAX])
{
	size_t length = frame->length - size;

	if (frame->length <= size || length >= PATH_MAX ||
	    memchr(frame->payload + size, '\0', length))
		fatal("not a path");
	memcpy(head, frame->payload, size);
	memcpy(path, frame->payload + size, length);
	path[length] = '\0';
}

/* --- laid --- */

static char put_path[PATH_MAX];

static void put_failed(const char *path)
{
	uint8_t payload[sizeof(int32_t) + PATH_MAX];
	int32_t number = errno;
	size_t length = strnlen(path, PATH_MAX);

	close_fd(&guest.put);
	guest.put_error = number;
	if (guest.kept)
		return; /* PUT_END asks */
	memcpy(payload, &number, sizeof(number));
	memcpy(payload + sizeof(number), path, length);
	/* One is enough to fail a run; a hundred must not fill the outbox. */
	outbox_add(&guest.outbox, EVT_PUT_FAILED, payload, sizeof(number) + length);
}

/* Into a kept box at any time, and before it runs into any other. */
static void may_put(const struct frame *frame)
{
	if (!guest.kept)
		must_be(WAITING, frame);
}

void begin_put(const struct frame *frame)
{
	struct put put;

	may_put(frame);
	take_apart(frame, &put, sizeof(put), put_path);
	close_fd(&guest.put);
	if (guest.kept)
		guest.put_error = 0;
	guest.put = files_create(guest.child.work, put_path, &put);
	if (guest.put < 0)
		put_failed(put_path);
}

static void append(int fd, const struct frame *frame, const char *path)
{
	ssize_t count = write(fd, frame->payload, frame->length);

	if (count == (ssize_t)frame->length)
		return;
	if (count >= 0)
		errno = ENOSPC;
	put_failed(path);
}

void continue_put(const struct frame *frame)
{
	may_put(frame);
	if (guest.put >= 0) /* else it has failed, and that was told */
		append(guest.put, frame, put_path);
}

void put_code(const struct frame *frame)
{
	must_be(WAITING, frame);
	if (!guest.put_error) /* else there will be no run, and that was told */
		append(guest.child.code, frame, guest.options.code_name);
}

void end_put(void)
{
	close_fd(&guest.put);
	guest.put_ended = guest.kept;
}

/* --- listed and read --- */

static void may_ask(const struct frame *frame)
{
	if (guest.helper.pid >= 0 || guest.child.work < 0)
		fatal("frame %c out of place", frame->type);
}

void list_files(const struct frame *frame)
{
	may_ask(frame);
	if (files_list(&guest.helper, guest.child.work, guest.options.code_name) < 0)
		fatal("start a helper: %s", strerror(errno));
}

void read_file(const struct frame *frame)
{
	struct range range;
	char path[PATH_MAX];

	may_ask(frame);
	take_apart(frame, &range, sizeof(range), path);
	if (files_read(&guest.helper, guest.child.work, path, &range) < 0)
		fatal("start a helper: %s", strerror(errno));
}
