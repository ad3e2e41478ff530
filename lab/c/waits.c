/* Waits in read until something ends it, and says what. */
#include "check.h"

int main(int argc, char **argv)
{
    int fd = opened(argv, O_RDWR);
    ssize_t length;
    printf("waiting\n");
    fflush(stdout);
    length = read(fd, got, sizeof got);
    printf("read %ld, %s\n", (long)length, length < 0 ? strerror(errno) : "no error");
    return length < 0;
}
