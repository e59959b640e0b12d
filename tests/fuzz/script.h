/* What a fuzzer gave, taken bit by bit. To be included first: `write` is the
 * target's own. */
#ifndef SANDBOXD_SCRIPT_H
#define SANDBOXD_SCRIPT_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { SCRIPT_MOST = 70000 }; /* more than a frame may have */

struct script {
	const uint8_t *at, *end;
};

static struct script the_script;

static void script_begin(const uint8_t *data, size_t size)
{
	the_script = (struct script){data, data + size};
}

static size_t script_left(const struct script *script)
{
	return (size_t)(script->end - script->at);
}

static uint8_t script_byte(struct script *script)
{
	return script->at < script->end ? *script->at++ : 0;
}

/* Small ones as they are; the last values are those around what a frame holds. */
static size_t script_length(struct script *script)
{
	static const size_t large[] = {256, 1024, 4091, 4096, 65535, 65536, 65537, SCRIPT_MOST};
	uint8_t byte = script_byte(script);

	return byte < 248 ? byte : large[byte - 248];
}

static size_t script_take(struct script *script, void *into, size_t length)
{
	size_t left = script_left(script);

	length = length < left ? length : left;
	if (length > 0)
		memcpy(into, script->at, length);
	script->at += length;
	return length;
}

#define check(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

static ssize_t fake_write(int fd, const void *bytes, size_t length);
#define write fake_write

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
