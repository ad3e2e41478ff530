/* Signals end calls that wait, with EINTR, and nothing is lost. */
#include "check.h"
#include <signal.h>
#include <sys/time.h>

#define ROUNDS 100

static volatile int signals;

static void count(int number)
{
    signals++;
}

static void alarm_after(long microseconds)
{
    struct itimerval timer = { { 0, 0 }, { 0, microseconds } };
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

int main(int argc, char **argv)
{
    struct sigaction action;
    int fd = opened(argv, O_RDWR), i, interrupted = 0, number, wanted = 0;
    size_t size;

    memset(&action, 0, sizeof action);
    action.sa_handler = count;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    alarm_after(200000);
    FAILS(read(fd, got, sizeof got), EINTR);
    CHECK(signals == 1);
    size = packet(ECHO, 9, 1);
    CHECK(write(fd, message, size) == (ssize_t)size);
    comes_back(fd, ECHO, size);

    /* Signals at any moment of writing and reading numbered packets: none is missing, none twice. */
    for (i = 0; i < ROUNDS; i++) {
        size = packet(ECHO, 4, 0);
        memcpy(message + HEADER, &i, 4);
        alarm_after(1 + i * 97 % 4000);
        while (write(fd, message, size) != (ssize_t)size) {
            CHECK(errno == EINTR);
            interrupted++;
        }
        for (;;) {
            ssize_t length = read(fd, got, sizeof got);
            if (length == (ssize_t)size)
                break;
            CHECK(length == -1 && errno == EINTR);
            interrupted++;
        }
        memcpy(&number, got + HEADER, 4);
        CHECK(number == wanted++);
    }
    alarm_after(0);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    FAILS(read(fd, got, sizeof got), EAGAIN);
    CHECK(signals > 1);
    printf("%d signals, %d calls ended by one\n", signals, interrupted);
    return DONE;
}
