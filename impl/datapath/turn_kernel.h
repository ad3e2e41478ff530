/*
 * Whole turns with the driver's lock, as impl/controller.py makes them, where nothing stands in the
 * way: nobody has the lock or is in line, the card is open and has not failed, nobody is to be woken,
 * and nobody has to wait. Otherwise it says that no turn was begun, and has touched nothing: then
 * Python makes the turn, from its beginning.
 *
 * Like ring_kernel.h it speaks primitives, and does not know whether it is judged.
 */

/* What a turn was. */
enum { NOT_BEGUN, MADE };

/* The memory of a ring, if it has one. */
static struct transmit *sending(const struct turns *t)
{
    PyObject *kernel = t->transmit->kernel;
    return kernel != NULL && Py_IS_TYPE(kernel, &transmit_type) ? (struct transmit *)kernel : NULL;
}

static struct receive *receiving(const struct turns *t)
{
    PyObject *kernel = t->receive->kernel;
    return kernel != NULL && Py_IS_TYPE(kernel, &receive_type) ? (struct receive *)kernel : NULL;
}

/* Slots of the transmit ring that a packet may be put into. */
static uint64_t room(const struct turns *t, const struct transmit *p)
{
    return p->mask + 1 - t->transmit->produced + t->transmit->consumed;
}

/* Whether a call may begin: asked at one moment with all that follows, until the lock is taken. */
static int may_begin(struct turns *t)
{
    TRY(STAND_BEFORE_LOCK(t));
    int free = LOCK_IS_FREE(t);
    if (free <= 0)
        return free;
    return t->life == t->open && !t->failed;
}

/* An exception that is set stays set. */
static int leave(struct turns *t)
{
    PyObject *kind, *value, *place;
    PyErr_Fetch(&kind, &value, &place);
    int result = UNLOCK(t);
    if (kind != NULL && result == 0)
        PyErr_Restore(kind, value, place);
    return result;
}

/* Receive packets, `most` at the most, if one waits that nobody is in line for. */
static int receive_turn(struct turns *t, struct sink *to, uint64_t most)
{
    struct receive *p = receiving(t);
    if (p == NULL || most > p->mask + 1)
        return NOT_BEGUN;
    int begins = may_begin(t);
    if (begins <= 0)
        return begins;
    /* Those in line come first. */
    if (PyObject_Size(t->readers))
        return NOT_BEGUN;
    uint64_t slot = *p->taken & p->mask;
    if (p->held[slot])
        return NOT_BEGUN;
    /* No more than a hint, which decides who makes the turn. It is loaded again with the lock. */
    int owner = HINT_OWNER(&p->ring, slot * SLOT_SIZE + OWNER);
    TRY(owner);
    if (owner != HOST)
        return NOT_BEGUN;
    TRY(LOCK(t));
    int result = packet_ready(p), found = result;
    if (found > 0) {
        p->turns = t;
        LOOK_AHEAD(p, most);
        result = receive(p, to, most);
        p->turns = NULL;
    }
    /* Once the lock is given back it may be closed. */
    Py_INCREF(p);
    if (leave(t) < 0)
        result = -1;
    else if (result < 0)
        complain(p, to);
    Py_DECREF(p);
    TRY(result);
    return found ? MADE : NOT_BEGUN;
}

/*
 * Queue packets, as many as there are, if there is room for all of them and nobody is in line for it.
 * `sent`: how many were handed over.
 */
static int send_turn(struct turns *t, PyObject *packets, Py_ssize_t *sent)
{
    struct transmit *p = sending(t);
    Py_ssize_t count = size_of(packets);
    *sent = 0;
    if (p == NULL || count < 1)
        return NOT_BEGUN;
    int begins = may_begin(t);
    if (begins <= 0)
        return begins;
    /* Whoever sleeps until its packet was sent is woken when a place in line is given up. */
    int nobody = NOBODY_SLEEPS_FOR_ROOM(t);
    if (nobody <= 0)
        return nobody;
    uint64_t left = room(t, p);
    int writable = SHOWN_WRITABLE(t);
    TRY(writable);
    /* Pollers see room if nobody is in line for it; there is some behind the turn, so they go on to. */
    if (left <= (uint64_t)count || !writable)
        return NOT_BEGUN;
    TRY(LOCK(t));
    Py_ssize_t result = 0;
    while (*sent < count && result >= 0) {
        result = produce(p, packets, *sent, count - *sent, t->transmit->produced);
        if (result > 0) {
            *sent += result;
            t->transmit->produced += (uint64_t)result;
        }
    }
    if (*sent)
        announce(t, p);
    TRY(leave(t));
    return result < 0 || PyErr_Occurred() ? -1 : MADE;
}

/*
 * Vector 0, if no command is under way and nobody is to be woken: take back every slot that the card
 * returned, and show pollers whether a packet waits. The caller has the lock.
 */
static int serve_turn(struct turns *t)
{
    struct transmit *p = sending(t);
    struct receive *q = receiving(t);
    if (p == NULL || q == NULL || t->failed)
        return NOT_BEGUN;
    if (t->commands->produced != t->commands->consumed)
        return NOT_BEGUN;
    /* They are told of room, and of packets. */
    if (PyObject_Size(t->senders) || PyObject_Size(t->readers))
        return NOT_BEGUN;
    int nobody = NOBODY_SLEEPS_FOR_ROOM(t);
    if (nobody > 0)
        nobody = NOBODY_SLEEPS_FOR_LIFE(t);
    if (nobody <= 0)
        return nobody;
    int writable = SHOWN_WRITABLE(t);
    if (writable <= 0)
        return writable;
    /* Who waits for one of the packets is told, even if it does not sleep at the moment. */
    for (uint64_t k = t->transmit->consumed; k != t->transmit->produced; k++)
        if (PyList_GET_ITEM(t->transmit->waiting, (Py_ssize_t)(k & p->mask)) != Py_None)
            return NOT_BEGUN;
    TRY(READ_EVENTS(t));
    /* Completions that the flags announced are looked for after the flags were read. */
    TRY(ACQUIRE(p));
    uint64_t first = t->transmit->consumed;
    int64_t count = returned(p, first, (int64_t)(t->transmit->produced - first));
    TRY(count);
    t->transmit->consumed += (uint64_t)count;
    int ready = packet_ready(q);
    TRY(ready);
    if (ready)
        TRY(SHOW_READABLE(t));
    return MADE;
}
