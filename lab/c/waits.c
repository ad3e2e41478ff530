/* Waits in read, or in poll if there is a second argument, until something ends it; says what. */
#include "check.h"
#include <poll.h>

int main(int argc, char **argv)
{
    struct pollfd item = { opened(argv, O_RDWR), POLLIN, 0 };
    ssize_t length;
    printf("waiting\n");
    fflush(stdout);
    if (argc > 2) {
        CHECK(poll(&item, 1, -1) == 1);
        printf("poll %s%s\n", item.revents & POLLIN ? "in" : "", item.revents & POLLERR ? "err" : "");
        fflush(stdout);
    }
    length = read(item.fd, got, sizeof got);
    printf("read %ld, %s\n", (long)length, length < 0 ? strerror(errno) : "no error");
    return length < 0;
}
