/* V4L2 devices in user space, for LD_PRELOAD: the files video* in the folder that V4L2_STUB names, opened to read and
 * write. What each one is stands in it (device.h). Its descriptor is shared memory, which mmap maps as it is. Frames
 * are made by the clock whenever the device is asked, as if it had been filling buffers all the time. What happens is
 * told in the folder's file `log`; what is written to an output is in NAME.written, each piece after its length. */
#include "device.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Device *devices[MOST];

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static Device *find(int fd) {
    for (int i = 0; fd >= 0 && i < MOST; i++)
        if (devices[i] && devices[i]->fd == fd) return devices[i];
    return NULL;
}

/* ---- formats ---- */
static unsigned row_bytes(const char *codec, unsigned width) {
    if (!strcmp(codec, "YUYV") || !strcmp(codec, "UYVY")) return 4 * ((width + 1) / 2);
    if (!strcmp(codec, "BGR3") || !strcmp(codec, "RGB3")) return 3 * width;
    return strcmp(codec, "MJPG") ? width : 0;
}
static unsigned picture_bytes(const char *codec, unsigned row, unsigned height) {
    int half = !strcmp(codec, "NV12") || !strcmp(codec, "YU12");
    return row * height + (half ? row * ((height + 1) / 2) : 0);
}
static uint32_t fourcc(const char *codec) { return v4l2_fourcc(codec[0], codec[1], codec[2], codec[3]); }

static int is_output(Device *d, uint32_t type) {
    return type == V4L2_BUF_TYPE_VIDEO_OUTPUT && d->caps & V4L2_CAP_VIDEO_OUTPUT;
}
static int is_capture(Device *d, uint32_t type) {
    return type == V4L2_BUF_TYPE_VIDEO_CAPTURE && d->caps & V4L2_CAP_VIDEO_CAPTURE;
}

static unsigned in_range(unsigned value, const unsigned *range) {
    if (value < range[0]) value = range[0];
    if (value > range[1]) value = range[1];
    return range[0] + (value - range[0]) / range[2] * range[2];
}

static void load_pictures(Device *d) {
    char path[PATH_MAX];
    struct stat about;
    free(d->pictures);
    d->pictures = NULL;
    d->picture_bytes = 0;
    snprintf(path, sizeof path, "%s/%s", folder(), d->modes[d->mode].file);
    if (!*d->modes[d->mode].file || stat(path, &about)) return;
    d->pictures = malloc(about.st_size);
    d->picture_bytes = slurp(d->modes[d->mode].file, (char *)d->pictures, about.st_size);
}

static unsigned largest_picture(Device *d) {
    uint32_t bytes, most = picture_bytes(d->modes[d->mode].codec, d->row, d->height);
    for (size_t at = 0; at + 4 <= d->picture_bytes; at += 4 + bytes) {
        memcpy(&bytes, d->pictures + at, 4);
        if (bytes > most) most = bytes;
    }
    return most;
}

static void set_mode(Device *d, int index, unsigned width, unsigned height) {
    Mode *m = &d->modes[index];
    d->mode = index;
    d->width = m->range ? in_range(width, m->w) : d->caps & V4L2_CAP_VIDEO_OUTPUT ? width : m->w[0];
    d->height = m->range ? in_range(height, m->h) : d->caps & V4L2_CAP_VIDEO_OUTPUT ? height : m->h[0];
    if (d->hold[0]) { d->width = d->hold[0]; d->height = d->hold[1]; }
    d->row = row_bytes(m->codec, d->width);
    if (d->row) d->row += d->pad;
    d->interval = m->rates ? m->rate[0] : (struct v4l2_fract){1, 30};
    load_pictures(d);
}

static long distance(const Mode *m, unsigned width, unsigned height) {
    return m->range ? 0 : labs((long)m->w[0] - width) + labs((long)m->h[0] - height);
}

static int set_format(Device *d, struct v4l2_format *f, int set) {
    struct v4l2_pix_format *pix = &f->fmt.pix;
    if (!is_output(d, f->type) && !is_capture(d, f->type)) return EINVAL;
    if (set && d->slot_count) return EBUSY;
    int best = 0, same = 0;
    for (int i = 0; set && i < d->mode_count; i++) {
        int match = fourcc(d->modes[i].codec) == pix->pixelformat;
        if (match < same) continue;
        long far = distance(&d->modes[i], pix->width, pix->height);
        if (match > same || far < distance(&d->modes[best], pix->width, pix->height)) best = i;
        same = match;
    }
    int meant = pix->priv == V4L2_PIX_FMT_PRIV_MAGIC;
    if (set) set_mode(d, best, pix->width, pix->height);
    if (set) d->configured = 1;
    if (set) note("S_FMT %s %s %ux%u colours %u %u %u", d->name, d->modes[best].codec, d->width, d->height,
                  pix->colorspace, meant ? pix->ycbcr_enc : 0, meant ? pix->quantization : 0);
    memset(pix, 0, sizeof *pix);
    pix->width = d->width;
    pix->height = d->height;
    pix->pixelformat = fourcc(d->modes[d->mode].codec);
    pix->field = d->field;
    pix->bytesperline = d->row;
    pix->sizeimage = d->pictures ? largest_picture(d) : picture_bytes(d->modes[d->mode].codec, d->row, d->height);
    pix->colorspace = d->colorspace;
    pix->priv = V4L2_PIX_FMT_PRIV_MAGIC;
    pix->ycbcr_enc = d->encoding;
    pix->quantization = d->quantization;
    return 0;
}

static int list_formats(Device *d, struct v4l2_fmtdesc *f) {
    unsigned seen = 0;
    if (!is_capture(d, f->type) && !is_output(d, f->type)) return EINVAL;
    for (int i = 0; i < d->mode_count; i++) {
        int known = 0;
        for (int j = 0; j < i; j++) known |= !strcmp(d->modes[i].codec, d->modes[j].codec);
        if (known || seen++ != f->index) continue;
        f->pixelformat = fourcc(d->modes[i].codec);
        return 0;
    }
    return EINVAL;
}

static int list_sizes(Device *d, struct v4l2_frmsizeenum *f) {
    unsigned seen = 0;
    if (d->unlisted) return ENOTTY;
    for (int i = 0; i < d->mode_count; i++) {
        Mode *m = &d->modes[i];
        if (fourcc(m->codec) != f->pixel_format || seen++ != f->index) continue;
        f->type = m->range ? V4L2_FRMSIZE_TYPE_STEPWISE : V4L2_FRMSIZE_TYPE_DISCRETE;
        if (m->range)
            f->stepwise = (struct v4l2_frmsize_stepwise){m->w[0], m->w[1], m->w[2], m->h[0], m->h[1], m->h[2]};
        else f->discrete = (struct v4l2_frmsize_discrete){m->w[0], m->h[0]};
        return 0;
    }
    return EINVAL;
}

static int list_intervals(Device *d, struct v4l2_frmivalenum *f) {
    if (d->unlisted) return ENOTTY;
    for (int i = 0; i < d->mode_count; i++) {
        Mode *m = &d->modes[i];
        if (fourcc(m->codec) != f->pixel_format) continue;
        if (!m->range && (m->w[0] != f->width || m->h[0] != f->height)) continue;
        if ((int)f->index >= (m->range ? 1 : m->rates)) return EINVAL;
        f->type = m->range ? V4L2_FRMIVAL_TYPE_STEPWISE : V4L2_FRMIVAL_TYPE_DISCRETE;
        if (m->range) f->stepwise = (struct v4l2_frmival_stepwise){m->rate[0], m->rate[1], {1, 1000}};
        else f->discrete = m->rate[f->index];
        return 0;
    }
    return EINVAL;
}

static double seconds(struct v4l2_fract f) { return f.denominator ? (double)f.numerator / f.denominator : 0; }

static int parameters(Device *d, struct v4l2_streamparm *p, int set) {
    Mode *m = &d->modes[d->mode];
    struct v4l2_captureparm *capture = &p->parm.capture;
    double wish = seconds(capture->timeperframe), off = 1e9;
    if (!is_capture(d, p->type) && !is_output(d, p->type)) return EINVAL;
    if (d->unlisted) return ENOTTY;
    if (set && d->slot_count) return EBUSY;
    if (set && m->range) d->interval = capture->timeperframe;
    for (int i = 0; set && !m->range && i < m->rates; i++) {
        double away = seconds(m->rate[i]) - wish;
        if (away < 0) away = -away;
        if (away < off) { off = away; d->interval = m->rate[i]; }
    }
    if (set) note("S_PARM %s %u/%u", d->name, capture->timeperframe.numerator, capture->timeperframe.denominator);
    memset(&p->parm, 0, sizeof p->parm);
    capture->capability = V4L2_CAP_TIMEPERFRAME;
    capture->timeperframe = d->interval;
    return 0;
}

/* ---- buffers ---- */
static void drop_buffers(Device *d) {
    if (d->memory) munmap(d->memory, d->memory_bytes);
    d->memory = NULL;
    d->slot_count = d->queued = d->done_count = 0;
}

static int request_buffers(Device *d, struct v4l2_requestbuffers *r) {
    if (!is_capture(d, r->type) || r->memory != V4L2_MEMORY_MMAP) return EINVAL;
    if (d->streaming) return EBUSY;
    drop_buffers(d);
    if (!r->count) return 0;
    if (d->buffers) r->count = d->buffers;
    if (r->count > MOST) r->count = MOST;
    d->slot_bytes = (largest_picture(d) + 4095) / 4096 * 4096;
    d->memory_bytes = d->slot_bytes * r->count;
    if (ftruncate(d->fd, d->memory_bytes)) return ENOMEM;
    d->memory = mmap(NULL, d->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
    if (d->memory == MAP_FAILED) { d->memory = NULL; return ENOMEM; }
    d->slot_count = r->count;
    memset(d->slots, 0, sizeof d->slots);
    return 0;
}

static int query_buffer(Device *d, struct v4l2_buffer *b) {
    if ((int)b->index >= d->slot_count || !is_capture(d, b->type)) return EINVAL;
    b->m.offset = d->slot_bytes * b->index;
    b->length = d->slot_bytes;
    return 0;
}

static int queue_buffer(Device *d, struct v4l2_buffer *b) {
    if ((int)b->index >= d->slot_count || b->memory != V4L2_MEMORY_MMAP) return EINVAL;
    if (d->slots[b->index].queued) return EINVAL;
    d->slots[b->index].queued = 1;
    d->queue[d->queued++] = b->index;
    return 0;
}

static int take_buffer(Device *d, struct v4l2_buffer *b) {
    if (!d->streaming || b->memory != V4L2_MEMORY_MMAP) return EINVAL;
    if (!d->done_count) return EAGAIN;
    Slot *slot = &d->slots[d->done[0]];
    memmove(d->done, d->done + 1, --d->done_count * sizeof *d->done);
    slot->queued = 0;
    *b = slot->about;
    b->index = slot - d->slots;
    b->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    b->memory = V4L2_MEMORY_MMAP;
    b->length = d->slot_bytes;
    return 0;
}

static int stream(Device *d, int on) {
    if (on && (!d->slot_count || !d->queued)) return EINVAL;
    note("%s %s", on ? "STREAMON" : "STREAMOFF", d->name);
    if (on) { d->start_ns = clock_ns(CLOCK_MONOTONIC); d->frame = 0; d->sequence = 0; }
    else {
        d->queued = d->done_count = 0;
        for (int i = 0; i < d->slot_count; i++) d->slots[i].queued = 0;
    }
    d->streaming = on;
    return 0;
}

/* ---- controls and events ---- */
static int query_control(Device *d, struct v4l2_queryctrl *q) {
    int next = (q->id & V4L2_CTRL_FLAG_NEXT_CTRL) != 0;
    uint32_t id = q->id & ~V4L2_CTRL_FLAG_NEXT_CTRL;
    for (int i = 0; i < d->control_count; i++)
        if (next ? d->controls[i].id > id : d->controls[i].id == id) { *q = d->controls[i]; return 0; }
    return EINVAL;
}

static int control(Device *d, struct v4l2_control *c, int set) {
    for (int i = 0; i < d->control_count; i++) {
        struct v4l2_queryctrl *about = &d->controls[i];
        if (about->id != c->id) continue;
        if (set && about->flags & V4L2_CTRL_FLAG_INACTIVE) return EACCES;
        if (set) {
            int step = about->step > 0 ? about->step : 1;
            d->values[i] = about->minimum + (c->value - about->minimum) / step * step;
            if (about->type == V4L2_CTRL_TYPE_BITMASK) d->values[i] = c->value;
            note("S_CTRL %s %s %d", d->name, about->name, d->values[i]);
        }
        c->value = d->values[i];
        return 0;
    }
    return EINVAL;
}

static int take_event(Device *d, struct v4l2_event *e) {
    if (!d->event) return ENOENT;
    memset(e, 0, sizeof *e);
    e->type = V4L2_EVENT_SOURCE_CHANGE;
    e->u.src_change.changes = V4L2_EVENT_SRC_CH_RESOLUTION;
    d->event = 0;
    return 0;
}

static int capability(Device *d, struct v4l2_capability *c) {
    memset(c, 0, sizeof *c);
    snprintf((char *)c->driver, sizeof c->driver, "stub");
    memcpy(c->card, d->card, sizeof c->card);
    snprintf((char *)c->bus_info, sizeof c->bus_info, "usb-stub-1");
    c->device_caps = d->caps;
    /* What all nodes of the device can do: a metadata node has its camera's here, too. */
    c->capabilities = d->caps | V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_META_CAPTURE | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int list_inputs(struct v4l2_input *i) {
    if (i->index) return EINVAL;
    memset(i, 0, sizeof *i);
    i->type = V4L2_INPUT_TYPE_CAMERA;
    return 0;
}

#define REQUESTS(X) \
    X(QUERYCAP, capability(d, a)) X(ENUM_FMT, list_formats(d, a)) X(ENUM_FRAMESIZES, list_sizes(d, a)) \
    X(ENUM_FRAMEINTERVALS, list_intervals(d, a)) X(G_FMT, set_format(d, a, 0)) X(S_FMT, set_format(d, a, 1)) \
    X(G_PARM, parameters(d, a, 0)) X(S_PARM, parameters(d, a, 1)) X(REQBUFS, request_buffers(d, a)) \
    X(QUERYBUF, query_buffer(d, a)) X(QBUF, queue_buffer(d, a)) X(DQBUF, take_buffer(d, a)) \
    X(STREAMON, stream(d, 1)) X(STREAMOFF, stream(d, 0)) X(QUERYCTRL, query_control(d, a)) \
    X(G_CTRL, control(d, a, 0)) X(S_CTRL, control(d, a, 1)) X(DQEVENT, take_event(d, a)) \
    X(SUBSCRIBE_EVENT, d->events ? 0 : EINVAL) X(QUERY_DV_TIMINGS, d->timings ? 0 : ENOTTY) \
    X(S_DV_TIMINGS, (note("S_DV_TIMINGS %s", d->name), 0)) X(ENUMINPUT, list_inputs(a)) X(G_INPUT, (*(int *)a = 0)) \
    X(S_INPUT, *(int *)a ? EINVAL : 0)

static int request(Device *d, uint32_t number, void *a) {
    int failed;
    if (d->gone) return ENODEV;
#define CASE(name, work) \
    case VIDIOC_##name: \
        if ((failed = refused(d, #name))) return failed; \
        advance(d); \
        return d->gone ? ENODEV : (work);
    switch (number) { REQUESTS(CASE) }
    return ENOTTY;
}

/* ---- the calls of the operating system ---- */
static int stub_open(const char *path, int flags) {
    char whole[PATH_MAX], here[PATH_MAX];
    /* Devices are opened to read and write; whoever opens them otherwise means the file. -2: not ours. */
    if (!folder() || (flags & O_ACCMODE) != O_RDWR || flags & O_CREAT) return -2;
    if (!realpath(path, whole) || !realpath(folder(), here)) return -2;
    char *name = strrchr(whole, '/');
    if (strncmp(whole, here, name - whole) || here[name - whole] || strncmp(name + 1, "video", 5)) return -2;
    Device *d = calloc(1, sizeof *d);
    snprintf(d->name, sizeof d->name, "%s", name + 1);
    slurp(d->name, d->text, TEXT - 1);
    d->nonblocking = (flags & O_NONBLOCK) != 0;
    read_device(d);
    int failed = refused(d, "open");
    if (failed || (d->fd = memfd_create("v4l2-stub", MFD_CLOEXEC)) < 0) {
        free(d);
        errno = failed ? failed : errno;
        return -1;
    }
    if (d->mode_count) set_mode(d, 0, d->modes[0].w[0], d->modes[0].h[0]);
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST; i++)
        if (!devices[i]) { devices[i] = d; break; }
    pthread_mutex_unlock(&lock);
    note("open %s", d->name);
    return d->fd;
}

/* Each way to open: ours, or what the operating system makes of it. */
#define OPEN(name, at_parameter, at, ours) \
    int name(at_parameter const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        int fd = (ours) ? stub_open(path, flags) : -2; \
        return fd != -2 ? fd : REAL(name)(at path, flags, mode); \
    }
#define NONE
#define AT_PARAMETER int folder_fd,
#define AT folder_fd,
OPEN(open, NONE, NONE, 1)
OPEN(open64, NONE, NONE, 1)
OPEN(openat, AT_PARAMETER, AT, *path == '/')
OPEN(openat64, AT_PARAMETER, AT, *path == '/')

int close(int fd) {
    pthread_mutex_lock(&lock);
    Device *d = find(fd);
    for (int i = 0; d && i < MOST; i++)
        if (devices[i] == d) devices[i] = NULL;
    if (d) {
        note("close %s%s", d->name, d->streaming && !d->gone ? " streaming" : "");
        drop_buffers(d);
        free(d->pictures);
        free(d);
    }
    pthread_mutex_unlock(&lock);
    return REAL(close)(fd);
}

int ioctl(int fd, unsigned long number, ...) {
    va_list rest;
    va_start(rest, number);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    Device *d;
    int failed, blocks;
    for (;;) {
        pthread_mutex_lock(&lock);
        d = find(fd);
        failed = d ? request(d, number, argument) : 0;
        blocks = d && failed == EAGAIN && !d->nonblocking;
        pthread_mutex_unlock(&lock);
        if (!blocks) break;
        usleep(500);
    }
    if (!d) return REAL(ioctl)(fd, number, argument);
    errno = failed ? failed : errno;
    return failed ? -1 : 0;
}

/* A device is no file: mmap of Python and GStreamer look. */
static void as_device(int fd, mode_t *mode) {
    pthread_mutex_lock(&lock);
    if (find(fd)) *mode = (*mode & ~S_IFMT) | S_IFCHR;
    pthread_mutex_unlock(&lock);
}
int fstat(int fd, struct stat *about) {
    int failed = REAL(fstat)(fd, about);
    if (!failed) as_device(fd, &about->st_mode);
    return failed;
}
int fstat64(int fd, struct stat64 *about) {
    int failed = REAL(fstat64)(fd, about);
    if (!failed) as_device(fd, &about->st_mode);
    return failed;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    char path[PATH_MAX];
    uint32_t length = bytes;
    pthread_mutex_lock(&lock);
    Device *d = find(fd);
    int failed = !d ? 0 : refused(d, "write");
    if (d && !failed && (!(d->caps & V4L2_CAP_VIDEO_OUTPUT) || !d->configured)) failed = EINVAL;
    if (d && !failed) {
        snprintf(path, sizeof path, "%s/%s.written", folder(), d->name);
        FILE *file = fopen(path, "ae");
        if (file) { fwrite(&length, 4, 1, file); fwrite(data, 1, bytes, file); fclose(file); }
    }
    pthread_mutex_unlock(&lock);
    if (!d) return REAL(write)(fd, data, bytes);
    errno = failed ? failed : errno;
    return failed ? -1 : (ssize_t)bytes;
}

/* With the lock held: what is ready on a device; *wake_ns: when more can be. */
static short ready(Device *d, short wanted, long long *wake_ns) {
    advance(d);
    if (d->gone) return POLLERR | POLLHUP;
    if (d->streaming && !d->silent && !d->halted && due_ns(d) < *wake_ns) *wake_ns = due_ns(d);
    short now = (d->done_count ? POLLIN : 0) | (d->event && d->events ? POLLPRI : 0) | (d->streaming ? 0 : POLLERR);
    return now & (wanted | POLLERR);
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms) {
    long long end_ns = timeout_ms < 0 ? INT64_MAX : clock_ns(CLOCK_MONOTONIC) + timeout_ms * 1000000ll;
    for (;;) {
        long long wake_ns = end_ns, now_ns;
        int found = 0, ours = 0;
        pthread_mutex_lock(&lock);
        for (nfds_t i = 0; i < count; i++) {
            Device *d = find(fds[i].fd);
            if (d) { fds[i].revents = ready(d, fds[i].events, &wake_ns); found += fds[i].revents != 0; ours++; }
        }
        pthread_mutex_unlock(&lock);
        if (!ours) return REAL(poll)(fds, count, timeout_ms);
        now_ns = clock_ns(CLOCK_MONOTONIC);
        if (found || now_ns >= end_ns) return found;
        if (wake_ns > now_ns + 20000000) wake_ns = now_ns + 20000000; /* another thread may close the device */
        struct timespec rest = {(wake_ns - now_ns) / 1000000000, (wake_ns - now_ns) % 1000000000 + 1000};
        if (wake_ns > now_ns) nanosleep(&rest, NULL);
    }
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
    int ours = 0;
    pthread_mutex_lock(&lock);
    for (nfds_t i = 0; i < count; i++) ours += find(fds[i].fd) != NULL;
    pthread_mutex_unlock(&lock);
    if (!ours) return REAL(ppoll)(fds, count, timeout, mask);
    return poll(fds, count, timeout ? timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000 : -1);
}
