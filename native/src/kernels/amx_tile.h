/* Tiles: what AMX does to them, or the same in plain C. A tile is 16 rows of 64 bytes; there are eight. amx_block.h is written
   over these names alone, and amx.c compiles it both ways.

     TILES                    declares what a function that uses tiles needs, and makes them ready
     TILE_ZERO(t)             clears tile t (a constant, as all t are)
     TILE_LOAD(t, p, stride)  row i from p + i * stride
     TILE_DP(t, a, b)         int32 C[i][j] += sum over k < 64 of unsigned A[i][k] * signed B[k / 4][4 * j + k % 4]
     TILE_STORE(t, p, stride)
     TILES_END                gives the tile state back: a thread that holds it costs 8 KB at every switch

   Defined anew at every inclusion: in plain C where TILES_EMULATED is defined. */
#undef TILES
#undef TILE_ZERO
#undef TILE_LOAD
#undef TILE_DP
#undef TILE_STORE
#undef TILES_END

#ifdef TILES_EMULATED
#define TILES tile tiles[8]
#define TILES_END (void)0
#define TILE_ZERO(t) memset(tiles[t], 0, sizeof tiles[t])
#define TILE_LOAD(t, p, stride) emulated_load(tiles[t], p, stride)
#define TILE_DP(t, a, b) emulated_dp(tiles[t], tiles[a], tiles[b])
#define TILE_STORE(t, p, stride) emulated_store(tiles[t], p, stride)

typedef uint8_t tile[16][64];

static void emulated_load(tile t, const void *p, size_t stride) {
    for (size_t i = 0; i < 16; i++) memcpy(t[i], (const uint8_t *)p + i * stride, 64);
}

static void emulated_store(tile t, void *p, size_t stride) {
    for (size_t i = 0; i < 16; i++) memcpy((uint8_t *)p + i * stride, t[i], 64);
}

static void emulated_dp(tile t, tile a, tile b) {
    for (size_t i = 0; i < 16; i++) {
        int32_t sums[16];
        memcpy(sums, t[i], 64);
        for (size_t k = 0; k < 64; k++)
            for (size_t j = 0; j < 16; j++) sums[j] += a[i][k] * (int8_t)b[k / 4][4 * j + k % 4];
        memcpy(t[i], sums, 64);
    }
}
#else
/* The compilers' intrinsics do not all say that they touch memory: BARRIER does. */
#define BARRIER __asm__ volatile("" ::: "memory")
#define TILES                                                                                                                    \
    static const _Alignas(64) struct {                                                                                           \
        uint8_t palette, start, zero[14];                                                                                        \
        uint16_t columns[16];                                                                                                    \
        uint8_t rows[16];                                                                                                        \
    } tile_shapes = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};                             \
    BARRIER;                                                                                                                     \
    _tile_loadconfig(&tile_shapes)
#define TILES_END _tile_release()
#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, p, stride) do { BARRIER; _tile_loadd(t, p, stride); } while (0)
#define TILE_DP(t, a, b) _tile_dpbusd(t, a, b)
#define TILE_STORE(t, p, stride) do { _tile_stored(t, p, stride); BARRIER; } while (0)
#endif
