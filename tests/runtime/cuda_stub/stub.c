/* libcuda.so.1 on host memory: the part of the CUDA driver that the runtime, PyCUDA and engines/gpu.py use.
 *
 * Streams are real: each has a thread that does its work in order and late (STUB_DELAY_US before each piece), so a
 * missing wait shows up as wrong data. Device addresses are host addresses with DEVICE_BIT set, so host code that
 * follows one crashes. New device memory is filled with POISON. What the environment and stub_* can set:
 *   STUB_SM=87  STUB_NAME="Stub GPU"  STUB_INTEGRATED=1  STUB_REGISTERS=0 (host memory)  STUB_DEVICES=0  STUB_DELAY_US=200
 *   STUB_FAIL=cuMemAlloc:3:2 (the third call from now returns 2); a code of a broken context stays for ever.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef int CUresult;
typedef uint64_t CUdeviceptr;
typedef void (*HostFunction)(void *);
enum { OK = 0, INVALID_VALUE = 1, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
       INVALID_HANDLE = 400, NOT_READY = 600, ALREADY_REGISTERED = 712, NOT_REGISTERED = 713,
       CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901 };
#define DEVICE_BIT (1ull << 48)
#define POISON 0xA5
#define EXPORT __attribute__((visibility("default")))

/* ---- state: one lock for everything, one condition for every change ---- */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int initialized, broken; /* broken: the error that every call gives from now on; no stream goes on then */
static int era, calling;        /* era: counts stub_reset, streams of an older one do nothing; calling: kernels now */
static struct { int dummy; } primary; /* the one context; its address is its handle */
static long retained;

typedef struct Range { uint8_t *base; size_t bytes; int kind; struct Range *next; } Range;
enum { DEVICE_MEMORY, REGISTERED, MAPPED };
static Range *ranges;

static struct { const char *name; long value; } counters[] = {
    {"device", 0}, {"registered", 0}, {"streams", 0}, {"events", 0}, {"graphs", 0}, {"retained", 0}, {"pushed", 0},
    {"allocations", 0}, {"graph_launches", 0}, {"copies", 0}, {NULL, 0}};

static void count(const char *name, long by) {
    for (int i = 0; counters[i].name; i++)
        if (!strcmp(counters[i].name, name)) counters[i].value += by;
}

static struct { char name[64]; long after; int code, always; } injected[16];

/* The nth call from now on fails; nth 0: every one. */
EXPORT void stub_fail(const char *name, long nth, int code) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < 16; i++)
        if (!injected[i].code) {
            snprintf(injected[i].name, sizeof injected[i].name, "%s", name);
            injected[i].after = nth;
            injected[i].always = nth == 0;
            injected[i].code = code;
            break;
        }
    pthread_mutex_unlock(&lock);
}

/* As new: what a broken context left behind is forgotten, and so is what was to fail. */
EXPORT void stub_reset(void) {
    pthread_mutex_lock(&lock);
    era++;
    pthread_cond_broadcast(&changed);
    while (calling) pthread_cond_wait(&changed, &lock);
    broken = 0;
    retained = 0;
    ranges = NULL;
    memset(injected, 0, sizeof injected);
    for (int i = 0; counters[i].name; i++) counters[i].value = 0;
    pthread_mutex_unlock(&lock);
}

EXPORT long stub_counter(const char *name) {
    pthread_mutex_lock(&lock);
    long value = -1;
    for (int i = 0; counters[i].name; i++)
        if (!strcmp(counters[i].name, name)) value = counters[i].value;
    pthread_mutex_unlock(&lock);
    return value;
}

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

static int breaks_context(int code) { return code == 214 || code == 220 || (code >= 700 && code <= 720 && code != 712 && code != 713) || code == 999; }

/* With the lock held: what a call must return instead of doing its work. */
static CUresult entered(const char *name) {
    if (broken) return broken;
    for (int i = 0; i < 16; i++)
        if (injected[i].code && !strcmp(injected[i].name, name) && (!injected[i].after || !--injected[i].after)) {
            int code = injected[i].code;
            if (!injected[i].always) injected[i].code = 0;
            if (breaks_context(code)) broken = code;
            pthread_cond_broadcast(&changed);
            return code;
        }
    return OK;
}

static __thread void *stack[16];
static __thread int depth;
static CUresult has_context(void) {
    if (!initialized) return NOT_INITIALIZED;
    return depth && stack[depth - 1] == &primary && retained ? OK : INVALID_CONTEXT;
}

#define LEAVE(result) do { CUresult leaving = (result); pthread_mutex_unlock(&lock); return leaving; } while (0)
#define ENTER(name) pthread_mutex_lock(&lock); { CUresult failed = entered(name); if (failed) LEAVE(failed); }
#define ENTER_CONTEXT(name) ENTER(name) { CUresult failed = has_context(); if (failed) LEAVE(failed); }

/* ---- memory ---- */
static Range *find(const uint8_t *address, size_t bytes) {
    for (Range *range = ranges; range; range = range->next)
        if (address >= range->base && address + bytes <= range->base + range->bytes) return range;
    return NULL;
}
static void add_range(uint8_t *base, size_t bytes, int kind) {
    Range *range = malloc(sizeof *range);
    *range = (Range){base, bytes, kind, ranges};
    ranges = range;
}
static int drop_range(const uint8_t *base, int device) {
    for (Range **at = &ranges; *at; at = &(*at)->next)
        if ((*at)->base == base && ((*at)->kind == DEVICE_MEMORY) == device) {
            Range *range = *at;
            *at = range->next;
            if (device) { memset(range->base, POISON, range->bytes); free(range->base); }
            free(range);
            return 1;
        }
    return 0;
}
static uint8_t *host_address(CUdeviceptr device, size_t bytes) {
    Range *range = (device & DEVICE_BIT) ? find((uint8_t *)(device & ~DEVICE_BIT), bytes) : NULL;
    return range && range->kind != REGISTERED ? (uint8_t *)(device & ~DEVICE_BIT) : NULL;
}

/* What a kernel may touch: the host address of `bytes` at a device address, NULL where no device could go. */
EXPORT void *stub_kernel_memory(CUdeviceptr device, size_t bytes) {
    pthread_mutex_lock(&lock);
    void *address = host_address(device, bytes);
    pthread_mutex_unlock(&lock);
    return address;
}

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *device, size_t bytes) {
    ENTER_CONTEXT("cuMemAlloc")
    uint8_t *base = aligned_alloc(512, (bytes + 511) / 512 * 512);
    if (!base) LEAVE(2);
    memset(base, POISON, bytes);
    add_range(base, bytes, DEVICE_MEMORY);
    count("device", 1); count("allocations", 1);
    *device = (uint64_t)base | DEVICE_BIT;
    LEAVE(OK);
}
EXPORT CUresult cuMemFree_v2(CUdeviceptr device) {
    ENTER_CONTEXT("cuMemFree")
    if (!drop_range((uint8_t *)(device & ~DEVICE_BIT), 1)) LEAVE(INVALID_VALUE);
    count("device", -1);
    LEAVE(OK);
}
EXPORT CUresult cuMemHostRegister_v2(void *base, size_t bytes, unsigned flags) {
    ENTER_CONTEXT("cuMemHostRegister")
    if (!number("STUB_REGISTERS", 1)) LEAVE(801);
    if (find(base, 1)) LEAVE(ALREADY_REGISTERED);
    add_range(base, bytes, flags & 2 ? MAPPED : REGISTERED);
    count("registered", 1); count("allocations", 1);
    LEAVE(OK);
}
EXPORT CUresult cuMemHostUnregister(void *base) {
    ENTER_CONTEXT("cuMemHostUnregister")
    if (!drop_range(base, 0)) LEAVE(NOT_REGISTERED);
    count("registered", -1);
    LEAVE(OK);
}
EXPORT CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *base, unsigned flags) {
    ENTER_CONTEXT("cuMemHostGetDevicePointer")
    Range *range = find(base, 1);
    if (flags || !range || range->kind != MAPPED) LEAVE(INVALID_VALUE);
    *device = (uint64_t)base | DEVICE_BIT;
    LEAVE(OK);
}
EXPORT CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
    ENTER_CONTEXT("cuMemGetInfo")
    *total = 8ull << 30;
    *available = *total;
    for (Range *range = ranges; range; range = range->next)
        if (range->kind == DEVICE_MEMORY) *available -= range->bytes;
    LEAVE(OK);
}

/* ---- events and streams ---- */
typedef struct Event { long recorded, done; int64_t time_ns; unsigned flags; } Event;
typedef struct Work {
    enum { COPY, CALL, RECORD, WAIT } kind;
    uint8_t *to; const uint8_t *from; size_t bytes;
    HostFunction call; void *data;
    Event *event; long ticket;
    struct Work *next;
} Work;
typedef struct Graph { Work *first, *last; } Graph;
typedef struct Stream { Work *first, *last; long given, finished; int ending, era; Graph *capture; } Stream;

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static void append(Work **first, Work **last, Work work) {
    Work *copy = malloc(sizeof *copy);
    *copy = work;
    copy->next = NULL;
    if (*last) (*last)->next = copy; else *first = copy;
    *last = copy;
}

/* With the lock held: give work to a stream, or to the graph that it records. */
static CUresult give(Stream *stream, Work work) {
    if (!stream) return INVALID_HANDLE; /* the default stream is not for us */
    if (stream->capture) {
        append(&stream->capture->first, &stream->capture->last, work);
        return OK;
    }
    if (work.kind == RECORD) work.ticket = ++work.event->recorded;
    if (work.kind == WAIT) work.ticket = work.event->recorded;
    append(&stream->first, &stream->last, work);
    stream->given++;
    pthread_cond_broadcast(&changed);
    return OK;
}

/* With the lock held; let go while the work itself is late, or is a kernel. */
static void perform(Stream *stream, Work *work) {
#define GONE (broken || stream->era != era)
    if (work->kind == WAIT)
        while (!GONE && work->event->done < work->ticket) pthread_cond_wait(&changed, &lock);
    if (work->kind == RECORD) {
        work->event->time_ns = now_ns();
        work->event->done = work->ticket;
    }
    if (work->kind == COPY || work->kind == CALL) {
        pthread_mutex_unlock(&lock);
        usleep(number("STUB_DELAY_US", 200));
        pthread_mutex_lock(&lock);
        if (GONE) return;
        if (work->kind == COPY) memcpy(work->to, work->from, work->bytes);
        if (work->kind == CALL) { /* in Python, which may hold what waits for our lock */
            calling++;
            pthread_mutex_unlock(&lock);
            work->call(work->data);
            pthread_mutex_lock(&lock);
            calling--;
        }
    }
}

static void *work_off(void *argument) {
    Stream *stream = argument;
    pthread_mutex_lock(&lock);
    while (1) {
        while (!stream->first && !stream->ending) pthread_cond_wait(&changed, &lock);
        if (!stream->first) break;
        Work *work = stream->first;
        if (!GONE) perform(stream, work);
        stream->first = work->next;
        if (!stream->first) stream->last = NULL;
        stream->finished++;
        free(work);
        pthread_cond_broadcast(&changed);
    }
    free(stream);
    pthread_mutex_unlock(&lock);
    return NULL;
}

EXPORT CUresult cuStreamCreate(Stream **stream, unsigned flags) {
    ENTER_CONTEXT("cuStreamCreate")
    (void)flags;
    pthread_t thread;
    *stream = calloc(1, sizeof **stream);
    (*stream)->era = era;
    pthread_create(&thread, NULL, work_off, *stream);
    pthread_detach(thread);
    count("streams", 1); count("allocations", 1);
    LEAVE(OK);
}
EXPORT CUresult cuStreamDestroy_v2(Stream *stream) {
    ENTER_CONTEXT("cuStreamDestroy")
    stream->ending = 1; /* its thread finishes what was given and then goes */
    count("streams", -1);
    pthread_cond_broadcast(&changed);
    LEAVE(OK);
}
EXPORT CUresult cuStreamSynchronize(Stream *stream) {
    ENTER_CONTEXT("cuStreamSynchronize")
    if (!stream) LEAVE(INVALID_HANDLE);
    if (stream->capture) LEAVE(CAPTURE_UNSUPPORTED);
    long until = stream->given;
    while (!broken && stream->finished < until) pthread_cond_wait(&changed, &lock);
    LEAVE(broken);
}
EXPORT CUresult cuStreamQuery(Stream *stream) {
    ENTER_CONTEXT("cuStreamQuery")
    LEAVE(stream->finished < stream->given ? NOT_READY : OK);
}
EXPORT CUresult cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags) {
    ENTER_CONTEXT("cuStreamWaitEvent")
    (void)flags;
    LEAVE(give(stream, (Work){.kind = WAIT, .event = event}));
}
EXPORT CUresult cuLaunchHostFunc(Stream *stream, HostFunction call, void *data) {
    ENTER_CONTEXT("cuLaunchHostFunc")
    LEAVE(give(stream, (Work){.kind = CALL, .call = call, .data = data}));
}

EXPORT CUresult cuEventCreate(Event **event, unsigned flags) {
    ENTER_CONTEXT("cuEventCreate")
    *event = calloc(1, sizeof **event);
    (*event)->flags = flags;
    count("events", 1); count("allocations", 1);
    LEAVE(OK);
}
EXPORT CUresult cuEventDestroy_v2(Event *event) {
    ENTER_CONTEXT("cuEventDestroy")
    while (!broken && event->done < event->recorded) pthread_cond_wait(&changed, &lock); /* or a stream would write it */
    free(event);
    count("events", -1);
    LEAVE(OK);
}
EXPORT CUresult cuEventRecord(Event *event, Stream *stream) {
    ENTER_CONTEXT("cuEventRecord")
    LEAVE(give(stream, (Work){.kind = RECORD, .event = event}));
}
EXPORT CUresult cuEventSynchronize(Event *event) {
    ENTER_CONTEXT("cuEventSynchronize")
    long until = event->recorded;
    while (!broken && event->done < until) pthread_cond_wait(&changed, &lock);
    LEAVE(broken);
}
EXPORT CUresult cuEventQuery(Event *event) {
    ENTER_CONTEXT("cuEventQuery")
    LEAVE(event->done < event->recorded ? NOT_READY : OK);
}
EXPORT CUresult cuEventElapsedTime(float *milliseconds, Event *start, Event *end) {
    ENTER_CONTEXT("cuEventElapsedTime")
    if ((start->flags | end->flags) & 2 || !start->recorded || !end->recorded) LEAVE(INVALID_HANDLE);
    if (start->done < start->recorded || end->done < end->recorded) LEAVE(NOT_READY);
    *milliseconds = (float)(end->time_ns - start->time_ns) / 1e6f;
    LEAVE(OK);
}
EXPORT CUresult cuEventElapsedTime_v2(float *milliseconds, Event *start, Event *end) {
    return cuEventElapsedTime(milliseconds, start, end);
}

/* ---- copies: late from and to page-locked memory; at once from and to other memory, as the driver stages it ---- */
static CUresult copy(Stream *stream, uint8_t *to, const uint8_t *from, size_t bytes, const void *host) {
    if (!to || !from) return INVALID_VALUE;
    count("copies", 1);
    if (stream && find(host, bytes)) return give(stream, (Work){.kind = COPY, .to = to, .from = from, .bytes = bytes});
    if (stream && stream->capture) return CAPTURE_UNSUPPORTED;
    while (stream && !broken && stream->finished < stream->given) pthread_cond_wait(&changed, &lock);
    memcpy(to, from, bytes);
    return OK;
}
EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, Stream *stream) {
    ENTER_CONTEXT("cuMemcpyHtoDAsync")
    LEAVE(copy(stream, host_address(to, bytes), from, bytes, from));
}
EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, Stream *stream) {
    ENTER_CONTEXT("cuMemcpyDtoHAsync")
    LEAVE(copy(stream, to, host_address(from, bytes), bytes, to));
}

EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, Stream *stream) {
    ENTER_CONTEXT("cuMemcpyDtoDAsync")
    uint8_t *target = host_address(to, bytes), *source = host_address(from, bytes);
    if (!target || !source) LEAVE(INVALID_VALUE);
    count("copies", 1);
    LEAVE(give(stream, (Work){.kind = COPY, .to = target, .from = source, .bytes = bytes}));
}

/* ---- graphs ---- */
EXPORT int stub_is_recording(Stream *stream) { return stream->capture != NULL; }
EXPORT CUresult cuStreamBeginCapture_v2(Stream *stream, int mode) {
    ENTER_CONTEXT("cuStreamBeginCapture")
    (void)mode;
    if (!stream || stream->capture) LEAVE(INVALID_VALUE);
    stream->capture = calloc(1, sizeof(Graph));
    LEAVE(OK);
}
EXPORT CUresult cuStreamEndCapture(Stream *stream, Graph **graph) {
    pthread_mutex_lock(&lock); /* a capture is over also where its end fails */
    Graph *captured = stream->capture;
    stream->capture = NULL;
    *graph = NULL;
    CUresult failed = entered("cuStreamEndCapture");
    if (!failed && !captured) failed = INVALID_VALUE;
    if (!failed && !captured->first) failed = CAPTURE_INVALIDATED;
    if (failed) LEAVE(failed);
    *graph = captured;
    count("graphs", 1); count("allocations", 1);
    LEAVE(OK);
}
static void destroy(Graph *graph) {
    for (Work *work = graph->first; work;) { Work *next = work->next; free(work); work = next; }
    free(graph);
    count("graphs", -1);
}
EXPORT CUresult cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, uint64_t flags) {
    ENTER_CONTEXT("cuGraphInstantiateWithFlags")
    (void)flags;
    *executable = calloc(1, sizeof **executable);
    for (Work *work = graph->first; work; work = work->next) append(&(*executable)->first, &(*executable)->last, *work);
    count("graphs", 1); count("allocations", 1);
    LEAVE(OK);
}
EXPORT CUresult cuGraphLaunch(Graph *executable, Stream *stream) {
    ENTER_CONTEXT("cuGraphLaunch")
    count("graph_launches", 1);
    for (Work *work = executable->first; work; work = work->next) give(stream, *work);
    LEAVE(OK);
}
EXPORT CUresult cuGraphDestroy(Graph *graph) { ENTER_CONTEXT("cuGraphDestroy") destroy(graph); LEAVE(OK); }
EXPORT CUresult cuGraphExecDestroy(Graph *graph) { ENTER_CONTEXT("cuGraphExecDestroy") destroy(graph); LEAVE(OK); }

/* ---- driver, device, context ---- */
EXPORT CUresult cuInit(unsigned flags) {
    ENTER("cuInit")
    (void)flags;
    if (!initialized && getenv("STUB_FAIL")) {
        char name[64]; long nth; int code;
        const char *text = getenv("STUB_FAIL");
        for (int read; sscanf(text, "%63[^:]:%ld:%d%n", name, &nth, &code, &read) == 3; text += *text == ',') {
            text += read;
            pthread_mutex_unlock(&lock);
            stub_fail(name, nth, code);
            pthread_mutex_lock(&lock);
        }
    }
    if (number("STUB_DEVICES", 1) < 1) LEAVE(NO_DEVICE);
    initialized = 1;
    LEAVE(OK);
}
EXPORT CUresult cuDriverGetVersion(int *version) { *version = (int)number("STUB_VERSION", 13000); return OK; }
EXPORT CUresult cuDeviceGetCount(int *devices) { *devices = (int)number("STUB_DEVICES", 1); return OK; }
EXPORT CUresult cuDeviceGet(int *device, int ordinal) {
    ENTER("cuDeviceGet")
    if (!initialized) LEAVE(NOT_INITIALIZED);
    if (ordinal) LEAVE(INVALID_DEVICE);
    *device = 0;
    LEAVE(OK);
}
EXPORT CUresult cuDeviceGetName(char *name, int length, int device) {
    (void)device;
    const char *text = getenv("STUB_NAME");
    snprintf(name, (size_t)length, "%s", text ? text : "Stub GPU");
    return OK;
}
EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, int device) { (void)device; *bytes = 8ull << 30; return OK; }
EXPORT CUresult cuDeviceComputeCapability(int *major, int *minor, int device) {
    (void)device;
    long sm = number("STUB_SM", 89);
    *major = (int)sm / 10; *minor = (int)sm % 10;
    return OK;
}
EXPORT CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    long sm = number("STUB_SM", 89), integrated = number("STUB_INTEGRATED", 0);
    *value = attribute == 75 ? (int)sm / 10 : attribute == 76 ? (int)sm % 10 : attribute == 18 ? (int)integrated
        : attribute == 99 ? (int)number("STUB_REGISTERS", 1) : 1;
    return OK;
}
EXPORT CUresult cuDevicePrimaryCtxRetain(void **context, int device) {
    ENTER("cuDevicePrimaryCtxRetain")
    (void)device;
    if (!initialized) LEAVE(NOT_INITIALIZED);
    retained++;
    count("retained", 1);
    *context = &primary;
    LEAVE(OK);
}
EXPORT CUresult cuDevicePrimaryCtxRelease_v2(int device) {
    ENTER("cuDevicePrimaryCtxRelease")
    (void)device;
    if (!retained) LEAVE(INVALID_CONTEXT);
    retained--;
    count("retained", -1);
    LEAVE(OK);
}
EXPORT CUresult cuCtxPushCurrent_v2(void *context) {
    ENTER("cuCtxPushCurrent")
    if (depth == 16) LEAVE(INVALID_VALUE);
    stack[depth++] = context;
    count("pushed", 1);
    LEAVE(OK);
}
EXPORT CUresult cuCtxPopCurrent_v2(void **context) {
    pthread_mutex_lock(&lock); /* also on a broken context: it belongs to the thread alone */
    if (!depth) LEAVE(INVALID_CONTEXT);
    depth--;
    if (context) *context = stack[depth];
    count("pushed", -1);
    LEAVE(OK);
}
EXPORT CUresult cuCtxGetCurrent(void **context) { *context = depth ? stack[depth - 1] : NULL; return OK; }
EXPORT CUresult cuCtxGetDevice(int *device) { *device = 0; return depth ? OK : INVALID_CONTEXT; }
EXPORT CUresult cuCtxSynchronize(void) { ENTER_CONTEXT("cuCtxSynchronize") LEAVE(OK); }

EXPORT CUresult cuGetErrorString(CUresult code, const char **text) {
    static const struct { int code; const char *text; } texts[] = {
        {0, "no error"}, {2, "out of memory"}, {100, "no CUDA-capable device is detected"}, {201, "invalid device context"},
        {700, "an illegal memory access was encountered"}, {719, "unspecified launch failure"},
        {801, "operation not supported"}, {900, "operation not permitted when stream is capturing"}};
    *text = "stub error";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].code == code) *text = texts[i].text;
    return OK;
}
