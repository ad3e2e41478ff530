/*
 * Many processes on many files for a while: reads, writes, polls, ioctls, signals, processes that
 * are killed; and, told by FAULTS, fatal errors of the card and a daemon that is killed:
 *
 *   load DEVICE SECONDS SEED [FAULTS CONTROL PID_FILE]
 *
 * FAULTS is a word, a letter for each of them: f the card fails, k the daemon is killed, b both. They
 * are spread over the time. CONTROL is the card's control channel, and PID_FILE the daemon's; whoever
 * started it starts another one.
 *
 * What must hold whatever happens is checked here. What became of each packet is printed, and
 * lab/account.py judges it together with what was on the net.
 */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#define WORKERS 16
#define FILES 4
#define MOST (1 << 17)
#define FLIGHT 24
#define FAULTS 256
#define LOSSES (1 << 16)
#define TAKEN 4096
#define PATIENCE 120000 /* milliseconds within which whatever does not hang has happened */

/* What a write said of its packet. */
enum fate {
    NONE = '-',
    SENT = 'S',    /* it waited, and no signal came: the card has sent the packet */
    QUEUED = 'Q',  /* success, but for one of these: the card has the packet, or is to get it */
    REFUSED = 'R', /* EINTR, EAGAIN: it was not sent */
    FAILED = 'F',  /* the card failed or the daemon ended meanwhile: nobody knows */
};

/* Times are counts of what began and ended, in the order in which it did. */
static struct {
    pthread_mutex_t mutex;
    volatile int over, epoch;
    volatile int fresh[WORKERS]; /* the epoch in which a worker opened its files */
    volatile int choice[WORKERS]; /* what it does, as drawn */
    volatile int in_flight[2 * FAULTS + 1];
    volatile long clock, calls, interrupted, next, lost;
    struct {
        char fate, came;
        int epoch;
        long began, ended, read_began, read_ended;
    } packets[MOST];
    struct {
        long began, ended;
    } losses[LOSSES];
    /* What a process has read that is going to be killed, and so cannot hold the mutex. */
    volatile int taken;
    uint32_t numbers[TAKEN];
} *all;

static struct {
    char kind;
    long before, after; /* packets that had a number before it, and after it */
    long ended;         /* milliseconds until all files that it made useless were closed and opened */
} faults[FAULTS];
static int faulty;

static uint32_t own, seed;
static volatile int strikes;

static void locked(void)
{
    pthread_mutex_lock(&all->mutex);
}

static void unlocked(void)
{
    pthread_mutex_unlock(&all->mutex);
}

/* Count something; only processes that are not killed do. */
static long add(volatile long *what)
{
    long result;
    locked();
    result = ++*what;
    unlocked();
    return result;
}

static long milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void strike(int number)
{
    strikes++;
}

/*
 * Signals strike while calls wait, and at any other moment; and again each second, since one that
 * comes before the call waits ends nothing.
 */
static void strike_in(long microseconds)
{
    struct itimerval timer = { { microseconds != 0, 0 }, { 0, microseconds } };
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

/* What calls end with whose card or daemon has gone. */
static int gone(void)
{
    return errno == EIO || errno == ENODEV || errno == ENOTCONN || errno == ECONNABORTED;
}

/* What an open may end with besides: nobody serves the device for the moment. */
static int absent(void)
{
    return gone() || errno == ENOENT || errno == ENXIO;
}

/* Calls return 1 if they got what they asked for, 0 if they did not, and -1 if the file is gone. */

static int ended_early(void)
{
    if (gone())
        return -1;
    CHECK(errno == EINTR || errno == EAGAIN);
    add(&all->interrupted);
    return 0;
}

static int writes(int fd, int waits)
{
    int result, epoch, before = strikes;
    uint32_t number;
    size_t size;
    char fate;

    locked();
    epoch = all->epoch;
    if (all->in_flight[epoch] >= FLIGHT) {
        /* The card would drop what finds no slot. */
        unlocked();
        return 0;
    }
    all->in_flight[epoch]++;
    number = all->next++;
    CHECK(number < MOST);
    all->packets[number].epoch = epoch;
    all->packets[number].began = ++all->clock;
    unlocked();
    size = packet(own, 8 + rand() % 2000, number);
    memcpy(message + HEADER, &seed, 4);
    memcpy(message + HEADER + 4, &number, 4);
    if (write(fd, message, size) == (ssize_t)size) {
        fate = waits && strikes == before ? SENT : QUEUED;
        result = 1;
    } else {
        result = ended_early();
        fate = result ? FAILED : REFUSED;
    }
    locked();
    all->packets[number].fate = fate;
    all->packets[number].ended = ++all->clock;
    if (result != 1)
        all->in_flight[epoch]--;
    unlocked();
    return result;
}

/* The number of the packet that was read, which is whole. */
static uint32_t number_of(ssize_t length)
{
    struct duct_packet_hdr header;
    uint32_t i, number, whose;
    memcpy(&header, got, HEADER);
    CHECK(length == (ssize_t)(HEADER + header.dpkt_length) && header.dpkt_source == own);
    CHECK(header.dpkt_length >= 8);
    memcpy(&whose, got + HEADER, 4);
    memcpy(&number, got + HEADER + 4, 4);
    CHECK(whose == seed && number < all->next);
    for (i = 8; i < header.dpkt_length; i++)
        CHECK(got[HEADER + i] == (unsigned char)(i * 7 + number));
    return number;
}

static void was_read(uint32_t number, long began)
{
    int came;
    locked();
    all->packets[number].read_began = began;
    all->packets[number].read_ended = ++all->clock;
    all->in_flight[all->packets[number].epoch]--;
    came = ++all->packets[number].came;
    unlocked();
    CHECK(came == 1);
}

/* From that time on until now somebody may have taken a packet, and nobody knows which. */
static void may_be_lost(long began)
{
    locked();
    CHECK(all->lost < LOSSES);
    all->losses[all->lost].began = began;
    all->losses[all->lost++].ended = ++all->clock;
    unlocked();
}

static int reads(int fd)
{
    long began = add(&all->clock);
    ssize_t length = read(fd, got, sizeof got);
    if (length < 0) {
        /* The daemon had the call when it was killed. */
        if (errno == ECONNABORTED) {
            may_be_lost(began);
            return -1;
        }
        return ended_early();
    }
    was_read(number_of(length), began);
    return 1;
}

static int polls(struct pollfd *items)
{
    int i;
    if (poll(items, FILES, rand() % 20) < 0) {
        CHECK(errno == EINTR);
        return 0;
    }
    for (i = 0; i < FILES; i++)
        if (items[i].revents & POLLERR)
            return -1;
    return 1;
}

static int asks(int fd)
{
    struct duct_info_arg info;
    if (ioctl(fd, DUCTIOC_GET_INFO, &info) < 0)
        return ended_early();
    CHECK(info.duct_hwaddr == own);
    return 1;
}

static int filters(int fd, int worker)
{
    struct duct_mcast_arg group = { 0xFFFFFFFF, 0x80000000 | worker };
    /* The table may be full, and an ioctl that ends with EINTR may have been carried out. */
    if (ioctl(fd, DUCTIOC_ADD_MCAST, &group) < 0 && errno != ENOSPC && ended_early() < 0)
        return -1;
    if (ioctl(fd, DUCTIOC_RM_MCAST, &group) < 0 && errno != ENOENT && ended_early() < 0)
        return -1;
    return 1;
}

static int flags_of(int file)
{
    return file % 2 ? O_RDWR | O_NONBLOCK : O_RDWR;
}

/*
 * Open all files, which takes until nobody holds a file of a card that failed, and it is served;
 * returns the epoch in which that began.
 */
static int opens_all(char **argv, int *fds, int files)
{
    long end = milliseconds() + PATIENCE;
    int i = 0, epoch = 0;
    while (i < files) {
        CHECK(milliseconds() < end);
        if (i == 0)
            epoch = all == NULL ? 0 : all->epoch;
        fds[i] = open(argv[1], flags_of(i));
        if (fds[i] >= 0) {
            i++;
        } else if (errno != EINTR) {
            CHECK(absent());
            while (i > 0)
                close(fds[--i]);
            usleep(5000);
        }
    }
    return epoch;
}

static void works(char **argv, int worker)
{
    struct pollfd items[FILES];
    struct sigaction action;
    int i, choice, result, fds[FILES];

    srand(seed * WORKERS + worker);
    memset(&action, 0, sizeof action);
    action.sa_handler = strike;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    all->fresh[worker] = opens_all(argv, fds, FILES);
    while (!all->over) {
        for (i = 0; i < FILES; i++) {
            items[i].fd = fds[i];
            items[i].events = POLLIN;
        }
        add(&all->calls);
        i = rand() % FILES;
        choice = all->choice[worker] = rand() % 16;
        /* Whatever waits is ended by a signal, soon or somewhat later; a write ends without, too. */
        if (choice >= 3)
            strike_in(1 + rand() % (rand() % 4 ? 20000 : 300));
        if (choice < 6)
            result = writes(fds[i], i % 2 == 0);
        else if (choice < 12)
            result = reads(fds[i]);
        else if (choice < 13)
            result = polls(items);
        else if (choice < 14)
            result = asks(fds[i]);
        else if (choice < 15)
            result = filters(fds[i], worker);
        else {
            CHECK(close(fds[i]) == 0);
            do
                fds[i] = open(argv[1], flags_of(i));
            while (fds[i] < 0 && errno == EINTR);
            CHECK(fds[i] >= 0 || absent());
            result = fds[i] < 0 ? -1 : 1;
        }
        strike_in(0);
        if (result < 0) {
            /* There is no error without a fault. */
            CHECK(all->epoch > all->fresh[worker]);
            for (i = 0; i < FILES; i++)
                if (fds[i] >= 0)
                    close(fds[i]);
            all->fresh[worker] = opens_all(argv, fds, FILES);
        }
    }
    _exit(0);
}

/* A process that reads, and is killed. */
static pid_t victim(char **argv)
{
    pid_t child;
    all->taken = 0;
    child = fork();
    if (child == 0) {
        int fd = open(argv[1], O_RDWR);
        ssize_t length;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (fd >= 0 && all->taken < TAKEN && (length = read(fd, got, sizeof got)) > 0) {
            all->numbers[all->taken] = number_of(length);
            all->taken++;
        }
        for (;;)
            pause();
    }
    CHECK(child > 0);
    return child;
}

/* Kill it; one packet may have been on its way to it, and those that it has read are known. */
static void kills(pid_t child, long began)
{
    int status, i;
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    for (i = 0; i < all->taken; i++)
        was_read(all->numbers[i], began);
    may_be_lost(began);
}

static long number_in(const char *path, const char *format)
{
    char line[256];
    long number = -1;
    FILE *file = fopen(path, "r");
    while (file != NULL && number < 0 && fgets(line, sizeof line, file) != NULL)
        sscanf(line, format, &number);
    if (file != NULL)
        fclose(file);
    return number;
}

static void print_memory(const char *pid_file)
{
    char path[64];
    long pid = number_in(pid_file, "%ld"), memory;
    snprintf(path, sizeof path, "/proc/%ld/status", pid);
    memory = number_in(path, "VmRSS: %ld");
    if (memory >= 0)
        printf("memory %ld %ld\n", pid, memory);
    fflush(stdout);
}

/* Say a line to the card's control channel; returns what it answers, without the line's end. */
static const char *answer(int control, const char *line)
{
    static char answer[4096];
    size_t length = 0;
    CHECK(write(control, line, strlen(line)) == (ssize_t)strlen(line));
    do {
        CHECK(length < sizeof answer && read(control, answer + length, 1) == 1);
    } while (answer[length++] != '\n');
    answer[length - 1] = 0;
    return answer;
}

static int controlled(const char *path)
{
    int control = open(path, O_RDWR);
    const char *last;
    CHECK(control >= 0);
    /* Whoever had the channel before may have left answers that nobody read. */
    last = answer(control, "\nping load\n");
    while (strcmp(last, "ok \"load\"") != 0)
        last = answer(control, "");
    return control;
}

static void kills_daemon(const char *pid_file)
{
    long end = milliseconds() + PATIENCE;
    pid_t daemon = number_in(pid_file, "%ld");
    CHECK(daemon > 1 && kill(daemon, SIGKILL) == 0);
    while (kill(daemon, 0) == 0) {
        CHECK(milliseconds() < end);
        usleep(1000);
    }
}

/* Each fault has an epoch of its own, with an odd number. */
static void strikes_a_fault(char kind, char **argv)
{
    int control = controlled(argv[5]);
    /* What is queued is stuck, most of the time: it is there when the fault comes. */
    CHECK(strcmp(answer(control, "stand-still\n"), "ok") == 0);
    usleep(rand() % 4 * 20000);
    locked();
    all->epoch++;
    faults[faulty].kind = kind;
    faults[faulty].before = all->next;
    unlocked();
    if (kind != 'k')
        CHECK(strcmp(answer(control, "fail\n"), "ok") == 0);
    if (kind != 'f')
        kills_daemon(argv[6]);
    CHECK(strcmp(answer(control, "go-on\n"), "ok") == 0);
    close(control);
    locked();
    all->epoch++;
    faults[faulty].after = all->next;
    unlocked();
}

/* Wait until every worker has seen the fault, and works again. */
static void recovers(long began)
{
    int i;
    for (i = 0; i < WORKERS; i++)
        while (all->fresh[i] < 2 * faulty + 1) {
            if (milliseconds() > began + PATIENCE) {
                fprintf(stderr, "worker %d hangs in call %d after fault %d (%c)\n", i,
                    all->choice[i], faulty, faults[faulty].kind);
                exit(1);
            }
            usleep(1000);
        }
    faults[faulty++].ended = milliseconds() - began;
}

static void ends(pid_t worker, int number)
{
    long end = milliseconds() + PATIENCE;
    int status;
    pid_t found;
    while ((found = waitpid(worker, &status, WNOHANG)) == 0) {
        if (milliseconds() > end) {
            fprintf(stderr, "worker %d hangs in call %d in the end\n", number,
                all->choice[number]);
            exit(1);
        }
        usleep(1000);
    }
    CHECK(found == worker && status == 0);
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 4 ? argv[4] : "";
    long length = atol(argv[2]) * 1000, began = milliseconds(), struck, born;
    int fds[2], fd, i, killed = 0, quiet;
    pthread_mutexattr_t shared;
    pid_t workers[WORKERS], child;

    seed = atoi(argv[3]);
    srand(seed);
    CHECK(strlen(wanted) < FAULTS);
    /* The first is another of those that never read; the second reads what is left in the end. */
    opens_all(argv, fds, 2);
    fd = fds[1];
    own = own_address(fd);
    all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(all != MAP_FAILED);
    CHECK(pthread_mutexattr_init(&shared) == 0);
    CHECK(pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_mutex_init(&all->mutex, &shared) == 0);
    for (i = 0; i < WORKERS; i++) {
        all->fresh[i] = -1;
        workers[i] = fork();
        if (workers[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            /* These are the parent's, and would be open as long as this process is. */
            close(fds[0]);
            close(fds[1]);
            works(argv, i);
        }
    }
    /* It takes longer where it takes longer until all work again. */
    while (milliseconds() < began + length || wanted[faulty] != 0) {
        born = add(&all->clock);
        child = victim(argv);
        usleep(rand() % 30000);
        struck = 0;
        if (wanted[faulty] != 0
            && milliseconds() > began + length / (long)(strlen(wanted) + 1) * (faulty + 1)) {
            print_memory(argv[6]);
            struck = milliseconds();
            strikes_a_fault(wanted[faulty], argv);
        }
        kills(child, born);
        killed++;
        if (struck) {
            close(fds[0]);
            close(fds[1]);
            opens_all(argv, fds, 2);
            fd = fds[1];
            recovers(struck);
        }
        if (argc > 6 && (struck || killed % 32 == 0))
            print_memory(argv[6]);
        usleep(100000);
    }
    all->over = 1;
    for (i = 0; i < WORKERS; i++)
        ends(workers[i], i);
    for (quiet = 0; quiet < 20; quiet++) {
        while (reads(fd) == 1)
            quiet = 0;
        usleep(10000);
    }
    if (argc > 6)
        print_memory(argv[6]);
    for (i = 0; i < faulty; i++)
        printf("fault %c %ld %ld %ld\n", faults[i].kind, faults[i].before, faults[i].after,
            faults[i].ended);
    for (i = 0; i < all->next; i++)
        printf("packet %c %ld %ld %ld %ld\n", all->packets[i].fate ? all->packets[i].fate : NONE,
            all->packets[i].began, all->packets[i].ended, all->packets[i].read_began,
            all->packets[i].read_ended);
    for (i = 0; i < all->lost; i++)
        printf("lost %ld %ld\n", all->losses[i].began, all->losses[i].ended);
    printf("load %lu %ld %ld %d\n", (unsigned long)own, all->calls, all->interrupted, killed);
    return DONE;
}
