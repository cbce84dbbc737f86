/* With a budget: what was copied of each list (`heads.c`) is read down to an impact, as far as the
   budget allows; the rows with the best sums are then totalled exactly. Lin and Trotman (2015),
   "Anytime ranking for impact-ordered indexes", read what adds most to a total; how far each list
   is read is chosen differently here, see `share_out`.

   Where all postings are fewer than the budget, the same is done with all of them: it is quicker than
   an exact search, and nearly always it can be told afterwards that nothing was missed. */

#include "search.h"

#define SUM_MAX 255
#define RANKS 1024 /* that are told apart to find the bar */

typedef struct {
    u64 *at;  /* rank << 32, and then the earlier block and row before the later */
    u32 count, room, kept;
    u32 step;  /* between two of them, as a power of two */
    u64 worst; /* so many as are kept have reached this rank */
    u64 least; /* rank that can still be among them */
    u32 above; /* how many reached `worst` */
    u32 bar, over; /* what is awaited of the blocks to come, in steps; how many have reached it */
    u32 ranked[RANKS]; /* how many came, by rank */
} Candidates;

/* Ranks are told apart as finely as the greatest of them allows: where all memories are old, all are
   small. */
static u32 step_between(const Task *tasks, size_t count)
{
    u64 greatest = 0;
    u32 step = 0;
    for (size_t i = 0; i < count; i++)
        greatest = greatest_factor(&tasks[i]) > greatest ? greatest_factor(&tasks[i]) : greatest;
    while (SUM_MAX * greatest >> step >= RANKS)
        step++;
    return step;
}

/* Brings the greatest `kept` to the front. */
static void keep_the_best(Candidates *all)
{
    u64 *at = all->at;
    u32 low = 0, high = 0;
    for (u32 i = 0; i < all->count; i++) { /* no branch: none could be guessed */
        at[high] = at[i];
        high += at[i] >> 32 >= all->worst;
    }
    all->count = high;
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
    all->ranked[rank >> all->step]++;
    all->over += rank >> all->step >= all->bar;
    all->above++;
    for (u32 at = (u32)(all->worst >> all->step); all->above - all->ranked[at] >= all->kept; at++) {
        all->above -= all->ranked[at];
        all->worst = (u64)(at + 1) << all->step;
    }
    all->least = all->worst > all->least ? all->worst : all->least;
}

static u64 least_of(const Candidates *all)
{
    return all->worst ? all->worst + 1 : 0; /* of equals the earlier one is kept */
}

#define MARGIN 32 /* rows: memories of one time are about the same things */

/* The rank from which rows are collected, when so many of all rows were looked at. That part of those
   that are kept should have come, and some more: where so many have, is nearly where the worst that is
   kept will be in the end. To collect what is the best so far would be several times as many. */
static u64 foreseen(Candidates *all, u64 seen, u64 rows)
{
    u64 wanted = all->kept * seen / rows + MARGIN;
    if (!seen || wanted >= all->kept)
        return least_of(all);
    while (all->bar && all->over < wanted)
        all->over += all->ranked[--all->bar];
    while (all->over - all->ranked[all->bar] >= wanted)
        all->over -= all->ranked[all->bar++];
    return (u64)all->bar << all->step;
}

/* A term, and how its postings are read. */
typedef struct {
    u32 term, weight, level;
    u64 share;
    const u32 *start;  /* by block of the part, of its postings */
    const u16 *counts; /* by block, how many are read */
    const u16 *row;
    const u8 *impact;
    u8 adds[IMPACT_MAX + 1]; /* what a posting of each impact adds to a sum */
    u32 most; /* that a row's postings up to this term's add */
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

static u64 postings_read(const Search *search, const Reading *one)
{
    return search->totals[one->term].at[one->level];
}

#define ALIKE_PART 3 /* of the budget, for all terms alike: at most so much of what is read */
#define READINGS_MAX 128 /* so that each adds something to a sum of eight bits */

/* The first term that is summed up finds no sums yet, which is quicker. */
static void longest_first(const Search *search, Reading *readings, u32 used)
{
    u32 longest = 0;
    for (u32 i = 1; i < used; i++)
        if (postings_read(search, &readings[i]) > postings_read(search, &readings[longest]))
            longest = i;
    for (u32 i = longest; i; i--) {
        Reading swapped = readings[i];
        readings[i] = readings[i - 1];
        readings[i - 1] = swapped;
    }
}

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
    u64 budget = search->cut ? search->reading : search->budget;
    u64 alike = search->budget / ALIKE_PART;
    alike = alike < budget ? alike : budget;
    for (u32 i = 0; i < used; i++) {
        sum += readings[i].weight;
        readings[i].share = sum;
        const Totals *totals = &search->totals[readings[i].term];
        u64 fair = alike * count / (searched * used);
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
        u32 base = search->totals[readings[i].term].base;
        u32 level = search->cut ? level_for(low, &readings[i], base) : base;
        if (level >= LEVELS || !search->totals[readings[i].term].at[level])
            continue;
        readings[kept] = readings[i];
        readings[kept++].level = level;
    }
    longest_first(search, readings, kept);
    return kept;
}

/* More than any row's total can be. */
static u64 above_all_totals(const Reading *readings, u32 used)
{
    u64 above = 1;
    for (u32 i = 0; i < used; i++)
        above += (u64)readings[i].weight * IMPACT_MAX;
    return above;
}

/* What a posting of each impact adds to a sum: something, and beyond that as much of eight bits as it
   is of the greatest total there could be. */
static void weigh_impacts(Reading *readings, u32 used)
{
    u64 above = above_all_totals(readings, used), room = SUM_MAX - used;
    u32 sum = 0;
    for (u32 i = 0; i < used; i++) {
        u64 each = ((u64)readings[i].weight * room << 16) / above;
        for (u32 impact = 0; impact <= IMPACT_MAX; impact++)
            readings[i].adds[impact] = (u8)((impact * each >> 16) + 1);
        readings[i].most = sum += readings[i].adds[IMPACT_MAX];
    }
}

/* Asks for a list, the end of which is further on than the machine foresees. It is read once, and
   should not push out of the caches what will be read again (hence the zeros). */
FETCHING void fetch_list(const Reading *one, u32 nth)
{
    const u16 *row = one->row + one->start[nth], *end = row + one->counts[nth];
    const u8 *impact = one->impact + one->start[nth];
    for (; row < end; row += 64, impact += 64) {
        __builtin_prefetch(row, 0, 0);
        __builtin_prefetch(row + 32, 0, 0);
        __builtin_prefetch(impact, 0, 0);
    }
}

#define AHEAD 4 /* blocks: it takes about so long until what was asked for is there */

/* Sums begin at a base that no sum of an earlier block has reached, so what is less is none of this
   block's: to clear all rows for each block would take a fifth of the time. */
static u32 next_base(Search *search)
{
    search->base += SUM_MAX + 1;
    if (search->base > UINT16_MAX - SUM_MAX) {
        memset(search->based_sums, 0, sizeof search->based_sums);
        search->base = SUM_MAX + 1;
    }
    return search->base;
}

/* The first list of a block: no row has a sum yet, and the greatest impacts come first. Gives how many
   rows reached the bar. */
static u32 begin_sums(Search *search, const Reading *one, u32 nth, u32 bar)
{
    u16 *sums = search->based_sums;
    const u16 *row = one->row + one->start[nth];
    const u8 *impact = one->impact + one->start[nth];
    u32 n = one->counts[nth], base = search->base, count = 0;
    for (; count < n && base + one->adds[impact[count]] >= bar; count++) {
        sums[row[count]] = (u16)(base + one->adds[impact[count]]);
        search->reached[count] = row[count];
    }
#pragma GCC unroll 4
    for (u32 j = count; j < n; j++)
        sums[row[j]] = (u16)(base + one->adds[impact[j]]);
    return count;
}

/* Adds up one block's postings; gives how many rows reached the bar, some more than once. */
static u32 sum_block(Search *search, u32 nth, u32 last, const Reading *readings, u32 used, u32 bar)
{
    u16 *sums = search->based_sums, *reached = search->reached;
    u32 base = next_base(search), count = 0;
    bar += base;
    for (u32 i = 0; i < used; i++) {
        const Reading *one = &readings[i];
        const u16 *row = one->row + one->start[nth];
        const u8 *impact = one->impact + one->start[nth];
        u32 n = one->counts[nth];
        if (nth + AHEAD < last)
            fetch_list(one, nth + AHEAD);
        search->read += n;
        if (!i) {
            count = begin_sums(search, one, nth, bar);
            continue;
        }
        if (base + one->most < bar) { /* no row can reach it yet */
#pragma GCC unroll 4
            for (u32 j = 0; j < n; j++) {
                u32 sum = sums[row[j]];
                sums[row[j]] = (u16)((sum > base ? sum : base) + one->adds[impact[j]]);
            }
            continue;
        }
#pragma GCC unroll 4
        for (u32 j = 0; j < n; j++) {
            u32 sum = sums[row[j]];
            sum = (sum > base ? sum : base) + one->adds[impact[j]];
            sums[row[j]] = (u16)sum;
            if (__builtin_expect(sum >= bar, 0))
                reached[count++] = row[j];
        }
    }
    return count;
}

/* Takes the rows that reached the bar out of the sums, and asks for what their factors are made of. */
static u32 collect(Search *search, const Task *task, u32 count)
{
    u32 collected = 0;
    for (u32 i = 0; i < count; i++) {
        u32 row = search->reached[i], sum = search->based_sums[row] - search->base;
        if (!sum)
            continue;
        sum = sum < SUM_MAX ? sum : SUM_MAX; /* unless the segment is damaged, none is greater */
        search->based_sums[row] = (u16)search->base;
        search->collected[collected++] = (Collected){(u16)row, (u16)sum};
        fetch_factor(search, task, row, ALIKE);
    }
    return collected;
}

/* Of equals the earlier block's come first, so the blocks are admitted in their order. */
static void admit(const Search *search, const Task *task, u32 number, u32 count, Candidates *all)
{
    u64 greatest = count ? greatest_factor(task) : 0;
    all->least = least_of(all);
    for (u32 i = 0; i < count; i++) {
        u64 sum = search->collected[i].sum;
        u32 row = search->collected[i].row;
        if (sum * greatest >= all->least)
            add_candidate(all, sum * factor_of(search, task, row, ALIKE), number, row);
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
        postings += postings_read(search, &readings[i]);
    if (postings <= search->reached_room)
        return 0;
    free(search->reached);
    search->reached = malloc(postings * sizeof(u16));
    search->reached_room = search->reached ? postings : 0;
    return search->reached ? 0 : -1;
}

#define AT_ONCE 2 /* blocks of which so much is collected that the first of it has come with the last */

static int sum_up(Search *search, const Task *tasks, size_t searched, Reading *readings, u32 used,
                  Candidates *all)
{
    u32 part = UINT32_MAX, waiting = 0, last = 0;
    u64 rows = 0, seen = 0;
    for (u32 i = 0; i < searched; i++)
        rows += tasks[i].block->rows;
    if (make_reached(search, readings, used) < 0)
        return -1;
    for (u32 i = 0; i < searched; i++) {
        const Task *task = &tasks[i];
        if (task->part != part) {
            part = task->part;
            turn_to(search, part, readings, used);
        }
        u64 greatest = greatest_factor(task);
        u64 least = search->cut ? foreseen(all, seen, rows) : least_of(all);
        u64 bar = (least + greatest - 1) / greatest;
        seen += task->block->rows;
        if (bar > SUM_MAX)
            continue;
        u32 reached = sum_block(search, task->nth, search->part_blocks[part], readings, used,
                                bar ? (u32)bar : 1);
        admit(search, &tasks[last], last, waiting, all); /* what was asked for has come meanwhile */
        waiting = collect(search, task, reached);
        last = i;
        if (i < AT_ONCE) {
            admit(search, task, i, waiting, all);
            waiting = 0;
        }
        search->blocks++;
    }
    admit(search, &tasks[last], last, waiting, all);
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
        fetch_factor(search, &tasks[spot.task], spot.row, ONE_AGE);
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
        rescore(search, task, spot.row, factor_of(search, task, spot.row, ONE_AGE));
    }
    want(search, 0);
    return 0;
}

/* Whether everything that was asked for was copied, and can be read. */
int all_copied(const Search *search)
{
    for (u32 t = 0; t < search->terms; t++)
        if (search->totals[t].base)
            return 0;
    return search->terms <= READINGS_MAX;
}

/* Whether no row that was left out can belong to the best, if all postings were read. A sum is more
   than its share of eight bits of the total, but for what was cut off of each term's: together less
   than one, see `weigh_impacts`. */
static int proven(const Search *search, const Candidates *all, const Reading *readings, u32 used)
{
    u64 least = UINT32_MAX;
    if (all->count < all->kept)
        return 1; /* none was left out */
    for (u32 i = 0; i < all->count; i++)
        least = all->at[i] >> 32 < least ? all->at[i] >> 32 : least;
    return (least + ONE) * above_all_totals(readings, used) <= threshold(search) * (SUM_MAX - used);
}

int search_within_budget(Search *search, const Task *tasks, size_t searched, size_t count)
{
    u32 room = 8 * search->kept;
    Candidates all = {.at = malloc(sizeof(u64) * room), .room = room, .kept = search->kept,
                      .step = step_between(tasks, searched)};
    Reading *readings = malloc(sizeof(Reading) * ((size_t)search->terms + 1));
    int failed = !all.at || !readings;
    if (!failed) {
        u32 used = share_out(search, searched, count, readings);
        weigh_impacts(readings, used);
        search->asked = 0;
        failed = sum_up(search, tasks, searched, readings, used, &all) < 0;
        keep_the_best(&all);
        failed = failed || by_block(&all, searched) < 0
            || rescore_candidates(search, tasks, &all) < 0;
        search->proven = !failed && !search->cut && proven(search, &all, readings, used);
    }
    free(all.at);
    free(readings);
    return failed ? -1 : 0;
}
