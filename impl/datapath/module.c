/*
 * The batch operations of the rings as a Python module. Compiled with JUDGED each access is a call
 * of Python's; without it, it is the access. impl/datapath/build.py says what is defined.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>

#ifdef JUDGED
struct region {
    PyObject *octets;
};
#else
struct region {
    Py_buffer view;
};
#endif

/* What the host reads of a slot whose packet was received, as model/layout.py has it. */
struct header {
    uint32_t length, unused[BUFFERS], destination, source;
};

/* What the host writes of a slot, as model/layout.py has it. */
struct fields {
    uint32_t length[BUFFERS], destination, source;
    uint64_t pointer[BUFFERS];
};
_Static_assert(sizeof(struct fields) == FIELDS_SIZE, "the layout of a slot has changed");
_Static_assert(sizeof(struct header) == HEADER_SIZE, "the layout of a slot has changed");

#define TRY(primitive)                                                                              \
    do {                                                                                            \
        if ((primitive) < 0)                                                                        \
            return -1;                                                                              \
    } while (0)

/*
 * Packets in arrays of the program's: impl/packet_batch.py. An array that is not there has no len.
 * `locked`: whether a call uses the batch.
 */
struct batch {
    PyObject_HEAD
    Py_buffer payloads, offsets, lengths, destinations, sources, count;
    PyObject *locked;
    int writable;
};

/*
 * Where received packets go: a batch, or a list of objects. What is wrong without an exception, since
 * no object may be made where it is found: a length that cannot be, or arrays that have changed.
 */
struct sink {
    struct batch *batch;
    PyObject *list, *packet;
    uint32_t refused;
    int changed;
};

/* A packet to be sent, while it is stored. */
struct outgoing {
    uint32_t destination;
    Py_ssize_t size, count;
    Py_buffer *buffers;
};

/* The transmit ring: its memory, and what stands in each slot whose packet fills all buffers. */
struct transmit {
    PyObject_HEAD
    PyObject *device, *bell, *words, *fields_owner;
    struct region ring, payloads;
    const struct fields *fields;
    uint64_t mask;
};

/*
 * The receive ring. `held` and `taken` are the driver's own, and nobody's business but its. `turns` is
 * there while all of a turn is in C.
 */
struct receive {
    PyObject_HEAD
    struct turns *turns;
    PyObject *device, *turn, *packet, *refuse, *fields_owner;
    struct region ring, payloads;
    const struct fields *fields;
    Py_buffer held_view, taken_view;
    uint8_t *held;
    uint64_t *taken, seen, mask;
};

#include "lock.h"

/*
 * What a turn with the driver's lock looks at, and changes: where Python has attributes, the same
 * places in memory (impl/datapath/quick.py). The fields of a ring: */
struct ring {
    PyObject_HEAD
    unsigned long long produced, consumed;
    PyObject *waiting, *kernel;
};

/*
 * and those of the controller. `readable`: what pollers are to see behind the turn at hand, or -1.
 */
struct turns {
    PyObject_HEAD
    PyObject *life;
    Py_ssize_t inside;
    char failed;
    int readable;
    PyObject *open, *read, *events, *runtime, *room, *end, *senders, *readers;
    struct ring *commands, *transmit, *receive;
    /* Of threads that are real */
    struct lock *lock;
    PyObject *sleepers_for_room, *sleepers_for_life;
    Py_buffer shown;
};

static int say(PyObject *turn, const char *word)
{
    PyObject *result = PyObject_CallMethod(turn, word, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int ask(PyObject *turn, const char *word)
{
    PyObject *result = PyObject_CallMethod(turn, word, NULL);
    int yes = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    return yes;
}

static int done(PyObject *result)
{
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* A call of the driver's, or an item of its registers' where they are mapped: one access. */
static int WRITE_DOORBELL(struct transmit *p, uint32_t value)
{
    if (p->words == NULL)
        return done(PyObject_CallFunction(p->bell, "I", value));
    PyObject *index = PyLong_FromLong(DOORBELL / 4), *word = PyLong_FromUnsignedLong(value);
    int result = index == NULL || word == NULL ? -1 : PyObject_SetItem(p->words, index, word);
    Py_XDECREF(index);
    Py_XDECREF(word);
    return result;
}

/* Set the exception that is not set yet, if there is one. */
static void complain(struct receive *p, const struct sink *to)
{
    if (to->changed)
        PyErr_SetString(PyExc_ValueError, "a batch has changed since it was checked");
    if (to->refused && done(PyObject_CallFunction(p->refuse, "I", to->refused)) == 0)
        PyErr_Format(PyExc_SystemError, "a length of %u was not refused", to->refused);
}

static PyObject *packet_names[3];

/*
 * Consumes `payload`. A frozen object's own constructor does the same, through Python: it makes an
 * object of its type and sets each attribute as `object` does. It has no other business.
 */
static PyObject *PACKET(struct receive *p, uint32_t source, uint32_t destination, PyObject *payload)
{
    PyObject *words[3] = {PyLong_FromUnsignedLong(source), PyLong_FromUnsignedLong(destination),
                          payload};
    PyTypeObject *type = (PyTypeObject *)p->packet;
    PyObject *packet = type->tp_alloc(type, 0);
    for (int k = 0; k < 3; k++) {
        if (packet != NULL &&
            (words[k] == NULL || PyObject_GenericSetAttr(packet, packet_names[k], words[k]) < 0))
            Py_CLEAR(packet);
        Py_XDECREF(words[k]);
    }
    return packet;
}

/* Item k of an array, which need not be aligned. */
static inline uint32_t word_of(const Py_buffer *array, uint64_t k)
{
    uint32_t word;
    memcpy(&word, (const uint8_t *)array->buf + k * sizeof word, sizeof word);
    return word;
}

static inline void set_word(const Py_buffer *array, uint64_t k, uint32_t word)
{
    if (array->len)
        memcpy((uint8_t *)array->buf + k * sizeof word, &word, sizeof word);
}

static inline uint64_t count_of(const struct batch *batch)
{
    return *(const uint64_t *)batch->count.buf;
}

static inline uint64_t capacity_of(const struct batch *batch)
{
    return (uint64_t)batch->offsets.len / sizeof(uint64_t);
}

/* Whether `size` bytes of packet k lie within the payloads. */
static inline int is_within(const struct batch *batch, uint64_t k, uint32_t size, uint64_t *offset)
{
    uint64_t room = (uint64_t)batch->payloads.len;
    memcpy(offset, (const uint8_t *)batch->offsets.buf + k * sizeof *offset, sizeof *offset);
    return size <= room && *offset <= room - size;
}

#ifdef JUDGED
#include "judged.h"
#else
#include "real.h"
#endif

/*
 * Copy a packet whose payload lies at `place` to where it goes. Arrays were looked at before the call
 * began; here once more, since nobody can keep their owner from changing them meanwhile.
 */
static int KEEP(struct receive *p, struct sink *to, uint64_t place, const struct header *header)
{
    if (to->batch == NULL) {
        PyObject *payload = LOAD_PAYLOAD(&p->payloads, place, header->length);
        if (payload == NULL)
            return -1;
        to->packet = PACKET(p, header->source, header->destination, payload);
        return to->packet == NULL ? -1 : 0;
    }
    uint64_t k = count_of(to->batch), offset;
    if (k >= capacity_of(to->batch) || !is_within(to->batch, k, header->length, &offset)) {
        to->changed = 1;
        return -1;
    }
    if (header->length &&
        LOAD_BULK(&p->payloads, place, (uint8_t *)to->batch->payloads.buf + offset,
                  header->length) < 0)
        return -1;
    set_word(&to->batch->lengths, k, header->length);
    set_word(&to->batch->destinations, k, header->destination);
    set_word(&to->batch->sources, k, header->source);
    return 0;
}

/* Its slot is given back: the packet that was kept counts. */
static int DELIVER(struct sink *to)
{
    if (to->batch != NULL) {
        ++*(uint64_t *)to->batch->count.buf;
        return 0;
    }
    int result = PyList_Append(to->list, to->packet);
    Py_CLEAR(to->packet);
    return result;
}

static int give_back(struct receive *p, uint64_t slot, int *others);

/* The packet could not be kept; its slot must not be lost. */
static void GIVE_BACK(struct receive *p, uint64_t slot)
{
    PyObject *kind, *value, *place;
    int others;
    PyErr_Fetch(&kind, &value, &place);
    if (give_back(p, slot, &others) == 0) {
        PyErr_Restore(kind, value, place);
        return;
    }
    Py_XDECREF(kind);
    Py_XDECREF(value);
    Py_XDECREF(place);
}

#include "ring_kernel.h"

/* What both rings are made of. Returns the number of slots; 0 with an exception set. */
static uint64_t attach(PyObject *ring, PyObject *payloads, PyObject *fields,
                       struct region *ring_region, struct region *payload_region)
{
    uint64_t slots = (uint64_t)PyBytes_GET_SIZE(fields) / FIELDS_SIZE;
    if (!slots || (slots & (slots - 1)) || slots * FIELDS_SIZE != (uint64_t)PyBytes_GET_SIZE(fields)) {
        PyErr_SetString(PyExc_ValueError, "the fields are not those of a whole ring");
        return 0;
    }
    if (open_region(ring_region, ring) < 0)
        return 0;
    if (open_region(payload_region, payloads) < 0) {
        close_region(ring_region);
        return 0;
    }
    if (!holds(ring_region, slots * SLOT_SIZE) || !holds(payload_region, slots * BUFFER_SIZE)) {
        close_region(ring_region);
        close_region(payload_region);
        PyErr_SetString(PyExc_ValueError, "the memory is smaller than the ring");
        return 0;
    }
    return slots;
}

/* Packets in arrays */

static PyTypeObject batch_type;

static int bind_array(PyObject *array, Py_buffer *buffer, Py_ssize_t size, int flags)
{
    if (array == Py_None)
        return 0;
    if (PyObject_GetBuffer(array, buffer, flags) < 0)
        return -1;
    if (buffer->len == size || !size)
        return 0;
    PyErr_SetString(PyExc_ValueError, "the arrays of a batch have the same number of items");
    return -1;
}

static PyObject *batch_new(PyTypeObject *type, PyObject *words, PyObject *names)
{
    static char *known[] = {"payloads", "offsets", "lengths", "destinations", "sources", "count",
                            "writable", "locked", NULL};
    PyObject *payloads, *offsets, *lengths, *destinations, *sources, *count, *locked;
    int writable;
    if (!PyArg_ParseTupleAndKeywords(words, names, "OOOOOOpO", known, &payloads, &offsets, &lengths,
                                     &destinations, &sources, &count, &writable, &locked))
        return NULL;
    struct batch *b = (struct batch *)type->tp_alloc(type, 0);
    if (b == NULL)
        return NULL;
    b->writable = writable;
    b->locked = Py_NewRef(locked);
    if (bind_array(payloads, &b->payloads, 0, PyBUF_SIMPLE) < 0 ||
        bind_array(offsets, &b->offsets, 0, PyBUF_SIMPLE) < 0 ||
        bind_array(lengths, &b->lengths, b->offsets.len / 2, PyBUF_SIMPLE) < 0 ||
        bind_array(destinations, &b->destinations, b->offsets.len / 2, PyBUF_SIMPLE) < 0 ||
        bind_array(sources, &b->sources, b->offsets.len / 2, PyBUF_SIMPLE) < 0 ||
        bind_array(count, &b->count, sizeof(uint64_t), PyBUF_WRITABLE) < 0)
        Py_CLEAR(b);
    return (PyObject *)b;
}

static void batch_dealloc(struct batch *b)
{
    PyBuffer_Release(&b->payloads);
    PyBuffer_Release(&b->offsets);
    PyBuffer_Release(&b->lengths);
    PyBuffer_Release(&b->destinations);
    PyBuffer_Release(&b->sources);
    PyBuffer_Release(&b->count);
    Py_XDECREF(b->locked);
    Py_TYPE(b)->tp_free((PyObject *)b);
}

/* What packet k of a batch is that may be sent; 0 if it may not. */
static int is_sendable(const struct batch *b, uint64_t k, struct outgoing *packet, Py_buffer *buffer)
{
    if (k >= capacity_of(b) || !b->destinations.len)
        return 0;
    uint32_t length = word_of(&b->lengths, k);
    uint64_t offset;
    if (length > BUFFER_SIZE || !is_within(b, k, length, &offset))
        return 0;
    packet->destination = word_of(&b->destinations, k);
    packet->size = buffer->len = length;
    packet->count = 1;
    packet->buffers = buffer;
    buffer->buf = (uint8_t *)b->payloads.buf + offset;
    return 1;
}

static int64_t unsendable(const struct batch *b)
{
    for (uint64_t k = 0; k < count_of(b); k++) {
        struct outgoing packet;
        Py_buffer buffer;
        if (!is_sendable(b, k, &packet, &buffer))
            return (int64_t)k;
    }
    return -1;
}

static int64_t without_room(const struct batch *b, uint64_t end)
{
    uint64_t offset;
    for (uint64_t k = 0; k < end && k < capacity_of(b); k++)
        if (!is_within(b, k, BUFFER_SIZE, &offset))
            return (int64_t)k;
    return -1;
}

static PyObject *batch_unsendable(struct batch *b, PyObject *nothing)
{
    (void)nothing;
    return PyLong_FromLongLong(unsendable(b));
}

static PyObject *batch_without_room(struct batch *b, PyObject *most)
{
    uint64_t end = PyLong_AsUnsignedLongLong(most);
    return PyErr_Occurred() ? NULL : PyLong_FromLongLong(without_room(b, end));
}

/* Whether no call uses the batch. */
static int is_unused(const struct batch *b)
{
    PyObject *locked = PyObject_CallNoArgs(b->locked);
    Py_XDECREF(locked);
    return locked == NULL ? -1 : locked == Py_False;
}

static PyMethodDef batch_methods[] = {
    {"unsendable", (PyCFunction)batch_unsendable, METH_NOARGS,
     "The first of the packets in it that may not be sent; -1 if all may."},
    {"without_room", (PyCFunction)batch_without_room, METH_O,
     "without_room(most) -> the first that has no room for the largest packet; -1 if all have"},
    {NULL, NULL, 0, NULL}};

static PyTypeObject batch_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = MODULE_NAME ".Batch",
    .tp_basicsize = sizeof(struct batch),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "Packets in arrays of the program's.",
    .tp_new = batch_new,
    .tp_dealloc = (destructor)batch_dealloc,
    .tp_methods = batch_methods,
};

/* Transmit */

static PyObject *transmit_new(PyTypeObject *type, PyObject *words, PyObject *names)
{
    static char *known[] = {"device", "bell", "ring", "payloads", "fields", NULL};
    PyObject *device, *bell, *ring, *payloads, *fields;
    if (!PyArg_ParseTupleAndKeywords(words, names, "OOOOS", known, &device, &bell, &ring, &payloads,
                                     &fields))
        return NULL;
    struct region ring_region, payload_region;
    uint64_t slots = attach(ring, payloads, fields, &ring_region, &payload_region);
    if (!slots)
        return NULL;
    struct transmit *p = (struct transmit *)type->tp_alloc(type, 0);
    if (p == NULL) {
        close_region(&ring_region);
        close_region(&payload_region);
        return NULL;
    }
    p->ring = ring_region;
    p->payloads = payload_region;
    p->device = Py_NewRef(device);
    p->bell = Py_NewRef(bell);
    p->words = PyObject_GetAttrString(device, "words");
    if (p->words == NULL)
        PyErr_Clear();
    else if (p->words == Py_None)
        Py_CLEAR(p->words);
    p->fields_owner = Py_NewRef(fields);
    p->fields = (const struct fields *)PyBytes_AS_STRING(fields);
    p->mask = slots - 1;
    return (PyObject *)p;
}

static void transmit_dealloc(struct transmit *p)
{
    close_region(&p->ring);
    close_region(&p->payloads);
    Py_XDECREF(p->device);
    Py_XDECREF(p->bell);
    Py_XDECREF(p->words);
    Py_XDECREF(p->fields_owner);
    Py_TYPE(p)->tp_free((PyObject *)p);
}

/* Whether an item is (int, bytes) as it may be sent; what it says of the packet if so. */
static int is_plain(PyObject *item, struct outgoing *packet, Py_buffer *buffer)
{
    if (!PyTuple_CheckExact(item) || PyTuple_GET_SIZE(item) != 2)
        return 0;
    PyObject *destination = PyTuple_GET_ITEM(item, 0), *payload = PyTuple_GET_ITEM(item, 1);
    if (!PyLong_CheckExact(destination) || !PyBytes_CheckExact(payload))
        return 0;
    unsigned long long word = PyLong_AsUnsignedLongLong(destination);
    if (word == (unsigned long long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    if (word > UINT32_MAX || PyBytes_GET_SIZE(payload) > BUFFER_SIZE)
        return 0;
    packet->destination = (uint32_t)word;
    packet->size = PyBytes_GET_SIZE(payload);
    packet->count = 1;
    packet->buffers = buffer;
    buffer->buf = PyBytes_AS_STRING(payload);
    buffer->len = packet->size;
    return 1;
}

static void let_go(struct outgoing *packet)
{
    for (Py_ssize_t k = 0; k < packet->count; k++)
        PyBuffer_Release(&packet->buffers[k]);
    PyMem_Free(packet->buffers);
}

/* The buffers of an `Outgoing`, to be let go of. */
static int take_hold(PyObject *item, struct outgoing *packet)
{
    PyObject *destination = PyObject_GetAttrString(item, "destination");
    PyObject *buffers = PyObject_GetAttrString(item, "buffers");
    int result = -1;
    packet->buffers = NULL;
    packet->count = packet->size = 0;
    if (destination == NULL || buffers == NULL)
        goto end;
    unsigned long word = PyLong_AsUnsignedLong(destination);
    if (PyErr_Occurred())
        goto end;
    packet->destination = (uint32_t)word;
    if (!PyTuple_CheckExact(buffers)) {
        PyErr_SetString(PyExc_TypeError, "the buffers of a packet are a tuple");
        goto end;
    }
    packet->buffers = PyMem_Calloc((size_t)PyTuple_GET_SIZE(buffers) + 1, sizeof *packet->buffers);
    if (packet->buffers == NULL) {
        PyErr_NoMemory();
        goto end;
    }
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(buffers); k++) {
        Py_buffer *buffer = &packet->buffers[k];
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(buffers, k), buffer, PyBUF_SIMPLE) < 0)
            goto end;
        packet->count++;
        packet->size += buffer->len;
        if (packet->size > BUFFER_SIZE) {
            PyErr_SetString(PyExc_ValueError, "a packet has grown since it was checked");
            goto end;
        }
    }
    result = 0;
end:
    if (result < 0 && packet->buffers != NULL)
        let_go(packet);
    Py_XDECREF(destination);
    Py_XDECREF(buffers);
    return result;
}

/* The packets of a call that sends: a list of what `checked` gives, or a batch. */
static Py_ssize_t size_of(PyObject *packets)
{
    return PyList_CheckExact(packets)               ? PyList_GET_SIZE(packets)
           : Py_IS_TYPE(packets, &batch_type) ? (Py_ssize_t)count_of((struct batch *)packets)
                                                    : -1;
}

/*
 * Put packets from `begin` on into the slots of requests `first` and so on, `most` at the most.
 * Returns how many are the card's now; -1 with an exception set.
 */
static Py_ssize_t produce(struct transmit *p, PyObject *packets, Py_ssize_t begin, Py_ssize_t most,
                          uint64_t first)
{
    struct batch *arrays = PyList_CheckExact(packets) ? NULL : (struct batch *)packets;
    Py_ssize_t done = 0;
    for (; done < most && begin + done < size_of(packets); done++) {
        struct outgoing packet;
        Py_buffer buffer;
        PyObject *item = NULL;
        int plain = 1, result = 0;
        if (arrays == NULL) {
            item = Py_NewRef(PyList_GET_ITEM(packets, begin + done));
            plain = is_plain(item, &packet, &buffer);
            result = plain ? 0 : take_hold(item, &packet);
        } else if (!is_sendable(arrays, (uint64_t)(begin + done), &packet, &buffer)) {
            PyErr_SetString(PyExc_ValueError, "a batch has changed since it was checked");
            result = -1;
        }
        int stored = result;
        if (result == 0) {
            stored = fill_in(p, (first + (uint64_t)done) & p->mask, &packet);
            if (!plain)
                let_go(&packet);
        }
        Py_XDECREF(item);
        if (result < 0 && done) {
            /* Those before it are good; whoever goes on from here meets it again. */
            PyErr_Clear();
            break;
        }
        /* Only a judge ends a run in the middle of a slot, and then nothing goes on. */
        TRY(stored);
    }
    if (done)
        TRY(hand_over(p, first, first + (uint64_t)done));
    return done;
}

static PyObject *transmit_produce(struct transmit *p, PyObject *const *words, Py_ssize_t count)
{
    if (count != 4 || size_of(words[0]) < 0) {
        PyErr_SetString(PyExc_TypeError, "produce(batch, begin, most, first)");
        return NULL;
    }
    Py_ssize_t begin = PyLong_AsSsize_t(words[1]), most = PyLong_AsSsize_t(words[2]);
    uint64_t first = PyLong_AsUnsignedLongLong(words[3]);
    if (PyErr_Occurred())
        return NULL;
    Py_ssize_t done = produce(p, words[0], begin, most, first);
    return done < 0 ? NULL : PyLong_FromSsize_t(done);
}

static PyObject *transmit_doorbell(struct transmit *p, PyObject *word)
{
    unsigned long value = PyLong_AsUnsignedLong(word);
    if (PyErr_Occurred() || ring_doorbell(p, (uint32_t)value) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *transmit_returned(struct transmit *p, PyObject *const *words, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "returned(first, most)");
        return NULL;
    }
    uint64_t first = PyLong_AsUnsignedLongLong(words[0]);
    int64_t most = PyLong_AsLongLong(words[1]);
    if (PyErr_Occurred())
        return NULL;
    int64_t found = returned(p, first, most);
    return found < 0 ? NULL : PyLong_FromLongLong(found);
}

static PyMethodDef transmit_methods[] = {
    {"produce", (PyCFunction)(void (*)(void))transmit_produce, METH_FASTCALL,
     "produce(batch, begin, most, first) -> number of slots that are the card's now"},
    {"doorbell", (PyCFunction)transmit_doorbell, METH_O, "Tell the card to look at the ring."},
    {"returned", (PyCFunction)(void (*)(void))transmit_returned, METH_FASTCALL,
     "returned(first, most) -> number of slots that the card has returned"},
    {NULL, NULL, 0, NULL}};

static PyTypeObject transmit_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = MODULE_NAME ".Transmit",
    .tp_basicsize = sizeof(struct transmit),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "The batch operations of a transmit ring.",
    .tp_new = transmit_new,
    .tp_dealloc = (destructor)transmit_dealloc,
    .tp_methods = transmit_methods,
};

/* Receive */

static PyObject *receive_new(PyTypeObject *type, PyObject *words, PyObject *names)
{
    static char *known[] = {"device", "ring",  "payloads", "fields", "held",
                            "taken",  "packet", "refuse",   "turn",   NULL};
    PyObject *device, *ring, *payloads, *fields, *held, *taken, *packet, *refuse, *turn;
    if (!PyArg_ParseTupleAndKeywords(words, names, "OOOSOOO!OO", known, &device, &ring, &payloads,
                                     &fields, &held, &taken, &PyType_Type, &packet, &refuse,
                                     &turn))
        return NULL;
    struct region ring_region, payload_region;
    uint64_t slots = attach(ring, payloads, fields, &ring_region, &payload_region);
    if (!slots)
        return NULL;
    struct receive *p = (struct receive *)type->tp_alloc(type, 0);
    if (p == NULL) {
        close_region(&ring_region);
        close_region(&payload_region);
        return NULL;
    }
    p->ring = ring_region;
    p->payloads = payload_region;
    p->device = Py_NewRef(device);
    p->turn = Py_NewRef(turn);
    p->packet = Py_NewRef(packet);
    p->refuse = Py_NewRef(refuse);
    p->fields_owner = Py_NewRef(fields);
    p->fields = (const struct fields *)PyBytes_AS_STRING(fields);
    p->mask = slots - 1;
    if (PyObject_GetBuffer(held, &p->held_view, PyBUF_WRITABLE) < 0 ||
        PyObject_GetBuffer(taken, &p->taken_view, PyBUF_WRITABLE) < 0) {
        Py_DECREF(p);
        return NULL;
    }
    if ((uint64_t)p->held_view.len != slots || p->taken_view.len != sizeof *p->taken) {
        PyErr_SetString(PyExc_ValueError, "what is kept of the slots is not of this ring");
        Py_DECREF(p);
        return NULL;
    }
    p->held = p->held_view.buf;
    p->taken = p->taken_view.buf;
    return (PyObject *)p;
}

static void receive_dealloc(struct receive *p)
{
    close_region(&p->ring);
    close_region(&p->payloads);
    PyBuffer_Release(&p->held_view);
    PyBuffer_Release(&p->taken_view);
    Py_XDECREF(p->device);
    Py_XDECREF(p->turn);
    Py_XDECREF(p->packet);
    Py_XDECREF(p->refuse);
    Py_XDECREF(p->fields_owner);
    Py_TYPE(p)->tp_free((PyObject *)p);
}

/* Where the packets of a call that receives go: a list, or a batch. */
static int is_sink(PyObject *packets, struct sink *to)
{
    *to = (struct sink){0};
    if (PyList_CheckExact(packets))
        to->list = packets;
    else if (Py_IS_TYPE(packets, &batch_type))
        to->batch = (struct batch *)packets;
    return to->list != NULL || to->batch != NULL;
}

static PyObject *receive_receive(struct receive *p, PyObject *const *words, Py_ssize_t count)
{
    struct sink to;
    if (count != 2 || !is_sink(words[0], &to)) {
        PyErr_SetString(PyExc_TypeError, "receive(packets, most)");
        return NULL;
    }
    uint64_t most = PyLong_AsUnsignedLongLong(words[1]);
    if (PyErr_Occurred())
        return NULL;
    int result = receive(p, &to, most);
    Py_CLEAR(to.packet);
    if (result == 0)
        Py_RETURN_NONE;
    complain(p, &to);
    return NULL;
}

static PyMethodDef receive_methods[] = {
    {"receive", (PyCFunction)(void (*)(void))receive_receive, METH_FASTCALL,
     "receive(packets, most): take the next packet, which is there, and those behind it."},
    {NULL, NULL, 0, NULL}};

static PyTypeObject receive_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = MODULE_NAME ".Receive",
    .tp_basicsize = sizeof(struct receive),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "The batch operations of a receive ring.",
    .tp_new = receive_new,
    .tp_dealloc = (destructor)receive_dealloc,
    .tp_methods = receive_methods,
};

#include "turns.h"

/* Packets that are given */

static PyObject *checked(PyObject *module, PyObject *const *words, Py_ssize_t count)
{
    (void)module;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "checked(packets, outgoing)");
        return NULL;
    }
    PyObject *given = PyObject_GetIter(words[0]), *batch = PyList_New(0), *item;
    if (given == NULL || batch == NULL)
        goto fail;
    while ((item = PyIter_Next(given)) != NULL) {
        struct outgoing packet;
        Py_buffer buffer;
        if (!is_plain(item, &packet, &buffer)) {
            /* Whatever else it is, it is unpacked, checked and refused as it is without a kernel. */
            PyObject *pair = PySequence_Tuple(item);
            Py_DECREF(item);
            item = pair == NULL ? NULL : PyObject_CallObject(words[1], pair);
            Py_XDECREF(pair);
            if (item == NULL)
                goto fail;
        }
        int result = PyList_Append(batch, item);
        Py_DECREF(item);
        if (result < 0)
            goto fail;
    }
    if (PyErr_Occurred())
        goto fail;
    Py_DECREF(given);
    return batch;
fail:
    Py_XDECREF(given);
    Py_XDECREF(batch);
    return NULL;
}

static PyMethodDef functions[] = {
    {"checked", (PyCFunction)(void (*)(void))checked, METH_FASTCALL,
     "checked(packets, outgoing) -> list of what may be sent; `outgoing` checks what is unusual"},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = MODULE_NAME,
    .m_doc = "The batch operations of the rings; see impl/datapath/ring_kernel.h.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC MODULE_INIT(void)
{
    static const char *const names[3] = {"source", "destination", "payload"};
    if (PyType_Ready(&transmit_type) < 0 || PyType_Ready(&receive_type) < 0 ||
        PyType_Ready(&batch_type) < 0 || PyType_Ready(&ring_type) < 0 ||
        PyType_Ready(&turns_type) < 0 || PyType_Ready(&lock_type) < 0)
        return NULL;
    for (int k = 0; k < 3; k++)
        if ((packet_names[k] = PyUnicode_InternFromString(names[k])) == NULL)
            return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || PyModule_AddStringConstant(module, "SOURCE", SOURCE) < 0 ||
        PyModule_AddObjectRef(module, "Transmit", (PyObject *)&transmit_type) < 0 ||
        PyModule_AddObjectRef(module, "Receive", (PyObject *)&receive_type) < 0 ||
        PyModule_AddObjectRef(module, "Batch", (PyObject *)&batch_type) < 0 ||
        PyModule_AddObjectRef(module, "Ring", (PyObject *)&ring_type) < 0 ||
        PyModule_AddObjectRef(module, "Turns", (PyObject *)&turns_type) < 0 ||
        PyModule_AddObjectRef(module, "Lock", (PyObject *)&lock_type) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
