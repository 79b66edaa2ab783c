// Every number that the bytes of a .lic file depend on: the table of FORMAT 10, and nothing else, as one list.
// Includes nothing, so that C++ and CUDA (NVRTC) can both include it. A test compares it with the document.
//
//   LIC_CONSTANTS(X)   calls X(name, value) for each; `_core.constants()` and with it constants.py are made of this
//   LIC_MAJOR, ...     constexpr, of the type of the literal
#ifndef LIC_CONSTANTS_H
#define LIC_CONSTANTS_H

// clang-format off
#define LIC_CONSTANTS(X) \
    /* Container (FORMAT 2, 3) */ \
    X(LIC_MAJOR, 0) \
    X(LIC_MINOR, 3) \
    /* Geometry and limits (FORMAT 3, 5.2, 6.1, 7.5) */ \
    X(LIC_CHANNELS_MAX, 256) \
    X(LIC_LATENT_STRIDE, 16) \
    X(LIC_HYPER_STRIDE, 4) \
    X(LIC_TILE_UNIT, 64) \
    X(LIC_TILE_SIDE_MAX, 64) \
    X(LIC_PIXELS_MAX, 1073741824) \
    X(LIC_CHUNKS_MAX, 1024) \
    X(LIC_METADATA_MAX, 16777216) \
    X(LIC_SIDE_MAX, 2147483647) \
    X(LIC_OVERLAYS_MAX, 4096) \
    X(LIC_TABLE_MAX, 65536) \
    X(LIC_DEPTH_MIN, 8) \
    X(LIC_DEPTH_MAX, 16) \
    X(LIC_DEPTH_WHOLE, 32) \
    X(LIC_STAGES_MAX, 16) \
    X(LIC_SHIFT_MAX, 32) \
    X(LIC_ROW_OCTAVE, 9554) \
    X(LIC_PREVIEW_MAX, 4096) \
    /* Quality (FORMAT 3, 7.1) */ \
    X(LIC_QUALITY_SCALE, 100) \
    X(LIC_QUALITY_MIN, 100) \
    X(LIC_QUALITY_MAX, 10000) \
    X(LIC_FRACTION_BITS, 8) \
    /* Range-ANS (FORMAT 7.2, 7.3) */ \
    X(LIC_PROB_BITS, 16) \
    X(LIC_ROW_MAX, 4096) \
    X(LIC_BANK_ROWS_MAX, 65536) \
    X(LIC_STATES, 4) \
    X(LIC_STATE_MIN, 65536) \
    X(LIC_WORD_BITS, 16) \
    X(LIC_ESCAPE_BITS, 17) \
    X(LIC_SYMBOL_MIN, -32768) \
    X(LIC_SYMBOL_MAX, 32767) \
    /* Rows of z (FORMAT 7.4) */ \
    X(LIC_LEVELS_MAX, 16) \
    X(LIC_ACTIVITY_MAX, 3) \
    X(LIC_NEIGHBOUR_MAX, 3) \
    X(LIC_NEIGHBOUR_CLASSES, 10) \
    /* Scale index (FORMAT 7.5) */ \
    X(LIC_Z_STEP_BITS, 5) \
    X(LIC_Z_MIN, -4096) \
    X(LIC_Z_MAX, 4095) \
    X(LIC_WEIGHT_MAX, 1023) \
    X(LIC_BIAS_MAX, 4194303) \
    X(LIC_MAP_SHIFT, 11) \
    /* Mixtures (FORMAT 7.8) */ \
    X(LIC_COMPONENTS_MAX, 4) \
    X(LIC_NORMAL_STEPS, 256) \
    X(LIC_NORMAL_ARGUMENT_BITS, 24) \
    X(LIC_INVERSE_MIN, 2048) \
    X(LIC_INVERSE_MAX, 16777216) \
    X(LIC_OFFSET_ONE, 16) \
    X(LIC_OFFSET_ZERO, 128) \
    X(LIC_RADIUS_MIN, 4) \
    X(LIC_MIXTURE_RUN, 256) \
    X(LIC_LEAK_SHIFT, 3) \
    /* Dependent quantisation (FORMAT 7.9) */ \
    X(LIC_TRELLIS_STATES, 128) \
    X(LIC_TRELLIS_CHECK, 157) \
    X(LIC_TRELLIS_PATH, 86) \
    X(LIC_LEVEL_PLAIN, 3) \
    X(LIC_LEVEL_TRELLIS, 4) \
    /* Checksum (FORMAT 7.7) */ \
    X(LIC_CHECKSUM_FACTOR, 2654435761) \
    /* Networks (FORMAT 8) */ \
    X(LIC_WEIGHT_SUM_MAX, 65535) \
    X(LIC_SCALE_BITS, 32) \
    X(LIC_LEAKY_SLOPE, 3277) \
    X(LIC_LEAKY_BITS, 15) \
    X(LIC_MEAN_BITS, 4) \
    X(LIC_MEAN_MAX, 16777216) \
    X(LIC_TANH_STEPS, 256) \
    X(LIC_TANH_STEP_BITS, 7) \
    X(LIC_OCTAVE_BITS, 8) \
    X(LIC_OCTAVES_MAX, 16) \
    X(LIC_MANTISSA_BITS, 15) \
    X(LIC_PRIOR_LOG, 554) \
    X(LIC_REFINE_LOG, 185) \
    X(LIC_SAMPLE_BITS, 4) \
    X(LIC_NOISE_CHANNELS, 16) \
    X(LIC_NOISE_ROW, 2654435761) \
    X(LIC_NOISE_COLUMN, 2246822507) \
    X(LIC_NOISE_WORD, 3266489909) \
    X(LIC_NOISE_MIX_1, 2146121005) \
    X(LIC_NOISE_MIX_2, 2221713035)
// clang-format on

#define LIC_DEFINE(name, value) constexpr auto name = value;  // NOLINT(bugprone-macro-parentheses)
LIC_CONSTANTS(LIC_DEFINE)
#undef LIC_DEFINE

#endif
