/* stencil.c - stencils over the rows of an array, by a team of processes: a 3 x 3 blur of an image,
 * and Jacobi's iteration on a plate.
 *
 *     cc -O3 stencil.c $(pkg-config --cflags --libs muster) -o stencil && ./stencil
 *     ./stencil bench HEIGHT WIDTH    a line of JSON for each way, see Tests/Peers/run
 *
 * An index of these loops is a row (elements_per_index), so a chunk is whole rows, whatever the
 * width. A kernel sees its rows, and one more on each side, by the numbers that they have in the
 * array.
 */
#define _GNU_SOURCE
#include <muster/muster.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* -- one row --------------------------------------------------------------------------------- */

static void blur_row(const float *above, const float *row, const float *below, float *restrict out,
                     uint64_t width)
{
    for (uint64_t x = 1; x + 1 < width; x++)
        out[x] = (above[x - 1] + above[x] + above[x + 1] + row[x - 1] + row[x] + row[x + 1] +
                  below[x - 1] + below[x] + below[x + 1]) *
                 (1.0f / 9);
    out[0] = row[0];
    out[width - 1] = row[width - 1];
}

static void jacobi_row(const double *above, const double *row, const double *below,
                       double *restrict out, uint64_t width)
{
    for (uint64_t x = 1; x + 1 < width; x++)
        out[x] = 0.25 * (above[x] + below[x] + row[x - 1] + row[x + 1]);
    out[0] = row[0];
    out[width - 1] = row[width - 1];
}

/* -- kernels: by views of rows, and by pointers ------------------------------------------------ */

static int blur(const struct muster_work *work)
{
    uint64_t width = muster_work_elements_per_index(work, 0);
    uint64_t last = muster_work_count(work, 0) / width - 1;
    struct muster_rows in = muster_work_rows(work, 0, 1);
    float *out = muster_work_output(work, 1);
    for (uint64_t y = work->chunk.first; y < work->chunk.end; y++) {
        if (y == 0 || y == last)
            memcpy(out + y * width, muster_row(&in, y), width * sizeof *out);
        else
            blur_row(muster_row(&in, y - 1), muster_row(&in, y), muster_row(&in, y + 1),
                     out + y * width, width);
    }
    return 0;
}

static int jacobi(const struct muster_work *work)
{
    uint64_t width = muster_work_elements_per_index(work, 0);
    uint64_t last = muster_work_count(work, 0) / width - 1;
    struct muster_rows in = muster_work_rows(work, 0, 1);
    double *out = muster_work_output(work, 1);
    for (uint64_t y = work->chunk.first; y < work->chunk.end; y++) {
        if (y == 0 || y == last)
            memcpy(out + y * width, muster_row(&in, y), width * sizeof *out);
        else
            jacobi_row(muster_row(&in, y - 1), muster_row(&in, y), muster_row(&in, y + 1),
                       out + y * width, width);
    }
    return 0;
}

static int blur_by_pointers(const struct muster_work *work)
{
    uint64_t width = muster_work_elements_per_index(work, 0);
    uint64_t last = muster_work_count(work, 0) / width - 1;
    const float *in = muster_work_input(work, 0);
    float *out = muster_work_output(work, 1);
    for (uint64_t y = work->chunk.first; y < work->chunk.end; y++) {
        const float *row = in + y * width;
        if (y == 0 || y == last)
            memcpy(out + y * width, row, width * sizeof *out);
        else
            blur_row(row - width, row, row + width, out + y * width, width);
    }
    return 0;
}

static int jacobi_by_pointers(const struct muster_work *work)
{
    uint64_t width = muster_work_elements_per_index(work, 0);
    uint64_t last = muster_work_count(work, 0) / width - 1;
    const double *in = muster_work_input(work, 0);
    double *out = muster_work_output(work, 1);
    for (uint64_t y = work->chunk.first; y < work->chunk.end; y++) {
        const double *row = in + y * width;
        if (y == 0 || y == last)
            memcpy(out + y * width, row, width * sizeof *out);
        else
            jacobi_row(row - width, row, row + width, out + y * width, width);
    }
    return 0;
}

/* -- a leader ---------------------------------------------------------------------------------- */

static struct muster_leader *leader;
static uint64_t height, width;

static void check(int status, const struct muster_error *error)
{
    if (status == 0)
        return;
    fprintf(stderr, "stencil: %s\n", error->message);
    exit(EXIT_FAILURE);
}

static struct muster_array *make(uint32_t element_bytes)
{
    struct muster_error error;
    struct muster_array *made = NULL;
    struct muster_array_options options = {
        .size_bytes = sizeof options, .element_bytes = element_bytes, .count = height * width};
    check(muster_array_create(leader, &options, &made, &error), &error);
    return made;
}

static void run(muster_kernel kernel, struct muster_array *from, struct muster_array *to)
{
    struct muster_error error;
    struct muster_use uses[2] = {
        {.array = from, .access = MUSTER_ACCESS_INPUT, .elements_per_index = width},
        {.array = to, .access = MUSTER_ACCESS_OUTPUT, .elements_per_index = width}};
    struct muster_loop_options loop = {.size_bytes = sizeof loop,
                                       .kernel = kernel,
                                       .count = height, /* rows */
                                       .uses = uses,
                                       .use_count = 2};
    check(muster_leader_run(leader, &loop, &error), &error);
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Nanoseconds an element, the two ways in turn, the first round dropped. */
static void compare(const char *name, struct muster_array *from, uint32_t element_bytes,
                    muster_kernel rows, muster_kernel pointers)
{
    struct muster_array *to[2] = {make(element_bytes), make(element_bytes)};
    static const char *const ways[2] = {"rows", "pointers"};
    for (int round = 0; round < 10; round++)
        for (int way = 0; way < 2; way++) {
            double start = now_ns();
            run(way == 0 ? rows : pointers, from, to[way]);
            double elapsed = now_ns() - start;
            if (round > 0)
                printf("{\"test\": \"%s/%s\", \"ns\": %.6g}\n", name, ways[way],
                       elapsed / (double)(height * width));
        }
    if (memcmp(muster_array_elements(to[0]), muster_array_elements(to[1]),
               height * width * element_bytes) != 0) {
        fprintf(stderr, "stencil: wrong result\n");
        exit(EXIT_FAILURE);
    }
    muster_array_destroy(to[0]);
    muster_array_destroy(to[1]);
}

static void bench(void)
{
    struct muster_array *image = make(sizeof(float)), *plate = make(sizeof(double));
    float *pixels = muster_array_elements(image);
    double *values = muster_array_elements(plate);
    for (uint64_t i = 0; i < height * width; i++) {
        pixels[i] = (float)(i % 17);
        values[i] = (double)(i % 17);
    }
    compare("blur", image, sizeof(float), blur, blur_by_pointers);
    compare("jacobi", plate, sizeof(double), jacobi, jacobi_by_pointers);
}

static void show(void)
{
    struct muster_array *image = make(sizeof(float)), *blurred = make(sizeof(float));
    float *pixels = muster_array_elements(image);
    for (uint64_t i = 0; i < height * width; i++)
        pixels[i] = (float)(i % 17);
    run(blur, image, blurred);
    printf("blurred   %s\n", muster_leader_report(leader)->text);

    /* A plate whose upper edge is hot; two arrays that change places. */
    struct muster_array *plate = make(sizeof(double)), *next = make(sizeof(double));
    double *values = muster_array_elements(plate);
    for (uint64_t x = 0; x < width; x++)
        values[x] = 100;
    for (int turn = 0; turn < 50; turn++) {
        run(jacobi, plate, next);
        struct muster_array *other = plate;
        plate = next;
        next = other;
    }
    values = muster_array_elements(plate);
    uint64_t row = height > 10 ? 10 : height - 1;
    printf("the plate has %.17g in row %d\n", values[row * width + width / 2], (int)row);
}

int main(int count, char **arguments)
{
    int is_bench = count > 1 && strcmp(arguments[1], "bench") == 0;
    height = count > 2 + is_bench ? strtoull(arguments[1 + is_bench], NULL, 10) : 1000;
    width = count > 2 + is_bench ? strtoull(arguments[2 + is_bench], NULL, 10) : 1500;
    if (height < 2 || width < 2) {
        fprintf(stderr, "stencil: at least 2 rows of 2 elements\n");
        return 64;
    }
    struct muster_error error;
    struct muster_leader_options options = {.size_bytes = sizeof options, .size = 4};
    if (is_bench)
        options.size = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    check(muster_leader_create(&options, &leader, &error), &error);
    if (is_bench)
        bench();
    else
        show();
    muster_leader_destroy(leader); /* and its arrays */
    return EXIT_SUCCESS;
}
