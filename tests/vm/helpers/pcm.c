/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plays or records samples (signed 16 bit, little-endian, interleaved) as they are: no mixing, no
 * resampling, no volume.
 *
 *     pcm play DEVICE RATE CHANNELS <samples
 *     pcm record DEVICE RATE CHANNELS FRAMES >samples
 *
 * DEVICE is a node like /dev/snd/pcmC0D0p. Ends with 1 and a message when the device refuses the
 * format, and when samples were lost because this program was too slow (an under- or overrun). */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sound/asound.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BUFFER_MS    500
#define CHUNK_FRAMES 1024

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("pcm: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void set_mask(struct snd_pcm_hw_params *params, int name, unsigned int bit)
{
    struct snd_mask *mask = &params->masks[name - SNDRV_PCM_HW_PARAM_FIRST_MASK];
    memset(mask, 0, sizeof *mask);
    mask->bits[bit / 32] = 1U << (bit % 32);
}

static struct snd_interval *interval(struct snd_pcm_hw_params *params, int name)
{
    return &params->intervals[name - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL];
}

static void set_interval(struct snd_pcm_hw_params *params, int name, unsigned int min,
                         unsigned int max)
{
    *interval(params, name) = (struct snd_interval){.min = min, .max = max, .integer = 1};
}

/* The kernel narrows every parameter that is left open. */
static void set_up(int fd, unsigned int rate, unsigned int channels)
{
    struct snd_pcm_hw_params params = {.rmask = ~0U};
    memset(params.masks, 0xff, sizeof params.masks);
    for (size_t i = 0; i < sizeof params.intervals / sizeof *params.intervals; i++)
        params.intervals[i] = (struct snd_interval){.max = UINT_MAX};
    unsigned int buffer = rate * BUFFER_MS / 1000;
    set_mask(&params, SNDRV_PCM_HW_PARAM_ACCESS, (unsigned int) SNDRV_PCM_ACCESS_RW_INTERLEAVED);
    set_mask(&params, SNDRV_PCM_HW_PARAM_FORMAT, (unsigned int) SNDRV_PCM_FORMAT_S16_LE);
    set_interval(&params, SNDRV_PCM_HW_PARAM_RATE, rate, rate);
    set_interval(&params, SNDRV_PCM_HW_PARAM_CHANNELS, channels, channels);
    set_interval(&params, SNDRV_PCM_HW_PARAM_BUFFER_SIZE, buffer / 2, buffer);
    set_interval(&params, SNDRV_PCM_HW_PARAM_PERIODS, 4, 16);
    if (ioctl(fd, SNDRV_PCM_IOCTL_HW_PARAMS, &params) < 0)
        die("the device does not take %u channels at %u Hz: %s", channels, rate, strerror(errno));
    if (ioctl(fd, SNDRV_PCM_IOCTL_PREPARE) < 0)
        die("cannot prepare: %s", strerror(errno));
}

static void play(int fd, size_t frame_size)
{
    static char samples[CHUNK_FRAMES * 32];
    size_t frames;
    while ((frames = fread(samples, frame_size, CHUNK_FRAMES, stdin)) > 0) {
        struct snd_xferi transfer = {.buf = samples, .frames = frames};
        if (ioctl(fd, SNDRV_PCM_IOCTL_WRITEI_FRAMES, &transfer) < 0)
            die("cannot play: %s", strerror(errno));
    }
    if (ioctl(fd, SNDRV_PCM_IOCTL_DRAIN) < 0)
        die("cannot play to the end: %s", strerror(errno));
}

static void record(int fd, size_t frame_size, unsigned long frames)
{
    static char samples[CHUNK_FRAMES * 32];
    while (frames > 0) {
        struct snd_xferi transfer = {.buf = samples,
                                     .frames = frames < CHUNK_FRAMES ? frames : CHUNK_FRAMES};
        if (ioctl(fd, SNDRV_PCM_IOCTL_READI_FRAMES, &transfer) < 0)
            die("cannot record: %s", strerror(errno));
        fwrite(samples, frame_size, transfer.result, stdout);
        frames -= transfer.result;
    }
    if (fflush(stdout) != 0)
        die("cannot write: %s", strerror(errno));
}

static void turn_up(int fd, struct snd_ctl_elem_id id)
{
    struct snd_ctl_elem_info info = {.id = id};
    if (ioctl(fd, SNDRV_CTL_IOCTL_ELEM_INFO, &info) < 0)
        die("control %s: %s", id.name, strerror(errno));
    bool is_number = info.type == SNDRV_CTL_ELEM_TYPE_INTEGER;
    if ((!is_number && info.type != SNDRV_CTL_ELEM_TYPE_BOOLEAN) ||
        !(info.access & SNDRV_CTL_ELEM_ACCESS_WRITE))
        return;
    struct snd_ctl_elem_value value = {.id = id};
    for (unsigned int i = 0; i < info.count; i++)
        value.value.integer.value[i] = is_number ? info.value.integer.max : 1;
    if (ioctl(fd, SNDRV_CTL_IOCTL_ELEM_WRITE, &value) < 0)
        die("control %s: %s", id.name, strerror(errno));
}

static void turn_all_up(int fd)
{
    struct snd_ctl_elem_id ids[64];
    struct snd_ctl_elem_list list = {.space = sizeof ids / sizeof *ids, .pids = ids};
    if (ioctl(fd, SNDRV_CTL_IOCTL_ELEM_LIST, &list) < 0)
        die("no list of controls: %s", strerror(errno));
    for (unsigned int i = 0; i < list.used; i++)
        turn_up(fd, ids[i]);
}

static int open_node(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        die("%s: %s", path, strerror(errno));
    return fd;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "loudest") == 0) {
        turn_all_up(open_node(argv[2], O_RDWR));
        return 0;
    }
    bool plays = argc == 5 && strcmp(argv[1], "play") == 0;
    bool records = argc == 6 && strcmp(argv[1], "record") == 0;
    if (!plays && !records)
        die("usage: pcm play DEVICE RATE CHANNELS <samples, or record DEVICE RATE CHANNELS FRAMES "
            ">samples");
    unsigned int rate = strtoul(argv[3], NULL, 10), channels = strtoul(argv[4], NULL, 10);
    if (rate == 0 || channels == 0 || channels > 16)
        die("rate %u and channels %u make no sense", rate, channels);
    int fd = open_node(argv[2], plays ? O_WRONLY : O_RDONLY);
    set_up(fd, rate, channels);
    if (plays)
        play(fd, 2 * (size_t) channels);
    else
        record(fd, 2 * (size_t) channels, strtoul(argv[5], NULL, 10));
    close(fd);
    return 0;
}
