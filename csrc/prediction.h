// The median predictor of overlays of more than 8 bits (FORMAT 5.2): samples, u16 or u32, to numbers that are small
// where a picture is smooth, and back. Must not include Python.
#ifndef LIC_PREDICTION_H
#define LIC_PREDICTION_H

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lic {

// Samples of `depth` bits, (height, width, bands) with the bands side by side; of three bands of colour the first and
// the third are told by how they differ from the second.
struct Deep {
    std::size_t height, width, bands;
    std::uint32_t most;  // 2^depth - 1

    std::size_t row() const { return width * bands; }
    bool colour() const { return bands >= 3; }

    // What sample n of a row is expected to be. above: nothing in the first row.
    template <typename Sample>
    std::uint32_t expected(const Sample* row, const Sample* above, std::size_t n) const {
        if (!above) return n < bands ? 0 : row[n - bands];
        if (n < bands) return above[n];
        const std::uint32_t l = row[n - bands], a = above[n], d = above[n - bands];
        if (d >= std::max(l, a)) return std::min(l, a);
        return d <= std::min(l, a) ? std::max(l, a) : l + a - d;
    }
};

// Samples, none above `most`, to numbers u.
template <typename Sample>
void predict(const Deep& deep, const Sample* samples, Sample* u) {
    std::vector<Sample> above(deep.row()), row(deep.row());
    const std::uint32_t half = (deep.most >> 1) + 1;
    for (std::size_t y = 0; y < deep.height; ++y, samples += deep.row(), u += deep.row()) {
        std::copy_n(samples, deep.row(), row.data());
        for (std::size_t n = 0; deep.colour() && n < deep.row(); n += deep.bands) {
            for (const std::size_t c : {n, n + 2})
                row[c] = static_cast<Sample>((row[c] - std::uint32_t{row[n + 1]}) & deep.most);
        }
        for (std::size_t n = 0; n < deep.row(); ++n) {
            const std::uint32_t e =
                (row[n] - deep.expected<Sample>(row.data(), y ? above.data() : nullptr, n)) & deep.most;
            u[n] = static_cast<Sample>(e < half ? 2 * e : 2 * (deep.most - e) + 1);
        }
        std::swap(above, row);
    }
}

// The inverse, whatever the numbers are; in place if both are the same memory.
template <typename Sample>
void restore(const Deep& deep, const Sample* u, Sample* samples) {
    std::vector<Sample> above(deep.row()), row(deep.row());
    for (std::size_t y = 0; y < deep.height; ++y, samples += deep.row(), u += deep.row()) {
        for (std::size_t n = 0; n < deep.row(); ++n) {
            const std::uint32_t half = u[n] >> 1, e = u[n] & 1 ? ~half : half;
            row[n] =
                static_cast<Sample>((deep.expected<Sample>(row.data(), y ? above.data() : nullptr, n) + e) & deep.most);
        }
        std::copy_n(row.data(), deep.row(), samples);
        for (std::size_t n = 0; deep.colour() && n < deep.row(); n += deep.bands) {
            for (const std::size_t c : {n, n + 2})
                samples[c] = static_cast<Sample>((samples[c] + std::uint32_t{samples[n + 1]}) & deep.most);
        }
        std::swap(above, row);
    }
}

}  // namespace lic

#endif
