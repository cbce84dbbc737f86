/* Where things are: terms and ids. */

#include "kernel.h"

static void note_place(const Block *block, u32 i, u32 rare, u32 key, Place *place)
{
    memset(place, 0, sizeof *place);
    if (i < block->count[FREQUENT_KEYS]) {
        const u16 *lists = U16(block, LISTS);
        u64 at = U32(block, FREQUENT_STARTS)[i], words = block->count[LISTS];
        if (at + 2 <= words && at + 4 + lists[at] + lists[at + 1] <= words)
            *place = (Place){(u32)at, (u32)lists[at] + 1, (u16)i, (u8)lists[at + 2], 0};
        return;
    }
    u32 n = 0;
    while (rare + (u64)n < block->count[RARE_KEYS] && U32(block, RARE_KEYS)[rare + n] == key)
        n++;
    if (n)
        *place = (Place){rare, n, 0, (u8)(U32(block, RARE_POSTINGS)[rare] >> 16), 1};
}

/* Looking a term up means waiting for memory four times in a row. Many are looked up together, step
   by step, so that their waits overlap. */
#define TOGETHER 64

typedef struct {
    const Block *block;
    Place *place;
    u32 key, at, rare_at;
} Lookup;

static void look_up_rare(Lookup *lookups, u32 count)
{
    for (Lookup *one = lookups; one < lookups + count; one++)
        if (one->at == UINT32_MAX)
            __builtin_prefetch(directory_entry(one->block, RARE_DIRECTORY, one->key));
    for (Lookup *one = lookups; one < lookups + count; one++)
        if (one->at == UINT32_MAX) {
            one->rare_at = *directory_entry(one->block, RARE_DIRECTORY, one->key);
            __builtin_prefetch(U32(one->block, RARE_KEYS) + one->rare_at);
        }
    for (Lookup *one = lookups; one < lookups + count; one++)
        if (one->at == UINT32_MAX) {
            one->rare_at = find_key(one->block, RARE_KEYS, one->rare_at, one->key);
            __builtin_prefetch(U32(one->block, RARE_POSTINGS) + one->rare_at);
        }
}

static void look_up(Lookup *lookups, u32 count)
{
    for (Lookup *one = lookups; one < lookups + count; one++)
        __builtin_prefetch(directory_entry(one->block, FREQUENT_DIRECTORY, one->key));
    for (Lookup *one = lookups; one < lookups + count; one++) {
        one->at = *directory_entry(one->block, FREQUENT_DIRECTORY, one->key);
        __builtin_prefetch(U32(one->block, FREQUENT_KEYS) + one->at);
        __builtin_prefetch(U32(one->block, FREQUENT_STARTS) + one->at + 4);
    }
    for (Lookup *one = lookups; one < lookups + count; one++)
        one->at = find_key(one->block, FREQUENT_KEYS, one->at, one->key);
    look_up_rare(lookups, count);
    for (Lookup *one = lookups; one < lookups + count; one++)
        if (one->at != UINT32_MAX)
            __builtin_prefetch(U16(one->block, LISTS)
                               + U32(one->block, FREQUENT_STARTS)[one->at]);
    for (Lookup *one = lookups; one < lookups + count; one++)
        note_place(one->block, one->at, one->rare_at, one->key, one->place);
}

static u32 gone_of(const Block *block, u32 key)
{
    u64 low = 0, high = block->gone;
    while (low < high) {
        u64 middle = (low + high) / 2;
        if (block->gone_keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < block->gone && block->gone_keys[low] == key ? block->gone_counts[low] : 0;
}

const Block **blocks_of(PyObject *tuple)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    const Block **blocks = malloc(sizeof(Block *) * (size_t)(count + 1));
    for (Py_ssize_t i = 0; blocks && i < count; i++) {
        PyObject *each = PyTuple_GetItem(tuple, i);
        if (!PyObject_TypeCheck(each, block_type)) {
            PyErr_SetString(PyExc_TypeError, "a Block is needed");
            free(blocks);
            return NULL;
        }
        blocks[i] = (const Block *)each;
    }
    if (!blocks)
        PyErr_NoMemory();
    return blocks;
}

typedef struct {
    PyObject *places;
    Place *place;
    u64 holders;
} Found;

static void locate_all(const Block **blocks, size_t count, const u32 *keys, size_t terms,
                       Found *found)
{
    Lookup lookups[TOGETHER];
    u32 waiting = 0;
    for (size_t b = 0; b < count; b++)
        for (size_t t = 0; t < terms; t++) {
            lookups[waiting++] = (Lookup){blocks[b], found[t].place + b, keys[t], 0, 0};
            if (waiting == TOGETHER || (b + 1 == count && t + 1 == terms)) {
                look_up(lookups, waiting);
                waiting = 0;
            }
        }
    for (size_t t = 0; t < terms; t++)
        for (size_t b = 0; b < count; b++) {
            u32 gone = blocks[b]->gone ? gone_of(blocks[b], keys[t]) : 0, n = found[t].place[b].n;
            found[t].holders += n > gone ? n - gone : 0;
        }
}

/* Asks for the beginning of a list. */
void fetch_place(const Block *block, const Place *place)
{
    if (place->rare) {
        __builtin_prefetch(U32(block, RARE_POSTINGS) + place->at);
        return;
    }
    for (int line = 0; line < 4; line++)
        __builtin_prefetch(U16(block, LISTS) + place->at + 32 * line);
}

/* locate(blocks, keys) -> for each key, (its living holders, its places for `search`). */
PyObject *kernel_locate(PyObject *module, PyObject *args)
{
    PyObject *tuple, *answer = NULL;
    Py_buffer keys;
    int roomy = 1;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!y*", &PyTuple_Type, &tuple, &keys))
        return NULL;
    size_t terms = (size_t)keys.len / 4, count = (size_t)PyTuple_Size(tuple);
    const Block **blocks = blocks_of(tuple);
    Found *found = calloc(terms + 1, sizeof(Found));
    for (size_t t = 0; found && t < terms; t++) {
        found[t].places = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * sizeof(Place)));
        roomy = roomy && found[t].places;
        found[t].place = roomy ? (Place *)PyBytes_AsString(found[t].places) : NULL;
    }
    if (blocks && found && roomy) {
        Py_BEGIN_ALLOW_THREADS
        locate_all(blocks, count, keys.buf, terms, found);
        Py_END_ALLOW_THREADS
        answer = PyList_New((Py_ssize_t)terms);
    }
    for (size_t t = 0; found && t < terms; t++) {
        PyObject *each = !answer ? NULL : Py_BuildValue("(KO)", found[t].holders,
                                                        found[t].places);
        if (answer && (!each || PyList_SetItem(answer, (Py_ssize_t)t, each) < 0))
            Py_CLEAR(answer);
        Py_XDECREF(found[t].places);
    }
    if (!answer && !PyErr_Occurred())
        PyErr_NoMemory();
    free(found);
    free(blocks);
    PyBuffer_Release(&keys);
    return answer;
}

static u64 mixed(const u8 *id)
{
    u64 hash = 0x9E3779B97F4A7C15u, part;
    for (int i = 0; i < ID_BYTES; i += 8) {
        memcpy(&part, id + i, 8);
        hash = (hash ^ part) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    return hash;
}

static int find_one(const Block *block, const u8 *id, u64 hash)
{
    u64 words = block->count[ID_FILTER], word, high = hash >> 32;
    u64 bits = (u64)1 << (hash & 63) | (u64)1 << (hash >> 6 & 63) | (u64)1 << (hash >> 12 & 63);
    memcpy(&word, block->start[ID_FILTER] + 8 * (high * words >> 32), 8);
    if ((word & bits) != bits)
        return -1;
    u64 buckets = block->count[ID_STARTS] - 1, bucket = high * buckets >> 32;
    u32 at = U32(block, ID_STARTS)[bucket], end = U32(block, ID_STARTS)[bucket + 1];
    for (; at < end && at < block->rows; at++) {
        u16 row = U16(block, ID_ROWS)[at];
        if (row < block->rows && memcmp(block->start[IDS] + ID_BYTES * (u64)row, id, ID_BYTES) == 0)
            return row;
    }
    return -1;
}

/* find(blocks, ids) -> for each id of 32 bytes, block << 16 | row where it lives, or -1. */
PyObject *kernel_find(PyObject *module, PyObject *args)
{
    PyObject *tuple, *found = NULL;
    Py_buffer ids;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!y*", &PyTuple_Type, &tuple, &ids))
        return NULL;
    const Block **blocks = blocks_of(tuple);
    Py_ssize_t count = PyTuple_Size(tuple), wanted = ids.len / ID_BYTES;
    if (blocks)
        found = PyList_New(wanted);
    for (Py_ssize_t i = 0; found && i < wanted; i++) {
        const u8 *id = (const u8 *)ids.buf + ID_BYTES * i;
        u64 hash = mixed(id);
        long long place = -1;
        for (Py_ssize_t b = 0; b < count && place < 0; b++) {
            int row = find_one(blocks[b], id, hash);
            if (row >= 0 && !(blocks[b]->dead && blocks[b]->dead[row]))
                place = (long long)b << 16 | row;
        }
        if (PyList_SetItem(found, i, PyLong_FromLongLong(place)) < 0)
            Py_CLEAR(found);
    }
    free(blocks);
    PyBuffer_Release(&ids);
    return found;
}
