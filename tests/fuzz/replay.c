/*
 * replay.c - feeds a fuzz target the files of its seed corpus, and small changes of each: every
 * prefix, and each byte replaced. A target's regression test where there is no libFuzzer.
 *
 *   replay-NAME FOLDER...
 */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { SEED_MAX = 1 << 20, CHANGES_MAX = 400 };

/* In memory of its exact size, so that ASan sees a read behind it. */
static void feed(const uint8_t *bytes, size_t size)
{
    _cleanup_free_ uint8_t *exact = xmalloc(size);
    if (size > 0)
        memcpy(exact, bytes, size);
    require(LLVMFuzzerTestOneInput(exact, size) == 0);
}

/* At most CHANGES_MAX places of a seed, evenly spread. */
static size_t stride(size_t size)
{
    return size / CHANGES_MAX + 1;
}

static size_t feed_with_changes(uint8_t *bytes, size_t size)
{
    static const uint8_t flips[] = {0x01, 0x20, 0x80, 0xff};
    size_t count = 1;
    feed(bytes, size);
    for (size_t length = 0; length < size; length += stride(size), count++)
        feed(bytes, length);
    for (size_t at = 0; at < size; at += stride(size)) {
        uint8_t original = bytes[at];
        for (size_t i = 0; i < array_size(flips); i++, count++) {
            bytes[at] = original ^ flips[i];
            feed(bytes, size);
        }
        bytes[at] = 0;
        feed(bytes, size);
        bytes[at] = original;
        count++;
    }
    return count;
}

static size_t replay_file(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISREG(status.st_mode))
        return 0;
    FILE *file = fopen(path, "re");
    if (!file) {
        perror(path);
        exit(1);
    }
    _cleanup_free_ uint8_t *bytes = xmalloc(SEED_MAX);
    size_t size = fread(bytes, 1, SEED_MAX, file);
    fclose(file);
    return feed_with_changes(bytes, size);
}

static size_t replay_folder(const char *path, size_t *files)
{
    DIR *folder = opendir(path);
    if (!folder) {
        perror(path);
        exit(1);
    }
    size_t inputs = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        _cleanup_free_ char *name = xasprintf("%s/%s", path, entry->d_name);
        size_t count = replay_file(name);
        inputs += count;
        *files += count > 0;
    }
    closedir(folder);
    return inputs;
}

int main(int count, char **arguments)
{
    size_t files = 0;
    size_t inputs = 0;
    for (int i = 1; i < count; i++)
        inputs += replay_folder(arguments[i], &files);
    printf("%zu inputs from %zu seeds\n", inputs, files);
    return files > 0 ? 0 : 1;
}
