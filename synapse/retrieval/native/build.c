/* Making posting sections out of packed postings, and packed postings out of posting sections.

   A packed posting is key << 24 | (255 - impact) << 16 | row: sorted as a number, postings stand
   by term, the greatest impact first, rows ascending. */

#include "kernel.h"

#define DIGIT 11
#define BUCKETS (1 << DIGIT)

typedef struct {
    u64 *at, *spare;
    size_t count;
} Pairs;

/* Sorts by key and impact; rows that come in order stay in order. */
static void sort_pairs(Pairs *pairs)
{
    u32 counts[4 * BUCKETS] = {0};
    size_t n = pairs->count;
    for (size_t i = 0; i < n; i++)
        for (int pass = 0; pass < 4; pass++)
            counts[pass * BUCKETS + (pairs->at[i] >> (16 + pass * DIGIT)) % BUCKETS]++;
    for (int pass = 0; pass < 4; pass++) {
        u32 *count = counts + pass * BUCKETS, sum = 0;
        for (int i = 0; i < BUCKETS; i++) {
            u32 here = count[i];
            count[i] = sum;
            sum += here;
        }
        for (size_t i = 0; i < n; i++) {
            u64 pair = pairs->at[i];
            pairs->spare[count[(pair >> (16 + pass * DIGIT)) % BUCKETS]++] = pair;
        }
        u64 *sorted = pairs->spare;
        pairs->spare = pairs->at;
        pairs->at = sorted;
    }
}

static int bits_for(u64 keys)
{
    int bits = 1; /* about eight keys share a directory entry */
    while (bits < 20 && ((u64)8 << bits) < keys)
        bits++;
    return bits;
}

enum { KEYS, STARTS, DIRECTORY, LIST_WORDS, RARE, RARE_POSTING, RARE_DIR, ROW_STARTS, RECORDS, MADE };

typedef struct {
    void *at[MADE];
    size_t bytes[MADE];
} Sections;

static int make_room(Sections *made, int which, size_t bytes)
{
    made->bytes[which] = bytes;
    made->at[which] = calloc(bytes ? bytes : 1, 1);
    return made->at[which] != NULL;
}

static int make_directory(Sections *made, int which, int of)
{
    const u32 *keys = made->at[of];
    size_t count = made->bytes[of] / 4;
    int bits = bits_for(count);
    if (!make_room(made, which, (((size_t)1 << bits) + 1) * 4))
        return 0;
    u32 *starts = made->at[which];
    size_t at = 0;
    for (u64 entry = 0; entry <= (u64)1 << bits; entry++) {
        while (at < count && keys[at] >> (32 - bits) < entry)
            at++;
        starts[entry] = (u32)at;
    }
    return 1;
}

static u32 impact_of(u64 pair) { return IMPACT_MAX - (u32)(pair >> 16 & 255); }

/* How many postings a term needs to have a list of its own: two, or more when too many have two. */
static u32 fewest(const Pairs *pairs)
{
    u32 holding[256] = {0}; /* by number of postings, how many terms; the last: that or more */
    for (size_t i = 0, next; i < pairs->count; i = next) {
        for (next = i; next < pairs->count && pairs->at[next] >> 24 == pairs->at[i] >> 24; next++)
            ;
        holding[next - i < 255 ? next - i : 255]++;
    }
    u32 least = 255;
    for (u32 lists = holding[255]; least > 2 && lists + holding[least - 1] <= ROWS_MAX; least--)
        lists += holding[least - 1];
    return least;
}

/* How many runs the list has: stretches of one impact, at most 256 long. */
static u32 runs_of(const u64 *pairs, size_t count)
{
    u32 runs = 0;
    for (size_t i = 0, next; i < count; i = next, runs++)
        for (next = i; next < count && next - i < 256 && pairs[next] >> 16 == pairs[i] >> 16; next++)
            ;
    return runs;
}

static void write_list(u16 *to, const u64 *pairs, size_t count, u32 runs)
{
    u16 *run = to + 2, *row = run + runs;
    to[0] = (u16)(count - 1);
    to[1] = (u16)(runs - 1);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i; next < count && next - i < 256 && pairs[next] >> 16 == pairs[i] >> 16; next++)
            *row++ = (u16)pairs[next];
        *run++ = (u16)((next - i - 1) << 8 | impact_of(pairs[i]));
    }
}

static int make_sections(const Pairs *pairs, u32 rows, Sections *made)
{
    const u64 *at = pairs->at;
    size_t n = pairs->count, lists = 0, words = 0, rare = 0;
    u32 least = fewest(pairs);
    if (!make_room(made, ROW_STARTS, ((size_t)rows + 1) * 4))
        return 0;
    u32 *row_starts = made->at[ROW_STARTS];
    for (size_t i = 0, next; i < n; i = next) {
        for (next = i; next < n && at[next] >> 24 == at[i] >> 24; next++)
            ;
        if (next - i < least) {
            rare += next - i;
            continue;
        }
        lists++;
        words += 2 + runs_of(at + i, next - i) + (next - i);
        for (size_t j = i; j < next; j++)
            row_starts[(u16)at[j] + 1]++;
    }
    for (u32 row = 0; row < rows; row++)
        row_starts[row + 1] += row_starts[row];
    u32 *filled = calloc((size_t)rows + 1, 4);
    int roomy = filled && make_room(made, KEYS, 4 * lists) && make_room(made, STARTS, 4 * lists)
        && make_room(made, LIST_WORDS, 2 * words) && make_room(made, RARE, 4 * rare)
        && make_room(made, RARE_POSTING, 4 * rare)
        && make_room(made, RECORDS, 3 * (size_t)row_starts[rows]);
    if (!roomy) {
        free(filled);
        return 0;
    }
    u32 *keys = made->at[KEYS], *starts = made->at[STARTS];
    u32 *rare_keys = made->at[RARE], *rare_postings = made->at[RARE_POSTING];
    u16 *list = made->at[LIST_WORDS];
    u8 *records = made->at[RECORDS];
    size_t rank = 0, word = 0, single = 0;
    for (size_t i = 0, next; i < n; i = next) {
        for (next = i; next < n && at[next] >> 24 == at[i] >> 24; next++)
            ;
        if (next - i < least) {
            for (size_t j = i; j < next; j++, single++) {
                rare_keys[single] = (u32)(at[j] >> 24);
                rare_postings[single] = impact_of(at[j]) << 16 | (u16)at[j];
            }
            continue;
        }
        u32 runs = runs_of(at + i, next - i);
        keys[rank] = (u32)(at[i] >> 24);
        starts[rank] = (u32)word;
        write_list(list + word, at + i, next - i, runs);
        word += 2 + runs + (next - i);
        for (size_t j = i; j < next; j++) {
            u16 row = (u16)at[j], wide = (u16)rank;
            u8 *record = records + 3 * (size_t)row_starts[row];
            u32 held = row_starts[row + 1] - row_starts[row], mine = filled[row]++;
            memcpy(record + 2 * mine, &wide, 2);
            record[2 * held + mine] = (u8)impact_of(at[j]);
        }
        rank++;
    }
    free(filled);
    return make_directory(made, DIRECTORY, KEYS) && make_directory(made, RARE_DIR, RARE);
}

/* All postings in one array, with room for sorting. */
static int gather(PyObject *parts, Pairs *pairs, u32 rows)
{
    Py_ssize_t count = PyTuple_Size(parts);
    size_t total = 0;
    for (int filling = 0; filling < 2; filling++) {
        if (filling) {
            pairs->at = malloc(total ? total * 8 : 8);
            pairs->spare = malloc(total ? total * 8 : 8);
            if (!pairs->at || !pairs->spare) {
                PyErr_NoMemory();
                return -1;
            }
        }
        for (Py_ssize_t i = 0; i < count; i++) {
            Py_buffer view;
            if (PyObject_GetBuffer(PyTuple_GetItem(parts, i), &view, PyBUF_SIMPLE) < 0)
                return -1;
            size_t held = (size_t)view.len / 8;
            if (filling && pairs->count + held <= total) {
                memcpy(pairs->at + pairs->count, view.buf, held * 8);
                pairs->count += held;
            }
            total += filling ? 0 : held;
            PyBuffer_Release(&view);
        }
    }
    for (size_t i = 0; i < pairs->count; i++)
        if ((u16)pairs->at[i] >= rows) {
            PyErr_SetString(PyExc_ValueError, "a posting names a row that is not there");
            return -1;
        }
    return 0;
}

/* build(parts, rows) -> the nine posting sections. `parts` is a tuple of packed postings. */
PyObject *kernel_build(PyObject *module, PyObject *args)
{
    PyObject *parts, *sections = NULL;
    unsigned int rows;
    Pairs pairs = {NULL, NULL, 0};
    Sections made;
    memset(&made, 0, sizeof made);
    (void)module;
    if (!PyArg_ParseTuple(args, "O!I", &PyTuple_Type, &parts, &rows))
        return NULL;
    if (rows > ROWS_MAX) {
        PyErr_SetString(PyExc_ValueError, "more rows than a segment holds");
        return NULL;
    }
    if (gather(parts, &pairs, rows) == 0) {
        int roomy;
        Py_BEGIN_ALLOW_THREADS
        sort_pairs(&pairs);
        roomy = make_sections(&pairs, rows, &made);
        Py_END_ALLOW_THREADS
        if (roomy)
            sections = PyTuple_New(MADE);
        else
            PyErr_NoMemory();
        for (int i = 0; sections && i < MADE; i++) {
            PyObject *each = PyBytes_FromStringAndSize(made.at[i], (Py_ssize_t)made.bytes[i]);
            if (!each || PyTuple_SetItem(sections, i, each) < 0)
                Py_CLEAR(sections);
        }
    }
    for (int i = 0; i < MADE; i++)
        free(made.at[i]);
    free(pairs.at);
    free(pairs.spare);
    return sections;
}

/* The postings of one list, those whose row goes on; at most `room`. */
static size_t unpack_list(const Block *block, u32 rank, const int32_t *rows, u64 *to, u64 room)
{
    const u16 *lists = U16(block, LISTS);
    u64 at = U32(block, FREQUENT_STARTS)[rank], key = U32(block, FREQUENT_KEYS)[rank];
    if (at + 2 > block->count[LISTS])
        return 0;
    u64 count = (u64)lists[at] + 1, runs = (u64)lists[at + 1] + 1, done = 0;
    if (at + 2 + runs + count > block->count[LISTS])
        return 0;
    const u16 *run = lists + at + 2, *row = run + runs;
    size_t kept = 0;
    for (u64 i = 0; i < runs; i++) {
        u64 packed = key << 24 | (u64)(IMPACT_MAX - (run[i] & 255)) << 16;
        for (u64 left = (u64)(run[i] >> 8) + 1; left && done < count; left--, done++)
            if (row[done] < block->rows && rows[row[done]] >= 0 && kept < room)
                to[kept++] = packed | (u64)(u16)rows[row[done]];
    }
    return kept;
}

static size_t unpack_rare(const Block *block, const int32_t *rows, u64 *to)
{
    const u32 *keys = U32(block, RARE_KEYS), *postings = U32(block, RARE_POSTINGS);
    size_t kept = 0;
    for (u64 i = 0; i < block->count[RARE_KEYS]; i++) {
        u16 row = (u16)postings[i];
        if (row < block->rows && rows[row] >= 0)
            to[kept++] = (u64)keys[i] << 24 | (u64)(IMPACT_MAX - (postings[i] >> 16 & 255)) << 16
                | (u64)(u16)rows[row];
    }
    return kept;
}

/* unpack(block, rows) -> packed postings; `rows` gives each row's new number, or -1. */
PyObject *kernel_unpack(PyObject *module, PyObject *args)
{
    PyObject *object, *packed = NULL;
    Py_buffer rows;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!y*", block_type, &object, &rows))
        return NULL;
    const Block *block = (const Block *)object;
    u64 frequent = block->count[FORWARD];
    u64 *pairs = malloc(8 * (frequent + block->count[RARE_KEYS] + 1));
    if (!pairs || (u64)rows.len != 4 * (u64)block->rows) {
        PyErr_SetString(PyExc_ValueError, "one number for each row is needed, and room");
        goto done;
    }
    size_t kept = 0;
    Py_BEGIN_ALLOW_THREADS
    for (u32 rank = 0; rank < block->count[FREQUENT_KEYS]; rank++)
        kept += unpack_list(block, rank, rows.buf, pairs + kept, frequent - kept);
    kept += unpack_rare(block, rows.buf, pairs + kept);
    Py_END_ALLOW_THREADS
    packed = PyBytes_FromStringAndSize((const char *)pairs, (Py_ssize_t)(kept * 8));
done:
    free(pairs);
    PyBuffer_Release(&rows);
    return packed;
}
