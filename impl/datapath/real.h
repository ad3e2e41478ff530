/*
 * The primitives as they are: memory of this process that the card reaches, and barriers, which are
 * the instructions of impl/barriers.py. The lock is kept while a batch is received: nobody else runs
 * who could tell, so `UNLOCK_SOON` and `RELOCK` are nothing.
 */

#if defined(__x86_64__)
#define ACQUIRE_CODE "lfence"
#define RELEASE_CODE "sfence"
#define RELEASE_LOADS_CODE ""
#define BEFORE_REGISTER_WRITE_CODE "sfence"
#elif defined(__aarch64__)
#define ACQUIRE_CODE "dmb oshld"
#define RELEASE_CODE "dmb oshst"
#define RELEASE_LOADS_CODE "dmb oshld"
#define BEFORE_REGISTER_WRITE_CODE "dsb st"
#else
#error "the memory barriers of this machine are not known to the driver"
#endif

#define BARRIER(name, code)                                                                         \
    static inline int name(void *port)                                                              \
    {                                                                                               \
        (void)port;                                                                                 \
        __asm__ __volatile__(code ::: "memory");                                                    \
        return 0;                                                                                   \
    }
BARRIER(ACQUIRE, ACQUIRE_CODE)
BARRIER(RELEASE, RELEASE_CODE)
BARRIER(RELEASE_LOADS, RELEASE_LOADS_CODE)
BARRIER(BEFORE_REGISTER_WRITE, BEFORE_REGISTER_WRITE_CODE)

static int open_region(struct region *region, PyObject *octets)
{
    return PyObject_GetBuffer(octets, &region->view, PyBUF_WRITABLE);
}

static void close_region(struct region *region)
{
    PyBuffer_Release(&region->view);
}

static int holds(const struct region *region, uint64_t size)
{
    return (uint64_t)region->view.len >= size;
}

static inline volatile uint8_t *at(const struct region *region, uint64_t place)
{
    return (volatile uint8_t *)region->view.buf + place;
}

static inline int LOAD_OWNER(const struct region *region, uint64_t place)
{
    return *at(region, place);
}

static inline int STORE_OWNER(const struct region *region, uint64_t place, uint8_t owner)
{
    *at(region, place) = owner;
    return 0;
}

static inline int LOAD_BULK(const struct region *region, uint64_t place, void *data, size_t size)
{
    memcpy(data, (const void *)at(region, place), size);
    /* The compiler must not load again what it has no register for. */
    __asm__ __volatile__("" ::: "memory");
    return 0;
}

static inline int STORE_BULK(const struct region *region, uint64_t place, const void *data,
                             Py_ssize_t size)
{
    memcpy((void *)at(region, place), data, (size_t)size);
    return 0;
}

static inline PyObject *LOAD_PAYLOAD(const struct region *region, uint64_t place, uint32_t size)
{
    return PyBytes_FromStringAndSize((const char *)at(region, place), size);
}

static inline int UNLOCK_SOON(struct receive *p)
{
    (void)p;
    return 0;
}

static inline int RELOCK(struct receive *p)
{
    (void)p;
    return 0;
}
