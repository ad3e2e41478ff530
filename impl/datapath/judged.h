/*
 * The primitives under test: each is a call of impl/memory.py or impl/runtime.py, which may stop the
 * thread, let others go on first, and ask the specification. Error: an exception is set.
 */

static int barrier(PyObject *device, const char *name)
{
    return done(PyObject_CallMethod(device, name, NULL));
}
#define ACQUIRE(p) barrier((p)->device, "acquire")
#define RELEASE(p) barrier((p)->device, "release")
#define RELEASE_LOADS(p) barrier((p)->device, "release_loads")
#define BEFORE_REGISTER_WRITE(p) barrier((p)->device, "before_register_write")

static int open_region(struct region *region, PyObject *octets)
{
    region->octets = Py_NewRef(octets);
    return 0;
}

static void close_region(struct region *region)
{
    Py_CLEAR(region->octets);
}

static int holds(const struct region *region, uint64_t size)
{
    (void)region, (void)size;
    return 1;
}

static int LOAD_OWNER(const struct region *region, uint64_t place)
{
    PyObject *loaded = PyObject_CallMethod(region->octets, "load", "Ki", place, 1);
    long owner = loaded == NULL ? -1 : PyLong_AsLong(loaded);
    Py_XDECREF(loaded);
    return (int)owner;
}

static int STORE_OWNER(const struct region *region, uint64_t place, uint8_t owner)
{
    return done(PyObject_CallMethod(region->octets, "store", "Kii", place, 1, (int)owner));
}

static int LOAD_BULK(const struct region *region, uint64_t place, void *data, size_t size)
{
    PyObject *loaded = PyObject_CallMethod(region->octets, "load_bulk", "Kn", place, size);
    if (loaded == NULL)
        return -1;
    memcpy(data, PyBytes_AsString(loaded), size);
    Py_DECREF(loaded);
    return 0;
}

static int STORE_BULK(const struct region *region, uint64_t place, const void *data, Py_ssize_t size)
{
    return done(PyObject_CallMethod(region->octets, "store_bulk", "Ky#", place, data, size));
}

static struct fields *BEGIN_FIELDS(const struct region *region, uint64_t place, struct fields *made)
{
    (void)region, (void)place;
    return made;
}

static int STORE_FIELDS(const struct region *region, uint64_t place, const struct fields *made)
{
    return STORE_BULK(region, place, made, FIELDS_SIZE);
}

static PyObject *LOAD_PAYLOAD(const struct region *region, uint64_t place, uint32_t size)
{
    if (!size)
        return PyBytes_FromStringAndSize(NULL, 0);
    return PyObject_CallMethod(region->octets, "load_bulk", "KI", place, size);
}

static int UNLOCK_SOON(struct receive *p)
{
    return done(PyObject_CallMethod(p->turn, "unlock_soon", NULL));
}

static int RELOCK(struct receive *p)
{
    return ask(p->turn, "relock");
}

static int NONE_WAITS(struct receive *p)
{
    return say(p->turn, "none_waits");
}

static int ANOTHER_WAITS(struct receive *p)
{
    return ask(p->turn, "another_waits");
}

static int NEXT_CALL(struct receive *p)
{
    return ask(p->turn, "next_call");
}

static int ACQUIRE_SEEN(struct receive *p)
{
    return ACQUIRE(p);
}

static void LOOK_AHEAD(struct receive *p, uint64_t most)
{
    (void)p, (void)most;
}

/* A turn: words that only the host of a test has (properties/simulation/host.py). */

static int HINT_OWNER(const struct region *region, uint64_t place)
{
    PyObject *seen = PyObject_CallMethod(region->octets, "hint", "K", place);
    long owner = seen == NULL ? -1 : PyLong_AsLong(seen);
    Py_XDECREF(seen);
    return (int)owner;
}

static int STAND_BEFORE_LOCK(struct turns *t)
{
    return say(t->runtime, "stand_before_lock");
}

static int LOCK_IS_FREE(struct turns *t)
{
    return ask(t->runtime, "lock_is_free");
}

static int NOBODY_SLEEPS(struct turns *t, PyObject *queue)
{
    PyObject *result = PyObject_CallMethod(t->runtime, "nobody_sleeps", "O", queue);
    int yes = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    return yes;
}
#define NOBODY_SLEEPS_FOR_ROOM(t) NOBODY_SLEEPS(t, (t)->room)
#define NOBODY_SLEEPS_FOR_LIFE(t) NOBODY_SLEEPS(t, (t)->end)

static int SHOWN_WRITABLE(struct turns *t)
{
    PyObject *shown = PyObject_GetAttrString(t->runtime, "writable");
    int yes = shown == NULL ? -1 : PyObject_IsTrue(shown);
    Py_XDECREF(shown);
    return yes;
}

static int SHOW_READABLE(struct turns *t)
{
    return done(PyObject_CallMethod(t->runtime, "set_readable", "O", Py_True));
}

static int LOCK(struct turns *t)
{
    t->inside++;
    return say(t->runtime, "lock_at_once");
}

static int UNLOCK(struct turns *t)
{
    return say((PyObject *)t, "_leave");
}

static int bind_runtime(struct turns *t)
{
    (void)t;
    return 0;
}
