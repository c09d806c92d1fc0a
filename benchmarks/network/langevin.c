/* Euler steps of a network of quartic cells on a CPU, as one writes them in C. Compiled by network/compiled.py.

   Energy of a cell x^2 + x^4 - b x, couplings J_ij x_i x_j, mobility 1; noise of one random bit a step. LANES
   trajectories are advanced side by side, x[cell][lane]. The random bits are those of xoshiro128+ (Blackman and Vigna),
   one generator a lane, 32 steps a word, seeded by splitmix64 of the seed and the number of the block. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 64
#define GROUP 4 /* cells of a tile */

#if defined(__AVX512F__)
#define WIDTH 16
#define VECTORS 4
#elif defined(__AVX__)
#define WIDTH 8
#define VECTORS 2
#else
#define WIDTH 4
#define VECTORS 2
#endif

typedef float vec __attribute__((vector_size(4 * WIDTH)));
typedef int32_t bits __attribute__((vector_size(4 * WIDTH)));

typedef struct {
    int32_t cells;
    const int32_t *starts;     /* (cells + 1,) where the neighbours of a cell begin */
    const int32_t *neighbours; /* cells of a group share their neighbours, in the same order */
    const float *weights;      /* (couplings,) J */
    const float *tiles;        /* (couplings / GROUP, GROUP) J, the cells of a group side by side */
    const float *bias;         /* (cells,) */
    float *field;              /* (cells, LANES) the same, as if each trajectory had its own; filled in here */
    const float *force;        /* (cells, 3) J2, J3, J4 times 2, 3, 4, as if each cell had its own */
    const float *kick;         /* (cells,) the noise, likewise */
    float step, noise, rail;
} Network;

typedef struct {
    uint32_t s0[LANES], s1[LANES], s2[LANES], s3[LANES];
} Generator;

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void seed_generator(Generator *g, uint64_t seed) {
    for (int lane = 0; lane < LANES; lane++) {
        uint64_t a = splitmix(&seed), b = splitmix(&seed);
        g->s0[lane] = (uint32_t)a, g->s1[lane] = (uint32_t)(a >> 32);
        g->s2[lane] = (uint32_t)b, g->s3[lane] = (uint32_t)(b >> 32);
    }
}

static void draw_words(Generator *restrict g, uint32_t *restrict words) {
    for (int lane = 0; lane < LANES; lane++) {
        uint32_t t = g->s1[lane] << 9;
        words[lane] = g->s0[lane] + g->s3[lane];
        g->s2[lane] ^= g->s0[lane];
        g->s3[lane] ^= g->s1[lane];
        g->s1[lane] ^= g->s2[lane];
        g->s0[lane] ^= g->s3[lane];
        g->s2[lane] ^= t;
        g->s3[lane] = (g->s3[lane] << 11) | (g->s3[lane] >> 21);
    }
}

/* One Euler step of all cells, a loop over lanes for each term. */
static void plain_step(const Network *net, int shift, const uint32_t *restrict words, const float *restrict x,
                       float *restrict next) {
    const float step = net->step, noise = net->noise;
    for (int j = 0; j < net->cells; j++) {
        float force[LANES];
        for (int lane = 0; lane < LANES; lane++) force[lane] = net->bias[j];
#pragma GCC unroll 1
        for (int k = net->starts[j]; k < net->starts[j + 1]; k++) {
            const float w = net->weights[k], *restrict y = x + net->neighbours[k] * LANES;
            for (int lane = 0; lane < LANES; lane++) force[lane] -= w * y[lane];
        }
        for (int lane = 0; lane < LANES; lane++) {
            float v = x[j * LANES + lane];
            float sign = (float)(1 - 2 * (int)(words[j * LANES + lane] >> (31 - shift) & 1));
            next[j * LANES + lane] = v + (step * (force[lane] - v * (2 + 4 * v * v)) + sign * noise);
        }
    }
}

static inline vec clipped(vec x, float rail) {
    vec limit = rail + (vec){0};
    bits over = x > limit, under = x < -limit;
    return (vec)(((bits)x & ~over & ~under) | ((bits)limit & over) | ((bits)-limit & under));
}

/* One Euler step of all cells, in tiles of GROUP cells by VECTORS vectors whose forces stay in registers: a function for
   each form of the terms, given cell c, place at, and position y. GCC 12 needs the loops to be just these. */
#define DEFINE_STEP(name, FIELD, PULL, KICK, FINISH)                                                                   \
    static void name(const Network *net, int shift, const uint32_t *restrict words, const float *restrict x,           \
                     float *restrict next) {                                                                           \
        for (int j = 0; j < net->cells; j += GROUP)                                                                    \
            for (int lane = 0; lane < LANES; lane += WIDTH * VECTORS) {                                                \
                vec force[GROUP][VECTORS];                                                                             \
                for (int q = 0; q < GROUP; q++)                                                                        \
                    for (int v = 0; v < VECTORS; v++) {                                                                \
                        int c = j + q, at = c * LANES + lane + v * WIDTH;                                              \
                        force[q][v] = FIELD;                                                                           \
                        (void)at;                                                                                      \
                    }                                                                                                  \
                const float *w = net->tiles + net->starts[j];                                                          \
                for (int k = net->starts[j]; k < net->starts[j + 1]; k++, w += GROUP) {                                \
                    const vec *y = (const vec *)(x + net->neighbours[k] * LANES + lane);                               \
                    for (int q = 0; q < GROUP; q++)                                                                    \
                        for (int v = 0; v < VECTORS; v++) force[q][v] -= w[q] * y[v];                                  \
                }                                                                                                      \
                for (int q = 0; q < GROUP; q++)                                                                        \
                    for (int v = 0; v < VECTORS; v++) {                                                                \
                        int c = j + q, at = c * LANES + lane + v * WIDTH;                                              \
                        vec y = *(const vec *)(x + at);                                                                \
                        bits sign = (*(const bits *)(words + at) << shift) & (int32_t)0x80000000;                      \
                        vec noise = (vec)((bits)(KICK + (vec){0}) ^ sign);                                             \
                        vec there = y + (net->step * (force[q][v] - (PULL)) + noise);                                  \
                        *(vec *)(next + at) = FINISH;                                                                  \
                        (void)c;                                                                                       \
                    }                                                                                                  \
            }                                                                                                          \
    }

DEFINE_STEP(tiled_step, net->bias[c] + (vec){0}, y * (2 + 4 * y * y), net->noise, there)
DEFINE_STEP(general_step, *(const vec *)(net->field + at),
            y *(net->force[3 * c] + y * (net->force[3 * c + 1] + y * net->force[3 * c + 2])), net->kick[c],
            clipped(there, net->rail))

enum { PLAIN, TILED, GENERAL };

/* Simulate blocks of LANES trajectories that start at 0; final is (blocks, cells, LANES). Returns 0, or 1 without memory. */
int simulate(Network *net, int form, int blocks, int steps, uint64_t seed, float *final) {
    size_t size = (size_t)net->cells * LANES * sizeof(float);
    float *x = aligned_alloc(64, size), *next = aligned_alloc(64, size);
    uint32_t *words = aligned_alloc(64, size);
    net->field = aligned_alloc(64, size);
    if (!x || !next || !words || !net->field) return 1;
    for (int i = 0; i < net->cells * LANES; i++) net->field[i] = net->bias[i / LANES];
    for (int block = 0; block < blocks; block++) {
        Generator generator;
        uint64_t mixed = seed + (uint64_t)block;
        seed_generator(&generator, splitmix(&mixed));
        memset(x, 0, size);
        for (int t = 0; t < steps; t++) {
            if (t % 32 == 0)
                for (int j = 0; j < net->cells; j++) draw_words(&generator, words + j * LANES);
            (form == GENERAL ? general_step : form == TILED ? tiled_step : plain_step)(net, t % 32, words, x, next);
            float *swap = x;
            x = next, next = swap;
        }
        memcpy(final + (size_t)block * net->cells * LANES, x, size);
    }
    free(x), free(next), free(words), free(net->field);
    return 0;
}

/* Fused multiply-adds on ten vectors in registers; returns how many operations on single numbers were done. */
double multiply_add(int64_t repeats, float factor, float *sink) {
    enum { ACCUMULATORS = 10 };
    vec a[ACCUMULATORS], w = factor + (vec){0};
    for (int i = 0; i < ACCUMULATORS; i++) a[i] = (float)i + (vec){0};
    for (int64_t r = 0; r < repeats; r++)
#pragma GCC unroll 10
        for (int i = 0; i < ACCUMULATORS; i++) a[i] = a[i] * w + w;
    for (int i = 0; i < ACCUMULATORS; i++) *sink += a[i][0];
    return 2.0 * WIDTH * ACCUMULATORS * (double)repeats;
}
