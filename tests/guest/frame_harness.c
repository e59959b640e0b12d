/* Puts frame.c to what a test says, under the sanitizers.
 *
 * "in": stdin is chunks, each a u32 length and that many bytes, as they would be
 * read from the daemon. Each frame comes out as a line, its type and payload in
 * hex; "broken" when the stream is.
 *
 * "out": stdin is orders: a letter, a type byte, a u32 length and that many bytes.
 * 'a' adds a frame, 'p' puts one in place if there is room for output, 'f' flushes
 * to stdout. What does not fit is left out, and told on stderr as '0', else '1'.
 *
 * "sizes": prints what the structs in frames take. */
#include "frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct inbox inbox;
static struct outbox outbox;

static void die(const char *why)
{
	perror(why);
	exit(EXIT_FAILURE);
}

/* False at the end of stdin. */
static bool take(void *into, size_t length)
{
	return length == 0 || fread(into, length, 1, stdin) == 1;
}

/* In a block of its own, so that a step past its end is seen. */
static uint8_t *take_bytes(uint32_t *length)
{
	uint8_t *bytes;

	if (!take(length, sizeof(*length)))
		return NULL;
	bytes = malloc(*length ? *length : 1);
	if (!bytes || !take(bytes, *length))
		die("take");
	return bytes;
}

static bool print_frames(void)
{
	struct frame frame;
	size_t offset = 0;
	int got;

	while ((got = inbox_next(&inbox, &offset, &frame)) > 0) {
		printf("%02x ", frame.type);
		for (uint32_t i = 0; i < frame.length; i++)
			printf("%02x", frame.payload[i]);
		putchar('\n');
	}
	if (got < 0)
		puts("broken");
	else
		inbox_consume(&inbox, offset);
	return got == 0;
}

static void in(void)
{
	uint32_t length, at, count;
	uint8_t *chunk;

	while ((chunk = take_bytes(&length))) {
		for (at = 0; at < length; at += count) {
			size_t room;
			uint8_t *space = inbox_space(&inbox, &room);

			count = room < length - at ? (uint32_t)room : length - at;
			memcpy(space, chunk + at, count);
			inbox.used += count;
			if (!print_frames()) {
				free(chunk);
				return;
			}
		}
		free(chunk);
	}
}

static void out(void)
{
	uint8_t order[2];

	while (take(order, sizeof(order))) {
		uint32_t length;
		uint8_t *bytes = take_bytes(&length);
		bool fits = true;

		if (!bytes)
			die("order");
		if (order[0] == 'a') {
			fits = outbox_add(&outbox, order[1], bytes, length);
		} else if (order[0] == 'p') {
			fits = outbox_room(&outbox) >= length;
			if (fits) {
				memcpy(outbox_payload(&outbox), bytes, length);
				outbox_commit(&outbox, order[1], length);
			}
		} else if (outbox_flush(&outbox, STDOUT_FILENO) < 0) {
			die("flush");
		}
		fputc(fits ? '1' : '0', stderr);
		free(bytes);
	}
	while (outbox.used > 0)
		if (outbox_flush(&outbox, STDOUT_FILENO) < 0)
			die("flush");
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "in") == 0)
		in();
	else if (argc == 2 && strcmp(argv[1], "out") == 0)
		out();
	else if (argc == 2 && strcmp(argv[1], "sizes") == 0)
		printf("%zu %zu\n", sizeof(struct go), sizeof(struct verdict));
	else
		return EXIT_FAILURE;
	return EXIT_SUCCESS;
}
