/* Exact search: adds up, block after block, as much of each term's list as it takes to leave out no
   row that could be among the best, in sixteen bits rounded upwards; what can still compete is then
   totalled exactly from its forward record. A bound is always at least the rank it bounds, and only
   what stays below the worst of the best is left out. */

#include "search.h"

/* One block. */

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
    u32 factor = factor_of(search, gate->task, row, ONE_AGE);
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
FETCHING void fetch_ahead(const Search *search, const Block *block, u32 at)
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
    Gate gate = {.task = task, .greatest = greatest_factor(task)};
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
        u32 factor = factor_of(search, task, row, ONE_AGE);
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
    return sum * greatest_factor(task);
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

int search_exactly(Search *search, Task *tasks, size_t count)
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
