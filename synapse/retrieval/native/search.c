/* The function that Python calls: what is asked, and what was found. */

#include "search.h"

/* One for each thread, and kept: its exact sums are all zero between two searches. */
static _Thread_local Search *kept_search;

static int run(Search *search, Task *tasks, size_t searched, size_t count)
{
    u64 cost = searched == count ? search->holders : 0;
    for (size_t i = 0; i < searched && searched < count; i++)
        for (u32 t = 0; t < search->terms; t++)
            cost += place_of(search, &tasks[i], t)->n;
    int bounded = search->budget && search->heads && count <= TASKS_MAX;
    search->cut = bounded && cost > search->budget;
    if (search->cut || (bounded && searched && all_copied(search))) {
        int failed = search_within_budget(search, tasks, searched, count);
        if (failed || search->cut || search->proven)
            return failed;
        search->found = search->ranked = 0;
        search->read = search->rescored = search->blocks = 0;
    }
    return search_exactly(search, tasks, searched);
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
        PyObject *hit = Py_BuildValue("(y#III)", entry->id, (Py_ssize_t)ID_BYTES, entry->total,
                                      entry->factor, *entry->position);
        if (!hit || PyList_SetItem(hits, i, hit) < 0)
            Py_CLEAR(hits);
    }
    if (!hits)
        return NULL;
    return Py_BuildValue("(N(KKKO))", hits, search->read, search->rescored, search->blocks,
                         search->cut ? Py_True : Py_False);
}

/* What each block's profiles are worth: one number for all, or (factors, the greatest). */
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
        Task task = {.block = blocks[i], .greatest_factor = ONE, .number = (u32)i, .part = part,
                     .nth = (u32)i - first};
        PyObject *each = factors == Py_None ? NULL : PyTuple_GetItem(factors, (Py_ssize_t)i);
        if (each && PyLong_Check(each)) {
            unsigned long factor = PyLong_AsUnsignedLong(each);
            if (factor > ONE) {
                if (!PyErr_Occurred())
                    PyErr_SetString(PyExc_ValueError, "a factor is at most 1");
                return -1;
            }
            task.greatest_factor = (u32)factor;
        } else if (each) {
            if (!PyArg_ParseTuple(each, "y*I", &views[i], &task.greatest_factor))
                return -1;
            if ((u64)views[i].len != 4 * (u64)blocks[i]->profiles) {
                PyErr_SetString(PyExc_ValueError, "one factor for each profile is needed");
                return -1;
            }
            task.factors = views[i].buf;
        }
        take_decay(search, &task);
        if (task.greatest_factor && blocks[i]->rows)
            tasks[(*taken)++] = task;
    }
    return 0;
}

typedef struct {
    PyObject *blocks, *located, *heads, *decay, *factors;
    Py_buffer weights, decay_view;
    u32 limit, now_s, step_s, since_s, until_s, kept;
    u64 floor, budget, reading;
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
    search->reading = given->reading;
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
          budget, reading, kept)
   -> ([(id, total, factor, position)], (postings read, rows rescored, blocks searched, cut)) */
PyObject *kernel_search(PyObject *module, PyObject *args)
{
    Arguments given;
    PyObject *answer = NULL;
    memset(&given, 0, sizeof given);
    (void)module;
    if (!PyArg_ParseTuple(args, "O!O!Oy*IKOIIIIOKKI", &PyTuple_Type, &given.blocks, &PyTuple_Type,
                          &given.located, &given.heads, &given.weights, &given.limit, &given.floor, &given.decay,
                          &given.now_s, &given.step_s, &given.since_s, &given.until_s,
                          &given.factors, &given.budget, &given.reading, &given.kept))
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
