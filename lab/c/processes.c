/* Files are counted: opens of several processes, dup, fork, descriptors that outlive who opened. */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>

static int file;
static uint32_t own;

/* A thread reads packets of its own; what it returns is how many. */
static void *reads(void *most)
{
    unsigned char buffer[64];
    long count = 0;
    while (count < (long)most && read(file, buffer, sizeof buffer) == HEADER + 4)
        count++;
    return (void *)count;
}

int main(int argc, char **argv)
{
    int fd = opened(argv, O_RDWR), copy, status, pipes[2], i;
    size_t size = packet(ECHO, 100, 3);
    pthread_t threads[4];
    pid_t child;
    void *count;
    char byte;

    own = own_address(fd);
    /* A copy keeps the file open. */
    copy = dup(fd);
    CHECK(close(fd) == 0);
    CHECK(write(copy, message, size) == (ssize_t)size);
    comes_back(copy, ECHO, size);

    /* A child that inherits it goes on when the parent has closed. */
    CHECK(pipe(pipes) == 0);
    child = fork();
    if (child == 0) {
        CHECK(read(pipes[0], &byte, 1) == 1);
        CHECK(write(copy, message, size) == (ssize_t)size);
        comes_back(copy, ECHO, size);
        _exit(0);
    }
    CHECK(close(copy) == 0);
    CHECK(write(pipes[1], "x", 1) == 1);
    CHECK(waitpid(child, &status, 0) == child && status == 0);

    /* After the last close the card is stopped: what comes then is not there at the next open. */
    fd = opened(argv, O_RDWR);
    CHECK(write(fd, message, size) == (ssize_t)size);
    CHECK(close(fd) == 0);
    fd = opened(argv, O_RDWR | O_NONBLOCK);
    FAILS(read(fd, got, sizeof got), EAGAIN);
    CHECK(fcntl(fd, F_SETFL, 0) == 0);

    /* Two processes: one writes, the other, with an open of its own, reads. */
    child = fork();
    if (child == 0) {
        int other = opened(argv, O_RDWR);
        size = packet(own, 4, 0);
        for (i = 0; i < 80; i++)
            CHECK(write(other, message, size) == (ssize_t)size);
        _exit(0);
    }
    /* And four threads on one file: each packet goes to one of them. */
    file = fd;
    for (i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, reads, (void *)20L) == 0);
    for (i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], &count) == 0 && (long)count == 20);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    /* A child that is killed while it waits leaves nothing. */
    child = fork();
    if (child == 0) {
        read(fd, got, sizeof got);
        _exit(1);
    }
    usleep(200000);
    kill(child, 9);
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    size = packet(ECHO, 7, 7);
    CHECK(write(fd, message, size) == (ssize_t)size);
    comes_back(fd, ECHO, size);
    return DONE;
}
