/*
 * The driver's lock: threads get it in the order in which they ask for it, as from `FairLock` in
 * impl/threads.py. All of it but the waiting is done with the interpreter's lock, which guards it.
 */
#include <pythread.h>

struct place {
    PyThread_type_lock turn;
    struct place *next;
};

struct lock {
    PyObject_HEAD
    int taken, in_line;
    struct place *first, **end;
};

static PyObject *lock_new(PyTypeObject *type, PyObject *words, PyObject *names)
{
    struct lock *lock = (struct lock *)PyType_GenericNew(type, words, names);
    if (lock != NULL)
        lock->end = &lock->first;
    return (PyObject *)lock;
}

static PyObject *lock_acquire(struct lock *lock, PyObject *nothing)
{
    (void)nothing;
    /* Who has it gives it to the first in line, so it is free only if nobody is there. */
    if (!lock->taken) {
        lock->taken = 1;
        Py_RETURN_NONE;
    }
    struct place place = {PyThread_allocate_lock(), NULL};
    if (place.turn == NULL)
        return PyErr_NoMemory();
    PyThread_acquire_lock(place.turn, WAIT_LOCK);
    *lock->end = &place;
    lock->end = &place.next;
    lock->in_line++;
    Py_BEGIN_ALLOW_THREADS
    PyThread_acquire_lock(place.turn, WAIT_LOCK);
    Py_END_ALLOW_THREADS
    PyThread_release_lock(place.turn);
    PyThread_free_lock(place.turn);
    Py_RETURN_NONE;
}

static void let_next(struct lock *lock)
{
    struct place *next = lock->first;
    if (next == NULL) {
        lock->taken = 0;
        return;
    }
    lock->first = next->next;
    if (lock->first == NULL)
        lock->end = &lock->first;
    lock->in_line--;
    PyThread_release_lock(next->turn);
}

static PyObject *lock_release(struct lock *lock, PyObject *nothing)
{
    (void)nothing;
    if (!lock->taken) {
        PyErr_SetString(PyExc_RuntimeError, "nobody has the lock");
        return NULL;
    }
    let_next(lock);
    Py_RETURN_NONE;
}

static PyMethodDef lock_methods[] = {
    {"acquire", (PyCFunction)lock_acquire, METH_NOARGS, "Wait for the lock."},
    {"release", (PyCFunction)lock_release, METH_NOARGS, "Give the lock to the next in line."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef lock_members[] = {
    {"taken", T_INT, offsetof(struct lock, taken), READONLY, "Whether somebody has it."},
    {"in_line", T_INT, offsetof(struct lock, in_line), READONLY, "How many wait for it."},
    {NULL, 0, 0, 0, NULL}};

static PyTypeObject lock_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = MODULE_NAME ".Lock",
    .tp_basicsize = sizeof(struct lock),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "The driver's lock.",
    .tp_new = lock_new,
    .tp_methods = lock_methods,
    .tp_members = lock_members,
};
