/* What exact search and search with a budget have in common: the best so far, factors and exact
   totals.

   A row's rank is its total (weights times impacts, as in `bm25`) times its factor (decay times
   trust, at most `ONE`). Ties are decided by id, whatever was skipped. */

#ifndef SYNAPSE_SEARCH_H
#define SYNAPSE_SEARCH_H

#include "kernel.h"

#define TASKS_MAX 65535 /* with a budget: a candidate's block is 16 bits wide */

typedef struct {
    u64 rank;
    u32 total, factor;
    const u8 *id;
    const u32 *position;
} Entry;

/* Whether what is left of a block's memories at their ages is the same for all, or nearly. */
enum ages { ONE_AGE, ALIKE, OWN_AGES };

typedef struct {
    const Block *block;
    const u32 *factors; /* by profile; 0 keeps a row out; NULL: all are the greatest */
    u32 greatest_factor, number;
    u32 decay; /* of the newest row */
    enum ages ages;
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

typedef struct {
    u16 row, sum;
} Collected;

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
    u64 budget; /* while all postings are no more, all of them are read */
    u64 reading; /* so many of them, when they are more */
    u64 read, rescored, blocks;
    u32 kept;  /* rescored at most, when the budget cuts */
    int cut, timed;
    int proven; /* nothing was cut, and nothing missed */
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
    _Alignas(64) u16 based_sums[ROWS_MAX];
    u32 base; /* of the sums of the block at hand */
    Collected collected[ROWS_MAX]; /* of one block, the rows that reached the bar */
    u16 rows[ROWS_MAX], their_sums[ROWS_MAX]; /* of the competitors */
} Search;

int search_exactly(Search *search, Task *tasks, size_t count);
int search_within_budget(Search *search, const Task *tasks, size_t searched, size_t count);
int all_copied(const Search *search);

/* The best so far. */

static inline int worse(const Entry *a, const Entry *b)
{
    if (a->rank != b->rank)
        return a->rank < b->rank;
    return memcmp(a->id, b->id, ID_BYTES) > 0;
}

static inline void sink(Entry *heap, u32 count, u32 at)
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

static inline void offer(Search *search, Entry entry)
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
static inline u64 threshold(const Search *search)
{
    u64 worst = search->found == search->limit ? search->best[0].rank : 0;
    return worst > search->floor ? worst : search->floor;
}

/* One more row will reach `rank`; the least of the best `limit` such promises is ranks[0]. */
static inline void promise(Search *search, u64 rank)
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

static inline void promise_the_best(Search *search)
{
    search->ranked = 0;
    for (u32 i = 0; i < search->found; i++)
        promise(search, search->best[i].rank);
}

static inline u64 promised(const Search *search)
{
    u64 least = search->ranked == search->limit ? search->ranks[0] : 0;
    return least > search->floor ? least : search->floor;
}

/* Factors. */

static inline u32 decay_at(const Search *search, u32 verified_s)
{
    if (!search->decays)
        return ONE;
    u32 steps = search->now_s > verified_s ? (search->now_s - verified_s) / search->step_s : 0;
    return search->decay[steps < search->decays ? steps : search->decays - 1];
}

#define AGES_PART 16 /* by which decays of a block may differ, and be taken as one to choose rows */

/* What a block's memories have lost by their age, before any is looked at. */
static inline void take_decay(const Search *search, Task *task)
{
    u32 oldest = decay_at(search, task->block->oldest_s);
    task->decay = decay_at(search, task->block->newest_s);
    task->ages = oldest == task->decay ? ONE_AGE
        : task->decay - oldest <= task->decay / AGES_PART ? ALIKE : OWN_AGES;
}

static inline u32 times(u32 decay, u32 factor)
{
    u32 both = (u32)((u64)decay * factor >> 16);
    return both ? both : 1;
}

/* What a row is worth whatever its age; 0 for one that is removed, filtered out or not there. */
static inline u32 worth_of(const Search *search, const Task *task, u32 row)
{
    const Block *block = task->block;
    if (row >= block->rows || (block->dead && block->dead[row]))
        return 0;
    if (search->timed) { /* looking at a row's time means waiting for memory */
        u32 created_s = U32(block, CREATED)[row];
        if (created_s < search->since_s || created_s >= search->until_s)
            return 0;
    }
    if (!task->factors)
        return task->greatest_factor;
    u32 profile = block->count[PROFILES] ? U16(block, PROFILES)[row] : 0;
    return profile < block->profiles ? task->factors[profile] : 0;
}

/* A row's factor. Its own age is looked up where the block's ages differ by more than `ages`; else
   the newest one's is taken, which never gives less, and is near enough to choose rows. */
static inline u32 factor_of(const Search *search, const Task *task, u32 row, enum ages ages)
{
    u32 worth = worth_of(search, task, row);
    if (!worth)
        return 0;
    return times(task->ages > ages ? decay_at(search, task->block->verified[row]) : task->decay, worth);
}

/* Asks for what a row's factor is made of. */
FETCHING void fetch_factor(const Search *search, const Task *task, u32 row, enum ages ages)
{
    const Block *block = task->block;
    if (row >= block->rows)
        return;
    if (task->ages > ages)
        __builtin_prefetch(block->verified + row);
    if (task->factors && block->count[PROFILES])
        __builtin_prefetch(U16(block, PROFILES) + row);
    if (search->timed)
        __builtin_prefetch(U32(block, CREATED) + row);
}

/* The greatest factor that any row of a block can have; 0 when all are kept out. */
static inline u32 greatest_factor(const Task *task)
{
    return task->greatest_factor ? times(task->decay, task->greatest_factor) : 0;
}

/* Exact totals. */

static inline const Place *place_of(const Search *search, const Task *task, u32 term)
{
    return search->places[(u64)task->part * search->terms + term] + task->nth;
}

static inline void want(Search *search, int on)
{
    for (u32 i = 0; i < search->asked; i++) {
        u64 bit = (u64)1 << (search->asked_ranks[i] % 64);
        search->slots[search->asked_ranks[i]] = (u16)i;
        u64 *word = &search->wanted[search->asked_ranks[i] / 64];
        *word = on ? *word | bit : *word & ~bit;
    }
}

#define TOGETHER_MAX 64 /* terms of a record that are looked at before any is weighed */

static inline u32 total_of(const Search *search, const Block *block, u32 row)
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

static inline void rescore(Search *search, const Task *task, u32 row, u32 factor)
{
    u32 total = total_of(search, task->block, row);
    search->rescored++;
    if (total)
        offer(search, (Entry){(u64)total * factor, total, factor,
                              task->block->start[IDS] + ID_BYTES * (u64)row,
                              U32(task->block, POSITIONS) + row});
}

/* The rare postings of a place. -1: no memory. */
static inline int take_rares(Search *search, const Task *task, const Place *place, u32 t)
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
static inline int take_ranks(Search *search, const Task *task)
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

#endif
