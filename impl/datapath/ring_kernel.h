/*
 * The batch operations of the packet rings, in the order of impl/ring.py: no line of this file knows
 * whether it is judged. What it speaks are the primitives of real.h, which are memory and the
 * barriers of the machine, or those of judged.h, each of which is a call of the driver's own
 * interfaces in Python. A primitive returns a negative number when a Python exception is set.
 *
 * The caller has the driver's lock. Numbers of the layout (SLOT_SIZE and the like) come from
 * model/layout.py, by the way of impl/datapath/build.py.
 */

/* Sending */

/* Fill a slot of the host's in; it has buffers and pointers of its own. */
static int fill_in(struct transmit *p, uint64_t slot, struct outgoing *packet)
{
    const struct fields *own = &p->fields[slot];
    uint64_t at_slot = slot * SLOT_SIZE + FIELDS_BEGIN;
    struct fields made, *fields = BEGIN_FIELDS(&p->ring, at_slot, &made);
    uint64_t place = slot * BUFFER_SIZE;
    uint32_t left = (uint32_t)packet->size;
    for (Py_ssize_t k = 0; k < packet->count; k++)
        if (packet->buffers[k].len) {
            TRY(STORE_BULK(&p->payloads, place, packet->buffers[k].buf, packet->buffers[k].len));
            place += (uint64_t)packet->buffers[k].len;
        }
    for (int page = 0; page < BUFFERS; page++) {
        uint32_t length = left < PAGE_SIZE ? left : PAGE_SIZE;
        left -= length;
        fields->length[page] = length;
    }
    memcpy(fields->pointer, own->pointer, sizeof fields->pointer);
    fields->destination = packet->destination;
    fields->source = own->source;
    TRY(STORE_FIELDS(&p->ring, at_slot, fields));
    return 0;
}

/* Make the slots of requests `first` to `end` - 1, which were filled in, the card's. */
static int hand_over(struct transmit *p, uint64_t first, uint64_t end)
{
    /* All that was stored to the slots and their buffers is the card's when the owner bytes are. */
    TRY(RELEASE(p));
    for (uint64_t number = first; number != end; number++)
        TRY(STORE_OWNER(&p->ring, (number & p->mask) * SLOT_SIZE + OWNER, DEVICE));
    return 0;
}

/* Tell the card to look at the ring. */
static int ring_doorbell(struct transmit *p, uint32_t value)
{
    /* The card must find the owner byte when it looks. */
    TRY(BEFORE_REGISTER_WRITE(p));
    TRY(WRITE_DOORBELL(p, value));
    return 0;
}

/* How many of the slots from `first` on the card has returned, `most` at the most. */
static int64_t returned(struct transmit *p, uint64_t first, int64_t most)
{
    int64_t count = 0;
    while (count < most) {
        int owner = LOAD_OWNER(&p->ring, ((first + (uint64_t)count) & p->mask) * SLOT_SIZE + OWNER);
        TRY(owner);
        if (owner != HOST)
            break;
        count++;
    }
    return count;
}

/* Receiving */

/* Whether the next packet is there. */
static int packet_ready(struct receive *p)
{
    uint64_t slot = *p->taken & p->mask;
    /* A slot that a slow reader holds is the host's as well, but its packet was taken before. */
    if (p->held[slot])
        return 0;
    int owner = LOAD_OWNER(&p->ring, slot * SLOT_SIZE + OWNER);
    TRY(owner);
    return owner == HOST;
}

/* Make a slot that was taken the card's again. `others`: others may have had the lock. */
static int give_back(struct receive *p, uint64_t slot, int *others)
{
    TRY(STORE_BULK(&p->ring, slot * SLOT_SIZE + FIELDS_BEGIN, &p->fields[slot], FIELDS_SIZE));
    TRY(*others = RELOCK(p));
    /* The card writes to the buffers once the slot is its own: they must have been read by then. */
    TRY(RELEASE_LOADS(p));
    /* The card must find the slot's own buffers when it finds the slot. */
    TRY(RELEASE(p));
    TRY(STORE_OWNER(&p->ring, slot * SLOT_SIZE + OWNER, DEVICE));
    p->held[slot] = 0;
    return 0;
}

/*
 * Take a packet, which is there and held: copy it, and make its slot the card's again. `told`: that
 * another one waits is known to whoever is to have it. `more`: there is one, and it is the caller's.
 * The slot goes back as well where the packet cannot be kept.
 */
static int pass_through(struct receive *p, uint64_t slot, int told, struct sink *to, int *more,
                        int *others)
{
    struct header header;
    /* What the card wrote to the slot and its buffers is read after the owner byte. */
    TRY(ACQUIRE_SEEN(p));
    /* Once: a card that does not keep to the rules could change it between two loads. */
    TRY(LOAD_BULK(&p->ring, slot * SLOT_SIZE + HEADER_BEGIN, &header, HEADER_SIZE));
    TRY(*more = packet_ready(p));
    if (!*more)
        TRY(NONE_WAITS(p));
    else if (!told)
        TRY(*more = ANOTHER_WAITS(p));
    TRY(UNLOCK_SOON(p));
    if (header.length > BUFFER_SIZE)
        to->refused = header.length;
    if (to->refused || KEEP(p, to, slot * BUFFER_SIZE, &header) < 0) {
        GIVE_BACK(p, slot);
        return -1;
    }
    return give_back(p, slot, others);
}

/*
 * Take the next packet, which is there, and those behind it, `most` at the most. Where it returns -1
 * an exception is set, or `to` says what is wrong.
 */
static int receive(struct receive *p, struct sink *to, uint64_t most)
{
    int told = 0;
    for (uint64_t number = 1;; number++) {
        uint64_t slot = *p->taken & p->mask;
        int more = 0, others = 0, mine;
        p->held[slot] = 1;
        ++*p->taken;
        TRY(pass_through(p, slot, told, to, &more, &others));
        TRY(DELIVER(to));
        if (!more || number == most)
            return 0;
        told = !others;
        if (told)
            continue;
        TRY(mine = NEXT_CALL(p));
        if (!mine)
            return 0;
        TRY(more = packet_ready(p));
        if (!more)
            return NONE_WAITS(p);
    }
}
