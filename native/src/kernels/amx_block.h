/* block_u8s8 on tiles (amx_tile.h): 32 records against 32 queries at a time, 64 dimensions a step. A packed group of queries is a
   column of tiles as it stands. Records that lie at equal distances are loaded where they are; others, the last few, and those
   whose last 64 bytes are not all codes, are copied together first. */

/* How far apart 16 records lie, if equally far; else 0. */
static size_t NAME(stride_of)(const uint8_t *const *records) {
    for (int i = 1; i < 15; i++)
        if (records[i + 1] - records[i] != records[1] - records[0]) return 0;
    return records[1] > records[0] ? (size_t)(records[1] - records[0]) : 0;
}

/* 16 rows of 64 bytes from dimension `from` on; zeros where there is nothing. */
static const uint8_t *NAME(gather)(const uint8_t *const *records, size_t n, size_t from, size_t dim, uint8_t *rows) {
    size_t bytes = dim - from < 64 ? dim - from : 64;
    memset(rows, 0, 16 * 64);
    for (size_t i = 0; i < n; i++) memcpy(rows + 64 * i, records[i] + from, bytes);
    return rows;
}

static void NAME(block_u8s8)(const uint8_t *packed, size_t n_groups, const uint8_t *const *records, size_t n, size_t dim,
                             int32_t *out) {
    const size_t group = packed_bytes(dim);
    _Alignas(64) uint8_t rows[2][16 * 64];
    _Alignas(64) int32_t sums[16 * GROUP];
    TILES;
    for (size_t i = 0; i < n; i += 32) {
        size_t n_rows[2] = {n - i < 16 ? n - i : 16, n - i <= 16 ? 0 : n - i < 32 ? n - i - 16 : 16}, strides[2];
        for (int h = 0; h < 2; h++) strides[h] = n_rows[h] == 16 ? NAME(stride_of)(records + i + 16 * h) : 0;
        for (size_t g = 0; g < n_groups; g += 2) {
            const int is_pair = g + 1 < n_groups;
            TILE_ZERO(0);
            TILE_ZERO(1);
            TILE_ZERO(2);
            TILE_ZERO(3);
            for (size_t from = 0; from < dim; from += 64) {
                const uint8_t *b = packed + g * group + GROUP * from;
                TILE_LOAD(6, b, 64);
                if (is_pair) TILE_LOAD(7, b + group, 64);
                if (strides[0] && from + 64 <= dim) TILE_LOAD(4, records[i] + from, strides[0]);
                else TILE_LOAD(4, NAME(gather)(records + i, n_rows[0], from, dim, rows[0]), 64);
                TILE_DP(0, 4, 6);
                if (is_pair) TILE_DP(1, 4, 7);
                if (!n_rows[1]) continue;
                if (strides[1] && from + 64 <= dim) TILE_LOAD(5, records[i + 16] + from, strides[1]);
                else TILE_LOAD(5, NAME(gather)(records + i + 16, n_rows[1], from, dim, rows[1]), 64);
                TILE_DP(2, 5, 6);
                if (is_pair) TILE_DP(3, 5, 7);
            }
            for (int h = 0; h < 2; h++)
                for (int k = 0; k <= is_pair; k++) {
                    int32_t *to = out + GROUP * ((g + (size_t)k) * n + i + 16 * (size_t)h), *at = n_rows[h] == 16 ? to : sums;
                    if (!n_rows[h]) continue;
                    if (h == 0 && k == 0) TILE_STORE(0, at, 64);
                    else if (h == 0) TILE_STORE(1, at, 64);
                    else if (k == 0) TILE_STORE(2, at, 64);
                    else TILE_STORE(3, at, 64);
                    if (at != to) memcpy(to, sums, n_rows[h] * GROUP * sizeof *to);
                }
        }
    }
    TILES_END;
}
