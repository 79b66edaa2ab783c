// The native engine on numbers of its own making: prints one hash of y_hat and samples for each kernel set, which must
// be the same for all sets, threads, compilers and machines. A program without Python, for machines that have none
// (tests/exact_elsewhere.sh).
#include <cstdint>
#include <cstdio>
#include <vector>

#include "../nn/kernel_sets.h"
#include "../nn/photo.h"
#include "random_model.h"

namespace {

using namespace lic::nn;
using namespace lic::nn::test;

std::uint64_t hash(std::uint64_t seed, const void* data, std::size_t bytes) {  // FNV-1a
    const auto* at = static_cast<const std::uint8_t*>(data);
    for (std::size_t i = 0; i < bytes; ++i) seed = (seed ^ at[i]) * 1099511628211ull;
    return seed;
}

std::uint64_t run(const Model& m, const Kernels& kernels, std::size_t threads) {
    const Photo photo(m.tensors, kernels);
    std::uint64_t sum = 14695981039346656037ull;
    Random random;
    const struct {
        std::size_t height, width, bands;
        int q;
    } cases[] = {{1, 1, 3, 100}, {160, 112, 3, 4321}, {75, 211, 1, 9999}, {333, 40, 3, 7000}};
    for (const auto& c : cases) {
        const std::size_t hy = (c.height + 15) / 16, wy = (c.width + 15) / 16, hz = (hy + 3) / 4, wz = (wy + 3) / 4;
        std::vector<i16> v(kHyper * hz * wz), r(kLatent * hy * wy), y(kLatent * hy * wy);
        for (i16& x : v) x = static_cast<i16>(random.within(LIC_Z_MIN, LIC_Z_MAX));
        for (i16& x : r) x = static_cast<i16>(random.within(0, 2) ? 0 : random.within(-60, 60));
        const Image image{hy, wy, {v.data(), hz * wz, wz, 0, 0}, {r.data(), hy * wy, wy, 0, 0}};
        photo.latents(image, c.q, y.data());
        std::vector<std::uint8_t> pixels(c.height * c.width * c.bands);
        photo.render(image, c.q, {pixels.data(), c.width * c.bands, c.bands, 0, 0, c.height, c.width}, threads);
        sum = hash(hash(sum, y.data(), y.size() * sizeof(i16)), pixels.data(), pixels.size());
    }
    return sum;
}

}  // namespace

int main() {
    Model model;
    fill(model);
    for (const Kernels* kernels : available_kernels()) {
        for (const std::size_t threads : {std::size_t{1}, std::size_t{3}}) {
            std::printf("%016llx %s, %zu threads\n", static_cast<unsigned long long>(run(model, *kernels, threads)),
                        kernels->name, threads);
        }
    }
}
