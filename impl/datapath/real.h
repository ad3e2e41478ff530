/*
 * The primitives as they are: memory of this process that the card reaches, and barriers, which are
 * the instructions of impl/barriers.py. The lock is kept while a batch is received: nobody else runs
 * who could tell, so `UNLOCK_SOON` and `RELOCK` are nothing. Where all of a turn is in C, pollers are
 * shown what they are to see at its end.
 */
#include <sys/socket.h>

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

/* They are made where they belong: a copy would wait until all parts of it are stored. */
static inline struct fields *BEGIN_FIELDS(const struct region *region, uint64_t place,
                                          struct fields *made)
{
    (void)made;
    return (struct fields *)at(region, place);
}

static inline int STORE_FIELDS(const struct region *region, uint64_t place,
                               const struct fields *made)
{
    (void)region, (void)place, (void)made;
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

static inline int NONE_WAITS(struct receive *p)
{
    if (p->turns == NULL)
        return say(p->turn, "none_waits");
    p->turns->readable = 0;
    return 0;
}

static inline int ANOTHER_WAITS(struct receive *p)
{
    if (p->turns == NULL)
        return ask(p->turn, "another_waits");
    p->turns->readable = 1;
    return 1;
}

static inline int NEXT_CALL(struct receive *p)
{
    return ask(p->turn, "next_call");
}

/*
 * One barrier for several packets: owner bytes that read HOST before it need none of their own, when
 * their slots' turn comes. They are loaded once more then, which is the load that counts; that the
 * packets are there was seen before. `seen` is the number of the first packet that was not.
 */
static void LOOK_AHEAD(struct receive *p, uint64_t most)
{
    uint64_t number = *p->taken, end = number + most;
    while (number != end && !p->held[number & p->mask] &&
           LOAD_OWNER(&p->ring, (number & p->mask) * SLOT_SIZE + OWNER) == HOST)
        number++;
    ACQUIRE(p);
    p->seen = number;
}

/* The packet at hand was counted already. */
static inline int ACQUIRE_SEEN(struct receive *p)
{
    if (*p->taken > p->seen)
        return ACQUIRE(p);
    __asm__ __volatile__("" ::: "memory");
    return 0;
}

/* A turn: the interpreter's lock is kept, so all that is asked is so until something is called. */

static inline int HINT_OWNER(const struct region *region, uint64_t place)
{
    return *at(region, place);
}

static inline int STAND_BEFORE_LOCK(struct turns *t)
{
    (void)t;
    return 0;
}

static inline int LOCK_IS_FREE(struct turns *t)
{
    return !t->lock->taken;
}

#define NOBODY_SLEEPS_FOR_ROOM(t) (PyList_GET_SIZE((t)->sleepers_for_room) == 0)
#define NOBODY_SLEEPS_FOR_LIFE(t) (PyList_GET_SIZE((t)->sleepers_for_life) == 0)

/* The items of `shown`, as impl/readiness.py has them; descriptors are -1 once they are closed. */
enum { READABLE, WRITABLE, USERS, DRIVERS, ITEMS };

static inline int SHOWN_WRITABLE(struct turns *t)
{
    return ((const int *)t->shown.buf)[WRITABLE];
}

/* What impl/readiness.py does. That a buffer is full or empty is somebody's own doing. */
static void show_readable(struct turns *t)
{
    int *shown = t->shown.buf;
    uint8_t octet = 0;
    if (t->readable < 0 || t->readable == shown[READABLE])
        return;
    if (t->readable)
        (void)!send(shown[DRIVERS], &octet, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        (void)!recv(shown[USERS], &octet, 1, MSG_DONTWAIT);
    shown[READABLE] = t->readable;
}

static int SHOW_READABLE(struct turns *t)
{
    t->readable = 1;
    show_readable(t);
    return 0;
}

static inline int LOCK(struct turns *t)
{
    t->readable = -1;
    t->lock->taken = 1;
    return 0;
}

static inline int UNLOCK(struct turns *t)
{
    show_readable(t);
    let_next(t->lock);
    return 0;
}

/* `Parts` of impl/threads.py. */
static int bind_runtime(struct turns *t)
{
    PyObject *parts = PyObject_GetAttrString(t->runtime, "parts"), *shown;
    if (parts == NULL)
        return -1;
    shown = PyObject_GetAttrString(parts, "shown");
    t->lock = (struct lock *)PyObject_GetAttrString(parts, "lock");
    t->sleepers_for_room = PyObject_GetAttrString(parts, "sleepers_for_room");
    t->sleepers_for_life = PyObject_GetAttrString(parts, "sleepers_for_life");
    Py_DECREF(parts);
    int result = shown == NULL ? -1 : PyObject_GetBuffer(shown, &t->shown, PyBUF_WRITABLE);
    Py_XDECREF(shown);
    if (result < 0 || PyErr_Occurred())
        return -1;
    if (!Py_IS_TYPE(t->lock, &lock_type) || !PyList_CheckExact(t->sleepers_for_room) ||
        !PyList_CheckExact(t->sleepers_for_life) || t->shown.len != ITEMS * sizeof(int)) {
        PyErr_SetString(PyExc_TypeError, "these are not the parts of a runtime over threads");
        return -1;
    }
    return 0;
}
