/* Cutting ASCII text into terms, as `analysis.analyse` does, and packing what a text says.

   What a word stands for is kept in a table of fixed size, each new word in place of another. Text
   that is not ASCII is left to Python. */

#include "kernel.h"

#define SLOTS 65536 /* 2 MiB: the words of running English, many times over */
#define KEPT_MAX 26 /* longer words are rare, and worked out each time */
#define STOP_SLOTS 1024
#define STOP_MAX 12 /* letters of the longest stop word */

typedef struct {
    char word[KEPT_MAX];
    u8 length; /* 0: nothing here */
    u8 stop;
    u32 key;
} Slot;

typedef struct {
    PyObject_HEAD
    Slot *slots;
    char (*stop_words)[STOP_MAX + 1];
} Words;

/* Of one text. Every call has its own: asking Python may let another thread in. */
typedef struct {
    u32 *at;
    size_t count, room;
} Keys;

static u8 lower[256]; /* 0: separates */
static u32 crc_table[256];

static int push(Keys *keys, u32 key)
{
    if (keys->count == keys->room) {
        size_t room = keys->room ? 2 * keys->room : 256;
        u32 *more = realloc(keys->at, room * sizeof(u32));
        if (!more) {
            PyErr_NoMemory();
            return -1;
        }
        keys->at = more;
        keys->room = room;
    }
    keys->at[keys->count++] = key;
    return 0;
}

static u32 hash_of(const char *word, size_t length)
{
    u32 hash = 2166136261u; /* FNV-1a: where to look, not what is found */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (u8)word[i]) * 16777619u;
    return hash ^ hash >> 16;
}

static char *stop_slot(const Words *words, const char *word, size_t length)
{
    u32 at = hash_of(word, length) % STOP_SLOTS;
    while (words->stop_words[at][0] && (memcmp(words->stop_words[at], word, length)
                                        || words->stop_words[at][length]))
        at = (at + 1) % STOP_SLOTS;
    return words->stop_words[at];
}

/* analysis.key: the CRC-32 of the term. */
static u32 key_of(const char *term, size_t length)
{
    u32 crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < length; i++)
        crc = crc_table[(crc ^ (u8)term[i]) & 255] ^ crc >> 8;
    return ~crc;
}

static int push_word(Words *words, Keys *keys, const char *word, size_t length)
{
    Slot *slot = &words->slots[hash_of(word, length) % SLOTS];
    if (slot->length == length && memcmp(slot->word, word, length) == 0)
        return slot->stop ? 0 : push(keys, slot->key);
    int stop = length <= STOP_MAX && stop_slot(words, word, length)[0];
    char term[WORD_MAX];
    size_t size = length;
    int letters = 1;
    memcpy(term, word, length);
    for (size_t i = 0; i < length; i++)
        letters &= word[i] >= 'a';
    if (letters)
        size = (size_t)stem(term, (int)length);
    u32 key = key_of(term, size);
    if (length <= KEPT_MAX) {
        memcpy(slot->word, word, length);
        slot->length = (u8)length;
        slot->stop = (u8)stop;
        slot->key = key;
    }
    return stop ? 0 : push(keys, key);
}

/* The keys of an ASCII text. 1: done, 0: not ASCII, -1: an exception is set. */
static int cut(Words *words, Keys *keys, PyObject *text)
{
    Py_ssize_t size;
    const u8 *at = (const u8 *)PyUnicode_AsUTF8AndSize(text, &size);
    if (!at) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
            return -1;
        PyErr_Clear(); /* a lone surrogate: Python's business */
        return 0;
    }
    if (size != PyUnicode_GetLength(text))
        return 0;
    char word[WORD_MAX];
    size_t length = 0;
    keys->count = 0;
    for (const u8 *end = at + size; at < end; at++) {
        u8 letter = lower[*at];
        if (letter)
            word[length++] = (char)letter;
        if (length && (!letter || length == WORD_MAX)) {
            if (push_word(words, keys, word, length) < 0)
                return -1;
            length = 0;
        }
    }
    if (length && push_word(words, keys, word, length) < 0)
        return -1;
    return 1;
}

/* The keys of any text: ours, or those that `keys_of` finds. */
static int keys_of_any(Words *words, Keys *keys, PyObject *text, PyObject *keys_of)
{
    int done = cut(words, keys, text);
    if (done)
        return done;
    PyObject *found = PyObject_CallFunctionObjArgs(keys_of, text, NULL);
    if (!found)
        return -1;
    Py_buffer view;
    if (PyObject_GetBuffer(found, &view, PyBUF_SIMPLE) < 0) {
        Py_DECREF(found);
        return -1;
    }
    keys->count = 0;
    int failed = 0;
    for (Py_ssize_t i = 0; i < view.len / 4 && !failed; i++)
        failed = push(keys, ((const u32 *)view.buf)[i]) < 0;
    PyBuffer_Release(&view);
    Py_DECREF(found);
    return failed ? -1 : 1;
}

static int compare(const void *a, const void *b)
{
    u32 x = *(const u32 *)a, y = *(const u32 *)b;
    return (x > y) - (x < y);
}

static void sort_keys(u32 *keys, size_t count)
{
    if (count > 96) {
        qsort(keys, count, sizeof(u32), compare);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        u32 key = keys[i];
        size_t j = i;
        for (; j && keys[j - 1] > key; j--)
            keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

/* bm25.impact, to the bit: the same operations on doubles in the same order. */
static u32 impact(size_t count, size_t length, double k1, double b, double reference)
{
    double saturated = (double)count / ((double)count + k1 * (1 - b + b * (double)length / reference));
    double scaled = saturated * IMPACT_MAX;
    u32 below = (u32)scaled;
    double rest = scaled - below;
    u32 rounded = below + (rest > 0.5 || (rest == 0.5 && below % 2));
    return rounded ? rounded : 1;
}

/* pairs(texts, keys_of, k1, b, reference) -> packed postings, row after row. */
static PyObject *words_pairs(PyObject *self, PyObject *args)
{
    Words *words = (Words *)self;
    PyObject *texts, *keys_of;
    double k1, b, reference;
    if (!PyArg_ParseTuple(args, "O!Oddd", &PyList_Type, &texts, &keys_of, &k1, &b, &reference))
        return NULL;
    Py_ssize_t rows = PyList_Size(texts);
    if (rows > ROWS_MAX) {
        PyErr_SetString(PyExc_ValueError, "more rows than a segment holds");
        return NULL;
    }
    Keys keys = {NULL, 0, 0};
    u64 *pairs = NULL;
    size_t count = 0, room = 0;
    for (Py_ssize_t row = 0; row < rows; row++) {
        PyObject *text = PyList_GetItem(texts, row);
        if (!text || !PyUnicode_Check(text)) {
            PyErr_SetString(PyExc_TypeError, "a text must be a str");
            goto fail;
        }
        if (keys_of_any(words, &keys, text, keys_of) < 0)
            goto fail;
        if (count + keys.count > room) {
            room = 2 * (count + keys.count);
            u64 *more = realloc(pairs, room * sizeof(u64));
            if (!more) {
                PyErr_NoMemory();
                goto fail;
            }
            pairs = more;
        }
        sort_keys(keys.at, keys.count);
        for (size_t i = 0, next; i < keys.count; i = next) {
            u32 key = keys.at[i];
            for (next = i + 1; next < keys.count && keys.at[next] == key; next++)
                ;
            u32 weight = impact(next - i, keys.count, k1, b, reference);
            pairs[count++] = (u64)key << 24 | (u64)(IMPACT_MAX - weight) << 16 | (u64)row;
        }
    }
    PyObject *packed = PyBytes_FromStringAndSize((const char *)pairs, (Py_ssize_t)(count * 8));
    free(pairs);
    free(keys.at);
    return packed;
fail:
    free(pairs);
    free(keys.at);
    return NULL;
}

/* keys(text) -> the keys in order, or None when the text is not ASCII. */
static PyObject *words_keys(PyObject *self, PyObject *text)
{
    Words *words = (Words *)self;
    if (!PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "a text must be a str");
        return NULL;
    }
    Keys keys = {NULL, 0, 0};
    PyObject *found = NULL;
    int done = cut(words, &keys, text);
    if (done == 0) {
        Py_INCREF(Py_None);
        found = Py_None;
    }
    if (done > 0)
        found = PyList_New((Py_ssize_t)keys.count);
    for (size_t i = 0; done > 0 && found && i < keys.count; i++)
        if (PyList_SetItem(found, (Py_ssize_t)i, PyLong_FromUnsignedLong(keys.at[i])) < 0)
            Py_CLEAR(found);
    free(keys.at);
    return found;
}

static void fill_tables(void)
{
    for (int letter = '0'; letter <= '9'; letter++)
        lower[letter] = (u8)letter;
    for (int letter = 'a'; letter <= 'z'; letter++)
        lower[letter] = lower[letter - 'a' + 'A'] = (u8)letter;
    for (u32 i = 0; i < 256; i++) {
        u32 crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        crc_table[i] = crc;
    }
}

static int take_stop_words(Words *words, PyObject *tuple)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (count > STOP_SLOTS / 2) {
        PyErr_SetString(PyExc_ValueError, "too many stop words");
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_ssize_t length;
        const char *word = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(tuple, i), &length);
        if (!word)
            return -1;
        if (length > STOP_MAX) {
            PyErr_SetString(PyExc_ValueError, "a stop word is too long");
            return -1;
        }
        memcpy(stop_slot(words, word, (size_t)length), word, (size_t)length);
    }
    return 0;
}

/* Words(stop_words): a tuple of lower-case words. */
static PyObject *words_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *stop_words;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!", &PyTuple_Type, &stop_words))
        return NULL;
    Words *words = (Words *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!words)
        return NULL;
    fill_tables();
    words->slots = calloc(SLOTS, sizeof(Slot));
    words->stop_words = calloc(STOP_SLOTS, STOP_MAX + 1);
    if (!words->slots || !words->stop_words) {
        Py_DECREF(words);
        return PyErr_NoMemory();
    }
    if (take_stop_words(words, stop_words) < 0) {
        Py_DECREF(words);
        return NULL;
    }
    return (PyObject *)words;
}

static void words_dealloc(PyObject *self)
{
    Words *words = (Words *)self;
    PyTypeObject *type = Py_TYPE(self);
    free(words->slots);
    free(words->stop_words);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef words_methods[] = {
    {"pairs", words_pairs, METH_VARARGS, "Packed postings of some texts."},
    {"keys", words_keys, METH_O, "The keys of an ASCII text."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot words_slots[] = {
    {Py_tp_new, words_new},
    {Py_tp_dealloc, words_dealloc},
    {Py_tp_methods, words_methods},
    {Py_tp_doc, "Cuts text into terms, and remembers words."},
    {0, NULL},
};

PyType_Spec words_spec = {
    .name = "synapse.retrieval._kernel.Words",
    .basicsize = sizeof(Words),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = words_slots,
};
