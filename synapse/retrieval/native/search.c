/* Finding the best rows.

   A row's rank is its total (weights times impacts, as in `bm25`) times its factor (decay times
   trust, at most `ONE`). Exact search adds up, block after block, as much of each term's list as it
   takes to leave out no row that could be among the best, in sixteen bits rounded upwards; what can
   still compete is then totalled exactly from its forward record. A bound is always at least the
   rank it bounds, and only what stays below the worst of the best is left out, so that ties are
   decided by id whatever was skipped. */

#include "kernel.h"

typedef struct {
    u64 rank;
    u32 total, factor, block, row;
    const u8 *id;
} Entry;

typedef struct {
    const Block *block;
    const u32 *factors; /* by profile; 0 keeps a row out; NULL: all are ONE */
    u32 greatest_factor, number;
    u32 part, nth; /* of what was looked up together, and the block's number in it */
    u64 bound;
} Task;

typedef struct {
    const u16 *run, *row;
    u32 runs, n, weight, bound, read;
    u16 rank;
} List;

typedef struct {
    u32 value;
    u16 row;
} Rare;

/* What was copied of a term in all parts together. */
typedef struct {
    u32 base;
    u64 at[LEVELS];
} Totals;

typedef struct {
    const u32 *weights, *decay;
    const Place **places; /* by part and term, of the part's first block */
    Totals *totals; /* by term */
    const Heads **heads; /* by part and term */
    u32 *part_blocks;
    u64 holders; /* of all terms */
    u32 terms, limit, decays, now_s, step_s, since_s, until_s;
    u64 floor; /* the least rank that may be returned */
    u64 budget, read, rescored, blocks;
    u32 kept;  /* rescored at most, when the budget cuts */
    int cut, timed;
    Entry *best; /* a heap, the worst first */
    u32 found;
    u64 *ranks;  /* a heap of what at least so many rows will reach */
    u32 ranked;
    List *lists;
    Rare *rares;
    size_t rare_room;
    u32 list_count, rare_count;
    u32 competitors;
    u64 wanted[ROWS_MAX / 64]; /* by rank in the dictionary, whether the query asks for it */
    u32 asked; /* lists of the block at hand, by rank in its dictionary */
    u16 *asked_ranks;
    u32 *asked_weights;
    u16 slots[ROWS_MAX]; /* by rank that is wanted, its number among those asked for */
    u16 *reached; /* rows whose sums reached the bar */
    size_t reached_room;
    _Alignas(64) u16 small_sums[ROWS_MAX];
    _Alignas(64) u8 tiny_sums[ROWS_MAX];
    u16 rows[ROWS_MAX], their_sums[ROWS_MAX]; /* of the competitors */
} Search;

/* Where things are. */

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

/* The best so far. */

static int worse(const Entry *a, const Entry *b)
{
    if (a->rank != b->rank)
        return a->rank < b->rank;
    return memcmp(a->id, b->id, ID_BYTES) > 0;
}

static void sink(Entry *heap, u32 count, u32 at)
{
    for (u32 child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && worse(&heap[child + 1], &heap[child]))
            child++;
        if (!worse(&heap[child], &heap[at]))
            return;
        Entry swapped = heap[at];
        heap[at] = heap[child];
        heap[child] = swapped;
    }
}

static void offer(Search *search, Entry entry)
{
    if (entry.rank < search->floor)
        return;
    Entry *heap = search->best;
    if (search->found == search->limit) {
        if (worse(&heap[0], &entry)) {
            heap[0] = entry;
            sink(heap, search->found, 0);
        }
        return;
    }
    u32 at = search->found++;
    heap[at] = entry;
    while (at && worse(&heap[at], &heap[(at - 1) / 2])) {
        Entry swapped = heap[at];
        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = swapped;
        at = (at - 1) / 2;
    }
}

/* What a row must reach to be of interest. */
static u64 threshold(const Search *search)
{
    u64 worst = search->found == search->limit ? search->best[0].rank : 0;
    return worst > search->floor ? worst : search->floor;
}

/* One more row will reach `rank`; the least of the best `limit` such promises is ranks[0]. */
static void promise(Search *search, u64 rank)
{
    u64 *heap = search->ranks;
    u32 at;
    if (search->ranked < search->limit) {
        for (at = search->ranked++; at && heap[(at - 1) / 2] > rank; at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
        heap[at] = rank;
        return;
    }
    if (heap[0] >= rank)
        return;
    at = 0;
    for (u32 child; (child = 2 * at + 1) < search->ranked; at = child) {
        if (child + 1 < search->ranked && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= rank)
            break;
        heap[at] = heap[child];
    }
    heap[at] = rank;
}

static void promise_the_best(Search *search)
{
    search->ranked = 0;
    for (u32 i = 0; i < search->found; i++)
        promise(search, search->best[i].rank);
}

static u64 promised(const Search *search)
{
    u64 least = search->ranked == search->limit ? search->ranks[0] : 0;
    return least > search->floor ? least : search->floor;
}

/* Factors. */

static u32 decay_at(const Search *search, u32 verified_s)
{
    if (!search->decays)
        return ONE;
    u32 steps = search->now_s > verified_s ? (search->now_s - verified_s) / search->step_s : 0;
    return search->decay[steps < search->decays ? steps : search->decays - 1];
}

static u32 times(u32 decay, u32 factor)
{
    u32 both = (u32)((u64)decay * factor >> 16);
    return both ? both : 1;
}

/* A row's factor; 0 for one that is removed, filtered out or not there. */
static u32 factor_of(const Search *search, const Task *task, u32 row)
{
    const Block *block = task->block;
    if (row >= block->rows || (block->dead && block->dead[row]))
        return 0;
    if (search->timed) { /* looking at a row's time means waiting for memory */
        u32 created_s = U32(block, CREATED)[row];
        if (created_s < search->since_s || created_s >= search->until_s)
            return 0;
    }
    u32 factor = ONE;
    if (task->factors) {
        u32 profile = block->count[PROFILES] ? U16(block, PROFILES)[row] : 0;
        factor = profile < block->profiles ? task->factors[profile] : 0;
        if (!factor)
            return 0;
    }
    return search->decays ? times(decay_at(search, block->verified[row]), factor) : factor;
}

/* Asks for what a row's factor is made of. */
FETCHING void fetch_factor(const Search *search, const Task *task, u32 row)
{
    const Block *block = task->block;
    if (row >= block->rows)
        return;
    if (search->decays)
        __builtin_prefetch(block->verified + row);
    if (task->factors && block->count[PROFILES])
        __builtin_prefetch(U16(block, PROFILES) + row);
    if (search->timed)
        __builtin_prefetch(U32(block, CREATED) + row);
}

/* The greatest factor that any row of a block can have; 0 when all are kept out. */
static u32 greatest_factor(const Search *search, const Task *task)
{
    if (!search->decays || !task->greatest_factor)
        return task->greatest_factor;
    return times(decay_at(search, task->block->newest_s), task->greatest_factor);
}

/* Exact totals. */

static const Place *place_of(const Search *search, const Task *task, u32 term)
{
    return search->places[(u64)task->part * search->terms + term] + task->nth;
}

static void want(Search *search, int on)
{
    for (u32 i = 0; i < search->asked; i++) {
        u64 bit = (u64)1 << (search->asked_ranks[i] % 64);
        search->slots[search->asked_ranks[i]] = (u16)i;
        u64 *word = &search->wanted[search->asked_ranks[i] / 64];
        *word = on ? *word | bit : *word & ~bit;
    }
}

#define TOGETHER_MAX 64 /* terms of a record that are looked at before any is weighed */

static u32 total_of(const Search *search, const Block *block, u32 row)
{
    u64 from = U32(block, FORWARD_STARTS)[row], to = U32(block, FORWARD_STARTS)[row + 1];
    u32 total = 0;
    if (from <= to && to <= block->count[FORWARD]) {
        u64 held = to - from;
        const u8 *record = block->start[FORWARD] + 3 * from;
        for (u64 first = 0; first < held; first += TOGETHER_MAX) {
            u32 here = held - first < TOGETHER_MAX ? (u32)(held - first) : TOGETHER_MAX, hits = 0;
            u8 hit[TOGETHER_MAX];
            u16 rank;
            for (u32 i = 0; i < here; i++) { /* no branch: none could be guessed */
                memcpy(&rank, record + 2 * (first + i), 2);
                hit[hits] = (u8)i;
                hits += search->wanted[rank / 64] >> (rank % 64) & 1;
            }
            for (u32 i = 0; i < hits; i++) {
                memcpy(&rank, record + 2 * (first + hit[i]), 2);
                total += search->asked_weights[search->slots[rank]]
                    * record[2 * held + first + hit[i]];
            }
        }
    }
    for (u32 i = 0; i < search->rare_count; i++)
        if (search->rares[i].row == row)
            total += search->rares[i].value;
    return total;
}

static void rescore(Search *search, const Task *task, u32 row, u32 factor)
{
    u32 total = total_of(search, task->block, row);
    search->rescored++;
    if (total)
        offer(search, (Entry){(u64)total * factor, total, factor, task->number, row,
                              task->block->start[IDS] + ID_BYTES * (u64)row});
}

/* One block. */

/* The rare postings of a place. -1: no memory. */
static int take_rares(Search *search, const Task *task, const Place *place, u32 t)
{
    const Block *block = task->block;
    if (search->rare_count + place->n > search->rare_room) {
        search->rare_room = 2 * (search->rare_count + place->n);
        Rare *more = realloc(search->rares, search->rare_room * sizeof(Rare));
        if (!more)
            return -1;
        search->rares = more;
    }
    for (u32 i = 0; i < place->n; i++) {
        u32 posting = U32(block, RARE_POSTINGS)[place->at + i];
        if ((u16)posting < block->rows)
            search->rares[search->rare_count++] =
                (Rare){search->weights[t] * (posting >> 16 & 255), (u16)posting};
    }
    return 0;
}

/* What `total_of` asks of a block. */
static int take_ranks(Search *search, const Task *task)
{
    search->asked = search->rare_count = 0;
    for (u32 t = 0; t < search->terms; t++) {
        const Place *place = place_of(search, task, t);
        if (!place->n || !search->weights[t])
            continue;
        if (place->rare) {
            if (take_rares(search, task, place, t) < 0)
                return -1;
        } else {
            search->asked_ranks[search->asked] = place->rank;
            search->asked_weights[search->asked++] = search->weights[t];
        }
    }
    return 0;
}

static int take_lists(Search *search, const Task *task)
{
    const Block *block = task->block;
    search->list_count = search->asked = search->rare_count = 0;
    for (u32 t = 0; t < search->terms; t++) {
        const Place *place = place_of(search, task, t);
        u32 weight = search->weights[t];
        if (!place->n || !weight)
            continue;
        if (place->rare) {
            if (take_rares(search, task, place, t) < 0)
                return -1;
        } else if (list_fits(block, place)) {
            const u16 *list = U16(block, LISTS) + place->at;
            u32 runs = (u32)list[1] + 1;
            search->lists[search->list_count++] = (List){
                list + 2, list + 2 + runs, runs, place->n, weight, weight * place->greatest, 0,
                place->rank};
            search->asked_ranks[search->asked] = place->rank;
            search->asked_weights[search->asked++] = weight;
        }
    }
    return 0;
}

/* By how much each posting of a list can add: the shortest way to a high total comes first. */
static int compare_lists(const void *a, const void *b)
{
    const List *x = a, *y = b;
    u64 left = (u64)x->bound * y->n, right = (u64)y->bound * x->n;
    if (left != right)
        return left > right ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* How much may stay unread, as a share of what a row needs: more means fewer postings read and more
   rows totalled exactly. Measured at a million; a third and an eighth are slower. */
#define UNREAD_SHARE 5

/* Decides how far each list is read; gives what the unread parts can add to a row at most. */
static u32 plan(Search *search, u64 needed)
{
    u64 allowed = needed / UNREAD_SHARE, unread = 0;
    List *lists = search->lists;
    if (search->list_count > 1)
        qsort(lists, search->list_count, sizeof(List), compare_lists);
    u32 i = search->list_count;
    for (; i && unread + lists[i - 1].bound <= allowed; i--) {
        unread += lists[i - 1].bound;
        lists[i - 1].read = 0;
    }
    for (u32 j = 0; j < i; j++)
        lists[j].read = lists[j].n;
    if (i) {
        List *last = &lists[i - 1];
        u64 impact = (allowed - unread) / last->weight;
        u32 read = 0, left = 0;
        for (u32 run = 0; run < last->runs && !left; run++) {
            if ((last->run[run] & 255) > impact)
                read += (u32)(last->run[run] >> 8) + 1;
            else
                left = last->run[run] & 255;
        }
        last->read = read < last->n ? read : last->n;
        unread += (u64)left * last->weight;
    }
    return (u32)unread;
}

/* The least shift at which no sum of what is read exceeds sixteen bits. */
static int shift_for(const Search *search)
{
    u64 sum = 0, terms = search->list_count + 1;
    for (u32 i = 0; i < search->list_count; i++)
        if (search->lists[i].read)
            sum += search->lists[i].bound;
    for (u32 i = 0; i < search->rare_count; i++) {
        sum += search->rares[i].value;
        terms++;
    }
    int shift = 0;
    while ((sum >> shift) + terms > 65535)
        shift++;
    return shift;
}

static u64 accumulate(Search *search, int shift)
{
    u16 *sums = search->small_sums;
    u32 over = ((u32)1 << shift) - 1;
    u64 done = 0;
    for (u32 i = 0; i < search->list_count; i++) {
        const List *list = &search->lists[i];
        const u16 *row = list->row, *end = row + list->read;
        for (u32 run = 0; row < end && run < list->runs; run++) {
            u16 value = (u16)(((u64)list->weight * (list->run[run] & 255) + over) >> shift);
            const u16 *stop = row + (list->run[run] >> 8) + 1;
            for (stop = stop < end ? stop : end; row < stop; row++)
                sums[*row] += value;
        }
        done += list->read;
    }
    for (u32 i = 0; i < search->rare_count; i++)
        sums[search->rares[i].row] += (u16)(((u64)search->rares[i].value + over) >> shift);
    return done + search->rare_count;
}

/* Whether all rows that are read exist, as they do unless the segment is damaged. */
WIDE static int rows_exist(const Search *search, u32 rows)
{
    u16 last = 0;
    for (u32 i = 0; i < search->list_count; i++) {
        const u16 *row = search->lists[i].row;
        for (u32 j = 0; j < search->lists[i].read; j++)
            last = row[j] > last ? row[j] : last;
    }
    return last < rows;
}

typedef struct {
    const Task *task;
    u64 greatest; /* factor in this block */
    u32 unread, slack;
    int shift;
    u16 bar; /* a sum below it cannot compete */
} Gate;

static void raise_bar(const Search *search, Gate *gate)
{
    u64 needed = (promised(search) + gate->greatest - 1) / gate->greatest;
    u64 bar = needed > gate->unread
        ? (needed - gate->unread + ((u64)1 << gate->shift) - 1) >> gate->shift : 0;
    gate->bar = (u16)(bar > 65535 ? 65535 : bar ? bar : 1);
}

/* A row whose sum reaches the bar: note it down, and see whether that raises the bar. */
static void consider(Search *search, Gate *gate, u32 row, u16 sum)
{
    u32 factor = factor_of(search, gate->task, row);
    if (!factor)
        return;
    search->rows[search->competitors] = (u16)row;
    search->their_sums[search->competitors++] = sum;
    u64 least = sum > gate->slack ? (u64)(sum - gate->slack) << gate->shift : 0;
    if (least * factor > promised(search)) {
        promise(search, least * factor);
        raise_bar(search, gate);
    }
}

#define CHUNK 64

#ifdef __GNUC__
typedef u16 Lanes __attribute__((vector_size(32), aligned(32), may_alias));
typedef u64 Wide __attribute__((vector_size(32), aligned(32), may_alias));

/* The first chunk from `at` on that holds a sum of at least `bar`; what comes before is zeroed. */
WIDE static u32 next_chunk(u16 *sums, u32 at, u32 end, u16 bar)
{
    const Lanes bars = (Lanes){0} + bar, nothing = {0};
    for (; at < end; at += CHUNK) {
        Lanes *lanes = (Lanes *)(sums + at);
        Wide reached = (Wide)(lanes[0] >= bars) | (Wide)(lanes[1] >= bars)
            | (Wide)(lanes[2] >= bars) | (Wide)(lanes[3] >= bars);
        if (reached[0] | reached[1] | reached[2] | reached[3])
            return at;
        lanes[0] = lanes[1] = lanes[2] = lanes[3] = nothing;
    }
    return end;
}
#else
static u32 next_chunk(u16 *sums, u32 at, u32 end, u16 bar)
{
    for (; at < end; at++) {
        if (sums[at] >= bar)
            return at / CHUNK * CHUNK;
        sums[at] = 0;
    }
    return end;
}
#endif

static void gather_all(Search *search, Gate *gate)
{
    u16 *sums = search->small_sums;
    u32 end = (gate->task->block->rows + CHUNK - 1) / CHUNK * CHUNK;
    for (u32 at = 0; (at = next_chunk(sums, at, end, gate->bar)) < end; at += CHUNK) {
        for (u32 row = at; row < at + CHUNK; row++)
            if (sums[row] >= gate->bar)
                consider(search, gate, row, sums[row]);
        memset(sums + at, 0, CHUNK * sizeof(u16));
    }
    if (end >= ROWS_MAX / 2) /* nothing is there, unless the segment is damaged */
        memset(sums + end, 0, (ROWS_MAX - end) * sizeof(u16));
}

static void gather_read(Search *search, Gate *gate)
{
    u16 *sums = search->small_sums;
    for (u32 i = 0; i < search->list_count; i++)
        for (u32 j = 0; j < search->lists[i].read; j++) {
            u32 row = search->lists[i].row[j];
            u16 sum = sums[row];
            sums[row] = 0;
            if (sum >= gate->bar)
                consider(search, gate, row, sum);
        }
    for (u32 i = 0; i < search->rare_count; i++) {
        u32 row = search->rares[i].row;
        u16 sum = sums[row];
        sums[row] = 0;
        if (sum >= gate->bar)
            consider(search, gate, row, sum);
    }
}

/* Asks for the records of the next competitors, so that they are near when their turn comes. */
static void fetch_ahead(const Search *search, const Block *block, u32 at)
{
    if (at + 16 < search->competitors)
        __builtin_prefetch(U32(block, FORWARD_STARTS) + search->rows[at + 16]);
    if (at + 8 < search->competitors) {
        u64 start = U32(block, FORWARD_STARTS)[search->rows[at + 8]];
        const u8 *record = block->start[FORWARD] + 3 * start;
        if (start < block->count[FORWARD])
            for (int line = 0; line < 3; line++)
                __builtin_prefetch(record + 64 * line);
    }
}

#define READ_PER_ROW 16 /* reading the lists twice beats reading every sum when they are shorter */

static int search_block(Search *search, const Task *task)
{
    const Block *block = task->block;
    if (take_lists(search, task) < 0)
        return -1;
    promise_the_best(search);
    Gate gate = {.task = task, .greatest = greatest_factor(search, task)};
    u64 needed = (promised(search) + gate.greatest - 1) / gate.greatest;
    gate.unread = plan(search, needed);
    gate.shift = shift_for(search);
    gate.slack = search->list_count + search->rare_count;
    if (block->rows < ROWS_MAX / 2 && !rows_exist(search, block->rows))
        return 0;
    u64 read = accumulate(search, gate.shift);
    search->read += read;
    search->blocks++;
    raise_bar(search, &gate);
    search->competitors = 0;
    if (read < block->rows / READ_PER_ROW)
        gather_read(search, &gate);
    else
        gather_all(search, &gate);
    want(search, 1);
    for (u32 i = 0; i < search->competitors; i++) {
        fetch_ahead(search, block, i);
        u32 row = search->rows[i];
        u64 most = ((u64)search->their_sums[i] << gate.shift) + gate.unread;
        u64 worst = promised(search);
        if (most * gate.greatest < worst)
            continue;
        u32 factor = factor_of(search, task, row);
        if (most * factor >= (worst > threshold(search) ? worst : threshold(search)))
            rescore(search, task, row, factor);
    }
    want(search, 0);
    return 0;
}

static int compare_tasks(const void *a, const void *b)
{
    const Task *x = a, *y = b;
    if (x->bound != y->bound)
        return x->bound > y->bound ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* The greatest rank any row of a block can have. */
static u64 bound_of(const Search *search, const Task *task)
{
    u64 sum = 0;
    for (u32 t = 0; t < search->terms; t++) {
        const Place *place = place_of(search, task, t);
        if (place->n)
            sum += (u64)search->weights[t] * place->greatest;
    }
    return sum * greatest_factor(search, task);
}

#define LINES_AHEAD 16 /* of a list; of a longer one the machine itself sees what comes next */

FETCHING void fetch_lists(const Search *search, const Task *task)
{
    for (u32 t = 0; t < search->terms; t++) {
        const Place *place = place_of(search, task, t);
        if (place->rare || !place->n)
            continue;
        const u16 *list = U16(task->block, LISTS) + place->at, *end = list + 64 + place->n;
        for (int line = 0; line < LINES_AHEAD && list < end; line++, list += 32)
            __builtin_prefetch(list);
    }
}

static int search_exactly(Search *search, Task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tasks[i].bound = bound_of(search, &tasks[i]);
    qsort(tasks, count, sizeof(Task), compare_tasks);
    for (size_t i = 0; i < count; i++) {
        if (!tasks[i].bound || tasks[i].bound < threshold(search))
            break;
        if (i + 1 < count)
            fetch_lists(search, &tasks[i + 1]);
        if (search_block(search, &tasks[i]) < 0)
            return -1;
    }
    return 0;
}

/* With a budget: what was copied of each list (`heads.c`) is read down to an impact, as far as the
   budget allows; the rows with the best sums are then totalled exactly. Lin and Trotman (2015),
   "Anytime ranking for impact-ordered indexes", read what adds most to a total; how far each list
   is read is chosen differently here, see `share_out`. */

#define RANK_STEP 14 /* bits; a rank has 24 */
#define RANKS (1 << (24 - RANK_STEP))

typedef struct {
    u64 *at;  /* rank << 32, and then the earlier block and row before the later */
    u32 count, room, kept;
    u64 worst; /* so many as are kept have reached this rank */
    u64 least; /* rank that can still be among them */
    u32 above; /* how many reached `worst` */
    u32 ranked[RANKS]; /* how many came, by rank */
} Candidates;

/* Brings the greatest `kept` to the front. */
static void keep_the_best(Candidates *all)
{
    u64 *at = all->at;
    u32 low = 0, high = all->count;
    if (all->count <= all->kept)
        return;
    while (high - low > 1) {
        u64 pivot = at[low + (high - low - 1) / 2];
        u32 i = low, j = high - 1;
        for (;; i++, j--) {
            while (at[i] > pivot)
                i++;
            while (at[j] < pivot)
                j--;
            if (i >= j)
                break;
            u64 swapped = at[i];
            at[i] = at[j];
            at[j] = swapped;
        }
        if (j + 1 == all->kept)
            break;
        if (j + 1 < all->kept)
            low = j + 1;
        else
            high = j + 1;
    }
    all->count = all->kept;
}

static void add_candidate(Candidates *all, u64 rank, u32 number, u32 row)
{
    if (rank < all->least || !rank)
        return;
    if (all->count == all->room)
        keep_the_best(all);
    all->at[all->count++] = rank << 32 | (UINT32_MAX - (number << 16 | row));
    all->ranked[rank >> RANK_STEP]++;
    all->above++;
    for (u32 at = (u32)(all->worst >> RANK_STEP); all->above - all->ranked[at] >= all->kept; at++) {
        all->above -= all->ranked[at];
        all->worst = (u64)(at + 1) << RANK_STEP;
    }
    all->least = all->worst > all->least ? all->worst : all->least;
}

#define SUM_MAX 255
#define TASKS_MAX 65535 /* a candidate's block is 16 bits wide */

/* A term, and how its postings are read. */
typedef struct {
    u32 term, weight, level;
    u64 share;
    const u32 *start;  /* by block of the part, of its postings */
    const u16 *counts; /* by block, how many are read */
    const u16 *row;
    const u8 *impact;
    u8 adds[IMPACT_MAX + 1]; /* what a posting of each impact adds to a sum */
} Reading;

static int compare_readings(const void *a, const void *b)
{
    const Reading *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight < y->weight ? -1 : 1;
    return (x->term > y->term) - (x->term < y->term);
}

/* The least level at which every posting of this share adds `part`, or the least that is allowed. */
static u32 level_for(u64 part, const Reading *one, u32 base)
{
    u64 step = one->share * LEVEL_STEP, level = (part + step - 1) / step;
    level = level < one->level ? level : one->level;
    return level > base ? (u32)level : base;
}

static u64 postings_at(const Search *search, const Reading *one, u64 part)
{
    const Totals *totals = &search->totals[one->term];
    u32 level = level_for(part, one, totals->base);
    return level < LEVELS ? totals->at[level] : 0;
}

#define FAIR_PART 2 /* of the budget, every second posting is shared equally between the terms */
#define BEGINNING 16 /* postings: what it takes to begin a list, by a regression over 400 questions */
#define READINGS_MAX 128 /* so that each adds something to a sum of eight bits */

/* Decides down to which level each term is read; gives how many terms are.

   A part of the budget goes to all terms alike: a memory that is about one of them is at the head of
   its list, however common it is. The rest is for what only has many of them. Terms by weight, the
   lightest first: what all terms up to one add together, were they left out of a row, says how far
   that one is read. So the rarest are read to their ends and the commonest hardly, but less so in
   short memories, of which few terms say much. */
static u32 share_out(const Search *search, size_t searched, size_t count, Reading *readings)
{
    u64 sum = 0, low = 1, high = 1;
    u32 used = 0, kept = 0;
    for (u32 t = 0; t < search->terms; t++)
        if (search->weights[t])
            readings[used++] = (Reading){.term = t, .weight = search->weights[t]};
    qsort(readings, used, sizeof(Reading), compare_readings);
    u64 begun = (u64)BEGINNING * used * searched, half = search->budget / 2;
    u64 budget = search->budget - (begun < half ? begun : half);
    for (u32 i = 0; i < used; i++) {
        sum += readings[i].weight;
        readings[i].share = sum;
        const Totals *totals = &search->totals[readings[i].term];
        u64 fair = budget * count / (FAIR_PART * searched * used);
        while (readings[i].level < LEVELS && totals->at[readings[i].level] > fair)
            readings[i].level++;
    }
    high = sum * (IMPACT_MAX + 1) + 1;
    while (low < high) { /* for the least part at which all postings fit */
        u64 part = (low + high) / 2, postings = 0;
        for (u32 i = 0; i < used; i++)
            postings += postings_at(search, &readings[i], part);
        if (postings * searched <= budget * count)
            high = part;
        else
            low = part + 1;
    }
    for (u32 i = used > READINGS_MAX ? used - READINGS_MAX : 0; i < used; i++) {
        u32 level = level_for(low, &readings[i], search->totals[readings[i].term].base);
        if (level >= LEVELS || !search->totals[readings[i].term].at[level])
            continue;
        readings[kept] = readings[i];
        readings[kept++].level = level;
    }
    return kept;
}

/* What a posting of each impact adds to a sum: something, and beyond that as much of eight bits as it
   is of the greatest total there could be. */
static void weigh_impacts(Reading *readings, u32 used)
{
    u64 most = 1, room = SUM_MAX - used;
    for (u32 i = 0; i < used; i++)
        most += (u64)readings[i].weight * IMPACT_MAX;
    for (u32 i = 0; i < used; i++) {
        u64 each = ((u64)readings[i].weight * room << 16) / most;
        for (u32 impact = 0; impact <= IMPACT_MAX; impact++)
            readings[i].adds[impact] = (u8)((impact * each >> 16) + 1);
    }
}

/* Asks for a list, the end of which is further on than the machine foresees. */
FETCHING void fetch_list(const Reading *one, u32 nth)
{
    const u16 *row = one->row + one->start[nth], *end = row + one->counts[nth];
    const u8 *impact = one->impact + one->start[nth];
    for (; row < end; row += 64, impact += 64) {
        __builtin_prefetch(row);
        __builtin_prefetch(row + 32);
        __builtin_prefetch(impact);
    }
}

#define AHEAD 2 /* blocks: it takes about so long until what was asked for is there */

/* Adds up one block's postings; gives how many rows reached the bar, some more than once. */
static u32 sum_block(Search *search, u32 nth, u32 last, const Reading *readings, u32 used, u32 bar)
{
    u8 *sums = search->tiny_sums;
    u16 *reached = search->reached;
    u32 count = 0;
    for (u32 i = 0; i < used; i++) {
        const Reading *one = &readings[i];
        const u16 *row = one->row + one->start[nth];
        const u8 *impact = one->impact + one->start[nth];
        u32 n = one->counts[nth];
        if (nth + AHEAD < last)
            fetch_list(one, nth + AHEAD);
#pragma GCC unroll 4
        for (u32 j = 0; j < n; j++) {
            u32 sum = (u32)sums[row[j]] + one->adds[impact[j]];
            sums[row[j]] = (u8)sum;
            if (__builtin_expect(sum >= bar, 0))
                reached[count++] = row[j];
        }
        search->read += n;
    }
    return count;
}

#define FACTORS_AHEAD 16 /* rows */

static void take_reached(Search *search, const Task *task, u32 number, u32 count,
                         Candidates *all)
{
    for (u32 i = 0; i < count && i < FACTORS_AHEAD; i++)
        fetch_factor(search, task, search->reached[i]);
    for (u32 i = 0; i < count; i++) {
        u32 row = search->reached[i], sum = search->tiny_sums[row];
        if (i + FACTORS_AHEAD < count)
            fetch_factor(search, task, search->reached[i + FACTORS_AHEAD]);
        if (!sum)
            continue;
        search->tiny_sums[row] = 0;
        add_candidate(all, (u64)sum * factor_of(search, task, row), number, row);
    }
}

#define CLEARED_ALL 768 /* postings: from so many on it is quicker to clear the sums of all rows */

static void clear_sums(Search *search, u32 nth, const Reading *readings, u32 used, u64 summed)
{
    if (summed >= CLEARED_ALL) {
        memset(search->tiny_sums, 0, sizeof search->tiny_sums);
        return;
    }
    for (u32 i = 0; i < used; i++) {
        const u16 *row = readings[i].row + readings[i].start[nth];
        u32 n = readings[i].counts[nth];
        for (u32 j = 0; j < n; j++)
            search->tiny_sums[row[j]] = 0;
    }
}

/* Where the readings of one part of the blocks begin. */
static void turn_to(const Search *search, u32 part, Reading *readings, u32 used)
{
    for (u32 i = 0; i < used; i++) {
        Reading *one = &readings[i];
        const Heads *heads = search->heads[(u64)part * search->terms + one->term];
        u64 levels = LEVELS - heads->base;
        one->start = (const u32 *)(heads + 1);
        one->counts = (const u16 *)(one->start + heads->blocks);
        one->row = one->counts + levels * heads->blocks;
        one->impact = (const u8 *)(one->row + heads->postings);
        one->counts += (u64)(one->level - heads->base) * heads->blocks;
    }
}

/* Makes room for as many rows as may reach the bar in one block. -1: no memory. */
static int make_reached(Search *search, const Reading *readings, u32 used)
{
    size_t postings = 1;
    for (u32 i = 0; i < used; i++)
        postings += search->totals[readings[i].term].at[readings[i].level];
    if (postings <= search->reached_room)
        return 0;
    free(search->reached);
    search->reached = malloc(postings * sizeof(u16));
    search->reached_room = search->reached ? postings : 0;
    return search->reached ? 0 : -1;
}

static int sum_up(Search *search, const Task *tasks, size_t searched, Reading *readings, u32 used,
                  Candidates *all)
{
    u32 part = UINT32_MAX;
    if (make_reached(search, readings, used) < 0)
        return -1;
    for (size_t i = 0; i < searched; i++) {
        const Task *task = &tasks[i];
        if (task->part != part) {
            part = task->part;
            turn_to(search, part, readings, used);
        }
        u32 greatest = greatest_factor(search, task);
        all->least = all->worst ? all->worst + 1 : 0; /* of equals the earlier block's come first */
        u64 bar = (all->least + greatest - 1) / greatest;
        if (bar > SUM_MAX)
            continue;
        u64 before = search->read;
        u32 reached = sum_block(search, task->nth, search->part_blocks[part], readings, used, bar ? (u32)bar : 1);
        take_reached(search, task, (u32)i, reached, all);
        clear_sums(search, task->nth, readings, used, search->read - before);
        search->blocks++;
    }
    return 0;
}

typedef struct {
    u32 task, row;
} Spot;

static Spot spot_of(u64 candidate)
{
    u32 both = UINT32_MAX - (u32)candidate;
    return (Spot){both >> 16, both & 0xFFFF};
}

FETCHING void fetch_rares(const Search *search, const Task *task)
{
    for (u32 t = 0; t < search->terms; t++) {
        const Place *place = place_of(search, task, t);
        if (place->rare)
            __builtin_prefetch(U32(task->block, RARE_POSTINGS) + place->at);
    }
}

#define RECORD_MAX 512 /* terms: of longer records the machine itself sees what comes next */

/* Asks for the records of all candidates, so that the waits for them overlap. */
FETCHING void fetch_candidates(const Search *search, const Task *tasks, const Candidates *all)
{
    for (u32 i = 0; i < all->count; i++) {
        Spot spot = spot_of(all->at[i]);
        __builtin_prefetch(U32(tasks[spot.task].block, FORWARD_STARTS) + spot.row);
    }
    for (u32 i = 0; i < all->count; i++) {
        Spot spot = spot_of(all->at[i]);
        const Block *block = tasks[spot.task].block;
        u64 from = U32(block, FORWARD_STARTS)[spot.row], to = U32(block, FORWARD_STARTS)[spot.row + 1];
        const u8 *record = block->start[FORWARD] + 3 * from, *end = record + 3 * (to - from);
        if (from <= to && to <= block->count[FORWARD] && to - from < RECORD_MAX)
            for (; record < end; record += 64)
                __builtin_prefetch(record);
        if (!i || spot_of(all->at[i - 1]).task != spot.task)
            fetch_rares(search, &tasks[spot.task]);
    }
}

/* Sorts by block, beside one another what is read beside one another. -1: no memory. */
static int by_block(Candidates *all, size_t blocks)
{
    u32 *next = calloc(blocks + 1, sizeof(u32));
    u64 *sorted = malloc(sizeof(u64) * ((size_t)all->room + 1));
    if (!next || !sorted) {
        free(next);
        free(sorted);
        return -1;
    }
    for (u32 i = 0; i < all->count; i++)
        next[spot_of(all->at[i]).task + 1]++;
    for (size_t i = 1; i <= blocks; i++)
        next[i] += next[i - 1];
    for (u32 i = 0; i < all->count; i++)
        sorted[next[spot_of(all->at[i]).task]++] = all->at[i];
    free(next);
    free(all->at);
    all->at = sorted;
    return 0;
}

static int rescore_candidates(Search *search, const Task *tasks, Candidates *all)
{
    fetch_candidates(search, tasks, all);
    for (u32 i = 0; i < all->count; i++) {
        Spot spot = spot_of(all->at[i]);
        const Task *task = &tasks[spot.task];
        if (!i || spot_of(all->at[i - 1]).task != spot.task) {
            want(search, 0);
            if (take_ranks(search, task) < 0)
                return -1;
            want(search, 1);
        }
        rescore(search, task, spot.row, factor_of(search, task, spot.row));
    }
    want(search, 0);
    return 0;
}

static int search_within_budget(Search *search, const Task *tasks, size_t searched, size_t count)
{
    u32 room = 8 * search->kept;
    Candidates all = {.at = malloc(sizeof(u64) * room), .room = room, .kept = search->kept};
    Reading *readings = malloc(sizeof(Reading) * ((size_t)search->terms + 1));
    int failed = !all.at || !readings;
    if (!failed) {
        u32 used = share_out(search, searched, count, readings);
        weigh_impacts(readings, used);
        search->asked = 0;
        failed = sum_up(search, tasks, searched, readings, used, &all) < 0;
        keep_the_best(&all);
        failed = failed || by_block(&all, searched) < 0 || rescore_candidates(search, tasks, &all) < 0;
    }
    free(all.at);
    free(readings);
    return failed ? -1 : 0;
}

/* The function that Python calls. */

/* One for each thread, and kept: its sums are all zero between two searches. */
static _Thread_local Search *kept_search;

static int run(Search *search, Task *tasks, size_t searched, size_t count)
{
    u64 cost = searched == count ? search->holders : 0;
    for (size_t i = 0; i < searched && searched < count; i++)
        for (u32 t = 0; t < search->terms; t++)
            cost += place_of(search, &tasks[i], t)->n;
    search->cut = search->budget && search->heads && cost > search->budget && count <= TASKS_MAX;
    int failed = search->cut ? search_within_budget(search, tasks, searched, count)
                             : search_exactly(search, tasks, searched);
    return failed;
}

/* The best first: takes the heap apart from the end. */
static void put_in_order(Search *search)
{
    for (u32 left = search->found; left > 1; left--) {
        Entry worst = search->best[0];
        search->best[0] = search->best[left - 1];
        search->best[left - 1] = worst;
        sink(search->best, left - 1, 0);
    }
}

static PyObject *report(const Search *search)
{
    PyObject *hits = PyList_New(search->found);
    for (u32 i = 0; hits && i < search->found; i++) {
        const Entry *entry = &search->best[i];
        PyObject *hit = Py_BuildValue("(IIII)", entry->block, entry->row, entry->total,
                                      entry->factor);
        if (!hit || PyList_SetItem(hits, i, hit) < 0)
            Py_CLEAR(hits);
    }
    if (!hits)
        return NULL;
    return Py_BuildValue("(N(KKKO))", hits, search->read, search->rescored, search->blocks,
                         search->cut ? Py_True : Py_False);
}

/* What each block's profiles are worth: None for all the same, or (factors, the greatest). */
static int take_tasks(const Search *search, PyObject *factors, const Block **blocks, size_t count,
                      Task *tasks, Py_buffer *views, size_t *taken)
{
    u32 part = 0, first = 0;
    if (factors != Py_None && (!PyTuple_Check(factors) || PyTuple_Size(factors) != (Py_ssize_t)count)) {
        PyErr_SetString(PyExc_ValueError, "one entry for each block is needed");
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        for (; i >= first + search->part_blocks[part]; part++)
            first += search->part_blocks[part];
        Task task = {blocks[i], NULL, ONE, (u32)i, part, (u32)i - first, 0};
        PyObject *each = factors == Py_None ? Py_None : PyTuple_GetItem(factors, (Py_ssize_t)i);
        if (!each)
            return -1;
        if (each != Py_None) {
            if (!PyArg_ParseTuple(each, "y*I", &views[i], &task.greatest_factor))
                return -1;
            if ((u64)views[i].len != 4 * (u64)blocks[i]->profiles) {
                PyErr_SetString(PyExc_ValueError, "one factor for each profile is needed");
                return -1;
            }
            task.factors = views[i].buf;
        }
        if (task.greatest_factor && blocks[i]->rows)
            tasks[(*taken)++] = task;
    }
    return 0;
}

typedef struct {
    PyObject *blocks, *located, *heads, *decay, *factors;
    Py_buffer weights, decay_view;
    u32 limit, now_s, step_s, since_s, until_s, kept;
    u64 floor, budget;
} Arguments;

static Search *new_search(void)
{
    void *made = NULL;
    if (posix_memalign(&made, 64, sizeof(Search)))
        return NULL;
    return memset(made, 0, sizeof(Search));
}

/* What `locate` found: `located` is a tuple of its answers, for the blocks from the first to the
   last. */
static int take_places(Search *search, PyObject *located, size_t count)
{
    size_t first = 0, terms = search->terms, parts = (size_t)PyTuple_Size(located);
    search->places = malloc(sizeof(Place *) * (parts * terms + 1));
    search->part_blocks = malloc(sizeof(u32) * (parts + 1));
    search->holders = 0;
    if (!search->places || !search->part_blocks)
        return -1;
    for (size_t i = 0; i < parts; i++) {
        PyObject *answer = PyTuple_GetItem(located, (Py_ssize_t)i);
        size_t held = 0;
        for (size_t t = 0; t < terms; t++) {
            PyObject *entry = PyList_GetItem(answer, (Py_ssize_t)t);
            PyObject *holders = entry ? PyTuple_GetItem(entry, 0) : NULL;
            PyObject *bytes = holders ? PyTuple_GetItem(entry, 1) : NULL;
            const char *places = bytes ? PyBytes_AsString(bytes) : NULL;
            if (!places)
                return -1;
            size_t its = (size_t)PyBytes_Size(bytes) / sizeof(Place);
            held = t ? held : its;
            if (its != held || first + held > count)
                return -1;
            search->places[i * terms + t] = (const Place *)places;
            search->holders += PyLong_AsUnsignedLongLong(holders);
        }
        search->part_blocks[i] = (u32)held;
        first += held;
    }
    return first == count && terms ? 0 : -1;
}

/* What `heads` copied, for the same parts: a tuple of lists, one entry for each term. */
static int take_heads(Search *search, PyObject *given, size_t parts)
{
    size_t terms = search->terms;
    if (given == Py_None)
        return 0;
    search->totals = calloc(terms + 1, sizeof(Totals));
    search->heads = malloc(sizeof(Heads *) * (parts * terms + 1));
    if (!search->totals || !search->heads || (size_t)PyTuple_Size(given) != parts)
        return -1;
    for (size_t i = 0; i < parts; i++)
        for (size_t t = 0; t < terms; t++) {
            PyObject *bytes = PyList_GetItem(PyTuple_GetItem(given, (Py_ssize_t)i), (Py_ssize_t)t);
            if (!bytes || !PyBytes_Check(bytes) || (size_t)PyBytes_Size(bytes) < sizeof(Heads))
                return -1;
            const Heads *heads = (const Heads *)PyBytes_AsString(bytes);
            if (heads->blocks != search->part_blocks[i])
                return -1;
            search->heads[i * terms + t] = heads;
            Totals *totals = &search->totals[t];
            totals->base = heads->base > totals->base ? heads->base : totals->base;
            for (int level = 0; level < LEVELS; level++)
                totals->at[level] += heads->totals[level];
        }
    return 0;
}

static Search *prepare(const Arguments *given, size_t count)
{
    if (!kept_search)
        kept_search = new_search();
    Search *search = kept_search;
    u32 terms = (u32)(given->weights.len / 4);
    if (!search) {
        PyErr_NoMemory();
        return NULL;
    }
    search->weights = given->weights.buf;
    search->terms = terms;
    search->limit = given->limit;
    search->decay = given->decay_view.obj ? given->decay_view.buf : NULL;
    search->decays = given->decay_view.obj ? (u32)(given->decay_view.len / 4) : 0;
    search->now_s = given->now_s;
    search->step_s = given->step_s;
    search->since_s = given->since_s;
    search->until_s = given->until_s;
    search->timed = given->since_s > 0 || given->until_s < UINT32_MAX;
    search->floor = given->floor;
    search->budget = given->budget;
    search->kept = given->kept;
    search->read = search->rescored = search->blocks = 0;
    search->found = search->ranked = 0;
    search->best = malloc(sizeof(Entry) * ((size_t)given->limit + 1));
    search->ranks = malloc(sizeof(u64) * ((size_t)given->limit + 1));
    search->lists = malloc(sizeof(List) * ((size_t)terms + 1));
    search->asked_ranks = malloc(sizeof(u16) * ((size_t)terms + 1));
    search->asked_weights = malloc(sizeof(u32) * ((size_t)terms + 1));
    search->totals = NULL;
    search->heads = NULL;
    int unplaced = take_places(search, given->located, count) < 0
        || take_heads(search, given->heads, (size_t)PyTuple_Size(given->located)) < 0;
    if (!search->best || !search->ranks || !search->lists || !search->asked_ranks
        || !search->asked_weights || !search->places || !search->part_blocks)
        PyErr_NoMemory();
    else if ((unplaced || !given->step_s) && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "one place for each block and term is needed");
    return search;
}

static PyObject *search_blocks(const Arguments *given, const Block **blocks, size_t count)
{
    PyObject *answer = NULL;
    size_t taken = 0;
    Task *tasks = malloc(sizeof(Task) * (count + 1));
    Py_buffer *views = calloc(count + 1, sizeof(Py_buffer));
    Search *search = prepare(given, count);
    if (tasks && views && search && !PyErr_Occurred()
        && take_tasks(search, given->factors, blocks, count, tasks, views, &taken) == 0) {
        int failed;
        Py_BEGIN_ALLOW_THREADS
        failed = run(search, tasks, taken, count);
        if (!failed)
            put_in_order(search);
        Py_END_ALLOW_THREADS
        answer = failed ? PyErr_NoMemory() : report(search);
    } else if (!PyErr_Occurred())
        PyErr_NoMemory();
    if (search) {
        free(search->best);
        free(search->ranks);
        free(search->lists);
        free(search->asked_ranks);
        free(search->asked_weights);
        free(search->places);
        free(search->totals);
        free(search->heads);
        free(search->part_blocks);
    }
    for (size_t i = 0; views && i < count; i++)
        if (views[i].obj)
            PyBuffer_Release(&views[i]);
    free(tasks);
    free(views);
    return answer;
}

/* search(blocks, located, heads, weights, limit, floor, decay, now_s, step_s, since_s, until_s, factors,
          budget, kept)
   -> ([(block, row, total, factor)], (postings read, rows rescored, blocks searched, cut)) */
PyObject *kernel_search(PyObject *module, PyObject *args)
{
    Arguments given;
    PyObject *answer = NULL;
    memset(&given, 0, sizeof given);
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!Oy*IKOIIIIOKI", &PyTuple_Type, &given.blocks, &PyTuple_Type,
                          &given.located, &given.heads, &given.weights, &given.limit, &given.floor, &given.decay,
                          &given.now_s, &given.step_s, &given.since_s, &given.until_s,
                          &given.factors, &given.budget, &given.kept))
        return NULL;
    const Block **blocks = blocks_of(given.blocks);
    if (blocks && given.limit && given.kept
        && (given.decay == Py_None
            || PyObject_GetBuffer(given.decay, &given.decay_view, PyBUF_SIMPLE) == 0))
        answer = search_blocks(&given, blocks, (size_t)PyTuple_Size(given.blocks));
    else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "a limit of at least 1 is needed");
    free(blocks);
    if (given.decay_view.obj)
        PyBuffer_Release(&given.decay_view);
    PyBuffer_Release(&given.weights);
    return answer;
}
