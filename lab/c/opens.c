/* A signal ends an open that waits for the card, which stands still meanwhile. */
#include "check.h"
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static void nothing(int number)
{
}

int main(int argc, char **argv)
{
    struct itimerval timer = { { 0, 0 }, { 0, 300000 } };
    struct sigaction action;
    time_t began = time(NULL);

    memset(&action, 0, sizeof action);
    action.sa_handler = nothing;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    FAILS(open(argv[1], O_RDWR), EINTR);
    /* The card itself is given five seconds for an answer. */
    CHECK(time(NULL) - began < 4);
    return DONE;
}
