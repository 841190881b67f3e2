/* A V4L2 device of the stub: read from its file, its frames made by the clock, its faults.
 *
 * The file is text, one statement a line, `#` begins a comment:
 *   card NAME                        what the driver calls it
 *   caps capture|output|both|meta|mplane|read
 *   mode CODEC WIDTH HEIGHT FILE RATE…      RATE as 30 or 30000/1001; FILE holds its pictures, each after its length
 *                                    in four bytes, and is played round and round; an output has WIDTH HEIGHT 0 0
 *   range CODEC MIN_W MAX_W STEP_W MIN_H MAX_H STEP_H FILE FASTEST SLOWEST
 *   pad BYTES                        after each row
 *   colours COLORSPACE YCBCR_ENC QUANTIZATION
 *   field N · buffers N · unlisted (no list of sizes and rates) · events · timings (an HDMI receiver)
 *   clock monotonic|unknown|realtime
 *   control ID TYPE MIN MAX STEP DEFAULT FLAGS NAME
 *   hold WIDTH HEIGHT                an output that a reader keeps at one size
 *   link by-id/NAME                  udev's link to it, beside its folder's v4l
 *   refuse CALL ERRNO [AFTER [TIMES]]       CALL as S_FMT, open or write; TIMES 0: for ever
 * Faults, at frame N of a stream (from 0):
 *   error N · skip N NUMBERS · short N BYTES
 * and these, once each; their line goes from the file when they happen:
 *   gone N [AFTER_MS NAME]           unplugged; comes back as NAME, with what is left of its file
 *   silent N                         no frame more in this stream
 *   change N FILE                    another size: what it offers now is in FILE
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST 32
#define TEXT 16384

typedef struct { char codec[8], file[64]; unsigned w[3], h[3]; struct v4l2_fract rate[MOST]; int rates, range; } Mode;
typedef struct { char call[32]; int number; long after, times; int forever; } Refusal;
typedef struct { int used, queued, done; struct v4l2_buffer about; } Slot;

typedef struct {
    int fd, nonblocking, gone, silent, halted, event, streaming;
    char name[64], text[TEXT], card[32];
    unsigned caps, pad, field, buffers, unlisted, events, timings, hold[2], clock;
    unsigned colorspace, encoding, quantization;
    Mode modes[MOST];
    int mode_count, mode; /* mode: the one it is set to */
    unsigned width, height, row;
    struct v4l2_fract interval; /* time per frame */
    struct v4l2_queryctrl controls[MOST];
    int values[MOST], control_count;
    Refusal refusals[MOST];
    int refusal_count, configured;
    uint8_t *pictures, *memory;
    size_t picture_bytes, slot_bytes, memory_bytes;
    Slot slots[MOST];
    int slot_count, queue[MOST], queued, done[MOST], done_count;
    long long start_ns, frame; /* frame: the next one to be made in this stream */
    unsigned sequence;
} Device;

static const char *folder(void) { return getenv("V4L2_STUB"); }
static long long clock_ns(int clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void note(const char *form, ...) {
    char line[512], path[PATH_MAX];
    va_list rest;
    va_start(rest, form);
    int length = vsnprintf(line, sizeof line - 1, form, rest);
    va_end(rest);
    line[length++] = '\n';
    snprintf(path, sizeof path, "%s/log", folder());
    FILE *log = fopen(path, "ae");
    if (log) { fwrite(line, 1, length, log); fclose(log); }
}

static size_t slurp(const char *name, char *into, size_t most) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(into, 1, most, file) : 0;
    if (file) fclose(file);
    return length;
}

static struct v4l2_fract interval_of(const char *rate) {
    unsigned top = 0, bottom = 1;
    sscanf(rate, "%u/%u", &top, &bottom);
    return (struct v4l2_fract){bottom, top};
}

static void read_mode(Device *d, char *rest, int range) {
    Mode *m = &d->modes[d->mode_count++];
    char *save, *word = strtok_r(rest, " ", &save);
    memset(m, 0, sizeof *m);
    m->range = range;
    snprintf(m->codec, sizeof m->codec, "%s", word);
    for (int i = 0; i < (range ? 3 : 1); i++) m->w[i] = atoi(strtok_r(NULL, " ", &save));
    for (int i = 0; i < (range ? 3 : 1); i++) m->h[i] = atoi(strtok_r(NULL, " ", &save));
    if ((word = strtok_r(NULL, " ", &save))) snprintf(m->file, sizeof m->file, "%s", word);
    while ((word = strtok_r(NULL, " ", &save))) m->rate[m->rates++] = interval_of(word);
}

static void read_control(Device *d, const char *rest) {
    struct v4l2_queryctrl *c = &d->controls[d->control_count];
    int at = 0;
    sscanf(rest, "%u %u %d %d %d %d %u %n", &c->id, &c->type, &c->minimum, &c->maximum, &c->step, &c->default_value,
           &c->flags, &at);
    snprintf((char *)c->name, sizeof c->name, "%s", rest + at);
    d->values[d->control_count++] = c->default_value;
}

static unsigned caps_of(const char *word) {
    unsigned streams = V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
    if (!strcmp(word, "capture")) return V4L2_CAP_VIDEO_CAPTURE | streams;
    if (!strcmp(word, "output")) return V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_READWRITE | streams;
    if (!strcmp(word, "both")) return V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_READWRITE | streams;
    if (!strcmp(word, "mplane")) return V4L2_CAP_VIDEO_CAPTURE_MPLANE | streams;
    if (!strcmp(word, "read")) return V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_READWRITE;
    return V4L2_CAP_META_CAPTURE | streams;
}

static void read_statement(Device *d, char *line) {
    char *save, *word = strtok_r(line, " ", &save), *rest = save ? save : (char *)"";
    Refusal *r = &d->refusals[d->refusal_count];
    if (!word || *word == '#') return;
    if (!strcmp(word, "card")) snprintf(d->card, sizeof d->card, "%s", rest);
    else if (!strcmp(word, "caps")) d->caps = caps_of(rest);
    else if (!strcmp(word, "mode")) read_mode(d, rest, 0);
    else if (!strcmp(word, "range")) read_mode(d, rest, 1);
    else if (!strcmp(word, "pad")) d->pad = atoi(rest);
    else if (!strcmp(word, "field")) d->field = atoi(rest);
    else if (!strcmp(word, "buffers")) d->buffers = atoi(rest);
    else if (!strcmp(word, "unlisted")) d->unlisted = 1;
    else if (!strcmp(word, "events")) d->events = 1;
    else if (!strcmp(word, "timings")) d->timings = 1;
    else if (!strcmp(word, "clock")) d->clock = *rest;
    else if (!strcmp(word, "control")) read_control(d, rest);
    else if (!strcmp(word, "hold")) sscanf(rest, "%u %u", &d->hold[0], &d->hold[1]);
    else if (!strcmp(word, "colours")) sscanf(rest, "%u %u %u", &d->colorspace, &d->encoding, &d->quantization);
    else if (!strcmp(word, "refuse")) {
        memset(r, 0, sizeof *r);
        sscanf(rest, "%31s %d %ld %ld", r->call, &r->number, &r->after, &r->times);
        r->forever = !r->times;
        d->refusal_count++;
    }
}

static void read_device(Device *d) {
    char copy[TEXT], *save;
    strcpy(copy, d->text);
    d->mode_count = d->control_count = d->refusal_count = 0;
    d->field = V4L2_FIELD_NONE;
    d->clock = 'm';
    for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) read_statement(d, line);
}

/* The first line of the file that begins so and speaks of this frame; what follows the number is put into `rest`. */
static char *fault(Device *d, const char *word, char *rest, size_t most) {
    size_t length = strlen(word);
    for (char *line = d->text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char *end;
        if (strncmp(line, word, length) || line[length] != ' ') continue;
        if (strtoll(line + length, &end, 10) != d->frame) continue;
        end += *end == ' ';
        snprintf(rest, most, "%.*s", (int)strcspn(end, "\n"), end);
        return line;
    }
    return NULL;
}

static void forget(Device *d, char *line) {
    char *next = strchr(line, '\n');
    memmove(line, next ? next + 1 : line + strlen(line), next ? strlen(next + 1) + 1 : 1);
    (void)d;
}

static void write_device(const char *name, const char *text) {
    char path[PATH_MAX], part[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    snprintf(part, sizeof part, "%s.part", path);
    FILE *file = fopen(part, "we");
    if (!file) return;
    fwrite(text, 1, strlen(text), file);
    fclose(file);
    rename(part, path);
}

/* udev: the links that the file names point at `name`; NULL takes them away. */
static void set_links(const char *text, const char *name) {
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char link[64], path[PATH_MAX], target[128];
        if (sscanf(line, "link %63s", link) != 1) continue;
        snprintf(path, sizeof path, "%s/v4l/%s", folder(), link);
        unlink(path);
        snprintf(target, sizeof target, "../../%s", name ? name : "");
        if (name && symlink(target, path)) perror("stub: symlink");
    }
}

typedef struct { long ms; char name[64], text[TEXT]; } Return;
static void *come_back(void *argument) {
    Return *back = argument;
    usleep(back->ms * 1000);
    write_device(back->name, back->text);
    set_links(back->text, back->name);
    note("back %s", back->name);
    free(back);
    return NULL;
}

static void unplug(Device *d, const char *rest) {
    char path[PATH_MAX];
    Return *back = calloc(1, sizeof *back);
    pthread_t thread;
    d->gone = 1;
    note("gone %s", d->name);
    set_links(d->text, NULL);
    snprintf(path, sizeof path, "%s/%s", folder(), d->name);
    unlink(path);
    if (sscanf(rest, "%ld %63s", &back->ms, back->name) != 2) { free(back); return; }
    strcpy(back->text, d->text);
    if (!pthread_create(&thread, NULL, come_back, back)) pthread_detach(thread);
}

/* Faults of this frame that end the stream; 1 where one did. */
static int struck(Device *d) {
    char rest[256], *line;
    if ((line = fault(d, "gone", rest, sizeof rest))) {
        forget(d, line);
        unplug(d, rest);
    } else if ((line = fault(d, "silent", rest, sizeof rest))) {
        forget(d, line);
        write_device(d->name, d->text);
        d->silent = 1;
        note("silent %s", d->name);
    } else if ((line = fault(d, "change", rest, sizeof rest))) {
        memset(d->text, 0, TEXT);
        slurp(rest, d->text, TEXT - 1);
        write_device(d->name, d->text);
        d->halted = d->event = 1;
        note("change %s", d->name);
    }
    return d->gone || d->silent || d->halted;
}

/* The picture of a frame: the loop goes round by the frame's number, also where frames are lost. */
static const uint8_t *picture_of(Device *d, long long frame, uint32_t *bytes) {
    size_t at = 0;
    long long count = 0;
    for (; at + 4 <= d->picture_bytes; at += 4 + *bytes, count++) memcpy(bytes, d->pictures + at, 4);
    if (!count) { *bytes = 0; return NULL; }
    memcpy(bytes, d->pictures, 4);
    for (at = 0, frame %= count; frame--;) { at += 4 + *bytes; memcpy(bytes, d->pictures + at, 4); }
    return d->pictures + at + 4;
}

static void fill(Device *d, Slot *slot, long long stamp_ns) {
    char rest[64];
    uint32_t bytes = 0;
    const uint8_t *picture = picture_of(d, d->frame, &bytes);
    if (picture) memcpy(d->memory + d->slot_bytes * (slot - d->slots), picture, bytes);
    if (fault(d, "short", rest, sizeof rest)) bytes = atoi(rest);
    slot->about.bytesused = bytes;
    slot->about.sequence = d->sequence;
    slot->about.field = d->field;
    slot->about.flags = V4L2_BUF_FLAG_MAPPED | (fault(d, "error", rest, sizeof rest) ? V4L2_BUF_FLAG_ERROR : 0);
    if (d->clock != 'u') slot->about.flags |= V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    if (d->clock == 'r') stamp_ns = clock_ns(CLOCK_REALTIME); /* and says that it is monotonic */
    slot->about.timestamp.tv_sec = stamp_ns / 1000000000;
    slot->about.timestamp.tv_usec = stamp_ns % 1000000000 / 1000;
    d->done[d->done_count++] = slot - d->slots;
}

static long long due_ns(Device *d) {
    return d->start_ns + (d->frame + 1) * 1000000000ll * d->interval.numerator / d->interval.denominator;
}

/* All frames that are due by now; one that finds no buffer is lost, and counted by the sequence. */
static void advance(Device *d) {
    char rest[64];
    while (d->streaming && !d->gone && !d->silent && !d->halted && due_ns(d) <= clock_ns(CLOCK_MONOTONIC)) {
        if (struck(d)) return;
        if (fault(d, "skip", rest, sizeof rest)) d->sequence += atoi(rest);
        if (d->queued) {
            Slot *slot = &d->slots[d->queue[0]];
            memmove(d->queue, d->queue + 1, --d->queued * sizeof *d->queue);
            fill(d, slot, due_ns(d));
        }
        d->sequence++;
        d->frame++;
    }
}

static int refused(Device *d, const char *call) {
    for (int i = 0; i < d->refusal_count; i++) {
        Refusal *r = &d->refusals[i];
        if (strcmp(r->call, call)) continue;
        if (r->after > 0) { r->after--; continue; }
        if (r->forever || r->times-- > 0) return r->number;
    }
    return 0;
}
