/* The module, and the view of a segment that everything else works on. */

#include "kernel.h"

PyTypeObject *block_type;

static const u8 WIDTH[SECTIONS] = {4, 4, 4, 2, 4, 4, 4, 4, 3, ID_BYTES, 8, 4, 2, 4, 4, 2, 4};

static int bits_of(u64 entries)
{
    int bits = 0;
    while (bits < 31 && ((u64)1 << (bits + 1)) + 1 <= entries)
        bits++;
    return bits;
}

/* Where to begin looking for a key, going by its leading bits. */
const u32 *directory_entry(const Block *block, enum section directory, u32 key)
{
    return U32(block, directory) + (key >> (32 - block->bits[directory == RARE_DIRECTORY]));
}

/* The index of a key from `at` on; UINT32_MAX when it is not there. */
u32 find_key(const Block *block, enum section keys, u32 at, u32 key)
{
    const u32 *sorted = U32(block, keys);
    u32 count = (u32)block->count[keys];
    while (at < count && sorted[at] < key)
        at++;
    return at < count && sorted[at] == key ? at : UINT32_MAX;
}

static int read_sections(Block *block)
{
    const u8 *base = block->bytes.buf;
    u64 size = (u64)block->bytes.len;
    if (size < HEADER_BYTES)
        return -1;
    memcpy(&block->rows, base + 16, 4);
    memcpy(&block->profiles, base + 28, 4);
    memcpy(&block->newest_s, base + 32, 4);
    memcpy(&block->oldest_s, base + 36, 4); /* when the first was made */
    for (int i = 0; i < SECTIONS; i++) {
        u64 offset, length;
        memcpy(&offset, base + 48 + 24 * i + 8, 8);
        memcpy(&length, base + 48 + 24 * i + 16, 8);
        if (offset > size || length > size - offset || length % WIDTH[i] || offset % 8)
            return -1;
        block->start[i] = base + offset;
        block->count[i] = length / WIDTH[i];
        if (block->count[i] > UINT32_MAX)
            return -1;
    }
    const u64 *count = block->count;
    u64 rows = block->rows;
    int whole = rows <= ROWS_MAX && count[FREQUENT_KEYS] <= ROWS_MAX
        && count[FREQUENT_STARTS] == count[FREQUENT_KEYS] && count[FREQUENT_DIRECTORY] >= 3
        && count[RARE_POSTINGS] == count[RARE_KEYS] && count[RARE_DIRECTORY] >= 3
        && count[FORWARD_STARTS] == rows + 1 && count[IDS] == rows && count[ID_ROWS] == rows
        && count[ID_FILTER] >= 1 && count[ID_STARTS] >= 2 && count[CREATED] == rows
        && (count[VERIFIED] == rows || count[VERIFIED] == 0)
        && (count[PROFILES] == rows || count[PROFILES] == 0) && count[POSITIONS] == rows;
    block->bits[0] = bits_of(count[FREQUENT_DIRECTORY]);
    block->bits[1] = bits_of(count[RARE_DIRECTORY]);
    return whole ? 0 : -1;
}

static void block_dealloc(PyObject *self)
{
    Block *block = (Block *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (block->bytes.obj)
        PyBuffer_Release(&block->bytes);
    for (int i = 0; i < 4; i++)
        if (block->changes[i].obj)
            PyBuffer_Release(&block->changes[i]);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* Block(segment, dead, verified, gone_keys, gone_counts): the last four are buffers or None. */
static PyObject *block_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *segment, *changes[4];
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OOOOO", &segment, &changes[0], &changes[1], &changes[2],
                          &changes[3]))
        return NULL;
    Block *block = (Block *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!block)
        return NULL;
    if (PyObject_GetBuffer(segment, &block->bytes, PyBUF_SIMPLE) < 0)
        goto fail;
    for (int i = 0; i < 4; i++)
        if (changes[i] != Py_None
            && PyObject_GetBuffer(changes[i], &block->changes[i], PyBUF_SIMPLE) < 0)
            goto fail;
    if (read_sections(block) < 0) {
        PyErr_SetString(PyExc_ValueError, "the sections of this segment do not fit together");
        goto fail;
    }
    u64 rows = block->rows;
    const u64 wanted[4] = {rows, 4 * rows, (u64)block->changes[3].len, (u64)block->changes[2].len};
    for (int i = 0; i < 4; i++)
        if (block->changes[i].obj && (u64)block->changes[i].len != wanted[i]) {
            PyErr_SetString(PyExc_ValueError, "these changes are not those of this segment");
            goto fail;
        }
    block->dead = block->changes[0].obj ? block->changes[0].buf : NULL;
    block->verified = block->changes[1].obj ? block->changes[1].buf
        : block->count[VERIFIED] ? U32(block, VERIFIED) : U32(block, CREATED);
    for (u64 row = 0; block->changes[1].obj && row < rows; row++)
        if (block->verified[row] > block->newest_s)
            block->newest_s = block->verified[row];
    block->gone_keys = block->changes[2].buf;
    block->gone_counts = block->changes[3].buf;
    block->gone = (u64)block->changes[2].len / 4;
    return (PyObject *)block;
fail:
    Py_DECREF(block);
    return NULL;
}

static PyType_Slot block_slots[] = {
    {Py_tp_new, block_new},
    {Py_tp_dealloc, block_dealloc},
    {Py_tp_doc, "A segment and what has changed since it was written."},
    {0, NULL},
};

PyType_Spec block_spec = {
    .name = "synapse.retrieval._kernel.Block",
    .basicsize = sizeof(Block),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = block_slots,
};

static PyMethodDef methods[] = {
    {"build", kernel_build, METH_VARARGS, "The posting sections of packed postings."},
    {"unpack", kernel_unpack, METH_VARARGS, "The packed postings of a segment, rows renumbered."},
    {"find", kernel_find, METH_VARARGS, "Where each id is."},
    {"locate", kernel_locate, METH_VARARGS, "Where each term's postings are, and its holders."},
    {"heads", kernel_heads, METH_VARARGS, "The greatest impacts of a term, side by side."},
    {"search", kernel_search, METH_VARARGS, "The best rows."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_kernel", "The hot loops of the index.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kernel(void)
{
    PyObject *made = PyModule_Create(&module);
    if (!made)
        return NULL;
    PyObject *words = PyType_FromSpec(&words_spec);
    block_type = (PyTypeObject *)PyType_FromSpec(&block_spec);
    if (!words || !block_type || PyModule_AddObjectRef(made, "Block", (PyObject *)block_type) < 0
        || PyModule_AddObjectRef(made, "Words", words) < 0) {
        Py_XDECREF(words);
        Py_DECREF(made);
        return NULL;
    }
    Py_DECREF(words);
    return made;
}
