/* Standard streams of its own for each run of a session.
 *
 * A pipe does not tell its writers apart: what an earlier run left behind, in the
 * background, must write into another one than the run under way. The guest makes three
 * fifos, NAME.0 to NAME.2, which the driver opens by their names before it notes that the
 * run begins; at that note the names go. Earlier pipes are read, and what comes through
 * them is thrown away, so that nobody blocks who still writes there. */
#define _GNU_SOURCE
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct path {
	char text[NAME_MAX + sizeof(".") + 11];
};

static struct path path_of(int stream)
{
	struct path path;

	snprintf(path.text, sizeof(path.text), "%s.%d", guest.streams.name, stream);
	return path;
}

/* Past so many the oldest is closed, and whoever writes there is told by SIGPIPE. */
static void outlive(int *fd)
{
	struct streams *streams = &guest.streams;

	if (*fd < 0)
		return;
	if (streams->late_used == LATE_PIPES)
		late_ended(0);
	streams->late[streams->late_used++] = *fd;
	*fd = -1;
}

void late_ended(size_t which)
{
	struct streams *streams = &guest.streams;

	close_fd(&streams->late[which]);
	streams->late_used--;
	memmove(streams->late + which, streams->late + which + 1,
		(streams->late_used - which) * sizeof(streams->late[0]));
}

void pump_late(size_t which)
{
	uint8_t scratch[FRAME_PAYLOAD_MAX];
	ssize_t count = read(guest.streams.late[which], scratch, sizeof(scratch));

	if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
		late_ended(which);
}

void streams_init(void)
{
	guest.streams = (struct streams){.told = true, .in = -1, .held = {-1, -1, -1}, .last = {-1, -1}};
}

/* Where one cannot be made or opened the run has those of the last. */
void streams_make(const char *name)
{
	static const int flags[] = {O_WRONLY, O_RDONLY, O_RDONLY};
	struct streams *streams = &guest.streams;
	int ends[] = {-1, -1, -1};
	bool made = true;

	streams_opened(); /* those of a run that never began */
	close_fd(&streams->in);
	guest.oom_before = oom_kills(); /* a child's of an earlier run is no end of this one */
	streams->number++;
	streams->told = false;
	reset_feed(&guest.input);
	snprintf(streams->name, sizeof(streams->name), "%s", name);
	for (int i = 0; i < 3 && made; i++) {
		ends[i] = files_fifo(guest.child.work, path_of(i).text, flags[i],
				     &streams->held[i]);
		made = ends[i] >= 0;
	}
	if (!made) {
		streams_opened();
		for (int i = 0; i < 3; i++)
			close_fd(&ends[i]);
		return;
	}
	for (int i = 1; i < 3; i++)
		if (fcntl(ends[i], F_SETPIPE_SZ, PIPE_BYTES) < 0)
			break; /* a smaller pipe is slower, and no less right */
	streams->in = ends[0];
	for (int i = 0; i < 2; i++) {
		streams->last[i] = guest.child.out[i];
		guest.child.out[i] = ends[i + 1];
		guest.ahead[i] = 0;
	}
}

/* By a writer that is there, or by one that has written and is gone. */
static bool is_opened(int fd)
{
	struct pollfd end = {fd, POLLIN, 0};

	return poll(&end, 1, 0) <= 0 || end.revents & POLLIN || !(end.revents & POLLHUP);
}

/* The driver has opened them, or never will. */
bool streams_opened(void)
{
	struct streams *streams = &guest.streams;
	bool first = false;

	for (int i = 0; i < 3; i++) {
		if (streams->held[i] < 0)
			continue;
		first = true;
		files_remove(guest.child.work, path_of(i).text);
		close_fd(&streams->held[i]);
	}
	for (int i = 0; i < 2; i++) {
		if (streams->last[i] < 0)
			continue;
		if (is_opened(guest.child.out[i])) {
			outlive(&streams->last[i]);
		} else {
			close_fd(&guest.child.out[i]);
			guest.child.out[i] = streams->last[i];
			streams->last[i] = -1;
		}
	}
	return first;
}

void streams_close(void)
{
	streams_opened();
	close_fd(&guest.streams.in);
	guest.streams.told = true;
	reset_feed(&guest.input);
	while (guest.streams.late_used > 0)
		late_ended(guest.streams.late_used - 1);
}
