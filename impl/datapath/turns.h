/*
 * The types behind the turns. Python's own classes of the controller and the rings are derived from
 * them too (impl/datapath/quick.py): what these have as attributes, C has as fields, and there is one
 * of each.
 */

/* Rings */

static PyMemberDef ring_members[] = {
    {"produced", T_ULONGLONG, offsetof(struct ring, produced), 0, NULL},
    {"_consumed", T_ULONGLONG, offsetof(struct ring, consumed), 0, NULL},
    {"_waiting", T_OBJECT_EX, offsetof(struct ring, waiting), 0, NULL},
    {"_kernel", T_OBJECT_EX, offsetof(struct ring, kernel), 0, NULL},
    {NULL, 0, 0, 0, NULL}};

static int ring_traverse(struct ring *r, visitproc visit, void *arg)
{
    Py_VISIT(r->waiting);
    Py_VISIT(r->kernel);
    return 0;
}

static int ring_clear(struct ring *r)
{
    Py_CLEAR(r->waiting);
    Py_CLEAR(r->kernel);
    return 0;
}

static void ring_dealloc(struct ring *r)
{
    PyObject_GC_UnTrack(r);
    ring_clear(r);
    Py_TYPE(r)->tp_free((PyObject *)r);
}

static PyTypeObject ring_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = MODULE_NAME ".Ring",
    .tp_basicsize = sizeof(struct ring),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "What turns know of a ring.",
    .tp_new = PyType_GenericNew,
    .tp_dealloc = (destructor)ring_dealloc,
    .tp_traverse = (traverseproc)ring_traverse,
    .tp_clear = (inquiry)ring_clear,
    .tp_members = ring_members,
};

/* What a turn asks of Python, in either build */

static int READ_EVENTS(struct turns *t)
{
    return done(PyObject_CallOneArg(t->read, t->events));
}

/*
 * Ring the doorbell. What the card does not know of fills the ring, so it is tried again where it
 * fails, as the controller does; what was raised then is raised all the same.
 */
static void announce(struct turns *t, struct transmit *p)
{
    PyObject *kind, *value, *place;
    PyErr_Fetch(&kind, &value, &place);
    uint64_t slot = (t->transmit->produced - 1) & p->mask;
    if (ring_doorbell(p, TRANSMIT_BELL + (uint32_t)slot) < 0) {
        Py_XDECREF(kind);
        Py_XDECREF(value);
        Py_XDECREF(place);
        PyErr_Fetch(&kind, &value, &place);
        if (done(PyObject_CallMethod((PyObject *)t, "_announce", "O", t->transmit)) < 0) {
            Py_XDECREF(kind);
            Py_XDECREF(value);
            Py_XDECREF(place);
            return;
        }
    }
    PyErr_Restore(kind, value, place);
}

#include "turn_kernel.h"

/* The controller */

static PyMemberDef turns_members[] = {
    {"life", T_OBJECT_EX, offsetof(struct turns, life), 0, NULL},
    {"failed", T_BOOL, offsetof(struct turns, failed), 0, NULL},
    {"inside", T_PYSSIZET, offsetof(struct turns, inside), 0, NULL},
    {NULL, 0, 0, 0, NULL}};

#define EACH_OBJECT(t, DO)                                                                          \
    DO((t)->life);                                                                                  \
    DO((t)->open);                                                                                  \
    DO((t)->read);                                                                                  \
    DO((t)->events);                                                                                \
    DO((t)->runtime);                                                                               \
    DO((t)->room);                                                                                  \
    DO((t)->end);                                                                                   \
    DO((t)->senders);                                                                               \
    DO((t)->readers);                                                                               \
    DO((t)->commands);                                                                              \
    DO((t)->transmit);                                                                              \
    DO((t)->receive);                                                                               \
    DO((t)->lock);                                                                                  \
    DO((t)->sleepers_for_room);                                                                     \
    DO((t)->sleepers_for_life)

static int turns_traverse(struct turns *t, visitproc visit, void *arg)
{
    EACH_OBJECT(t, Py_VISIT);
    return 0;
}

static int turns_clear(struct turns *t)
{
    EACH_OBJECT(t, Py_CLEAR);
    return 0;
}

static void turns_dealloc(struct turns *t)
{
    PyObject_GC_UnTrack(t);
    PyBuffer_Release(&t->shown);
    turns_clear(t);
    Py_TYPE(t)->tp_free((PyObject *)t);
}

static PyObject *attribute(PyObject *object, const char *name)
{
    return object == NULL ? NULL : PyObject_GetAttrString(object, name);
}

/* Everything but the rings' memory, which comes and goes, is bound once. */
static PyObject *turns_bind(struct turns *t, PyObject *const *words, Py_ssize_t count)
{
    PyObject *self = (PyObject *)t;
    if (count != 4 || t->open != NULL) {
        PyErr_SetString(PyExc_TypeError, "bind(open, events, room, end), once");
        return NULL;
    }
    t->open = Py_NewRef(words[0]);
    t->events = Py_NewRef(words[1]);
    t->room = Py_NewRef(words[2]);
    t->end = Py_NewRef(words[3]);
    PyObject *device = attribute(self, "device");
    t->read = attribute(device, "read");
    Py_XDECREF(device);
    t->runtime = attribute(self, "runtime");
    t->commands = (struct ring *)attribute(self, "commands");
    t->transmit = (struct ring *)attribute(self, "transmit");
    t->receive = (struct ring *)attribute(self, "receive");
    t->senders = attribute((PyObject *)t->transmit, "waiters");
    t->readers = attribute((PyObject *)t->receive, "waiters");
    if (PyErr_Occurred())
        return NULL;
    if (!PyObject_TypeCheck(t->commands, &ring_type) ||
        !PyObject_TypeCheck(t->transmit, &ring_type) ||
        !PyObject_TypeCheck(t->receive, &ring_type)) {
        PyErr_SetString(PyExc_TypeError, "these rings are not known to C");
        return NULL;
    }
    if (bind_runtime(t) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int is_bound(const struct turns *t)
{
    if (t->readers == NULL)
        PyErr_SetString(PyExc_RuntimeError, "the turns are not bound");
    return t->readers != NULL;
}

static PyObject *turns_receive(struct turns *t, PyObject *const *words, Py_ssize_t count)
{
    struct sink to;
    if (count != 2 || !is_sink(words[0], &to)) {
        PyErr_SetString(PyExc_TypeError, "receive_at_once(packets, most)");
        return NULL;
    }
    uint64_t most = PyLong_AsUnsignedLongLong(words[1]);
    if (PyErr_Occurred() || !is_bound(t))
        return NULL;
    int made = receive_turn(t, &to, most);
    Py_CLEAR(to.packet);
    return made < 0 ? NULL : PyBool_FromLong(made);
}

static PyObject *turns_send(struct turns *t, PyObject *packets)
{
    if (size_of(packets) < 0) {
        PyErr_SetString(PyExc_TypeError, "send_at_once(packets)");
        return NULL;
    }
    if (!is_bound(t))
        return NULL;
    Py_ssize_t sent;
    int made = send_turn(t, packets, &sent);
    return made < 0 ? NULL : PyLong_FromSsize_t(sent);
}

/*
 * Whole calls with a batch. There is no signal to be put off and nothing to be guarded from others,
 * since no line of Python runs between the first look at the batch and the end of the turn.
 */

static PyObject *turns_receive_into(struct turns *t, PyObject *const *words, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "receive_into_at_once(batch, most)");
        return NULL;
    }
    if (!is_bound(t))
        return NULL;
    int made = NOT_BEGUN;
    struct sink to = {0};
    if (Py_IS_TYPE(words[0], &batch_type)) {
        struct batch *b = to.batch = (struct batch *)words[0];
        uint64_t most = capacity_of(b);
        if (words[1] != Py_None) {
            most = PyLong_CheckExact(words[1]) ? PyLong_AsUnsignedLongLong(words[1]) : 0;
            PyErr_Clear();
        }
        int unused = is_unused(b);
        if (unused < 0)
            return NULL;
        if (unused && b->writable && most - 1 < capacity_of(b) && without_room(b, most) < 0) {
            uint64_t before = count_of(b);
            *(uint64_t *)b->count.buf = 0;
            made = receive_turn(t, &to, most);
            if (made == NOT_BEGUN)
                *(uint64_t *)b->count.buf = before;
        }
    }
    if (made < 0)
        return NULL;
    return PyLong_FromLongLong(made ? (int64_t)count_of(to.batch) : -1);
}

static PyObject *turns_send_from(struct turns *t, PyObject *batch)
{
    if (!is_bound(t))
        return NULL;
    Py_ssize_t sent = 0;
    struct transmit *p = sending(t);
    if (Py_IS_TYPE(batch, &batch_type) && p != NULL && p->words != NULL &&
        PyMemoryView_Check(p->words)) {
        struct batch *b = (struct batch *)batch;
        int unused = is_unused(b);
        if (unused < 0)
            return NULL;
        if (unused && unsendable(b) < 0) {
            if (send_turn(t, batch, &sent) < 0)
                return NULL;
        }
    }
    return PyLong_FromSsize_t(sent);
}

static PyObject *turns_serve(struct turns *t, PyObject *nothing)
{
    (void)nothing;
    if (!is_bound(t))
        return NULL;
    int made = serve_turn(t);
    if (made < 0 || (!made && done(PyObject_CallMethod((PyObject *)t, "serve_in_python", NULL)) < 0))
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef turns_methods[] = {
    {"bind", (PyCFunction)(void (*)(void))turns_bind, METH_FASTCALL,
     "bind(open, events, room, end): what life of an open card is, the register of events, and the "
     "queues for room and for the end of a call."},
    {"receive_at_once", (PyCFunction)(void (*)(void))turns_receive, METH_FASTCALL,
     "receive_at_once(packets, most) -> whether a turn was made, in which packets were received."},
    {"send_at_once", (PyCFunction)turns_send, METH_O,
     "send_at_once(packets) -> how many were queued; 0: no turn was made."},
    {"receive_into_at_once", (PyCFunction)(void (*)(void))turns_receive_into, METH_FASTCALL,
     "receive_into_at_once(batch, most) -> how many were received; -1: the call was not made."},
    {"send_from_at_once", (PyCFunction)turns_send_from, METH_O,
     "send_from_at_once(batch) -> how many were queued; 0: the call was not made."},
    {"serve_events", (PyCFunction)turns_serve, METH_NOARGS,
     "Serve vector 0, in Python where it cannot be done at once; the caller has the lock."},
    {NULL, NULL, 0, NULL}};

static PyTypeObject turns_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = MODULE_NAME ".Turns",
    .tp_basicsize = sizeof(struct turns),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "What turns know of the controller, and the turns.",
    .tp_new = PyType_GenericNew,
    .tp_dealloc = (destructor)turns_dealloc,
    .tp_traverse = (traverseproc)turns_traverse,
    .tp_clear = (inquiry)turns_clear,
    .tp_members = turns_members,
    .tp_methods = turns_methods,
};
