// Elements as planes of their bytes, and back (FORMAT 9.2): what stands alike stands together, so that any packer of
// bytes makes it smaller. Must not include Python.
#ifndef LIC_NN_PLANES_H
#define LIC_NN_PLANES_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lic::nn {

constexpr std::size_t kBytesMost = 8;  // of an element

// So many elements of one type, one after the other.
struct Run {
    std::size_t bytes;  // of an element: 1, 2, 4 or 8
    bool is_signed;
    std::size_t count;
};

// What runs take, or nothing where they are not valid or larger than `most`.
bool size_of(const std::vector<Run>& runs, std::size_t most, std::size_t* size);

// Both of size_of(runs) bytes, which do not overlap; elements little-endian.
void join_planes(const std::vector<Run>& runs, const std::uint8_t* planes, std::uint8_t* elements);
void split_planes(const std::vector<Run>& runs, const std::uint8_t* elements, std::uint8_t* planes);

}  // namespace lic::nn

#endif
