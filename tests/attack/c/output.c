/* Writes what is hard to take: "output HOW". */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 65536, MILLION = 1000000, ROUNDS = 2000 };

static char block[BLOCK];

static int put(int stream, const void *bytes, size_t count)
{
	return write(stream, bytes, count) == (ssize_t)count ? 0 : -1;
}

static int endless(void)
{
	memset(block, 'x', sizeof(block));
	while (put(1, block, sizeof(block)) == 0 && put(2, block, sizeof(block)) == 0)
		;
	return 1;
}

static int bytes(void)
{
	for (int i = 0; i < MILLION; i++)
		if (put(1, "x", 1) < 0)
			return 1;
	return 0;
}

/* Characters of two, three and four bytes, each byte by itself, on both streams in turn. */
static int split(void)
{
	static const char text[] = "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";

	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < sizeof(text) - 1; i++)
			if (put(1, text + i, 1) < 0 || put(2, text + i, 1) < 0)
				return 1;
	return 0;
}

/* Each kind of frame that a guest sends to its daemon, and some that there are not. */
static int frames(void)
{
	static const char kinds[] = "hroecnxfgp!?\xff";

	for (size_t i = 0; i < sizeof(kinds) - 1; i++) {
		uint8_t frame[5 + 61] = {61, 0, 0, 0, (uint8_t)kinds[i]};
		uint8_t broken[5] = {255, 255, 255, 255, (uint8_t)kinds[i]};

		for (int stream = 1; stream <= 2; stream++)
			if (put(stream, frame, sizeof(frame)) < 0 ||
			    put(stream, broken, sizeof(broken)) < 0)
				return 1;
	}
	return 0;
}

/* A pipe that keeps writes apart, is as small as it can be, and does not block. */
static int pipe_of_its_own_making(void)
{
	if (fcntl(1, F_SETPIPE_SZ, 4096) < 0 ||
	    fcntl(1, F_SETFL, O_WRONLY | O_DIRECT | O_NONBLOCK) < 0)
		return 1;
	for (int i = 0; i < ROUNDS; i++)
		while (put(1, "packet\n", 7) < 0)
			;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*write)(void);
	} all[] = {
		{"endless", endless}, {"bytes", bytes},		{"split", split},
		{"frames", frames},   {"packets", pipe_of_its_own_making},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (argc > 1 && !strcmp(argv[1], all[i].name))
			return all[i].write();
	return 2;
}
