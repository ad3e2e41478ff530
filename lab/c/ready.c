/* poll, select, epoll (level and edge), O_NONBLOCK by open and by fcntl, access modes. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>

#define SOON 60000

/* A process of its own sends a packet to the echo service in a moment. */
static void later(char **argv)
{
    if (fork() == 0) {
        int fd = opened(argv, O_WRONLY);
        usleep(200000);
        CHECK(write(fd, message, packet(ECHO, 4, 1)) > 0);
        _exit(0);
    }
}

static void drained(int fd)
{
    int status;
    while (read(fd, got, sizeof got) > 0)
        ;
    CHECK(errno == EAGAIN);
    CHECK(wait(&status) > 0 && status == 0);
}

int main(int argc, char **argv)
{
    int fd = opened(argv, O_RDWR | O_NONBLOCK), reads, writes, epoll, status, i;
    struct pollfd item = { fd, POLLIN | POLLOUT, 0 };
    struct epoll_event event = { EPOLLIN, { 0 } };
    struct timeval seconds = { SOON / 1000, 0 };
    fd_set set;

    FAILS(read(fd, got, sizeof got), EAGAIN);
    CHECK(poll(&item, 1, 0) == 1 && item.revents == POLLOUT);
    item.events = POLLIN;
    CHECK(poll(&item, 1, 50) == 0);
    later(argv);
    CHECK(poll(&item, 1, SOON) == 1 && item.revents == POLLIN);
    drained(fd);
    CHECK(poll(&item, 1, 0) == 0);

    later(argv);
    FD_ZERO(&set);
    FD_SET(fd, &set);
    CHECK(select(fd + 1, &set, NULL, NULL, &seconds) == 1 && FD_ISSET(fd, &set));
    drained(fd);

    for (i = 0; i < 2; i++) {
        epoll = epoll_create1(0);
        event.events = i ? EPOLLIN | EPOLLET : EPOLLIN;
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
        CHECK(epoll_wait(epoll, &event, 1, 50) == 0);
        later(argv);
        CHECK(epoll_wait(epoll, &event, 1, SOON) == 1 && event.events == EPOLLIN);
        drained(fd);
        CHECK(epoll_wait(epoll, &event, 1, 50) == 0);
        /* Again: each packet that finds nothing before it is an edge. */
        later(argv);
        CHECK(epoll_wait(epoll, &event, 1, SOON) == 1);
        drained(fd);
        close(epoll);
    }

    /* The flag is the open file's, and fcntl changes it. */
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) == 0);
    later(argv);
    CHECK(read(fd, got, sizeof got) == HEADER + 4);
    CHECK(wait(&status) > 0 && status == 0);
    i = 1;
    CHECK(ioctl(fd, FIONBIO, &i) == 0);
    FAILS(read(fd, got, sizeof got), EAGAIN);

    reads = opened(argv, O_RDONLY | O_NONBLOCK);
    writes = opened(argv, O_WRONLY);
    FAILS(write(reads, message, packet(ECHO, 1, 1)), EBADF);
    FAILS(read(writes, got, sizeof got), EBADF);
    CHECK(write(writes, message, packet(ECHO, 1, 1)) == HEADER + 1);
    item.fd = reads;
    CHECK(poll(&item, 1, SOON) == 1 && item.revents == POLLIN);
    CHECK(read(reads, got, sizeof got) == HEADER + 1);
    CHECK(own_address(reads) == own_address(writes));
    return DONE;
}
