/* The greatest impacts of a term in many segments, copied next to one another.

   Searching with a budget reads a little of each list in each segment, and the memory such a list
   begins in is hardly ever near. What was copied once is read in one go from then on. */

#include "kernel.h"

#define AT_ONCE 16 /* impacts */

/* The postings of a place, the greatest impact first: their rows and impacts, at most `room`. */
static u32 copy_list(const Block *block, const Place *place, u32 least, u16 *rows, u8 *impacts,
                     u32 room)
{
    u32 n = 0;
    if (place->rare) {
        const u32 *posting = U32(block, RARE_POSTINGS) + place->at;
        for (; n < place->n && n < room && (posting[n] >> 16 & 255) >= least; n++) {
            rows[n] = (u16)posting[n];
            impacts[n] = (u8)(posting[n] >> 16);
        }
        return n;
    }
    if (!place->n || !list_fits(block, place))
        return 0;
    const u16 *list = U16(block, LISTS) + place->at;
    u32 runs = (u32)list[1] + 1;
    u32 limit = place->n < room ? place->n : room;
    for (u32 run = 0; run < runs && (list[2 + run] & 255) >= least && n < limit; run++) {
        u32 length = (u32)(list[2 + run] >> 8) + 1;
        length = length < limit - n ? length : limit - n;
        /* Most runs are short: the machine writes so many at once as quickly as one. */
        int wide = length <= AT_ONCE && n + AT_ONCE <= limit;
        memset(impacts + n, list[2 + run] & 255, wide ? AT_ONCE : length);
        n += length;
    }
    memcpy(rows, list + 2 + runs, 2 * (size_t)n);
    return n;
}

/* How many postings of a place are at each level or above. */
static void count_list(const Block *block, const Place *place, u16 *counts)
{
    u32 at[LEVELS] = {0}, done = 0;
    if (place->rare)
        for (u32 i = 0; i < place->n; i++, done++)
            at[LEVEL_OF(U32(block, RARE_POSTINGS)[place->at + i] >> 16 & 255)]++;
    else if (place->n && list_fits(block, place)) {
        const u16 *list = U16(block, LISTS) + place->at;
        for (u32 run = 0; run <= list[1] && done < place->n; run++) {
            u32 length = (u32)(list[2 + run] >> 8) + 1;
            length = length < place->n - done ? length : place->n - done;
            at[LEVEL_OF(list[2 + run] & 255)] += length;
            done += length;
        }
    }
    u32 sum = 0;
    for (int level = LEVELS - 1; level >= 0; level--) {
        sum += at[level];
        counts[level] = (u16)(sum < 65535 ? sum : 65535);
    }
}

/* `counted` has LEVELS counts for each block. */
static void copy_heads(const Block **blocks, const Place *places, const u16 *counted, Heads *heads)
{
    u32 *start = (u32 *)(heads + 1), levels = LEVELS - heads->base, done = 0;
    u16 *counts = (u16 *)(start + heads->blocks);
    u16 *rows = counts + (u64)levels * heads->blocks;
    u8 *impacts = (u8 *)(rows + heads->postings);
    for (u32 b = 0; b < heads->blocks; b++) {
        const u16 *its = counted + (u64)LEVELS * b + heads->base;
        u32 copied = copy_list(blocks[b], &places[b], heads->base * LEVEL_STEP, rows + done,
                               impacts + done, levels ? its[0] : 0);
        for (u32 level = 0; level < levels; level++) /* unless the segment is damaged, all are there */
            counts[(u64)level * heads->blocks + b] = its[level] < copied ? its[level] : (u16)copied;
        start[b] = done;
        done += copied;
    }
}

/* heads(blocks, places, postings_max) -> the lists of one term as far as so many postings go. */
PyObject *kernel_heads(PyObject *module, PyObject *args)
{
    PyObject *tuple, *made = NULL;
    Py_buffer places;
    unsigned int most;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!y*I", &PyTuple_Type, &tuple, &places, &most))
        return NULL;
    const Block **blocks = blocks_of(tuple);
    size_t count = (size_t)PyTuple_Size(tuple);
    u16 *counted = malloc(sizeof(u16) * LEVELS * (count + 1));
    Heads all = {.blocks = (u32)count};
    if (!counted)
        PyErr_NoMemory();
    else if (blocks && (size_t)places.len == count * sizeof(Place)) {
        const Place *place = places.buf;
        Py_BEGIN_ALLOW_THREADS
        for (size_t b = 0; b < count; b++) {
            if (b + 2 < count && place[b + 2].n)
                fetch_place(blocks[b + 2], &place[b + 2]);
            count_list(blocks[b], &place[b], counted + LEVELS * b);
            for (int level = 0; level < LEVELS; level++)
                all.totals[level] += counted[LEVELS * b + level];
        }
        Py_END_ALLOW_THREADS
        while (all.base < LEVELS && all.totals[all.base] > most)
            all.base++;
        all.postings = all.base < LEVELS ? (u32)all.totals[all.base] : 0;
        u64 table = count * (sizeof(u32) + sizeof(u16) * (LEVELS - all.base));
        made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(sizeof(Heads) + table
                                                            + 3 * (u64)all.postings));
    } else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "one place for each block is needed");
    if (made) {
        Heads *heads = (Heads *)PyBytes_AsString(made);
        *heads = all;
        Py_BEGIN_ALLOW_THREADS
        copy_heads(blocks, places.buf, counted, heads);
        Py_END_ALLOW_THREADS
    }
    free(counted);
    free(blocks);
    PyBuffer_Release(&places);
    return made;
}
