/*
 * The yardstick of `python -m bench.forward`: receive a batch of packets and send them on, as a
 * driver in C does it. All fields, one barrier, all owner bytes, one doorbell; payloads are copied
 * out of the receive buffers into memory of the program's, and from there into transmit buffers.
 *
 *     forward SLOTS BATCH PAYLOADS SECONDS        prints nanoseconds a packet
 *     forward SLOTS BATCH PAYLOADS SECONDS copy   the same of no more than the two copies
 *
 * PAYLOADS are the bytes of a packet, or those of several that come in turn: 64,594,1518. The card is played between two batches, outside of what is timed. No line of this file is the
 * driver's: what a measure shares with what it measures, it cannot show.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096, PAGES = 4, ROOM = PAGE * PAGES, HOST = 0xAA, CARD = 0x55 };

struct descriptor {
    uint8_t owner, unused[3];
    uint32_t received, sizes[PAGES], to, from;
    uint64_t pages[PAGES];
};

#if defined(__x86_64__)
#define READ_BARRIER() __asm__ __volatile__("lfence" ::: "memory")
#define WRITE_BARRIER() __asm__ __volatile__("sfence" ::: "memory")
#define BELL_BARRIER() __asm__ __volatile__("sfence" ::: "memory")
#elif defined(__aarch64__)
#define READ_BARRIER() __asm__ __volatile__("dmb oshld" ::: "memory")
#define WRITE_BARRIER() __asm__ __volatile__("dmb oshst" ::: "memory")
#define BELL_BARRIER() __asm__ __volatile__("dsb st" ::: "memory")
#else
#error "the barriers of this machine are not known"
#endif

enum { KINDS = 64 };

static unsigned slots, most, kinds, payloads[KINDS];
static volatile struct descriptor *in, *out;
static uint8_t *in_data, *out_data, *program;
static uint32_t taken, sent, returned, *lengths, *senders;
static volatile uint32_t doorbell;

static void *memory(size_t size)
{
    void *place = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (place == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return place;
}

static void repost(unsigned i)
{
    for (int p = 0; p < PAGES; p++) {
        in[i].sizes[p] = PAGE;
        in[i].pages[p] = (uint64_t)i * ROOM + (uint64_t)p * PAGE;
    }
    in[i].to = in[i].from = 0;
}

static void card(void)
{
    for (unsigned k = 0; k < most; k++) {
        unsigned i = (taken + k) % slots;
        in[i].received = payloads[k % kinds];
        in[i].to = 1;
        in[i].from = 2;
        in[i].owner = HOST;
    }
    for (uint32_t k = returned; k != sent; k++)
        out[k % slots].owner = HOST;
}

static unsigned forward(void)
{
    unsigned n = 0, mask = slots - 1;
    while (returned != sent && out[returned & mask].owner == HOST)
        returned++;
    while (n < most && in[(taken + n) & mask].owner == HOST)
        n++;
    READ_BARRIER();
    for (unsigned k = 0; k < n; k++) {
        unsigned i = (taken + k) & mask;
        uint32_t length = in[i].received;
        if (length > ROOM)
            exit(1);
        lengths[k] = length;
        senders[k] = in[i].from;
        memcpy(program + (size_t)k * ROOM, in_data + (size_t)i * ROOM, length);
        repost(i);
    }
    WRITE_BARRIER();
    for (unsigned k = 0; k < n; k++)
        in[(taken + k) & mask].owner = CARD;
    taken += n;
    for (unsigned k = 0; k < n; k++) {
        unsigned i = (sent + k) & mask;
        uint32_t left = lengths[k];
        memcpy(out_data + (size_t)i * ROOM, program + (size_t)k * ROOM, left);
        for (int p = 0; p < PAGES; p++) {
            uint32_t part = left < PAGE ? left : PAGE;
            out[i].sizes[p] = part;
            left -= part;
            out[i].pages[p] = (uint64_t)i * ROOM + (uint64_t)p * PAGE;
        }
        out[i].to = senders[k];
        out[i].from = 0;
    }
    WRITE_BARRIER();
    for (unsigned k = 0; k < n; k++)
        out[(sent + k) & mask].owner = CARD;
    sent += n;
    BELL_BARRIER();
    doorbell = 0x80000000u | ((sent - 1) & mask);
    return n;
}

/* What any driver has to do that copies, and nothing else. */
static unsigned copy(void)
{
    unsigned mask = slots - 1;
    for (unsigned k = 0; k < most; k++)
        memcpy(program + (size_t)k * ROOM, in_data + (size_t)((taken + k) & mask) * ROOM,
               payloads[k % kinds]);
    for (unsigned k = 0; k < most; k++)
        memcpy(out_data + (size_t)((sent + k) & mask) * ROOM, program + (size_t)k * ROOM,
               payloads[k % kinds]);
    taken += most;
    returned = sent += most;
    return most;
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The mean of the quicker half. The clock ticks too slowly for any single one of them. */
static double quiet(double *samples, size_t count)
{
    double sum = 0;
    qsort(samples, count, sizeof *samples, by_size);
    for (size_t k = 0; k < count / 2; k++)
        sum += samples[k];
    return sum / (double)(count / 2);
}

int main(int count, char **words)
{
    if (count != 5 && count != 6)
        return 2;
    unsigned (*work)(void) = count == 6 ? copy : forward;
    slots = (unsigned)atoi(words[1]);
    most = (unsigned)atoi(words[2]);
    for (char *word = strtok(words[3], ","); word != NULL && kinds < KINDS; word = strtok(NULL, ","))
        payloads[kinds++] = (unsigned)atoi(word);
    uint64_t until = now() + (uint64_t)(atof(words[4]) * 1e9);
    in = memory(slots * sizeof *in);
    out = memory(slots * sizeof *out);
    in_data = memory((size_t)slots * ROOM);
    out_data = memory((size_t)slots * ROOM);
    program = memory((size_t)most * ROOM);
    lengths = memory(most * sizeof *lengths);
    senders = memory(most * sizeof *senders);
    for (unsigned i = 0; i < slots; i++)
        repost(i);
    /* The clock takes as long as a packet does, so what it takes itself is taken off. */
    static double samples[1 << 20];
    for (int i = 0; i < 1000; i++) {
        uint64_t begin = now(), end = now();
        samples[i] = (double)(end - begin);
    }
    double clock = quiet(samples, 1000);
    size_t kept = 0;
    while ((now() < until || kept < 200) && kept < sizeof samples / sizeof *samples) {
        card();
        uint64_t begin = now();
        unsigned n = work();
        uint64_t end = now();
        if (n != most)
            return 1;
        samples[kept++] = (double)(end - begin);
    }
    printf("%.3f\n", (quiet(samples, kept) - clock) / most);
    return 0;
}
