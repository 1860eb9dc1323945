/*
 * uring_probe.c - whether io_uring can be used here, found out by using it.
 *
 * A container may refuse the calls, a kernel may be too old for one of the requests (receiving that
 * goes on needs 6.0), and neither can be told from a version or a list of features alone.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/uring.h"

enum {
    ENTRIES = 8,
    COMPLETIONS = 16,
    GROUP_SIZE = 2,
    BUFFER_SIZE = 64,
    WAIT_S = 5,
    MUCH = 64 * 1024, /* more than a small socket buffer takes */
};

int uring_make_ring(struct io_uring *ring, unsigned entries, unsigned completions)
{
    /* It is enabled by the thread that will use it, which need not be the one that makes it. */
    const unsigned common = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL |
                            IORING_SETUP_R_DISABLED;
    const unsigned flags[] = {
        /* The kernel's part of a completion is done when we wait, all at once: 6.1. */
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        /* When we are in the kernel anyway. */
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    };
    int result = 0;
    for (size_t i = 0; i < array_size(flags); i++) {
        struct io_uring_params parameters = {.flags = common | flags[i], .cq_entries = completions};
        result = io_uring_queue_init_params(entries, ring, &parameters);
        if (result != -EINVAL)
            break;
    }
    const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
    if (result == 0 && (ring->features & needed) != needed) {
        io_uring_queue_exit(ring);
        result = -EOPNOTSUPP;
    }
    return result;
}

/* liburing 2.3 declares io_uring_enable_rings, and does not export it. */
int uring_enable_ring(const struct io_uring *ring)
{
    long result =
        syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return result < 0 ? -errno : 0;
}

void uring_prepare_receive(struct io_uring_sqe *sqe, int fd)
{
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = URING_BUFFER_GROUP;
}

void uring_prepare_send(struct io_uring_sqe *sqe, int fd, const void *bytes, size_t length)
{
    io_uring_prep_send(sqe, fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

enum request { RECEIVE = 1, SEND = 2 };

struct probe {
    pthread_t thread;
    int result;
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    const char *much;
    int fds[2];
    char buffers[GROUP_SIZE][BUFFER_SIZE];
};

static int share_buffers(struct probe *probe)
{
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)probe->buffer_ring,
                                            .ring_entries = GROUP_SIZE,
                                            .bgid = URING_BUFFER_GROUP};
    int result = io_uring_register_buf_ring(&probe->ring, &registration, 0);
    if (result < 0)
        return result;
    io_uring_buf_ring_init(probe->buffer_ring);
    for (int i = 0; i < GROUP_SIZE; i++)
        io_uring_buf_ring_add(probe->buffer_ring, probe->buffers[i], BUFFER_SIZE, (unsigned short)i,
                              io_uring_buf_ring_mask(GROUP_SIZE), i);
    io_uring_buf_ring_advance(probe->buffer_ring, GROUP_SIZE);
    return 0;
}

/* Submits what was prepared, and takes the completion of the request that is `expected`. */
static int complete(struct probe *probe, enum request expected, struct io_uring_cqe *ret)
{
    struct __kernel_timespec wait = {.tv_sec = WAIT_S};
    struct io_uring_cqe *cqe = NULL;
    int result = io_uring_submit_and_wait_timeout(&probe->ring, &cqe, 1, &wait, NULL);
    if (result < 0)
        return result;
    if (!cqe || cqe->user_data != expected)
        return -EOPNOTSUPP;
    *ret = *cqe;
    io_uring_cqe_seen(&probe->ring, cqe);
    return ret->res < 0 ? ret->res : 0;
}

/* A byte sent without a completion comes back, with the promise of more. */
static int use_receive(struct probe *probe)
{
    struct io_uring_cqe cqe;
    struct io_uring_sqe *receive = io_uring_get_sqe(&probe->ring);
    struct io_uring_sqe *send = io_uring_get_sqe(&probe->ring);
    uring_prepare_receive(receive, probe->fds[0]);
    receive->user_data = RECEIVE;
    uring_prepare_send(send, probe->fds[1], probe->much, 1);
    send->user_data = SEND;
    int result = complete(probe, RECEIVE, &cqe);
    if (result < 0)
        return result;
    unsigned expected = IORING_CQE_F_MORE | IORING_CQE_F_BUFFER;
    return cqe.res == 1 && (cqe.flags & expected) == expected ? 0 : -EOPNOTSUPP;
}

/* Of what does not fit it is said how much went. A kernel that forgot it would have us send that
 * again. */
static int use_part_of_send(struct probe *probe)
{
    struct io_uring_cqe cqe;
    int size = 1; /* as little as the kernel allows */
    int there = 0;
    struct io_uring_sqe *send = io_uring_get_sqe(&probe->ring);
    setsockopt(probe->fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    uring_prepare_send(send, probe->fds[0], probe->much, MUCH);
    send->user_data = SEND;
    int result = complete(probe, SEND, &cqe);
    if (result < 0)
        return result;
    if (ioctl(probe->fds[1], FIONREAD, &there) < 0)
        return -errno;
    return cqe.res == there && there > 0 && there < MUCH ? 0 : -EOPNOTSUPP;
}

static int use_ring(struct probe *probe)
{
    int result = uring_make_ring(&probe->ring, ENTRIES, COMPLETIONS);
    if (result < 0)
        return result;
    result = share_buffers(probe);
    if (result == 0)
        result = uring_enable_ring(&probe->ring);
    if (result == 0)
        result = use_receive(probe);
    if (result == 0)
        result = use_part_of_send(probe);
    io_uring_queue_exit(&probe->ring);
    return result;
}

static void *run(void *argument)
{
    struct probe *probe = argument;
    probe->result = use_ring(probe);
    return NULL;
}

/* On a thread of its own: when a ring is closed, the kernel soon interrupts whatever its thread
 * does then, and not all that the caller does need expect that. */
static int use_elsewhere(struct probe *probe)
{
    int failed = pthread_create(&probe->thread, NULL, run, probe);
    if (failed)
        return -failed;
    pthread_join(probe->thread, NULL);
    return probe->result;
}

int uring_probe(struct error *err)
{
    struct probe probe = {0};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, probe.fds) < 0)
        return error_errno(err, errno, "cannot make a pair of sockets");
    int result = -ENOMEM;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *memory = NULL;
    if (posix_memalign(&memory, page, page + MUCH) == 0) {
        memset(memory, 0, page + MUCH);
        probe.buffer_ring = memory;
        probe.much = (char *)memory + page;
        result = use_elsewhere(&probe);
    }
    free(memory);
    close(probe.fds[0]);
    close(probe.fds[1]);
    if (result == 0)
        return 0;
    result = error_set(err, ERROR_UNSUPPORTED, "io_uring cannot be used here: %s",
                       strerrordesc_np(-result));
    error_hint(err, "it needs Linux 6.0 or later, and a container that allows the io_uring calls");
    return result;
}
