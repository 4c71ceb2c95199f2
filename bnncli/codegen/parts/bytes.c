
/* Bytes side by side; a comparison gives 0 or 255. */
#if BNN_WIDTH == 64
typedef uint8_t bnn_bytes;
#define BNN_NO_BYTES 0
#define BNN_LOAD(BYTES) (*(BYTES))
#define BNN_ABOVE(X, T) ((uint8_t)-((X) > (T)))
#else
typedef uint8_t bnn_bytes __attribute__((vector_size(BNN_WIDTH / 8), aligned(1), may_alias));
#define BNN_NO_BYTES ((bnn_bytes){0})
#define BNN_LOAD(BYTES) (*(const bnn_bytes *)(BYTES))
#define BNN_ABOVE(X, T) ((bnn_bytes)((X) > (T)))
#endif
