/* The first process of a container that holds the bare side: runs one program after the
 * other, each in a fresh work folder, and tells how each ended and all that it printed.
 *
 * A program is a child here and not the first process itself, which the kernel spares many
 * signals. All else is as if it had the container alone: no process and no file of one is
 * there when the next starts. A `docker run` for each would take most of the time. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUT, ERR, STREAMS, ENDED = STREAMS, POLLED, TIMED_OUT = -1 };
enum { INPUT_MOST = 1 << 16, HOUSEKEEPING = 60000 /* milliseconds */ };

#define PROGRAMS "/bare/programs/"
#define CLEAR                                                                                  \
    "cd / && for folder in /sandbox /tmp /dev/shm; do"                                         \
    " find $folder -mindepth 1 ! -type l -exec chmod u+rwx {} + ;"                             \
    " find $folder -mindepth 1 -delete; done; cp -R \"$0/work/.\" /sandbox"

struct bytes {
    char *data;
    size_t size, room;
};

static void fail(const char *step) {
    perror(step);
    exit(1);
}

static long must(long result, const char *step) {
    if (result < 0)
        fail(step);
    return result;
}

static long long milliseconds(void) {
    struct timespec now;
    must(clock_gettime(CLOCK_MONOTONIC, &now), "clock_gettime");
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* False at the end. */
static int take(int from, struct bytes *to) {
    if (to->size == to->room) {
        to->room = to->room ? 2 * to->room : 1 << 16;
        if (!(to->data = realloc(to->data, to->room)))
            fail("realloc");
    }
    ssize_t got = must(read(from, to->data + to->size, to->room - to->size), "read");
    to->size += (size_t)got;
    return got > 0;
}

/* A pipe with what the file holds, which must fit into it, and then its end. */
static int open_input(const char *path) {
    static char data[INPUT_MOST];
    int ends[2], file = (int)must(open(path, O_RDONLY), path);
    must(pipe(ends), "pipe");
    ssize_t size = must(read(file, data, sizeof data), "read");
    if (size == sizeof data || write(ends[1], data, (size_t)size) != size)
        fail("stdin is longer than a pipe holds");
    must(close(file), "close");
    must(close(ends[1]), "close");
    return ends[0];
}

static void become(char *const command[], int input, int pipes[STREAMS][2]) {
    must(dup2(input, 0), "dup2");
    must(close(input), "close");
    for (int stream = OUT; stream < STREAMS; stream++) {
        must(dup2(pipes[stream][1], 1 + stream), "dup2");
        must(close(pipes[stream][0]), "close");
        must(close(pipes[stream][1]), "close");
    }
    must(setsid(), "setsid");
    must(chdir("/sandbox"), "chdir");
    execvp(command[0], command);
    fail(command[0]);
}

/* The status of waitpid, or TIMED_OUT. Ends with the command's own process: what it left
 * is killed, as in a container whose first process it is. */
static int run(char *const command[], const char *given, long long limit, struct bytes *got) {
    int pipes[STREAMS][2], status = 0, timed_out = 0, open_streams = STREAMS, ended = 0;
    for (int stream = OUT; stream < STREAMS; stream++)
        must(pipe(pipes[stream]), "pipe");
    int input = open_input(given);
    pid_t child = (pid_t)must(fork(), "fork");
    if (child == 0)
        become(command, input, pipes);
    must(close(input), "close");
    struct pollfd polled[POLLED];
    for (int stream = OUT; stream < STREAMS; stream++) {
        must(close(pipes[stream][1]), "close");
        polled[stream] = (struct pollfd){.fd = pipes[stream][0], .events = POLLIN};
    }
    int pidfd = (int)must(syscall(SYS_pidfd_open, child, 0), "pidfd_open");
    polled[ENDED] = (struct pollfd){.fd = pidfd, .events = POLLIN};
    long long deadline = milliseconds() + limit;
    while (open_streams || !ended) {
        long long left = deadline - milliseconds();
        int ready = poll(polled, POLLED, ended ? -1 : (int)(left > 0 ? left : 0));
        must(ready, "poll");
        if ((ready == 0 || polled[ENDED].revents) && !ended) {
            timed_out = ready == 0;
            if (timed_out)
                must(kill(-1, SIGKILL), "kill");
            must(waitpid(child, &status, 0), "waitpid");
            do
                kill(-1, SIGKILL); /* fails once nobody is left */
            while (waitpid(-1, NULL, 0) > 0);
            polled[ENDED].fd = -1;
            ended = 1;
            continue;
        }
        for (int stream = OUT; stream < STREAMS; stream++)
            if (polled[stream].revents && !take(polled[stream].fd, &got[stream])) {
                must(close(polled[stream].fd), "close");
                polled[stream].fd = -1;
                open_streams--;
            }
    }
    must(close(pidfd), "close");
    return timed_out ? TIMED_OUT : status;
}

static void tell(const struct bytes *bytes) {
    if (fwrite(bytes->data, 1, bytes->size, stdout) != bytes->size)
        fail("write");
}

static char *format(const char *pattern, ...) {
    char *text;
    va_list values;
    va_start(values, pattern);
    must(vasprintf(&text, pattern, values), "vasprintf");
    va_end(values);
    return text;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: bare COUNT MILLISECONDS\n");
        return 2;
    }
    int count = atoi(argv[1]);
    for (int number = 0; number < count; number++) {
        struct bytes program[STREAMS] = {0}, around[STREAMS] = {0};
        char *folder = format(PROGRAMS "%d", number), *input = format("%s/stdin", folder);
        char *clear[] = {"sh", "-c", CLEAR, folder, NULL};
        char *command[] = {"sh", format("%s/command", folder), NULL};
        char *pack[] = {"tar", "-cf", "-", ".", NULL};
        if (run(clear, "/dev/null", HOUSEKEEPING, around) != 0) {
            tell(&around[ERR]);
            return 1;
        }
        int status = run(command, input, atoi(argv[2]), program);
        around[OUT].size = around[ERR].size = 0;
        if (run(pack, "/dev/null", HOUSEKEEPING, around) != 0) {
            tell(&around[ERR]);
            return 1;
        }
        printf("%d %zu %zu %zu\n", status, program[OUT].size, program[ERR].size, around[OUT].size);
        tell(&program[OUT]);
        tell(&program[ERR]);
        tell(&around[OUT]);
        for (int stream = OUT; stream < STREAMS; stream++) {
            free(program[stream].data);
            free(around[stream].data);
        }
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
