#include "move/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"

enum {
    BLOCK_SIZE = 64 << 10,
    BLOCKS_MAX = 256,
    TRANSACTIONS_MAX = 10000,
    FILES_MAX = 200, /* descriptors are the whole process's */
    SUBTRANSACTIONS_MAX = 8 << 20,
    FIRST_ROOM = 64,
};

/* Where its first change is: they are in the order of these. */
struct subtransaction {
    uint64_t at;
    uint32_t xid;
    uint32_t newest; /* of this one and those in front */
};

/* In front of the bytes of a change. */
struct head {
    uint32_t length, sub_xid;
};

/* Those that were added first are in the file. */
struct transaction {
    struct list node;
    uint32_t xid;
    int file;         /* -1: none yet */
    uint64_t written; /* bytes in the file; what it has behind them counts for nothing */
    char *block;      /* what follows; NULL: nothing does */
    size_t used;
    struct subtransaction *subs;
    size_t sub_count, sub_room;
};

struct spool {
    const char *directory;
    uint64_t limit, size;
    struct list transactions; /* the one that was begun last is the last */
    size_t count, blocks, files, subs;
    struct { /* the one that is replayed; it is in no list */
        struct transaction *transaction;
        uint64_t at;
        char *window; /* a part of it */
        uint64_t window_at;
        size_t window_length, window_room;
    } replay;
};

const char *spool_directory(void)
{
    const char *told = secure_getenv("TMPDIR");
    if (told && *told == '/')
        return told;
    return access("/var/tmp", W_OK | X_OK) == 0 ? "/var/tmp" : "/tmp";
}

bool spool_is_possible(void)
{
    return access(spool_directory(), W_OK | X_OK) == 0;
}

struct spool *spool_new(const char *directory, uint64_t limit)
{
    struct spool *spool = xcalloc(1, sizeof(*spool));
    spool->directory = directory;
    spool->limit = limit;
    list_init(&spool->transactions);
    return spool;
}

static uint64_t size_of(const struct transaction *transaction)
{
    return transaction->written + transaction->used;
}

static void drop_block(struct spool *spool, struct transaction *transaction)
{
    spool->blocks -= transaction->block != NULL;
    free(take_pointer(transaction->block));
    transaction->used = 0;
}

static void drop(struct spool *spool, struct transaction *transaction)
{
    spool->size -= size_of(transaction);
    spool->subs -= transaction->sub_count;
    spool->count--;
    drop_block(spool, transaction);
    list_remove(&transaction->node);
    if (transaction->file >= 0) {
        close(transaction->file);
        spool->files--;
    }
    free(transaction->subs);
    free(transaction);
}

static void end_replay(struct spool *spool)
{
    if (spool->replay.transaction)
        drop(spool, spool->replay.transaction);
    free(spool->replay.window);
    memset(&spool->replay, 0, sizeof(spool->replay));
}

struct spool *spool_free(struct spool *spool)
{
    if (!spool)
        return NULL;
    end_replay(spool);
    list_for_each_safe (node, &spool->transactions)
        drop(spool, list_entry(node, struct transaction, node));
    free(spool);
    return NULL;
}

uint64_t spool_size(const struct spool *spool)
{
    return spool->size;
}

/* From the end, where the one is whose piece it is. */
static struct transaction *find(struct spool *spool, uint32_t xid)
{
    struct list *head = &spool->transactions;
    for (struct list *node = head->previous; node != head; node = node->previous) {
        struct transaction *transaction = list_entry(node, struct transaction, node);
        if (transaction->xid == xid)
            return transaction;
    }
    return NULL;
}

int spool_begin(struct spool *spool, uint32_t xid, bool first, struct error *err)
{
    struct transaction *transaction = find(spool, xid);
    if ((transaction != NULL) == first)
        return error_set(err, ERROR_PROTOCOL,
                         "the stream tells of a large transaction out of its turn");
    if (first && spool->count >= TRANSACTIONS_MAX)
        return error_set(err, ERROR_LIMIT, "there are more than %d large transactions at once",
                         TRANSACTIONS_MAX);
    if (first) {
        transaction = xcalloc(1, sizeof(*transaction));
        list_init(&transaction->node);
        transaction->xid = xid;
        transaction->file = -1;
        spool->count++;
    }
    list_remove(&transaction->node);
    list_append(&spool->transactions, &transaction->node);
    return 0;
}

/* ---- writing ---- */

static int file_error(const struct spool *spool, int error_number, struct error *err)
{
    (void)error_errno(err, error_number,
                      "what large transactions have written cannot be kept in %s",
                      spool->directory);
    error_hint(err, "make room there, or set TMPDIR to a directory that has more");
    return -ERROR_IO;
}

static int open_file(struct spool *spool, struct transaction *transaction, struct error *err)
{
    if (spool->files >= FILES_MAX)
        return error_set(err, ERROR_LIMIT, "more than %d large transactions have files at once",
                         FILES_MAX);
    int file = open(spool->directory, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) { /* not on every file system */
        _cleanup_free_ char *name = xmalloc(strlen(spool->directory) + sizeof("/reeve-XXXXXX"));
        stpcpy(stpcpy(name, spool->directory), "/reeve-XXXXXX");
        file = mkostemp(name, O_CLOEXEC);
        if (file >= 0)
            (void)unlink(name);
    }
    if (file < 0)
        return file_error(spool, errno, err);
    transaction->file = file;
    spool->files++;
    return 0;
}

/* What was written in part counts for nothing. */
static int write_bytes(struct spool *spool, struct transaction *transaction, uint64_t at,
                       const char *bytes, size_t length, struct error *err)
{
    int r = transaction->file < 0 ? open_file(spool, transaction, err) : 0;
    while (r == 0 && length > 0) {
        ssize_t done = pwrite(transaction->file, bytes, length, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return file_error(spool, done < 0 ? errno : ENOSPC, err);
        bytes += done;
        at += (uint64_t)done;
        length -= (size_t)done;
    }
    return r;
}

/* The block into the file. */
static int write_block(struct spool *spool, struct transaction *transaction, struct error *err)
{
    if (transaction->used == 0)
        return 0;
    int r = write_bytes(spool, transaction, transaction->written, transaction->block,
                        transaction->used, err);
    if (r < 0)
        return r;
    transaction->written += transaction->used;
    transaction->used = 0;
    return 0;
}

/* There are so many blocks: one that was not begun lately goes into its file. */
static int take_away_a_block(struct spool *spool, struct error *err)
{
    list_for_each (node, &spool->transactions) {
        struct transaction *transaction = list_entry(node, struct transaction, node);
        if (!transaction->block)
            continue;
        int r = write_block(spool, transaction, err);
        if (r == 0)
            drop_block(spool, transaction);
        return r;
    }
    return 0;
}

static int get_block(struct spool *spool, struct transaction *transaction, struct error *err)
{
    int r = 0;
    if (transaction->block)
        return 0;
    if (spool->blocks >= BLOCKS_MAX)
        r = take_away_a_block(spool, err);
    if (r < 0)
        return r;
    transaction->block = xmalloc(BLOCK_SIZE);
    spool->blocks++;
    return 0;
}

static int write_change(struct spool *spool, struct transaction *transaction, uint32_t sub_xid,
                        struct str change, struct error *err)
{
    struct head head = {.length = (uint32_t)change.length, .sub_xid = sub_xid};
    size_t size = sizeof(head) + change.length;
    int r = get_block(spool, transaction, err);
    if (r == 0 && transaction->used + size > BLOCK_SIZE)
        r = write_block(spool, transaction, err);
    if (r < 0)
        return r;
    if (size <= BLOCK_SIZE) {
        memcpy(transaction->block + transaction->used, &head, sizeof(head));
        if (change.length > 0)
            memcpy(transaction->block + transaction->used + sizeof(head), change.data,
                   change.length);
        transaction->used += size;
        return 0;
    }
    uint64_t at = transaction->written;
    r = write_bytes(spool, transaction, at, (const char *)&head, sizeof(head), err);
    if (r == 0)
        r = write_bytes(spool, transaction, at + sizeof(head), change.data, change.length, err);
    if (r == 0)
        transaction->written += size;
    return r;
}

/* ---- subtransactions ---- */

static bool is_older(uint32_t a, uint32_t b) /* numbers begin anew at 2^32 */
{
    return (int32_t)(a - b) < 0;
}

/* The index; sub_count: it is not there. */
static size_t find_sub(const struct transaction *transaction, uint32_t xid)
{
    size_t count = transaction->sub_count;
    if (count == 0 || is_older(transaction->subs[count - 1].newest, xid))
        return count;
    for (size_t i = count; i-- > 0;)
        if (transaction->subs[i].xid == xid)
            return i;
    return count;
}

/*
 * Of one that writes. An older one behind its first change would be one that it is within, and
 * that has gone on: then this one had ended, and would not write. So little is looked at, also
 * where there are a million of them.
 */
static bool has_sub(const struct transaction *transaction, uint32_t xid)
{
    size_t count = transaction->sub_count;
    if (count == 0 || is_older(transaction->subs[count - 1].newest, xid))
        return false;
    for (size_t i = count; i-- > 0 && !is_older(transaction->subs[i].xid, xid);)
        if (transaction->subs[i].xid == xid)
            return true;
    return false;
}

static void forget_subs(struct spool *spool, struct transaction *transaction, size_t from)
{
    spool->subs -= transaction->sub_count - from;
    transaction->sub_count = from;
}

static int add_sub(struct spool *spool, struct transaction *transaction, uint32_t xid,
                   struct error *err)
{
    size_t count = transaction->sub_count;
    if (spool->subs >= SUBTRANSACTIONS_MAX)
        return error_set(err, ERROR_LIMIT,
                         "large transactions have more than %d subtransactions at once",
                         SUBTRANSACTIONS_MAX);
    if (count == transaction->sub_room) {
        transaction->sub_room = count ? 2 * count : FIRST_ROOM;
        transaction->subs =
            xrealloc(transaction->subs, transaction->sub_room * sizeof(*transaction->subs));
    }
    uint32_t newest = count ? transaction->subs[count - 1].newest : xid;
    transaction->subs[count] = (struct subtransaction){
        .at = size_of(transaction), .xid = xid, .newest = is_older(newest, xid) ? xid : newest};
    transaction->sub_count++;
    spool->subs++;
    return 0;
}

/* The disk has the room again now; where the file cannot be made shorter, it is overwritten. */
static void cut_off(struct spool *spool, struct transaction *transaction, uint64_t at)
{
    spool->size -= size_of(transaction) - at;
    if (at >= transaction->written) {
        transaction->used = (size_t)(at - transaction->written);
        return;
    }
    transaction->used = 0;
    transaction->written = at;
    if (transaction->file >= 0 && ftruncate(transaction->file, (off_t)at) < 0)
        return;
}

/* ---- what comes ---- */

int spool_add(struct spool *spool, uint32_t xid, uint32_t sub_xid, struct str change,
              struct error *err)
{
    struct transaction *transaction = find(spool, xid);
    if (!transaction)
        return error_set(err, ERROR_PROTOCOL, "a change of a transaction that was not begun");
    size_t size = sizeof(struct head) + change.length;
    if (change.length > UINT32_MAX || size > spool->limit || spool->size > spool->limit - size)
        return error_set(err, ERROR_LIMIT,
                         "large transactions that are open have written more than %llu MB",
                         (unsigned long long)(spool->limit >> 20));
    int r = sub_xid == xid || has_sub(transaction, sub_xid)
                ? 0
                : add_sub(spool, transaction, sub_xid, err);
    if (r == 0)
        r = write_change(spool, transaction, sub_xid, change, err);
    if (r == 0)
        spool->size += size;
    return r;
}

void spool_abort(struct spool *spool, uint32_t xid, uint32_t sub_xid)
{
    struct transaction *transaction = find(spool, xid);
    if (!transaction)
        return;
    if (sub_xid == xid) {
        drop(spool, transaction);
        return;
    }
    size_t found = find_sub(transaction, sub_xid);
    if (found == transaction->sub_count)
        return;
    cut_off(spool, transaction, transaction->subs[found].at);
    forget_subs(spool, transaction, found);
}

/* ---- replaying ---- */

int spool_replay(struct spool *spool, uint32_t xid, struct error *err)
{
    struct transaction *transaction = find(spool, xid);
    if (!transaction || spool->replay.transaction)
        return error_set(err, ERROR_PROTOCOL,
                         "the stream tells that a transaction has committed of which it has not "
                         "told before");
    list_remove(&transaction->node);
    spool->replay.transaction = transaction;
    return 0;
}

static int read_bytes(const struct spool *spool, const struct transaction *transaction, uint64_t at,
                      char *bytes, size_t length, struct error *err)
{
    while (length > 0 && at < transaction->written) {
        uint64_t left = transaction->written - at;
        ssize_t done =
            pread(transaction->file, bytes, left < length ? (size_t)left : length, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return file_error(spool, done < 0 ? errno : EIO, err);
        bytes += done;
        at += (uint64_t)done;
        length -= (size_t)done;
    }
    if (length > 0)
        memcpy(bytes, transaction->block + (at - transaction->written), length);
    return 0;
}

/* So many bytes of it from where the replay is; fewer than it has are the disk's fault. */
static int look_at(struct spool *spool, size_t length, char **ret, struct error *err)
{
    const struct transaction *transaction = spool->replay.transaction;
    uint64_t at = spool->replay.at, left = size_of(transaction) - at;
    uint64_t skip = at - spool->replay.window_at;
    if (length > left)
        return file_error(spool, EIO, err);
    if (skip + length > spool->replay.window_length) {
        size_t wanted = length > BLOCK_SIZE ? length : BLOCK_SIZE;
        if (wanted > left)
            wanted = (size_t)left;
        if (wanted > spool->replay.window_room) {
            free(spool->replay.window);
            spool->replay.window = xmalloc(wanted);
            spool->replay.window_room = wanted;
        }
        spool->replay.window_length = 0;
        int r = read_bytes(spool, transaction, at, spool->replay.window, wanted, err);
        if (r < 0)
            return r;
        spool->replay.window_at = at;
        spool->replay.window_length = wanted;
        skip = 0;
    }
    *ret = spool->replay.window + skip;
    return 0;
}

size_t spool_sub_count(const struct spool *spool)
{
    return spool->replay.transaction ? spool->replay.transaction->sub_count : 0;
}

uint32_t spool_sub(const struct spool *spool, size_t i)
{
    return spool->replay.transaction->subs[i].xid;
}

int spool_next(struct spool *spool, struct spool_change *ret, struct error *err)
{
    const struct transaction *transaction = spool->replay.transaction;
    char *bytes = NULL;
    struct head head = {0};
    if (!transaction || spool->replay.at == size_of(transaction)) {
        end_replay(spool);
        return 0;
    }
    int r = look_at(spool, sizeof(head), &bytes, err);
    if (r < 0)
        return r;
    memcpy(&head, bytes, sizeof(head));
    r = look_at(spool, sizeof(head) + head.length, &bytes, err);
    if (r < 0)
        return r;
    spool->replay.at += sizeof(head) + head.length;
    *ret = (struct spool_change){bytes + sizeof(head), head.length, head.sub_xid};
    return 1;
}
