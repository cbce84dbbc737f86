/* The hot loops of the index. `twin.py` gives the same answers with numpy; `layout.py` describes the
   bytes of a segment. Whatever a segment holds, nothing outside it is read: a damaged one may give
   wrong answers until it is found out, never a crash. */

#ifndef SYNAPSE_KERNEL_H
#define SYNAPSE_KERNEL_H

#define _POSIX_C_SOURCE 200809L /* posix_memalign */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000 /* one build serves every Python from 3.11 on */
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "segments are little-endian; the numpy twin serves other machines"
#endif

/* Wider registers where the machine has them; musl and clang cannot choose when the program runs. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

/* A function that only asks for memory has no effect that the compiler sees: unless it becomes part
   of its caller, it is left out. */
#ifdef __GNUC__
#define FETCHING static inline __attribute__((always_inline))
#else
#define FETCHING static inline
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define ROWS_MAX 65536    /* of a segment: a row is 16 bits wide */
#define HEADER_BYTES 512
#define IMPACT_MAX 255
#define ID_BYTES 32
#define ONE 65536         /* a factor of 1 */
#define WORD_MAX 64       /* analysis.WORD_CHARACTERS_MAX */

enum section {
    FREQUENT_KEYS, FREQUENT_STARTS, FREQUENT_DIRECTORY, LISTS,
    RARE_KEYS, RARE_POSTINGS, RARE_DIRECTORY,
    FORWARD_STARTS, FORWARD,
    IDS, ID_FILTER, ID_STARTS, ID_ROWS,
    CREATED, VERIFIED, PROFILES, POSITIONS,
    SECTIONS
};

/* A segment as the loops see it: where each section begins, how many elements it has, and what
   has changed since it was written. */
typedef struct {
    PyObject_HEAD
    Py_buffer bytes, changes[4];
    u32 rows, profiles;
    u32 oldest_s, newest_s; /* none of its memories was last verified before, or after */
    const u8 *start[SECTIONS];
    u64 count[SECTIONS];
    const u8 *dead;       /* by row, 1 for a removed one; NULL when none is */
    const u32 *verified;  /* by row, seconds */
    const u32 *gone_keys, *gone_counts; /* of the removed rows, by term, ascending */
    u64 gone;
    int bits[2]; /* that the directories of frequent and of rare terms go by */
} Block;

/* Where a block keeps one term's postings. */
typedef struct {
    u32 at;     /* of the list in LISTS, or of the first posting in RARE_POSTINGS */
    u32 n;      /* postings; 0: the block lacks the term */
    u16 rank;   /* in the block's dictionary, for the forward record */
    u8 greatest, rare;
} Place;

/* What `heads` copies: a list for each block, down to a level that all are copied to. */
#define LEVELS 30
#define LEVEL_STEP 8 /* impacts */
#define LEVEL_OF(impact) ((impact) / LEVEL_STEP < LEVELS ? (impact) / LEVEL_STEP : LEVELS - 1)

typedef struct {
    u32 blocks, base, postings, nothing; /* `base`: the level down to which all were copied */
    u64 totals[LEVELS];
} Heads; /* then: where each block's list begins (32 bits); from `base` up, how many postings of each
            block are at that level or above (16 bits); the rows and the impacts of all */

extern PyType_Spec block_spec, words_spec;
extern PyTypeObject *block_type;

int stem(char *letters, int length);
u32 find_key(const Block *block, enum section keys, u32 at, u32 key);
const u32 *directory_entry(const Block *block, enum section directory, u32 key);

const Block **blocks_of(PyObject *tuple);
void fetch_place(const Block *block, const Place *place);

PyObject *kernel_build(PyObject *module, PyObject *args);
PyObject *kernel_unpack(PyObject *module, PyObject *args);
PyObject *kernel_find(PyObject *module, PyObject *args);
PyObject *kernel_locate(PyObject *module, PyObject *args);
PyObject *kernel_heads(PyObject *module, PyObject *args);
PyObject *kernel_search(PyObject *module, PyObject *args);

#define U16(block, section) ((const u16 *)(block)->start[section])
#define U32(block, section) ((const u32 *)(block)->start[section])

/* Whether a list is where its place says. It was when it was looked up; since then the disk may
   have given other bytes. */
static inline int list_fits(const Block *block, const Place *place)
{
    const u16 *list = U16(block, LISTS) + place->at;
    return place->at + (u64)list[1] + 3 + place->n <= block->count[LISTS];
}

#endif
