// Every number that the bytes of a .lic file depend on: the table of FORMAT 10, and nothing else.
// Includes nothing, so that C++ and CUDA (NVRTC) can both include it. A test compares it with the document.
#ifndef LIC_CONSTANTS_H
#define LIC_CONSTANTS_H

// Container (FORMAT 2, 3)
#define LIC_MAJOR 0
#define LIC_MINOR 1

// Geometry and limits (FORMAT 3, 6.1, 7.5)
#define LIC_CHANNELS_MAX 256
#define LIC_LATENT_STRIDE 16
#define LIC_HYPER_STRIDE 4
#define LIC_TILE_UNIT 64
#define LIC_TILE_SIDE_MAX 64
#define LIC_PIXELS_MAX 1073741824
#define LIC_CHUNKS_MAX 1024
#define LIC_METADATA_MAX 16777216
#define LIC_SIDE_MAX 2147483647

// Quality (FORMAT 3, 7.1)
#define LIC_QUALITY_SCALE 100
#define LIC_QUALITY_MIN 100
#define LIC_QUALITY_MAX 10000
#define LIC_FRACTION_BITS 8

// Range-ANS (FORMAT 7.2, 7.3)
#define LIC_PROB_BITS 16
#define LIC_ROW_MAX 4096
#define LIC_BANK_ROWS_MAX 65536
#define LIC_STATES 4
#define LIC_STATE_MIN 65536
#define LIC_WORD_BITS 16
#define LIC_ESCAPE_BITS 17
#define LIC_SYMBOL_MIN (-32768)
#define LIC_SYMBOL_MAX 32767

// Rows of z (FORMAT 7.4)
#define LIC_LEVELS_MAX 16
#define LIC_ACTIVITY_MAX 3

// Scale index (FORMAT 7.5)
#define LIC_Z_STEP_BITS 5
#define LIC_Z_MIN (-4096)
#define LIC_Z_MAX 4095
#define LIC_WEIGHT_MAX 1023
#define LIC_BIAS_MAX 4194303
#define LIC_MAP_SHIFT 11

// Mixtures (FORMAT 7.8)
#define LIC_COMPONENTS_MAX 4
#define LIC_NORMAL_STEPS 256
#define LIC_NORMAL_ARGUMENT_BITS 24
#define LIC_INVERSE_MIN 2048
#define LIC_INVERSE_MAX 16777216
#define LIC_OFFSET_ONE 16
#define LIC_OFFSET_ZERO 128
#define LIC_RADIUS_MIN 4
#define LIC_LEAK_SHIFT 3

// Dependent quantisation (FORMAT 7.9)
#define LIC_TRELLIS_STATES 128
#define LIC_TRELLIS_CHECK 157
#define LIC_TRELLIS_PATH 86
#define LIC_LEVEL_PLAIN 3
#define LIC_LEVEL_TRELLIS 4

// Checksum (FORMAT 7.7)
#define LIC_CHECKSUM_FACTOR 2654435761

#endif
