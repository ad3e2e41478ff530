/*
 * Many processes on many files for a while: reads, writes, polls, ioctls, signals, processes that
 * are killed. Every packet is numbered: what a write acknowledged is read once, by somebody.
 *
 * load DEVICE SECONDS SEED
 */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#define WORKERS 16
#define FILES 4
#define MOST (1 << 20)
#define FLIGHT 24

static struct {
    pthread_mutex_t mutex;
    volatile int over, taken;
    volatile long in_flight, calls, interrupted, acknowledged, delivered, next;
    volatile unsigned char sent[MOST], came[MOST];
} *all;

static uint32_t own;

/* Count something; only processes that are not killed do. */
static long add(volatile long *what, long how_many)
{
    long result;
    pthread_mutex_lock(&all->mutex);
    result = *what += how_many;
    pthread_mutex_unlock(&all->mutex);
    return result;
}

static void nothing(int number)
{
}

/* Signals strike while calls wait, and at any other moment. */
static void strike_in(long microseconds)
{
    struct itimerval timer = { { 0, 0 }, { 0, microseconds } };
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void writes(int fd)
{
    int number;
    size_t size;
    if (add(&all->in_flight, 1) > FLIGHT) {
        /* The card would drop what finds no slot. */
        add(&all->in_flight, -1);
        return;
    }
    number = add(&all->next, 1) - 1;
    CHECK(number < MOST);
    size = packet(own, 4 + rand() % 2000, number);
    memcpy(message + HEADER, &number, 4);
    if (write(fd, message, size) == (ssize_t)size) {
        all->sent[number] = 1;
        add(&all->acknowledged, 1);
        return;
    }
    CHECK(errno == EINTR || errno == EAGAIN);
    add(&all->interrupted, 1);
    add(&all->in_flight, -1);
}

static int reads(int fd)
{
    struct duct_packet_hdr header;
    uint32_t i;
    int number;
    ssize_t length = read(fd, got, sizeof got);
    if (length < 0) {
        CHECK(errno == EINTR || errno == EAGAIN);
        add(&all->interrupted, 1);
        return 0;
    }
    memcpy(&header, got, HEADER);
    CHECK(length == (ssize_t)(HEADER + header.dpkt_length) && header.dpkt_source == own);
    memcpy(&number, got + HEADER, 4);
    CHECK(number >= 0 && number < MOST);
    for (i = 4; i < header.dpkt_length; i++)
        CHECK(got[HEADER + i] == (unsigned char)(i * 7 + number));
    CHECK(++all->came[number] == 1);
    add(&all->delivered, 1);
    add(&all->in_flight, -1);
    return 1;
}

static void works(char **argv, int worker)
{
    struct duct_mcast_arg group = { 0xFFFFFFFF, 0x80000000 | worker };
    struct duct_info_arg info;
    struct pollfd items[FILES];
    struct sigaction action;
    int i, choice, fds[FILES];

    srand(atoi(argv[3]) * WORKERS + worker);
    memset(&action, 0, sizeof action);
    action.sa_handler = nothing;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    for (i = 0; i < FILES; i++) {
        fds[i] = opened(argv, i % 2 ? O_RDWR | O_NONBLOCK : O_RDWR);
        items[i].fd = fds[i];
        items[i].events = POLLIN;
    }
    while (!all->over) {
        add(&all->calls, 1);
        i = rand() % FILES;
        choice = rand() % 16;
        /* Whatever waits is ended by a signal, soon or somewhat later. */
        strike_in(1 + rand() % (rand() % 4 ? 20000 : 300));
        if (choice < 6)
            writes(fds[i]);
        else if (choice < 12)
            reads(fds[i]);
        else if (choice < 13)
            CHECK(poll(items, FILES, rand() % 20) >= 0 || errno == EINTR);
        else if (choice < 14)
            CHECK(ioctl(fds[i], DUCTIOC_GET_INFO, &info) == 0 && info.duct_hwaddr == own);
        else if (choice < 15) {
            /* The table may be full, and an ioctl that ends with EINTR may have been carried out. */
            CHECK(ioctl(fds[i], DUCTIOC_ADD_MCAST, &group) == 0 || errno == EINTR || errno == ENOSPC);
            CHECK(ioctl(fds[i], DUCTIOC_RM_MCAST, &group) == 0 || errno == EINTR || errno == ENOENT);
        } else {
            CHECK(close(fds[i]) == 0);
            fds[i] = items[i].fd = opened(argv, i % 2 ? O_RDWR | O_NONBLOCK : O_RDWR);
        }
    }
    strike_in(0);
    _exit(0);
}

/* A process that reads, and is killed; returns how many packets it may have taken. */
static int kills_one(char **argv)
{
    int status;
    pid_t child;
    all->taken = 0;
    child = fork();
    if (child == 0) {
        int fd = opened(argv, O_RDWR);
        for (;;) {
            CHECK(read(fd, got, 1) == 1);
            all->taken++;
        }
    }
    usleep(rand() % 30000);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    /* They are in flight for ever. */
    add(&all->in_flight, -all->taken);
    return all->taken + 1;
}

int main(int argc, char **argv)
{
    time_t end = time(NULL) + atoi(argv[2]);
    int fd = opened(argv, O_RDWR | O_NONBLOCK), i, status, killed = 0, most = 0, quiet;
    pthread_mutexattr_t shared;
    long missing = 0;

    own = own_address(fd);
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(all != MAP_FAILED);
    CHECK(pthread_mutexattr_init(&shared) == 0);
    CHECK(pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_mutex_init(&all->mutex, &shared) == 0);
    for (i = 0; i < WORKERS; i++)
        if (fork() == 0)
            works(argv, i);
    while (time(NULL) < end) {
        most += kills_one(argv);
        killed++;
        usleep(100000);
    }
    all->over = 1;
    for (i = 0; i < WORKERS; i++)
        CHECK(wait(&status) > 0 && status == 0);
    for (quiet = 0; quiet < 20; quiet++) {
        while (reads(fd))
            quiet = 0;
        usleep(10000);
    }
    for (i = 0; i < all->next; i++) {
        CHECK(all->came[i] <= 1);
        /* Nothing comes that was not acknowledged. */
        CHECK(all->sent[i] || !all->came[i]);
        missing += all->sent[i] && !all->came[i];
    }
    /* What nobody read was taken by a process that was killed. */
    CHECK(missing <= most);
    printf("%ld calls, %ld ended early, %d processes killed; %ld packets acknowledged, %ld read, "
           "%ld taken by the killed\n",
        all->calls, all->interrupted, killed, all->acknowledged, all->delivered, missing);
    CHECK(all->acknowledged > 10 && all->delivered > 10);
    return DONE;
}
