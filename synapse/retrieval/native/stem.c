/* The English stemmer of `stemmer.py`, step by step under the same names. */

#include "kernel.h"

typedef struct {
    char at[WORD_MAX + 4];
    int length;
} Word;

typedef struct {
    const char *suffix, *instead, *after; /* `after`: letters of which one must come before it */
} Rule;

static const Rule EXCEPTIONS[] = {
    {"early", "earli", 0}, {"gently", "gentl", 0}, {"idly", "idl", 0}, {"only", "onli", 0},
    {"singly", "singl", 0}, {"skies", "sky", 0}, {"skis", "ski", 0}, {"ugly", "ugli", 0},
    {"andes", "andes", 0}, {"atlas", "atlas", 0}, {"bias", "bias", 0}, {"cosmos", "cosmos", 0},
    {"howe", "howe", 0}, {"news", "news", 0}, {"sky", "sky", 0}, {0, 0, 0},
};
static const char *const FIRST_REGIONS[] = {
    "arsen", "commun", "emerg", "gener", "inter", "later", "organ", "past", "univers", 0,
};
static const Rule SUFFIX_1A[] = {
    {"sses", "ss", 0}, {"ied", "", 0}, {"ies", "", 0}, {"us", "us", 0}, {"ss", "ss", 0},
    {"s", "", 0}, {0, 0, 0},
};
static const Rule SUFFIX_1B[] = {
    {"eedly", "ee", 0}, {"eed", "ee", 0}, {"edly", "", 0}, {"ed", "", 0}, {"ingly", "", 0},
    {"ing", "", 0}, {0, 0, 0},
};
static const Rule SUFFIX_2[] = {
    {"tional", "tion", 0}, {"enci", "ence", 0}, {"anci", "ance", 0}, {"abli", "able", 0},
    {"entli", "ent", 0}, {"izer", "ize", 0}, {"ization", "ize", 0}, {"ational", "ate", 0},
    {"ation", "ate", 0}, {"ator", "ate", 0}, {"alism", "al", 0}, {"aliti", "al", 0},
    {"alli", "al", 0}, {"fulness", "ful", 0}, {"ousli", "ous", 0}, {"ousness", "ous", 0},
    {"iveness", "ive", 0}, {"iviti", "ive", 0}, {"biliti", "ble", 0}, {"bli", "ble", 0},
    {"ogist", "og", 0}, {"fulli", "ful", 0}, {"lessli", "less", 0}, {"ogi", "og", "l"},
    {"li", "", "cdeghkmnrt"}, {0, 0, 0},
};
static const Rule SUFFIX_3[] = {
    {"tional", "tion", 0}, {"ational", "ate", 0}, {"alize", "al", 0}, {"icate", "ic", 0},
    {"iciti", "ic", 0}, {"ical", "ic", 0}, {"ful", "", 0}, {"ness", "", 0}, {"ative", "", 0},
    {0, 0, 0},
};
static const Rule SUFFIX_4[] = {
    {"al", "", 0}, {"ance", "", 0}, {"ence", "", 0}, {"er", "", 0}, {"ic", "", 0},
    {"able", "", 0}, {"ible", "", 0}, {"ant", "", 0}, {"ement", "", 0}, {"ment", "", 0},
    {"ent", "", 0}, {"ism", "", 0}, {"ate", "", 0}, {"iti", "", 0}, {"ous", "", 0},
    {"ive", "", 0}, {"ize", "", 0}, {"ion", "", "st"}, {0, 0, 0},
};

static int among(char letter, const char *letters) { return letter && strchr(letters, letter); }

static int vowel(char letter) { return among(letter, "aeiouy"); }

static int is(const Word *word, int length, const char *text)
{
    return (int)strlen(text) == length && memcmp(word->at, text, (size_t)length) == 0;
}

static int ends(const Word *word, int length, const char *suffix)
{
    int size = (int)strlen(suffix);
    return size <= length && memcmp(word->at + length - size, suffix, (size_t)size) == 0;
}

static int has_vowel(const Word *word, int length)
{
    for (int i = 0; i < length; i++)
        if (vowel(word->at[i]))
            return 1;
    return 0;
}

/* Where the region begins that follows the first consonant after a vowel, from `start` on. */
static int region(const Word *word, int start)
{
    for (int i = start; i + 1 < word->length; i++)
        if (vowel(word->at[i]) && !vowel(word->at[i + 1]))
            return i + 2;
    return word->length;
}

static int short_syllable(const Word *word, int length)
{
    const char *end = word->at + length;
    if (length >= 3 && !vowel(end[-3]) && vowel(end[-2]) && !vowel(end[-1])
        && !among(end[-1], "wxY"))
        return 1;
    if (length == 2 && vowel(end[-2]) && !vowel(end[-1]))
        return 1;
    return ends(word, length, "past");
}

/* The longest suffix that applies, and where it starts. */
static const Rule *longest(const Word *word, const Rule *rules, int *start)
{
    const Rule *found = NULL;
    for (; rules->suffix; rules++) {
        int at = word->length - (int)strlen(rules->suffix);
        if (ends(word, word->length, rules->suffix) && (!found || at < *start)
            && (!rules->after || (at > 0 && among(word->at[at - 1], rules->after)))) {
            found = rules;
            *start = at;
        }
    }
    return found;
}

static void put(Word *word, int at, const char *text)
{
    size_t size = strlen(text);
    memcpy(word->at + at, text, size);
    word->length = at + (int)size;
}

static void step_1a(Word *word)
{
    int start = 0;
    const Rule *rule = longest(word, SUFFIX_1A, &start);
    if (!rule)
        return;
    if (rule->suffix[0] == 'i')
        word->length -= word->length > 4 ? 2 : 1;
    else if (rule->suffix[1] != 0)
        put(word, start, rule->instead);
    else if (has_vowel(word, word->length - 2))
        word->length--;
}

static int stays(const Word *word, int length)
{
    static const char *const WORDS[] = {"cann", "earr", "even", "herr", "inn", "out", 0};
    for (int i = 0; WORDS[i]; i++)
        if (is(word, length, WORDS[i]))
            return 1;
    return 0;
}

static int doubled(const Word *word, int length)
{
    const char *end = word->at + length;
    if (length < 2 || end[-1] != end[-2] || !among(end[-1], "bdfgmnprt"))
        return 0;
    return !(length == 3 && among(end[-3], "aeo"));
}

static void step_1b(Word *word, int r1)
{
    int rest = 0;
    const Rule *rule = longest(word, SUFFIX_1B, &rest);
    if (!rule)
        return;
    if (rule->instead[0]) {
        if (rest >= r1 && !is(word, rest, "exc") && !is(word, rest, "proc")
            && !is(word, rest, "succ"))
            put(word, rest, rule->instead);
        return;
    }
    int ing = strcmp(rule->suffix, "ing") == 0;
    if (ing && rest == 2 && !vowel(word->at[0]) && word->at[1] == 'y') {
        put(word, 1, "ie");
        return;
    }
    if (!has_vowel(word, rest) || (ing && stays(word, rest)))
        return;
    word->length = rest;
    if (ends(word, rest, "at") || ends(word, rest, "bl") || ends(word, rest, "iz"))
        put(word, rest, "e");
    else if (doubled(word, rest))
        word->length--;
    else if (rest == r1 && short_syllable(word, rest))
        put(word, rest, "e");
}

static void steps_2_to_4(Word *word, int r1, int r2)
{
    int start = 0;
    const Rule *rule = longest(word, SUFFIX_2, &start);
    if (rule && start >= r1)
        put(word, start, rule->instead);
    rule = longest(word, SUFFIX_3, &start);
    if (rule && start >= (strcmp(rule->suffix, "ative") == 0 ? r2 : r1))
        put(word, start, rule->instead);
    rule = longest(word, SUFFIX_4, &start);
    if (rule && start >= r2)
        word->length = start;
}

static void step_5(Word *word, int r1, int r2)
{
    int last = word->length - 1;
    if (ends(word, word->length, "e")) {
        if (last >= r2 || (last >= r1 && !short_syllable(word, last)))
            word->length = last;
    } else if (ends(word, word->length, "ll") && last >= r2)
        word->length = last;
}

/* Stems a word of `length` lower-case letters in place; the new length. */
int stem(char *letters, int length)
{
    Word word = {.length = length};
    if (length <= 2)
        return length;
    memcpy(word.at, letters, (size_t)length);
    for (const Rule *rule = EXCEPTIONS; rule->suffix; rule++)
        if (is(&word, length, rule->suffix)) {
            put(&word, 0, rule->instead);
            memcpy(letters, word.at, (size_t)word.length);
            return word.length;
        }
    int i = letters[0] == 'y';
    if (i)
        word.at[0] = 'Y';
    for (; i + 1 < length; i++)
        if (vowel(letters[i]) && letters[i + 1] == 'y')
            word.at[++i] = 'Y';
    int r1 = -1;
    for (int j = 0; FIRST_REGIONS[j]; j++) {
        int size = (int)strlen(FIRST_REGIONS[j]);
        if (size <= length && memcmp(word.at, FIRST_REGIONS[j], (size_t)size) == 0)
            r1 = size;
    }
    if (r1 < 0)
        r1 = region(&word, 0);
    int r2 = region(&word, r1);
    step_1a(&word);
    step_1b(&word, r1);
    if (word.length > 2 && among(word.at[word.length - 1], "yY")
        && !vowel(word.at[word.length - 2]))
        word.at[word.length - 1] = 'i';
    steps_2_to_4(&word, r1, r2);
    step_5(&word, r1, r2);
    for (i = 0; i < word.length; i++)
        letters[i] = word.at[i] == 'Y' ? 'y' : word.at[i];
    return word.length;
}
